"""Batch normalisation on the CPU in compiled loops: float32 and float64, over rows with a column for each channel.

The loops are in `cpu_norms_numba`. What is declined here (other types, small arrays, no Numba) goes the general way,
`ops.norms`, with the same results. Rows are cut into blocks by the shape alone, so results do not depend on the number
of threads.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from .base import Array, Running
from .cpu_images import images_first, images_last, takes
from .cpu_layout import loaded, run_strips
from .pool import BufferPool

# Bytes and rows, at most, of a block whose sums are one part: few enough that their rounding errors stay small.
BLOCK: Final = 1 << 17
ROWS: Final = 1024
# Numbers of a row that fill a strip of vectors; rows of fewer are taken several as one.
FILLED: Final = 64


class _Blocks:
    """Rows of columns, and how they are cut into blocks.

    Attributes:
        columns: of the matrix whose rows are `folds` of the given ones.
        count: of blocks.
        head: the sizes that tables of the compiled loops begin with.
    """

    def __init__(self, rows: Array) -> None:
        n, channels = rows.shape
        self.folds = 1
        while channels * self.folds < FILLED and n % (2 * self.folds) == 0:
            self.folds *= 2
        self.columns, self.dtype = channels * self.folds, rows.dtype
        line = self.columns * rows.itemsize
        step = min(ROWS, max(1, BLOCK // line))
        self.head = (n // self.folds, line, step)
        self.count = -(-self.head[0] // step)

    def wide(self, row: Array) -> Array:
        """A number for each channel as one for each column."""
        row = row.astype(self.dtype, copy=False)
        return np.tile(row, self.folds) if self.folds > 1 else np.ascontiguousarray(row)

    def sums(self, count: int) -> Array:
        """Room for `count` sums of the columns of each block."""
        return np.empty((count, self.count, self.columns), self.dtype)

    def total(self, sums: Array, channels: int) -> Array:
        """The sums of all blocks."""
        return sums.reshape(-1, channels).sum(0, dtype=np.float64).astype(self.dtype)

    def run(self, name: str, *arrays: Array) -> None:
        """One of the loops, on matrices and rows in the order of its table."""
        table = (*self.head, *(a.ctypes.data for a in arrays))
        run_strips(getattr(_loops(self.dtype), name), table, self.count, 1)


def _loops(dtype: Any) -> Any:
    return loaded("cpu_norms_numba.py", BITS=dtype.itemsize * 8)


def statistics(rows: Array) -> tuple[Array, Array]:
    """Mean and biased variance of the columns of a matrix."""
    rows = np.ascontiguousarray(rows)
    return _statistics(rows, _Blocks(rows))


def _statistics(rows: Array, blocks: _Blocks) -> tuple[Array, Array]:
    channels = rows.shape[1]
    found = blocks.sums(3)
    blocks.run("moments", rows, *found)
    result = np.empty((2, channels))
    slots = np.array(
        (*blocks.head, *(a.ctypes.data for a in (rows, *found, *result)), blocks.folds, channels), np.int64
    )
    _loops(rows.dtype).together.ctypes(slots.ctypes.data, 0, 1)
    mean, variance = result.astype(rows.dtype)
    return mean, variance


def products(g: Array, rows: Array, mean: Array, scale: Array) -> tuple[Array, Array]:
    """Sums over the columns of g and of g (rows - mean) scale: matrices, and one number for each column."""
    g, rows = np.ascontiguousarray(g), np.ascontiguousarray(rows)
    return _products(g, rows, mean, scale, _Blocks(rows))


def _products(g: Array, rows: Array, mean: Array, scale: Array, blocks: _Blocks) -> tuple[Array, Array]:
    found = blocks.sums(2)
    blocks.run("products", g, rows, blocks.wide(mean), *found)
    channels = rows.shape[1]
    return blocks.total(found[0], channels), blocks.total(found[1], channels) * scale


def column_sums(rows: Array) -> Array:
    """The sums of the columns of a matrix."""
    rows = np.ascontiguousarray(rows)
    blocks = _Blocks(rows)
    found = blocks.sums(1)
    blocks.run("columns", rows, found)
    return blocks.total(found, rows.shape[1])


def taken(x: Array, *others: Array) -> bool:
    """Whether images (n, channels, *size) are normalised here: at most two spatial axes, and all of one type."""
    return x.ndim > 1 and takes(max(1, x.ndim - 2), x, *others)


def batch_norm(
    pool: BufferPool, x: Array, weight: Array, bias: Array, eps: float, running: Running, momentum: float
) -> tuple[Array, Array, Array]:
    """`Backend.batch_norm`."""
    last = images_last(pool, x)
    rows = last.reshape(-1, x.shape[1])
    blocks = _Blocks(rows)
    mean, variance = _statistics(rows, blocks)
    if running is not None:
        count = rows.shape[0]
        *moving, batches = running
        for array, value in zip(moving, (mean, variance * (count / (count - 1))), strict=True):
            array *= 1 - momentum
            array += momentum * value
        if batches is not None:
            batches += 1
    rate = 1 / np.sqrt(variance + x.dtype.type(eps))
    y = pool.empty(last.shape, x.dtype)
    blocks.run("normalise", rows, blocks.wide(mean), blocks.wide(rate * weight), blocks.wide(bias), y)
    return images_first(y), mean, rate


def batch_norm_vjp(
    pool: BufferPool, g: Array, x: Array, weight: Array, mean: Array, rate: Array
) -> tuple[Array, Array, Array]:
    """`Backend.batch_norm_vjp`: with n = elements of a channel, w rate (g - sum(g)/n - normal sum(g normal)/n)."""
    given, last = images_last(pool, g), images_last(pool, x)
    rows = last.reshape(-1, x.shape[1])
    blocks, count = _Blocks(rows), rows.shape[0]
    total, along = _products(given, rows, mean, rate, blocks)
    factor = rate * weight
    slope = along * factor * rate / -count
    dx = pool.empty(last.shape, x.dtype)
    still = (blocks.wide(each) for each in (mean, total / count, factor, slope))
    blocks.run("normalise_vjp", given, rows, *still, dx)
    return images_first(dx), along, total
