"""The way back through a recorded function whose results are to be differentiated: a graph of its own.

The recording's tape stays, on memory that each replay writes anew. The walk through it, from cotangents that lie in one
place to the leaves that it leads to, is recorded once; a replay's results lead to a node that launches it.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any

from ..backend import backend_of
from ..backend.capturing import CaptureError, SizesError
from ..nodes import FREED, Alias, GradientError, Leaf, Node
from ..tape import walk
from ..tensor import Tensor, new_tensor
from .calls import copied
from .region import Region, RegionNode, as_node, frontier, recorded_since
from .tree import flatten


def leads_on(leaf: Any) -> bool:
    """Whether an argument, or a result, is computed from something that needs its gradient."""
    return isinstance(leaf, Tensor) and leaf._node is not None and not leaf._node.leaf


def is_open(leaf: Any) -> bool:
    """Whether a result has a graph that nobody has walked yet."""
    return leads_on(leaf) and leaf._node.saved is not FREED


class WayBack(Region):
    """The gradients of a recording's leaves from the cotangents of its results.

    Args:
        name: of the function.
        result: what its recording gave.
        now: the moment before it.
        parameters: tensors that it may read; those that it leads to must not change between a call and its backward.

    Raises:
        CaptureError: what a hook sees on the way, or a result from before the call, no replay would go through.
    """

    fresh = True

    def __init__(self, name: str, result: Any, now: int, parameters: Iterable[Tensor]) -> None:
        self.name = name
        leaves = flatten(result)[0]
        self.numbers = [i for i, leaf in enumerate(leaves) if leads_on(leaf)]
        self.results = [leaves[i] for i in self.numbers]
        self.roots: list[Node] = [t._node for t in self.results]
        self.leaves = frontier(self.roots, (), now)
        for node in recorded_since(self.roots, now):
            watched = type(node) is Alias and node.hook is not None
            if watched or (isinstance(node, RegionNode) and node.region.watches):
                raise CaptureError("a hook watches its gradients, which a replay would not call")
        before = next((node for node in self.leaves if not isinstance(node, Leaf)), None)
        if before is not None:
            raise CaptureError(f"it uses a result of {before.name} from before the call; compute it inside")
        self.parameters = [t.data for t in parameters if t._node in self.leaves]
        self.places: list[Any] = []
        self.recorder: Any = None
        self.lock: Any = None
        self.recording: Any = None
        self._last: weakref.ref[Node] | None = None

    def record(self, first: Any, lock: Any) -> None:
        """Record the way, within `running`, once `first`, the function's recording, was replayed for the first time.

        Replays of both take turns by `lock`.
        """
        self.recorder, self.lock = first.recorder, lock
        self.places = [backend_of(t.data).xp.zeros_like(t.data) for t in self.results]
        targets = set(self.leaves)

        def back() -> list[Any]:
            found = walk(list(zip(self.roots, self.places, strict=True)), targets=targets, retain=True)
            return [None if found.get(leaf) is None else new_tensor(found[leaf], None) for leaf in self.leaves]

        for again in (True, False):
            _, sizes, _ = self.recorder.rehearse(back)
            try:
                self.recording = self.recorder.record(back, sizes, first.capture)
                return
            except SizesError:
                if not again:  # else the rehearsal set something up that is there now
                    raise

    def is_awaited(self) -> bool:
        """Whether the results of the last call may still be differentiated: the next would overwrite what it kept."""
        node = None if self._last is None else self._last()
        return node is not None and node.saved is not FREED

    def leading(self, results: Any) -> Any:
        """Copies of a replay's results, those that gradients flow through as tensors that lead here."""
        leaves, build = flatten(results)
        outputs = as_node(self, (), self.parameters, self.leaves, [leaves[i].data for i in self.numbers])
        for i, out in zip(self.numbers, outputs, strict=True):
            leaves[i] = out
        node: Any = outputs[0]._node
        self._last = weakref.ref(node.parents[0])
        return build(leaves)

    def back(self, node: RegionNode, inputs: list[Any], cotangents: list[Tensor], graph: bool) -> Sequence[Any]:
        """The leaves' gradients, by a replay.

        Raises:
            GradientError: they are to be differentiated further.
        """
        if graph:
            raise GradientError(
                f"[backward] {self.name} is compiled, and its recorded gradients have none of their own (create_graph, "
                "gg.hessian); call the function itself, or compile the step around it"
            )
        with self.lock, self.recorder.running():
            for place, g in zip(self.places, cotangents, strict=True):
                home: Any = backend_of(place)
                home.overwrite(place, g.data)
            self.recording.replay()
        try:
            return copied(self.recording.result)  # type: ignore[no-any-return]
        finally:
            self.recorder.copied()

    def forth(self, node: RegionNode, inputs: list[Any], tangents: Sequence[Any], graph: bool) -> list[Any]:
        """Forward mode has no recording.

        Raises:
            GradientError: always.
        """
        raise GradientError(f"[jvp] {self.name} is compiled; call the function itself")
