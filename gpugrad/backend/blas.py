"""The threads of NumPy's matrix products: OpenBLAS's own, or one for each of ours while these work side by side."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import threading
from collections.abc import Callable

import numpy as np

_NAMES = ("scipy_openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads", "openblas_{}_num_threads")


class _Blocks:
    """The blocks of `one_thread` that threads are in at the moment."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.before = 1  # OpenBLAS's threads outside of them

    def enter(self, tell: Callable[[], int], put: Callable[[int], None]) -> None:
        with self.lock:
            if self.count == 0:
                self.before = tell()
                put(1)
            self.count += 1

    def leave(self, put: Callable[[int], None]) -> None:
        with self.lock:
            self.count -= 1
            if self.count == 0:
                put(self.before)


_blocks = _Blocks()


@functools.cache
def _controls() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """OpenBLAS's functions that tell and set its number of threads; None where NumPy has another library."""
    # A library that NumPy's core was linked with: its names are found through the core, wherever its file lies.
    core = ctypes.CDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
    for name in _NAMES:
        with contextlib.suppress(AttributeError):
            return getattr(core, name.format("get")), getattr(core, name.format("set"))
    return None


def controlled() -> bool:
    """Whether `one_thread` does anything."""
    return _controls() is not None


class one_thread:  # noqa: N801 - a context manager
    """Matrix products take one thread each, in the whole process, until the last such block ends.

    Without it the products of several threads wait for one another, and OpenBLAS's helpers keep the cores busy with
    waiting for more work long after a product, where the next loop would run. Results are those of one thread.
    """

    __slots__ = ("_controls",)

    def __enter__(self) -> None:
        self._controls = _controls()
        if self._controls is not None:
            _blocks.enter(*self._controls)

    def __exit__(self, *exc: object) -> None:
        if self._controls is not None:
            _blocks.leave(self._controls[1])
