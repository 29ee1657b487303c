"""Convolutions on the CPU in compiled loops: images with channels last, kernels packed into blocks of vectors.

One and two spatial axes, any stride, padding, dilation and groups; what is declined goes the general way (`conv`).
The loops are in `cpu_conv_numba`, the tile of registers inside them in `fusion.numba_tile`; the numbers that this
module computes for them are sizes and steps in bytes. The results do not depend on the number of threads.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from ..fusion.numba_cache import load, numba_wanted
from ..fusion.workers import num_threads
from .base import Array
from .conv import Geometry
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
# Bytes of images that one pass over the kernels' gradient takes, and output pixels of a strip.
IN_CACHE, PIXELS = 1 << 18, 256
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
        return conv(pool, x[:, :, None], w[:, :, None], bias, _with_height(at))[:, :, 0]
    axes = _axes(at)
    item, (out, inner, *kernel) = x.itemsize, w.shape
    depthwise = _depthwise(w, at.groups)
    size = at.output(x.shape[2:], (kernel[0], kernel[1]))
    if depthwise and _reaches(axes, x.shape[2:], (kernel[0], kernel[1]), size):
        return _clipped(pool, x, w, bias, axes, size)
    padded = bordered(pool, x, [(a.low, a.high) for a in axes])
    n, height, width, channels = padded.shape
    y = pool.empty((n, *size, out), x.dtype)
    pixel, line = channels * item, width * channels * item
    for group in range(1 if depthwise else at.groups):
        count = out if depthwise else out // at.groups
        own = w[group * count : (group + 1) * count]
        loops = _loops(x.dtype, count, depthwise)
        packed = packed_kernels(pool, loops, own)
        _forward(
            loops, padded, packed, y, _start(loops, bias, group * count, count, x.dtype),
            x=(group * inner * item, (height * line, axes[0].stride * line, axes[1].stride * pixel)),
            y=(group * count * item, (size[0] * size[1] * out * item, size[1] * out * item, out * item)),
            size=(n * size[0], size[0], size[1], count),
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
        found = conv_input(pool, g[:, :, None], w[:, :, None], (1, *size), _with_height(at))
        return None if found is None else found[:, :, 0]
    axes = _axes(at)
    if any(a.stride > 1 and a.dilation > 1 for a in axes):
        return None
    item, (out, inner, *kernel) = g.itemsize, w.shape
    depthwise = _depthwise(w, at.groups)
    if depthwise and all(a.stride == 1 for a in axes):
        turned = [_turned(a, k) for a, k in zip(axes, kernel, strict=True)]
        if _reaches(turned, g.shape[2:], (kernel[0], kernel[1]), size):
            return _clipped(pool, g, w[:, :, ::-1, ::-1], None, turned, (size[0], size[1]))
    phases = [_phases(*each) for each in zip(size, kernel, axes, strict=True)]
    pads = [_room(found, n, axis) for found, n, axis in zip(phases, g.shape[2:], axes, strict=True)]
    padded = bordered(pool, g, pads)
    n, height, width, _ = padded.shape
    channels = inner * at.groups
    x = pool.empty((n, *size, channels), g.dtype)
    if any(not p.taps for found in phases for p in found):
        x.fill(0)
    pixel, line = out * item, width * out * item
    for group in range(1 if depthwise else at.groups):
        count, share = (channels, out) if depthwise else (inner, out // at.groups)
        loops = _loops(g.dtype, count, depthwise)
        own = w[group * share : (group + 1) * share]
        for rows in phases[0]:
            for columns in phases[1]:
                if not (rows.taps and columns.taps and rows.places > 0 and columns.places > 0):
                    continue
                turned = own[
                    :, :, rows.start :: -axes[0].stride, columns.start :: -axes[1].stride
                ][:, :, : rows.taps, : columns.taps]  # fmt: skip
                turned = turned if depthwise else turned.transpose(1, 0, 2, 3)
                packed = packed_kernels(pool, loops, turned)
                corner = (rows.output + pads[0][0]) * line + (columns.output + pads[1][0]) * pixel
                target = (rows.first * size[1] + columns.first) * channels * item
                _forward(
                    loops, padded, packed, x, _start(loops, None, 0, count, g.dtype),
                    x=(corner + group * share * item, (height * line, line, pixel)),
                    y=(
                        target + group * count * item,
                        (math.prod(size) * channels * item, axes[0].stride * size[1] * channels * item,
                         axes[1].stride * channels * item),
                    ),
                    size=(n * rows.places, rows.places, columns.places, count),
                    steps=(axes[0].dilation * line, axes[1].dilation * pixel),
                    merged=not depthwise and at.groups == 1 and axes[1].dilation == 1,
                )  # fmt: skip
    return x.transpose(0, 3, 1, 2)


def conv_weight(pool: BufferPool, x: Array, g: Array, kernel: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_weight` likewise."""
    if x.ndim == 3:
        return conv_weight(pool, x[:, :, None], g[:, :, None], (1, *kernel), _with_height(at))[:, :, 0]
    axes = _axes(at)
    item, out = x.itemsize, g.shape[1]
    inner = x.shape[1] // at.groups
    depthwise = inner == 1 and out == at.groups > 1
    padded = bordered(pool, x, [(a.low, a.high) for a in axes])
    n, height, width, channels = padded.shape
    size = g.shape[2:]
    pixel, line = channels * item, width * channels * item
    small = math.prod(kernel) * inner * out * item <= SMALL_GRADIENT
    per_part = -(-n // PARTS) if small else n
    parts = -(-n // per_part)
    row_bytes = size[1] * (out + axes[0].stride * axes[1].stride * channels) * item
    rows = max(1, min(size[0], IN_CACHE // row_bytes)) if small else size[0]
    sums = pool.empty((parts, *kernel, inner, out), x.dtype)
    step = out * item
    per_call = 1 if rows < size[0] else max(1, min(per_part, PIXELS // math.prod(size)))
    for group in range(1 if depthwise else at.groups):
        count = out if depthwise else out // at.groups
        loops = _loops(x.dtype, count, depthwise)
        given, g_block, g_pixel = _blocked(pool, loops, g[:, group * count : (group + 1) * count])
        blocks = -(-count // loops.BLOCK)
        merged = depthwise or (at.groups == 1 and axes[1].dilation == 1)
        across = axes[1].dilation * pixel
        table = (
            padded.ctypes.data + group * inner * item, given.ctypes.data,
            sums.ctypes.data + group * count * item, zero_bytes(loops.BYTES).ctypes.data,
            height * line, axes[0].stride * line, axes[1].stride * pixel,
            math.prod(size) * g_pixel, size[1] * g_pixel, g_pixel,
            size[0], size[1], count,
            kernel[0], axes[0].dilation * line, kernel[1] * inner * step,
            *((1, 0, 0) if merged else (kernel[1], across, inner * step)),
            *((kernel[1], across) if depthwise else (kernel[1] * inner if merged else inner, item)), step,
            n, per_part, sums.strides[0],
            kernel[0] if small else 1, rows, per_call, g_block,
        )  # fmt: skip
        run_strips(loops.weight, table, parts * (1 if small else kernel[0]) * blocks, 1)
    total = sums[0] if parts == 1 else sums.sum(axis=0)
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
    images = bordered(pool, x, ((0, 0), (0, 0)))
    n, height, width, channels = images.shape
    y = pool.empty((n, *size, channels), x.dtype)
    loops = _loops(x.dtype, channels, depthwise=True)
    packed = packed_kernels(pool, loops, w)
    start = _start(loops, bias, 0, channels, x.dtype)
    _, outer, taps, _, _ = packed.shape
    table = (
        images.ctypes.data, packed.ctypes.data, y.ctypes.data, start.ctypes.data, *images.strides[:3], *y.strides[:3],
        *size, channels, outer, taps, *packed.strides[1:3], axes[0].stride, axes[1].stride, axes[0].dilation,
        axes[1].dilation, axes[0].low, axes[1].low, height, width, packed.strides[0],
    )  # fmt: skip
    rows = n * size[0]
    run_strips(loops.clipped, table, rows, max(1, min(PIXELS // size[1], -(-rows // (2 * num_threads())))))
    return y.transpose(0, 3, 1, 2)


def run_strips(strip: Any, table: Sequence[int], count: int, step: int) -> None:
    """A loop over `count` parts on the team of threads, or here where there is none."""
    from ..fusion import numba_team

    if numba_team.run(strip.address, table, (), count, step) == numba_team.DECLINED:
        slots = np.array(table, np.int64)
        strip.ctypes(slots.ctypes.data, 0, count)


@functools.cache
def loaded(file: str, **constants: Any) -> Any:
    """A file of compiled loops with its constants set."""
    path = Path(__file__).with_name(file)
    text = path.read_text(encoding="utf-8")
    for name, value in constants.items():
        before, line, after = text.partition(f"\n{name} = ")
        text = f"{before}{line}{value}\n{after.partition(chr(10))[2]}"
    return load(text, path.stem)


def layouts(dtype: Any) -> Any:
    """The loops that rearrange images and kernels, for a dtype."""
    return loaded("cpu_layout_numba.py", BITS=dtype.itemsize * 8)


@functools.cache
def width(dtype: Any, channels: int) -> tuple[int, bool]:
    """Vectors in a row of the tile, and whether they are halves: the fewest that hold the channels, two at most."""
    from ..fusion.numba_tile import lanes  # here, because it needs Numba

    full = lanes(dtype.itemsize * 8)
    return 1 if channels <= full else 2, channels <= full // 2


def block_size(dtype: Any, channels: int) -> int:
    """Output channels that a tile computes at a time."""
    from ..fusion.numba_tile import lanes

    vectors, half = width(dtype, channels)
    return vectors * lanes(dtype.itemsize * 8, half)


def _loops(dtype: Any, channels: int, depthwise: bool) -> Any:
    """The variant for a number of output channels."""
    vectors, half = width(dtype, channels)
    bits = dtype.itemsize * 8
    return loaded("cpu_conv_numba.py", BITS=bits, VECTORS=vectors, HALF=half, DEPTHWISE=depthwise)


def _axes(at: Geometry) -> list[_Axis]:
    return [_Axis(s, lo, hi, d) for s, (lo, hi), d in zip(at.stride, at.padding, at.dilation, strict=True)]


def _with_height(at: Geometry) -> Geometry:
    """A sequence as an image of one row."""
    return Geometry((1, *at.stride), ((0, 0), *at.padding), (1, *at.dilation), at.groups)


def _depthwise(w: Array, groups: int) -> bool:
    return bool(w.shape[1] == 1 and w.shape[0] == groups > 1)


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


def bordered(pool: BufferPool, x: Array, pads: Sequence[tuple[int, int]]) -> Array:
    """Images (n, height, width, channels) with a border of zeros, contiguous: a view where they are so already."""
    last = x.transpose(0, 2, 3, 1)
    (top, bottom), (left, right) = pads
    if not (top or bottom or left or right) and last.flags.c_contiguous:
        return last
    n, height, width, channels = last.shape
    out = pool.empty((n, height + top + bottom, width + left + right, channels), x.dtype)
    table = (
        last.ctypes.data, out.ctypes.data, *last.strides, channels, height, width, top, left, *out.shape[1:3]
    )  # fmt: skip
    run_strips(layouts(x.dtype).border, table, n, max(1, n // (4 * num_threads())))
    return out


def _blocked(pool: BufferPool, loops: Any, g: Array) -> tuple[Array, int, int]:
    """(n, channels, height, width) as [block][n height width][channel of the block], and the first two steps.

    Where one block holds all channels, and for depthwise kernels, which see each number but a few times, it is the
    images themselves.
    """
    rows = bordered(pool, g, ((0, 0), (0, 0))).reshape(-1, g.shape[1])
    if rows.shape[1] <= loops.BLOCK or loops.DEPTHWISE:
        return rows, loops.BYTES, rows.strides[0]
    blocks = -(-rows.shape[1] // loops.BLOCK)
    out = pool.empty((blocks, rows.shape[0], loops.BLOCK), g.dtype)
    part = max(1, IN_CACHE // rows.strides[0])
    table = (rows.ctypes.data, out.ctypes.data, *rows.shape, loops.BLOCK, part)
    run_strips(layouts(g.dtype).blocks, table, -(-rows.shape[0] // part), 1)
    return out, out.strides[0], loops.BYTES


def packed_kernels(pool: BufferPool, loops: Any, w: Array, target: Array | None = None) -> Array:
    """Kernels as [block][kernel row][kernel column][channel of the other side][channel of the block].

    With a `target`, whose first axis are the blocks, at the beginning of each of its blocks.
    """
    channels, inner, outer, taps = w.shape
    blocks = -(-channels // loops.BLOCK)
    packed = pool.empty((blocks, outer, taps, inner, loops.BLOCK), w.dtype) if target is None else target
    steps = (w.strides[0], w.strides[2], w.strides[3], w.strides[1])
    sizes = (channels, outer, taps, inner, loops.BLOCK)
    loops_of = layouts(w.dtype)
    table = (w.ctypes.data, packed.ctypes.data, *steps, *sizes, packed.strides[0])
    run_strips(loops_of.pack, table, blocks * -(-inner // loops_of.PART), 1)
    return packed


def _start(loops: Any, bias: Array | None, first: int, count: int, dtype: Any) -> Array:
    """What the channels of whole blocks start from."""
    start = np.zeros(-(-count // loops.BLOCK) * loops.BLOCK, dtype)
    if bias is not None:
        start[:count] = bias[first : first + count]
    return start


@functools.cache
def zero_bytes(nbytes: int) -> Array:
    """Zeros that loops read in place of what lies outside."""
    return np.zeros(nbytes, np.uint8)
