"""Learning-rate schedules: against PyTorch step by step, resumed, and what is refused."""

import math

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import optim
from gpugrad.optim import lr_scheduler

SCHEDULES = [
    ("StepLR", {"step_size": 3, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [2, 7], "gamma": 0.3}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("LinearLR", {"start_factor": 0.1, "total_iters": 4}),
    ("CosineAnnealingLR", {"T_max": 6, "eta_min": 0.01}),
    ("LambdaLR", {"lr_lambda": lambda epoch: 1 / (1 + epoch)}),
]


def optimizer():
    p, q = gg.ones(1, requires_grad=True), gg.ones(1, requires_grad=True)
    return optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.3}], lr=0.1)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:Detected call of")
@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=lambda v: v if isinstance(v, str) else "")
def test_rates_are_pytorchs(name, options, torch):
    p, q = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    other = torch.optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.3}], lr=0.1)
    ours, theirs = getattr(lr_scheduler, name)(optimizer(), **options), getattr(
        torch.optim.lr_scheduler, name
    )(other, **options)  # fmt: skip
    for _ in range(15):
        np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), rtol=1e-12, atol=1e-15)
        ours.step()
        theirs.step()


@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=lambda v: v if isinstance(v, str) else "")
def test_a_schedule_resumes_from_its_state(name, options):
    first, second = getattr(optim, name)(optimizer(), **options), getattr(optim, name)(optimizer(), **options)
    for _ in range(4):
        first.step()
    second.load_state_dict(first.state_dict())
    assert second.get_last_lr() == first.get_last_lr()
    first.step()
    second.step()
    assert second.get_last_lr() == first.get_last_lr()
    assert second.last_epoch == 5


def test_the_optimizer_uses_the_rate():
    p = gg.tensor([1.0], requires_grad=True)
    sgd = optim.SGD([p], lr=1.0)
    schedule = optim.ExponentialLR(sgd, 0.5)
    for _ in range(2):
        p.grad = gg.tensor([0.25])
        sgd.step()
        schedule.step()
    assert p.item() == 1 - 0.25 - 0.125


def test_cosine_ends_at_its_least_rate():
    schedule = optim.CosineAnnealingLR(optimizer(), 10, 0.02)
    for _ in range(5):
        schedule.step()
    assert schedule.get_last_lr()[0] == pytest.approx(0.06)
    for _ in range(5):
        schedule.step()
    assert schedule.get_last_lr() == [pytest.approx(0.02)] * 2


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="step_size = 0"):
        optim.StepLR(optimizer(), 0)
    with pytest.raises(ValueError, match=r"T_max = 1.5"):
        optim.CosineAnnealingLR(optimizer(), 1.5)
    with pytest.raises(ValueError, match="start_factor = 0"):
        optim.LinearLR(optimizer(), 0)
    with pytest.raises(ValueError, match="1 functions for 2 groups"):
        optim.LambdaLR(optimizer(), [math.sqrt])
    with pytest.raises(TypeError, match="expected an Optimizer"):
        optim.ExponentialLR(0.1, 0.9)
