"""Images of another size: `interpolate`, and channels moved into space and back (`pixel_shuffle`).

Along each axis every way but the nearest is a product with a matrix that has a narrow band: each result is a weighted
mean of a few neighbours. One primitive does that, block by block of the band, and is its own transpose's family.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np

from ..backend import Backend, backend_of, capturing
from ..primitive import Needs, Primitive, Shape, public
from .arguments import apply_one, bare, operand
from .index import take
from .shape import broadcast_to

BLOCK: Final = 64  # results of one product: wide enough for an efficient one, narrow enough to stay on the band
MODES: Final = {
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "trilinear": (3,),
    "bicubic": (2,),
    "area": (1, 2, 3),
}


# ---- one axis through a matrix


class Band:
    """A matrix (to, from) that is nearly empty, cut into blocks of rows with the columns that are not 0.

    Attributes:
        shape: (to, from).
        blocks: (rows, columns, values): two slices and the part of the matrix.
    """

    def __init__(self, matrix: Any) -> None:
        self.shape: Shape = matrix.shape
        self._matrix = matrix
        self.blocks: list[tuple[slice, slice, Any]] = []
        for start in range(0, matrix.shape[0], BLOCK):
            part = matrix[start : start + BLOCK]
            used = np.flatnonzero(part.any(0))
            first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
            self.blocks.append(
                (slice(start, start + len(part)), slice(first, last), np.ascontiguousarray(part[:, first:last]))
            )
        self._on: WeakKeyDictionary[Backend, dict[str, list[Any]]] = WeakKeyDictionary()

    @functools.cached_property
    def transposed(self) -> Band:
        """The matrix's transpose; its own transpose is this one."""
        other = Band(np.ascontiguousarray(self._matrix.T))
        other.__dict__["transposed"] = self
        return other

    def flops(self, lines: int) -> int:
        """Arithmetic operations for `lines` vectors."""
        elements: int = sum([math.prod(v.shape) for _, _, v in self.blocks])
        return 2 * lines * elements

    def values(self, backend: Any, dtype: Any) -> list[Any]:
        """The blocks on a device, in a dtype; brought there once."""
        root = getattr(backend, "root", backend)
        of_backend, key = self._on.setdefault(root, {}), f"{root.device} {dtype} {root.queue()}"
        if key not in of_backend:
            of_backend[key] = [root.from_host(values.astype(dtype)) for _, _, values in self.blocks]
        capture = capturing.current()  # whose graph reads them, when they may be forgotten here
        return of_backend[key] if capture is None else capture.keep(of_backend[key])


def _forward(needs: Needs, x: Any, *, axis: int, band: Band) -> tuple[Any, tuple[Any, ...]]:
    backend = backend_of(x)
    kind = np.dtype(np.float32) if x.dtype.itemsize == 2 else x.dtype
    lead, rest = x.shape[:axis], x.shape[axis + 1 :]
    lines = x.astype(kind, copy=False).reshape(math.prod(lead), x.shape[axis], math.prod(rest))
    out = backend.empty((lines.shape[0], band.shape[0], lines.shape[2]), kind)
    for (rows, columns, _), values in zip(band.blocks, band.values(backend, kind), strict=True):
        if lines.shape[2] == 1:
            out[:, rows, 0] = backend.matmul(lines[:, columns, 0], values.T)
        else:
            out[:, rows] = backend.matmul(values, lines[:, columns])
    return out.reshape(*lead, band.shape[0], *rest).astype(x.dtype, copy=False), ()


def _rule(g: Any, needs: Needs, *, axis: int, band: Band) -> tuple[Any]:
    return (apply_one(RESAMPLE, g, {"axis": axis, "band": band.transposed}),)


def _flops(shapes: tuple[Shape, ...], out_shape: Shape, *, axis: int, band: Band) -> int:
    return band.flops(math.prod(shapes[0]) // shapes[0][axis])


def _vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, axis: int, band: Band) -> int:
    return band.transposed.flops(math.prod(shapes[0]) // shapes[0][axis])


RESAMPLE = Primitive("resample", _forward, _rule, linear=True, flops=_flops, vjp_flops=_vjp_flops)


# ---- which neighbours, and their weights


def _positions(n: int, count: int, align_corners: bool, scale: float | None) -> Any:
    """Where the results lie among the `n` elements, as PyTorch counts."""
    if align_corners:
        return np.arange(count) * ((n - 1) / (count - 1) if count > 1 else 0.0)
    step = n / count if scale is None else 1 / scale
    return (np.arange(count) + 0.5) * step - 0.5


def _cubic(t: Any) -> Any:
    """Weights of the four neighbours at distance `t` behind the second (R. Keys 1981, a = -0.75)."""
    a = -0.75

    def near(d: Any) -> Any:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: Any) -> Any:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return far(t + 1), near(t), near(1 - t), far(2 - t)


@functools.lru_cache(64)
def band_of(mode: str, n: int, count: int, align_corners: bool = False, scale: float | None = None) -> Band:
    """The matrix that takes `n` elements to `count`.

    Args:
        mode: "linear", "cubic" or "area".
        n: elements.
        count: results.
        align_corners: whether the first and last elements are the first and last results.
        scale: the ratio to count positions with, in place of count / n.
    """
    matrix = np.zeros((count, n))
    rows = np.arange(count)
    if mode == "area":
        for i in range(count):
            start, stop = i * n // count, -(-(i + 1) * n // count)
            matrix[i, start:stop] = 1 / (stop - start)
        return Band(matrix)
    place = _positions(n, count, align_corners, scale)
    if mode == "linear":
        place = np.maximum(place, 0)
    first = np.floor(place).astype(int)
    t = place - first
    weights = ((0, 1 - t), (1, t)) if mode == "linear" else tuple(zip((-1, 0, 1, 2), _cubic(t), strict=True))
    for offset, weight in weights:
        np.add.at(matrix, (rows, np.clip(first + offset, 0, n - 1)), weight)
    return Band(matrix)


def _nearest(x: Any, axis: int, count: int, exact: bool, scale: float | None) -> Any:
    n = x.shape[axis]
    if count % n == 0 and scale in (None, count / n):
        wide = x.reshape(*x.shape[: axis + 1], 1, *x.shape[axis + 1 :])
        wide = broadcast_to(wide, (*x.shape[: axis + 1], count // n, *x.shape[axis + 1 :]))
        return wide.reshape(*x.shape[:axis], count, *x.shape[axis + 1 :])
    step = n / count if scale is None else 1 / scale
    index = np.floor((np.arange(count) + (0.5 if exact else 0)) * step).astype(np.intp)
    return take(x, backend_of(bare(x)).from_host(np.minimum(index, n - 1)), axis)


def _sizes(
    inner: Shape, size: Any, scale_factor: Any, recompute: bool | None
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """Results along each axis, and the ratios that positions are counted with."""
    axes = len(inner)
    if (size is None) == (scale_factor is None):
        raise ValueError(f"[interpolate] size = {size}, scale_factor = {scale_factor}; expected one of them")
    given = size if size is not None else scale_factor
    each = tuple(given) if isinstance(given, Sequence) else (given,) * axes
    if len(each) != axes or min(each) <= 0:
        raise ValueError(
            f"[interpolate] {'size' if size is not None else 'scale_factor'} = {given}; expected a positive number, or "
            f"one for each of the {axes} spatial axes"
        )
    if size is not None:
        if recompute:
            raise ValueError("[interpolate] recompute_scale_factor goes with scale_factor, not with size")
        return tuple(int(n) for n in each), (None,) * axes
    wanted = tuple(math.floor(n * s) for n, s in zip(inner, each, strict=True))
    if min(wanted) < 1:
        raise ValueError(f"[interpolate] scale_factor = {given} leaves nothing of the size {inner}")
    return wanted, (None,) * axes if recompute else tuple(float(s) for s in each)


@public
def interpolate(
    input: Any,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Any:
    """Images of another size.

    Args:
        input: (n, channels, *size) with one to three spatial axes.
        size: of the results, one number or one for each spatial axis.
        scale_factor: in place of `size`: the results' size is floor(size * scale_factor).
        mode: "nearest" (the element at floor(i / scale), as PyTorch and OpenCV), "nearest-exact" (at the centre of the
            result), "linear", "bilinear", "trilinear" for one, two, three spatial axes, "bicubic", or "area" (means).
        align_corners: of the linear and cubic modes: whether the centres of the corner elements stay where they are
            (otherwise the outer edges).
        recompute_scale_factor: count positions with the ratio of the sizes, in place of the given `scale_factor`.

    Returns:
        (n, channels, *size'), of the dtype of `input`; half precision computes in float32. Where an element is nan or
        infinite, linear, cubic and area results near it (in the same block of 64) may be nan too.

    Raises:
        ValueError: an unknown mode, or one for another number of axes; neither or both of size and scale_factor.
    """
    x = operand(input)
    axes = x.ndim - 2
    if mode not in MODES or axes not in MODES[mode]:
        fitting = ", ".join(m for m, counts in MODES.items() if axes in counts)
        raise ValueError(
            f"[interpolate] mode = {mode!r}, input has shape {tuple(x.shape)} (n, channels and {axes} spatial axes); "
            f"expected {fitting or '3 to 5 axes'}"
        )
    if align_corners is not None and (mode.startswith("nearest") or mode == "area"):
        raise ValueError(f"[interpolate] align_corners = {align_corners} with mode = {mode!r}; it is for linear modes")
    if x.dtype.kind not in "fV":
        raise TypeError(f"[interpolate] input is {x.dtype} {tuple(x.shape)}; expected floating point numbers")
    wanted, scales = _sizes(tuple(x.shape[2:]), size, scale_factor, recompute_scale_factor)
    for axis, count, scale in zip(range(2, x.ndim), wanted, scales, strict=True):
        n = x.shape[axis]
        if mode.startswith("nearest"):
            x = x if n == count and scale in (None, 1.0) else _nearest(x, axis, count, mode != "nearest", scale)
            continue
        kind = {"area": "area", "bicubic": "cubic"}.get(mode, "linear")
        band = band_of(kind, n, count, bool(align_corners), None if align_corners or kind == "area" else scale)
        x = apply_one(RESAMPLE, x, {"axis": axis, "band": band})
    return x


@public
def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Channels moved into space: (*batch, channels r^2, height, width) to (*batch, channels, height r, width r).

    Raises:
        ValueError: the channels are no multiple of the factor's square (Shi et al. 2016).
    """
    x, r = operand(input), upscale_factor
    if x.ndim < 3 or r < 1 or x.shape[-3] % (r * r):
        raise ValueError(
            f"[pixel_shuffle] input has shape {tuple(x.shape)}, upscale_factor = {r}; expected (*batch, a multiple of "
            f"{r * r}, height, width)"
        )
    *batch, channels, height, width = x.shape
    k = len(batch)
    x = x.reshape(*batch, channels // (r * r), r, r, height, width)
    x = x.transpose(*range(k), k, k + 3, k + 1, k + 4, k + 2)
    return x.reshape(*batch, channels // (r * r), height * r, width * r)


@public
def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """Space moved into channels, the inverse of `pixel_shuffle`.

    Args:
        input: (*batch, channels, height r, width r).
        downscale_factor: r.

    Raises:
        ValueError: height or width is no multiple of the factor.
    """
    x, r = operand(input), downscale_factor
    if x.ndim < 3 or r < 1 or x.shape[-1] % r or x.shape[-2] % r:
        raise ValueError(
            f"[pixel_unshuffle] input has shape {tuple(x.shape)}, downscale_factor = {r}; expected height and width "
            f"that are multiples of {r}"
        )
    *batch, channels, height, width = x.shape
    k = len(batch)
    x = x.reshape(*batch, channels, height // r, r, width // r, r)
    x = x.transpose(*range(k), k, k + 2, k + 4, k + 1, k + 3)
    return x.reshape(*batch, channels * r * r, height // r, width // r)
