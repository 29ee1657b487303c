"""Streams and events of a GPU under PyTorch's names: CuPy's, which `gpugrad` works on as CuPy's functions do.

Memory that one stream gave back may be taken again for another: let that one wait first (`wait_stream`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from . import backend_for, gpu


class Event:
    """A moment in the work of a stream, to be waited for or measured.

    Args:
        enable_timing: whether `elapsed_time` will be asked.
        blocking: let a thread that waits sleep meanwhile.

    Raises:
        DeviceError: there is no GPU.

    Example:
        >>> import gpugrad as gg
        >>> if gg.cuda.is_available():
        ...     start, end = gg.cuda.Event(enable_timing=True), gg.cuda.Event(enable_timing=True)
        ...     start.record()
        ...     y = gg.ones(1000, 1000, device="cuda") @ gg.ones(1000, 1000, device="cuda")
        ...     end.record()
        ...     end.synchronize()
        ...     print(start.elapsed_time(end), "milliseconds")
    """

    def __init__(self, enable_timing: bool = False, blocking: bool = False) -> None:
        self._cuda: Any = backend_for(gpu(None)).xp.cuda
        self._timed, self._blocking = enable_timing, blocking
        self._event: Any = None  # made where it is first recorded: an event belongs to a GPU

    def record(self, stream: Stream | None = None) -> None:
        """Let the event be now, in the work of a stream (the current one)."""
        if self._event is None:
            self._event = self._cuda.Event(block=self._blocking, disable_timing=not self._timed)
        self._event.record(self._cuda.get_current_stream() if stream is None else stream.own)

    def wait(self, stream: Stream | None = None) -> None:
        """Let a stream (the current one) wait for the event before its further work."""
        if self._event is not None:
            (self._cuda.get_current_stream() if stream is None else stream.own).wait_event(self._event)

    def synchronize(self) -> None:
        """Wait until it has happened."""
        if self._event is not None:
            self._event.synchronize()

    def query(self) -> bool:
        """Whether it has happened; True where it was never recorded."""
        return self._event is None or bool(self._event.done)

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to another; both must have happened.

        Raises:
            RuntimeError: one was not recorded, or not made with `enable_timing=True`.
        """
        if not (self._timed and end_event._timed) or self._event is None or end_event._event is None:
            raise RuntimeError(
                "[elapsed_time] expected two events of enable_timing=True that were recorded, and a synchronize() after"
            )
        return float(self._cuda.get_elapsed_time(self._event, end_event._event))


class Stream:
    """An order of work on a GPU beside the others, which CUDA's default stream does not wait for, nor it for that.

    `with gg.cuda.stream(s):` gives it work.

    Args:
        device: the GPU.
        priority: a lower one comes first.
        own: CuPy's stream, which it is then; made if not given.

    Attributes:
        own: CuPy's stream.

    Raises:
        DeviceError: the GPU is not there.
    """

    def __init__(self, device: Any = None, priority: int = 0, own: Any = None) -> None:
        if own is None:
            target = gpu(device)
            cuda = backend_for(target).xp.cuda
            with cuda.Device(target.index):
                own = cuda.Stream(non_blocking=True, priority=priority)
        self.own = own

    @property
    def cuda_stream(self) -> int:
        """The handle of CUDA's stream."""
        return int(self.own.ptr)

    def wait_stream(self, stream: Stream) -> None:
        """Let further work wait for all that another stream has been given."""
        self.own.wait_event(stream.own.record())

    def wait_event(self, event: Event) -> None:
        """Let further work wait for an event."""
        event.wait(self)

    def record_event(self, event: Event | None = None) -> Event:
        """An event (a new one) that is now in this stream's work."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def synchronize(self) -> None:
        """Wait until all its work is done."""
        self.own.synchronize()

    def query(self) -> bool:
        """Whether all its work is done."""
        return bool(self.own.done)


@contextlib.contextmanager
def stream(stream: Stream | None) -> Iterator[None]:
    """Give the work of a `with` block to a stream; None: to the one that has it now."""
    with contextlib.nullcontext() if stream is None else stream.own:
        yield
