"""Numba scalars that select, compare and clamp, and the small constants; see `numba_math` for the rest."""

from __future__ import annotations

from typing import Any

from .numba_ir import absolute, bits, constant, iand, inline, integer, ior, ixor, select, truth

ZERO, HALF, ONE, TWO, QUARTER = map(constant, (0.0, 0.5, 1.0, 2.0, 0.25))
INF, NAN = constant(float("inf")), constant(float("nan"))
INTEGER_ZERO, ALWAYS = integer(0, 0), constant(True)


@inline
def clamped(x: Any, low: Any, high: Any) -> Any:
    """x within [low, high]; nan stays."""
    x = select(x < low, low, x)
    return select(x > high, high, x)


@inline
def square(x: Any) -> Any:
    """x^2."""
    return x * x


@inline
def reciprocal(x: Any) -> Any:
    """1 / x."""
    return ONE(x) / x


@inline
def sign(x: Any) -> Any:
    """-1, 0 or 1; nan stays."""
    y = select(x > ZERO(x), ONE(x), select(x < ZERO(x), -ONE(x), ZERO(x)))
    return select(x != x, x, y)


@inline
def relu(x: Any) -> Any:
    """max(x, 0); nan stays."""
    return select(x <= ZERO(x), ZERO(x), x)


@inline
def maximum(a: Any, b: Any) -> Any:
    """The larger; nan if either is."""
    return select(ior(a >= b, a != a), a, b)


@inline
def minimum(a: Any, b: Any) -> Any:
    """The smaller; nan if either is."""
    return select(ior(a <= b, a != a), a, b)


@inline
def fmax(a: Any, b: Any) -> Any:
    """The larger; nan only if both are."""
    return select(ior(a >= b, b != b), a, b)


@inline
def fmin(a: Any, b: Any) -> Any:
    """The smaller; nan only if both are."""
    return select(ior(a <= b, b != b), a, b)


@inline
def heaviside(x: Any, at_zero: Any) -> Any:
    """0 below zero, 1 above, `at_zero` at it; nan stays."""
    y = select(x > ZERO(x), ONE(x), select(x < ZERO(x), ZERO(x), at_zero))
    return select(x != x, x, y)


@inline
def where(c: Any, a: Any, b: Any) -> Any:
    """`a` where `c` is not 0, else `b`."""
    return select(truth(c), a, b)


@inline
def isnan(x: Any) -> Any:
    """Whether x is not a number."""
    return x != x


@inline
def isinf(x: Any) -> Any:
    """Whether x is infinite."""
    return absolute(x) == INF(x)


@inline
def isfinite(x: Any) -> Any:
    """Whether x is neither infinite nor nan."""
    return absolute(x) < INF(x)


@inline
def signbit(x: Any) -> Any:
    """Whether the sign bit is set, of -0.0 and nan too."""
    return bits(x) < INTEGER_ZERO(bits(x))


@inline
def logical_and(a: Any, b: Any) -> Any:
    """Both not 0."""
    return iand(truth(a), truth(b))


@inline
def logical_or(a: Any, b: Any) -> Any:
    """Either not 0."""
    return ior(truth(a), truth(b))


@inline
def logical_xor(a: Any, b: Any) -> Any:
    """Exactly one not 0."""
    return ixor(truth(a), truth(b))


@inline
def logical_not(a: Any) -> Any:
    """Zero."""
    return ixor(truth(a), ALWAYS(truth(a)))
