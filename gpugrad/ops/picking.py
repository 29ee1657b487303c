"""Parts along an axis by PyTorch's names: picked, replaced, or written together; compositions of `index`."""

from __future__ import annotations

from typing import Any

from ..backend import backend_of
from ..backend.placing import placed
from ..primitive import public
from .arguments import axis_index, bare, constant, module, operand
from .elementwise import where
from .index import gather, getitem, index_array, index_put, scatter, scatter_add, take, take_along_axis
from .order import _order


def _slices(name: str, x: Any, dim: int, index: Any) -> tuple[Any, ...]:
    """Positions `index` of axis `dim`, as an index."""
    return (slice(None),) * axis_index(name, dim, x.shape) + (index,)


@public
def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """The `length` elements of axis `dim` from `start` on; a view.

    Raises:
        IndexError: they do not lie within the axis.
    """
    x, start = operand(input), int(start)
    size = x.shape[axis_index("narrow", dim, x.shape)]
    first = start + size if start < 0 else start
    if not 0 <= first <= first + length <= size:
        raise IndexError(f"[narrow] start = {start}, length = {length} on axis {dim} of {tuple(x.shape)}")
    return getitem(x, _slices("narrow", x, dim, slice(first, first + length)))


@public
def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """A copy with the slices of `source` in place of those at positions `index` of axis `dim`."""
    x = operand(input)
    return index_put(x, _slices("index_copy", x, dim, index), source)


@public
def index_select(x: Any, dim: int, index: Any) -> Any:
    """`take` under PyTorch's name and order of arguments."""
    return take(x, index, dim)


@public
@placed
def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """A copy with a number at positions `index` of axis `dim`."""
    x = operand(input)
    value = module(x).full((), value, x.dtype) if isinstance(value, (bool, int, float)) else value
    return index_put(x, _slices("index_fill", x, dim, index), value)


@public
def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Any:
    """Picked along an axis, with one index for each place; of all elements in a row without `dim`."""
    return take_along_axis(input, indices, dim)


@public
@placed
def scatter_reduce(input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Any:
    """What `scatter_add` would add up at a place, put together in another way.

    Args:
        input: what stands there.
        dim: the axis of the places.
        index: one place for each element of `src`, which it is no longer than along any axis.
        src: what comes there.
        reduce: "sum", "mean", "amax" or "amin"; the elements that tie share the gradient of an extreme.
        include_self: whether `input` counts where something comes.

    Raises:
        ValueError: another `reduce`.
    """
    if reduce not in ("sum", "mean", "amax", "amin"):
        raise ValueError(f'[scatter_reduce] reduce = {reduce!r}; expected "sum", "mean", "amax" or "amin"')
    x, src = operand(input), operand(src)
    i = axis_index("scatter_reduce", dim, x.shape)
    index = index_array("scatter_reduce", backend_of(bare(x)), bare(x), index)
    src = getitem(src, tuple(slice(n) for n in index.shape))
    xp = module(x)
    count = scatter_add(xp.zeros(x.shape, x.dtype), i, index, xp.ones(index.shape, x.dtype))
    own = include_self | (count == 0)  # where what stands there counts
    if reduce in ("sum", "mean"):
        total = scatter_add(where(own, x, 0.0), i, index, src)
        return total if reduce == "sum" else total / (count + own)
    largest = reduce == "amax"
    extreme = _extreme(bare(x), bare(src), i, index, own, largest)
    if x.dtype.kind not in "fV":
        return constant(x, extreme)
    here = own & (bare(x) == extreme)
    there = bare(src) == gather(extreme, i, index)
    ties = xp.maximum(scatter_add(here.astype(x.dtype), i, index, there.astype(x.dtype)), 1)
    shared = scatter_add(where(here, x / ties, 0.0), i, index, where(there, src / gather(ties, i, index), 0.0))
    same = bare(shared) == extreme
    rest = xp.where(same, 0, extreme - xp.where(same, 0, bare(shared)))  # what rounding took, or nan
    return shared + constant(x, rest.astype(x.dtype))


def _extreme(x: Any, src: Any, axis: int, index: Any, own: Any, largest: bool) -> Any:
    """The largest (or smallest) of what comes to each place and, where `own`, of what stands there; of bare arrays."""
    xp = module(x)
    order = _order(src, axis, not largest)
    last = scatter(x, axis, xp.take_along_axis(index, order, axis), xp.take_along_axis(src, order, axis))
    both = xp.maximum(x, last) if largest else xp.minimum(x, last)
    return xp.where(own, both, last)
