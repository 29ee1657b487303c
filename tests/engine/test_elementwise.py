"""`@gg.elementwise`: users' formulas are fused, differentiable to any order, printable, and refused when wrong."""

import numpy as np
import pytest

import gpugrad as gg


@gg.elementwise
def swish(x, beta=1.0):
    """x * sigmoid(beta x)."""
    return x * gg.sigmoid(beta * x)


def test_a_users_formula_equals_its_composition_in_value_and_gradient(rng):
    a, b = rng.normal(size=(3, 4)), rng.normal(size=4)
    x, y = (gg.tensor(a, requires_grad=True), gg.tensor(b, requires_grad=True))
    swish(x, y).sum().backward()
    p, q = (gg.tensor(a, requires_grad=True), gg.tensor(b, requires_grad=True))
    (p * gg.sigmoid(q * p)).sum().backward()
    np.testing.assert_allclose(x.grad.data, p.grad.data, rtol=1e-12)
    np.testing.assert_allclose(y.grad.data, q.grad.data, rtol=1e-12)
    gg.check_grads(swish, (a, b), order=3)


def test_defaults_names_and_documentation_carry_over():
    assert swish.__doc__ == "x * sigmoid(beta x)."
    np.testing.assert_array_equal(swish(np.ones(2), beta=2.0), swish(np.ones(2), 2.0))
    with pytest.raises(TypeError, match=r"\[swish\].*x.*missing"):
        swish()
    with pytest.raises(TypeError, match="gamma"):
        swish(1.0, gamma=2.0)


def test_formulas_nest():
    double = gg.elementwise(lambda x: swish(x, 2.0) + np.exp(x), name="double")
    np.testing.assert_allclose(double(np.array([0.5])), 0.5 / (1 + np.exp(-1.0)) + np.exp(0.5))


def test_where_differentiates_branch_by_branch_so_no_nan_leaks():
    safe_log = gg.elementwise(lambda x: gg.where(x > 0, gg.log(x), 0.0), name="safe_log")
    x = gg.tensor(np.array([-1.0, 0.0, 2.0]), requires_grad=True)
    safe_log(x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [0.0, 0.0, 0.5])


@pytest.mark.parametrize("device", ["cpu", "numba", "cuda"])
@pytest.mark.parametrize("backward", [False, True])
def test_every_source_can_be_printed_without_a_gpu(device, backward):
    text = swish.source(device, np.float32, backward)
    assert "swish" in text
    assert len(text.splitlines()) > 3


def test_wrong_formulas_are_errors_at_definition_that_show_the_formula():
    with pytest.raises(gg.FormulaError, match=r"branches in Python on.*where"):

        @gg.elementwise
        def branching(x):
            return x if x > 0 else -x

    with pytest.raises(gg.FormulaError, match=r"spence.*unknown function"):
        gg.elementwise(lambda x: gg.fusion.call("spence", x))
    with pytest.raises(gg.FormulaError, match=r"digamma has no derivative, in the formula .*digamma\(x\)"):
        gg.elementwise(lambda x: x * gg.fusion.call("digamma", x))
    with pytest.raises(gg.FormulaError, match="only inputs, numbers"):
        gg.elementwise(lambda x: x + "one")
    with pytest.raises(gg.FormulaError, match="one output"):
        gg.elementwise(lambda x: (x, x))
    with pytest.raises(gg.FormulaError, match="plain parameters"):
        gg.elementwise(lambda *xs: xs[0])
    with pytest.raises(NameError):
        gg.elementwise(lambda x: undefined(x) + 1)  # noqa: F821


def test_a_formula_without_derivative_may_be_asked_for():
    f = gg.elementwise(lambda x: gg.fusion.call("digamma", x), name="psi", differentiable=False)
    x = gg.tensor([1.0], requires_grad=True)
    assert not f(x).requires_grad
    assert f(x).item() == pytest.approx(-0.5772157, rel=1e-5)


@pytest.mark.parametrize(
    ("call", "at", "expected"),
    [
        (gg.relu, 0.0, 0.0),
        (gg.absolute, 0.0, 0.0),
        (lambda x: gg.maximum(x, 1.0), 1.0, 0.5),
        (lambda x: gg.minimum(x, 1.0), 1.0, 0.5),
        (gg.step, 0.0, 0.0),
        (lambda x: gg.clip(x, -1.0, 1.0), 1.0, 1.0),
        (gg.relu6, 6.0, 0.0),
        (gg.sign, 2.0, 0.0),
        (lambda x: gg.hypot(x, 0.0), 0.0, 0.0),
        (gg.sinc, 0.0, 0.0),
        (lambda x: x**0, 0.0, 0.0),
    ],
)
def test_conventions_at_ties_and_corners(call, at, expected):
    x = gg.tensor(np.array([at]), requires_grad=True)
    out = call(x)
    if out.requires_grad:
        out.backward(np.ones(1))
    assert float(x.grad if x.grad is not None else 0.0) == expected


def test_nan_stays_nan_through_every_activation():
    from gpugrad.primitive import ELEMENTWISE

    names = (
        "relu relu6 leaky_relu elu celu selu gelu_erf gelu_tanh sigmoid silu softplus log_sigmoid mish hardtanh "
        "hardsigmoid hardswish softsign tanh"
    )
    for name in names.split():
        assert np.isnan(ELEMENTWISE[name](np.array([np.nan]))[0]), name
