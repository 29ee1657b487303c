"""The memory of convolutions on the CPU, from shapes alone: what the compiled way takes beside its result.

The general way needs no help here: it runs on arrays without data as it does on others.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend import cpu_choice, cpu_conv, cpu_depthwise, cpu_winograd
from ..backend.conv import Geometry
from ..backend.cpu_conv_numpy import with_height
from ..backend.cpu_layout import NONE, Pads, arranged, at_a_time, block_size
from ..backend.cpu_winograd import TILES
from .ghost import Ghost

TILED = ("winograd2", "winograd4")


def way(
    home: Any,
    work: int,
    w_shape: tuple[int, ...],
    at: Geometry,
    *arrays: Ghost,
    back: bool = False,
    weight: bool = False,
) -> str:
    """How a convolution of `work` multiply-adds is computed on the CPU; "general" on a GPU."""
    if home.device.type != "cpu":
        return "general"
    return cpu_choice.chosen(work, w_shape, at, *[a.value for a in arrays], back=back, weight=weight)


def tiled_conv(home: Any, way: str, x: Ghost, w_shape: tuple[int, ...], at: Geometry) -> Any:
    """`cpu_winograd.Tiles.conv` on arrays without data."""
    tiles, (out, channels) = cpu_choice.WAYS[way], w_shape[:2]
    size = at.output(x.shape[2:], (3, 3))
    down, across = tiles.cut(*size)
    images = _border(home, x, NONE, x.shape[0])
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
    images, gradient = _border(home, x, NONE, x.shape[0]), _border(home, g, NONE, x.shape[0])
    most = min(TILES, x.shape[0] * down * across) | 1
    held = [home.fresh((tiles.places, most, c), x.dtype) for c in (channels, out)]
    sums = home.fresh((tiles.places, channels, out), x.dtype)
    found = home.fresh((out, channels, 3, 3), x.dtype)
    del images, gradient, held, sums
    return found


def conv(home: Any, x: Ghost, w_shape: tuple[int, ...], at: Geometry) -> Any:
    """`cpu_conv.conv` on arrays without data."""
    if x.ndim == 3:
        return conv(home, x[:, :, None], (*w_shape[:2], 1, w_shape[2]), with_height(at))[:, :, 0]
    y = home.fresh((x.shape[0], *at.output(x.shape[2:], w_shape[2:]), w_shape[0]), x.dtype)
    _around(home, x, w_shape, cpu_conv.border(x.shape[2:], w_shape, at), at)
    return home.xp.moveaxis(y, -1, 1)


def conv_input(home: Any, g: Ghost, w_shape: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> Any:
    """`cpu_conv.conv_input` likewise."""
    if g.ndim == 3:
        return conv_input(home, g[:, :, None], (*w_shape[:2], 1, w_shape[2]), (1, *size), with_height(at))[:, :, 0]
    x = home.fresh((g.shape[0], *size, w_shape[1] * at.groups), g.dtype)
    _around(home, g, w_shape, cpu_conv.border_back(g.shape[2:], w_shape, size, at), at)
    return home.xp.moveaxis(x, -1, 1)


def few_conv_input(home: Any, g: Ghost, w_shape: tuple[int, ...], size: tuple[int, ...]) -> Any:
    """`cpu_conv_few.conv_input` likewise."""
    out, channels, kernel, taps = w_shape
    x = home.fresh((g.shape[0], *size, channels), g.dtype)
    packed = home.fresh((kernel, out, block_size(g.dtype, taps * channels)), g.dtype)
    given = _border(home, g, NONE, g.shape[0])
    del given, packed
    return home.xp.moveaxis(x, -1, 1)


def _around(home: Any, x: Ghost, w_shape: tuple[int, ...], pads: Pads | None, at: Geometry) -> None:
    """What is there besides while a result is computed: kernels in blocks, and images with a border, some at a time."""
    kernels = home.fresh((math.prod(w_shape),), x.dtype)
    groups = 1 if cpu_conv.is_depthwise(w_shape, at) else at.groups
    most = x.shape[0] if pads is None else at_a_time(x.value, pads, groups)
    images = _border(home, x, pads or NONE, most)
    del kernels, images


def depthwise_conv(home: Any, x: Ghost) -> Any:
    """`cpu_depthwise.conv` and `conv_input` likewise, of images or of cotangents."""
    y = home.fresh((x.shape[0], *x.shape[2:], x.shape[1]), x.dtype)
    kernels, images = home.fresh((10, x.shape[1]), x.dtype), _border(home, x, NONE, x.shape[0])
    del kernels, images
    return home.xp.moveaxis(y, -1, 1)


def depthwise_conv_weight(home: Any, x: Ghost, g: Ghost) -> Any:
    """`cpu_depthwise.conv_weight` likewise."""
    images, given = (_border(home, a, NONE, a.shape[0]) for a in (x, g))
    sums = home.fresh((min(cpu_depthwise.PARTS, x.shape[0] * x.shape[2]), 9, x.shape[1]), x.dtype)
    found = home.fresh((x.shape[1], 1, 3, 3), x.dtype)
    del images, given, sums
    return found


def conv_weight(home: Any, x: Ghost, g: Ghost, kernel: tuple[int, ...], at: Geometry) -> Any:
    """`cpu_conv.conv_weight` likewise."""
    if x.ndim == 3:
        return conv_weight(home, x[:, :, None], g[:, :, None], (1, *kernel), with_height(at))[:, :, 0]
    shape = (g.shape[1], x.shape[1] // at.groups, *kernel)
    groups = 1 if cpu_conv.is_depthwise(shape, at) else at.groups
    block = block_size(g.dtype, shape[0] // groups)
    count = -(-shape[0] // groups // block)
    small = math.prod(shape) * x.dtype.itemsize <= cpu_conv.SMALL_GRADIENT
    most, each = cpu_conv.together(x.value, g.value, at.padding, groups, count if small else 0)
    sums = home.fresh((-(-most // each), *shape), x.dtype)
    images = _border(home, x, at.padding, most)
    given = _border(home, g[:most, : shape[0] // groups], NONE, most)
    if count > 1 and groups == at.groups:
        blocks = home.fresh((count, given.size // given.shape[-1], block), g.dtype)
        del blocks
    del images, given
    total = home.fresh(shape, x.dtype) if sums.shape[0] > 1 else sums
    found = home.fresh(shape, x.dtype)
    del sums, total
    return found


def _border(home: Any, x: Ghost, pads: Pads, most: int) -> Any:
    """`most` images with channels last and their border: themselves where nothing is to be done."""
    last = home.xp.moveaxis(x, 1, -1)
    if arranged(last.value, pads):
        return last
    size = [n + lo + hi for n, (lo, hi) in zip(x.shape[2:], pads, strict=True)]
    return home.fresh((min(most, x.shape[0]), *size, x.shape[1]), x.dtype)
