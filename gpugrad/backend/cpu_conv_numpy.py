"""Convolutions on the CPU with NumPy alone: patches in parts that stay in cache, times the kernels as a matrix.

One and two spatial axes, float32 and float64, any stride, padding, dilation and groups. A part of the images gets its
border and its patches in buffers of the size of a core's cache, and one product writes the output where it belongs.
Where there are few channels a patch serves several neighbouring pixels of the output: the matrix then has the kernels
on a band, more arithmetic, but fewer and longer runs to copy, and products with full vectors.

Parts depend on shapes alone, and each is computed by one thread, so results do not depend on the number of threads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..fusion import workers
from ..fusion.workers import Arena
from . import blas
from .base import Array
from .conv import Geometry, turned_kernels
from .pool import BufferPool

# Bytes of patches that are laid out at a time; how many parts a batch has at least, where each has WORK multiply-adds.
CHUNK: Final = 1 << 21
PARTS: Final = 8
WORK: Final = 1 << 19
LEAST, FEWEST = 256, 64
# Bytes of a kernels' gradient up to which parts of the images have sums of their own; beyond, the rows of the kernels
# and the input channels are shared out, about PIECES in all.
SMALL_GRADIENT: Final = 1 << 18
PIECES: Final = 6
# An estimate of times in multiply-adds, some 50 a nanosecond: to begin a run of memory and to copy a byte of it; to
# begin an addition in place and to add a number; for a product to read a number of a patch. Measured in the
# second-nearest cache.
RUN, BYTE, ADDITION, ADD, READ = 200, 1, 600, 25, 16


# Where arrays are taken from.
Taken = BufferPool | Arena


class Plan(NamedTuple):
    """The sizes of a convolution, of one group of channels, for images (n, height, width, channels).

    Attributes:
        size: rows and pixels of the output.
        kernel: rows and columns of the kernels.
        stride: by axis, as the next two.
        low: zeros before the images.
        dilation: step between elements of a patch.
        inner: channels of the images.
        out: channels of the output.
        block: neighbouring pixels of the output that one patch serves.
    """

    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    low: tuple[int, int]
    dilation: tuple[int, int]
    inner: int
    out: int
    block: int

    @property
    def window(self) -> int:
        """Pixels of a row of the images in a patch."""
        return (self.block - 1) * self.stride[1] + self.kernel[1]

    @property
    def patch(self) -> int:
        """Numbers in a patch."""
        return self.kernel[0] * self.window * self.inner

    def reach(self, axis: int, count: int) -> int:
        """Rows (axis 0) or pixels (axis 1) of the images that `count` of the output see."""
        return (count - 1) * self.stride[axis] + (self.kernel[axis] - 1) * self.dilation[axis] + 1


class Part(NamedTuple):
    """Images and rows of the output; it serves as an index."""

    images: slice
    rows: slice

    @property
    def shape(self) -> tuple[int, int]:
        """How many images and rows."""
        return self.images.stop - self.images.start, self.rows.stop - self.rows.start


def takes(*arrays: Array) -> bool:
    """Whether arrays of images are convolved here: of one of BLAS's real types, one or two spatial axes, not empty."""
    first = arrays[0]
    return first.ndim in (3, 4) and all(
        a.size and a.dtype == first.dtype and a.dtype in (np.float32, np.float64) for a in arrays
    )


def plan(size: Sequence[int], w_shape: Sequence[int], at: Geometry, itemsize: int, spread: bool = False) -> Plan:
    """The plan for an output of `size`.

    Args:
        size: rows and pixels; fewer than the images have room for where a transposed convolution pads its output.
        w_shape: of the kernels, (out, channels / groups, height, width).
        at: where the patches lie.
        itemsize: bytes of a number.
        spread: patches are computed and added up in the images, not copied from there.
    """
    height, width = size
    out, inner, rows, taps = w_shape[0] // at.groups, *w_shape[1:]
    one = Plan(
        (height, width), (rows, taps), (at.stride[0], at.stride[1]), (at.padding[0][0], at.padding[1][0]),
        (at.dilation[0], at.dilation[1]), inner, out, 1,
    )  # fmt: skip
    if at.dilation[1] > 1 or at.groups > 1:
        return one
    lanes = 64 // itemsize

    def cost(p: Plan) -> float:
        run = p.window * inner
        if spread:
            return (ADDITION + run * (ADD + p.block * out)) / p.block
        # Products take their columns in full vectors; narrow ones wait for the matrix that they read.
        return (RUN + run * (BYTE * itemsize + -(-p.block * out // lanes) * lanes + READ)) / p.block

    return min((one._replace(block=b) for b in range(1, width + 1) if width % b == 0), key=cost)


def parts(p: Plan, count: int, itemsize: int) -> list[Part]:
    """A batch of `count` images in parts: some images, or some rows of one."""
    height, width = p.size
    blocks = width // p.block
    # Each product begins with a copy of its matrix, so a part has patches enough to make up for that; but those of a
    # small layer are not to take more than the layer itself.
    layer = count * height * width * (p.out + p.stride[0] * p.stride[1] * p.inner) * itemsize
    nbytes = p.patch * itemsize
    most = min(max(CHUNK // nbytes, LEAST), max(layer // 3 // nbytes, FEWEST)) // blocks  # rows
    least = -(-WORK // (blocks * p.patch * p.block * p.out))
    images = max(1, min(most // height, max(-(-count // PARTS), -(-least // height))))
    rows = min(height, max(1, most))
    return [
        Part(slice(i, min(i + images, count)), slice(r, min(r + rows, height)))
        for i in range(0, count, images)
        for r in range(0, height, rows)
    ]


def conv(pool: BufferPool, x: Array, w: Array, bias: Array | None, at: Geometry) -> Array:
    """`Backend.conv` for float32 and float64 and one or two spatial axes."""
    if x.ndim == 3:
        return conv(pool, x[:, :, None], w[:, :, None], bias, with_height(at))[:, :, 0]
    p, images = plan(at.output(x.shape[2:], w.shape[2:]), w.shape, at, x.itemsize), np.moveaxis(x, 1, -1)
    groups = [(slice(k * p.inner, (k + 1) * p.inner), slice(k * p.out, (k + 1) * p.out)) for k in range(at.groups)]
    matrices = [band(p, w[own]) for _, own in groups]
    biases = None if bias is None else np.tile(bias.reshape(at.groups, p.out), p.block).reshape(-1)
    y = pool.empty((x.shape[0], *p.size, w.shape[0]), x.dtype)
    every = parts(p, x.shape[0], x.itemsize)

    def compute(number: int, room: Arena) -> None:
        part = every[number]
        for (seen, own), matrix in zip(groups, matrices, strict=True):
            room.clear()
            target = y[part][..., own].reshape(-1, matrix.shape[1])
            np.matmul(patches(room, images[..., seen], p, part), matrix, out=target)
            if biases is not None:
                target += biases[own.start * p.block : own.stop * p.block]

    share_with_room(pool, compute, len(every), most_scratch(images[..., : p.inner], p, every))
    return np.moveaxis(y, -1, 1)


def conv_input(pool: BufferPool, g: Array, w: Array, size: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_input` likewise."""
    if g.ndim == 3:
        return conv_input(pool, g[:, :, None], w[:, :, None], (1, *size), with_height(at))[:, :, 0]
    if at.stride == (1, 1):
        return conv(pool, g, turned_kernels(np, w, at.groups), None, turned(size, g.shape[2:], w.shape[2:], at))
    p, given = plan(g.shape[2:], w.shape, at, g.itemsize, spread=True), np.moveaxis(g, 1, -1)
    groups = [(slice(k * p.inner, (k + 1) * p.inner), slice(k * p.out, (k + 1) * p.out)) for k in range(at.groups)]
    matrices = [band(p, w[own]).T for _, own in groups]
    x = pool.empty((g.shape[0], *size, w.shape[1] * at.groups), g.dtype)
    full = [max(low + n, p.reach(axis, p.size[axis])) for axis, (low, n) in enumerate(zip(p.low, size, strict=True))]
    # The rows of one image overlap: they are one thread's.
    every = [list(some) for _, some in itertools.groupby(parts(p, g.shape[0], g.itemsize), lambda part: part.images)]

    def compute(number: int, room: Arena) -> None:
        room.clear()
        images = x[every[number][0].images]
        sums = room.empty((len(images), *full, x.shape[-1]), x.dtype)
        sums.fill(0)
        for part in every[number]:
            kept = room.used
            rows = dense(room, given[part])
            for (seen, own), matrix in zip(groups, matrices, strict=True):
                values = rows[..., own].reshape(-1, matrix.shape[0])
                copied = room.used
                found = room.empty((len(values), p.patch), x.dtype)
                add_patches(sums[..., seen], np.matmul(values, matrix, out=found), p, part)
                room.clear(copied)
            room.clear(kept)
        place(images, sums, p.low)

    share_with_room(pool, compute, len(every), spread_scratch(given, p, every[0][0], full, x.shape[-1]))
    return np.moveaxis(x, -1, 1)


def conv_weight(pool: BufferPool, x: Array, g: Array, kernel: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_weight` likewise."""
    if x.ndim == 3:
        return conv_weight(pool, x[:, :, None], g[:, :, None], (1, *kernel), with_height(at))[:, :, 0]
    out, inner = g.shape[1], x.shape[1] // at.groups
    p = plan(g.shape[2:], (out, inner, *kernel), at, x.itemsize)
    images, given = np.moveaxis(x, 1, -1), dense(pool, np.moveaxis(g, 1, -1))
    bundles, pieces = shares(p, x.shape[0], at.groups, x.itemsize)
    sums = pool.empty((len(bundles), at.groups, p.kernel[0], p.window, inner, p.block, p.out), x.dtype)

    def compute(number: int, room: Arena) -> None:
        room.clear()
        bundle, (group, rows, channels) = bundles[number // len(pieces)], pieces[number % len(pieces)]
        own = slice(group * p.out, (group + 1) * p.out)
        seen = images[..., group * inner + channels.start : group * inner + channels.stop]
        some = p._replace(
            kernel=(rows.stop - rows.start, p.kernel[1]), inner=channels.stop - channels.start,
            low=(p.low[0] - rows.start * p.dilation[0], p.low[1]),
        )  # fmt: skip
        total = sums[number // len(pieces), group, rows, :, channels]
        found = room.empty((some.patch, p.block * p.out), x.dtype)
        kept = room.used
        for k, part in enumerate(bundle):
            room.clear(kept)
            values = given[part][..., own].reshape(-1, found.shape[1])
            np.matmul(patches(room, seen, some, part).T, values, out=found)
            np.add(total if k else 0, found.reshape(total.shape), out=total)

    share_with_room(pool, compute, len(bundles) * len(pieces), weight_scratch(images, p, bundles[0], pieces[0]))
    return unbanded(p, sums[0] if len(bundles) == 1 else sums.sum(axis=0))


def shares(
    p: Plan, count: int, groups: int, itemsize: int
) -> tuple[list[list[Part]], list[tuple[int, slice, slice]]]:
    """How the gradient of the kernels is shared out, for `count` images.

    Returns:
        Bundles of parts that have sums of their own, and pieces of the kernels: a group, rows and input channels.
    """
    rows, channels = p.kernel[0], p.inner
    small = p.patch * p.block * p.out * groups * itemsize <= SMALL_GRADIENT
    if not small and groups == 1:
        rows, channels = 1, -(-p.inner // min(p.inner, -(-PIECES // p.kernel[0])))
    pieces = [
        (group, slice(row, row + rows), slice(c, min(c + channels, p.inner)))
        for group in range(groups)
        for row in range(0, p.kernel[0], rows)
        for c in range(0, p.inner, channels)
    ]
    every = parts(p._replace(kernel=(rows, p.kernel[1]), inner=channels), count, itemsize)
    each = -(-len(every) // PARTS) if small else len(every)
    return [every[k : k + each] for k in range(0, len(every), each)], pieces


def share(compute: Callable[[int], object], count: int) -> None:
    """`compute(k)` for k in range(count), on our threads with products of one thread each, where BLAS can be told."""
    if not blas.controlled():
        for k in range(count):
            compute(k)
        return
    with blas.one_thread():
        workers.parallel_for(compute, count)


def share_with_room(pool: BufferPool, compute: Callable[[int, Arena], object], count: int, nbytes: int) -> None:
    """`share`, with a room of `nbytes` for the arrays of one call at a time."""
    rooms = workers.takers(count) if blas.controlled() else 1
    # Arrays begin at multiples of 64 bytes.
    share(workers.lending(compute, [Arena(pool.scratch(nbytes + 256)) for _ in range(rooms)]), count)


def patches(pool: Taken, images: Array, p: Plan, part: Part) -> Array:
    """The patches of a part as a matrix; where its rows lie in memory as they are, without a copy."""
    return dense(pool, patch_view(surroundings(pool, images, p, part), p, part)).reshape(-1, p.patch)


def patch_view(seen: Array, p: Plan, part: Part) -> Array:
    """A view (n, rows, blocks of pixels, kernel rows, window, channels) of what a part sees."""
    count, rows = part.shape
    image, line, pixel, item = seen.strides
    return as_strided(
        seen, (count, rows, p.size[1] // p.block, p.kernel[0], p.window, p.inner),
        (image, line * p.stride[0], pixel * p.stride[1] * p.block, line * p.dilation[0], pixel * p.dilation[1], item),
    )  # fmt: skip


def surroundings(pool: Taken, images: Array, p: Plan, part: Part, border: float = 0.0) -> Array:
    """What a part of the output sees of the images, (n, rows, pixels, channels), with `border` around them."""
    first, reach, inside = seen_by(images, p, part)
    some = images[part.images]
    if inside and some.strides[-1] == some.itemsize:
        return some[:, first[0] : first[0] + reach[0], first[1] : first[1] + reach[1]]
    found = pool.empty((len(some), *reach, some.shape[-1]), images.dtype)
    if not inside:
        found.fill(border)
    place(found, some, first)
    return found


def seen_by(images: Array, p: Plan, part: Part) -> tuple[tuple[int, int], tuple[int, int], bool]:
    """The first row and pixel that a part of the output sees, how many, and whether all are inside the images."""
    first = (part.rows.start * p.stride[0] - p.low[0], -p.low[1])
    reach = (p.reach(0, part.shape[1]), p.reach(1, p.size[1]))
    _, height, width, _ = images.shape
    inside = min(first) >= 0 and first[0] + reach[0] <= height and first[1] + reach[1] <= width
    return first, reach, inside


def place(target: Array, source: Array, first: Sequence[int]) -> None:
    """Copy what lies in both: the first row and pixel of `target` are those numbered `first` in `source`."""
    into, out_of = [], []
    for f, n, size in zip(first, target.shape[1:3], source.shape[1:3], strict=True):
        low, high = max(f, 0), max(min(f + n, size), f, 0)
        into.append(slice(low - f, high - f))
        out_of.append(slice(low, high))
    target[:, into[0], into[1]] = source[:, out_of[0], out_of[1]]


def scratch(images: Array, p: Plan, part: Part, copied: bool = True) -> int:
    """Bytes that `surroundings` and, where they are `copied`, `patches` take; the images' elements are not read."""
    _, reach, inside = seen_by(images, p, part)
    count, taken, seen = part.shape[0], 0, images[part.images]
    if not inside or seen.strides[-1] != seen.itemsize:
        taken = count * math.prod(reach) * seen.shape[-1] * seen.itemsize
        seen = np.empty((count, *reach, seen.shape[-1]), seen.dtype)  # only looked at: its pages take no memory
    if copied and not patch_view(seen, p, part).flags.c_contiguous:
        taken += math.prod(part.shape) * p.size[1] // p.block * p.patch * images.itemsize
    return taken


def most_scratch(images: Array, p: Plan, every: Sequence[Part], copied: bool = True) -> int:
    """The `scratch` of the largest part: the first, or the last where they are rows of images."""
    ends = every[:1] if every[0].rows == every[-1].rows else (every[0], every[-1])
    return max([scratch(images, p, part, copied) for part in ends])


def spread_scratch(given: Array, p: Plan, part: Part, full: Sequence[int], channels: int) -> int:
    """Bytes that a part of `conv_input` with steps takes: sums, a copy of what is given, patches of one group."""
    count, rows = part.shape
    pixels = count * rows * p.size[1]
    copy = 0 if given[part].flags.c_contiguous else pixels * given.shape[-1]
    return (count * math.prod(full) * channels + copy + pixels // p.block * p.patch) * int(given.itemsize)


def weight_scratch(images: Array, p: Plan, bundle: Sequence[Part], piece: tuple[int, slice, slice]) -> int:
    """Bytes that a piece of the gradient of the kernels takes: patches and a product."""
    _, rows, channels = piece
    some = p._replace(kernel=(rows.stop - rows.start, p.kernel[1]), inner=channels.stop - channels.start)
    return int(some.patch * p.block * p.out * images.itemsize) + most_scratch(images[..., : some.inner], some, bundle)


def add_patches(sums: Array, found: Array, p: Plan, part: Part) -> None:
    """Add patches to the images that they were to be taken from."""
    count, rows = part.shape
    blocks = p.size[1] // p.block
    taken = found.reshape(count, rows, blocks, p.kernel[0], p.window, p.inner)
    image, line, pixel, _ = sums.strides
    # Neighbouring patches overlap: what is added at once are pixels up to where the next patch begins.
    step = p.block * p.stride[1] if p.dilation[1] == 1 else 1
    corner = sums[:, part.rows.start * p.stride[0] :]
    for row, start in itertools.product(range(p.kernel[0]), range(0, p.window, step)):
        some = taken[:, :, :, row, start : start + step]
        base = corner[:, row * p.dilation[0] :, start * p.dilation[1] :]
        target = as_strided(
            base, some.shape, (image, line * p.stride[0], pixel * p.block * p.stride[1], pixel, sums.itemsize)
        )
        target += some


def dense(pool: Taken, x: Array) -> Array:
    """The same numbers, contiguous."""
    if x.flags.c_contiguous:
        return x
    copy = pool.empty(x.shape, x.dtype)
    np.copyto(copy, x)
    return copy


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
