"""The layouts that convolutions work on: images with channels last and a border, kernels in blocks of channels.

Steps and sizes come in a table, in bytes, as for `cpu_conv_numba`; this file too is run from a copy in the kernel
cache.
"""

from __future__ import annotations

from typing import Any

from numba import carray  # type: ignore[attr-defined]

from gpugrad.fusion import numba_memory as memory
from gpugrad.fusion.numba_cache import strip

BITS = 32
PART = 16

ITEM = BITS // 8
at = memory.float32_at if BITS == 32 else memory.float64_at


@strip
def border(table: Any, start: Any, stop: Any) -> Any:
    """Images with channels last and a border of zeros: rows `start` to `stop`, counted over all images."""
    x, y = memory.load(table, 0), memory.load(table, 1)
    x_image, x_row, x_pixel = memory.load(table, 2), memory.load(table, 3), memory.load(table, 4)
    x_channel, channels = memory.load(table, 5), memory.load(table, 6)
    height, width = memory.load(table, 7), memory.load(table, 8)
    top, left = memory.load(table, 9), memory.load(table, 10)
    full_height, full_width = memory.load(table, 11), memory.load(table, 12)
    dense = x_channel == ITEM and x_pixel == channels * ITEM
    pixel = channels * ITEM
    for r in range(start, stop):
        n = r // full_height
        i = r - n * full_height - top
        line = y + r * full_width * pixel
        if i < 0 or i >= height:
            memory.clear(line, full_width * pixel)
        else:
            memory.clear(line, left * pixel)
            memory.clear(line + (left + width) * pixel, (full_width - left - width) * pixel)
            source, line = x + n * x_image + i * x_row, line + left * pixel
            if dense:
                memory.copy(line, source, width * pixel)
            else:
                out = carray(at(line), (width * channels,))
                for c in range(channels):
                    for j in range(width):
                        out[j * channels + c] = carray(at(source + c * x_channel + j * x_pixel), (1,))[0]
    return 0


@strip
def pack(table: Any, start: Any, stop: Any) -> Any:
    """Kernels as [block][i][j][inner][channel of the block], zeros beyond the last; parts `start` to `stop`.

    Blocks may lie apart. A part is `PART` of `inner` of a block: what lies side by side in the kernels is read while it
    is in the nearest cache.
    """
    x, y = memory.load(table, 0), memory.load(table, 1)
    x_channel, x_i, x_j, x_inner = (
        memory.load(table, 2), memory.load(table, 3), memory.load(table, 4), memory.load(table, 5),
    )  # fmt: skip
    channels, outer, calls, inner = (
        memory.load(table, 6), memory.load(table, 7), memory.load(table, 8), memory.load(table, 9),
    )  # fmt: skip
    width, y_block = memory.load(table, 10), memory.load(table, 11)
    parts = (inner + PART - 1) // PART
    for index in range(start, stop):
        block, low = index // parts, index % parts * PART
        valid = min(width, channels - block * width)
        for i in range(outer):
            for j in range(calls):
                for k in range(low, min(inner, low + PART)):
                    line = y + block * y_block + ((i * calls + j) * inner + k) * width * ITEM
                    out = carray(at(line), (width,))
                    source = x + block * width * x_channel + i * x_i + j * x_j + k * x_inner
                    for c in range(valid):
                        out[c] = carray(at(source + c * x_channel), (1,))[0]
                    for c in range(valid, width):
                        out[c] = 0
    return 0


@strip
def unpack(table: Any, start: Any, stop: Any) -> Any:
    """A gradient [tap][inner][channel] as [channel][inner][tap]; parts `start` to `stop` of `inner`."""
    x, y = memory.load(table, 0), memory.load(table, 1)
    taps, inner, channels = memory.load(table, 2), memory.load(table, 3), memory.load(table, 4)
    source = carray(at(x), (taps * inner * channels,))
    target = carray(at(y), (taps * inner * channels,))
    for low in range(start * PART, min(inner, stop * PART), PART):
        for o in range(channels):
            for c in range(low, min(inner, low + PART)):
                for k in range(taps):
                    target[(o * inner + c) * taps + k] = source[(k * inner + c) * channels + o]
    return 0


@strip
def blocks(table: Any, start: Any, stop: Any) -> Any:
    """Rows of channels as [block][row][channel of the block], zeros beyond the last; parts `start` to `stop`."""
    x, y = memory.load(table, 0), memory.load(table, 1)
    rows, channels, width, part = (
        memory.load(table, 2), memory.load(table, 3), memory.load(table, 4), memory.load(table, 5),
    )  # fmt: skip
    for block in range((channels + width - 1) // width):
        valid = min(width, channels - block * width)
        for row in range(start * part, min(rows, stop * part)):
            target = y + (block * rows + row) * width * ITEM
            memory.copy(target, x + (row * channels + block * width) * ITEM, valid * ITEM)
            if valid < width:
                memory.clear(target + valid * ITEM, (width - valid) * ITEM)
    return 0
