"""Softmax2d, alpha dropout, shuffled channels, fixed upsampling, MultiLabelMarginLoss, Buffer, distances of pairs."""

from __future__ import annotations

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 6, 4, 5))
NAMED = np.array([[3, 0, -1, 1, 2, 4], [-1, 0, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5]])

# A layer or function by its namespace of functions or modules, of one or two inputs.
CALLS = {
    "softmax2d": (lambda nn, x: nn.Softmax2d()(x), X),
    "shuffle": (lambda nn, x: nn.ChannelShuffle(3)(x), X),
    "nearest": (lambda nn, x: nn.UpsamplingNearest2d(scale_factor=2)(x), X),
    "bilinear": (lambda nn, x: nn.UpsamplingBilinear2d((7, 9))(x), X),
    "pdist": (lambda nn, x: nn.functional.pdist(x), X[0, :, 0]),
    "pdist 1": (lambda nn, x: nn.functional.pdist(x, 1), X[0, :, 0]),
    "pdist inf": (lambda nn, x: nn.functional.pdist(x, p=float("inf")), X[0, :, 0]),
}


@pytest.mark.peers
@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients_are_pytorchs(name, torch):
    call, value = CALLS[name]
    x, t = gg.tensor(value, requires_grad=True), torch.tensor(value, requires_grad=True)
    y, expected = call(gg.nn, x), call(torch.nn, t)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-12)
    (y**2).sum().backward()
    (expected**2).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.peers
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("rows", [slice(None), 0])
def test_the_loss_of_several_labels_is_pytorchs(reduction, rows, torch):
    value, named = X[0, :, 0, :1].T.repeat(3, 0)[rows] * [1, 2, -1, 0.5, 3, 1], NAMED[rows]
    x, t = gg.tensor(value, requires_grad=True), torch.tensor(value, requires_grad=True)
    y = gg.nn.MultiLabelMarginLoss(reduction=reduction)(x, gg.tensor(named))
    expected = torch.nn.MultiLabelMarginLoss(reduction=reduction)(t, torch.tensor(named))
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-12)
    y.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), atol=1e-14)


@pytest.mark.peers
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize(("n", "m"), [(4, 3), (2, 30)])
def test_distances_are_pytorchs(p, n, m, torch):
    values = RNG.standard_normal((2, n, 3)), RNG.standard_normal((m, 3))
    values[1][0] = values[0][0, 0]
    xs, ts = [[f(v, requires_grad=True) for v in values] for f in (gg.tensor, torch.tensor)]
    y, expected = gg.cdist(*xs, p), torch.cdist(*ts, p)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-7)
    if p == 0:
        return  # a count of features that differ, without a gradient
    (y**3).sum().backward()
    (expected**3).sum().backward()
    for x, t in zip(xs, ts, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-7, atol=1e-7)


def test_values_by_hand():
    scores = gg.tensor([0.1, 0.2, 0.4, 0.8], requires_grad=True)
    loss = F.multilabel_margin_loss(scores, gg.tensor([3, 0, -1, 1]))  # as in PyTorch's documentation
    assert loss.item() == pytest.approx(0.85)
    shuffled = F.channel_shuffle(np.arange(8.0).reshape(1, 8, 1), 2)
    assert shuffled.ravel().tolist() == [0, 4, 1, 5, 2, 6, 3, 7]
    np.testing.assert_allclose(gg.nn.Softmax2d()(gg.tensor(X)).sum(1).numpy(), 1)
    square = gg.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])
    assert F.pdist(square).tolist() == [3.0, 5.0, 4.0]
    assert gg.cdist(square[:1], square, 1).tolist() == [[0.0, 3.0, 7.0]]
    assert gg.nn.UpsamplingNearest2d(scale_factor=2)(gg.ones(1, 1, 2, 3)).shape == (1, 1, 4, 6)


@pytest.mark.parametrize("layer", [gg.nn.AlphaDropout, gg.nn.FeatureAlphaDropout])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_alpha_dropout_keeps_mean_and_variance(layer, p):
    gg.manual_seed(0)
    x = gg.randn(200, 300, 3)
    drop = layer(p)
    y = drop(x)
    assert abs(y.mean().item()) < 0.03
    assert abs(y.std().item() - 1) < 0.03
    x.requires_grad_()
    kept = gg.autograd.grad(drop(x).sum(), x)[0].numpy() > 0
    assert kept.mean() == pytest.approx(1 - p, abs=0.02)
    assert (kept.all(-1) == kept.any(-1)).all() == (layer is gg.nn.FeatureAlphaDropout)
    assert drop.eval()(x).tolist() == x.tolist()
    assert not F.alpha_dropout(x, 1.0, True).detach().numpy().any()


def test_a_buffer_is_a_part_of_the_module_it_is_given_to():
    class Counting(gg.nn.Module):
        def __init__(self):
            super().__init__()
            self.count = gg.nn.Buffer(gg.zeros(2))
            self.mask = gg.nn.Buffer(gg.ones(3), persistent=False)

    module = Counting()
    assert list(module.state_dict()) == ["count"]
    assert [name for name, _ in module.named_buffers()] == ["count", "mask"]
    assert module.double().mask.dtype == np.float64


def test_what_does_not_fit_is_refused():
    for call, message in (
        (lambda: F.channel_shuffle(gg.zeros(1, 8, 2), 3), "groups = 3"),
        (lambda: gg.nn.Softmax2d()(gg.zeros(2, 3)), "expected"),
        (lambda: F.multilabel_margin_loss(gg.zeros(2, 3), gg.zeros(2, 3)), "float32"),
        (lambda: F.pdist(gg.zeros(3)), "input has shape"),
        (lambda: gg.cdist(gg.zeros(2, 3), gg.zeros(2, 4)), "as many"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
