"""Lines of PyTorch programs that are only to be renamed: dtypes, initialisers on `.data`, in-place methods, imports."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.optim.lr_scheduler import StepLR

X = np.random.default_rng(3).standard_normal((3, 4))

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "arange long": lambda t, x: t.arange(0, 5, dtype=t.long).float(),
    "ones bool": lambda t, x: (~t.zeros(2, 2, dtype=t.bool)).to(t.float),
    "triu diagonal": lambda t, x: t.triu(x, diagonal=1) + x.tril(diagonal=-1),
    "causal mask": lambda t, x: t.triu(t.ones(4, 4, dtype=t.bool), diagonal=1),
    "mask below": lambda t, x: t.ones(2, 3, 3, dtype=t.bool).tril(-1),
    "triangle of integers": lambda t, x: t.tril(t.ones(3, 3, dtype=t.long)),
    "mask filled": lambda t, x: (x > 0).masked_fill(x < -1, True),
    "mask filled with a number": lambda t, x: (x > 0).masked_fill(x < -1, 0),
    "mask or a constant": lambda t, x: t.where(x > 1, x > 0, False) | t.where(x > 0, True, x < 1),
    "mask chosen": lambda t, x: t.where(x > 1, x > 0, x < 0),
    "mask joined": lambda t, x: t.cat([x > 0, t.zeros(1, 4, dtype=t.bool)]).flip(0).roll(1, 0),
    "tensordot dims": lambda t, x: t.tensordot(x, x, dims=([0], [0])),
    "short names": lambda t, x: t.mul(t.sub(x, 1), t.div(x, 2)),
    "comparisons": lambda t, x: (t.eq(x, x) & t.ge(x, 0) & t.ne(x, 1)).float() + t.lt(x, 0).float(),
    "new_zeros": lambda t, x: x.new_zeros(2, 3) + x.new_ones((2, 3)) + x.new_full((3,), 0.5),
    "clamp_": lambda t, x: x.clone().clamp_(-0.5, 0.5),
    "clamp_ min": lambda t, x: x.clone().clamp_(min=0.1),
    "masked_fill_": lambda t, x: x.clone().masked_fill_(x > 0, -9.0),
    "lerp_": lambda t, x: x.clone().lerp_(x * 2 + 1, 0.25),
    "addcmul_": lambda t, x: x.clone().addcmul_(x, x, value=0.5),
    "addcdiv_": lambda t, x: x.clone().addcdiv_(x, x + 5, value=0.5),
    "pow_": lambda t, x: x.clone().pow_(2),
    "in place on what was computed": lambda t, x: (x * 3).clamp_(max=1.0).mul_(2.0).masked_fill_(x < -1, 0.0),
}


@pytest.mark.peers
@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients_are_pytorchs(name: str, torch: Any) -> None:
    ours, theirs = gg.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    got, wanted = CALLS[name](gg, ours), CALLS[name](torch, theirs)
    np.testing.assert_allclose(got.detach().numpy(), wanted.detach().numpy(), rtol=1e-12)
    assert got.dtype == wanted.detach().numpy().dtype
    if wanted.requires_grad:
        (got**2).sum().backward()
        (wanted**2).sum().backward()
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-10, atol=1e-13)


def test_parameters_change_in_place_under_no_grad_only() -> None:
    p = nn.Parameter(gg.tensor([2.0, -3.0]))
    with pytest.raises(gg.GradientError, match="in place on a leaf"):
        p.clamp_(-1, 1)
    with gg.no_grad():
        assert p.clamp_(-1, 1) is p
    assert p.tolist() == [1.0, -1.0]


@pytest.mark.peers
@pytest.mark.parametrize("order", ["retain first", "hook first"])
def test_a_retained_gradient_is_that_which_hooks_leave(order: str, torch: Any) -> None:
    found = []
    for library in (gg, torch):
        x = library.ones(3, requires_grad=True)
        y = x * 2
        for what in ("retain", "hook") if order == "retain first" else ("hook", "retain"):
            y.retain_grad() if what == "retain" else y.register_hook(lambda g: g * 5)
        (y * 3).sum().backward()
        found.append((y.grad.tolist(), x.grad.tolist()))
    assert found[0] == found[1] == ([15.0] * 3, [30.0] * 3)


def test_random_numbers_in_place() -> None:
    gg.manual_seed(0)
    x = gg.empty(2000, dtype=np.float64)
    assert x.uniform_(-2, 3) is x
    assert -2 <= x.min().item() < -1.9
    assert 2.9 < x.max().item() < 3
    x.normal_(1.0, 0.5)
    assert abs(x.mean().item() - 1) < 0.05
    assert abs(x.std().item() - 0.5) < 0.05


@pytest.mark.parametrize(
    "fill", ["normal_", "uniform_", "xavier_uniform_", "xavier_normal_", "kaiming_normal_", "orthogonal_", "zeros_"]
)
def test_initialisers_fill_the_array_of_a_parameter(fill: str) -> None:
    ours, other = nn.Linear(4, 3), nn.Linear(4, 3)
    gg.manual_seed(1)
    assert getattr(nn.init, fill)(ours.weight.data) is ours.weight.data
    gg.manual_seed(1)
    getattr(nn.init, fill)(other.weight)
    np.testing.assert_array_equal(ours.weight.data, other.weight.data)


def test_an_initialiser_on_the_array_is_seen_by_the_tape() -> None:
    layer, x = nn.Linear(2, 2), gg.ones(1, 2, requires_grad=True)
    y = layer(x).sum()
    nn.init.constant_(layer.weight.data, 0.0)
    with pytest.raises(gg.GradientError, match="changed in place by constant_"):
        y.backward()


def test_schedules_are_imported_from_a_module_of_their_own() -> None:
    module = importlib.import_module("gpugrad.optim.lr_scheduler")
    assert module is gg.optim.lr_scheduler
    assert module.StepLR is StepLR is gg.optim.StepLR


def test_autocast_takes_the_name_of_a_device() -> None:
    x, w = gg.ones(2, 3), gg.ones(4, 3)
    with gg.autocast(device_type="cpu", dtype="float16"):
        assert gg.linear(x, w).dtype == np.float16
    with gg.autocast(device_type="cuda", dtype="float16", enabled=False):
        assert gg.linear(x, w).dtype == np.float32
