"""The CPU's memory: statistics and bound of the recycled buffers (as `gpugrad.cuda` has them for a GPU)."""

from __future__ import annotations

from .backend import PoolStats
from .backend import cpu as _backend

__all__ = ["empty_cache", "memory_stats", "set_memory_limit"]


def memory_stats() -> PoolStats:
    """What the recycled buffers hold: bytes held and in use, the limit, the smallest size recycled, hits, misses."""
    stats: PoolStats = _backend().memory_stats()
    return stats


def set_memory_limit(limit: int) -> None:
    """Bound the recycled buffers, idle and in use together, to `limit` bytes; 0 switches recycling off.

    Raises:
        ValueError: `limit` is negative.
    """
    _backend().pool.set_limit(limit)  # type: ignore[attr-defined]


def empty_cache() -> None:
    """Give the idle buffers back to the system."""
    _backend().pool.clear()  # type: ignore[attr-defined]
