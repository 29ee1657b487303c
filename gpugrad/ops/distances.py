"""Distances of all pairs of rows."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..backend.placing import placed
from ..primitive import public
from .arguments import bare, operand
from .elementwise import sqrt, square, where
from .linalg import matmul
from .reduce import norm
from .reduce import sum as sum_

_FEW: Final = 25  # rows up to which Euclid's distances come from differences, as in PyTorch


@public
@placed
def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Any:
    """The distances of order `p` of each row of `x1` from each of `x2`; of equal rows the gradient is 0.

    Args:
        x1: (*batch, n, features).
        x2: (*batch', m, features); the batches broadcast.
        p: the norm's order, 0 or more, also inf.
        compute_mode: whether Euclid's distances may come from a product of matrices, which is fast and takes little
            memory, but loses digits of what lies close: "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist", or if
            there are more than 25 rows.

    Returns:
        (*batch, n, m).

    Raises:
        ValueError: other numbers of features.
    """
    x1, x2 = operand(x1), operand(x2)
    if min(x1.ndim, x2.ndim) < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ValueError(
            f"[cdist] x1 has shape {tuple(x1.shape)}, x2 {tuple(x2.shape)}; expected (*batch, rows, features) with as "
            "many features"
        )
    many = max(x1.shape[-2], x2.shape[-2]) > _FEW and "if_necessary" in compute_mode
    if p != 2 or not (many or compute_mode == "use_mm_for_euclid_dist"):
        return norm(x1[..., :, None, :] - x2[..., None, :, :], axis=-1, p=p)
    squares = sum_(square(x1), axis=-1, keepdims=True) + sum_(square(x2), axis=-1)[..., None, :]
    squares = squares - 2 * matmul(x1, x2.swapaxes(-1, -2))
    apart = bare(squares) > 0
    return where(apart, sqrt(where(apart, squares, 1.0)), 0.0)


@public
def pdist(input: Any, p: float = 2.0) -> Any:
    """The distances of order `p` of each row from each later one; of equal rows the gradient is 0.

    Args:
        input: (n, features).
        p: the norm's order, 0 or more, also inf.

    Returns:
        (n (n - 1) / 2,), by the first row, then by the second.

    Raises:
        ValueError: not a matrix.
    """
    x = operand(input)
    if x.ndim != 2:
        raise ValueError(f"[pdist] input has shape {tuple(x.shape)}; expected (n, features)")
    first, second = np.triu_indices(x.shape[0], 1)
    return norm(x[first] - x[second], axis=-1, p=p)
