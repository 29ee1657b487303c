"""Attention, recurrence, embedding and resizing on the GPU branch: the CPU's numbers, and no waiting in a step."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from tests.standin import State

FEATURES, PLACES = (2, 3, 4), np.array([[0, 2, 2], [1, 1, 4]])
LAYERS: dict[str, tuple[Callable[[], nn.Module], Callable[[Any, Any], Any]]] = {
    "attention": (
        lambda: nn.TransformerEncoderLayer(4, 2, 6, dropout=0.3, batch_first=True),
        lambda m, x: m(x, is_causal=True),
    ),
    "attention with weights": (
        lambda: nn.MultiheadAttention(4, 2, batch_first=True),
        lambda m, x: m(x, x, x, x[:, :, 0].detach() > 0)[0],
    ),
    "lstm": (lambda: nn.LSTM(4, 3, bidirectional=True), lambda m, x: m(x)[0]),
    "gru with lengths": (
        lambda: nn.GRU(4, 3, batch_first=True),
        lambda m, x: m(x, lengths=gg.tensor([3, 1], device=x.device))[0],
    ),
    "resizing": (lambda: nn.Upsample(scale_factor=2, mode="linear"), lambda m, x: m(x)),
    "embedding": (
        lambda: nn.Embedding(5, 4, padding_idx=1),
        lambda m, x: x * m(gg.tensor(PLACES, device=x.device)),
    ),
}


def run(module: nn.Module, call: Callable[[Any, Any], Any], device: str) -> list[Any]:
    """The output and all gradients, on the host."""
    gg.manual_seed(3)
    values = np.random.default_rng(0).standard_normal(FEATURES).astype(np.float32)
    x = gg.tensor(values, device=device, requires_grad=True)
    y = call(module, x)
    (y * y).sum().backward()
    assert str(y.device).startswith(device)
    grads = [x.grad, *(p.grad for p in module.parameters())]
    return [y.detach().cpu().numpy(), *(g.cpu().numpy() for g in grads if g is not None)]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_gives_the_cpus_values_and_gradients(gpu: State, name: str) -> None:
    make, call = LAYERS[name]
    here = make()
    there = copy.deepcopy(here).to("cuda")
    expected, found = run(here, call, "cpu"), run(there, call, "cuda")
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", ["attention", "lstm", "resizing"])
def test_a_step_does_not_wait_for_the_device(gpu: State, name: str) -> None:
    make, call = LAYERS[name]
    module = make().to("cuda")
    x = gg.tensor(np.ones(FEATURES, np.float32), device="cuda", requires_grad=True)
    for _ in range(2):
        gpu.clear()
        call(module, x).sum().backward()
    assert gpu.syncs == []
    assert gpu.uploads == []
