"""Convolutions of one, two and three spatial axes, transposed ones, and the gradient of the kernels.

Three primitives are each other's rules: `conv`, `conv_input` (its gradient by the images, the transposed convolution)
and `conv_weight` (by the kernels), so derivatives of every order are convolutions again. How they are computed is the
backend's business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..backend import WrappedArray, backend_of, is_array
from ..backend.conv import Geometry
from ..casting import CASTING, cast
from ..primitive import Needs, Primitive, Shape, public
from ..tensor import apply
from .arguments import added, backend_for_all, operand

Size = int | Sequence[int]
Padding = int | str | Sequence[int] | Sequence[tuple[int, int]]


def _conv_forward(needs: Needs, x: Any, w: Any, bias: Any = None, *, at: Geometry) -> tuple[Any, tuple[Any, ...]]:
    backend = backend_for_all("conv", x, w, bias)
    y = backend.conv(x, w, at, bias)
    return y, (x.shape, w.shape, conv_way(backend, needs, y, w, at, x))


def conv_way(backend: Any, needs: Needs, patches: Any, w: Any, at: Geometry, x: Any, back: bool = False) -> str:
    """What the backend calls its way of a recorded convolution; `patches` has a pixel for each patch."""
    return backend.conv_way(patches.size // patches.shape[1] * w.size, w, at, x, back) if any(needs) else ""


def conv_rule(
    g: Any, needs: Needs, x: Any, w: Any, x_shape: Shape, w_shape: Shape, way: str, *, at: Geometry
) -> tuple[Any, ...]:
    """The two other convolutions, and the sums of the channels for the bias."""
    gx = apply(CONV_INPUT, (g, w), {"size": x_shape[2:], "at": at}) if needs[0] else None
    gw = apply(CONV_WEIGHT, (x, g), {"kernel": w_shape[2:], "at": at}) if needs[1] else None
    gb = _channel_sum(g) if len(needs) == 3 and needs[2] else None
    return (gx, gw, gb)[: len(needs)]


def _channel_sum(g: Any) -> Any:
    """The bias's cotangent."""
    if is_array(g) and not isinstance(g, WrappedArray):
        return backend_of(g).channel_sum(g)
    return g.sum(axis=(0, *range(2, g.ndim)))


def _conv_jvp(
    given: Any, needs: Needs, x: Any, w: Any, x_shape: Shape, w_shape: Shape, way: str, *, at: Geometry
) -> Any:
    tx, tw, tb = (*given, None)[:3]
    return added(
        None if tx is None else apply(CONV, (tx, w), {"at": at}),
        None if tw is None else apply(CONV, (x, tw), {"at": at}),
        None if tb is None else tb.reshape(-1, *(1,) * (len(x_shape) - 2)),
    )


def _input_forward(needs: Needs, g: Any, w: Any, *, size: Shape, at: Geometry) -> tuple[Any, tuple[Any, ...]]:
    backend = backend_for_all("conv_input", g, w)
    x = backend.conv_input(g, w, size, at)
    return x, (g.shape, w.shape, conv_way(backend, needs, g, w, at, g, back=True))


def _input_rule(
    v: Any, needs: Needs, g: Any, w: Any, g_shape: Shape, w_shape: Shape, way: str, *, size: Shape, at: Geometry
) -> tuple[Any, Any]:
    gg = _conv_of_shape(v, w, g_shape, at) if needs[0] else None
    gw = apply(CONV_WEIGHT, (v, g), {"kernel": w_shape[2:], "at": at}) if needs[1] else None
    return gg, gw


def _weight_forward(needs: Needs, x: Any, g: Any, *, kernel: Shape, at: Geometry) -> tuple[Any, tuple[Any, ...]]:
    return backend_for_all("conv_weight", x, g).conv_weight(x, g, kernel, at), (x.shape, g.shape)


def _weight_rule(
    v: Any, needs: Needs, x: Any, g: Any, x_shape: Shape, g_shape: Shape, *, kernel: Shape, at: Geometry
) -> tuple[Any, Any]:
    gx = apply(CONV_INPUT, (g, v), {"size": x_shape[2:], "at": at}) if needs[0] else None
    return gx, (_conv_of_shape(x, v, g_shape, at) if needs[1] else None)


def _conv_of_shape(x: Any, w: Any, shape: Shape, at: Geometry) -> Any:
    """The convolution without the patches that only `output_padding` made room for."""
    y = apply(CONV, (x, w), {"at": at})
    return y if y.shape == shape else y[tuple(slice(n) for n in shape)]


def conv_flops(shapes: tuple[Shape, ...], out_shape: Shape, **static: Any) -> int:
    """Two for each element of a kernel at each place (the textbook count: those on the border included)."""
    return math.prod(out_shape) * (2 * math.prod(shapes[1][1:]) + (len(shapes) == 3))


def conv_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, **static: Any) -> int:
    """As many for each gradient by images and kernels, and a sum for the bias."""
    product = 2 * math.prod(out_shape) * math.prod(shapes[1][1:])
    return product * (needs[0] + needs[1]) + math.prod(out_shape) * (len(needs) == 3 and needs[2])


def _input_flops(shapes: tuple[Shape, ...], out_shape: Shape, **static: Any) -> int:
    return 2 * math.prod(shapes[0]) * math.prod(shapes[1][1:])


def _weight_flops(shapes: tuple[Shape, ...], out_shape: Shape, **static: Any) -> int:
    return 2 * math.prod(shapes[1]) * math.prod(out_shape[1:])


def describe_conv(kept: tuple[Any, ...], *, at: Geometry, **static: Any) -> str:
    """Kernel and steps in PyTorch's words, what is as usual left out, and what the backend calls its way."""
    w_shape, way = kept[-2:]
    parts = ["kernel " + "x".join(map(str, w_shape[2:]))]
    if any(s != 1 for s in at.stride):
        parts.append(f"stride {'x'.join(map(str, at.stride))}")
    if any(low or high for low, high in at.padding):
        parts.append("padding " + "x".join(str(a) if a == b else f"{a}+{b}" for a, b in at.padding))
    if any(d != 1 for d in at.dilation):
        parts.append(f"dilation {'x'.join(map(str, at.dilation))}")
    if at.groups > 1:
        parts.append(f"{at.groups} groups")
    return ", ".join([*parts, f"by {way}"] if way else parts)


CONV = Primitive(
    "conv",
    _conv_forward,
    conv_rule,
    keeps=((1,), (0,), ()),
    flops=conv_flops,
    vjp_flops=conv_vjp_flops,
    jvp=_conv_jvp,
    describe=describe_conv,
)
CONV_INPUT = Primitive(
    "conv_input",
    _input_forward,
    _input_rule,
    keeps=((1,), (0,)),
    flops=_input_flops,
    bilinear=True,
    describe=describe_conv,
)
CONV_WEIGHT = Primitive(
    "conv_weight", _weight_forward, _weight_rule, keeps=((1,), (0,)), flops=_weight_flops, bilinear=True
)


def sizes(name: str, what: str, value: Size, axes: int, least: int) -> tuple[int, ...]:
    """One integer for each spatial axis."""
    values = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(values) != axes or min(values) < least:
        raise ValueError(f"[{name}] {what} = {value}; expected {axes} integers from {least} on, or one for all axes")
    return values


def convolution_pads(
    name: str, padding: Padding, kernel: Shape, stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """The rows before and after each spatial axis that a convolution's `padding` stands for."""
    axes = len(kernel)
    if padding == "valid":
        return ((0, 0),) * axes
    if padding == "same":
        if any(s != 1 for s in stride):
            raise ValueError(f"[{name}] padding = 'same' with stride = {stride}; expected a stride of 1")
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((t // 2, t - t // 2) for t in totals)
    values: tuple[Any, ...] = (padding,) * axes if isinstance(padding, int) else tuple(padding)
    pairs = tuple((v, v) if isinstance(v, int) else tuple(v) for v in values)
    if isinstance(padding, str) or len(pairs) != axes or any(len(p) != 2 or min(p) < 0 for p in pairs):
        raise ValueError(
            f"[{name}] padding = {padding!r}; expected 'same', 'valid', an integer of at least 0, one for each of "
            f"{axes} axes, or (before, after) for each"
        )
    return pairs


def _checked(name: str, axes: int, x: Any, w: Any, bias: Any, groups: int, transposed: bool) -> None:
    """Refuse what does not fit, with the shapes."""
    shown = f"input has shape {tuple(x.shape)}, weight {tuple(w.shape)}, groups = {groups}"
    if w.ndim != axes + 2 or x.ndim not in (axes + 1, axes + 2) or 0 in w.shape:
        form = "(in, out / groups" if transposed else "(out, in / groups"
        raise ValueError(
            f"[{name}] {shown}; expected (n, in, {', '.join(['size'] * axes)}) and {form}, "
            f"{', '.join(['kernel'] * axes)})"
        )
    if groups < 1 or w.shape[0] % groups:
        raise ValueError(f"[{name}] {shown}; expected groups that divide the {w.shape[0]} of the weight's first axis")
    channels = x.shape[-axes - 1]
    wanted = w.shape[0] if transposed else w.shape[1] * groups
    if channels != wanted:
        raise ValueError(f"[{name}] {shown}: {channels} input channels; expected {wanted}")
    out = w.shape[1] * groups if transposed else w.shape[0]
    if bias is not None and tuple(bias.shape) != (out,):
        raise ValueError(f"[{name}] bias has shape {tuple(bias.shape)}, {shown}; expected ({out},)")
    if x.dtype != w.dtype or (bias is not None and bias.dtype != w.dtype):
        raise TypeError(
            f"[{name}] input is {x.dtype}, weight {w.dtype}{'' if bias is None else f', bias {bias.dtype}'}; convert "
            f"one: x.astype({w.dtype.name!r}), or the layer with .to({x.dtype.name!r})"
        )


def convolve(
    axes: int,
    x: Any,
    w: Any,
    bias: Any,
    stride: Size,
    padding: Padding,
    dilation: Size,
    groups: int,
    primitive: Primitive = CONV,
) -> Any:
    """What the public functions do: check the arguments, then apply CONV or another primitive with its arguments."""
    name = f"conv{axes}d"
    x, w = operand(x), operand(w)
    if CASTING:
        x, w, bias = cast("conv", (x, w, bias))
    _checked(name, axes, x, w, bias, groups, transposed=False)
    kernel = tuple(w.shape[2:])
    steps, spread = sizes(name, "stride", stride, axes, 1), sizes(name, "dilation", dilation, axes, 1)
    at = Geometry(steps, convolution_pads(name, padding, kernel, steps, spread), spread, groups)
    if x.ndim == axes + 1:
        return convolve(axes, x[None], w, bias, stride, padding, dilation, groups, primitive)[0]
    size = at.output(tuple(x.shape[2:]), kernel)
    if min(size) < 1:
        raise ValueError(
            f"[{name}] input has shape {tuple(x.shape)}, padding = {at.padding}, dilation = {spread}: the kernel "
            f"{kernel} is larger than the padded input"
        )
    return apply(primitive, (x, w) if bias is None else (x, w, bias), {"at": at})


def _transpose(
    axes: int, x: Any, w: Any, bias: Any, stride: Size, padding: Padding, extra: Size, groups: int, dilation: Size
) -> Any:
    name = f"conv_transpose{axes}d"
    x, w = operand(x), operand(w)
    if CASTING:
        x, w, bias = cast("conv", (x, w, bias))
    _checked(name, axes, x, w, bias, groups, transposed=True)
    kernel = tuple(w.shape[2:])
    steps, spread = sizes(name, "stride", stride, axes, 1), sizes(name, "dilation", dilation, axes, 1)
    more = sizes(name, "output_padding", extra, axes, 0)
    if any(m >= max(s, d) for m, s, d in zip(more, steps, spread, strict=True)):
        raise ValueError(
            f"[{name}] output_padding = {more}, stride = {steps}, dilation = {spread}; expected less than the larger "
            "of the two"
        )
    at = Geometry(steps, convolution_pads(name, padding, kernel, (1,) * axes, spread), spread, groups)
    if x.ndim == axes + 1:
        return _transpose(axes, x[None], w, bias, stride, padding, extra, groups, dilation)[0]
    size = tuple(
        (n - 1) * s - lo - hi + d * (k - 1) + m + 1
        for n, s, (lo, hi), d, k, m in zip(x.shape[2:], steps, at.padding, spread, kernel, more, strict=True)
    )
    if min(size) < 1:
        raise ValueError(
            f"[{name}] input has shape {tuple(x.shape)}, padding = {at.padding}: nothing is left of the output, "
            f"{size}; pad less"
        )
    y = apply(CONV_INPUT, (x, w), {"size": size, "at": at})
    return y if bias is None else y + bias.reshape(-1, *(1,) * axes)


@public
def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """The cross-correlation of sequences with kernels; see `conv2d`, with one spatial axis."""
    return convolve(1, input, weight, bias, stride, padding, dilation, groups)


@public
def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """The cross-correlation of images with kernels, PyTorch's `conv2d`.

    Args:
        input: (n, in, height, width), or (in, height, width) for one image. Any memory order will do: with channels
            last (`gg.asarray(images.transpose(0, 3, 1, 2))`) nothing is rearranged.
        weight: (out, in / groups, kernel height, kernel width), of the input's dtype.
        bias: (out,), or None.
        stride: step between patches, one number or one for each axis.
        padding: zeros around the input: a number, one for each axis, (before, after) for each axis, "valid" for none,
            or "same" for an output of the input's size (with stride 1; where the total is odd, one more after).
        dilation: step between the elements of a patch.
        groups: parts that input and output channels are divided into; with `groups` = in the convolution is depthwise.

    Returns:
        (n, out, height', width') with height' = (height + before + after - dilation (kernel - 1) - 1) // stride + 1,
        channels last in memory. Half precision is added up in float32.

    Raises:
        ValueError: channels, groups or bias do not fit, or the kernel is larger than the padded input.
        TypeError: dtypes differ.
    """
    return convolve(2, input, weight, bias, stride, padding, dilation, groups)


@public
def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """The cross-correlation of volumes with kernels; see `conv2d`, with three spatial axes."""
    return convolve(3, input, weight, bias, stride, padding, dilation, groups)


@public
def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Any:
    """The transposed convolution of sequences; see `conv_transpose2d`, with one spatial axis."""
    return _transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@public
def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Any:
    """The transposed convolution: the gradient of a `conv2d` by its images, as an operation of its own.

    Args:
        input: (n, in, height, width), or (in, height, width).
        weight: (in, out / groups, kernel height, kernel width): that of the convolution it is the transpose of.
        bias: (out,), or None.
        stride: of that convolution.
        padding: of that convolution; what it takes away from the output.
        output_padding: rows and columns added at the end, since several sizes give one of the input's; less than the
            stride or the dilation.
        groups: of that convolution.
        dilation: of that convolution.

    Returns:
        (n, out, height', width') with height' = (height - 1) stride - before - after + dilation (kernel - 1) +
        output_padding + 1.

    Raises:
        ValueError: channels, groups or bias do not fit, or nothing is left of the output.
        TypeError: dtypes differ.
    """
    return _transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@public
def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Any:
    """The transposed convolution of volumes; see `conv_transpose2d`, with three spatial axes."""
    return _transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)
