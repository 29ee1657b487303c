"""L-BFGS: PyTorch's steps and state with every option, Rosenbrock's valley, losses that are nan, refusals."""

import itertools
import math

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import optim
from gpugrad.optim.line_search import Point, search

SHAPES = [(3, 2), (), (4,)]
OPTIONS = [
    {"lr": lr, "line_search_fn": search_, "history_size": size, "max_iter": steps}
    for lr, search_, size, steps in itertools.product((1, 0.3), (None, "strong_wolfe"), (100, 3), (1, 7))
]


def problem(library, starts, make):
    """A smooth function of several arrays without a simple minimum, and its closure."""
    xs = [make(a) for a in starts]

    def loss():
        total = 0.0
        for i, x in enumerate(xs):
            total = total + (library.exp(0.3 * x) + (1 + i) * (x - 1) ** 2 + library.sin(2 * x)).sum()
        return total + 0.1 * (xs[0].sum() * xs[2].sum() - xs[1]) ** 2

    def closure(optimizer):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    return xs, closure


@pytest.mark.peers
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_steps_are_pytorchs(options, torch, rng):
    starts = [rng.normal(size=s) for s in SHAPES]
    ours, closure = problem(gg, starts, lambda a: gg.tensor(a.copy(), requires_grad=True))
    theirs, other_closure = problem(torch, starts, lambda a: torch.tensor(a, requires_grad=True))
    optimizer, other = optim.LBFGS(ours, **options), torch.optim.LBFGS(theirs, **options)
    for _ in range(4):
        have, want = optimizer.step(lambda: closure(optimizer)), other.step(lambda: other_closure(other))
        assert have.item() == pytest.approx(want.item(), rel=1e-9)
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.detach().data, q.detach(), rtol=1e-7, atol=1e-9)
    counts, other_counts = optimizer.state[ours[0]], other.state[theirs[0]]
    assert [counts[k] for k in ("n_iter", "func_evals")] == [other_counts[k] for k in ("n_iter", "func_evals")]


@pytest.mark.peers
@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_state_moves_over_from_pytorch_and_to_another(line_search, torch, rng):
    starts, options = [rng.normal(size=s) for s in SHAPES], {"lr": 0.5, "max_iter": 4, "line_search_fn": line_search}
    theirs, other_closure = problem(torch, starts, lambda a: torch.tensor(a, requires_grad=True))
    other = torch.optim.LBFGS(theirs, **options)
    other.step(lambda: other_closure(other))
    ours, closure = problem(gg, [t.detach().numpy() for t in theirs], lambda a: gg.tensor(a.copy(), requires_grad=True))
    optimizer = optim.LBFGS(ours)
    optimizer.load_state_dict(other.state_dict())
    assert optimizer.param_groups[0]["max_iter"] == 4
    optimizer.step(lambda: closure(optimizer))
    again = optim.LBFGS(ours)
    again.load_state_dict(optimizer.state_dict())
    again.step(lambda: closure(again))
    for _ in range(2):
        other.step(lambda: other_closure(other))
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().data, q.detach(), rtol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_goes_down_rosenbrocks_valley(dtype):
    w = gg.tensor([-1.2, 1.0], dtype=dtype, requires_grad=True)
    optimizer = optim.LBFGS([w], max_iter=60, tolerance_change=1e-14, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = 100 * (w[1] - w[0] ** 2) ** 2 + (1 - w[0]) ** 2
        loss.backward()
        return loss

    with gg.no_grad():  # the closure records all the same
        assert optimizer.step(closure).item() == pytest.approx(24.2)
    np.testing.assert_allclose(w.detach().data, 1, atol=1e-4 if dtype == "float32" else 1e-8)


def test_a_quadratic_of_n_variables_takes_about_n_steps(rng):
    a = rng.normal(size=(6, 6))
    a = a @ a.T + np.eye(6)
    w = gg.tensor(rng.normal(size=6), requires_grad=True)
    optimizer = optim.LBFGS([w], max_iter=12, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = 0.5 * w @ gg.tensor(a) @ w - w.sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(a @ w.detach().data, 1, atol=1e-4)


def test_a_search_from_where_the_loss_is_nan_comes_back():
    w = gg.tensor([1e-3], dtype="float64", requires_grad=True)
    optimizer = optim.LBFGS([w], lr=10.0, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        with np.errstate(invalid="ignore", divide="ignore"):
            loss = (0.1 * w - gg.log(2 - w)).sum()
            loss.backward()
        return loss

    def negative():
        optimizer.zero_grad()
        with np.errstate(invalid="ignore", divide="ignore"):
            loss = (w - gg.log(w)).sum()
            loss.backward()
        return loss

    optimizer.step(negative)
    assert w.item() == pytest.approx(1.0, abs=1e-5)
    assert math.isfinite(closure().item())


@pytest.mark.parametrize("t", [1e-3, 0.1, 1.0, 30.0])
def test_a_search_keeps_the_strong_wolfe_conditions(t):
    def at(t):
        return Point(t, math.cos(t) + 0.1 * t, 0.1 - math.sin(t), None)

    start = Point(0.0, math.cos(0.5) + 0.05, 0.1 - math.sin(0.5), None)
    found, calls = search(lambda s: at(s + 0.5)._replace(t=s), start, t, 1.0, 1e-9, 25)
    assert found.loss <= start.loss + 1e-4 * found.t * start.slope
    assert abs(found.slope) <= 0.9 * abs(start.slope)
    assert calls <= 10


def test_parameters_without_gradients_stay():
    w, frozen = gg.tensor([2.0], requires_grad=True), gg.tensor([3.0], requires_grad=True)
    optimizer = optim.LBFGS([w, frozen])

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert abs(w.item()) < 1e-3
    assert frozen.item() == 3
    layer = optim.LBFGS([w])
    w.grad = None
    assert layer.step(lambda: gg.tensor(0.0)).item() == 0


def test_weights_in_columns_are_updated_in_place(rng):
    layer = gg.nn.Linear(4, 3, dtype="float64")
    memory, x, y = layer.weight.data, gg.tensor(rng.normal(size=(20, 4))), gg.tensor(rng.normal(size=(20, 3)))
    optimizer = optim.LBFGS(layer.parameters(), max_iter=40, tolerance_change=1e-14, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = gg.nn.functional.mse_loss(layer(x), y)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert layer.weight.data is memory
    want = np.linalg.lstsq(np.c_[x.numpy(), np.ones(20)], y.numpy(), rcond=None)[0]
    np.testing.assert_allclose(np.c_[layer.weight.data, layer.bias.data], want.T, atol=1e-5)


def test_what_it_cannot_do_is_refused():
    w = gg.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match=r"\[LBFGS.step\] no closure"):
        optim.LBFGS([w]).step()
    with pytest.raises(ValueError, match="a second group"):
        optim.LBFGS([{"params": [w]}, {"params": [gg.ones(1, requires_grad=True)]}])
    for other in (gg.ones(1, dtype="float64", requires_grad=True), gg.ones(1, dtype="complex64", requires_grad=True)):
        with pytest.raises(ValueError, match=r"\[LBFGS\] parameters are .*expected real ones of one dtype and device"):
            optim.LBFGS([w, other])
    for option, value in (("lr", -1), ("max_iter", -1), ("tolerance_grad", -1)):
        with pytest.raises(ValueError, match=rf"\[LBFGS\] {option} = -1"):
            optim.LBFGS([w], **{option: value})
    with pytest.raises(ValueError, match="line_search_fn = 'armijo'"):
        optim.LBFGS([w], line_search_fn="armijo")
    optimizer = optim.LBFGS([w])
    with pytest.raises(ValueError, match=r"d has shape \(3,\); the parameters have 2 elements"):
        optimizer.load_state_dict({"state": {0: {"d": np.ones(3)}}, "param_groups": [{"params": [0], "lr": 9.0}]})
    assert optimizer.param_groups[0]["lr"] == 1
