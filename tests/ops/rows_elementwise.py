"""Rows of the elementwise operations: made from their formulas, with a domain where one is needed."""

from typing import Any

import numpy as np

from gpugrad.primitive import ELEMENTWISE
from tests.ops.table import Row, Sampler

# The numbers stay away from the places where some function has a corner or a jump: 0, halves, integers, and each other.
BANDS = ((0.13, 0.2), (0.27, 0.34), (0.63, 0.7))
SHAPES = ((2, 3), (3,), (2, 1), (2, 3))


def away_from_corners(k: int, shape: tuple[int, ...]) -> Sampler:
    """Of input `k`: either sign, integer part 0 or 1."""

    def sample(rng: np.random.Generator) -> Any:
        return rng.choice([-1, 1], shape) * (rng.integers(0, 2, shape) + rng.uniform(*BANDS[k % 3], shape))

    return sample


def between(low: float, high: float, shape: tuple[int, ...]) -> Sampler:
    return lambda rng: rng.uniform(low, high, shape)


DOMAINS: dict[str, tuple[tuple[float, float], ...]] = {
    "sqrt": ((0.3, 3),),
    "cbrt": ((0.3, 3),),
    "rsqrt": ((0.3, 3),),
    "log": ((0.3, 3),),
    "log2": ((0.3, 3),),
    "log10": ((0.3, 3),),
    "log1p": ((-0.6, 2),),
    "arcsin": ((-0.8, 0.8),),
    "arccos": ((-0.8, 0.8),),
    "arccosh": ((1.3, 3),),
    "arctanh": ((-0.8, 0.8),),
    "logit": ((0.2, 0.8),),
    "power": ((0.3, 2), (-1.5, 1.5)),
    "floor_divide": ((2.1, 2.4), (0.9, 0.99)),
    "remainder": ((2.1, 2.4), (0.9, 0.99)),
    "fmod": ((2.1, 2.4), (0.9, 0.99)),
    "clip_between": ((-1.9, 1.9), (-0.8, -0.3), (0.4, 0.9)),
    "xlogy": ((0.3, 2), (0.3, 2)),
    "lgamma": ((1.3, 3),),
    "gammaln": ((1.3, 3),),
    "digamma": ((1.3, 3),),
    "float_power": ((0.3, 2), (-1.5, 1.5)),
    "rsub": ((-2, 2), (-2, 2)),
}

# Where NumPy has no function of the name.
NUMPY = {
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "log_sigmoid": lambda x: -np.log1p(np.exp(-x)),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "identity": lambda x: x,
    "step": lambda x: np.where(x > 0, 1.0, 0.0),
    "clip_between": np.clip,
    "clip_below": np.maximum,
    "clip_above": np.minimum,
    "prelu": lambda x, weight: np.where(x > 0, x, weight * x),
}

# PyTorch's functions: of torch, or of torch.nn.functional. (Its hardsigmoid has a gradient rounded to float32.)
TORCH = {
    name: name
    for name in (
        "exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh "
        "sqrt rsqrt square reciprocal erf erfc sinc logit sigmoid absolute negative deg2rad rad2deg "
        "maximum minimum hypot logaddexp logaddexp2 arctan2 multiply divide subtract add power"
    ).split()
} | {
    name: f"nn.functional.{name}"
    for name in "relu relu6 leaky_relu elu celu selu silu softplus mish hardtanh hardswish softsign".split()
}
TORCH |= {"log_sigmoid": "nn.functional.logsigmoid", "power": "pow"}
TORCH["gelu_erf"] = "nn.functional.gelu"


def torch_function(name: str) -> Any:
    path = TORCH.get(name)
    if path is None:
        return None

    def call(torch: Any, *xs: Any) -> Any:
        function = torch
        for part in path.split("."):
            function = getattr(function, part)
        return function(*xs)

    return call


def required(op: Any) -> int:
    """How many of an operation's inputs have no default."""
    return len([n for n in op.formula.inputs if n not in op._defaults])


def row(name: str, op: Any) -> Row:
    if name == "where":
        mask = np.array([[True, False, True], [False, True, False]])
        return Row(
            "where",
            lambda x, y: op(mask, x, y),
            (away_from_corners(0, (2, 3)), away_from_corners(1, (3,))),
            numpy=lambda x, y: np.where(mask, x, y),
            torch=lambda torch, x, y: torch.where(torch.from_numpy(mask), x, y),
            exact=True,
        )
    count = required(op)
    domain = DOMAINS.get(name)
    inputs = tuple(between(*domain[k], SHAPES[k]) if domain else away_from_corners(k, SHAPES[k]) for k in range(count))
    reference = NUMPY.get(name, getattr(np, name, None))
    kinds = () if not op.differentiable else ("float32", "float16")
    order = 2 if op.differentiable else 0
    return Row(name, op, inputs, reference, torch_function(name), None, order, kinds)


ROWS = [row(name, op) for name, op in sorted(ELEMENTWISE.items())]
