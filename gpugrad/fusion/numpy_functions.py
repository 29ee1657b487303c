"""What NumPy lacks or does slowly: functions expanded into ufuncs, and array bodies for the rest.

`LOWERINGS` rewrites a function of the language as an expression that costs a few ufunc passes. The bodies behave like
ufuncs, `body(x, ..., out=None)`, and read every operand before they write `out`, which may therefore be an operand.
"""

from __future__ import annotations

import contextvars
import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .expr import Expr, call, const, is_const

Array = NDArray[Any]
Body = Callable[..., Any]

# Below this many elements the plain NumPy call costs less than the views and the clip method's Python layer.
TINY: Final = 2048


# erf(t) = tanh(t * P(t * t)), absolute error 1.4e-7 and relative error 6e-7 in float32; P is positive and grows
# beyond its fitting range t <= 3.9, so that the tail saturates at 1 without clipping. Highest power first.
_ERF_FLOAT32: Final = (
    1.5895069793714356e-07, -5.985559710097732e-06, 8.971194620244205e-05, -6.257182103581727e-04,
    -1.8436496044936838e-04, 0.10276547819375992, 1.1283797025680542,
)  # fmt: skip


def _horner(coefficients: tuple[float, ...], u: Expr) -> Expr:
    total = const(coefficients[0])
    for c in coefficients[1:]:
        total = total * u + c
    return total


def _sigmoid(dtype: np.dtype[Any], x: Expr) -> Expr:
    # 0.5 * tanh(x / 2) + 0.5 is a fifth faster but cancels for x < 0: its relative error is 1e-3 at -10 in float32.
    return call("reciprocal", 1.0 + call("exp", -x))


def _softplus(dtype: np.dtype[Any], x: Expr) -> Expr:
    if dtype.kind == "c":
        return call("log1p", call("exp", x))
    return call("maximum", x, 0.0) + call("log1p", call("exp", -abs(x)))


def _erf(dtype: np.dtype[Any], t: Expr) -> Expr | None:
    return call("tanh", t * _horner(_ERF_FLOAT32, call("square", t))) if dtype == np.float32 else None


def _log_add(exp: str, scale: float) -> Callable[..., Expr | None]:
    def lowering(dtype: np.dtype[Any], a: Expr, b: Expr) -> Expr | None:
        if dtype.kind != "f":
            return None
        largest = call("maximum", a, b)
        # The selection answers equal infinities, whose difference is nan; a real nan comes through `largest`.
        apart = call("where", call("equal", a, b), 0.0, call("minimum", a, b) - largest)
        return largest + scale * call("log1p", call(exp, apart))

    return lowering


def _where(dtype: np.dtype[Any], c: Expr, a: Expr, b: Expr) -> Expr | None:
    """where(x > 0, x, k * x) with 0 < k <= 1, the leaky ReLU, is a maximum: bit for bit, at a quarter of the time."""
    leaky = dtype.kind == "f" and c.op == "greater" and c.args[0] is a and is_const(c.args[1], 0)
    if leaky and b.op == "multiply" and is_const(b.args[0]) and b.args[1] is a and 0.0 < b.args[0].value <= 1.0:
        return call("maximum", a, b)
    return None


# op -> expansion, given the dtype of the result and the operands; None keeps the op for `body_of`.
LOWERINGS: Final[dict[str, Callable[..., Expr | None]]] = {
    "relu": lambda dtype, x: call("maximum", x, 0.0),
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "erf": _erf,
    "logaddexp": _log_add("exp", 1.0),
    "where": _where,
    "logaddexp2": _log_add("exp2", 1.0 / math.log(2.0)),
}

# Expansions and bodies whose inner values overflow, or meet inf - inf, where the result is well defined.
NOISY: Final = frozenset("sigmoid erf erfc erfcx lgamma digamma logaddexp logaddexp2".split())

_idle_contexts: list[contextvars.Context] = []


def quiet(fn: Callable[..., Any], *args: Any) -> Any:
    """`fn(*args)` without floating point warnings, at a third of the price of `with np.errstate(...)`.

    NumPy keeps its error state in a context variable: running inside a context in which it is set once is enough.
    """
    try:
        context = _idle_contexts.pop()
    except IndexError:
        context = contextvars.Context()
        context.run(np.seterr, all="ignore")
    try:
        return context.run(fn, *args)
    finally:
        _idle_contexts.append(context)


def cast_to(dtype: np.dtype[Any]) -> Body:
    """A body that converts its operand to `dtype`."""

    def cast(x: Any, out: Array | None = None) -> Array:
        if out is None:
            return np.asarray(x).astype(dtype)
        np.copyto(out, x, casting="unsafe")
        return out

    return cast


def bound_by(side: str, bound: Array) -> Body:
    """max(x, bound) for side "maximum", min(x, bound) for "minimum", at a constant; nan goes through.

    NumPy's maximum takes 0.4 ns an element against a constant, clip 0.12; both give the same bits.
    """
    dtype = bound.dtype
    ufunc = np.maximum if side == "maximum" else np.minimum
    if dtype.kind != "f":
        return lambda x, out=None: ufunc(bound, x, out=out)
    infinite = np.array(np.inf if side == "maximum" else -np.inf, dtype)
    low, high = (bound, infinite) if side == "maximum" else (infinite, bound)

    def bounded(x: Any, out: Array | None = None) -> Any:
        return ufunc(bound, x, out=out) if x.size < TINY else x.clip(low, high, out)

    return bounded


_SAME_SIZE: Final = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


def select_for(dtype: np.dtype[Any], zero: str) -> Body:
    """`where` for operands of `dtype`; `zero` says which branch is the constant 0.0: "a", "b" or "" for neither.

    Its operands are the mask, the branches and room for what `selecting` says, of the result's shape, or None.
    np.where mispredicts its branch on every other element of a random mask (2.7 ns). Multiplying the bits of the
    branch by the mask, as integers, takes 0.25 ns (0.5 for two branches) and leaks neither inf nor nan.
    """
    integer = _SAME_SIZE.get(dtype.itemsize)
    if integer is None or dtype.kind not in "fiub":
        return _plain_where

    def one_branch(c: Any, a: Any, b: Any, room: Array | None, out: Array | None = None) -> Any:
        kept, mask = (a, c) if zero == "b" else (b, c)
        if kept.size < TINY and mask.size < TINY:
            return _plain_where(c, a, b, None, out)
        if zero == "a":
            mask = np.logical_not(c, room)
        chosen = np.multiply(kept.view(integer), mask.view(np.int8), None if out is None else out.view(integer))
        return chosen.view(dtype) if out is None else out

    def two_branches(c: Any, a: Any, b: Any, room: Array | None, out: Array | None = None) -> Any:
        if a.size < TINY and b.size < TINY and c.size < TINY:
            return _plain_where(c, a, b, None, out)
        other = b.view(integer)
        spare = None if room is None else room.view(integer)
        spans = spare is not None and spare.shape in (a.shape, b.shape)
        difference = np.bitwise_xor(a.view(integer), other, spare if spans else None)
        if spare is None and difference.shape == (c.shape if out is None else out.shape):
            spare = difference
        masked = np.multiply(difference, c.view(np.int8), spare)
        chosen = np.bitwise_xor(masked, other, None if out is None else out.view(integer))
        return chosen.view(dtype) if out is None else out

    return one_branch if zero else two_branches


def selecting(dtype: np.dtype[Any], zero: str) -> np.dtype[Any] | None:
    """What `select_for` needs room for: where the branches differ, or the mask turned round."""
    if _SAME_SIZE.get(dtype.itemsize) is None or dtype.kind not in "fiub" or zero == "b":
        return None
    return np.dtype(bool) if zero == "a" else dtype


def _plain_where(c: Any, a: Any, b: Any, room: Array | None, out: Array | None = None) -> Any:
    chosen = np.where(c, a, b)
    if out is None:
        return chosen
    np.copyto(out, chosen)
    return out


def _ratio(top: tuple[float, ...], bottom: tuple[float, ...], u: Array) -> Array:
    numerator, denominator = top[0] * u, bottom[0] * u
    for c in top[1:-1]:
        numerator += c
        numerator *= u
    for c in bottom[1:-1]:
        denominator += c
        denominator *= u
    return np.asarray((numerator + top[-1]) / (denominator + bottom[-1]))


# W. J. Cody, "Rational Chebyshev approximation for the error function", Math. Comp. 23 (1969); highest power first.
_ERF_TOP: Final = (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2,
                   3.20937758913846947e3)  # fmt: skip
_ERF_BOTTOM: Final = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3,
                      2.84423683343917062e3)  # fmt: skip
_MIDDLE_TOP: Final = (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
                      2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
                      1.23033935479799725e3)  # fmt: skip
_MIDDLE_BOTTOM: Final = (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2,
                         1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3,
                         1.23033935480374942e3)  # fmt: skip
_FAR_TOP: Final = (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
                   1.60837851487422766e-2, 6.58749161529837803e-4)  # fmt: skip
_FAR_BOTTOM: Final = (1.0, 2.56852019228982242, 1.87295284992346725, 5.27905102951428412e-1, 6.05183413124413191e-2,
                      2.33520497626869185e-3)  # fmt: skip
_NEAR: Final = 0.46875


def _scaled_erfc(y: Array) -> Array:
    """exp(y * y) * erfc(y) for y > 0.46875."""
    result = np.empty_like(y)
    middle = y <= 4.0
    result[middle] = _ratio(_MIDDLE_TOP, _MIDDLE_BOTTOM, y[middle])
    far = ~middle  # nan too
    u = y[far]
    w = 1.0 / np.square(u)
    result[far] = (1.0 / math.sqrt(math.pi) - w * _ratio(_FAR_TOP, _FAR_BOTTOM, w)) / u
    return result


def _gauss(y: Array) -> Array:
    """exp(-y * y), with the square split so that its rounding does not reach the exponent."""
    coarse = np.trunc(np.minimum(y, 40.0) * 16.0) / 16.0
    return np.asarray(np.exp(-coarse * coarse) * np.exp(-(y - coarse) * (y + coarse)))


def _error_function(near_value: Callable[[Array], Array], far_value: Callable[[Array, Array], Array]) -> Body:
    """A body from erf near 0 and from (x, |x|) elsewhere."""

    def body(x: Array) -> Array:
        y = np.abs(x)
        result = np.empty_like(x)
        near = y <= _NEAR
        inner = x[near]
        result[near] = near_value(inner * _ratio(_ERF_TOP, _ERF_BOTTOM, np.square(inner)))
        far = ~near
        result[far] = far_value(x[far], y[far])
        return result

    return body


def _erfc_far(x: Array, y: Array) -> Array:
    tail = _gauss(y) * _scaled_erfc(y)
    return np.asarray(np.where(x < 0.0, 2.0 - tail, tail))


def _erfcx(x: Array) -> Array:
    y = np.abs(x)
    square = np.exp(x * x)
    near = y <= _NEAR
    inner = np.where(near, x, 0.0)
    small = square * (1.0 - inner * _ratio(_ERF_TOP, _ERF_BOTTOM, np.square(inner)))
    scaled = _scaled_erfc(np.where(near, 1.0, y))
    return np.asarray(np.where(near, small, np.where(x < 0.0, 2.0 * square - scaled, scaled)))


def _off_integer(x: Array) -> Array:
    """x minus the nearest integer, exactly: sin and tan of pi * x without the rounding of pi * x."""
    return np.asarray(x - np.rint(x))


# Bernoulli series in 1/x**2, highest power first (Abramowitz & Stegun 6.1.41 and 6.3.18).
_STIRLING: Final = (1 / 156, -691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12)
_DIGAMMA: Final = (-1 / 12, 691 / 32760, -1 / 132, 1 / 240, -1 / 252, 1 / 120, -1 / 12)
_ASYMPTOTIC: Final = 10.0


def _series(coefficients: tuple[float, ...], u: Array) -> Array:
    total = np.full_like(u, coefficients[0])
    for c in coefficients[1:]:
        total *= u
        total += c
    return total


def _lgamma(x: Array) -> Array:
    """log |gamma(x)|: reflection to x >= 1/2, recurrence to x >= 10, Stirling's series; absolute error ~ 5e-15."""
    reflected = x < 0.5
    z = np.where(reflected, 1.0 - x, x)
    product = np.ones_like(z)
    for _ in range(int(_ASYMPTOTIC)):
        below = z < _ASYMPTOTIC
        np.multiply(product, z, out=product, where=below)
        z += below
    series = _series(_STIRLING, 1.0 / (z * z)) / z
    value = (z - 0.5) * (np.log(z) - 1.0) + (0.5 * math.log(2.0 * math.pi) - 0.5) + series - np.log(product)
    mirror = math.log(math.pi) - np.log(np.abs(np.sin(math.pi * _off_integer(x)))) - value
    return np.asarray(np.where(np.isinf(x), np.inf, np.where(reflected, mirror, value)))


def _digamma(x: Array) -> Array:
    """The derivative of lgamma; nan at the negative integers, -inf and +inf at 0.0 and -0.0."""
    reflected = x < 0.5
    z = np.where(reflected, 1.0 - x, x)
    total = np.zeros_like(z)
    for _ in range(int(_ASYMPTOTIC)):
        below = z < _ASYMPTOTIC
        total -= np.where(below, 1.0 / z, 0.0)
        z += below
    u = 1.0 / (z * z)
    value = np.log(z) - 0.5 / z + u * _series(_DIGAMMA, u) + total
    pole = (x < 0.0) & (x == np.rint(x))
    mirror = value - math.pi / np.tan(math.pi * _off_integer(x))
    mirror = np.where(pole, np.nan, np.where(x == 0.0, -np.copysign(np.inf, x), mirror))
    return np.asarray(np.where(reflected, mirror, value))


_BODIES: Final[dict[str, Callable[[Array], Array]]] = {
    "erf": _error_function(lambda near: near, lambda x, y: np.copysign(1.0 - _gauss(y) * _scaled_erfc(y), x)),
    "erfc": _error_function(lambda near: 1.0 - near, _erfc_far),
    "erfcx": _erfcx,
    "lgamma": _lgamma,
    "digamma": _digamma,
}

# Bytes an element that each takes while it runs, as seen on normal arguments.
BODY_SCRATCH: Final = {"erf": 80, "erfc": 80, "erfcx": 88, "lgamma": 60, "digamma": 60}


def body_of(op: str, dtype: np.dtype[Any]) -> Body | None:
    """The array body of `op` for results of `dtype`, computed in float64; None if NumPy has a ufunc for it."""
    compute = _BODIES.get(op)
    if compute is None:
        return None

    def body(x: Any, out: Array | None = None) -> Array:
        result = compute(np.atleast_1d(np.asarray(x, np.float64))).reshape(np.shape(x))
        if out is None:
            return result.astype(dtype, copy=False)
        np.copyto(out, result, casting="same_kind")
        return out

    return body


def repeating(inner: int, count: int, itemsize: int) -> int:
    """Bytes that NumPy's ufuncs take to repeat an operand that spans only the last axes of a result, or all others.

    They copy it until it fills a buffer, so as to loop over more than `inner` elements, those of the last axes, at a
    time; there are `count` times as many in the result.
    """
    times = min(count, np.getbufsize() // max(1, inner))
    return times * inner * itemsize if times > 1 else 0
