"""Pooling as compiled loops over images with channels last.

Addresses and sizes come in a table of integers. This file is run from a copy in the kernel cache (see
`gpugrad.fusion.numba_cache`), once for each value of BITS and KIND; hence the absolute imports.
"""

from __future__ import annotations

from typing import Any

from numba import carray, uint8  # type: ignore[attr-defined]

from gpugrad.fusion import numba_memory as memory
from gpugrad.fusion.numba_cache import strip
from gpugrad.fusion.numba_ir import inline, select
from gpugrad.fusion.numba_select import ZERO

BITS = 32
# What `windows` does: find the largest elements, put numbers back where these were, spread.
MAXIMUM, PUT, SPREAD = range(3)
KIND = 0

ITEM = BITS // 8
at = memory.float32_at if BITS == 32 else memory.float64_at


@inline
def numbers(address: Any, count: Any) -> Any:
    """The numbers at an address."""
    return carray(at(address), (count,))


@inline
def add(image: Any, window: Any, won: Any, channels: Any, tap: Any, fresh: Any) -> Any:
    """What the element `tap` of a window has to do with it; `fresh` for the first one, of a window or of a pixel."""
    if KIND == MAXIMUM:
        if fresh:
            for c in range(channels):
                window[c] = image[c]
                won[c] = tap
        else:
            for c in range(channels):
                v, best = image[c], window[c]
                better = (v > best) | (v != v)
                window[c] = v if better else best
                won[c] = tap if better else won[c]
    elif KIND == PUT:
        if fresh:
            for c in range(channels):
                image[c] = select(won[c] == tap, window[c], ZERO(window[c]))
        else:
            for c in range(channels):
                image[c] += select(won[c] == tap, window[c], ZERO(window[c]))
    else:
        for c in range(channels):
            image[c] += window[c]
    return 0


@inline
def repeat(line: Any, windows: Any, places: Any, taps: Any, channels: Any) -> Any:
    """A line of pixels of which `taps` at a time are one of `places`."""
    image, window = numbers(line, places * taps * channels), numbers(windows, places * channels)
    for j in range(places):
        for t in range(taps):
            for c in range(channels):
                image[(j * taps + t) * channels + c] = window[j * channels + c]
    return 0


@strip
def windows(table: Any, start: Any, stop: Any) -> Any:
    """Images `start` to `stop` of x (n, height, width, channels) and y (n, rows, places, channels)."""
    x, y, won = memory.load(table, 0), memory.load(table, 1), memory.load(table, 2)
    height, width, channels = memory.load(table, 3), memory.load(table, 4), memory.load(table, 5)
    rows, places = memory.load(table, 6), memory.load(table, 7)
    kernel, taps = memory.load(table, 8), memory.load(table, 9)
    down, across = memory.load(table, 10), memory.load(table, 11)
    top, left = memory.load(table, 12), memory.load(table, 13)
    tall, wide = memory.load(table, 14), memory.load(table, 15)
    pixel = channels * ITEM
    # Windows side by side that cover the images: each pixel is written once.
    covered = kernel == down and taps == across and kernel * rows == height and taps * places == width
    covered = covered and top == 0 and left == 0 and tall == 1 and wide == 1
    for n in range(start, stop):
        if KIND == SPREAD and covered:  # lines alike
            for i in range(rows):
                first = x + (n * rows + i) * kernel * width * pixel
                repeat(first, y + (n * rows + i) * places * pixel, places, taps, channels)
                for k in range(1, kernel):
                    memory.copy(first + k * width * pixel, first, width * pixel)
            continue
        if KIND in (PUT, SPREAD) and not covered:
            memory.clear(x + n * height * width * pixel, height * width * pixel)
        for i in range(rows):
            for j in range(places):
                place = (n * rows + i) * places + j
                window = numbers(y + place * pixel, channels)
                who = carray(memory.byte_at(won + place * channels), (channels,))
                fresh = covered or KIND == MAXIMUM
                for k in range(kernel):
                    line = i * down - top + k * tall
                    for t in range(taps):
                        column = j * across - left + t * wide
                        if 0 <= line < height and 0 <= column < width:
                            image = numbers(x + ((n * height + line) * width + column) * pixel, channels)
                            add(image, window, who, channels, uint8(k * taps + t), fresh)
                            fresh = fresh and KIND == PUT
    return 0
