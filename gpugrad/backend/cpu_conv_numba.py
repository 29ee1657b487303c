"""Convolutions as loops around a tile of registers: forward, and the gradient of the kernels; dense and depthwise.

Every array has its channels last; steps and sizes come in a table (the order is that of the reads below), in bytes.
This file is run from a copy in the kernel cache (see `gpugrad.fusion.numba_cache`), once for each of the
constants' values that `cpu_conv` asks for; hence the absolute imports.
"""

from __future__ import annotations

from typing import Any

from gpugrad.fusion import numba_memory as memory
from gpugrad.fusion.numba_cache import strip
from gpugrad.fusion.numba_tile import ROWS, ROWS_DIAGONAL, lanes, tiles

BITS = 32
VECTORS = 2
HALF = False
DEPTHWISE = False

ITEM = BITS // 8
BLOCK = VECTORS * lanes(BITS, HALF)
BYTES = BLOCK * ITEM
# How far a block of channels is in the left factor: depthwise, input and output channels are the same.
INPUT_BYTES = BYTES if DEPTHWISE else 0
add = tiles(BITS, ROWS_DIAGONAL if DEPTHWISE else ROWS, VECTORS, HALF, DEPTHWISE)


@strip
def forward(table: Any, start: Any, stop: Any) -> Any:
    """Rows `start` to `stop` of the output, counted over all images.

    What a tile adds up is cut into parts, so that a part's kernels stay in the nearest cache over all rows.
    """
    x, w, y, init = (memory.load(table, 0), memory.load(table, 1), memory.load(table, 2), memory.load(table, 3))
    x_image, x_row, x_pixel = memory.load(table, 4), memory.load(table, 5), memory.load(table, 6)
    y_image, y_row, y_pixel = memory.load(table, 7), memory.load(table, 8), memory.load(table, 9)
    height, width, channels = memory.load(table, 10), memory.load(table, 11), memory.load(table, 12)
    downs, x_down, w_down = memory.load(table, 13), memory.load(table, 14), memory.load(table, 15)
    acrosses, x_across, w_across = memory.load(table, 16), memory.load(table, 17), memory.load(table, 18)
    outer, x_outer, w_outer = memory.load(table, 19), memory.load(table, 20), memory.load(table, 21)
    run, x_inner, w_inner = memory.load(table, 22), memory.load(table, 23), memory.load(table, 24)
    part, w_block = memory.load(table, 25), memory.load(table, 26)
    parts = (run + part - 1) // part
    for block in range((channels + BLOCK - 1) // BLOCK):
        valid = min(BLOCK, channels - block * BLOCK)
        for call in range(downs * acrosses * parts):
            down, across, piece = call // (acrosses * parts), call // parts % acrosses, call % parts
            own = w + block * w_block + down * w_down + across * w_across + piece * part * w_inner
            source = x + block * INPUT_BYTES + down * x_down + across * x_across + piece * part * x_inner
            inner = min(part, run - piece * part)
            for r in range(start, stop):
                n = r // height
                a = source + n * x_image + (r - n * height) * x_row
                o = y + n * y_image + (r - n * height) * y_row + block * BYTES
                place = 0
                while place < width:
                    target = o + place * y_pixel
                    begin, begin_step = target, y_pixel
                    if call == 0:
                        begin, begin_step = init + block * BYTES, 0
                    place += add(
                        width - place, target, y_pixel, begin, begin_step, a + place * x_pixel, x_pixel, 0,
                        x_outer, x_inner, own, 0, w_outer, w_inner, 1, outer, inner, valid,
                    )  # fmt: skip
    return 0


@strip
def weight(table: Any, start: Any, stop: Any) -> Any:
    """The kernels' gradient: parts `start` to `stop` of (group of images, kernel rows, block of channels).

    The output's gradient comes in blocks of channels; those of the usual numbers of channels would share few places
    of the nearest cache.
    """
    x, g, y, zeros = (memory.load(table, 0), memory.load(table, 1), memory.load(table, 2), memory.load(table, 3))
    x_image, x_row, x_pixel = memory.load(table, 4), memory.load(table, 5), memory.load(table, 6)
    g_image, g_row, g_pixel = memory.load(table, 7), memory.load(table, 8), memory.load(table, 9)
    height, width, channels = memory.load(table, 10), memory.load(table, 11), memory.load(table, 12)
    kernel, x_kernel, y_kernel = memory.load(table, 13), memory.load(table, 14), memory.load(table, 15)
    calls, x_call, y_call = memory.load(table, 16), memory.load(table, 17), memory.load(table, 18)
    run, x_run, y_run = memory.load(table, 19), memory.load(table, 20), memory.load(table, 21)
    images, per_group, y_group = memory.load(table, 22), memory.load(table, 23), memory.load(table, 24)
    per_part, rows, per_call = memory.load(table, 25), memory.load(table, 26), memory.load(table, 27)
    g_block, fresh = memory.load(table, 28), memory.load(table, 29)
    blocks = (channels + BLOCK - 1) // BLOCK
    parts = (kernel + per_part - 1) // per_part
    for index in range(start, stop):
        block = index % blocks
        part = index // blocks % parts
        group = index // (blocks * parts)
        valid = min(BLOCK, channels - block * BLOCK)
        first = group * per_group
        last = min(images, first + per_group)
        for n in range(first, last, per_call):
            for row in range(0, height, rows):
                own = g + block * g_block + n * g_image + row * g_row
                for k in range(part * per_part, min(kernel, (part + 1) * per_part)):
                    for call in range(calls):
                        a = x + n * x_image + row * x_row + k * x_kernel + call * x_call + block * INPUT_BYTES
                        o = y + group * y_group + k * y_kernel + call * y_call + block * BYTES
                        place = 0
                        while place < run:
                            target = o + place * y_run
                            begin, begin_step = target, y_run
                            if fresh != 0 and n == first and row == 0:
                                begin, begin_step = zeros, 0
                            place += add(
                                run - place, target, y_run, begin, begin_step, a + place * x_run, x_run,
                                x_image, x_row, x_pixel, own, g_image, g_row, g_pixel, min(per_call, last - n),
                                min(rows, height - row), width, valid,
                            )  # fmt: skip
    return 0


if DEPTHWISE:

    @strip
    def clipped(table: Any, start: Any, stop: Any) -> Any:
        """`forward` for images without a border: kernels are cut off where they reach beyond an image."""
        x, w, y, init = (memory.load(table, 0), memory.load(table, 1), memory.load(table, 2), memory.load(table, 3))
        x_image, x_line, x_pixel = memory.load(table, 4), memory.load(table, 5), memory.load(table, 6)
        y_image, y_row, y_pixel = memory.load(table, 7), memory.load(table, 8), memory.load(table, 9)
        height, width, channels = memory.load(table, 10), memory.load(table, 11), memory.load(table, 12)
        outer, inner, w_outer, w_inner = (
            memory.load(table, 13), memory.load(table, 14), memory.load(table, 15), memory.load(table, 16),
        )  # fmt: skip
        down, across, tall, wide = (
            memory.load(table, 17), memory.load(table, 18), memory.load(table, 19), memory.load(table, 20),
        )  # fmt: skip
        top, left, in_height, in_width = (
            memory.load(table, 21), memory.load(table, 22), memory.load(table, 23), memory.load(table, 24),
        )  # fmt: skip
        w_block = memory.load(table, 25)
        # Output pixels from `inside` to `beyond` see whole rows of a kernel.
        inside = min(width, (left + across - 1) // across)
        beyond = max(inside, min(width, (in_width + left - (inner - 1) * wide - 1) // across + 1))
        for block in range((channels + BLOCK - 1) // BLOCK):
            valid = min(BLOCK, channels - block * BLOCK)
            own = w + block * w_block
            for r in range(start, stop):
                n = r // height
                i = r - n * height
                first = i * down - top
                skip = max(0, (tall - 1 - first) // tall) if first < 0 else 0
                rows = min(outer, (in_height - first + tall - 1) // tall) - skip
                a = x + n * x_image + (first + skip * tall) * x_line + block * INPUT_BYTES
                o = y + n * y_image + i * y_row + block * BYTES
                kernel = own + skip * w_outer
                place = 0
                while place < width:
                    column = place * across - left
                    cut = max(0, (wide - 1 - column) // wide) if column < 0 else 0
                    count = min(inner, (in_width - column + wide - 1) // wide) - cut
                    room = beyond - place if inside <= place < beyond else 1
                    place += add(
                        room, o + place * y_pixel, y_pixel, init + block * BYTES, 0,
                        a + (column + cut * wide) * x_pixel, across * x_pixel, 0, tall * x_line, wide * x_pixel,
                        kernel + cut * w_inner, 0, w_outer, w_inner, 1, rows, count, valid,
                    )  # fmt: skip
        return 0
