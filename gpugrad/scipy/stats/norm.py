"""The normal distribution with mean `loc` and standard deviation `scale`."""

from __future__ import annotations

import math
from typing import Any, Final

from ...ops.elementwise import add, exp, log, multiply, negative, square, subtract
from ...ops.evaluated import reals
from ...ops.special import log_ndtr, ndtr, ndtri
from .shares import standard

__all__ = ["cdf", "entropy", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]

LOG_ROOT_2PI: Final = 0.5 * math.log(2 * math.pi)


def logpdf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the density."""
    z, scale = standard("norm", x, loc, scale)
    return subtract(multiply(square(z), -0.5), add(log(scale), LOG_ROOT_2PI))


def pdf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The density."""
    return exp(logpdf(x, loc, scale))


def cdf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The share below `x`."""
    return ndtr(standard("norm", x, loc, scale)[0])


def logcdf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the share below `x`, precise far out too."""
    return log_ndtr(standard("norm", x, loc, scale)[0])


def sf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The share above `x`."""
    return ndtr(negative(standard("norm", x, loc, scale)[0]))


def logsf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the share above `x`."""
    return log_ndtr(negative(standard("norm", x, loc, scale)[0]))


def ppf(q: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The value below which a share `q` lies."""
    q, loc, scale = reals("norm", q, loc, scale)
    return add(multiply(ndtri(q), scale), loc)


def entropy(loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The differential entropy; it does not depend on `loc`, whose gradient is 0."""
    loc, scale = reals("norm", loc, scale)
    return add(add(log(scale), LOG_ROOT_2PI + 0.5), multiply(loc, 0.0))
