"""`gg.tape_memory` of functions that pick elements by arrays of integers, against what NumPy then allocates."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from tests.cost.test_ledger import measured, plain_memory

F = gg.nn.functional
__all__ = ["plain_memory"]  # the fixture
RNG = np.random.default_rng(0)
IMAGES, PLACES = gg.randn(4, 16, 32, 32, requires_grad=True), gg.rand(4, 40, 40, 2, requires_grad=True)
ROWS, NUMBERS, BAGS = gg.randn(500, 64, requires_grad=True), RNG.integers(0, 500, 4000), np.arange(0, 4000, 10)
SCORES, LABELS = gg.randn(60, 16, 40, requires_grad=True), RNG.integers(1, 40, (16, 12))
TIMES, COUNTS = np.full(16, 60), np.full(16, 12)
STEPS: dict[str, tuple[Callable[[], Any], list[gg.Tensor]]] = {
    "bilinear": (lambda: F.grid_sample(IMAGES, PLACES).sum(), [IMAGES, PLACES]),
    "bicubic": (lambda: F.grid_sample(IMAGES, PLACES, "bicubic").sum(), [IMAGES, PLACES]),
    "bags": (lambda: F.embedding_bag(NUMBERS, ROWS, BAGS).sum(), [ROWS]),
    "embedding": (lambda: F.embedding(NUMBERS, ROWS).sum(), [ROWS]),
    "ctc": (lambda: F.ctc_loss(F.log_softmax(SCORES, -1), LABELS, TIMES, COUNTS), [SCORES]),
}


@pytest.mark.usefixtures("plain_memory")
@pytest.mark.parametrize("compiled", ["1", "0"], ids=["with Numba", "NumPy alone"])
@pytest.mark.parametrize("name", STEPS)
def test_peak_is_within_five_percent(name: str, compiled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if compiled == "1":
        pytest.importorskip("numba", reason="Numba is not installed")
    monkeypatch.setenv("GPUGRAD_NUMBA", compiled)
    step, leaves = STEPS[name]
    predicted, (peak, _, _) = gg.tape_memory(step).peak_bytes, measured(step, leaves)
    assert abs(predicted - peak) <= 0.05 * peak
