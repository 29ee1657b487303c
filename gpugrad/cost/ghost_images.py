"""The memory of pooling and batch normalisation, from shapes alone, where compiled loops or kernels do them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import cpu_depthwise_numpy, cpu_images_numpy, cpu_norms, cuda_windows
from ..backend.conv import Geometry
from ..backend.cpu_conv_numpy import with_height
from ..backend.cpu_images import takes
from ..backend.cpu_patches import Part
from ..backend.cuda_launch import compute_type
from ..backend.cuda_windows import FLOATS
from ..fusion import workers
from .ghost import Ghost, bare


def compiled(home: Any, axes: int, *arrays: Ghost) -> bool:
    """Whether the device's compiled loops take arrays of images with so many spatial axes."""
    found = [bare(a) for a in arrays]
    if home.device.type == "cuda":
        return found[0].ndim > 2 and cuda_windows.takes(found[0], ())
    return takes(axes, *found)


def in_parts(home: Any, axes: int, *arrays: Ghost) -> bool:
    """Whether they are taken in parts, with NumPy alone."""
    found = [bare(a) for a in arrays]
    return home.device.type == "cpu" and not takes(axes, *found) and cpu_images_numpy.takes(axes, *found)


def max_pool(home: Any, x: Ghost, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> Any:
    """`cpu_images_numpy.max_pool` on arrays without data."""
    if x.ndim == 3:
        found = max_pool(home, x[:, :, None], (1, *kernel), (1, *size), with_height(at))
        return tuple(each[:, :, 0] for each in found)
    seen = np.moveaxis(x.value, 1, -1)
    p = cpu_depthwise_numpy.plan(size, (x.shape[1], 1, *kernel), at)
    y = home.fresh((x.shape[0], *size, x.shape[1]), x.dtype)
    won = home.fresh(y.shape, np.uint8)
    every = cpu_depthwise_numpy.parts(y.shape, x.dtype.itemsize)
    most = cpu_images_numpy.pool_scratch(seen, p, every)
    home.briefly(most * min(workers.num_threads(), len(every)), scratch=True)
    return home.xp.moveaxis(y, -1, 1), home.xp.moveaxis(won, -1, 1)


def window_put(home: Any, g: Ghost, inner: tuple[int, ...], kernel: tuple[int, ...], at: Geometry) -> Any:
    """`cpu_images_numpy.window_put` likewise."""
    if g.ndim == 3:
        return window_put(home, g[:, :, None], (1, *inner), (1, *kernel), with_height(at))[:, :, 0]
    x = home.fresh((g.shape[0], *inner, g.shape[1]), g.dtype)
    given, item = np.moveaxis(g.value, 1, -1), g.dtype.itemsize
    count = cpu_depthwise_numpy.parts(x.shape, item)[0].shape[0]
    p = cpu_depthwise_numpy.plan(g.shape[2:], (g.shape[1], 1, *kernel), at)
    full = [max(low + n, p.reach(axis, p.size[axis])) for axis, (low, n) in enumerate(zip(p.low, inner, strict=True))]
    covered = all(n == k * m for n, k, m in zip(inner, kernel, g.shape[2:], strict=True))
    tiled = list(inner) == full and covered and kernel == at.stride
    threads = min(workers.num_threads(), -(-g.shape[0] // count))
    sums = 0 if list(inner) == full else math.prod(full) * g.shape[1]
    taken = cpu_images_numpy.put_scratch([given], p, Part(slice(0, count), slice(0, p.size[0])), sums)
    # Truth values become numbers in buffers, and where windows meet NumPy adds to a copy: at one time or not.
    taken_at_times = 2 * np.getbufsize() * item + (0 if tiled else count * math.prod(given.shape[1:]) * item)
    home.briefly(taken * threads + taken_at_times * (1 + threads) // 2, scratch=True)
    return home.xp.moveaxis(x, -1, 1)


def images(home: Any, seen: Ghost, size: tuple[int, ...], byte: bool = False) -> Any:
    """New images of `size`, channels last in memory, while `seen` is looked at in that order."""
    last = home.xp.moveaxis(seen, 1, -1)
    kept = last.value.flags.c_contiguous or home.device.type == "cuda"  # its kernels read in any order
    rearranged = None if kept else home.fresh(last.shape, seen.dtype)
    found = home.fresh((seen.shape[0], *size, seen.shape[1]), np.dtype(np.uint8) if byte else seen.dtype)
    del rearranged
    return home.xp.moveaxis(found, -1, 1)


def _normalised(home: Any, relu: bool, *arrays: Ghost) -> bool:
    """Whether the device's own loops or kernels normalise these images."""
    if home.device.type == "cuda":
        return arrays[0].dtype.name in FLOATS
    return not relu and cpu_norms.taken(*(bare(a) for a in arrays))


def batch_norm(home: Any, x: Ghost, weight: Ghost, bias: Ghost, relu: bool) -> Any:
    """`Backend.batch_norm` on arrays without data: the images, and of each channel mean and rate."""
    if not _normalised(home, relu, x, weight, bias):
        return None
    last = home.xp.ascontiguousarray(home.xp.moveaxis(x, 1, -1))
    y = home.fresh(last.shape, x.dtype)
    kept = [home.fresh((x.shape[1],), compute_type(x.dtype)) for _ in range(2)]
    del last
    return home.xp.moveaxis(y, -1, 1), *kept


def batch_norm_vjp(home: Any, g: Ghost, x: Ghost, weight: Ghost, relu: bool) -> Any:
    """`Backend.batch_norm_vjp` likewise."""
    if not _normalised(home, relu, x, g, weight):
        return None
    given, last = (home.xp.ascontiguousarray(home.xp.moveaxis(a, 1, -1)) for a in (g, x))
    dx = home.fresh(last.shape, x.dtype)
    sums = [home.fresh(weight.shape, weight.dtype) for _ in range(2)]
    del given, last
    return home.xp.moveaxis(dx, -1, 1), *sums
