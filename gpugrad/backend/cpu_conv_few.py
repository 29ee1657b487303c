"""The gradient of a convolution by images of few channels, as those of the first layers, in a compiled loop.

A tile whose columns were these channels would leave most of a vector empty. Here its columns are the channels of a
whole row of a kernel: what one pixel of the output gives to as many neighbouring pixels of the image. Nothing is
multiplied with a border, whatever the stride.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from .base import Array
from .conv import Geometry
from .cpu_layout import NONE, block_size, bordered, loaded, run_strips, steps, width
from .pool import BufferPool

# Parts that the lines of a gradient are cut into, for the threads to draw.
PARTS: Final = 64
# Products that are added up in a row: longer sums are cut, for fewer rounding errors.
LONG: Final = 192


def fits(g: Array, w_shape: Sequence[int], at: Geometry) -> bool:
    """Whether the gradient of a convolution with kernels (out, channels, *kernel) is computed here; needs Numba.

    Of `g`, the output's gradient, only the axes and the dtype are looked at.
    """
    if g.ndim != 4 or at.groups != 1 or at.dilation[1] != 1 or min(map(min, at.padding)) < 0:
        return False
    most = block_size(g.dtype, 1 << 30)
    return w_shape[3] > 1 and w_shape[1] <= most // 4 and w_shape[1] * w_shape[3] <= most


def conv_input(pool: BufferPool, g: Array, w: Array, size: tuple[int, ...], at: Geometry) -> Array:
    """`Backend.conv_input` where it `fits`."""
    out, channels, kernel, taps = w.shape
    given = bordered(pool, g, NONE)
    _, rows, places, _ = given.shape
    run, item = taps * channels, g.itemsize
    vectors, half = width(g.dtype, run)
    block = block_size(g.dtype, run)
    packed = np.zeros((kernel, out, block), g.dtype)
    packed[:, :, :run] = w.transpose(2, 0, 3, 1).reshape(kernel, out, run)
    (height, wide), left, across = size, at.padding[1][0], at.stride[1]
    x = pool.empty((len(g), height, wide, channels), g.dtype)
    room = item * max((places - 1) * across * channels + block, (left + wide) * channels)
    lines = len(g) * height
    step = -(-lines // PARTS)
    scratch = np.empty((-(-lines // step), room), np.uint8)
    pixel, down, tall = channels * item, at.stride[0], at.dilation[0]
    apart = down // math.gcd(down, tall)
    table = (
        given.ctypes.data, packed.ctypes.data, x.ctypes.data, scratch.ctypes.data, *steps(given), rows, places, out,
        height, wide * pixel, pixel, kernel, run, max(1, LONG * apart // kernel), at.padding[0][0], left, down, across,
        tall, apart, tall * apart // down, room, step,
    )  # fmt: skip
    loop = loaded("cpu_conv_few_numba.py", BITS=item * 8, VECTORS=vectors, HALF=half).scatter
    run_strips(loop, table, lines, step)
    return x.transpose(0, 3, 1, 2)
