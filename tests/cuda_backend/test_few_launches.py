"""How much a step of common programs asks of a GPU: kernels, products and CuPy's functions cannot grow unseen."""

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from tests.standin import State

LENGTH, BATCH, WIDTH = 6, 3, 8


def asked(gpu: State) -> tuple[int, int, dict[str, int]]:
    """Launches of our kernels, products, and what was called of CuPy."""
    calls = {name: n for name, n in gpu.calls.items() if not name.startswith("cublasLt")}
    return len(gpu.launches), gpu.calls["cublasLt.matmul"], calls


@pytest.mark.parametrize(
    ("kind", "forward", "backward"),
    [("LSTM", (25, 14), (19, 17)), ("GRU", (19, 14), (21, 17)), ("RNN", (21, 14), (17, 17))],
)
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_step_in_time_is_a_product_and_a_formula_each_way(
    gpu: State, kind: str, forward: tuple[int, int], backward: tuple[int, int], batch_first: bool
) -> None:
    """Two layers: of 6 steps each, 12 formulas and 12 products, and what a layer does once."""
    layers = getattr(nn, kind)(WIDTH, WIDTH, 2, batch_first=batch_first).to("cuda")
    x = gg.tensor(
        np.zeros((BATCH, LENGTH, WIDTH) if batch_first else (LENGTH, BATCH, WIDTH), np.float32), device="cuda"
    )
    for _ in range(2):
        layers.zero_grad()
        gpu.clear()
        y = layers(x)[0].sum()
        ahead = asked(gpu)
        gpu.clear()
        y.backward()
        behind = asked(gpu)
    assert ahead == (*forward, {})
    assert behind == (backward[0] + batch_first, backward[1], {"broadcast_to": 1})
    assert gpu.syncs == gpu.uploads == []
