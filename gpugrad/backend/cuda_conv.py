"""Convolutions on the GPU with our own kernels: patches side by side and matrix products; depthwise ones directly.

Patches are made for as many windows at a time as fit into `memory_limit()`, and go through the backend's own product
(cuBLASLt). Images are read as they lie in memory; results have channels last. Nothing waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from .base import Array
from .conv import Geometry, turned_geometry, turned_kernels
from .cuda_copies import dense
from .cuda_launch import MAX_GRID, compute_type, function
from .cuda_settings import memory_limit
from .cuda_windows import (
    INDEX_LIMIT,
    channels_last,
    channels_second,
    examples,
    flat_grid,
    new_images,
    over_images,
    row_chunks,
    steps,
    takes,
    windows,
)

_THREADS: Final = 256


def fits(x: Array, w_shape: tuple[int, ...], groups: int, *sizes: tuple[int, ...]) -> bool:
    """Whether the kernels take such images, kernels and sizes of results: their numbers stay within 32 bits.

    The elements of a kernel are the third axis of a grid, which has 16 bits.
    """
    if math.prod(w_shape[2:]) > MAX_GRID:
        return False
    patch = math.prod(w_shape[2:]) * max(w_shape[0], w_shape[1] * groups)
    places = max(map(math.prod, (x.shape[2:], *sizes)))
    return bool(math.prod(w_shape)) and takes(x, *sizes) and patch * places < INDEX_LIMIT


def conv(backend: Any, x: Array, w: Array, bias: Array | None, at: Geometry, relu: bool = False) -> Array:
    """`Backend.conv` or `Backend.conv_relu` on arrays that `fits`."""
    size, kernel = at.output(x.shape[2:], w.shape[2:]), w.shape[2:]
    if _depthwise(w.shape, at.groups):
        y = new_images(x, size)
        geometry = windows(steps(x), x.shape[1], x.shape[2:], size, kernel, at, True)
        over_images("conv.cu", "depthwise", x, (y,), geometry, shared=(_flat(w),))
        _finish(backend, y, bias, relu)
        return channels_second(y)
    out = backend.empty((x.shape[0], *size, w.shape[0]), x.dtype)
    matrix = _rows_of_kernels(w, at.groups).swapaxes(-1, -2)
    rows = _grouped(out, at.groups)
    for first, last, patches in _patches(backend, x, kernel, size, at):
        _product(backend, patches, matrix, rows[..., first:last, :], bias, relu)
        del patches  # before the next ones are made
    return channels_second(out)


def conv_input(backend: Any, g: Array, w: Array, size: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_input` on arrays that `fits`."""
    kernel, channels, groups = w.shape[2:], w.shape[1] * at.groups, at.groups
    if _depthwise(w.shape, groups):
        x = new_images(g, size)
        geometry = windows(steps(g), channels, size, g.shape[2:], kernel, at, False)
        over_images("conv.cu", "depthwise_input", g, (x,), geometry, shared=(_flat(w),))
        return channels_second(x)
    turned = turned_geometry(size, g.shape[2:], kernel, at)
    if turned is not None:
        return conv(backend, g, turned_kernels(backend.xp, w, groups), None, turned)
    out = backend.empty((g.shape[0], *size, channels), g.dtype)
    given, matrix, wide = channels_last(g), _rows_of_kernels(w, groups), compute_type(g.dtype)
    places, patch = math.prod(g.shape[2:]), math.prod(kernel) * channels
    geometry = windows((0,) * g.ndim, channels, size, g.shape[2:], kernel, at, False)
    run = function("conv.cu", "col2im", g.dtype.name)
    most = max(1, min(memory_limit() // np.dtype(wide).itemsize, INDEX_LIMIT - 1))
    for first, last in examples(g.shape[0], max(places * patch, math.prod(size) * channels), most):
        rows = (last - first) * places
        columns = backend.empty((*([groups] if groups > 1 else []), rows, patch // groups), wide)
        _product(backend, _grouped(given[first:last], groups), matrix, columns)
        target = out[first:last]
        args = (columns, target, np.uint32(target.size), np.uint32(rows), geometry)
        run(flat_grid(target.size), (_THREADS,), args)
        del columns, args
    return channels_second(out)


def conv_weight(backend: Any, x: Array, g: Array, kernel: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_weight` on arrays that `fits`."""
    xp, groups, size, wide = backend.xp, at.groups, g.shape[2:], compute_type(x.dtype)
    channels, out = x.shape[1] // groups, g.shape[1] // groups
    given = channels_last(g)
    if _depthwise((g.shape[1], channels), groups):
        return _depthwise_weight(backend, x, given, kernel, at)
    shape = (*([groups] if groups > 1 else []), out, math.prod(kernel) * channels)
    columns = _grouped(given, groups).swapaxes(-1, -2)
    total: Any = None
    for first, last, patches in _patches(backend, x, kernel, size, at):
        part = backend.empty(shape, x.dtype if last - first == columns.shape[-1] else wide)
        _product(backend, columns[..., first:last], patches, part)
        del patches
        if total is None:
            total = part
        else:
            backend.plus(total, part, into=True)
    return xp.moveaxis(dense(total, x.dtype).reshape(g.shape[1], *kernel, channels), -1, 1)


def _depthwise(w_shape: tuple[int, ...], groups: int) -> bool:
    """Whether each channel has one kernel of its own."""
    return w_shape[1] == 1 and w_shape[0] == groups > 1


def _depthwise_weight(backend: Any, x: Array, given: Array, kernel: tuple[int, ...], at: Geometry) -> Array:
    """The gradient of depthwise kernels; `given`: (n, *output size, channels), contiguous."""
    channels, taps, size, xp = x.shape[1], math.prod(kernel), given.shape[1:-1], backend.xp
    geometry = windows(steps(x), channels, x.shape[2:], size, kernel, at, True)
    pack = _pack(x, channels) if given.data.ptr % 16 == 0 else 1
    across = min(32, 1 << (channels // pack - 1).bit_length())
    blocks, block = -(-channels // (pack * across)), (across, _THREADS // across)
    run = function("conv.cu", "depthwise_weight" if pack == 1 else "depthwise_weight_wide", x.dtype.name)
    sums = []
    for first, last in examples(x.shape[0], max(x.size, given.size) // x.shape[0]):
        rows = (last - first) * math.prod(size)
        each, chunks = row_chunks(rows, 32 * blocks * taps)
        part = backend.empty((chunks, taps * channels), compute_type(x.dtype))
        args = (x[first:last], given[first:last], part, np.int64(rows), np.int64(each), geometry)
        run((blocks, chunks, taps), block, args)
        sums.append(part)
    total = backend.column_sum(sums[0] if len(sums) == 1 else xp.concatenate(sums))
    return dense(total.reshape(taps, channels).T, x.dtype).reshape(-1, 1, *kernel)


def _flat(w: Array) -> Array:
    """Depthwise kernels as (channels, elements), contiguous."""
    return dense(w).reshape(w.shape[0], -1)


def _rows_of_kernels(w: Array, groups: int) -> Array:
    """Kernels as ([groups,] out, elements x channels), in the order of a patch; a view where they lie so.

    Of a single element that is any order: products take transposed matrices as they are.
    """
    rows = channels_last(w) if math.prod(w.shape[2:]) > 1 else w[(..., *[0] * (w.ndim - 2))]
    return rows.reshape(*([groups] if groups > 1 else []), w.shape[0] // groups, -1)


def _grouped(images: Array, groups: int) -> Array:
    """Images with channels last as ([groups,] pixels, channels), a view."""
    rows = images.reshape(-1, images.shape[-1])
    return rows if groups == 1 else rows.reshape(rows.shape[0], groups, -1).swapaxes(0, 1)


def _product(
    backend: Any, a: Array, b: Array, out: Array, bias: Array | None = None, relu: bool = False
) -> None:
    """`out[...] = relu(a @ b + bias)`; `out` may be float32 where `a` and `b` are halves."""
    library = backend.blas
    end = "_".join(name for name, there in (("RELU", relu), ("BIAS", bias is not None)) if there)
    if library is not None:
        plain = a.ndim == 2 and (bias is None or (bias.flags.c_contiguous and bias.dtype == a.dtype))
        if end and plain and library.matmul(a, b, out, end, bias) is not None:
            return
    if library is None or library.matmul(a, b, out) is None:
        out[...] = backend.matmul(a, b)
    _finish(backend, out, None if bias is None else bias.reshape(*out.shape[:-2], 1, -1), relu)


def _finish(backend: Any, y: Array, bias: Array | None, relu: bool) -> None:
    """Bias and relu behind a product, in place."""
    if bias is not None:
        y += bias
    if relu:
        backend.xp.maximum(y, 0, y)


def _patches(
    backend: Any, x: Array, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry
) -> Iterator[tuple[int, int, Array]]:
    """Windows laid out as ([groups,] rows, elements x channels), some of them at a time: (first, last, patches)."""
    groups, channels, places = at.groups, x.shape[1], math.prod(size)
    total, patch = x.shape[0] * places, math.prod(kernel) * channels
    plain = all(s == 1 for s in at.stride) and not any(map(any, at.padding)) and math.prod(kernel) == 1
    if plain and backend.xp.moveaxis(x, 1, -1).flags.c_contiguous:
        yield 0, total, _grouped(backend.xp.moveaxis(x, 1, -1), groups)
        return
    pack = _pack(x, channels // groups)
    geometry = windows(steps(x), channels, x.shape[2:], size, kernel, at, True, pack, patches=True)
    run = function("conv.cu", "im2col" if pack == 1 else "im2col_wide", x.dtype.name)
    # A part may begin at any window of an image; windows are counted from the image's first.
    each = max(1, min(memory_limit() // (x.itemsize * patch), (INDEX_LIMIT - 1) // patch, INDEX_LIMIT - places))
    for first in range(0, total, each):
        last, image = min(first + each, total), first // places
        rows = last - first
        patches = backend.empty((*([groups] if groups > 1 else []), rows, patch // groups), x.dtype)
        count, start = rows * patch // pack, first - image * places
        args = (x[image:] if image else x, patches, np.uint32(start), np.uint32(count), geometry)
        run(flat_grid(count), (_THREADS,), args)
        del args
        yield first, last, patches
        del patches


def _pack(x: Array, channels: int) -> int:
    """Channels that a thread moves at a time: 16 bytes of them where those of a group lie together and aligned."""
    pack = 16 // x.itemsize
    along = steps(x)
    whole = channels % pack == 0 and along[1] == 1 and not any(s % pack for s in (along[0], *along[2:]))
    return pack if whole and x.data.ptr % 16 == 0 else 1
