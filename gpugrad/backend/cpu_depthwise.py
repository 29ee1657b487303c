"""Depthwise convolutions with kernels of 3 x 3 in steps of 1 and a border of 1: compiled loops that read images once.

The loops are in `cpu_depthwise_numba`; other depthwise kernels go through those of `cpu_conv`. What is cut into parts
depends on shapes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from .base import Array
from .conv import Geometry
from .cpu_layout import NONE, bordered, loaded, run_strips, zero_bytes
from .pool import BufferPool

# The parts of the kernels' gradient that have sums of their own, and of a result's rows, for the threads to draw.
PARTS: Final = 32
# Bytes of the largest vector that a loop reads.
VECTOR: Final = 64
_AT: Final = ((1, 1), ((1, 1), (1, 1)), (1, 1))


def fits(x: Array, w_shape: Sequence[int], at: Geometry) -> bool:
    """Whether a convolution with kernels (channels, 1, *kernel) is computed here; of `x` the axes are looked at."""
    return x.ndim == 4 and tuple(w_shape) == (at.groups, 1, 3, 3) and at.groups > 1 and tuple(at[:3]) == _AT


def conv(pool: BufferPool, x: Array, w: Array, bias: Array | None, at: Geometry) -> Array:
    """`Backend.conv` where it `fits`."""
    return _convolved(pool, x, w, np.zeros(len(w), x.dtype) if bias is None else np.ascontiguousarray(bias))


def conv_input(pool: BufferPool, g: Array, w: Array, size: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_input`: the same with turned kernels."""
    return _convolved(pool, g, w[:, :, ::-1, ::-1], np.zeros(len(w), g.dtype))


def conv_weight(pool: BufferPool, x: Array, g: Array, kernel: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_weight` likewise."""
    images, given = bordered(pool, x, NONE), bordered(pool, g, NONE)
    rows = images.shape[0] * images.shape[1]
    each = -(-rows // PARTS)
    sums = np.empty((-(-rows // each), 9, x.shape[1]), x.dtype)
    _run("weight", images, (given, sums, sums), rows, each, count=len(sums), step=1)
    return np.ascontiguousarray(sums.sum(0).T).reshape(-1, 1, 3, 3)


def _convolved(pool: BufferPool, x: Array, w: Array, start: Array) -> Array:
    images = bordered(pool, x, NONE)
    y = pool.empty(images.shape, x.dtype)
    rows = images.shape[0] * images.shape[1]
    kernels = np.ascontiguousarray(w.reshape(-1, 9).T)
    _run("forward", images, (kernels, y, start), count=rows, step=-(-rows // PARTS))
    return y.transpose(0, 3, 1, 2)


def _run(name: str, images: Array, arrays: tuple[Array, Array, Array], *numbers: int, count: int, step: int) -> None:
    """A loop over images and three arrays, with the numbers it wants besides the sizes."""
    _, height, width, channels = images.shape
    table = (
        images.ctypes.data, *(a.ctypes.data for a in arrays), zero_bytes(VECTOR).ctypes.data, height, width,
        channels * images.itemsize, *numbers,
    )  # fmt: skip
    run_strips(getattr(loaded("cpu_depthwise_numba.py", BITS=images.itemsize * 8), name), table, count, step)
