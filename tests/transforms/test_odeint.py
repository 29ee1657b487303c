"""`odeint`: trajectories against closed forms and SciPy, gradients against closed forms, differences and JAX."""

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.numpy as gnp

T = np.array([0.0, 0.5, 2.0])
TIGHT = {"rtol": 1e-9, "atol": 1e-9}


def decay(rate, y0=1.0, t=T, **options):
    return gg.odeint(lambda y, t, rate: -rate * y, y0, t, rate, **(options or TIGHT))


def prey(np_):
    """Hunters and prey, with a season: a state of two arrays, that depends on time and parameters."""

    def rate(s, t, a):
        return {"x": a[0] * s["x"] - a[1] * s["x"] * s["y"], "y": -a[2] * s["y"] + np_.cos(t) * s["x"] * s["y"]}

    return rate


START = {"x": np.array([1.5, 1.0]), "y": np.array([0.7, 1.1])}
RATES = np.array([0.9, 0.6, 0.8])


def test_the_tableau_is_that_of_dormand_and_prince():
    rk = pytest.importorskip("scipy.integrate._ivp.rk").RK45
    from gpugrad.transforms.solvers import dormand_prince as ours

    np.testing.assert_array_equal(ours._DENSE, rk.P)
    np.testing.assert_allclose(ours._ERROR, -rk.E, rtol=1e-15)
    np.testing.assert_array_equal(ours._NODES[:6], rk.C)
    for row, theirs in zip(ours._STAGES, (*rk.A[1:], rk.B), strict=True):
        np.testing.assert_array_equal(row, theirs[: len(row)])


def test_values_are_those_of_the_closed_form_within_the_tolerance():
    np.testing.assert_allclose(decay(1.3), np.exp(-1.3 * T), rtol=1e-7)
    np.testing.assert_allclose(decay(1.3, rtol=1e-4, atol=1e-4), np.exp(-1.3 * T), rtol=1e-3)
    np.testing.assert_allclose(decay(1.3, t=T[::-1].copy()), np.exp(1.3 * (2 - T[::-1])), rtol=1e-7)
    np.testing.assert_allclose(gg.odeint(lambda y, t: 1j * y, 1.0 + 0j, T, **TIGHT), np.exp(1j * T), rtol=1e-7)
    np.testing.assert_array_equal(decay(1.3, t=np.array([1.0, 1.0])), [1, 1])
    np.testing.assert_array_equal(decay(1.3, t=T[:1]), [1])


def test_values_are_scipys():
    solve_ivp = pytest.importorskip("scipy.integrate").solve_ivp
    rate = prey(np)
    pack = lambda s: np.concatenate([s["x"], s["y"]])  # noqa: E731
    theirs = solve_ivp(
        lambda t, v: pack(rate({"x": v[:2], "y": v[2:]}, t, RATES)),
        (0, 2),
        pack(START),
        t_eval=T,
        rtol=1e-11,
        atol=1e-12,
    )
    ours = gg.odeint(prey(gnp), START, T, RATES, **TIGHT)
    np.testing.assert_allclose(np.concatenate([ours["x"], ours["y"]], 1), theirs.y.T, rtol=1e-7)


def test_derivatives_are_those_of_the_closed_form():
    exact = np.exp(-1.3 * T)
    for jacobian in (gg.jacrev, gg.jacfwd):
        np.testing.assert_allclose(jacobian(decay)(1.3), -T * exact, rtol=1e-7)
        np.testing.assert_allclose(jacobian(decay, 1)(1.3, 1.0), exact, rtol=1e-7)
        by_time = np.diag(-1.3 * exact)
        by_time[:, 0] += 1.3 * exact  # a later start leaves less time
        np.testing.assert_allclose(jacobian(decay, 2)(1.3, 1.0, T), by_time, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(gg.hessian(lambda r: decay(r)[-1])(1.3), 4 * np.exp(-2.6), rtol=1e-7)
    np.testing.assert_allclose(gg.grad(gg.grad(lambda r: decay(r)[-1]))(1.3), 4 * np.exp(-2.6), rtol=1e-7)


def test_all_modes_and_arguments_agree_with_differences_to_the_second_order():
    def f(y0, t, rate):
        return gg.odeint(lambda y, t, rate: gg.sin(y * rate) + t, y0, t, rate, rtol=1e-11, atol=1e-11)

    gg.check_grads(f, (np.array([0.3, 1.0]), np.array([0.0, 0.4]), 2.0), order=2, directions=1)


@pytest.mark.peers
def test_gradients_agree_with_jax(jax):
    from jax.experimental.ode import odeint

    jax.config.update("jax_enable_x64", True)

    def loss(ode, np_):
        def total(state, t, a):
            s = ode(prey(np_), state, t, a, **TIGHT)
            return np_.sum(s["x"] ** 2 * np_.arange(1.0, 4.0)[:, None]) + np_.sum(np_.sin(s["y"]))

        return total

    ours = gg.grad(loss(gg.odeint, gnp), (0, 1, 2))(START, T, RATES)
    theirs = jax.grad(loss(odeint, jax.numpy), (0, 1, 2))(START, T, RATES)
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-6)


def test_gradients_reach_the_parameters_of_a_network():
    gg.manual_seed(2)
    net = gg.nn.Sequential(gg.nn.Linear(2, 8), gg.nn.Tanh(), gg.nn.Linear(8, 2)).to(dtype="float64")
    y0 = gg.randn(3, 2, dtype="float64", requires_grad=True)

    def loss():
        return (gg.odeint(lambda y, t: net(y), y0, T, **TIGHT) ** 2).sum()

    loss().backward()
    for tensor in (y0, *net.parameters()):
        found, place = tensor.grad.numpy(), (1,) * tensor.ndim
        values = []
        for step in (1e-6, -1e-6):
            with gg.no_grad():
                tensor.data[place] += step
                values.append(loss().item())
                tensor.data[place] -= step
        np.testing.assert_allclose(found[place], (values[0] - values[1]) / 2e-6, rtol=1e-6)


def test_mapped_trajectories_and_their_gradients():
    rates = np.array([0.5, 1.0, 3.0])
    np.testing.assert_allclose(gg.vmap(decay)(rates), np.exp(-rates[:, None] * T), rtol=1e-7)
    end = lambda r, y=1.0: decay(r, y)[-1]  # noqa: E731
    np.testing.assert_allclose(gg.vmap(gg.grad(end))(rates), -2 * np.exp(-2 * rates), rtol=1e-7)
    by_start = gg.vmap(gg.grad(end, 1), (None, 0))(2.0, rates)
    np.testing.assert_allclose(by_start, np.full(3, np.exp(-4.0)), rtol=1e-7)
    shared = gg.grad(lambda r: gg.vmap(lambda y: end(r, y))(rates).sum())(2.0)
    np.testing.assert_allclose(shared, -2 * 4.5 * np.exp(-4.0), rtol=1e-7)


def test_a_complex_rate_has_a_complex_derivative():
    slope = gg.grad(lambda w: decay(-w, 1.0 + 0j)[-1], holomorphic=True)(0.5 + 1j)
    np.testing.assert_allclose(slope, 2 * np.exp(2 * (0.5 + 1j)), rtol=1e-7)


def test_only_the_states_asked_for_are_kept_and_dtypes_stay():
    y0 = gg.ones(100, requires_grad=True)
    y = gg.odeint(lambda y, t: gg.sin(30 * t) * y, y0, np.array([0.0, 3.0], np.float32))
    assert y.dtype == np.float32
    assert y.shape == (2, 100)
    (node,) = y._node.parents
    assert [np.shape(kept) for kept in node.saved] == [(100,), (2,), (2, 100)]


def test_what_goes_wrong_is_said():
    with pytest.raises(gg.SolverError, match=r"\[odeint\] a step of .* is too small at t = 1 on"):
        gg.odeint(lambda y, t: y * y, 1.0, np.array([0.0, 2.0]))  # infinite at t = 1
    with pytest.raises(gg.SolverError, match=r"\[odeint\] mxstep = 3 steps were taken at t = "):
        decay(100.0, mxstep=3)
    with pytest.raises(ValueError, match=r"\[odeint\] t has shape \(3,\); expected one axis of rising \(or falling\)"):
        decay(1.0, t=np.array([0.0, 1.0, 0.5]))
    with pytest.raises(TypeError, match=r"\[odeint\] t is int64; expected floating point times"):
        decay(1.0, t=np.arange(3))
    with pytest.raises(TypeError, match=r"\[odeint\] t differs among the examples of a map"):
        gg.vmap(lambda t: decay(1.0, t=t))(np.stack([T, T]))
    with pytest.raises(ValueError, match=r"\[odeint\] the function returned shape \(2,\) for a state of shape \(\)"):
        gg.odeint(lambda y, t: np.ones(2), 1.0, T)
