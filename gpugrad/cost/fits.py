"""How a cost grows with a size: the exponent of a power law through measured points, with its confidence interval.

Least squares of the logarithms; Student's t for the interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import CostError

# Two-sided 95 % quantiles of Student's t for 1, 2, ... degrees of freedom.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True)
class PowerLaw:
    """`y = factor * x ** exponent`.

    Attributes:
        exponent: its slope in logarithms; `low` and `high` bound its 95 % confidence interval.
        residual: root mean square of what the logarithms are off, about the relative error of a point.
    """

    factor: float
    exponent: float
    low: float
    high: float
    residual: float

    def at(self, x: float) -> float:
        """The law's value."""
        return self.factor * float(x**self.exponent)


def power_law(x: Sequence[float], y: Sequence[float]) -> PowerLaw:
    """The law through points with positive coordinates.

    Raises:
        CostError: fewer than three points.
    """
    if len(x) < 3:
        raise CostError(f"[fit] {len(x)} points; expected 3 or more for an exponent with an interval")
    a, b = [math.log(v) for v in x], [math.log(v) for v in y]
    count = len(a)
    mean_a, mean_b = sum(a) / count, sum(b) / count
    spread = sum((v - mean_a) ** 2 for v in a)
    slope = sum((v - mean_a) * (w - mean_b) for v, w in zip(a, b, strict=True)) / spread
    start = mean_b - slope * mean_a
    left = sum((w - start - slope * v) ** 2 for v, w in zip(a, b, strict=True))
    error = math.sqrt(left / (count - 2) / spread)
    quantile = _T95[min(count - 3, len(_T95) - 1)]
    half = quantile * error
    return PowerLaw(math.exp(start), slope, slope - half, slope + half, math.sqrt(left / count))
