"""Formulas and float64 references shared by the tests of the compilers' values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gpugrad.fusion import Expr, Formula, call, var
from gpugrad.fusion.expr import SIGNATURES

Array = np.ndarray[Any, Any]


def formula_of(op: str) -> Formula:
    names = ("x", "y", "z")[: SIGNATURES[op][0]]
    return Formula(op, names, (call(op, *(var(n) for n in names)),))


def vectorised(function: Callable[..., float]) -> Callable[..., Array]:
    return np.vectorize(function, otypes=[np.float64])


def sigmoid(x: Any) -> Any:
    return np.where(x >= 0, 1.0, np.exp(np.minimum(x, 0.0))) / (1.0 + np.exp(-np.abs(x)))


def softplus(x: Any) -> Any:
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def digamma(x: Any) -> Any:
    step = 1e-5
    lgamma = vectorised(math.lgamma)
    return (8 * (lgamma(x + step) - lgamma(x - step)) - lgamma(x + 2 * step) + lgamma(x - 2 * step)) / (12 * step)


# Functions that NumPy lacks, in float64; the rest of the vocabulary is NumPy's own name.
REFERENCES: dict[str, Callable[..., Any]] = {
    "relu": lambda x: np.maximum(x, 0.0),
    "sigmoid": sigmoid,
    "softplus": softplus,
    "erf": vectorised(math.erf),
    "erfc": vectorised(math.erfc),
    "erfcx": lambda x: np.exp(x * x) * vectorised(math.erfc)(x),
    "lgamma": vectorised(math.lgamma),
    "digamma": digamma,
    "where": lambda c, a, b: np.where(c != 0, a, b),
}
POSITIVE = frozenset("sqrt log log2 log10 power arccosh".split())
INSIDE_ONE = frozenset("arcsin arccos arctanh log1p tan".split())
POLES = frozenset("cbrt reciprocal divide lgamma digamma".split())


def operands(op: str, count: int, n: int = 401) -> list[Array]:
    rng = np.random.default_rng(sum(map(ord, op)))
    x = [rng.uniform(-3.0, 3.0, n) for _ in range(count)]
    if op in POSITIVE:
        x[0] = np.abs(x[0]) + (1.01 if op == "arccosh" else 0.01)
    if op in INSIDE_ONE:
        x[0] = x[0] / 3.1
    if op in POLES:  # at integers
        x = [np.floor(a) + 0.2 + 0.6 * (a - np.floor(a)) for a in x]
    if op == "where":
        x[0] = np.rint(x[0] / 3.0)
    return x


def reference(e: Expr, values: dict[str, Array]) -> Array:
    """The value of an expression in float64 (or longer), node by node: an interpreter that shares nothing."""
    if e.op == "input":
        return values[e.value]
    if e.op == "const":
        return np.asarray(e.value)
    args = [reference(a, values) for a in e.args]
    return np.asarray(REFERENCES.get(e.op, getattr(np, e.op, None))(*args))
