"""Cross entropy's mean on a GPU: its own kernels, held against float64 and PyTorch; how much is launched for it."""

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F
from tests.standin import State

torch = pytest.importorskip("torch")


def given(rng: np.random.Generator, rows: int, classes: int, weighted: bool) -> tuple[Any, Any, Any]:
    x, labels = rng.standard_normal((rows, classes)).astype(np.float32), rng.integers(0, classes, rows)
    labels[:: max(2, rows // 3)] = 1  # ignored
    return x, labels, rng.uniform(0.5, 2, classes).astype(np.float32) if weighted else None


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [5, 700, 8193])  # a block of 256 threads, of 1024, several blocks
def test_it_is_pytorchs(gpu: State, rng: np.random.Generator, rows: int, weighted: bool, smoothing: float) -> None:
    x, labels, weight = given(rng, rows, 4, weighted)
    theirs = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    options = {"ignore_index": 1, "label_smoothing": smoothing}
    w = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    wanted = torch.nn.functional.cross_entropy(theirs, torch.tensor(labels), w, **options)
    wanted.backward()
    ours = gg.tensor(x, device="cuda", requires_grad=True)
    on_gpu = None if weight is None else gg.tensor(weight, device="cuda")
    loss = F.cross_entropy(ours, gg.tensor(labels, device="cuda"), on_gpu, **options)
    loss.backward()
    assert loss.shape == ()
    assert loss.dtype == np.float32
    np.testing.assert_allclose(loss.item(), wanted.item(), rtol=2e-6)
    assert ours.grad is not None
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=2e-5, atol=1e-9)


def test_the_mean_over_nothing_is_nan_and_a_wrong_label_makes_it_nan(gpu: State) -> None:
    x = gg.zeros(3, 2, device="cuda")
    for labels in ([-100, -100, -100], [0, 1, 2]):
        loss = F.cross_entropy(x, gg.tensor(np.array(labels), device="cuda"))
        assert np.isnan(loss.item()), labels


def test_losses_in_half_precision_are_added_up_in_float32(gpu: State) -> None:
    x = np.zeros((4000, 2), np.float16)
    x[:, 0] = 60  # a loss of 60 each: their sum is beyond float16
    loss = F.cross_entropy(gg.tensor(x, device="cuda"), gg.ones(4000, dtype="int64", device="cuda"))
    assert loss.dtype == np.float16
    assert loss.item() == 60


def test_two_launches_forward_one_backward_and_nothing_of_cupys(gpu: State, rng: np.random.Generator) -> None:
    x, labels, _ = given(rng, 16, 4, False)
    logits, target = gg.tensor(x, device="cuda", requires_grad=True), gg.tensor(labels, device="cuda")
    gpu.clear()
    loss = F.cross_entropy(logits, target)
    assert [n.removeprefix("gg_") for n in gpu.launches] == ["cross_entropy_four_f32", "loss_mean_f32"]
    loss.backward()
    assert len(gpu.launches) == 4
    assert gpu.launches[-1] == "gg_cross_entropy_vjp_four_f32"
    assert set(gpu.calls) <= {"ascontiguousarray"}
    assert not gpu.syncs
