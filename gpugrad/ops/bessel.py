"""The modified Bessel functions I0 and I1, plain and scaled by exp(-|x|).

Chebyshev series in double precision (made with 40 digits; the expansions are those of Clenshaw, "Chebyshev series for
mathematical functions", NPL 1962): of exp(-x) I(x) up to 8, of exp(-x) sqrt(x) I(x) beyond. The four are closed under
differentiation.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..backend import backend_of
from ..primitive import FUNCTIONS, Needs, Primitive, public
from .arguments import apply_one, bare, operand
from .costs import per_input, vjp_per_input
from .elementwise import add, divide, multiply, select, sign, subtract

_I0_NEAR: Final = (
    0.6767952744094761, -0.3046826723431984, 0.17162090152220877, -0.09490109704804764, 0.04930528423967071,
    -0.02373741480589947, 0.010546460394594998, -0.004324309995050576, 0.0016394756169413357, -0.0005763755745385824,
    0.00018850288509584165, -5.754195010082104e-05, 1.6448448070728896e-05, -4.4167383584587505e-06,
    1.1173875391201037e-06, -2.670793853940612e-07, 6.046995022541919e-08, -1.300025009986248e-08,
    2.6598237246823866e-09, -5.189795601635263e-10, 9.675809035373237e-11, -1.726826291441556e-11,
    2.95505266312964e-12, -4.856446783111929e-13, 7.676185498604936e-14, -1.1685332877993451e-14,
    1.715391285555133e-15, -2.431279846547955e-16, 3.3307945188222384e-17,
)  # fmt: skip
_I0_FAR: Final = (
    0.8044904110141088, 0.0033691164782556943, 6.889758346916825e-05, 2.8913705208347567e-06, 2.0489185894690638e-07,
    2.266668990498178e-08, 3.3962320257083865e-09, 4.94060238822497e-10, 1.1889147107846439e-11,
    -3.1499165279632416e-11, -1.3215811840447713e-11, -1.7941785315068062e-12, 7.180124451383666e-13,
    3.8527783827421426e-13, 1.54008621752141e-14, -4.150569347287222e-14, -9.554846698828307e-15,
    3.8116806693526224e-15, 1.7725601330565263e-15, -3.425485619677219e-16, -2.8276239805165836e-16,
    3.461222867697461e-17, 4.46562142029676e-17,
)  # fmt: skip
_I1_NEAR: Final = (
    0.25258718644363365, -0.17641651835783406, 0.1026436586898471, -0.05294598120809499, 0.024726449030626516,
    -0.010564084894626197, 0.004156422944312888, -0.0015135724506312532, 0.0005122859561685758,
    -0.00016176081582589674, 4.781565107550054e-05, -1.3273163656039436e-05, 3.4702513081376785e-06,
    -8.568720264695455e-07, 2.0032947535521353e-07, -4.445059128796328e-08, 9.381537386495773e-09,
    -1.8872497517228294e-09, 3.625590281552117e-10, -6.663489723502027e-11, 1.1736186298890901e-11,
    -1.9839743977649436e-12, 3.223793365945575e-13, -5.042185504727912e-14, 7.600684294735408e-15,
    -1.1055969477353862e-15, 1.5536319577362005e-16, -2.111421214358166e-17,
)  # fmt: skip
_I1_FAR: Final = (
    0.7785762350182801, -0.009761097491361469, -0.00011058893876262371, -3.882564808877691e-06,
    -2.512236237870209e-07, -2.6314688468895196e-08, -3.835380385964237e-09, -5.589743462196584e-10,
    -1.8974958123505413e-11, 3.2526035830154884e-11, 1.4125807436613782e-11, 2.0356285441470896e-12,
    -7.198551776245908e-13, -4.0835511110921974e-13, -2.1015418427726643e-14, 4.272440016711951e-14,
    1.0420276984128802e-14, -3.8144030724370075e-15, -1.8803547755107825e-15, 3.3082023109209285e-16,
    2.96262899764595e-16, -3.209525921993424e-17, -4.6503053684893586e-17,
)  # fmt: skip
_TERMS: Final = {0: (_I0_NEAR, _I0_FAR), 1: (_I1_NEAR, _I1_FAR)}


def _chebyshev(coefficients: tuple[float, ...], t: Any) -> Any:
    """The series at t in [-1, 1] by Clenshaw's recurrence (the first coefficient counts half)."""
    later, last = t * 0, t * 0
    for c in coefficients[:0:-1]:
        later, last = 2 * t * later - last + c, later
    return t * later - last + coefficients[0] / 2


def _scaled(x: Any, order: int) -> Any:
    """exp(-|x|) I(x), computed in double precision."""
    xp = backend_of(x).xp
    y = xp.abs(x.astype(np.float64, copy=False))
    near, far = _TERMS[order]
    inner, outer = xp.minimum(y, 8.0), xp.maximum(y, 8.0)
    small = _chebyshev(near, inner / 4 - 1)
    large = _chebyshev(far, 16 / outer - 1) / xp.sqrt(outer)
    if order:
        small = small * inner
        return xp.where(y <= 8.0, small, large) * xp.where(x < 0, -1.0, 1.0)
    return xp.where(y <= 8.0, small, large)


def _forward(order: int, scaled: bool) -> Any:
    def forward(needs: Needs, x: Any) -> tuple[Any, tuple[Any, ...]]:
        xp = backend_of(x).xp
        value = _scaled(x, order)
        if not scaled:
            value = value * xp.exp(xp.abs(x.astype(np.float64, copy=False)))
        return xp.asarray(value).astype(x.dtype, copy=False), ()

    return forward


def over_x(y: Any, x: Any) -> Any:
    """I1 / x, 1/2 at 0 (also of the scaled I1)."""
    zero = bare(x) == 0
    return select(zero, 0.5, divide(y, select(zero, 1.0, x)))


def _i0_rule(g: Any, needs: Needs, x: Any) -> tuple[Any, ...]:
    return (multiply(g, i1(x)),)


def _i1_rule(g: Any, needs: Needs, x: Any, y: Any) -> tuple[Any, ...]:
    return (multiply(g, subtract(i0(x), over_x(y, x))),)


def _i0e_rule(g: Any, needs: Needs, x: Any, y: Any) -> tuple[Any, ...]:
    return (multiply(g, subtract(i1e(x), multiply(sign(x), y))),)


def _i1e_rule(g: Any, needs: Needs, x: Any, y: Any) -> tuple[Any, ...]:
    return (multiply(g, subtract(i0e(x), add(multiply(sign(x), y), over_x(y, x)))),)


I0 = Primitive("i0", _forward(0, False), _i0_rule, keeps=((0,),), flops=per_input(1), vjp_flops=vjp_per_input(2))
I1 = Primitive("i1", _forward(1, False), _i1_rule, keeps=((0, -1),), flops=per_input(1), vjp_flops=vjp_per_input(7))
I0E = Primitive("i0e", _forward(0, True), _i0e_rule, keeps=((0, -1),), flops=per_input(1), vjp_flops=vjp_per_input(5))
I1E = Primitive("i1e", _forward(1, True), _i1e_rule, keeps=((0, -1),), flops=per_input(1), vjp_flops=vjp_per_input(10))


def _real(name: str, x: Any) -> Any:
    x = operand(x)
    if x.dtype.kind == "c":
        raise TypeError(f"[{name}] an operand of dtype {x.dtype}; expected real numbers")
    return FUNCTIONS["astype"](x, np.float64) if x.dtype.kind in "iub" else x


@public
def i0(x: Any) -> Any:
    """The modified Bessel function of the first kind of order 0; its derivative is `i1`."""
    return apply_one(I0, _real("i0", x), {})


@public
def i1(x: Any) -> Any:
    """The modified Bessel function of the first kind of order 1."""
    return apply_one(I1, _real("i1", x), {})


@public
def i0e(x: Any) -> Any:
    """`i0` times exp(-|x|), which stays in range; at 0 its derivative is 0."""
    return apply_one(I0E, _real("i0e", x), {})


@public
def i1e(x: Any) -> Any:
    """`i1` times exp(-|x|), which stays in range."""
    return apply_one(I1E, _real("i1e", x), {})
