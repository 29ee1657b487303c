"""A function call as one node of the tape: what `custom_vjp`, `custom_jvp` and `checkpoint` have in common.

The node keeps the call's arguments and has as many outputs as the call; how cotangents go back through it and tangents
forth is decided by a `Region`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np

from .. import anomaly, mutation
from ..backend import backend_of, is_array
from ..batching import BatchBackend, Levels, device_backend, levels_of, lifted, running, within
from ..gradmode import enable_grad
from ..lifting import add_up
from ..nodes import Leaf, Node, outputs_of
from ..tape import walk
from ..tensor import Tensor, new_tensor
from .push import parents_of
from .record import nested, nesting
from .tree import flatten


def bound(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` in the maps and transforms of now, whichever run when it is called.

    What a derivative runs again must not see the derivative's own maps: the rows of a Jacobian are no examples of it.
    """
    maps, depth = running(), nesting()

    def inner(*args: Any, **kwargs: Any) -> Any:
        with within(maps), nested(depth):
            return function(*args, **kwargs)

    return inner


class Region(ABC):
    """What stands for a call: its name, and its two derivatives on tensors.

    Attributes:
        fresh: whether the cotangents are arrays that nobody else has.
        watches: whether going back does something besides, which a replay would not do.
    """

    name: str
    fresh: bool = False
    watches: bool = False

    @abstractmethod
    def back(self, node: RegionNode, inputs: list[Any], cotangents: list[Tensor], graph: bool) -> Sequence[Any]:
        """The cotangents of the node's parents (None: zero).

        Args:
            node: whose turn it is.
            inputs: the arguments' leaves, tensors that lead where they came from with `graph`, and nowhere without.
            cotangents: of the outputs.
            graph: whether the result is to be differentiated further.
        """

    @abstractmethod
    def forth(self, node: RegionNode, inputs: list[Any], tangents: Sequence[Any], graph: bool) -> list[Any]:
        """The tangents of the outputs (None: zero) from those of the parents (None: zero), all tensors."""


class RegionNode(Node):
    """A call. `saved` is its arguments' leaves, then what the region keeps; `count` is how many leaves there are.

    `maps` are those that each output has examples of, `around` those that ran when it was called.
    """

    __slots__ = ("around", "count", "maps", "region")
    around: tuple[BatchBackend, ...]
    count: int
    maps: tuple[Levels, ...]
    region: Region

    @property
    def fresh(self) -> bool:  # type: ignore[override]
        """Whether its cotangents are arrays that nobody else has."""
        return self.region.fresh

    @property
    def name(self) -> str:  # type: ignore[override]
        """The function's name."""
        return self.region.name

    def inputs(self, tied: bool) -> list[Any]:
        """The arguments' leaves: arrays as tensors that lead to the parents, or (not `tied`) nowhere."""
        kept = self.saved[: self.count]
        return [
            new_tensor(value, parent if tied else None) if is_array(value) else value
            for value, parent in zip(kept, self.parents, strict=False)
        ]

    def vjp(self, g: Any) -> Any:
        """Cotangents of the parents from those of the outputs, a list."""
        return tuple([t.data if isinstance(t, Tensor) else t for t in self._back(g, False)])

    def vjp_graph(self, g: Any) -> Any:
        """The same, recorded."""
        return tuple(self._back(g, True))

    def jvp(self, given: Sequence[Any], graph: bool) -> Any:
        """The tangents of the outputs, a list."""
        tangents = [t if t is None or isinstance(t, Tensor) else new_tensor(t, None) for t in given]
        found = self.region.forth(self, self.inputs(graph), tangents, graph)
        return found if graph else [t if t is None else t.data for t in found]

    def _back(self, g: Any, graph: bool) -> Sequence[Any]:
        """The region's cotangents; those of arguments that examples of the maps around shared are added up."""
        found = self.region.back(self, self.inputs(graph), self._cotangents(g), graph)
        if not self.around:
            return found
        arguments = zip(found, self.saved[: self.count], strict=False)
        own = [t if t is None else _added_up(t, x, self.around) for t, x in arguments]
        return [*own, *found[self.count :]]

    def _cotangents(self, given: list[Any]) -> list[Tensor]:
        """A tensor for each output; where nothing came, zeros of the maps that the output is of, and of no others."""
        like = next(g for g in given if g is not None)
        xp = device_backend(like.data if isinstance(like, Tensor) else like).xp
        return [
            g if isinstance(g, Tensor) else new_tensor(lifted(xp.zeros(shape, dtype), maps) if g is None else g, None)
            for g, shape, dtype, maps in zip(given, self.shape, self.dtype, self.maps, strict=True)
        ]


def _added_up(t: Any, value: Any, around: Sequence[BatchBackend]) -> Tensor:
    """The cotangent of an argument: the sum over its examples of those maps around that the argument is not of."""
    t = t if isinstance(t, Tensor) else new_tensor(t, None)
    own, has = ({level.level for level in levels_of(x)} for x in (value, t.data))
    shared = tuple(level for level in around if level.level in has - own)
    return add_up(t, shared) if shared else t  # type: ignore[no-any-return]


def as_node(
    region: Region, inputs: Sequence[Any], kept: Sequence[Any], frontier: Sequence[Node], outputs: Sequence[Any]
) -> tuple[Tensor, ...]:
    """The outputs of a call as tensors that lead to a node of its own.

    Args:
        region: what it is.
        inputs: the arguments' leaves, tensors and anything else.
        kept: what the region keeps beside them.
        frontier: nodes that the call leads to past its arguments.
        outputs: arrays.
    """
    node = RegionNode()
    node.region, node.count = region, len(inputs)
    node.parents = (*[t._node if isinstance(t, Tensor) else None for t in inputs], *frontier)
    node.saved = (*[t.data if isinstance(t, Tensor) else t for t in inputs], *kept)
    node.seq, node.scalars = mutation.tick(), None
    if anomaly.watching():
        anomaly.note(node)
    node.shape, node.dtype = tuple(o.shape for o in outputs), tuple(o.dtype for o in outputs)
    node.maps, node.around = tuple(levels_of(o) for o in outputs), running()
    return outputs_of(node, outputs)


def arrays_of(result: Any, who: str) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """What a call gave as arrays, and what builds its structure again.

    Raises:
        TypeError: something in it is neither tensor nor array nor number.
    """
    leaves, build = flatten(result)
    arrays = [
        leaf.data if isinstance(leaf, Tensor) else leaf if is_array(leaf) else np.asarray(leaf) for leaf in leaves
    ]
    for leaf, array in zip(leaves, arrays, strict=True):
        if array.dtype.kind not in "fcVbiu":
            raise TypeError(
                f"[{who}] it returned {type(leaf).__name__}; expected tensors, arrays, numbers, or structures of them"
            )
    return arrays, build


def frontier(roots: Sequence[Node], own: Collection[Node], before: int) -> list[Node]:
    """The nodes recorded before a call that it leads to by other ways than its arguments, whose nodes are `own`."""
    found: dict[Node, None] = {}
    stack, seen = list(roots), set(roots)
    while stack:
        node = stack.pop()
        if node in own:
            continue
        if node.seq < before:
            found[node] = None
            continue
        for p in parents_of(node):
            if p is not None and p not in seen:
                seen.add(p)
                stack.append(p)
    return list(found)


def recorded_since(roots: Sequence[Node], now: int) -> Iterator[Node]:
    """The roots, and all nodes recorded after the moment `now` that lead to them."""
    stack, seen = list(roots), set(roots)
    while stack:
        node = stack.pop()
        yield node
        for p in parents_of(node):
            if p is not None and p.seq > now and p not in seen:
                seen.add(p)
                stack.append(p)


def starts(arrays: Sequence[Any]) -> list[Tensor | None]:
    """Zeros of the shapes of `arrays` that something is recorded on; None for arrays of integers."""
    found: list[Tensor | None] = []
    for a in arrays:
        if a.dtype.kind in "fcV":
            found.append(new_tensor(backend_of(a).xp.zeros(a.shape, a.dtype), Leaf(a.shape, a.dtype)))
        else:
            found.append(None)
    return found


def transposed(
    linear: Callable[[list[Any]], Sequence[Any]],
    at: list[Tensor | None],
    given: Sequence[Any],
    graph: bool,
    maps: Sequence[BatchBackend],
) -> list[Any]:
    """A linear function the other way round: what its results' cotangents are for its arguments.

    Args:
        linear: from tensors, the `starts` in `at`, to tensors (None: zero).
        at: where to record it.
        given: the cotangents of its results (None: zero).
        graph: record the result.
        maps: those in which the function is to run; the cotangents may be of others.

    Returns:
        Tensors, one for each start (None: zero).
    """
    with enable_grad(), within(maps), nested(nesting() + 1):
        results = linear(list(at))
    roots = [
        (r._node, g if graph else g.data)
        for r, g in zip(results, given, strict=True)
        if g is not None and isinstance(r, Tensor) and r._node is not None
    ]
    targets: Collection[Node] = {s._node for s in at if s is not None and s._node is not None}
    found = walk(roots, targets=targets, retain=graph, graph=graph) if roots else {}
    return [None if s is None or s._node is None else _tensor(found.get(s._node)) for s in at]


def _tensor(value: Any) -> Any:
    return value if value is None or isinstance(value, Tensor) else new_tensor(value, None)
