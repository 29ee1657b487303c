"""Depthwise convolutions with kernels of 3 x 3 and their gradients as compiled loops, channels last.

Addresses and sizes (in bytes) come in a table, in the order of the reads below. This file is run from a copy in the
kernel cache (see `gpugrad.fusion.numba_cache`), once for each value of BITS; hence the absolute imports.
"""

from __future__ import annotations

from typing import Any

from gpugrad.fusion import numba_memory as memory
from gpugrad.fusion.numba_cache import strip
from gpugrad.fusion.numba_ir import inline
from gpugrad.fusion.numba_slide import slide

BITS = 32
# Bytes of a cache line.
LINE = 64

convolve = slide(BITS, "convolve")
correlate = slide(BITS, "correlate")


@inline
def line(x: Any, zeros: Any, r: Any, i: Any, height: Any, row: Any, pixel: Any) -> Any:
    """The address of row `r`, which is row `i` of its image, and its step; zeros and none beyond the image."""
    if 0 <= i < height:
        return x + r * row, pixel
    return zeros, 0


@inline
def fetch(address: Any, row: Any) -> Any:
    """Ask for a row in time: a vector of each pixel is far from the next one's, which the machine does not foresee."""
    for byte in range(0, row, LINE):
        memory.prefetch(address + byte)
    return 0


@inline
def go_along(
    work: Any, r: Any, x: Any, y: Any, kernels: Any, init: Any, zeros: Any, height: Any, width: Any, pixel: Any
) -> Any:
    """Slide over row `r` of all images at `x` and of what has their shape at `y`, a vector of channels at a time."""
    row, i = width * pixel, r % height
    fetch(x + (r + 2) * row, row)
    fetch(y + (r + 1) * row, row)
    column = 0
    while column < pixel:
        above, s0 = line(x + column, zeros, r - 1, i - 1, height, row, pixel)
        below, s2 = line(x + column, zeros, r + 1, i + 1, height, row, pixel)
        own = r * row + column
        column += work(
            above, x + own, below, y + own, s0, pixel, s2, pixel, kernels + column, pixel, init + column, width,
            pixel - column,
        )  # fmt: skip
    return 0


@strip
def forward(table: Any, start: Any, stop: Any) -> Any:
    """Rows `start` to `stop` of the output, counted over all images."""
    x, w, y, init = memory.load(table, 0), memory.load(table, 1), memory.load(table, 2), memory.load(table, 3)
    zeros, height = memory.load(table, 4), memory.load(table, 5)
    width, pixel = memory.load(table, 6), memory.load(table, 7)
    for r in range(start, stop):
        go_along(convolve, r, x, y, w, init, zeros, height, width, pixel)
    return 0


@strip
def weight(table: Any, start: Any, stop: Any) -> Any:
    """The sums of the kernels' gradient of parts `start` to `stop` of all rows."""
    x, g, sums = memory.load(table, 0), memory.load(table, 1), memory.load(table, 2)
    zeros, height = memory.load(table, 4), memory.load(table, 5)
    width, pixel = memory.load(table, 6), memory.load(table, 7)
    rows, each = memory.load(table, 8), memory.load(table, 9)
    for part in range(start, stop):
        total = sums + part * 9 * pixel
        memory.clear(total, 9 * pixel)
        for r in range(part * each, min(rows, (part + 1) * each)):
            go_along(correlate, r, x, g, total, 0, zeros, height, width, pixel)
    return 0
