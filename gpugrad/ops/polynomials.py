"""Polynomials as vectors of coefficients, highest power first: values, sums, products, derivatives and integrals."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.placing import placed
from ..primitive import FUNCTIONS, public
from .arguments import module, operand
from .elementwise import add, divide, multiply, subtract
from .index import getitem
from .joining import concatenate
from .padding import pad
from .sequences import convolve
from .shape import atleast_1d, ravel, reshape


@public
def polyval(p: Any, x: Any) -> Any:
    """The value at `x` of the polynomial with coefficients `p`, highest power first, by Horner's rule."""
    p, x = operand(p), operand(x)
    if len(p.shape) != 1:
        raise ValueError(f"[polyval] p of shape {tuple(p.shape)}; expected a vector of coefficients")
    y = multiply(x, module(x).zeros((), x.dtype))
    for k in range(p.shape[0]):
        y = add(multiply(y, x), getitem(p, k))
    return y


def _aligned(name: str, a1: Any, a2: Any) -> tuple[Any, Any]:
    a1, a2 = atleast_1d(a1, a2)
    n = a1.shape[0] - a2.shape[0]
    if len(a1.shape) != 1 or len(a2.shape) != 1:
        raise ValueError(f"[{name}] shapes {tuple(a1.shape)} and {tuple(a2.shape)}; expected vectors of coefficients")
    return pad(a1, ((max(-n, 0), 0),)), pad(a2, ((max(n, 0), 0),))


@public
def polyadd(a1: Any, a2: Any) -> Any:
    """The coefficients of the sum of two polynomials."""
    return add(*_aligned("polyadd", a1, a2))


@public
def polysub(a1: Any, a2: Any) -> Any:
    """The coefficients of the difference of two polynomials."""
    return subtract(*_aligned("polysub", a1, a2))


@public
def polymul(a1: Any, a2: Any) -> Any:
    """The coefficients of the product of two polynomials."""
    return convolve(a1, a2)


@public
@placed
def polyder(p: Any, m: int = 1) -> Any:
    """The coefficients of the `m`-th derivative of a polynomial."""
    p = operand(p)
    if m < 0:
        raise ValueError(f"[polyder] m = {m}; expected 0 or more (polyint integrates)")
    for _ in range(m):
        powers = module(p).arange(p.shape[0] - 1, 0, -1).astype(p.dtype)
        p = multiply(getitem(p, slice(None, -1)), powers)
    return p


@public
@placed
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """The coefficients of the `m`-th integral of a polynomial, with constants of integration `k` (0 if not given)."""
    p = operand(p)
    if m < 0:
        raise ValueError(f"[polyint] m = {m}; expected 0 or more (polyder differentiates)")
    given = module(p).zeros(1) if k is None else ravel(k)
    if given.shape[0] not in (1, m):
        raise ValueError(f"[polyint] {given.shape[0]} constants of integration for m = {m}; expected 1 or {m}")
    for step in range(m):
        powers = module(p).arange(p.shape[0], 0, -1)
        last = getitem(given, slice(step, step + 1) if given.shape[0] > 1 else slice(0, 1))
        p = concatenate([divide(p, powers), last])
    return p


@public
@placed
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:  # noqa: N803 - NumPy's name
    """The Vandermonde matrix of a vector: its powers as columns, falling from N - 1 to 0 (or rising)."""
    x = operand(x)
    if len(x.shape) != 1:
        raise ValueError(f"[vander] an array of shape {tuple(x.shape)}; expected a vector")
    n = x.shape[0] if N is None else N
    wide = np.promote_types(x.dtype, int)
    column = reshape(FUNCTIONS["astype"](x, wide, copy=False), -1, 1)
    powers = module(x).arange(n).astype(wide)
    return FUNCTIONS["power"](column, powers if increasing else powers[::-1])
