"""Rows of the operations along the last axis: softmax and its kin, norms, maxout, dropout, and cross entropy."""

from typing import Any

import numpy as np

from gpugrad.backend import backend_of
from gpugrad.nn import functional as F
from gpugrad.ops.rows import DROPOUT
from gpugrad.tensor import Tensor, apply
from tests.ops.table import Row, apart, normal, op, uniform

LABELS = np.array([1, 0, 3, 2, 1])
WITH_IGNORED = np.array([1, -100, 3, 2, -100])
WEIGHT = np.array([0.5, 2.0, 1.0, 1.5])


def beside(x: Any, values: Any) -> Any:
    """`values` (labels, weights) on the device of `x`, where the operation wants them."""
    return backend_of(x.data if isinstance(x, Tensor) else x).from_host(np.asarray(values))


def softmax(x: Any, axis: int = -1) -> Any:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def layer_norm(x: Any, w: Any = 1.0, b: Any = 0.0) -> Any:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * w + b


def rms_norm(x: Any, w: Any = 1.0) -> Any:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-3) * w


def losses(x: Any, labels: Any, weight: Any = None, smoothing: float = 0.0) -> Any:
    """Cross entropy of each row, from its definition."""
    weight = np.ones(x.shape[1]) if weight is None else weight
    logp = np.log(softmax(x))
    used = np.where(labels < 0, 0, labels)
    own = -(1 - smoothing) * weight[used] * logp[np.arange(len(x)), used]
    return np.where(labels < 0, 0, own - smoothing / x.shape[1] * (weight * logp).sum(1))


def masked(x: Any) -> Any:
    """Dropout with a fixed place in the random stream, so that every call has the same mask."""
    return apply(DROPOUT, (x,), {"p": 0.4, "seed": 7, "offset": 12})


def binary(p: Any, t: Any) -> Any:
    return -(t * np.log(p) + (1 - t) * np.log(1 - p))


ROWS = [
    Row(
        "softmax",
        op.softmax,
        (normal(3, 4),),
        numpy=softmax,
        torch=lambda torch, x: torch.softmax(x, -1),
    ),
    Row(
        "softmax axis=0",
        lambda x: op.softmax(x, axis=0),
        (normal(3, 4),),
        numpy=lambda x: softmax(x, 0),
        torch=lambda torch, x: torch.softmax(x, 0),
    ),
    Row(
        "log_softmax",
        op.log_softmax,
        (normal(3, 4),),
        numpy=lambda x: np.log(softmax(x)),
        torch=lambda torch, x: torch.log_softmax(x, -1),
    ),
    Row(
        "log_softmax dim=1 of 3",
        lambda x: op.log_softmax(x, dim=1),
        (normal(2, 3, 2),),
        numpy=lambda x: np.log(softmax(x, 1)),
        torch=lambda torch, x: torch.log_softmax(x, 1),
    ),
    Row(
        "logsumexp axis=-1",
        lambda x: op.logsumexp(x, axis=-1),
        (normal(3, 4),),
        numpy=lambda x: np.log(np.exp(x).sum(-1)),
        torch=lambda torch, x: torch.logsumexp(x, -1),
    ),
    Row(
        "logsumexp axes keepdims",
        lambda x: op.logsumexp(x, axis=(0, 2), keepdims=True),
        (normal(2, 3, 2),),
        numpy=lambda x: np.log(np.exp(x).sum((0, 2), keepdims=True)),
        torch=lambda torch, x: torch.logsumexp(x, (0, 2), keepdim=True),
    ),
    Row("logsumexp all", op.logsumexp, (normal(2, 3),), numpy=lambda x: np.log(np.exp(x).sum())),
    Row(
        "layer_norm",
        lambda x: op.layer_norm(x, 4),
        (normal(3, 4),),
        numpy=layer_norm,
        torch=lambda torch, x: torch.nn.functional.layer_norm(x, (4,)),
        tolerance=4,
    ),
    Row(
        "layer_norm affine",
        lambda x, w, b: op.layer_norm(x, (4,), w, b),
        (normal(2, 3, 4), normal(4), normal(4)),
        numpy=layer_norm,
        torch=lambda torch, x, w, b: torch.nn.functional.layer_norm(x, (4,), w, b),
        tolerance=4,
    ),
    Row(
        "layer_norm two axes",
        lambda x, w, b: op.layer_norm(x, (2, 3), w, b),
        (normal(4, 2, 3), normal(2, 3), normal(2, 3)),
        torch=lambda torch, x, w, b: torch.nn.functional.layer_norm(x, (2, 3), w, b),
        tolerance=4,
    ),
    Row("rms_norm", lambda x: op.rms_norm(x, 4, eps=1e-3), (normal(3, 4),), numpy=rms_norm, tolerance=4),
    Row(
        "rms_norm affine",
        lambda x, w: op.rms_norm(x, (4,), w, 1e-3),
        (normal(2, 3, 4), normal(4)),
        numpy=rms_norm,
        torch=lambda torch, x, w: torch.nn.functional.rms_norm(x, (4,), w, 1e-3),
        tolerance=4,
    ),
    Row("maxout", lambda x: op.maxout(x, 3), (apart(2, 6),), numpy=lambda x: x.reshape(2, 2, 3).max(2)),
    Row(
        "maxout axis=0",
        lambda x: op.maxout(x, 2, axis=0),
        (apart(4, 3),),
        numpy=lambda x: x.reshape(2, 2, 3).max(1),
    ),
    Row("dropout", masked, (normal(3, 5),)),
    *[
        Row(
            f"cross_entropy {reduction}",
            lambda x, r=reduction: op.cross_entropy(x, beside(x, LABELS), reduction=r),
            (normal(5, 4),),
            numpy=lambda x, f=fold: f(losses(x, LABELS)),
            torch=lambda torch, x, r=reduction: torch.nn.functional.cross_entropy(
                x, torch.tensor(LABELS, device=x.device), reduction=r
            ),
        )
        for reduction, fold in (("mean", np.mean), ("sum", np.sum), ("none", lambda x: x))
    ],
    Row(
        "cross_entropy weight smoothing ignore",
        lambda x: op.cross_entropy(x, beside(x, WITH_IGNORED), beside(x, WEIGHT), label_smoothing=0.2),
        (normal(5, 4),),
        numpy=lambda x: losses(x, WITH_IGNORED, WEIGHT, 0.2).sum() / WEIGHT[[1, 3, 2]].sum(),
        torch=lambda torch, x: torch.nn.functional.cross_entropy(
            x,
            torch.tensor(WITH_IGNORED, device=x.device),
            torch.tensor(WEIGHT, dtype=x.dtype, device=x.device),
            label_smoothing=0.2,
        ),
    ),
    Row(
        "cross_entropy of images",
        lambda x: op.cross_entropy(x, beside(x, [[1, 0], [3, 2]]), reduction="none"),
        (normal(2, 4, 2),),
        torch=lambda torch, x: torch.nn.functional.cross_entropy(
            x, torch.tensor([[1, 0], [3, 2]], device=x.device), reduction="none"
        ),
    ),
    Row(
        "cross_entropy probabilities",
        lambda x, t: op.cross_entropy(x, t, label_smoothing=0.1),
        (normal(3, 4), uniform(0.1, 1, 3, 4)),
        numpy=lambda x, t: -((0.9 * t + 0.025) * np.log(softmax(x))).sum(1).mean(),
        torch=lambda torch, x, t: torch.nn.functional.cross_entropy(x, t, label_smoothing=0.1),
        covers=(),
    ),
    Row(
        "binary_cross_entropy",
        F.binary_cross_entropy,
        (uniform(0.2, 0.8, 3, 4), uniform(0.1, 0.9, 3, 4)),
        numpy=lambda p, t: binary(p, t).mean(),
        torch=lambda torch, p, t: torch.nn.functional.binary_cross_entropy(p, t),
    ),
]
