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


def _per_channel(x: np.ndarray) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _batch_norm(given: Any, attributes: Any, shapes: Any) -> tuple[Any, ...]:
    x, axes = given["input"], _per_channel(given["input"])
    count = x.size // x.shape[1]
    mean, variance = (f(x, axis=axes, keepdims=True, dtype=np.float64) for f in (np.mean, np.var))
    rate = 1 / np.sqrt(variance + given["epsilon"])
    y = (x - mean) * rate * given["scale"] + given["bias"]
    share = given["momentum"]
    running = ((given["in_running_mean"], mean), (given["in_running_var"], variance * count / (count - 1)))
    return y, mean, rate, *((1 - share) * old + share * new for old, new in running)


def _batch_norm_backward(given: Any, attributes: Any, shapes: Any) -> tuple[Any, ...]:
    g, x, rate = given["grad"], given["input"], given["inv_variance"]
    axes = _per_channel(x)
    normal = (x - given["mean"]) * rate
    total, along = (a.sum(axes, keepdims=True, dtype=np.float64) for a in (g, g * normal))
    count = x.size // x.shape[1]
    return given["scale"] * rate * (g - total / count - normal * along / count), along, total


def _shared(given: Any) -> tuple[Any, int]:
    """The operands with key and value repeated for the heads that share them, and how many do."""
    times = given["q"].shape[1] // given["k"].shape[1]
    return {k: np.repeat(a, times, axis=1) if k in ("k", "v") else a for k, a in given.items()}, times


def _scores(given: Any, attributes: Any) -> Any:
    s = np.matmul(given["q"], given["k"].swapaxes(2, 3)) * attributes["attn_scale"]
    if attributes["use_causal_mask"]:
        s = np.where(np.arange(s.shape[2])[:, None] >= np.arange(s.shape[3]), s, -np.inf)
    return s


def _sdpa(given: Any, attributes: Any, shapes: Any) -> tuple[Any, ...]:
    given, _ = _shared(given)
    s = _scores(given, attributes)
    top = s.max(-1, keepdims=True)
    sums = top + np.log(np.exp(s - top).sum(-1, keepdims=True))
    return np.matmul(np.exp(s - sums), given["v"]), sums


def _sdpa_backward(given: Any, attributes: Any, shapes: Any) -> tuple[Any, ...]:
    given, times = _shared(given)
    shares, g = np.exp(_scores(given, attributes) - given["stats"]), given["dO"]
    along = (g * given["o"]).sum(-1, keepdims=True)
    ds = shares * (np.matmul(g, given["v"].swapaxes(2, 3)) - along) * attributes["attn_scale"]
    dq, dk = np.matmul(ds, given["k"]), np.matmul(ds.swapaxes(2, 3), given["q"])
    dv = np.matmul(shares.swapaxes(2, 3), g)
    return dq, *(a.reshape(a.shape[0], -1, times, *a.shape[2:]).sum(2) for a in (dk, dv))


OPERATIONS: dict[str, Callable[[Any, Any, Any], tuple[Any, ...]]] = {
    "conv_fprop": _fprop,
    "conv_dgrad": _dgrad,
    "conv_wgrad": _wgrad,
    "bias": lambda given, attributes, shapes: (given["input"] + given["bias"],),
    "relu": _relu,
    "batchnorm": _batch_norm,
    "batchnorm_backward": _batch_norm_backward,
    "sdpa": _sdpa,
    "sdpa_backward": _sdpa_backward,
}
