"""The gamma distribution with shape `a`, shifted by `loc` and scaled by `scale`."""

from __future__ import annotations

import math
from typing import Any

from ...ops.arguments import bare, operand
from ...ops.elementwise import add, divide, exp, log, subtract, where
from ...ops.special import gammaln, xlogy

__all__ = ["logpdf", "pdf"]


def logpdf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the density; -inf below `loc`."""
    z, a = divide(subtract(operand(x), loc), scale), operand(a) * 1.0
    below = bare(z) < 0
    inside = where(below, 1.0, z)
    density = subtract(subtract(xlogy(subtract(a, 1.0), inside), inside), add(gammaln(a), log(scale)))
    return where(below, -math.inf, density)


def pdf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The density."""
    return exp(logpdf(x, a, loc, scale))
