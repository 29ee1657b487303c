"""Winograd's convolutions on the CPU in compiled loops, F(2x2, 3x3) and F(4x4, 3x3): fewer multiplications.

Tiles of 2 x 2 pixels take 4 / 9 of the multiplications and are as accurate as the direct way: nothing but halves and
sums of four numbers, and a ninth of the additions in a row. Tiles of 4 x 4 take a quarter, at 10 to 30 times the error,
and only where the user asks for that (`gg.cpu.convolution("fast")`). For float32, 3 x 3 kernels in steps of 1, and
channels in whole blocks of vectors; everything else goes the other ways. Loops: `cpu_winograd_numba`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..fusion.numba_cache import numba_wanted
from ..fusion.workers import num_threads
from .base import Array
from .conv import Geometry
from .cpu_layout import NONE, bordered, layouts, loaded, packed_kernels, run_strips, zero_bytes
from .pool import BufferPool

# Tiles whose transformed images and gradients are held at a time for the gradient of the kernels, and channels from
# which on the transformations are worth it.
TILES: Final = 128
LEAST: Final = 32


def fits(x: Array, w_shape: tuple[int, ...], at: Geometry) -> bool:
    """Whether the compiled loops take images `x` and kernels of a shape."""
    if w_shape[2:] != (3, 3) or x.dtype != np.float32 or min(w_shape[:2]) < LEAST:
        return False
    if at != Geometry((1, 1), at.padding, (1, 1), 1) or any(p > 2 for pair in at.padding for p in pair):
        return False
    return numba_wanted() and all(c % _loops(2).BLOCK == 0 for c in w_shape[:2])


def _loops(side: int) -> Any:
    return loaded("cpu_winograd_numba.py", SIDE=side)


def _edges(x: Array, at: Geometry) -> tuple[int, ...]:
    """Rows and columns of images, and the zeros before the first of each."""
    return (*x.shape[2:], at.padding[0][0], at.padding[1][0])


def turned(at: Geometry) -> Geometry:
    """The convolution of the output's cotangent that gives the input's."""
    return at._replace(padding=tuple((2 - low, 2 - high) for low, high in at.padding))


class Tiles:
    """The convolution of what `fits` by tiles of `side` x `side` pixels, 2 or 4."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.places = (side + 2) ** 2

    def cut(self, height: int, width: int) -> tuple[int, int]:
        """Tiles down and across for an output of some size."""
        return -(-height // self.side), -(-width // self.side)

    def scratch(self, tiles: int, channels: int) -> tuple[int, tuple[int, int]]:
        """How many tiles a thread holds transformed at a time, and the shape of what all threads hold."""
        loops, threads = _loops(self.side), num_threads()
        rows = loops.ROWS[0]
        most = rows * max(1, min(2, tiles // (4 * threads * rows)))
        return most, (threads, self.places * (most | 1) * (channels + loops.BLOCK) + self.side**2 * loops.BLOCK)

    def conv(self, pool: BufferPool, x: Array, w: Array, bias: Array | None, at: Geometry) -> Array:
        """`Backend.conv`."""
        loops, (out, channels) = _loops(self.side), w.shape[:2]
        height, width = at.output(x.shape[2:], (3, 3))
        down, across = self.cut(height, width)
        images = bordered(pool, x, NONE)
        blocks = out // loops.BLOCK
        weights = pool.empty((blocks, self.places, channels, loops.BLOCK), x.dtype)
        packed_kernels(pool, loops, w, weights)
        zeros = zero_bytes(loops.BYTES)
        run_strips(loops.kernels, (weights.ctypes.data, channels, zeros.ctypes.data), blocks * channels, 32)
        y = pool.empty((x.shape[0], height, width, out), x.dtype)
        start = np.zeros(out, x.dtype) if bias is None else np.ascontiguousarray(bias)
        tiles, threads = x.shape[0] * down * across, num_threads()
        most, shape = self.scratch(tiles, channels)
        held = pool.empty(shape, x.dtype)
        flags = np.zeros(8 * threads, np.int64)
        table = (
            images.ctypes.data, weights.ctypes.data, y.ctypes.data, start.ctypes.data,
            held.ctypes.data, flags.ctypes.data, zeros.ctypes.data, most,
            *images.strides[:2], channels, down, across, height, width, blocks, threads, *_edges(x, at),
        )  # fmt: skip
        run_strips(loops.forward, table, tiles, most)
        return y.transpose(0, 3, 1, 2)

    def conv_input(self, pool: BufferPool, g: Array, w: Array, size: tuple[int, ...], at: Geometry) -> Array:
        """`Backend.conv_input`: the convolution of `g` with the turned kernels."""
        return self.conv(pool, g, w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), None, turned(at))

    def conv_weight(self, pool: BufferPool, x: Array, g: Array, kernel: tuple[int, ...], at: Geometry) -> Array:
        """`Backend.conv_weight`."""
        loops, out, channels = _loops(self.side), g.shape[1], x.shape[1]
        height, width = g.shape[2:]
        down, across = self.cut(height, width)
        seen, given = bordered(pool, x, NONE), bordered(pool, g, NONE)
        tiles, blocks = x.shape[0] * down * across, out // loops.BLOCK
        most = min(TILES, tiles)
        apart = most | 1  # odd, as in `forward`: the places of a tile lie in different parts of a cache
        images = pool.empty((self.places, apart, channels), x.dtype)
        gradients = pool.empty((self.places, blocks, apart, loops.BLOCK), x.dtype)
        sums = pool.empty((self.places, channels, out), x.dtype)
        zeros = zero_bytes(loops.BYTES).ctypes.data
        held = (images.ctypes.data, gradients.ctypes.data)
        for first in range(0, tiles, most):
            count = min(most, tiles - first)
            table = (
                seen.ctypes.data, given.ctypes.data, *held, zeros, apart, first, *seen.strides[:2], channels,
                *given.strides[:2], blocks, down, across, *_edges(x, at), height, width,
            )  # fmt: skip
            run_strips(loops.gather, table, count, 8)
            table = (*held, sums.ctypes.data, zeros, apart, count, int(first == 0), channels, blocks)
            run_strips(loops.correlate, table, self.places * blocks, 1)
        run_strips(loops.finish, (sums.ctypes.data, zeros, channels, blocks), channels, 8)
        found = np.empty((out, channels, 3, 3), x.dtype)
        last = layouts(x.dtype)
        run_strips(last.unpack, (sums.ctypes.data, found.ctypes.data, 9, channels, out), -(-channels // last.PART), 1)
        return found
