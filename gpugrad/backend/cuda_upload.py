"""Host arrays on their way to a GPU while it computes: pinned buffers, a copy stream, and events between them.

A copy is asynchronous only from pinned memory, so rows are gathered into a few pinned buffers that take turns. Which
rows, and how many batches ahead, is for the loader to say (`train.data`).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from . import capturing
from .base import Array

_ALIGNED: Final = 256  # bytes, of each array within a pinned buffer
_PIECES: Final = 32  # copies of small values that may be under way before the host waits


class _Buffer:
    """Pinned memory, and the event after the last copy from it."""

    def __init__(self) -> None:
        self.memory: Any = None
        self.copied: Any = None

    def wait(self) -> None:
        """Until the last copy from here is over: a copy under way would read what is written next."""
        if self.copied is not None:
            self.copied.synchronize()
            self.copied = None


class Staging:
    """Small values that go to one GPU in the order of a stream, and may be changed at once.

    A copy from memory that is not pinned mostly goes through memory of the driver's own; but nothing says that it
    always does, nor that the driver does not wait for the stream.

    Args:
        backend: of the GPU.
    """

    def __init__(self, backend: Any) -> None:
        self._cuda = backend.xp.cuda
        self._pieces: deque[tuple[Any, Any]] = deque()  # pinned memory and the event after its copy, the oldest first
        self._lock = threading.Lock()

    def send(self, target: Array, values: Any, stream: Any) -> None:
        """Write `values` to `target`, of their shape and dtype, by a stream of the current GPU."""
        with self._lock:
            memory, copied = self._piece(values.nbytes)
            staged = np.ndarray(values.shape, values.dtype, memory)
            staged[...] = values
            target.set(staged, stream)
            stream.record(copied)
            self._pieces.append((memory, copied))

    def _piece(self, nbytes: int) -> tuple[Any, Any]:
        """One that no copy reads; until it is among the pieces again it is the caller's."""
        if self._pieces:
            memory, copied = self._pieces[0]
            done = copied.done
            if done or len(self._pieces) >= _PIECES:
                if not done:
                    copied.synchronize()
                self._pieces.popleft()
                if len(memory) >= nbytes:
                    return memory, copied
        size = max(4096, 1 << (nbytes - 1).bit_length())
        memory = np.frombuffer(self._cuda.alloc_pinned_memory(size), np.uint8, size)
        return memory, self._cuda.Event(disable_timing=True)


class Uploads:
    """Copies of rows to one GPU that run beside its other work.

    Args:
        backend: of the GPU.
        ahead: how many batches are under way at most.
    """

    def __init__(self, backend: Any, ahead: int) -> None:
        self.backend = backend
        self._cuda = backend.xp.cuda
        with backend.place():
            self._stream = self._cuda.Stream(non_blocking=True)
        # One more than are under way: while a batch is taken, the next one is gathered.
        self._buffers = [_Buffer() for _ in range(ahead + 1)]
        self._sent = 0

    def send(self, sources: Sequence[Any], rows: Any) -> tuple[list[Array], Any]:
        """Start to copy rows of NumPy arrays.

        Args:
            sources: (n, ...) each.
            rows: a slice, or integers in [0, n).

        Returns:
            The arrays on the GPU, not to be touched before `receive`, and the event after their copies.
        """
        capturing.refuse("copies data of the host to the device, which a replay would not copy again")
        buffer = self._buffers[self._sent % len(self._buffers)]
        self._sent += 1
        buffer.wait()
        count = len(range(*rows.indices(len(sources[0])))) if isinstance(rows, slice) else len(rows)
        with self.backend.place():
            staged = self._staged(buffer, [((count, *s.shape[1:]), s.dtype) for s in sources])
            for source, target in zip(sources, staged, strict=True):
                if isinstance(rows, slice):
                    target[...] = source[rows]
                else:
                    source.take(rows, 0, out=target, mode="clip")  # any other mode gathers elsewhere first
            arrays = [self.backend.empty(t.shape, t.dtype) for t in staged]
            # The memory may have been freed with kernels on it still to run; those asked for so far come first.
            self._stream.wait_event(self._mark(self._cuda.get_current_stream()))
            for array, target in zip(arrays, staged, strict=True):
                array.set(target, self._stream)
            buffer.copied = self._mark(self._stream)
        return arrays, buffer.copied

    def receive(self, sent: tuple[list[Array], Any]) -> list[Array]:
        """The arrays of `send` for work on the current stream, which waits for them; the host does not."""
        arrays, copied = sent
        with self.backend.place():
            self._cuda.get_current_stream().wait_event(copied)
        return arrays

    def close(self) -> None:
        """Wait for the copies that are under way: neither end of one may be given to others before."""
        for buffer in self._buffers:
            buffer.wait()
            buffer.memory = None

    def _mark(self, stream: Any) -> Any:
        return stream.record(self._cuda.Event(disable_timing=True))

    def _staged(self, buffer: _Buffer, kinds: Sequence[tuple[tuple[int, ...], Any]]) -> list[Any]:
        """Arrays of these shapes and dtypes in pinned memory."""
        sizes = [int(np.prod(shape)) * dtype.itemsize for shape, dtype in kinds]
        starts = np.concatenate([[0], np.cumsum([-(-size // _ALIGNED) * _ALIGNED for size in sizes])])
        if buffer.memory is None or len(buffer.memory) < starts[-1]:
            held = self._cuda.alloc_pinned_memory(max(1, int(starts[-1])))
            buffer.memory = np.frombuffer(held, np.uint8, max(1, int(starts[-1])))
        return [
            buffer.memory[start : start + size].view(dtype).reshape(shape)
            for start, size, (shape, dtype) in zip(starts, sizes, kinds, strict=False)
        ]
