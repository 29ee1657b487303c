"""Convolutions on the CPU in compiled loops: images with channels last, kernels packed into blocks of vectors.

One and two spatial axes, any stride, padding, dilation and groups; what is declined goes the general way (`conv`).
The loops are in `cpu_conv_numba`, the tile of registers inside them in `fusion.numba_tile`; the numbers that this
module computes for them are sizes and steps in bytes. The results do not depend on the number of threads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

import numpy as np

from ..fusion.numba_cache import numba_wanted
from ..fusion.workers import num_threads
from .base import Array
from .conv import Geometry
from .cpu_conv_numpy import with_height
from .cpu_layout import (
    IN_CACHE,
    NONE,
    Pads,
    at_a_time,
    blocked,
    bordered,
    even,
    in_parts,
    layouts,
    loaded,
    packed_kernels,
    run_strips,
    steps,
    width,
    zero_bytes,
)
from .pool import BufferPool

ALGORITHMS: Final = {
    "im2col": "patches are laid out side by side, and one matrix product does the rest; NumPy alone",
    "winograd2": "Winograd's F(2x2, 3x3), as accurate as the others, for 3 x 3 kernels in steps of 1",
    "direct": "compiled loops around a tile of registers, from the images themselves; needs Numba",
}
# What was asked for in this thread: a key of ALGORITHMS, or "auto".
algorithm: Final[ContextVar[str]] = ContextVar("gpugrad_convolution", default="auto")

# Multiply-adds from which on compiled loops are worth loading Numba for.
COMPILED = 1 << 20
# Bytes of a kernels' gradient up to which parts of the images have sums of their own; and how many parts there are.
SMALL_GRADIENT, PARTS = 1 << 18, 8
# Bytes of images and output's gradient that are arranged at a time for the kernels' gradient, and output pixels of a
# strip.
AT_A_TIME, PIXELS = 3 << 20, 256
# Elements of kernels that a tile adds up at a time: 24 KiB of them in blocks of 32 float32.
PART = 192


class _Axis(NamedTuple):
    """One spatial axis: its step, zeros before and after, and the step between elements of a patch."""

    stride: int
    low: int
    high: int
    dilation: int


class _Phase(NamedTuple):
    """Input places that see the same elements of a kernel: `first`, `first + stride`, ... `places` of them.

    `taps` elements from `start` backwards in the kernel meet output places from `output` on.
    """

    first: int
    places: int
    start: int
    taps: int
    output: int


def chosen(work: int, *arrays: Array) -> str:
    """The algorithm for a convolution of `work` multiply-adds on these arrays: a key of `ALGORITHMS`."""
    asked = algorithm.get()
    fits = all(a.dtype in (np.float32, np.float64) and a.dtype == arrays[0].dtype for a in arrays)
    fits = fits and arrays[0].ndim in (3, 4) and all(a.size for a in arrays)
    if asked == "im2col" or not fits:
        return "im2col"
    return "direct" if (asked == "direct" or work >= COMPILED) and numba_wanted() else "im2col"


def conv(pool: BufferPool, x: Array, w: Array, bias: Array | None, at: Geometry) -> Array:
    """`Backend.conv` for float32 and float64 and one or two spatial axes."""
    if x.ndim == 3:
        return conv(pool, x[:, :, None], w[:, :, None], bias, with_height(at))[:, :, 0]
    axes = _axes(at)
    item, (out, inner, *_) = x.itemsize, w.shape
    depthwise, size = is_depthwise(w.shape, at), at.output(x.shape[2:], w.shape[2:])
    pads = border(x.shape[2:], w.shape, at)
    if pads is None:
        return _clipped(pool, x, w, bias, axes, size)
    y = pool.empty((len(x), *size, out), x.dtype)
    groups = 1 if depthwise else at.groups
    count = out // groups
    loops = _loops(x.dtype, count, depthwise)
    owns = [slice(k * count, (k + 1) * count) for k in range(groups)]
    prepared = [(packed_kernels(pool, loops, w[own]), _start(loops, bias, own, x.dtype)) for own in owns]
    for first, images in in_parts(pool, x, pads, at_a_time(x, pads, groups)):
        image, line, pixel = steps(images)
        for group, (packed, start) in enumerate(prepared):
            _forward(
                loops, images, packed, y, start,
                x=(group * inner * item, (image, axes[0].stride * line, axes[1].stride * pixel)),
                y=(first * y.strides[0] + group * count * item, y.strides[:3]),
                size=(len(images) * size[0], size[0], size[1], count),
                steps=(axes[0].dilation * line, axes[1].dilation * pixel),
                merged=not depthwise and at.groups == 1 and axes[1].dilation == 1,
            )  # fmt: skip
    return y.transpose(0, 3, 1, 2)


def conv_input(pool: BufferPool, g: Array, w: Array, size: tuple[int, ...], at: Geometry) -> Array | None:
    """`Backend.conv_input` likewise: a convolution of `g` with turned kernels, for each phase of the stride.

    Returns:
        None where an axis has both a stride and a dilation.
    """
    if g.ndim == 3:
        found = conv_input(pool, g[:, :, None], w[:, :, None], (1, *size), with_height(at))
        return None if found is None else found[:, :, 0]
    axes = _axes(at)
    if any(a.stride > 1 and a.dilation > 1 for a in axes):
        return None
    item, (out, inner, *kernel), depthwise = g.itemsize, w.shape, is_depthwise(w.shape, at)
    pads = border_back(g.shape[2:], w.shape, size, at)
    if pads is None:
        turned = [_turned(a, k) for a, k in zip(axes, kernel, strict=True)]
        return _clipped(pool, g, w[:, :, ::-1, ::-1], None, turned, size)
    phases = [_phases(*each) for each in zip(size, kernel, axes, strict=True)]
    groups = 1 if depthwise else at.groups
    count, share = inner * at.groups // groups, out // groups
    loops = _loops(g.dtype, count, depthwise)
    x = pool.empty((len(g), *size, inner * at.groups), g.dtype)
    if any(not p.taps for found in phases for p in found):
        x.fill(0)
    prepared = []
    for group in range(groups):
        own = w[group * share : (group + 1) * share]
        for rows, columns in itertools.product(*phases):
            if not (rows.taps and columns.taps and rows.places > 0 and columns.places > 0):
                continue
            some = own[
                :, :, rows.start :: -axes[0].stride, columns.start :: -axes[1].stride
            ][:, :, : rows.taps, : columns.taps]  # fmt: skip
            some = some if depthwise else some.transpose(1, 0, 2, 3)
            prepared.append((group, rows, columns, packed_kernels(pool, loops, some)))
    start = _start(loops, None, slice(0, count), g.dtype)
    for first, images in in_parts(pool, g, pads, at_a_time(g, pads, groups)):
        image, line, pixel = steps(images)
        for group, rows, columns, packed in prepared:
            corner = (rows.output + pads[0][0]) * line + (columns.output + pads[1][0]) * pixel
            target = first * x.strides[0] + rows.first * x.strides[1] + columns.first * x.strides[2]
            _forward(
                loops, images, packed, x, start,
                x=(corner + group * share * item, (image, line, pixel)),
                y=(
                    target + group * count * item,
                    (x.strides[0], axes[0].stride * x.strides[1], axes[1].stride * x.strides[2]),
                ),
                size=(len(images) * rows.places, rows.places, columns.places, count),
                steps=(axes[0].dilation * line, axes[1].dilation * pixel),
                merged=not depthwise and at.groups == 1 and axes[1].dilation == 1,
            )  # fmt: skip
    return x.transpose(0, 3, 1, 2)


def conv_weight(pool: BufferPool, x: Array, g: Array, kernel: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_weight` likewise."""
    if x.ndim == 3:
        return conv_weight(pool, x[:, :, None], g[:, :, None], (1, *kernel), with_height(at))[:, :, 0]
    axes = _axes(at)
    item, out = x.itemsize, g.shape[1]
    inner = x.shape[1] // at.groups
    depthwise = is_depthwise((out, inner), at)
    pads, size = at.padding, g.shape[2:]
    groups = 1 if depthwise else at.groups
    count = out // groups
    loops = _loops(x.dtype, count, depthwise)
    blocks = -(-count // loops.BLOCK)
    small = math.prod(kernel) * inner * out * item <= SMALL_GRADIENT
    most, each = together(x, g, pads, groups, blocks if small else 0)
    row_bytes = size[1] * (out + axes[0].stride * axes[1].stride * x.shape[1]) * item
    rows = max(1, min(size[0], IN_CACHE // row_bytes)) if small else size[0]
    sums = pool.empty((-(-most // each), *kernel, inner, out), x.dtype)
    step = out * item
    per_call = 1 if rows < size[0] else max(1, min(each, PIXELS // math.prod(size)))
    merged = depthwise or (at.groups == 1 and axes[1].dilation == 1)
    for first, images in in_parts(pool, x, pads, most):
        image, line, pixel = steps(images)
        across, parts = axes[1].dilation * pixel, -(-len(images) // each)
        for group in range(groups):
            own = slice(group * count, (group + 1) * count)
            given, g_block, g_pixel = blocked(pool, loops, g[first : first + most, own])
            table = (
                images.ctypes.data + group * inner * item, given.ctypes.data,
                sums.ctypes.data + group * count * item, zero_bytes(loops.BYTES).ctypes.data,
                image, axes[0].stride * line, axes[1].stride * pixel,
                math.prod(size) * g_pixel, size[1] * g_pixel, g_pixel,
                size[0], size[1], count,
                kernel[0], axes[0].dilation * line, kernel[1] * inner * step,
                *((1, 0, 0) if merged else (kernel[1], across, inner * step)),
                *((kernel[1], across) if depthwise else (kernel[1] * inner if merged else inner, item)), step,
                len(images), each, sums.strides[0],
                kernel[0] if small else 1, rows, per_call, g_block, int(first == 0),
            )  # fmt: skip
            run_strips(loops.weight, table, parts * (1 if small else kernel[0]) * blocks, 1)
            del given  # the next takes its memory
    del images
    total = sums[0] if len(sums) == 1 else sums.sum(axis=0)
    found = np.empty((out, inner, *kernel), x.dtype)
    table = (total.ctypes.data, found.ctypes.data, math.prod(kernel), inner, out)
    last = layouts(x.dtype)
    run_strips(last.unpack, table, -(-inner // last.PART), 1)
    return found


def _forward(
    loops: Any,
    source: Array,
    packed: Array,
    target: Array,
    start: Array,
    *,
    x: tuple[int, Sequence[int]],
    y: tuple[int, Sequence[int]],
    size: tuple[int, int, int, int],
    steps: tuple[int, int],
    merged: bool,
) -> None:
    """Run the loop `forward`.

    Args:
        loops: the variant.
        source: images with their border.
        packed: kernels as `packed_kernels` gives them.
        target: the output.
        start: what each channel starts from, for whole blocks.
        x: the first byte of the first patch, and the steps by image, row and pixel of the output.
        y: likewise for the output.
        size: rows of all images, rows and pixels of one, channels.
        steps: between elements of a patch, down and across.
        merged: a row of a patch is one run of memory.
    """
    _, outer, taps, inner, block = packed.shape
    element = packed.itemsize * block
    rows, height, width, channels = size
    if loops.DEPTHWISE:  # the elements of a kernel's row are what is added up
        calls, inside = (1, 0, 0, 1, 0, 0), (outer, steps[0], taps * element, taps, steps[1], element, taps)
    elif merged and outer * taps * inner <= PART:
        run = taps * inner
        calls, inside = (1, 0, 0, 1, 0, 0), (outer, steps[0], run * element, run, packed.itemsize, element, run)
    else:
        run = taps * inner if merged else inner
        across = (1, 0, 0) if merged else (taps, steps[1], inner * element)
        calls = (outer, steps[0], taps * inner * element, *across)
        inside = (1, 0, 0, run, packed.itemsize, element, min(run, PART))
    table = (
        source.ctypes.data + x[0], packed.ctypes.data, target.ctypes.data + y[0], start.ctypes.data, *x[1], *y[1],
        height, width, channels, *calls, *inside, packed.strides[0],
    )  # fmt: skip
    run_strips(loops.forward, table, rows, max(1, min(PIXELS // width, -(-rows // (2 * num_threads())))))


def _turned(axis: _Axis, kernel: int) -> _Axis:
    """The axis of the convolution with the turned kernel that leads from the output back, for a stride of 1."""
    reach = (kernel - 1) * axis.dilation
    return _Axis(1, reach - axis.low, reach - axis.high, axis.dilation)


def _reaches(axes: Sequence[_Axis], size: Sequence[int], kernel: Sequence[int], output: Sequence[int]) -> bool:
    """Whether every patch has an element inside the image."""
    return all(
        a.low >= 0 and a.low <= (k - 1) * a.dilation and (m - 1) * a.stride - a.low < n
        for a, n, k, m in zip(axes, size, kernel, output, strict=True)
    )


def _clipped(
    pool: BufferPool, x: Array, w: Array, bias: Array | None, axes: Sequence[_Axis], size: tuple[int, ...]
) -> Array:
    """A depthwise convolution without a border around the images: it is the memory that takes its time."""
    images = bordered(pool, x, NONE)
    n, height, width, channels = images.shape
    y = pool.empty((n, *size, channels), x.dtype)
    loops = _loops(x.dtype, channels, depthwise=True)
    packed = packed_kernels(pool, loops, w)
    start = _start(loops, bias, slice(0, channels), x.dtype)
    _, outer, taps, _, _ = packed.shape
    table = (
        images.ctypes.data, packed.ctypes.data, y.ctypes.data, start.ctypes.data, *images.strides[:3], *y.strides[:3],
        *size, channels, outer, taps, *packed.strides[1:3], axes[0].stride, axes[1].stride, axes[0].dilation,
        axes[1].dilation, axes[0].low, axes[1].low, height, width, packed.strides[0],
    )  # fmt: skip
    rows = n * size[0]
    run_strips(loops.clipped, table, rows, max(1, min(PIXELS // size[1], -(-rows // (2 * num_threads())))))
    return y.transpose(0, 3, 1, 2)


def _loops(dtype: Any, channels: int, depthwise: bool) -> Any:
    """The variant for a number of output channels."""
    vectors, half = width(dtype, channels)
    bits = dtype.itemsize * 8
    return loaded("cpu_conv_numba.py", BITS=bits, VECTORS=vectors, HALF=half, DEPTHWISE=depthwise)


def _axes(at: Geometry) -> list[_Axis]:
    return [_Axis(s, lo, hi, d) for s, (lo, hi), d in zip(at.stride, at.padding, at.dilation, strict=True)]


def is_depthwise(w_shape: Sequence[int], at: Geometry) -> bool:
    """Whether each channel has a kernel of its own."""
    return w_shape[1] == 1 and w_shape[0] == at.groups > 1


def border(size: Sequence[int], w_shape: Sequence[int], at: Geometry) -> Pads | None:
    """Zeros around images of `size` for `conv`; None where kernels are cut off at the edges instead."""
    output = at.output(tuple(size), tuple(w_shape[2:]))
    if is_depthwise(w_shape, at) and _reaches(_axes(at), size, w_shape[2:], output):
        return None
    return at.padding


def border_back(given: Sequence[int], w_shape: Sequence[int], size: Sequence[int], at: Geometry) -> Pads | None:
    """Likewise around an output's gradient, `given` its size, for `conv_input`."""
    axes, kernel = _axes(at), w_shape[2:]
    if is_depthwise(w_shape, at) and all(a.stride == 1 for a in axes):
        turned = [_turned(a, k) for a, k in zip(axes, kernel, strict=True)]
        if _reaches(turned, given, kernel, size):
            return None
    every = zip(size, kernel, given, axes, strict=True)
    return [_room(_phases(n, k, axis), m, axis) for n, k, m, axis in every]


def _phases(size: int, kernel: int, axis: _Axis) -> list[_Phase]:
    """The phases of an axis of an input of `size`."""
    found = []
    s, d = axis.stride, axis.dilation
    for r in range(s):
        taps = len(range(r, kernel, s))
        low, high = -(-(axis.low - r) // s), (axis.low + size - 1 - r) // s
        output = low - (taps - 1) * d
        found.append(_Phase(s * low + r - axis.low, high - low + 1, r + s * (taps - 1), taps, output))
    return found


def _room(phases: list[_Phase], size: int, axis: _Axis) -> tuple[int, int]:
    """Zeros that an axis of the output's gradient needs before and after, so that no phase looks outside."""
    used = [p for p in phases if p.taps and p.places > 0]
    low = max((-p.output for p in used), default=0)
    high = max((p.output + (p.taps - 1) * axis.dilation + p.places - size for p in used), default=0)
    return max(0, low), max(0, high)


def _start(loops: Any, bias: Array | None, own: slice, dtype: Any) -> Array:
    """What some of the channels, in whole blocks, start from."""
    count = own.stop - own.start
    start = np.zeros(-(-count // loops.BLOCK) * loops.BLOCK, dtype)
    if bias is not None:
        start[:count] = bias[own]
    return start


def together(x: Array, g: Array, pads: Pads, groups: int, blocks: int) -> tuple[int, int]:
    """How many images the gradient of the kernels takes at a time, and in parts of how many with sums of their own.

    Args:
        x: images.
        g: the output's gradient.
        pads: zeros around the images.
        groups: of channels, each of which looks at all images.
        blocks: of output channels; 0 where the gradient is so large that there is one sum.

    Returns:
        Numbers that depend on shapes alone, since they decide in what order is added up.
    """
    size = math.prod(n + low + high for n, (low, high) in zip(x.shape[2:], pads, strict=True))
    nbytes = (size * x.shape[1] + math.prod(g.shape[1:])) * x.itemsize
    # There is to be work for several threads.
    most = even(len(x), max(-(-PARTS // blocks) if blocks else 1, AT_A_TIME * groups // nbytes))
    return most, -(-most // PARTS) if blocks else most
