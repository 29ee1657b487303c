"""The gamma distribution with shape `a`, shifted by `loc` and scaled by `scale`."""

from __future__ import annotations

import math
from typing import Any

from ...backend.placing import placed
from ...ops.arguments import bare
from ...ops.elementwise import add, exp, log, subtract, where
from ...ops.incomplete import gammainc, gammaincc
from ...ops.special import gammaln, xlogy
from .shares import log_of_share, standard

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


@placed
def logpdf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the density; -inf below `loc`."""
    z, scale, a = standard("gamma", x, loc, scale, a)
    below = bare(z) < 0
    inside = where(below, 1.0, z)
    density = subtract(subtract(xlogy(subtract(a, 1.0), inside), inside), add(gammaln(a), log(scale)))
    return where(below, -math.inf, density)


def pdf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The density."""
    return exp(logpdf(x, a, loc, scale))


@placed
def _share(function: Any, below: float, x: Any, a: Any, loc: Any, scale: Any) -> Any:
    z, _, a = standard("gamma", x, loc, scale, a)
    outside = bare(z) < 0
    return where(outside, below, function(a, where(outside, 1.0, z)))


def cdf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The share below `x`; as all shares it is evaluated by SciPy, and its derivative by `a` is an integral."""
    return _share(gammainc, 0.0, x, a, loc, scale)


def logcdf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the share below `x`."""
    return log_of_share(cdf(x, a, loc, scale))


def sf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The share above `x`."""
    return _share(gammaincc, 1.0, x, a, loc, scale)


def logsf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the share above `x`."""
    return log_of_share(sf(x, a, loc, scale))
