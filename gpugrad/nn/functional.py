"""What the layers compute, as functions under PyTorch's names; the losses are in `losses` and shown here too.

Most are operations of the `ops` floor, which take bare arrays as well as tensors.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..backend.placing import placed
from ..ops.arguments import axis_index, bare, constant, module, operand
from ..ops.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from ..ops.conv_relu import conv_relu
from ..ops.defining import elementwise
from ..ops.elementwise import (
    celu,
    elu,
    gelu,
    hardsigmoid,
    hardswish,
    hardtanh,
    identity,
    leaky_relu,
    log,
    log_sigmoid,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    sin,
    softplus,
    softsign,
    step,
    tanh,
    where,
)
from ..ops.elementwise import prelu as _prelu
from ..ops.entropy import cross_entropy
from ..ops.feed_forward import feed_forward
from ..ops.joining import split
from ..ops.linalg import linear
from ..ops.norms import batch_norm, batch_norm_relu, group_norm, instance_norm, local_response_norm
from ..ops.pooling import POOLING
from ..ops.reduce import argmax
from ..ops.rows import dropout, layer_norm, log_softmax, logsumexp, maxout, rms_norm, softmax
from ..ops.sampling import exponential
from ..ops.shape import moveaxis
from .losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    hinge_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    perceptron_loss,
    smooth_l1_loss,
)
from .torch_calls import adopt

if TYPE_CHECKING:
    from ..ops.attention import scaled_dot_product_attention
    from ..ops.distances import pdist
    from ..ops.embedding import embedding
    from ..ops.patches import fold, unfold
    from ..ops.resample import interpolate, pixel_shuffle, pixel_unshuffle
    from .bilinear import bilinear
    from .ctc import ctc_loss
    from .distances import cosine_similarity, normalize, pairwise_distance
    from .embedding_bag import embedding_bag
    from .grids import affine_grid, grid_sample
    from .likelihoods import gaussian_nll_loss, poisson_nll_loss
    from .margins import (
        cosine_embedding_loss,
        hinge_embedding_loss,
        margin_ranking_loss,
        multi_margin_loss,
        multilabel_margin_loss,
        multilabel_soft_margin_loss,
        soft_margin_loss,
        triplet_margin_loss,
        triplet_margin_with_distance_loss,
    )
    from .padding import pad
    from .shrinking import hardshrink, rrelu, softshrink, tanhshrink
    from .space import channel_shuffle

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "affine_grid", "alpha_dropout", "avg_pool1d", "avg_pool2d", "avg_pool3d", "batch_norm",
    "batch_norm_relu", "bilinear", "binary_cross_entropy", "binary_cross_entropy_with_logits", "celu",
    "channel_shuffle", "conv1d", "conv2d", "conv3d", "conv_relu", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "cosine_embedding_loss", "cosine_similarity", "cross_entropy", "ctc_loss", "dropout",
    "dropout1d", "dropout2d", "dropout3d", "elu", "embedding", "embedding_bag", "feature_alpha_dropout", "feed_forward",
    "flatten", "fold", "gaussian_nll_loss", "gelu", "glu", "grid_sample", "group_norm", "gumbel_softmax", "hardshrink",
    "hardsigmoid", "hardswish", "hardtanh", "hinge_embedding_loss", "hinge_loss", "huber_loss", "identity",
    "instance_norm", "interpolate", "kl_div", "l1_loss", "layer_norm", "leaky_relu", "linear", "local_response_norm",
    "log_sigmoid", "log_softmax", "logsigmoid", "logsumexp", "lp_pool1d", "lp_pool2d", "lp_pool3d",
    "margin_ranking_loss", "max_pool1d", "max_pool2d", "max_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d",
    "maxout", "mish", "mse_loss", "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss",
    "nll_loss", "normalize", "one_hot", "pad", "pairwise_distance", "pdist", "perceptron_loss", "pixel_shuffle",
    "pixel_unshuffle", "poisson_nll_loss", "prelu", "relu", "relu6", "rms_norm", "rrelu",
    "scaled_dot_product_attention", "selu", "sigmoid", "silu", "sin", "smooth_l1_loss", "soft_margin_loss", "softmax",
    "softmin", "softplus", "softshrink", "softsign", "step", "tanh", "tanhshrink", "threshold", "triplet_margin_loss",
    "triplet_margin_with_distance_loss", "unflatten", "unfold",
]  # fmt: skip

# Loaded when first asked for: most programs use few of them.
_LATER = {
    "...ops.attention": ("scaled_dot_product_attention",),
    "...ops.embedding": ("embedding",),
    "...ops.distances": ("pdist",),
    "...ops.patches": ("fold", "unfold"),
    "...ops.resample": ("interpolate", "pixel_shuffle", "pixel_unshuffle"),
    "..bilinear": ("bilinear",),
    "..ctc": ("ctc_loss",),
    "..embedding_bag": ("embedding_bag",),
    "..grids": ("affine_grid", "grid_sample"),
    "..likelihoods": ("gaussian_nll_loss", "poisson_nll_loss"),
    "..margins": (
        "cosine_embedding_loss", "hinge_embedding_loss", "margin_ranking_loss", "multi_margin_loss",
        "multilabel_margin_loss", "multilabel_soft_margin_loss", "soft_margin_loss", "triplet_margin_loss",
        "triplet_margin_with_distance_loss",
    ),
    "..distances": ("cosine_similarity", "normalize", "pairwise_distance"),
    "..padding": ("pad",),
    "..space": ("channel_shuffle",),
    "..shrinking": ("hardshrink", "rrelu", "softshrink", "tanhshrink"),
}


def __getattr__(name: str) -> Any:
    for room, names in _LATER.items():
        if name in names:
            return getattr(importlib.import_module(room, __name__), name)
    raise AttributeError(f"module 'gpugrad.nn.functional' has no attribute {name!r}")


logsigmoid = log_sigmoid
adaptive_avg_pool1d = POOLING["adaptive_avg_pool1d"]
adaptive_avg_pool2d = POOLING["adaptive_avg_pool2d"]
adaptive_avg_pool3d = POOLING["adaptive_avg_pool3d"]
adaptive_max_pool1d = POOLING["adaptive_max_pool1d"]
adaptive_max_pool2d = POOLING["adaptive_max_pool2d"]
adaptive_max_pool3d = POOLING["adaptive_max_pool3d"]
avg_pool1d = POOLING["avg_pool1d"]
avg_pool2d = POOLING["avg_pool2d"]
avg_pool3d = POOLING["avg_pool3d"]
lp_pool1d = POOLING["lp_pool1d"]
lp_pool2d = POOLING["lp_pool2d"]
lp_pool3d = POOLING["lp_pool3d"]
max_pool1d = POOLING["max_pool1d"]
max_pool2d = POOLING["max_pool2d"]
max_pool3d = POOLING["max_pool3d"]
max_unpool1d = POOLING["max_unpool1d"]
max_unpool2d = POOLING["max_unpool2d"]
max_unpool3d = POOLING["max_unpool3d"]


@elementwise
def threshold(x: Any, threshold: Any, value: Any) -> Any:
    """`x` where it is over `threshold`, else `value`."""
    return where(x > threshold, x, value)


def prelu(x: Any, weight: Any) -> Any:
    """`x` where it is positive, else `weight * x`.

    Args:
        x: (batch, channels, *axes).
        weight: (1,), or (channels,) for a slope for each channel.

    Raises:
        ValueError: the number of slopes is neither 1 nor the number of channels.
    """
    x, weight = operand(x), operand(weight)
    if weight.ndim == 1 and weight.shape[0] != 1:
        channels = x.shape[1] if x.ndim > 1 else 1
        if weight.shape[0] != channels:
            raise ValueError(
                f"[prelu] weight has {weight.shape[0]} slopes, x has {channels} channels (x: {tuple(x.shape)}); "
                "expected one slope, or one for each channel"
            )
        if x.ndim > 2:
            weight = weight.reshape((-1,) + (1,) * (x.ndim - 2))
    return _prelu(x, weight)


def glu(x: Any, dim: int = -1) -> Any:
    """The first half along an axis times the sigmoid of the second (Y. N. Dauphin et al. 2017).

    Raises:
        ValueError: the axis has an odd length.
    """
    x = operand(x)
    axis = axis_index("glu", dim, x.shape)
    if x.shape[axis] % 2:
        raise ValueError(f"[glu] axis {axis} of {tuple(x.shape)} has no halves; expected an even length")
    first, second = split(x, 2, axis)
    return first * sigmoid(second)


def softmin(x: Any, dim: int = -1) -> Any:
    """`softmax(-x)` along an axis, the last one where it is not given (PyTorch's choice is another: see `softmax`)."""
    return softmax(-operand(x), dim)


@placed
def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Any:
    """A sample of categories that can be differentiated (Jang et al. 2017): `softmax((logits + noise) / tau)`.

    Args:
        logits: logarithms of probabilities, up to a constant along `dim`.
        tau: how soft; towards 0 the rows become one-hot.
        hard: one-hot rows forward, with the gradient of the soft ones.
        eps: without effect, as in PyTorch.
        dim: the axis of the categories.
    """
    logits = operand(logits)
    soft = softmax((logits - log(exponential(logits))) / tau, dim)
    if not hard:
        return soft
    axis = axis_index("gumbel_softmax", dim, soft.shape)
    chosen = moveaxis(one_hot(argmax(bare(soft), axis), soft.shape[axis]), -1, axis)
    return constant(soft, chosen.astype(soft.dtype) - bare(soft)) + soft


def _dropout_of_channels(axes: int) -> Any:
    def drop(x: Any, p: float = 0.5, training: bool = True) -> Any:
        x = operand(x)
        if x.ndim not in (axes + 1, axes + 2):
            expected = f"(channels, *size) or (n, channels, *size) with {axes} axes of size"
            raise ValueError(f"[dropout{axes}d] input has shape {tuple(x.shape)}; expected {expected}")
        if not training:
            return dropout(x, p, training)
        lead = x.shape[: x.ndim - axes]
        return x * dropout(constant(x, module(x).ones((*lead, *(1,) * axes), x.dtype)), p)

    drop.__name__ = drop.__qualname__ = f"dropout{axes}d"
    drop.__doc__ = f"""Whole channels 0 with probability `p`, the others divided by `1 - p` (J. Tompson et al. 2015).

    Args:
        x: (n, channels, *size) or (channels, *size), {axes} axes of size.
        p: probability of a zero, in [0, 1].
        training: whether to do anything.

    Raises:
        ValueError: another number of axes, or `p` is not in [0, 1].
    """
    return drop


dropout1d, dropout2d, dropout3d = (_dropout_of_channels(axes) for axes in (1, 2, 3))


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Elements at the lower end of `selu` with probability `p`, all scaled to mean 0 and variance 1 again.

    Args:
        input: any shape.
        p: the probability, in [0, 1].
        training: whether to do anything.
        inplace: without effect: the result is a new tensor.

    Raises:
        ValueError: `p` is not in [0, 1].
    """
    x = operand(input)
    return _alpha_dropout(x, p, training, tuple(x.shape))


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """`alpha_dropout` of whole channels: (n, channels, *size)."""
    x = operand(input)
    return _alpha_dropout(x, p, training, (*x.shape[:2], *(1,) * (x.ndim - 2)))


@placed
def _alpha_dropout(x: Any, p: float, training: bool, shape: tuple[int, ...]) -> Any:
    kept = bare(dropout(constant(x, module(x).ones(shape, x.dtype)), p, training)) > 0
    if not training or p in (0, 1):
        return x * kept if training else x
    low = -1.7580993408473766  # what selu goes to: -scale * alpha (Klambauer et al. 2017)
    factor = ((low * low * p + 1) * (1 - p)) ** -0.5
    return where(constant(x, kept), x, low) * factor - factor * low * p


def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Join the axes from `start_dim` to `end_dim`, both included, into one.

    Raises:
        ValueError: the axes are in the wrong order.
        numpy.exceptions.AxisError: there is no such axis.
    """
    x = operand(x)
    if not x.ndim:
        return x.reshape(1)
    first, last = axis_index("flatten", start_dim, x.shape), axis_index("flatten", end_dim, x.shape)
    if first > last:
        raise ValueError(f"[flatten] start_dim = {start_dim} lies behind end_dim = {end_dim} (x: {tuple(x.shape)})")
    return x.reshape((*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))


def unflatten(x: Any, dim: int, sizes: Sequence[int]) -> Any:
    """Split axis `dim` into axes of lengths `sizes`, one of which may be -1.

    Raises:
        ValueError: the lengths do not multiply to the axis's.
    """
    x = operand(x)
    axis = axis_index("unflatten", dim, x.shape)
    known = math.prod(n for n in sizes if n != -1)
    full = tuple(x.shape[axis] // known if n == -1 and known else n for n in sizes)
    if math.prod(full) != x.shape[axis] or list(sizes).count(-1) > 1:
        raise ValueError(f"[unflatten] axis {dim} of {tuple(x.shape)} cannot be split into {tuple(sizes)}")
    return x.reshape((*x.shape[:axis], *full, *x.shape[axis + 1 :]))


def one_hot(labels: Any, num_classes: int = -1) -> Any:
    """Rows that are 1 at the label and 0 elsewhere.

    Args:
        labels: integers from 0, any shape.
        num_classes: length of a row; the largest label and one more if -1 (waits for the device).

    Returns:
        (*labels.shape, num_classes), of the labels' dtype; no gradient.
    """
    labels = operand(labels)
    if num_classes == -1:
        num_classes = int(labels.max()) + 1
    values = bare(labels)
    return constant(labels, (values[..., None] == module(labels).arange(num_classes)).astype(values.dtype))


adopt(globals())
