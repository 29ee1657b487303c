"""L-BFGS on the GPU branch: the CPU's steps; a step that is to be recorded is run as it is, and says why."""

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from tests.standin import State


class Fit:
    """A logistic regression of a few points."""

    def __init__(self, device: str, line_search: str | None) -> None:
        rng = np.random.default_rng(0)
        self.x = gg.tensor(rng.standard_normal((12, 3)).astype(np.float32), device=device)
        self.y = gg.tensor((rng.random(12) > 0.5).astype(np.float32), device=device)
        self.w = gg.zeros(3, device=device, requires_grad=True)
        self.b = gg.zeros(1, device=device, requires_grad=True)
        self.optimizer = gg.optim.LBFGS([self.w, self.b], lr=0.5, max_iter=5, line_search_fn=line_search)

    def closure(self) -> gg.Tensor:
        self.optimizer.zero_grad()
        loss = gg.nn.functional.binary_cross_entropy_with_logits(self.x @ self.w + self.b, self.y)
        loss = loss + 0.1 * (self.w * self.w).sum()
        loss.backward()
        return loss

    def step(self) -> Any:
        return self.optimizer.step(self.closure).detach()

    def weights(self) -> np.ndarray:
        return np.concatenate([self.w.detach().numpy(), self.b.detach().numpy()])


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_steps_are_the_cpus(gpu: State, line_search: str | None) -> None:
    here, there = Fit("cpu", line_search), Fit("cuda", line_search)
    for _ in range(3):
        assert there.step().item() == pytest.approx(here.step().item(), rel=1e-4)
    np.testing.assert_allclose(there.weights(), here.weights(), rtol=1e-3, atol=1e-4)
    again = gg.optim.LBFGS([there.w, there.b])
    again.load_state_dict(here.optimizer.state_dict())  # from the CPU's memory to the GPU's
    assert again.state[there.w]["d"].device == there.w.device


def test_a_step_that_cannot_be_recorded_says_why_and_is_taken(gpu: State) -> None:
    plain, compiled = Fit("cuda", "strong_wolfe"), Fit("cuda", "strong_wolfe")
    step = gg.compile(compiled.step)

    def both() -> None:
        for _ in range(6):
            plain.step()
            step()

    with pytest.warns(RuntimeWarning, match="it takes a step of LBFGS, which reads the loss"):
        both()
    np.testing.assert_array_equal(compiled.weights(), plain.weights())
