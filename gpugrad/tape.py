"""The tape: the one walk over recorded nodes that `backward`, `grad` and `vjp` share.

The walk is iterative, visits nodes in reverse order of recording, and drops what a node kept as soon as its rule has
run. What a node is, is in `nodes`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from . import anomaly, mutation, nodes
from .backend import WrappedArray, backend_of
from .backend.placing import MANY, follow, returning
from .exhausted import exhausted
from .gradmode import set_grad_enabled
from .nodes import FREED, GradientError, Node, OutputNode, new_tensor
from .observing import walk_observer
from .parts import Part, Parts, Rest


def walk(
    roots: Sequence[tuple[Node, Any]],
    *,
    targets: Collection[Node] | None = None,
    retain: bool = False,
    graph: bool = False,
    beyond: bool = True,
) -> dict[Node, Any]:
    """Carry cotangents from `roots` back, each node once, later recordings first.

    Args:
        roots: nodes and their cotangents (arrays; tensors with `graph`).
        targets: the nodes whose cotangents are asked for; only what leads to them is walked. None: add the
            cotangents of all leaves to their `.grad`.
        retain: keep what the nodes hold, so that they can be walked again.
        graph: run the rules on tensors and record them.
        beyond: whether a target may be reached through another one; if not, the walk ends at each of them.

    Returns:
        The cotangent of each target that was reached.

    Raises:
        GradientError: something kept was freed or changed since, or a rule returned what does not fit.
    """
    if MANY:
        with returning():
            return _walk(roots, targets, retain, graph, beyond)
    return _walk(roots, targets, retain, graph, beyond)


def _walk(
    roots: Sequence[tuple[Node, Any]], targets: Collection[Node] | None, retain: bool, graph: bool, beyond: bool
) -> dict[Node, Any]:
    visit = _Walk(targets, retain or graph, graph, beyond)
    if targets is not None:
        visit.active = leading_to([n for n, _ in roots], targets, beyond)
    # An infinite slope (sqrt at 0) is no accident here; whoever hunts one has `detect_anomaly`.
    with set_grad_enabled(graph), np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        try:
            for node, g in roots:
                visit.arrive(node, g, False)
            visit.run() if visit.observer is None else visit.observer.walk(roots, visit.run)
        except MemoryError as error:
            raise exhausted("backward", [], [n for n, _ in roots], error) from error
    return visit.found


class _Walk:
    """The state of one walk: cotangents waiting at their nodes, and the nodes in a heap by time of recording."""

    __slots__ = ("active", "beyond", "found", "graph", "heap", "observer", "owned", "pending", "retain", "targets")

    def __init__(self, targets: Collection[Node] | None, retain: bool, graph: bool, beyond: bool) -> None:
        self.targets, self.retain, self.graph, self.beyond = targets, retain, graph, beyond
        self.active: set[Node] | None = None
        self.pending: dict[Node, Any] = {}
        self.owned: set[Node] = set()
        self.heap: list[tuple[int, Any]] = []
        self.found: dict[Node, Any] = {}
        self.observer = walk_observer.get()

    def arrive(self, node: Node, g: Any, fresh: bool) -> None:
        """A cotangent reaches `node`: the first is borrowed, a second makes a sum, later ones are added in place."""
        if self.active is not None and node not in self.active:
            return
        if MANY:
            follow(g)
        if node.leaf and self.targets is None:
            node.accumulate(g, fresh)  # type: ignore[attr-defined]
            return
        waiting = self.pending.get(node)
        if waiting is None:
            self.pending[node] = g
            heappush(self.heap, (0, _Last(node)) if node.leaf else (-node.seq, node))
        else:
            self.pending[node] = self._sum(node, waiting, g)

    def arrive_part(self, node: Node, part: Part) -> None:
        """The cotangent of a slice of what `node` made; the array of all slices is made when it is the node's turn."""
        if self.active is not None and node not in self.active:
            return
        if MANY:
            follow(part.g)
        waiting = self.pending.get(node)
        if type(waiting) is Parts:
            waiting.add(part)
            return
        backend, total = backend_of(part.g), None
        if type(waiting) is type(part.g):
            total = waiting if node in self.owned else backend.copy(waiting)
        parts = Parts(node.shape, node.dtype, backend, total)
        parts.add(part)
        if waiting is not None and total is None:  # of a map, and this one is not
            self.arrive(node, *parts.array())
            return
        if waiting is None:
            heappush(self.heap, (0, _Last(node)) if node.leaf else (-node.seq, node))
        self.pending[node] = parts

    def _arrive_rest(self, node: Node, parent: Node, g: Any, rest: Rest) -> None:
        """The cotangent of what `node` did not write over: its own, in place where nobody else has it."""
        backend = backend_of(g)
        left = g if node in self.owned and node not in self.found else backend.copy(g)
        backend.put(left, rest.index, 0)
        self.arrive(parent, left, True)
        if self.pending.get(parent) is left:
            self.owned.add(parent)

    def _whole(self, node: Node, parts: Parts) -> Any:
        g, own = parts.array()
        if own:
            self.owned.add(node)
        return g

    def _sum(self, node: Node, waiting: Any, g: Any) -> Any:
        if type(waiting) is Parts:
            waiting = self._whole(node, waiting)
        if type(g) is list:
            return [b if a is None else a if b is None else a + b for a, b in zip(waiting, g, strict=True)]
        if self.graph:
            return waiting + g
        if node.wide is not None and waiting.dtype != g.dtype:
            waiting, g = (a if a.dtype == node.wide else in_dtype(a, node.wide) for a in (waiting, g))
        owned = node in self.owned and type(g) is type(waiting)
        self.owned.add(node)
        if type(waiting) is not np.ndarray and type(g) is type(waiting) and not isinstance(g, WrappedArray):
            return backend_of(g).plus(waiting, g, owned)
        if owned:
            waiting += g
            return waiting
        total = waiting + g
        return total if type(total) is type(waiting) else backend_of(total).xp.asarray(total)

    def run(self) -> None:
        """Walk until nothing waits. Along a chain the cotangent is handed on bare, without the heap."""
        heap, pending, targets, graph, active = self.heap, self.pending, self.targets, self.graph, self.active
        changes, latest, retain = mutation.changes, mutation.latest, self.retain
        watched = anomaly.watching() or self.observer is not None
        while heap:
            entry = heappop(heap)[1]
            node = entry if isinstance(entry, Node) else entry.node
            g = pending.pop(node)
            if type(g) is Parts:
                if node.leaf and targets is None:
                    node.accumulate_parts(g)  # type: ignore[union-attr]
                    continue
                g = self._whole(node, g)
            while True:
                if MANY:
                    follow(g)
                if targets is not None and node in targets:
                    self.found[node] = g
                    if node.leaf or not self.beyond:
                        break
                saved = node.saved
                if saved is not None and (saved is FREED or watched or (changes and latest[0] > node.seq)):
                    check_usable(node)
                if node.single:
                    parent = node.parents
                    g = node.vjp_graph(g) if graph else node.vjp(g)
                    if not retain:
                        node.saved = FREED
                    if MANY:  # the operation may have come from another GPU
                        follow(g)
                    made = g.shape != parent.shape or g.dtype != parent.dtype
                    if made:
                        g = conform(g, parent, node)
                    if watched:
                        self._watch(node, (g,))
                    if (
                        not parent.leaf
                        and (not heap or parent.seq > -heap[0][0])
                        and (active is None or parent in active)
                    ):
                        node = parent
                        continue
                    self.arrive(parent, g, made or node.fresh)
                    if watched:
                        self._watch(node, ())
                    break
                self._branch(node, g, watched)
                break

    def _watch(self, node: Node, gs: tuple[Any, ...]) -> None:
        """Debug mode looks at what a node gave; the observer is told that it was the node's turn."""
        if anomaly.watching():
            anomaly.check_finite(node, gs)
        if self.observer is not None:
            self.observer.passed(node)

    def _branch(self, node: Node, g: Any, watched: bool) -> None:
        if self.active is not None:
            gs = node.vjp_to(g, self.active, self.graph)
        else:
            gs = node.vjp_graph(g) if self.graph else node.vjp(g)
        parents, fresh = node.parents, node.fresh
        if not self.retain:
            node.saved = FREED
        if type(gs) is not tuple or len(gs) != len(parents):
            raise GradientError(
                f"[{node.name}] its rule returned {len(gs) if isinstance(gs, tuple) else type(gs).__name__} "
                f"cotangents for {len(parents)} inputs; expected a tuple with one for each"
            )
        if watched:
            self._watch(node, gs)
        kind = type(g)
        for parent, gi in zip(parents, gs, strict=True):
            if parent is None or gi is None:
                continue
            if type(gi) is list and type(node) is OutputNode:
                self.arrive(parent, gi, False)
                continue
            if type(gi) is Part:
                self.arrive_part(parent, gi)
                continue
            if type(gi) is Rest:
                self._arrive_rest(node, parent, g, gi)
                continue
            if type(gi) is not kind and type(g) is not list:
                gi = _same_kind(gi, g, parent, node)
            if MANY:
                follow(gi)
            if gi.shape != parent.shape or gi.dtype != parent.dtype:
                self.arrive(parent, conform(gi, parent, node), True)
            else:
                self.arrive(parent, gi, fresh)
        if watched:
            self._watch(node, ())


class _Last:
    """Orders a leaf after every recorded node in the heap (all leaves share one moment)."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node

    def __lt__(self, other: object) -> bool:
        return False


def conform(g: Any, parent: Node, node: Node) -> Any:
    """Bring a cotangent to its input's shape and dtype: sum what was broadcast, cast back what was promoted.

    Returns:
        An array of its own where either differs, but for a dtype that the input takes as well.

    Raises:
        GradientError: the shapes have nothing to do with each other; names the operation.
    """
    if g.shape != parent.shape:
        extra = len(g.shape) - len(parent.shape)
        fits = extra >= 0 and all(p in (1, n) for p, n in zip(parent.shape, g.shape[extra:], strict=True))
        if not fits:
            raise GradientError(
                f"[{node.name}] its rule returned a cotangent of shape {tuple(g.shape)} for an input of shape "
                f"{tuple(parent.shape)}; expected that shape, or one that it broadcasts to"
            )
        g = g.sum_to(parent.shape) if hasattr(g, "_node") else backend_of(g).sum_to(g, parent.shape)
    if g.dtype != parent.dtype and (parent.wide is None or g.dtype != parent.wide):
        if g.dtype.kind == "c" and parent.dtype.kind != "c":
            g = g.real
        g = in_dtype(g, parent.dtype)
    return g


def in_dtype(g: Any, dtype: Any) -> Any:
    """A cotangent or tangent, bare or a tensor, in another dtype."""
    plain = hasattr(g, "_node") or type(g) is np.ndarray
    return g.astype(dtype) if plain else backend_of(g).cast(g, dtype)


def _same_kind(gi: Any, g: Any, parent: Node, node: Node) -> Any:
    """A rule may return NumPy scalars for 0-d results, and arrays under create_graph; anything else is its mistake."""
    if hasattr(g, "_node"):
        return gi if hasattr(gi, "_node") else new_tensor(backend_of(g.data).xp.asarray(gi, parent.dtype), None)
    single = hasattr(gi, "shape") and gi.shape == () and not hasattr(gi, "__cuda_array_interface__")
    if single or isinstance(g, WrappedArray):  # or a cotangent that all examples of a map share
        return backend_of(g).xp.asarray(gi)
    if node.name == "to_device":
        return gi
    raise GradientError(
        f"[{node.name}] its rule returned {type(gi).__module__}.{type(gi).__name__} for an input of shape "
        f"{tuple(parent.shape)}; expected {type(g).__module__}.{type(g).__name__}, an array on the same device"
    )


def check_usable(node: Node) -> None:
    """Refuse a node whose kept values are gone or changed."""
    if node.saved is FREED:
        raise GradientError(
            f"[backward] the graph was freed: what {node.name} kept is gone after the first backward pass; "
            "call the first backward with retain_graph=True, or compute the output again"
        )
    what = mutation.stale(node.saved, node.seq)
    if what is not None:
        raise GradientError(
            f"[backward] a value that {node.name} (output of shape {tuple(node.shape)}) saved for its gradient was "
            f"changed in place by {what} afterwards; change a copy (x.clone()), or do it after backward"
        )
    anomaly.check_unchanged(node)


def leading_to(roots: Sequence[Node], targets: Collection[Node], beyond: bool = True) -> set[Node]:
    """The nodes on a way from `roots` to a target, and `beyond` it to others (iterative depth-first search)."""
    leads: dict[Node, bool] = {}
    stack: list[tuple[Node, bool]] = [(r, False) for r in roots]
    while stack:
        node, done = stack.pop()
        above = (node.parents,) if node.single else (node.parents or ())
        if done:
            leads[node] = leads[node] or any(p is not None and leads.get(p, False) for p in above)
        elif node not in leads:
            leads[node] = node in targets
            if leads[node] and not beyond:
                continue
            stack.append((node, True))
            stack.extend((p, False) for p in above if p is not None and p not in leads)
    return {n for n, ok in leads.items() if ok}


nodes._walk[:] = [walk]
