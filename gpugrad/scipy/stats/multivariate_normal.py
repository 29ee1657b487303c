"""The normal distribution of vectors, with a mean and a covariance matrix."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from ...backend.placing import placed
from ...ops.arguments import bare, module, operand
from ...ops.decompositions import cholesky
from ...ops.determinants import log_pseudo_det
from ...ops.diagonal import diagonal
from ...ops.elementwise import add, exp, log, multiply, square, subtract, where
from ...ops.linalg import matmul
from ...ops.reduce import sum as _sum
from ...ops.shape import matrix_transpose, reshape
from ...ops.solving import pinv, solve

__all__ = ["entropy", "logpdf", "pdf"]

LOG_2PI: Final = math.log(2 * math.pi)


def _log_det(lower: Any) -> Any:
    return multiply(_sum(log(diagonal(lower))), 2.0)


def logpdf(x: Any, mean: Any, cov: Any, allow_singular: bool = False) -> Any:
    """The logarithm of the density.

    Args:
        x: (..., k).
        mean: (k,).
        cov: (k, k), symmetric and positive definite; its gradient is symmetric.
        allow_singular: take a semidefinite covariance too: the density is then that on the space in which the variance
            is not 0, and 0 outside of it. The gradient of the covariance is that among matrices of the same rank.

    Returns:
        The shape of `x` without its last axis.

    Raises:
        ValueError: the shapes do not fit.
        numpy.linalg.LinAlgError: the covariance is not positive definite.
    """
    x, mean, cov = operand(x), operand(mean), operand(cov)
    k = cov.shape[0] if len(cov.shape) == 2 else -1
    if not x.shape or x.shape[-1] != k or tuple(mean.shape) != (k,) or cov.shape[1] != k:
        raise ValueError(
            f"[multivariate_normal] x of shape {tuple(x.shape)}, mean {tuple(mean.shape)}, cov {tuple(cov.shape)}; "
            "expected (..., k), (k,) and (k, k)"
        )
    away = reshape(subtract(x, mean), -1, k)
    if allow_singular:
        value = _of_any_rank(away, cov)
    else:
        lower = cholesky(cov)
        distance = _sum(square(solve(lower, matrix_transpose(away))), 0)
        value = multiply(add(distance, add(_log_det(lower), k * LOG_2PI)), -0.5)
    return reshape(value, x.shape[:-1])


@placed
def _of_any_rank(away: Any, cov: Any) -> Any:
    """The density of rows from their places about the mean, with SciPy's bounds of what counts as 0."""
    eps = float(np.finfo(cov.dtype).eps)
    cut = eps * (1e6 if cov.dtype.itemsize == 8 else 1e3)
    inverse = pinv(cov, rtol=cut)
    size = _sum(multiply(matmul(away, inverse), away), 1)
    # The projection onto the support is the matrix times its pseudoinverse; its trace is the rank.
    projection = bare(matmul(cov, inverse))
    places = bare(away)
    outside = abs(places - places @ projection.T).max(axis=1) > 1e3 * cut * abs(bare(cov)).max()
    rank = module(cov).rint(projection.trace())
    value = multiply(add(size, add(log_pseudo_det(cov, cut), rank * LOG_2PI)), -0.5)
    return where(outside, -math.inf, value)


def pdf(x: Any, mean: Any, cov: Any, allow_singular: bool = False) -> Any:
    """The density; arguments as in `logpdf`."""
    return exp(logpdf(x, mean, cov, allow_singular))


def entropy(mean: Any, cov: Any) -> Any:
    """The differential entropy; it does not depend on the mean, whose gradient is 0."""
    cov = operand(cov)
    value = multiply(add(_log_det(cholesky(cov)), cov.shape[0] * (LOG_2PI + 1)), 0.5)
    return add(value, multiply(_sum(mean), 0.0))
