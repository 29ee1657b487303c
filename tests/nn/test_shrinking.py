"""Activations that pull towards 0, and random slopes: PyTorch's values and gradients, ties, and what is drawn."""

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.nn import functional as F
from tests.nn.test_losses import same

AT = np.array([-2.0, -0.5, -0.3, -0.0, 0.0, 0.2, 0.5, 1.7])  # 0.5: on the threshold


@pytest.mark.peers
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hardshrink", {}), ("hardshrink", {"lambd": 0.0}), ("softshrink", {}), ("softshrink", {"lambd": 0.0}),
        ("tanhshrink", {}), ("rrelu", {}), ("rrelu", {"lower": 0.1, "upper": 0.2}),
        ("rrelu", {"lower": 0.25, "upper": 0.25, "training": True}),
    ],
    ids=str,
)  # fmt: skip
def test_activations_are_pytorchs(name, options, torch, rng):
    for x in (AT, rng.normal(size=(3, 4))):
        same(
            lambda x: getattr(F, name)(x, **options),
            lambda x: getattr(torch.nn.functional, name)(x, **options),
            [x],
            torch,
            rng,
        )


def test_nan_stays_nan():
    for function in (F.hardshrink, F.softshrink, F.tanhshrink, F.rrelu):
        assert np.isnan(function(np.full(2, np.nan))).all()


def test_slopes_are_drawn_in_training_only_one_for_each_element():
    gg.manual_seed(0)
    x = gg.full((200, 50), -1.0, requires_grad=True)
    layer = nn.RReLU(0.1, 0.3)
    y = layer(x)
    y.sum().backward()
    slopes = -y.detach().numpy()
    np.testing.assert_array_equal(x.grad.numpy(), slopes)
    assert 0.1 <= slopes.min() < 0.101
    assert 0.299 < slopes.max() <= 0.3
    assert abs(slopes.mean() - 0.2) < 2e-3
    assert len(np.unique(slopes)) > 9000
    np.testing.assert_allclose(layer.eval()(x).detach().data, -0.2, rtol=1e-6)
    assert F.rrelu(x, 0.1, 0.3, training=True).detach().tolist() != y.detach().tolist()


@pytest.mark.parametrize(
    ("module", "function", "shown"),
    [
        (nn.Hardshrink(0.3), lambda x: F.hardshrink(x, 0.3), "Hardshrink(0.3)"),
        (nn.Softshrink(0.3), lambda x: F.softshrink(x, 0.3), "Softshrink(0.3)"),
        (nn.Tanhshrink(), F.tanhshrink, "Tanhshrink()"),
        (nn.RReLU(0.1, 0.2).eval(), lambda x: F.rrelu(x, 0.1, 0.2), "RReLU(lower=0.1, upper=0.2)"),
    ],
)
def test_module_is_its_function(module, function, shown, rng):
    x = rng.normal(size=(3, 4))
    np.testing.assert_array_equal(module(x), function(x))
    assert repr(module) == shown


def test_what_is_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"\[softshrink\] lambd = -1"):
        F.softshrink(gg.ones(2), -1)
    with pytest.raises(ValueError, match=r"\[rrelu\] lower = 0.5, upper = 0.1"):
        F.rrelu(gg.ones(2), 0.5, 0.1)
