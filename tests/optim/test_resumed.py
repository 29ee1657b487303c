"""Training that goes on from a saved state: the same bits as training that was never interrupted."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn, optim

OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "SGD": lambda ps: optim.SGD(ps, lr=0.01, momentum=0.9, weight_decay=0.1),
    "AdamW": lambda ps: optim.AdamW(ps, lr=0.01, weight_decay=0.1),
    "RMSprop": lambda ps: optim.RMSprop(ps, lr=0.01, momentum=0.5),
}


def network() -> nn.Sequential:
    gg.manual_seed(3)
    return nn.Sequential(nn.Linear(256, 300), nn.Tanh(), nn.Linear(300, 7))


def train(model: nn.Sequential, optimizer: optim.Optimizer, steps: range) -> None:
    for step in steps:
        rng = np.random.default_rng(step)
        x, y = gg.tensor(rng.standard_normal((16, 256)), dtype=np.float32), gg.tensor(rng.integers(0, 7, 16))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumed_run_has_the_bits_of_one_that_went_on(name: str) -> None:
    model = network()
    optimizer = OPTIMIZERS[name](model.parameters())
    train(model, optimizer, range(3))
    saved = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    held = optimizer.state_dict()
    held["state"] = {  # files hold arrays in C order
        k: {n: v if isinstance(v, int) else np.ascontiguousarray(v.numpy()) for n, v in entry.items()}
        for k, entry in held["state"].items()
    }
    held = pickle.loads(pickle.dumps(held))
    train(model, optimizer, range(3, 8))

    other = network()
    other.load_state_dict(saved)
    resumed = OPTIMIZERS[name](other.parameters())
    resumed.load_state_dict(held)
    for p, state in resumed.state.items():
        assert all(v.data.strides == p.data.strides for v in state.values() if isinstance(v, gg.Tensor))
    train(other, resumed, range(3, 8))
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
