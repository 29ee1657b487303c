"""Functions that a derivative runs again (checkpoint, custom rules, solvers) where rows of a Jacobian are mapped.

What such a function makes itself (zeros, random numbers, a gradient within) belongs to the maps that ran when it was
called; the rows that a walk carries later are no examples of it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.numpy as gnp

X = np.array([0.3, -0.7, 1.1])
TIMES = np.array([0.0, 0.7])


def slope(u: Any) -> Any:
    return gg.grad(lambda v: -gg.cos(v).sum())(u)  # sin(u), by a transform within


def nothing() -> Any:
    return gg.zeros(3, dtype="float64")


@gg.custom_jvp
def forward_rule(x: Any) -> Any:
    return gg.sin(x) * x[0]


@forward_rule.defjvp
def _(primals: Any, tangents: Any) -> Any:
    return forward_rule(*primals), gg.jvp(lambda u: gg.sin(u) * u[0] + nothing(), primals, tangents)[1]


@gg.custom_vjp
def backward_rule(x: Any) -> Any:
    return gg.sin(x) * x[0]


def pulled(x: Any, g: Any) -> Any:
    written = nothing()
    for i in range(3):  # of the map that the cotangents are of, or of the one that the call was in
        written[i] = g[i]
    return (gg.grad(lambda u: (gg.sin(u) * u[0] * written).sum())(x),)


backward_rule.defvjp(lambda x: (gg.sin(x) * x[0], x), pulled)

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "checkpoint of a gradient": gg.checkpoint(lambda x: slope(x) * x[0]),
    "checkpoint with zeros": gg.checkpoint(lambda x: gg.sin(x) * x[0] + nothing()),
    "checkpoint around a constant": gg.checkpoint(lambda x: gg.grad(lambda u: (u * u * x).sum())(X)),
    "forward rule": forward_rule,
    "backward rule": backward_rule,
    "fixed point": lambda x: gg.fixed_point(lambda u: slope(u) * 0.3 + x * x[0] + nothing(), x),
    "trajectory": lambda x: gg.odeint(lambda y, t: -slope(y) * x[0] + nothing(), x, TIMES)[-1],
}
UNMAPPED = {"trajectory by its times": lambda x: gg.odeint(lambda y, t: -y * t, X, TIMES * x[0])[-1]}


def differences(f: Callable[[Any], Any], x: Any) -> Any:
    step = 1e-5
    columns = [(f(x + e) - f(x - e)) / (2 * step) for e in step * np.eye(x.size).reshape(-1, *x.shape)]
    return np.stack(columns, axis=-1).reshape(*columns[0].shape, *x.shape)


@pytest.fixture(params=FUNCTIONS)
def f(request: Any) -> Any:
    return FUNCTIONS[request.param]


@pytest.fixture(params=FUNCTIONS | UNMAPPED)
def any_f(request: Any) -> Any:
    return (FUNCTIONS | UNMAPPED)[request.param]


def test_rows_and_columns_of_jacobians_stay_apart(any_f: Any) -> None:
    expected = differences(any_f, X)
    np.testing.assert_allclose(gg.jacrev(any_f)(X), expected, atol=1e-6)
    np.testing.assert_allclose(gg.jacfwd(any_f)(X), expected, atol=1e-6)


def test_jacobians_of_jacobians(any_f: Any) -> None:
    expected = differences(gg.jacrev(any_f), X)
    for outer in (gg.jacrev, gg.jacfwd):
        for inner in (gg.jacrev, gg.jacfwd):
            np.testing.assert_allclose(outer(inner(any_f))(X), expected, atol=1e-5)


def test_jacobians_in_maps_and_of_maps(f: Any) -> None:
    rows = np.stack([X, X + 0.5])
    expected = np.stack([differences(f, row) for row in rows])
    for jacobian in (gg.jacrev, gg.jacfwd):
        np.testing.assert_allclose(gg.vmap(jacobian(f))(rows), expected, atol=1e-5)
        blocks = jacobian(gg.vmap(f))(rows)
        assert type(blocks) is np.ndarray
        for i in range(2):
            np.testing.assert_allclose(blocks[i, :, i], expected[i], atol=1e-5)
            assert np.abs(blocks[i, :, 1 - i]).max() < 1e-9


def test_gradients_through_maps_and_in_them(f: Any) -> None:
    rows = np.stack([X, X + 0.5])
    expected = np.stack([2 * f(row) @ differences(f, row) for row in rows])
    through = gg.grad(lambda rows: (gg.vmap(f)(rows) ** 2).sum())(rows)
    np.testing.assert_allclose(through, expected, atol=1e-5)
    np.testing.assert_allclose(gg.vmap(gg.grad(lambda row: (f(row) ** 2).sum()))(rows), expected, atol=1e-5)


@pytest.mark.parametrize("draw", [lambda x: x * gg.rand(3, dtype="float64"), lambda x: gg.dropout(x, 0.5)])
def test_random_numbers_of_a_checkpoint_are_the_same_when_rows_or_examples_pull(draw: Any) -> None:
    def seeded(run: Callable[[], Any]) -> Any:
        gg.manual_seed(3)
        return run()

    def plain(x: Any) -> Any:
        return draw(gg.sin(x))

    rows = np.stack([X, X + 0.5])
    kept = gg.checkpoint(plain)
    np.testing.assert_array_equal(seeded(lambda: gg.jacrev(kept)(X)), seeded(lambda: gg.jacrev(plain)(X)))
    through = [seeded(lambda f=f: gg.grad(lambda r: gg.vmap(f)(r).sum())(rows)) for f in (kept, plain)]
    np.testing.assert_array_equal(*through)


def test_forward_mode_of_a_backward_rule_that_differentiates_what_it_closes_over() -> None:
    direction = np.array([1.0, 0.5, -2.0])
    _, tangent = gg.jvp(backward_rule, (X,), (direction,))
    np.testing.assert_allclose(tangent, differences(lambda x: gnp.sin(x) * x[0], X) @ direction, atol=1e-8)
