"""The memory of convolutions on the CPU, from shapes alone: what the compiled way takes beside its result.

The general way needs no help here: it runs on arrays without data as it does on others.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend import cpu_choice, cpu_winograd
from ..backend.conv import Geometry
from ..backend.cpu_conv import PARTS, SMALL_GRADIENT, block_size
from ..backend.cpu_winograd import NONE, TILES
from .ghost import Ghost

TILED = ("winograd2", "winograd4")


def way(home: Any, work: int, w_shape: tuple[int, ...], at: Geometry, *arrays: Ghost, back: bool = False) -> str:
    """How a convolution of `work` multiply-adds is computed on the CPU; "general" on a GPU."""
    if home.device.type != "cpu":
        return "general"
    return cpu_choice.chosen(work, w_shape, at, *[a.value for a in arrays], back=back)


def tiled_conv(home: Any, way: str, x: Ghost, w_shape: tuple[int, ...], at: Geometry) -> Any:
    """`cpu_winograd.Tiles.conv` on arrays without data."""
    tiles, (out, channels) = cpu_choice.WAYS[way], w_shape[:2]
    size = at.output(x.shape[2:], (3, 3))
    down, across = tiles.cut(*size)
    images = _border(home, x, NONE)
    kernels = home.fresh((tiles.places * channels * out,), x.dtype)
    y = home.fresh((x.shape[0], *size, out), x.dtype)
    scratch = home.fresh(tiles.scratch(x.shape[0] * down * across, channels)[1], x.dtype)
    del images, kernels, scratch
    return home.xp.moveaxis(y, -1, 1)


def tiled_conv_input(home: Any, way: str, g: Ghost, w: Ghost, at: Geometry) -> Any:
    """`cpu_winograd.Tiles.conv_input` likewise."""
    return tiled_conv(home, way, g, (w.shape[1], w.shape[0], 3, 3), cpu_winograd.turned(at))


def tiled_conv_weight(home: Any, way: str, x: Ghost, g: Ghost, at: Geometry) -> Any:
    """`cpu_winograd.Tiles.conv_weight` likewise."""
    tiles, (out, channels), (height, width) = cpu_choice.WAYS[way], (g.shape[1], x.shape[1]), g.shape[2:]
    down, across = tiles.cut(height, width)
    images, gradient = _border(home, x, NONE), _border(home, g, NONE)
    most = min(TILES, x.shape[0] * down * across) | 1
    held = [home.fresh((tiles.places, most, c), x.dtype) for c in (channels, out)]
    sums = home.fresh((tiles.places, channels, out), x.dtype)
    found = home.fresh((out, channels, 3, 3), x.dtype)
    del images, gradient, held, sums
    return found


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
    images = _border(home, x, at.padding)
    small = math.prod(shape) * x.dtype.itemsize <= SMALL_GRADIENT
    each = -(-x.shape[0] // PARTS) if small else x.shape[0]
    parts = -(-x.shape[0] // each)
    sums = home.fresh((parts, *shape), x.dtype)
    depthwise = shape[1] == 1 and shape[0] == at.groups > 1
    own = shape[0] if depthwise else shape[0] // at.groups
    places = g.size // shape[0]
    none, block = ((0, 0),) * len(kernel), block_size(g.dtype, own)
    for _ in range(shape[0] // own):  # one group after the other, the last one's blocks still there
        gradient = _border(home, g, none) if own == shape[0] else home.fresh((places, own), g.dtype)
        seen = own <= block or depthwise
        blocks = gradient if seen else home.fresh((-(-own // block), places, block), g.dtype)
        del gradient
    total = home.fresh(shape, x.dtype) if parts > 1 else sums
    found = home.fresh(shape, x.dtype)
    del images, blocks, sums, total
    return found


def _border(home: Any, x: Ghost, pads: Any) -> Any:
    """Images with channels last and their border: themselves where nothing is to be done."""
    last = home.xp.moveaxis(x, 1, -1)
    if not any(map(any, pads)) and last.value.flags.c_contiguous:
        return last
    size = [n + lo + hi for n, (lo, hi) in zip(x.shape[2:], pads, strict=True)]
    return home.fresh((x.shape[0], *size, x.shape[1]), x.dtype)
