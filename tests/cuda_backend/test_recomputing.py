"""`checkpoint` on the GPU: random numbers come again as they were, and those outside go on."""

import numpy as np

import gpugrad as gg
from tests.standin import State


def noisy(x: gg.Tensor) -> gg.Tensor:
    noise = gg.randn(4, 8, device=x.device)
    return gg.dropout(gg.tanh(x) * (1 + noise), 0.5) * gg.rand(4, 8, device=x.device)


def test_random_numbers_of_the_first_run_are_those_of_the_second(gpu: State) -> None:
    seen = []

    def watched(x: gg.Tensor) -> gg.Tensor:
        y = noisy(x)
        seen.append(y.detach().numpy())
        return y

    gg.manual_seed(3)
    x = gg.ones(4, 8, device="cuda", requires_grad=True)
    y = gg.checkpoint(watched)(x)
    between = gg.dropout(gg.ones(4, 8, device="cuda"), 0.5).numpy()
    y.sum().backward()
    after = gg.dropout(gg.ones(4, 8, device="cuda"), 0.5).numpy()
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(between, after)
    np.testing.assert_allclose(x.grad.numpy(), y.detach().numpy() * (1 - np.tanh(1) ** 2) / np.tanh(1), rtol=1e-5)


def test_the_host_waits_for_nothing(gpu: State) -> None:
    x = gg.ones(4, 8, device="cuda", requires_grad=True)
    gpu.syncs.clear()
    gg.checkpoint(noisy)(x).sum().backward()
    assert gpu.syncs == []
