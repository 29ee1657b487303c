"""Patches of images as matrices, a part of a batch at a time: what convolutions with NumPy alone multiply by kernels.

A part of the images gets its border and its patches in buffers of the size of a core's cache. Where there are few
channels a patch serves several neighbouring pixels of the output: the matrix of the kernels then has them on a band,
more arithmetic, but fewer and longer runs to copy, and products with full vectors.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..fusion.workers import Arena
from .base import Array
from .conv import Geometry
from .pool import BufferPool

# Bytes of patches that are laid out at a time; how many parts a batch has at least, where each has WORK multiply-adds.
CHUNK: Final = 1 << 21
PARTS: Final = 8
WORK: Final = 1 << 19
LEAST, FEWEST = 256, 64
# An estimate of times in multiply-adds, some 50 a nanosecond: to begin a run of memory and to copy a byte of it; to
# begin an addition in place, waiting for other threads included, and to add a number; for a product to read a number of
# a patch. Measured in the second-nearest cache.
RUN, BYTE, ADDITION, ADD, READ = 200, 1, 2000, 15, 16


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

    @property
    def apart(self) -> int:
        """Pixels of a patch's rows that the patches beside it do not have."""
        if self.dilation[1] > 1:
            return 1
        return self.window if self.block == self.size[1] else self.block * self.stride[1]

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


@functools.lru_cache(maxsize=1024)
def plan(
    size: tuple[int, ...], w_shape: tuple[int, ...], at: Geometry, itemsize: int, spread: bool = False
) -> Plan:
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
    blocks = [one._replace(block=b) for b in range(1, width + 1) if width % b == 0]
    return min(blocks, key=lambda p: estimate(p, itemsize, spread))


def estimate(p: Plan, itemsize: int, spread: bool = False) -> float:
    """The time that an image takes, in multiply-adds; `spread` as for `plan`."""
    run, blocks = p.window * p.inner, p.kernel[0] * p.size[0] * p.size[1] / p.block
    if spread:
        return (-(-p.window // p.apart) * ADDITION + run * (ADD + p.block * p.out)) * blocks
    # Products take their columns in full vectors; narrow ones wait for the matrix that they read.
    lanes = 64 // itemsize
    return (RUN + run * (BYTE * itemsize + -(-p.block * p.out // lanes) * lanes + READ)) * blocks


@functools.lru_cache(maxsize=1024)
def parts(p: Plan, count: int, itemsize: int) -> tuple[Part, ...]:
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
    # As many images in each part, and parts that threads can share out evenly.
    images = -(-count // (-(-count // images // PARTS) * PARTS)) if images < count else count
    rows = min(height, max(1, most))
    return tuple(
        Part(slice(i, min(i + images, count)), slice(r, min(r + rows, height)))
        for i in range(0, count, images)
        for r in range(0, height, rows)
    )


class Cutter:
    """Cuts out what parts see of images, with a border and as patches, in a room of one thread.

    What parts of a kind have in common, buffers, the zeros around them and views, is made once: for small layers that
    takes as long as the copying. All images of one plan have the same shape and lie alike in memory.
    """

    def __init__(self, memory: Array) -> None:
        self.room = Arena(memory)
        self._kept = 0
        self._p: Plan | None = None
        self._kind: tuple[int, slice] | None = None

    def begin(self, p: Plan, copied: bool = True, border: float = 0.0) -> None:
        """From now on cut by this plan, behind what is taken from the room now.

        Args:
            p: the plan.
            copied: whether patches are asked for.
            border: what lies around the images.
        """
        if p != self._p or self.room.used != self._kept:
            self._p, self._kept, self._copied, self._border, self._kind = p, self.room.used, copied, border, None

    def seen(self, images: Array, part: Part) -> Array:
        """What a part sees, (n, rows, pixels, channels), good until the next; no copy where it lies so in memory."""
        assert self._p is not None
        kind = (part.images.stop - part.images.start, part.rows)
        if kind != self._kind:
            self._prepare(self._p, images, part)
            self._kind = kind
        some = images[part.images, self._rows, self._columns]
        if self._bordered is None:
            return some
        self._inside[...] = some
        return self._bordered

    def patches(self, images: Array, part: Part) -> Array:
        """The patches of a part as a matrix, good until the next; no copy where they lie so in memory."""
        assert self._p is not None
        seen = self.seen(images, part)
        view = self._view if seen is self._bordered else patch_view(seen, self._p, part)
        if self._found is None:
            return view.reshape(-1, self._p.patch)
        np.copyto(self._found, view)
        return self._matrix

    def _prepare(self, p: Plan, images: Array, part: Part) -> None:
        room = self.room
        room.clear(self._kept)
        first, reach, inside = seen_by(images, p, part)
        (self._rows, up), (self._columns, left) = (
            common(f, n, size) for f, n, size in zip(first, reach, images.shape[1:3], strict=True)
        )
        seen = images[part.images, self._rows, self._columns]
        self._bordered: Array | None = None
        if not inside or seen.strides[-1] != seen.itemsize:
            seen = self._bordered = room.empty((len(seen), *reach, p.inner), images.dtype)
            if not inside:
                seen.fill(self._border)
            self._inside = seen[:, up, left]
        self._found: Array | None = None
        if not self._copied:
            return
        self._view = patch_view(seen, p, part)
        if not self._view.flags.c_contiguous:
            self._found = room.empty(self._view.shape, images.dtype)
            self._matrix = self._found.reshape(-1, p.patch)


def common(first: int, count: int, size: int) -> tuple[slice, slice]:
    """What `count` places from number `first` on and those from 0 to `size` have in common, as slices of both.

    Returns:
        Which of the latter, and which of the former.
    """
    low, high = max(first, 0), max(min(first + count, size), first, 0)
    return slice(low, high), slice(low - first, high - first)


def patch_view(seen: Array, p: Plan, part: Part) -> Array:
    """A view (n, rows, blocks of pixels, kernel rows, window, channels) of what a part sees."""
    count, rows = part.shape
    image, line, pixel, item = seen.strides
    return strided(
        seen, (count, rows, p.size[1] // p.block, p.kernel[0], p.window, p.inner),
        (image, line * p.stride[0], pixel * p.stride[1] * p.block, line * p.dilation[0], pixel * p.dilation[1], item),
    )  # fmt: skip


def strided(x: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """`as_strided`, which takes ten times as long, where `x` is contiguous."""
    return np.ndarray(shape, x.dtype, x, 0, strides) if x.flags.c_contiguous else as_strided(x, shape, strides)


def seen_by(images: Array, p: Plan, part: Part) -> tuple[tuple[int, int], tuple[int, int], bool]:
    """The first row and pixel that a part of the output sees, how many, and whether all are inside the images."""
    first = (part.rows.start * p.stride[0] - p.low[0], -p.low[1])
    reach = (p.reach(0, part.shape[1]), p.reach(1, p.size[1]))
    _, height, width, _ = images.shape
    inside = min(first) >= 0 and first[0] + reach[0] <= height and first[1] + reach[1] <= width
    return first, reach, inside


def place(target: Array, source: Array, first: Sequence[int]) -> None:
    """Copy what lies in both: the first row and pixel of `target` are those numbered `first` in `source`."""
    (rows, into_rows), (columns, into_columns) = (
        common(f, n, size) for f, n, size in zip(first, target.shape[1:3], source.shape[1:3], strict=True)
    )
    target[:, into_rows, into_columns] = source[:, rows, columns]


def scratch(images: Array, p: Plan, part: Part, copied: bool = True) -> int:
    """Bytes that what a part sees and, where they are `copied`, its patches take; no element is read."""
    images = images[part.images]
    return _scratch(images.shape, images.strides, images.itemsize, p, part.rows.start, part.rows.stop, copied)


@functools.lru_cache(maxsize=1024)
def _scratch(
    shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int, p: Plan, start: int, stop: int, copied: bool
) -> int:
    # Arrays that are only looked at: pages that nobody touches take no memory.
    images = as_strided(np.empty(1, f"V{itemsize}"), shape, strides)
    part, taken = Part(slice(0, shape[0]), slice(start, stop)), 0
    _, reach, inside = seen_by(images, p, part)
    if not inside or strides[-1] != itemsize:
        images = np.empty((shape[0], *reach, shape[-1]), images.dtype)
        taken = images.nbytes
    if copied and not patch_view(images, p, part).flags.c_contiguous:
        taken += math.prod(part.shape) * p.size[1] // p.block * p.patch * itemsize
    return taken


def most_scratch(images: Array, p: Plan, every: Sequence[Part], copied: bool = True) -> int:
    """The `scratch` of the largest part: the first, or the last where they are rows of images."""
    ends = every[:1] if every[0].rows == every[-1].rows else (every[0], every[-1])
    return max([scratch(images, p, part, copied) for part in ends])


def add_patches(sums: Array, found: Array, p: Plan, part: Part) -> None:
    """Add patches to the images that they were to be taken from."""
    count, rows = part.shape
    blocks = p.size[1] // p.block
    taken = found.reshape(count, rows, blocks, p.kernel[0], p.window, p.inner)
    image, line, pixel, _ = sums.strides
    # Neighbouring patches overlap: what is added at once are pixels up to where the next patch begins.
    corner = sums[:, part.rows.start * p.stride[0] :]
    for row, start in itertools.product(range(p.kernel[0]), range(0, p.window, p.apart)):
        some = taken[:, :, :, row, start : start + p.apart]
        base = corner[:, row * p.dilation[0] :, start * p.dilation[1] :]
        target = strided(
            base, some.shape, (image, line * p.stride[0], pixel * p.block * p.stride[1], pixel, sums.itemsize)
        )
        target += some


def dense(pool: BufferPool | Arena, x: Array) -> Array:
    """The same numbers, contiguous."""
    if x.flags.c_contiguous:
        return x
    copy = pool.empty(x.shape, x.dtype)
    np.copyto(copy, x)
    return copy


