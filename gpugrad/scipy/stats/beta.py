"""The beta distribution with shapes `a` and `b` on [loc, loc + scale]."""

from __future__ import annotations

import math
from typing import Any

from ...backend.placing import placed
from ...ops.arguments import bare
from ...ops.elementwise import add, exp, log, negative, subtract, where
from ...ops.incomplete import betainc, betaincc
from ...ops.special import betaln, xlog1py, xlogy
from .shares import log_of_share, standard

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


@placed
def logpdf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the density; -inf outside the interval."""
    z, scale, a, b = standard("beta", x, loc, scale, a, b)
    outside = (bare(z) < 0) | (bare(z) > 1)
    inside = where(outside, 0.5, z)
    powers = add(xlogy(subtract(a, 1.0), inside), xlog1py(subtract(b, 1.0), negative(inside)))
    return where(outside, -math.inf, subtract(powers, add(betaln(a, b), log(scale))))


def pdf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The density."""
    return exp(logpdf(x, a, b, loc, scale))


@placed
def _share(function: Any, below: float, x: Any, a: Any, b: Any, loc: Any, scale: Any) -> Any:
    z, _, a, b = standard("beta", x, loc, scale, a, b)
    left, right = bare(z) < 0, bare(z) > 1
    inside = function(a, b, where(left | right, 0.5, z))
    return where(left, below, where(right, 1.0 - below, inside))


def cdf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The share below `x`; as all shares it is evaluated by SciPy, and its derivatives by a and b are integrals."""
    return _share(betainc, 0.0, x, a, b, loc, scale)


def logcdf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the share below `x`."""
    return log_of_share(cdf(x, a, b, loc, scale))


def sf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The share above `x`."""
    return _share(betaincc, 1.0, x, a, b, loc, scale)


def logsf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the share above `x`."""
    return log_of_share(sf(x, a, b, loc, scale))
