"""The scalar expression language: what a kernel computes for one element.

An `Expr` is a node of an immutable, hash-consed graph over named inputs; building one applies the few
simplifications that hold for every float. Derivatives live in `calculus`, the compilers beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from weakref import WeakValueDictionary

REAL: Final = "real"
BOOL: Final = "bool"


class FormulaError(ValueError):
    """A formula that cannot be built, compiled or differentiated; the message shows the formula."""


class Expr:
    """One node: `op` applied to `args`. Leaves are `input` (its name in `value`) and `const` (its number).

    Equal expressions are the same object, so `is` compares them and common subexpressions are shared.
    Operators and NumPy ufuncs on an `Expr` build larger expressions; `kind` is "real" or "bool".
    """

    __slots__ = ("__weakref__", "args", "kind", "op", "value")

    op: str
    args: tuple[Expr, ...]
    value: Any
    kind: str

    def __add__(self, other: Any) -> Expr:
        return call("add", self, other)

    def __radd__(self, other: Any) -> Expr:
        return call("add", other, self)

    def __sub__(self, other: Any) -> Expr:
        return call("subtract", self, other)

    def __rsub__(self, other: Any) -> Expr:
        return call("subtract", other, self)

    def __mul__(self, other: Any) -> Expr:
        return call("multiply", self, other)

    def __rmul__(self, other: Any) -> Expr:
        return call("multiply", other, self)

    def __truediv__(self, other: Any) -> Expr:
        return call("divide", self, other)

    def __rtruediv__(self, other: Any) -> Expr:
        return call("divide", other, self)

    def __floordiv__(self, other: Any) -> Expr:
        return call("floor_divide", self, other)

    def __rfloordiv__(self, other: Any) -> Expr:
        return call("floor_divide", other, self)

    def __mod__(self, other: Any) -> Expr:
        return call("remainder", self, other)

    def __rmod__(self, other: Any) -> Expr:
        return call("remainder", other, self)

    def __pow__(self, other: Any) -> Expr:
        return call("power", self, other)

    def __rpow__(self, other: Any) -> Expr:
        return call("power", other, self)

    def __neg__(self) -> Expr:
        return call("negative", self)

    def __pos__(self) -> Expr:
        return self

    def __abs__(self) -> Expr:
        return call("absolute", self)

    def __lt__(self, other: Any) -> Expr:
        return call("less", self, other)

    def __le__(self, other: Any) -> Expr:
        return call("less_equal", self, other)

    def __gt__(self, other: Any) -> Expr:
        return call("greater", self, other)

    def __ge__(self, other: Any) -> Expr:
        return call("greater_equal", self, other)

    # Building instead of comparing: `x == 0` in a formula must not be Python's False. Identity still hashes.
    def __eq__(self, other: Any) -> Expr:  # type: ignore[override]
        return call("equal", self, other)

    def __ne__(self, other: Any) -> Expr:  # type: ignore[override]
        return call("not_equal", self, other)

    __hash__ = object.__hash__

    def __and__(self, other: Any) -> Expr:
        return call("logical_and", self, other)

    def __rand__(self, other: Any) -> Expr:
        return call("logical_and", other, self)

    def __or__(self, other: Any) -> Expr:
        return call("logical_or", self, other)

    def __ror__(self, other: Any) -> Expr:
        return call("logical_or", other, self)

    def __xor__(self, other: Any) -> Expr:
        return call("logical_xor", self, other)

    def __invert__(self) -> Expr:
        return call("logical_not", self)

    def __bool__(self) -> bool:
        raise FormulaError(
            f"[elementwise] the formula branches in Python on {self}; a kernel has no such branch: "
            "use where(condition, a, b)"
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Expr:
        if method != "__call__" or kwargs:
            raise FormulaError(f"[elementwise] numpy.{ufunc.__name__}.{method} with {kwargs} in a formula")
        return call(ufunc.__name__, *inputs)

    def __repr__(self) -> str:
        return format_expr(self)


_INTERNED: WeakValueDictionary[tuple[Any, ...], Expr] = WeakValueDictionary()


def _make(op: str, args: tuple[Expr, ...], value: Any, kind: str) -> Expr:
    # repr keeps 0.0 and -0.0, and 1.0 and True, apart; nan equals itself.
    key = (op, tuple(map(id, args)), repr(value), kind)
    found = _INTERNED.get(key)
    if found is None:
        found = Expr.__new__(Expr)
        found.op, found.args, found.value, found.kind = op, args, value, kind
        _INTERNED[key] = found
    return found


def var(name: str, kind: str = REAL) -> Expr:
    """The input called `name` (a Python identifier)."""
    return _make("input", (), name, kind)


def const(value: float | bool) -> Expr:
    """A number of the kernel's own compute type (Python bool gives a truth value)."""
    if isinstance(value, bool):
        return _make("const", (), value, BOOL)
    return _make("const", (), float(value), REAL)


def lift(value: Any) -> Expr:
    """`value` as an expression; numbers become constants, anything else is a FormulaError."""
    if isinstance(value, Expr):
        return value
    if isinstance(value, bool | int | float):
        return const(value)
    try:
        return const(float(value))
    except (TypeError, ValueError):
        raise FormulaError(
            f"[elementwise] {type(value).__name__} {value!r} in a formula; only inputs, numbers and the "
            "functions of the expression language may appear"
        ) from None


# op -> (number of arguments, kind of the result); the derivatives are in `calculus`.
SIGNATURES: Final[dict[str, tuple[int, str]]] = {
    **dict.fromkeys(
        "negative absolute sign square sqrt cbrt reciprocal exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin "
        "arccos arctan sinh cosh tanh arcsinh arccosh arctanh floor ceil trunc rint relu sigmoid softplus erf erfc "
        "erfcx lgamma digamma".split(),
        (1, REAL),
    ),
    **dict.fromkeys(
        "add subtract multiply divide power floor_divide remainder fmod maximum minimum fmax fmin hypot arctan2 "
        "copysign heaviside logaddexp logaddexp2".split(),
        (2, REAL),
    ),
    **dict.fromkeys("logical_not isnan isinf isfinite signbit".split(), (1, BOOL)),
    **dict.fromkeys(
        "greater greater_equal less less_equal equal not_equal logical_and logical_or logical_xor".split(),
        (2, BOOL),
    ),
    "where": (3, REAL),
}

# NumPy's other spellings of the same functions, so that `np.abs(x)` and friends work in a formula.
ALIASES: Final = {
    "abs": "absolute", "fabs": "absolute", "true_divide": "divide", "mod": "remainder", "pow": "power",
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2", "asinh": "arcsinh",
    "acosh": "arccosh", "atanh": "arctanh", "round": "rint", "bitwise_and": "logical_and",
    "bitwise_or": "logical_or", "bitwise_xor": "logical_xor", "invert": "logical_not", "expit": "sigmoid",
    "gammaln": "lgamma", "neg": "negative",
}  # fmt: skip

# Functions that are compositions, not vocabulary: they expand when called.
_COMPOSED: Final[dict[str, Callable[..., Expr]]] = {
    "positive": lift,
    "deg2rad": lambda x: lift(x) * (math.pi / 180),
    "radians": lambda x: lift(x) * (math.pi / 180),
    "rad2deg": lambda x: lift(x) * (180 / math.pi),
    "degrees": lambda x: lift(x) * (180 / math.pi),
}


def call(name: str, *args: Any) -> Expr:
    """Apply the function `name` (NumPy's name) to expressions or numbers.

    Raises:
        FormulaError: the name is not in the language, or the number of arguments is wrong.
    """
    composed = _COMPOSED.get(name)
    if composed is not None:
        return composed(*args)
    op = ALIASES.get(name, name)
    signature = SIGNATURES.get(op)
    if signature is None or len(args) != signature[0]:
        # Only now: writing a formula out takes time in proportion to its size.
        shown = f"[elementwise] {name}({', '.join(str(a) for a in args)})"
        if signature is None:
            raise FormulaError(f"{shown}: unknown function; known: {', '.join(sorted(SIGNATURES))}")
        raise FormulaError(f"{shown}: takes {signature[0]} arguments, got {len(args)}")
    kind = signature[1]
    operands = tuple(lift(a) for a in args)
    if op == "where":
        kind = BOOL if operands[1].kind == operands[2].kind == BOOL else REAL
    return _simplify(op, operands, kind)


def is_const(e: Expr, value: float | None = None) -> bool:
    """Whether `e` is a constant (equal to `value`, when one is given)."""
    return e.op == "const" and (value is None or e.value == value)


_FOLD: Final[dict[str, Callable[..., float]]] = {
    "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b,
    "negative": lambda a: -a, "absolute": abs, "square": lambda a: a * a,
    "divide": lambda a, b: a / b, "power": lambda a, b: a**b, "sqrt": math.sqrt, "log": math.log,
    "exp": math.exp, "reciprocal": lambda a: 1.0 / a,
}  # fmt: skip


def _simplify(op: str, args: tuple[Expr, ...], kind: str) -> Expr:
    if op in _FOLD and all(is_const(a) for a in args):
        try:
            folded = _FOLD[op](*(a.value for a in args))
        except (ArithmeticError, ValueError):
            folded = None  # e.g. 1/0: left to the kernel, which gives IEEE's answer
        if isinstance(folded, float):
            return const(folded)
    rule: Callable[..., Expr | None] | None = _RULES.get(op)
    simpler = rule(*args) if rule is not None else None
    return simpler if simpler is not None else _make(op, args, None, kind)


def _add(a: Expr, b: Expr) -> Expr | None:
    if is_const(a, 0):
        return b
    if is_const(b, 0):
        return a
    if b.op == "negative":
        return call("subtract", a, b.args[0])
    return call("subtract", b, a.args[0]) if a.op == "negative" else None


def _subtract(a: Expr, b: Expr) -> Expr | None:
    if is_const(b, 0):
        return a
    if is_const(a, 0):
        return call("negative", b)
    return call("add", a, b.args[0]) if b.op == "negative" else None


def _multiply(a: Expr, b: Expr) -> Expr | None:
    for x, y in ((a, b), (b, a)):
        if is_const(x, 0):  # a zero derivative: it must not meet the other factor's inf or nan
            return const(0.0)
        if is_const(x, 1):
            return y
        if is_const(x, -1):
            return call("negative", y)
        if x.kind == BOOL:
            return call("where", x, y, 0.0)
        # Selecting instead of multiplying keeps an inf or nan of `y` out of the branch not taken.
        if x.op == "where" and x.kind == REAL and any(is_const(branch, 0) for branch in x.args[1:]):
            return call("where", x.args[0], x.args[1] * y, x.args[2] * y)
        if x.op == "where" and x.kind == REAL and any(is_const(branch, 1) for branch in x.args[1:]):
            return call("where", x.args[0], x.args[1] * y, x.args[2] * y)
        if x.op == "negative":
            return call("negative", x.args[0] * y)
        if is_const(x) and y.op == "multiply" and is_const(y.args[0]):
            return const(x.value * y.args[0].value) * y.args[1]
    if is_const(b) and not is_const(a):
        return call("multiply", b, a)
    return call("square", a) if a is b else None


def _divide(a: Expr, b: Expr) -> Expr | None:
    if is_const(b, 1):
        return a
    if is_const(a, 0):
        return const(0.0)
    if is_const(b) and math.frexp(b.value)[0] in (0.5, -0.5):
        return call("multiply", a, 1.0 / b.value)  # a power of two: exact
    return call("reciprocal", b) if is_const(a, 1) else None


def _power(a: Expr, b: Expr) -> Expr | None:
    special: dict[float, Callable[[Expr], Expr]] = {
        0.0: lambda x: const(1.0),
        1.0: lambda x: x,
        2.0: lambda x: call("square", x),
        3.0: lambda x: call("square", x) * x,
        4.0: lambda x: call("square", call("square", x)),
        -1.0: lambda x: call("reciprocal", x),
        0.5: lambda x: call("sqrt", x),
    }
    chosen = special.get(b.value) if is_const(b) else None
    return None if chosen is None else chosen(a)


def _where(c: Expr, a: Expr, b: Expr) -> Expr | None:
    if a is b:
        return a
    if is_const(c):
        return a if c.value else b
    if c.op == "logical_not":
        return call("where", c.args[0], b, a)
    if a.op == "where" and a.args[0] is c:
        return call("where", c, a.args[1], b)
    if b.op == "where" and b.args[0] is c:
        return call("where", c, a, b.args[2])
    return None


def _negative(a: Expr) -> Expr | None:
    if a.op == "negative":
        return a.args[0]
    if a.op == "subtract":
        return None
    if a.op == "multiply" and is_const(a.args[0]):
        return const(-a.args[0].value) * a.args[1]
    if a.op == "where":
        return call("where", a.args[0], -a.args[1], -a.args[2])
    return None


_RULES: Final[dict[str, Callable[..., Expr | None]]] = {
    "add": _add, "subtract": _subtract, "multiply": _multiply, "divide": _divide, "power": _power,
    "where": _where, "negative": _negative,
    "logical_not": lambda a: a.args[0] if a.op == "logical_not" else None,
}  # fmt: skip


def topological(roots: Iterable[Expr]) -> Iterator[Expr]:
    """Every node under `roots` once, operands before the operations that use them (iterative)."""
    seen: set[int] = set()
    stack: list[tuple[Expr, bool]] = [(r, False) for r in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((a, False) for a in reversed(node.args) if id(a) not in seen)


def substitute(roots: tuple[Expr, ...], replacement: dict[Expr, Expr]) -> tuple[Expr, ...]:
    """`roots` with every occurrence of a key replaced by its value, largest matches first."""
    done: dict[Expr, Expr] = dict(replacement)
    for node in topological(roots):
        if node not in done:
            args = tuple(done[a] for a in node.args)
            same = all(a is b for a, b in zip(args, node.args, strict=True))
            done[node] = node if same else call(node.op, *args)
    return tuple(done[r] for r in roots)


def inputs_of(roots: tuple[Expr, ...]) -> tuple[str, ...]:
    """Names of the inputs that `roots` depend on, in order of first use."""
    return tuple(n.value for n in topological(roots) if n.op == "input")


_INFIX: Final = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "greater": ">", "greater_equal": ">=",
    "less": "<", "less_equal": "<=", "equal": "==", "not_equal": "!=", "power": "**",
}  # fmt: skip


def format_expr(e: Expr) -> str:
    """The expression as text, for error messages and `source`; shared parts are written out each time."""
    text: dict[Expr, str] = {}
    for n in topological((e,)):
        if n.op == "input":
            text[n] = n.value
        elif n.op == "const":
            text[n] = repr(n.value)
        elif n.op in _INFIX:
            text[n] = f"({text[n.args[0]]} {_INFIX[n.op]} {text[n.args[1]]})"
        elif n.op == "negative":
            text[n] = f"-{text[n.args[0]]}"
        else:
            text[n] = f"{n.op}({', '.join(text[a] for a in n.args)})"
        if len(text[n]) > 2000:
            text[n] = text[n][:2000] + "..."
    return text[e]
