"""Student's distribution with `df` degrees of freedom, shifted by `loc` and scaled by `scale`."""

from __future__ import annotations

import math
from typing import Any

from ...ops.elementwise import add, divide, exp, log, log1p, multiply, negative, square, subtract
from ...ops.incomplete import stdtr
from ...ops.special import gammaln
from .shares import log_of_share, standard

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def logpdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the density."""
    z, scale, df = standard("t", x, loc, scale, df)
    half = multiply(add(df, 1.0), 0.5)
    norm = subtract(gammaln(half), gammaln(multiply(df, 0.5)))
    width = add(multiply(log(multiply(df, math.pi)), 0.5), log(scale))
    return subtract(subtract(norm, width), multiply(half, log1p(divide(square(z), df))))


def pdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The density."""
    return exp(logpdf(x, df, loc, scale))


def cdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The share below `x`; as all shares it is evaluated by SciPy, and its derivative by `df` is an integral."""
    z, _, df = standard("t", x, loc, scale, df)
    return stdtr(df, z)


def logcdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the share below `x`."""
    return log_of_share(cdf(x, df, loc, scale))


def sf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The share above `x`."""
    z, _, df = standard("t", x, loc, scale, df)
    return stdtr(df, negative(z))


def logsf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the share above `x`."""
    return log_of_share(sf(x, df, loc, scale))
