"""What compiled convolutions work on: images with channels last and a border, some at a time; kernels in blocks.

The loops that arrange them are in `cpu_layout_numba`, the convolutions in `cpu_conv` and `cpu_winograd`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..fusion.numba_cache import load
from ..fusion.workers import num_threads
from .base import Array
from .pool import BufferPool

# Bytes of images that one pass over the kernels' gradient takes.
IN_CACHE: Final = 1 << 18
# Bytes of images with a border that there are at a time for each thread, of which two at least are reckoned with.
CHUNK: Final = 5 << 17
# Zeros before and after, for each axis.
Pads = Sequence[tuple[int, int]]
NONE: Final[Pads] = ((0, 0), (0, 0))


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


def bordered(pool: BufferPool, x: Array, pads: Pads) -> Array:
    """Images (n, height, width, channels) with a border of zeros, contiguous: a view where they are so already."""
    last = x.transpose(0, 2, 3, 1)
    if arranged(last, pads):
        return last
    out = pool.empty((len(x), *_size(last, pads)), x.dtype)
    _fill(out, last, pads)
    return out


def in_parts(pool: BufferPool, x: Array, pads: Pads, most: int) -> Iterator[tuple[int, Array]]:
    """`bordered` for `most` images at a time, one part after the other in the same memory: a part's first, and it."""
    last = x.transpose(0, 2, 3, 1)
    copied = not arranged(last, pads)
    out = pool.empty((most, *_size(last, pads)), x.dtype) if copied else last
    for first in range(0, len(last), most):
        some = last[first : first + most]
        if copied:
            _fill(out, some, pads)
        yield first, out[: len(some)] if copied else some


def arranged(last: Array, pads: Pads) -> bool:
    """Whether images (n, height, width, channels) with a border are they themselves."""
    return not any(map(any, pads)) and last.flags.c_contiguous


def at_a_time(x: Array, pads: Pads, groups: int) -> int:
    """Images that have their border at the same time; more where there are groups, each of which looks at them."""
    last = x.transpose(0, 2, 3, 1)
    if arranged(last, pads):
        return len(x)
    most = CHUNK * max(2, num_threads()) * groups // (math.prod(_size(last, pads)) * x.itemsize)
    return even(len(x), most)


def even(count: int, most: int) -> int:
    """The size of parts of `count`, `most` at most, that are nearly alike."""
    return -(-count // -(-count // max(1, most)))


def steps(images: Array) -> tuple[int, int, int]:
    """Bytes of an image, a row and a pixel; strides say nothing of an axis of one."""
    _, height, width, channels = images.shape
    pixel = channels * images.itemsize
    return height * width * pixel, width * pixel, pixel


def _size(last: Array, pads: Pads) -> tuple[int, int, int]:
    (top, bottom), (left, right) = pads
    return last.shape[1] + top + bottom, last.shape[2] + left + right, last.shape[3]


def _fill(out: Array, last: Array, pads: Pads) -> None:
    n, height, width, channels = last.shape
    table = (
        last.ctypes.data, out.ctypes.data, *last.strides, channels, height, width, pads[0][0], pads[1][0],
        *out.shape[1:3],
    )  # fmt: skip
    rows = n * out.shape[1]
    run_strips(layouts(out.dtype).border, table, rows, -(-rows // (4 * num_threads())))


def blocked(pool: BufferPool, loops: Any, g: Array) -> tuple[Array, int, int]:
    """(n, channels, height, width) as [block][n height width][channel of the block], and the first two steps.

    Where one block holds all channels, and for depthwise kernels, which see each number but a few times, it is the
    images themselves.
    """
    rows = bordered(pool, g, NONE).reshape(-1, g.shape[1])
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


@functools.cache
def zero_bytes(nbytes: int) -> Array:
    """Zeros that loops read in place of what lies outside."""
    return np.zeros(nbytes, np.uint8)
