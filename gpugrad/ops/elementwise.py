"""Every elementwise operation, one formula each: NumPy's ufuncs and the activations.

The formula is all there is: kernels for each device and derivatives of every order come from it (`fusion`), recording
from `core.Elementwise`. Conventions at ties and zeros are in `fusion.calculus`.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from ..backend import backend_of, is_array
from ..fusion import BOOL, Expr, Formula, call, var
from ..primitive import ELEMENTWISE, FUNCTIONS, public
from ..tensor import Tensor, new_tensor
from .cast import imag, real
from .core import Elementwise
from .creation import get_default_dtype
from .defining import define


def _unary(name: str, differentiable: bool = True) -> Elementwise:
    """A function of the language with one operand, under NumPy's name."""
    op = define(lambda x: call(name, x), name, differentiable=differentiable)
    op.__doc__ = f"`numpy.{name}` of tensors or arrays, element by element."
    return op


def _binary(name: str, differentiable: bool = True) -> Elementwise:
    """A function of the language with two operands, under NumPy's name."""
    op = define(lambda x1, x2: call(name, x1, x2), name, differentiable=differentiable)
    op.__doc__ = f"`numpy.{name}` of tensors or arrays, element by element, with broadcasting and NumPy's promotion."
    return op


# NumPy's ufuncs of one operand.
negative = _unary("negative")
modulus = _unary("absolute")
sign = _unary("sign")
square = _unary("square")
sqrt = _unary("sqrt")
cbrt = _unary("cbrt")
reciprocal = _unary("reciprocal")
exp = _unary("exp")
exp2 = _unary("exp2")
expm1 = _unary("expm1")
log = _unary("log")
log2 = _unary("log2")
log10 = _unary("log10")
log1p = _unary("log1p")
sin = _unary("sin")
cos = _unary("cos")
tan = _unary("tan")
arcsin = _unary("arcsin")
arccos = _unary("arccos")
arctan = _unary("arctan")
sinh = _unary("sinh")
cosh = _unary("cosh")
tanh = _unary("tanh")
arcsinh = _unary("arcsinh")
arccosh = _unary("arccosh")
arctanh = _unary("arctanh")
floor = _unary("floor")
ceil = _unary("ceil")
trunc = _unary("trunc")
rint = _unary("rint")
erf = _unary("erf")
erfc = _unary("erfc")

# Of two.
add = _binary("add")
subtract = _binary("subtract")
multiply = _binary("multiply")
divide = _binary("divide")
power = _binary("power")
floor_divide = _binary("floor_divide")
remainder = _binary("remainder")
fmod = _binary("fmod")
maximum = _binary("maximum")
minimum = _binary("minimum")
fmax = _binary("fmax")
fmin = _binary("fmin")
hypot = _binary("hypot")
arctan2 = _binary("arctan2")
copysign = _binary("copysign")
heaviside = _binary("heaviside")
logaddexp = _binary("logaddexp")
logaddexp2 = _binary("logaddexp2")

# Truth values: no gradient.
logical_not = _unary("logical_not", False)
isnan = _unary("isnan", False)
isinf = _unary("isinf", False)
isfinite = _unary("isfinite", False)
signbit = _unary("signbit", False)
greater = _binary("greater", False)
greater_equal = _binary("greater_equal", False)
less = _binary("less", False)
less_equal = _binary("less_equal", False)
equal = _binary("equal", False)
not_equal = _binary("not_equal", False)
logical_and = _binary("logical_and", False)
logical_or = _binary("logical_or", False)
logical_xor = _binary("logical_xor", False)

SQRT_HALF: Final = math.sqrt(0.5)
SELU_ALPHA: Final = 1.6732632423543772848170429916717  # Klambauer et al. 2017, eq. 14
SELU_SCALE: Final = 1.0507009873554804934193349852946


def _where(condition: Any, a: Any, b: Any) -> Any:
    return call("where", condition, a, b)


def _sigmoid(x: Any) -> Any:
    return call("sigmoid", x)


def _softplus(x: Any) -> Any:
    return call("softplus", x)


def _sinc(x: Any) -> Any:
    """sin(x) / x; near 0 by its series, whose derivatives do not cancel."""
    square = call("square", x)
    series: Any = 1.0
    for k in range(8, 0, -1):
        series = 1.0 - square * series * (1.0 / (2 * k * (2 * k + 1)))
    return _where(call("absolute", x) < 0.5, series, call("sin", x) / x)


# Functions of one input under their NumPy or PyTorch names.
positive = define(lambda x: x, "positive")
deg2rad = define(lambda x: x * (math.pi / 180), "deg2rad")
rad2deg = define(lambda x: x * (180 / math.pi), "rad2deg")
rsqrt = define(lambda x: 1.0 / call("sqrt", x), "rsqrt")
sinc = define(lambda x: _sinc(math.pi * x), "sinc")
logit = define(lambda x: call("log", x) - call("log1p", -x), "logit")

# Activations. Written so that a nan stays a nan, and at a corner the gradient is the flat side's.
identity = define(lambda x: x, "identity")
step = define(lambda x: _where(x > 0.0, 1.0, 0.0), "step")
relu = define(lambda x: call("relu", x), "relu")
relu6 = define(lambda x: _where(x >= 6.0, 6.0, call("relu", x)), "relu6")
leaky_relu = define(lambda x, negative_slope=0.01: _where(x > 0.0, x, negative_slope * x), "leaky_relu")
prelu = define(lambda x, weight: _where(x > 0.0, x, weight * x), "prelu")
elu = define(lambda x, alpha=1.0: _where(x > 0.0, x, alpha * call("expm1", x)), "elu")
celu = define(lambda x, alpha=1.0: _where(x > 0.0, x, alpha * call("expm1", x / alpha)), "celu")
selu = define(lambda x: SELU_SCALE * _where(x > 0.0, x, SELU_ALPHA * call("expm1", x)), "selu")
gelu_erf = define(lambda x: 0.5 * x * (1.0 + call("erf", x * SQRT_HALF)), "gelu_erf")
gelu_tanh = define(
    lambda x: 0.5 * x * (1.0 + call("tanh", math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * call("square", x)))),
    "gelu_tanh",
)
sigmoid = define(_sigmoid, "sigmoid")
silu = define(lambda x: x * _sigmoid(x), "silu")
softplus = define(
    lambda x, beta=1.0, threshold=20.0: _where(beta * x > threshold, x, _softplus(beta * x) / beta),
    "softplus",
)
log_sigmoid = define(lambda x: -_softplus(-x), "log_sigmoid")
mish = define(lambda x: x * call("tanh", _softplus(x)), "mish")
hardtanh = define(
    lambda x, min_val=-1.0, max_val=1.0: _where(x >= max_val, max_val, _where(x <= min_val, min_val, x)),
    "hardtanh",
)
hardsigmoid = define(lambda x: _where(x >= 3.0, 1.0, _where(x <= -3.0, 0.0, x * (1.0 / 6.0) + 0.5)), "hardsigmoid")
hardswish = define(lambda x: _where(x >= 3.0, x, _where(x <= -3.0, 0.0, x * (x + 3.0) * (1.0 / 6.0))), "hardswish")
softsign = define(lambda x: x / (1.0 + call("absolute", x)), "softsign")

# Selection: the condition is a truth value, and each bound of `clip` gets the gradient of what it cut off.
_CONDITION: Final = var("condition", BOOL)
select = ELEMENTWISE["where"] = Elementwise(
    Formula("where", ("condition", "x", "y"), (call("where", _CONDITION, var("x"), var("y")),))
)
clip_between = define(lambda a, a_min, a_max: _where(a < a_min, a_min, _where(a > a_max, a_max, a)), "clip_between")
clip_below = define(lambda a, a_min: _where(a < a_min, a_min, a), "clip_below")
clip_above = define(lambda a, a_max: _where(a > a_max, a_max, a), "clip_above")


@public
def absolute(x: Any) -> Any:
    """The absolute value; its derivative is the sign, 0 at 0. A complex number's is sqrt(real^2 + imag^2)."""
    if not isinstance(x, Expr) and getattr(getattr(x, "dtype", None), "kind", "") == "c":
        return hypot(real(x), imag(x))
    return modulus(x)


@public
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """`x` where `condition` holds, else `y`; the gradient goes to the one that was chosen.

    Args:
        condition: truth values, broadcast with `x` and `y`; of another dtype: whether it is not zero.
        x: array, tensor or number.
        y: array, tensor or number. Without `x` and `y`: the indices of the true elements, as NumPy.

    Returns:
        The broadcast shape, in the promoted dtype of `x` and `y`; of two numbers what NumPy's is for an array as
        condition, and with a tensor as condition floats take the default dtype.
    """
    if isinstance(condition, Expr) or isinstance(x, Expr) or isinstance(y, Expr):
        return call("where", condition, x, y)
    bare = condition.data if isinstance(condition, Tensor) else condition
    if not is_array(bare):
        bare = np.asarray(bare)
    if x is None and y is None:
        return tuple(new_tensor(i, None) if isinstance(condition, Tensor) else i for i in bare.nonzero())
    if x is None or y is None:
        raise TypeError("[where] takes a condition alone, or a condition, x and y")
    bare = bare if bare.dtype == bool else bare != 0
    if type(x) in _NUMBERS and type(y) in _NUMBERS:
        return _of_numbers(condition, bare, x, y)
    x, y = (backend_of(bare).xp.asarray(v) if type(v) is bool else v for v in (x, y))  # with truth values one of them
    found = select(bare, x, y)
    return new_tensor(found, None) if isinstance(condition, Tensor) and not isinstance(found, Tensor) else found


_NUMBERS: Final = (bool, int, float, complex)


def _of_numbers(condition: Any, bare: Any, x: Any, y: Any) -> Any:
    """`where` of two of Python's numbers: integers and truth values stay such."""
    dtype = np.result_type(np.asarray(x), np.asarray(y))
    if isinstance(condition, Tensor) and dtype.kind == "f":
        dtype = np.dtype(get_default_dtype())
    xp = backend_of(bare).xp
    found = xp.asarray(xp.where(bare, xp.full((), x, dtype), xp.full((), y, dtype)))
    return new_tensor(found, None) if isinstance(condition, Tensor) else found


@public
def clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """`a` cut to the range from `a_min` to `a_max` (either may be None); also `clamp`, and `min`/`max` by name.

    Inside the range and on its ends the gradient goes to `a`, outside to the bound.
    """
    low = a_min if min is None else min
    high = a_max if max is None else max
    if low is None and high is None:
        return positive(a)
    if low is None:
        return clip_above(a, high)
    return clip_below(a, low) if high is None else clip_between(a, low, high)


@public
def gelu(x: Any, approximate: str = "none") -> Any:
    """Gaussian error linear unit, `x * Phi(x)` (Hendrycks and Gimpel 2016).

    Args:
        x: any shape.
        approximate: "none" for the exact form with erf, "tanh" for the paper's approximation.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f'[gelu] approximate = {approximate!r}; expected "none" or "tanh"')
    return gelu_erf(x) if approximate == "none" else gelu_tanh(x)


for _alias, _target in {
    "abs": "absolute", "fabs": "absolute", "true_divide": "divide", "mod": "remainder", "pow": "power",
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2", "asinh": "arcsinh",
    "acosh": "arccosh", "atanh": "arctanh", "degrees": "rad2deg", "radians": "deg2rad", "expit": "sigmoid",
    "neg": "negative", "logsigmoid": "log_sigmoid", "clamp": "clip",
}.items():  # fmt: skip
    FUNCTIONS[_alias] = FUNCTIONS[_target]
