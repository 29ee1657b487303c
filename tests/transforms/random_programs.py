"""Random programs by hypothesis, against central differences in float64: shapes, broadcasts, strides, nestings.

`python -m tests.transforms.random_programs 50000` runs as many as asked for and says how many passed.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gpugrad as gg


def _scaled(a: Any) -> Any:
    """A recorded write to a view, which reaches what it was taken of."""
    h = a * 1.5
    if h.ndim:
        part = h[:1]
        part *= 0.5
    return h


SHAPES = [(), (1,), (3,), (2, 3), (1, 3), (2, 1), (2, 1, 3)]
UNARY: dict[str, Callable[[Any], Any]] = {
    "tanh": gg.tanh,
    "sin": gg.sin,
    "sigmoid": gg.sigmoid,
    "square over": lambda a: a * a / (1.0 + a * a),
    "sum": lambda a: a.sum(axis=-1, keepdims=True) if a.ndim else a * 2.0,
    "mean": lambda a: a.mean(),
    "transpose": lambda a: a.T,
    "ravel": lambda a: a.reshape(-1),
    "softmax": lambda a: gg.softmax(a, axis=-1) if a.ndim else a,
    "cumsum": lambda a: gg.cumsum(a, axis=0) if a.ndim else a,
    "flip": lambda a: a[::-1] if a.ndim else a,
    "repeated rows": lambda a: a[np.zeros(2, int)] if a.ndim else a,
    "scaled in place": _scaled,
    "logsumexp": lambda a: gg.logsumexp(a, axis=-1) if a.ndim else a,
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / (1.5 + gg.sin(b)),
    "hypot": lambda a, b: gg.sqrt(a * a + b * b + 0.5),
    "outer": lambda a, b: gg.outer(a.reshape(-1)[:3], b.reshape(-1)[:3]),
}
LAYOUTS: list[Callable[[Any], Any]] = [
    lambda a: a,
    np.asfortranarray,
    lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    lambda a: np.ascontiguousarray(a[::-1])[::-1] if a.ndim else a,
]


@st.composite
def programs(draw: Any) -> tuple[list[tuple[str, int, int]], list[Any], str]:
    """Steps (operation, operands), inputs of random shapes and strides, and how the derivative is taken."""
    count = draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    inputs = [
        draw(st.sampled_from(LAYOUTS))(np.asarray(rng.uniform(-1.5, 1.5, draw(st.sampled_from(SHAPES)))))
        for _ in range(count)
    ]
    steps = []
    for known in range(count, count + draw(st.integers(1, 6))):
        name = draw(st.sampled_from([*UNARY, *BINARY]))
        steps.append((name, draw(st.integers(0, known - 1)), draw(st.integers(0, known - 1))))
    return steps, inputs, draw(st.sampled_from(["reverse", "forward", "hessian", "vmap", "checkpoint"]))


def run(steps: list[tuple[str, int, int]], inputs: Any) -> Any:
    """The program's number. A step whose shapes do not meet takes its first operand through tanh."""
    values = list(inputs)
    for name, i, j in steps:
        a, b = values[i], values[j]
        if name in UNARY:
            values.append(UNARY[name](a))
        else:
            meets = name == "outer" or _broadcast(a.shape, b.shape)
            values.append(BINARY[name](a, b) if meets else gg.tanh(a))
    return sum(gg.tanh(v).sum() * (k + 1.0) for k, v in enumerate(values))


def _broadcast(a: Any, b: Any) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1], strict=False))


def check(steps: list[tuple[str, int, int]], inputs: list[Any], how: str) -> None:
    """Compare one derivative with central differences along a fixed direction."""
    rng = np.random.default_rng(7)
    along = [np.asarray(rng.standard_normal(x.shape)) for x in inputs]

    def f(*xs: Any) -> Any:
        return run(steps, xs)

    everything = tuple(range(len(inputs)))
    gradient = gg.grad(gg.checkpoint(f) if how == "checkpoint" else f, everything)

    def slope(*xs: Any) -> Any:
        return sum((g * v).sum() for g, v in zip(gradient(*xs), along, strict=True))

    differentiated, found = f, None
    if how == "forward":
        found = gg.jvp(f, tuple(inputs), tuple(along))[1]
    elif how == "hessian":
        differentiated = slope
        found = sum((g * v).sum() for g, v in zip(gg.grad(slope, everything)(*inputs), along, strict=True))
    elif how == "vmap":
        found = gg.vmap(slope)(*[np.stack([x, x]) for x in inputs])[1]
    else:
        found = slope(*inputs)
    step = 1e-5

    def at(t: float) -> float:
        moved = [gg.tensor(x + t * v, dtype=np.float64) for x, v in zip(inputs, along, strict=True)]
        return float(differentiated(*moved))

    expected = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
    np.testing.assert_allclose(float(found), expected, rtol=2e-6, atol=2e-6)


def main(count: int) -> None:
    """Run `count` programs; the first that fails is shown, made as small as it goes."""
    ran = 0

    @settings(
        max_examples=count, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(programs())
    def every(program: Any) -> None:
        nonlocal ran
        ran += 1
        check(*program)

    every()
    print(f"{ran} random programs: their derivatives equal central differences")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
