"""What the CUDA kernels over windows are told: geometry, steps in memory and divisors, as `windows.cuh` has them.

Also pooling on the GPU (`pool.cu`), which needs nothing else. Nothing waits for the device.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from .base import Array
from .conv import Geometry
from .cuda_copies import dense
from .cuda_launch import function

INDEX_LIMIT: Final = 1 << 31  # of what a kernel numbers with 32 bits
_BLOCK: Final = 256
_MAX_GRID: Final = 65535 * 32
_BLOCKS: Final = 1024  # that share the first stage of a sum over rows
_LEAST_ROWS: Final = 32
FLOATS: Final = ("float32", "float64", "float16", "bfloat16")

_DIVISOR: Final = np.dtype([("by", "<u4"), ("factor", "<u4"), ("shift", "<u4")])
WINDOWS: Final = np.dtype(
    [
        ("example", "<i8"), ("channel", "<i4"), ("along", "<i4", 3),
        *((name, "<i4") for name in ("channels", "groups", "taps")),
        *((name, "<i4", 3) for name in ("size", "count", "kernel", "stride", "low", "dilation")),
        *((name, _DIVISOR) for name in ("of_row", "of_tap", "of_group")),
        *((name, _DIVISOR, 3) for name in ("of_place", "of_kernel", "of_stride")),
    ],
    align=True,
)  # fmt: skip


@functools.lru_cache(maxsize=4096)
def divisor(by: int) -> tuple[int, int, int]:
    """Factor and shift with which `(n * factor >> 32) + n >> shift` is `n // by` for 0 <= n < 2^31."""
    shift = (by - 1).bit_length()
    return by, ((1 << 32) * ((1 << shift) - by)) // by + 1, shift


def steps(x: Array) -> tuple[int, ...]:
    """The strides of an array in elements."""
    return tuple(s // x.itemsize for s in x.strides)


@functools.lru_cache(maxsize=1024)
def windows(
    strides: tuple[int, ...],
    channels: int,
    size: tuple[int, ...],
    count: tuple[int, ...],
    kernel: tuple[int, ...],
    at: Geometry,
    forward: bool,
    pack: int = 1,
    patches: bool = False,
) -> Any:
    """`Windows` of kernels/windows.cuh, an array of one element that is passed by value.

    Args:
        strides: in elements, of the array (n, channels, *axes) that is read at other places than where a thread writes.
        channels: of an image.
        size: of the images.
        count: windows along each axis.
        kernel: elements of a window along each axis.
        at: where the windows lie.
        forward: whether threads write at windows; else at pixels.
        pack: channels that move as one.
        patches: whether a row that is written is a whole window.
    """
    lift = 3 - len(kernel)
    taps, packs = math.prod(kernel), channels // pack

    def three(values: Any, missing: int) -> list[int]:
        return [missing] * lift + list(values)

    def divisors(values: Any) -> list[tuple[int, int, int]]:
        return [divisor(v) for v in values]

    packed = np.zeros(1, WINDOWS)
    w = packed[0]
    w["example"], w["channel"], w["along"] = strides[0], strides[1], three(strides[2:], 0)
    w["channels"], w["groups"], w["taps"] = packs, at.groups, taps
    w["size"], w["count"], w["kernel"] = three(size, 1), three(count, 1), three(kernel, 1)
    w["stride"], w["dilation"] = three(at.stride, 1), three(at.dilation, 1)
    w["low"] = three([low for low, _ in at.padding], 0)
    w["of_row"] = divisor(taps * packs if patches else packs)
    w["of_tap"], w["of_group"] = divisor(packs), divisor(packs // at.groups)
    w["of_place"] = divisors(three(count if forward else size, 1))
    w["of_kernel"], w["of_stride"] = divisors(three(kernel, 1)), divisors(three(at.stride, 1))
    return packed


def takes(x: Array, *sizes: tuple[int, ...]) -> bool:
    """Whether the kernels take images like `x`: floats, up to three axes, and numbers of 32 bits within an image."""
    if x.dtype.name not in FLOATS or not 3 <= x.ndim <= 5 or not x.size or not all(map(math.prod, sizes)):
        return False
    reach = sum(abs(s) * (n - 1) for s, n in zip(steps(x)[1:], x.shape[1:], strict=True))
    return all(n < INDEX_LIMIT for n in (reach + 1, *(x.shape[1] * math.prod(s) for s in sizes)))


def examples(count: int, each: int, limit: int = INDEX_LIMIT - 1) -> Iterator[tuple[int, int]]:
    """First and last image of the parts of a batch that have at most `limit` elements, `each` for an image."""
    most = max(1, limit // each)
    for first in range(0, count, most):
        yield first, min(first + most, count)


def flat_grid(total: int) -> tuple[int]:
    """Blocks for a thread an element."""
    return (min(-(-total // _BLOCK), _MAX_GRID),)


def over_images(
    file: str,
    kernel: str,
    read: Array,
    written: tuple[Array, ...],
    w: Any,
    beside: tuple[Array, ...] = (),
    shared: tuple[Array, ...] = (),
) -> None:
    """Launch a kernel of one thread for each written element, in parts of the batch that its numbers can reach.

    Args:
        file: of kernels.
        kernel: its name; it takes `read`, `beside`, `shared`, `written`, the number of elements and `w`.
        read: the array whose steps are in `w`.
        written: arrays of one shape, images first.
        w: the geometry.
        beside: arrays that have images first too.
        shared: arrays that all images share.
    """
    run = function(file, kernel, read.dtype.name)
    count, each = read.shape[0], max(read.size, written[0].size) // read.shape[0]
    for first, last in examples(count, each):
        if last - first < count:
            cut = [tuple(a[first:last] for a in arrays) for arrays in ((read,), beside, written)]
            given, total = (*cut[0], *cut[1], *shared, *cut[2]), cut[2][0].size
        else:
            given, total = (read, *beside, *shared, *written), written[0].size
        run(flat_grid(total), (_BLOCK,), (*given, np.uint32(total), w))


def channels_last(x: Array) -> Array:
    """(n, channels, *size) as (n, *size, channels), contiguous: a view where the memory is in that order already."""
    return dense(x.transpose(0, *range(2, x.ndim), 1))


def new_images(x: Array, size: tuple[int, ...], dtype: Any = None) -> Array:
    """Memory for images of `size` with the batch, the channels and the type of `x`, channels last."""
    import cupy

    return cupy.ndarray((x.shape[0], *size, x.shape[1]), x.dtype if dtype is None else dtype)


def channels_second(x: Array) -> Array:
    """The same memory with the channels' axis second."""
    import cupy

    return cupy.moveaxis(x, -1, 1)


def _single(at: Geometry) -> Geometry:
    return at if at.groups == 1 else at._replace(groups=1)


def max_pool(x: Array, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> tuple[Array, Array]:
    """`Backend.max_pool`: the largest elements, and the number of each in its window as uint8."""
    y, won = new_images(x, size), new_images(x, size, np.uint8)
    w = windows(steps(x), x.shape[1], x.shape[2:], size, kernel, _single(at), True)
    over_images("pool.cu", "max_pool", x, (y, won), w)
    return channels_second(y), channels_second(won)


def window_put(g: Array, won: Array, inner: tuple[int, ...], kernel: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.window_put`: for each pixel the sum of `g` over the windows that it won."""
    y = new_images(g, inner)
    w = windows(steps(g), g.shape[1], inner, g.shape[2:], kernel, _single(at), False)
    over_images("pool.cu", "window_put", g, (y,), w, beside=(channels_last(won),))
    return channels_second(y)


def window_sum(x: Array, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.window_sum`: the sum of each window."""
    y = new_images(x, size)
    w = windows(steps(x), x.shape[1], x.shape[2:], size, kernel, _single(at), True)
    over_images("pool.cu", "window_sum", x, (y,), w)
    return channels_second(y)


def window_spread(g: Array, inner: tuple[int, ...], kernel: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.window_spread`: for each pixel the sum over the windows that it is in."""
    y = new_images(g, inner)
    w = windows(steps(g), g.shape[1], inner, g.shape[2:], kernel, _single(at), False)
    over_images("pool.cu", "window_spread", g, (y,), w)
    return channels_second(y)


def row_chunks(rows: int, columns: int) -> tuple[int, int]:
    """Rows of a chunk, and how many chunks there are, in the first stage of sums over the columns of a matrix."""
    wanted = max(1, _BLOCKS // -(-columns // 32))
    each = max(_LEAST_ROWS, -(-rows // wanted))
    return each, -(-rows // each)
