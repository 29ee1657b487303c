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
    ("MultiplicativeLR", {"lr_lambda": [lambda epoch: 0.9, lambda epoch: 1 / epoch]}),
    ("ConstantLR", {"factor": 0.4, "total_iters": 3}),
    ("PolynomialLR", {"total_iters": 6, "power": 1.5}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.01}),
    ("OneCycleLR", {"max_lr": [0.5, 0.7], "total_steps": 20}),
    ("OneCycleLR", {"max_lr": 0.5, "epochs": 4, "steps_per_epoch": 5, "three_phase": True,
                    "anneal_strategy": "linear", "final_div_factor": 10}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": [0.1, 0.2], "step_size_up": 3}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3, "step_size_down": 2, "mode": "triangular2"}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3, "mode": "exp_range", "gamma": 0.9}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2, "scale_fn": lambda x: 1 / x,
                  "cycle_momentum": False}),
]  # fmt: skip
# Made of others, by the module that has their names.
MADE = {
    "sequence": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.1, total_iters=3), m.CosineAnnealingLR(o, 5), m.StepLR(o, 2)], milestones=[3, 8]
    ),
    "sequence with restarts": lambda m, o: m.SequentialLR(
        o, [m.ConstantLR(o, 0.1, 10), m.CosineAnnealingWarmRestarts(o, 4), m.LambdaLR(o, lambda e: 1 / (e + 1))], [2, 9]
    ),
    "chain": lambda m, o: m.ChainedScheduler(
        [m.ConstantLR(o, 0.1, 4), m.ExponentialLR(o, 0.9), m.CosineAnnealingLR(o, 6)]
    ),
    "chain in a sequence": lambda m, o: m.SequentialLR(
        o, [m.ChainedScheduler([m.LinearLR(o), m.MultiStepLR(o, [1, 3])], o), m.PolynomialLR(o, 6, 2.0)], [4]
    ),
}


def optimizer(of=optim, ones=gg.ones, adam=False):
    groups = [{"params": [ones(1, requires_grad=True)]}, {"params": [ones(1, requires_grad=True)], "lr": 0.3}]
    return of.AdamW(groups, lr=0.1) if adam else of.SGD(groups, lr=0.1, momentum=0.5)


def both(torch, name, one, other, **options):
    return getattr(lr_scheduler, name)(one, **options), getattr(torch.optim.lr_scheduler, name)(other, **options)


def options_of(one):
    return [(g["lr"], g.get("momentum", 0), *g.get("betas", ())) for g in one.param_groups]


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:Detected call of")
@pytest.mark.parametrize("adam", [False, True], ids=["momentum", "betas"])
@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=lambda v: v if isinstance(v, str) else "")
def test_rates_are_pytorchs(name, options, adam, torch):
    one, other = optimizer(adam=adam), optimizer(torch.optim, torch.ones, adam)
    ours, theirs = both(torch, name, one, other, **options)
    for _ in range(15):
        np.testing.assert_allclose(options_of(one), options_of(other), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), rtol=1e-12, atol=1e-15)
        ours.step()
        theirs.step()


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:Detected call of")
@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_schedules_of_schedules_are_pytorchs(made, torch):
    one, other = optimizer(), optimizer(torch.optim, torch.ones)
    ours, theirs = made(lr_scheduler, one), made(torch.optim.lr_scheduler, other)
    for i in range(15):
        np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), rtol=1e-12, atol=1e-15)
        if i == 6:  # a rate set by hand stays, as in PyTorch
            one.param_groups[0]["lr"] = other.param_groups[0]["lr"] = 0.05
        ours.step()
        theirs.step()


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:Detected call of", "ignore:The epoch parameter")
@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=lambda v: v if isinstance(v, str) else "")
def test_pytorchs_state_and_number_of_steps_are_taken_over(name, options, torch):
    one, other = optimizer(), optimizer(torch.optim, torch.ones)
    ours, theirs = both(torch, name, one, other, **options)
    for _ in range(5):
        theirs.step()
    ours.load_state_dict(theirs.state_dict())
    one.load_state_dict(other.state_dict())
    for _ in range(4):
        ours.step()
        theirs.step()
    np.testing.assert_allclose(options_of(one), options_of(other), rtol=1e-12, atol=1e-15)
    ours, theirs = both(torch, name, one, other, last_epoch=ours.last_epoch, **options)
    np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), rtol=1e-12, atol=1e-15)
    for epoch in (11.5, None) if "Warm" in name else (11, None):
        ours.step(epoch)
        theirs.step(epoch)
        np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), rtol=1e-12, atol=1e-15)


@pytest.mark.peers
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "max", "cooldown": 2},
        {"threshold_mode": "abs", "threshold": 0.3},
        {"mode": "max", "threshold_mode": "abs", "min_lr": [0.04, 0.001]},
    ],
    ids=str,
)
def test_plateaus_are_pytorchs(options, torch):
    one, other = optimizer(), optimizer(torch.optim, torch.ones)
    ours = lr_scheduler.ReduceLROnPlateau(one, factor=0.5, patience=1, **options)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(other, factor=0.5, patience=1, **options)
    for i, metric in enumerate(np.random.default_rng(3).normal(size=40)):
        if i == 20:
            ours.load_state_dict(theirs.state_dict())
        ours.step(gg.tensor(metric))
        theirs.step(torch.tensor(metric))
        assert options_of(one) == options_of(other)
        assert (ours.best, ours.num_bad_epochs, ours.cooldown_counter) == (
            theirs.best, theirs.num_bad_epochs, theirs.cooldown_counter
        )  # fmt: skip


def test_schedules_by_hand():
    def rates(make, steps, metrics=None):
        sgd = optim.SGD([gg.ones(1, requires_grad=True)], lr=1.0, momentum=0.9)
        schedule = make(sgd)
        found = [(sgd.param_groups[0]["lr"], sgd.param_groups[0]["momentum"])]
        for i in range(steps):
            schedule.step(*() if metrics is None else (metrics[i],))
            found.append((sgd.param_groups[0]["lr"], sgd.param_groups[0]["momentum"]))
        lrs, momenta = zip(*found, strict=True)
        assert schedule.get_last_lr() == [lrs[-1]]
        return pytest.approx(lrs), pytest.approx(momenta)

    assert rates(lambda o: optim.ConstantLR(o, 0.5, 2), 3)[0] == (0.5, 0.5, 1, 1)
    assert rates(lambda o: optim.PolynomialLR(o, 2, 2.0), 3)[0] == (1, 0.25, 0, 0)
    assert rates(lambda o: optim.MultiplicativeLR(o, lambda epoch: 1 / epoch), 3)[0] == (1, 1, 1 / 2, 1 / 6)
    assert rates(lambda o: optim.CosineAnnealingWarmRestarts(o, 2, 2), 6)[0] == (
        1, 0.5, 1, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4, 1,
    )  # fmt: skip
    up = rates(lambda o: optim.CyclicLR(o, 0.1, 0.5, 2, base_momentum=0.5, max_momentum=0.9), 5)
    assert up == ((0.1, 0.3, 0.5, 0.3, 0.1, 0.3), (0.9, 0.7, 0.5, 0.7, 0.9, 0.7))
    one = rates(lambda o: optim.OneCycleLR(o, 1.0, 9, pct_start=1 / 3, anneal_strategy="linear", div_factor=2), 2)
    assert one == ((0.5, 0.75, 1), (0.95, 0.9, 0.85))
    down = rates(lambda o: optim.OneCycleLR(o, 1.0, 5, pct_start=0.2, anneal_strategy="linear", final_div_factor=4), 4)
    assert down == ((1, 0.7525, 0.505, 0.2575, 0.01), (0.85, 0.875, 0.9, 0.925, 0.95))  # PyTorch divides by 0 here
    assert rates(lambda o: optim.ReduceLROnPlateau(o, patience=1), 4, [1, 2, 2, 0.5])[0] == (1, 1, 1, 0.1, 0.1)
    assert rates(
        lambda o: optim.SequentialLR(o, [optim.ConstantLR(o, 0.5, 9), optim.ExponentialLR(o, 0.5)], [2]), 4
    )[0] == (0.5, 0.5, 1, 0.5, 0.25)  # fmt: skip
    chain = rates(lambda o: optim.ChainedScheduler([optim.ConstantLR(o, 0.5, 2), optim.ExponentialLR(o, 0.5)]), 3)
    assert chain[0] == (0.5, 0.25, 0.25, 0.125)


def test_a_schedule_of_ones_own_says_the_rates():
    class Halving(lr_scheduler._LRScheduler):
        def get_lr(self):
            return [base / 2**self.last_epoch for base in self.base_lrs]

    schedule = Halving(optimizer())
    schedule.step()
    assert schedule.get_last_lr() == [0.05, 0.15]


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_schedules_of_schedules_resume(made):
    first, second = made(lr_scheduler, optimizer()), made(lr_scheduler, optimizer())
    for _ in range(5):
        first.step()
    second.load_state_dict(first.state_dict())
    for _ in range(5):
        assert second.get_last_lr() == [g["lr"] for g in second.optimizer.param_groups] == first.get_last_lr()
        first.step()
        second.step()


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
    with pytest.raises(ValueError, match="1 values of lr_lambda for 2 groups"):
        optim.LambdaLR(optimizer(), [math.sqrt])
    with pytest.raises(ValueError, match="epochs = None"):
        optim.OneCycleLR(optimizer(), 0.1)
    with pytest.raises(ValueError, match="step 3 of total_steps = 2"):
        optim.OneCycleLR(optimizer(), 0.1, 2).step(3)
    with pytest.raises(ValueError, match="neither momentum nor betas"):
        optim.CyclicLR(optim.Adagrad([gg.ones(1, requires_grad=True)]), 0.1, 0.2)
    with pytest.raises(ValueError, match="mode = 'triangle'"):
        optim.CyclicLR(optimizer(), 0.1, 0.2, mode="triangle")
    with pytest.raises(ValueError, match="step_size_up = 0, step_size_down = 2"):
        optim.CyclicLR(optimizer(), 0.1, 0.2, 0, 2)
    with pytest.raises(ValueError, match="mode = 'least'"):
        optim.ReduceLROnPlateau(optimizer(), "least")
    with pytest.raises(ValueError, match="another optimizer"):
        optim.ChainedScheduler([optim.ExponentialLR(optimizer(), 0.9), optim.ExponentialLR(optimizer(), 0.9)])
    one = optimizer()
    with pytest.raises(ValueError, match="2 milestones for 1 schedulers"):
        optim.SequentialLR(one, [optim.ExponentialLR(one, 0.9)], [1, 2])
    with pytest.raises(ValueError, match="needs a metric"):
        optim.ChainedScheduler([optim.ReduceLROnPlateau(one)])
    with pytest.raises(TypeError, match="expected an Optimizer"):
        optim.ExponentialLR(0.1, 0.9)
