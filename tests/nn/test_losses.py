"""Losses: every option against PyTorch, definitions where PyTorch has none, edges, and what is refused."""

import itertools
import math

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.nn import functional as F

REDUCTIONS = ("mean", "sum", "none")
each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)
CLASSES = 4
LAYOUTS = [(6, CLASSES), (CLASSES,), (3, CLASSES, 5), (2, CLASSES, 3, 2)]


def same(ours, theirs, arrays, torch, rng, rtol=1e-10):
    """Value and gradients of two functions of the same arrays."""
    xs = [gg.tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = ours(*xs), theirs(*ts)
    assert y.shape == tuple(z.shape)
    np.testing.assert_allclose(y.detach().data, z.detach(), rtol=rtol, atol=1e-12)
    g = rng.normal(size=y.shape)
    y.backward(gg.tensor(g))
    z.backward(torch.tensor(g))
    for x, t in zip(xs, ts, strict=True):
        np.testing.assert_allclose(x.grad.data, t.grad, rtol=rtol, atol=1e-12)


def labels_for(shape, rng):
    return rng.integers(0, CLASSES, shape[:1] + shape[2:] if len(shape) > 1 else ())


# ---- cross entropy and negative log-likelihood


@pytest.mark.peers
@each_reduction
@pytest.mark.parametrize("shape", LAYOUTS, ids=str)
def test_cross_entropy_of_indices_is_pytorchs(shape, reduction, torch, rng):
    x, labels, weight = rng.normal(size=shape) * 3, labels_for(shape, rng), rng.uniform(0.1, 2, CLASSES)
    ignored = int(labels.flat[0]) if len(shape) > 1 else -100
    for w, smoothing, ignore in itertools.product((None, weight), (0, 0.1, 1.0), (-100, ignored)):
        same(
            lambda x, w=w, s=smoothing, i=ignore: F.cross_entropy(x, gg.tensor(labels), w, None, i, None, reduction, s),
            lambda x, w=w, s=smoothing, i=ignore: torch.nn.functional.cross_entropy(
                x,
                torch.tensor(labels),
                None if w is None else torch.tensor(w),
                ignore_index=i,
                reduction=reduction,
                label_smoothing=s,
            ),
            [x],
            torch,
            rng,
        )


@pytest.mark.peers
@each_reduction
@pytest.mark.parametrize("shape", LAYOUTS, ids=str)
def test_cross_entropy_of_probabilities_is_pytorchs(shape, reduction, torch, rng):
    x, target, weight = rng.normal(size=shape), rng.random(shape), rng.uniform(0.1, 2, CLASSES)
    for w, smoothing in itertools.product((None, weight), (0, 0.3)):
        same(
            lambda x, t, w=w, s=smoothing: F.cross_entropy(x, t, w, reduction=reduction, label_smoothing=s),
            lambda x, t, w=w, s=smoothing: torch.nn.functional.cross_entropy(
                x, t, None if w is None else torch.tensor(w), reduction=reduction, label_smoothing=s
            ),
            [x, target],
            torch,
            rng,
        )


@pytest.mark.peers
@each_reduction
@pytest.mark.parametrize("shape", LAYOUTS, ids=str)
def test_nll_loss_is_pytorchs(shape, reduction, torch, rng):
    x, labels, weight = rng.normal(size=shape), labels_for(shape, rng), rng.uniform(0.1, 2, CLASSES)
    for w, ignore in itertools.product((None, weight), (-100, 2)):
        same(
            lambda x, w=w, i=ignore: F.nll_loss(x, gg.tensor(labels), w, None, i, None, reduction),
            lambda x, w=w, i=ignore: torch.nn.functional.nll_loss(
                x,
                torch.tensor(labels),
                None if w is None else torch.tensor(w),
                ignore_index=i,
                reduction=reduction,
            ),
            [x],
            torch,
            rng,
        )


def test_cross_entropy_of_equal_scores_is_the_logarithm_of_their_number():
    x = gg.zeros(3, 10, requires_grad=True)
    loss = F.cross_entropy(x, gg.tensor([0, 4, 9]))
    assert loss.item() == pytest.approx(math.log(10), rel=1e-6)
    loss.backward()
    expected = np.full((3, 10), 0.1 / 3)
    expected[[0, 1, 2], [0, 4, 9]] -= 1 / 3
    np.testing.assert_allclose(x.grad.data, expected, rtol=1e-6, atol=1e-8)


def test_cross_entropy_does_not_overflow():
    x = gg.tensor([[10000.0, 0.0], [0.0, 10000.0]])
    np.testing.assert_array_equal(F.cross_entropy(x, gg.tensor([0, 0]), reduction="none").data, [0, 10000])


def test_cross_entropy_over_nothing_is_nan():
    with np.errstate(invalid="ignore"):
        loss = F.cross_entropy(gg.zeros(2, 3), gg.tensor([-100, -100]))
    assert math.isnan(loss.item())
    assert F.cross_entropy(gg.zeros(2, 3), gg.tensor([-100, -100]), reduction="sum").item() == 0


def test_cross_entropy_is_log_softmax_then_nll(rng):
    x, labels = rng.normal(size=(5, 3)), np.array([0, 1, 2, 1, 0])
    np.testing.assert_allclose(F.cross_entropy(x, labels), F.nll_loss(F.log_softmax(x, 1), labels), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint8", "int64"])
def test_labels_of_any_integer_dtype(dtype):
    x = np.log([[0.5, 0.25, 0.25]])
    assert F.cross_entropy(x, np.array([0], dtype)) == pytest.approx(math.log(2))


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
@pytest.mark.parametrize("wrong", [3, -1, -101])
def test_a_label_out_of_range_is_named_with_its_position(loss, wrong):
    with pytest.raises(IndexError, match=rf"target = {wrong} at position 2 .*0 <= target < 3"):
        loss(gg.zeros(4, 3), gg.tensor([0, -100, wrong, 1]))
    with pytest.raises(IndexError, match=rf"target = {wrong} "):
        loss(gg.zeros(4, 3), gg.tensor([0, 2, wrong, 1]), ignore_index=2)


def test_layouts_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"input has shape \(4, 3\), target \(3,\) int64"):
        F.cross_entropy(gg.zeros(4, 3), gg.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match=r"probabilities of the input's shape"):
        F.cross_entropy(gg.zeros(4, 3), gg.zeros(4))
    with pytest.raises(ValueError, match=r"weight has shape \(2,\); expected \(3,\)"):
        F.cross_entropy(gg.zeros(4, 3), gg.tensor([0, 1, 2, 0]), weight=gg.ones(2))
    with pytest.raises(ValueError, match=r"label_smoothing = 1.5"):
        F.cross_entropy(gg.zeros(4, 3), gg.tensor([0, 1, 2, 0]), label_smoothing=1.5)


# ---- the elementwise losses


@pytest.mark.peers
@each_reduction
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mse_loss", {}), ("l1_loss", {}), ("huber_loss", {"delta": 0.7}), ("huber_loss", {"delta": 2.0}),
        ("smooth_l1_loss", {"beta": 0.7}), ("smooth_l1_loss", {"beta": 2.0}), ("smooth_l1_loss", {"beta": 0.0}),
    ],
    ids=str,
)  # fmt: skip
def test_regression_losses_are_pytorchs(name, options, reduction, torch, rng):
    same(
        lambda x, t: getattr(F, name)(x, t, reduction=reduction, **options),
        lambda x, t: getattr(torch.nn.functional, name)(x, t, reduction=reduction, **options),
        [rng.normal(size=(5, 4)) * 2, rng.normal(size=(5, 4))],
        torch,
        rng,
    )


@pytest.mark.peers
@each_reduction
def test_binary_cross_entropies_are_pytorchs(reduction, torch, rng):
    p, t = rng.uniform(0.01, 0.99, (5, 4)), rng.uniform(size=(5, 4))
    weight, positive = rng.random((5, 4)), rng.uniform(0.5, 2, 4)
    same(
        lambda p, t: F.binary_cross_entropy(p, t, weight, reduction),
        lambda p, t: torch.nn.functional.binary_cross_entropy(p, t, torch.tensor(weight), reduction=reduction),
        [p, t],
        torch,
        rng,
    )
    for w, pw in itertools.product((None, weight), (None, positive)):
        same(
            lambda x, t, w=w, pw=pw: F.binary_cross_entropy_with_logits(x, t, w, None, None, reduction, pw),
            lambda x, t, w=w, pw=pw: torch.nn.functional.binary_cross_entropy_with_logits(
                x,
                t,
                None if w is None else torch.tensor(w),
                reduction=reduction,
                pos_weight=None if pw is None else torch.tensor(pw),
            ),
            [rng.normal(size=(5, 4)) * 5, t],
            torch,
            rng,
        )


@pytest.mark.peers
def test_binary_cross_entropy_at_0_and_1_is_cut_as_pytorchs(torch, rng):
    p, t = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0])
    same(
        lambda p: F.binary_cross_entropy(p, gg.tensor(t), reduction="none"),
        lambda p: torch.nn.functional.binary_cross_entropy(p, torch.tensor(t), reduction="none"),
        [p],
        torch,
        rng,
        rtol=1e-7,  # PyTorch's 1e-12 is a float32
    )


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
def test_kl_div_is_pytorchs(reduction, torch, rng):
    x, t = rng.normal(size=(5, 4)), rng.uniform(0.1, 1, (5, 4))
    for log_target in (False, True):
        same(
            lambda x, t, lt=log_target: F.kl_div(x, t, None, None, reduction, lt),
            lambda x, t, lt=log_target: torch.nn.functional.kl_div(x, t, reduction=reduction, log_target=lt),
            [x, t],
            torch,
            rng,
        )


def test_binary_cross_entropy_from_scores_is_exact_where_it_is_small():
    x, t = np.array([40.0, -40.0]), np.array([1.0, 0.0])
    expected = np.full(2, math.log1p(math.exp(-40)))
    np.testing.assert_allclose(F.binary_cross_entropy_with_logits(x, t, reduction="none"), expected, rtol=1e-12)


def test_kl_div_of_a_distribution_from_itself_is_0_and_zeros_count_for_nothing():
    t = gg.tensor([[0.5, 0.5, 0.0]])
    x = gg.tensor(np.log([[0.5, 0.5, 1e-30]]).astype(np.float32), requires_grad=True)
    loss = F.kl_div(x, t, "batchmean")
    loss.backward()
    assert loss.item() == 0
    np.testing.assert_array_equal(x.grad.data, [[-0.5, -0.5, 0]])


# ---- hinge and perceptron


@pytest.mark.peers
@each_reduction
@pytest.mark.parametrize("margin", [0.5, 1.0])
def test_hinge_of_classes_is_pytorchs_margin_loss_times_the_classes(margin, reduction, torch, rng):
    labels = rng.integers(0, CLASSES, 6)
    same(
        lambda x: F.hinge_loss(x, gg.tensor(labels), margin, reduction),
        lambda x: CLASSES * torch.nn.functional.multi_margin_loss(
            x, torch.tensor(labels), margin=margin, reduction=reduction
        ),
        [rng.normal(size=(6, CLASSES))],
        torch,
        rng,
    )  # fmt: skip


def test_hinge_of_two_classes_is_its_definition():
    x = gg.tensor([2.0, 0.5, -1.0, 1.0], requires_grad=True)
    loss = F.hinge_loss(x, gg.tensor([1.0, 1.0, 1.0, -1.0]), reduction="none")
    loss.sum().backward()
    np.testing.assert_array_equal(loss.detach().data, [0, 0.5, 2, 2])
    np.testing.assert_array_equal(x.grad.data, [0, -1, -1, 1])
    assert F.hinge_loss(gg.tensor([1.0]), gg.tensor([1.0])).item() == 0


def test_perceptron_loss_moves_only_what_is_wrong_and_the_boundary():
    x = gg.tensor([2.0, -1.0, 0.0], requires_grad=True)
    loss = F.perceptron_loss(x, gg.tensor([1.0, 1.0, -1.0]), "none")
    loss.sum().backward()
    np.testing.assert_array_equal(loss.detach().data, [0, 1, 0])
    np.testing.assert_array_equal(x.grad.data, [0, -1, 1])


def test_perceptron_loss_of_classes():
    x = gg.tensor([[1.0, 3.0, 2.0], [5.0, 0.0, 0.0]], requires_grad=True)
    loss = F.perceptron_loss(x, gg.tensor([0, 0]), "none")
    loss.sum().backward()
    np.testing.assert_array_equal(loss.detach().data, [2, 0])
    np.testing.assert_array_equal(x.grad.data, [[-1, 1, 0], [0, 0, 0]])


def test_rosenblatts_rule_is_a_gradient_step(rng):
    points = rng.normal(size=(200, 2))
    points = points[np.abs(points @ [1.0, 2.0]) > 0.2]
    sides = np.sign(points @ [1.0, 2.0])
    w = gg.zeros(2, dtype=gg.float64, requires_grad=True)
    optimizer = gg.optim.SGD([w], lr=0.1)
    for _ in range(500):
        optimizer.zero_grad()
        F.perceptron_loss(gg.tensor(points) @ w, gg.tensor(sides)).backward()
        optimizer.step()
    assert (np.sign(points @ w.detach().data) == sides).all()


# ---- all of them


FUNCTIONS = {
    nn.MSELoss: F.mse_loss, nn.L1Loss: F.l1_loss, nn.HuberLoss: F.huber_loss, nn.SmoothL1Loss: F.smooth_l1_loss,
    nn.BCELoss: F.binary_cross_entropy, nn.BCEWithLogitsLoss: F.binary_cross_entropy_with_logits,
    nn.KLDivLoss: F.kl_div, nn.HingeLoss: F.hinge_loss, nn.PerceptronLoss: F.perceptron_loss,
    nn.CrossEntropyLoss: F.cross_entropy, nn.NLLLoss: F.nll_loss,
}  # fmt: skip


@each_reduction
@pytest.mark.parametrize("module", FUNCTIONS, ids=lambda m: m.__name__)
def test_module_is_its_function(module, reduction, rng):
    x = rng.uniform(0.1, 0.9, (3, 4))
    target = np.array([0, 1, 3]) if module == nn.NLLLoss else rng.uniform(0.1, 0.9, (3, 4))
    np.testing.assert_array_equal(
        module(reduction=reduction)(x, target), FUNCTIONS[module](x, target, reduction=reduction)
    )


@pytest.mark.parametrize("module", FUNCTIONS, ids=lambda m: m.__name__)
def test_an_unknown_reduction_is_refused(module):
    with pytest.raises(ValueError, match="reduction = 'avg'"):
        module(reduction="avg")
    target = [0, 1] if module is nn.NLLLoss else np.full((2, 3), 0.5)
    with pytest.raises(ValueError, match="reduction = 'avg'"):
        FUNCTIONS[module](np.full((2, 3), 0.5), target, reduction="avg")


def test_class_weights_move_with_the_module_and_are_not_saved():
    loss = nn.CrossEntropyLoss(gg.tensor([1.0, 2.0]))
    assert list(loss.state_dict()) == []
    assert loss.double().weight.dtype == np.float64


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.binary_cross_entropy, F.kl_div, F.hinge_loss])
def test_shapes_that_would_broadcast_by_mistake_are_refused(loss):
    with pytest.raises(ValueError, match=r"\(4, 1\), target \(4,\)"):
        loss(gg.full((4, 1), 0.5), gg.full((4,), 0.5))


def test_options_out_of_range_are_refused():
    x = gg.ones(2)
    with pytest.raises(ValueError, match="delta = 0"):
        F.huber_loss(x, x, delta=0)
    with pytest.raises(ValueError, match="beta = -1"):
        F.smooth_l1_loss(x, x, beta=-1)
    with pytest.raises(ValueError, match="margin = -1"):
        F.hinge_loss(x, x, -1)


@pytest.mark.parametrize("loss", [F.mse_loss, F.huber_loss, F.cross_entropy], ids=lambda f: f.__name__)
def test_a_fused_loss_gives_the_dtype_of_its_input(loss):
    for dtype in (gg.float16, gg.float32, gg.float64):
        x = gg.ones(3, 4, dtype=dtype, requires_grad=True)
        y = loss(x, gg.zeros(3, 4, dtype=dtype))
        y.backward()
        assert y.dtype == x.grad.dtype == dtype
