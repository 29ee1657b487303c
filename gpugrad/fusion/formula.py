"""A formula: named inputs, one or more output expressions, and its vector-Jacobian product as a formula again.

This is what the compilers compile. Which arrays the backward formula needs kept (inputs, or the output where that
is enough) is decided here, so that the tape holds no more than it must.
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from .calculus import HOLOMORPHIC, derivative
from .expr import Expr, FormulaError, inputs_of, lift, substitute, topological, var

COTANGENT: Final = "g"
OUTPUT: Final = "y"


@dataclass(frozen=True, eq=False)
class Formula:
    """Output expressions over named inputs; `name` is the kernel's name in profilers and in sources.

    Example:
        >>> f = trace(lambda x: x * x + 1.0, name="paraboloid")
        >>> f.outputs[0]
        (square(x) + 1.0)
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[Expr, ...]

    def __post_init__(self) -> None:
        unknown = [n for n in inputs_of(self.outputs) if n not in self.inputs]
        if unknown:
            raise FormulaError(f"[{self.name}] {self}: input {unknown[0]!r} is not one of {self.inputs}")

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.inputs)}) = {', '.join(map(str, self.outputs))}"

    @cached_property
    def used(self) -> tuple[str, ...]:
        """The inputs that the outputs really depend on, in the order of `inputs`."""
        used = set(inputs_of(self.outputs))
        return tuple(n for n in self.inputs if n in used)

    @cached_property
    def flops(self) -> int:
        """Arithmetic operations for one element, each function counted as one."""
        return sum(1 for n in topological(self.outputs) if n.args)

    @cached_property
    def holomorphic(self) -> bool:
        """Whether the derivative holds for complex inputs too: no step, no modulus, no order among numbers.

        A modulus may decide between branches (`abs(x) < 0.5`), as far as it is compared with a number only.
        """
        nodes = tuple(topological(self.outputs))
        tests = {n for n in nodes if n.op == "less" and n.args[0].op == "absolute" and n.args[1].op == "const"}
        moduli = {n.args[0] for n in tests}
        if any(a in moduli for n in nodes if n not in tests for a in n.args):
            return False
        return all(n.op in HOLOMORPHIC or not n.args or n in tests or n in moduli for n in nodes)

    def variable(self, name: str) -> Expr:
        """The input `name` as it stands in the outputs (real, or a truth value)."""
        return next((n for n in topological(self.outputs) if n.op == "input" and n.value == name), var(name))

    def derivatives(self) -> tuple[Expr, ...]:
        """The partial derivative of the single output towards each input."""
        self._require_single()
        return tuple(derivative(self.outputs[0], self.variable(n)) for n in self.inputs)

    def vjp(self, wrt: tuple[int, ...]) -> Vjp:
        """The fused backward kernel: cotangents of the inputs numbered `wrt` from the output's cotangent.

        Raises:
            FormulaError: several outputs, or a function without a derivative.
        """
        self._require_single()
        g, x, y = var(COTANGENT), tuple(self.variable(n) for n in self.inputs), self.outputs[0]
        if COTANGENT in self.inputs or OUTPUT in self.inputs:
            return self._renamed().vjp(wrt)
        partials = tuple(derivative(y, x[i]) for i in wrt)
        if y.args:  # the saved output, where it alone is enough
            from_output = substitute(partials, {y: var(OUTPUT)})
            if set(inputs_of(from_output)) <= {OUTPUT}:
                partials = from_output
        needed = set(inputs_of(partials))
        residuals = tuple(n for n in (*self.inputs, OUTPUT) if n in needed)
        tag = "" if wrt == tuple(range(len(x))) else "_" + "_".join(map(str, wrt))
        body = Formula(f"{self.name}_vjp{tag}", (COTANGENT, *residuals), tuple(g * p for p in partials))
        kept = tuple(-1 if n == OUTPUT and OUTPUT not in self.inputs else self.inputs.index(n) for n in residuals)
        return Vjp(body, wrt, kept)

    def _renamed(self) -> Formula:
        """The same formula with the names free that `vjp` gives to the cotangent and the output."""
        replacement: dict[Expr, Expr] = {}
        names: list[str] = []
        for name in self.inputs:
            new = name
            if name in (COTANGENT, OUTPUT):
                new = unused(name, (COTANGENT, OUTPUT, *self.inputs, *names))
            names.append(new)
            old = self.variable(name)
            replacement[old] = var(new, old.kind)
        return Formula(self.name, tuple(names), substitute(self.outputs, replacement))

    def _require_single(self) -> None:
        if len(self.outputs) != 1:
            raise FormulaError(f"[{self.name}] only formulas with one output are differentiated: {self}")


@dataclass(frozen=True, eq=False)
class Vjp:
    """A backward kernel: `formula(g, *residuals)` gives the cotangents of the inputs `wrt`, in that order.

    `residuals` lists what the forward must keep, as input positions; -1 stands for the output.
    """

    formula: Formula
    wrt: tuple[int, ...]
    residuals: tuple[int, ...]


def unused(name: str, taken: tuple[str, ...]) -> str:
    """`name`, with as many underscores as make it a name that is not taken."""
    while name in taken:
        name += "_"
    return name


def trace(function: Callable[..., Any], name: str | None = None) -> Formula:
    """Run `function` once on symbolic inputs named as its parameters; what it returns is the formula.

    Raises:
        FormulaError: it takes no inputs, uses `*args`/`**kwargs`/keyword-only parameters, a function that the
            language does not have, a Python branch on a value, or returns something else than expressions.
    """
    name = name or function.__name__
    if not name.isidentifier() or keyword.iskeyword(name):
        name = "formula"
    parameters = inspect.signature(function).parameters.values()
    bad = [p.name for p in parameters if p.kind not in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY)]
    if bad or not parameters:
        raise FormulaError(f"[{name}] a formula takes one or more plain parameters, each an input; got {bad or 'none'}")
    names = tuple(p.name for p in parameters)
    result = function(*(var(n) for n in names))
    outputs = result if isinstance(result, tuple) else (result,)
    return Formula(name, names, tuple(lift(o) for o in outputs))
