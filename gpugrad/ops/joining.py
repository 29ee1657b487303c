"""Joining and splitting, flipping, rolling and repeating.

Joining's rule is slicing; a flip and a roll are undone by themselves. What has no primitive here is
composed of `shape` and `index`.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import backend_of, is_array
from ..primitive import FUNCTIONS, Needs, Primitive, public
from ..tensor import Tensor, apply
from .arguments import Axes, apply_one, axis_index, axis_tuple, backend_for_all, bare, operand, shape_tuple, spelled
from .costs import no_flops
from .index import getitem, take
from .shape import atleast_1d, atleast_2d, atleast_3d, broadcast_to, expand_dims, ravel, reshape, swapaxes

# ---- concatenate


def _concatenate_forward(needs: Needs, *arrays: Any, axis: int) -> tuple[Any, tuple[Any, ...]]:
    backend = backend_for_all("concatenate", *arrays)
    sizes = tuple([a.shape[axis] for a in arrays])
    dtype = arrays[0].dtype
    if any(a.dtype != dtype for a in arrays):
        dtype = backend.xp.result_type(*arrays)
    shape = list(arrays[0].shape)
    shape[axis] = sum(sizes)
    out = backend.empty(tuple(shape), dtype)
    backend.join(arrays, axis, out)
    return out, (sizes,)


def _concatenate_rule(g: Any, needs: Needs, sizes: tuple[int, ...], *, axis: int) -> tuple[Any, ...]:
    parts, start = [], 0
    for need, size in zip(needs, sizes, strict=True):
        parts.append(_slice(g, axis, start, start + size) if need else None)
        start += size
    return tuple(parts)


CONCATENATE = Primitive(
    "concatenate", _concatenate_forward, _concatenate_rule, fresh=False, flops=no_flops, linear=True
)


def _slice(x: Any, axis: int, start: int, stop: int) -> Any:
    return x[(slice(None),) * axis + (slice(start, stop),)]


def same_device(name: str, arrays: Any) -> list[Any]:
    """A sequence of operands as arrays and tensors; lists and numbers among them go where the others are."""
    found = [operand(a) for a in arrays]
    if not found:
        raise ValueError(f"[{name}] an empty sequence; expected at least one array")
    if any(is_array(a) or isinstance(a, Tensor) for a in arrays):  # a list beside a GPU array goes to its device
        device = next(backend_of(bare(a)) for a in arrays if is_array(a) or isinstance(a, Tensor))
        placed = [f is a or isinstance(f, Tensor) for f, a in zip(found, arrays, strict=True)]
        found = [f if there else device.from_host(f) for f, there in zip(found, placed, strict=True)]
    return found


@public
@spelled
def concatenate(arrays: Any, axis: int | None = 0) -> Any:
    """Join arrays along an axis that they have. Also `cat`, `concat`.

    Args:
        arrays: a sequence of arrays and tensors whose shapes agree but for `axis`; dtypes are promoted.
        axis: along which; None flattens them first.

    Raises:
        ValueError: the sequence is empty, or two shapes do not fit; names both.
    """
    found = same_device("concatenate", arrays)
    if axis is None:
        found, axis = [ravel(a) for a in found], 0
    first = found[0].shape
    if not first:
        raise ValueError("[concatenate] arrays without axes cannot be joined; use stack")
    i = axis_index("concatenate", axis, first)
    for k, a in enumerate(found):
        if len(a.shape) != len(first) or a.shape[:i] != first[:i] or a.shape[i + 1 :] != first[i + 1 :]:
            raise ValueError(
                f"[concatenate] shapes {tuple(first)} and {tuple(a.shape)} (arrays 0 and {k}) along axis = {axis}; "
                "expected equal lengths on all other axes"
            )
    return apply(CONCATENATE, tuple(found), {"axis": i})


@public
@spelled
def stack(arrays: Any, axis: int = 0) -> Any:
    """Join arrays of one shape along a new axis.

    Raises:
        ValueError: the sequence is empty, or the shapes differ; names both.
    """
    found = same_device("stack", arrays)
    for k, a in enumerate(found):
        if a.shape != found[0].shape:
            raise ValueError(
                f"[stack] shapes {tuple(found[0].shape)} and {tuple(a.shape)} (arrays 0 and {k}); expected one shape"
            )
    i = axis_index("stack", axis, found[0].shape, len(found[0].shape) + 1)
    return concatenate([expand_dims(a, i) for a in found], i)


@public
def hstack(arrays: Any) -> Any:
    """Join along the second axis; vectors along their only one."""
    found = [atleast_1d(a) for a in same_device("hstack", arrays)]
    return concatenate(found, 0 if len(found[0].shape) == 1 else 1)


@public
def vstack(arrays: Any) -> Any:
    """Join along the first axis; vectors are rows."""
    return concatenate([atleast_2d(a) for a in same_device("vstack", arrays)], 0)


@public
def dstack(arrays: Any) -> Any:
    """Join along the third axis."""
    return concatenate([atleast_3d(a) for a in same_device("dstack", arrays)], 2)


@public
def column_stack(arrays: Any) -> Any:
    """Join matrices side by side; vectors are columns."""
    found = same_device("column_stack", arrays)
    return concatenate([a if len(a.shape) > 1 else reshape(a, -1, 1) for a in found], 1)


# ---- split


def _cut(name: str, x: Any, points: Sequence[int], axis: int) -> list[Any]:
    length = x.shape[axis]
    return [_slice(x, axis, a, b) for a, b in zip([0, *points], [*points, length], strict=True)]


@public
@spelled
def split(x: Any, indices_or_sections: Any = None, axis: int = 0, *, split_size_or_sections: Any = None) -> list[Any]:
    """Cut an array along an axis: views, in a list.

    Args:
        x: the array.
        indices_or_sections: as NumPy: an integer is a number of equal parts, a sequence the places of the cuts.
        axis: along which.
        split_size_or_sections: as PyTorch, by name: an integer is the length of each part (the last may be
            shorter), a sequence the lengths.

    Raises:
        ValueError: the axis cannot be cut into equal parts, or the lengths do not add up to it.
    """
    x = operand(x)
    i = axis_index("split", axis, x.shape)
    length = x.shape[i]
    if split_size_or_sections is not None:
        if isinstance(split_size_or_sections, int):
            return _cut("split", x, range(split_size_or_sections, length, split_size_or_sections), i)
        sizes = list(split_size_or_sections)
        if sum(sizes) != length:
            raise ValueError(
                f"[split] lengths {sizes} add up to {sum(sizes)}; axis {axis} of shape {x.shape} has {length}"
            )
        return _cut("split", x, np.cumsum(sizes)[:-1].tolist(), i)
    if isinstance(indices_or_sections, (int, np.integer)) and (indices_or_sections < 1 or length % indices_or_sections):
        raise ValueError(
            f"[split] {indices_or_sections} equal parts of axis {axis} of shape {x.shape}; "
            "expected a divisor of its length, or use array_split"
        )
    return array_split(x, indices_or_sections, i)  # type: ignore[no-any-return]


@public
@spelled
def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """`split` into parts that may differ in length by one. Also `tensor_split`."""
    x = operand(x)
    i = axis_index("array_split", axis, x.shape)
    length = x.shape[i]
    if isinstance(indices_or_sections, (int, np.integer)):
        parts = int(indices_or_sections)
        if parts < 1:
            raise ValueError(f"[array_split] {parts} parts; expected at least 1")
        each, longer = divmod(length, parts)
        points = [k * each + min(k, longer) for k in range(1, parts)]
    else:
        points = [operator.index(p) for p in indices_or_sections]
    return _cut("array_split", x, points, i)


@public
@spelled
def chunk(x: Any, chunks: int, axis: int = 0) -> list[Any]:
    """At most `chunks` parts of one length along an axis, the last maybe shorter (PyTorch)."""
    x = operand(x)
    i = axis_index("chunk", axis, x.shape)
    if chunks < 1:
        raise ValueError(f"[chunk] chunks = {chunks}; expected at least 1")
    each = max(-(-x.shape[i] // chunks), 1)
    return _cut("chunk", x, range(each, x.shape[i], each), i)


@public
@spelled
def unbind(x: Any, axis: int = 0) -> tuple[Any, ...]:
    """The slices along an axis, without it; a tuple. Also `unstack`."""
    x = operand(x)
    i = axis_index("unbind", axis, x.shape)
    return tuple(getitem(x, (slice(None),) * i + (k,)) for k in range(x.shape[i]))


# ---- flip and roll: their own inverses


def _flip_forward(needs: Needs, x: Any, *, axes: Axes) -> tuple[Any, tuple[Any, ...]]:
    return x[tuple([slice(None, None, -1) if i in axes else slice(None) for i in range(x.ndim)])], ()


def _flip_rule(g: Any, needs: Needs, *, axes: Axes) -> tuple[Any, ...]:
    return (flip(g, axes),)


FLIP = Primitive("flip", _flip_forward, _flip_rule, fresh=False, flops=no_flops, linear=True, view=True)


@public
@spelled
def flip(x: Any, axis: Any = None) -> Any:
    """Reverse the order along axes (all, if none is named); a view."""
    x = operand(x)
    axes = axis_tuple("flip", axis, x.shape)
    if not x.shape:
        return x
    return apply_one(FLIP, x, {"axes": tuple(range(len(x.shape))) if axes is None else axes})


@public
def fliplr(x: Any) -> Any:
    """Reverse the second axis."""
    return flip(x, 1)


@public
def flipud(x: Any) -> Any:
    """Reverse the first axis."""
    return flip(x, 0)


def _roll_forward(needs: Needs, x: Any, *, shift: Axes, axis: Axes) -> tuple[Any, tuple[Any, ...]]:
    return backend_of(x).roll(x, shift, axis), ()


def _roll_rule(g: Any, needs: Needs, *, shift: Axes, axis: Axes) -> tuple[Any, ...]:
    return (roll(g, tuple(-s for s in shift), axis),)


ROLL = Primitive("roll", _roll_forward, _roll_rule, flops=no_flops, linear=True)


@public
def roll(x: Any, shift: Any = 0, axis: Any = None, *, shifts: Any = None, dims: Any = None) -> Any:
    """Shift elements along axes; what leaves at one end comes in at the other.

    Args:
        x: the array.
        shift: by how many places: an integer, or one for each axis.
        axis: along which; None rolls the flattened array and restores its shape.
        shifts: `shift` under PyTorch's name.
        dims: `axis` under PyTorch's name.

    Raises:
        ValueError: not as many shifts as axes.
    """
    x = operand(x)
    shift, axis = shift if shifts is None else shifts, axis if dims is None else dims
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), x.shape)
    axes = tuple(axis_index("roll", a, x.shape) for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    by = tuple(shift) if isinstance(shift, (tuple, list)) else (shift,) * len(axes)
    if len(axes) == 1 and len(by) > 1:
        axes *= len(by)
    if len(by) != len(axes):
        raise ValueError(f"[roll] shift = {shift} and axis = {axis}; expected as many of each, or one integer")
    return apply_one(ROLL, x, {"shift": by, "axis": axes})


@public
def rot90(x: Any, k: int = 1, axes: Sequence[int] = (0, 1), *, dims: Any = None) -> Any:
    """Turn by 90 degrees `k` times in the plane of two axes, from the first towards the second."""
    x = operand(x)
    first, second = axis_tuple("rot90", tuple(axes if dims is None else dims), x.shape) or ()
    turns = k % 4
    if turns == 2:
        return flip(x, (first, second))
    if turns == 1:
        return swapaxes(flip(x, second), first, second)
    return flip(swapaxes(x, first, second), second) if turns else flip(x, ())


# ---- repeat and tile


@public
@spelled
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Repeat each element (NumPy's meaning; PyTorch's `repeat` is `tile`). Also `repeat_interleave`.

    Args:
        x: the array.
        repeats: an integer, or one for each element along `axis`.
        axis: along which; None flattens first.
    """
    x = operand(x)
    if axis is None:
        x, axis = ravel(x), 0
    i = axis_index("repeat", axis, x.shape)
    times = bare(repeats)
    if isinstance(times, (int, np.integer)):
        if times < 0:
            raise ValueError(f"[repeat] repeats = {times}; expected 0 or more")
        shape = x.shape
        wide = broadcast_to(expand_dims(x, i + 1), (*shape[: i + 1], int(times), *shape[i + 1 :]))
        return reshape(wide, (*shape[:i], shape[i] * int(times), *shape[i + 1 :]))
    times = np.broadcast_to(backend_of(times).to_host(times) if is_array(times) else np.asarray(times), x.shape[i])
    return take(x, np.repeat(np.arange(x.shape[i]), times), i)


@public
def tile(x: Any, *repetitions: Any, reps: Any = None) -> Any:
    """Lay copies side by side, `reps` times along each axis (one tuple, or one by one), new axes in front."""
    x = operand(x)
    times = shape_tuple("tile", repetitions if reps is None else (reps,))
    ndim = max(len(times), len(x.shape))
    times = (1,) * (ndim - len(times)) + times
    lengths = (1,) * (ndim - len(x.shape)) + tuple(x.shape)
    thin = reshape(x, [n for length in lengths for n in (1, length)])
    wide = broadcast_to(thin, [n for pair in zip(times, lengths, strict=True) for n in pair])
    return reshape(wide, [r * n for r, n in zip(times, lengths, strict=True)])


for _alias, _target in {
    "cat": "concatenate", "concat": "concatenate", "unstack": "unbind", "repeat_interleave": "repeat",
    "tensor_split": "array_split", "row_stack": "vstack",
}.items():  # fmt: skip
    FUNCTIONS[_alias] = FUNCTIONS[_target]
