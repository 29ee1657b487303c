"""Rows of what has no gradient and no formula."""

import numpy as np

from tests.ops.table import Row, normal, op

ROWS = [
    Row("round", op.round, (normal(2, 3),), np.round, covers=("rint",), exact=True),
    Row(
        "round decimals",
        lambda x: op.round(x, 2),
        (normal(2, 3),),
        lambda x: np.round(x, 2),
        covers=("rint",),
        dtypes=("float32",),
        layouts=False,
    ),
    Row("isclose", lambda x: op.isclose(x, x + 1e-9), (normal(2, 3),), lambda x: np.isclose(x, x + 1e-9), order=0),
    *[
        Row(
            name,
            lambda x, f=name: getattr(op, f)(x > 0, x > -1),
            (normal(2, 3),),
            lambda x, f=name: getattr(np, f)(x > 0, x > -1),
            order=0,
        )
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
    ],
    Row("bitwise_not", lambda x: op.bitwise_not(x > 0), (normal(2, 3),), lambda x: ~(x > 0), order=0, exact=True),
]
