"""The memory of convolutions on the CPU, from shapes alone: what the compiled way takes beside its result.

The general way needs no help here: it runs on arrays without data as it does on others.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend.conv import Geometry
from ..backend.cpu_conv import GROUPS, SMALL_GRADIENT, chosen, in_blocks
from .ghost import Ghost


def direct(home: Any, work: int, *arrays: Ghost) -> bool:
    """Whether a convolution of `work` multiply-adds takes the compiled way."""
    return home.device.type == "cpu" and chosen(work, *[a.value for a in arrays]) == "direct"


def conv(home: Any, x: Ghost, w: Ghost, at: Geometry) -> Any:
    """`cpu_conv.conv` on arrays without data."""
    size = at.output(x.shape[2:], w.shape[2:])
    depthwise = w.shape[1] == 1 and w.shape[0] == at.groups > 1
    images = _border(home, x, ((0, 0),) * len(size) if depthwise else at.padding)
    y = home.fresh((x.shape[0], *size, w.shape[0]), x.dtype)
    kernels = home.fresh((w.size // (1 if depthwise else at.groups),), w.dtype)
    del images, kernels
    return home.xp.moveaxis(y, -1, 1)


def conv_input(home: Any, g: Ghost, w: Ghost, size: tuple[int, ...], at: Geometry) -> Any:
    """`cpu_conv.conv_input` likewise."""
    pads = [
        (max(0, d * (k - 1) - lo), max(0, d * (k - 1) - hi)) if s == 1 else (-(-k // s) - 1,) * 2
        for s, (lo, hi), d, k in zip(at.stride, at.padding, at.dilation, w.shape[2:], strict=True)
    ]
    depthwise = w.shape[1] == 1 and w.shape[0] == at.groups > 1
    gradient = _border(home, g, ((0, 0),) * len(size) if depthwise else pads)
    x = home.fresh((g.shape[0], *size, w.shape[1] * at.groups), g.dtype)
    kernels = home.fresh((w.size // (1 if depthwise else at.groups) // math.prod(at.stride),), w.dtype)
    del gradient, kernels
    return home.xp.moveaxis(x, -1, 1)


def conv_weight(home: Any, x: Ghost, g: Ghost, kernel: tuple[int, ...], at: Geometry) -> Any:
    """`cpu_conv.conv_weight` likewise."""
    shape = (g.shape[1], x.shape[1] // at.groups, *kernel)
    images, gradient = _border(home, x, at.padding), _border(home, g, ((0, 0),) * len(kernel))
    own = shape[0] if shape[1] == 1 else shape[0] // at.groups
    filled = in_blocks(g.dtype, own)
    blocks = gradient if filled == own == shape[0] else home.fresh((g.size // shape[0], filled), g.dtype)
    small = math.prod(shape) * x.dtype.itemsize <= SMALL_GRADIENT
    each = -(-x.shape[0] // GROUPS) if small else x.shape[0]
    groups = -(-x.shape[0] // each)
    sums = home.fresh((groups, *shape), x.dtype)
    total = home.fresh(shape, x.dtype) if groups > 1 else sums
    found = home.fresh(shape, x.dtype)
    del images, gradient, blocks, sums, total
    return found


def _border(home: Any, x: Ghost, pads: Any) -> Any:
    """Images with channels last and their border: themselves where nothing is to be done."""
    last = home.xp.moveaxis(x, 1, -1)
    if not any(map(any, pads)) and last.value.flags.c_contiguous:
        return last
    size = [n + lo + hi for n, (lo, hi) in zip(x.shape[2:], pads, strict=True)]
    return home.fresh((x.shape[0], *size, x.shape[1]), x.dtype)
