"""Rows of the reductions."""

import numpy as np

from tests.ops.table import Row, apart, fixed, normal, op, with_zeros

MATRIX = np.linalg.norm

ROWS = [
    Row("sum", op.sum, (normal(2, 3, 4),), np.sum, lambda t, x: t.sum(x)),
    Row("sum axis", lambda x: op.sum(x, axis=1), (normal(2, 3, 4),), lambda x: np.sum(x, 1), exact=True),
    Row(
        "sum keepdims",
        lambda x: op.sum(x, (0, -1), keepdims=True),
        (normal(2, 3, 4),),
        lambda x: np.sum(x, (0, 2), keepdims=True),
    ),
    Row(
        "sum dim",
        lambda x: op.sum(x, dim=-1, keepdim=True),
        (normal(2, 3),),
        None,
        lambda t, x: t.sum(x, dim=-1, keepdim=True),
    ),
    Row("sum no axes", lambda x: op.sum(x, ()), (normal(2, 3),), lambda x: np.sum(x, ())),
    Row("sum scalar", op.sum, (normal(),), np.sum),
    Row("mean", op.mean, (normal(2, 3, 4),), np.mean, lambda t, x: t.mean(x)),
    Row("mean axis", lambda x: op.mean(x, (0, 1)), (normal(2, 3, 4),), lambda x: np.mean(x, (0, 1))),
    Row(
        "mean keepdims",
        lambda x: op.mean(x, -1, keepdims=True),
        (normal(2, 3),),
        lambda x: np.mean(x, -1, keepdims=True),
    ),
    Row("prod", op.prod, (normal(2, 3),), np.prod, lambda t, x: t.prod(x)),
    Row(
        "prod axis", lambda x: op.prod(x, 1, keepdims=True), (normal(2, 3, 2),), lambda x: np.prod(x, 1, keepdims=True)
    ),
    Row("prod axes", lambda x: op.prod(x, (0, 2)), (normal(2, 3, 2),), lambda x: np.prod(x, (0, 2))),
    Row("prod one zero", lambda x: op.prod(x, 1), (fixed([2.0, 0.0, -3.0], [1.0, 2.0, 0.5]),), lambda x: np.prod(x, 1)),
    Row("prod two zeros", op.prod, (fixed(2.0, 0.0, 3.0, 0.0),), np.prod),
    Row("prod of one", lambda x: op.prod(x, 0), (normal(1, 3),), lambda x: np.prod(x, 0)),
    Row("max", op.max, (apart(3, 4),), np.max, lambda t, x: t.amax(x), exact=True),
    Row(
        "max axis",
        lambda x: op.max(x, 1, keepdims=True),
        (apart(2, 3, 4),),
        lambda x: np.max(x, 1, keepdims=True),
        exact=True,
    ),
    Row(
        "max axes",
        lambda x: op.amax(x, (0, 2)),
        (apart(2, 3, 4),),
        lambda x: np.max(x, (0, 2)),
        lambda t, x: t.amax(x, (0, 2)),
    ),
    Row("min", lambda x: op.min(x, 0), (apart(3, 4),), lambda x: np.min(x, 0), lambda t, x: t.amin(x, 0), exact=True),
    Row("amin", lambda x: op.amin(x, 0), (apart(3, 4),), None, lambda t, x: t.amin(x, 0), covers=("min",)),
    Row(
        "norm of PyTorch",
        lambda x: op.__getattr__("torch.norm")(x, 3, 1),
        (normal(3, 4),),
        None,
        lambda t, x: t.norm(x, 3, 1),
    ),
    Row("ptp", lambda x: op.ptp(x, 1), (apart(3, 4),), lambda x: np.ptp(x, 1), covers=("max", "min")),
    Row("var", op.var, (normal(3, 4),), np.var, covers=("mean", "sum", "square")),
    Row(
        "var ddof",
        lambda x: op.var(x, 1, ddof=1, keepdims=True),
        (normal(3, 4),),
        lambda x: np.var(x, 1, ddof=1, keepdims=True),
        lambda t, x: t.var(x, 1, keepdim=True),
        covers=("mean", "sum"),
    ),
    Row("std", lambda x: op.std(x, 0), (normal(4, 3),), lambda x: np.std(x, 0), covers=("mean", "norm")),
    Row(
        "std unbiased",
        lambda x: op.std(x, unbiased=True),
        (normal(4, 3),),
        lambda x: np.std(x, ddof=1),
        lambda t, x: t.std(x),
        covers=("norm",),
    ),
    Row("norm", op.norm, (normal(2, 3),), MATRIX, lambda t, x: t.linalg.vector_norm(x)),
    Row(
        "norm axis",
        lambda x: op.norm(x, axis=1, keepdims=True),
        (normal(2, 3),),
        lambda x: MATRIX(x, axis=1, keepdims=True),
    ),
    Row(
        "norm 3",
        lambda x: op.norm(x, 3, 1),
        (normal(2, 3),),
        lambda x: MATRIX(x, 3, 1),
        lambda t, x: t.linalg.vector_norm(x, 3, 1),
    ),
    Row(
        "norm 1.5",
        lambda x: op.norm(x, p=1.5),
        (normal(2, 3),),
        lambda x: MATRIX(x.ravel(), 1.5),
        lambda t, x: t.norm(x, p=1.5),
    ),
    Row("norm 1", lambda x: op.norm(x, 1, 0), (normal(2, 3),), lambda x: MATRIX(x, 1, 0), covers=("sum", "absolute")),
    Row("norm inf", lambda x: op.norm(x, np.inf, 1), (apart(2, 3),), lambda x: MATRIX(x, np.inf, 1), covers=("max",)),
    Row(
        "norm -inf", lambda x: op.norm(x, -np.inf, 1), (apart(2, 3),), lambda x: MATRIX(x, -np.inf, 1), covers=("min",)
    ),
    Row("norm 0", lambda x: op.norm(x, 0, 1), (with_zeros(2, 3),), lambda x: MATRIX(x, 0, 1), order=0),
    Row("norm fro", lambda x: op.norm(x, "fro", (0, 2)), (normal(2, 3, 4),), lambda x: MATRIX(x, "fro", (0, 2))),
    Row("norm matrix 1", lambda x: op.norm(x, 1), (normal(3, 4),), lambda x: MATRIX(x, 1), covers=("max", "sum")),
    Row(
        "norm matrix inf",
        lambda x: op.norm(x, np.inf, (2, 0), keepdims=True),
        (normal(2, 3, 4),),
        lambda x: MATRIX(x, np.inf, (2, 0), keepdims=True),
        covers=("max", "sum"),
    ),
    Row("argmax", lambda x: op.argmax(x, 1), (apart(3, 4),), lambda x: np.argmax(x, 1), order=0, exact=True),
    Row("argmin", op.argmin, (apart(3, 4),), np.argmin, order=0, exact=True),
    Row("all", lambda x: op.all(x, 1), (with_zeros(3, 4),), lambda x: np.all(x, 1), order=0, exact=True),
    Row(
        "any",
        lambda x: op.any(x, 1, keepdims=True),
        (with_zeros(3, 4),),
        lambda x: np.any(x, 1, keepdims=True),
        order=0,
    ),
    Row(
        "count_nonzero",
        lambda x: op.count_nonzero(x, 0),
        (with_zeros(3, 4),),
        lambda x: np.count_nonzero(x, 0),
        order=0,
    ),
]
