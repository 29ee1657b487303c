"""Worked examples from the lectures of the field: numbers that must come out exactly, and programs that must run."""

import textwrap

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn


def tensor(values, requires_grad=False):
    return gg.tensor(np.asarray(values, np.float64), requires_grad=requires_grad)


# ---- a hidden ReLU layer and a ReLU output layer, by hand

W1 = [[2, 0, 0], [0, 2, 0], [0, 0, 2], [0, 0, 0]]
B1 = [1, 1, 1, 1]
W2 = [[-1, -1, -1, -1], [0, 0, 0, 0]]
B2 = [-1, -1]


def test_two_relu_layers_give_the_lectures_numbers():
    x = tensor([1, 0, 0])
    h = gg.relu(tensor(W1) @ x - tensor(B1))
    y = gg.relu(tensor(W2) @ h - tensor(B2))
    np.testing.assert_array_equal(h.numpy(), [1, 0, 0, 0])
    np.testing.assert_array_equal(y.numpy(), [0, 1])


def test_the_same_as_modules():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.ReLU())
    model.load_state_dict({"0.weight": W1, "0.bias": -np.array(B1), "2.weight": W2, "2.bias": -np.array(B2)})
    x = gg.tensor([1.0, 0.0, 0.0])
    np.testing.assert_array_equal(model[:2](x).detach().numpy(), [1, 0, 0, 0])
    np.testing.assert_array_equal(model(x).detach().numpy(), [0, 1])


# ---- XOR

POINTS = [[0, 0], [0, 1], [1, 0], [1, 1]]
XOR = [0, 1, 1, 0]


def test_xor_from_hard_thresholds():
    x = tensor(POINTS)
    h1 = gg.step(x[:, 0] + x[:, 1] - 0.5)  # x1 OR x2
    h2 = gg.step(x[:, 0] + x[:, 1] - 1.5)  # x1 AND x2
    y = gg.step(h1 - h2 - 0.5)  # h1 AND NOT h2
    np.testing.assert_array_equal(h1.numpy(), [0, 1, 1, 1])
    np.testing.assert_array_equal(h2.numpy(), [0, 0, 0, 1])
    np.testing.assert_array_equal(y.numpy(), XOR)


@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.Tanh, nn.ReLU], ids=lambda m: m.__name__)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_two_layer_net_learns_xor(activation, seed):
    gg.manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 8), activation(), nn.Linear(8, 1))
    optimizer = gg.optim.Adam(model.parameters(), lr=0.1)
    x, t = gg.tensor(POINTS, dtype=gg.float32), gg.tensor(XOR, dtype=gg.float32)
    for _ in range(300):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(x).reshape(-1), t)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    np.testing.assert_array_equal(model(x).detach().numpy().reshape(-1) > 0, np.array(XOR) == 1)


# ---- logistic least squares with an L2 penalty


@pytest.mark.parametrize(("x", "t", "w", "b", "lam"), [(1.5, 1.0, 0.7, -0.3, 0.2), (-2.0, 0.0, -1.1, 0.4, 0.05)])
def test_regularised_logistic_least_squares_has_the_closed_forms_gradients(x, t, w, b, lam):
    weight, bias = tensor(w, requires_grad=True), tensor(b, requires_grad=True)
    z = weight * x + bias
    y = gg.sigmoid(z)
    loss = (y - t) ** 2 / 2
    penalty = weight**2 / 2
    total = loss + lam * penalty  # w reaches the loss twice
    total.backward()
    s = 1 / (1 + np.exp(-(w * x + b)))
    slope = (s - t) * s * (1 - s)
    assert total.item() == pytest.approx((s - t) ** 2 / 2 + lam * w * w / 2, rel=1e-14)
    assert weight.grad.item() == pytest.approx(slope * x + lam * w, rel=1e-13)
    assert bias.grad.item() == pytest.approx(slope, rel=1e-13)


# ---- the vectorised backward pass of an MLP, by hand


def by_hand(w1, b1, w2, b2, x, t):
    """Squared error of a sigmoid MLP with examples in columns, and its gradients, line by line."""
    z = w1 @ x + b1
    h = 1 / (1 + np.exp(-z))
    y = w2 @ h + b2
    ybar = y - t
    w2bar = ybar @ h.T
    b2bar = ybar.sum(1, keepdims=True)
    hbar = w2.T @ ybar
    zbar = hbar * h * (1 - h)
    w1bar = zbar @ x.T
    b1bar = zbar.sum(1, keepdims=True)
    return ((y - t) ** 2).sum() / 2, (w1bar, b1bar, w2bar, b2bar)


def test_the_tapes_gradients_are_the_hand_written_ones_batch_by_batch(rng):
    arrays = [rng.normal(size=s) for s in ((5, 3), (5, 1), (2, 5), (2, 1))]
    for batch in (1, 4, 32):
        x, t = rng.normal(size=(3, batch)), rng.normal(size=(2, batch))
        w1, b1, w2, b2 = parameters = [tensor(a, requires_grad=True) for a in arrays]
        y = w2 @ gg.sigmoid(w1 @ tensor(x) + b1) + b2
        loss = ((y - tensor(t)) ** 2).sum() / 2
        loss.backward()
        value, gradients = by_hand(*arrays, x, t)
        assert loss.item() == pytest.approx(value, rel=1e-13)
        for p, g in zip(parameters, gradients, strict=True):
            np.testing.assert_allclose(p.grad.numpy(), g, rtol=1e-12, atol=1e-13)
        arrays = [a - 0.01 * g for a, g in zip(arrays, gradients, strict=True)]


# ---- the chain rule


def test_a_product_plus_a_term_and_its_finite_differences():
    def f(x1, x2, x3):
        return x1 * x2 + x3

    values = (2.0, -3.0, 5.0)
    x1, x2, x3 = (tensor(v, requires_grad=True) for v in values)
    loss = f(x1, x2, x3)
    loss.backward()
    assert loss.item() == -1
    assert [x.grad.item() for x in (x1, x2, x3)] == [-3, 2, 1]
    h = 1e-6
    for i, x in enumerate((x1, x2, x3)):
        up, down = ([v + sign * h * (k == i) for k, v in enumerate(values)] for sign in (1, -1))
        assert (f(*up) - f(*down)) / (2 * h) == pytest.approx(x.grad.item(), abs=1e-8)
    gg.check_grads(f, tuple(np.array(v) for v in values))


@pytest.mark.parametrize("at", [0.3, 1.0, -2.0])
def test_a_total_derivative_through_two_paths(at):
    t = tensor(at, requires_grad=True)
    x, y = gg.cos(t), t**2
    f = y + gg.exp(x * y)
    f.backward()
    cos, sin = np.cos(at), np.sin(at)
    # df/dt = df/dx dx/dt + df/dy dy/dt
    expected = at**2 * np.exp(cos * at**2) * -sin + (1 + cos * np.exp(cos * at**2)) * 2 * at
    assert t.grad.item() == pytest.approx(expected, rel=1e-12)


# ---- a program of PyTorch's

SIGMOID_PLOT = """
    x = gg.linspace(-10, 10, 100, requires_grad=True)
    z = 1. / (1. + gg.exp(-x))
    gg.sum(z).backward()

    import matplotlib.pyplot as plt
    points, y = x.detach().numpy(), z.detach().numpy()
    fig, ax = plt.subplots()
    ax.plot(points, y, label="sigmoid")
    ax.plot(points, y * (1 - y), label="its derivative")
    ax.plot(points, x.grad.detach().numpy(), "--", label="the tape's")
    ax.legend()
    fig.savefig("sigmoid.png")
    plt.close(fig)
"""


def run(program, import_line, folder, monkeypatch):
    monkeypatch.chdir(folder)
    namespace = {}
    exec(import_line + textwrap.dedent(program), namespace)
    return namespace


def test_sigmoid_and_its_derivatives_are_plotted(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    result = run(SIGMOID_PLOT, "import gpugrad as gg", tmp_path, monkeypatch)
    assert (tmp_path / "sigmoid.png").read_bytes().startswith(b"\x89PNG")
    y = result["y"]
    np.testing.assert_allclose(result["x"].grad.detach().numpy(), y * (1 - y), rtol=1e-5, atol=1e-7)
    assert result["x"].grad.detach().numpy().max() == pytest.approx(0.25, abs=1e-2)


@pytest.mark.peers
def test_the_same_program_is_pytorch_but_for_its_import_line(torch, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    ours = run(SIGMOID_PLOT, "import gpugrad as gg", tmp_path, monkeypatch)
    theirs = run(SIGMOID_PLOT, "import torch as gg", tmp_path, monkeypatch)
    np.testing.assert_allclose(ours["points"], theirs["points"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours["x"].grad.numpy(), theirs["x"].grad.numpy(), rtol=1e-4, atol=1e-6)


# ---- what networks can and cannot do


def test_linear_layers_only_make_one_linear_layer(rng):
    deep = nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 5), nn.Linear(5, 2)).double()
    weight, bias = np.eye(3), np.zeros(3)
    for layer in deep:
        w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        weight, bias = w @ weight, w @ bias + b
    one = nn.Linear(3, 2).double()
    one.load_state_dict({"weight": weight, "bias": bias})
    x = tensor(rng.normal(size=(10, 3)))
    np.testing.assert_allclose(deep(x).detach().numpy(), one(x).detach().numpy(), rtol=1e-12, atol=1e-14)


def test_a_larger_weight_makes_a_steeper_sigmoid():
    slopes = []
    for weight in (1, 5):
        x = tensor(0.0, requires_grad=True)
        gg.sigmoid(weight * x).backward()
        slopes.append(x.grad.item())
    assert slopes == [0.25, 1.25]


def test_about_half_of_a_random_relu_layers_units_are_zero():
    gg.manual_seed(0)
    h = nn.functional.relu(nn.Linear(100, 1000)(gg.randn(200, 100)))
    assert abs((h.detach().numpy() == 0).mean() - 0.5) < 0.02
