"""`vmap`: a function of one example as a function of many, with JAX's calling conventions.

The function runs once, on arrays that hold all examples and show the shape of one (`batching`); this module takes
arguments apart, puts results together, and has no rule for any operation.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import is_array
from ..batching import BatchArray, BatchBackend, device_backend, examples, levels_of, whole
from ..lifting import enter, leave
from ..tensor import Tensor, new_tensor
from .tree import flatten


def vmap(f: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """The function that maps `f` over examples: it runs once, on all of them.

    Args:
        f: a function of one example. It may use everything: gpugrad's operations and layers, NumPy's functions, other
            transforms (`vmap(grad(loss))` gives per-example gradients), another `vmap`, and values of its surroundings,
            which are the same for every example.
        in_axes: which axis of each argument counts the examples: an integer for all arguments, or a tuple with one
            entry for each, None for an argument that all examples share. An entry may be a structure (dict, list,
            tuple, dataclass) like the argument's, or the upper part of it. Keyword arguments are mapped over axis 0.
        out_axes: where the axis goes in the results, likewise; None for a result that is the same for all examples.

    Returns:
        A function of the same arguments, each mapped one with one axis more. Arrays give arrays, tensors tensors, on
        which gradients flow through the map.

    Raises:
        ValueError: (when called) no argument is mapped, the mapped axes differ in length, an axis does not exist, or
            `in_axes` has another structure than the arguments.
        TypeError: `f` returned something that is no array or number.
        BatchError: (a TypeError) `f` asks for a value that differs from example to example (`if x > 0`, `float(x)`,
            `.item()`: use `gg.where`), has a result whose shape depends on it, or writes it to an array from outside.

    A gradient taken inside is that of each example, with respect to what they share too; a gradient taken through the
    map adds the examples' up. Random numbers drawn inside (`gg.rand`, dropout) differ from example to example, those
    of `numpy.random` do not. Tensors made inside (`gg.zeros`) may be written to in place, and parameters made inside
    may be trained by an optimizer made inside, for each example apart.

    Example:
        >>> import numpy as np
        >>> import gpugrad as gg
        >>> rows = np.array([[1.0, 2.0], [3.0, 4.0]])
        >>> gg.vmap(lambda row, factor: row.sum() * factor, in_axes=(0, None))(rows, 10.0)
        array([30., 70.])
    """

    @functools.wraps(f)
    def inner(*args: Any, **kwargs: Any) -> Any:
        leaves, build = flatten((args, kwargs))
        axes = _in_axes(in_axes, args) + [0] * len(flatten(kwargs)[0])
        leaves = [_operand(x, a, i) for i, (x, a) in enumerate(zip(leaves, axes, strict=True))]
        level = _level(leaves, axes)
        tensors = any(isinstance(x, Tensor) for x in leaves)
        with level:
            given, named = build([_inside(x, a, level) for x, a in zip(leaves, axes, strict=True)])
            result, rebuild = flatten(f(*given, **named))
        places = _axes_for(out_axes, rebuild(list(range(len(result)))), "out_axes")
        return rebuild([_outside(y, a, level, tensors) for y, a in zip(result, places, strict=True)])

    return inner


def _operand(x: Any, axis: Any, number: int) -> Any:
    """A leaf as an array or tensor whose axis exists; leaves that are not mapped stay what they are."""
    if axis is None:
        return x
    if not isinstance(x, Tensor) and not is_array(x):
        x = np.asarray(x)
    axis = operator.index(axis)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(
            f"[vmap] in_axes gives axis {axis} for array {number} of the arguments, of shape {tuple(x.shape)}; "
            + (
                f"expected {-x.ndim} <= axis < {x.ndim}, or None"
                if x.ndim
                else "expected None: a single number has no axis to map over"
            )
        )
    return x


def _level(leaves: list[Any], axes: list[Any]) -> BatchBackend:
    mapped = [(x, a) for x, a in zip(leaves, axes, strict=True) if a is not None]
    if not mapped:
        raise ValueError(
            "[vmap] no argument is mapped: in_axes is None for all arrays, or there is none; expected an axis for one"
        )
    sizes = [x.shape[a] for x, a in mapped]
    if len(set(sizes)) > 1:
        shown = ", ".join(f"{tuple(x.shape)} over axis {a}: {n}" for (x, a), n in zip(mapped, sizes, strict=True))
        raise ValueError(f"[vmap] the mapped axes differ in length ({shown}); expected one number of examples")
    roots = {id(b): b for x, _ in mapped for b in [device_backend(_bare(x))]}
    if len(roots) > 1:
        devices = " and ".join(str(b.device) for b in roots.values())
        raise ValueError(f"[vmap] the mapped arguments live on {devices}; expected one device: move one with .to")
    return BatchBackend(sizes[0], next(iter(roots.values())))


def _bare(x: Any) -> Any:
    return x.data if isinstance(x, Tensor) else x


def _inside(x: Any, axis: Any, level: BatchBackend) -> Any:
    if axis is None:
        return x
    axis = axis % x.ndim
    return enter(x, level, axis) if isinstance(x, Tensor) else examples(x, level, axis)


def _outside(y: Any, axis: Any, level: BatchBackend, tensors: bool) -> Any:
    if not isinstance(y, (Tensor, bool, int, float, complex, np.generic)) and not is_array(y):
        raise TypeError(
            f"[vmap] the function returned {type(y).__name__} {str(y)[:60]!r}; expected arrays, tensors and numbers, "
            "or a structure of them"
        )
    if not isinstance(y, Tensor) and not is_array(y):
        y = level.root.xp.asarray(y)
    if axis is None:
        return _shared(y, level, tensors)
    place = operator.index(axis)
    ndim = y.ndim + 1
    if not -ndim <= place < ndim:
        raise ValueError(
            f"[vmap] out_axes = {axis} for a result of shape {tuple(y.shape)} for each example; expected "
            f"{-ndim} <= axis < {ndim}, or None"
        )
    place %= ndim
    if isinstance(y, Tensor):
        y = leave(y, level, place)
        return y if tensors or y._node is not None else y.data
    y = whole(y, level, place)
    return new_tensor(y, None) if tensors else y


def _shared(y: Any, level: BatchBackend, tensors: bool) -> Any:
    """A result that all examples have in common, as it is."""
    array = _bare(y)
    here = [b for b in levels_of(array) if b.level == level.level]
    if here and not (isinstance(array, BatchArray) and not array.batched):
        raise ValueError(
            f"[vmap] out_axes is None for a result of shape {tuple(y.shape)} that differs from example to example; "
            "expected an axis"
        )
    if here:
        y = new_tensor(array.value, None) if isinstance(y, Tensor) else array.value
    if isinstance(y, Tensor):
        return y if tensors or y._node is not None else y.data
    return new_tensor(y, None) if tensors else y


# ---- structures of axes


def _in_axes(in_axes: Any, args: tuple[Any, ...]) -> list[Any]:
    if in_axes is None or isinstance(in_axes, (int, np.integer)):
        return [in_axes] * len(flatten(args)[0])
    if not isinstance(in_axes, (tuple, list)) or len(in_axes) != len(args):
        raise ValueError(
            f"[vmap] in_axes = {in_axes!r} for {len(args)} positional arguments; expected an integer, None, or a tuple "
            "with one entry for each"
        )
    return [a for axes, arg in zip(in_axes, args, strict=True) for a in _axes_for(axes, arg, "in_axes")]


def _axes_for(axes: Any, tree: Any, who: str) -> list[Any]:
    """The axis of each leaf of `tree`, from a structure of axes that is the tree's or the upper part of it."""
    if axes is None or isinstance(axes, (int, np.integer)):
        return [axes] * len(flatten(tree)[0])
    below, given = _children(tree), _children(axes)
    if below is None or given is None or below.keys() != given.keys():
        raise ValueError(
            f"[vmap] {who} = {axes!r} does not fit {type(tree).__name__}"
            + (f" with {list(below)}" if below is not None else "")
            + "; expected an integer, None, or the same structure of them"
        )
    return [a for key in below for a in _axes_for(given[key], below[key], who)]


def _children(tree: Any) -> dict[Any, Any] | None:
    """What a structure is made of, by key; None for a leaf."""
    if isinstance(tree, dict):
        return tree
    if isinstance(tree, (tuple, list)):
        return dict(enumerate(tree))
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return {f.name: getattr(tree, f.name) for f in dataclasses.fields(tree)}
    return None
