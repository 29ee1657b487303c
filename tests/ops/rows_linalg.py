"""Rows of matrix products and conversions."""

import numpy as np

from tests.ops.table import Row, normal, op

PRODUCTS = {
    "vectors": ((3,), (3,)),
    "matrix and vector": ((2, 3), (3,)),
    "vector and matrix": ((3,), (3, 2)),
    "matrices": ((2, 3), (3, 4)),
    "stack and matrix": ((2, 3, 4), (4, 2)),
    "matrix and stack": ((3, 4), (2, 4, 2)),
    "stacks": ((2, 3, 4), (2, 4, 2)),
    "broadcast stacks": ((2, 1, 3, 4), (3, 4, 2)),
    "stack and vector": ((2, 3, 4), (4,)),
    "vector and stack": ((4,), (2, 4, 3)),
    "stack of one": ((1, 2, 3), (1, 3, 2)),
}


def product_row(name, left, right):
    return Row(
        f"matmul {name}",
        op.matmul,
        (normal(*left), normal(*right)),
        np.matmul,
        lambda t, a, b: t.matmul(a, b),
    )


ROWS = [product_row(name, *shapes) for name, shapes in PRODUCTS.items()] + [
    Row(
        "linear",
        op.linear,
        (normal(2, 3), normal(4, 3), normal(4)),
        lambda x, w, b: x @ w.T + b,
        lambda t, x, w, b: t.nn.functional.linear(x, w, b),
    ),
    Row("linear without bias", op.linear, (normal(2, 3), normal(4, 3)), lambda x, w: x @ w.T),
    Row("linear of a stack", op.linear, (normal(2, 2, 3), normal(4, 3), normal(4)), lambda x, w, b: x @ w.T + b),
    Row("linear of a vector", op.linear, (normal(3), normal(4, 3), normal(4)), lambda x, w, b: x @ w.T + b),
    Row(
        "feed_forward relu",
        lambda x, w, b, v, c: op.feed_forward(x, [(w, b, "relu"), (v, c, "relu")]),
        (normal(3, 3), normal(4, 3), normal(4), normal(2, 4), normal(2)),
        lambda x, w, b, v, c: np.maximum(np.maximum(x @ w.T + b, 0) @ v.T + c, 0),
        lambda t, x, w, b, v, c: (x @ w.T + b).relu().matmul(v.T).add(c).relu(),
        covers=("activated_linear", "activated"),
    ),
    Row(
        "feed_forward gelu",
        lambda x, w, b, v: op.feed_forward(x, [(w, b, "gelu_tanh"), (v, None, None), (v.T, None, "gelu_tanh")]),
        (normal(2, 2, 3), normal(4, 3), normal(4), normal(2, 4)),
        torch=lambda t, x, w, b, v: t.nn.functional.gelu(
            t.nn.functional.gelu(x @ w.T + b, approximate="tanh") @ v.T @ v, approximate="tanh"
        ),
        covers=("activated_linear", "activated"),
    ),
    Row(
        "addmm",
        lambda c, a, b: op.addmm(c, a, b, beta=0.5, alpha=2),
        (normal(4), normal(2, 3), normal(3, 4)),
        lambda c, a, b: 0.5 * c + 2 * (a @ b),
        lambda t, c, a, b: t.addmm(c, a, b, beta=0.5, alpha=2),
        covers=("matmul",),
    ),
    Row("mm", op.mm, (normal(2, 3), normal(3, 4)), np.matmul, covers=("matmul",)),
    Row("bmm", op.bmm, (normal(2, 2, 3), normal(2, 3, 4)), np.matmul, covers=("matmul",)),
    Row(
        "astype",
        lambda x: op.astype(x, np.float64),
        (normal(2, 3),),
        lambda x: x.astype(np.float64),
        covers=(),
        dtypes=(),
    ),
    Row(
        "astype wider",
        lambda x: op.astype(op.astype(x, np.longdouble), np.float64),
        (normal(2, 3),),
        None,
        covers=("astype",),
        dtypes=(),
    ),
    Row("clone", op.clone, (normal(2, 3),), np.copy, lambda t, x: t.clone(x), exact=True),
    Row("real", lambda x: op.real(op.multiply(x, 1 + 2j)), (normal(2, 3),), lambda x: (x * (1 + 2j)).real, dtypes=()),
    Row("imag", lambda x: op.imag(op.multiply(x, 1 + 2j)), (normal(2, 3),), lambda x: (x * (1 + 2j)).imag, dtypes=()),
    Row(
        "conj",
        lambda x: op.imag(op.conj(op.multiply(x, 1 + 2j))),
        (normal(2, 3),),
        lambda x: (x * (1 - 2j)).imag,
        dtypes=(),
    ),
]
