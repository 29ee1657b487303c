"""Recycled buffers for large results on the CPU.

A large fresh array costs more in page faults than the arithmetic that fills it. The pool keeps the
buffers of large results and hands one out again when nobody can see it any more: no array, view, memoryview or
DLPack capsule refers to it. Small arrays are left to NumPy, whose allocator is faster there.
"""

from __future__ import annotations

import math
import sys
import threading
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Where the C library begins to give memory back to the system: without the pool the gradient of a 784 x 128 layer,
# freed and made anew in each step, may cost 68 page faults.
THRESHOLD: Final = 1 << 17
_LINE: Final = 64  # bytes of a cache line
_PAGE: Final = 4096  # bytes, over which the arrays' beginnings are spread


@dataclass(frozen=True)
class PoolStats:
    """What a pool holds and has done; sizes in bytes."""

    held_bytes: int
    in_use_bytes: int
    limit_bytes: int
    threshold_bytes: int
    hits: int
    misses: int


def _references_when_idle() -> int:
    """How many references `sys.getrefcount` counts on a buffer that only the pool's list holds."""
    held = [np.empty(1, np.uint8)]
    count = 0
    for buffer in held:
        count = sys.getrefcount(buffer)
    return count


_IDLE = _references_when_idle()


class BufferPool:
    """Buffers by size class (sixteen classes to an octave: at most a sixteenth of a buffer, and a page, is unused).

    Args:
        limit: bytes that the pool may keep, idle and in use together; beyond it results are ordinary arrays.
        threshold: results under this many bytes are ordinary arrays.
    """

    def __init__(self, limit: int = 8 << 30, threshold: int = THRESHOLD) -> None:
        self.limit = limit
        self.threshold = threshold
        self._classes: dict[int, list[Array]] = {}
        self._starts: dict[int, int] = {}  # by the buffers' identity
        self._scratch: list[Array] = []
        self._held = 0
        self._hits = 0
        self._misses = 0
        self._lock = threading.Lock()

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """An uninitialised C-contiguous array, on a recycled buffer where one is idle."""
        dtype = np.dtype(dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes < self.threshold or dtype.hasobject:
            return np.empty(shape, dtype)
        size = size_class(nbytes)
        with self._lock:
            buffer = self._idle(size)
            if buffer is None:
                if not self._make_room(size):
                    return np.empty(shape, dtype)
                self._misses += 1
                buffer = np.empty(size, np.uint8)
                self._starts[id(buffer)] = _start(buffer, self._misses)
                self._classes.setdefault(size, []).append(buffer)
                self._held += size
            else:
                self._hits += 1
            # The view is made under the lock: from here on the buffer counts as seen.
            return np.ndarray(shape, dtype, buffer, self._starts[id(buffer)])

    def scratch(self, nbytes: int) -> Array:
        """Uninitialised bytes for as long as one call needs them.

        Whoever asks next gets the same buffer where it is large enough; one that is too small is given up for a larger
        one. So calls one after the other take what the largest of them needs, not a buffer of each one's size.
        """
        if nbytes < self.threshold:
            return np.empty(nbytes, np.uint8)
        with self._lock:
            buffer = self._large_enough(nbytes)
            if buffer is not None:
                self._hits += 1
                return buffer[:nbytes]
            self._give_one_up()
            # What is not written to takes no memory, so a little more does for calls of almost the same needs.
            step = 1 << max(nbytes.bit_length() - 3, 17)
            size = -(-nbytes // step) * step
            if not self._make_room(size):
                return np.empty(nbytes, np.uint8)
            self._misses += 1
            self._held += size
            buffer = np.empty(size, np.uint8)
            self._scratch.append(buffer)
            return buffer[:nbytes]

    def _large_enough(self, nbytes: int) -> Array | None:
        for buffer in self._scratch:
            if sys.getrefcount(buffer) <= _IDLE and buffer.nbytes >= nbytes:
                return buffer
        return None

    def _give_one_up(self) -> None:
        for buffer in self._scratch:
            if sys.getrefcount(buffer) <= _IDLE:
                self._scratch = [other for other in self._scratch if other is not buffer]
                self._held -= buffer.nbytes
                return

    def _idle(self, size: int) -> Array | None:
        for buffer in self._classes.get(size, ()):
            if sys.getrefcount(buffer) <= _IDLE:
                return buffer
        return None

    def _make_room(self, size: int) -> bool:
        if self._held + size > self.limit:
            self._drop_idle()
        return self._held + size <= self.limit

    def _drop_idle(self) -> None:
        for size, buffers in list(self._classes.items()):
            self._classes[size] = self._seen(buffers)
        self._scratch = self._seen(self._scratch)

    def _seen(self, buffers: list[Array]) -> list[Array]:
        """The buffers that are in use; the others are held no more."""
        keep = []
        for buffer in buffers:  # a plain loop: a comprehension may hold references of its own
            if sys.getrefcount(buffer) > _IDLE:
                keep += [buffer]
            else:
                self._held -= buffer.nbytes
                self._starts.pop(id(buffer), None)
        return keep

    def holds(self, buffer: object) -> bool:
        """Whether an object is one of the pool's buffers, idle or in use."""
        if type(buffer) is not np.ndarray:
            return False
        return any(b is buffer for b in (*self._classes.get(buffer.nbytes, ()), *self._scratch))

    def clear(self) -> None:
        """Give the idle buffers back to the system."""
        with self._lock:
            self._drop_idle()

    def set_limit(self, limit: int) -> None:
        """Bound what the pool keeps, in bytes; 0 switches recycling off."""
        if limit < 0:
            raise ValueError(f"[pool] limit = {limit} bytes; expected 0 or more")
        with self._lock:
            self.limit = limit
            if self._held > limit:
                self._drop_idle()

    def stats(self) -> PoolStats:
        """Sizes and counts as of now; `in_use_bytes` is found by looking at every buffer."""
        with self._lock:
            used = 0
            for buffers in (*self._classes.values(), self._scratch):
                for buffer in buffers:
                    if sys.getrefcount(buffer) > _IDLE:
                        used += buffer.nbytes
            return PoolStats(self._held, used, self.limit, self.threshold, self._hits, self._misses)


def size_class(nbytes: int) -> int:
    """The bytes of the buffer that a result of `nbytes` gets."""
    step = 1 << max(nbytes.bit_length() - 5, 12)
    return -(-(nbytes + _PAGE) // step) * step


def _start(buffer: Array, number: int) -> int:
    """Where in a buffer its array begins: at a whole cache line, each buffer's at another one of a page.

    The system begins large pieces of memory at the same place of a page. A loop over several of them then waits for
    addresses that differ in their upper bits alone, and finds all of them in the same lines of the first cache.
    """
    return (_LINE * 5 * number - int(buffer.ctypes.data)) % _PAGE
