"""Images sampled at any places: `grid_sample` and `affine_grid`, PyTorch's conventions.

Along each axis a place has one, two or four pixels around it with their weights; what the axes have is multiplied out,
and all pixels are picked by one gather, whose gradient is the deterministic scatter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.placing import placed
from ..ops.arguments import bare, constant, module, operand
from ..ops.cast import astype
from ..ops.defining import elementwise
from ..ops.elementwise import floor, where
from ..ops.index import picked
from ..ops.joining import stack
from ..ops.linalg import matmul
from ..ops.reduce import sum as sum_
from ..ops.shape import moveaxis

MODES = ("bilinear", "nearest", "bicubic")
PADDING = ("zeros", "border", "reflection")


@elementwise
def place_between_centres(g: Any, n: Any) -> Any:
    """From [-1, 1] to pixels, with the ends on the centres of the outermost."""
    return (g + 1.0) / 2.0 * (n - 1.0)


@elementwise
def place_between_edges(g: Any, n: Any) -> Any:
    """From [-1, 1] to pixels, with the ends on the edges of the outermost."""
    return ((g + 1.0) * n - 1.0) / 2.0


@elementwise
def held_inside(x: Any, last: Any) -> Any:
    """`x` in [0, last], with no gradient outside and on the ends."""
    return where(x > 0.0, where(x < last, x, last), 0.0)


@elementwise
def mirrored(x: Any, low: Any, span: Any) -> Any:
    """`x` mirrored at `low` and `low + span` until it is in between."""
    d = where(x < low, low - x, x - low)
    times = floor(d / span)
    rest = d - times * span
    return low + where(times - 2.0 * floor(times / 2.0) == 0.0, rest, span - rest)


@elementwise
def near_weight(t: Any) -> Any:
    """The weight of a pixel up to 1 away in bicubic interpolation (R. Keys 1981, a = -0.75)."""
    return (1.25 * t - 2.25) * t * t + 1.0


@elementwise
def far_weight(t: Any) -> Any:
    """The weight of a pixel 1 to 2 away."""
    return ((-0.75 * t + 3.75) * t - 6.0) * t + 3.0


@placed
def affine_grid(theta: Any, size: Sequence[int], align_corners: bool | None = None) -> Any:
    """The places in which `grid_sample` finds an image moved by an affine map.

    Args:
        theta: (batch, 2, 3), or (batch, 3, 4) for volumes: the maps, of x, y (and z) and 1.
        size: of the image that is wanted, (batch, channels, *size).
        align_corners: whether -1 and 1 are the centres of the outermost pixels, not their edges; False if not given.

    Returns:
        (batch, *size, 2 or 3): x, y (and z) of the input for each pixel, from -1 to 1.

    Raises:
        ValueError: shapes do not fit.
    """
    theta, axes = operand(theta), len(size) - 2
    if axes not in (2, 3) or theta.shape != (size[0], axes, axes + 1):
        raise ValueError(
            f"[affine_grid] theta has shape {tuple(theta.shape)}, size = {tuple(size)}; expected (batch, 2, 3) for "
            "(batch, channels, height, width), or (batch, 3, 4) with a depth too"
        )
    if min(size) < 1:
        raise ValueError(f"[affine_grid] size = {tuple(size)}; expected lengths of 1 or more")
    xp, inner = module(theta), tuple(size[2:])
    columns = []
    for k in reversed(range(axes)):  # x is the last axis
        n = inner[k]
        steps = 2 * xp.arange(n) / max(n - 1, 1) - (n > 1) if align_corners else (2 * xp.arange(n) + 1) / n - 1
        columns.append(xp.broadcast_to(steps.reshape((n,) + (1,) * (axes - 1 - k)), inner).reshape(-1))
    columns.append(xp.ones(math.prod(inner)))
    base = constant(theta, xp.stack(columns, axis=1).astype(theta.dtype))
    return matmul(base, theta.swapaxes(-1, -2)).reshape((size[0], *inner, axes))


@placed
def grid_sample(
    input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Any:
    """The values of images at the places of a grid, interpolated (M. Jaderberg et al. 2015).

    Args:
        input: (batch, channels, height, width), or (batch, channels, depth, height, width).
        grid: (batch, *out, 2 or 3): x, y (and z), -1 the first and 1 the last pixel.
        mode: "bilinear" (of volumes, from their eight neighbours), "nearest" (halves to the even pixel; no gradient
            to the grid), or "bicubic", of images only.
        padding_mode: what is outside: "zeros", the pixel on the "border", or the image in "reflection".
        align_corners: whether -1 and 1 are the centres of the outermost pixels, not their edges; False if not given.

    Returns:
        (batch, channels, *out), of the input's dtype. With "zeros" a place that is nan has no pixels. On a pixel the
        gradient to the grid is that of the interval behind it; on and beyond the border it is 0 with "border".

    Raises:
        ValueError: shapes do not fit, or an unknown mode.
    """
    x, grid = operand(input), operand(grid)
    axes = x.ndim - 2
    if axes not in (2, 3) or grid.ndim != x.ndim or grid.shape[0] != x.shape[0] or grid.shape[-1] != axes:
        raise ValueError(
            f"[grid_sample] input has shape {tuple(x.shape)}, grid {tuple(grid.shape)}; expected (batch, channels, "
            "height, width) and (batch, *out, 2), or with a depth too (batch, *out, 3)"
        )
    if mode not in MODES or (mode == "bicubic" and axes == 3):
        raise ValueError(f"[grid_sample] mode = {mode!r}; expected 'bilinear', 'nearest' or, of images, 'bicubic'")
    if padding_mode not in PADDING:
        raise ValueError(f"[grid_sample] padding_mode = {padding_mode!r}; expected 'zeros', 'border' or 'reflection'")
    if not math.prod(x.shape[2:]):
        raise ValueError(f"[grid_sample] input has shape {tuple(x.shape)}: there is no pixel to take")
    inner, xp = tuple(x.shape[2:]), module(grid)
    batch = x.shape[0]
    # Numbers of pixels and weights, (taps, batch, *out), grown axis by axis.
    index: Any = xp.arange(batch).reshape((1, batch) + (1,) * axes)
    weight: Any = None
    for k, n in enumerate(inner):
        places, weights = _taps(grid[..., axes - 1 - k], n, mode, padding_mode, bool(align_corners))
        index = (index * n)[:, None] + places[None]
        index = index.reshape((-1, *index.shape[2:]))
        weight = (weight[:, None] * weights[None]).reshape(index.shape) if k else weights
    rows = moveaxis(x, 1, -1).reshape((batch * math.prod(inner), x.shape[1]))
    found = picked(rows, (index,)) * astype(weight, x.dtype)[..., None]
    return moveaxis(sum_(found, axis=0), -1, 1)


def _taps(g: Any, n: int, mode: str, padding: str, align: bool) -> tuple[Any, Any]:
    """Which pixels of one axis are taken for each place, bare (taps, batch, *out), and their weights."""
    xp = module(g)
    x = (place_between_centres if align else place_between_edges)(g, float(n))
    if mode != "bicubic":
        x = _padded(x, n, padding, align)
    if mode == "nearest":
        pixels = xp.rint(bare(x))[None]
        weights = constant(x, xp.ones_like(pixels))
    else:
        first = xp.floor(bare(x))
        t = x - constant(x, first)
        steps = xp.arange(2 if mode == "bilinear" else 4).reshape((-1,) + (1,) * g.ndim)
        if mode == "bilinear":
            pixels, weights = first + steps, stack([1.0 - t, t])
        else:
            pixels = _padded(first + (steps - 1), n, padding, align)
            weights = stack([far_weight(t + 1.0), near_weight(t), near_weight(1.0 - t), far_weight(2.0 - t)])
    there = (pixels >= 0) & (pixels < n)  # not where a place is nan
    return xp.where(there, pixels, 0).astype(np.int64), where(constant(x, there), weights, 0.0)


def _padded(x: Any, n: int, padding: str, align: bool) -> Any:
    """Places outside as the padding has them."""
    if padding == "zeros":
        return x
    if padding == "reflection":
        low, span = (0.0, n - 1.0) if align else (-0.5, float(n))
        x = mirrored(x, low, span) if span else x * 0.0
    return held_inside(x, n - 1.0)
