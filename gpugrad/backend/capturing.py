"""What backends and optimizers ask while a step is rehearsed, captured in a CUDA graph or about to be replayed.

`current()` is the capture of this thread, None most of the time. Recording and replaying are in `cuda_graphs`, what the
user calls is `transforms.compiling`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

__all__ = ["Capture", "CaptureError", "SizesError", "current", "entered", "reads", "refuse"]

_TABLE: Final = 32 << 10  # bytes of numbers that a replay may write first
_UNIT: Final = 16


class CaptureError(RuntimeError):
    """Something that a CUDA graph cannot replay.

    The recording in which it is raised remembers it: a function that goes on after it (`except Exception: pass`) would
    do so in none of the replays.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        capture = _state.capture
        if capture is not None and capture.recording and capture.refused is None:
            capture.refused = self


class SizesError(CaptureError):
    """A recording that asks for other memory than the rehearsal before it."""


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


def reads(leaves: Iterable[Any]) -> None:
    """Tell the capture of this thread that the step reads the gradients of these leaves where they are now."""
    capture = _state.capture
    if capture is not None and not capture.refilling:
        for leaf in leaves:
            if leaf.grad is not None:
                capture.read.setdefault(leaf, leaf.grad)


@contextmanager
def entered(capture: Capture) -> Iterator[None]:
    """A block in which `capture` is this thread's."""
    before = _state.capture
    _state.capture = capture
    try:
        yield
    finally:
        _state.capture = before


class _Part:
    """What a step has on one GPU.

    Attributes:
        backend: of the GPU.
        stream: that the step's work is given to there.
        random_start: seed and offset of the GPU's random numbers when the step began.
        drawn: how many random numbers a step takes.
        draws: the seed of the step's random numbers, and where kernels find it with their start.
    """

    def __init__(self, backend: Any, stream: Any) -> None:
        self.backend, self.stream = backend, stream
        self.random_start = list(backend._stream)
        self.drawn = 0
        self.draws: tuple[int, Any] | None = None
        self.host = np.zeros(_TABLE, np.uint8)
        self.device: Any = None
        self.used = 0
        self._table: tuple[Any, Any] | None = None

    def write(self) -> None:
        """Bring the numbers to the device, once all of them have their places."""
        if self.used:
            if self._table is None:
                with self.backend.place():
                    self._table = self.device[: self.used], self.host[: self.used]
            self.upload(*self._table)

    def upload(self, target: Any, values: Any) -> None:
        """Write to an array of the GPU, before the work that its stream is given next."""
        self.backend.upload(target, values, self.stream)


class Capture:
    """One step in a graph: its numbers in device memory, its tables, and what the host does beside each replay.

    A capture goes through three modes. Rehearsing, everything runs as ever, with numbers and tables where the graph
    would have them. Recording, nothing runs: numbers get their places. Refilling, before each replay, the host's
    part runs again and only writes the numbers anew.

    Args:
        streams: by backend, the streams of the GPUs that the step is known to work on; the first one's is captured.
        allocator: of memory that the graph does not write to: what a recording gives back to the step's own pool is
            handed out again, and written by the graph in each replay before what came later.

    Attributes:
        recording: whether the device only notes what it is told.
        refilling: whether only the numbers are wanted.
        read: gradients that the step reads where they are, by their leaves.
        refused: the first thing in a recording that no replay can do.
    """

    def __init__(self, streams: Mapping[Any, Any], allocator: Any) -> None:
        self.recording = self.refilling = False
        self.read: dict[Any, Any] = {}
        self.refused: CaptureError | None = None
        self._allocator = allocator
        self._parts = {backend.device.index: _Part(backend, stream) for backend, stream in streams.items()}
        self._first = next(iter(self._parts.values()))
        self._constants: list[tuple[_Part, Any, Any]] = []
        self._kept: list[Any] = []
        self._repeats: list[tuple[Callable[[], None], Callable[[], None], Callable[[], bool]]] = []
        self._places: list[tuple[_Part, int, int]] = []
        self._cursor = 0

    def second(self, streams: Mapping[Any, Any], allocator: Any) -> Capture:
        """The capture of what finishes this step in a graph of its own: it draws this one's random numbers again."""
        return _Second(streams, allocator, self)

    @property
    def backends(self) -> list[Any]:
        """Of the GPUs that the step works on, as far as is known."""
        return [part.backend for part in self._parts.values()]

    def works_on(self, backend: Any) -> None:
        """The step works on a GPU.

        Raises:
            CaptureError: it is being recorded, and did not work there before: the graph would not have that work.
        """
        if backend.device.index not in self._parts:
            if self.recording:
                known = " and ".join(str(b.device) for b in self.backends)
                raise CaptureError(f"it works on {backend.device}, and worked on {known} alone in the calls before")
            cuda = backend.xp.cuda
            with cuda.Device(backend.device.index):
                self._parts[backend.device.index] = _Part(backend, cuda.get_current_stream())

    def _here(self) -> _Part:
        """Of the current GPU."""
        if not self._first.backend.many:
            return self._first
        index = int(self._first.backend.xp.cuda.runtime.getDevice())
        if index not in self._parts:
            from . import backend_for
            from .device import Device

            self.works_on(backend_for(Device("cuda", index)))
        return self._parts[index]

    def _lasting(self, part: _Part, shape: tuple[int, ...], dtype: Any) -> Any:
        """Memory that no replay writes to but where it is told."""
        with part.backend.xp.cuda.using_allocator(self._allocator):
            return part.backend.empty(shape, dtype)

    def keep(self, values: Any) -> Any:
        """`values`, which somebody else may forget, for as long as the graph lives, which reads them."""
        self._kept.append(values)
        return values

    def constant(self, values: Any) -> Any:
        """A table in device memory that keeps its values for as long as the graph lives."""
        part = self._here()
        held = self._lasting(part, values.shape, values.dtype)
        values = np.array(values)
        self._constants.append((part, held, values))
        if not self.recording:
            part.upload(held, values)
        return held

    def number(self, values: Any) -> Any:
        """A few numbers in device memory which the host may write anew for each replay, always in the same order.

        Returns:
            Where they are; None before a replay, which knows.

        Raises:
            CaptureError: there are too many, or other ones than when the step was recorded.
        """
        if self.refilling:
            if self._cursor >= len(self._places) or self._places[self._cursor][2] != values.nbytes:
                raise CaptureError("it updates other parameters than when it was recorded")
            part, at, _ = self._places[self._cursor]
            self._cursor += 1
            part.host[at : at + values.nbytes] = values.view(np.uint8)
            return None
        part = self._here()
        at = part.used
        part.used += -(-values.nbytes // _UNIT) * _UNIT
        if part.used > _TABLE:
            raise CaptureError(f"it has more than {_TABLE} bytes of numbers that change from step to step")
        self._places.append((part, at, values.nbytes))
        if part.device is None:
            part.device = self._lasting(part, (_TABLE,), np.uint8)
        part.host[at : at + values.nbytes] = values.view(np.uint8)
        place = part.device[at : at + values.nbytes].view(values.dtype)
        if not self.recording:
            part.upload(place, np.array(values))
        return place

    @property
    def numbers(self) -> int:
        """How many places of numbers there are."""
        return len(self._places)

    def random_state(self, seed: int, offset: int) -> tuple[Any, int]:
        """Where a kernel finds seed and start of the counter-based random numbers, and its own offset from there."""
        part = self._here()
        start = part.random_start
        if part.draws is None or part.draws[0] != seed:
            if seed != start[0]:
                return self.constant(np.array([seed & (1 << 64) - 1, 0], np.uint64)), offset
            part.draws = seed, self.constant(np.array([seed, start[1]], np.uint64))
        return part.draws[1], (offset - start[1]) & (1 << 64) - 1

    def repeat(self, again: Callable[[], None], undo: Callable[[], None], valid: Callable[[], bool]) -> None:
        """Run `again` on the host before each replay; `undo` takes this run back, `valid` says if the graph holds.

        A graph that does not hold any more is recorded anew.
        """
        if not self.refilling:
            self._repeats.append((again, undo, valid))

    def finish(self) -> None:
        """The recording is over: write the tables, note how many random numbers a step draws."""
        self.recording = False
        for part, held, values in self._constants:
            part.upload(held, values)
        for part in self._parts.values():
            part.drawn = (part.backend._stream[1] - part.random_start[1]) & (1 << 64) - 1

    def undo(self) -> None:
        """Take back what a recording that failed did on the host."""
        for _, undo, _ in reversed(self._repeats):
            undo()
        for part in self._parts.values():
            part.backend._stream[:] = part.random_start

    def valid(self) -> bool:
        """Whether the memory that the graph works on is still that of the parameters."""
        return all(valid() for _, _, valid in self._repeats)

    def first(self) -> None:
        """Before the replay that stands for the recorded run itself: the host's part ran already."""
        for part in self._parts.values():
            part.write()

    def refill(self) -> None:
        """Before each later replay: run the host's part again, write its numbers, move the random numbers on."""
        self.refilling, self._cursor = True, 0
        try:
            with entered(self):
                for again, _, _ in self._repeats:
                    again()
        finally:
            self.refilling = False
        for part in self._parts.values():
            if part.draws is not None:
                seed, start = part.backend._stream
                part.upload(part.draws[1], np.array([seed, start], np.uint64))
            part.backend._stream[1] += part.drawn
            part.write()


class _Second(Capture):
    """A capture that draws no random numbers but those of the one before, and has nothing for the host to do."""

    def __init__(self, streams: Mapping[Any, Any], allocator: Any, first: Capture) -> None:
        super().__init__(streams, allocator)
        for index, part in self._parts.items():
            if index in first._parts:
                part.random_start, part.draws = first._parts[index].random_start, first._parts[index].draws

    def number(self, values: Any) -> Any:
        """Refuse: there is no host work that would bring it."""
        raise CaptureError("its gradients depend on a number that changes from call to call")

    def repeat(self, again: Callable[[], None], undo: Callable[[], None], valid: Callable[[], bool]) -> None:
        """Refuse, likewise."""
        raise CaptureError("its gradients depend on what the host does in each call")

    def finish(self) -> None:
        """The recording is over: write the tables."""
        self.recording = False
        for part, held, values in self._constants:
            part.upload(held, values)

    def undo(self) -> None:
        """Nothing: the host did nothing."""

    def first(self) -> None:
        """Nothing, likewise."""

    def refill(self) -> None:
        """Nothing, likewise."""
