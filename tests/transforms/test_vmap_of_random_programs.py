"""Random programs in nested maps: values of the inner map, the outer one, and neither meet in every order."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg

N = 3


def program(seed: int) -> Callable[..., Any]:
    """A function of three (N, N) arrays to a number: a dozen random steps, each on values made before."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(N)
    constant = rng.standard_normal((N, N))
    unary: list[Callable[[Any], Any]] = [
        gg.tanh,
        gg.sin,
        lambda a: gg.softmax(a, axis=int(seed % 2)),
        lambda a: a.T,
        lambda a: a[order] * 0.5,
        lambda a: a.sum(axis=0, keepdims=True) + a[:, :1],
        lambda a: gg.cumsum(a, axis=1) * 0.3,
        lambda a: gg.sort(a, axis=0),
        lambda a: gg.layer_norm(a, N) * 0.5,
        lambda a: gg.logsumexp(a, axis=1)[:, None] * constant,
        lambda a: gg.concatenate([a[1:], a[:1]], axis=0),
    ]
    binary: list[Callable[[Any, Any], Any]] = [
        lambda a, b: a + b,
        lambda a, b: a * b,
        lambda a, b: a @ b * 0.4,
        gg.maximum,
        lambda a, b: gg.where(a > b, a, b * 0.5),
        lambda a, b: a / (2 + b * b),
        lambda a, b: gg.take_along_axis(a, gg.argsort(b, axis=1), axis=1),
        lambda a, b: gg.einsum("ij,kj->ik", a, b) * 0.3,
        lambda a, b: gg.linalg.solve(a * 0.1 + 2 * np.eye(N), b),
    ]
    steps = []
    for known in range(3, 15):
        operands = rng.integers(0, known, 2)
        if rng.random() < 0.45:
            steps.append((unary[rng.integers(len(unary))], operands[:1]))
        else:
            steps.append((binary[rng.integers(len(binary))], operands))

    def run(x: Any, y: Any, z: Any) -> Any:
        values = [x, y, z]
        for step, operands in steps:
            values.append(step(*[values[i] for i in operands]))
        return sum((gg.tanh(v) * (i + 1)).sum() for i, v in enumerate(values[-5:]))

    return run


def inputs(seed: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(1000 + seed)
    return rng.standard_normal((4, N, N)), rng.standard_normal((2, N, N)), rng.standard_normal((N, N))


def nested(f: Callable[..., Any]) -> Callable[..., Any]:
    """Over the first argument in the inner map, over the second in the outer one; the third is shared."""
    return gg.vmap(gg.vmap(f, (0, None, None)), (None, 0, None))


def looped(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, y, z: [[f(a, b, z) for a in x] for b in y]


@pytest.mark.parametrize("seed", range(40))
def test_gradients_in_nested_maps_and_through_them(seed: int) -> None:
    f, (x, y, z) = program(seed), inputs(seed)
    gradient = gg.grad(f, (0, 1, 2))
    alone = looped(gradient)(x, y, z)
    for k, found in enumerate(nested(gradient)(x, y, z)):
        expected = np.array([[g[k] for g in line] for line in alone])
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)
    through = gg.grad(lambda *a: nested(f)(*a).sum(), (0, 1, 2))(x, y, z)
    sums = (
        np.sum([[g[0] for g in line] for line in alone], axis=0),
        np.sum([[g[1] for g in line] for line in alone], axis=1),
        np.sum([[g[2] for g in line] for line in alone], axis=(0, 1)),
    )
    for found, expected in zip(through, sums, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("seed", range(0, 40, 4))
def test_gradients_of_mapped_gradients(seed: int) -> None:
    f, (x, y, z) = program(seed), inputs(seed)
    inner = gg.grad(f, (0, 1, 2))

    def length(*a: Any) -> Any:
        return sum((g * g).sum() for g in nested(inner)(*a))

    def by_loop(x: Any, y: Any, z: Any) -> Any:
        return sum((g * g).sum() for i in range(4) for j in range(2) for g in inner(x[i], y[j], z))

    for found, expected in zip(gg.grad(length, (0, 1, 2))(x, y, z), gg.grad(by_loop, (0, 1, 2))(x, y, z), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("seed", range(1, 40, 4))
def test_rows_of_a_jacobian_through_maps_and_in_one(seed: int) -> None:
    f, (x, y, z) = program(seed), inputs(seed)
    jacobian = gg.jacrev(lambda z: nested(f)(x, y, z))(z)
    expected = np.array([[gg.grad(f, 2)(a, b, z) for a in x] for b in y])
    np.testing.assert_allclose(jacobian, expected, rtol=1e-8, atol=1e-10)
    mapped = gg.vmap(lambda b: gg.jacrev(lambda z: gg.vmap(lambda a: f(a, b, z))(x))(z))(y)
    np.testing.assert_allclose(mapped, expected, rtol=1e-8, atol=1e-10)
