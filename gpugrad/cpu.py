"""The CPU: statistics and bound of the recycled buffers (as `gpugrad.cuda` has them), and how it convolves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .backend import PoolStats
from .backend import cpu as _backend
from .backend.cpu_conv import ALGORITHMS, algorithm

__all__ = ["convolution", "empty_cache", "memory_stats", "set_memory_limit"]


@contextlib.contextmanager
def convolution(name: str = "auto") -> Iterator[None]:
    """How convolutions are computed on the CPU within a `with` block (or a decorated function), in this thread.

    Args:
        name: "direct": compiled loops around a tile of registers, from the images themselves, for float32 and float64
            and one or two spatial axes; needs Numba (the extra `cpu`). "im2col": patches are laid out side by side and
            multiplied by the kernels; NumPy alone, and what is used for everything else. "auto": direct where it
            applies and a convolution has a million multiply-adds or more.

            "fast": Winograd's F(4x4, 3x3) with a quarter of the multiplications for float32, 3 x 3 kernels in steps
            of 1 and channels in multiples of 32 (16 without AVX-512), forward and both gradients; errors are 10 to 30
            times those of the others, under 1e-4 of the results' size. Everything else as "auto".

    "direct" and "im2col" agree up to rounding: both add up in the dtype of the images.

    Raises:
        ValueError: another name.

    Example:
        >>> import gpugrad as gg
        >>> with gg.cpu.convolution("im2col"):
        ...     y = gg.conv2d(gg.ones(1, 3, 8, 8), gg.ones(4, 3, 3, 3))
    """
    names = ("auto", *ALGORITHMS, "fast")
    if name not in names:
        raise ValueError(f"[convolution] name = {name!r}; expected {', '.join(map(repr, names))}")
    token = algorithm.set(name)
    try:
        yield
    finally:
        algorithm.reset(token)


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
