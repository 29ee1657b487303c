"""`fixed_point`: values and derivatives against closed forms and differences, in every transform."""

import numpy as np
import pytest

import gpugrad as gg


def root(a, x0=1.0):
    """The square root by Newton's method."""
    return gg.fixed_point(lambda x, a: (x + a / x) / 2, x0, a)


def kepler(e):
    """Kepler's equation x = 1 + e sin(x), which converges linearly."""
    return gg.fixed_point(lambda x: 1.0 + e * gg.sin(x), gg.stop_gradient(e))


def test_derivatives_of_all_orders_are_those_of_the_closed_form():
    derivative, expected = root, 2.0
    for order in range(4):
        np.testing.assert_allclose(derivative(4.0), expected, rtol=1e-9)
        derivative, expected = gg.grad(derivative), expected * (0.5 - order) / 4.0
    np.testing.assert_allclose(gg.jvp(root, (4.0,), (1.0,))[1], 0.25, rtol=1e-9)


def test_slow_convergence_is_as_exact():
    gg.check_grads(kepler, (np.array([0.3, 0.7]),), order=3)


def test_gradients_reach_what_the_function_reads_past_its_arguments():
    gg.manual_seed(0)
    layer = gg.nn.Linear(4, 4).to(dtype="float64")
    x = gg.randn(3, 4, dtype="float64", requires_grad=True)

    def loss():
        z = gg.fixed_point(lambda z: gg.tanh(0.3 * layer(z) + x), gg.zeros(3, 4, dtype="float64"), tol=1e-13)
        return (z**2).sum()

    loss().backward()
    for tensor in (x, layer.weight, layer.bias):
        found = tensor.grad.numpy()
        place = (1,) * tensor.ndim
        values = []
        for step in (1e-6, -1e-6):
            with gg.no_grad():
                tensor.data[place] += step
                values.append(loss().item())
                tensor.data[place] -= step
        np.testing.assert_allclose(found[place], (values[0] - values[1]) / 2e-6, rtol=1e-6)


def test_states_may_be_structures():
    def f(state, a):
        return {"x": (state["x"] + state["y"] * a) / 3, "y": [gg.cos(state["x"])][0]}

    def total(a):
        solution = gg.fixed_point(f, {"x": 0.5, "y": np.ones(2).sum()}, a)
        return solution["x"] * solution["y"]

    gg.check_grads(total, (0.8,), order=2)


def test_mapped_and_batched_derivatives():
    a = np.array([1.0, 4.0, 9.0])
    np.testing.assert_allclose(gg.vmap(gg.grad(root))(a), 0.5 / np.sqrt(a), rtol=1e-9)
    np.testing.assert_allclose(gg.vmap(gg.hessian(root))(a), -0.25 * a**-1.5, rtol=1e-9)
    for jacobian in (gg.jacrev, gg.jacfwd):
        found = jacobian(lambda a: root(a, np.ones(3)))(a)
        np.testing.assert_allclose(found, np.diag(0.5 / np.sqrt(a)), rtol=1e-9, atol=1e-12)
    starts = np.array([1.0, 2.0])
    shared = gg.grad(lambda a: gg.vmap(lambda x: root(a, x) * x)(starts).sum())(4.0)
    np.testing.assert_allclose(shared, 3 * 0.25, rtol=1e-9)


def test_the_start_has_no_derivative_and_bare_arrays_stay_bare():
    assert gg.grad(lambda x0: root(4.0, x0))(1.5) == 0.0
    assert type(root(np.array(4.0))) is np.ndarray
    assert isinstance(root(gg.tensor(4.0)), gg.Tensor)
    single = gg.fixed_point(gg.cos, np.float32(1.0))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, 0.739085, rtol=1e-4)


def test_nothing_of_the_iteration_is_kept():
    e = gg.tensor(np.linspace(0.1, 0.9, 1000), requires_grad=True)
    x = kepler(e)
    assert x._node.parents[0].saved[0].shape == (1000,)
    assert len(x._node.parents[0].saved) == 1


def test_what_goes_wrong_is_said():
    with pytest.raises(gg.SolverError, match=r"\[fixed_point\] maxiter = 20 calls did not converge: the last changed"):
        gg.fixed_point(lambda x: -x, 1.0, maxiter=20)
    with pytest.raises(gg.SolverError, match="left the finite numbers"), np.errstate(over="ignore", invalid="ignore"):
        gg.fixed_point(lambda x: x * x + 1, 2.0)
    with pytest.raises(ValueError, match=r"returned shape \(2,\) for a state of shape \(\)"):
        gg.fixed_point(lambda x: np.ones(2), 1.0)
    with pytest.raises(ValueError, match="returned 2 arrays for a state of 1"):
        gg.fixed_point(lambda x: (x, x), 1.0)
    with pytest.raises(TypeError, match=r"the state holds a int of dtype int64; expected floating point"):
        gg.fixed_point(gg.cos, 1)
    with pytest.raises(TypeError, match="returned complex128 for a state of float64"):
        gg.fixed_point(lambda x: x * 1j, np.ones(1))


def test_a_parameter_changed_in_place_before_the_backward_pass_is_refused():
    a = gg.tensor(4.0, requires_grad=True)
    y = root(a)
    with gg.no_grad():
        a += 1.0
    with pytest.raises(gg.GradientError, match=r"\[fixed_point\] a tensor that .* reads was changed in place"):
        y.backward()
