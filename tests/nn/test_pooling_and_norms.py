"""Pooling and normalisation layers: conventions, running statistics, errors, and PyTorch's numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F


def test_of_equal_elements_the_first_wins_and_nan_wins_over_all():
    x = gg.tensor([[[[2.0, 2.0], [2.0, 1.0]]]], requires_grad=True)
    F.max_pool2d(x, 2).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], [[1, 0], [0, 0]])
    assert np.isnan(F.max_pool2d(np.array([[[[1.0, np.nan], [5.0, 2.0]]]]), 2)).all()


def test_indices_lead_back_to_where_the_maxima_were():
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 5))
    y, places = F.max_pool2d(x, 2, return_indices=True)
    taken = np.take_along_axis(x.reshape(2, 3, -1), places.reshape(2, 3, -1), -1)
    np.testing.assert_array_equal(taken.reshape(y.shape), y)
    back = F.max_unpool2d(y, places, 2, output_size=(6, 5))
    np.testing.assert_array_equal(back[back != 0], x[back != 0])
    assert (back != 0).sum() == y.size


def test_images_with_channels_last_in_memory_give_the_same():
    x = np.random.default_rng(1).standard_normal((2, 3, 4, 4))
    last = x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    for f in (
        lambda x: F.max_pool2d(x, 2),
        lambda x: F.avg_pool2d(x, 3, 1, 1),
        lambda x: F.batch_norm(x, training=True),
        lambda x: F.group_norm(x, 3),
    ):
        np.testing.assert_allclose(f(last), f(x), atol=1e-12)


def test_running_statistics_move_as_pytorch_says_and_are_used_in_evaluation():
    rng = np.random.default_rng(2)
    layer = gg.nn.BatchNorm2d(3, momentum=0.3, dtype=np.float64)
    mean, variance = np.zeros(3), np.ones(3)
    for _ in range(3):
        x = rng.standard_normal((4, 3, 2, 2)) * 2 + 1
        layer(gg.asarray(x))
        mean = 0.7 * mean + 0.3 * x.mean((0, 2, 3))
        variance = 0.7 * variance + 0.3 * x.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean)
    np.testing.assert_allclose(layer.running_var.numpy(), variance)
    assert layer.num_batches_tracked.item() == 3
    layer.eval()
    expected = (x - mean.reshape(3, 1, 1)) / np.sqrt(variance.reshape(3, 1, 1) + 1e-5)
    np.testing.assert_allclose(layer(gg.asarray(x)).detach().numpy(), expected)
    assert layer.num_batches_tracked.item() == 3


def test_without_momentum_the_running_statistics_are_means_over_all_batches():
    layer = gg.nn.BatchNorm1d(2, momentum=None, dtype=np.float64)
    batches = np.random.default_rng(3).standard_normal((5, 8, 2))
    for x in batches:
        layer(gg.asarray(x))
    np.testing.assert_allclose(layer.running_mean.numpy(), batches.mean((0, 1)))


@pytest.mark.parametrize("size", [(4, 3, 5), (4, 8, 64, 64)], ids=["small", "large"])
@pytest.mark.parametrize("kind", ["batch", "instance"])
def test_statistics_that_moved_are_not_taken_for_those_of_a_graph_before(size, kind):
    x = gg.randn(*size)
    running = [gg.zeros(size[1]), gg.ones(size[1])]
    weight = gg.ones(size[1], requires_grad=True)
    y = F.batch_norm(x, *running, weight)
    train = F.batch_norm if kind == "batch" else F.instance_norm
    train(x, *running, weight, None, True)
    with pytest.raises(gg.GradientError, match=f"changed in place.*{kind}_norm"):
        y.sum().backward()


def test_state_and_repr_are_pytorchs():
    assert list(gg.nn.BatchNorm2d(4).state_dict()) == [
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked",
    ]  # fmt: skip
    assert repr(gg.nn.BatchNorm2d(4)) == (
        "BatchNorm2d(4, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)"
    )
    assert repr(gg.nn.GroupNorm(2, 4)) == "GroupNorm(2, 4, eps=1e-05, affine=True)"
    assert "kernel_size=3, stride=2, padding=1" in repr(gg.nn.MaxPool2d(3, 2, 1))


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda x: F.max_pool2d(x, 9), ValueError, r"window \(9, 9\).*larger than the padded input"),
        (lambda x: F.max_pool2d(x, 2, padding=2), ValueError, "at most half of the kernel"),
        (lambda x: F.max_pool2d(x[0, 0], 2), ValueError, r"expected \(n, channels, size, size\)"),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=0), ValueError, "divisor_override = 0"),
        (lambda x: F.adaptive_avg_pool2d(x, 0), ValueError, "output_size = 0"),
        (lambda x: F.batch_norm(x, weight=np.ones(4), training=True), ValueError, r"weight has shape \(4,\)"),
        (lambda x: F.batch_norm(x, weight=np.ones(3, "f"), training=True), TypeError, "weight float32"),
        (lambda x: F.batch_norm(x[:1, :, :1, :1], training=True), ValueError, "one value per channel"),
        (lambda x: F.group_norm(x, 2), ValueError, "groups that divide the channels"),
        (gg.nn.BatchNorm1d(3), ValueError, "2 or 3 axes"),
        (gg.nn.BatchNorm2d(4), ValueError, "expected 4 channels"),
        (gg.nn.BatchNorm2d(3), TypeError, "float64.*float32"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_shapes(call, error, said):
    with pytest.raises(error, match=said):
        call(np.zeros((2, 3, 5, 4)))


@pytest.mark.peers
def test_pooling_is_pytorchs_over_a_grid_of_arguments():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    for axes, kernel, stride, padding, ceil in itertools.product((1, 2, 3), (2, 3), (1, 2, 3), (0, 1), (False, True)):
        x = rng.standard_normal((2, 2, *(7, 6, 5)[:axes]))
        for name, options in (
            (f"max_pool{axes}d", {"padding": padding}),
            (f"avg_pool{axes}d", {"padding": padding, "count_include_pad": False}),
            (f"avg_pool{axes}d", {"padding": padding}),
        ):
            ours, theirs = gg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
            y = getattr(F, name)(ours, kernel, stride, ceil_mode=ceil, **options)
            expected = getattr(torch.nn.functional, name)(theirs, kernel, stride, ceil_mode=ceil, **options)
            np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), atol=1e-12)
            g = rng.standard_normal(y.shape)
            y.backward(gg.asarray(g))
            expected.backward(torch.tensor(g))
            np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), atol=1e-12)
        y, places = getattr(F, f"max_pool{axes}d")(x, kernel, stride, padding, ceil_mode=ceil, return_indices=True)
        other = getattr(torch.nn.functional, f"max_pool{axes}d")(
            torch.tensor(x), kernel, stride, padding, ceil_mode=ceil, return_indices=True
        )
        np.testing.assert_array_equal(places, other[1].numpy())


@pytest.mark.peers
@pytest.mark.parametrize("name", ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "InstanceNorm2d", "GroupNorm"])
@pytest.mark.parametrize("training", [True, False])
def test_layers_are_pytorchs_with_its_state(name, training):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    arguments = (2, 4) if name == "GroupNorm" else (4,)
    options = {"affine": True} if name == "InstanceNorm2d" else {}
    other = getattr(torch.nn, name)(*arguments, **options).double()
    ours = getattr(gg.nn, name)(*arguments, **options, dtype=np.float64)
    with torch.no_grad():
        for p in other.parameters():
            p.copy_(torch.tensor(rng.standard_normal(p.shape)))
    ours.load_state_dict({k: v.numpy() for k, v in other.state_dict().items()})
    other.train(training), ours.train(training)
    shape = {"1": (5, 4, 3), "3": (2, 4, 2, 3, 2)}.get(name[-2], (3, 4, 2, 5))
    x = rng.standard_normal(shape)
    mine, theirs = gg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = ours(mine), other(theirs)
    g = rng.standard_normal(shape)
    y.backward(gg.asarray(g))
    expected.backward(torch.tensor(g))
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(mine.grad.numpy(), theirs.grad.numpy(), atol=1e-12)
    for (key, p), q in zip(ours.named_parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), atol=1e-12, err_msg=key)
    for key, value in other.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].detach().numpy(), value.numpy(), atol=1e-12, err_msg=key)
