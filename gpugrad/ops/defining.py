"""How a function of scalars becomes an elementwise operation: traced once, its derivatives found, its call documented.

`elementwise` is the user's decorator; `define` is ours, for the public operations of `elementwise.py` and its kin.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..fusion import FormulaError, trace
from ..primitive import ELEMENTWISE, FUNCTIONS
from .core import Elementwise


def define(function: Callable[..., Any], name: str | None = None, *, differentiable: bool = True) -> Elementwise:
    """Make a formula (a Python function over expressions) a public elementwise operation.

    The function's default arguments become defaults of the operation, its docstring the operation's.

    Raises:
        FormulaError: the formula is not in the language, or cannot be differentiated; shows the formula.
    """
    op = make(function, name, differentiable=differentiable)
    if op.name in ELEMENTWISE:
        raise FormulaError(f"[{op.name}] an elementwise operation of this name is defined already")
    ELEMENTWISE[op.name] = FUNCTIONS[op.name] = op
    return op


def make(function: Callable[..., Any], name: str | None = None, *, differentiable: bool = True) -> Elementwise:
    """An elementwise operation from a function over expressions, not registered under its name."""
    formula = trace(function, name)
    if len(formula.outputs) != 1:
        raise FormulaError(f"[{formula.name}] an elementwise operation has one output: {formula}")
    if differentiable:
        formula.derivatives()  # a missing derivative is an error here, not at the first backward
    parameters = inspect.signature(function).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    doc = inspect.getdoc(function) or f"`{formula}`, element by element, with broadcasting."
    return Elementwise(formula, defaults, doc, differentiable)


def elementwise(
    function: Callable[..., Any] | None = None, *, name: str | None = None, differentiable: bool = True
) -> Any:
    """Decorator: a function of scalars becomes one fused, differentiable kernel on every device.

    The body is run once on symbolic values; it may use arithmetic, comparisons, gpugrad's and NumPy's elementwise
    functions, and `where(condition, a, b)` in place of `if`. Trailing parameters may have defaults.

    Args:
        function: the function; each parameter is an array, a tensor or a number at the call, and they broadcast.
        name: the kernel's name in profilers; the function's name if not given.
        differentiable: False allows functions without a derivative; results are then constants.

    Raises:
        FormulaError: an unknown function, a Python branch, or no derivative; shows the formula.

    Example:
        >>> import gpugrad as gg
        >>> @gg.elementwise
        ... def swish(x, beta=1.0):
        ...     return x * gg.sigmoid(beta * x)
        >>> x = gg.tensor([0.0, 1.0], requires_grad=True)
        >>> swish(x).sum().backward()
        >>> x.grad
        tensor([0.5   , 0.9277])
    """
    if function is None:
        return lambda f: make(f, name, differentiable=differentiable)
    return make(function, name, differentiable=differentiable)
