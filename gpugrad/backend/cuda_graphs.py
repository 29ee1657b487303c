"""Streams and memory of a compiled step, and the CUDA graphs recorded with them.

The memory lives as long as the graphs: what a recording gave back must not be handed to other work, because each replay
writes there again. What changes between replays is `capturing`'s business, the memory `cuda_pools`'.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

from .capturing import Capture, CaptureError, SizesError, entered
from .cuda_pools import PrivatePool

__all__ = ["Recorder", "Recording"]

_one_at_a_time: Final = threading.Lock()  # the collector is off meanwhile, in all threads


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
        self.recorder.launch(self.graph)


class Recorder:
    """Where the steps of one compiled function run: on one GPU, or on several that one graph spans.

    The graph is captured on the first GPU's stream. A stream of another GPU is part of the capture from where it waits
    for an event of that stream until that one waits for an event of its own.

    Args:
        backend: of the first GPU.
    """

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self._streams: dict[Any, Any] = {}
        self._pools: dict[int, PrivatePool] = {}
        self._copied: dict[Any, Any] = {}
        self._events: dict[Any, list[Any]] = {}  # of each GPU: before a step, after it, after its results are copied
        self._sizes: list[int] = []
        self._before: list[int] | None = None
        self._outer: Any = None
        self._private = True
        self.meet(backend)

    def meet(self, backend: Any) -> None:
        """Have a stream and memory on a GPU."""
        if backend in self._streams:
            return
        cuda = backend.xp.cuda
        with backend.place():
            # A blocking stream would meet CuPy's default stream, which may not be touched while recording.
            stream, pool = cuda.Stream(non_blocking=True), PrivatePool(backend)
            self._events[backend] = [cuda.Event(disable_timing=True) for _ in range(3)]
            if backend.blas is not None:
                with stream:  # now, so that no recorded run is the one that asks for it
                    backend.blas.scratch.give(stream, pool.malloc)
                weakref.finalize(self, backend.blas.scratch.release, stream.ptr).atexit = False
        self._streams[backend], self._pools[backend.device.index] = stream, pool

    @contextmanager
    def running(self) -> Iterator[None]:
        """A block whose work runs on the private streams with private memory, after and before the caller's own."""
        cuda = self.backend.xp.cuda
        outside = []
        with ExitStack() as inside:
            for backend, stream in reversed(self._streams.items()):  # within, the first GPU is the current one
                inside.enter_context(backend.place())
                theirs = cuda.get_current_stream()
                before, after, _ = self._events[backend]
                stream.wait_event(theirs.record(before))
                if backend in self._copied:  # results were copied on a stream that may be another one
                    stream.wait_event(self._copied[backend])
                outside.append((backend, stream, theirs, after))
                inside.enter_context(stream)
            self._outer = cuda.get_allocator()
            try:
                yield
            finally:  # what ran before an error must be over for the caller's work too
                if not _is_capturing(self._streams[self.backend]):
                    for backend, stream, theirs, after in outside:
                        with backend.place():
                            theirs.wait_event(stream.record(after))

    def copied(self) -> None:
        """Results are being copied on the current streams: the next step must not write there before."""
        for backend in self._streams:
            with backend.place():
                self._copied[backend] = backend.xp.cuda.get_current_stream().record(self._events[backend][2])

    def _malloc(self, nbytes: int) -> Any:
        at, before = len(self._sizes), self._before
        if before is not None and (at >= len(before) or before[at] != nbytes):
            was = f"{before[at]} bytes" if at < len(before) else "nothing"
            raise SizesError(
                f"its shapes change from call to call: it asks for {nbytes} bytes where the call before asked for {was}"
            )
        self._sizes.append(nbytes)
        index = self.backend.device.index
        if self.backend.many:
            index = int(self.backend.xp.cuda.runtime.getDevice())
        if before is not None and not self._is_ours(index):
            raise CaptureError("it works on a stream of its own, and a graph would not have that work")
        pool = self._pools.get(index) if self._private else None
        return self._outer(nbytes) if pool is None else pool.malloc(nbytes)

    def _is_ours(self, index: int) -> bool:
        """Whether work on a GPU, the current one, goes to a stream of the recording."""
        now = self.backend.xp.cuda.get_current_stream().ptr
        return any(b.device.index == index and stream.ptr == now for b, stream in self._streams.items())

    def rehearse(self, function: Callable[[], Any]) -> tuple[Any, list[int], Capture]:
        """Run the function as it is, where and how it would be recorded; within `running`.

        What it leaves behind, such as the state of an optimizer, must not lie where a graph writes. So there is memory
        of the step's own for it only as long as there is no graph; nor where memory is bounded, because what lies idle
        there nobody else could use.

        Returns:
            Its result, the sizes of memory that it asked for, in order, and what it told the capture.
        """
        bounded = any(backend.bound.limit() for backend in self._streams)
        self._private = not bounded and not any(pool.has_graphs for pool in self._pools.values())
        self._before, self._sizes = None, []
        capture = Capture(self._streams, self._outer)
        sizes = self._sizes
        with self.backend.xp.cuda.using_allocator(self._malloc), entered(capture):
            result = function()
        for backend in capture.backends:
            self.meet(backend)
        return result, sizes, capture

    def _make_room(self) -> None:
        """Return what rehearsals left idle in the common pool: only work on the private streams could use it."""
        for backend, stream in self._streams.items():
            with backend.place():
                backend.xp.get_default_memory_pool().free_all_blocks(stream)

    def record(self, function: Callable[[], Any], sizes: list[int], after: Capture | None = None) -> Recording:
        """Record the function, within `running`; nothing of it has run when this returns.

        Args:
            function: what to record.
            sizes: what a rehearsal gave; another sequence means that shapes change from call to call.
            after: of the recording that this one finishes: random numbers of that one come again here.

        Raises:
            Exception: whatever the function raises; the host's part of it has been taken back.
        """
        with _one_at_a_time:
            return self._recorded(function, sizes, after)

    def _recorded(self, function: Callable[[], Any], sizes: list[int], after: Capture | None) -> Recording:
        cuda = self.backend.xp.cuda
        if isinstance(getattr(self._outer, "__self__", None), cuda.MemoryAsyncPool) or self._outer is cuda.malloc_async:
            raise CaptureError(
                "CuPy's allocator is one in the order of streams (cudaMallocAsync), whose memory would become part of "
                "the graph; use cupy.cuda.MemoryPool"
            )
        self._make_room()
        capture = Capture(self._streams, self._outer) if after is None else after.second(self._streams, self._outer)
        recording = None
        collecting = gc.isenabled()
        gc.disable()  # what the collector frees may call into the driver, which would spoil the recording
        self._private, self._before, self._sizes = True, sizes, []
        for pool in self._pools.values():
            pool.begin()
        try:
            with self.backend.xp.cuda.using_allocator(self._malloc):
                graph, result = self._captured(capture, function)
            if len(self._sizes) != len(self._before):
                raise SizesError("its shapes change from call to call: it asks for less memory than the call before")
            recording = Recording(self, capture, graph, result)
        except BaseException:
            capture.undo()
            raise
        finally:
            self._before = None
            if collecting:
                gc.enable()
            for pool in self._pools.values():
                pool.end(recording)
        capture.finish()
        return recording

    def _captured(self, capture: Capture, function: Callable[[], Any]) -> tuple[Any, Any]:
        first = self._streams[self.backend]
        first.begin_capture()
        capture.recording = True
        try:
            self._fork()
            with entered(capture):
                result = function()
            if capture.refused is not None:  # and nobody was told
                raise capture.refused
            self._join()
        except BaseException:
            capture.recording = False
            self._abandon()
            raise
        capture.recording = False
        return first.end_capture(), result

    def _abandon(self) -> None:
        """End a recording that failed; the driver may have ended it already, and says so with an error."""
        first = self._streams[self.backend]
        with suppress(Exception):  # one that is spoiled takes no more events, but has to be ended all the same
            self._join()
        try:
            first.end_capture()
        except Exception as error:
            if _is_capturing(first):
                raise CaptureError(f"the recording cannot be ended ({error})") from error

    def launch(self, graph: Any) -> None:
        """Launch a graph, within `running`, after what the streams of all its GPUs were asked for, and before the rest.

        A launch waits for the stream that it is given to and for no other.
        """
        self._join()
        graph.launch(self._streams[self.backend])
        self._fork()

    def _fork(self) -> None:
        """The streams of the other GPUs go on after the first one's work so far."""
        cuda = self.backend.xp.cuda
        first, *others = self._streams.items()
        if others:
            with self.backend.place():
                event = _mark(cuda, first[1])
            for _, stream in others:
                stream.wait_event(event)

    def _join(self) -> None:
        """The first GPU's stream goes on after the others' work so far."""
        cuda = self.backend.xp.cuda
        first, *others = self._streams.items()
        for backend, stream in others:
            with backend.place():
                event = _mark(cuda, stream)
            first[1].wait_event(event)


def _is_capturing(stream: Any) -> bool:
    """Whether a stream is being captured still; CuPy raises where the recording is spoiled and not ended."""
    try:
        return bool(stream.is_capturing())
    except RuntimeError:
        return True


def _mark(cuda: Any, stream: Any) -> Any:
    """An event after what a stream of the current GPU was asked for."""
    return stream.record(cuda.Event(disable_timing=True))
