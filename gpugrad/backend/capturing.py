"""What backends and optimizers ask while a step is rehearsed, captured in a CUDA graph or about to be replayed.

`current()` is the capture of this thread, None most of the time. Recording and replaying are in `cuda_graphs`, what the
user calls is `transforms.compiling`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

__all__ = ["Capture", "CaptureError", "current", "entered", "refuse"]

_TABLE: Final = 32 << 10  # bytes of numbers that a replay may write first; less than a driver stages without waiting
_UNIT: Final = 16


class CaptureError(RuntimeError):
    """Something that a CUDA graph cannot replay."""


class _State(threading.local):
    capture: Capture | None = None


_state: Final = _State()


def current() -> Capture | None:
    """The capture that this thread is in."""
    return _state.capture


def refuse(what: str) -> None:
    """Where a step is being recorded: raise, because the function `what`.

    Raises:
        CaptureError: it is.
    """
    capture = _state.capture
    if capture is not None and capture.recording:
        raise CaptureError(f"it {what}")


@contextmanager
def entered(capture: Capture) -> Iterator[None]:
    """A block in which `capture` is this thread's."""
    before = _state.capture
    _state.capture = capture
    try:
        yield
    finally:
        _state.capture = before


class Capture:
    """One step in a graph: its numbers in device memory, its tables, and what the host does beside each replay.

    A capture goes through three modes. Rehearsing, everything runs as ever, with numbers and tables where the graph
    would have them. Recording, nothing runs: numbers get their places. Refilling, before each replay, the host's
    part runs again and only writes the numbers anew.

    Attributes:
        recording: whether the device only notes what it is told.
        refilling: whether only the numbers are wanted.
    """

    def __init__(self, backend: Any, stream: Any) -> None:
        self.backend, self.stream = backend, stream
        self.recording = self.refilling = False
        self._constants: list[tuple[Any, Any]] = []
        self._repeats: list[tuple[Callable[[], None], Callable[[], None], Callable[[], bool]]] = []
        self._host = np.zeros(_TABLE, np.uint8)
        self._device = backend.empty((_TABLE,), np.uint8)
        self._used = self._cursor = 0
        self._places: list[tuple[int, int]] = []
        self._draws: tuple[int, Any] | None = None
        self.random_start = list(backend._stream)
        self.drawn = 0

    def constant(self, values: Any) -> Any:
        """A table in device memory that keeps its values for as long as the graph lives."""
        held = self.backend.empty(values.shape, values.dtype)
        self._constants.append((held, np.array(values)))
        if not self.recording:
            held.set(self._constants[-1][1], self.stream)
        return held

    def number(self, values: Any) -> Any:
        """A few numbers in device memory which the host may write anew for each replay, always in the same order.

        Raises:
            CaptureError: there are too many, or other ones than when the step was recorded.
        """
        if self.refilling:
            if self._cursor >= len(self._places) or self._places[self._cursor][1] != values.nbytes:
                raise CaptureError("it updates other parameters than when it was recorded")
            at = self._places[self._cursor][0]
            self._cursor += 1
        else:
            at = self._used
            self._used += -(-values.nbytes // _UNIT) * _UNIT
            if self._used > _TABLE:
                raise CaptureError(f"it has more than {_TABLE} bytes of numbers that change from step to step")
            self._places.append((at, values.nbytes))
        self._host[at : at + values.nbytes] = values.view(np.uint8)
        place = self._device[at : at + values.nbytes].view(values.dtype)
        if not self.recording and not self.refilling:
            place.set(np.array(values), self.stream)
        return place

    def random_state(self, seed: int, offset: int) -> tuple[Any, int]:
        """Where a kernel finds seed and start of the counter-based random numbers, and its own offset from there."""
        if self._draws is None or self._draws[0] != seed:
            if seed != self.random_start[0]:
                return self.constant(np.array([seed & (1 << 64) - 1, 0], np.uint64)), offset
            self._draws = seed, self.constant(np.array([seed, self.random_start[1]], np.uint64))
        return self._draws[1], (offset - self.random_start[1]) & (1 << 64) - 1

    def repeat(self, again: Callable[[], None], undo: Callable[[], None], valid: Callable[[], bool]) -> None:
        """Run `again` on the host before each replay; `undo` takes this run back, `valid` says if the graph holds.

        A graph that does not hold any more is recorded anew.
        """
        if not self.refilling:
            self._repeats.append((again, undo, valid))

    def finish(self) -> None:
        """The recording is over: write the tables, note how many random numbers a step draws."""
        self.recording = False
        for held, values in self._constants:
            held.set(values, self.stream)
        self.drawn = (self.backend._stream[1] - self.random_start[1]) & (1 << 64) - 1

    def undo(self) -> None:
        """Take back what a recording that failed did on the host."""
        for _, undo, _ in reversed(self._repeats):
            undo()
        self.backend._stream[:] = self.random_start

    def valid(self) -> bool:
        """Whether the memory that the graph works on is still that of the parameters."""
        return all(valid() for _, _, valid in self._repeats)

    def first(self) -> None:
        """Before the replay that stands for the recorded run itself: the host's part ran already."""
        self._write()

    def refill(self) -> None:
        """Before each later replay: run the host's part again, write its numbers, move the random numbers on."""
        self.refilling, self._cursor = True, 0
        try:
            with entered(self):
                for again, _, _ in self._repeats:
                    again()
        finally:
            self.refilling = False
        if self._draws is not None:
            seed, start = self.backend._stream
            self._draws[1].set(np.array([seed, start], np.uint64), self.stream)
        self.backend._stream[1] += self.drawn
        self._write()

    def _write(self) -> None:
        if self._used:
            self._device[: self._used].set(self._host[: self._used], self.stream)
