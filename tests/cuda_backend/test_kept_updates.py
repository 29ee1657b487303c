"""What an update on a GPU keeps for the next one of the same lists: never what has changed since."""

from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad.backend import Fixed, backend_for
from tests.standin import State


def network(device: str) -> Any:
    return [gg.tensor(np.ones(shape, np.float32), device=device, requires_grad=True) for shape in ((4, 6), (6,))]


def test_gradients_that_lie_otherwise_or_have_another_place_are_read_where_they_are(
    gpu: State, rng: np.random.Generator
) -> None:
    steps = [rng.standard_normal((4, 6)).astype(np.float32) for _ in range(4)]
    found = []
    for device in ("cpu", "cuda"):
        w, b = network(device)
        optimizer, kept = gg.optim.Adam([w, b], lr=0.1), []
        for i, g in enumerate(steps):
            turned = gg.tensor(np.ascontiguousarray(g.T), device=device).T  # in the other memory order
            w.grad = turned if i % 2 else gg.tensor(g, device=device)
            b.grad = gg.tensor(g[0].copy(), device=device)
            kept.append((w.grad, b.grad))  # so that each step's gradients have addresses of their own
            optimizer.step()
        found.append([p.detach().numpy() for p in (w, b)])
    for have, want in zip(found[1], found[0], strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5)


def test_other_states_beside_the_same_parameters_are_the_ones_that_change(gpu: State) -> None:
    cuda = backend_for("cuda")

    def arrays(value: float) -> list[Any]:
        return [cuda.from_host(np.full(5, value, np.float32))]

    params, grads, first, second = Fixed(arrays(0.0)), arrays(1.0), arrays(1.0), arrays(1.0)
    for buffers in (first, first, second):
        cuda.optim.sgd(params, grads, buffers, lr=1.0, momentum=0.5)
    assert [first[0].get()[0], second[0].get()[0]] == [1.75, 1.5]
    assert params[0].get().tolist() == [-4.75] * 5


def test_an_update_goes_on_with_another_rate(gpu: State) -> None:
    w = gg.zeros(3, device="cuda", requires_grad=True)
    optimizer = gg.optim.SGD([w], lr=1.0)
    for rate in (1.0, 0.5, 0.25):
        optimizer.param_groups[0]["lr"] = rate
        w.grad = gg.ones(3, device="cuda")
        optimizer.step()
    assert w.detach().tolist() == [-1.75] * 3
