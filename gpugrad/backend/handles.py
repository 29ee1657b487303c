"""What a process remembers of its GPUs: handles of kernels, plans that hold them, tables in their memory."""

from __future__ import annotations

from typing import Any, Final, TypeVar

C = TypeVar("C")

_CACHES: Final[list[Any]] = []


def of_gpus(cached: C) -> C:
    """Decorator above `functools.cache` and its kin: `forget` empties the cache."""
    _CACHES.append(cached)
    return cached


def forget() -> None:
    """Empty these caches, where a process's GPUs become others: tests exchange CuPy and its driver."""
    for cached in _CACHES:
        cached.cache_clear()
