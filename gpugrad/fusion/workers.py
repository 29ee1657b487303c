"""A small pool of daemon threads for NumPy and Numba loops that release the GIL.

One call, `parallel_for`, shares numbered chunks among the caller and the helpers; nothing here knows what a chunk is.
Threads start at the first use, survive for the process, and are forgotten in a forked child.
"""

from __future__ import annotations

import contextvars
import itertools
import math
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np

Chunk = Callable[[int], object]
Room = TypeVar("Room")


class _Job:
    """One `parallel_for`: whoever takes part draws the next chunk number until none is left."""

    def __init__(self, fn: Chunk, n_chunks: int) -> None:
        self.fn = fn
        self.n_chunks = n_chunks
        self.numbers = itertools.count()  # next() on it is atomic
        self.finished: list[int] = []  # and so is append
        self.all_done = threading.Event()
        self.error: BaseException | None = None

    def work(self) -> None:
        for i in self.numbers:
            if i >= self.n_chunks:
                return
            try:
                if self.error is None:
                    self.fn(i)
            except BaseException as error:  # re-raised in the caller
                self.error = self.error or error
            self.finished.append(i)
            if len(self.finished) == self.n_chunks:
                self.all_done.set()


Tasks = SimpleQueue[tuple[contextvars.Context, _Job]]


class _Pool:
    """The process's helpers; a forked child, which has none of the parent's threads, makes itself a new one."""

    limit: int | None = None

    def __init__(self) -> None:
        self.tasks: Tasks = SimpleQueue()
        self.threads: list[threading.Thread] = []
        self.lock = threading.Lock()
        self.inside = threading.local()

    def start(self, helpers: int) -> None:
        with self.lock:
            while len(self.threads) < helpers:
                name = f"gpugrad-worker-{len(self.threads)}"
                thread = threading.Thread(target=_helper, args=(self,), name=name, daemon=True)
                thread.start()
                self.threads.append(thread)


_pool = _Pool()


def num_threads() -> int:
    """Threads that `parallel_for` uses, the caller's included: the CPUs given to this process, or fewer.

    `GPUGRAD_NUM_THREADS` lowers it when it is set before the first call.

    Raises:
        ValueError: `GPUGRAD_NUM_THREADS` is not a positive integer.
    """
    if _Pool.limit is None:
        affinity = getattr(os, "sched_getaffinity", None)
        cpus = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
        wanted = os.environ.get("GPUGRAD_NUM_THREADS", "").strip() or str(cpus)
        if not wanted.isdigit() or int(wanted) < 1:
            raise ValueError(f"[workers] GPUGRAD_NUM_THREADS = {wanted!r}; set it to a positive integer or unset it")
        _Pool.limit = min(cpus, int(wanted))
    return _Pool.limit


def set_num_threads(count: int) -> int:
    """Use `count` threads (1 switches threading off) from now on; returns the number used before.

    Raises:
        ValueError: `count` is not positive.
    """
    before = num_threads()
    if count < 1:
        raise ValueError(f"[workers] num_threads = {count}; it must be at least 1")
    _Pool.limit = count
    return before


def _helper(pool: _Pool) -> None:
    pool.inside.value = True  # a kernel that runs in a helper never waits for other helpers
    while True:
        context, job = pool.tasks.get()
        context.run(job.work)
        del context, job  # an idle helper keeps no array alive


def in_chunk() -> bool:
    """Whether this thread is within a chunk of `parallel_for`, and must not wait for helpers."""
    return getattr(_pool.inside, "value", False)


def parallel_for(fn: Chunk, n_chunks: int) -> None:
    """Call `fn(i)` once for every i in range(n_chunks), on this thread and the pool's; return when all are done.

    Chunks run in any order and must not depend on one another. A call from within a chunk runs its chunks in line.
    The helpers see the caller's context variables, so that `np.errstate` reaches them.

    Raises:
        BaseException: what the first failing `fn(i)` raised; chunks not yet begun are then skipped.
    """
    pool = _pool
    helpers = min(num_threads(), n_chunks) - 1
    if helpers < 1 or getattr(pool.inside, "value", False):
        for i in range(n_chunks):
            fn(i)
        return
    if len(pool.threads) < helpers:
        pool.start(helpers)
    job = _Job(fn, n_chunks)
    for _ in range(helpers):
        pool.tasks.put((contextvars.copy_context(), job))
    pool.inside.value = True
    try:
        job.work()
    finally:
        pool.inside.value = False
    while not job.all_done.is_set():
        try:
            job.all_done.wait()
        except BaseException as error:  # Ctrl-C: helpers may still write to the caller's arrays, so wait for them
            job.error = job.error or error
    job.fn = _nothing  # a helper that still looks for a chunk must not keep the caller's arrays alive
    if job.error is not None:
        raise job.error


def takers(n_chunks: int) -> int:
    """How many threads at most take part in a `parallel_for` of so many chunks that is called here and now."""
    return 1 if in_chunk() else max(1, min(num_threads(), n_chunks))


def lending(fn: Callable[[int, Room], object], rooms: list[Room]) -> Chunk:
    """The chunk `i -> fn(i, room)`, which has one of `rooms` to itself while it runs; `takers` of them are enough.

    The caller makes the rooms, so that memory does not depend on which of the threads come to do the work.
    """

    def chunk(i: int) -> None:
        room = rooms.pop()  # atomic, and so is append
        try:
            fn(i, room)
        finally:
            rooms.append(room)

    return chunk


class Arena:
    """A room for temporary arrays of any kind, laid one after another; what has no place any more NumPy makes."""

    def __init__(self, memory: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        self._memory = memory
        self._used = 0

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
        """An uninitialised C-contiguous array, good until `clear`."""
        dtype = np.dtype(dtype)
        start = -(-self._used // 64) * 64
        nbytes = math.prod(shape) * dtype.itemsize
        if start + nbytes > self._memory.nbytes:
            return np.empty(shape, dtype)
        self._used = start + nbytes
        return np.ndarray(shape, dtype, self._memory, start)

    @property
    def used(self) -> int:
        """Bytes given so far, for `clear`."""
        return self._used

    def clear(self, used: int = 0) -> None:
        """The arrays given so far are not needed any more, or those after the first `used` bytes."""
        self._used = used


def _nothing(number: int) -> None:
    """What a finished job holds."""


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.__init__)  # type: ignore[misc]
