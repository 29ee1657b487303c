"""The Dirichlet distribution: shares of `k` classes that add up to 1."""

from __future__ import annotations

from typing import Any

from ...ops.arguments import operand
from ...ops.elementwise import add, exp, subtract
from ...ops.reduce import sum as _sum
from ...ops.shape import reshape
from ...ops.special import gammaln, xlogy

__all__ = ["logpdf", "pdf"]


def logpdf(x: Any, alpha: Any) -> Any:
    """The logarithm of the density.

    Args:
        x: (k,) or (k, points): shares that add up to 1 along the first axis, which is not checked.
        alpha: (k,), positive.

    Returns:
        A single number, or (points,).

    Raises:
        ValueError: the first axis of `x` is not as long as `alpha`.
    """
    x, alpha = operand(x), operand(alpha) * 1.0
    if len(alpha.shape) != 1 or not x.shape or x.shape[0] != alpha.shape[0]:
        raise ValueError(
            f"[dirichlet] x of shape {tuple(x.shape)}, alpha {tuple(alpha.shape)}; expected (k, ...) and (k,)"
        )
    each = reshape(subtract(alpha, 1.0), (-1,) + (1,) * (len(x.shape) - 1))
    scale = subtract(gammaln(_sum(alpha)), _sum(gammaln(alpha)))
    return add(_sum(xlogy(each, x), 0), scale)


def pdf(x: Any, alpha: Any) -> Any:
    """The density; arguments as in `logpdf`."""
    return exp(logpdf(x, alpha))
