"""Losses by margins and likelihoods: PyTorch's in every option, closed forms, ties, and what is refused."""

import itertools
import math

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.nn import functional as F
from gpugrad.nn.torch_calls import CONSTRUCTORS
from tests.nn.test_losses import REDUCTIONS, each_reduction, same

SIGNS = np.array([1.0, -1.0, -1.0, 1.0, 1.0])


def compare(name, arrays, torch, rng, constants=(), rtol=1e-10, **options):
    """A function against PyTorch's, with gradients of `arrays`; `constants` follow them."""

    def theirs(*xs):
        given = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        return getattr(torch.nn.functional, name)(*xs, *map(torch.tensor, constants), **given)

    same(lambda *xs: getattr(F, name)(*xs, *map(gg.tensor, constants), **options), theirs, arrays, torch, rng, rtol)


@pytest.mark.peers
@each_reduction
def test_rankings_and_embeddings_are_pytorchs(reduction, torch, rng):
    x, y = rng.normal(size=(2, 5))
    for margin in (0.0, 0.7):
        compare("margin_ranking_loss", [x, y], torch, rng, [SIGNS], margin=margin, reduction=reduction)
    wide = rng.normal(size=(4, 1)), rng.normal(size=(1, 5))
    compare("margin_ranking_loss", wide, torch, rng, [SIGNS[None]], reduction=reduction)
    mixed = np.array([1.0, -1.0, -1.0, 0.5, 1.0])
    for target, margin in itertools.product((SIGNS, mixed), (0.5, 2.0)):
        compare("hinge_embedding_loss", [x * 2], torch, rng, [target], margin=margin, reduction=reduction)
    compare("soft_margin_loss", [x * 3], torch, rng, [SIGNS], reduction=reduction)


@pytest.mark.peers
@each_reduction
def test_losses_of_classes_are_pytorchs(reduction, torch, rng):
    x, labels, weight = rng.normal(size=(6, 4)), rng.integers(0, 4, 6), rng.uniform(0.1, 2, 4)
    for p, margin, w in itertools.product((1, 2), (0.5, 1.0, -0.2), (None, weight)):
        given = {"p": p, "margin": margin, "weight": w, "reduction": reduction}
        compare("multi_margin_loss", [x], torch, rng, [labels], **given)
        compare("multi_margin_loss", [x[0]], torch, rng, [labels[0]], **given)
    several = rng.integers(0, 2, (6, 4)).astype(float)
    for w in (None, weight):
        compare("multilabel_soft_margin_loss", [x, several], torch, rng, weight=w, reduction=reduction)


@pytest.mark.peers
@each_reduction
def test_losses_of_vectors_are_pytorchs(reduction, torch, rng):
    a, b, c = rng.normal(size=(3, 5, 4))
    for margin in (0.0, -0.5, 0.3):
        compare("cosine_embedding_loss", [a, b], torch, rng, [SIGNS], margin=margin, reduction=reduction)
    compare("cosine_embedding_loss", [a[0], b[0]], torch, rng, [SIGNS[1]], reduction=reduction)
    for p, swap, margin in itertools.product((1.0, 2.0, 3.0), (False, True), (0.5, 2.0)):
        given = {"p": p, "swap": swap, "margin": margin, "reduction": reduction}
        compare("triplet_margin_loss", [a, b, c], torch, rng, **given)
    for swap in (False, True):
        same(
            lambda *xs, s=swap: F.triplet_margin_with_distance_loss(
                *xs, distance_function=lambda x, y: 1 - F.cosine_similarity(x, y), swap=s, reduction=reduction
            ),
            lambda *xs, s=swap: torch.nn.functional.triplet_margin_with_distance_loss(
                *xs,
                distance_function=lambda x, y: 1 - torch.nn.functional.cosine_similarity(x, y),
                swap=s,
                reduction=reduction,
            ),
            [a, b, c],
            torch,
            rng,
        )
    compare("triplet_margin_with_distance_loss", [a, b, c], torch, rng, reduction=reduction)


@pytest.mark.peers
@each_reduction
def test_likelihoods_are_pytorchs(reduction, torch, rng):
    x, counts = rng.normal(size=(5, 4)), rng.poisson(2.0, (5, 4)).astype(float)
    for full in (False, True):
        compare("poisson_nll_loss", [x], torch, rng, [counts], full=full, reduction=reduction)
        compare("poisson_nll_loss", [np.abs(x)], torch, rng, [counts], log_input=False, full=full, eps=1e-4,
                reduction=reduction)  # fmt: skip
        for shape in ((5, 4), (5, 1), (5,)):
            var = rng.uniform(0.1, 2, shape)
            compare("gaussian_nll_loss", [x, counts, var], torch, rng, full=full, reduction=reduction)
        compare("gaussian_nll_loss", [x, counts], torch, rng, var=0.3, full=full, reduction=reduction)
        small = np.where(np.arange(4) % 2, 1e-3, 0.5) * np.ones((5, 1))
        compare("gaussian_nll_loss", [x, counts, small], torch, rng, eps=0.01, full=full, reduction=reduction)


# ---- closed forms, ties and edges


def gradient(loss, *arrays):
    tensors = [gg.tensor(a, requires_grad=True) for a in arrays]
    loss(*tensors).sum().backward()
    return [t.grad.numpy() for t in tensors]


def test_what_is_just_a_margin_apart_has_a_gradient_where_pytorch_gives_one():
    equal = np.array([1.0])
    for t in (1.0, -1.0):
        (g1, g2) = gradient(lambda x, y, t=t: F.margin_ranking_loss(x, y, gg.tensor([t])), equal, equal)
        assert (g1[0], g2[0]) == (-t, t)
    assert gradient(lambda x: F.hinge_embedding_loss(x, gg.tensor([-1.0])), equal)[0] == -1
    assert gradient(lambda x: F.multi_margin_loss(x, gg.tensor([0])), np.array([[1.0, 0.0]]))[0].tolist() == [[0, 0]]


def test_a_vector_of_zeros_has_a_finite_angle():
    x = np.zeros((1, 3), np.float32)
    assert all(np.isfinite(g).all() for g in gradient(lambda a, b: F.cosine_embedding_loss(a, b, gg.ones(1)), x, x + 1))
    assert F.cosine_embedding_loss(x, x + 1, np.ones(1, np.float32)) == 1


def test_soft_margins_neither_overflow_nor_cancel():
    x = np.array([1000.0, -1000.0, 40.0])
    np.testing.assert_allclose(F.soft_margin_loss(x, np.ones(3), "none"), [0, 1000, math.exp(-40)], rtol=1e-12)


def test_likelihoods_are_those_of_scipy(rng):
    stats = pytest.importorskip("scipy.stats")
    x, t, v = rng.normal(size=6), rng.normal(size=6), rng.uniform(0.1, 2, 6)
    np.testing.assert_allclose(
        F.gaussian_nll_loss(x, t, v, True, reduction="none"), -stats.norm.logpdf(t, x, np.sqrt(v)), rtol=1e-12
    )
    rate, counts = rng.uniform(0.5, 5, 6), np.array([2.0, 3, 4, 5, 20, 100])
    stirling = stats.poisson.pmf(counts, rate) * (1 + 1 / (12 * counts))  # the next term of its series
    np.testing.assert_allclose(F.poisson_nll_loss(np.log(rate), counts, full=True, reduction="none"),
                               -np.log(stirling), rtol=2e-3)  # fmt: skip


def test_a_variance_below_eps_counts_as_eps_and_can_grow_again():
    (g,) = gradient(lambda v: F.gaussian_nll_loss(gg.zeros(1), gg.ones(1), v, eps=0.5), np.array([0.0], np.float32))
    assert g[0] == 0.5 * (1 / 0.5 - 1 / 0.25)


def test_what_does_not_fit_is_named():
    x = gg.ones(4, 3)
    with pytest.raises(ValueError, match=r"\[margin_ranking_loss\] input1 has shape \(4, 1\), input2 \(4,\)"):
        F.margin_ranking_loss(gg.ones(4, 1), gg.ones(4), gg.ones(4))
    for loss in (F.hinge_embedding_loss, F.soft_margin_loss, F.multilabel_soft_margin_loss, F.poisson_nll_loss):
        with pytest.raises(ValueError, match=r"\(4, 3\), target \(4,\)"):
            loss(x, gg.ones(4))
    with pytest.raises(ValueError, match=r"\[multi_margin_loss\] p = 3"):
        F.multi_margin_loss(x, gg.tensor([0, 1, 2, 0]), p=3)
    with pytest.raises(ValueError, match=r"target \(4, 3\) float32; expected \(batch, classes\) and class indices"):
        F.multi_margin_loss(x, x)
    with pytest.raises(IndexError, match=r"\[multi_margin_loss\] target = 3 at position 1"):
        F.multi_margin_loss(x, gg.tensor([0, 3, 2, 0]))
    with pytest.raises(ValueError, match=r"\[cosine_embedding_loss\] .* target \(3,\)"):
        F.cosine_embedding_loss(x, x, gg.ones(3))
    with pytest.raises(ValueError, match=r"\[triplet_margin_loss\] margin = 0"):
        F.triplet_margin_loss(x, x, x, margin=0)
    with pytest.raises(ValueError, match=r"var \(3,\); expected the same shape"):
        F.gaussian_nll_loss(x, x, gg.ones(3))
    with pytest.raises(ValueError, match=r"var has negative values, -1.0"):
        F.gaussian_nll_loss(x, x, -x)
    with pytest.raises(ValueError, match="eps = 0"):
        F.gaussian_nll_loss(x, x, x, eps=0)


# ---- as modules

MODULES = [
    (nn.MarginRankingLoss, {"margin": 0.3}, "vvs"),
    (nn.HingeEmbeddingLoss, {"margin": 0.3}, "vs"),
    (nn.SoftMarginLoss, {}, "vs"),
    (nn.MultiLabelSoftMarginLoss, {"weight": np.array([1.0, 2.0, 0.5])}, "mM"),
    (nn.MultiMarginLoss, {"p": 2, "margin": 0.4, "weight": np.array([1.0, 2.0, 0.5])}, "ml"),
    (nn.CosineEmbeddingLoss, {"margin": -0.5}, "mms"),
    (nn.TripletMarginLoss, {"margin": 0.4, "p": 1.0, "eps": 1e-3, "swap": True}, "mmm"),
    (nn.TripletMarginWithDistanceLoss, {"margin": 0.4, "swap": True}, "mmm"),
    (nn.PoissonNLLLoss, {"log_input": False, "full": True, "eps": 1e-3}, "MM"),
    (nn.GaussianNLLLoss, {"full": True, "eps": 0.5}, "mmM"),
]


@each_reduction
@pytest.mark.parametrize(("module", "options", "given"), MODULES, ids=lambda m: getattr(m, "__name__", ""))
def test_module_is_its_function_with_its_options(module, options, given, reduction, rng):
    kinds = {"v": lambda: rng.normal(size=5), "s": lambda: SIGNS, "m": lambda: rng.normal(size=(5, 3)),
             "M": lambda: rng.uniform(0, 3, (5, 3)), "l": lambda: rng.integers(0, 3, 5)}  # fmt: skip
    arrays = [kinds[k]() for k in given]
    words = module.__name__.replace("MultiLabel", "Multilabel").replace("NLL", "Nll")
    function = getattr(F, "".join("_" * (i > 0) + c.lower() if c.isupper() else c for i, c in enumerate(words)))
    np.testing.assert_array_equal(
        module(**options, reduction=reduction)(*arrays), function(*arrays, **options, reduction=reduction)
    )
    with pytest.raises(ValueError, match="reduction = 'avg'"):
        module(reduction="avg")
    with pytest.raises(ValueError, match="reduction = 'avg'"):
        function(*arrays, reduction="avg")


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_constructors_take_pytorchs_order_and_explain_its_older_words(name):
    loss = getattr(nn, name)
    assert loss(size_average=None, reduce=None, reduction="sum").reduction == "sum"
    for old in ("size_average", "reduce"):
        with pytest.raises(TypeError, match=rf'\[{name}\] {old} = False is not supported; say reduction="mean"'):
            loss(**{old: False})


def test_constructors_by_position():
    assert nn.MSELoss("sum").reduction == nn.MSELoss(None, None, "sum").reduction == "sum"
    loss = nn.CrossEntropyLoss(gg.ones(3), None, 1, None, "none", 0.1)
    assert (loss.ignore_index, loss.reduction, loss.label_smoothing) == (1, "none", 0.1)
    assert nn.TripletMarginLoss(2.0, 1.0, 1e-3, True, None, None, "sum").reduction == "sum"
    with pytest.raises(TypeError, match="smooth"):
        nn.MSELoss(smooth=1)
    assert nn.SmoothL1Loss(beta=0.5).beta == 0.5


def test_reductions_of_margins_agree(rng):
    x, y = rng.normal(size=(2, 5))
    mean, total, each = (F.margin_ranking_loss(x, y, SIGNS, reduction=r) for r in REDUCTIONS)
    np.testing.assert_allclose([mean * 5, total], [each.sum(), each.sum()], rtol=1e-12)
