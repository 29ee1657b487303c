"""What is asked of cuDNN, as graphs of its front end: convolutions, batch normalisation, attention.

A builder takes a new graph and describes tensors by shape and memory order; who keeps plans and runs them is `cudnn`.
Dimensions are (n, channels, *size) whatever the order in memory, which the strides tell. A run finds tensors by their
numbers, which are in the order of the arrays of a call.
"""

from __future__ import annotations

import math
from typing import Any, Final

from .conv import Geometry

Layout = tuple[tuple[int, ...], tuple[int, ...]]  # shape and strides, in elements, of (batch, heads, rows, columns)

TYPES: Final = {"float32": "FLOAT", "float16": "HALF", "bfloat16": "BFLOAT16"}


def lifted(shape: tuple[int, ...]) -> list[int]:
    """At least two spatial axes: cuDNN has no images with one."""
    return [*shape[:2], *(1,) * (4 - len(shape)), *shape[2:]]


def channels_last(dims: list[int]) -> list[int]:
    """The strides of dense images whose memory has channels last."""
    channels, *size = dims[1:]
    after = [channels * math.prod(size[i + 1 :]) for i in range(len(size))]
    return [channels * math.prod(size), 1, *after]


def packed(dims: list[int]) -> list[int]:
    """The strides of C order."""
    return [math.prod(dims[i + 1 :]) for i in range(len(dims))]


class Builder:
    """A graph while it is described.

    Args:
        dnn: the front end.
        graph: an empty graph of it.
    """

    def __init__(self, dnn: Any, graph: Any) -> None:
        self.dnn, self.graph = dnn, graph
        self.count = 0

    def _next(self) -> int:
        self.count += 1
        return self.count

    def images(self, shape: tuple[int, ...], dtype: str | None = None) -> Any:
        """An input: dense images or kernels, channels last."""
        dims = lifted(shape)
        return self.given(dims, channels_last(dims), dtype)

    def channels(self, count: int, axes: int, dtype: str | None = None) -> Any:
        """An input: a number for each channel."""
        dims = lifted((1, count, *(1,) * axes))
        return self.given(dims, channels_last(dims), dtype)

    def given(self, dims: list[int], strides: list[int], dtype: str | None = None) -> Any:
        """An input."""
        number = self._next()
        extra = {} if dtype is None else {"data_type": getattr(self.dnn.data_type, dtype)}
        return self.graph.tensor(dim=dims, stride=strides, uid=number, name=f"tensor{number}", **extra)

    def number(self) -> Any:
        """An input: a float32 that is passed by value."""
        number = self._next()
        one, kind, name = [1, 1, 1, 1], self.dnn.data_type.FLOAT, f"tensor{number}"
        return self.graph.tensor(dim=one, stride=one, data_type=kind, is_pass_by_value=True, uid=number, name=name)

    def out(self, tensor: Any, dims: list[int], strides: list[int], dtype: str | None = None) -> None:
        """Make `tensor` a result that lies so: what is inferred is C order."""
        tensor.set_output(True).set_dim(dims).set_stride(strides).set_uid(self._next())
        if dtype is not None:
            tensor.set_data_type(getattr(self.dnn.data_type, dtype))

    def out_images(self, tensor: Any, shape: tuple[int, ...]) -> None:
        """A result: dense images or kernels, channels last."""
        dims = lifted(shape)
        self.out(tensor, dims, channels_last(dims))

    def out_channels(self, tensor: Any, count: int, axes: int) -> None:
        """A result: a float32 for each channel."""
        dims = lifted((1, count, *(1,) * axes))
        self.out(tensor, dims, channels_last(dims), "FLOAT")


def _where(at: Geometry) -> dict[str, list[int]]:
    lift = 2 - len(at.stride) if len(at.stride) < 2 else 0
    return {
        "pre_padding": [0] * lift + [low for low, _ in at.padding],
        "post_padding": [0] * lift + [high for _, high in at.padding],
        "stride": [1] * lift + list(at.stride),
        "dilation": [1] * lift + list(at.dilation),
    }


def conv(
    b: Builder, x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], at: Geometry, bias: bool, relu: bool
) -> None:
    """x, w, bias if there is one -> y."""
    image, weight = b.images(x), b.images(w)
    found = b.graph.conv_fprop(image=image, weight=weight, **_where(at))
    if bias:
        found = b.graph.bias(input=found, bias=b.channels(w[0], len(at.stride)))
    if relu:
        found = b.graph.relu(input=found)
    b.out_images(found, y)


def conv_input(b: Builder, g: tuple[int, ...], w: tuple[int, ...], x: tuple[int, ...], at: Geometry) -> None:
    """g, w -> the images' gradient."""
    loss, weight = b.images(g), b.images(w)
    b.out_images(b.graph.conv_dgrad(loss=loss, filter=weight, **_where(at)), x)


def conv_weight(b: Builder, x: tuple[int, ...], g: tuple[int, ...], w: tuple[int, ...], at: Geometry) -> None:
    """x, g -> the kernels' gradient."""
    image, loss = b.images(x), b.images(g)
    b.out_images(b.graph.conv_wgrad(image=image, loss=loss, **_where(at)), w)


def _heads(b: Builder, layout: Layout) -> Any:
    return b.given(list(layout[0]), list(layout[1]))


def attention(b: Builder, operands: list[Layout], out: Layout, scale: float, causal: bool) -> None:
    """q, k, v -> the attention, and for its gradient the logarithm of each row's sum of exponentials."""
    queries, keys, values = (_heads(b, each) for each in operands)
    found, sums = b.graph.sdpa(
        q=queries, k=keys, v=values, attn_scale=scale, use_causal_mask=causal, generate_stats=True
    )
    b.out(found, list(out[0]), list(out[1]))
    dims = [*out[0][:3], 1]
    b.out(sums, dims, packed(dims), "FLOAT")


def attention_vjp(b: Builder, operands: list[Layout], results: list[Layout], scale: float, causal: bool) -> None:
    """q, k, v, the attention, its cotangent, the sums -> the three gradients, added up in one order."""
    names = ("q", "k", "v", "o", "dO")
    given = {name: _heads(b, each) for name, each in zip(names, operands, strict=True)}
    dims = [*operands[3][0][:3], 1]
    given["stats"] = b.given(dims, packed(dims), "FLOAT")
    found = b.graph.sdpa_backward(
        **given, attn_scale=scale, use_causal_mask=causal, use_deterministic_algorithm=True
    )
    for each, (shape, strides) in zip(found, results, strict=True):
        b.out(each, list(shape), list(strides))


def batch_norm(b: Builder, x: tuple[int, ...]) -> None:
    """x, weight, bias, running mean and variance, eps, momentum -> y, mean, 1 / deviation, the running ones.

    All but x and y are in float32, eps and momentum on the host.
    """
    count, axes = x[1], len(x) - 2
    image = b.images(x)
    scale, shift, mean, variance = (b.channels(count, axes, "FLOAT") for _ in range(4))
    found = b.graph.batchnorm(
        input=image, scale=scale, bias=shift, in_running_mean=mean, in_running_var=variance, epsilon=b.number(),
        momentum=b.number(),
    )  # fmt: skip
    b.out_images(found[0], x)
    for each in found[1:]:
        b.out_channels(each, count, axes)


def batch_norm_vjp(b: Builder, x: tuple[int, ...]) -> None:
    """g, x, weight, mean, 1 / deviation -> the gradients of x, weight and bias; those of channels in float32."""
    count, axes = x[1], len(x) - 2
    given, image = b.images(x), b.images(x)
    scale, mean, rate = (b.channels(count, axes, "FLOAT") for _ in range(3))
    found = b.graph.batchnorm_backward(grad=given, input=image, scale=scale, mean=mean, inv_variance=rate)
    b.out_images(found[0], x)
    for each in found[1:]:
        b.out_channels(each, count, axes)
