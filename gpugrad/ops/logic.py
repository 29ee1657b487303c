"""What has no gradient and no formula: bitwise operations, rounding to decimals, and comparing whole arrays."""

from __future__ import annotations

from typing import Any

from ..backend.placing import placed
from ..primitive import FUNCTIONS, public
from ..tensor import Tensor
from .arguments import backend_for_all, bare, constant, operand
from .elementwise import divide, multiply, positive, rint


def _bits(name: str, a: Any, b: Any) -> Any:
    first = a if isinstance(a, Tensor) or not isinstance(b, Tensor) else b
    left, right = bare(a), bare(b)
    for x in (left, right):
        if hasattr(x, "dtype") and x.dtype.kind not in "iub":
            raise TypeError(f"[{name}] an operand of dtype {x.dtype}; expected integers or truth values")
    if not hasattr(left, "dtype"):
        left = left if hasattr(right, "dtype") else operand(left)
    backend = backend_for_all(name, *[x for x in (left, right) if hasattr(x, "dtype")])
    return constant(first, getattr(backend.xp, name)(left, right))


@public
def bitwise_and(a: Any, b: Any) -> Any:
    """`a & b` of integers or truth values. No gradient."""
    return _bits("bitwise_and", a, b)


@public
def bitwise_or(a: Any, b: Any) -> Any:
    """`a | b` of integers or truth values. No gradient."""
    return _bits("bitwise_or", a, b)


@public
def bitwise_xor(a: Any, b: Any) -> Any:
    """`a ^ b` of integers or truth values. No gradient."""
    return _bits("bitwise_xor", a, b)


@public
def left_shift(a: Any, b: Any) -> Any:
    """`a << b` of integers. No gradient."""
    return _bits("left_shift", a, b)


@public
def right_shift(a: Any, b: Any) -> Any:
    """`a >> b` of integers. No gradient."""
    return _bits("right_shift", a, b)


@public
@placed
def bitwise_not(x: Any) -> Any:
    """`~x` of integers or truth values. No gradient. Also `invert`."""
    x = operand(x)
    if x.dtype.kind not in "iub":
        raise TypeError(f"[bitwise_not] an operand of dtype {x.dtype}; expected integers or truth values")
    return constant(x, ~bare(x))


@public
def round(x: Any, decimals: int = 0) -> Any:
    """Rounded to `decimals` places, ties to even; the gradient is 0. Also `around`."""
    x = operand(x)
    if x.dtype.kind in "iu" and decimals >= 0:
        return positive(x)
    if not decimals:
        return rint(x)
    scale = 10.0 ** abs(decimals)
    return divide(rint(multiply(x, scale)), scale) if decimals > 0 else multiply(rint(divide(x, scale)), scale)


@public
def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Where |a - b| <= atol + rtol * |b|. No gradient."""
    a, b = operand(a), operand(b)
    xp = backend_for_all("isclose", bare(a), bare(b)).xp
    return constant(a if isinstance(a, Tensor) else b, xp.isclose(bare(a), bare(b), rtol, atol, equal_nan))


@public
def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are close (see `isclose`); waits for the device."""
    return bool(bare(isclose(a, b, rtol, atol, equal_nan)).all())


@public
def array_equal(a: Any, b: Any, equal_nan: bool = False) -> bool:
    """Whether shapes and all elements are equal (`equal` in PyTorch is elementwise here); waits for the device.

    A nan equals nothing, or with `equal_nan` any other nan.
    """
    a, b = bare(operand(a)), bare(operand(b))
    if a.shape != b.shape:
        return False
    same = a == b
    return bool((same | ((a != a) & (b != b)) if equal_nan else same).all())


FUNCTIONS["invert"] = bitwise_not
FUNCTIONS["around"] = round
