"""jvp, linearize, Jacobians by columns, Hessians: conventions, nesting, structures, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.numpy as gnp


def test_jvp_gives_the_value_and_the_directional_derivative():
    value, slope = gg.jvp(lambda x, y: x * gnp.sin(y), (2.0, 0.5), (1.0, 3.0))
    np.testing.assert_allclose(value, 2 * np.sin(0.5))
    np.testing.assert_allclose(slope, np.sin(0.5) + 6 * np.cos(0.5))


def test_arrays_give_arrays_and_tensors_give_tensors():
    x = np.arange(3.0)
    assert all(isinstance(v, np.ndarray) for v in gg.jvp(gnp.exp, (x,), (x,)))
    assert all(isinstance(v, gg.Tensor) for v in gg.jvp(gnp.exp, (gg.asarray(x),), (gg.asarray(x),)))


@dataclass
class Point:
    at: object
    name: object = None


def test_structures_go_in_and_out():
    def f(p, scale):
        return {"sum": p["a"].at + scale[0], "pair": (p["b"] * 2, [p["a"].at ** 2])}

    p = {"a": Point(np.array([1.0, 2.0])), "b": np.array(3.0)}
    t = {"a": Point(np.array([1.0, 0.0])), "b": np.array(5.0)}
    value, tangent = gg.jvp(f, (p, [10.0]), (t, [0.5]))
    np.testing.assert_allclose(value["sum"], [11, 12])
    np.testing.assert_allclose(tangent["sum"], [1.5, 0.5])
    np.testing.assert_allclose(tangent["pair"][0], 10)
    np.testing.assert_allclose(tangent["pair"][1][0], [2, 0])


def test_aux_is_passed_through():
    value, slope, aux = gg.jvp(lambda x: (x * x, "more"), (3.0,), (1.0,), has_aux=True)
    assert (float(value), float(slope), aux) == (9, 6, "more")
    assert gg.jacfwd(lambda x: (x * x, "more"), has_aux=True)(3.0) == (6, "more")


def test_an_output_that_does_not_depend_on_the_argument_has_tangent_zero():
    _, tangent = gg.jvp(lambda x: (np.array([1.0, 2.0]), x > 0, 3.0), (1.0,), (1.0,))
    np.testing.assert_array_equal(tangent[0], [0, 0])
    assert not np.any(tangent[1])
    assert tangent[2] == 0


def test_a_result_that_is_used_twice_and_one_that_is_an_input_itself():
    def f(x):
        y = gnp.exp(x)
        return y * y + y, x

    _, (slope, same) = gg.jvp(f, (0.5,), (2.0,))
    np.testing.assert_allclose(slope, 2 * (2 * np.exp(1.0) + np.exp(0.5)))
    assert float(same) == 2


def test_linearize_runs_the_function_once_and_is_linear():
    runs = []

    def f(x):
        runs.append(x)
        return gnp.sin(x) * x

    x = np.linspace(0, 1, 4)
    value, slope = gg.linearize(f, x)
    np.testing.assert_allclose(value, np.sin(x) * x)
    exact = np.cos(x) * x + np.sin(x)
    for t in (np.ones(4), np.arange(4.0)):
        np.testing.assert_allclose(slope(t), exact * t)
    np.testing.assert_allclose(gg.vmap(slope)(np.eye(4)), np.diag(exact))
    assert len(runs) == 1


def _curve(x):
    return gnp.stack([x[0] * x[1] ** 2, gnp.sin(x[0]), x[1] * x[2], gnp.exp(x[2] * x[0])])


def test_jacobians_of_all_modes_agree_with_the_closed_form():
    x = np.array([0.3, -1.2, 0.8])
    e = np.exp(x[2] * x[0])
    exact = np.array([[x[1] ** 2, 2 * x[0] * x[1], 0], [np.cos(x[0]), 0, 0], [0, x[2], x[1]], [x[2] * e, 0, x[0] * e]])
    for transform in (
        gg.jacrev,
        gg.jacfwd,
        gg.jacobian,
        lambda f: gg.jacobian(f, mode="rev"),
        lambda f: gg.jacobian(f, mode="fwd"),
    ):
        np.testing.assert_allclose(transform(_curve)(x), exact, atol=1e-14)


def test_a_jacobian_has_the_axes_of_the_output_before_those_of_the_argument_in_both_structures():
    def f(a, b):
        return {"p": a["x"] @ b, "q": gnp.sum(b)}

    a, b = {"x": np.ones((2, 3))}, np.arange(3.0)
    for transform in (gg.jacrev, gg.jacfwd, gg.jacobian):
        j = transform(f, argnums=(0, 1))(a, b)
        assert j["p"][0]["x"].shape == (2, 2, 3)
        assert j["p"][1].shape == (2, 3)
        assert j["q"][0]["x"].shape == (2, 3)
        np.testing.assert_allclose(j["p"][0]["x"][1], [[0, 0, 0], [0, 1, 2]])
        np.testing.assert_allclose(j["q"][1], [1, 1, 1])


def test_hessians_and_their_products_equal_the_closed_form():
    x = np.array([0.5, 1.5, -0.7])

    def f(x):
        return gnp.sum(x**3) * x[0]

    exact = np.diag(6 * x * x[0])
    exact[0] += 3 * x**2
    exact[:, 0] += 3 * x**2
    np.testing.assert_allclose(gg.hessian(f)(x), exact, atol=1e-12)
    t = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(gg.hvp(f, (x,), (t,)), exact @ t, atol=1e-12)
    first, second = gg.hvp(lambda a, b: gnp.sum(a * b * b), (x, x), (t, t))
    np.testing.assert_allclose(first, 2 * x * t)
    np.testing.assert_allclose(second, 2 * (x * t + x * t))


def test_the_hessian_of_several_arguments_is_a_tuple_of_tuples():
    h = gg.hessian(lambda a, b: gnp.sum(a**2) * b, argnums=(0, 1))(np.array([1.0, 2.0]), 3.0)
    np.testing.assert_allclose(h[0][0], 6 * np.eye(2))
    np.testing.assert_allclose(h[0][1], [2, 4])
    np.testing.assert_allclose(h[1][0], [2, 4])
    np.testing.assert_allclose(h[1][1], 0)


def test_elementwise_grad_works_element_by_element_and_nests():
    x = np.linspace(-1, 1, 5)
    np.testing.assert_allclose(gg.elementwise_grad(gnp.tanh)(x), 1 - np.tanh(x) ** 2)
    second = gg.elementwise_grad(gg.elementwise_grad(gnp.tanh))(x)
    np.testing.assert_allclose(second, -2 * np.tanh(x) * (1 - np.tanh(x) ** 2))
    assert gg.elementwise_grad(lambda a, b: a * b, argnums=1)(x, x).shape == (5,)


def derivative(f, mode):
    return gg.grad(f) if mode == "rev" else lambda x: gg.jvp(f, (x,), (1.0,))[1]


@pytest.mark.parametrize("outer", ["rev", "fwd"])
@pytest.mark.parametrize("inner", ["rev", "fwd"])
def test_nested_derivatives_do_not_confuse_perturbations(outer, inner):
    assert float(derivative(lambda x: x * derivative(lambda y: x + y, inner)(1.0), outer)(1.0)) == 1
    assert float(derivative(lambda x: x * derivative(lambda y: x * y, inner)(2.0), outer)(3.0)) == 6
    third = derivative(derivative(derivative(lambda x: x**4, inner), outer), inner)
    assert float(third(2.0)) == 48


@pytest.mark.parametrize("mode", ["rev", "fwd"])
def test_derivatives_of_tangents_and_of_closed_over_values(mode):
    assert float(derivative(lambda t: gg.jvp(lambda x: x * x * t, (3.0,), (t,))[1], mode)(2.0)) == 24


def test_tensors_that_require_a_gradient_receive_it_through_a_tangent():
    x = gg.tensor([1.0, 2.0], dtype=gg.float64, requires_grad=True)
    _, slope = gg.jvp(lambda v: v**3, (x,), (gg.ones(2, dtype=gg.float64),))
    slope.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [6, 12])


def test_vmap_goes_over_primals_and_tangents():
    x, t = np.random.default_rng(0).standard_normal((2, 5, 3))
    value, slope = gg.vmap(lambda x, t: gg.jvp(lambda v: gnp.sum(v**2), (x,), (t,)))(x, t)
    np.testing.assert_allclose(value, (x**2).sum(1))
    np.testing.assert_allclose(slope, (2 * x * t).sum(1))
    np.testing.assert_allclose(gg.vmap(gg.hessian(lambda v: gnp.sum(v**3)))(x), [np.diag(6 * r) for r in x])


def test_a_module_has_a_forward_mode_in_its_parameters():
    gg.manual_seed(0)
    model = gg.nn.Sequential(gg.nn.Linear(3, 4), gg.nn.Tanh(), gg.nn.Linear(4, 2))
    model.to(gg.float64)
    x = gg.randn(5, 3, dtype=gg.float64)
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    direction = {name: gg.randn(*p.shape, dtype=gg.float64) for name, p in parameters.items()}

    def f(p):
        return gg.nn.functional_call(model, p, x)

    _, slope = gg.jvp(f, (parameters,), (direction,))
    step = 1e-6
    ends = [f({k: p + s * direction[k] for k, p in parameters.items()}).detach().numpy() for s in (step, -step)]
    np.testing.assert_allclose(slope.detach().numpy(), (ends[0] - ends[1]) / (2 * step), atol=1e-8)


def test_complex_arguments_have_the_derivative_along_the_tangent():
    z, t = np.array([1 + 2j, 0.5 - 1j]), np.array([0.3 - 0.1j, 1j])
    np.testing.assert_allclose(gg.jvp(lambda z: z**3, (z,), (t,))[1], 3 * z**2 * t)
    slope = gg.jvp(lambda z: gnp.sum(gnp.real(z * gnp.conj(z))), (z,), (t,))[1]
    np.testing.assert_allclose(slope, 2 * np.real(np.conj(z) * t).sum())


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: gg.jvp(gnp.sin, (1,), (1.0,)), TypeError, "int64"),
        (lambda: gg.jvp(gnp.sin, 1.0, 1.0), TypeError, "primals is a float; expected a tuple"),
        (lambda: gg.jvp(gnp.sin, (np.ones(3),), (np.ones(2),)), ValueError, r"tangent 0 has shape \(2,\).*\(3,\)"),
        (lambda: gg.jvp(gnp.sin, (1.0,), (1.0, 2.0)), ValueError, "2 tangents for arguments of 1 arrays"),
        (lambda: gg.jvp(gnp.sin, (1.0,), (1j,)), TypeError, "expected a real one"),
        (lambda: gg.jacfwd(lambda x: x > 0)(1.0), TypeError, r"\[jacfwd\] an output is \(\) bool"),
        (lambda: gg.jacobian(gnp.sin, mode="both"), ValueError, "mode = 'both'"),
        (lambda: gg.jacfwd(gnp.sin, argnums=1)(1.0), ValueError, "argnums = 1"),
    ],
)
def test_what_has_no_meaning_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_a_value_changed_in_place_after_recording_is_refused():
    x = gg.tensor([1.0, 2.0])
    _, slope = gg.linearize(lambda v: gg.exp(v) * v, x)
    x += 1
    with pytest.raises(gg.GradientError, match="changed in place"):
        slope(gg.ones(2))
