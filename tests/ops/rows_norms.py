"""Rows of normalisation by channels."""

import numpy as np

from tests.ops.table import Row, normal, op


def normalised(x, axes, eps=1e-5):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def affine(y, w, b):
    shape = (-1, *(1,) * (y.ndim - 2))
    return y * w.reshape(shape) + b.reshape(shape)


MEAN, VARIANCE = np.array([0.3, -0.2, 0.1]), np.array([1.5, 0.7, 2.0])


def _like(x, values):
    from gpugrad.backend import backend_of
    from gpugrad.ops.arguments import bare

    array = bare(x)
    return backend_of(array).from_host(values.astype(array.dtype))


ROWS = [
    Row(
        "batch_norm",
        lambda x, w, b: op.batch_norm(x, None, None, w, b, training=True),
        (normal(3, 3, 2, 4), normal(3), normal(3)),
        lambda x, w, b: affine(normalised(x, (0, 2, 3)), w, b),
        lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, training=True),
        tolerance=16,
    ),
    Row(
        "batch_norm of rows",
        lambda x: op.batch_norm(x, None, None, training=True),
        (normal(5, 3),),
        lambda x: normalised(x, (0,)),
        lambda t, x: t.nn.functional.batch_norm(x, None, None, training=True),
        tolerance=16,
    ),
    Row(
        "batch_norm in evaluation",
        lambda x, w, b: op.batch_norm(x, _like(x, MEAN), _like(x, VARIANCE), w, b),
        (normal(2, 3, 2, 2), normal(3), normal(3)),
        lambda x, w, b: affine((x - MEAN.reshape(3, 1, 1)) / np.sqrt(VARIANCE.reshape(3, 1, 1) + 1e-5), w, b),
        lambda t, x, w, b: t.nn.functional.batch_norm(x, t.tensor(MEAN), t.tensor(VARIANCE), w, b),
        covers=("transpose",),
        tolerance=8,
    ),
    Row(
        "batch_norm_relu",
        lambda x, w, b: op.batch_norm_relu(x, None, None, w, b, training=True),
        (normal(3, 3, 2, 4), normal(3), normal(3)),
        lambda x, w, b: np.maximum(affine(normalised(x, (0, 2, 3)), w, b), 0),
        lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, training=True).relu(),
        covers=("batch_norm",),
        tolerance=16,
    ),
    Row(
        "batch_norm_relu in evaluation",
        lambda x, w, b: op.batch_norm_relu(x, _like(x, MEAN), _like(x, VARIANCE), w, b),
        (normal(2, 3, 2, 2), normal(3), normal(3)),
        torch=lambda t, x, w, b: t.nn.functional.batch_norm(x, t.tensor(MEAN), t.tensor(VARIANCE), w, b).relu(),
        covers=("transpose",),
        tolerance=8,
    ),
    Row(
        "group_norm",
        lambda x, w, b: op.group_norm(x, 2, w, b),
        (normal(2, 4, 3, 2), normal(4), normal(4)),
        lambda x, w, b: affine(normalised(x.reshape(2, 2, -1), (2,)).reshape(x.shape), w, b),
        lambda t, x, w, b: t.nn.functional.group_norm(x, 2, w, b),
        covers=("layer_norm",),
        tolerance=16,
    ),
    Row(
        "instance_norm",
        lambda x, w, b: op.instance_norm(x, weight=w, bias=b),
        (normal(2, 3, 5), normal(3), normal(3)),
        lambda x, w, b: affine(normalised(x, (2,)), w, b),
        lambda t, x, w, b: t.nn.functional.instance_norm(x, weight=w, bias=b),
        covers=("layer_norm",),
        tolerance=16,
    ),
    Row(
        "local_response_norm",
        lambda x: op.local_response_norm(x, 3, 0.5, 0.75, 2.0),
        (normal(2, 5, 2, 2),),
        torch=lambda t, x: t.nn.functional.local_response_norm(x, 3, 0.5, 0.75, 2.0),
        covers=("window_sum",),
        tolerance=4,
    ),
    Row(
        "local_response_norm over an even number",
        lambda x: op.local_response_norm(x, 4, 0.5, 0.75, 2.0),
        (normal(2, 5, 3),),
        torch=lambda t, x: t.nn.functional.local_response_norm(x, 4, 0.5, 0.75, 2.0),
        covers=("window_sum",),
        tolerance=4,
    ),
]
