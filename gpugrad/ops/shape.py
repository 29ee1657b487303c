"""Operations that move elements without computing: reshaping, reordering of axes, broadcasting, flipping, padding.

Each family is closed under differentiation: a reshape's rule is a reshape, a transposition's the inverse one,
broadcasting's is `sum_to`, and back. Joining and splitting are in `joining`, picking elements in `index`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import backend_of
from ..primitive import FUNCTIONS, Needs, Primitive, Shape, public
from ..tensor import Tensor
from .arguments import Axes, apply_one, axis_index, axis_tuple, kept_shape, operand, shape_tuple, spelled
from .costs import no_bytes, no_flops, no_vjp_bytes, no_vjp_flops, per_input, vjp_per_input

SMALL = 16_384  # elements; below, copying costs less than making a broadcast view


# ---- reshape


def _reshape_forward(needs: Needs, x: Any, *, shape: Shape) -> tuple[Any, tuple[Any, ...]]:
    return (x.reshape(shape) if type(x) is np.ndarray else backend_of(x).reshape(x, shape)), (x.shape,)


def _reshape_rule(g: Any, needs: Needs, before: Shape, *, shape: Shape) -> tuple[Any, ...]:
    if type(g) is np.ndarray or isinstance(g, Tensor):
        return (g.reshape(before),)
    return (backend_of(g).reshape(g, before),)


RESHAPE = Primitive(
    "reshape",
    _reshape_forward,
    _reshape_rule,
    fresh=False,
    flops=no_flops,
    vjp_flops=no_vjp_flops,
    bytes=no_bytes,
    vjp_bytes=no_vjp_bytes,
    linear=True,
    view=True,
)


@public
def reshape(x: Any, *shape: Any) -> Any:
    """The same elements in another shape: a view where NumPy makes one.

    Args:
        x: any shape.
        shape: the new lengths, as one tuple or one by one; one of them may be -1, the length that is left.

    Raises:
        ValueError: the shape does not have as many elements as `x`.
    """
    x = operand(x)
    before = x.shape
    after = shape_tuple("reshape", shape)
    size, known = math.prod(before), math.prod(n for n in after if n != -1)
    unknown = after.count(-1)
    if unknown == 1 and known and size % known == 0:
        after = tuple([size // known if n == -1 else n for n in after])
    elif unknown or known != size or (after and min(after) < 0):
        raise ValueError(
            f"[reshape] shape = {after} for an array of shape {before} ({size} elements); "
            "expected lengths whose product is that number, with at most one -1"
        )
    return apply_one(RESHAPE, x, {"shape": after})


@public
def view(x: Any, *shape: Any) -> Any:
    """`reshape` under PyTorch's name."""
    return reshape(x, *shape)


@public
def view_as(x: Any, other: Any) -> Any:
    """`x` in the shape of `other`; also `reshape_as`."""
    return reshape(x, operand(other).shape)


@public
def ravel(x: Any) -> Any:
    """All elements along one axis, in C order."""
    return reshape(x, -1)


@public
def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Join the axes from `start_dim` to `end_dim` (both included) into one.

    Raises:
        ValueError: `end_dim` comes before `start_dim`.
    """
    x = operand(x)
    shape = x.shape
    if not shape:
        return reshape(x, 1)
    first, last = axis_index("flatten", start_dim, shape), axis_index("flatten", end_dim, shape)
    if last < first:
        raise ValueError(f"[flatten] start_dim = {start_dim} comes after end_dim = {end_dim} (shape {shape})")
    return reshape(x, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


@public
def unflatten(x: Any, dim: int, sizes: Sequence[int]) -> Any:
    """Split axis `dim` into axes of lengths `sizes` (one of them may be -1)."""
    x = operand(x)
    i = axis_index("unflatten", dim, x.shape)
    sizes = tuple(sizes)
    known = math.prod(n for n in sizes if n != -1)
    if -1 in sizes and known:
        sizes = tuple(x.shape[i] // known if n == -1 else n for n in sizes)
    return reshape(x, (*x.shape[:i], *sizes, *x.shape[i + 1 :]))


@public
@spelled
def squeeze(x: Any, axis: Any = None) -> Any:
    """Remove axes of length 1.

    Args:
        x: any shape.
        axis: which (an integer or several); all of them if not given.

    Raises:
        ValueError: a named axis has another length.
    """
    x = operand(x)
    shape = x.shape
    axes = axis_tuple("squeeze", axis, shape)
    if axes is None:
        return reshape(x, tuple([n for n in shape if n != 1]))
    wrong = [i for i in axes if shape[i] != 1]
    if wrong:
        raise ValueError(
            f"[squeeze] axis = {axis}: axis {wrong[0]} of shape {shape} has length {shape[wrong[0]]}; expected 1"
        )
    return reshape(x, tuple([n for i, n in enumerate(shape) if i not in axes]))


@public
@spelled
def expand_dims(x: Any, axis: Any) -> Any:
    """Insert axes of length 1 so that they stand at `axis` (an integer or several) of the result."""
    x = operand(x)
    shape = x.shape
    ndim = len(shape) + (len(axis) if isinstance(axis, (tuple, list)) else 1)
    axes = axis_tuple("expand_dims", axis, shape, ndim) or ()
    lengths = iter(shape)
    return reshape(x, tuple([1 if i in axes else next(lengths) for i in range(ndim)]))


@public
@spelled
def unsqueeze(x: Any, axis: int) -> Any:
    """`expand_dims` under PyTorch's name."""
    return expand_dims(x, axis)


def _at_least(x: Any, ndim: int) -> Any:
    x = operand(x)
    shape = x.shape
    if len(shape) >= ndim:
        return x
    if ndim == 3 and len(shape) == 2:  # NumPy puts the new axis of a matrix last, and a vector in the middle
        return reshape(x, (*shape, 1))
    return reshape(x, (1, *shape, 1) if ndim == 3 and len(shape) == 1 else (1,) * (ndim - len(shape)) + shape)


def _each_at_least(arrays: tuple[Any, ...], ndim: int) -> Any:
    return _at_least(arrays[0], ndim) if len(arrays) == 1 else tuple(_at_least(a, ndim) for a in arrays)


@public
def atleast_1d(*arrays: Any) -> Any:
    """The operands with at least one axis; a tuple where there are several."""
    return _each_at_least(arrays, 1)


@public
def atleast_2d(*arrays: Any) -> Any:
    """The operands with at least two axes, new ones in front."""
    return _each_at_least(arrays, 2)


@public
def atleast_3d(*arrays: Any) -> Any:
    """The operands with at least three axes; a matrix gets its new axis at the end, a vector stands in the middle."""
    return _each_at_least(arrays, 3)


# ---- transpose


def _transpose_forward(needs: Needs, x: Any, *, axes: Axes) -> tuple[Any, tuple[Any, ...]]:
    return x.transpose(axes), ()


def _transpose_rule(g: Any, needs: Needs, *, axes: Axes) -> tuple[Any, ...]:
    inverse = [0] * len(axes)
    for i, axis in enumerate(axes):
        inverse[axis] = i
    return (g.transpose(inverse),)


TRANSPOSE = Primitive(
    "transpose",
    _transpose_forward,
    _transpose_rule,
    fresh=False,
    flops=no_flops,
    vjp_flops=no_vjp_flops,
    bytes=no_bytes,
    vjp_bytes=no_vjp_bytes,
    linear=True,
    view=True,
)


@public
@spelled
def transpose(x: Any, axes: Any = None, *more: int, dim0: int | None = None, dim1: int | None = None) -> Any:
    """Reorder the axes; a view.

    Args:
        x: any shape.
        axes: a permutation of the axes, as one tuple or one by one; their reverse if not given, as NumPy. Of other
            than two axes, two integers one by one are PyTorch's: the axes to swap.
        more: the rest of the permutation where it is given one by one.
        dim0: with `dim1`, PyTorch's meaning: the two axes to swap (also `swapaxes`).
        dim1: see `dim0`.

    Raises:
        ValueError: `axes` is no permutation, or `transpose(0, 1)` of a matrix, which NumPy leaves as it is and PyTorch
            swaps.
    """
    x = operand(x)
    shape = x.shape
    if dim0 is not None and dim1 is not None:
        return swapaxes(x, dim0, dim1)
    if axes is None:
        order: Axes = tuple(range(len(shape) - 1, -1, -1))
    else:
        given = axes if isinstance(axes, (tuple, list)) and not more else (axes, *more)
        if len(more) == 1 and len(shape) != 2:
            return swapaxes(x, axes, more[0])
        if len(given) != len(shape):
            raise ValueError(f"[transpose] axes = {tuple(given)} for shape {shape}; expected all {len(shape)} axes")
        order = axis_tuple("transpose", tuple(given), shape) or ()
        if more and order == (0, 1):
            raise ValueError(
                f"[transpose] axes {given[0]}, {given[1]} of a matrix: NumPy leaves it as it is, PyTorch swaps them; "
                "write swapaxes(0, 1) or .T to swap, permute(0, 1) to leave it"
            )
    return apply_one(TRANSPOSE, x, {"axes": order})


@public
def permute(x: Any, *dims: Any) -> Any:
    """The axes in the order `dims`, one tuple or one by one: `transpose` in PyTorch. Also `permute_dims`."""
    return transpose(x, shape_tuple("permute", dims))


@public
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Swap two axes; a view. Also `swapdims`."""
    x = operand(x)
    order = list(range(len(x.shape)))
    i, j = axis_index("swapaxes", axis1, x.shape), axis_index("swapaxes", axis2, x.shape)
    order[i], order[j] = j, i
    return apply_one(TRANSPOSE, x, {"axes": tuple(order)})


@public
def matrix_transpose(x: Any) -> Any:
    """The last two axes swapped.

    Raises:
        ValueError: there are fewer than two axes.
    """
    x = operand(x)
    if len(x.shape) < 2:
        raise ValueError(f"[matrix_transpose] an array of shape {x.shape}; expected two axes or more")
    return swapaxes(x, -1, -2)


@public
def t(x: Any) -> Any:
    """A matrix transposed; fewer axes: itself.

    Raises:
        ValueError: there are more than two axes.
    """
    x = operand(x)
    if len(x.shape) > 2:
        raise ValueError(f"[t] an array of shape {x.shape}; expected at most two axes: use swapaxes or mT")
    return transpose(x)


@public
def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """Move axes from `source` to `destination` (integers, or as many of each), the others keep their order.

    Raises:
        ValueError: not as many of one as of the other.
    """
    x = operand(x)
    sources = axis_tuple("moveaxis", source, x.shape) or ()
    targets = axis_tuple("moveaxis", destination, x.shape) or ()
    if len(sources) != len(targets):
        raise ValueError(f"[moveaxis] source = {source} and destination = {destination}; expected as many of each")
    order = [i for i in range(len(x.shape)) if i not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return apply_one(TRANSPOSE, x, {"axes": tuple(order)})


# ---- broadcast_to and sum_to


def _broadcast_forward(needs: Needs, x: Any, *, shape: Shape) -> tuple[Any, tuple[Any, ...]]:
    return backend_of(x).xp.broadcast_to(x, shape), (x.shape,)


def _broadcast_rule(g: Any, needs: Needs, before: Shape, *, shape: Shape) -> tuple[Any, ...]:
    return (sum_to(g, before),)


BROADCAST_TO = Primitive(
    "broadcast_to",
    _broadcast_forward,
    _broadcast_rule,
    fresh=False,
    flops=no_flops,
    vjp_flops=vjp_per_input(0, 1),
    bytes=no_bytes,
    linear=True,
    view=True,
)


def _sum_to_forward(needs: Needs, x: Any, *, shape: Shape) -> tuple[Any, tuple[Any, ...]]:
    return backend_of(x).sum_to(x, shape), (x.shape,)


def _sum_to_rule(g: Any, needs: Needs, before: Shape, *, shape: Shape) -> tuple[Any, ...]:
    return (spread(g, before, None, True),)


SUM_TO = Primitive(
    "sum_to",
    _sum_to_forward,
    _sum_to_rule,
    fresh=False,
    flops=per_input(1),
    vjp_flops=no_vjp_flops,
    vjp_bytes=no_vjp_bytes,
    linear=True,
)


def spread(g: Any, shape: Shape, axes: Axes | None, keepdims: bool) -> Any:
    """The cotangent `g` of a reduction of `shape` along `axes`, at each element that went into it."""
    if not keepdims:
        g = g.reshape(kept_shape(shape, axes))
    if isinstance(g, Tensor):
        return apply_one(BROADCAST_TO, g, {"shape": shape})
    backend = backend_of(g)
    if backend.reduces or math.prod(shape) > SMALL:  # a copy on a GPU is a launch, and most kernels read steps of 0
        return backend.xp.broadcast_to(g, shape)
    out = backend.empty(shape, g.dtype)
    out[...] = g
    return out


@public
def broadcast_to(x: Any, shape: Any) -> Any:
    """`x` repeated to `shape` by NumPy's broadcasting: a read-only view. Its gradient is summed back (`sum_to`).

    Raises:
        ValueError: `x` does not broadcast to the shape.
    """
    x = operand(x)
    target = shape_tuple("broadcast_to", (shape,) if isinstance(shape, int) else tuple(shape))
    offset = len(target) - len(x.shape)
    if offset < 0 or any(n not in (1, m) for n, m in zip(x.shape, target[offset:], strict=True)):
        raise ValueError(
            f"[broadcast_to] shape = {target} for an array of shape {x.shape}; expected, counted from the back, "
            "the same length on each axis that is not 1"
        )
    return apply_one(BROADCAST_TO, x, {"shape": target})


@public
def expand(x: Any, *shape: Any) -> Any:
    """`broadcast_to` under PyTorch's name: -1 keeps a length."""
    x = operand(x)
    target = shape_tuple("expand", shape)
    offset = len(target) - len(x.shape)
    return broadcast_to(x, [x.shape[i - offset] if n == -1 and i >= offset else n for i, n in enumerate(target)])


@public
def expand_as(x: Any, other: Any) -> Any:
    """`x` broadcast to the shape of `other`."""
    return broadcast_to(x, operand(other).shape)


@public
def broadcast_arrays(*arrays: Any) -> Any:
    """The operands, each broadcast to the shape that they have in common; a tuple. Also `broadcast_tensors`."""
    operands = [operand(a) for a in arrays]
    shape = np.broadcast_shapes(*[a.shape for a in operands])
    return tuple(a if a.shape == shape else broadcast_to(a, shape) for a in operands)


@public
def sum_to(x: Any, shape: Any) -> Any:
    """Sum `x` down to a shape that broadcasts to its own: the inverse of `broadcast_to`.

    Half precision adds up in float32.

    Raises:
        ValueError: `shape` does not broadcast to the shape of `x`.
    """
    x = operand(x)
    target = shape_tuple("sum_to", tuple(shape))
    offset = len(x.shape) - len(target)
    if offset < 0 or any(n not in (1, m) for n, m in zip(target, x.shape[offset:], strict=True)):
        raise ValueError(
            f"[sum_to] shape = {target} for an array of shape {x.shape}; expected a shape that broadcasts to it"
        )
    return apply_one(SUM_TO, x, {"shape": target})


for _alias, _target in {
    "reshape_as": "view_as", "permute_dims": "permute", "swapdims": "swapaxes", "movedim": "moveaxis",
    "broadcast_tensors": "broadcast_arrays",
}.items():  # fmt: skip
    FUNCTIONS[_alias] = FUNCTIONS[_target]
