"""The memory of convolutions with NumPy alone, from shapes alone: results, and what the parts take meanwhile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import cpu_conv_numpy, cpu_depthwise_numpy, cpu_winograd_numpy
from ..backend.conv import Geometry
from ..backend.cpu_conv_numpy import with_height
from ..backend.cpu_patches import Part, Plan, most_scratch, parts, plan
from ..fusion import workers
from .ghost import Ghost


def conv(home: Any, x: Ghost, w_shape: tuple[int, ...], at: Geometry, biased: bool = False) -> Any:
    """`cpu_conv_numpy.conv` or `cpu_depthwise_numpy.conv` on arrays without data."""
    if x.ndim == 3:
        return conv(home, x[:, :, None], (*w_shape[:2], 1, w_shape[2]), with_height(at), biased)[:, :, 0]
    images = np.moveaxis(x.value, 1, -1)
    p, every = _plan(images, w_shape, at, at.output(x.shape[2:], w_shape[2:]))
    matrices = _matrices(home, p, w_shape, at, x.dtype)
    y = home.fresh((x.shape[0], *p.size, w_shape[0]), x.dtype)
    seen = images if _depthwise(w_shape, at) else images[..., : p.inner]
    most = most_scratch(seen, p, every, not _depthwise(w_shape, at))
    # A bias has other strides than what it is added to; the output of one of several groups lies apart besides.
    apart = 1 if p.out == w_shape[0] else 3
    at_once = p.size[1] if _depthwise(w_shape, at) else p.block
    rows = math.prod(every[0].shape) * p.size[1] // at_once
    buffers = biased * _buffers(apart, rows, at_once * p.out) * x.dtype.itemsize
    _parts(home, every, most, buffers)
    del matrices
    return home.xp.moveaxis(y, -1, 1)


def conv_input(home: Any, g: Ghost, w_shape: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> Any:
    """`conv_input` likewise."""
    if g.ndim == 3:
        return conv_input(home, g[:, :, None], (*w_shape[:2], 1, w_shape[2]), (1, *size), with_height(at))[:, :, 0]
    out, inner, *kernel = w_shape
    depthwise = _depthwise(w_shape, at)
    spread = at.stride != (1, 1)
    if not depthwise:
        spread = cpu_conv_numpy.spreads(g.shape[2:], w_shape, size, at, g.dtype.itemsize)
    if not spread:
        turned = cpu_conv_numpy.turned(size, g.shape[2:], kernel, at)
        copy = home.fresh((out * inner, *kernel), g.dtype) if at.groups > 1 else None
        x = conv(home, g, (inner * at.groups, out // at.groups, *kernel), turned)
        del copy
        return x
    p, every = _plan(np.moveaxis(g.value, 1, -1), w_shape, at, g.shape[2:], spread=True)
    matrices = _matrices(home, p, w_shape, at, g.dtype)
    x = home.fresh((g.shape[0], *size, inner * at.groups), g.dtype)
    images, rows = every[0].shape
    full = [max(low + n, p.reach(axis, p.size[axis])) for axis, (low, n) in enumerate(zip(p.low, size, strict=True))]
    sums = images * full[0] * full[1] * x.shape[-1]
    given = images * rows * p.size[1] * out
    found = given if depthwise else images * rows * p.size[1] // p.block * p.patch
    again = 0 if np.moveaxis(g.value, 1, -1).flags.c_contiguous else given
    # What is added at once: some neighbouring pixels of each patch, with all channels or a group's. Where those of the
    # next patch follow in memory NumPy cannot tell that none is added to twice, and adds to a copy.
    step = 1 if depthwise else min(p.window, p.apart)
    added = images * rows * p.size[1] // p.block * step * p.inner
    copied = not depthwise and step == p.block * p.stride[1] and p.block < p.size[1]
    run = p.inner * (step if p.inner == x.shape[-1] else 1)
    buffers = copied * added + _buffers(2 if depthwise or copied else 3, added // run, run)
    _parts(home, every, (sums + found + again) * g.dtype.itemsize, buffers * g.dtype.itemsize)
    del matrices
    return home.xp.moveaxis(x, -1, 1)


def conv_weight(home: Any, x: Ghost, g: Ghost, kernel: tuple[int, ...], at: Geometry) -> Any:
    """`conv_weight` likewise."""
    if x.ndim == 3:
        return conv_weight(home, x[:, :, None], g[:, :, None], (1, *kernel), with_height(at))[:, :, 0]
    w_shape = (g.shape[1], x.shape[1] // at.groups, *kernel)
    images, given = np.moveaxis(x.value, 1, -1), np.moveaxis(g.value, 1, -1)
    p, every = _plan(images, w_shape, at, g.shape[2:])
    copy = total = None
    if _depthwise(w_shape, at):
        bundles = -(-len(every) // -(-len(every) // cpu_depthwise_numpy.PARTS))
        sums = home.fresh((bundles, *kernel, p.size[1], w_shape[0]), x.dtype)
        _parts(home, range(bundles), cpu_depthwise_numpy.weight_scratch(images, given, p, every))
    else:
        copy = None if given.flags.c_contiguous else home.fresh(given.shape, g.dtype)
        bundled, pieces = cpu_conv_numpy.shares(p, x.shape[0], at.groups, x.dtype.itemsize)
        sums = home.fresh((len(bundled) * at.groups * _matrix(p, w_shape, at),), x.dtype)
        needs = cpu_conv_numpy.weight_scratch(images, p, bundled[0], pieces[0])
        # The sums of some of the input channels lie apart, those of a group do not.
        channels = pieces[0][2].stop
        run = channels * p.block * p.out
        buffers = 0 if channels == p.inner else _buffers(2, p.window, run) * x.dtype.itemsize
        _parts(home, every if len(bundled) > 1 else pieces, needs, buffers)
        total = home.fresh((sums.size // len(bundled),), x.dtype) if len(bundled) > 1 else sums
    gradient = home.fresh(w_shape, x.dtype)
    # The sums have the kernels' axes in another order.
    home.briefly(_buffers(1, gradient.size // kernel[1], kernel[1]) * x.dtype.itemsize)
    del sums, copy, total
    return gradient


def tiled_conv(home: Any, x: Ghost, w_shape: tuple[int, ...], at: Geometry) -> Any:
    """`cpu_winograd_numpy.conv` on arrays without data."""
    out, channels = w_shape[:2]
    size = at.output(x.shape[2:], w_shape[2:])
    across = -(-size[1] // 2)
    kernels = home.fresh((16, channels, out), x.dtype)
    _kernels(home, channels, out, x.dtype)
    y = home.fresh((x.shape[0], *size, out), x.dtype)
    every = cpu_winograd_numpy.parts(y.shape, channels + out, x.dtype.itemsize)
    held = cpu_winograd_numpy.rooms(every[0], across, channels, out)
    buffers = _tile_buffers(every[0], across, channels) * x.dtype.itemsize
    _parts(home, every, sum(held) * x.dtype.itemsize, buffers)
    del kernels
    return home.xp.moveaxis(y, -1, 1)


def tiled_conv_input(home: Any, g: Ghost, w_shape: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> Any:
    """`conv_input` likewise."""
    turned = cpu_conv_numpy.turned(size, g.shape[2:], (3, 3), at)
    return tiled_conv(home, g, (w_shape[1], w_shape[0], 3, 3), turned)


def tiled_conv_weight(home: Any, x: Ghost, g: Ghost) -> Any:
    """`conv_weight` likewise."""
    (channels, out), (height, width) = (x.shape[1], g.shape[1]), g.shape[2:]
    shape = (len(g), height, width, out)
    bundles, pieces = cpu_winograd_numpy.shares(shape, channels, out, x.dtype.itemsize)
    sums = home.fresh((len(bundles), 16, channels, out), x.dtype)
    rows, across = pieces[0].stop - pieces[0].start, -(-width // 2)
    held = cpu_winograd_numpy.rooms_back(bundles[0][0], across, channels, out, rows)
    found = rows * 4 * channels * out
    given = _buffers(2, 2 * math.prod(bundles[0][0].shape), across * out)
    buffers = max(_tile_buffers(bundles[0][0], across, channels), given) * x.dtype.itemsize
    _parts(home, range(len(bundles) * len(pieces)), (found + sum(held)) * x.dtype.itemsize, buffers)
    total = home.fresh(sums.shape[1:], x.dtype) if len(bundles) > 1 else sums
    gradient = home.fresh((out, channels, 3, 3), x.dtype)
    _kernels(home, channels, out, x.dtype)
    del sums, total
    return gradient


def _kernels(home: Any, channels: int, out: int, dtype: Any) -> None:
    """What it takes to transform kernels, or back."""
    some = cpu_winograd_numpy.pieces_of(channels, out, dtype.itemsize)
    _parts(home, some, 9 * some[0].stop * out * dtype.itemsize)


def _depthwise(w_shape: tuple[int, ...], at: Geometry) -> bool:
    return w_shape[1] == 1 and w_shape[0] == at.groups > 1


def _plan(
    images: Any, w_shape: tuple[int, ...], at: Geometry, size: tuple[int, ...], spread: bool = False
) -> tuple[Plan, Sequence[Part]]:
    """The plan, and the parts of the batch."""
    if _depthwise(w_shape, at):
        p = cpu_depthwise_numpy.plan(size, w_shape, at)
        if spread:
            return p, [Part(slice(k, k + 1), slice(0, p.size[0])) for k in range(len(images))]
        return p, cpu_depthwise_numpy.parts((len(images), *p.size, w_shape[0]), images.itemsize)
    p = plan(size, w_shape, at, images.itemsize, spread)
    return p, parts(p, len(images), images.itemsize)


def _matrices(home: Any, p: Plan, w_shape: tuple[int, ...], at: Geometry, dtype: Any) -> Any:
    """What the kernels become for products; those of one pixel are matrices as they lie in memory."""
    if p.patch == p.inner and not _depthwise(w_shape, at):
        return None
    return home.fresh((_matrix(p, w_shape, at) * at.groups,), dtype)


def _matrix(p: Plan, w_shape: tuple[int, ...], at: Geometry) -> int:
    """Numbers of the matrix that one group's kernels become, or of depthwise ones along a row."""
    return w_shape[2] * w_shape[3] * p.size[1] if _depthwise(w_shape, at) else p.patch * p.block * p.out


def _buffers(operands: int, *shape: int) -> int:
    """Numbers in the buffers that a ufunc of NumPy takes for a moment (as NumPy 2.3 and later do).

    Args:
        operands: how many, the result included, do not lie in equal steps of memory.
        shape: of each; along the last axis the steps are equal. A buffer has a place for whole runs of these, or whole
            rows of runs; where no more fit than there are operands NumPy does without.
    """
    run = held = shape[-1]
    for n in shape[-2::-1]:
        held *= max(1, min(n, np.getbufsize() // held))
    return operands * held if held // run > operands else 0


def _tile_buffers(part: Part, across: int, channels: int) -> int:
    """Numbers in the buffers in which images become sums of tiles: first of rows, then of pixels."""
    count, rows = part.shape
    return max(_buffers(2, 2 * count, rows, (across + 1) * channels), _buffers(2, count * rows, across * channels))


def _parts(home: Any, every: Any, nbytes: int, buffers: int = 0) -> None:
    """What the parts take that are computed at the same time, in the pool's scratch memory.

    Args:
        home: the ledger's backend.
        every: the parts.
        nbytes: of one.
        buffers: bytes that the ufuncs of one take for a moment. Whether threads do so at one time is chance: of all but
            the first half is counted.
    """
    threads = min(workers.num_threads(), len(every))
    home.briefly(nbytes * threads + buffers * (1 + threads) // 2, scratch=True)
