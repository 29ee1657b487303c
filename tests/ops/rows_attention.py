"""Rows of attention, and of the recurrent layers."""

import numpy as np

from tests.ops.table import Row, normal, op

KEEP = np.array([[True, False, True, True], [True, True, False, False], [False, True, True, False]])
ADDED = np.where(KEEP, 0.5, -np.inf)


def attention(q, k, v, mask=None, scale=None):
    scores = q @ np.swapaxes(k, -1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    scores = scores if mask is None else np.where(mask, scores, -np.inf)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True) @ v


def _torch(t):
    return t.nn.functional.scaled_dot_product_attention


def _here(x, mask):
    from gpugrad.backend import backend_of
    from gpugrad.ops.arguments import bare

    array = bare(x)
    return backend_of(array).from_host(mask if mask.dtype == bool else mask.astype(array.dtype))


QKV = (normal(2, 2, 3, 2), normal(2, 2, 4, 2), normal(2, 2, 4, 5))
NAME = "scaled_dot_product_attention"
ROWS = [
    Row(
        NAME,
        op.scaled_dot_product_attention,
        QKV,
        attention,
        lambda t, q, k, v: _torch(t)(q, k, v),
        tolerance=8,
    ),
    Row(
        f"{NAME} of one head with a scale",
        lambda q, k, v: op.scaled_dot_product_attention(q, k, v, scale=0.3),
        (normal(3, 2), normal(4, 2), normal(4, 2)),
        lambda q, k, v: attention(q, k, v, scale=0.3),
        lambda t, q, k, v: _torch(t)(q, k, v, scale=0.3),
        tolerance=8,
    ),
    Row(
        f"{NAME} causal",
        lambda q, k, v: op.scaled_dot_product_attention(q, k, v, is_causal=True),
        QKV,
        lambda q, k, v: attention(q, k, v, np.tril(np.ones((3, 4), bool))),
        lambda t, q, k, v: _torch(t)(q, k, v, is_causal=True),
        tolerance=8,
    ),
    Row(
        f"{NAME} with a mask of truth values",
        lambda q, k, v: op.scaled_dot_product_attention(q, k, v, _here(q, KEEP)),
        QKV,
        lambda q, k, v: attention(q, k, v, KEEP),
        lambda t, q, k, v: _torch(t)(q, k, v, t.tensor(KEEP)),
        tolerance=8,
    ),
    Row(
        f"{NAME} with a mask that is added",
        op.scaled_dot_product_attention,
        (*QKV, normal(2, 1, 1, 4)),
        torch=lambda t, q, k, v, m: _torch(t)(q, k, v, m),
        tolerance=8,
    ),
    Row(
        f"{NAME} with a mask of infinities",
        lambda q, k, v: op.scaled_dot_product_attention(q, k, v, _here(q, ADDED)),
        QKV,
        lambda q, k, v: attention(q, k, v, KEEP),
        lambda t, q, k, v: _torch(t)(q, k, v, t.tensor(ADDED)),
        tolerance=8,
    ),
    Row(
        f"{NAME} of heads in groups",
        lambda q, k, v: op.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        (normal(2, 4, 3, 2), normal(2, 2, 4, 2), normal(2, 2, 4, 3)),
        torch=lambda t, q, k, v: _torch(t)(q, k, v, enable_gqa=True),
        tolerance=8,
    ),
]
