"""Who convolves, pools and takes batch statistics on a GPU: the one place where that is chosen.

Our own kernels (`cuda_conv`, `cuda_windows`), and for what they decline (integers, complex numbers, nothing at all)
what NumPy and CuPy have in common (`conv`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import conv as general
from . import cuda_conv, cuda_windows
from .base import Array
from .conv import Geometry


def conv(backend: Any, x: Array, w: Array, at: Geometry, bias: Array | None) -> Array | None:
    """`Backend.conv`; None: the general way must do it."""
    size = at.output(x.shape[2:], w.shape[2:])
    if x.dtype == w.dtype and cuda_conv.fits(x, w.shape, at.groups, size):
        return cuda_conv.conv(backend, x, w, bias, at)
    return None


def conv_input(backend: Any, g: Array, w: Array, size: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_input`."""
    if g.dtype == w.dtype and cuda_conv.fits(g, w.shape, at.groups, size):
        return cuda_conv.conv_input(backend, g, w, size, at)
    return general.conv_input(backend, g, w, size, at)


def conv_weight(backend: Any, x: Array, g: Array, kernel: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_weight`."""
    shape = (g.shape[1], x.shape[1] // at.groups, *kernel)
    if x.dtype == g.dtype and g.size and cuda_conv.fits(x, shape, at.groups, g.shape[2:]):
        return cuda_conv.conv_weight(backend, x, g, kernel, at)
    return general.conv_weight(backend, x, g, kernel, at)


def max_pool(x: Array, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> Any:
    """`Backend.max_pool`."""
    few = math.prod(kernel) < 256  # the number of an element in its window is a byte
    return cuda_windows.max_pool(x, kernel, size, at) if few and cuda_windows.takes(x, size) else None


def window_put(g: Array, won: Array, inner: tuple[int, ...], kernel: tuple[int, ...], at: Geometry) -> Array | None:
    """`Backend.window_put`."""
    taken = won.dtype == np.uint8 and cuda_windows.takes(g, inner)
    return cuda_windows.window_put(g, won, inner, kernel, at) if taken else None


def window_sum(x: Array, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> Array | None:
    """`Backend.window_sum`."""
    return cuda_windows.window_sum(x, kernel, size, at) if cuda_windows.takes(x, size) else None


def window_spread(g: Array, inner: tuple[int, ...], kernel: tuple[int, ...], at: Geometry) -> Array | None:
    """`Backend.window_spread`."""
    return cuda_windows.window_spread(g, inner, kernel, at) if cuda_windows.takes(g, inner) else None


def statistics(rows: Array) -> tuple[Array, Array] | None:
    """`Backend.statistics`."""
    return cuda_windows.statistics(rows) if cuda_windows.has_rows(rows) else None


def norm_products(g: Array, rows: Array, mean: Array, scale: Array) -> tuple[Array, Array] | None:
    """`Backend.norm_products`."""
    alike = cuda_windows.has_rows(rows) and cuda_windows.has_rows(g) and g.dtype == rows.dtype
    return cuda_windows.norm_products(g, rows, mean, scale) if alike else None
