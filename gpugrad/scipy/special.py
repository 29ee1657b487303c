"""`scipy.special`'s names on arrays and tensors: what there is of it with a gradient."""

from __future__ import annotations

from typing import Any, NoReturn

from ..ops.arguments import operand
from ..ops.bessel import i0, i0e, i1, i1e
from ..ops.bessel_orders import iv, ive, j0, j1, jv, k0, k0e, k1, k1e, kv, kve, y0, y1, yn, yv
from ..ops.elementwise import absolute, exp, log, logit, multiply, sign, subtract
from ..ops.elementwise import log_sigmoid as log_expit
from ..ops.elementwise import sigmoid as expit
from ..ops.evaluated import erf_of_any
from ..ops.incomplete import betainc, betaincc, chdtr, chdtrc, gammainc, gammaincc, pdtr, pdtrc, stdtr
from ..ops.reduce import max as _max
from ..ops.reduce import sum as _sum
from ..ops.rows import log_softmax as _log_softmax
from ..ops.rows import logsumexp as _logsumexp
from ..ops.rows import softmax as _softmax
from ..ops.shape import broadcast_arrays, ravel, reshape
from ..ops.special import (
    beta,
    betaln,
    digamma,
    entr,
    erfcinv,
    erfinv,
    exprel,
    gamma,
    gammaln,
    gammasgn,
    kl_div,
    log_ndtr,
    multigammaln,
    ndtr,
    ndtri,
    polygamma,
    rel_entr,
    rgamma,
    xlog1py,
    xlogy,
)

__all__ = [
    "beta",
    "betainc",
    "betaincc",
    "betaln",
    "chdtr",
    "chdtrc",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcinv",
    "erfinv",
    "expit",
    "exprel",
    "gamma",
    "gammainc",
    "gammaincc",
    "gammaln",
    "gammasgn",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "iv",
    "ive",
    "j0",
    "j1",
    "jn",
    "jv",
    "k0",
    "k0e",
    "k1",
    "k1e",
    "kl_div",
    "kv",
    "kve",
    "log_expit",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "pdtr",
    "pdtrc",
    "polygamma",
    "psi",
    "rel_entr",
    "rgamma",
    "softmax",
    "stdtr",
    "xlog1py",
    "xlogy",
    "y0",
    "y1",
    "yn",
    "yv",
]

psi, jn = digamma, jv


def erf(z: Any) -> Any:
    """The error function of real or, on the CPU, complex numbers."""
    return erf_of_any("erf", z)


def erfc(z: Any) -> Any:
    """1 - `erf`, precise where that is small."""
    return erf_of_any("erfc", z)


def _over(function: Any, x: Any, axis: Any) -> Any:
    """A row-wise function along one axis, or (SciPy's default) over all elements."""
    x = operand(x)
    return reshape(function(ravel(x), 0), x.shape) if axis is None else function(x, axis)


def softmax(x: Any, axis: Any = None) -> Any:
    """The exponentials over their sum, along one axis, or over all elements if none is named."""
    return _over(_softmax, x, axis)


def log_softmax(x: Any, axis: Any = None) -> Any:
    """The logarithm of `softmax`."""
    return _over(_log_softmax, x, axis)


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    """The logarithm of the sum of (`b` times) exponentials, over all axes or those named.

    Args:
        a: real numbers.
        axis: an integer or several; None for all.
        b: factors, broadcast with `a`, not all 0; they may need a gradient. A negative sum gives nan.
        keepdims: leave the axes with length 1.
        return_sign: also return the sign of the sum, which has no gradient; the logarithm is then of its size.
    """
    if b is None and not return_sign:
        return _logsumexp(a, axis, keepdims)
    a, factors = (operand(a), 1) if b is None else broadcast_arrays(operand(a), operand(b))
    top = _max(a, axis, keepdims=True)
    top = getattr(top, "detach", lambda: top)()
    total = _sum(multiply(exp(subtract(a, top)), factors), axis, keepdims=True)
    found = [log(absolute(total) if return_sign else total) + top] + [sign(total)] * return_sign
    if not keepdims:
        found = [_sum(f, tuple(range(len(f.shape))) if axis is None else axis) for f in found]
    return tuple(found) if return_sign else found[0]


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"[gpugrad.scipy.special] {name!r} has no gradient rule here; on values that need none call scipy.special's "
        f"with the bare array (x.detach().data), else define it with gpugrad.primitive.Primitive({name!r}, ...)"
    )
