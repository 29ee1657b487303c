"""Norms, condition numbers and ranks of matrices, and what NumPy counts as linear algebra over the last two axes.

The norms themselves are in `reduce`; this is the last module of linear algebra, and lists what the others share names
with, so that `numpy.linalg.norm` and its like find them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

from ..backend import backend_of
from ..backend.placing import placed
from ..primitive import public
from .arguments import axis_index, bare, constant, operand, spelled
from .cast import conj
from .decompositions import svdvals
from .diagonal import diagonal as _diagonal
from .einsum import outer, tensordot
from .elementwise import divide, multiply
from .index import getitem
from .linalg import matmul
from .matrices import hermitian_of, linear_algebra, matrices
from .reduce import norm
from .reduce import sum as _sum
from .sequences import cross as _cross
from .shape import expand_dims, matrix_transpose
from .solving import inv

for _function in (matmul, matrix_transpose, norm, outer, tensordot):
    linear_algebra(_function)


@linear_algebra
def cond(x: Any, p: Any = None) -> Any:
    """The condition numbers of matrices (..., m, n), square ones unless `p` is None, 2 or -2: (...).

    Args:
        x: the matrices.
        p: the norm: None or 2 for the ratio of the largest singular value to the smallest, -2 for the inverse ratio;
            else `norm(x, p) * norm(inv(x), p)` with any order that `norm` takes of matrices.

    Returns:
        The condition numbers; infinite for a singular matrix where they are ratios of singular values.

    Raises:
        numpy.linalg.LinAlgError: a singular matrix with another norm, which its inverse would be needed for.
    """
    x = matrices("cond", x, square=p not in (None, 2, -2))
    if not math.prod(x.shape):
        raise LinAlgError(f"[cond] an array of shape {tuple(x.shape)} has no elements; expected matrices")
    if p not in (None, 2, -2):
        return multiply(norm(x, p, (-2, -1)), norm(inv(x), p, (-2, -1)))
    s = svdvals(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        return divide(s[..., -1], s[..., 0]) if p == -2 else divide(s[..., 0], s[..., -1])


@linear_algebra
@placed
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:  # noqa: N803 - NumPy's
    """How many singular values of matrices (..., m, n) count as more than zero: (...), integers. No gradient.

    Args:
        A: the matrices; of fewer axes, 1 unless all elements are 0.
        tol: what counts as zero; by default the largest singular value times max(m, n) eps.
        hermitian: `A` is square and Hermitian: its lower triangle is read, as in NumPy.
        rtol: the same relative to the largest singular value.

    Raises:
        ValueError: `tol` and `rtol` are both given.
    """
    if tol is not None and rtol is not None:
        raise ValueError(f"[matrix_rank] tol = {tol} and rtol = {rtol}: give one of them")
    x = operand(A)
    if len(x.shape) < 2:
        return constant(x, (bare(x) != 0).any().astype(int))
    s = svdvals(bare(hermitian_of("matrix_rank", x) if hermitian else matrices("matrix_rank", x)))
    if not s.size:
        return constant(x, s.sum(axis=-1).astype(int))
    if tol is None:
        relative = max(x.shape[-2:]) * np.finfo(s.dtype).eps if rtol is None else bare(rtol)
        limit = s.max(axis=-1, keepdims=True) * _column(s, relative)
    else:
        limit = _column(s, bare(tol))
    return constant(x, (s > limit).sum(axis=-1))


def _column(like: Any, value: Any) -> Any:
    """A number, or one for each matrix, against rows of singular values."""
    value = backend_of(like).xp.asarray(value)
    return value.reshape((*value.shape, 1))


@linear_algebra
@spelled
def matrix_norm(x: Any, *, axis: Any = (-2, -1), keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norms of the matrices in the last two axes (or in `axis`); orders as in `norm`."""
    return norm(x, ord, axis, keepdims)


@linear_algebra
@spelled
def vector_norm(x: Any, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """The vector norm of any order over all the axes named; its gradient at 0 is 0."""
    return norm(x, None, axis, keepdims, p=ord)


@linear_algebra
def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """The diagonals of the matrices in the last two axes."""
    return _diagonal(x, offset, -2, -1)


@linear_algebra
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sums of the diagonals of the matrices in the last two axes."""
    return _sum(diagonal(x, offset=offset), -1, dtype)


@linear_algebra
@spelled
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The sum of products along an axis, the elements of `x1` conjugated; the others broadcast.

    Raises:
        ValueError: the lengths along the axis differ.
    """
    x1, x2 = operand(x1), operand(x2)
    lengths = [x.shape[axis_index("vecdot", axis, x.shape)] for x in (x1, x2)]
    if lengths[0] != lengths[1]:
        raise ValueError(f"[vecdot] lengths {lengths[0]} and {lengths[1]} along axis {axis}; expected equal ones")
    products = multiply(conj(x1), x2)
    return _sum(products, axis, None if products.dtype.kind in "fcV" else products.dtype)


public(vecdot)


@public
def matvec(x1: Any, x2: Any, /) -> Any:
    """Matrices (..., m, n) times vectors (..., n): (..., m), as `numpy.matvec`."""
    return getitem(matmul(x1, expand_dims(x2, -1)), (..., 0))


@public
def vecmat(x1: Any, x2: Any, /) -> Any:
    """Vectors (..., m), conjugated, times matrices (..., m, n): (..., n), as `numpy.vecmat`."""
    return getitem(matmul(expand_dims(conj(operand(x1)), -2), x2), (..., 0, slice(None)))


@linear_algebra
def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The vector product of vectors with three elements along an axis.

    Raises:
        ValueError: the axis has another length.
    """
    x1, x2 = operand(x1), operand(x2)
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ValueError(
            f"[linalg.cross] lengths {x1.shape[axis]} and {x2.shape[axis]} along axis {axis} "
            f"(x1: {tuple(x1.shape)}, x2: {tuple(x2.shape)}); expected 3"
        )
    return _cross(x1, x2, axis=axis)
