"""Putting arrays together and taking them apart by position: insert, delete, append, resize, block, compress.

All of it is joining and picking; the places are computed in main memory, since they do not depend on the values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backend import backend_of, is_array
from ..primitive import FUNCTIONS, public
from ..tensor import Tensor
from .arguments import axis_index, bare, operand, shape_tuple
from .diagonal import diag
from .index import getitem, take
from .joining import concatenate, same_device, split
from .masks import nonzero
from .shape import broadcast_to, moveaxis, ravel, reshape


def _host(x: Any) -> Any:
    """An index in main memory."""
    x = bare(x)
    return backend_of(x).to_host(x) if is_array(x) else x


def _slices(x: Any, places: Any, axis: int) -> Any:
    return take(x, places, axis)


@public
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """`values` behind `arr` along an axis; both flattened if none is named."""
    arr, values = operand(arr), operand(values)
    if axis is None:
        return concatenate([ravel(arr), ravel(values)])
    return concatenate([arr, values], axis)


@public
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """`arr` without the slices at `obj` along an axis, as `numpy.delete`.

    Args:
        arr: any shape.
        obj: an integer, a slice, integers or truth values.
        axis: along which; None flattens first.

    Raises:
        IndexError: a place that there is not.
    """
    arr = operand(arr)
    if axis is None:
        arr, axis = ravel(arr), 0
    i = axis_index("delete", axis, arr.shape)
    return _slices(arr, np.delete(np.arange(arr.shape[i]), _host(obj)), i)


@public
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """`values` before the places `obj` of `arr` along an axis, as `numpy.insert`.

    Args:
        arr: any shape.
        obj: an integer, a slice, integers or truth values; places of `arr` as it was.
        values: broadcast to the slices; cast to the dtype of `arr`.
        axis: along which; None flattens first.

    Raises:
        IndexError: a place that there is not.
        ValueError: the values do not fit.
    """
    arr, values = operand(arr), operand(values)
    if axis is None:
        arr, axis = ravel(arr), 0
    i = axis_index("insert", axis, arr.shape)
    n = arr.shape[i]
    places = _host(obj)
    places = np.arange(*places.indices(n)) if isinstance(places, slice) else np.asarray(places)
    if places.dtype == bool:
        places = np.flatnonzero(places)
    places = places.astype(np.intp)
    if places.ndim > 1:
        raise ValueError(f"[insert] places of shape {places.shape}; expected an integer or a vector of them")
    if places.size and (places.min() < -n or places.max() > n):
        raise IndexError(f"[insert] places from {places.min()} to {places.max()} on axis {i} of {tuple(arr.shape)}")
    if len(values.shape) < len(arr.shape):
        values = reshape(values, (1,) * (len(arr.shape) - len(values.shape)) + tuple(values.shape))
    if not places.ndim:  # one place, and as many slices as there are
        values = moveaxis(values, 0, i)
    count = values.shape[i] if places.size == 1 else places.size
    places = np.broadcast_to(np.where(places < 0, places + n, places), (count,))
    try:
        values = broadcast_to(values, (*arr.shape[:i], count, *arr.shape[i + 1 :]))
    except ValueError as why:
        raise ValueError(f"[insert] values that do not fit: {why}") from None
    values = values if values.dtype == arr.dtype else FUNCTIONS["astype"](values, arr.dtype)
    order = np.insert(np.arange(n), places, n + np.arange(count))
    return _slices(concatenate([arr, values], i), order, i)


@public
def resize(a: Any, new_shape: Any) -> Any:
    """The elements of `a`, repeated as often as it takes, in a new shape; as `numpy.resize`."""
    a = ravel(a)
    shape = shape_tuple("resize", (new_shape,))
    size = math.prod(shape)
    if any(n < 0 for n in shape):
        raise ValueError(f"[resize] new_shape = {shape}; expected lengths of 0 or more")
    if not a.shape[0]:
        return _zeros(a, shape)
    return reshape(getitem(a, np.arange(size) % a.shape[0]), shape)


def _zeros(like: Any, shape: tuple[int, ...]) -> Any:
    array = backend_of(bare(like)).xp.zeros(shape, like.dtype)
    return Tensor(array) if isinstance(like, Tensor) else array


@public
def block(arrays: Any) -> Any:
    """An array of nested lists of blocks, the innermost joined along the last axis, as `numpy.block`.

    Raises:
        ValueError: lists of different depth, an empty one, or blocks that do not fit.
    """
    depth = _depth(arrays)
    parts = same_device("block", list(_leaves(arrays)))
    ndim = max([depth, *[len(p.shape) for p in parts]])
    return _joined(arrays, iter(parts), depth, ndim)


def _depth(arrays: Any) -> int:
    if not isinstance(arrays, list):
        return 0
    depths = {_depth(a) for a in arrays}
    if len(depths) != 1:
        raise ValueError(f"[block] {'an empty list' if not depths else 'lists of different depth'}; expected a grid")
    return 1 + depths.pop()


def _leaves(arrays: Any) -> Any:
    if isinstance(arrays, list):
        for a in arrays:
            yield from _leaves(a)
    else:
        yield arrays


def _joined(arrays: Any, parts: Iterator[Any], depth: int, ndim: int) -> Any:
    """The lists joined, each along its own axis; the innermost is the last."""
    if isinstance(arrays, list):
        return concatenate([_joined(a, parts, depth - 1, ndim) for a in arrays], -depth)
    x = next(parts)
    return reshape(x, (1,) * (ndim - len(x.shape)) + tuple(x.shape))


# ---- picking


@public
def compress(condition: Any, a: Any, axis: int | None = None, out: None = None) -> Any:
    """The slices along an axis where the condition (one truth value for each) holds; flattened if none is named."""
    if out is not None:
        raise TypeError("[compress] out= is not supported; assign the result")
    a = operand(a)
    if axis is None:
        a, axis = ravel(a), 0
    i = axis_index("compress", axis, a.shape)
    places = np.flatnonzero(np.asarray(_host(operand(condition))))
    return _slices(a, places, i)


@public
def extract(condition: Any, arr: Any) -> Any:
    """The elements where the condition holds, along one axis."""
    return compress(ravel(condition), ravel(arr))


@public
def flatnonzero(a: Any) -> Any:
    """The places of the elements that are not 0 in the flattened array. No gradient."""
    return nonzero(ravel(a))[0]


@public
def diagflat(v: Any, k: int = 0) -> Any:
    """The matrix with the flattened `v` on its `k`-th diagonal."""
    return diag(ravel(v), k)


@public
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """Move an axis until it stands before `start`; `moveaxis` says it more clearly."""
    a = operand(a)
    i, to = axis_index("rollaxis", axis, a.shape), axis_index("rollaxis", start, a.shape, len(a.shape) + 1)
    return moveaxis(a, i, to - 1 if i < to else to)


@public
def trim_zeros(filt: Any, trim: str = "fb") -> Any:
    """A vector without the zeros at its front ("f" in `trim`) and back ("b")."""
    filt = operand(filt)
    places = np.flatnonzero(_host(filt))
    first = (places[0] if places.size else filt.shape[0]) if "f" in trim.lower() else 0
    last = (places[-1] + 1 if places.size else first) if "b" in trim.lower() else filt.shape[0]
    return getitem(filt, slice(int(first), int(last)))


# ---- splitting


@public
def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """`split` along the first axis of two or more."""
    ary = operand(ary)
    if len(ary.shape) < 2:
        raise ValueError(f"[vsplit] an array of shape {tuple(ary.shape)}; expected two axes or more")
    return split(ary, indices_or_sections, 0)  # type: ignore[no-any-return]


@public
def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """`split` along the second axis; of a vector along its only one."""
    ary = operand(ary)
    if not ary.shape:
        raise ValueError("[hsplit] a single number; expected an axis or more")
    return split(ary, indices_or_sections, min(len(ary.shape) - 1, 1))  # type: ignore[no-any-return]


@public
def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """`split` along the third axis."""
    ary = operand(ary)
    if len(ary.shape) < 3:
        raise ValueError(f"[dsplit] an array of shape {tuple(ary.shape)}; expected three axes or more")
    return split(ary, indices_or_sections, 2)  # type: ignore[no-any-return]


# ---- grids


@public
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """The coordinates of a grid from the places along each axis, as `numpy.meshgrid`; a tuple.

    Args:
        xi: vectors or numbers.
        copy: False for views that share memory.
        sparse: leave the other axes with length 1.
        indexing: "xy" counts the second axis first, as pictures do; "ij" as matrices.

    Raises:
        ValueError: another `indexing`.
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"[meshgrid] indexing = {indexing!r}; expected 'xy' or 'ij'")
    places = [ravel(x) for x in xi]
    n = len(places)
    axes = [1, 0, *range(2, n)] if indexing == "xy" and n > 1 else list(range(n))
    thin = [reshape(x, [-1 if k == axis else 1 for k in range(n)]) for x, axis in zip(places, axes, strict=True)]
    if not sparse:
        shape = np.broadcast_shapes(*[x.shape for x in thin])
        thin = [broadcast_to(x, shape) for x in thin]
    return tuple(FUNCTIONS["clone"](x) for x in thin) if copy else tuple(thin)
