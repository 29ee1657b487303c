"""Device memory of the stand-in: what `cudaMalloc` gives, CuPy's pools over it, and the allocator in use.

A pool keeps idle blocks by device, stream and size (it never splits one), bounds what it takes, and gives idle blocks
back before it runs out, as CuPy's does. What a graph was recorded on is remembered: each launch writes there.
"""

import contextlib
import ctypes
import itertools
import sys
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from .state import STATE

TOTAL_BYTES = 8 << 30
_UNIT = 512


class CUDARuntimeError(RuntimeError):
    """An error of the CUDA runtime."""


class OutOfMemoryError(MemoryError):
    """CuPy's error of this name, with its words."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        bound = f", limit set to: {limit:,} bytes" if limit else ""
        # CuPy's names its class, which is looked up in its module: what has taken its name there comes next.
        words = f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes{bound})."
        super(_error(), self).__init__(words)


def _error() -> Any:
    """What the name stands for in CuPy's module when it is looked up there."""
    return sys.modules["cupy"].cuda.memory.OutOfMemoryError  # type: ignore[attr-defined]


def rounded(nbytes: int) -> int:
    """Bytes that a pool sets aside: whole units of 512."""
    return -(-nbytes // _UNIT) * _UNIT


class Place:
    """Where a piece of device memory is: gone when that was given back to the device.

    Attributes:
        tenant: a reference to the array that lies there now.
    """

    def __init__(self) -> None:
        self.tenant: Any = lambda: None


_program = [0]  # how many there were; what an earlier one took went with it


def _freed(device: int, size: int, program: int) -> None:
    if program == _program[0]:
        STATE.taken[device] -= size


class Memory:
    """What `cudaMalloc` gave on the current device; goes back with this object."""

    __slots__ = ("device_id", "place", "ptr", "size")
    _numbers = itertools.count(1)

    def __init__(self, size: int) -> None:
        if STATE.taken[STATE.device] + size > STATE.capacity:
            raise CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")
        self.size, self.device_id, self.ptr, self.place = size, STATE.device, next(self._numbers) << 40, Place()
        STATE.taken[self.device_id] += size
        weakref.finalize(self.place, _freed, self.device_id, size, _program[0]).atexit = False


class PooledMemory:
    """A block that a pool handed out; goes back to it with this object."""

    def __init__(self, chunk: Any, device_id: int) -> None:
        self.chunk, self.device_id, self.size = chunk, device_id, chunk.size
        self.ptr = chunk.ptr


class MemoryPointer:
    """Where an array starts: `ptr` is its address."""

    def __init__(self, mem: Any, ptr: int) -> None:
        self.mem, self.ptr, self.device_id = mem, ptr or mem.ptr, mem.device_id

    def copy_from_device_async(self, src: "MemoryPointer", size: int, stream: Any = None) -> None:
        """Copy bytes on the current stream."""
        STATE.work(lambda: ctypes.memmove(self.ptr, src.ptr, size))


def _raw(size: int) -> MemoryPointer:
    return MemoryPointer(Memory(size), 0)


class MemoryPool:
    """CuPy's pool: idle blocks wait for the next array of their size on the same stream of the same device."""

    def __init__(self, allocator: Callable[[int], Any] | None = None) -> None:
        self._allocator = allocator or _raw
        self._idle: Any = defaultdict(list)
        self._used, self._total, self._limits = Counter[int](), Counter[int](), Counter[int]()

    def malloc(self, size: int) -> MemoryPointer:
        size, device = rounded(size), STATE.device
        key = device, STATE.stream_number(), size
        chunk = self._idle[key].pop() if self._idle[key] else self._grown(size)
        self._used[device] += size
        block = PooledMemory(chunk, device)
        if STATE.capturing and self is not _pools[0]:
            STATE.places.append(weakref.ref(chunk.place))
        elif STATE.capturing:
            STATE.lasting.append(weakref.ref(block))
        weakref.finalize(block, self._returned, weakref.ref(self), key, chunk).atexit = False
        return MemoryPointer(block, 0)

    @staticmethod
    def _returned(pool: Any, key: Any, chunk: Any) -> None:
        if pool() is not None:
            pool()._used[key[0]] -= key[2]
            pool()._idle[key].append(chunk)

    def _grown(self, size: int) -> Any:
        device = STATE.device
        limit = self._limits[device]
        if limit and self._total[device] + size > limit:
            self.free_all_blocks()
            if self._total[device] + size > limit:
                raise _error()(size, self._total[device], limit)
        try:
            chunk = self._allocator(size).mem
        except CUDARuntimeError:
            self.free_all_blocks()
            try:
                chunk = self._allocator(size).mem
            except CUDARuntimeError:
                raise _error()(size, self._total[device], limit) from None
        self._total[device] += size
        return chunk

    def used_bytes(self) -> int:
        return self._used[STATE.device]

    def total_bytes(self) -> int:
        return self._total[STATE.device]

    def free_bytes(self) -> int:
        return self.total_bytes() - self.used_bytes()

    def get_limit(self) -> int:
        return self._limits[STATE.device]

    def set_limit(self, size: Any = None, fraction: Any = None) -> None:
        if size is not None and fraction is not None:
            raise ValueError("size and fraction cannot be specified at one time")
        self._limits[STATE.device] = int(fraction * TOTAL_BYTES) if fraction is not None else int(size or 0)

    def free_all_blocks(self, stream: Any = None) -> None:
        for key in list(self._idle):
            device, number, size = key
            if device == STATE.device and (stream is None or stream.ptr == number):
                self._total[device] -= size * len(self._idle.pop(key))


class MemoryAsyncPool(MemoryPool):
    """CuPy's pool over `cudaMallocAsync`; here it differs by its name."""


def malloc_async(size: int) -> MemoryPointer:
    """Memory in the order of the current stream."""
    return _raw(size)


_pools = [MemoryPool()]


def get_default_memory_pool() -> MemoryPool:
    """The pool that arrays come from."""
    return _pools[0]


def forget() -> None:
    """Another program: a new common pool, nothing taken yet."""
    _program[0] += 1
    STATE.taken.clear()
    _pools[0] = MemoryPool()


def get_allocator() -> Callable[[int], Any]:
    """The allocator in use."""
    return STATE.allocators[-1] if STATE.allocators else _pools[0].malloc


@contextlib.contextmanager
def using_allocator(allocator: Any = None) -> Iterator[None]:
    """Memory comes from `allocator` in here."""
    STATE.allocators.append(allocator)
    try:
        yield
    finally:
        STATE.allocators.pop()
