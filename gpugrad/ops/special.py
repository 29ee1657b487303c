"""Special functions: the gamma function's family, the normal distribution's, and what information theory adds.

Closed forms are formulas, one fused kernel each. The polygamma functions are a family of primitives of which each is
the derivative of the one before; the normal quantile and the logarithm of the normal distribution have rules in terms
of their own value. Bessel functions are in `bessel`, softmax and logsumexp in `rows`.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from ..backend import backend_of
from ..backend.placing import placed
from ..fusion import call, trace
from ..primitive import FUNCTIONS, Needs, Primitive, public
from .arguments import apply_one, bare, constant, operand
from .core import Elementwise
from .costs import per_input, vjp_per_input
from .defining import make
from .elementwise import add, divide, exp, multiply, select, sin, square, subtract

INF: Final = math.inf
ROOT_HALF: Final = math.sqrt(0.5)
LOG_ROOT_2PI: Final = 0.5 * math.log(2 * math.pi)


def _formula(name: str, function: Callable[..., Any], doc: str) -> Elementwise:
    """A formula as a public function."""
    op = make(function, name)
    op.__doc__ = doc
    FUNCTIONS[name] = op
    return op


def _where(condition: Any, a: Any, b: Any) -> Any:
    return call("where", condition, a, b)


def _log(x: Any) -> Any:
    return call("log", x)


def _xlogy(x: Any, y: Any) -> Any:
    drop = call("equal", x, 0.0) & ((y <= 0.0) | call("isinf", y))
    return _where(drop, 0.0, x * _log(y))


def _xlog1py(x: Any, y: Any) -> Any:
    drop = call("equal", x, 0.0) & ((y <= -1.0) | call("isinf", y))
    return _where(drop, 0.0, x * call("log1p", y))


def _entr(x: Any) -> Any:
    return _where(x < 0.0, -INF, _where(call("equal", x, 0.0), 0.0, -(x * _log(x))))


def _divergence(x: Any, y: Any, inside: Any, at_zero: Any) -> Any:
    """`inside` where both are positive, `at_zero` where x is 0, inf out of range; nan stays nan."""
    outside = _where(call("isnan", x) | call("isnan", y), x + y, INF)
    edge = _where(call("equal", x, 0.0) & (y >= 0.0), at_zero, outside)
    return _where((x > 0.0) & (y > 0.0), inside, edge)


def _rel_entr(x: Any, y: Any) -> Any:
    return _divergence(x, y, x * _log(x / y), 0.0)


def _kl_div(x: Any, y: Any) -> Any:
    return _divergence(x, y, x * _log(x / y) + (y - x), y)


def _log_ndtr(x: Any) -> Any:
    left = _log(0.5 * call("erfcx", -x * ROOT_HALF)) - 0.5 * call("square", x)
    return _where(x < -1.0, left, call("log1p", -0.5 * call("erfc", x * ROOT_HALF)))


xlogy = _formula("xlogy", _xlogy, "`x * log(y)`, 0 where x is 0 (unless y is nan); towards x its slope is log(y).")
xlog1py = _formula("xlog1py", _xlog1py, "`x * log1p(y)`, 0 where x is 0 (unless y is nan).")
entr = _formula("entr", _entr, "`-x * log(x)`, 0 at 0 and -inf below.")
rel_entr = _formula("rel_entr", _rel_entr, "`x * log(x / y)`, 0 where x is 0, and inf where x or y is out of range.")
kl_div = _formula("kl_div", _kl_div, "`x * log(x / y) - x + y`, y where x is 0, and inf where x or y is out of range.")
ndtr = _formula("ndtr", lambda x: 0.5 * call("erfc", -x * ROOT_HALF), "The normal distribution function.")
exprel = _formula(
    "exprel",
    lambda x: _where(abs(x) < 1e-5, 1.0 + x * (0.5 + x * (1.0 / 6.0)), call("expm1", x) / x),
    "`(exp(x) - 1) / x`, 1 at 0.",
)


# ---- the gamma family


def _real(name: str, x: Any) -> Any:
    x = operand(x)
    if x.dtype.kind == "c":
        raise TypeError(f"[{name}] an operand of dtype {x.dtype}; expected real numbers")
    return FUNCTIONS["astype"](x, np.float64) if x.dtype.kind in "iub" else x


_LGAMMA: Final = trace(lambda x: call("lgamma", x), "gammaln")
_DIGAMMA: Final = trace(lambda x: call("digamma", x), "digamma")


def _gammaln_forward(needs: Needs, x: Any) -> tuple[Any, tuple[Any, ...]]:
    return backend_of(x).kernel(_LGAMMA)(x), ()


def _gammaln_rule(g: Any, needs: Needs, x: Any) -> tuple[Any, ...]:
    return (multiply(g, polygamma(0, x)),)


GAMMALN = Primitive(
    "gammaln", _gammaln_forward, _gammaln_rule, keeps=((0,),), flops=per_input(1), vjp_flops=vjp_per_input(2)
)

# Bernoulli numbers B2, B4, ... over (2 j)!: Euler and Maclaurin's summation (Abramowitz & Stegun 23.1.30).
_BERNOULLI: Final = tuple(
    b / math.factorial(2 * j)
    for j, b in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510), start=1)
)
# From here on the series is exact to double precision; recurrence leads there, and reflection from below 0.
_FAR: Final = 12.0


def _hurwitz(xp: Any, s: int, x: Any) -> Any:
    """The sum of (x + k)^-s over k = 0, 1, ... for x >= 0: term by term up to where a series holds."""
    total, far = xp.zeros_like(x), _FAR + s / 2
    for _ in range(math.ceil(far)):
        below = x < far
        total = total + xp.where(below, xp.where(below, x, 1.0) ** -s, 0.0)
        x = xp.where(below, x + 1, x)
    tail = x ** (1 - s) / (s - 1) + 0.5 * x**-s
    factor, power = float(s), x ** (-s - 1)
    for j, b in enumerate(_BERNOULLI, start=1):
        tail = tail + b * factor * power
        factor *= (s + 2 * j - 1) * (s + 2 * j)
        power = power / (x * x)
    return total + tail


@functools.cache
def _cotangent_polynomial(n: int) -> tuple[float, ...]:
    """The `n`-th derivative of cot as a polynomial in cot, highest power first: each is -(1 + c^2) times the slope."""
    coefficients = [0.0, 1.0]  # lowest power first
    for _ in range(n):
        slope = [k * c for k, c in enumerate(coefficients)][1:]
        coefficients = [-a - b for a, b in zip([*slope, 0.0, 0.0], [0.0, 0.0, *slope], strict=True)]
    return tuple(reversed(coefficients))


def _polygamma_forward(needs: Needs, x: Any, *, n: int) -> tuple[Any, tuple[Any, ...]]:
    if not n:
        return backend_of(x).kernel(_DIGAMMA)(x), ()
    xp = backend_of(x).xp
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        wide = x.astype(np.float64)
        mirrored = wide < 0
        value = math.factorial(n) * _hurwitz(xp, n + 1, xp.where(mirrored, 1 - wide, wide))
        cotangent = 1 / xp.tan(math.pi * (wide - xp.rint(wide)))
        first, *rest = _cotangent_polynomial(n)
        added = xp.full_like(wide, first)
        for c in rest:
            added = added * cotangent + c
        value = xp.where(mirrored, -value - math.pi ** (n + 1) * added, (-1) ** (n + 1) * value)
    return xp.asarray(value).astype(x.dtype, copy=False), ()


def _polygamma_rule(g: Any, needs: Needs, x: Any, *, n: int) -> tuple[Any, ...]:
    return (multiply(g, polygamma(n + 1, x)),)


POLYGAMMA = Primitive(
    "polygamma", _polygamma_forward, _polygamma_rule, keeps=((0,),), flops=per_input(1), vjp_flops=vjp_per_input(2)
)


@public
def gammaln(x: Any) -> Any:
    """log |gamma(x)|; its derivative is `digamma`. Also `lgamma`."""
    return apply_one(GAMMALN, _real("gammaln", x), {})


@public
def polygamma(n: int, x: Any) -> Any:
    """The `n`-th derivative of `digamma`, for real `x`.

    Args:
        n: 0 or more (0 is `digamma` itself).
        x: real.

    Raises:
        ValueError: `n` is negative.
    """
    n = operator.index(n)
    if n < 0:
        raise ValueError(f"[polygamma] n = {n}; expected 0 or more")
    return apply_one(POLYGAMMA, _real("polygamma", x), {"n": n})


@public
def digamma(x: Any) -> Any:
    """The derivative of `gammaln`. Also `psi`."""
    return polygamma(0, x)


@placed
def _sign(x: Any) -> Any:
    """The sign of gamma(x), a bare array: nan at the poles below 0."""
    x = bare(x)
    xp = backend_of(x).xp
    low = xp.floor(x)
    below = xp.where(low == x, math.nan, 1.0 - 2.0 * (low % 2))
    signs = xp.where(x > 0, 1.0, xp.where(x == 0, xp.copysign(1.0, x), below))
    return xp.asarray(signs).astype(x.dtype, copy=False)


@public
def gammasgn(x: Any) -> Any:
    """The sign of gamma(x). No gradient."""
    x = _real("gammasgn", x)
    return constant(x, _sign(x))


@public
def gamma(x: Any) -> Any:
    """The gamma function; nan at the negative integers."""
    x = _real("gamma", x)
    return multiply(_sign(x), exp(gammaln(x)))


@public
@placed
def rgamma(x: Any) -> Any:
    """The reciprocal of the gamma function, 0 at 0 and the negative integers, where it has derivatives too.

    Below -170, where these overflow, it is nan at the integers.
    """
    x = _real("rgamma", x)
    array = bare(x)
    xp = backend_of(array).xp
    below = array < 0.5
    # 1 / gamma(x) = gamma(1 - x) sin(pi x) / pi, with the sine taken from the nearest integer.
    near = xp.asarray(xp.rint(array)).astype(array.dtype, copy=False)
    turned = multiply(sin(multiply(subtract(x, near), math.pi)), (1 - 2 * (near % 2)) / math.pi)
    left = multiply(gamma(subtract(1.0, select(below, x, 0.0))), turned)
    return select(below, left, exp(multiply(gammaln(select(below, 1.0, x)), -1.0)))


@public
def betaln(a: Any, b: Any) -> Any:
    """log |beta(a, b)|."""
    a, b = _real("betaln", a), _real("betaln", b)
    return subtract(add(gammaln(a), gammaln(b)), gammaln(add(a, b)))


@public
@placed
def beta(a: Any, b: Any) -> Any:
    """The beta function, gamma(a) gamma(b) / gamma(a + b)."""
    a, b = _real("beta", a), _real("beta", b)
    return multiply(_sign(a) * _sign(b) * _sign(add(a, b)), exp(betaln(a, b)))


@public
def multigammaln(a: Any, d: int) -> Any:
    """The logarithm of the gamma function of dimension `d`, for a > (d - 1) / 2."""
    a = _real("multigammaln", a)
    total = gammaln(a)
    for j in range(1, d):
        total = add(total, gammaln(subtract(a, j / 2)))
    return add(total, d * (d - 1) / 4 * math.log(math.pi))


# ---- the normal distribution


_LOG_NDTR: Final = trace(_log_ndtr, "log_ndtr")


def _log_ndtr_forward(needs: Needs, x: Any) -> tuple[Any, tuple[Any, ...]]:
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        return backend_of(x).kernel(_LOG_NDTR)(x), ()


def _log_ndtr_rule(g: Any, needs: Needs, x: Any, y: Any) -> tuple[Any, ...]:
    """The density over the distribution, from the logarithms of both: nothing underflows in the tail."""
    return (multiply(g, exp(subtract(multiply(square(x), -0.5), add(y, LOG_ROOT_2PI)))),)


LOG_NDTR = Primitive(
    "log_ndtr", _log_ndtr_forward, _log_ndtr_rule, keeps=((0, -1),), flops=per_input(1), vjp_flops=vjp_per_input(6)
)


@public
def log_ndtr(x: Any) -> Any:
    """The logarithm of the normal distribution function, precise in both tails."""
    return apply_one(LOG_NDTR, _real("log_ndtr", x), {})


# M. J. Wichura, "Algorithm AS 241: The percentage points of the normal distribution", Applied Statistics 37 (1988):
# numerator and denominator near the middle, in the tails, and far out; highest power first.
_PPND: Final = {
    "middle": (
        (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
         13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
        (5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
         5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
    ),
    "tail": (
        (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
         3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
        (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
         0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
    ),
    "far": (
        (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093,
         0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
        (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
         0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
    ),
}  # fmt: skip


def _ratio(which: str, r: Any) -> Any:
    top, bottom = ([*c] for c in _PPND[which])
    numerator, denominator = r * 0 + top[0], r * 0 + bottom[0]
    for a, b in zip(top[1:], bottom[1:], strict=True):
        numerator, denominator = numerator * r + a, denominator * r + b
    return numerator / denominator


def _percentage_point(xp: Any, q: Any, tail: Any) -> Any:
    """The normal quantile of 1/2 + q, where `tail` is the smaller of the two shares beside it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = q * _ratio("middle", 0.180625 - xp.minimum(q * q, 0.180625))
        r = xp.sqrt(-xp.log(tail))
        near, far = _ratio("tail", xp.minimum(r, 5.0) - 1.6), _ratio("far", xp.clip(r, 5.0, 30.0) - 5.0)
        outside = xp.where(r <= 5.0, near, far) * xp.where(q < 0, -1.0, 1.0)
        found = xp.where(xp.abs(q) <= 0.425, middle, outside)
        found = xp.where(tail == 0, xp.where(q < 0, -math.inf, math.inf), found)
        return xp.where(tail >= 0, found, math.nan)


def _ndtri_forward(needs: Needs, x: Any) -> tuple[Any, tuple[Any, ...]]:
    xp = backend_of(x).xp
    p = x.astype(np.float64)
    return xp.asarray(_percentage_point(xp, p - 0.5, xp.minimum(p, 1 - p))).astype(x.dtype, copy=False), ()


def _ndtri_rule(g: Any, needs: Needs, y: Any) -> tuple[Any, ...]:
    return (multiply(g, multiply(exp(multiply(square(y), 0.5)), math.sqrt(2 * math.pi))),)


def _erfinv_forward(needs: Needs, x: Any) -> tuple[Any, tuple[Any, ...]]:
    xp = backend_of(x).xp
    wide = x.astype(np.float64)
    found = _percentage_point(xp, wide / 2, (1 - xp.abs(wide)) / 2) * ROOT_HALF
    return xp.asarray(found).astype(x.dtype, copy=False), ()


def _erfinv_rule(g: Any, needs: Needs, y: Any) -> tuple[Any, ...]:
    return (multiply(g, multiply(exp(square(y)), math.sqrt(math.pi) / 2)),)


NDTRI = Primitive("ndtri", _ndtri_forward, _ndtri_rule, keeps=((-1,),), flops=per_input(1), vjp_flops=vjp_per_input(5))
ERFINV = Primitive(
    "erfinv", _erfinv_forward, _erfinv_rule, keeps=((-1,),), flops=per_input(1), vjp_flops=vjp_per_input(4)
)


@public
def ndtri(p: Any) -> Any:
    """The inverse of `ndtr`: the normal quantile of shares between 0 and 1; nan outside."""
    return apply_one(NDTRI, _real("ndtri", p), {})


@public
def erfinv(x: Any) -> Any:
    """The inverse of `erf`, on [-1, 1]; nan outside."""
    return apply_one(ERFINV, _real("erfinv", x), {})


@public
def erfcinv(x: Any) -> Any:
    """The inverse of `erfc`, on [0, 2]; nan outside."""
    return multiply(ndtri(divide(_real("erfcinv", x), 2.0)), -ROOT_HALF)


FUNCTIONS["lgamma"], FUNCTIONS["psi"] = gammaln, digamma
