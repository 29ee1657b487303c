"""Exponentials and logarithms as Numba scalars, and what is made of them (tanh, sigmoid, softplus, ...).

The reductions are those of W. J. Cody and W. Waite, "Software Manual for the Elementary Functions" (1980),
and of fdlibm's log; polynomials are Chebyshev interpolants of the function beside them, fitted to 60 digits.
"""

from __future__ import annotations

from typing import Any

from .numba_ir import (
    absolute,
    bits,
    constant,
    copysign,
    from_bits,
    iadd,
    inline,
    integer,
    ior,
    isub,
    polynomial,
    select,
    shift_left,
    shift_right,
    to_float,
)
from .numba_select import HALF, INF, NAN, ONE, QUARTER, TWO, ZERO, clamped, relu

LN2, LOG2_E, LOG10_E = map(constant, (0.6931471805599453, 1.4426950408889634, 0.4342944819032518))

# ---- exponentials -----------------------------------------------------------------------------------------

# Adding 1.5 * 2^mantissa rounds to an integer and leaves that integer in the low bits of the sum; unlike a
# cast it is defined for nan.
MAGIC = constant(12582912.0, 6755399441055744.0)
LN2_HI = constant(0.693359375, 6.93145751953125e-1)
LN2_LO = constant(-2.12194440e-4, 1.42860682030941723212e-6)
LOG_SMALLEST = constant(-87.33654, -708.3964185322641)
EXP_LOW, EXP_HIGH = constant(-105.0, -750.0), constant(100.0, 720.0)
# The log of the largest number, and where expm1 rounds to -1.
EXPM1_HIGH, EXPM1_LOW = constant(88.72284, 709.782712893384), constant(-20.0, -45.0)
EXP2_LOW, EXP2_HIGH = constant(-152.0, -1080.0), constant(140.0, 1040.0)
MANTISSA, BIAS = integer(23, 52), integer(127, 1023)
ONE_BIT = integer(1, 1)
TINY = constant(2.0**-30, 2.0**-60)

# (exp(r) - 1 - r) / r^2 for |r| <= log(2)/2
EXP = polynomial(
    (0.5, 0.166665734, 0.0416665501, 0.00836377387, 0.00139269266),
    (0.5, 0.1666666666666667, 0.04166666666666667, 0.008333333333325544, 0.0013888888888883327,
     0.00019841269876864356, 2.4801587327007187e-05, 2.755725283351691e-06, 2.75572718102198e-07,
     2.5106274733573296e-08, 2.0915442297780116e-09),
)  # fmt: skip


@inline
def power_of_two(n: Any) -> Any:
    """2^n for an integer n in the range of normal numbers."""
    return from_bits(shift_left(iadd(n, BIAS(n)), MANTISSA(n)))


@inline
def scaled(p: Any, t: Any) -> Any:
    """p * 2^n, where t = n + MAGIC; in two steps, so that results may be subnormal or inf."""
    n = isub(bits(t), bits(MAGIC(t)))
    half = shift_right(n, ONE_BIT(n))
    return (p * power_of_two(half)) * power_of_two(isub(n, half))


@inline
def reduced(x: Any) -> Any:
    """(t, r): x = n log(2) + r with t = n + MAGIC and |r| <= log(2)/2."""
    t = x * LOG2_E(x) + MAGIC(x)
    n = t - MAGIC(x)
    return t, (x - n * LN2_HI(x)) - n * LN2_LO(x)


@inline
def exp(x: Any) -> Any:
    """e^x."""
    t, r = reduced(clamped(x, EXP_LOW(x), EXP_HIGH(x)))
    return scaled(ONE(x) + (r + r * r * EXP(r)), t)


@inline
def exp_of_sum(a: Any, b: Any) -> Any:
    """exp(a + b) for a small b that a + b would round away."""
    t, r = reduced(clamped(a, EXP_LOW(a), EXP_HIGH(a)))
    r = r + b
    return scaled(ONE(a) + (r + r * r * EXP(r)), t)


@inline
def exp_below_one(x: Any) -> Any:
    """exp(x) for x <= 0, in one scaling step: 0 where exp would be subnormal."""
    t, r = reduced(x)
    y = (ONE(x) + (r + r * r * EXP(r))) * from_bits(iadd(shift_left(bits(t), MANTISSA(bits(t))), bits(ONE(x))))
    return select(x < LOG_SMALLEST(x), ZERO(x), y)


@inline
def exp2(x: Any) -> Any:
    """2^x."""
    x = clamped(x, EXP2_LOW(x), EXP2_HIGH(x))
    t = x + MAGIC(x)
    r = (x - (t - MAGIC(x))) * LN2(x)
    return scaled(ONE(x) + (r + r * r * EXP(r)), t)


@inline
def expm1(x: Any) -> Any:
    """e^x - 1, accurate near 0."""
    t, r = reduced(clamped(x, EXPM1_LOW(x), EXPM1_HIGH(x)))
    # Half of 2^n, doubled at the end: 2^n itself may be beyond the largest number where the result is not.
    s = power_of_two(isub(isub(bits(t), bits(MAGIC(t))), ONE_BIT(bits(t))))
    y = TWO(x) * (s * (r + r * r * EXP(r)) + (s - HALF(x)))
    y = select(x > EXPM1_HIGH(x), INF(x), y)
    return select(absolute(x) < TINY(x), x, y)


@inline
def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    # expm1(-2|x|), whose scale cannot overflow; below EXPM1_LOW it is -1.
    a = -TWO(x) * absolute(x)
    t, r = reduced(select(a < EXPM1_LOW(x), EXPM1_LOW(x), a))
    s = from_bits(iadd(shift_left(bits(t), MANTISSA(bits(t))), bits(ONE(x))))
    e = s * (r + r * r * EXP(r)) + (s - ONE(x))
    return copysign(e / (e + TWO(x)), x)


@inline
def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x)."""
    e = exp_below_one(-absolute(x))
    return select(x < ZERO(x), e, ONE(x)) / (ONE(x) + e)


# (sinh(x)/x - 1) / x^2 in x^2, for |x| <= 1
SINH = polynomial(
    (0.166666666, 0.00833333968, 0.00019838102, 2.80628026e-06),
    (0.16666666666666666, 0.008333333333333299, 0.00019841269841324198, 2.7557319191381816e-06,
     2.5052117695907823e-08, 1.6057679623801635e-10, 7.746178593018927e-13),
)  # fmt: skip


@inline
def half_exp(x: Any) -> Any:
    """exp(x) / 2 without overflow where the half is still a number."""
    t, r = reduced(clamped(x, EXP_LOW(x), EXP_HIGH(x)))
    return scaled(ONE(x) + (r + r * r * EXP(r)), t - ONE(t))


@inline
def sinh(x: Any) -> Any:
    """The hyperbolic sine."""
    h = half_exp(absolute(x))
    z = x * x
    return select(absolute(x) < ONE(x), x + x * z * SINH(z), copysign(h - QUARTER(x) / h, x))


@inline
def cosh(x: Any) -> Any:
    """The hyperbolic cosine."""
    h = half_exp(absolute(x))
    return h + QUARTER(x) / h


# ---- logarithms -------------------------------------------------------------------------------------------

SQRT_HALF = constant(0.7071067811865476)
SMALLEST = constant(1.1754943508222875e-38, 2.2250738585072014e-308)
LIFT, LIFT_BITS = constant(2.0**25, 2.0**54), constant(25.0, 54.0)
LOG10_2_HI, LOG10_2_LO = (
    constant(0.30078125, 0.30102999560767785),
    constant(0.0002487456639811952, 5.630334806675098e-11),
)

# (log((1+s)/(1-s)) / s - 2) / s^2 in s^2, for |s| <= (sqrt(2)-1)/(sqrt(2)+1)
LOG = polynomial(
    (0.666666665, 0.400001294, 0.285499686, 0.233534276),
    (0.666666666666667, 0.39999999999886615, 0.28571428631764334, 0.2222221019926421,
     0.18182956608063458, 0.15329500754204178, 0.14643628601909797),
)  # fmt: skip


@inline
def log_parts(x: Any) -> Any:
    """(k, f, s) with x = 2^k (1 + f) for a positive normal x, and s the small rest: log(1 + f) = f - s."""
    i = bits(x)
    k = shift_right(isub(i, bits(SQRT_HALF(x))), MANTISSA(i))
    f = from_bits(isub(i, shift_left(k, MANTISSA(i)))) - ONE(x)
    s = f / (TWO(x) + f)
    z = s * s
    half_square = HALF(x) * f * f
    return to_float(k), f, half_square - s * (half_square + z * LOG(z))


@inline
def log_normal(x: Any) -> Any:
    """log of a positive normal number."""
    k, f, s = log_parts(x)
    return k * LN2_HI(x) - ((s - k * LN2_LO(x)) - f)


@inline
def lifted(x: Any) -> Any:
    """A subnormal as a normal number 2^b times as large, and -b; other numbers as they are, and 0."""
    small = x < SMALLEST(x)
    return select(small, x * LIFT(x), x), select(small, -LIFT_BITS(x), ZERO(x))


@inline
def log_edges(x: Any, y: Any) -> Any:
    """y = log(x) mended where x is not a positive number."""
    y = select(x == INF(x), x, y)
    return select(x > ZERO(x), y, select(x == ZERO(x), -INF(x), NAN(x)))


@inline
def log(x: Any) -> Any:
    """The natural logarithm."""
    u, shift = lifted(x)
    k, f, s = log_parts(u)
    k = k + shift
    return log_edges(x, k * LN2_HI(x) - ((s - k * LN2_LO(x)) - f))


@inline
def log2(x: Any) -> Any:
    """The logarithm to base 2."""
    u, shift = lifted(x)
    k, f, s = log_parts(u)
    return log_edges(x, (f - s) * LOG2_E(x) + (k + shift))


@inline
def log10(x: Any) -> Any:
    """The logarithm to base 10."""
    u, shift = lifted(x)
    k, f, s = log_parts(u)
    k = k + shift
    return log_edges(x, k * LOG10_2_HI(x) + (k * LOG10_2_LO(x) + (f - s) * LOG10_E(x)))


@inline
def log1p(x: Any) -> Any:
    """log(1 + x), accurate near 0."""
    u = ONE(x) + x
    lost = x - (u - ONE(x))
    fine = ior(u > SMALLEST(x), u != u)
    y = log_normal(select(fine, u, ONE(x))) + lost / u
    y = select(u == INF(x), u, y)
    y = select(u > ZERO(x), y, select(u == ZERO(x), -INF(x), NAN(x)))
    return select(absolute(x) < TINY(x), x, y)


@inline
def log1p_unit(e: Any) -> Any:
    """log(1 + e) for e in [0, 1]; nan stays."""
    u = ONE(e) + e
    lost = e - (u - ONE(e))
    # 1/u to second order: what was lost only matters where e is small.
    return log_normal(u) + lost * (ONE(e) + e * (HALF(e) * e - ONE(e)))


@inline
def softplus(x: Any) -> Any:
    """log(1 + e^x)."""
    return relu(x) + log1p_unit(exp_below_one(-absolute(x)))


@inline
def logaddexp(a: Any, b: Any) -> Any:
    """log(e^a + e^b)."""
    d = select(a == b, ZERO(a), a - b)  # inf - inf
    return select(a > b, a, b) + log1p_unit(exp_below_one(-absolute(d)))


@inline
def logaddexp2(a: Any, b: Any) -> Any:
    """log2(2^a + 2^b)."""
    d = select(a == b, ZERO(a), a - b)
    return select(a > b, a, b) + log1p_unit(exp2(-absolute(d))) * LOG2_E(a)


@inline
def arctanh(x: Any) -> Any:
    """The inverse hyperbolic tangent."""
    a = absolute(x)
    return copysign(HALF(x) * log1p((a + a) / (ONE(x) - a)), x)
