"""The arithmetic of the stand-in's cuDNN: what each operation of a graph gives, in float32, by NumPy.

Each takes the operands by port, the attributes and the shapes of the results, and returns the results.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpugrad.backend import conv as general
from gpugrad.backend import cpu
from gpugrad.backend.conv import Geometry


def widened(array: np.ndarray, rounded: bool) -> np.ndarray:
    """float32 for halves; with `rounded` ten bits of mantissa are left, as tensor cores have them."""
    if array.dtype == np.float64:
        return array
    wide = array.astype(np.float32)
    return ((wide.view(np.uint32) + 0x1000) & np.uint32(0xFFFFE000)).view(np.float32) if rounded else wide


def _geometry(attributes: Any, channels: int, weight_channels: int) -> Geometry:
    pads = tuple(zip(attributes["pre_padding"], attributes["post_padding"], strict=True))
    stride, dilation = tuple(attributes["stride"]), tuple(attributes["dilation"])
    return Geometry(stride, pads, dilation, channels // weight_channels)


def _fprop(given: Any, attributes: Any, shapes: Any) -> tuple[Any, ...]:
    x, w = given["image"], given["weight"]
    return (general.conv(cpu(), x, w, _geometry(attributes, x.shape[1], w.shape[1])),)


def _dgrad(given: Any, attributes: Any, shapes: Any) -> tuple[Any, ...]:
    g, w = given["loss"], given["filter"]
    at = _geometry(attributes, shapes[0][1], w.shape[1])
    return (general.conv_input(cpu(), g, w, shapes[0][2:], at),)


def _wgrad(given: Any, attributes: Any, shapes: Any) -> tuple[Any, ...]:
    x, g = given["image"], given["loss"]
    at = _geometry(attributes, x.shape[1], shapes[0][1])
    return (general.conv_weight(cpu(), x, g, shapes[0][2:], at),)


def _relu(given: Any, attributes: Any, shapes: Any) -> tuple[Any, ...]:
    return (np.maximum(given["input"], 0),)


OPERATIONS: dict[str, Callable[[Any, Any, Any], tuple[Any, ...]]] = {
    "conv_fprop": _fprop,
    "conv_dgrad": _dgrad,
    "conv_wgrad": _wgrad,
    "bias": lambda given, attributes, shapes: (given["input"] + given["bias"],),
    "relu": _relu,
}
