"""Who is told of the walks of a thread: the profiler's clock, and the ledger of the tape's memory.

Only the contract and the place where an observer stands live here; the tape reads it once a walk, so that nothing is
paid where nobody watches. The observers are in `cost`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Final, Protocol


class WalkObserver(Protocol):
    """What the tape tells about a walk."""

    def walk(self, roots: Sequence[tuple[Any, Any]], run: Callable[[], None]) -> None:
        """Call `run`, which walks from the nodes of `roots`."""

    def passed(self, node: Any) -> None:
        """All since the last call belongs to `node`: its rule, and handing on what it gave (maybe in two parts)."""


walk_observer: Final[ContextVar[WalkObserver | None]] = ContextVar("gpugrad_walk_observer", default=None)
