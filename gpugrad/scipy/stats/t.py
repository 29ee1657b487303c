"""Student's distribution with `df` degrees of freedom, shifted by `loc` and scaled by `scale`."""

from __future__ import annotations

import math
from typing import Any

from ...ops.arguments import operand
from ...ops.elementwise import add, divide, exp, log, log1p, multiply, square, subtract
from ...ops.special import gammaln

__all__ = ["logpdf", "pdf"]


def logpdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the density."""
    z, df = divide(subtract(operand(x), loc), scale), operand(df) * 1.0
    half = multiply(add(df, 1.0), 0.5)
    norm = subtract(gammaln(half), gammaln(multiply(df, 0.5)))
    width = add(multiply(log(multiply(df, math.pi)), 0.5), log(scale))
    return subtract(subtract(norm, width), multiply(half, log1p(divide(square(z), df))))


def pdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The density."""
    return exp(logpdf(x, df, loc, scale))
