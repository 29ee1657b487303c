"""Which way a convolution is computed on the CPU, from its shapes and what was asked for."""

from __future__ import annotations

from typing import Any, Final

from ..fusion.numba_cache import numba_wanted
from . import (
    cpu_conv,
    cpu_conv_few,
    cpu_conv_numpy,
    cpu_depthwise,
    cpu_depthwise_numpy,
    cpu_winograd,
    cpu_winograd_numpy,
)
from .base import Array
from .conv import Geometry

# The ways, each with those of `conv`, `conv_input` and `conv_weight` that it is chosen for: compiled, and NumPy alone.
WAYS: Final[dict[str, Any]] = {
    "winograd4": cpu_winograd.Tiles(4),
    "winograd2": cpu_winograd.Tiles(2),
    "direct": cpu_conv,
    "direct, few channels": cpu_conv_few,
    "direct, depthwise": cpu_depthwise,
    "winograd2 in NumPy": cpu_winograd_numpy,
    "shifted": cpu_depthwise_numpy,
    "im2col": cpu_conv_numpy,
}

_known: Final[dict[Any, str]] = {}
_MOST: Final = 4096


def chosen(
    work: int, w_shape: tuple[int, ...], at: Geometry, *arrays: Array, back: bool = False, weight: bool = False
) -> str:
    """The way of a convolution or one of its gradients.

    Args:
        work: its multiply-adds.
        w_shape: of the kernels, (out, channels / groups, *kernel).
        at: where the patches lie.
        arrays: its operands; of their elements nothing is read.
        back: it is the gradient by the images.
        weight: it is the gradient by the kernels.

    Returns:
        A key of `WAYS`; "general" for types and axes that none of them takes.
    """
    # What the answer depends on: looking at it costs a fifth of finding out.
    large = work >= cpu_conv.COMPILED
    kinds = tuple([(a.dtype, a.ndim, a.size > 0) for a in arrays])
    asked = cpu_conv.algorithm.get()
    key = (asked, numba_wanted(), large, w_shape, at, back, weight, kinds)
    found = _known.get(key)
    if found is None:
        if len(_known) >= _MOST:
            _known.clear()
        found = _known[key] = _decided(asked, work, w_shape, at, arrays, back, weight)
    return found


def _decided(
    asked: str, work: int, w_shape: tuple[int, ...], at: Geometry, arrays: tuple[Array, ...], back: bool, weight: bool
) -> str:
    large = work >= cpu_conv.COMPILED
    if (asked == "winograd2" or (asked in ("auto", "fast") and large)) and cpu_winograd.fits(arrays[0], w_shape, at):
        return "winograd4" if asked == "fast" else "winograd2"
    tiled = cpu_conv_numpy.takes(*arrays) and cpu_winograd_numpy.fits(w_shape, at)
    if asked == "winograd2" and tiled:
        return "winograd2 in NumPy"
    direct = cpu_conv.chosen(work, *arrays) == "direct"
    if direct and cpu_depthwise.fits(arrays[0], w_shape, at):
        return "direct, depthwise"
    if direct and back and cpu_conv_few.fits(arrays[0], w_shape, at):
        return "direct, few channels"
    # The other compiled loops decline a gradient by images with a stride and a dilation on one axis.
    declined = back and any(s > 1 and d > 1 for s, d in zip(at.stride, at.dilation, strict=True))
    if direct and not declined:
        return "direct"
    if not cpu_conv_numpy.takes(*arrays):
        return "general"
    if w_shape[1] == 1 and w_shape[0] == at.groups > 1:
        return "shifted"
    pays = tiled and large and cpu_winograd_numpy.pays(w_shape, weight)
    return "winograd2 in NumPy" if pays and asked != "im2col" else "im2col"


def name_of(way: str) -> str:
    """What users are told of a way: which algorithm, not whose loops."""
    return "im2col" if way == "general" else way.partition(",")[0].removesuffix(" in NumPy")
