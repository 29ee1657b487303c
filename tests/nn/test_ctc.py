"""Connectionist temporal classification: PyTorch's losses and gradients, sums over all paths, and what is refused."""

import itertools
import math

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.nn import functional as F
from tests.nn.test_losses import each_reduction, same

TIMES, COUNTS = np.array([7, 5, 6, 2]), np.array([3, 2, 0, 2])
LABELS = np.array([[1, 1, 2], [3, 1, 99], [99, -5, 4], [2, 4, 1]])  # what is behind a row's own is anything


@pytest.mark.peers
@each_reduction
@pytest.mark.parametrize("blank", [0, 4])
def test_losses_and_gradients_are_pytorchs(reduction, blank, torch, rng):
    x = rng.normal(size=(7, 4, 5))
    labels = np.where(blank == LABELS, 3, LABELS)
    padded = np.where(np.arange(3) < COUNTS[:, None], labels, 1)
    row = np.concatenate([r[:c] for r, c in zip(labels, COUNTS, strict=True)])

    def theirs(x):
        lp = torch.log_softmax(x, -1)
        given = (torch.tensor(a) for a in (padded, TIMES, COUNTS))
        return torch.nn.functional.ctc_loss(lp, *given, blank, reduction)

    for targets in (labels, row):
        same(
            lambda x, t=targets: F.ctc_loss(F.log_softmax(x, -1), t, TIMES, COUNTS, blank, reduction),
            theirs, [x], torch, rng, rtol=1e-8,
        )  # fmt: skip
    same(
        lambda x: F.ctc_loss(F.log_softmax(x, -1), labels[0], 7, 3, blank, reduction),
        lambda x: torch.nn.functional.ctc_loss(
            torch.log_softmax(x, -1), torch.tensor(labels[0]), torch.tensor(7), torch.tensor(3), blank, reduction
        ),
        [x[:, 0]], torch, rng, rtol=1e-8,
    )  # fmt: skip


def read(path):
    """What a path says: without repetitions, then without blanks."""
    return [k for k, _ in itertools.groupby(path) if k]


@pytest.mark.parametrize("labels", [[], [1], [2, 1], [1, 1], [1, 2, 1]])
def test_a_loss_is_the_sum_over_all_paths_that_say_the_labels(labels, rng):
    lp = np.log(rng.dirichlet(np.ones(3), size=(4, 1)))
    paths = [p for p in itertools.product(range(3), repeat=4) if read(p) == labels]
    want = -math.log(sum(math.exp(sum(lp[t, 0, c] for t, c in enumerate(p))) for p in paths)) if paths else math.inf
    have = F.ctc_loss(lp, np.array([labels], int).reshape(1, -1), [4], [len(labels)], reduction="none")
    np.testing.assert_allclose(have, [want], rtol=1e-12)


def test_derivatives_of_both_orders_are_those_of_differences(rng):
    lp = np.log(rng.dirichlet(np.ones(5), size=(6, 3)))
    gg.check_grads(lambda x: F.ctc_loss(x, LABELS[:3], [6, 4, 5], COUNTS[:3], reduction="sum"), (lp,), order=2)


def test_labels_that_do_not_fit_have_an_infinite_loss_or_none_and_no_gradient(rng):
    labels, times, counts = np.array([[1, 1], [1, 2]]), np.array([2, 2]), np.array([2, 2])
    for zero, want in ((False, math.inf), (True, 0.0)):
        x = gg.tensor(rng.normal(size=(2, 2, 3)), requires_grad=True)
        loss = F.ctc_loss(F.log_softmax(x, -1), labels, times, counts, reduction="none", zero_infinity=zero)
        loss[1].backward()
        assert loss[0].item() == want
        assert math.isfinite(loss[1].item())
        assert np.isfinite(x.grad.data).all()
        x.grad = None
        loss = F.ctc_loss(F.log_softmax(x, -1), labels, times, counts, reduction="sum", zero_infinity=zero)
        loss.backward()
        assert not x.grad.data[:, 0].any()
        assert x.grad.data[:, 1].any()


@pytest.mark.parametrize(("dtype", "near"), [("float32", 1e-4), ("float64", 1e-11)])
def test_long_sequences_do_not_underflow(dtype, near):
    lp = gg.full((2000, 1, 30), -math.log(30), dtype=dtype, requires_grad=True)
    loss = F.ctc_loss(lp, np.arange(1, 21)[None], [2000], [20], reduction="sum")
    loss.backward()
    paths = math.lgamma(2021) - math.lgamma(1981) - math.lgamma(41)  # of 20 different labels: (T + L choose 2 L)
    assert loss.item() == pytest.approx(2000 * math.log(30) - paths, rel=near)
    np.testing.assert_allclose(lp.grad.data.sum(axis=2), -1, rtol=2e3 * near)  # some class at each time


def test_the_module_is_the_function(rng):
    lp = np.log(rng.dirichlet(np.ones(5), size=(7, 4)))
    have = nn.CTCLoss(4, "sum", True)(lp, LABELS % 4, TIMES, COUNTS)
    assert have == F.ctc_loss(lp, LABELS % 4, TIMES, COUNTS, 4, "sum", True)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"blank": 5}, ValueError, r"blank = 5; expected \(times, batch, classes\)"),
        ({"input_lengths": [7, 5, 8, 2]}, ValueError, r"input_lengths from 2 to 8; expected 1 to 7"),
        ({"target_lengths": [3, 2, 4, 2]}, ValueError, r"target_lengths from 2 to 4; expected 0 to 3"),
        ({"input_lengths": [7]}, ValueError, r"input_lengths \(1,\)"),
        ({"targets": np.array([1, 2, 3])}, ValueError, "3 labels; target_lengths adds up to 7"),
        ({"targets": LABELS + 3}, IndexError, "target 5 is no class"),
        ({"reduction": "avg"}, ValueError, "reduction = 'avg'"),
    ],
)
def test_what_does_not_fit_is_refused(change, error, message):
    given = {"targets": LABELS, "input_lengths": TIMES, "target_lengths": COUNTS, **change}
    with pytest.raises(error, match=message):
        F.ctc_loss(np.zeros((7, 4, 5)), **given)
