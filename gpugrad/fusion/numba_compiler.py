"""Formulas as Numba loops: one serial `nogil` loop for each type and layout, large arrays split over threads.

Here is the text that a formula becomes and the choice of what the loop takes; the functions that it calls are
in `numba_math`. Numba is imported at the first compilation, not before.
"""

from __future__ import annotations

import keyword
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from .expr import BOOL, SIGNATURES, Expr, FormulaError, topological
from .formula import Formula
from .workers import num_threads, parallel_for

Array = npt.NDArray[Any]

# Elements under which handing work to another thread (some 20 microseconds) costs more than it saves.
SPLIT: Final = 131_072

_FLOATS: Final = {np.dtype(np.float32): "float32", np.dtype(np.float64): "float64"}

_INFIX: Final = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "greater": ">", "greater_equal": ">=",
    "less": "<", "less_equal": "<=", "equal": "==", "not_equal": "!=",
}  # fmt: skip
_TYPED: Final = {"erf", "hypot"}  # one body for each type
_LOGIC: Final = {"logical_and", "logical_or", "logical_xor", "logical_not"}
_PERIODIC: Final = {"sin", "cos", "tan"}
_MISSING: Final = frozenset("arcsin arccos arctan2 arcsinh arccosh lgamma digamma floor_divide remainder fmod".split())


class Plan(NamedTuple):
    """How a call's arguments are read.

    Attributes:
        dtype: "float32" or "float64", the type of the arithmetic.
        layouts: one for each input: "each" element, "row" (the last axes of the output), "scalar", or "out0",
            ...: the memory of that output.
        shape: of the outputs.
        inner: elements of a row; 0 where no input is one.
    """

    dtype: str
    layouts: tuple[str, ...]
    shape: tuple[int, ...]
    inner: int


def compile_numba(formula: Formula) -> NumbaKernel | None:
    """The formula as a Numba kernel, or None where a function in it has no fast body there.

    Compilation proper happens at the first call of each type and layout.
    """
    if any(n.op in _MISSING for n in topological(formula.outputs)):
        return None
    return NumbaKernel(formula)


class NumbaKernel:
    """A formula compiled by Numba; call it where `accepts` says so.

    Attributes:
        formula: what it computes.
    """

    __slots__ = ("_compiled", "_each", "_periodic", "_single_only", "formula")

    def __init__(self, formula: Formula) -> None:
        ops = {n.op for n in topological(formula.outputs)}
        self.formula = formula
        self._compiled: dict[tuple[str, tuple[str, ...], bool], Callable[..., Any]] = {}
        self._each = ("each",) * len(formula.inputs)
        self._periodic = bool(ops & _PERIODIC)
        self._single_only = "power" in ops

    @property
    def source(self) -> str:
        """The generated Python text for float32 arrays of one shape."""
        return numba_source(self.formula, "float32")

    def accepts(self, *arrays: Any, out: Any = None) -> bool:
        """Whether the loop can take these arguments.

        It takes arrays of one float type (and truth values), C-contiguous, of the shape of the output or of
        its last axes, and numbers; `out` may be an input itself but must not overlap one otherwise.
        """
        return self._plan(arrays, out) is not None

    def __call__(self, *arrays: Any, out: Any = None) -> Any:
        """The formula's value, in `out` (an array, or a tuple of them for several outputs) where it is given.

        Raises:
            TypeError: the arguments are not accepted.
        """

        def refuse(*arrays: Any, out: Any) -> Any:
            shown = ", ".join(f"{getattr(a, 'shape', a)} {getattr(a, 'dtype', '')}" for a in arrays)
            raise TypeError(f"[{self.formula.name}] the Numba kernel does not take ({shown}); use the NumPy kernel")

        return self.run(arrays, out, np.empty, refuse)

    def run(self, arrays: Sequence[Any], out: Any, alloc: Callable[..., Any], plain: Callable[..., Any]) -> Any:
        """The formula's value where the loop takes the arguments, else `plain(*arrays, out=out)`.

        Args:
            arrays: one argument for each input.
            out: None, an array, or a tuple of arrays.
            alloc: `alloc(shape, dtype)` makes the results when `out` is None.
            plain: the kernel to fall back to.
        """
        plan = self._fast_plan(arrays) if out is None else None
        plan = plan or self._plan(arrays, out)
        if plan is None:
            return plain(*arrays, out=out)
        if out is None:
            outs = tuple(alloc(plan.shape, np.bool_ if e.kind == BOOL else plan.dtype) for e in self.formula.outputs)
        else:
            outs = out if isinstance(out, tuple) else (out,)
        self._execute(plan, arrays, outs)
        return outs if len(outs) > 1 else outs[0]

    def _fast_plan(self, arrays: Sequence[Any]) -> Plan | None:
        # The usual call, found without looking at each argument in turn: whole arrays of one shape and type.
        first = arrays[0]
        if type(first) is not np.ndarray or len(arrays) != len(self._each):
            return None
        shape, dtype = first.shape, first.dtype
        for a in arrays:
            if type(a) is not np.ndarray or a.shape != shape or a.dtype is not dtype or not a.flags.c_contiguous:
                return None
        name = _FLOATS.get(dtype)
        return None if name is None or (self._single_only and name != "float32") else Plan(name, self._each, shape, 0)

    def _plan(self, arrays: Sequence[Any], out: Any) -> Plan | None:
        if len(arrays) != len(self.formula.inputs):
            return None
        outs: tuple[Any, ...] = () if out is None else out if isinstance(out, tuple) else (out,)
        shape, dtype = _common(arrays, outs)
        if dtype is None or (self._single_only and dtype != "float32"):
            return None
        layouts: list[str] = []
        inner = 0
        for a in arrays:
            layout, row = _layout(a, shape, dtype, outs)
            if layout is None or (row and inner and row != inner):
                return None
            layouts.append(layout)
            inner = inner or row
        expected = [np.dtype(np.bool_ if e.kind == BOOL else dtype) for e in self.formula.outputs]
        if outs and (len(outs) != len(expected) or any(
            o.dtype != d or o.shape != shape or not (o.flags.c_contiguous and o.flags.writeable)
            for o, d in zip(outs, expected, strict=True)
        )):  # fmt: skip
            return None
        # A periodic function may have to start again with the input unspoilt.
        if self._periodic and any(name.startswith("out") for name in layouts):
            return None
        return Plan(dtype, tuple(layouts), shape, inner)

    def _execute(self, plan: Plan, arrays: Sequence[Any], outs: tuple[Array, ...]) -> None:
        run = self._compiled.get((plan.dtype, plan.layouts, False)) or self._loop(plan, exact=False)
        size = outs[0].size
        flat = (size // plan.inner, plan.inner) if plan.inner else (size,)
        if plan.layouts is self._each:
            whole = [a if a.ndim == 1 else a.reshape(flat) for a in (*arrays, *outs)]
            if size < SPLIT:
                if run(*whole):
                    self._loop(plan, exact=True)(*whole)
                return
            arguments = [(a, True) for a in whole]
        else:
            arguments = _arguments(plan, arrays, outs, flat)

        def part(start: int, stop: int) -> None:
            chunk = [a[start:stop] if cut else a for a, cut in arguments]
            if run(*chunk):
                self._loop(plan, exact=True)(*chunk)

        split(part, flat[0], max(1, plan.inner))

    def _loop(self, plan: Plan, exact: bool) -> Callable[..., Any]:
        key = (plan.dtype, plan.layouts, exact)
        found = self._compiled.get(key)
        if found is None:
            from .numba_cache import load

            text = generate(self.formula, plan.dtype, plan.layouts, exact=exact)
            found = self._compiled[key] = getattr(load(text, self.formula.name), _loop_name(self.formula))
        return found


def _arguments(
    plan: Plan, arrays: Sequence[Any], outs: tuple[Array, ...], flat: tuple[int, ...]
) -> list[tuple[Any, bool]]:
    """The loop's arguments, and whether each is cut into chunks."""
    to_scalar = np.dtype(plan.dtype).type
    found: list[tuple[Any, bool]] = []
    for a, layout in zip(arrays, plan.layouts, strict=True):
        if layout == "scalar":
            found.append((to_scalar(a.item() if isinstance(a, np.ndarray) else a), False))
        elif layout in ("each", "row"):
            found.append((a.reshape(-1 if layout == "row" else flat), layout == "each"))
    return found + [(o.reshape(flat), True) for o in outs]


def split(part: Callable[[int, int], None], count: int, weight: int = 1) -> None:
    """Run `part(start, stop)` over ranges that cover 0..count, on threads where `count * weight` is large."""
    threads = num_threads()
    # More pieces than threads: a helper starts late, or finds its core busy.
    pieces = min(4 * threads, count * weight * 2 // SPLIT, count)
    if pieces < 2 or threads < 2 or count * weight < SPLIT:
        part(0, count)
        return
    # Whole cache lines of any type to each piece, so that no two threads write to one line.
    step = -(-count // pieces)
    step = -(-step // 64) * 64 if weight == 1 else step
    pieces = -(-count // step)
    parallel_for(lambda k: part(k * step, min(count, (k + 1) * step)), pieces)


def _common(arrays: Sequence[Any], outs: tuple[Any, ...]) -> tuple[tuple[int, ...], str | None]:
    """The shape of the result and the float type of the arithmetic; None where there is no single type."""
    shape: tuple[int, ...] = ()
    dtype: str | None = None
    for a in (*arrays, *outs):
        if isinstance(a, np.ndarray):
            name = a.dtype.name
            if name in ("float32", "float64"):
                if dtype not in (None, name):
                    return shape, None
                dtype = name
            elif name != "bool":
                return shape, None
            if a.ndim > len(shape) or (a.ndim == len(shape) and a.size > math.prod(shape)):
                shape = a.shape
        elif type(a) not in (bool, int, float):  # NumPy's scalars take part in promotion
            return shape, None
    return shape, dtype


def _layout(a: Any, shape: tuple[int, ...], dtype: str, outs: tuple[Any, ...]) -> tuple[str | None, int]:
    """The layout of one argument (None: not taken) and, for a row, its number of elements."""
    if not isinstance(a, np.ndarray):
        return "scalar", 0
    if not a.flags.c_contiguous:
        return None, 0
    for k, o in enumerate(outs):
        if a is o or np.may_share_memory(a, o):
            same = a is o or (a.shape == o.shape and a.dtype == o.dtype and a.ctypes.data == o.ctypes.data)
            return (f"out{k}" if same else None), 0
    if a.shape == shape:
        return "each", 0
    if a.size == 1 and a.ndim <= len(shape):
        return "scalar", 0
    if a.ndim and a.size and a.shape == shape[len(shape) - a.ndim :]:
        return "row", a.size
    return None, 0


def numba_source(formula: Formula, dtype: Any) -> str:
    """The Python text of the loop over whole arrays of `dtype`; Numba itself is not needed to see it.

    Raises:
        FormulaError: the formula has a function without a fast Numba body.
    """
    missing = sorted({n.op for n in topological(formula.outputs)} & _MISSING)
    if missing:
        raise FormulaError(f"[{formula.name}] {formula}: {', '.join(missing)} runs in NumPy, not in Numba")
    return generate(formula, np.dtype(dtype).name, ("each",) * len(formula.inputs))


def _loop_name(formula: Formula) -> str:
    return f"{formula.name}_loop"


def _safe(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name


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
        assert n.op not in _MISSING
        if n.op in _PERIODIC:
            if self.exact:
                return f"{self.dtype}(math.{n.op}({operands[0]})) if abs({operands[0]}) < inf else nan"
            self.watched = True
            self.lines.append(f"far = m.ior(far, m.wild({operands[0]}))")
        if n.op == "power":
            return f"m.power_single({', '.join(operands)})"
        tag = ("_single" if self.dtype == "float32" else "_double") if n.op in _TYPED else ""
        return f"m.{n.op}{tag}({', '.join(operands)})"


def generate(formula: Formula, dtype: str, layouts: tuple[str, ...], exact: bool = False) -> str:
    """The Python text of the loop.

    Args:
        formula: what to compute.
        dtype: "float32" or "float64".
        layouts: how each input is read (see `Plan`).
        exact: take sin, cos and tan from the C library, for arguments beyond the range of the fast ones.
    """
    writer = _Writer(dtype, exact)
    for n in topological(formula.outputs):
        writer.node(n)
    by_row = "row" in layouts
    index = "i, j" if by_row else "i"
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
    outs = [f"out{k}" for k in range(len(formula.outputs))]
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
        body = ["far = False", *body, "return far"]
    constants = [f"{name} = {value}" for value, name in writer.constants.items()]
    return _assemble(formula, constants, f"{', '.join((*parameters, *outs))}", body, dtype)


def _assemble(formula: Formula, constants: list[str], parameters: str, body: list[str], dtype: str) -> str:
    lines = [
        f'"""{str(formula)[:300]}, in {dtype}: written by gpugrad from the formula."""'.replace("\\", "\\\\"),
        "",
        "import math",
        "",
        f"from numpy import {dtype}, inf, nan",
        "",
        "from gpugrad.fusion import numba_math as m",
        "from gpugrad.fusion.numba_cache import kernel",
        "",
        *constants,
        "",
        "",
        "@kernel",
        f"def {_loop_name(formula)}({parameters}):",
        *(f"    {line}" for line in body),
        "",
    ]
    return "\n".join(lines)


__all__ = ["NumbaKernel", "Plan", "compile_numba", "generate", "numba_source", "split"]
