"""One stream, one private pool of memory, and the CUDA graphs recorded with them.

The pool lives as long as the graphs: memory that a recording gave back must not be handed to other work, because
each replay writes there again. What changes between replays is `capturing`'s business.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from .capturing import Capture, CaptureError, entered

__all__ = ["Recorder", "Recording", "held_bytes"]

_recorders: Final[weakref.WeakSet[Recorder]] = weakref.WeakSet()


def held_bytes(backend: Any) -> int:
    """What the private pools of all recorders on a GPU have taken of its memory."""
    with backend.place():
        return sum(recorder.pool.total_bytes() for recorder in list(_recorders) if recorder.backend is backend)


class Recording:
    """A graph and what belongs to it.

    Attributes:
        capture: its numbers and host work.
        result: what the recorded function returned; its arrays are written by each replay.
    """

    def __init__(self, recorder: Recorder, capture: Capture, graph: Any, result: Any) -> None:
        self.recorder, self.capture, self.graph, self.result = recorder, capture, graph, result
        self._fresh = True

    def replay(self) -> None:
        """Launch the graph on its stream, with this step's numbers."""
        if self._fresh:
            self.capture.first()
        else:
            self.capture.refill()
        self._fresh = False
        self.graph.launch(self.recorder.stream)


class Recorder:
    """Where the steps of one compiled function run on one GPU.

    Args:
        backend: of the GPU.
    """

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        cuda = backend.xp.cuda
        with backend.place():
            # A blocking stream would meet CuPy's default stream, which may not be touched while recording.
            self.stream = cuda.Stream(non_blocking=True)
            self.pool = cuda.MemoryPool()
            if backend.blas is not None:
                with self.stream, cuda.using_allocator(self.pool.malloc):
                    backend.blas.workspace(self.stream.ptr)  # now, so that no recorded run is the one that asks for it
                weakref.finalize(self, backend.blas.release, self.stream.ptr).atexit = False
        self._sizes: list[int] = []
        self._before: list[int] | None = None
        _recorders.add(self)

    @contextmanager
    def running(self) -> Iterator[None]:
        """A block whose work runs on the private stream with private memory, after and before the caller's own."""
        cuda = self.backend.xp.cuda
        with self.backend.place():
            outside = cuda.get_current_stream()
            self.stream.wait_event(outside.record())
            try:
                with self.stream, cuda.using_allocator(self._malloc):
                    yield
            finally:  # what ran before an error must be over for the caller's work too
                if not self.stream.is_capturing():
                    outside.wait_event(self.stream.record())

    def _malloc(self, nbytes: int) -> Any:
        at, before = len(self._sizes), self._before
        if before is not None and (at >= len(before) or before[at] != nbytes):
            was = f"{before[at]} bytes" if at < len(before) else "nothing"
            raise CaptureError(
                f"its shapes change from call to call: it asks for {nbytes} bytes where the call before asked for {was}"
            )
        self._sizes.append(nbytes)
        return self.pool.malloc(nbytes)

    def rehearse(self, function: Callable[[], Any]) -> tuple[Any, list[int]]:
        """Run the function as it is, where and how it would be recorded.

        Returns:
            Its result, and the sizes of memory that it asked for, in order.
        """
        self._before, self._sizes = None, []
        capture = Capture(self.backend, self.stream)
        sizes = self._sizes = []
        with entered(capture):
            return function(), sizes

    def record(self, function: Callable[[], Any], sizes: list[int]) -> Recording:
        """Record the function; nothing of it has run when this returns.

        Args:
            function: what to record.
            sizes: what a rehearsal gave; another sequence means that shapes change from call to call.

        Raises:
            Exception: whatever the function raises; the host's part of it has been taken back.
        """
        self._before, self._sizes = None, []
        capture = Capture(self.backend, self.stream)
        collecting = gc.isenabled()
        gc.disable()  # what the collector frees may call into the driver, which would spoil the recording
        self._before, self._sizes = sizes, []
        try:
            graph, result = self._captured(capture, function)
            if len(self._sizes) != len(self._before):
                raise CaptureError("its shapes change from call to call: it asks for less memory than the call before")
        except BaseException:
            capture.finish()
            capture.undo()
            raise
        finally:
            self._before = None
            if collecting:
                gc.enable()
        capture.finish()
        return Recording(self, capture, graph, result)

    def _captured(self, capture: Capture, function: Callable[[], Any]) -> tuple[Any, Any]:
        self.stream.begin_capture()
        capture.recording = True
        try:
            with entered(capture):
                result = function()
        except BaseException:
            capture.recording = False
            self._abandon()
            raise
        capture.recording = False
        return self.stream.end_capture(), result

    def _abandon(self) -> None:
        """End a recording that failed; the driver may have ended it already, and says so with an error."""
        try:
            self.stream.end_capture()
        except Exception as error:
            if self.stream.is_capturing():
                raise CaptureError(f"the recording cannot be ended ({error})") from error
