"""From a formula to a generated Python function of ufunc calls: dtypes, schedule, temporaries, source text.

A `Program` is compiled for one choice of input dtypes and broadcast pattern and knows nothing of sizes, blocks or
threads; `numpy_compiler` runs it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from .expr import BOOL, SIGNATURES, Expr, call, is_const, topological
from .formula import Formula
from .numpy_functions import BODY_SCRATCH, LOWERINGS, NOISY, body_of, bound_by, cast_to, quiet, select_for, selecting

DType = np.dtype[Any]

# Names of the generated text that an input must not take: temporaries, outputs, constants, hoisted values, bodies.
_RESERVED: Final = re.compile(
    r"(t|out|c|k|h)\d+|divide|\w+_kernel(_once)?|(cast|select|maximum|minimum|erf\w*)_\w+|.*_"
)

FLOAT32: Final = np.dtype(np.float32)
_BOOL: Final = np.dtype(np.bool_)
# Functions that are not NumPy's have the dtypes of one that is (cbrt takes no complex numbers).
_TYPED_LIKE: Final = {
    "relu": "maximum", "sigmoid": "exp", "softplus": "exp", "erf": "cbrt", "erfc": "cbrt", "erfcx": "cbrt",
    "lgamma": "cbrt", "digamma": "cbrt",
}  # fmt: skip
_CANNOT_WARN: Final = frozenset(
    "negative absolute sign relu softplus tanh arctan arcsinh floor ceil trunc rint maximum minimum fmax fmin copysign "
    "heaviside where logical_not isnan isinf isfinite signbit greater greater_equal less less_equal equal not_equal "
    "logical_and logical_or logical_xor sigmoid input const".split()
)


@dataclass(frozen=True)
class Program:
    """Generated functions for one pattern of inputs.

    `prologue(*inputs)` computes once what does not span the whole result; `body(*outs, *temps, *inputs, *hoisted)`
    does the rest for a block and returns the outputs. An `out` or a temporary given as None is allocated by the first
    ufunc that writes to it, unless `needs_out` (an output that no ufunc computes, or 0-d results). `inside` bytes an
    element are taken for a moment by functions that are not ufuncs, `converted` bytes by ufuncs that convert operands,
    for as many elements as NumPy converts at a time.
    """

    source: str
    body: Callable[..., Any]
    prologue: Callable[..., tuple[Any, ...]] | None
    temps: tuple[DType, ...]
    outputs: tuple[DType, ...]
    needs_out: bool
    quiet: bool
    passes: int
    inside: int
    converted: int

    @property
    def buffers(self) -> int:
        """How many arguments of `body` come before the inputs."""
        return len(self.outputs) + len(self.temps)

    def run(self, *arguments: Any) -> Any:
        """`body`, without floating point warnings where those would be about values that nobody sees."""
        return quiet(self.body, *arguments) if self.quiet else self.body(*arguments)


def is_narrow(dtype: DType) -> bool:
    """Whether `dtype` is a float of fewer than 32 bits (float16, bfloat16, float8...), computed in float32."""
    return dtype.itemsize < 4 and (dtype.kind == "f" or dtype.name.startswith(("bfloat", "float")))


def _computed(dtype: DType) -> DType:
    return FLOAT32 if is_narrow(dtype) else dtype.newbyteorder("=")


def compute_dtype(dtypes: tuple[DType, ...]) -> DType:
    """The dtype of a kernel's own constants: what the inputs promote to, at least float32 and never bool."""
    wide = [_computed(d) for d in dtypes]
    together = np.result_type(*wide) if wide else np.dtype(np.float64)
    return np.dtype(np.float64) if together.kind == "b" else together


def _may_warn(node: Expr) -> bool:
    if node.op == "multiply" and is_const(node.args[0]) and abs(node.args[0].value) <= 1.0:
        return False
    return node.op not in _CANNOT_WARN


def _needs_quiet(roots: tuple[Expr, ...]) -> bool:
    nodes = list(topological(roots))
    if any(n.op in NOISY for n in nodes):
        return True
    return any(_may_warn(m) for n in nodes if n.op == "where" for m in topological(n.args[1:]))


class _Typed:
    """Lowered expressions and the dtype of each; constants have none, they take that of their company."""

    def __init__(self, formula: Formula, dtypes: tuple[DType, ...]) -> None:
        self.formula = formula
        self.default = compute_dtype(dtypes)
        wide = (_computed(d) for d in dtypes)
        self.inputs: dict[str, DType] = dict(zip(formula.inputs, wide, strict=True))
        self.dtype: dict[Expr, DType] = {}
        self.loops: dict[Expr, tuple[DType, ...]] = {}  # what each operand is converted to

    def lower(self, roots: tuple[Expr, ...]) -> tuple[Expr, ...]:
        done: dict[Expr, Expr] = {}
        for node in topological(roots):
            args = tuple(done[a] for a in node.args)
            if node.args and node.op != "where" and SIGNATURES[node.op][1] != BOOL:
                args = tuple(self._as_number(a) for a in args)
            if node.op == "where":
                args = self._where_operands(args)
            new = call(node.op, *args) if node.args else node
            done[node] = self._expand(new)
        return tuple(done[r] for r in roots)

    def _as_number(self, e: Expr) -> Expr:
        return call("where", e, 1.0, 0.0) if e.kind == BOOL else e

    def _where_operands(self, args: tuple[Expr, ...]) -> tuple[Expr, ...]:
        c, a, b = args
        if a.kind != b.kind:
            a, b = self._as_number(a), self._as_number(b)
        self.infer(c)
        if c.op != "const" and self.dtype[c] != _BOOL:
            c = call("not_equal", c, 0.0)
        return c, a, b

    def _expand(self, node: Expr) -> Expr:
        self.infer(node)
        rule = LOWERINGS.get(node.op)
        expanded = rule(self.dtype[node], *node.args) if rule is not None else None
        if expanded is None:
            return node
        self.infer(expanded)
        return expanded

    def infer(self, root: Expr) -> None:
        for node in topological((root,)):
            if node not in self.dtype and node.op != "const":
                self.loops[node], self.dtype[node] = self._types(node)

    def _types(self, node: Expr) -> tuple[tuple[DType, ...], DType]:
        if node.op == "input":
            return (), self.inputs[node.value]
        if node.op == "where":
            result = _BOOL if node.kind == BOOL else self._promoted(node.args[1:])
            return (_BOOL, result, result), result
        ufunc = getattr(np, _TYPED_LIKE.get(node.op, node.op))
        known = [self.dtype[a] for a in node.args if a.op != "const"] or [self.default]
        asked: list[Any] = [self._weak(a, known) if a.op == "const" else self.dtype[a] for a in node.args]
        if node.op == "relu":
            asked.append(asked[0])
        try:
            *loops, result = ufunc.resolve_dtypes((*asked, None))
        except TypeError as error:
            shown = ", ".join(str(t) if isinstance(t, np.dtype) else t.__name__ for t in asked)
            raise TypeError(f"[{self.formula.name}] {node.op} does not take ({shown}), in {self.formula}") from error
        return tuple(loops), result

    def _promoted(self, operands: tuple[Expr, ...]) -> DType:
        known = [self.dtype[a] for a in operands if a.op != "const"]
        if not known:
            known = [self.default]
        return np.result_type(*known, *(self._weak(a, known)(0) for a in operands if a.op == "const"))

    def _weak(self, constant: Expr, company: list[DType]) -> type:
        # The language writes every number as a float: 2 * x shall not turn an integer x into a float.
        if isinstance(constant.value, bool):
            return bool if all(d.kind == "b" for d in company) else int
        whole = float(constant.value).is_integer() and all(d.kind in "biu" for d in company)
        return int if whole else float


def _schedule(roots: tuple[Expr, ...]) -> list[Expr]:
    """Operands before operations, the operand that needs more temporaries first (Sethi and Ullman)."""
    need: dict[Expr, int] = {}
    for n in topological(roots):
        below = sorted((need[a] for a in n.args), reverse=True)
        need[n] = max((k + i for i, k in enumerate(below)), default=0) if n.args else 0
        if n.args:
            need[n] = max(need[n], 1)
    order: list[Expr] = []
    seen: set[Expr] = set()
    stack: list[tuple[Expr, bool]] = [(r, False) for r in reversed(roots)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((a, False) for a in sorted(node.args, key=need.__getitem__) if a not in seen)
    return order


class _Writer:
    """Chooses where each value lives and writes the two functions."""

    def __init__(
        self, typed: _Typed, roots: tuple[Expr, ...], outputs: tuple[DType, ...], masks: dict[str, int], full: int,
        direct: bool,
    ) -> None:  # fmt: skip
        self.typed, self.roots, self.outputs, self.full, self.direct = typed, roots, outputs, full, direct
        self.order = _schedule(roots)
        self.position = {n: i for i, n in enumerate(self.order)}
        self.last_use = {a: i for i, n in enumerate(self.order) for a in n.args}
        self.last_use.update(dict.fromkeys(roots, len(self.order)))
        self.mask: dict[Expr, int] = {}
        self.varies: set[Expr] = set()  # what depends on an input
        for n in self.order:
            own = masks[n.value] if n.op == "input" else 0
            for a in n.args:
                own |= self.mask[a]
            self.mask[n] = own
            if n.op == "input" or any(a in self.varies for a in n.args):
                self.varies.add(n)
        self.names: dict[Expr, str] = {}
        self.namespace: dict[str, Any] = {}
        self.constants: dict[tuple[str, str], str] = {}
        self.hoisted: list[str] = []
        self.prologue: list[str] = []
        self.body: list[str] = []
        self.temps: list[DType] = []
        self.free: list[str] = []
        self.slot_dtype: dict[str, DType] = {}
        self.needs_out = False
        self.inside = 0
        self.converted = 0

    def constant(self, value: Any, dtype: DType) -> str:
        key = (repr(value), dtype.str)
        if key not in self.constants:
            self.constants[key] = name = f"c{len(self.constants)}"
            # int() first: a number that an integer dtype cannot hold shall be refused, not wrapped.
            self.namespace[name] = np.array(int(value) if dtype.kind in "iu" else value, dtype)
        return self.constants[key]

    def operand(self, e: Expr, dtype: DType) -> str:
        return self.constant(e.value, dtype) if e.op == "const" else self.names[e]

    def bind(self, name: str, value: Any) -> str:
        self.namespace[name] = value
        return name

    def expression(self, node: Expr) -> tuple[str, str]:
        """The function to call for `node` and the text of its operands."""
        loops, result, op = self.typed.loops[node], self.typed.dtype[node], node.op
        texts = [self.operand(a, d) for a, d in zip(node.args, loops, strict=False)]
        if op == "where":
            return self.selection(node, texts, result)
        if op in ("maximum", "minimum") and any(is_const(a) and a.value == a.value for a in node.args):
            k = 0 if is_const(node.args[0]) else 1
            bound = self.namespace[texts[k]]
            return self.bind(f"{op}_{texts[k]}", bound_by(op, bound)), texts[1 - k]
        if op == "reciprocal":  # half the time of np.reciprocal, and a float for integers
            return self.bind("divide", np.divide), f"{self.constant(1.0, result)}, {texts[0]}"
        body = body_of(op, result)
        if body is None:
            asked = [(a, d) for a, d in zip(node.args, loops, strict=False) if a.op != "const"]
            self.converts(d for a, d in asked if self.typed.dtype[a] != d)
        self.inside = max(self.inside, BODY_SCRATCH.get(op, 0) if body is not None else 0)
        name = self.bind(op if body is None else f"{op}_{result}", getattr(np, op) if body is None else body)
        return name, ", ".join(texts)

    def converts(self, dtypes: Iterable[DType]) -> None:
        """Note that one call converts operands to `dtypes`."""
        self.converted = max(self.converted, sum(d.itemsize for d in dtypes))

    def selection(self, node: Expr, texts: list[str], result: DType) -> tuple[str, str]:
        _, a, b = node.args
        if is_const(a, 1) and is_const(b, 0):
            return self.bind(f"cast_{result}", cast_to(result)), texts[0]
        for k, branch in ((1, a), (2, b)):
            if branch.op != "const" and self.typed.dtype[branch] != result:
                cast = self.bind(f"cast_{result}", cast_to(result))
                texts[k] = f"{cast}({texts[k]})"
        zero = next((k for k, e in (("b", b), ("a", a)) if e.op == "const" and repr(e.value) == "0.0"), "")
        asked = selecting(result, zero)
        texts.append("None" if asked is None or self.mask[node] != self.full else self.room(asked))
        self.converts([result])  # the mask
        name = f"select_{result}" + (f"_zero_{zero}" if zero else "")
        return self.bind(name, select_for(result, zero)), ", ".join(texts)

    def room(self, dtype: DType) -> str:
        """A temporary for the time of one call; the call's own result may take its place."""
        name = next((n for n in self.free if n.startswith("t") and self.slot_dtype[n] == dtype), None)
        if name is None:
            name = self.temporary(dtype)
            self.free.append(name)
        return name

    def temporary(self, dtype: DType) -> str:
        """A new one."""
        self.temps.append(dtype)
        name = f"t{len(self.temps) - 1}"
        self.slot_dtype[name] = dtype
        return name

    def target(self, node: Expr, index: int, dtype: DType) -> str:
        dying = [a for a in node.args if self.last_use.get(a) == index and self.names.get(a) in self.slot_dtype]
        for a in dying:
            if self.names[a] not in self.free:
                self.free.append(self.names[a])
        for k, root in enumerate(self.roots):
            if root is node and f"out{k}" not in self.slot_dtype and self.outputs[k] == dtype:
                self.slot_dtype[f"out{k}"] = dtype
                return f"out{k}"
            if root is node and f"out{k}" in self.free:
                self.free.remove(f"out{k}")
                return f"out{k}"
        for name in [self.names[a] for a in dying] + list(self.free):
            usable = not name.startswith("out") or self.ends_before(node, name)
            if name in self.free and self.slot_dtype[name] == dtype and usable:
                self.free.remove(name)
                return name
        for k in range(len(self.roots)) if self.direct else ():
            name = f"out{k}"
            if name not in self.slot_dtype and self.outputs[k] == dtype and self.ends_before(node, name):
                self.slot_dtype[name] = dtype
                return name
        return self.temporary(dtype)

    def ends_before(self, node: Expr, out: str) -> bool:
        """Whether the value of `node` may use the memory of an output until that output is computed."""
        root = self.roots[int(out.removeprefix("out"))]
        computed = root.args and self.mask[root] == self.full
        return bool(computed) and self.last_use[node] <= self.position[root]

    def write(self, source: dict[str, DType], parameters: dict[str, str]) -> None:
        """Both functions' lines; `source` has the inputs' own dtypes, `parameters` their names in the text."""
        for i, node in enumerate(self.order):
            if node.op == "const":
                continue
            if node.op == "input":
                self.names[node] = parameters[node.value]
                if source[node.value] != self.typed.dtype[node]:
                    cast = self.bind(f"cast_{self.typed.dtype[node]}", cast_to(self.typed.dtype[node]))
                    self.store(node, i, cast, self.names[node])
            else:
                self.store(node, i, *self.expression(node))
        for k, root in enumerate(self.roots):
            self.finish(k, root, self.outputs[k])

    def store(self, node: Expr, index: int, function: str, operands: str) -> None:
        if node not in self.varies:  # 1/0 and the like: a constant after all
            value = quiet(eval, f"{function}({operands})", self.namespace)
            self.names[node] = self.bind(f"k{index}", np.asarray(value))
        elif self.mask[node] != self.full:
            self.names[node] = f"h{len(self.hoisted)}"
            self.hoisted.append(self.names[node])
            self.prologue.append(f"{self.names[node]} = {function}({operands})")
        else:
            name = self.target(node, index, self.typed.dtype[node])
            # NumPy deprecates a positional out for these two alone.
            keyword = "out=" if function in ("maximum", "minimum") else ""
            self.names[node] = name
            self.body.append(f"{name} = {function}({operands}, {keyword}{name})")

    def finish(self, k: int, root: Expr, dtype: DType) -> None:
        out = f"out{k}"
        name = self.operand(root, dtype)
        if name == out:
            return
        cast = self.bind(f"cast_{dtype}", cast_to(dtype))
        self.body.append(f"{out} = {cast}({name}, {out})")
        self.needs_out |= root.op == "const" or self.mask[root] != self.full


def _result_dtype(node: Expr, typed: _Typed, dtypes: tuple[DType, ...]) -> DType:
    computed = typed.dtype[node] if node.op != "const" else (_BOOL if node.kind == BOOL else typed.default)
    if any(map(is_narrow, dtypes)) and computed == FLOAT32:
        return np.result_type(*dtypes)
    return computed


def build(formula: Formula, dtypes: tuple[DType, ...], masks: tuple[int, ...], full: int, direct: bool) -> Program:
    """Compile `formula` for inputs of `dtypes` that span the result's axes in `masks` (bit i for axis i).

    Args:
        formula: what to compute.
        dtypes: one per input.
        masks: one per input; an input whose mask is `full` spans the whole result.
        full: the axes of the result that are longer than one.
        direct: whether outputs may hold intermediate values (no input shares their memory).

    Raises:
        TypeError: NumPy has no such function for these dtypes.
    """
    typed = _Typed(formula, dtypes)
    roots = typed.lower(formula.outputs)
    outputs = tuple(_result_dtype(r, typed, dtypes) for r in roots)
    writer = _Writer(typed, roots, outputs, dict(zip(formula.inputs, masks, strict=True)), full, direct)
    parameters = {n: f"{n}_" if _RESERVED.fullmatch(n) or n in SIGNATURES else n for n in formula.inputs}
    writer.write(dict(zip(formula.inputs, dtypes, strict=True)), parameters)
    outs = [f"out{k}" for k in range(len(roots))]
    temps = [f"t{k}" for k in range(len(writer.temps))]
    inputs = list(parameters.values())
    name = f"{formula.name}_kernel"
    lines = [f"def {name}({', '.join([*outs, *temps, *inputs, *writer.hoisted])}):", *writer.body]
    lines.append(f"return {outs[0] if len(outs) == 1 else '(' + ', '.join(outs) + ')'}")
    source = "\n    ".join(lines) + "\n"
    if writer.prologue:
        returned = f"return ({', '.join(writer.hoisted)},)"
        before = [f"def {name}_once({', '.join(inputs)}):", *writer.prologue, returned]
        source = "\n    ".join(before) + "\n\n" + source
    exec(compile(source, f"<gpugrad {name}>", "exec"), writer.namespace)
    return Program(
        source, writer.namespace[name], writer.namespace.get(f"{name}_once"), tuple(writer.temps), outputs,
        writer.needs_out, _needs_quiet(formula.outputs), len(writer.body), writer.inside,
        writer.converted,
    )  # fmt: skip
