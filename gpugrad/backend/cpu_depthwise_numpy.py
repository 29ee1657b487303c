"""Depthwise convolutions on the CPU with NumPy alone: each channel has a kernel of its own, so there is no product.

What takes their time is memory. `einsum` multiplies and adds in one pass over a row of pixels with all its channels,
from a part of the images that stays in cache; `conv` and its gradients are three such sums. One and two spatial axes,
float32 and float64, any stride, padding and dilation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from ..fusion.workers import Arena
from .base import Array
from .conv import Geometry, turned_kernels
from .cpu_conv_numpy import share_with_room, turned, with_height
from .cpu_patches import Cutter, Part, Plan, dense, most_scratch, place, strided
from .pool import BufferPool

# Bytes of the output that are computed at a time; how many sums of their own the parts have for the gradient.
CHUNK: Final = 1 << 20
PARTS: Final = 8


def conv(pool: BufferPool, x: Array, w: Array, bias: Array | None, at: Geometry) -> Array:
    """`Backend.conv` for kernels (channels, 1, *kernel)."""
    if x.ndim == 3:
        return conv(pool, x[:, :, None], w[:, :, None], bias, with_height(at))[:, :, 0]
    p, images = plan(at.output(x.shape[2:], w.shape[2:]), w.shape, at), np.moveaxis(x, 1, -1)
    lines = along_rows(w, p.size[1])
    start = None if bias is None else np.tile(bias, (p.size[1], 1))
    y = pool.empty((x.shape[0], *p.size, w.shape[0]), x.dtype)
    every = parts(y.shape, x.itemsize)

    def compute(number: int, cutter: Cutter) -> None:
        part = every[number]
        cutter.room.clear()
        cutter.begin(p, copied=False)
        seen = taps(cutter.seen(images, part), p, part)
        target = y[part].reshape(*seen.shape[:2], *seen.shape[4:])
        np.einsum("nyab...,ab...->ny...", seen, lines.reshape(seen.shape[2:]), out=target)
        if start is not None:
            target += start.reshape(target.shape[2:])

    share_with_room(pool, compute, len(every), most_scratch(images, p, every, copied=False), Cutter)
    return np.moveaxis(y, -1, 1)


def conv_input(pool: BufferPool, g: Array, w: Array, size: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_input` likewise."""
    if g.ndim == 3:
        return conv_input(pool, g[:, :, None], w[:, :, None], (1, *size), with_height(at))[:, :, 0]
    if at.stride == (1, 1):
        return conv(pool, g, turned_kernels(np, w, at.groups), None, turned(size, g.shape[2:], w.shape[2:], at))
    p, given = plan(g.shape[2:], w.shape, at), np.moveaxis(g, 1, -1)
    lines = along_rows(w, p.size[1])
    x = pool.empty((g.shape[0], *size, w.shape[0]), g.dtype)
    full = [max(low + n, p.reach(axis, p.size[axis])) for axis, (low, n) in enumerate(zip(p.low, size, strict=True))]

    def compute(image: int, room: Arena) -> None:
        room.clear()
        sums = room.empty((1, *full, w.shape[0]), g.dtype)
        sums.fill(0)
        part = Part(slice(image, image + 1), slice(0, p.size[0]))
        rows = dense(room, given[part])
        work = room.empty(rows.shape, g.dtype)
        for row, column in itertools.product(*map(range, p.kernel)):
            np.multiply(rows, lines[row, column], out=work)
            target = taps(sums, p, part)[:, :, row, column]
            target += work.reshape(target.shape)
        place(x[part.images], sums, p.low)

    share_with_room(pool, compute, len(x), spread_scratch(given, p, full), Arena)
    return np.moveaxis(x, -1, 1)


def conv_weight(pool: BufferPool, x: Array, g: Array, kernel: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_weight` likewise."""
    if x.ndim == 3:
        return conv_weight(pool, x[:, :, None], g[:, :, None], (1, *kernel), with_height(at))[:, :, 0]
    channels = x.shape[1]
    p = plan(g.shape[2:], (channels, 1, *kernel), at)
    images, given = np.moveaxis(x, 1, -1), np.moveaxis(g, 1, -1)
    every = parts(given.shape, x.itemsize)
    each = -(-len(every) // PARTS)
    sums = np.zeros((-(-len(every) // each), *kernel, p.size[1], channels), x.dtype)

    def compute(number: int, cutter: Cutter) -> None:
        for part in every[number * each : (number + 1) * each]:
            cutter.room.clear()
            rows = dense(cutter.room, given[part])
            cutter.begin(p, copied=False)
            seen = taps(cutter.seen(images, part), p, part)
            rows = rows.reshape(*seen.shape[:2], *seen.shape[4:])
            for row, column in itertools.product(*map(range, kernel)):
                found = np.einsum("ny...,ny...->...", seen[:, :, row, column], rows)
                sums[number, row, column] += found.reshape(p.size[1], channels)

    share_with_room(pool, compute, len(sums), weight_scratch(images, given, p, every), Cutter)
    return np.ascontiguousarray(np.moveaxis(sums.sum(axis=(0, 3)), -1, 0))[:, None]


def spread_scratch(given: Array, p: Plan, full: Sequence[int]) -> int:
    """Bytes that an image of `conv_input` with steps takes: sums, a product, a copy of what is given."""
    rows, copied = p.size[0] * p.size[1], not given[:1].flags.c_contiguous
    return int((math.prod(full) + (1 + copied) * rows) * given.shape[-1] * given.itemsize)


def weight_scratch(images: Array, given: Array, p: Plan, every: Sequence[Part]) -> int:
    """Bytes that a part of `conv_weight` takes: what it sees, a copy of what is given."""
    first = given[every[0]]
    return most_scratch(images, p, every, copied=False) + (0 if first.flags.c_contiguous else first.nbytes)


def plan(size: Sequence[int], w_shape: Sequence[int], at: Geometry) -> Plan:
    """The sizes of a convolution with an output of `size`, all channels together."""
    return Plan(
        (size[0], size[1]), (w_shape[2], w_shape[3]), (at.stride[0], at.stride[1]),
        (at.padding[0][0], at.padding[1][0]), (at.dilation[0], at.dilation[1]), w_shape[0], w_shape[0], 1,
    )  # fmt: skip


def parts(shape: Sequence[int], itemsize: int) -> list[Part]:
    """Images (n, height, width, channels) in parts: some of them, or some rows of one."""
    count, height, width, channels = shape
    rows = max(1, CHUNK // (width * channels * itemsize))
    images = max(1, min(rows // height, -(-count // PARTS)))
    return [
        Part(slice(i, min(i + images, count)), slice(r, min(r + rows, height)))
        for i in range(0, count, images)
        for r in range(0, height, rows)
    ]


def along_rows(w: Array, width: int) -> Array:
    """Kernels (channels, 1, rows, columns) as (rows, columns, width, channels): a line of weights for one of pixels."""
    each = np.moveaxis(w[:, 0], 0, -1)[:, :, None]
    return np.ascontiguousarray(np.broadcast_to(each, (*w.shape[2:], width, w.shape[0])))


def taps(seen: Array, p: Plan, part: Part) -> Array:
    """A view (n, rows, kernel rows, kernel columns, pixels, channels); pixels and channels are one axis if they can."""
    count, rows = part.shape
    image, line, pixel, item = seen.strides
    steps = (image, line * p.stride[0], line * p.dilation[0], pixel * p.dilation[1])
    if p.stride[1] == 1 and pixel == seen.shape[-1] * item:
        return strided(seen, (count, rows, *p.kernel, p.size[1] * seen.shape[-1]), (*steps, item))
    return strided(seen, (count, rows, *p.kernel, p.size[1], seen.shape[-1]), (*steps, pixel * p.stride[1], item))
