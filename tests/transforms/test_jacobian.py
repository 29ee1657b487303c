"""Jacobians by reverse mode: structures, several arguments, values against central differences and PyTorch."""

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from tests.ops.table import Row, rows

RNG = np.random.default_rng(3)
X = RNG.standard_normal((2, 3))
DIFFERENTIABLE = [row for row in rows() if row.order and row.inputs]


def differences(f: Any, x: Any, step: float = 1e-6) -> Any:
    """The Jacobian by central differences, element by element."""
    y = np.asarray(f(x))
    out = np.zeros(y.shape + x.shape)
    for place in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        out[(..., *place)] = (np.asarray(f(up)) - np.asarray(f(down))) / (2 * step)
    return out


@pytest.mark.parametrize(
    "f",
    [
        lambda x: gg.tanh(x) * x.sum(),
        lambda x: x @ x.T,
        lambda x: gg.softmax(x).sum(axis=0),
        lambda x: gg.sort(gg.ravel(x))[::2],
        lambda x: gg.layer_norm(x, 3),
        gg.logsumexp,
    ],
)
def test_rows_are_those_of_central_differences(f: Any) -> None:
    jacobian = gg.jacrev(f)(X)
    assert type(jacobian) is np.ndarray
    np.testing.assert_allclose(jacobian, differences(f, X), rtol=1e-6, atol=1e-8)


# The walk with mapped cotangents over a plain tape: every rule takes a cotangent that has a batch where what was kept
# has none.
@pytest.mark.parametrize("row", DIFFERENTIABLE, ids=lambda row: row.name)
def test_all_rows_together_are_one_backward_pass_for_each(row: Row) -> None:
    inputs = row.sample()
    value, pullback = gg.vjp(row.call, *inputs)
    leaves = list(value) if isinstance(value, tuple) else [value]
    if any(y.dtype.kind not in "fc" for y in leaves):
        pytest.skip("a part of the result has no gradient")
    cotangents = [RNG.standard_normal((2, *y.shape)).astype(y.dtype) for y in leaves]
    wrap = (lambda parts: type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)) if isinstance(
        value, tuple
    ) else (lambda parts: parts[0])  # fmt: skip
    try:
        alone = [pullback(wrap([c[i] for c in cotangents])) for i in range(2)]
    except gg.GradientError:
        pytest.skip("the pullback of random cotangents does not exist (phases and signs of factors)")
    together = gg.vmap(pullback)(wrap(cotangents))
    for k in range(len(inputs)):
        np.testing.assert_allclose(together[k], np.stack([a[k] for a in alone]), rtol=1e-9, atol=1e-9)


def test_structures_and_several_arguments() -> None:
    def f(tree: Any, scale: Any) -> Any:
        return {"a": tree["x"] * scale, "b": (tree["x"].sum() * tree["y"], scale**2)}

    tree = {"x": X[0], "y": X[1]}
    first, second = gg.jacrev(f, argnums=(0, 1))(tree, 2.0)["a"]
    np.testing.assert_allclose(first["x"], 2 * np.eye(3))
    np.testing.assert_array_equal(first["y"], np.zeros((3, 3)))
    np.testing.assert_allclose(second, X[0])
    jacobian = gg.jacrev(f)(tree, 2.0)
    np.testing.assert_allclose(jacobian["b"][0]["x"], np.outer(X[1], np.ones(3)))
    np.testing.assert_array_equal(jacobian["b"][1]["x"], np.zeros(3))


def test_auxiliary_results_and_tensors() -> None:
    jacobian, aux = gg.jacrev(lambda x: (x * x, "kept"), has_aux=True)(gg.tensor(X[0]))
    assert aux == "kept"
    assert isinstance(jacobian, gg.Tensor)
    np.testing.assert_allclose(jacobian.data, 2 * np.diag(X[0]))


def test_the_jacobian_of_a_tensor_with_a_gradient_can_be_differentiated() -> None:
    x = gg.tensor(X[0], requires_grad=True)
    (gg.jacrev(lambda x: x**3)(x) ** 2).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.data, 36 * X[0] ** 3)
    third = gg.jacrev(gg.jacrev(gg.jacrev(lambda x: (x**4).sum())))(X[0])
    expected = np.zeros((3, 3, 3))
    expected[np.arange(3), np.arange(3), np.arange(3)] = 24 * X[0]
    np.testing.assert_allclose(third, expected)


def test_errors() -> None:
    with pytest.raises(TypeError, match=r"\[jacrev\] an output is \(3,\) int64; expected floating point"):
        gg.jacrev(gg.argsort)(X[0])
    with pytest.raises(ValueError, match=r"\[jacrev\] argnums = 1, but 1 positional"):
        gg.jacrev(lambda x: x, argnums=1)(X[0])


@pytest.mark.peers
def test_against_torch() -> None:
    torch = pytest.importorskip("torch")
    w = RNG.standard_normal((5, 3))
    ours = gg.jacrev(lambda x, w: gg.silu(w @ x), argnums=(0, 1))(X[0], w)
    theirs = torch.func.jacrev(lambda x, w: torch.nn.functional.silu(w @ x), argnums=(0, 1))(
        torch.tensor(X[0]), torch.tensor(w)
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-10, atol=1e-12)
