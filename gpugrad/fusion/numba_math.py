"""The functions of the expression language as Numba scalars that LLVM turns into SIMD: no branch, no libm.

Each works for float32 and float64 within about 2 ulp (erf, erfc and tan: 4), keeps nan, inf and the tails,
and is named as in `expr.SIGNATURES`. Generated loops find all of them here, the simpler from modules beside.
"""

from __future__ import annotations

from typing import Any

from .numba_exp import (
    MAGIC,
    ONE_BIT,
    SMALLEST,
    TINY,
    arctanh,
    cosh,
    exp,
    exp2,
    exp_below_one,
    exp_of_sum,
    expm1,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logaddexp2,
    sigmoid,
    sinh,
    softplus,
    tanh,
)
from .numba_ir import (
    absolute,
    bits,
    ceil,
    constant,
    copysign,
    floor,
    from_bits,
    iadd,
    iand,
    idiv,
    inline,
    integer,
    ior,
    ixor,
    narrow,
    number,
    polynomial,
    rint,
    select,
    shift_left,
    sqrt,
    trunc,
    truth,
    widen,
)
from .numba_select import (
    ALWAYS,
    HALF,
    INF,
    INTEGER_ZERO,
    NAN,
    ONE,
    TWO,
    ZERO,
    clamped,
    fmax,
    fmin,
    heaviside,
    isfinite,
    isinf,
    isnan,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    reciprocal,
    relu,
    sign,
    signbit,
    square,
)

__all__ = [
    "absolute",
    "arctan",
    "arctanh",
    "cbrt",
    "ceil",
    "copysign",
    "cos",
    "cosh",
    "erf_double",
    "erf_single",
    "erfc",
    "erfcx",
    "exp",
    "exp2",
    "exp_below_one",
    "expm1",
    "floor",
    "fmax",
    "fmin",
    "heaviside",
    "hypot_double",
    "hypot_single",
    "ior",
    "isfinite",
    "isinf",
    "isnan",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "number",
    "power_single",
    "reciprocal",
    "relu",
    "rint",
    "select",
    "sigmoid",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "softplus",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "trunc",
    "truth",
    "wild",
]

# ---- error function ---------------------------------------------------------------------------------------

# erf(x)/x in x^2, for |x| <= 1
ERF = polynomial(
    (1.12837917, -0.376126385, 0.112837825, -0.0268654307, 0.00522103181, -0.000848408041,
     0.00011265959, -9.66704457e-06),
    (1.1283791670955126, -0.37612638903183754, 0.1128379167095512, -0.02686617064512984,
     0.0052239776254232985, -0.000854832702193483, 0.00012055332902888736, -1.4925647567519332e-05,
     1.6462045441468418e-06, -1.6364642158167616e-07, 1.4792401209404813e-08, -1.216456005728345e-09,
     8.709045129053106e-11, -4.230945824295338e-12),
)  # fmt: skip
# (1 + 2x) exp(x^2) erfc(x) in t = (x-K)/(x+K), for x >= 0: M. M. Shepherd and J. G. Laframboise, Math. Comp.
# 36 (1981)
ERFCX = polynomial(
    (1.23751262, -0.140240608, 0.0035863101, 0.0822774176, -0.108814585, 0.092296368, -0.0586459829,
     0.0283964821, -0.00984549109, 0.00168866223, 0.000396704638, -0.000228747234),
    (1.2375126308378275, -0.14024059858554702, 0.0035854154854644583, 0.08227673849015109,
     -0.10880393014175023, 0.09230432116019638, -0.05869339858961117, 0.028362277421543968,
     -0.009746579558275025, 0.0017556258321916633, 0.0002937136669838081, -0.0002901539781386568,
     5.164909388906885e-05, 2.2383908279901596e-05, -1.1444134398225951e-05, -9.728413538916557e-07,
     1.751618955686499e-06, -5.82750033858937e-08, -2.5864900830784614e-07, 2.4301821961460095e-08,
     3.866243316780863e-08, -4.396909203548558e-09, -5.169085833030889e-09, 5.485031773947419e-10,
     4.243313202827839e-10, -3.797969384749301e-11),
)  # fmt: skip
TWICE_K = constant(7.5)
HIGH_HALF = integer(-4096, -134217728)
# erf(x)/x as a ratio of polynomials in x^2, up to where erf rounds to 1 in float32
ERF_TOP = polynomial(
    (1.12837922, 0.182429873, 0.0543378914, 0.0037823032, 0.000393804895, 5.14780034e-06,
     -1.54517495e-08),
    (0.0,),
)  # fmt: skip
ERF_BOTTOM = polynomial((1.0, 0.495008485, 0.113155087, 0.0153849621, 0.00131215351, 6.74156523e-05), (0.0,))
ERF_END = constant(3.85)


@inline
def erf_single(x: Any) -> Any:
    """erf for float32."""
    a = clamped(x, -ERF_END(x), ERF_END(x))
    z = a * a
    return clamped(a * ERF_TOP(z) / ERF_BOTTOM(z), -ONE(x), ONE(x))


@inline
def erfcx_positive(a: Any) -> Any:
    """exp(a^2) erfc(a) for a >= 0."""
    t = ONE(a) - TWICE_K(a) / (a + HALF(a) * TWICE_K(a))
    return HALF(a) * ERFCX(t) / (HALF(a) + a)


@inline
def exp_square(a: Any, sign: Any) -> Any:
    """exp(sign * a^2), with the bits of a^2 that do not fit in one number."""
    high = from_bits(iand(bits(a), HIGH_HALF(bits(a))))
    return exp_of_sum(sign * high * high, sign * (a - high) * (a + high))


ERFC_END = constant(11.0, 28.0)


@inline
def erfc(x: Any) -> Any:
    """1 - erf(x), accurate in the tail."""
    a = clamped(absolute(x), ZERO(x), ERFC_END(x))
    tail = exp_square(a, -ONE(x)) * erfcx_positive(a)
    return select(x < ZERO(x), TWO(x) - tail, tail)


@inline
def erf_double(x: Any) -> Any:
    """erf for float64."""
    a = clamped(absolute(x), ZERO(x), ERFC_END(x))
    tail = exp_square(a, -ONE(x)) * erfcx_positive(a)
    small = clamped(x, -ONE(x), ONE(x))
    return select(absolute(x) < ONE(x), small * ERF(small * small), copysign(ONE(x) - tail, x))


@inline
def erfcx(x: Any) -> Any:
    """exp(x^2) erfc(x)."""
    a = absolute(x)
    positive = erfcx_positive(a)
    grown = exp_square(clamped(a, ZERO(a), ERFC_END(a)), ONE(x))
    return select(x < ZERO(x), TWO(x) * grown - positive, positive)


# ---- trigonometry -----------------------------------------------------------------------------------------

# pi/2 in parts of 33 bits, so that n times a part is exact for n up to 2^20
PIO2_1, PIO2_2, PIO2_3 = map(constant, (1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21))
TWO_OVER_PI = constant(0.6366197723675814)
TAME = constant(1.6e6)

# (sin(r)/r - 1) / r^2 and (cos(r) - 1 + r^2/2) / r^4 in r^2, for |r| <= pi/4
SIN = polynomial(
    (-0.166666667, 0.00833333179, -0.000198400391, 2.7243812e-06),
    (-0.16666666666666666, 0.008333333333333331, -0.0001984126984126457, 2.755731921895673e-06,
     -2.5052106100926675e-08, 1.605851097953535e-10, -7.585492507821142e-13),
)  # fmt: skip
COS = polynomial(
    (0.0416666645, -0.00138882794, 2.45428963e-05),
    (0.041666666666666664, -0.0013888888888887241, 2.4801587298533456e-05, -2.755731715246704e-07,
     2.0876121658871157e-09, -1.1380876948169573e-11),
)  # fmt: skip


@inline
def wild(x: Any) -> Any:
    """Whether |x| is beyond the range of the fast reduction; the caller then takes the C library's."""
    return absolute(x) > TAME(x)


@inline
def quarter_turns(x: Any) -> Any:
    """(n, r): x = n pi/2 + r with |r| <= pi/4; n in the low bits of an integer of the size of x."""
    d = widen(x)
    t = d * TWO_OVER_PI(d) + MAGIC(d)
    n = t - MAGIC(d)
    near = d - n * PIO2_1(d)
    step = n * PIO2_2(d)
    r = near - step
    rest = ((near - r) - step) - n * PIO2_3(d)
    turns = narrow(n, x) + MAGIC(x)
    return bits(turns), narrow(r + rest, x)


@inline
def sine_cosine(r: Any) -> Any:
    """(sin(r), cos(r)) for |r| <= pi/4."""
    z = r * r
    sine = r + r * z * SIN(z)
    cosine = ONE(r) - (HALF(r) * z - z * z * COS(z))
    return sine, cosine


TWO_BIT = integer(2, 2)
SIGN_SHIFT = integer(30, 62)


@inline
def turned(n: Any, r: Any) -> Any:
    """sin(n pi/2 + r)."""
    sine, cosine = sine_cosine(r)
    value = select(iand(n, ONE_BIT(n)) == ONE_BIT(n), cosine, sine)
    return from_bits(ixor(bits(value), shift_left(iand(n, TWO_BIT(n)), SIGN_SHIFT(n))))


@inline
def sin(x: Any) -> Any:
    """The sine, for arguments that are not `wild`."""
    n, r = quarter_turns(x)
    return select(absolute(x) < TINY(x), x, turned(n, r))


@inline
def cos(x: Any) -> Any:
    """The cosine, for arguments that are not `wild`."""
    n, r = quarter_turns(x)
    return turned(iadd(n, ONE_BIT(n)), r)


@inline
def tan(x: Any) -> Any:
    """The tangent, for arguments that are not `wild`."""
    n, r = quarter_turns(x)
    y = turned(n, r) / turned(iadd(n, ONE_BIT(n)), r)
    return select(absolute(x) < TINY(x), x, y)


# (atan(z)/z - 1) / z^2 in z^2, for |z| <= tan(pi/8)
ATAN = polynomial(
    (-0.333333317, 0.199995234, -0.142633666, 0.10737397, -0.0643103871),
    (-0.3333333333333333, 0.1999999999999509, -0.14285714284577217, 0.11111111008107874,
     -0.09090904289128515, 0.0769217651079592, -0.06664417824186859, 0.058573396761378065,
     -0.050812361646392586, 0.03911053674339208, -0.01902929080965091),
)  # fmt: skip
TAN_PI_8, TAN_3PI_8 = constant(0.4142135623730951), constant(2.414213562373095)
PI_4, PI_2 = constant(0.7853981633974483), constant(1.5707963267948966)


@inline
def arctan(x: Any) -> Any:
    """The inverse tangent."""
    a = absolute(x)
    steep, middle = a > TAN_3PI_8(x), a > TAN_PI_8(x)
    z = select(steep, -ONE(x) / a, select(middle, (a - ONE(x)) / (a + ONE(x)), a))
    base = select(steep, PI_2(x), select(middle, PI_4(x), ZERO(x)))
    return copysign(base + (z + z * (z * z) * ATAN(z * z)), x)


# ---- powers and roots -------------------------------------------------------------------------------------


@inline
def power_single(a: Any, b: Any) -> Any:
    """a ** b for float32, through float64; there is no float64 version (it needs a longer logarithm)."""
    base, exponent = widen(a), widen(b)
    magnitude = log(absolute(base))
    y = exp(exponent * magnitude)
    y = select(ior(magnitude == ZERO(magnitude), exponent == ZERO(exponent)), ONE(y), y)
    whole = trunc(exponent) == exponent
    odd = iand(whole, trunc(exponent * HALF(exponent)) != exponent * HALF(exponent))
    negative = bits(base) < INTEGER_ZERO(bits(base))
    y = select(iand(negative, odd), -y, y)
    y = select(iand(iand(base < ZERO(base), base > -INF(base)), ixor(whole, ALWAYS(whole))), NAN(y), y)
    keep_one = ior(exponent == ZERO(exponent), base == ONE(base))
    y = select(iand(ior(base != base, exponent != exponent), ixor(keep_one, ALWAYS(whole))), NAN(y), y)
    return narrow(select(keep_one, ONE(y), y), a)


THIRD_BITS = integer(709921077, 0x2A9F7893782DA1CE)
THREE_BIT = integer(3, 3)
CBRT_LIFT, CBRT_DROP = constant(2.0**24, 2.0**54), constant(2.0**-8, 2.0**-18)
CBRT_LARGE, SIXTY_FOURTH, FOUR = constant(1e37, 1e307), constant(0.015625), constant(4.0)


@inline
def halley(t: Any, a: Any) -> Any:
    """One step towards t^3 = a; the error is cubed."""
    cube = t * t * t
    return t + t * ((a - cube) / (cube + cube + a))


@inline
def cbrt(x: Any) -> Any:
    """The cube root."""
    a = absolute(x)
    small, large = a < SMALLEST(x), a > CBRT_LARGE(x)
    u = select(small, a * CBRT_LIFT(x), select(large, a * SIXTY_FOURTH(x), a))
    t = from_bits(iadd(idiv(bits(u), THREE_BIT(bits(u))), THIRD_BITS(bits(u))))
    t = halley(halley(halley(t, u), u), u)
    y = copysign(select(small, t * CBRT_DROP(x), select(large, FOUR(x) * t, t)), x)
    return select(ior(a == ZERO(x), ior(a == INF(x), a != a)), x, y)


@inline
def hypot_single(a: Any, b: Any) -> Any:
    """hypot for float32: the squares fit in float64."""
    p, q = widen(a), widen(b)
    y = narrow(sqrt(p * p + q * q), a)
    return select(ior(absolute(a) == INF(a), absolute(b) == INF(b)), INF(a), y)


@inline
def hypot_double(a: Any, b: Any) -> Any:
    """hypot for float64, scaled by the larger operand."""
    p, q = absolute(a), absolute(b)
    large, small = select(p > q, p, q), select(p > q, q, p)
    ratio = small / select(large == ZERO(a), ONE(a), large)
    y = large * sqrt(ONE(a) + ratio * ratio)
    y = select(ior(a != a, b != b), NAN(a), y)
    return select(ior(p == INF(a), q == INF(a)), INF(a), y)
