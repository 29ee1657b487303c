"""Rows of attention, and of the recurrent layers."""

import numpy as np

from gpugrad.ops.recurrent import recurrent
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


def _recurrent(cell, gates, *, bias=False, reverse=False, keep=None):
    """A row of a recurrent operation for sequences of 3 steps, 2 examples and 2 units."""

    def call(x, h, *rest):
        rest = list(rest)
        c = rest.pop(0) if cell == "lstm" else None
        mask = None if keep is None else _here(x, keep[:, :, None].astype(float))
        return recurrent(cell, x, h, c, *rest, reverse=reverse, keep=mask)[: 2 + (cell == "lstm")]

    inputs = [normal(3, 2, 2 * gates), normal(2, 2), *([normal(2, 2)] if cell == "lstm" else [])]
    inputs += [normal(2 * gates, 2), *([normal(2 * gates)] if bias else [])]
    words = [*(["reverse"] if reverse else []), *(["of several lengths"] if keep is not None else []),
             *(["with a bias"] if bias else [])]  # fmt: skip
    return Row(" ".join([cell, *words]), call, tuple(inputs), tolerance=8)


LENGTHS = np.array([[True, True], [True, False], [True, False]])
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
    _recurrent("rnn_tanh", 1),
    _recurrent("rnn_relu", 1, reverse=True, keep=LENGTHS),
    _recurrent("lstm", 4),
    _recurrent("lstm", 4, reverse=True, keep=LENGTHS),
    _recurrent("gru", 3),
    _recurrent("gru", 3, bias=True, reverse=True, keep=LENGTHS),
]
