"""The whole scalar calculus on one screen: the partial derivatives of every function of the language.

Each rule maps the operands `x` (and the result `y`) to one partial per operand, as expressions; `derivative`
applies the chain rule over a graph. How a function is computed is the compilers' business, not this module's.

Conventions: ties of maximum/minimum share equally; abs'(0) = 0; relu'(0) = 0; hypot'(0, 0) = 0; step functions
(floor, sign, comparisons, ...) have derivative 0; power at base 0 has derivative 0 towards the exponent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from .expr import BOOL, Expr, FormulaError, call, const, topological

Rule = Callable[..., tuple[Expr, ...]]

ONE: Final = const(1.0)
ZERO: Final = const(0.0)
HALF: Final = const(0.5)


def where(c: Expr, a: Expr | float, b: Expr | float) -> Expr:
    """`a` where `c` holds, else `b`; the branch not taken contributes nothing, not even a nan."""
    return call("where", c, a, b)


def _f(name: str) -> Callable[..., Expr]:
    return lambda *args: call(name, *args)


exp, log, sqrt, sin, cos, sign, square = map(_f, "exp log sqrt sin cos sign square".split())
sigmoid, reciprocal, equal, floor, trunc = map(_f, "sigmoid reciprocal equal floor trunc".split())


def _share(first: Expr, a: Expr, b: Expr) -> tuple[Expr, Expr]:
    """Partials of a selection of `a` or `b`: all to the one selected, half each at a tie."""
    tie = where(equal(a, b), 0.5, 0.0)
    return where(first, 1.0, tie), where(first, 0.0, where(equal(a, b), 0.5, 1.0))


def _power(a: Expr, b: Expr, y: Expr) -> tuple[Expr, Expr]:
    if b.op == "const":
        return b * call("power", a, const(b.value - 1.0)), ZERO
    base = where(equal(b, 0.0), 0.0, b * call("power", a, b - 1.0))
    return base, where(equal(a, 0.0), 0.0, y * log(a))


PARTIALS: Final[dict[str, Rule]] = {
    "add": lambda a, b, y: (ONE, ONE),
    "subtract": lambda a, b, y: (ONE, -ONE),
    "multiply": lambda a, b, y: (b, a),
    "divide": lambda a, b, y: (reciprocal(b), -(y / b)),
    "reciprocal": lambda x, y: (-square(y),),
    "negative": lambda x, y: (-ONE,),
    "square": lambda x, y: (2.0 * x,),
    "sqrt": lambda x, y: (0.5 / y,),
    "cbrt": lambda x, y: (1.0 / (3.0 * square(y)),),
    "power": _power,
    "absolute": lambda x, y: (sign(x),),
    "relu": lambda x, y: (where(y > 0.0, 1.0, 0.0),),
    "where": lambda c, a, b, y: (ZERO, where(c, 1.0, 0.0), where(c, 0.0, 1.0)),
    "maximum": lambda a, b, y: _share(a > b, a, b),
    "minimum": lambda a, b, y: _share(a < b, a, b),
    "fmax": lambda a, b, y: _share((a > b) | call("isnan", b), a, b),
    "fmin": lambda a, b, y: _share((a < b) | call("isnan", b), a, b),
    "exp": lambda x, y: (y,),
    "exp2": lambda x, y: (math.log(2.0) * y,),
    "expm1": lambda x, y: (y + 1.0,),
    "log": lambda x, y: (reciprocal(x),),
    "log2": lambda x, y: (1.0 / (math.log(2.0) * x),),
    "log10": lambda x, y: (1.0 / (math.log(10.0) * x),),
    "log1p": lambda x, y: (1.0 / (1.0 + x),),
    "logaddexp": lambda a, b, y: (exp(a - y), exp(b - y)),
    "logaddexp2": lambda a, b, y: (call("exp2", a - y), call("exp2", b - y)),
    "sin": lambda x, y: (cos(x),),
    "cos": lambda x, y: (-sin(x),),
    "tan": lambda x, y: (1.0 + square(y),),
    "arcsin": lambda x, y: (1.0 / sqrt(1.0 - square(x)),),
    "arccos": lambda x, y: (-1.0 / sqrt(1.0 - square(x)),),
    "arctan": lambda x, y: (1.0 / (1.0 + square(x)),),
    "arctan2": lambda a, b, y: (b / (square(a) + square(b)), -(a / (square(a) + square(b)))),
    "sinh": lambda x, y: (call("cosh", x),),
    "cosh": lambda x, y: (call("sinh", x),),
    "tanh": lambda x, y: (1.0 - square(y),),
    "arcsinh": lambda x, y: (1.0 / sqrt(square(x) + 1.0),),
    "arccosh": lambda x, y: (1.0 / (sqrt(x - 1.0) * sqrt(x + 1.0)),),
    "arctanh": lambda x, y: (1.0 / (1.0 - square(x)),),
    "hypot": lambda a, b, y: (where(equal(y, 0.0), 0.0, a / y), where(equal(y, 0.0), 0.0, b / y)),
    "sigmoid": lambda x, y: (y * (1.0 - y),),
    "softplus": lambda x, y: (sigmoid(x),),
    "erf": lambda x, y: (2.0 / math.sqrt(math.pi) * exp(-square(x)),),
    "erfc": lambda x, y: (-2.0 / math.sqrt(math.pi) * exp(-square(x)),),
    "lgamma": lambda x, y: (call("digamma", x),),
    "copysign": lambda a, b, y: (sign(a) * call("copysign", 1.0, b), ZERO),
    "remainder": lambda a, b, y: (ONE, -floor(a / b)),
    "fmod": lambda a, b, y: (ONE, -trunc(a / b)),
    **dict.fromkeys(("floor", "ceil", "trunc", "rint", "sign"), lambda x, y: (ZERO,)),
    **dict.fromkeys(("heaviside", "floor_divide"), lambda a, b, y: (ZERO, ZERO)),
}


# The functions whose rule is also the complex derivative; of conditions those that complex numbers have.
HOLOMORPHIC: Final = frozenset(
    "add subtract multiply divide reciprocal negative square sqrt power exp exp2 expm1 log log2 log10 log1p sin cos "
    "tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh sigmoid where equal not_equal".split()
)


def derivative(expression: Expr, wrt: Expr) -> Expr:
    """The partial derivative of `expression` with respect to the input `wrt`, simplified and sharing parts.

    `where(c, a, b)` is differentiated branch by branch: the result is `where(c, a', b')`.

    Raises:
        FormulaError: a function without a derivative rule lies between the two.
    """
    rates: dict[Expr, Expr] = {}
    for node in topological((expression,)):
        if node is wrt:
            rates[node] = ONE
        elif node.kind == BOOL or not node.args or all(rates[a] is ZERO for a in node.args):
            rates[node] = ZERO
        elif node.op == "where":
            rates[node] = where(node.args[0], rates[node.args[1]], rates[node.args[2]])
        else:
            rates[node] = _chain(node, rates, expression)
    return rates[expression]


def _chain(node: Expr, rates: dict[Expr, Expr], whole: Expr) -> Expr:
    rule = PARTIALS.get(node.op)
    if rule is None:
        raise FormulaError(
            f"[elementwise] {node.op} has no derivative, in the formula {whole}; "
            "rewrite it with functions that have one, or define it with differentiable=False"
        )
    total = ZERO
    for operand, partial in zip(node.args, rule(*node.args, node), strict=True):
        rate = rates[operand]
        if rate is not ZERO and partial is not ZERO:
            total = total + rate * partial
    return total
