"""Diagonals, triangles and the trace of matrices: picking and masking with indices known to name no place twice."""

from __future__ import annotations

from typing import Any

from ..backend import backend_of
from ..backend.placing import placed
from ..primitive import public
from .arguments import axis_index, bare, operand
from .elementwise import where
from .index import picked, written
from .logic import bitwise_and
from .reduce import sum as sum_over
from .shape import moveaxis


@public
@placed
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonals of the matrices in axes `axis1` and `axis2`, as the last axis; `offset` above the main one."""
    x = operand(x)
    i, j = axis_index("diagonal", axis1, x.shape), axis_index("diagonal", axis2, x.shape)
    if i == j:
        raise ValueError(
            f"[diagonal] axis1 = {axis1} and axis2 = {axis2} are one axis of shape {x.shape}; expected two"
        )
    rows, columns = max(-offset, 0), max(offset, 0)
    count = max(min(x.shape[i] - rows, x.shape[j] - columns), 0)
    steps = backend_of(bare(x)).xp.arange(count)
    x = moveaxis(x, (i, j), (-2, -1))
    return picked(x, (Ellipsis, steps + rows, steps + columns), unique=True)


@public
@placed
def diag(x: Any, k: int = 0) -> Any:
    """The `k`-th diagonal of a matrix; of a vector, the matrix that has it on its `k`-th diagonal.

    Raises:
        ValueError: neither a vector nor a matrix.
    """
    x = operand(x)
    if len(x.shape) == 2:
        return diagonal(x, k)
    if len(x.shape) != 1:
        raise ValueError(f"[diag] an array of shape {x.shape}; expected one or two axes")
    return diag_embed(x, k)


@public
@placed
def diag_embed(x: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Matrices that have the last axis of `x` on their diagonal: (..., k) as (..., n, n), n = k + |offset|.

    Args:
        x: one axis or more.
        offset: which diagonal, above the main one (below it, if negative).
        dim1: where in the result the axis of the rows is.
        dim2: where that of the columns is.

    Raises:
        ValueError: a single number, or both axes are one.
    """
    x = operand(x)
    if not x.shape:
        raise ValueError("[diag_embed] a single number; expected one axis or more")
    ndim = len(x.shape) + 1
    i, j = axis_index("diag_embed", dim1, x.shape, ndim), axis_index("diag_embed", dim2, x.shape, ndim)
    if i == j:
        raise ValueError(f"[diag_embed] dim1 = {dim1} and dim2 = {dim2} are one axis of {ndim}; expected two")
    n = x.shape[-1] + abs(offset)
    steps = backend_of(bare(x)).xp.arange(x.shape[-1])
    index = (Ellipsis, steps + max(-offset, 0), steps + max(offset, 0))
    found = written(x, index, (*x.shape[:-1], n, n), unique=True)
    return found if (i, j) == (ndim - 2, ndim - 1) else moveaxis(found, (-2, -1), (i, j))


def _triangle(name: str, x: Any, k: int, lower: bool) -> Any:
    x = operand(x)
    if len(x.shape) < 2:
        raise ValueError(f"[{name}] an array of shape {x.shape}; expected two axes or more")
    xp = backend_of(bare(x)).xp
    below = xp.tri(x.shape[-2], x.shape[-1], k if lower else k - 1, dtype=bool)
    if x.dtype.kind == "b":  # a mask stays one
        return bitwise_and(x, below if lower else ~below)
    return where(below, x, 0) if lower else where(below, 0, x)


@public
def tril(x: Any, k: int = 0, *, diagonal: int | None = None) -> Any:
    """The matrices with zeros above the `k`-th diagonal (`diagonal` in PyTorch)."""
    return _triangle("tril", x, k if diagonal is None else diagonal, True)


@public
def triu(x: Any, k: int = 0, *, diagonal: int | None = None) -> Any:
    """The matrices with zeros below the `k`-th diagonal (`diagonal` in PyTorch)."""
    return _triangle("triu", x, k if diagonal is None else diagonal, False)


@public
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of a diagonal, of each matrix in axes `axis1` and `axis2`."""
    return sum_over(diagonal(x, offset, axis1, axis2), -1)
