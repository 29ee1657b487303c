"""The incomplete gamma and beta functions, and Student's distribution function: derivatives by every argument.

SciPy (on a GPU `cupyx.scipy`) evaluates the functions; their derivatives by the argument are densities, in closed form,
and those by the parameters are integrals (`tails`). Each order by a parameter is the same primitive with another
static number, so derivatives of every order and mixture are there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..primitive import FUNCTIONS, Needs, Primitive, Shape, public
from ..tensor import apply
from . import tails
from .arguments import backend_for_all
from .costs import per_output
from .elementwise import add, divide, exp, log, log1p, multiply, negative, square, subtract
from .evaluated import evaluated, reals
from .special import betaln, gammaln, xlog1py, xlogy


def _in_double(function: Any, *arrays: Any) -> Any:
    """A function of double precision arrays and their array module, in the dtype to which they are promoted."""
    xp = backend_for_all("", *arrays).xp
    found = function(xp, *[a.astype(np.float64, copy=False) for a in arrays])
    return xp.asarray(found).astype(np.result_type(*[a.dtype for a in arrays]), copy=False)


# ---- gamma


def _gammainc_forward(needs: Needs, a: Any, x: Any, *, n: int, upper: bool) -> tuple[Any, tuple[Any, ...]]:
    if not n:
        return evaluated("gammaincc" if upper else "gammainc", a, x), ()
    lower = _in_double(lambda xp, a, x: tails.gamma_derivative(xp, a, x, n), a, x)
    return -lower if upper else lower, ()


def _gammainc_rule(g: Any, needs: Needs, a: Any, x: Any, *, n: int, upper: bool) -> tuple[Any, ...]:
    ga = gx = None
    if needs[0]:
        ga = multiply(g, apply(GAMMAINC, (a, x), {"n": n + 1, "upper": upper}))
    if needs[1]:
        density = exp(subtract(subtract(xlogy(subtract(a, 1.0), x), x), gammaln(a)))
        if n:
            density = multiply(density, tails.bell(n, 0, tails.gamma_slope(a, log(x))))
        gx = multiply(g, negative(density) if upper else density)
    return ga, gx


def _gammainc_vjp_flops(
    shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, n: int, upper: bool
) -> int:
    """A derivative by `a` counts as one function; that by `x` is a density, times a polynomial for n above 0."""
    by_x = (6 + upper + 3 * n) * math.prod(out_shape) + (2 + n) * math.prod(shapes[0])
    return 2 * math.prod(out_shape) * needs[0] + by_x * needs[1]


GAMMAINC = Primitive(
    "gammainc",
    _gammainc_forward,
    _gammainc_rule,
    keeps=((0, 1), (0, 1)),
    flops=per_output(1),
    vjp_flops=_gammainc_vjp_flops,
)


@public
def gammainc(a: Any, x: Any) -> Any:
    """The regularised lower incomplete gamma function P(a, x), the gamma distribution's share below x.

    Args:
        a: positive, broadcast with x. Its derivative is an integral, good to some 12 digits (fewer in tails below
            1e-30 or where a is beyond 1e4), and costs some seven times the function itself.
        x: not negative.

    Raises:
        TypeError: complex numbers.
        ImportError: SciPy is not installed.
    """
    return apply(GAMMAINC, reals("gammainc", a, x), {"n": 0, "upper": False})


@public
def gammaincc(a: Any, x: Any) -> Any:
    """The regularised upper incomplete gamma function, 1 - `gammainc`, which keeps its digits in the tail."""
    return apply(GAMMAINC, reals("gammaincc", a, x), {"n": 0, "upper": True})


# ---- beta


def _betainc_forward(needs: Needs, a: Any, b: Any, x: Any, *, n: int, m: int) -> tuple[Any, tuple[Any, ...]]:
    if not n and not m:
        return evaluated("betainc", a, b, x), ()
    return _in_double(lambda xp, a, b, x: tails.beta_derivative(xp, a, b, x, n, m), a, b, x), ()


def _betainc_rule(g: Any, needs: Needs, a: Any, b: Any, x: Any, *, n: int, m: int) -> tuple[Any, ...]:
    ga = gb = gx = None
    if needs[0]:
        ga = multiply(g, apply(BETAINC, (a, b, x), {"n": n + 1, "m": m}))
    if needs[1]:
        gb = multiply(g, apply(BETAINC, (a, b, x), {"n": n, "m": m + 1}))
    if needs[2]:
        powers = add(xlogy(subtract(a, 1.0), x), xlog1py(subtract(b, 1.0), negative(x)))
        density = exp(subtract(powers, betaln(a, b)))
        if n or m:
            density = multiply(density, tails.bell(n, m, tails.beta_slope(a, b, log(x), log1p(negative(x)))))
        gx = multiply(g, density)
    return ga, gb, gx


def _betainc_vjp_flops(
    shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, n: int, m: int
) -> int:
    """As that of `gammainc`, with a second parameter."""
    a, b = math.prod(shapes[0]), math.prod(shapes[1])
    of_both = math.prod(np.broadcast_shapes(*shapes[:2]))
    by_x = (9 + 4 * (n + m)) * math.prod(out_shape) + 2 * (a + b) + (4 + n + m) * of_both
    return 2 * math.prod(out_shape) * (needs[0] + needs[1]) + by_x * needs[2]


BETAINC = Primitive(
    "betainc",
    _betainc_forward,
    _betainc_rule,
    keeps=((0, 1, 2), (0, 1, 2), (0, 1, 2)),
    flops=per_output(1),
    vjp_flops=_betainc_vjp_flops,
)


@public
def betainc(a: Any, b: Any, x: Any) -> Any:
    """The regularised incomplete beta function I_x(a, b), the beta distribution's share below x.

    Args:
        a: positive. All three broadcast; the derivatives by a and b are integrals, as in `gammainc`.
        b: positive.
        x: from 0 to 1.

    Raises:
        TypeError: complex numbers.
        ImportError: SciPy is not installed.
    """
    return apply(BETAINC, reals("betainc", a, b, x), {"n": 0, "m": 0})


@public
def betaincc(a: Any, b: Any, x: Any) -> Any:
    """1 - `betainc`, as that of the other end: I_(1 - x)(b, a)."""
    a, b, x = reals("betaincc", a, b, x)
    return betainc(b, a, subtract(1.0, x))


# ---- Student's distribution


def _student(xp: Any, df: Any, t: Any) -> Any:
    """By the incomplete beta function, from the middle where t is small and from the tail where it is large."""
    place = t * t
    near = place < 1
    first, second = xp.asarray(xp.where(near, 0.5, 0.5 * df)), xp.asarray(xp.where(near, 0.5 * df, 0.5))
    with np.errstate(all="ignore"):
        share = evaluated("betainc", first, second, xp.asarray(xp.where(near, place, df) / (df + place)))
        away = xp.where(near, 0.5 - 0.5 * share, 0.5 * share)  # the share beyond |t|
        return xp.where(t < 0, away, xp.where(near, 0.5 + 0.5 * share, 1 - away))


def _stdtr_forward(needs: Needs, df: Any, t: Any, *, n: int) -> tuple[Any, tuple[Any, ...]]:
    if not n:
        return _in_double(_student, df, t), ()
    return _in_double(lambda xp, df, t: tails.student_derivative(xp, df, t, n), df, t), ()


def _stdtr_rule(g: Any, needs: Needs, df: Any, t: Any, *, n: int) -> tuple[Any, ...]:
    by_df = multiply(g, apply(STDTR, (df, t), {"n": n + 1})) if needs[0] else None
    if not needs[1]:
        return by_df, None
    half, log_ratio = multiply(df, 0.5), log1p(divide(square(t), df))
    scale = subtract(subtract(gammaln(add(half, 0.5)), gammaln(half)), multiply(log(multiply(df, math.pi)), 0.5))
    density = exp(subtract(scale, multiply(add(half, 0.5), log_ratio)))
    if n:
        slope = tails.student_slope(df, tails.student_constants(df, n), add(df, square(t)), log_ratio)
        density = multiply(density, tails.bell(n, 0, slope))
    return by_df, multiply(g, density)


def _stdtr_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, n: int) -> int:
    """As that of `gammainc`."""
    by_t = (7 + 6 * n) * math.prod(out_shape) + (10 + 4 * n) * math.prod(shapes[0])
    return 2 * math.prod(out_shape) * needs[0] + by_t * needs[1]


STDTR = Primitive(
    "stdtr", _stdtr_forward, _stdtr_rule, keeps=((0, 1), (0, 1)), flops=per_output(1), vjp_flops=_stdtr_vjp_flops
)


@public
def stdtr(df: Any, t: Any) -> Any:
    """The distribution function of Student's t with `df` degrees of freedom, precise in the lower tail too.

    Args:
        df: positive, broadcast with t; its derivative is an integral, as in `gammainc`, with fewer digits beyond 1e4,
            where it is small.
        t: real.

    Raises:
        TypeError: complex numbers.
        ImportError: SciPy is not installed.
    """
    return apply(STDTR, reals("stdtr", df, t), {"n": 0})


# ---- the distribution functions that are these by another name


@public
def chdtr(v: Any, x: Any) -> Any:
    """The share of the chi-square distribution with `v` degrees of freedom below x, for x >= 0."""
    v, x = reals("chdtr", v, x)
    return gammainc(multiply(v, 0.5), multiply(x, 0.5))


@public
def chdtrc(v: Any, x: Any) -> Any:
    """The share of the chi-square distribution above x."""
    v, x = reals("chdtrc", v, x)
    return gammaincc(multiply(v, 0.5), multiply(x, 0.5))


@public
def pdtr(k: Any, m: Any) -> Any:
    """The share of the Poisson distribution with mean `m` at `k` events or fewer; by k it has no gradient."""
    k, m = reals("pdtr", k, m)
    return gammaincc(add(FUNCTIONS["floor"](k), 1.0), m)


@public
def pdtrc(k: Any, m: Any) -> Any:
    """The share of the Poisson distribution at more than `k` events."""
    k, m = reals("pdtrc", k, m)
    return gammainc(add(FUNCTIONS["floor"](k), 1.0), m)


__all__ = ["betainc", "betaincc", "chdtr", "chdtrc", "gammainc", "gammaincc", "pdtr", "pdtrc", "stdtr"]
