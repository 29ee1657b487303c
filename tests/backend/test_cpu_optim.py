"""Optimizer updates of the CPU against their textbook formulas in float64, with both bodies and any array layout."""

from __future__ import annotations

import numpy as np
import pytest

from gpugrad.backend import cpu_optim as optim


@pytest.fixture(params=["numpy", "numba"], autouse=True)
def body(request, monkeypatch):
    """Run each test with NumPy's bodies, and with Numba's for lists of every size."""
    if request.param == "numba":
        pytest.importorskip("numba", reason='Numba is not installed; pip install "gpugrad[cpu]"')
        monkeypatch.setattr(optim, "FUSE", 0)
        monkeypatch.setenv("GPUGRAD_NUMBA", "1")
    else:
        monkeypatch.setenv("GPUGRAD_NUMBA", "0")
    return request.param


SHAPES = [(3,), (), (64, 33), (600, 500), (0, 4)]


def _lists(count, dtype, fortran=False):
    rng = np.random.default_rng(0)
    order = "F" if fortran else "C"
    return [[np.asarray(rng.normal(size=s).astype(dtype), order=order) for s in SHAPES] for _ in range(count)]


def _wide(arrays):
    return [a.astype(np.float64) for a in arrays]


def _near(arrays, expected):
    for a, e in zip(arrays, expected, strict=True):
        tol = {"float16": 2e-2, "float32": 3e-6, "float64": 1e-13}[a.dtype.name]
        np.testing.assert_allclose(a.astype(np.float64), e, rtol=tol, atol=tol)


CASES = [("float32", False), ("float64", False), ("float32", True), ("float16", False)]


@pytest.mark.parametrize(("dtype", "fortran"), CASES)
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("options", [(0.0, 0.0, False), (0.9, 0.0, False), (0.9, 0.3, False), (0.9, 0.0, True)])
@pytest.mark.parametrize("maximize", [False, True])
def test_sgd_follows_its_formula(options, decay, dtype, fortran, maximize):
    mu, dampening, nesterov = options
    params, grads, buffers = _lists(3, dtype, fortran)
    p, g, b = map(_wide, (params, grads, buffers))
    for step in range(2):
        optim.sgd(
            params, grads, buffers if mu else None, lr=0.1, momentum=mu, dampening=dampening, nesterov=nesterov,
            weight_decay=decay, maximize=maximize, first=step == 0,
        )  # fmt: skip
        for i in range(len(p)):
            d = (-g[i] if maximize else g[i]) + decay * p[i]
            if mu:
                b[i] = d if step == 0 else mu * b[i] + (1 - dampening) * d
                d = d + mu * b[i] if nesterov else b[i]
            p[i] = p[i] - 0.1 * d
    _near(params, p)


@pytest.mark.parametrize(("dtype", "fortran"), CASES)
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_and_adamw_follow_their_formula(amsgrad, decoupled, dtype, fortran):
    params, grads = _lists(2, dtype, fortran)
    means, squares, largest = ([np.zeros_like(a) for a in params] for _ in range(3))
    p, g = map(_wide, (params, grads))
    m, v, top = (_wide(x) for x in (means, squares, largest))
    for step in (1, 2, 3):
        optim.adam(
            params, grads, means, squares, largest if amsgrad else None, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-3,
            weight_decay=0.1, bias1=1 - 0.9**step, bias2=1 - 0.99**step, decoupled=decoupled,
        )  # fmt: skip
        for i in range(len(p)):
            d = g[i] + (0 if decoupled else 0.1 * p[i])
            p[i] = p[i] * (1 - 0.01 * 0.1) if decoupled else p[i]
            m[i], v[i] = 0.9 * m[i] + 0.1 * d, 0.99 * v[i] + 0.01 * d * d
            top[i] = np.maximum(top[i], v[i])
            root = np.sqrt((top[i] if amsgrad else v[i]) / (1 - 0.99**step))
            p[i] = p[i] - 0.01 * m[i] / (1 - 0.9**step) / (root + 1e-3)
    _near(params, p)
    _near(means, m)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("mu", [0.0, 0.9])
def test_rmsprop_follows_its_formula(mu, centred, dtype):
    params, grads = _lists(2, dtype)
    squares, buffers, means = ([np.zeros_like(a) for a in params] for _ in range(3))
    p, g = map(_wide, (params, grads))
    v, b, m = (_wide(x) for x in (squares, buffers, means))
    for _ in range(2):
        optim.rmsprop(
            params, grads, squares, means if centred else None, buffers if mu else None, lr=0.01, alpha=0.9, eps=1e-2,
            weight_decay=0.1, momentum=mu,
        )  # fmt: skip
        for i in range(len(p)):
            d = g[i] + 0.1 * p[i]
            v[i], m[i] = 0.9 * v[i] + 0.1 * d * d, 0.9 * m[i] + 0.1 * d
            u = d / (np.sqrt(v[i] - m[i] ** 2 if centred else v[i]) + 1e-2)
            b[i] = mu * b[i] + u
            p[i] = p[i] - 0.01 * (b[i] if mu else u)
    _near(params, p)


def test_views_and_strided_arrays_are_updated_in_place():
    memory = np.ones((8, 8), np.float32)
    optim.sgd([memory[:, ::2], memory[:2]], [np.ones((8, 4), np.float32), np.ones((2, 8), np.float32)], None, lr=0.5)
    expected = np.ones((8, 8))
    expected[:, ::2] -= 0.5
    expected[:2] -= 0.5
    np.testing.assert_array_equal(memory, expected)


def test_a_learning_rate_of_zero_changes_the_moments_alone():
    p, g, m, v = (np.full(4, x, np.float32) for x in (1.0, 2.0, 0.0, 0.0))
    optim.adam([p], [g], [m], [v], lr=0.0, bias1=0.1, bias2=0.001)
    np.testing.assert_array_equal(p, 1)
    np.testing.assert_allclose(m, 0.2, rtol=1e-6)


def test_mixed_dtypes_compute_in_the_wider():
    p, g = np.ones(5, np.float32), np.full(5, 0.25, np.float16)
    optim.sgd([p], [g], None, lr=1.0)
    np.testing.assert_array_equal(p, 0.75)


def test_a_gradient_of_another_shape_is_named():
    with pytest.raises(ValueError, match=r"\[sgd\] parameter, gradient and states: \(3,\) float32, \(4,\) float32"):
        optim.sgd([np.ones(3, np.float32)], [np.ones(4, np.float32)], None, lr=1.0)


def test_squared_norm_and_scale_cover_all_arrays():
    arrays = [*_lists(1, "float32")[0], np.ones((30, 40), np.float32)[:, ::2], np.full(9, 2, np.float16)]
    expected = sum((a.astype(np.float64) ** 2).sum() for a in arrays)
    assert optim.squared_norm(arrays) == pytest.approx(expected, rel=1e-6)
    assert optim.squared_norm([]) == 0
    optim.scale(arrays, 0.5)
    assert optim.squared_norm(arrays) == pytest.approx(expected / 4, rel=1e-3)
