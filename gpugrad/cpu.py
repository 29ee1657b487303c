"""The CPU: statistics and bound of the recycled buffers (as `gpugrad.cuda` has them), and how it convolves."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .backend import PoolStats
from .backend import cpu as _backend
from .backend.conv import Geometry
from .backend.cpu_choice import chosen, name_of
from .backend.cpu_conv import ALGORITHMS, algorithm

__all__ = ["convolution", "convolution_algorithm", "empty_cache", "memory_stats", "set_memory_limit"]


@contextlib.contextmanager
def convolution(name: str = "auto") -> Iterator[None]:
    """How convolutions are computed on the CPU within a `with` block (or a decorated function), in this thread.

    Args:
        name: "direct": compiled loops around a tile of registers, from the images themselves, for float32 and float64
            and one or two spatial axes; needs Numba (the extra `cpu`). "im2col": patches are laid out side by side and
            multiplied by the kernels; NumPy alone, and what is used for everything else. "winograd2": Winograd's
            F(2x2, 3x3) with four ninths of the multiplications, for 3 x 3 kernels in steps of 1: compiled for
            float32 and channels in multiples of 32 (16 without AVX-512), else NumPy alone from 64 channels on. "auto":
            of a million multiply-adds or more, winograd2 where it applies (float64 with Numba: direct), else direct.

            "fast": Winograd's F(4x4, 3x3) with a quarter of the multiplications where the compiled winograd2 applies,
            forward and both gradients; errors are 10 to 30 times those of the others, under 1e-4 of the results' size.
            Everything else as "auto".

    "direct", "im2col" and "winograd2" agree up to rounding: all add up in the dtype of the images, and their errors are
    of one size.

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


def convolution_algorithm(
    input_shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    dtype: Any = "float32",
) -> str:
    """How a convolution of these sizes is computed on the CPU under the present setting of `convolution`.

    Args:
        input_shape: (n, in, *size).
        weight_shape: (out, in / groups, *kernel).
        stride: one number or one for each axis, as the next two.
        padding: zeros before and after.
        dilation: step between the elements of a patch.
        groups: parts that the channels are divided into.
        dtype: of both.

    Returns:
        "winograd4" (what "fast" allows), "winograd2", "direct", "shifted" (depthwise without Numba) or "im2col",
        forward and for both gradients, but for two: where this says "direct" the gradient by the images with a stride
        and a dilation above 1 on one axis is "im2col", and where it says "winograd2" the gradient by the kernels is
        without Numba up to 191 channels.

    Raises:
        ValueError: the kernel is larger than the padded input, or the numbers of axes do not fit.
    """
    kernel = tuple(weight_shape[2:])
    axes = len(kernel)
    steps, pads, spread = (
        (v,) * axes if isinstance(v, int) else tuple(v) for v in (stride, padding, dilation)
    )  # fmt: skip
    shown = f"input_shape = {tuple(input_shape)}, weight_shape = {tuple(weight_shape)}"
    if len(input_shape) != axes + 2 or any(len(v) != axes for v in (steps, pads, spread)):
        raise ValueError(f"[convolution_algorithm] {shown}; expected (n, in, *size) and one number for each axis")
    at = Geometry(steps, tuple((p, p) for p in pads), spread, groups)
    size = at.output(tuple(input_shape[2:]), kernel)
    if min(size) < 1:
        raise ValueError(f"[convolution_algorithm] {shown}: the kernel is larger than the padded input")
    x, w = (np.broadcast_to(np.zeros((), dtype), tuple(shape)) for shape in (input_shape, weight_shape))
    work = input_shape[0] * math.prod(size) * w.size
    return name_of(chosen(work, w.shape, at, x, w))


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
