"""`cupyx.scipy.special` of the stand-in, on the NumPy compiler's own functions."""

from typing import Any

import numpy as np

from gpugrad.fusion.numpy_functions import body_of

from .ndarray import ndarray, own


def _special(name: str) -> Any:
    def call(x: Any) -> Any:
        if not isinstance(x, ndarray):
            raise TypeError(f"Unsupported type {type(x)}")
        dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
        body = body_of(name, dtype)
        assert body is not None
        with np.errstate(all="ignore"):
            return own(body(x._a))

    return call


def _scipys(name: str, single: bool = True) -> Any:
    """A function that CuPy has for float32 and float64 (or the latter alone), computed by SciPy."""

    def call(*xs: Any) -> Any:
        if not all(isinstance(x, ndarray) for x in xs):
            raise TypeError(f"Unsupported type among {[type(x) for x in xs]}")
        dtype = np.result_type(*[x.dtype for x in xs])
        if dtype.char not in "fd":
            raise TypeError(f"Wrong type ({dtype}) of arguments for cupyx_scipy_special_{name}")
        import scipy.special

        found = getattr(scipy.special, name)(*[x._a for x in xs])
        return own(np.asarray(found, dtype if single else np.float64))

    return call


# What of `scipy.special` CuPy 14.2 has, of that which gpugrad asks SciPy for.
EVALUATED = {
    **{name: _scipys(name) for name in "j0 j1 y0 y1 k0 k1 k0e k1e gammainc gammaincc betainc".split()},
    "yn": _scipys("yn", single=False),
}

erf, erfc, erfcx = _special("erf"), _special("erfc"), _special("erfcx")
gammaln, digamma = _special("lgamma"), _special("digamma")
