"""The gradient of images with few channels as a compiled loop: what each pixel of the output gives to a row of pixels.

Addresses, sizes and steps (in bytes) come in a table, in the order of the reads below. This file is run from a copy in
the kernel cache (see `gpugrad.fusion.numba_cache`), once for each of the constants' values that `cpu_conv_few` asks
for; hence the absolute imports.
"""

from __future__ import annotations

from typing import Any

from gpugrad.fusion import numba_memory as memory
from gpugrad.fusion.numba_cache import strip
from gpugrad.fusion.numba_tile import ROWS, lanes, tiles

BITS = 32
VECTORS = 2
HALF = False

ITEM = BITS // 8
BYTES = VECTORS * lanes(BITS, HALF) * ITEM
add = tiles(BITS, ROWS, VECTORS, HALF)


@strip
def scatter(table: Any, start: Any, stop: Any) -> Any:
    """Lines `start` to `stop` of the images' gradient, counted over all images.

    A line is added up in memory of its own, wide enough for the border. The runs of neighbouring pixels overlap there:
    a tile reads, adds and stores one after the other.
    """
    g, w, x, lines = memory.load(table, 0), memory.load(table, 1), memory.load(table, 2), memory.load(table, 3)
    g_image, g_row, g_pixel = memory.load(table, 4), memory.load(table, 5), memory.load(table, 6)
    rows, width, out = memory.load(table, 7), memory.load(table, 8), memory.load(table, 9)
    height, x_line, x_pixel = memory.load(table, 10), memory.load(table, 11), memory.load(table, 12)
    kernel, run, part = memory.load(table, 13), memory.load(table, 14), memory.load(table, 15)
    top, left = memory.load(table, 16), memory.load(table, 17)
    down, across, tall = memory.load(table, 18), memory.load(table, 19), memory.load(table, 20)
    # A line meets every so many rows of a kernel, in rows of the output that lie so far apart.
    apart, back = memory.load(table, 21), memory.load(table, 22)
    room, step = memory.load(table, 23), memory.load(table, 24)
    line, beyond = lines + start // step * room, across * x_pixel
    for r in range(start, stop):
        n = r // height
        place = r - n * height + top
        k = 0
        while k < kernel and ((place - k * tall) % down != 0 or place - k * tall >= rows * down):
            k += 1
        count = 0
        while k + count * apart < kernel and place - (k + count * apart) * tall >= 0:
            count += 1
        memory.clear(line, room)
        first = g + n * g_image + (place - k * tall) // down * g_row
        for piece in range(0, out if count > 0 else 0, part):
            j = 0
            while j < width:
                target = line + j * beyond
                j += add(
                    width - j, target, beyond, target, beyond, first + j * g_pixel + piece * ITEM, g_pixel,
                    -back * g_row, 0, ITEM, w + (k * out + piece) * BYTES, apart * out * BYTES, 0, BYTES,
                    count, 1, min(part, out - piece), run,
                )  # fmt: skip
        memory.copy(x + r * x_line, line + left * x_pixel, x_line)
    return 0
