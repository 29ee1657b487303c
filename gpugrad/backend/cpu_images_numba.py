"""Pooling and the sums of batch normalisation as compiled loops over images with channels last.

Addresses and sizes come in a table of integers. This file is run from a copy in the kernel cache (see
`gpugrad.fusion.numba_cache`), once for each value of BITS and KIND; hence the absolute imports.
"""

from __future__ import annotations

from typing import Any

from numba import carray  # type: ignore[attr-defined]

from gpugrad.fusion import numba_memory as memory
from gpugrad.fusion.numba_cache import strip
from gpugrad.fusion.numba_ir import inline

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
def four(address: Any, count: Any) -> Any:
    """Four rows of numbers from an address on: taken together they wait less for one another's sums."""
    step = count * ITEM
    return (
        numbers(address, count), numbers(address + step, count), numbers(address + 2 * step, count),
        numbers(address + 3 * step, count),
    )  # fmt: skip


@inline
def add(image: Any, window: Any, won: Any, channels: Any, tap: Any, fresh: Any) -> Any:
    """What the element `tap` of a window has to do with it; `fresh` for the first that is inside the image."""
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
        for c in range(channels):
            image[c] += window[c] if won[c] == tap else window[c] * 0
    else:
        for c in range(channels):
            image[c] += window[c]
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
    for n in range(start, stop):
        if KIND in (PUT, SPREAD):
            memory.clear(x + n * height * width * pixel, height * width * pixel)
        for i in range(rows):
            for j in range(places):
                place = (n * rows + i) * places + j
                window = numbers(y + place * pixel, channels)
                who = carray(memory.byte_at(won + place * channels), (channels,))
                fresh = True
                for k in range(kernel):
                    line = i * down - top + k * tall
                    for t in range(taps):
                        column = j * across - left + t * wide
                        if 0 <= line < height and 0 <= column < width:
                            image = numbers(x + ((n * height + line) * width + column) * pixel, channels)
                            add(image, window, who, channels, k * taps + t, fresh)
                            fresh = False
    return 0


@inline
def add_up(x: Any, total: Any, rows: Any, channels: Any) -> Any:
    """The sums of the columns of rows from an address on."""
    for c in range(channels):
        total[c] = 0
    fours = rows // 4 * 4
    for r in range(0, fours, 4):
        p, q, s, t = four(x + r * channels * ITEM, channels)
        for c in range(channels):
            total[c] += (p[c] + q[c]) + (s[c] + t[c])
    for r in range(fours, rows):
        p = numbers(x + r * channels * ITEM, channels)
        for c in range(channels):
            total[c] += p[c]
    return 0


@strip
def moments(table: Any, start: Any, stop: Any) -> Any:
    """Sums and sums of squared distances from the own mean of columns, of blocks of rows `start` to `stop`."""
    x, sums, squares = memory.load(table, 0), memory.load(table, 1), memory.load(table, 2)
    count, channels, step = memory.load(table, 3), memory.load(table, 4), memory.load(table, 5)
    for block in range(start, stop):
        total = numbers(sums + block * channels * ITEM, channels)
        square = numbers(squares + block * channels * ITEM, channels)
        rows = min(step, count - block * step)
        own = x + block * step * channels * ITEM
        fours = rows // 4 * 4
        add_up(own, total, rows, channels)
        for c in range(channels):
            square[c] = 0
        for r in range(0, fours, 4):
            p, q, s, t = four(own + r * channels * ITEM, channels)
            for c in range(channels):
                mean = total[c] / rows
                square[c] += ((p[c] - mean) ** 2 + (q[c] - mean) ** 2) + ((s[c] - mean) ** 2 + (t[c] - mean) ** 2)
        for r in range(fours, rows):
            p = numbers(own + r * channels * ITEM, channels)
            for c in range(channels):
                square[c] += (p[c] - total[c] / rows) ** 2
    return 0


@strip
def along(table: Any, start: Any, stop: Any) -> Any:
    """Sums of g and of g (x - mean) scale over the columns, of blocks of rows `start` to `stop`."""
    g, x, mean, scale = memory.load(table, 0), memory.load(table, 1), memory.load(table, 2), memory.load(table, 3)
    sums, products = memory.load(table, 4), memory.load(table, 5)
    count, channels, step = memory.load(table, 6), memory.load(table, 7), memory.load(table, 8)
    centre, factor = numbers(mean, channels), numbers(scale, channels)
    for block in range(start, stop):
        total = numbers(sums + block * channels * ITEM, channels)
        product = numbers(products + block * channels * ITEM, channels)
        for c in range(channels):
            total[c] = 0
            product[c] = 0
        first = block * step
        rows = min(step, count - first)
        fours = rows // 4 * 4
        for r in range(first, first + fours, 4):
            a, b, d, e = four(g + r * channels * ITEM, channels)
            p, q, s, t = four(x + r * channels * ITEM, channels)
            for c in range(channels):
                mean = centre[c]
                total[c] += (a[c] + b[c]) + (d[c] + e[c])
                product[c] += (a[c] * (p[c] - mean) + b[c] * (q[c] - mean)) + (
                    d[c] * (s[c] - mean) + e[c] * (t[c] - mean)
                )
        for r in range(first + fours, first + rows):
            a, p = numbers(g + r * channels * ITEM, channels), numbers(x + r * channels * ITEM, channels)
            for c in range(channels):
                total[c] += a[c]
                product[c] += a[c] * (p[c] - centre[c])
        for c in range(channels):
            product[c] *= factor[c]
    return 0


@strip
def columns(table: Any, start: Any, stop: Any) -> Any:
    """Sums of the columns, of blocks of rows `start` to `stop`."""
    x, sums = memory.load(table, 0), memory.load(table, 1)
    count, channels, step = memory.load(table, 2), memory.load(table, 3), memory.load(table, 4)
    for block in range(start, stop):
        total = numbers(sums + block * channels * ITEM, channels)
        add_up(x + block * step * channels * ITEM, total, min(step, count - block * step), channels)
    return 0
