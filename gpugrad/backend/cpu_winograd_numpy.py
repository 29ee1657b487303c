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

from .base import Array
from .conv import Geometry, turned_kernels
from .cpu_conv_numpy import Part, share, turned
from .pool import BufferPool

# Bytes of transformed images and products that a part has at a time, and tiles at least: fewer make products slow.
CHUNK: Final = 1 << 21
LEAST: Final = 64
# Bytes of all sums of the kernels' gradient up to which PARTS parts have their own; channels from which on it pays.
SMALL_GRADIENT: Final = 1 << 21
PARTS: Final = 8
CHANNELS: Final = 64

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


def conv(pool: BufferPool, x: Array, w: Array, bias: Array | None, at: Geometry) -> Array:
    """`Backend.conv` for what `fits`."""
    images, out = np.moveaxis(x, 1, -1), w.shape[0]
    height, width = at.output(x.shape[2:], (3, 3))
    kernels = transformed_kernels(w)
    y = pool.empty((x.shape[0], height, width, out), x.dtype)
    every = parts(y.shape, x.shape[1] + out, x.itemsize)

    def compute(number: int) -> None:
        part = every[number]
        one, other = (Room(pool, numbers, x.dtype) for numbers in rooms(part, -(-width // 2), x.shape[1], out))
        seen = transformed(one, other, images, part, width, at)
        other.used = 0
        products = other.empty((*seen.shape[:-1], out), x.dtype)
        flat = products.reshape(16, -1, out)
        np.matmul(seen.reshape(*flat.shape[:2], -1), kernels, out=flat)
        if bias is not None:
            flat[5] += bias  # the one that each pixel of a tile has once
        one.used = 0
        finish(one, products, y[part.images], part)

    share(compute, len(every))
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

    def compute(number: int) -> None:
        bundle, rows = number // len(pieces), pieces[number % len(pieces)]
        total = sums[bundle, rows].reshape(-1, channels, out)
        found = pool.empty(total.shape, x.dtype)
        sizes = rooms_back(bundles[0][0], -(-given.shape[2] // 2), channels, out, rows.stop - rows.start)
        one, other, both = (Room(pool, numbers, x.dtype) for numbers in sizes)
        for k, part in enumerate(bundles[bundle]):
            one.used = other.used = both.used = 0
            seen = transformed(one, both, images, part, given.shape[2], at, rows).reshape(len(found), -1, channels)
            both.used = 0
            gradient = transformed_gradient(other, both, given, part, rows).reshape(len(found), -1, out)
            np.matmul(seen.swapaxes(1, 2), gradient, out=found)
            np.add(total if k else 0, found, out=total)

    share(compute, len(bundles) * len(pieces))
    gradient = _BOTH.T.astype(x.dtype) @ (sums[0] if len(sums) == 1 else sums.sum(axis=0)).reshape(16, -1)
    return np.ascontiguousarray(gradient.reshape(*kernel, channels, out).transpose(3, 2, 0, 1))


def shares(
    shape: tuple[int, ...], channels: int, out: int, itemsize: int
) -> tuple[list[list[Part]], list[slice]]:
    """How the gradient of the kernels is shared out, for an output of `shape`.

    Returns:
        Bundles of parts that have sums of their own, and rows of the transformed tiles: all, or, where the sums are
        large, one after the other.
    """
    small = PARTS * 16 * channels * out * itemsize <= SMALL_GRADIENT
    every = parts(shape, -(-(channels + out) // (1 if small else 2)), itemsize)
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
    rows = max(CHUNK // (16 * channels * itemsize), LEAST) // across
    images = max(1, min(rows // down, -(-count // PARTS)))
    rows = max(1, min(rows, down))
    return [
        Part(slice(i, min(i + images, count)), slice(r, min(r + rows, down)))
        for i in range(0, count, images)
        for r in range(0, down, rows)
    ]


def transformed_kernels(w: Array) -> Array:
    """Kernels (out, channels, 3, 3) as 16 matrices (channels, out)."""
    out, channels = w.shape[:2]
    rows = np.ascontiguousarray(w.transpose(2, 3, 1, 0)).reshape(9, -1)
    return (_BOTH.astype(w.dtype) @ rows).reshape(16, channels, out)


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

    def __init__(self, pool: BufferPool, numbers: int, dtype: Any) -> None:
        self.memory = pool.empty((numbers,), dtype)
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
    down = other.empty((some.stop - some.start, 2, count, rows, across + 1, channels), images.dtype)
    differences([both[:, :, k : k + 2 * rows - 1 : 2] for k in range(4)], down, some)
    found = own.empty((len(down), 4, count, rows, across, channels), images.dtype)
    for (even, odd), target in zip(down, found, strict=True):
        differences((even[:, :, :-1], odd[:, :, :-1], even[:, :, 1:], odd[:, :, 1:]), target)
    return found


def differences(x: Any, out: Array, some: slice = _ALL) -> None:
    """Winograd's transformation of four neighbours."""
    for target, (step, one, other) in zip(out, _SUMS[some], strict=True):
        step(x[one], x[other], out=target)


def transformed_gradient(own: Room, other: Room, given: Array, part: Part, some: slice = _ALL) -> Array:
    """The 16 that a tile of 2 x 2 pixels of the output's gradient gives to the products, laid out as `transformed`."""
    rows, across = part.shape[1], -(-given.shape[2] // 2)
    both = halves(other, given, part, (2 * part.rows.start, 0), (2 * rows, across))
    count, _, _, channels = both.shape[1:]
    down = other.empty((some.stop - some.start, 2, count, rows, across, channels), given.dtype)
    spread((both[:, :, 0::2], both[:, :, 1::2]), down, some)
    found = own.empty((len(down), 4, count, rows, across, channels), given.dtype)
    for columns, target in zip(down, found, strict=True):
        spread(columns, target)
    return found


def spread(x: Any, out: Array, some: slice = _ALL) -> None:
    """What each of two pixels gives to four products: the transposed of what `finish` does along an axis."""
    for target, (one, other) in zip(out, _SHARES[some], strict=True):
        if one and other:
            (np.add if other > 0 else np.subtract)(x[0], x[1], out=target)
        elif one:
            np.copyto(target, x[0])
        else:
            np.negative(x[1], out=target)


def finish(room: Room, products: Array, y: Array, part: Part) -> None:
    """Tiles of 2 x 2 pixels from their 16 products."""
    along = room.empty((2, *products.shape[1:]), y.dtype)
    work = room.empty(products.shape[1:], y.dtype)
    inner(products, along, work)
    for row in range(2):
        target = y[:, 2 * part.rows.start + row : 2 * part.rows.stop : 2]
        pixels = [target[:, :, column::2] for column in range(2)]
        high, wide = target.shape[1], [p.shape[2] for p in pixels]
        one, two, three, four = along[row][:, :, :high]
        both = work[0][:, :high]
        np.add(two, three, out=both)
        np.add(one, both, out=both)
        pixels[0][...] = both[:, :, : wide[0]]
        np.subtract(two, three, out=both)
        np.subtract(both, four, out=both)
        pixels[1][...] = both[:, :, : wide[1]]


def rooms(part: Part, across: int, channels: int, out: int) -> tuple[int, int]:
    """Numbers in the two buffers of a part of `conv`: in turn each has what is read and what is written."""
    tiles = 16 * part.shape[0] * part.shape[1] * across
    return max(tiles * channels, tiles * out * 3 // 4), max(tiles * out, _before(part, across, channels, 4))


def rooms_back(part: Part, across: int, channels: int, out: int, rows: int) -> tuple[int, int, int]:
    """Numbers in the buffers of a part of `conv_weight`: for the images, for the gradient, and on the way to both."""
    tiles = 4 * rows * part.shape[0] * part.shape[1] * across
    return tiles * channels, tiles * out, max(_before(part, across, c, rows) for c in (channels, out))


def _before(part: Part, across: int, channels: int, rows: int) -> int:
    """Numbers that lead to a part's transformed images, of so many rows of a tile."""
    count, down = part.shape
    return 2 * count * (across + 1) * channels * (2 * down + 2 + rows * down)


def inner(x: Array, out: Array, work: Array) -> None:
    """Two pixels from four products, along the first axis."""
    np.add(x[0], np.add(x[1], x[2], out=work), out=out[0])
    np.subtract(np.subtract(x[1], x[2], out=work), x[3], out=out[1])
