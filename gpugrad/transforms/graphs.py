"""What a compiled function keeps: the kinds of arguments that it has met, and their graphs."""

from __future__ import annotations

from typing import Any, Final

from ..backend.capturing import CaptureError
from ..nodes import Leaf
from .reached import Reach
from .way_back import WayBack

_ABSENT: Final = object()


class Kind:
    """Calls with arguments of one kind: how many there were, where their arrays lie, their graphs."""

    def __init__(self) -> None:
        self.calls = self.replays = self.renewals = self.unused = 0
        self.plain = self.again = False
        self.open = False  # gradients are to flow through what it returned
        self.refused: CaptureError | None = None  # why it cannot be recorded, where a rehearsal showed it
        self.sizes: list[int] = []
        self.inputs: list[Any] = []
        self.held: list[Any] = []
        self.graphs: list[Graph] = []
        self.leaves: dict[Leaf, None] = {}
        self.written: dict[int, str] = {}  # arguments that it changes in place, and by what

    def is_awaited(self) -> bool:
        """Whether gradients may still flow through what a replay returned, which the next one would overwrite."""
        return any(graph.way is not None and graph.way.is_awaited() for graph in self.graphs)


class Graph:
    """A recording, the gradients of leaves (what it asks of them before, where they are after), and what it reads."""

    def __init__(
        self, recording: Any, before: dict[Leaf, Any], touched: dict[Leaf, Any], reach: Reach, way: WayBack | None
    ) -> None:
        self.recording, self.reach, self.way = recording, reach, way
        # A gradient that was added to, or read, must be there again, or be absent again; one that the step made, or
        # set to None, need not.
        met = {**recording.capture.read, **touched}
        self.needs = [(leaf, old) for leaf, old in met.items() if old is before.get(leaf, old)]
        self.grads = [(leaf, leaf.grad) for leaf in {**before, **touched} if leaf.grad is not before.get(leaf, _ABSENT)]

    def fits(self) -> bool:
        """Whether a replay now does what the function would do."""
        for leaf, old in self.needs:
            if leaf.grad is not old and (old is None or leaf.grad is None or leaf.grad.data is not old.data):
                return False
        return self.is_valid()

    def is_valid(self) -> bool:
        """Whether the memory that it works on is that of the parameters still, and of all else that it may read."""
        return bool(self.recording.capture.valid()) and self.reach.holds()
