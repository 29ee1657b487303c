"""Who convolves, pools and takes batch statistics on a GPU: the one place where that is chosen.

cuDNN (`cudnn`) where it is installed and wanted; for what it refuses, and without it, our own kernels (`cuda_conv`,
`cuda_windows`); for what these decline (integers, complex numbers, nothing at all) what NumPy and CuPy have in common
(`conv`).
"""

from __future__ import annotations

import logging
import math
import threading
from typing import Any, Final

import numpy as np

from . import conv as general
from . import cuda_conv, cuda_copies, cuda_norms, cuda_windows
from .base import Array, Running
from .conv import Geometry
from .cuda_settings import algorithm

_log: Final = logging.getLogger("gpugrad")
_latest: Final = threading.local()  # `way`: who did this thread's latest convolution


def library(backend: Any) -> Any:
    """cuDNN, or None: our own kernels do it. The first time for a GPU, say in the log which of the two runs."""
    found = None if algorithm.get() == "im2col" else backend.dnn
    if not backend.told_of_dnn:
        backend.told_of_dnn = True
        level = logging.WARNING if backend.without_dnn else logging.INFO
        what = "convolutions, batch normalisation and attention"
        _log.log(level, "[cudnn] %s on %s by %s", what, backend.device, description(backend))
    return found


def description(backend: Any) -> str:
    """Who convolves under the present setting, in words."""
    if algorithm.get() == "im2col":
        return "gpugrad's own kernels, as asked"
    found = backend.dnn
    return f"cuDNN {found.version}" if found is not None else f"gpugrad's own kernels; {backend.without_dnn}"


def _by_ourselves(dnn: Any, w_shape: tuple[int, ...], groups: int) -> None:
    """Note that our own kernels do it, and why cuDNN does not if it was asked."""
    name = "depthwise" if w_shape[1] == 1 and w_shape[0] == groups > 1 else "im2col"
    _latest.way = name if dnn is None or not dnn.reason else f"{name}, cuDNN: {dnn.reason}"


def latest_way() -> str:
    """Who did this thread's latest convolution: "cudnn", "im2col" or "depthwise", with why cuDNN refused it."""
    return getattr(_latest, "way", "")


def conv(
    backend: Any, x: Array, w: Array, at: Geometry, bias: Array | None, relu: bool = False
) -> Array | None:
    """`Backend.conv` or `Backend.conv_relu`; None: the general way must do it."""
    size = at.output(x.shape[2:], w.shape[2:])
    dnn = library(backend)
    found = None if dnn is None else dnn.conv(x, w, bias, at, relu)
    if found is not None:
        _latest.way = "cudnn"
        return found
    _by_ourselves(dnn, w.shape, at.groups)
    if x.dtype == w.dtype and cuda_conv.fits(x, w.shape, at.groups, size):
        return cuda_conv.conv(backend, x, w, bias, at, relu)
    return None


def conv_input(backend: Any, g: Array, w: Array, size: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_input`."""
    dnn = library(backend)
    found = None if dnn is None else dnn.conv_input(g, w, size, at)
    if found is not None:
        _latest.way = "cudnn"
        return found
    _by_ourselves(dnn, w.shape, at.groups)
    if g.dtype == w.dtype and cuda_conv.fits(g, w.shape, at.groups, size):
        return cuda_conv.conv_input(backend, g, w, size, at)
    return general.conv_input(backend, g, w, size, at)


def conv_weight(backend: Any, x: Array, g: Array, kernel: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_weight`."""
    dnn = library(backend)
    found = None if dnn is None else dnn.conv_weight(x, g, kernel, at)
    if found is not None:
        _latest.way = "cudnn"
        return found
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


def _matrix(x: Array) -> Array:
    """(n, channels, *size) as rows of channels, contiguous."""
    return cuda_windows.channels_last(x).reshape(-1, x.shape[1])


def _images(rows: Array, shape: tuple[int, ...]) -> Array:
    """Back to images of `shape`, channels last in memory."""
    return cuda_windows.channels_second(rows.reshape(shape[0], *shape[2:], shape[1]))


def batch_norm(
    backend: Any,
    x: Array,
    weight: Array,
    bias: Array,
    eps: float,
    running: Running,
    momentum: float,
    relu: bool = False,
) -> tuple[Array, ...] | None:
    """`Backend.batch_norm`; cuDNN's has no relu."""
    dnn = library(backend)
    if not x.size or x.dtype.name not in cuda_windows.FLOATS or (relu and dnn is not None):
        return None
    held = running
    if running is not None:
        held = cuda_norms.dense(running[0], x.dtype), cuda_norms.dense(running[1], x.dtype), running[2]
    found: tuple[Array, ...] | None = (
        None if dnn is None else dnn.batch_norm(x, weight, bias, eps, held, momentum)
    )
    if found is None:
        y, mean, rate = cuda_norms.batch_norm(_matrix(x), weight, bias, eps, held, momentum, relu)
        found = _images(y, x.shape), mean, rate
    for old, new in zip(running or (), held or (), strict=True):
        if new is not old:
            cuda_copies.put(old, new)
    return found


def batch_norm_vjp(
    backend: Any, g: Array, x: Array, weight: Array, mean: Array, rate: Array, bias: Array | None = None
) -> tuple[Array, ...] | None:
    """`Backend.batch_norm_vjp`."""
    dnn = library(backend) if bias is None else None
    found: tuple[Array, ...] | None = None if dnn is None else dnn.batch_norm_vjp(g, x, weight, mean, rate)
    if found is None and x.size and x.dtype.name in cuda_windows.FLOATS:
        dx, dw, db = cuda_norms.batch_norm_vjp(_matrix(g), _matrix(x), weight, mean, rate, bias)
        found = _images(dx, x.shape), *(cuda_copies.dense(each, weight.dtype) for each in (dw, db))
    return found
