"""Adagrad, Adadelta, Adamax, NAdam and RAdam: their papers' formulas in float64, their schedules, what is kept."""

import math

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import optim
from gpugrad.backend import cpu_optim
from gpugrad.backend.step_sizes import Schedule


@pytest.fixture(params=["numpy", "numba"], autouse=True)
def body(request, monkeypatch):
    """Run each test with NumPy's bodies, and with Numba's for lists of every size."""
    if request.param == "numba":
        pytest.importorskip("numba", reason='Numba is not installed; pip install "gpugrad[cpu]"')
        monkeypatch.setattr(cpu_optim, "FUSE", 0)
        monkeypatch.setenv("GPUGRAD_NUMBA", "1")
    else:
        monkeypatch.setenv("GPUGRAD_NUMBA", "0")
    return request.param


class Papers:
    """Each rule as its paper writes it, in float64; `s` and `t` start where its states do."""

    def __init__(self, name, p, lr, decay, decoupled):
        self.update, self.p, self.lr, self.decay, self.decoupled = getattr(self, name), p, lr, decay, decoupled
        self.s, self.t, self.step, self.product = np.zeros_like(p), np.zeros_like(p), 0, 1.0

    def take(self, g):
        self.step += 1
        if self.decoupled:
            self.p = self.p * (1 - self.lr * self.decay)
        else:
            g = g + self.decay * self.p
        self.p = self.p - self.lr * self.update(g)

    def adagrad(self, g):
        self.s = self.s + g**2
        return g / (np.sqrt(self.s) + 1e-3) / (1 + (self.step - 1) * 0.1)

    def adadelta(self, g):
        self.s = 0.8 * self.s + 0.2 * g**2
        u = np.sqrt(self.t + 1e-3) / np.sqrt(self.s + 1e-3) * g
        self.t = 0.8 * self.t + 0.2 * u**2
        return u

    def adamax(self, g):
        self.s = 0.7 * self.s + 0.3 * g
        self.t = np.maximum(0.8 * self.t, abs(g) + 1e-3)
        return self.s / (1 - 0.7**self.step) / self.t

    def nadam(self, g):
        mu, after = (0.7 * (1 - 0.5 * 0.96 ** (t * 0.5)) for t in (self.step, self.step + 1))
        self.product *= mu
        self.s, self.t = 0.7 * self.s + 0.3 * g, 0.8 * self.t + 0.2 * g**2
        mean = after * self.s / (1 - self.product * after) + (1 - mu) * g / (1 - self.product)
        return mean / (np.sqrt(self.t / (1 - 0.8**self.step)) + 1e-3)

    def radam(self, g):
        self.s, self.t = 0.7 * self.s + 0.3 * g, 0.8 * self.t + 0.2 * g**2
        mean, most = self.s / (1 - 0.7**self.step), 2 / 0.2 - 1
        r = most - 2 * self.step * 0.8**self.step / (1 - 0.8**self.step)
        if r <= 5:
            return mean
        rectified = math.sqrt((r - 4) * (r - 2) * most / ((most - 4) * (most - 2) * r))
        return rectified * mean * math.sqrt(1 - 0.8**self.step) / (np.sqrt(self.t) + 1e-3)


RULES = {
    "Adagrad": {"lr_decay": 0.1, "eps": 1e-3},
    "Adadelta": {"rho": 0.8, "eps": 1e-3},
    "Adamax": {"betas": (0.7, 0.8), "eps": 1e-3},
    "NAdam": {"betas": (0.7, 0.8), "eps": 1e-3, "momentum_decay": 0.5},
    "RAdam": {"betas": (0.7, 0.8), "eps": 1e-3},
}


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("name", "decoupled"), [*[(n, False) for n in RULES], ("NAdam", True), ("RAdam", True)])
def test_twelve_steps_are_the_papers(name, decoupled, decay, rng):
    shapes, options = [(7,), (), (40, 30), (300, 500), (0, 2)], dict(RULES[name])
    if decoupled:
        options["decoupled_weight_decay"] = True
    starts = [rng.normal(size=s) for s in shapes]
    ps = [gg.tensor(a.copy(), requires_grad=True) for a in starts]
    optimizer = getattr(optim, name)(ps, lr=0.03, weight_decay=decay, **options)
    papers = [Papers(name.lower(), a, 0.03, decay, decoupled) for a in starts]
    for _ in range(12):
        for p, paper in zip(ps, papers, strict=True):
            g = rng.normal(size=p.shape)
            p.grad = gg.tensor(g)
            paper.take(g)
        optimizer.step()
    for p, paper in zip(ps, papers, strict=True):
        np.testing.assert_allclose(p.detach().data, paper.p, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("layout", ["float16", "transposed", "complex", "mixed orders"])
def test_any_dtype_and_memory_order(name, layout, rng):
    a, g = rng.normal(size=(2, 6, 8))
    p, q = gg.tensor(a.copy(), requires_grad=True), None
    if layout == "float16":
        p, q = (gg.tensor(a.astype(t), requires_grad=True) for t in ("float64", "float16"))
    elif layout == "complex":
        q = gg.tensor(a[:, ::2] + 1j * a[:, 1::2], requires_grad=True)
    else:
        q = gg.tensor(np.asfortranarray(a), requires_grad=True)
    optimizers = [getattr(optim, name)([x], lr=0.03, **RULES[name]) for x in (p, q)]
    for step in range(3):
        h = g * (1 + step)
        p.grad = gg.tensor(h)
        q.grad = gg.tensor(h[:, ::2] + 1j * h[:, 1::2] if layout == "complex" else h.astype(q.dtype))
        if layout == "transposed":
            q.grad = gg.tensor(np.asfortranarray(h))
        for optimizer in optimizers:
            optimizer.step()
    have = q.detach().data
    have = np.stack([have.real, have.imag], -1).reshape(6, 8) if layout == "complex" else have
    near = 5e-3 if layout == "float16" else 1e-12
    np.testing.assert_allclose(have.astype(np.float64), p.detach().data, rtol=near, atol=near)


def test_step_sizes_stay_finite_and_settle():
    nadam, radam = Schedule("nadam", 0.9, 0.999, 4e-3, 1e-8), Schedule("radam", 0.9, 0.999, eps=1e-8)
    for step in (1, 2, 5, 6, 100, 10_000, 3_000_000):
        assert all(map(math.isfinite, (*nadam.at(step), *radam.at(step))))
    np.testing.assert_allclose(nadam.at(3_000_000), (0.1, 0.9, 1.0, 1e-8), rtol=1e-12)
    np.testing.assert_allclose(radam.at(3_000_000), (0.0, 1.0, 1.0, 1e-8), rtol=1e-12)
    assert radam.at(5)[2:] == (0.0, 1.0)  # still momentum alone
    assert radam.at(6)[2:] == (1.0, 1e-8)


def test_adagrads_sum_starts_where_it_is_told_for_both_parts_of_a_number():
    for dtype, start in (("float64", 0.25), ("complex128", 0.25 + 0.25j)):
        p = gg.zeros(2, dtype=dtype, requires_grad=True)
        optimizer = optim.Adagrad([p], initial_accumulator_value=0.25)
        p.grad = gg.zeros(2, dtype=dtype)
        optimizer.step()
        np.testing.assert_array_equal(optimizer.state[p]["sum"].data, start)


def test_nadams_product_is_in_its_state():
    p = gg.ones(2, requires_grad=True)
    optimizer = optim.NAdam([p])
    for _ in range(2):
        p.grad = gg.ones(2)
        optimizer.step()
    state = optimizer.state_dict()["state"][0]
    want = math.prod(0.9 * (1 - 0.5 * 0.96 ** (t * 4e-3)) for t in (1, 2))
    assert state["mu_product"] == pytest.approx(want, rel=1e-12)
    again = optim.NAdam([gg.ones(2, requires_grad=True)])
    again.load_state_dict(optimizer.state_dict())
    assert again.state_dict()["state"][0].keys() == state.keys()
