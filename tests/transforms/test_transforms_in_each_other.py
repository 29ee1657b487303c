"""Random stacks of transforms over random programs, against the same by other means: no maps, no regions, other modes.

A map is a loop, a checkpoint or custom rule the function itself, a gradient comes forward, a Jacobian row by row. What
single derivatives of such programs are, central differences say (`random_programs`).
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.numpy as gnp

PROGRAMS, CHUNKS = 160, 4


@gg.custom_vjp
def by_backward_rule(x: Any) -> Any:
    return gg.sin(x) * x


by_backward_rule.defvjp(lambda x: (gg.sin(x) * x, x), lambda x, g: gg.vjp(lambda u: gg.sin(u) * u, x)[1](g))


@gg.custom_jvp
def by_forward_rule(x: Any) -> Any:
    return gg.sin(x) * x


by_forward_rule.defjvp(lambda p, t: (by_forward_rule(*p), gg.jvp(lambda u: gg.sin(u) * u, p, t)[1]))


def looped(f: Callable[..., Any], in_axes: Any, out_axis: int) -> Callable[..., Any]:
    def run(*xs: Any) -> Any:
        rows = [gnp.moveaxis(x, a, 0) if a is not None else None for x, a in zip(xs, in_axes, strict=True)]
        count = next(len(r) for r in rows if r is not None)
        found = [f(*[x if r is None else r[i] for x, r in zip(xs, rows, strict=True)]) for i in range(count)]
        return gnp.stack(found, axis=out_axis)

    return run


def row_by_row(f: Callable[..., Any], number: int) -> Callable[..., Any]:
    def run(*xs: Any) -> Any:
        y, pull = gg.vjp(lambda x: f(*xs[:number], x, *xs[number + 1 :]), xs[number])
        rows = [pull(e)[0] for e in np.eye(y.size).reshape(-1, *y.shape)]
        return gnp.stack(rows).reshape(*y.shape, *xs[number].shape)

    return run


def column_by_column(f: Callable[..., Any], number: int) -> Callable[..., Any]:
    def run(*xs: Any) -> Any:
        x = xs[number]
        basis = np.eye(x.size).reshape(-1, *x.shape)
        columns = [gg.jvp(lambda v: f(*xs[:number], v, *xs[number + 1 :]), (x,), (e,))[1] for e in basis]
        return gnp.stack(columns, axis=-1).reshape(*columns[0].shape, *x.shape)

    return run


PLAIN = SimpleNamespace(
    grad=column_by_column, jacrev=column_by_column, jacfwd=row_by_row, vmap=looped, checkpoint=lambda f: f,
    hessian=lambda f, number: row_by_row(row_by_row(f, number), number),
    backward_rule=lambda x: gnp.sin(x) * x, forward_rule=lambda x: gnp.sin(x) * x,
)  # fmt: skip
OURS = SimpleNamespace(
    grad=gg.grad, jacrev=gg.jacrev, jacfwd=gg.jacfwd, vmap=gg.vmap, checkpoint=gg.checkpoint, hessian=gg.hessian,
    backward_rule=by_backward_rule, forward_rule=by_forward_rule,
)  # fmt: skip


def written(a: Any) -> Any:
    out = gg.zeros(*a.shape, dtype="float64")
    for i in range(len(a)):
        out[i] = a[-1 - i] * (i + 1)
    return out


# Of one axis each, with at least two elements, so that any step may follow any other.
STEPS: list[Callable[[Any, Any, Any], Any]] = [
    lambda m, a, b: gnp.tanh(a) * b[0],
    lambda m, a, b: a[::-1] + b.sum(),
    lambda m, a, b: gnp.sort(gnp.sin(a)) * gnp.cumsum(gnp.cos(a)),
    lambda m, a, b: gg.softmax(a * b[-1]),
    lambda m, a, b: gnp.concatenate([a[1:], b[:1]]) / (1.5 + a * a),
    lambda m, a, b: gnp.where(a > 0.1, a * b.max(), gnp.take_along_axis(a, gnp.argsort(-a), 0)),
    lambda m, a, b: gnp.linalg.solve(gnp.outer(a, a) + 2.0 * np.eye(a.size), gnp.exp(-a * a) * b.mean()),
    lambda m, a, b: gnp.einsum("i,j->i", gnp.sin(a), b),
    lambda m, a, b: written(a) + 0.3 * gg.checkpoint(written)(gnp.sin(a)),
    lambda m, a, b: m.checkpoint(lambda u: gnp.sin(u) * b[0])(a),
    lambda m, a, b: m.checkpoint(lambda u: m.grad(lambda v: (gnp.sin(v) * b[0] * u).sum(), 0)(a))(gnp.cos(a)),
    lambda m, a, b: m.grad(lambda u: (gnp.tanh(u) * b[0] * u).sum(), 0)(a),
    lambda m, a, b: m.vmap(lambda u, v: u * gnp.sin(v).sum(), (0, None), 0)(a, b),
    lambda m, a, b: m.jacrev(lambda u: gnp.sin(u) * u.sum(), 0)(a) @ gnp.cos(a),
    lambda m, a, b: m.backward_rule(a) * 0.5,
    lambda m, a, b: m.forward_rule(a) + b[1],
]


class Program:
    """Random steps, and random transforms around them, for either way (`OURS`, `PLAIN`) to be done in."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.inputs = [rng.uniform(-1.2, 1.2, n) for n in rng.integers(2, 4, 2)]
        self.steps = [(STEPS[rng.integers(len(STEPS))], *rng.integers(0, k + 2, 2)) for k in range(rng.integers(1, 5))]
        self.make: Callable[[Any], Callable[..., Any]] = self._function
        self.said: list[str] = []
        for _ in range(rng.integers(1, 4)):
            self._around(str(rng.choice(["grad", "jacrev", "jacfwd", "hessian", "vmap", "vmap", "checkpoint"])))

    def _function(self, m: Any) -> Callable[..., Any]:
        def f(*xs: Any) -> Any:
            values = list(xs)
            for step, i, j in self.steps:
                values.append(step(m, values[i], values[j]))
            return values[-1]

        return f

    def _around(self, name: str) -> None:
        inner, number = self.make, int(self.rng.integers(2))
        shape = tuple(inner(PLAIN)(*self.inputs).shape)
        size = int(np.prod(shape)) * self.inputs[number].size
        if size > 60:
            name = "checkpoint"
        if name in ("grad", "hessian"):
            weights = np.cos(np.arange(np.prod(shape))).reshape(shape)
            self.make = lambda m: getattr(m, name)(lambda *xs: (gnp.tanh(inner(m)(*xs)) * weights).sum(), number)
        elif name == "vmap":
            axes: list[Any] = [None, None]
            for i in {number, int(self.rng.integers(2))}:
                x = self.inputs[i]
                axes[i] = int(self.rng.integers(-x.ndim - 1, x.ndim + 1))
                self.inputs[i] = np.stack([x, x + 0.2], axis=axes[i])
            to = int(self.rng.integers(-len(shape) - 1, len(shape) + 1))
            self.make = lambda m: m.vmap(inner(m), tuple(axes), to)
        elif name == "checkpoint":
            self.make = lambda m: m.checkpoint(inner(m))
        else:
            self.make = lambda m: getattr(m, name)(inner(m), number)
        self.said.append(name)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_random_stacks_of_transforms_equal_loops_and_other_modes(chunk: int) -> None:
    for seed in range(chunk, PROGRAMS, CHUNKS):
        program = Program(seed)
        before = [x.copy() for x in program.inputs]
        expected, found = (gg.as_tensor(program.make(m)(*program.inputs)).numpy() for m in (PLAIN, OURS))
        said = f"seed {seed}: {program.said}"
        assert found.shape == expected.shape, said
        assert found.dtype == np.float64, said
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9, err_msg=said)
        for x, same in zip(program.inputs, before, strict=True):
            np.testing.assert_array_equal(x, same, err_msg=said)
