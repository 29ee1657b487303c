"""Pooling on the CPU in compiled loops: float32 and float64, channels last.

The loops are in `cpu_images_numba`. What is declined here (other types, small arrays, three spatial axes, no Numba)
goes the general way, `ops.windows` and `ops.norms`, with the same results.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ..fusion.numba_cache import numba_wanted
from .base import Array
from .conv import Geometry
from .cpu_conv import conv
from .cpu_images_numpy import fit
from .cpu_layout import NONE, bordered, loaded, run_strips
from .pool import BufferPool

# Elements from which on compiled loops are worth loading Numba for.
SMALL: Final = 16_384

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


def images_last(pool: BufferPool, x: Array) -> Array:
    """Images with channels last and contiguous."""
    if x.ndim == 4:
        return bordered(pool, x, NONE)
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def images_first(x: Array) -> Array:
    """The channels as the second axis again."""
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def max_pool(
    pool: BufferPool, x: Array, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry
) -> tuple[Array, Array]:
    """`Backend.max_pool`: the largest elements, and the number of each in its window as uint8."""
    y = pool.empty((x.shape[0], *size, x.shape[1]), x.dtype)
    won = pool.empty(y.shape, np.uint8)
    _windows("maximum", images_last(pool, x), y, won, kernel, at)
    return images_first(y), images_first(won)


def window_put(
    pool: BufferPool, g: Array, won: Array, inner: tuple[int, ...], kernel: tuple[int, ...], at: Geometry
) -> Array:
    """`Backend.window_put`: zeros but for each window's number where its largest element was, added up."""
    x = pool.empty((g.shape[0], *inner, g.shape[1]), g.dtype)
    places = np.ascontiguousarray(np.moveaxis(won, 1, -1))
    _windows("put", x, images_last(pool, g), places, kernel, at)
    return images_first(x)


def window_sum(pool: BufferPool, x: Array, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.window_sum`: the sum of each window, as a depthwise convolution with ones."""
    over = zip(x.shape[2:], size, kernel, at.stride, at.padding, at.dilation, strict=True)
    padding = tuple((low, max(0, (m - 1) * s + (k - 1) * d + 1 - n - low)) for n, m, k, s, (low, _), d in over)
    ones = np.ones((x.shape[1], 1, *kernel), x.dtype)
    return conv(pool, x, ones, None, at._replace(padding=padding, groups=x.shape[1]))


def window_spread(pool: BufferPool, g: Array, inner: tuple[int, ...], kernel: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.window_spread`: for each place of the images the sum over the windows that it is in."""
    x = pool.empty((g.shape[0], *inner, g.shape[1]), g.dtype)
    _windows("spread", x, images_last(pool, g), None, kernel, at)
    return images_first(x)
