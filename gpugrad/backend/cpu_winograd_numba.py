"""Winograd's convolutions as compiled loops: forward, and the gradient of 3 x 3 kernels, channels last.

Addresses, sizes and steps (in bytes) come in a table, in the order of the reads below. This file is run from a copy in
the kernel cache (see `gpugrad.fusion.numba_cache`), once for each value of SIDE; hence the absolute imports.
"""

from __future__ import annotations

from typing import Any

from gpugrad.fusion import numba_memory as memory
from gpugrad.fusion.numba_cache import strip
from gpugrad.fusion.numba_ir import inline
from gpugrad.fusion.numba_tile import ROWS, lanes, tiles
from gpugrad.fusion.numba_transform import transform

BITS = 32
# Pixels of a tile of the output, each way. A tile is transformed into (SIDE + 2) ** 2 numbers, its places.
SIDE = 4

EDGE = SIDE + 2
PLACES = EDGE * EDGE
ITEM = BITS // 8
LANES = lanes(BITS)
VECTOR = LANES * ITEM
# Channels of a block: two vectors.
BLOCK = 2 * LANES
BYTES = BLOCK * ITEM
# How many products are added up in a row: the parts are added to one another, for fewer rounding errors.
PART = 96
# A. Lavin and S. Gray (CVPR 2016): images, kernels and results, with the points 0, 1, -1 and for tiles of 4 also 2, -2.
INPUT = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)) if SIDE == 2 else (
    (4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1),
)  # fmt: skip
KERNEL = ((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)) if SIDE == 2 else (
    (1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6), (0, 0, 1),
)  # fmt: skip
OUTPUT = ((1, 1, 1, 0), (0, 1, -1, -1)) if SIDE == 2 else (
    (1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1),
)  # fmt: skip
images_in = transform(BITS, INPUT)
kernels_in = transform(BITS, KERNEL)
results_out = transform(BITS, OUTPUT)
# The transposes lead back: the results' gradient in, the kernels' gradient out.
gradients_in = transform(BITS, tuple(zip(*OUTPUT, strict=True)))
kernels_out = transform(BITS, tuple(zip(*KERNEL, strict=True)))

tile = tiles(BITS, ROWS, 2)


@inline
def product(
    rows: Any, y: Any, ys: Any, init: Any, inits: Any, a: Any, a_t: Any, a_j: Any, w: Any, w_j: Any, inner: Any
) -> Any:
    """y[t, :] = init[t, :] + sum over j < inner of a[t, j] w[j, :] for `rows` rows of a block."""
    t = 0
    while t < rows:
        done, begin, step = 0, init + t * inits, inits
        for part in range(0, inner, PART):
            done = tile(
                rows - t, y + t * ys, ys, begin, step, a + t * a_t + part * a_j, a_t, 0, 0, a_j, w + part * w_j, 0, 0,
                w_j, 1, 1, min(PART, inner - part), BLOCK,
            )  # fmt: skip
            begin, step = y + t * ys, ys
        t += done
    return 0


@strip
def kernels(table: Any, start: Any, stop: Any) -> Any:
    """Kernels in the first 9 of [block][place][channel][of the block] become all places; rows of channels.

    A transformation reads all that it needs before it writes, here and below, so that no second buffer is needed.
    """
    u, channels, zeros = memory.load(table, 0), memory.load(table, 1), memory.load(table, 2)
    step = channels * BYTES
    for r in range(start, stop):
        block = r // channels
        own = u + block * PLACES * step + (r - block * channels) * BYTES
        for q in range(own, own + BYTES, VECTOR):
            kernels_in(q, 3 * step, step, q, EDGE * step, step, zeros)
    return 0


@inline
def place_of(t: Any, down: Any, across: Any) -> Any:
    """The image, row and column of tile `t`, where an image has `down` rows of `across` tiles."""
    n = t // (down * across)
    return n, t // across - n * down, t % across


@inline
def clipped(
    edge: Any, image: Any, row: Any, pixel: Any, height: Any, width: Any, i: Any, j: Any, count: Any, target: Any,
    down: Any, across: Any,
) -> Any:  # fmt: skip
    """A square of `edge` x `edge` pixels, `count` bytes of each, zeros beyond the image, copied to steps of a target.

    The pixels come where their transformed ones will be: the border of an image has no memory of its own.
    """
    for r in range(edge):
        for c in range(edge):
            place = target + r * down + c * across
            if 0 <= i + r < height and 0 <= j + c < width:
                memory.copy(place, image + (i + r) * row + (j + c) * pixel, count)
            else:
                memory.clear(place, count)
    return 0


@inline
def transformed(
    image: Any, row: Any, pixel: Any, height: Any, width: Any, i: Any, j: Any, target: Any, most: Any, zeros: Any
) -> Any:
    """A tile of images, its first pixel at (i, j), in steps of `most` tiles of a target."""
    across = most * pixel
    down = EDGE * across
    if min(i, j) >= 0 and i + EDGE <= height and j + EDGE <= width:
        source = image + i * row + j * pixel
        for q in range(0, pixel, VECTOR):
            images_in(source + q, row, pixel, target + q, down, across, zeros)
    else:
        clipped(EDGE, image, row, pixel, height, width, i, j, pixel, target, down, across)
        for q in range(target, target + pixel, VECTOR):
            images_in(q, down, across, q, down, across, zeros)
    return 0


@inline
def results(
    first: Any, count: Any, most: Any, m: Any, edge: Any, y: Any, bias: Any, down: Any, across: Any, height: Any,
    width: Any, out: Any,
) -> Any:  # fmt: skip
    """A block of channels of `count` tiles from `first` on, out of products [place][most tiles][of the block]."""
    for t in range(count):
        n, i, j = place_of(first + t, down, across)
        target = y + ((n * height + SIDE * i) * width + SIDE * j) * out
        rows, columns = min(SIDE, height - SIDE * i), min(SIDE, width - SIDE * j)
        for q in range(0, BYTES, VECTOR):
            source = m + t * BYTES + q
            if rows == SIDE and columns == SIDE:
                results_out(source, EDGE * most * BYTES, most * BYTES, target + q, width * out, out, bias + q)
            else:
                results_out(source, EDGE * most * BYTES, most * BYTES, edge + q, SIDE * BYTES, BYTES, bias + q)
        if rows < SIDE or columns < SIDE:
            for r in range(rows):
                for c in range(columns):
                    memory.copy(target + (r * width + c) * out, edge + (SIDE * r + c) * BYTES, BYTES)
    return 0


@strip
def forward(table: Any, start: Any, stop: Any) -> Any:
    """Tiles `start` to `stop` of all outputs."""
    x, u, y, bias = memory.load(table, 0), memory.load(table, 1), memory.load(table, 2), memory.load(table, 3)
    scratch, flags, zeros, most = (
        memory.load(table, 4), memory.load(table, 5), memory.load(table, 6), memory.load(table, 7),
    )  # fmt: skip
    x_image, x_row, channels = memory.load(table, 8), memory.load(table, 9), memory.load(table, 10)
    down, across = memory.load(table, 11), memory.load(table, 12)
    height, width, blocks = memory.load(table, 13), memory.load(table, 14), memory.load(table, 15)
    pixel, out = channels * ITEM, blocks * BYTES
    in_height, in_width, top, left = (
        memory.load(table, 17), memory.load(table, 18), memory.load(table, 19), memory.load(table, 20),
    )  # fmt: skip
    # Steps of an odd number of tiles: those of a power of two would bring all places of a tile to one set of a cache.
    apart = most | 1
    # A piece of scratch memory of one's own: there is one for each thread.
    own = 0
    while memory.fetch_add(flags, own * 8, 1) != 0:
        memory.fetch_add(flags, own * 8, -1)
        own = own + 1 if own + 1 < memory.load(table, 16) else 0
    v = scratch + own * (PLACES * apart * (pixel + BYTES) + SIDE * SIDE * BYTES)
    m = v + PLACES * apart * pixel
    edge = m + PLACES * apart * BYTES
    for first in range(start, stop, most):
        count = min(most, stop - first)
        for t in range(count):
            n, i, j = place_of(first + t, down, across)
            transformed(
                x + n * x_image, x_row, pixel, in_height, in_width, SIDE * i - top, SIDE * j - left, v + t * pixel,
                apart, zeros,
            )  # fmt: skip
        for block in range(blocks):
            for k in range(PLACES):
                weights = u + (block * PLACES + k) * channels * BYTES
                product(
                    count, m + k * apart * BYTES, BYTES, zeros, 0, v + k * apart * pixel, pixel, ITEM, weights, BYTES,
                    channels,
                )  # fmt: skip
            place = y + block * BYTES
            results(first, count, apart, m, edge, place, bias + block * BYTES, down, across, height, width, out)
    memory.fetch_add(flags, own * 8, -1)
    return 0


@strip
def gather(table: Any, start: Any, stop: Any) -> Any:
    """Tiles of images as [place][tile][channel], of their results' gradient as [place][block][tile][of the block]."""
    x, g, v, d = memory.load(table, 0), memory.load(table, 1), memory.load(table, 2), memory.load(table, 3)
    zeros, most, first = memory.load(table, 4), memory.load(table, 5), memory.load(table, 6)
    x_image, x_row, channels = memory.load(table, 7), memory.load(table, 8), memory.load(table, 9)
    g_image, g_row, blocks = memory.load(table, 10), memory.load(table, 11), memory.load(table, 12)
    down, across = memory.load(table, 13), memory.load(table, 14)
    in_height, in_width, top, left = (
        memory.load(table, 15), memory.load(table, 16), memory.load(table, 17), memory.load(table, 18),
    )  # fmt: skip
    height, width = memory.load(table, 19), memory.load(table, 20)
    pixel, out = channels * ITEM, blocks * BYTES
    for t in range(start, stop):
        n, i, j = place_of(first + t, down, across)
        transformed(
            x + n * x_image, x_row, pixel, in_height, in_width, SIDE * i - top, SIDE * j - left, v + t * pixel,
            most, zeros,
        )  # fmt: skip
        source = g + n * g_image + SIDE * i * g_row + SIDE * j * out
        whole = SIDE * (i + 1) <= height and SIDE * (j + 1) <= width
        for block in range(blocks):
            target, own = d + (block * most + t) * BYTES, block * BYTES
            if whole:
                for q in range(0, BYTES, VECTOR):
                    gradients_in(source + own + q, g_row, out, target + q, EDGE * most * out, most * out, zeros)
            else:
                clipped(
                    SIDE, g + n * g_image + own, g_row, out, height, width, SIDE * i, SIDE * j, BYTES, target,
                    EDGE * most * out, most * out,
                )  # fmt: skip
                for q in range(target, target + BYTES, VECTOR):
                    gradients_in(q, EDGE * most * out, most * out, q, EDGE * most * out, most * out, zeros)
    return 0


@strip
def correlate(table: Any, start: Any, stop: Any) -> Any:
    """Add the products of gathered tiles to [place][channel][out]; parts `start` to `stop` of (place, block)."""
    v, d, s, zeros = memory.load(table, 0), memory.load(table, 1), memory.load(table, 2), memory.load(table, 3)
    most, count, fresh = memory.load(table, 4), memory.load(table, 5), memory.load(table, 6)
    channels, blocks = memory.load(table, 7), memory.load(table, 8)
    out = blocks * BYTES
    for part in range(start, stop):
        k = part // blocks
        block = part - k * blocks
        own = s + k * channels * out + block * BYTES
        begin, step = own, out
        if fresh != 0:
            begin, step = zeros, 0
        product(
            channels, own, out, begin, step, v + k * most * channels * ITEM, ITEM, channels * ITEM,
            d + (k * blocks + block) * most * BYTES, BYTES, count,
        )  # fmt: skip
    return 0


@strip
def finish(table: Any, start: Any, stop: Any) -> Any:
    """[place][channel][out] to the kernels' gradient in the first 9 places, for channels `start` to `stop`."""
    s, zeros, channels, out = (
        memory.load(table, 0), memory.load(table, 1), memory.load(table, 2), memory.load(table, 3) * BYTES,
    )  # fmt: skip
    step = channels * out
    for q in range(s + start * out, s + stop * out, VECTOR):
        kernels_out(q, EDGE * step, step, q, 3 * step, step, zeros)
    return 0
