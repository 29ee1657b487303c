"""Winograd's convolution F(4x4, 3x3) on the CPU: a quarter of the multiplications, 10 to 30 times the error.

Only where the user asks for it (`gg.cpu.convolution("fast")`), for float32, 3 x 3 kernels in steps of 1, and channels
in whole blocks of vectors; everything else takes the accurate ways. Loops: `cpu_winograd_numba`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..fusion.numba_cache import numba_wanted
from ..fusion.workers import num_threads
from .base import Array
from .conv import Geometry
from .cpu_conv import (
    COMPILED,
    algorithm,
    bordered,
    layouts,
    loaded,
    packed_kernels,
    run_strips,
    zero_bytes,
)
from .pool import BufferPool

# Tiles whose transformed images and gradients are held at a time for the gradient of the kernels, and channels from
# which on the transformations are worth it.
TILES: Final = 256
LEAST: Final = 32


def wanted(x: Array, w_shape: tuple[int, ...], work: int, at: Geometry) -> bool:
    """Whether a convolution of images `x` with kernels of a shape goes this way."""
    if algorithm.get() != "fast" or w_shape[2:] != (3, 3) or x.dtype != np.float32 or work < COMPILED:
        return False
    if at.stride != (1, 1) or at.dilation != (1, 1) or at.groups != 1 or any(p > 2 for s in at.padding for p in s):
        return False
    if not numba_wanted() or min(w_shape[:2]) < LEAST:
        return False
    block = _loops().BLOCK
    return all(c % block == 0 for c in w_shape[:2])


def _loops() -> Any:
    return loaded("cpu_winograd_numba.py", BITS=32)


def conv(pool: BufferPool, x: Array, w: Array, bias: Array | None, at: Geometry) -> Array:
    """`Backend.conv`."""
    loops, (out, channels) = _loops(), w.shape[:2]
    height, width = at.output(x.shape[2:], (3, 3))
    down, across = -(-height // 4), -(-width // 4)
    padded = bordered(pool, x, border(x, at, down, across))
    packed = packed_kernels(pool, loops, w)
    blocks = out // loops.BLOCK
    weights = pool.empty((blocks, 36, channels, loops.BLOCK), x.dtype)
    zeros = zero_bytes(loops.BYTES)
    addresses = (packed.ctypes.data, weights.ctypes.data, channels, zeros.ctypes.data)
    run_strips(loops.kernels, addresses, blocks * channels, 32)
    y = pool.empty((x.shape[0], height, width, out), x.dtype)
    start = np.zeros(out, x.dtype) if bias is None else np.ascontiguousarray(bias)
    tiles, threads = x.shape[0] * down * across, num_threads()
    most, shape = scratch(tiles, channels)
    held = pool.empty(shape, x.dtype)
    flags = np.zeros(8 * threads, np.int64)
    table = (
        padded.ctypes.data, weights.ctypes.data, y.ctypes.data, start.ctypes.data,
        held.ctypes.data, flags.ctypes.data, zeros.ctypes.data, most,
        padded.strides[0], padded.strides[1], channels, down, across, height, width, blocks, threads,
    )  # fmt: skip
    run_strips(loops.forward, table, tiles, most)
    return np.moveaxis(y, -1, 1)


def conv_input(pool: BufferPool, g: Array, w: Array, at: Geometry) -> Array:
    """`Backend.conv_input`: the convolution of `g` with the turned kernels."""
    return conv(pool, g, w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), None, turned(at))


def conv_weight(pool: BufferPool, x: Array, g: Array, at: Geometry) -> Array:
    """`Backend.conv_weight`."""
    loops, out, channels = _loops(), g.shape[1], x.shape[1]
    height, width = g.shape[2:]
    down, across = -(-height // 4), -(-width // 4)
    padded = bordered(pool, x, border(x, at, down, across))
    rows_of_g = bordered(pool, g, ((0, 4 * down - height), (0, 4 * across - width)))
    tiles, blocks = x.shape[0] * down * across, out // loops.BLOCK
    most = min(TILES, tiles)
    images = pool.empty((36, most, channels), x.dtype)
    gradients = pool.empty((36, blocks, most, loops.BLOCK), x.dtype)
    sums = pool.empty((36, channels, out), x.dtype)
    zeros = zero_bytes(loops.BYTES).ctypes.data
    held = (images.ctypes.data, gradients.ctypes.data)
    for first in range(0, tiles, most):
        count = min(most, tiles - first)
        table = (
            padded.ctypes.data, rows_of_g.ctypes.data, *held, zeros, most, first, *padded.strides[:2], channels,
            *rows_of_g.strides[:2], blocks, down, across,
        )  # fmt: skip
        run_strips(loops.gather, table, count, 8)
        table = (*held, sums.ctypes.data, zeros, most, count, int(first == 0), channels, blocks)
        run_strips(loops.correlate, table, 36 * blocks, 1)
    total = pool.empty((9, channels, out), x.dtype)
    table = (sums.ctypes.data, total.ctypes.data, zeros, channels, blocks)
    run_strips(loops.finish, table, channels, 8)
    found = np.empty((out, channels, 3, 3), x.dtype)
    run_strips(layouts(x.dtype).unpack, (total.ctypes.data, found.ctypes.data, 9, channels, out), -(-channels // 16), 1)
    return found


def turned(at: Geometry) -> Geometry:
    """The convolution of the output's cotangent that gives the input's."""
    return at._replace(padding=tuple((2 - low, 2 - high) for low, high in at.padding))


def scratch(tiles: int, channels: int) -> tuple[int, tuple[int, int]]:
    """How many tiles a thread holds transformed at a time, and the shape of what all threads hold."""
    loops, threads = _loops(), num_threads()
    rows = loops.ROWS[0]
    most = rows * max(1, min(2, tiles // (4 * threads * rows)))
    return most, (threads, 36 * most * (channels + loops.BLOCK) + 16 * loops.BLOCK)


def border(x: Array, at: Geometry, down: int, across: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The border with which images are cut into whole tiles."""
    (top, _), (left, _) = at.padding
    return (top, 4 * down + 2 - top - x.shape[2]), (left, 4 * across + 2 - left - x.shape[3])
