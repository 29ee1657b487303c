"""Shapes and joins by the array API's signatures."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import joining
from ..ops import shape as _shape
from ..ops.index import take as _take
from ..ops.index import take_along_axis as _take_along_axis


def broadcast_arrays(*arrays: Any) -> list[Any]:
    """The arrays broadcast against each other."""
    return list(_shape.broadcast_arrays(*arrays))


def broadcast_to(x: Any, /, shape: Any) -> Any:
    """`x` broadcast to a shape, as a view."""
    return _shape.broadcast_to(x, shape)


def concat(arrays: Any, /, *, axis: int | None = 0) -> Any:
    """The arrays one after the other along an existing axis; None: flattened first."""
    kinds = {a.dtype for a in arrays}
    if len(kinds) > 1:  # the standard promotes as operators do
        common = np.result_type(*kinds)
        arrays = [a.astype(common) for a in arrays]
    return joining.concatenate(arrays, axis)


def expand_dims(x: Any, /, axis: Any) -> Any:
    """`x` with a new axis of length 1."""
    return _shape.expand_dims(x, axis)


def flip(x: Any, /, *, axis: Any = None) -> Any:
    """`x` in reverse order along the axes (all if None)."""
    return joining.flip(x, axis)


def moveaxis(x: Any, source: Any, destination: Any, /) -> Any:
    """`x` with axes moved, the others in their order."""
    return _shape.moveaxis(x, source, destination)


def permute_dims(x: Any, /, axes: Any) -> Any:
    """`x` with its axes in another order."""
    return _shape.permute(x, axes)


def repeat(x: Any, repeats: Any, /, *, axis: int | None = None) -> Any:
    """Each element `repeats` times; None: of the flattened array."""
    return joining.repeat(x, repeats, axis)


def reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Any:
    """`x` in another shape; `copy` True: always in new memory, False: never, None: where it must be.

    Raises:
        ValueError: the sizes differ, or `copy=False` and the memory cannot be seen in that shape.
    """
    out = _shape.reshape(x, shape)
    if copy:
        return out.clone()
    if copy is False and out.data.size and not np.may_share_memory(out.data, x.data):
        raise ValueError(
            f"[reshape] copy = False, but memory of shape {tuple(x.shape)} cannot be seen as {tuple(out.shape)}; "
            "leave copy out"
        )
    return out


def roll(x: Any, /, shift: Any, *, axis: Any = None) -> Any:
    """The elements shifted along the axes, those that fall off coming in again."""
    return joining.roll(x, shift, axis)


def squeeze(x: Any, /, axis: Any) -> Any:
    """`x` without the axes of length 1 that are named.

    Raises:
        ValueError: one of them is longer.
    """
    for i in axis if isinstance(axis, tuple) else (axis,):
        if -x.ndim <= i < x.ndim and x.shape[i] != 1:
            raise ValueError(f"[squeeze] axis = {i} has length {x.shape[i]} (shape {tuple(x.shape)}); expected 1")
    return _shape.squeeze(x, axis)


def stack(arrays: Any, /, *, axis: int = 0) -> Any:
    """The arrays side by side along a new axis."""
    return joining.stack(list(arrays), axis)


def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
    """Elements by index along an axis; it may be left out where there is one only."""
    return _take(x, indices, axis)


def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Any:
    """Elements by an index for each place along an axis."""
    return _take_along_axis(x, indices, axis)


def tile(x: Any, repetitions: Any, /) -> Any:
    """Copies of `x` side by side."""
    return joining.tile(x, repetitions)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The slices along an axis, without it."""
    return tuple(joining.unbind(x, axis))
