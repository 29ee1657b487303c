"""Bessel functions of real argument: of any order, and of the orders 0 and 1 for which every library has code.

SciPy evaluates them. Each is a primitive that is closed under differentiation by its recurrence (NIST's Digital Library
of Mathematical Functions, 10.6 and 10.29). With respect to the order there is no derivative.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from ..backend import backend_of
from ..backend.placing import placed
from ..nodes import GradientError
from ..primitive import Needs, Primitive, Shape, public
from ..tensor import apply
from .arguments import apply_one, bare
from .bessel import over_x
from .costs import per_output
from .elementwise import add, divide, multiply, negative, sign, subtract
from .evaluated import evaluated, reals
from .matrices import differentiated

# ---- of any order

# The derivative is half the function of the order below, plus or minus half that of the order above ("kv", "kve": both
# with a minus), and for a function scaled by an exponential that factor's own part.
_ABOVE: Final = {"jv": -0.5, "yv": -0.5, "yn": -0.5, "iv": 0.5, "ive": 0.5, "kv": -0.5, "kve": -0.5}


def _no_gradient(kind: str, v: Any) -> GradientError:
    return GradientError(
        f"[{kind}] a gradient with respect to the order, of shape {tuple(v.shape)}, has no closed form and is not "
        "provided; pass the order as a constant, e.g. v.detach()"
    )


def _forward(needs: Needs, v: Any, x: Any, *, kind: str) -> tuple[Any, tuple[Any, ...]]:
    if needs[0]:
        raise _no_gradient(kind, v)
    return evaluated(kind, v, x), ()


@placed
def _yn(v: Any, x: Any) -> Any:
    """`yn` of an integer order of either sign: CUDA's has none below 0."""
    n = bare(v)
    xp = backend_of(n).xp
    turned = xp.asarray(xp.where((n < 0) & (n % 2 == 1), -1.0, 1.0)).astype(n.dtype, copy=False)
    return multiply(turned, apply(BESSEL, (xp.asarray(xp.abs(n)), x), {"kind": "yn"}))


def _of(kind: str, v: Any, x: Any) -> Any:
    return _yn(v, x) if kind == "yn" else apply(BESSEL, (v, x), {"kind": kind})


def _rule(g: Any, needs: Needs, v: Any, x: Any, *, kind: str) -> tuple[Any, ...]:
    below, above = _of(kind, subtract(v, 1.0), x), _of(kind, add(v, 1.0), x)
    half = -0.5 if kind in ("kv", "kve") else 0.5
    slope = multiply((subtract if half != _ABOVE[kind] else add)(below, above), half)
    if kind == "ive":
        slope = subtract(slope, multiply(sign(x), _of(kind, v, x)))
    elif kind == "kve":
        slope = add(slope, _of(kind, v, x))
    return None, multiply(g, slope)


# Of the rule, for each element of the result and of the order; for the other kinds 5 and 2.
_OPERATIONS: Final = {"yn": (7, 12), "ive": (9, 2), "kve": (7, 2)}


def _vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, kind: str) -> int:
    each, of_order = _OPERATIONS.get(kind, (5, 2))
    return each * math.prod(out_shape) + of_order * math.prod(shapes[0])


BESSEL = Primitive("bessel", _forward, _rule, keeps=((), (0, 1)), flops=per_output(1), vjp_flops=_vjp_flops)


def _of_order(kind: str, v: Any, x: Any) -> Any:
    return apply(BESSEL, reals(kind, v, x), {"kind": kind})


@public
def jv(v: Any, x: Any) -> Any:
    """The Bessel function of the first kind, of real order `v`; on the CPU.

    Args:
        v: the order, broadcast with x; it has no gradient.
        x: real, and not negative unless the order is an integer (then nan).

    Raises:
        GradientError: the order needs a gradient.
        ImportError: SciPy is not installed. Both hold for all functions of this module.
    """
    return _of_order("jv", v, x)


@public
def yv(v: Any, x: Any) -> Any:
    """The Bessel function of the second kind, of real order `v`, for x >= 0; on the CPU. Arguments as in `jv`."""
    return _of_order("yv", v, x)


@public
def yn(n: Any, x: Any) -> Any:
    """The Bessel function of the second kind, of integer order `n`, for x >= 0.

    Raises:
        GradientError: the order needs a gradient.
        ValueError: an order that is no integer (asked of orders in main memory).
    """
    if isinstance(bare(n), (int, float, np.ndarray, np.generic)) and not np.all(np.asarray(bare(n)) % 1 == 0):
        raise ValueError(f"[yn] order {n}; expected integers (yv takes any order)")
    if differentiated(n):
        raise _no_gradient("yn", n)
    n, x = reals("yn", n, x)
    return _yn(n, x)


@public
def iv(v: Any, x: Any) -> Any:
    """The modified Bessel function of the first kind, of real order `v`; on the CPU. Arguments as in `jv`."""
    return _of_order("iv", v, x)


@public
def ive(v: Any, x: Any) -> Any:
    """`iv` times exp(-|x|), which stays in range; at 0 the derivative of the factor counts as 0. On the CPU."""
    return _of_order("ive", v, x)


@public
def kv(v: Any, x: Any) -> Any:
    """The modified Bessel function of the second kind, of real order `v`, for x >= 0; on the CPU."""
    return _of_order("kv", v, x)


@public
def kve(v: Any, x: Any) -> Any:
    """`kv` times exp(x), which stays in range; on the CPU."""
    return _of_order("kve", v, x)


# ---- of orders 0 and 1


def _low_forward(needs: Needs, x: Any, *, kind: str) -> tuple[Any, tuple[Any, ...]]:
    return evaluated(kind, x), ()


def _low(kind: str, x: Any) -> Any:
    return apply_one(LOW, x, {"kind": kind})


def _low_rule(g: Any, needs: Needs, x: Any, y: Any, *, kind: str) -> tuple[Any, ...]:
    match kind:
        case "j0" | "y0" | "k0":
            slope = negative(_low(f"{kind[0]}1", x))
        case "j1":
            slope = subtract(_low("j0", x), over_x(y, x))
        case "y1":
            slope = subtract(_low("y0", x), divide(y, x))
        case "k1":
            slope = negative(add(_low("k0", x), divide(y, x)))
        case "k0e":
            slope = subtract(y, _low("k1e", x))
        case _:
            slope = subtract(subtract(y, _low("k0e", x)), divide(y, x))
    return (multiply(g, slope),)


_LOW_OPERATIONS: Final = {"j0": 3, "y0": 3, "k0": 3, "j1": 7, "y1": 4, "k1": 5, "k0e": 3, "k1e": 5}


def _low_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, kind: str) -> int:
    return _LOW_OPERATIONS[kind] * math.prod(out_shape)


LOW = Primitive(
    "bessel_of_order_0_or_1", _low_forward, _low_rule, keeps=((0, -1),), flops=per_output(1), vjp_flops=_low_vjp_flops
)


def _of_low_order(kind: str, x: Any) -> Any:
    return apply_one(LOW, reals(kind, x)[0], {"kind": kind})


@public
def j0(x: Any) -> Any:
    """The Bessel function of the first kind of order 0; its derivative is -`j1`."""
    return _of_low_order("j0", x)


@public
def j1(x: Any) -> Any:
    """The Bessel function of the first kind of order 1."""
    return _of_low_order("j1", x)


@public
def y0(x: Any) -> Any:
    """The Bessel function of the second kind of order 0, for x > 0; its derivative is -`y1`."""
    return _of_low_order("y0", x)


@public
def y1(x: Any) -> Any:
    """The Bessel function of the second kind of order 1, for x > 0."""
    return _of_low_order("y1", x)


@public
def k0(x: Any) -> Any:
    """The modified Bessel function of the second kind of order 0, for x > 0; its derivative is -`k1`."""
    return _of_low_order("k0", x)


@public
def k1(x: Any) -> Any:
    """The modified Bessel function of the second kind of order 1, for x > 0."""
    return _of_low_order("k1", x)


@public
def k0e(x: Any) -> Any:
    """`k0` times exp(x), which stays in range."""
    return _of_low_order("k0e", x)


@public
def k1e(x: Any) -> Any:
    """`k1` times exp(x), which stays in range."""
    return _of_low_order("k1e", x)
