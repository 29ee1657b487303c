"""What PyTorch means where NumPy means something else by the same name: `max`, `min`, `sort`, `median`, `std`, `var`.

A tensor stands for an array in functions that are differentiated, so its plain calls are NumPy's. No array knows `dim`
or `keepdim`: a call that has one of them is PyTorch's; `arguments.spelled` and `reduction` send it here. `split` and
`norm` are no methods of arrays: `gg.split`, `gg.norm` and the methods are PyTorch's but for calls with NumPy's names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..primitive import public, public_in
from .arguments import PYTORCH, axis_index, bare, constant, module, operand, reduction
from .index import take_along_axis
from .joining import split as numpy_split
from .order import _order
from .reduce import argmax, argmin, max, min, std, var
from .reduce import norm as numpy_norm
from .shape import squeeze


class ValuesAndIndices(NamedTuple):
    """Elements along an axis, and their positions there."""

    values: Any
    indices: Any


def _meaning(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register what PyTorch means by a function's name."""
    PYTORCH[function.__name__.removeprefix("torch_")] = function
    return function


def _taken(x: Any, places: Any, axis: int, keepdim: bool) -> ValuesAndIndices:
    """The elements at `places`, of length 1 along the axis, which goes unless `keepdim`."""
    values = take_along_axis(x, places, axis, unique=True)
    if not keepdim:
        values, places = squeeze(values, axis), squeeze(places, axis)
    return ValuesAndIndices(values, places)


@_meaning
def torch_max(input: Any, dim: Any = None, keepdim: bool = False, out: None = None) -> Any:
    """The largest elements along an axis and their positions, as `torch.max(x, dim)`.

    Of elements that tie the first is meant, and has the whole gradient; a nan is larger than everything.
    """
    if dim is None:
        return max(input, out=out)
    x = operand(input)
    i = axis_index("max", dim, x.shape)
    return _taken(x, argmax(x, i, keepdims=True, out=out), i, keepdim)


@_meaning
def torch_min(input: Any, dim: Any = None, keepdim: bool = False, out: None = None) -> Any:
    """The smallest elements along an axis and their positions; otherwise as `torch_max`."""
    if dim is None:
        return min(input, out=out)
    x = operand(input)
    i = axis_index("min", dim, x.shape)
    return _taken(x, argmin(x, i, keepdims=True, out=out), i, keepdim)


@_meaning
def torch_median(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The middle elements along an axis, the lower of two, and their positions, as `torch.median(x, dim)`.

    A nan, where there is one, is the median, as in PyTorch. Without `dim`: the middle of all elements, alone.
    """
    x = operand(input)
    if dim is None:
        return torch_median(x.reshape(-1), 0).values
    i = axis_index("median", dim, x.shape)
    n = x.shape[i]
    if not n:
        raise ValueError(f"[median] no elements along dim = {dim} of shape {tuple(x.shape)}; check the input")
    array, xp = bare(x), module(x)
    ordered = _order(array, i)
    places = ordered[(slice(None),) * i + (slice((n - 1) // 2, (n + 1) // 2),)]
    if array.dtype.kind in "fV":  # nans are sorted to the end
        lost = xp.isnan(array)
        places = xp.where(lost.any(axis=i, keepdims=True), lost.argmax(axis=i, keepdims=True), places)
    return _taken(x, constant(x, places), i, keepdim)


@_meaning
def torch_sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = True) -> ValuesAndIndices:
    """The elements in order along an axis and their positions, as `torch.sort`; elements that tie keep their order."""
    x = operand(input)
    i = axis_index("sort", dim, x.shape)
    places = constant(x, _order(bare(x), i, descending))
    return ValuesAndIndices(take_along_axis(x, places, i, unique=True), places)


@_meaning
def torch_var(
    input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Any:  # fmt: skip
    """The variance over n - 1, as `torch.var`; `correction` says another number to take from n."""
    return var(input, dim, keepdims=keepdim, correction=_correction(unbiased, correction))


@_meaning
def torch_std(
    input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Any:  # fmt: skip
    """The standard deviation with n - 1, as `torch.std`; arguments as in `torch_var`."""
    return std(input, dim, keepdims=keepdim, correction=_correction(unbiased, correction))


def _correction(unbiased: bool, correction: float | None) -> float:
    return (1 if unbiased else 0) if correction is None else correction


@_meaning
def torch_split(input: Any, split_size_or_sections: int | Sequence[int], dim: int = 0) -> list[Any]:
    """Parts of the given length (the last may be shorter) or lengths, as `torch.split`."""
    return numpy_split(input, split_size_or_sections=split_size_or_sections, axis=dim)  # type: ignore[no-any-return]


@public_in("torch")
def split(x: Any, *args: Any, **kwargs: Any) -> list[Any]:
    """Cut a tensor along an axis: views, in a list.

    Args:
        x: the array.
        args: `split_size_or_sections`, the length of each part (the last may be shorter) or the lengths, and `dim`, as
            `torch.split`. With `axis` or `indices_or_sections` by name the call is `numpy.split`: an integer is a
            number of equal parts, a sequence the places of the cuts. `gpugrad.numpy.split` is always NumPy's.
        kwargs: likewise.

    Raises:
        ValueError: the lengths do not add up to the axis, or it cannot be cut into equal parts.
    """
    numpys = "axis" in kwargs or "indices_or_sections" in kwargs
    return (numpy_split if numpys else torch_split)(x, *args, **kwargs)  # type: ignore[no-any-return]


@public_in("torch")
def norm(x: Any, *args: Any, **kwargs: Any) -> Any:
    """A vector norm over all the axes named, of a matrix too, as `torch.norm`; at 0 its gradient is 0.

    Args:
        x: any shape.
        args: `p`, the order (2 if not given; also 0, inf, -inf, "fro", "nuc"), `dim` (all axes if not given),
            `keepdim`. With `ord`, `axis` or `keepdims` by name the call is `numpy.linalg.norm`, where an order of two
            axes is that of a matrix norm; so is always `gg.linalg.norm`.
        kwargs: likewise, and `dtype` to compute in.

    Raises:
        ValueError: an order that there is not.
    """
    if not _NUMPYS.isdisjoint(kwargs):
        return numpy_norm(x, *args, **kwargs)
    return _torch_norm(x, *args, **kwargs)


def _torch_norm(input: Any, p: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    if isinstance(p, str):
        return numpy_norm(input, p, dim, keepdim, dtype=dtype)
    return numpy_norm(input, axis=dim, keepdims=keepdim, p=2 if p is None else p, dtype=dtype)


_NUMPYS = frozenset(("ord", "axis", "keepdims"))


@public
@reduction
def amax(x: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The largest element; arguments as in `sum`. Elements that tie share the gradient equally, as in `max`."""
    return max(x, axis, out, keepdims)


@public
@reduction
def amin(x: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The smallest element; otherwise as `amax`."""
    return min(x, axis, out, keepdims)
