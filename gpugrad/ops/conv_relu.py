"""A convolution whose negative results are 0: bias and relu are part of the convolution where the backend has such.

Only the result is kept: it says by itself where relu's derivative is 1.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend.conv import Geometry
from ..primitive import OUT, Needs, Primitive, Shape, public
from .arguments import backend_for_all, operand
from .conv import Padding, Size, conv_flops, conv_rule, conv_vjp_flops, conv_way, convolve, describe_conv
from .defining import make
from .elementwise import relu, where

_positive = make(lambda g, y: where(y > 0.0, g, 0.0), "conv_relu_back")


def _forward(needs: Needs, x: Any, w: Any, bias: Any = None, *, at: Geometry) -> tuple[Any, tuple[Any, ...]]:
    backend = backend_for_all("conv_relu", x, w, bias)
    y = backend.conv_relu(x, w, at, bias)
    if y is None:
        y = backend.kernel(relu.formula)(backend.conv(x, w, at, bias))
    return y, (x.shape, w.shape, conv_way(backend, needs, y, w, at, x))


def _rule(
    g: Any, needs: Needs, x: Any, w: Any, y: Any, x_shape: Shape, w_shape: Shape, way: str, *, at: Geometry
) -> tuple[Any, ...]:
    return conv_rule(_positive(g, y), needs, x, w, x_shape, w_shape, way, at=at)


def _flops(shapes: tuple[Shape, ...], out_shape: Shape, **static: Any) -> int:
    """The convolution's, and one for each result."""
    return conv_flops(shapes, out_shape) + math.prod(out_shape)


def _vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, **static: Any) -> int:
    """The convolution's; a comparison and a choice for each result."""
    return conv_vjp_flops(shapes, out_shape, needs) + 2 * math.prod(out_shape)


CONV_RELU = Primitive(
    "conv_relu",
    _forward,
    _rule,
    keeps=((1, OUT), (0, OUT), (OUT,)),
    flops=_flops,
    vjp_flops=_vjp_flops,
    describe=describe_conv,
)


@public
def conv_relu(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """`relu(conv(input, weight, bias, ...))` in one go, for as many spatial axes as the weight has.

    On a GPU bias and relu are part of cuDNN's convolution, or of the matrix product of our own. `nn.Sequential` calls
    this there for a convolution and the `ReLU` behind it.

    Args:
        input: (n, in, *size), or (in, *size) for one image.
        weight: (out, in / groups, *kernel) with one to three spatial axes.
        bias: (out,), or None.
        stride: as in `conv2d`, like the others.
        padding: zeros around the input.
        dilation: step between the elements of a patch.
        groups: parts of the channels.

    Returns:
        (n, out, *size'), channels last in memory. The gradient at 0 is 0.

    Raises:
        ValueError: channels, groups or bias do not fit, or the kernel is larger than the padded input.
        TypeError: dtypes differ.
    """
    weight = operand(weight)
    axes = max(1, min(3, weight.ndim - 2))
    return convolve(axes, input, weight, bias, stride, padding, dilation, groups, CONV_RELU)
