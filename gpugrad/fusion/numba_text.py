"""The Python text of a formula's Numba loop, over arrays or over a strip of the memory behind them.

The functions that the text calls are in `numba_math`; how it is compiled and run is `numba_compiler`'s business.
"""

from __future__ import annotations

import math
from typing import Final

from .expr import BOOL, SIGNATURES, Expr, topological
from .formula import Formula

_INFIX: Final = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "greater": ">", "greater_equal": ">=",
    "less": "<", "less_equal": "<=", "equal": "==", "not_equal": "!=",
}  # fmt: skip
_TYPED: Final = {"erf", "hypot"}  # one body for each type
_LOGIC: Final = {"logical_and", "logical_or", "logical_xor", "logical_not"}
PERIODIC: Final = {"sin", "cos", "tan"}
MISSING: Final = frozenset("arcsin arccos arctan2 arcsinh arccosh lgamma digamma floor_divide remainder fmod".split())


def loop_name(formula: Formula) -> str:
    """The name of the function in the text."""
    return f"{formula.name}_loop"


class _Writer:
    """Turns expressions into statements, one local for each operation."""

    def __init__(self, dtype: str, exact: bool) -> None:
        self.dtype, self.exact = dtype, exact
        self.names: dict[Expr, str] = {}
        self.lines: list[str] = []
        self.constants: dict[str, str] = {}
        self.watched = False

    def constant(self, value: float) -> str:
        text = repr(value) if math.isfinite(value) else f'float("{value}")'
        return self.constants.setdefault(f"{self.dtype}({text})", f"c{len(self.constants)}")

    def real(self, e: Expr) -> str:
        name = self.names[e]
        return f"m.number({name}, {self.constant(1.0)})" if e.kind == BOOL else name

    def truth(self, e: Expr) -> str:
        return self.names[e] if e.kind == BOOL else f"m.truth({self.names[e]})"

    def node(self, n: Expr) -> None:
        if n.op == "input":
            self.names[n] = f"v_{n.value}"
        elif n.op == "const":
            self.names[n] = str(n.value) if n.kind == BOOL else self.constant(n.value)
        else:
            text = self.operation(n)
            self.names[n] = f"t{len(self.lines)}"
            self.lines.append(f"{self.names[n]} = {text}")

    def operation(self, n: Expr) -> str:
        if n.op == "where":
            as_operand = self.truth if n.kind == BOOL else self.real
            return f"m.select({self.truth(n.args[0])}, {as_operand(n.args[1])}, {as_operand(n.args[2])})"
        if n.op in _LOGIC:
            return f"m.{n.op}({', '.join(map(self.truth, n.args))})"
        operands = [self.real(a) for a in n.args]
        if n.op in _INFIX:
            return f"{operands[0]} {_INFIX[n.op]} {operands[1]}"
        if n.op == "negative":
            return f"-{operands[0]}"
        assert n.op in SIGNATURES
        assert n.op not in MISSING
        if n.op in PERIODIC:
            if self.exact:
                return f"{self.dtype}(math.{n.op}({operands[0]})) if abs({operands[0]}) < inf else nan"
            self.watched = True
            self.lines.append(f"far = m.ior(far, m.wild({operands[0]}))")
        if n.op == "power":
            return f"m.power_single({', '.join(operands)})"
        tag = ("_single" if self.dtype == "float32" else "_double") if n.op in _TYPED else ""
        return f"m.{n.op}{tag}({', '.join(operands)})"


def generate(
    formula: Formula,
    dtype: str,
    layouts: tuple[str, ...],
    exact: bool = False,
    strip: bool = False,
    truths: frozenset[str] = frozenset(),
) -> str:
    """The Python text of the loop.

    Args:
        formula: what to compute.
        dtype: "float32" or "float64".
        layouts: how each input is read (see `Plan`).
        exact: take sin, cos and tan from the C library, for arguments beyond the range of the fast ones.
        strip: write a C function over a range of a table of addresses (see `numba_team`) instead.
        truths: for a strip, the inputs that are arrays of truth values.
    """
    writer = _Writer(dtype, exact)
    for n in topological(formula.outputs):
        writer.node(n)
    by_row = "row" in layouts
    index = "i, j" if by_row else "i"
    loads, parameters = _reads(formula, layouts, index)
    parameters += [f"out{k}" for k in range(len(formula.outputs))]
    stores = [
        f"out{k}[{index}] = {writer.truth(e) if e.kind == BOOL else writer.real(e)}"
        for k, e in enumerate(formula.outputs)
    ]
    head = ["for i in range(out0.shape[0]):", "    for j in range(out0.shape[1]):"] if by_row else [
        "for i in range(out0.size):"
    ]  # fmt: skip
    depth = "    " * len(head)
    body = [*head, *(depth + line for line in (*loads, *writer.lines, *stores))]
    if writer.watched:
        body = ["far = False", *body, "return 1 if far else 0" if strip else "return far"]
    elif strip:
        body.append("return 0")
    constants = [f"{name} = {value}" for value, name in writer.constants.items()]
    if strip:
        body = [*_opened(formula, dtype, layouts, parameters, truths), *body]
        parameters = ["table", "start", "stop"]
    return _assemble(formula, constants, ", ".join(parameters), body, dtype, "strip" if strip else "kernel")


def _reads(formula: Formula, layouts: tuple[str, ...], index: str) -> tuple[list[str], list[str]]:
    """The statements that load an element of each input, and the parameters they read."""
    loads, parameters = [], []
    used = set(formula.used)
    for name, layout in zip(formula.inputs, layouts, strict=True):
        if layout == "scalar":
            parameters.append(f"v_{name}")
        elif layout.startswith("out"):
            loads.append(f"v_{name} = {layout}[{index}]")
        else:
            parameters.append(f"in_{name}")
            if name in used:
                loads.append(f"v_{name} = in_{name}[{'j' if layout == 'row' else index}]")
    return loads, parameters


def _opened(
    formula: Formula, dtype: str, layouts: tuple[str, ...], parameters: list[str], truths: frozenset[str]
) -> list[str]:
    """Statements that give the parameters their values from the slots of `table`, for the range start..stop.

    First the addresses in the parameters' order, then the elements of a row, then the numbers as float64.
    """
    rows = {f"in_{n}" for n, layout in zip(formula.inputs, layouts, strict=True) if layout == "row"}
    boolean = {f"out{k}" for k, e in enumerate(formula.outputs) if e.kind == BOOL} | {f"in_{n}" for n in truths}
    shape = "(stop - start, inner)" if rows else "stop - start"
    arrays = [name for name in parameters if not name.startswith("v_")]
    numbers = [name for name in parameters if name.startswith("v_")]
    lines = [f"inner = memory.load(table, {len(arrays)})"]
    for slot, name in enumerate(numbers, len(arrays) + 1):
        lines.append(f"{name} = {dtype}(memory.number_at(table, {slot}))")
    for slot, name in enumerate(arrays):
        kind, size = ("bool", 1) if name in boolean else (dtype, 4 if dtype == "float32" else 8)
        offset = "" if name in rows else f" + start * inner * {size}"
        pointer = f"memory.{kind}_at(memory.load(table, {slot}){offset})"
        lines.append(f"{name} = carray({pointer}, {'inner' if name in rows else shape})")
    return lines


def _assemble(formula: Formula, constants: list[str], parameters: str, body: list[str], dtype: str, how: str) -> str:
    strip = ["from gpugrad.fusion import numba_memory as memory"] if how == "strip" else []
    lines = [
        f'"""{str(formula)[:300]}, in {dtype}: written by gpugrad from the formula."""'.replace("\\", "\\\\"),
        "",
        "import math",
        "",
        *(["from numba import carray"] if strip else []),
        f"from numpy import {dtype}, inf, nan",
        "",
        "from gpugrad.fusion import numba_math as m",
        *strip,
        f"from gpugrad.fusion.numba_cache import {how}",
        "",
        *constants,
        "",
        "",
        f"@{how}",
        f"def {loop_name(formula)}({parameters}):",
        *(f"    {line}" for line in body),
        "",
    ]
    return "\n".join(lines)
