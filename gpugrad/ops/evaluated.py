"""Functions that SciPy (on a GPU `cupyx.scipy`) evaluates: their operands, their dtypes, and erf of complex numbers.

The derivatives are ours. Half precision is evaluated in single.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..primitive import FUNCTIONS, Needs, Primitive
from .arguments import apply_one, backend_for_all, module, operand
from .costs import per_output
from .elementwise import erf, erfc, exp, multiply, negative, square


def reals(name: str, *values: Any) -> tuple[Any, ...]:
    """Operands of a real function: Python's numbers and integers take the dtype of the others (else float64).

    Raises:
        TypeError: one is complex.
    """
    numbers = [isinstance(v, (int, float)) and not isinstance(v, np.generic) for v in values]
    given = [v if number else operand(v) for v, number in zip(values, numbers, strict=True)]
    arrays = [v for v, number in zip(given, numbers, strict=True) if not number]
    for v in arrays:
        if v.dtype.kind == "c":
            raise TypeError(f"[{name}] an operand of dtype {v.dtype}; expected real numbers")
    floating = [v.dtype for v in arrays if v.dtype.kind not in "iub"]
    dtype = np.result_type(*floating) if floating else np.dtype(np.float64)
    # By `full`, which a device does by itself: a copy of an array of the host would have to wait.
    xp = module(arrays[0]) if arrays else np
    made = [xp.full((), v, dtype) if number else v for v, number in zip(given, numbers, strict=True)]
    return tuple([FUNCTIONS["astype"](v, dtype) if v.dtype.kind in "iub" else v for v in made])


def evaluated(name: str, *arrays: Any) -> Any:
    """SciPy's function of bare arrays, in the dtype to which they are promoted."""
    dtype = np.result_type(*[a.dtype for a in arrays])
    wide = np.dtype(np.float32) if dtype.itemsize == 2 else dtype
    found = backend_for_all(name, *arrays).special(name, *[a.astype(wide, copy=False) for a in arrays])
    return found.astype(dtype, copy=False)


# ---- the error function of complex numbers


def _erf_forward(needs: Needs, z: Any, *, kind: str) -> tuple[Any, tuple[Any, ...]]:
    return evaluated(kind, z), ()


def _erf_rule(g: Any, needs: Needs, z: Any, *, kind: str) -> tuple[Any, ...]:
    sign = 1.0 if kind == "erf" else -1.0
    return (multiply(g, multiply(exp(negative(square(z))), sign * 2.0 / math.sqrt(math.pi))),)


COMPLEX_ERF = Primitive(
    "complex_erf", _erf_forward, _erf_rule, keeps=((0,),), flops=per_output(1), vjp_flops=per_output(5)
)


def erf_of_any(kind: str, z: Any) -> Any:
    """`erf` or `erfc` of real or complex numbers; of complex ones on the CPU only."""
    z = operand(z)
    if z.dtype.kind == "c":
        return apply_one(COMPLEX_ERF, z, {"kind": kind})
    return (erf if kind == "erf" else erfc)(z)

