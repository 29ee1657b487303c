"""The memory of convolutions in our own kernels on a GPU, from shapes alone.

It is these that are counted, whoever convolves in the end.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import cuda_conv, cuda_settings
from ..backend.conv import Geometry, turned_geometry, turned_kernels
from ..backend.cuda_launch import compute_type
from .ghost import Ghost


def taken(home: Any, x: Ghost, w_shape: tuple[int, ...], at: Geometry, *sizes: tuple[int, ...]) -> bool:
    """Whether a convolution runs in our kernels on a GPU."""
    return home.device.type == "cuda" and cuda_conv.fits(x.value, w_shape, at.groups, *sizes)


def conv(home: Any, x: Ghost, w: Ghost, at: Geometry) -> Any:
    """`cuda_conv.conv` on arrays without data."""
    kernel, size = w.shape[2:], at.output(x.shape[2:], w.shape[2:])
    y = home.fresh((x.shape[0], *size, w.shape[0]), x.dtype)
    if not _each_its_own(w.shape, at):
        kernels, patches = _last(home, w), _patches(home, x, kernel, size, at)
        del kernels, patches
    return home.xp.moveaxis(y, -1, 1)


def conv_input(home: Any, g: Ghost, w: Ghost, size: tuple[int, ...], at: Geometry) -> Any:
    """`cuda_conv.conv_input` likewise."""
    kernel, channels = w.shape[2:], w.shape[1] * at.groups
    turned = turned_geometry(size, g.shape[2:], kernel, at)
    depthwise = _each_its_own(w.shape, at)
    if turned is not None and not depthwise:
        return conv(home, g, turned_kernels(home.xp, w, at.groups), turned)
    x = home.fresh((g.shape[0], *size, channels), g.dtype)
    if not depthwise:
        wide, places = compute_type(g.dtype), math.prod(g.shape[2:])
        image = math.prod(kernel) * channels * places
        images = max(1, min(g.shape[0], cuda_settings.memory_limit() // (np.dtype(wide).itemsize * image)))
        given, kernels, columns = _last(home, g), _last(home, w), home.fresh((images * image,), wide)
        del given, kernels, columns
    return home.xp.moveaxis(x, -1, 1)


def conv_weight(home: Any, x: Ghost, g: Ghost, kernel: tuple[int, ...], at: Geometry) -> Any:
    """`cuda_conv.conv_weight` likewise."""
    shape = (g.shape[1], x.shape[1] // at.groups, *kernel)
    given = _last(home, g)
    patches = None if _each_its_own(shape, at) else _patches(home, x, kernel, g.shape[2:], at)
    sums = home.fresh(shape, compute_type(x.dtype))
    found = home.fresh(shape, x.dtype)
    del given, patches, sums
    return found


def _each_its_own(w_shape: tuple[int, ...], at: Geometry) -> bool:
    return w_shape[1] == 1 and w_shape[0] == at.groups > 1


def _last(home: Any, x: Ghost) -> Any:
    return home.xp.ascontiguousarray(home.xp.moveaxis(x, 1, -1))


def _patches(home: Any, x: Ghost, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> Any:
    """The patches that are laid out at a time; nothing where the images are the patches."""
    plain = all(s == 1 for s in at.stride) and not any(map(any, at.padding)) and math.prod(kernel) == 1
    if plain and home.xp.moveaxis(x, 1, -1).value.flags.c_contiguous:
        return None
    patch = math.prod(kernel) * x.shape[1]
    rows = max(1, min(x.shape[0] * math.prod(size), cuda_settings.memory_limit() // (x.dtype.itemsize * patch)))
    return home.fresh((rows, patch), x.dtype)
