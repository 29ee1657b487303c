"""Optimizers: twenty steps against PyTorch with every option, state that is saved and loaded, and what is refused."""

import itertools

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import optim

SHAPES = [(5, 3), (3,), (4, 2, 2), ()]
OPTIONS = [
    *[
        ("SGD", {"lr": 0.1, "momentum": m, "weight_decay": w, "maximize": up})
        for m, w, up in itertools.product((0, 0.9), (0, 0.1), (False, True))
    ],
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    *[
        (name, {"lr": 0.01, "weight_decay": w, "amsgrad": largest, "maximize": up})
        for name, w, largest, up in itertools.product(("Adam", "AdamW"), (0, 0.1), (False, True), (False, True))
    ],
    ("Adam", {"lr": 0.01, "betas": (0.5, 0.8), "eps": 1e-3}),
    *[
        ("RMSprop", {"lr": 0.01, "momentum": m, "centered": c, "weight_decay": w})
        for m, c, w in itertools.product((0, 0.9), (False, True), (0, 0.1))
    ],
    ("RMSprop", {"lr": 0.01, "alpha": 0.5, "eps": 1e-3, "maximize": True}),
    *[
        (name, {"lr": 0.02, "weight_decay": w, "maximize": up, **more})
        for name, more in (
            ("Adagrad", {}),
            ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3}),
            ("Adadelta", {}),
            ("Adadelta", {"rho": 0.5, "eps": 1e-3}),
            ("Adamax", {}),
            ("Adamax", {"betas": (0.5, 0.8), "eps": 1e-2}),
            ("NAdam", {}),
            ("NAdam", {"betas": (0.5, 0.8), "eps": 1e-3, "momentum_decay": 2.0, "decoupled_weight_decay": True}),
            ("RAdam", {}),
            ("RAdam", {"betas": (0.5, 0.8), "eps": 1e-3, "decoupled_weight_decay": True}),
        )
        for w, up in ((0, False), (0.1, True))
    ],
]


def pairs(dtype, rng, torch, shapes=SHAPES):
    """The same parameters for us and for PyTorch."""
    values = [rng.normal(size=s).astype(dtype) for s in shapes]
    return [gg.tensor(v, requires_grad=True) for v in values], [torch.tensor(v, requires_grad=True) for v in values]


def give_gradients(ours, theirs, rng, torch, skip=()):
    for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
        if i in skip:
            p.grad = q.grad = None
            continue
        g = np.asarray(rng.normal(size=p.shape), p.dtype)
        p.grad, q.grad = gg.tensor(g), torch.tensor(g)


def assert_same(ours, theirs, dtype, name=""):
    tolerance = 1e-12 if dtype == "float64" else 3e-6
    if name == "NAdam" and dtype == "float64":
        tolerance = 1e-7  # PyTorch keeps its mu_product in float32; below it is compared with the paper's formula
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().data, q.detach(), rtol=tolerance, atol=tolerance)


@pytest.mark.peers
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=str)
def test_twenty_steps_are_pytorchs(name, options, dtype, torch, rng):
    ours, theirs = pairs(dtype, rng, torch)
    optimizer, other = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(20):
        # A parameter without a gradient is left out of a step, and behind in its count from then on.
        give_gradients(ours, theirs, rng, torch, skip=(1,) if step in (0, 7) else ())
        optimizer.step()
        other.step()
    assert_same(ours, theirs, dtype, name)


@pytest.mark.peers
@pytest.mark.parametrize(("name", "options"), OPTIONS[::3], ids=str)
def test_large_arrays_take_the_same_steps(name, options, torch, rng):
    ours, theirs = pairs("float32", rng, torch, [(400, 300), (300,), (250, 600)])
    optimizer, other = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for _ in range(3):
        give_gradients(ours, theirs, rng, torch)
        optimizer.step()
        other.step()
    assert_same(ours, theirs, "float32")


@pytest.mark.peers
@pytest.mark.parametrize(("name", "options"), [o for o in OPTIONS if not o[1].get("maximize")][1::2], ids=str)
def test_state_moves_over_from_pytorch_and_between_optimizers(name, options, torch, rng):
    ours, theirs = pairs("float64", rng, torch)
    other = getattr(torch.optim, name)(theirs, **options)
    for _ in range(3):
        give_gradients(ours, theirs, rng, torch)
        other.step()
    for p, q in zip(ours, theirs, strict=True):
        with gg.no_grad():
            p.copy_(gg.tensor(q.detach().numpy()))
    first = getattr(optim, name)(ours, **options)
    first.load_state_dict(other.state_dict())
    give_gradients(ours, theirs, rng, torch)
    first.step()
    other.step()
    assert_same(ours, theirs, "float64", name)
    second = getattr(optim, name)(ours, lr=99.0)
    second.load_state_dict(first.state_dict())
    assert second.param_groups[0]["lr"] == options["lr"]
    give_gradients(ours, theirs, rng, torch)
    second.step()
    other.step()
    assert_same(ours, theirs, "float64", name)


@pytest.mark.peers
def test_groups_have_options_of_their_own(torch, rng):
    ours, theirs = pairs("float64", rng, torch)

    def groups(parameters):
        return [{"params": parameters[:2], "lr": 0.5, "momentum": 0.9}, {"params": parameters[2]}]

    optimizer, other = optim.SGD(groups(ours), lr=0.1), torch.optim.SGD(groups(theirs), lr=0.1)
    optimizer.add_param_group({"params": ours[3], "weight_decay": 0.2})
    other.add_param_group({"params": theirs[3], "weight_decay": 0.2})
    for step in range(5):
        optimizer.param_groups[1]["lr"] = other.param_groups[1]["lr"] = 0.1 / (step + 1)
        give_gradients(ours, theirs, rng, torch)
        optimizer.step()
        other.step()
    assert_same(ours, theirs, "float64")


# ---- behaviour


def quadratic(p):
    return (p * p).sum()


def test_a_step_goes_down():
    p = gg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=0.1)
    quadratic(p).backward()
    optimizer.step()
    np.testing.assert_allclose(p.detach().data, [0.8, 1.6], rtol=1e-6)


def test_a_step_is_in_place_and_leaves_gradients_alone():
    p = gg.tensor([1.0, 2.0], requires_grad=True)
    array = p.data
    optimizer = optim.Adam([p], weight_decay=0.1, maximize=True)
    quadratic(p).backward()
    optimizer.step()
    assert p.data is array
    np.testing.assert_array_equal(p.grad.data, [2, 4])


def test_zero_grad_forgets_or_zeroes():
    p = gg.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([p])
    quadratic(p).backward()
    optimizer.zero_grad(set_to_none=False)
    np.testing.assert_array_equal(p.grad.data, [0])
    optimizer.zero_grad()
    assert p.grad is None


def test_step_runs_a_closure_with_gradients_and_returns_its_loss():
    p = gg.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = quadratic(p)
        loss.backward()
        return loss

    with gg.no_grad():
        assert optimizer.step(closure).item() == 1
    assert p.item() == 0.5
    assert optimizer.step() is None


def test_parameters_without_gradients_are_left_out():
    p, frozen = gg.tensor([1.0], requires_grad=True), gg.tensor([1.0])
    optimizer = optim.Adam([p, frozen], lr=0.1)
    optimizer.step()
    assert p.item() == 1
    quadratic(p).backward()
    optimizer.step()
    assert p.item() < 1
    assert frozen.item() == 1


def test_a_step_after_a_forward_is_caught_by_backward():
    p = gg.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=0.1)
    loss = quadratic(p)
    p.grad = gg.tensor([1.0])
    optimizer.step()
    with pytest.raises(gg.GradientError, match=r"changed in place by SGD.step"):
        loss.backward()


def test_state_follows_a_module_to_another_dtype():
    layer = gg.nn.Linear(2, 1)
    optimizer = optim.Adam(layer.parameters(), lr=0.1)
    layer(gg.ones(1, 2)).sum().backward()
    optimizer.step()
    layer.double()
    layer(gg.ones(1, 2, dtype=gg.float64)).sum().backward()
    optimizer.step()
    assert optimizer.state[layer.weight]["exp_avg"].dtype == np.float64
    assert optimizer.state_dict()["state"][0]["step"] == 2


def test_state_dict_has_pytorchs_layout():
    p, q = gg.tensor([1.0], requires_grad=True), gg.tensor([2.0], requires_grad=True)
    optimizer = optim.Adam([{"params": [p]}, {"params": [q], "lr": 0.5}])
    p.grad = gg.tensor([1.0])
    optimizer.step()
    state = optimizer.state_dict()
    assert state["state"].keys() == {0}
    assert state["state"][0].keys() == {"step", "exp_avg", "exp_avg_sq"}
    assert [(g["params"], g["lr"]) for g in state["param_groups"]] == [([0], 1e-3), ([1], 0.5)]


def test_loading_state_that_does_not_fit_says_so_and_loads_nothing():
    p = gg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.SGD([p], momentum=0.9)
    with pytest.raises(ValueError, match=r"groups of \[2\] parameters; this optimizer has groups of \[1\]"):
        optimizer.load_state_dict({"state": {}, "param_groups": [{"params": [0, 1]}]})
    groups = [{"params": [0], "lr": 9.0}]
    with pytest.raises(ValueError, match=r"momentum_buffer has shape \(3,\), its parameter \(2,\)"):
        optimizer.load_state_dict({"state": {0: {"momentum_buffer": np.ones(3)}}, "param_groups": groups})
    assert optimizer.param_groups[0]["lr"] == 1e-3


def test_repr_shows_the_options():
    text = repr(optim.SGD([gg.ones(3, requires_grad=True)], lr=0.5))
    assert text.startswith("SGD (\nParameter Group 0: 3 values")
    assert "    lr: 0.5" in text


# ---- what is refused


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("SGD", {"lr": -1}, "lr = -1"),
        ("SGD", {"momentum": -0.1}, "momentum = -0.1"),
        ("SGD", {"weight_decay": -0.1}, "weight_decay = -0.1"),
        ("SGD", {"nesterov": True}, "momentum > 0"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "dampening = 0"),
        ("Adam", {"betas": (1.0, 0.9)}, r"betas = \(1.0, 0.9\)"),
        ("Adam", {"eps": -1}, "eps = -1"),
        ("AdamW", {"lr": float("nan")}, "lr = nan"),
        ("RMSprop", {"alpha": -1}, "alpha = -1"),
        ("RMSprop", {"momentum": -1}, "momentum = -1"),
        ("Adagrad", {"lr_decay": -1}, "lr_decay = -1"),
        ("Adagrad", {"initial_accumulator_value": -1}, "initial_accumulator_value = -1"),
        ("Adadelta", {"rho": 1.5}, r"rho = 1.5; expected in \[0, 1\]"),
        ("Adadelta", {"eps": -1}, "eps = -1"),
        ("Adamax", {"betas": (0.9, 1.0)}, r"betas = \(0.9, 1.0\)"),
        ("NAdam", {"momentum_decay": -1}, "momentum_decay = -1"),
        ("RAdam", {"weight_decay": -1}, "weight_decay = -1"),
    ],
)
def test_options_out_of_range_are_refused(name, options, message):
    with pytest.raises(ValueError, match=rf"\[{name}\] .*{message}"):
        getattr(optim, name)([gg.ones(1, requires_grad=True)], **options)


def test_parameters_that_cannot_be_trained_are_refused():
    p = gg.ones(1, requires_grad=True)
    with pytest.raises(ValueError, match="params is empty"):
        optim.SGD([])
    with pytest.raises(TypeError, match="single tensor"):
        optim.SGD(p)
    with pytest.raises(TypeError, match=r"params\[1\] is a str"):
        optim.SGD([p, "w"])
    with pytest.raises(ValueError, match=r"params\[0\] .* result of an operation"):
        optim.SGD([p * 2])
    with pytest.raises(ValueError, match=r"params\[1\] .* given twice"):
        optim.SGD([p, p])
    with pytest.raises(ValueError, match="unknown option 'learning_rate'"):
        optim.SGD([{"params": [p], "learning_rate": 1}])
