"""What the operation families share about arguments: operands, axes, PyTorch's spellings, results without a gradient.

The one place where `dim=` becomes `axis=`. What the operations compute is in the modules of the families.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from ..backend import DeviceError, WrappedArray, backend_of, is_array, memory
from ..backend.base import Backend
from ..backend.placing import MANY, elsewhere, placed
from ..batching import union
from ..gradmode import recording
from ..lifting import on_one_level
from ..primitive import FUNCTIONS, Primitive
from ..signatures import no_out
from ..tensor import Tensor, apply, new_tensor
from ..views import seen

Axes = tuple[int, ...]

_NEEDS_NONE: Final = (False,)

SPELLINGS: Final = {
    "dim": "axis",
    "dims": "axis",
    "keepdim": "keepdims",
    "input": "x",
    "a": "x",
    "ary": "x",
    "tensors": "arrays",
}


# What PyTorch means by a name that NumPy has too: filled by `torch_meanings`, called where `dim` or `keepdim` is given.
PYTORCH: Final[dict[str, Callable[..., Any]]] = {}
_PYTORCH_NAMES: Final = {"axis": "dim", "keepdims": "keepdim", "ddof": "correction", "x": "input", "a": "input"}


def _pytorch(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The call of a function as PyTorch means it."""
    named = {_PYTORCH_NAMES.get(k, k): v for k, v in kwargs.items()}
    if len(named) < len(kwargs):
        raise TypeError(f"[{name}] an argument is given twice, under two of its names: {', '.join(kwargs)}")
    return PYTORCH[name](*args, **named)


def spelled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: `placed`, and PyTorch's and NumPy's argument names (`dim`, `keepdim`, `input`, `a`) beside ours."""
    there = placed(function)

    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            if ("dim" in kwargs or "keepdim" in kwargs) and function.__name__ in PYTORCH:
                return _pytorch(function.__name__, args, kwargs)
            kwargs = _renamed(function.__name__, kwargs)
        return there(*args, **kwargs)

    return inner


def added(*tangents: Any) -> Any:
    """The sum of tangents, each None for zero."""
    total = None
    for t in tangents:
        if t is not None:
            total = t if total is None else total + t
    return total


MORE: Final = frozenset(("where", "initial", "mean"))  # what NumPy's reductions take beside their own arguments


def reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of reductions: `spelled`, PyTorch's positional `sum(x, 1, True)`, NumPy's `where=` and its kin.

    A given `out=` is refused, and what no reduction has.
    """
    names = list(inspect.signature(function).parameters)
    place = names.index("out") - 1 if "out" in names else len(names)

    @functools.wraps(function)
    def inner(x: Any, *args: Any, **kwargs: Any) -> Any:
        if MANY and (there := elsewhere(function.__name__, (x,))) is not None:
            with there:
                return inner(x, *args, **kwargs)
        if kwargs or len(args) > 1:
            if ("dim" in kwargs or "keepdim" in kwargs) and function.__name__ in PYTORCH:
                return _pytorch(function.__name__, (x, *args), kwargs)
            args, kwargs = settle(args, kwargs)
            if not MORE.isdisjoint(kwargs):
                from .masked import restricted

                return restricted(function, x, args, kwargs)
        return function(x, *args, **kwargs)

    def settle(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kwargs = _renamed(function.__name__, kwargs)
        if len(args) == 2 and type(args[1]) is bool:
            if function.__name__ in ("var", "std"):
                raise TypeError(
                    f"[{function.__name__}] {args[1]} by position is unclear: write unbiased= or keepdims= by name"
                )
            kwargs.setdefault("keepdims", args[1])
            args = args[:1]
        if kwargs.get("out") is not None or (len(args) > place and args[place] is not None):
            raise no_out(function.__name__)
        unknown = [k for k in kwargs if k not in names and k not in MORE]
        if unknown:
            raise TypeError(
                f"[{function.__name__}] {', '.join(unknown)}= is not supported; its arguments are {', '.join(names)}, "
                "where and initial"
            )
        return args, kwargs

    return inner


def _renamed(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    result = {}
    for key, value in kwargs.items():
        ours = SPELLINGS.get(key, key)
        if ours in result:
            raise TypeError(f"[{name}] {ours} is given twice ({', '.join(kwargs)}); {key} is another name of it")
        result[ours] = value
    return result


def apply_one(primitive: Primitive, x: Any, static: dict[str, Any]) -> Any:
    """`tensor.apply` of a primitive with one operand and one output, by a shorter way where nothing is recorded."""
    if MANY and (there := elsewhere(primitive.name, (x, static.get("arrays", ())))) is not None:
        with there:
            return apply_one(primitive, x, static)
    if isinstance(x, Tensor):
        if x._node is not None and recording():
            return apply(primitive, (x,), static)
        out = new_tensor(primitive.forward(_NEEDS_NONE, x.data, **static)[0], None)
        if primitive.view and x._node is not None:
            seen(x, out)
        return out
    return primitive.forward(_NEEDS_NONE, x, **static)[0]


def operand(x: Any) -> Any:
    """A tensor or array as it is; a number or (nested) list as an array, or as a tensor if tensors are in it."""
    if isinstance(x, Tensor) or is_array(x):
        return x
    return joined(x) if isinstance(x, (list, tuple)) and holds_tensor(x) else np.asarray(x)


def holds_tensor(parts: Any) -> bool:
    """Whether a tensor, or an array of a map, is anywhere in nested lists."""
    leaf, nested = (Tensor, WrappedArray), (list, tuple)
    return any(isinstance(p, leaf) or (isinstance(p, nested) and holds_tensor(p)) for p in parts)


def joined(parts: Any) -> Any:
    """Nested lists with tensors in them as one tensor."""
    return FUNCTIONS["stack"]([operand(p) for p in parts])


def bare(x: Any) -> Any:
    """The array of a tensor; anything else as it is."""
    return x.data if isinstance(x, Tensor) else x


def module(x: Any) -> Any:
    """The array module (NumPy or CuPy) of a tensor or array."""
    return backend_of(x.data if isinstance(x, Tensor) else x).xp


def some(condition: Any) -> bool:
    """Whether an array of truth values has a true one, in any example of a map; waits for the device."""
    return bool(memory(condition).any())


def constant(x: Any, result: Any) -> Any:
    """A result without a gradient: a tensor if the operand `x` was one, and never a NumPy scalar."""
    if not is_array(result):
        result = module(x).asarray(result)
    return new_tensor(result, None) if isinstance(x, Tensor) else result


def axis_index(name: str, axis: Any, shape: Sequence[int], ndim: int | None = None) -> int:
    """`axis` counted from the front.

    Args:
        name: the operation, for the error.
        axis: an integer, negative from the back.
        shape: the operand's shape.
        ndim: number of axes to count in, if it is not the operand's.

    Raises:
        numpy.exceptions.AxisError: there is no such axis.
    """
    n = len(shape) if ndim is None else ndim
    try:
        i = operator.index(axis)
    except TypeError:
        raise TypeError(
            f"[{name}] axis = {axis!r} of type {type(axis).__name__}; "
            "expected an integer (or a tuple where several axes fit)"
        ) from None
    if not -n <= i < n:
        raise np.exceptions.AxisError(
            f"[{name}] axis = {i} for an array of shape {tuple(shape)}; "
            + (f"expected {-n} <= axis < {n}" if n else "a single number has no axes: leave axis out")
        )
    return i + n if i < 0 else i


def axis_tuple(name: str, axis: Any, shape: Sequence[int], ndim: int | None = None) -> Axes | None:
    """`axis` (integer, tuple or list of them, or None) as a tuple counted from the front; None stays None.

    Raises:
        numpy.exceptions.AxisError: there is no such axis.
        ValueError: an axis is named twice.
    """
    if axis is None:
        return None
    if type(axis) is int and ndim is None and -len(shape) <= axis < len(shape):
        return (axis % len(shape),)
    if not isinstance(axis, (tuple, list)):
        return (axis_index(name, axis, shape, ndim),)
    axes = tuple(axis_index(name, a, shape, ndim) for a in axis)
    if len(set(axes)) != len(axes):
        raise ValueError(f"[{name}] axis = {tuple(axis)} names an axis twice (shape {tuple(shape)}); name each once")
    return axes


def shape_tuple(name: str, shape: Sequence[Any]) -> tuple[int, ...]:
    """A shape given as one tuple or as several integers: what `f(*shape)` received, as a tuple of integers.

    Raises:
        TypeError: something in it is no integer.
    """
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = shape[0]
    try:
        return tuple(operator.index(n) for n in shape)
    except TypeError:
        raise TypeError(f"[{name}] shape = {tuple(shape)}; expected integers, or one tuple of them") from None


def kept_shape(shape: Sequence[int], axes: Axes | None) -> tuple[int, ...]:
    """The shape of a reduction's result with `keepdims`."""
    return tuple([1 if axes is None or i in axes else n for i, n in enumerate(shape)])


def count(shape: Sequence[int], axes: Axes | None) -> int:
    """How many elements go into one of a reduction's results."""
    n = 1
    for i, length in enumerate(shape):
        if axes is None or i in axes:
            n *= length
    return n


def is_half(dtype: Any) -> bool:
    """Whether `dtype` is float16 or bfloat16, which sums take up in float32."""
    return bool(dtype.itemsize == 2 and dtype.kind in "fV")


def backend_for_all(name: str, *arrays: Any) -> Backend:
    """The backend that all of `arrays` share.

    Raises:
        DeviceError: they live on different devices; names both.
    """
    kind = type(arrays[0])
    for a in arrays:
        if type(a) is not kind and a is not None and is_array(a):
            if on_one_level(arrays) is not arrays:  # examples of a map, and what they share
                return union(arrays)[0]  # type: ignore[no-any-return]
            raise DeviceError(mixed(name, [arrays[0], a]))
    return backend_of(arrays[0])


def mixed(name: str, arrays: list[Any]) -> str:
    """The message for operands on different devices."""
    shown = "; ".join(f"{tuple(a.shape)} {a.dtype} on {backend_of(a).device}" for a in arrays)
    return (
        f"[{name}] operands on different devices: {shown}; move one, e.g. x.to({str(backend_of(arrays[0]).device)!r})"
    )


def degrees_of(n: int, ddof: float, correction: float | None, unbiased: bool | None) -> float:
    """`n` less what a variance leaves out, under NumPy's, the array API's or PyTorch's name."""
    if unbiased is not None:
        return n - int(unbiased)
    return n - (ddof if correction is None else correction)


def divisor(n: int, ddof: float, correction: float | None, unbiased: bool | None) -> float:
    """What a variance of `n` elements divides by; never less than 0, where the result is nan or infinite."""
    return max(degrees_of(n, ddof, correction, unbiased), 0)
