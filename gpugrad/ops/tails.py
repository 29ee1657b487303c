"""Derivatives of distribution functions with respect to their parameters, by quadrature.

The gamma, the beta and Student's distribution function are integrals of exp(l(u; parameters)) over u = log t, the
logit of t, or arsinh(t / sqrt(df)), with l concave in u. Their derivatives of any order with respect to parameters are
integrals of the same density times a polynomial in the derivatives of l (`bell`). The integral is taken over that tail
in which the first derivatives keep their sign (on average l's derivative vanishes, so the other tail gives the same,
with the other sign): nothing cancels, and far tails keep their digits. Gauss and Legendre's rule over the piece in
which the density falls by exp(-40) is then exact to rounding.
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
_POINTS: Final = 48

Slope = Callable[[int, int], Any]


def bell(n: int, m: int, slope: Slope) -> Any:
    """The derivative of order (n, m) of exp(l) over exp(l): Bell's complete polynomials, in two variables.

    Args:
        n: order in the first parameter.
        m: order in the second one.
        slope: `slope(i, j)` is l's derivative of order (i, j).
    """
    slopes = {(i, j): slope(i, j) for i in range(n + 1) for j in range(m + 1) if i or j}
    ratios: dict[tuple[int, int], Any] = {(0, 0): 1.0}
    for i in range(n + 1):
        for j in range(m + 1):
            if i or j:
                # One derivative of exp(l) is exp(l) times one of l; Leibniz' rule for the others.
                rest = (i - 1, j) if i else (i, j - 1)
                ratios[i, j] = sum(
                    math.comb(rest[0], k) * math.comb(rest[1], p) * slopes[i - k, j - p] * ratios[k, p]
                    for k in range(rest[0] + 1)
                    for p in range(rest[1] + 1)
                )
    return ratios[n, m]


@functools.cache
def _rule() -> tuple[tuple[float, float], ...]:
    """Places and weights on (0, 1), closer where the tail begins: of a long one the beginning alone is curved."""
    places, weights = np.polynomial.legendre.leggauss(_POINTS)
    s = (places + 1) / 2
    return tuple(zip((s * s).tolist(), (weights * s).tolist(), strict=True))


def _width(first: Any, fall: Any, slope: Any) -> Any:
    """The distance at which a convex function has come to 40, from one beyond it: Newton's steps never go past it."""
    for _ in range(_STEPS):
        first = first - (fall(first) - _FALL) / slope(first)
    return first


def _integral(xp: Any, width: Any, at: Callable[[Any], tuple[Any, Any]]) -> Any:
    """The integral over 0 < d < width of exp(-fall) * weight, the two that `at(d)` gives."""
    total: Any = 0.0
    for place, share in _rule():
        fall, weight = at(width * place)
        total = total + share * xp.exp(-fall) * weight
    return total * width


def _regular(xp: Any, arrays: tuple[Any, ...], valid: Any, x: Any, end: float) -> tuple[Any, Any, Any]:
    """Arguments of one shape with 1/2 in the place of those at and beyond the ends, where nothing is integrated.

    Args:
        xp: the array module.
        arrays: the arguments.
        valid: where the parameters are.
        x: what runs from 0 to `end`.
        end: the end of the support.

    Returns:
        The arguments, which of them are their own, and the derivative at the others: 0 at the ends, else nan.
    """
    inside = valid & (x > 0) & (x < end)
    there = xp.where(valid & (x >= 0) & (x <= end), 0.0, math.nan)
    return tuple([xp.where(inside, a, 0.5) for a in arrays]), inside, there


# ---- the gamma distribution


def gamma_slope(a: Any, log_x: Any, shift: int = 0) -> Slope:
    """The derivatives by `a` of a log x - x - gammaln(a + shift)."""
    return lambda i, j: log_x - polygamma(0, a + shift) if i == 1 else -polygamma(i - 1, a + shift)


def _gamma_density(xp: Any, a: Any, x: Any, log_x: Any, shift: int = 0) -> Any:
    return xp.exp(a * log_x - x - gammaln(a + shift))


def gamma_derivative(xp: Any, a: Any, x: Any, n: int) -> Any:
    """The n-th derivative of the regularised lower incomplete gamma function by `a`, of arrays in double precision.

    Below a = 1 the lower tail is too long, and P(a, x) = P(a + 1, x) + x^a exp(-x) / gamma(a + 1) shortens it.
    """
    (a, x), inside, there = _regular(xp, (a, x), (a > 0) & (a < math.inf), x, math.inf)
    log_x = xp.log(x)
    raised = (a < 1) & (x < 1)
    with np.errstate(all="ignore"):
        added = _gamma_density(xp, a, x, log_x, 1) * bell(n, 0, gamma_slope(a, log_x, 1))
        total = _gamma_tail(xp, xp.where(raised, a + 1, a), x, log_x, n) + xp.where(raised, added, 0.0)
    return xp.where(inside, total, there)


def _gamma_tail(xp: Any, a: Any, x: Any, log_x: Any, n: int) -> Any:
    """The same by the integral."""
    slope = gamma_slope(a, 0.0)
    others = {i: slope(i, 0) for i in range(1, n + 1)}
    side = xp.where(log_x < -others[1], 1.0, -1.0)  # 1: the lower tail
    upper = xp.sqrt(2 * _FALL / x) + 2 / x + 2 * xp.maximum(a / x - 1, 0.0)
    width = xp.where(side > 0, (_FALL + x) / a, upper)

    def fall(d: Any) -> Any:
        return a * side * d + x * xp.expm1(-side * d)

    def both(d: Any) -> tuple[Any, Any]:
        return fall(d), bell(n, 0, lambda i, j: others[i] + (log_x - side * d) if i == 1 else others[i])

    width = _width(width, fall, lambda d: side * (a - x * xp.exp(-side * d)))
    return side * _gamma_density(xp, a, x, log_x) * _integral(xp, width, both)


# ---- the beta distribution


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

    return slope


def _beta_density(xp: Any, a: Any, b: Any, log_x: Any, log_rest: Any, shift: tuple[int, int] = (0, 0)) -> Any:
    scale = gammaln(a + b) - gammaln(a + shift[0]) - gammaln(b + shift[1])
    return xp.exp(a * log_x + b * log_rest + scale)


def beta_derivative(xp: Any, a: Any, b: Any, x: Any, n: int, m: int) -> Any:
    """The derivative of order (n, m) by `a` and `b` of the regularised incomplete beta function, in double precision.

    Parameters below 1 are raised by one, as in `gamma_derivative`:
    I(a, b) = I(a + 1, b) + x^a (1 - x)^b / (a B(a, b)), and likewise with a minus for b.
    """
    valid = (a > 0) & (a < math.inf) & (b > 0) & (b < math.inf)
    (a, b, x), inside, there = _regular(xp, (a, b, x), valid, x, 1.0)
    logs = xp.log(x), xp.log1p(-x)
    with np.errstate(all="ignore"):
        total: Any = 0.0
        for shift in ((1, 0), (0, 1)):
            raised = (a if shift[0] else b) < 1
            term = _beta_density(xp, a, b, *logs, shift) * bell(n, m, beta_slope(a, b, *logs, shift))
            total = total + xp.where(raised, term if shift[0] else -term, 0.0)
            a, b = xp.where(raised, a + shift[0], a), xp.where(raised, b + shift[1], b)
        total = total + _beta_tail(xp, a, b, *logs, n, m)
    return xp.where(inside, total, there)


def _beta_tail(xp: Any, a: Any, b: Any, log_x: Any, log_rest: Any, n: int, m: int) -> Any:
    """The same by the integral, over u = log(t / (1 - t))."""
    at = log_x - log_rest
    side = xp.where(at < xp.log(a / b), 1.0, -1.0)  # 1: the lower tail
    constant = beta_slope(a, b, 0.0, 0.0)
    others = {(i, j): constant(i, j) for i in range(n + 1) for j in range(m + 1) if i + j}

    def logs(d: Any) -> tuple[Any, Any]:
        """The logarithms of t and 1 - t."""
        u = at - side * d
        small = xp.log1p(xp.exp(-xp.abs(u)))
        return xp.minimum(u, 0.0) - small, xp.minimum(-u, 0.0) - small

    def fall(d: Any) -> Any:
        log_t, log_over = logs(d)
        return a * (log_x - log_t) + b * (log_rest - log_over)

    def slope(d: Any) -> Any:
        return side * (a - (a + b) * xp.exp(logs(d)[0]))

    def both(d: Any) -> tuple[Any, Any]:
        log_t, log_over = logs(d)
        first = {(1, 0): log_t, (0, 1): log_over}
        weight = bell(n, m, lambda i, j: others[i, j] + first.get((i, j), 0.0))
        return a * (log_x - log_t) + b * (log_rest - log_over), weight

    near, far = xp.where(side > 0, a, b), xp.where(side > 0, log_rest, log_x)
    width = _width((_FALL - (a + b) * far) / near, fall, slope)
    return side * _beta_density(xp, a, b, log_x, log_rest) * _integral(xp, width, both)


# ---- Student's distribution


def student_constants(df: Any, n: int) -> list[Any]:
    """What the derivatives by `df` of orders 1 to n of the logarithm of Student's density have of gamma functions."""
    orders = range(1, n + 1)
    return [(polygamma(i - 1, df * 0.5 + 0.5) - polygamma(i - 1, df * 0.5)) * 0.5**i for i in orders]


def student_slope(df: Any, constants: list[Any], whole: Any, log_ratio: Any) -> Slope:
    """The derivatives by `df` of the logarithm of Student's density, from df + t^2 and log(1 + t^2 / df)."""

    def slope(i: int, j: int) -> Any:
        gammas = constants[i - 1]
        turn = 0.5 * (-1) ** i
        # That of (t^2 - 1) / (2 (df + t^2)), which is what the other terms of the first order come to.
        last = (1.0 - (df + 1.0) / whole) * (-turn * math.factorial(i - 1)) * whole ** (1 - i)
        if i == 1:
            return gammas - log_ratio * 0.5 + last
        return gammas + (df ** (1 - i) - whole ** (1 - i)) * (turn * math.factorial(i - 2)) + last

    return slope


def student_derivative(xp: Any, df: Any, t: Any, n: int) -> Any:
    """The n-th derivative of Student's distribution function by `df`, of arrays in double precision.

    With t = sqrt(df) sinh(v) the density is as cosh(v)^-df. Up to |t| = 2 the integral is that from 0 to |t|, which has
    the other sign, beyond that over the tail; the derivative is odd in t.
    """
    size = xp.abs(t)
    (df, t), inside, there = _regular(xp, (df, t), (df > 0) & (df < math.inf), size, math.inf)
    place = xp.abs(t)
    middle = place < 2
    at = xp.arcsinh(place / xp.sqrt(df))
    begin = xp.where(middle, 0.0, at)

    def log_cosh(v: Any) -> Any:
        near = xp.sinh(xp.minimum(v, 1.0) / 2)
        return xp.where(v < 1, xp.log1p(2 * near * near), v + xp.log1p(xp.exp(-2 * v)) - math.log(2))

    first, constants = log_cosh(begin), student_constants(df, n)

    def fall(d: Any) -> Any:
        return df * (log_cosh(begin + d) - first)

    def both(d: Any) -> tuple[Any, Any]:
        log_ratio = 2 * log_cosh(begin + d)
        weight = bell(n, 0, student_slope(df, constants, df * xp.exp(log_ratio), log_ratio))
        return df * (0.5 * log_ratio - first), weight

    with np.errstate(all="ignore"):
        speed = df * xp.tanh(xp.where(middle, 1.0, at))
        reach = _width(_FALL / speed, fall, lambda d: df * xp.tanh(begin + d))
        share = _integral(xp, xp.where(middle, at, reach), both) * xp.exp(-df * first)
        scale = xp.exp(gammaln(df * 0.5 + 0.5) - gammaln(df * 0.5)) / math.sqrt(math.pi)
    return xp.where(inside, xp.sign(t) * scale * xp.where(middle, share, -share), there)
