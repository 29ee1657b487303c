"""Largest elements of windows, and the sums of batch normalisation, on the CPU with NumPy alone.

float32 and float64, channels last, in parts that stay in cache and go to our own threads. What is declined (other
types, small arrays, three spatial axes) goes the general way, `ops.windows` and `ops.norms`, with the same results.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ..fusion import workers
from ..fusion.numpy_compiler import rows_joined
from ..fusion.workers import Arena
from . import blas
from .base import Array
from .conv import Geometry
from .cpu_conv_numpy import share, share_with_room, with_height
from .cpu_depthwise_numpy import parts, plan, taps
from .cpu_patches import Cutter, Part, Plan, dense, most_scratch, place
from .pool import BufferPool

# Elements from which on parts are worth while; bytes and rows, at most, of one whose sums are one part: few enough that
# their rounding errors stay small.
SMALL: Final = 16_384
BLOCK: Final = 1 << 18
ROWS: Final = 1024


def fit(axes: int, least: int, *arrays: Array) -> bool:
    """Whether arrays are images of float32 or float64 with one or two spatial axes, one of `least` elements or more."""
    first = arrays[0]
    return (
        axes in (1, 2)
        and max(a.size for a in arrays) >= least
        and all(a.size and a.dtype == first.dtype and a.dtype in (np.float32, np.float64) for a in arrays)
    )


def takes(axes: int, *arrays: Array) -> bool:
    """Whether arrays of images with so many spatial axes are taken here."""
    return fit(axes, SMALL, *arrays)


def max_pool(
    pool: BufferPool, x: Array, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry
) -> tuple[Array, Array] | None:
    """`Backend.max_pool`: the largest elements, and the number of each in its window as uint8; None if one is nan."""
    if x.ndim == 3:
        found = max_pool(pool, x[:, :, None], (1, *kernel), (1, *size), with_height(at))
        return None if found is None else (found[0][:, :, 0], found[1][:, :, 0])
    images, channels = np.moveaxis(x, 1, -1), x.shape[1]
    p = plan(size, (channels, 1, *kernel), at)
    y = pool.empty((len(x), *size, channels), x.dtype)
    won = pool.empty(y.shape, np.uint8)
    every = parts(y.shape, x.itemsize)
    nan = []

    def compute(number: int, cutter: Cutter) -> None:
        part, room = every[number], cutter.room
        room.clear()
        less, other = (room.empty((math.prod(part.shape) * p.size[1] * channels,), bool) for _ in range(2))
        cutter.begin(p, copied=False, border=-np.inf)
        seen = taps(cutter.seen(images, part), p, part)
        values = [seen[:, :, row, column] for row in range(kernel[0]) for column in range(kernel[1])]
        best, place_of = y[part].reshape(values[0].shape), won[part].reshape(values[0].shape)
        np.maximum(values[0], values[-1], out=best)
        for value in values[1:-1]:
            np.maximum(best, value, out=best)
        if np.isnan(best.max(initial=-np.inf)):
            nan.append(number)
            return
        # The first of equals wins: its number is how many before it are less.
        less, other = less.reshape(best.shape), other.reshape(best.shape)
        np.not_equal(values[0], best, out=less)
        place_of[...] = less
        for value in values[1:-1]:
            less &= np.not_equal(value, best, out=other)
            place_of += less

    share_with_room(pool, compute, len(every), pool_scratch(images, p, every), Cutter)
    return None if nan else (np.moveaxis(y, -1, 1), np.moveaxis(won, -1, 1))


def window_put(
    pool: BufferPool, g: Array, won: Array, inner: tuple[int, ...], kernel: tuple[int, ...], at: Geometry
) -> Array:
    """`Backend.window_put`: zeros but for each window's number where its largest element was, added up."""
    if g.ndim == 3:
        found = window_put(pool, g[:, :, None], won[:, :, None], (1, *inner), (1, *kernel), with_height(at))
        return found[:, :, 0]
    given, numbers, channels = np.moveaxis(g, 1, -1), np.moveaxis(won, 1, -1), g.shape[1]
    p = plan(g.shape[2:], (channels, 1, *kernel), at)
    x = pool.empty((len(g), *inner, channels), g.dtype)
    full = [max(low + n, p.reach(axis, p.size[axis])) for axis, (low, n) in enumerate(zip(p.low, inner, strict=True))]
    whole = list(inner) == full
    # Where windows lie side by side each pixel is written once.
    covered = all(n == k * m for n, k, m in zip(inner, kernel, g.shape[2:], strict=True))
    tiled = whole and covered and kernel == at.stride
    every = [part._replace(rows=slice(0, p.size[0])) for part in parts(x.shape, g.itemsize) if part.rows.start == 0]

    def compute(number: int, room: Arena) -> None:
        room.clear()
        part = every[number]
        images = part.images
        sums = x[images] if whole else room.empty((part.shape[0], *full, channels), g.dtype)
        if not tiled:
            sums.fill(0)
        seen = taps(sums, p, part)
        shape = seen.shape[:2] + seen.shape[4:]
        values, winners = (dense(room, a[images]).reshape(shape) for a in (given, numbers))
        won_here = room.empty(shape, bool)
        for k in range(kernel[0] * kernel[1]):
            target = seen[:, :, k // kernel[1], k % kernel[1]]
            # Not a product with the truth values: an infinite cotangent is nan nowhere.
            if tiled:
                target.fill(0)
                np.copyto(target, values, where=np.equal(winners, k, out=won_here))
            else:
                np.add(target, values, out=target, where=np.equal(winners, k, out=won_here))
        if not whole:
            place(x[images], sums, p.low)

    nbytes = put_scratch([given, numbers], p, every[0], 0 if whole else math.prod(full) * channels)
    share_with_room(pool, compute, len(every), nbytes, Arena)
    return np.moveaxis(x, -1, 1)


def pool_scratch(images: Array, p: Plan, every: Sequence[Part]) -> int:
    """Bytes that a part of `max_pool` takes: what it sees, and two truth values for each result."""
    results = math.prod(every[0].shape) * p.size[1] * p.inner
    return most_scratch(images, p, every, copied=False) + 2 * results + 128  # arrays begin at multiples of 64 bytes


def put_scratch(given: Sequence[Array], p: Plan, part: Part, sums: int) -> int:
    """Bytes that a part of `window_put` takes: `sums` numbers an image, copies of what is given, a truth value each."""
    count = part.shape[0]
    values = count * math.prod(p.size) * p.inner
    copied = sum(values * a.itemsize for a in given if not a[:count].flags.c_contiguous)
    return int(count * sums * given[0].itemsize + copied + values + 128)


def statistics(rows: Array) -> tuple[Array, Array]:
    """Mean and biased variance of the columns of a contiguous matrix.

    The parts' means and squared distances are put together in float64 (T. F. Chan, G. H. Golub, R. J. LeVeque 1983).
    """
    wide, step, count = _in_parts(rows)
    joined = wide.shape[1] // rows.shape[1]
    found = np.empty((2, count, rows.shape[1]), rows.dtype)

    def compute(k: int, room: Array) -> None:
        part = wide[k * step : (k + 1) * step]
        found[0, k] = _folded(_ones(len(part), rows.dtype) @ part, joined)
        centred = np.subtract(part, np.tile(found[0, k] / (len(part) * joined), joined), room[: len(part)])
        found[1, k] = _folded(np.einsum("ij,ij->j", centred, centred), joined)

    share(workers.lending(compute, _rooms(wide, step, count)), count)
    sums, squares = found.astype(np.float64)
    sizes = np.full((count, 1), step * joined, np.float64)
    sizes[-1] = len(rows) - (count - 1) * step * joined
    mean = sums.sum(0) / len(rows)
    variance = (squares + sizes * (sums / sizes - mean) ** 2).sum(0) / len(rows)
    return mean.astype(rows.dtype), variance.astype(rows.dtype)


def products(g: Array, rows: Array, mean: Array, scale: Array) -> tuple[Array, Array]:
    """Sums over the columns of g and of g (rows - mean) scale; contiguous matrices, one number for each column."""
    wide, step, count = _in_parts(rows)
    joined = wide.shape[1] // rows.shape[1]
    given, middle = g.reshape(wide.shape), np.tile(mean, joined)
    found = np.empty((2, count, rows.shape[1]), rows.dtype)

    def compute(k: int, room: Array) -> None:
        part = slice(k * step, (k + 1) * step)
        own = wide[part]
        found[0, k] = _folded(_ones(len(own), rows.dtype) @ given[part], joined)
        found[1, k] = _folded(np.einsum("ij,ij->j", given[part], np.subtract(own, middle, room[: len(own)])), joined)

    share(workers.lending(compute, _rooms(wide, step, count)), count)
    total, along = found.sum(1, dtype=np.float64).astype(rows.dtype)
    return total, along * scale


def column_sums(rows: Array) -> Array:
    """The sums of the columns of a contiguous matrix."""
    wide, step, count = _in_parts(rows)
    found = np.empty((count, rows.shape[1]), rows.dtype)

    def compute(k: int) -> None:
        part = wide[k * step : (k + 1) * step]
        found[k] = _folded(_ones(len(part), rows.dtype) @ part, wide.shape[1] // rows.shape[1])

    share(compute, count)
    total: Array = found.sum(0, dtype=np.float64).astype(rows.dtype)
    return total


def _folded(sums: Array, joined: int) -> Array:
    """The sums of columns of rows that were joined, as those of the rows."""
    total: Array = sums.reshape(joined, -1).sum(0)
    return total


def scratch(rows: Array) -> int:
    """Bytes that `statistics` or `products` take for parts; of `rows` only the shape and the dtype are looked at."""
    wide, step, count = _in_parts(rows)
    return min(step, len(wide)) * int(wide.strides[0]) * _at_once(count)


def _at_once(count: int) -> int:
    """How many of the parts are computed at one time."""
    return workers.takers(count) if blas.controlled() else 1


def _rooms(wide: Array, step: int, count: int) -> list[Array]:
    """Room for what is computed of a part, for each thread."""
    return [np.empty((min(step, len(wide)), wide.shape[1]), wide.dtype) for _ in range(_at_once(count))]


def _in_parts(rows: Array) -> tuple[Array, int, int]:
    """Short rows as long ones, rows of a part, and how many parts there are; they depend on the shape alone."""
    wide = rows.reshape(-1, rows.shape[1] * rows_joined(*rows.shape))
    step = min(ROWS, max(1, BLOCK // (wide.shape[1] * wide.itemsize)))
    return wide, step, -(-len(wide) // step)


@functools.cache
def _ones(count: int, dtype: Any) -> Array:
    return np.ones(count, dtype)
