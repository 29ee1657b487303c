"""Convolution and its two gradients for any number of spatial axes, with what NumPy and CuPy have in common.

Images are worked on with channels last, whatever the memory order they come in: a patch is then runs of `channels`
neighbours, and patches times weights is one matrix product. Faster ways for some shapes are each backend's own.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from .base import Array, Backend

# Bytes of patches that are laid out at a time: enough for an efficient product, little enough to stay in cache.
CHUNK = 1 << 21
# Shifted images are gone over once for each element of a kernel: parts of a fraction of that, so that they stay nearer.
_SHIFTED = 8


class Geometry(NamedTuple):
    """Where the patches of a convolution lie.

    Attributes:
        stride: step between patches, for each spatial axis.
        padding: zeros before and after each spatial axis.
        dilation: step between the elements of a patch.
        groups: parts that channels are divided into, each with kernels of its own.
    """

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int

    def output(self, size: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, ...]:
        """How many patches there are along each axis of an input of `size`."""
        return tuple(
            (n + lo + hi - d * (k - 1) - 1) // s + 1
            for n, k, s, (lo, hi), d in zip(size, kernel, self.stride, self.padding, self.dilation, strict=True)
        )


def conv(backend: Backend, x: Array, w: Array, at: Geometry) -> Array:
    """The convolution (cross-correlation) of images with kernels.

    Args:
        backend: of the arrays.
        x: (n, channels, *size), in any memory order.
        w: (out, channels / groups, *kernel).
        at: where the patches lie.

    Returns:
        (n, out, *output size), channels last in memory.
    """
    xp, kind = backend.xp, _wide(x.dtype)
    kernel, groups = w.shape[2:], at.groups
    padded = _padded(backend, x, at.padding, kind)
    size = at.output(x.shape[2:], kernel)
    if _depthwise(w.shape, groups):
        return _first(xp, _shifted(backend, padded, w, size, at).astype(x.dtype, copy=False))
    matrices = _matrices(xp, w, groups, kind)
    out = backend.empty((x.shape[0], *size, w.shape[0]), kind)
    for batch, rows in _chunks(x.shape[0], size, math.prod(kernel) * x.shape[1] * kind.itemsize):
        patches = _patches(xp, padded, size, kernel, at)[batch, rows]
        target = out[batch, rows]
        for group, matrix in enumerate(matrices):
            columns = _of_group(patches, group, groups).reshape(-1, matrix.shape[0])
            y = backend.matmul(columns, matrix)
            _of_group(target, group, groups)[...] = y.reshape(*target.shape[:-1], -1)
    return _first(xp, out.astype(x.dtype, copy=False))


def conv_input(backend: Backend, g: Array, w: Array, size: tuple[int, ...], at: Geometry) -> Array:
    """The gradient of `conv` with respect to its images; as an operation of its own the transposed convolution.

    Args:
        backend: of the arrays.
        g: (n, out, *output size).
        w: (out, channels / groups, *kernel).
        size: of the images.
        at: where the patches lie.

    Returns:
        (n, channels, *size), channels last in memory.
    """
    xp, kind = backend.xp, _wide(g.dtype)
    kernel, groups = w.shape[2:], at.groups
    turned = turned_geometry(size, g.shape[2:], kernel, at)
    if turned is not None:
        return conv(backend, g, turned_kernels(xp, w, groups), turned)
    channels = w.shape[1] * groups
    rows_of_g = _last(xp, g).astype(kind, copy=False)
    full = tuple(n + lo + hi for n, (lo, hi) in zip(size, at.padding, strict=True))
    out = backend.empty((g.shape[0], *full, channels), kind)
    out.fill(0)
    matrices = _matrices(xp, w, groups, kind)
    spatial = g.shape[2:]
    for batch, _ in _chunks(g.shape[0], spatial, math.prod(kernel) * channels * kind.itemsize, whole=True):
        for group, matrix in enumerate(matrices):
            values = _of_group(rows_of_g[batch], group, groups)
            columns = backend.matmul(values.reshape(-1, values.shape[-1]), matrix.T)
            columns = columns.reshape(*values.shape[:-1], *kernel, w.shape[1])
            target = _of_group(out[batch], group, groups)
            for tap in itertools.product(*map(range, kernel)):
                target[(slice(None), *reach(tap, spatial, at))] += columns[(..., *tap, slice(None))]
    inside = tuple(slice(lo, lo + n) for n, (lo, _) in zip(size, at.padding, strict=True))
    return _first(xp, xp.ascontiguousarray(out[(slice(None), *inside)]).astype(g.dtype, copy=False))


def conv_weight(backend: Backend, x: Array, g: Array, kernel: tuple[int, ...], at: Geometry) -> Array:
    """The gradient of `conv` with respect to its kernels.

    Args:
        backend: of the arrays.
        x: (n, channels, *size).
        g: (n, out, *output size).
        kernel: size of the kernels.
        at: where the patches lie.

    Returns:
        (out, channels / groups, *kernel).
    """
    xp, kind = backend.xp, _wide(x.dtype)
    groups, size = at.groups, g.shape[2:]
    channels, out = x.shape[1] // groups, g.shape[1] // groups
    padded, rows_of_g = _padded(backend, x, at.padding, kind), _last(xp, g).astype(kind, copy=False)
    if channels == out == 1 < groups:
        return _shifted_sums(backend, padded, rows_of_g, kernel, at).astype(x.dtype, copy=False)
    sums = [xp.zeros((math.prod(kernel) * channels, out), kind) for _ in range(groups)]
    for batch, rows in _chunks(x.shape[0], size, math.prod(kernel) * x.shape[1] * kind.itemsize):
        patches = _patches(xp, padded, size, kernel, at)[batch, rows]
        for group, total in enumerate(sums):
            columns = _of_group(patches, group, groups).reshape(-1, total.shape[0])
            values = _of_group(rows_of_g[batch, rows], group, groups).reshape(-1, out)
            total += backend.matmul(columns.T, values)
    gradient = xp.stack(sums).reshape(groups, *kernel, channels, out)
    order = (0, len(kernel) + 2, len(kernel) + 1, *range(1, len(kernel) + 1))
    return xp.ascontiguousarray(gradient.transpose(order)).reshape(-1, channels, *kernel).astype(x.dtype, copy=False)


def _depthwise(w_shape: tuple[int, ...], groups: int) -> bool:
    """Whether each channel has a kernel of its own."""
    return w_shape[1] == 1 and w_shape[0] == groups > 1


def _shifted(backend: Backend, padded: Array, w: Array, size: tuple[int, ...], at: Geometry) -> Array:
    """A depthwise convolution as the sum of shifted images, each times one element of the kernels."""
    xp, count, channels = backend.xp, padded.shape[0], padded.shape[-1]
    # A line of weights for a line of pixels: one long loop in place of one for each pixel.
    line = (*w.shape[2:], size[-1], channels)
    weights = xp.ascontiguousarray(xp.broadcast_to(xp.moveaxis(w[:, 0], 0, -1)[..., None, :], line))
    weights = weights.astype(padded.dtype, copy=False)
    out = backend.empty((count, *size, channels), padded.dtype)
    for batch, rows in _chunks(count, size, _SHIFTED * channels * padded.dtype.itemsize):
        target = out[batch, rows]
        work = backend.empty(target.shape, padded.dtype)
        for k, tap in enumerate(itertools.product(*map(range, w.shape[2:]))):
            seen = padded[(slice(None), *reach(tap, size, at))][batch, rows]
            xp.multiply(seen, weights[tap], out=work if k else target)
            if k:
                target += work
    return out


def _shifted_sums(backend: Backend, padded: Array, g: Array, kernel: tuple[int, ...], at: Geometry) -> Array:
    """The gradient of depthwise kernels: sums of shifted images times the results' gradient."""
    xp, size, channels = backend.xp, g.shape[1:-1], g.shape[-1]
    taps = list(itertools.product(*map(range, kernel)))
    sums = xp.zeros((len(taps), channels), g.dtype)
    for batch, rows in _chunks(g.shape[0], size, _SHIFTED * channels * g.dtype.itemsize):
        given = g[batch, rows]
        work = backend.empty(given.shape, g.dtype)
        for k, tap in enumerate(taps):
            xp.multiply(padded[(slice(None), *reach(tap, size, at))][batch, rows], given, out=work)
            sums[k] += backend.column_sum(work.reshape(-1, channels))
    return xp.ascontiguousarray(sums.T).reshape(channels, 1, *kernel)


def turned_geometry(
    size: tuple[int, ...], output: tuple[int, ...], kernel: tuple[int, ...], at: Geometry
) -> Geometry | None:
    """The convolution with turned kernels that leads from the results back to images of `size`; None with a stride."""
    if any(s != 1 for s in at.stride):
        return None
    reaches = [d * (k - 1) for k, d in zip(kernel, at.dilation, strict=True)]
    pads = tuple((r - lo, n + lo - m) for n, m, r, (lo, _) in zip(size, output, reaches, at.padding, strict=True))
    return None if min(map(min, pads)) < 0 else at._replace(padding=pads)


def turned_kernels(xp: Any, w: Array, groups: int) -> Array:
    """Kernels turned around, (channels, out / groups, *kernel)."""
    out, channels, *kernel = w.shape
    back = (slice(None), slice(None), *(slice(None, None, -1),) * len(kernel))
    swapped = w.reshape(groups, out // groups, channels, *kernel).swapaxes(1, 2)
    return swapped.reshape(groups * channels, out // groups, *kernel)[back]


def _wide(dtype: Any) -> Any:
    """The type that is added up in: half precision is widened."""
    return np.dtype(np.float32) if dtype.itemsize == 2 and dtype.kind in "fV" else np.dtype(dtype)


def _last(xp: Any, x: Array) -> Array:
    """Channels last and contiguous: a view where the memory is in that order already."""
    return xp.ascontiguousarray(xp.moveaxis(x, 1, -1))


def _first(xp: Any, x: Array) -> Array:
    """The same memory with the channels' axis second."""
    return xp.moveaxis(x, -1, 1)


def _padded(backend: Backend, x: Array, padding: tuple[tuple[int, int], ...], kind: Any) -> Array:
    """Images with channels last and their border of zeros, contiguous."""
    if not any(map(any, padding)):
        return _last(backend.xp, x).astype(kind, copy=False)
    full = tuple(n + lo + hi for n, (lo, hi) in zip(x.shape[2:], padding, strict=True))
    out = backend.empty((x.shape[0], *full, x.shape[1]), kind)
    out.fill(0)
    inside = tuple(slice(lo, lo + n) for n, (lo, _) in zip(x.shape[2:], padding, strict=True))
    out[(slice(None), *inside)] = backend.xp.moveaxis(x, 1, -1)
    return out


def _patches(xp: Any, padded: Array, size: tuple[int, ...], kernel: tuple[int, ...], at: Geometry) -> Array:
    """A view (n, *size, *kernel, channels) of every patch."""
    batch, *inner, channel = padded.strides
    return xp.lib.stride_tricks.as_strided(
        padded,
        (padded.shape[0], *size, *kernel, padded.shape[-1]),
        (
            batch,
            *(step * s for step, s in zip(inner, at.stride, strict=True)),
            *(step * d for step, d in zip(inner, at.dilation, strict=True)),
            channel,
        ),
    )


def _matrices(xp: Any, w: Array, groups: int, kind: Any) -> list[Array]:
    """For each group its kernels as a matrix (kernel elements and channels, out), in a patch's order."""
    out, channels, *kernel = w.shape
    order = (0, *range(3, 3 + len(kernel)), 2, 1)
    parts = w.reshape(groups, out // groups, channels, *kernel).transpose(order)
    return [xp.ascontiguousarray(part.reshape(-1, out // groups)).astype(kind, copy=False) for part in parts]


def _of_group(x: Array, group: int, groups: int) -> Array:
    """The channels of a group, of an array with channels last."""
    count = x.shape[-1] // groups
    return x if groups == 1 else x[..., group * count : (group + 1) * count]


def reach(tap: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> tuple[slice, ...]:
    """Where the element `tap` of each patch lies."""
    return tuple(
        slice(k * d, k * d + (n - 1) * s + 1, s) for k, n, s, d in zip(tap, size, at.stride, at.dilation, strict=True)
    )


def _chunks(count: int, size: tuple[int, ...], patch: int, whole: bool = False) -> list[tuple[slice, slice]]:
    """Parts of a batch, and of the first spatial axis where one image is too much already, of about `CHUNK` bytes.

    Args:
        count: images.
        size: patches along each axis.
        patch: bytes of a patch.
        whole: never cut an image.
    """
    image = math.prod(size) * patch
    images = max(1, CHUNK // max(image, 1))
    rows = size[0] if whole or images > 1 else max(1, CHUNK // max(image // max(size[0], 1), 1))
    return [
        (slice(i, min(i + images, count)), slice(r, min(r + rows, size[0])))
        for i in range(0, count, images)
        for r in range(0, size[0], rows)
    ]
