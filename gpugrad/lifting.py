"""Tensors in maps: the nodes that lead into a map, out of it, and from what all examples share to each of them.

Each node's rule is another one of the four, so that all of them have derivatives of every order. Arrays of examples are
in `batching`, the transform is `transforms.batch`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import mutation
from .backend import WrappedArray, is_array
from .batching import USED, Levels, active, device_backend, examples, levels_of, lifted, raised, total, union, whole
from .gradmode import recording
from .nodes import Node, new_tensor


class MapNode(Node):
    """A step between what is outside a map and inside; `forth` and `back` are the step and its inverse on tensors."""

    __slots__ = ("back", "forth", "label")
    back: Callable[[Any], Any]
    forth: Callable[[Any], Any]
    label: str
    single = True
    fresh = False

    @property
    def name(self) -> str:  # type: ignore[override]
        """Which of the four steps it is."""
        return self.label

    def vjp(self, g: Any) -> Any:
        """The cotangent of the parent."""
        return self.back(new_tensor(g, None)).data

    def vjp_graph(self, g: Any) -> Any:
        """The same, recorded."""
        return self.back(g)

    def jvp(self, given: Any, graph: bool) -> Any:
        """The tangent of the result."""
        return self.forth(given[0]) if graph else self.forth(new_tensor(given[0], None)).data


def _step(label: str, x: Any, data: Any, forth: Callable[[Any], Any], back: Callable[[Any], Any]) -> Any:
    """The tensor on `data` as the result of a step from the tensor `x`."""
    parent = x._node
    if parent is None or not recording():
        return new_tensor(data, None)
    node = MapNode()
    node.parents, node.saved, node.forth, node.back, node.label = parent, None, forth, back, label
    node.seq, node.shape, node.dtype, node.scalars = mutation.tick(), data.shape, data.dtype, None
    return new_tensor(data, node)


def enter(x: Any, level: Any, axis: int) -> Any:
    """The tensor `x` as the examples that lie along one of its axes."""
    data = examples(x.data, level, axis)
    return _step("vmap_in", x, data, lambda t: enter(t, level, axis), lambda g: leave(g, level, axis))


def leave(x: Any, level: Any, axis: int) -> Any:
    """The tensor of all examples of `x`, the batch axis at `axis`."""
    x = lift(x, (level,))
    data = whole(x.data, level, axis)
    return _step("vmap_out", x, data, lambda t: leave(t, level, axis), lambda g: enter(g, level, axis))


def lift(x: Any, levels: Levels) -> Any:
    """The tensor `x` as one of the maps `levels` too, the same for every example."""
    known = [b.level for b in levels_of(x.data)]
    missing = tuple(b for b in levels if b.level not in known)
    if not missing:
        return x
    data = raised(x.data, missing)
    return _step("vmap_lift", x, data, lambda t: lift(t, levels), lambda g: add_up(g, missing))


def add_up(x: Any, levels: Levels) -> Any:
    """The sum of the tensor over all examples of the maps `levels`."""
    data = total(x.data, levels)
    return _step("vmap_sum", x, data, lambda t: add_up(t, levels), lambda g: lift(g, levels))


def here(x: Any) -> Any:
    """The tensor or array `x` as one of every map that is running: what is done to it differs among the examples."""
    if not USED:
        return x
    array = x.data if hasattr(x, "_node") else x
    levels = active(device_backend(array))
    return lift(x, levels) if array is not x else raised(array, levels)


def on_one_level(values: Sequence[Any], others: Sequence[Any] = ()) -> Sequence[Any]:
    """Tensors and arrays as members of all the maps that any of them (or of `others`) belongs to.

    What has no example of a map is the same for all its examples; its cotangent is the sum of theirs.

    Returns:
        `values` itself where there is nothing to do.
    """
    arrays = [v.data if hasattr(v, "_node") else v for v in values]
    if not any(isinstance(a, WrappedArray) for a in (*arrays, *others)):
        return values
    levels = union([*arrays, *others])
    numbers = [b.level for b in levels]
    result: list[Any] = []
    changed = False
    for value, array in zip(values, arrays, strict=True):
        if is_array(array) and [b.level for b in levels_of(array)] != numbers:
            if device_backend(array) is not levels[0].root:
                return values
            value = lift(value, levels) if hasattr(value, "_node") else lifted(array, levels)
            changed = True
        result.append(value)
    return result if changed else values
