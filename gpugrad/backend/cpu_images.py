"""Pooling and the sums of batch normalisation on the CPU in compiled loops: float32 and float64, channels last.

The loops are in `cpu_images_numba`. What is declined here (other types, small arrays, three spatial axes, no Numba)
goes the general way, `ops.windows` and `ops.norms`, with the same results.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ..fusion.numba_cache import numba_wanted
from .base import Array
from .conv import Geometry
from .cpu_conv import bordered, conv, loaded, run_strips
from .cpu_images_numpy import fit
from .pool import BufferPool

# Elements from which on compiled loops are worth loading Numba for; bytes and rows, at most, of a block whose sums are
# one part: in cache for a second look, and few enough that their rounding errors stay small.
SMALL: Final = 16_384
BLOCK: Final = 1 << 17
ROWS: Final = 1024
# Numbers of a row that fill vectors; matrices of fewer columns are read several rows at a time.
FILLED: Final = 64

_KINDS: Final = ("maximum", "put", "spread")


def takes(axes: int, *arrays: Array) -> bool:
    """Whether the compiled loops take arrays of images with so many spatial axes."""
    return fit(axes, SMALL, *arrays) and numba_wanted()


def _windows(kind: str, x: Array, y: Array, won: Array | None, kernel: tuple[int, ...], at: Geometry) -> None:
    """Run a kind of loop on x (n, [height,] width, channels) and y, won likewise; all contiguous."""
    lift = 2 - len(kernel)  # a sequence is an image of one row
    one = (1,) * lift
    (top, _), (left, _) = ((0, 0),) * lift + at.padding
    table = (
        x.ctypes.data, y.ctypes.data, 0 if won is None else won.ctypes.data,
        *one, *x.shape[1:], *one, *y.shape[1:-1], *one, *kernel, *one, *at.stride, top, left, *one, *at.dilation,
    )  # fmt: skip
    loop = loaded("cpu_images_numba.py", BITS=x.itemsize * 8, KIND=_KINDS.index(kind)).windows
    run_strips(loop, table, x.shape[0], 1)


def _last(pool: BufferPool, x: Array) -> Array:
    """Images with channels last and contiguous."""
    if x.ndim == 4:
        return bordered(pool, x, ((0, 0), (0, 0)))
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def _first(x: Array) -> Array:
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def max_pool(
    pool: BufferPool, x: Array, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry
) -> tuple[Array, Array]:
    """`Backend.max_pool`: the largest elements, and the number of each in its window as uint8."""
    y = pool.empty((x.shape[0], *size, x.shape[1]), x.dtype)
    won = pool.empty(y.shape, np.uint8)
    _windows("maximum", _last(pool, x), y, won, kernel, at)
    return _first(y), _first(won)


def window_put(
    pool: BufferPool, g: Array, won: Array, inner: tuple[int, ...], kernel: tuple[int, ...], at: Geometry
) -> Array:
    """`Backend.window_put`: zeros but for each window's number where its largest element was, added up."""
    x = pool.empty((g.shape[0], *inner, g.shape[1]), g.dtype)
    places = np.ascontiguousarray(np.moveaxis(won, 1, -1))
    _windows("put", x, _last(pool, g), places, kernel, at)
    return _first(x)


def window_sum(pool: BufferPool, x: Array, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.window_sum`: the sum of each window, as a depthwise convolution with ones."""
    over = zip(x.shape[2:], size, kernel, at.stride, at.padding, at.dilation, strict=True)
    padding = tuple((low, max(0, (m - 1) * s + (k - 1) * d + 1 - n - low)) for n, m, k, s, (low, _), d in over)
    ones = np.ones((x.shape[1], 1, *kernel), x.dtype)
    return conv(pool, x, ones, None, at._replace(padding=padding, groups=x.shape[1]))


def window_spread(pool: BufferPool, g: Array, inner: tuple[int, ...], kernel: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.window_spread`: for each place of the images the sum over the windows that it is in."""
    x = pool.empty((g.shape[0], *inner, g.shape[1]), g.dtype)
    _windows("spread", x, _last(pool, g), None, kernel, at)
    return _first(x)


def _parts(x: Array) -> tuple[int, int]:
    """Rows of a block, and how many blocks there are; they depend on the shape alone."""
    step = min(ROWS, max(1, BLOCK // (x.shape[1] * x.itemsize)))
    return step, -(-x.shape[0] // step)


def _folded(x: Array) -> tuple[Array, int]:
    """A matrix, contiguous, and how many rows are taken as one where there are few columns, so that vectors are filled.

    The rows of a single image with channels first are a view with the columns far apart.
    """
    folds = 1
    while x.shape[1] * folds < FILLED and x.shape[0] % (2 * folds) == 0:
        folds *= 2
    return np.ascontiguousarray(x).reshape(-1, folds * x.shape[1]), folds


def statistics(rows: Array) -> tuple[Array, Array]:
    """Mean and biased variance of the columns of a matrix.

    The blocks' means and squared distances are put together in float64 (T. F. Chan, G. H. Golub, R. J. LeVeque 1983).
    """
    (wide, folds), (n, channels) = _folded(rows), rows.shape
    step, count = _parts(wide)
    found = np.empty((2, count, folds * channels), rows.dtype)
    table = (wide.ctypes.data, found[0].ctypes.data, found[1].ctypes.data, *wide.shape, step)
    run_strips(loaded("cpu_images_numba.py", BITS=rows.itemsize * 8, KIND=0).moments, table, count, 1)
    sums, squares = found.astype(np.float64).reshape(2, count, folds, channels)
    sizes = np.full((count, 1, 1), step, np.float64)
    sizes[-1] = wide.shape[0] - (count - 1) * step
    mean = sums.sum((0, 1)) / n
    variance = (squares + sizes * (sums / sizes - mean) ** 2).sum((0, 1)) / n
    return mean.astype(rows.dtype), variance.astype(rows.dtype)


def products(g: Array, rows: Array, mean: Array, scale: Array) -> tuple[Array, Array]:
    """Sums over the columns of g and of g (rows - mean) scale: matrices, and one number for each column."""
    (wide, folds), channels, g = _folded(rows), rows.shape[1], np.ascontiguousarray(g)
    step, count = _parts(wide)
    found = np.empty((2, count, folds * channels), rows.dtype)
    mean, scale = np.tile(mean, folds), np.tile(scale, folds)
    table = (
        g.ctypes.data, wide.ctypes.data, mean.ctypes.data, scale.ctypes.data,
        found[0].ctypes.data, found[1].ctypes.data, *wide.shape, step,
    )  # fmt: skip
    run_strips(loaded("cpu_images_numba.py", BITS=rows.itemsize * 8, KIND=0).along, table, count, 1)
    total = found.reshape(2, count * folds, channels).sum(1, dtype=np.float64).astype(rows.dtype)
    return total[0], total[1]


def column_sums(rows: Array) -> Array:
    """The sums of the columns of a matrix."""
    (wide, folds), channels = _folded(rows), rows.shape[1]
    step, count = _parts(wide)
    found = np.empty((count, folds * channels), rows.dtype)
    table = (wide.ctypes.data, found.ctypes.data, *wide.shape, step)
    run_strips(loaded("cpu_images_numba.py", BITS=rows.itemsize * 8, KIND=0).columns, table, count, 1)
    total: Array = found.reshape(count * folds, channels).sum(0, dtype=np.float64).astype(rows.dtype)
    return total
