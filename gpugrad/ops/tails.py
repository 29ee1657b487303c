"""Derivatives of distribution functions with respect to their parameters, by quadrature.

The gamma and the beta distribution function are integrals of exp(l(u; parameters)) over u = log t, or the logit of t,
with l concave in u. Their derivatives of any order with respect to parameters are integrals of the same density times
a polynomial in the derivatives of l (`bell`), of which only those of first order depend on u. The integral is taken
over that tail in which the first derivatives keep their sign (on average l's derivative vanishes, so the other tail
gives the same, with the other sign): nothing cancels, and far tails keep their digits. Gauss and Legendre's rule over
the piece in which the density falls by exp(-40) is then exact to rounding.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from .special import gammaln, polygamma

# How far the density falls over the piece of the tail that is integrated, as a logarithm.
_FALL: Final = 40.0
_STEPS: Final = 16
_POINTS: Final = 64

Slope = Callable[[int, int], Any]


def bell(n: int, m: int, slope: Slope) -> Any:
    """The derivative of order (n, m) of exp(l) over exp(l): Bell's complete polynomials, in two variables.

    Args:
        n: order in the first parameter.
        m: order in the second one.
        slope: `slope(i, j)` is l's derivative of order (i, j).
    """

    @functools.cache
    def ratio(n: int, m: int) -> Any:
        if not n and not m:
            return 1.0
        i, j = (1, 0) if n else (0, 1)
        total: Any = 0.0
        for k in range(n - i + 1):
            for p in range(m - j + 1):
                total = total + math.comb(n - i, k) * math.comb(m - j, p) * slope(k + i, p + j) * ratio(
                    n - i - k, m - j - p
                )
        return total

    return ratio(n, m)


@functools.cache
def _rule() -> tuple[tuple[float, float], ...]:
    """Places and weights on (0, 1)."""
    places, weights = np.polynomial.legendre.leggauss(_POINTS)
    return tuple(zip(((places + 1) / 2).tolist(), (weights / 2).tolist(), strict=True))


def _integral(xp: Any, width: Any, fall: Any, slope: Any, weight: Any) -> Any:
    """The integral over d > 0 of exp(-fall(d)) * weight(d).

    Args:
        xp: the array module.
        width: where `fall` is above 40 for sure; `fall` is convex, and `slope` its derivative.
        fall: what the logarithm of the density has lost at a distance.
        slope: its derivative.
        weight: a function of the distance.
    """
    for _ in range(_STEPS):  # Newton's steps come down to where it is 40, and never past it
        width = width - (fall(width) - _FALL) / slope(width)
    total: Any = 0.0
    for place, share in _rule():
        d = width * place
        total = total + share * xp.exp(-fall(d)) * weight(d)
    return total * width


def gamma_slope(a: Any, log_x: Any, shift: int = 0) -> Slope:
    """The derivatives by `a` of a log x - x - gammaln(a + shift)."""
    return lambda i, j: log_x - polygamma(0, a + shift) if i == 1 else -polygamma(i - 1, a + shift)


def _gamma_density(xp: Any, a: Any, x: Any, log_x: Any, shift: int = 0) -> Any:
    return xp.exp(a * log_x - x - gammaln(a + shift))


def gamma_derivative(xp: Any, a: Any, x: Any, n: int) -> Any:
    """The n-th derivative of the regularised lower incomplete gamma function by `a`, of arrays in double precision.

    Below a = 1 the lower tail is too long, and P(a, x) = P(a + 1, x) + x^a exp(-x) / gamma(a + 1) shortens it.
    """
    a, x = a + 0 * x, x + 0 * a
    inside = (a > 0) & (x > 0) & (x < math.inf) & (a < math.inf)
    a, x = xp.where(inside, a, 1.0), xp.where(inside, x, 1.0)
    log_x = xp.log(x)
    raised = (a < 1) & (x < 1)
    with np.errstate(all="ignore"):
        added = _gamma_density(xp, a, x, log_x, 1) * bell(n, 0, gamma_slope(a, log_x, 1))
        total = _gamma_tail(xp, xp.where(raised, a + 1, a), x, log_x, n) + xp.where(raised, added, 0.0)
    return xp.where(inside, total, math.nan)


def _gamma_tail(xp: Any, a: Any, x: Any, log_x: Any, n: int) -> Any:
    """The same by the integral."""
    slope = gamma_slope(a, 0.0)
    others = {i: slope(i, 0) for i in range(1, n + 1)}
    side = xp.where(log_x < -others[1], 1.0, -1.0)  # 1: the lower tail
    upper = xp.sqrt(2 * _FALL / x) + 2 / x + 2 * xp.maximum(a / x - 1, 0.0)
    width = xp.where(side > 0, (_FALL + x) / a, upper)

    def weight(d: Any) -> Any:
        return bell(n, 0, lambda i, j: others[i] + (log_x - side * d) if i == 1 else others[i])

    integral = _integral(
        xp,
        width,
        lambda d: a * side * d + x * xp.expm1(-side * d),
        lambda d: side * (a - x * xp.exp(-side * d)),
        weight,
    )
    return side * _gamma_density(xp, a, x, log_x) * integral


def beta_slope(a: Any, b: Any, log_x: Any, log_rest: Any, shift: tuple[int, int] = (0, 0)) -> Slope:
    """The derivatives by `a` and `b` of a log x + b log(1 - x) + gammaln(a + b) - gammaln(a + i) - gammaln(b + j)."""

    def slope(i: int, j: int) -> Any:
        total = polygamma(i + j - 1, a + b)
        if not j:
            total = total - polygamma(i - 1, a + shift[0])
        if not i:
            total = total - polygamma(j - 1, b + shift[1])
        if (i, j) == (1, 0):
            total = total + log_x
        if (i, j) == (0, 1):
            total = total + log_rest
        return total

    return functools.cache(slope)


def _beta_density(xp: Any, a: Any, b: Any, log_x: Any, log_rest: Any, shift: tuple[int, int] = (0, 0)) -> Any:
    scale = gammaln(a + b) - gammaln(a + shift[0]) - gammaln(b + shift[1])
    return xp.exp(a * log_x + b * log_rest + scale)


def beta_derivative(xp: Any, a: Any, b: Any, x: Any, n: int, m: int) -> Any:
    """The derivative of order (n, m) by `a` and `b` of the regularised incomplete beta function, in double precision.

    Parameters below 1 are raised by one, as in `gamma_derivative`:
    I(a, b) = I(a + 1, b) + x^a (1 - x)^b / (a B(a, b)), and likewise with a minus for b.
    """
    a, b, x = a + 0 * (b + x), b + 0 * (a + x), x + 0 * (a + b)
    inside = (a > 0) & (b > 0) & (x > 0) & (x < 1) & (a < math.inf) & (b < math.inf)
    a, b, x = xp.where(inside, a, 1.0), xp.where(inside, b, 1.0), xp.where(inside, x, 0.5)
    logs = xp.log(x), xp.log1p(-x)
    with np.errstate(all="ignore"):
        total: Any = 0.0
        for shift in ((1, 0), (0, 1)):
            raised = (a if shift[0] else b) < 1
            term = _beta_density(xp, a, b, *logs, shift) * bell(n, m, beta_slope(a, b, *logs, shift))
            total = total + xp.where(raised, term if shift[0] else -term, 0.0)
            a, b = xp.where(raised, a + shift[0], a), xp.where(raised, b + shift[1], b)
        total = total + _beta_tail(xp, a, b, *logs, n, m)
    return xp.where(inside, total, math.nan)


def _beta_tail(xp: Any, a: Any, b: Any, log_x: Any, log_rest: Any, n: int, m: int) -> Any:
    """The same by the integral, over u = log(t / (1 - t))."""
    at = log_x - log_rest
    side = xp.where(at < xp.log(a / b), 1.0, -1.0)  # 1: the lower tail
    constant = beta_slope(a, b, 0.0, 0.0)
    others = {(i, j): constant(i, j) for i in range(n + 1) for j in range(m + 1) if i + j}

    def log_share(u: Any) -> Any:
        """The logarithm of t."""
        return xp.minimum(u, 0.0) - xp.log1p(xp.exp(-xp.abs(u)))

    def weight(d: Any) -> Any:
        u = at - side * d
        first = {(1, 0): log_share(u), (0, 1): log_share(-u)}
        return bell(n, m, lambda i, j: others[i, j] + first.get((i, j), 0.0))

    def fall(d: Any) -> Any:
        u = at - side * d
        return a * (log_x - log_share(u)) + b * (log_rest - log_share(-u))

    def slope(d: Any) -> Any:
        share = xp.exp(log_share(at - side * d))
        return side * (a - (a + b) * share)

    near, far = xp.where(side > 0, a, b), xp.where(side > 0, log_rest, log_x)
    integral = _integral(xp, (_FALL - (a + b) * far) / near, fall, slope, weight)
    return side * _beta_density(xp, a, b, log_x, log_rest) * integral
