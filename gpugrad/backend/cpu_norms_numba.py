"""Batch normalisation as compiled loops over a matrix whose columns are the channels; see `cpu_norms`.

Addresses and sizes come in a table of integers: the rows of the matrix, the bytes of one, the rows of a block, then
addresses. This file is run from a copy in the kernel cache (see `gpugrad.fusion.numba_cache`), once for each value of
BITS; hence the absolute imports.
"""

from __future__ import annotations

from typing import Any

from numba import carray  # type: ignore[attr-defined]

from gpugrad.fusion import numba_memory as memory
from gpugrad.fusion.numba_cache import strip
from gpugrad.fusion.numba_ir import inline
from gpugrad.fusion.numba_sweep import sweep

BITS = 32

ITEM = BITS // 8
ADDRESSES = 3
# Rows whose mean stands for that of a block until it is known.
FEW = 16
at = memory.float32_at if BITS == 32 else memory.float64_at


def _add(do: Any, moving: Any, still: Any, sums: Any) -> Any:
    return [do.add(sums[0], moving[0])], []


def _moments(do: Any, moving: Any, still: Any, sums: Any) -> Any:
    away = do.sub(moving[0], still[0])
    return [do.add(sums[0], away), do.fma(away, away, sums[1])], []


def _products(do: Any, moving: Any, still: Any, sums: Any) -> Any:
    g, x = moving
    return [do.add(sums[0], g), do.fma(g, do.sub(x, still[0]), sums[1])], []


def _apply(do: Any, moving: Any, still: Any, sums: Any) -> Any:
    mean, factor, bias = still
    return [], [do.fma(do.sub(moving[0], mean), factor, bias)]


def _back(do: Any, moving: Any, still: Any, sums: Any) -> Any:
    (g, x), (mean, minus, factor, slope) = moving, still
    return [], [do.fma(do.sub(x, mean), slope, do.mul(do.sub(g, minus), factor))]


add_up = sweep(BITS, 1, 0, 1, 0, _add)
add_moments = sweep(BITS, 1, 1, 2, 0, _moments, own=True)
add_products = sweep(BITS, 2, 1, 2, 0, _products)
apply_row = sweep(BITS, 1, 3, 0, 1, _apply)
apply_back = sweep(BITS, 2, 4, 0, 1, _back)


@inline
def block_of(table: Any, block: Any) -> Any:
    """The first row of a block and how many it has."""
    first = block * memory.load(table, 2)
    return first, min(memory.load(table, 2), memory.load(table, 0) - first)


@inline
def blocks_of(table: Any) -> Any:
    """How many blocks there are."""
    return (memory.load(table, 0) + memory.load(table, 2) - 1) // memory.load(table, 2)


@inline
def turned(table: Any, block: Any) -> Any:
    """Blocks from the last to the first: what was looked at last is still in the cache."""
    return blocks_of(table) - 1 - block


@inline
def go_down(work: Any, table: Any, first: Any, rows: Any, line: Any, part: Any) -> Any:
    """A `sweep` over `rows` rows and all columns."""
    column = 0
    while column < line:
        column += work(table, ADDRESSES, first, rows, line, part, column)
    return 0


@strip
def columns(table: Any, start: Any, stop: Any) -> Any:
    """Sums of the columns, of blocks `start` to `stop`."""
    line = memory.load(table, 1)
    for block in range(start, stop):
        first, rows = block_of(table, block)
        go_down(add_up, table, first, rows, line, block)
    return 0


@strip
def moments(table: Any, start: Any, stop: Any) -> Any:
    """Of blocks `start` to `stop` a value near the mean of each column, the sums of the distances and of their squares.

    The value is the mean of the first rows, so that the variance is at least 1 / rows of its squared distance from the
    mean, and the squares lose no more than that by their difference.
    """
    line = memory.load(table, 1)
    for block in range(start, stop):
        first, rows = block_of(table, block)
        few = min(rows, FEW)
        near = carray(at(memory.load(table, ADDRESSES + 1) + block * line), (line // ITEM,))
        go_down(add_up, table, first, few, line, block)
        for c in range(line // ITEM):
            near[c] = near[c] / few
        go_down(add_moments, table, first, rows, line, block)
    return 0


@strip
def together(table: Any, start: Any, stop: Any) -> Any:
    """Mean and biased variance of the channels, in float64, from the `moments` of all blocks; one call.

    The table goes on after the addresses of `moments` with those of the results, how many columns a channel has, and
    how many channels there are. The blocks' means and squared distances are put together as by T. F. Chan, G. H.
    Golub and R. J. LeVeque (1983).
    """
    folds, channels, blocks = memory.load(table, 9), memory.load(table, 10), blocks_of(table)
    shape = (blocks, folds, channels)
    near, sums = carray(at(memory.load(table, 4)), shape), carray(at(memory.load(table, 5)), shape)
    squares = carray(at(memory.load(table, 6)), shape)
    mean = carray(memory.float64_at(memory.load(table, 7)), (channels,))
    variance = carray(memory.float64_at(memory.load(table, 8)), (channels,))
    every = float(memory.load(table, 0) * folds)
    for c in range(channels):
        mean[c] = 0
        variance[c] = 0
    for block in range(blocks):
        rows = float(block_of(table, block)[1])
        for fold in range(folds):
            for c in range(channels):
                mean[c] += near[block, fold, c] * rows + sums[block, fold, c]
    for c in range(channels):
        mean[c] /= every
    for block in range(blocks):
        rows = float(block_of(table, block)[1])
        for fold in range(folds):
            for c in range(channels):
                off = sums[block, fold, c] / rows
                away = near[block, fold, c] + off - mean[c]
                variance[c] += squares[block, fold, c] - off * sums[block, fold, c] + rows * away * away
    for c in range(channels):
        variance[c] = 0.0 if variance[c] < 0 else variance[c] / every  # nan stays
    return 0


@strip
def products(table: Any, start: Any, stop: Any) -> Any:
    """Sums over the columns of g and of g (x - mean), of blocks `start` to `stop`."""
    line = memory.load(table, 1)
    for block in range(start, stop):
        first, rows = block_of(table, block)
        go_down(add_products, table, first, rows, line, block)
    return 0


@strip
def normalise(table: Any, start: Any, stop: Any) -> Any:
    """(x - mean) factor + bias, of blocks `start` to `stop`, counted from the end."""
    line = memory.load(table, 1)
    for block in range(start, stop):
        first, rows = block_of(table, turned(table, block))
        go_down(apply_row, table, first, rows, line, 0)
    return 0


@strip
def normalise_vjp(table: Any, start: Any, stop: Any) -> Any:
    """(g - minus) factor + (x - mean) slope, likewise."""
    line = memory.load(table, 1)
    for block in range(start, stop):
        first, rows = block_of(table, turned(table, block))
        go_down(apply_back, table, first, rows, line, 0)
    return 0
