"""Running sums and products, and what depends on the order of the elements: sorting, the largest k.

Sorting picks with the permutation that `argsort` finds, so its gradient goes back to where each element stood.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import backend_of
from ..primitive import FUNCTIONS, Needs, Primitive, Shape, public
from .arguments import apply_one, axis_index, bare, constant, is_half, operand, spelled
from .index import getitem, take_along_axis
from .joining import flip
from .padding import pad
from .shape import moveaxis, ravel

# ---- cumsum and cumprod


def _running(x: Any, axis: int, name: str) -> Any:
    """A running sum or product; half precision in float32."""
    wide = np.dtype(np.float32) if is_half(x.dtype) else None
    out = getattr(backend_of(x).xp, name)(x, axis=axis, dtype=wide)
    return out if wide is None else out.astype(x.dtype)


def _cumsum_forward(needs: Needs, x: Any, *, axis: int) -> tuple[Any, tuple[Any, ...]]:
    return _running(x, axis, "cumsum"), ()


def _cumsum_rule(g: Any, needs: Needs, *, axis: int) -> tuple[Any, ...]:
    return (flip(cumsum(flip(g, axis), axis), axis),)


# The flipped sum is a view, but of nothing that is kept.
CUMSUM = Primitive("cumsum", _cumsum_forward, _cumsum_rule, linear=True)


def _along(name: str, x: Any, axis: Any) -> tuple[Any, int]:
    """The operand and the axis; flattened where no axis is named."""
    x = operand(x)
    if axis is None or not x.shape:
        return ravel(x), 0
    return x, axis_index(name, axis, x.shape)


@public
@spelled
def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """The running sum along an axis (`dim` in PyTorch), of the flattened array if none is named."""
    x, i = _along("cumsum", x, axis)
    x = x if dtype is None else FUNCTIONS["astype"](x, dtype)
    return apply_one(CUMSUM, x, {"axis": i})


def _cumprod_forward(needs: Needs, x: Any, *, axis: int) -> tuple[Any, tuple[Any, ...]]:
    return _running(x, axis, "cumprod"), ()


def _cumprod_rule(g: Any, needs: Needs, x: Any, y: Any, *, axis: int) -> tuple[Any, ...]:
    """With s_i = g_i + x_(i+1) s_(i+1), the cotangent of x_i is s_i times the product of the elements before it.

    The recurrence is solved by doubling: log2(n) steps over whole arrays, without a division.
    """
    g, x, y = (moveaxis(v, axis, -1) for v in (g, x, y))
    n = x.shape[-1]
    sides = [(0, 0)] * (x.ndim - 1)

    def later(v: Any, by: int, fill: float) -> Any:
        return pad(getitem(v, (..., slice(by, None))), [*sides, (0, by)], constant_values=fill)

    total, factor, step = g, later(x, min(1, n), 0), 1
    while step < n:
        total = total + factor * later(total, step, 0)
        step *= 2
        if step < n:
            factor = factor * later(factor, step // 2, 0)
    before = pad(getitem(y, (..., slice(0, max(n - 1, 0)))), [*sides, (min(1, n), 0)], constant_values=1)
    return (moveaxis(before * total, -1, axis),)


def _cumprod_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, axis: int) -> int:
    return max(3 * max(out_shape[axis] - 1, 0).bit_length(), 1) * math.prod(out_shape)


CUMPROD = Primitive("cumprod", _cumprod_forward, _cumprod_rule, keeps=((0, -1),), vjp_flops=_cumprod_vjp_flops)


@public
@spelled
def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """The running product along an axis, of the flattened array if none is named; its gradient is exact at zeros."""
    x, i = _along("cumprod", x, axis)
    x = x if dtype is None else FUNCTIONS["astype"](x, dtype)
    found = apply_one(CUMPROD, x, {"axis": i})  # NumPy multiplies small integers in 64 bits
    return found if dtype is None or found.dtype == dtype else FUNCTIONS["astype"](found, dtype)


# ---- sorting


@public
@spelled
def argsort(x: Any, axis: int | None = -1, kind: Any = None, descending: bool = False, stable: bool = True) -> Any:
    """The positions that sort an array along an axis. No gradient.

    Args:
        x: any shape.
        axis: along which; None sorts the flattened array.
        kind: NumPy's choice of algorithm; here elements that tie always keep their order.
        descending: largest first (elements that tie keep their order too).
        stable: PyTorch's name for what is always so.
    """
    operands, i = _along("argsort", x, axis)
    return constant(operands, _order(bare(operands), i, descending))


def _order(x: Any, axis: int, descending: bool = False) -> Any:
    xp = backend_of(x).xp
    if not descending:
        return xp.argsort(x, axis=axis, kind="stable")
    return xp.flip(x.shape[axis] - 1 - xp.argsort(xp.flip(x, axis), axis=axis, kind="stable"), axis)


@public
@spelled
def sort(x: Any, axis: int | None = -1, kind: Any = None, descending: bool = False, stable: bool = True) -> Any:
    """The elements in order along an axis (arguments as in `argsort`); the values only, as NumPy."""
    x, i = _along("sort", x, axis)
    return take_along_axis(x, _order(bare(x), i, descending), i, unique=True)


@public
@spelled
def topk(x: Any, k: int, axis: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Any, Any]:
    """The `k` largest (or smallest) elements along an axis, in order, and their positions.

    Raises:
        ValueError: `k` is negative or more than the axis has.
    """
    x = operand(x)
    i = axis_index("topk", axis, x.shape)
    if not 0 <= k <= x.shape[i]:
        raise ValueError(f"[topk] k = {k} along axis {axis} of shape {tuple(x.shape)}; expected 0 to {x.shape[i]}")
    places = _order(bare(x), i, largest)[(slice(None),) * i + (slice(k),)]
    return take_along_axis(x, places, i, unique=True), constant(x, places)


@public
@spelled
def partition(x: Any, kth: int | Sequence[int], axis: int | None = -1) -> Any:
    """As `numpy.partition`: what sorting puts at `kth` (at each of them) stands there, what is smaller before it."""
    x, i = _along("partition", x, axis)
    if not all(-x.shape[i] <= k < x.shape[i] for k in (kth if isinstance(kth, Sequence) else (kth,))):
        raise ValueError(f"[partition] kth = {kth} along axis {axis} of shape {tuple(x.shape)}; expected a place on it")
    return take_along_axis(x, backend_of(bare(x)).xp.argpartition(bare(x), kth, axis=i), i, unique=True)


@public
@spelled
def argpartition(x: Any, kth: int | Sequence[int], axis: int | None = -1) -> Any:
    """The positions that `partition` picks. No gradient."""
    x, i = _along("argpartition", x, axis)
    return constant(x, backend_of(bare(x)).xp.argpartition(bare(x), kth, axis=i))


@public
def unique(
    x: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    *,
    equal_nan: bool = True,
) -> Any:
    """The different values in order, as `numpy.unique`. No gradient; waits for the device."""
    x = operand(x)
    more = {} if equal_nan else {"equal_nan": False}
    found = backend_of(bare(x)).xp.unique(bare(x), return_index, return_inverse, return_counts, **more)
    return tuple(constant(x, f) for f in found) if isinstance(found, tuple) else constant(x, found)
