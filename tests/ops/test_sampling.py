"""Sampling: what is drawn follows the probabilities, repeats by seed and state, and is refused where it cannot be."""

import math

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F
from gpugrad.nn import init

scipy_stats = pytest.importorskip("scipy.stats")
SHARES = np.array([0.1, 0.0, 0.5, 0.4])


def test_coins_fall_as_often_as_they_should() -> None:
    gg.manual_seed(0)
    drawn = gg.bernoulli(gg.full((40_000,), 0.3))
    assert drawn.dtype == np.float32
    assert set(drawn.tolist()) == {0.0, 1.0}
    assert abs(drawn.mean().item() - 0.3) < 0.01
    assert gg.bernoulli(gg.tensor([0.0, 1.0] * 50)).tolist() == [0.0, 1.0] * 50
    assert abs(gg.zeros(40_000, dtype=gg.int64).bernoulli(0.7).double().mean().item() - 0.7) < 0.01
    assert gg.empty(2, 100).bernoulli_(gg.tensor([[0.0], [1.0]])).sum(1).tolist() == [0.0, 100.0]
    with pytest.raises(ValueError, match=r"p = 1\.5"):
        gg.bernoulli(gg.zeros(2), 1.5)


@pytest.mark.parametrize("replacement", [False, True])
def test_categories_come_in_proportion(replacement: bool) -> None:
    gg.manual_seed(1)
    weights = gg.tensor(np.stack([SHARES * 7, SHARES[::-1].copy()]))
    first = gg.multinomial(weights.repeat(20_000, axis=0), 1, replacement).numpy()[:, 0].reshape(2, -1)
    for counts, shares in zip((np.bincount(f, minlength=4) for f in first), (SHARES, SHARES[::-1]), strict=True):
        assert counts[shares == 0] == 0
        assert scipy_stats.chisquare(counts[shares > 0], shares[shares > 0] * counts.sum()).pvalue > 0.01


def test_many_draws_with_replacement_and_none_twice_without() -> None:
    gg.manual_seed(2)
    drawn = gg.multinomial(gg.tensor(SHARES), 40_000, replacement=True)
    assert (drawn.shape, drawn.dtype) == ((40_000,), np.int64)
    assert scipy_stats.chisquare(np.bincount(drawn.numpy())[[0, 2, 3]], np.array([4, 20, 16]) * 1000).pvalue > 0.01
    rows = gg.tensor(np.tile(SHARES, (5000, 1))).multinomial(3).numpy()
    assert {tuple(sorted(row)) for row in rows.tolist()} == {(0, 2, 3)}
    pairs = np.mean([row[:2] == [2, 3] for row in rows.tolist()])  # 0.5, then 0.4 of what is left
    assert abs(pairs - 0.5 * 0.4 / 0.5) < 0.02
    for call, message in (
        (lambda: gg.multinomial(gg.zeros(3), 4), "4 samples of shape"),
        (lambda: gg.multinomial(gg.zeros(1, 2, 3), 1, True), "expected"),
        (lambda: gg.multinomial(gg.zeros(0), 1, True), "expected"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="floating point"):
        gg.multinomial(gg.arange(3), 1)


def test_exponential_and_normal_numbers() -> None:
    gg.manual_seed(3)
    assert (
        scipy_stats.kstest(gg.empty(20_000).exponential_(2.0).numpy(), scipy_stats.expon(scale=0.5).cdf).pvalue > 0.01
    )
    assert gg.empty(100_000, dtype=gg.float16).exponential_().min().item() > 0
    means, stds = gg.tensor([0.0, 10.0], requires_grad=True), gg.tensor([[1.0], [0.0]])
    drawn = gg.normal(means, stds)
    assert (drawn.shape, drawn.requires_grad) == ((2, 2), False)
    assert drawn[1].tolist() == [0.0, 10.0]
    assert abs(gg.normal(gg.full((20_000,), 5.0), 2.0).std().item() - 2) < 0.05
    assert abs(gg.normal(3.0, gg.full((20_000,), 2.0)).mean().item() - 3) < 0.05


def test_a_state_gives_the_same_numbers_again() -> None:
    gg.manual_seed(4)
    gg.rand(3)
    state = gg.get_rng_state()
    assert (state.dtype, str(state.device)) == (np.uint8, "cpu")

    def numbers() -> list[object]:
        return [gg.randn(2).tolist(), gg.dropout(gg.ones(20)).tolist(), gg.randperm(9).tolist()]

    first = numbers()
    gg.set_rng_state(state)
    assert numbers() == first
    with pytest.raises(ValueError, match="not the state of a generator on cpu"):
        gg.set_rng_state(state[:-3])


def test_gumbel_softmax_draws_categories_and_passes_the_soft_gradient() -> None:
    gg.manual_seed(5)
    logits = gg.tensor(np.log(SHARES[[0, 2, 3]]))
    rows = F.gumbel_softmax(logits.expand(20_000, 3), tau=0.5)
    np.testing.assert_allclose(rows.sum(1).numpy(), 1)
    counts = np.bincount(rows.argmax(1).numpy(), minlength=3)
    assert scipy_stats.chisquare(counts, SHARES[[0, 2, 3]] * 20_000).pvalue > 0.01
    x = gg.tensor(np.tile(np.log(SHARES[[0, 2, 3]])[:, None], (1, 4)), requires_grad=True)
    state = gg.get_rng_state()
    hard = F.gumbel_softmax(x, hard=True, dim=0)
    assert hard.sum(0).tolist() == [1.0] * 4
    assert set(np.round(hard.detach().numpy(), 12).reshape(-1).tolist()) == {0.0, 1.0}
    slope = gg.tensor(np.arange(12.0).reshape(3, 4))
    (by_hard,) = gg.autograd.grad((hard * slope).sum(), x)
    gg.set_rng_state(state)
    (by_soft,) = gg.autograd.grad((F.gumbel_softmax(x, dim=0) * slope).sum(), x)
    np.testing.assert_allclose(by_hard.numpy(), by_soft.numpy())


def test_in_a_map_each_example_draws_for_itself() -> None:
    gg.manual_seed(6)
    shared = gg.full((50,), 0.5)
    coins = gg.vmap(lambda i: gg.bernoulli(shared) + i)(gg.zeros(3))
    assert len({tuple(row) for row in coins.tolist()}) == 3
    for replacement in (False, True):
        drawn = gg.vmap(lambda w, r=replacement: gg.multinomial(w, 2, r))(gg.tensor(np.eye(4)[:3] + 1e-30))
        assert drawn[:, 0].tolist() == [0, 1, 2]


def test_truncated_normal_numbers_stay_within() -> None:
    gg.manual_seed(7)
    drawn = init.trunc_normal_(gg.empty(20_000), 1.0, 2.0, 0.0, 4.0).numpy()
    assert 0 <= drawn.min() < drawn.max() <= 4
    assert scipy_stats.kstest(drawn, scipy_stats.truncnorm(-0.5, 1.5, 1, 2).cdf).pvalue > 0.01


def test_sparse_and_dirac_weights() -> None:
    w = init.sparse_(gg.empty(10, 50), 0.25)
    assert (w.numpy() == 0).sum(0).tolist() == [math.ceil(2.5)] * 50
    image = gg.randn(2, 4, 7, 6)
    kept = F.conv2d(image, init.dirac_(gg.empty(4, 4, 3, 5)), padding=(1, 2))
    np.testing.assert_allclose(kept.numpy(), image.numpy())
    with pytest.raises(ValueError, match="groups = 3"):
        init.dirac_(gg.empty(4, 4, 3), 3)


@pytest.mark.peers
@pytest.mark.parametrize(("shape", "groups"), [((4, 2, 3), 2), ((5, 7, 2, 3), 1), ((6, 2, 3, 3, 3), 3)])
def test_dirac_is_pytorchs(shape: tuple[int, ...], groups: int, torch: object) -> None:
    ours, theirs = init.dirac_(gg.empty(*shape), groups), torch.nn.init.dirac_(torch.empty(*shape), groups)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
