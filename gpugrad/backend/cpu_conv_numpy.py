"""Convolutions on the CPU with NumPy alone: patches in parts that stay in cache, times the kernels as a matrix.

One and two spatial axes, float32 and float64, any stride, padding, dilation and groups. One product writes a part of
the output where it belongs. Parts depend on shapes alone, and each is computed by one thread, so results do not depend
on the number of threads.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np

from ..fusion import workers
from ..fusion.workers import Arena
from . import blas
from .base import Array
from .conv import Geometry, turned_kernels
from .cpu_patches import (
    PARTS,
    Cutter,
    Part,
    Plan,
    add_patches,
    dense,
    estimate,
    most_scratch,
    parts,
    place,
    plan,
)
from .pool import BufferPool

Room = TypeVar("Room")

# Bytes of a kernels' gradient up to which parts of the images have sums of their own; beyond, the rows of the kernels
# and the input channels are shared out, about PIECES in all.
SMALL_GRADIENT: Final = 1 << 18
PIECES: Final = 6


def takes(*arrays: Array) -> bool:
    """Whether arrays of images are convolved here: of one of BLAS's real types, one or two spatial axes, not empty."""
    first = arrays[0]
    return first.ndim in (3, 4) and all(
        a.size and a.dtype == first.dtype and a.dtype in (np.float32, np.float64) for a in arrays
    )


def conv(pool: BufferPool, x: Array, w: Array, bias: Array | None, at: Geometry) -> Array:
    """`Backend.conv` for float32 and float64 and one or two spatial axes."""
    if x.ndim == 3:
        return conv(pool, x[:, :, None], w[:, :, None], bias, with_height(at))[:, :, 0]
    p = plan(at.output(x.shape[2:], w.shape[2:]), w.shape, at, x.itemsize)
    images, matrices = channels_apart(np.moveaxis(x, 1, -1), at.groups), bands(p, w)
    biases = None if bias is None else np.tile(bias.reshape(at.groups, p.out), p.block)
    y = pool.empty((x.shape[0], *p.size, w.shape[0]), x.dtype)
    rows, every = channels_apart(y.reshape(-1, p.block * w.shape[0]), at.groups), parts(p, x.shape[0], x.itemsize)

    def compute(number: int, cutter: Cutter) -> None:
        cutter.room.clear()
        cutter.begin(p)
        part = every[number]
        for group, seen in enumerate(images):
            target = rows[group][blocks(p, part)]
            np.matmul(cutter.patches(seen, part), matrices[group], out=target)
            if biases is not None:
                target += biases[group]

    share_with_room(pool, compute, len(every), most_scratch(images[0], p, every), Cutter)
    return np.moveaxis(y, -1, 1)


def conv_input(pool: BufferPool, g: Array, w: Array, size: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_input` likewise."""
    if g.ndim == 3:
        return conv_input(pool, g[:, :, None], w[:, :, None], (1, *size), with_height(at))[:, :, 0]
    if not spreads(g.shape[2:], w.shape, size, at, g.itemsize):
        return conv(pool, g, turned_kernels(np, w, at.groups), None, turned(size, g.shape[2:], w.shape[2:], at))
    p = plan(g.shape[2:], w.shape, at, g.itemsize, spread=True)
    given, matrices = np.moveaxis(g, 1, -1), [m.T for m in bands(p, w)]
    x = pool.empty((g.shape[0], *size, w.shape[1] * at.groups), g.dtype)
    full = [max(low + n, p.reach(axis, p.size[axis])) for axis, (low, n) in enumerate(zip(p.low, size, strict=True))]
    # The rows of one image overlap: they are one thread's.
    together = itertools.groupby(parts(p, g.shape[0], g.itemsize), lambda part: part.images)
    every = [list(some) for _, some in together]

    def compute(number: int, room: Arena) -> None:
        room.clear()
        images = x[every[number][0].images]
        sums = room.empty((len(images), *full, x.shape[-1]), x.dtype)
        sums.fill(0)
        kept = room.used
        for part in every[number]:
            room.clear(kept)
            rows = dense(room, given[part]).reshape(-1, p.block * g.shape[1])
            found = room.empty((len(rows), p.patch), x.dtype)
            for matrix, values, some in zip(
                matrices, channels_apart(rows, at.groups), channels_apart(sums, at.groups), strict=True
            ):
                add_patches(some, np.matmul(values, matrix, out=found), p, part)
        place(images, sums, p.low)

    share_with_room(pool, compute, len(every), spread_scratch(given, p, every[0][0], full, x.shape[-1]), Arena)
    return np.moveaxis(x, -1, 1)


@functools.lru_cache(maxsize=1024)
def spreads(
    size: tuple[int, ...], w_shape: tuple[int, ...], inner: tuple[int, ...], at: Geometry, itemsize: int
) -> bool:
    """Whether a gradient by images of size `inner` is patches that are added up, not a convolution of one of `size`."""
    if at.stride != (1, 1):
        return True
    back = (w_shape[1] * at.groups, w_shape[0] // at.groups, *w_shape[2:])
    around = plan(inner, back, turned(inner, size, w_shape[2:], at), itemsize)
    return estimate(plan(size, w_shape, at, itemsize, True), itemsize, True) < estimate(around, itemsize)


def conv_weight(pool: BufferPool, x: Array, g: Array, kernel: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_weight` likewise."""
    if x.ndim == 3:
        return conv_weight(pool, x[:, :, None], g[:, :, None], (1, *kernel), with_height(at))[:, :, 0]
    out, inner = g.shape[1], x.shape[1] // at.groups
    p = plan(g.shape[2:], (out, inner, *kernel), at, x.itemsize)
    images, given = np.moveaxis(x, 1, -1), dense(pool, np.moveaxis(g, 1, -1))
    rows = channels_apart(given.reshape(-1, p.block * out), at.groups)
    bundles, pieces = shares(p, x.shape[0], at.groups, x.itemsize)
    plans = [part_of(p, piece) for piece in pieces]
    sums = pool.empty((len(bundles), at.groups, p.kernel[0], p.window, inner, p.block, p.out), x.dtype)

    def compute(number: int, cutter: Cutter) -> None:
        bundle, k = divmod(number, len(pieces))
        piece, some = pieces[k], plans[k]
        first = piece.group * inner + piece.channels.start
        seen = images[..., first : first + some.inner]
        total = sums[bundle, piece.group, piece.rows, :, piece.channels]
        cutter.room.clear()
        found = cutter.room.empty((some.patch, p.block * p.out), x.dtype)
        cutter.begin(some)
        for n, part in enumerate(bundles[bundle]):
            np.matmul(cutter.patches(seen, part).T, rows[piece.group][blocks(p, part)], out=found)
            np.add(total if n else 0, found.reshape(total.shape), out=total)

    nbytes = weight_scratch(images, p, bundles[0], pieces[0])
    share_with_room(pool, compute, len(bundles) * len(pieces), nbytes, Cutter)
    return unbanded(p, sums[0] if len(bundles) == 1 else sums.sum(axis=0))


def channels_apart(x: Array, groups: int) -> list[Array]:
    """Views of the last axis's equal parts."""
    each = x.shape[-1] // groups
    return [x] if groups == 1 else [x[..., k * each : (k + 1) * each] for k in range(groups)]


def blocks(p: Plan, part: Part) -> slice:
    """Where the blocks of pixels of a part are among all of the output."""
    count, rows = part.shape
    width = p.size[1] // p.block
    start = (part.images.start * p.size[0] + part.rows.start) * width
    return slice(start, start + count * rows * width)


class Piece(NamedTuple):
    """A share of the kernels' gradient: a group, rows of its kernels, input channels of it."""

    group: int
    rows: slice
    channels: slice


def part_of(p: Plan, piece: Piece) -> Plan:
    """The plan for the patches that a piece looks at."""
    rows, channels = piece.rows, piece.channels
    return p._replace(
        kernel=(rows.stop - rows.start, p.kernel[1]), inner=channels.stop - channels.start,
        low=(p.low[0] - rows.start * p.dilation[0], p.low[1]),
    )  # fmt: skip


@functools.lru_cache(maxsize=1024)
def shares(
    p: Plan, count: int, groups: int, itemsize: int
) -> tuple[tuple[tuple[Part, ...], ...], tuple[Piece, ...]]:
    """How the gradient of the kernels is shared out, for `count` images.

    Returns:
        Bundles of parts that have sums of their own, and pieces of the kernels.
    """
    rows, channels = p.kernel[0], p.inner
    small = p.patch * p.block * p.out * groups * itemsize <= SMALL_GRADIENT
    if not small and groups == 1:
        rows, channels = 1, -(-p.inner // min(p.inner, -(-PIECES // p.kernel[0])))
    pieces = [
        Piece(group, slice(row, row + rows), slice(c, min(c + channels, p.inner)))
        for group in range(groups)
        for row in range(0, p.kernel[0], rows)
        for c in range(0, p.inner, channels)
    ]
    every = parts(p._replace(kernel=(rows, p.kernel[1]), inner=channels), count, itemsize)
    each = -(-len(every) // PARTS) if small else len(every)
    return tuple(every[k : k + each] for k in range(0, len(every), each)), tuple(pieces)


def share(compute: Callable[[int], object], count: int) -> None:
    """`compute(k)` for k in range(count), on our threads with products of one thread each, where BLAS can be told."""
    if not blas.controlled():
        for k in range(count):
            compute(k)
        return
    with blas.one_thread():
        workers.parallel_for(compute, count)


def share_with_room(
    pool: BufferPool,
    compute: Callable[[int, Room], object],
    count: int,
    nbytes: int,
    room_in: Callable[[Array], Room],
) -> None:
    """`share`, with a room in `nbytes` of memory for the arrays of one call at a time, an `Arena` or a `Cutter`."""
    threads = workers.takers(count) if blas.controlled() else 1
    # Arrays begin at multiples of 64 bytes.
    share(workers.lending(compute, [room_in(pool.scratch(nbytes + 256)) for _ in range(threads)]), count)


def spread_scratch(given: Array, p: Plan, part: Part, full: Sequence[int], channels: int) -> int:
    """Bytes that a part of `conv_input` with steps takes: sums, a copy of what is given, patches of one group."""
    count, rows = part.shape
    pixels = count * rows * p.size[1]
    copy = 0 if given[part].flags.c_contiguous else pixels * given.shape[-1]
    return (count * math.prod(full) * channels + copy + pixels // p.block * p.patch) * int(given.itemsize)


def weight_scratch(images: Array, p: Plan, bundle: Sequence[Part], piece: Piece) -> int:
    """Bytes that a piece of the gradient of the kernels takes: patches and a product."""
    some = part_of(p, piece)
    return int(some.patch * p.block * p.out * images.itemsize) + most_scratch(images[..., : some.inner], some, bundle)


def bands(p: Plan, w: Array) -> list[Array]:
    """The kernels of each group as a matrix; of one pixel as they lie in memory."""
    if p.patch == p.inner and w.flags.forc:
        return [w[k : k + p.out].reshape(p.out, -1).T for k in range(0, len(w), p.out)]
    return [band(p, w[k : k + p.out]) for k in range(0, len(w), p.out)]


def band(p: Plan, w: Array) -> Array:
    """Kernels (out, inner, rows, columns) as a matrix (numbers of a patch, block * out)."""
    matrix = np.zeros((p.kernel[0], p.window, p.inner, p.block, p.out), w.dtype)
    for k in range(p.block):
        start = k * p.stride[1]
        matrix[:, start : start + p.kernel[1], :, k] = w.transpose(2, 3, 1, 0)
    return matrix.reshape(p.patch, -1)


def unbanded(p: Plan, matrices: Array) -> Array:
    """The gradient of the kernels from that of each group's matrix: what stands on its band is added up."""
    gradient = np.empty((len(matrices), p.out, p.inner, *p.kernel), matrices.dtype)
    for k in range(p.block):
        start = k * p.stride[1]
        share = matrices[:, :, start : start + p.kernel[1], :, k].transpose(0, 4, 3, 1, 2)
        np.add(gradient if k else 0, share, out=gradient)
    return gradient.reshape(-1, p.inner, *p.kernel)


def turned(size: Sequence[int], output: Sequence[int], kernel: Sequence[int], at: Geometry) -> Geometry:
    """The convolution with turned kernels that leads from an output back to images of `size`, for strides of 1.

    Its padding may be negative: what lies beyond is not looked at.
    """
    reaches = [d * (k - 1) for k, d in zip(kernel, at.dilation, strict=True)]
    pads = tuple((r - low, n + low - m) for n, m, r, (low, _) in zip(size, output, reaches, at.padding, strict=True))
    return at._replace(padding=pads)


def with_height(at: Geometry) -> Geometry:
    """A sequence as an image of one row."""
    return Geometry((1, *at.stride), ((0, 0), *at.padding), (1, *at.dilation), at.groups)
