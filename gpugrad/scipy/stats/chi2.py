"""The chi-square distribution with `df` degrees of freedom, shifted by `loc` and scaled by `scale`."""

from __future__ import annotations

from typing import Any

from ...ops.arguments import operand
from ...ops.elementwise import multiply
from . import gamma

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def _as_gamma(df: Any, scale: Any) -> tuple[Any, Any]:
    """The shape and the scale of the gamma distribution that it is."""
    return multiply(operand(df), 0.5), multiply(operand(scale), 2.0)


def logpdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the density; -inf below `loc`."""
    shape, wide = _as_gamma(df, scale)
    return gamma.logpdf(x, shape, loc, wide)


def pdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The density."""
    shape, wide = _as_gamma(df, scale)
    return gamma.pdf(x, shape, loc, wide)


def cdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The share below `x`; as all shares it is evaluated by SciPy."""
    shape, wide = _as_gamma(df, scale)
    return gamma.cdf(x, shape, loc, wide)


def logcdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the share below `x`."""
    shape, wide = _as_gamma(df, scale)
    return gamma.logcdf(x, shape, loc, wide)


def sf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The share above `x`."""
    shape, wide = _as_gamma(df, scale)
    return gamma.sf(x, shape, loc, wide)


def logsf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the share above `x`."""
    shape, wide = _as_gamma(df, scale)
    return gamma.logsf(x, shape, loc, wide)
