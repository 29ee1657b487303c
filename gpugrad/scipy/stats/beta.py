"""The beta distribution with shapes `a` and `b` on [loc, loc + scale]."""

from __future__ import annotations

import math
from typing import Any

from ...ops.arguments import bare, operand
from ...ops.elementwise import add, divide, exp, log, negative, subtract, where
from ...ops.special import betaln, xlog1py, xlogy

__all__ = ["logpdf", "pdf"]


def logpdf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the density; -inf outside the interval."""
    z, a, b = divide(subtract(operand(x), loc), scale), operand(a) * 1.0, operand(b) * 1.0
    outside = (bare(z) < 0) | (bare(z) > 1)
    inside = where(outside, 0.5, z)
    powers = add(xlogy(subtract(a, 1.0), inside), xlog1py(subtract(b, 1.0), negative(inside)))
    return where(outside, -math.inf, subtract(powers, add(betaln(a, b), log(scale))))


def pdf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The density."""
    return exp(logpdf(x, a, b, loc, scale))
