"""Sampling on the GPU branch: it does not wait, and a recorded step draws anew in each replay."""

from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad.nn import functional as F
from tests.standin import State


def draws(x: Any) -> Any:
    return gg.cat(
        [
            gg.bernoulli(x).reshape(-1),
            gg.multinomial(x, 2).reshape(-1).float(),
            gg.multinomial(x, 3, replacement=True).reshape(-1).float(),
            F.gumbel_softmax(x, hard=True).reshape(-1),
            gg.empty_like(x).exponential_().reshape(-1),
        ]
    )


def test_nothing_waits(gpu: State) -> None:
    x = gg.full((20, 8), 0.5, device="cuda")
    draws(x)
    gpu.clear()
    found = draws(x)
    assert gpu.syncs == []
    assert np.isfinite(found.numpy()).all()


def test_a_replay_draws_what_the_plain_step_would(gpu: State) -> None:
    found = []
    for step in (draws, gg.compile(draws)):
        gg.manual_seed(3)
        x = gg.tensor(np.linspace(0.1, 0.9, 40, dtype=np.float32).reshape(5, 8), device="cuda")
        found.append([step(x).tolist() for _ in range(6)])
        if step is not draws:
            assert step.graphs == 1  # type: ignore[attr-defined]
    assert found[0] == found[1]
    assert len({tuple(numbers) for numbers in found[0]}) == 6


def test_a_state_is_restored(gpu: State) -> None:
    state = gg.get_rng_state("cuda")
    first = gg.rand(3, device="cuda").tolist()
    gg.set_rng_state(state, "cuda")
    assert gg.rand(3, device="cuda").tolist() == first
