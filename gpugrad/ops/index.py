"""Picking elements and writing them: indexing of every kind that NumPy has, take, gather and their inverses.

Two primitives are each other's rule: `getitem` picks, `scatter` writes into zeros (repeated places add up, in a
deterministic order). `index_put` replaces; the rest is composed of these.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from .. import views
from ..backend import Backend, WrappedArray, backend_of, is_array, is_mapped
from ..backend.along import Along
from ..backend.placing import placed
from ..batching import USED
from ..lifting import on_one_level
from ..parts import Part, Rest
from ..primitive import FUNCTIONS, Needs, Primitive, Shape, public
from ..tensor import Tensor, apply
from .arguments import apply_one, axis_index, backend_for_all, bare, is_half, operand, spelled
from .costs import no_flops, no_vjp_flops
from .shape import broadcast_to, ravel, reshape

_BASIC: Final = (int, slice, type(None), type(Ellipsis), np.integer)


def _prepared(name: str, x: Any, index: Any) -> tuple[Any, tuple[Any, ...], bool]:
    """An index as the array module takes it, the arrays in it, and whether no element can be picked twice."""
    if type(index) in (int, slice):
        return index, (), True
    backend = backend_of(bare(x))
    arrays: list[Any] = []
    unique = True
    parts = []
    for part in index if isinstance(index, tuple) else (index,):
        if not isinstance(part, _BASIC) or type(part) is bool:
            part = index_array(name, backend, bare(x), part)
            arrays.append(part)
            unique = unique and part.dtype == bool
        parts.append(part)
    return (tuple(parts) if isinstance(index, tuple) else parts[0]), tuple(arrays), unique


def index_array(name: str, backend: Backend, x: Any, part: Any) -> Any:
    """One array of an index: integers or truth values, on the device of `x`."""
    part = bare(part)
    if not is_array(part):
        part = np.asarray(part, dtype=np.intp if isinstance(part, (list, tuple)) and not len(part) else None)
    if part.dtype.kind not in "iub":
        raise IndexError(
            f"[{name}] an index of dtype {part.dtype} and shape {part.shape}; expected integers, slices or truth values"
        )
    if not isinstance(part, (backend.xp.ndarray, WrappedArray)):
        if not isinstance(part, np.ndarray):
            backend_for_all(name, x, part)  # raises: an index on a GPU picks from an array that is not
        part = backend.from_host(part)
    return part


def _with(x: Any, arrays: tuple[Any, ...]) -> Any:
    """The operand of an index: where the index differs among the examples of a map, a member of that map."""
    return on_one_level((x,), arrays)[0] if arrays and USED else x


def _misfit(what: str, index: Any, shape: Shape, why: Exception) -> IndexError:
    """The error for an index (of the operation, and with the value, that `what` names) that does not fit."""

    def show(part: Any) -> str:
        return f"{part.dtype}{tuple(part.shape)}" if is_array(part) else repr(part)

    shown = ", ".join(show(p) for p in index) if isinstance(index, tuple) else show(index)
    return IndexError(f"{what} index [{shown}] for an array of shape {tuple(shape)}: {why}")


# ---- getitem and scatter


def _getitem_forward(needs: Needs, x: Any, *, index: Any, arrays: Any, unique: bool) -> tuple[Any, tuple[Any, ...]]:
    if type(index) is Along:
        out = backend_of(x).take_along(x, index)
        if out is not None:
            return out, (x.shape, *arrays)
        index = index.spread()
    try:
        alone = len(arrays) == 1 and (index is arrays[0] or (type(index) is tuple and len(index) == 1))
        out = backend_of(x).take_rows(x, arrays[0]) if alone and arrays[0].dtype != bool else x[index]
    except (IndexError, ValueError, TypeError) as why:
        raise _misfit("[getitem]", index, x.shape, why) from None
    if not isinstance(out, type(x)):  # of an array without elements' axes NumPy makes a scalar: a view all the same
        out = x[(*index, ...) if type(index) is tuple else (index, ...)]
    # The arrays are kept, not only held as static, so that a change of an index after the fact is noticed.
    return out, (x.shape, *arrays)


def _alone(g: Any, arrays: tuple[Any, ...]) -> bool:
    """Whether a cotangent is a plain array, and the index it goes to one of integers and slices."""
    return not arrays and is_array(g) and not is_mapped(g)


def added_up(g: Any, arrays: tuple[Any, ...]) -> bool:
    """Whether the same holds for an index with arrays of integers, and sums of the cotangent need no wider type."""
    return not is_half(g.dtype) and all(_alone(a, ()) for a in (g, *arrays))


def _getitem_rule(
    g: Any, needs: Needs, shape: Shape, *kept: Any, index: Any, arrays: Any, unique: bool
) -> tuple[Any, ...]:
    if _alone(g, arrays):
        return (Part(g, index),)
    if not unique and added_up(g, arrays):
        return (Part(g, index, add_at),)
    return (apply_one(SCATTER, g, {"index": index, "arrays": arrays, "unique": unique, "shape": shape}),)


def _getitem_vjp_flops(
    shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, unique: bool, **static: Any
) -> int:
    return 0 if unique else math.prod(out_shape)  # what was taken twice adds up


def _getitem_bytes(sizes: tuple[int, ...], out_size: int, *, arrays: Any, **static: Any) -> int:
    return 2 * out_size if arrays else 0  # slices and numbers make a view


def _getitem_vjp_bytes(sizes: tuple[int, ...], out_size: int, needs: Needs, *, unique: bool, **static: Any) -> int:
    return sizes[0] + (2 if unique else 3) * out_size  # zeros written, then the cotangent put, or added, in its place


GETITEM = Primitive(
    "getitem",
    _getitem_forward,
    _getitem_rule,
    flops=no_flops,
    vjp_flops=_getitem_vjp_flops,
    bytes=_getitem_bytes,
    vjp_bytes=_getitem_vjp_bytes,
    linear=True,
    view=True,
)


def _scatter_forward(
    needs: Needs, x: Any, *, index: Any, arrays: Any, unique: bool, shape: Shape
) -> tuple[Any, tuple[Any, ...]]:
    backend = backend_of(x)
    if type(index) is Along:
        out = backend.add_along(x, index, shape, unique)
        if out is not None:
            return out, arrays
        index = index.spread()
    if unique:
        out = backend.zeros(shape, x.dtype)
        backend.put(out, index, x)
        return out, arrays
    wide = np.dtype(np.float32) if is_half(x.dtype) else x.dtype
    out = backend.zeros(shape, wide)
    add_at(backend, out, index, x if wide == x.dtype else backend.cast(x, wide))
    return (out if wide == x.dtype else backend.cast(out, x.dtype)), arrays


def add_at(backend: Backend, out: Any, index: Any, source: Any) -> None:
    """`out[index] += source`, repeated places adding up, by rows or by flat positions: what backends do fast."""
    xp = backend.xp
    if type(index) is Along:
        found = backend.add_along(source, index, out.shape, False)
        if found is not None:
            backend.plus(out, found, into=True)
            return
        index = index.spread()
    if type(index) is tuple and len(index) == 1:
        index = index[0]
    if is_array(index) and index.ndim:
        rows = index.reshape(-1).astype(np.intp, copy=False)
        backend.scatter_add(out, rows, backend.reshape(source, (rows.size, *out.shape[1:])))
        return
    numbers = xp.arange(out.size, dtype=np.intp).reshape(out.shape)
    positions = _with(numbers, index if type(index) is tuple else (index,))[index]
    values = xp.broadcast_to(source, positions.shape).reshape(-1)
    backend.scatter_add(out.reshape(-1), positions.reshape(-1), xp.ascontiguousarray(values))


def _scatter_rule(
    g: Any, needs: Needs, *kept: Any, index: Any, arrays: Any, unique: bool, shape: Shape
) -> tuple[Any, ...]:
    return (apply_one(GETITEM, g, {"index": index, "arrays": arrays, "unique": unique}),)


def _scatter_flops(shapes: tuple[Shape, ...], out_shape: Shape, *, unique: bool, **static: Any) -> int:
    return 0 if unique else math.prod(shapes[0])


# A slice of the cotangent may be a view of it.
SCATTER = Primitive(
    "scatter",
    _scatter_forward,
    _scatter_rule,
    fresh=False,
    flops=_scatter_flops,
    vjp_flops=no_vjp_flops,
    linear=True,
)


@public
def getitem(x: Any, index: Any) -> Any:
    """`x[index]`, with all that NumPy allows in an index: integers, slices, None, ..., arrays, masks, and tensors.

    Args:
        x: any shape.
        index: integer arrays may repeat an element: its gradients add up, in a deterministic order.

    Returns:
        A view for an index of integers and slices only, else a copy.

    Raises:
        IndexError: the index does not fit the shape, or is neither integers nor truth values.
    """
    x = operand(x)
    index, arrays, unique = _prepared("getitem", x, index)
    x = _with(x, arrays)
    return apply_one(GETITEM, x, {"index": index, "arrays": arrays, "unique": unique})


def _arrays(index: Any) -> tuple[Any, ...]:
    return (index.indices,) if type(index) is Along else tuple(i for i in index if is_array(i))


def picked(x: Any, index: Any, unique: bool = False) -> Any:
    """`x[index]` where the caller made the index: arrays of positions known to fit, or `Along`."""
    arrays = _arrays(index)
    x = _with(x, arrays)
    return apply_one(GETITEM, x, {"index": index, "arrays": arrays, "unique": unique})


def written(x: Any, index: Any, shape: Shape, unique: bool = False) -> Any:
    """Zeros of `shape` with `x` added at `index`."""
    arrays = _arrays(index)
    x = _with(x, arrays)
    return apply_one(SCATTER, x, {"index": index, "arrays": arrays, "unique": unique, "shape": shape})


# ---- index_put


def _put_forward(
    needs: Needs, x: Any, value: Any, *, index: Any, arrays: Any, unique: bool
) -> tuple[Any, tuple[Any, ...]]:
    backend = backend_for_all("index_put", x, value)
    if views.given_up(x):
        out = x
    else:
        out = backend.empty(x.shape, x.dtype)
        backend.put(out, ..., x)
    try:
        backend.put(out, index, value)
    except (IndexError, ValueError, TypeError) as why:
        raise _misfit(f"[index_put] value of shape {tuple(value.shape)},", index, x.shape, why) from None
    return out, arrays


def _put_rule(g: Any, needs: Needs, *kept: Any, index: Any, arrays: Any, unique: bool) -> tuple[Any, ...]:
    static = {"index": index, "arrays": arrays, "unique": unique}
    gx = gvalue = None
    if _alone(g, arrays):
        if needs[1]:  # a copy where what it is taken of may be written to
            gvalue = apply_one(GETITEM, g, static)
            gvalue = backend_of(g).copy(gvalue) if needs[0] else gvalue
        return (Rest(index) if needs[0] else None), gvalue
    if needs[0]:
        gx = apply(PUT, (g, _zero(g)), static)
    if needs[1]:
        gvalue = apply_one(GETITEM, g, static)
        if not unique:  # of several values written to one place only the last is there, and only it has a gradient
            gvalue = gvalue * _last_writes(bare(g), index)
    return gx, gvalue


def _zero(g: Any) -> Any:
    """A zero without axes, of the cotangent's dtype and on its device."""
    return backend_of(bare(g)).xp.zeros((), g.dtype)


def _last_writes(x: Any, index: Any) -> Any:
    """1 for each value that is still there after `x[index] = values`, 0 for one that was written over."""
    xp = backend_of(x).xp
    order = xp.zeros(x.shape, np.intp)
    count = order[index].size
    each = xp.arange(count).reshape(order[index].shape)
    order[index] = each
    return (order[index] == each).astype(x.dtype)


def _put_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, unique: bool, **static: Any) -> int:
    return 0 if unique or not needs[1] else math.prod(shapes[1])


PUT = Primitive(
    "index_put", _put_forward, _put_rule, fresh=False, flops=no_flops, vjp_flops=_put_vjp_flops, linear=True
)


@public
def index_put(x: Any, index: Any, value: Any) -> Any:
    """A copy of `x` in which `value` stands at `index`: `x[index] = value` without the change in place.

    Args:
        x: any shape.
        index: as in `getitem`. Where it names a place twice, the last value stays, and has the gradient.
        value: number, array or tensor that broadcasts to `x[index]`; it is cast to the dtype of `x`.

    Raises:
        IndexError: the index does not fit the shape, or the value not the index.
    """
    x = operand(x)
    index, arrays, unique = _prepared("index_put", x, index)
    value = backend_of(bare(x)).xp.asarray(value) if not isinstance(value, Tensor) and not is_array(value) else value
    if value.ndim and value.shape[0] == 1:  # NumPy lets axes of length 1 in front of a value pass
        extra = value.ndim - np.ndim(bare(x)[index])
        value = reshape(value, value.shape[extra:]) if extra > 0 else value
    return apply(PUT, (x, value), {"index": index, "arrays": arrays, "unique": unique})


# ---- along an axis


@public
@spelled
def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """Elements, or slices along `axis`, at integer positions that may repeat.

    Args:
        x: any shape.
        indices: integers of any shape; they take the place of the axis.
        axis: along which; None picks from the flattened array. Also `index_select(x, dim, index)`.
    """
    x = operand(x)
    if axis is None:
        return getitem(ravel(x), indices)
    i = axis_index("take", axis, x.shape)
    if not isinstance(indices, (Tensor, np.ndarray, int)) and not is_array(indices):
        indices = np.asarray(indices)
    return getitem(x, (slice(None),) * i + (indices,)) if i else getitem(x, indices)


def _along(name: str, x: Any, indices: Any, axis: int, lengths: Shape) -> Along:
    """The index that picks with `indices` along `axis` and stays in place on the other axes (of `lengths`)."""
    indices = index_array(name, backend_of(bare(x)), bare(x), indices)
    if indices.ndim != len(x.shape) or indices.dtype == bool:
        raise IndexError(
            f"[{name}] "
            f"indices of dtype {indices.dtype} and shape {indices.shape} for an array of shape {tuple(x.shape)}; "
            "expected integers with the same number of axes"
        )
    return Along(indices, axis, lengths, backend_of(indices).xp)


@public
def take_along_axis(x: Any, indices: Any, axis: int | None = -1, *, unique: bool = False) -> Any:
    """Pick along an axis with one index for each place, as `argsort` returns them.

    Args:
        x: any shape.
        indices: integers with as many axes as `x`, broadcast against it on the others.
        axis: along which; None picks from the flattened array.
        unique: promise that no element is picked twice, which makes the gradient faster.
    """
    x = operand(x)
    if axis is None:
        x, axis = ravel(x), 0
    i = axis_index("take_along_axis", axis, x.shape)
    index = _along("take_along_axis", x, indices, i, x.shape)
    try:
        return picked(x, index, unique or index.once())
    except IndexError as why:
        raise IndexError(
            f"[take_along_axis] indices {index.indices.shape} on axis {axis} of {tuple(x.shape)}: {why}"
        ) from None


@public
@placed
def gather(x: Any, dim: int, index: Any) -> Any:
    """`out[i][j][k] = x[index[i][j][k]][j][k]` for `dim` = 0 (PyTorch); `index` may be shorter on the other axes."""
    x = operand(x)
    i = axis_index("gather", dim, x.shape)
    where_to = _along("gather", x, index, i, np.shape(bare(index)))
    return picked(x, where_to, where_to.once())


@public
def put_along_axis(x: Any, indices: Any, values: Any, axis: int = -1) -> Any:
    """A copy of `x` with `values` written where `take_along_axis` would pick."""
    x = operand(x)
    i = axis_index("put_along_axis", axis, x.shape)
    return index_put(x, _along("put_along_axis", x, indices, i, x.shape).spread(), values)


def _source(name: str, src: Any, index: Any, x: Any) -> Any:
    """The part of `src` that stands over `index` (PyTorch lets it be larger)."""
    if not isinstance(src, Tensor) and not is_array(src):
        src = backend_of(bare(x)).xp.asarray(src)
    if not src.shape:
        return broadcast_to(src, index.shape)
    if len(src.shape) != len(index.shape) or any(n < m for n, m in zip(src.shape, index.shape, strict=True)):
        raise IndexError(
            f"[{name}] src of shape {tuple(src.shape)}, index of {tuple(index.shape)}; expected as many axes, "
            "none shorter"
        )
    return src if src.shape == index.shape else getitem(src, tuple(slice(n) for n in index.shape))


@public
@placed
def scatter(x: Any, dim: int, index: Any, src: Any) -> Any:
    """A copy of `x` with `src` (array or number) written where `gather` would pick (PyTorch)."""
    x = operand(x)
    i = axis_index("scatter", dim, x.shape)
    where_to = _along("scatter", x, index, i, np.shape(bare(index)))
    return index_put(x, where_to.spread(), _source("scatter", src, where_to.indices, x))


@public
@placed
def scatter_add(x: Any, dim: int, index: Any, src: Any) -> Any:
    """`x` with `src` added where `gather` would pick (PyTorch); repeated places add up in a deterministic order."""
    x = operand(x)
    i = axis_index("scatter_add", dim, x.shape)
    where_to = _along("scatter_add", x, index, i, np.shape(bare(index)))
    return FUNCTIONS["add"](x, written(_source("scatter_add", src, where_to.indices, x), where_to, x.shape))


@public
def index_add(x: Any, dim: int, index: Any, source: Any, alpha: float = 1) -> Any:
    """`x` with the slices of `source`, times `alpha`, added at positions `index` of axis `dim` (PyTorch)."""
    x, source = operand(x), operand(source)
    i = axis_index("index_add", dim, x.shape)
    index = index_array("index_add", backend_of(bare(x)), bare(x), index)
    expected = (*x.shape[:i], *index.shape, *x.shape[i + 1 :])
    if index.ndim != 1 or source.shape != expected:
        raise IndexError(
            "[index_add] "
            f"source of shape {tuple(source.shape)} with index {index.shape} on axis {dim} of {tuple(x.shape)}; "
            f"expected one index axis and source of shape {expected}"
        )
    added = written(source, (slice(None),) * i + (index,), x.shape)
    return FUNCTIONS["add"](x, added if alpha == 1 else FUNCTIONS["multiply"](added, alpha))
