"""Running extremes and sums of exponentials, elements by rank and frequency, membership; PyTorch's names."""

from __future__ import annotations

from typing import Any

from ..backend.placing import placed
from ..primitive import public
from .arguments import axis_index, bare, constant, module, operand
from .elementwise import logaddexp
from .index import getitem, take_along_axis
from .joining import concatenate
from .order import _order
from .quantile import searchsorted
from .torch_meanings import ValuesAndIndices, _taken


def _shifted(x: Any, axis: int, n: int) -> tuple[Any, Any, Any]:
    """The first `n` elements along an axis, the others, and as many from the front as these."""
    before = (slice(None),) * axis
    cut = slice(n), slice(n, None), slice(x.shape[axis] - n)
    first, later, front = (getitem(x, (*before, part)) for part in cut)
    return first, later, front


def _running_extreme(name: str, x: Any, dim: int, largest: bool) -> ValuesAndIndices:
    """By doubling: each place knows the extreme of the last n elements, then of 2 n."""
    x = operand(x)
    axis, xp = axis_index(name, dim, x.shape), module(x)
    values, size = bare(x), x.shape[axis]
    places = xp.broadcast_to(xp.arange(size).reshape((-1,) + (1,) * (x.ndim - axis - 1)), x.shape)
    n = 1
    while n < size:
        (first, later, front), (head, here, there) = _shifted(values, axis, n), _shifted(places, axis, n)
        stays = (later >= front) if largest else (later <= front)
        stays |= later != later  # the later one of equals, and every nan
        values = xp.concatenate([first, xp.where(stays, later, front)], axis)
        places = xp.concatenate([head, xp.where(stays, here, there)], axis)
        n *= 2
    return ValuesAndIndices(take_along_axis(x, places, axis), constant(x, places))


@public
@placed
def cummax(input: Any, dim: int) -> ValuesAndIndices:
    """The largest element so far along an axis, and its position; of equal ones the last, which has the gradient."""
    return _running_extreme("cummax", input, dim, True)


@public
@placed
def cummin(input: Any, dim: int) -> ValuesAndIndices:
    """The smallest element so far along an axis; otherwise as `cummax`."""
    return _running_extreme("cummin", input, dim, False)


@public
def logcumsumexp(input: Any, dim: int) -> Any:
    """The logarithm of the running sum of exponentials along an axis, without overflow."""
    x = operand(input)
    axis, n = axis_index("logcumsumexp", dim, x.shape), 1
    while n < x.shape[axis]:
        first, later, front = _shifted(x, axis, n)
        x = concatenate([first, logaddexp(later, front)], axis)
        n *= 2
    return x


@public
@placed
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """The `k`-th smallest element along an axis, from 1, and its position.

    Raises:
        IndexError: there is no such element.
    """
    x = operand(input)
    axis = axis_index("kthvalue", dim, x.shape)
    if not 1 <= k <= x.shape[axis]:
        raise IndexError(f"[kthvalue] k = {k} on axis {dim} of {tuple(x.shape)}; expected 1 to {x.shape[axis]}")
    places = _order(bare(x), axis)[(slice(None),) * axis + (slice(k - 1, k),)]
    return _taken(x, constant(x, places), axis, keepdim)


@public
@placed
def mode(input: Any, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """The most frequent element along an axis (of several the smallest), and a position of it."""
    x = operand(input)
    axis, xp = axis_index("mode", dim, x.shape), module(x)
    order = xp.moveaxis(_order(bare(x), axis), axis, -1)
    ordered = xp.take_along_axis(xp.moveaxis(bare(x), axis, -1), order, -1)
    places = xp.broadcast_to(xp.arange(order.shape[-1]), order.shape)
    fresh = xp.concatenate([xp.ones_like(order[..., :1], dtype=bool), ordered[..., 1:] != ordered[..., :-1]], -1)
    starts = bare(cummax(xp.where(fresh, places, 0), -1).values)
    most = xp.argmax(places - starts, axis=-1)[..., None]  # the first end of a longest run
    return _taken(x, constant(x, xp.moveaxis(xp.take_along_axis(order, most, -1), -1, axis)), axis, keepdim)


@public
@placed
def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements (with `dim` the slices along it) without those that equal the one before; no gradient.

    Returns:
        The elements; with `return_inverse` also which of them each element is, with `return_counts` also how often each
        came. Waits for the device.
    """
    x = operand(input)
    xp, rows = module(x), bare(x).reshape(-1) if dim is None else bare(x)
    axis = 0 if dim is None else axis_index("unique_consecutive", dim, x.shape)
    rows = xp.moveaxis(rows, axis, 0)
    fresh = xp.ones(len(rows), bool)
    fresh[1:] = (rows[1:] != rows[:-1]).reshape(max(len(rows) - 1, 0), -1).any(axis=1)
    starts = xp.nonzero(fresh)[0]
    found = [constant(x, xp.moveaxis(rows[starts], 0, axis))]
    if return_inverse:
        inverse = xp.cumsum(fresh) - 1
        found.append(constant(x, inverse.reshape(x.shape) if dim is None else inverse))
    if return_counts:
        found.append(constant(x, xp.diff(xp.concatenate([starts, xp.full(1, len(rows))]))))
    return found[0] if len(found) == 1 else tuple(found)


@public
@placed
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Any:
    """Whether elements are among others; no gradient."""
    x, others = operand(elements), operand(test_elements)
    like = x if hasattr(x, "_node") else others
    return constant(like, module(like).isin(bare(x), bare(others), invert=invert))


@public
def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """Which of the sorted boundaries each element stands before: the first not below it, or (`right`) above it."""
    places = searchsorted(boundaries, input, side="right" if right else "left")
    return places.astype("int32") if out_int32 else places
