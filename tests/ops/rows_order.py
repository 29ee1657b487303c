"""Rows of running sums and products, and of sorting."""

import numpy as np

from tests.ops.table import Row, apart, fixed, normal, op, with_zeros

ROWS = [
    Row(
        "cumsum",
        lambda x: op.cumsum(x, 1),
        (normal(2, 5),),
        lambda x: np.cumsum(x, 1),
        lambda t, x: t.cumsum(x, 1),
        exact=True,
    ),
    Row("cumsum flat", op.cumsum, (normal(2, 3),), np.cumsum, exact=True),
    Row(
        "cumprod",
        lambda x: op.cumprod(x, 0),
        (normal(5, 2),),
        lambda x: np.cumprod(x, 0),
        lambda t, x: t.cumprod(x, 0),
        exact=True,
    ),
    Row("cumprod zeros", op.cumprod, (fixed(2.0, 0.0, 3.0, 0.0, 0.5, -1.5),), np.cumprod),
    Row("cumprod more zeros", lambda x: op.cumprod(x, 1), (with_zeros(2, 8),), lambda x: np.cumprod(x, 1)),
    Row("cumprod of one", lambda x: op.cumprod(x, 1), (normal(3, 1),), lambda x: np.cumprod(x, 1)),
    Row(
        "diff", lambda x: op.diff(x, 2, 1), (normal(2, 5),), lambda x: np.diff(x, 2, 1), covers=("subtract", "getitem")
    ),
    Row("sort", lambda x: op.sort(x, 0), (apart(4, 3),), lambda x: np.sort(x, 0), covers=("getitem",), exact=True),
    Row("sort flat", lambda x: op.sort(x, None), (apart(4, 3),), lambda x: np.sort(x, None), covers=("getitem",)),
    Row(
        "sort descending",
        lambda x: op.sort(x, descending=True),
        (apart(4, 3),),
        lambda x: -np.sort(-x),
        lambda t, x: t.sort(x, descending=True)[0],
        ("getitem",),
    ),
    Row(
        "partition",
        lambda x: op.partition(x, 0, 1),
        (apart(4, 2),),
        lambda x: np.partition(x, 0, 1),
        covers=("getitem",),
    ),
    Row("topk", lambda x: op.topk(x, 2, 1)[0], (apart(3, 4),), None, lambda t, x: t.topk(x, 2, 1)[0], ("getitem",)),
    Row(
        "topk smallest",
        lambda x: op.topk(x, 2, 0, largest=False)[0],
        (apart(3, 4),),
        lambda x: np.sort(x, 0)[:2],
        covers=("getitem",),
    ),
    Row("argsort", lambda x: op.argsort(x, 0), (apart(4, 3),), lambda x: np.argsort(x, 0), order=0, exact=True),
    Row(
        "argpartition", lambda x: op.argpartition(x, 0, 0), (apart(2, 3),), lambda x: np.argpartition(x, 0, 0), order=0
    ),
    Row("unique", op.unique, (with_zeros(4, 3),), np.unique, order=0, exact=True),
]
