"""Memory that compiled steps have for themselves, and the bound on what all pools together take of a GPU.

CuPy's pool keeps to a limit of its own. Ours is the common one: what compiled steps hold comes off the limit of CuPy's
pool, and they take more only where CuPy's pool leaves room.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["Bound", "PrivatePool"]


class Bound:
    """What all pools together may take of one GPU.

    Args:
        backend: of the GPU.

    Attributes:
        taken: bytes that compiled steps hold of the GPU, in use or idle.
        pools: theirs.
    """

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.taken = 0
        self._limit = 0
        self._applied: int | None = None  # the limit of CuPy's pool as it was last set here
        self.pools: weakref.WeakSet[PrivatePool] = weakref.WeakSet()

    def limit(self) -> int:
        """The bound in bytes, 0 for none: the last one that was set, here or for CuPy's pool."""
        with self._there():
            given = self._common().get_limit()
        if given != self._applied:  # by CuPy's own function, or its environment variable
            self._limit = self._applied = int(given)
        return self._limit

    def set(self, limit: int) -> None:
        """Change it; 0 for none."""
        self.limit()
        self._limit = limit
        self.share()

    def share(self) -> None:
        """Leave CuPy's pool what compiled steps do not hold."""
        limit = self.limit()
        left = max(1, limit - self.taken) if limit else 0  # CuPy takes 0 for no limit
        if left != self._applied:
            with self._there():
                self._common().set_limit(size=left)
            self._applied = left

    def make_room(self, nbytes: int) -> None:
        """Before a compiled step takes `nbytes` more: give idle memory back where the bound asks for it.

        Raises:
            MemoryError: CuPy's, with the numbers; the bound leaves no room.
        """
        limit = self.limit()
        if not limit or self._held() + nbytes <= limit:
            return
        self.give_back()
        if self._held() + nbytes > limit:
            memory = self.backend.xp.cuda.memory
            raise memory.OutOfMemoryError(nbytes, self._held(), limit)

    def give_back(self) -> None:
        """Return the idle memory of all pools to the GPU; what a graph works on is not idle."""
        with self._there():
            self._common().free_all_blocks()
        for pool in list(self.pools):
            pool.give_back()

    def took(self, piece: Any, nbytes: int) -> None:
        """Count a piece of memory of a compiled step, until it is gone."""
        self.taken += nbytes
        weakref.finalize(piece, self._returned, nbytes).atexit = False
        if self._limit:
            self.share()

    def _returned(self, nbytes: int) -> None:
        self.taken -= nbytes
        if self._limit:
            self.share()

    def _held(self) -> int:
        with self._there():
            return int(self._common().total_bytes()) + self.taken

    def _there(self) -> Any:
        return self.backend.xp.cuda.Device(self.backend.device.index)

    def _common(self) -> Any:
        return self.backend.xp.get_default_memory_pool()


class PrivatePool:
    """A pool of one compiled step on one GPU.

    A graph writes to memory that its recording gave back, in each replay. To CuPy's pool this is idle memory, which it
    returns to the GPU where memory runs out; so the pieces that it was made of are held here while there is a graph.

    Args:
        backend: of the GPU.
    """

    def __init__(self, backend: Any) -> None:
        cuda = backend.xp.cuda
        # Memory of the GPU, in a class with references that do not hold it.
        self._piece = type("Piece", (cuda.Memory,), {"__slots__": ("__weakref__",)})
        self.backend = backend
        self._pieces: weakref.WeakSet[Any] = weakref.WeakSet()
        self._held: list[Any] = []
        self._recording = False
        self._graphs: weakref.WeakSet[Any] = weakref.WeakSet()
        self._pool = cuda.MemoryPool(_weakly(self._grow))  # the pool must not hold what holds it
        backend.bound.pools.add(self)

    @property
    def has_graphs(self) -> bool:
        """Whether a graph works on memory of this pool."""
        return len(self._graphs) > 0

    def malloc(self, nbytes: int) -> Any:
        """Memory on the GPU, which must be the current one."""
        return self._pool.malloc(nbytes)

    def begin(self) -> None:
        """A recording begins: from now on nothing goes back to the GPU."""
        self._recording, self._held = True, list(self._pieces)

    def end(self, graph: Any) -> None:
        """The recording is over; what it became, if anything, holds the memory for as long as it is there."""
        self._recording = False
        if graph is None:
            self.give_back()
        else:
            self._graphs.add(graph)

    def give_back(self) -> None:
        """Return what is idle to the GPU, unless a graph works on it."""
        if not self._recording and not self.has_graphs:
            self._held = []
            with self.backend.place():
                self._pool.free_all_blocks()

    def _grow(self, nbytes: int) -> Any:
        cuda, bound = self.backend.xp.cuda, self.backend.bound
        bound.make_room(nbytes)
        try:
            piece = self._piece(nbytes)
        except cuda.runtime.CUDARuntimeError:  # the GPU is full; idle memory of others may be in the way
            bound.give_back()
            piece = self._piece(nbytes)
        bound.took(piece, nbytes)
        self._pieces.add(piece)
        if self._recording or self.has_graphs:
            self._held.append(piece)
        return cuda.MemoryPointer(piece, 0)


def _weakly(method: Callable[[int], Any]) -> Callable[[int], Any]:
    """A function that calls a method of an object without holding that."""
    found: Any = weakref.WeakMethod(method)

    def call(nbytes: int) -> Any:
        return found()(nbytes)

    return call
