"""An oracle for formulas that shares no code with the compilers: NumPy and SciPy, in float64, node by node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import scipy.special

from gpugrad.fusion import Formula
from gpugrad.fusion.expr import topological

Array = np.ndarray[Any, np.dtype[Any]]

_OTHERS: Final[dict[str, Callable[..., Any]]] = {
    "relu": lambda x: np.maximum(x, 0.0), "sigmoid": scipy.special.expit, "erf": scipy.special.erf,
    "softplus": lambda x: np.logaddexp(x, 0.0), "erfc": scipy.special.erfc, "erfcx": scipy.special.erfcx,
    "lgamma": scipy.special.gammaln, "digamma": scipy.special.digamma,
}  # fmt: skip


def evaluate(formula: Formula, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The outputs of `formula` in float64 (truth values as bool), with NumPy's broadcasting."""
    given = dict(zip(formula.inputs, inputs, strict=True))
    values: dict[Any, Any] = {}
    with np.errstate(all="ignore"):
        for node in topological(formula.outputs):
            if node.op == "input":
                value = np.asarray(given[node.value])
                values[node] = value != 0 if node.kind == "bool" else value.astype(np.float64)
            elif node.op == "const":
                values[node] = node.value
            else:
                function = _OTHERS.get(node.op) or getattr(np, node.op)
                values[node] = function(*(values[a] for a in node.args))
    shape = np.broadcast_shapes(*(np.shape(i) for i in inputs))
    return tuple(np.broadcast_to(values[o], shape) for o in formula.outputs)
