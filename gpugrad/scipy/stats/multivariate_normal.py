"""The normal distribution of vectors, with a mean and a covariance matrix."""

from __future__ import annotations

import math
from typing import Any, Final

from ...ops.arguments import operand
from ...ops.decompositions import cholesky
from ...ops.diagonal import diagonal
from ...ops.elementwise import add, exp, log, multiply, square, subtract
from ...ops.reduce import sum as _sum
from ...ops.shape import matrix_transpose, reshape
from ...ops.solving import solve

__all__ = ["entropy", "logpdf", "pdf"]

LOG_2PI: Final = math.log(2 * math.pi)


def _log_det(lower: Any) -> Any:
    return multiply(_sum(log(diagonal(lower))), 2.0)


def logpdf(x: Any, mean: Any, cov: Any) -> Any:
    """The logarithm of the density.

    Args:
        x: (..., k).
        mean: (k,).
        cov: (k, k), symmetric and positive definite; its gradient is symmetric.

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
    lower = cholesky(cov)
    away = reshape(subtract(x, mean), -1, k)
    distance = _sum(square(solve(lower, matrix_transpose(away))), 0)
    value = multiply(add(distance, add(_log_det(lower), k * LOG_2PI)), -0.5)
    return reshape(value, x.shape[:-1])


def pdf(x: Any, mean: Any, cov: Any) -> Any:
    """The density; arguments as in `logpdf`."""
    return exp(logpdf(x, mean, cov))


def entropy(mean: Any, cov: Any) -> Any:
    """The differential entropy; it does not depend on the mean, whose gradient is 0."""
    cov = operand(cov)
    value = multiply(add(_log_det(cholesky(cov)), cov.shape[0] * (LOG_2PI + 1)), 0.5)
    return add(value, multiply(_sum(mean), 0.0))
