"""Winograd's convolution F(2x2, 3x3) on the CPU with NumPy alone: 16 multiplications where the definition has 36.

Its errors are those of a direct convolution (A. Lavin, S. Gray 2016), unlike those of F(4x4) in `cpu_winograd`. An
output is cut into tiles of 2 x 2 pixels. Each tile's 4 x 4 pixels of the images become 16 sums of theirs, each of which
meets a matrix of kernels of its own, and the 16 products make the tile. What is transformed are whole rows of tiles:
pixels in even and in odd columns lie apart, so that a sum is one run of memory. Parts depend on shapes alone.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from ..fusion.workers import Arena
from .base import Array
from .conv import Geometry, turned_kernels
from .cpu_conv_numpy import share_with_room, turned
from .cpu_patches import Part
from .pool import BufferPool

# Bytes of transformed images and products that a part has at a time, as a share of the layer's where that is less, and
# tiles at least: fewer make products slow.
CHUNK: Final = 1 << 21
SHARE: Final = 5
LEAST: Final = 64
# Bytes of all sums of the kernels' gradient up to which PARTS parts have their own.
SMALL_GRADIENT: Final = 1 << 21
PARTS: Final = 8
# Channels from which on it pays; for the gradient by the kernels both images and output are transformed.
CHANNELS: Final = 64
CHANNELS_WEIGHT: Final = 192
# Bytes of kernels that are transformed at a time.
PIECE: Final = 1 << 18

# Kernels to the 4 x 4 that meets transformed images: along one axis, and along both.
_ALONG: Final = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_BOTH: Final = np.kron(_ALONG, _ALONG)
_ALL: Final = slice(0, 4)
# Four neighbouring pixels to four sums, and what each of two pixels of the output gives to four products.
_SUMS: Final[tuple[tuple[Any, int, int], ...]] = (
    (np.subtract, 0, 2), (np.add, 1, 2), (np.subtract, 2, 1), (np.subtract, 1, 3),
)  # fmt: skip
_SHARES: Final[tuple[tuple[int, int], ...]] = ((1, 0), (1, 1), (1, -1), (0, -1))


def fits(w_shape: tuple[int, ...], at: Geometry) -> bool:
    """Whether a convolution of two spatial axes is one of 3 x 3 kernels in steps of 1, with enough channels."""
    return w_shape[2:] == (3, 3) and at == Geometry((1, 1), at.padding, (1, 1), 1) and min(w_shape[:2]) >= CHANNELS


def pays(w_shape: tuple[int, ...], weight: bool) -> bool:
    """Whether what `fits` takes less time this way than as patches; `weight`: the gradient by the kernels."""
    return not weight or min(w_shape[:2]) >= CHANNELS_WEIGHT


def conv(pool: BufferPool, x: Array, w: Array, bias: Array | None, at: Geometry) -> Array:
    """`Backend.conv` for what `fits`."""
    images, out = np.moveaxis(x, 1, -1), w.shape[0]
    height, width = at.output(x.shape[2:], (3, 3))
    kernels = transformed_kernels(pool, w)
    y = pool.empty((x.shape[0], height, width, out), x.dtype)
    every = parts(y.shape, x.shape[1] + out, x.itemsize)

    sizes = rooms(every[0], -(-width // 2), x.shape[1], out)

    def compute(number: int, arena: Arena) -> None:
        arena.clear()
        part = every[number]
        one, other = (Room(arena, numbers, x.dtype) for numbers in sizes)
        seen = transformed(one, other, images, part, width, at)
        other.used = 0
        products = other.empty((*seen.shape[:-1], out), x.dtype)
        flat = products.reshape(16, -1, out)
        np.matmul(seen.reshape(*flat.shape[:2], -1), kernels, out=flat)
        if bias is not None:
            flat[5] += bias  # the one that each pixel of a tile has once
        finish(products, y[part.images], part)

    share_with_room(pool, compute, len(every), sum(sizes) * x.itemsize, Arena)
    return np.moveaxis(y, -1, 1)


def conv_input(pool: BufferPool, g: Array, w: Array, size: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_input` likewise: the convolution of `g` with the turned kernels."""
    return conv(pool, g, turned_kernels(np, w, 1), None, turned(size, g.shape[2:], (3, 3), at))


def conv_weight(pool: BufferPool, x: Array, g: Array, kernel: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_weight` likewise; `kernel` is (3, 3)."""
    images, given = np.moveaxis(x, 1, -1), np.moveaxis(g, 1, -1)
    channels, out = x.shape[1], g.shape[1]
    bundles, pieces = shares(given.shape, channels, out, x.itemsize)
    sums = pool.empty((len(bundles), 4, 4, channels, out), x.dtype)
    high = pieces[0].stop - pieces[0].start
    sizes = rooms_back(bundles[0][0], -(-given.shape[2] // 2), channels, out, high)

    def compute(number: int, arena: Arena) -> None:
        arena.clear()
        bundle, rows = number // len(pieces), pieces[number % len(pieces)]
        total = sums[bundle, rows].reshape(-1, channels, out)
        found = arena.empty(total.shape, x.dtype)
        one, other, both = (Room(arena, numbers, x.dtype) for numbers in sizes)
        for k, part in enumerate(bundles[bundle]):
            one.used = other.used = both.used = 0
            seen = transformed(one, both, images, part, given.shape[2], at, rows).reshape(len(found), -1, channels)
            both.used = 0
            gradient = transformed_gradient(other, both, given, part, rows).reshape(len(found), -1, out)
            np.matmul(seen.swapaxes(1, 2), gradient, out=found)
            np.add(total if k else 0, found, out=total)

    nbytes = (sum(sizes) + 4 * high * channels * out) * x.itemsize
    share_with_room(pool, compute, len(bundles) * len(pieces), nbytes, Arena)
    total = (sums[0] if len(sums) == 1 else sums.sum(axis=0)).reshape(16, channels, out)
    gradient = np.empty((out, channels, *kernel), x.dtype)
    back, some = _BOTH.T.astype(x.dtype), pieces_of(channels, out, x.itemsize)

    def collect(number: int, arena: Arena) -> None:
        arena.clear()
        given = total[:, some[number]].reshape(16, -1)
        each = np.matmul(back, given, out=arena.empty((9, given.shape[1]), x.dtype))
        gradient[:, some[number]] = each.reshape(*kernel, -1, out).transpose(3, 2, 0, 1)

    share_with_room(pool, collect, len(some), 9 * some[0].stop * out * x.itemsize, Arena)
    return gradient


def pieces_of(channels: int, out: int, itemsize: int) -> list[slice]:
    """Channels of which kernels are transformed at a time: as many each time, 9 numbers each, PIECE bytes at most."""
    step = max(1, PIECE // (9 * out * itemsize))
    step = -(-channels // -(-channels // step))
    return [slice(c, min(c + step, channels)) for c in range(0, channels, step)]


def shares(
    shape: tuple[int, ...], channels: int, out: int, itemsize: int
) -> tuple[list[list[Part]], list[slice]]:
    """How the gradient of the kernels is shared out, for an output of `shape`.

    Returns:
        Bundles of parts that have sums of their own, and rows of the transformed tiles: all, or, where the sums are
        large, one after the other.
    """
    small = PARTS * 16 * channels * out * itemsize <= SMALL_GRADIENT
    every = parts(shape, (channels + out) * (6 if small else 3) // 4, itemsize)
    each = -(-len(every) // PARTS) if small else len(every)
    rows = [slice(0, 4)] if small else [slice(k, k + 1) for k in range(4)]
    return [every[k : k + each] for k in range(0, len(every), each)], rows


def parts(shape: tuple[int, ...], channels: int, itemsize: int) -> list[Part]:
    """An output (n, height, width, channels) in parts: some images, or some rows of tiles of one.

    Args:
        shape: of the output.
        channels: of images and output together.
        itemsize: bytes of a number.
    """
    count, height, width, _ = shape
    down, across = -(-height // 2), -(-width // 2)
    nbytes = min(CHUNK, count * height * width * channels * itemsize // SHARE)
    rows = max(nbytes // (16 * channels * itemsize), LEAST) // across
    images = max(1, min(rows // down, -(-count // PARTS)))
    rows = max(1, min(rows, down))
    return [
        Part(slice(i, min(i + images, count)), slice(r, min(r + rows, down)))
        for i in range(0, count, images)
        for r in range(0, down, rows)
    ]


def transformed_kernels(pool: BufferPool, w: Array) -> Array:
    """Kernels (out, channels, 3, 3) as 16 matrices (channels, out)."""
    out, channels = w.shape[:2]
    kernels = pool.empty((16, channels, out), w.dtype)
    both, some = _BOTH.astype(w.dtype), pieces_of(channels, out, w.itemsize)

    def transform(number: int, arena: Arena) -> None:
        arena.clear()
        given = w[:, some[number]].transpose(2, 3, 1, 0)
        rows = arena.empty(given.shape, w.dtype)
        np.copyto(rows, given)
        np.matmul(both, rows.reshape(9, -1), out=kernels[:, some[number]].reshape(16, -1))

    share_with_room(pool, transform, len(some), 9 * some[0].stop * out * w.itemsize, Arena)
    return kernels


def halves(room: Room, images: Array, part: Part, corner: tuple[int, int], size: tuple[int, int]) -> Array:
    """Even and odd columns of a part of the images, (2, n, rows, columns, channels), with zeros around them.

    Args:
        room: where the result is taken from.
        images: (n, height, width, channels).
        part: which images.
        corner: row and column of the images that come first.
        size: rows, and columns of each half.
    """
    some = images[part.images]
    found = room.empty((2, len(some), *size, some.shape[-1]), some.dtype)
    top, bottom = max(0, -corner[0]), min(size[0], some.shape[1] - corner[0])
    found[:, :, :top] = 0
    found[:, :, max(bottom, top) :] = 0
    for parity in range(2):
        first = corner[1] + parity  # column j of this half is column first + 2 j of the images
        low, high = max(0, -(first // 2)), min(size[1], max(0, -(-(some.shape[2] - first) // 2)))
        inside = found[parity, :, top:bottom]
        inside[:, :, :low] = 0
        inside[:, :, max(high, low) :] = 0
        if high > low and bottom > top:
            columns = slice(first + 2 * low, first + 2 * high - 1, 2)
            inside[:, :, low:high] = some[:, corner[0] + top : corner[0] + bottom, columns]
    return found


class Room:
    """A buffer that arrays are taken from one behind the other; with `used` at 0 again they are written over."""

    def __init__(self, arena: Arena, numbers: int, dtype: Any) -> None:
        self.memory = arena.empty((numbers,), dtype)
        self.used = 0

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """An array of the buffer's dtype."""
        start, self.used = self.used, self.used + math.prod(shape)
        return self.memory[start : self.used].reshape(shape)


def transformed(
    own: Room, other: Room, images: Array, part: Part, width: int, at: Geometry, some: slice = _ALL
) -> Array:
    """The 16 sums of each tile's 4 x 4 pixels of the images, (4, 4, n, rows of tiles, tiles, channels); `some` rows.

    They are taken from `own`, what leads to them from `other`.
    """
    rows, across = part.shape[1], -(-width // 2)
    corner = (2 * part.rows.start - at.padding[0][0], -at.padding[1][0])
    both = halves(other, images, part, corner, (2 * rows + 2, across + 1))
    count, _, _, channels = both.shape[1:]
    lines = [both[:, :, k : k + 2 * rows - 1 : 2] for k in range(4)]
    down = other.empty((2, count, rows, across + 1, channels), images.dtype)
    found = own.empty((some.stop - some.start, 4, count, rows, across, channels), images.dtype)
    for (step, one, another), target in zip(_SUMS[some], found, strict=True):
        step(lines[one], lines[another], out=down)
        even, odd = down
        differences((even[:, :, :-1], odd[:, :, :-1], even[:, :, 1:], odd[:, :, 1:]), target)
    return found


def differences(x: Any, out: Array) -> None:
    """Winograd's transformation of four neighbours."""
    for target, (step, one, other) in zip(out, _SUMS, strict=True):
        step(x[one], x[other], out=target)


def transformed_gradient(own: Room, other: Room, given: Array, part: Part, some: slice = _ALL) -> Array:
    """The 16 that a tile of 2 x 2 pixels of the output's gradient gives to the products, laid out as `transformed`."""
    rows, across = part.shape[1], -(-given.shape[2] // 2)
    both = halves(other, given, part, (2 * part.rows.start, 0), (2 * rows, across))
    count, _, _, channels = both.shape[1:]
    down = other.empty((2, count, rows, across, channels), given.dtype)
    found = own.empty((some.stop - some.start, 4, count, rows, across, channels), given.dtype)
    for share_of, target in zip(_SHARES[some], found, strict=True):
        spread(share_of, both[:, :, 0::2], both[:, :, 1::2], down)
        for each, place in zip(_SHARES, target, strict=True):
            spread(each, down[0], down[1], place)
    return found


def spread(share_of: tuple[int, int], one: Array, other: Array, out: Array) -> None:
    """What two pixels give to a product: the transposed of what `finish` does along an axis."""
    if all(share_of):
        (np.add if share_of[1] > 0 else np.subtract)(one, other, out=out)
    elif share_of[0]:
        np.copyto(out, one)
    else:
        np.negative(other, out=out)


def finish(products: Array, y: Array, part: Part) -> None:
    """Tiles of 2 x 2 pixels from their 16 products, which are written over."""
    one, two, three, four = products
    one += two
    one += three
    two -= three
    two -= four
    for row in range(2):
        target = y[:, 2 * part.rows.start + row : 2 * part.rows.stop : 2]
        even, odd = target[:, :, 0::2], target[:, :, 1::2]
        one, two, three, four = products[row][:, :, : target.shape[1]]
        one += two
        np.add(one[:, :, : even.shape[2]], three[:, :, : even.shape[2]], out=even)
        two -= three
        np.subtract(two[:, :, : odd.shape[2]], four[:, :, : odd.shape[2]], out=odd)


def rooms(part: Part, across: int, channels: int, out: int) -> tuple[int, int]:
    """Numbers in the two buffers of a part of `conv`: transformed images, and what leads to them or the products."""
    tiles = 16 * part.shape[0] * part.shape[1] * across
    return tiles * channels, max(tiles * out, _before(part, across, channels))


def rooms_back(part: Part, across: int, channels: int, out: int, rows: int) -> tuple[int, int, int]:
    """Numbers in the buffers of a part of `conv_weight`: for the images, for the gradient, and on the way to both."""
    tiles = 4 * rows * part.shape[0] * part.shape[1] * across
    return tiles * channels, tiles * out, max(_before(part, across, c) for c in (channels, out))


def _before(part: Part, across: int, channels: int) -> int:
    """Numbers that lead to a part's transformed images."""
    count, down = part.shape
    return 2 * count * (across + 1) * channels * (2 * down + 2 + down)
