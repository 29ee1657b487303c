"""Clipping gradients and viewing parameters as one vector."""

import math

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import utils


def with_gradients(*gradients):
    parameters = []
    for g in gradients:
        p = gg.zeros(*np.shape(g), dtype=gg.float64, requires_grad=True)
        p.grad = gg.tensor(np.asarray(g, np.float64))
        parameters.append(p)
    return parameters


def test_norm_over_the_limit_is_scaled_to_it():
    a, b = with_gradients([3.0, 0.0], [[4.0]])
    total = utils.clip_grad_norm_([a, b, gg.zeros(2, requires_grad=True)], 1.0)
    assert total.item() == 5
    np.testing.assert_allclose(a.grad.data, [0.6, 0], rtol=1e-6)
    np.testing.assert_allclose(b.grad.data, [[0.8]], rtol=1e-6)


def test_norm_under_the_limit_changes_nothing():
    (a,) = with_gradients([0.3, 0.4])
    utils.clip_grad_norm_(a, 1.0)
    np.testing.assert_array_equal(a.grad.data, [0.3, 0.4])


@pytest.mark.peers
@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
def test_clipping_by_norm_is_pytorchs(norm_type, torch, rng):
    arrays = [rng.normal(size=s) for s in ((3, 4), (5,), ())]
    ours = with_gradients(*arrays)
    theirs = [torch.zeros(a.shape, dtype=torch.float64, requires_grad=True) for a in arrays]
    for p, a in zip(theirs, arrays, strict=True):
        p.grad = torch.tensor(a)
    total = utils.clip_grad_norm_(ours, 0.7, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 0.7, norm_type)
    assert total.item() == pytest.approx(expected.item(), rel=1e-12)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.grad.data, q.grad, rtol=1e-12)


def test_clipping_by_value():
    (a,) = with_gradients([-3.0, 0.5, 2.0])
    utils.clip_grad_value_([a], 1.0)
    np.testing.assert_array_equal(a.grad.data, [-1, 0.5, 1])


def test_clipping_says_what_it_cannot_do():
    (a,) = with_gradients([math.nan])
    with pytest.raises(RuntimeError, match="norm of the gradients is nan; nothing was clipped"):
        utils.clip_grad_norm_(a, 1.0, error_if_nonfinite=True)
    with pytest.raises(ValueError, match="max_norm = -1"):
        utils.clip_grad_norm_(a, -1.0)
    with pytest.raises(ValueError, match="clip_value = -1"):
        utils.clip_grad_value_(a, -1.0)
    assert utils.clip_grad_norm_([gg.zeros(2, requires_grad=True)], 1.0).item() == 0


def test_parameters_to_a_vector_and_back():
    model = gg.nn.Linear(3, 2)
    vector = utils.parameters_to_vector(model.parameters())
    assert vector.shape == (8,)
    vector.sum().backward()
    np.testing.assert_array_equal(model.weight.grad.data, np.ones((2, 3)))
    utils.vector_to_parameters(gg.arange(8.0), model.parameters())
    np.testing.assert_array_equal(model.bias.data, [6, 7])
    with pytest.raises(ValueError, match=r"vec has shape \(3,\); expected \(8,\)"):
        utils.vector_to_parameters(gg.ones(3), model.parameters())
    with pytest.raises(ValueError, match="no parameters"):
        utils.parameters_to_vector([])
