"""The chi-square distribution with `df` degrees of freedom, shifted by `loc` and scaled by `scale`."""

from __future__ import annotations

from typing import Any

from ...ops.elementwise import multiply
from ...ops.evaluated import reals
from . import gamma

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def _as_gamma(x: Any, df: Any, loc: Any, scale: Any) -> tuple[Any, ...]:
    """The arguments of the gamma distribution that it is."""
    x, df, loc, scale = reals("chi2", x, df, loc, scale)
    return x, multiply(df, 0.5), loc, multiply(scale, 2.0)


def logpdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the density; -inf below `loc`."""
    return gamma.logpdf(*_as_gamma(x, df, loc, scale))


def pdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The density."""
    return gamma.pdf(*_as_gamma(x, df, loc, scale))


def cdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The share below `x`; as all shares it is evaluated by SciPy."""
    return gamma.cdf(*_as_gamma(x, df, loc, scale))


def logcdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the share below `x`."""
    return gamma.logcdf(*_as_gamma(x, df, loc, scale))


def sf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The share above `x`."""
    return gamma.sf(*_as_gamma(x, df, loc, scale))


def logsf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the share above `x`."""
    return gamma.logsf(*_as_gamma(x, df, loc, scale))
