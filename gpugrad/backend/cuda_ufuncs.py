"""A formula evaluated with CuPy's own functions, one by one: the way for integers and complex numbers.

Our kernels compute in float32 or float64. Integer arithmetic must wrap as NumPy's does and complex arithmetic has
no kernel, so both go through CuPy here; results are cast to the dtypes that the NumPy compiler gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from ..fusion import BOOL, Expr, Formula
from ..fusion.expr import SIGNATURES, topological
from ..fusion.numpy_program import compute_dtype

_SPECIAL: Final = {"erf": "erf", "erfc": "erfc", "erfcx": "erfcx", "lgamma": "gammaln", "digamma": "digamma"}


def _complex_sign(xp: Any, x: Any) -> Any:
    # NumPy 2 gives x / |x|; CuPy still the sign of the real part.
    size = abs(x)
    return xp.where(size == 0, 0, x / xp.where(size == 0, 1, size))


_BODIES: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "relu": lambda xp, x: xp.maximum(x, 0),
    "sigmoid": lambda xp, x: 1.0 / (1.0 + xp.exp(-x)),
    "softplus": lambda xp, x: xp.log1p(xp.exp(x)) if x.dtype.kind == "c" else xp.logaddexp(x * 1.0, 0.0),
    "reciprocal": lambda xp, x: 1.0 / x,
    "sign": lambda xp, x: _complex_sign(xp, x) if x.dtype.kind == "c" else xp.sign(x),
}


def evaluate(
    formula: Formula, values: Sequence[Any], dtypes: Sequence[Any], out_dtypes: Sequence[Any], xp: Any
) -> tuple[Any, ...]:
    """The outputs of `formula`, each an array of its dtype.

    Args:
        formula: what to compute.
        values: one CuPy array or Python number for each input.
        dtypes: the dtype of each input, numbers included.
        out_dtypes: the dtype of each output.
        xp: CuPy.
    """
    given = dict(zip(formula.inputs, values, strict=True))
    number = compute_dtype(tuple(dtypes))
    done: dict[Expr, Any] = {}
    for node in topological(formula.outputs):
        if node.op == "input":
            done[node] = given[node.value]
        elif node.op == "const":
            done[node] = node.value
        else:
            done[node] = _apply(node, [done[a] for a in node.args], number, xp)
    shape = np.broadcast_shapes(*(getattr(v, "shape", ()) for v in values))
    return tuple(_finish(done[o], shape, d, xp) for o, d in zip(formula.outputs, out_dtypes, strict=True))


def _apply(node: Expr, operands: list[Any], number: Any, xp: Any) -> Any:
    arrays = [o for o in operands if isinstance(o, xp.ndarray)]
    if not arrays:  # a constant of the formula, such as 1/0
        operands = [xp.asarray(o, number if isinstance(o, float) else None) for o in operands]
        arrays = operands
    if SIGNATURES[node.op][1] != BOOL:
        first = 1 if node.op == "where" else 0  # truth values count as numbers in arithmetic
        real = node.op != "where" or node.kind != BOOL
        for i in range(first, len(operands)):
            if real and node.args[i].kind == BOOL and isinstance(operands[i], xp.ndarray):
                operands[i] = operands[i].astype(number)
    whole = all(a.dtype.kind in "biu" for a in arrays)
    operands = [int(o) if whole and isinstance(o, float) and o.is_integer() else o for o in operands]
    if node.op == "where" and not isinstance(operands[0], xp.ndarray):
        operands[0] = xp.asarray(operands[0])
    if node.op in _SPECIAL:
        import cupyx.scipy.special as special

        return getattr(special, _SPECIAL[node.op])(operands[0])
    body = _BODIES.get(node.op)
    return getattr(xp, node.op)(*operands) if body is None else body(xp, operands[0])


def _finish(value: Any, shape: tuple[int, ...], dtype: Any, xp: Any) -> Any:
    value = value if isinstance(value, xp.ndarray) else xp.full((), value, dtype)
    if value.shape != shape:
        value = xp.broadcast_to(value, shape).copy()
    return value.astype(dtype, copy=False)
