"""The Poisson distribution of counts with mean `mu`, shifted by `loc`. Counts have no gradient."""

from __future__ import annotations

import math
from typing import Any

from ...backend.placing import placed
from ...ops.arguments import bare
from ...ops.elementwise import add, exp, subtract, where
from ...ops.evaluated import reals
from ...ops.incomplete import pdtr, pdtrc
from ...ops.special import gammaln, xlogy
from .shares import log_of_share

__all__ = ["cdf", "logcdf", "logpmf", "logsf", "pmf", "sf"]


@placed
def _count(k: Any, mu: Any, loc: Any) -> tuple[Any, Any, Any, Any]:
    """The count from 0 as a constant, whether it is below 0, one in its place that is not, and the mean."""
    k, mu, loc = reals("poisson", k, mu, loc)
    k = bare(subtract(bare(k), bare(loc)))
    below = k < 0
    return k, below, where(below, 0.0, k), mu


@placed
def logpmf(k: Any, mu: Any, loc: Any = 0) -> Any:
    """The logarithm of the probability of `k`; -inf where k is below `loc` or no integer."""
    k, below, count, mu = _count(k, mu, loc)
    value = subtract(subtract(xlogy(count, mu), gammaln(add(count, 1.0))), mu)
    return where(below | (k % 1 != 0), -math.inf, value)


def pmf(k: Any, mu: Any, loc: Any = 0) -> Any:
    """The probability of `k`."""
    return exp(logpmf(k, mu, loc))


def cdf(k: Any, mu: Any, loc: Any = 0) -> Any:
    """The probability of `k` or less; as all shares it is evaluated by SciPy."""
    _, below, count, mu = _count(k, mu, loc)
    return where(below, 0.0, pdtr(count, mu))


def logcdf(k: Any, mu: Any, loc: Any = 0) -> Any:
    """The logarithm of the probability of `k` or less."""
    return log_of_share(cdf(k, mu, loc))


def sf(k: Any, mu: Any, loc: Any = 0) -> Any:
    """The probability of more than `k`."""
    _, below, count, mu = _count(k, mu, loc)
    return where(below, 1.0, pdtrc(count, mu))


def logsf(k: Any, mu: Any, loc: Any = 0) -> Any:
    """The logarithm of the probability of more than `k`."""
    return log_of_share(sf(k, mu, loc))
