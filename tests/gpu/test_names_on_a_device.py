"""PyTorch's names, sampling and schedules on a real device: the CPU's numbers, and recorded steps like plain ones."""

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from tests.cuda_backend import test_captured_steps as captured
from tests.cuda_backend import test_torch_names_on_cuda as names
from tests.cuda_backend.test_sampling_on_cuda import draws
from tests.cuda_backend.test_torch_lines_on_cuda import run_lines

pytestmark = pytest.mark.gpu


def step(name: str, device: str) -> Any:
    at = gg.tensor([[0, 2, 1, 1], [3, 3, 3, 0], [1, 0, 2, 3]], device=device)
    return lambda x: names.CALLS[name](x, at)


@pytest.mark.parametrize("name", names.CALLS)
def test_functions_give_the_cpus_numbers_also_recorded(name: str) -> None:
    xs = [gg.arange(12.0, dtype=gg.float64).reshape(3, 4) * (0.1 + i) - 0.3 for i in range(5)]
    on_device = gg.compile(step(name, "cuda"))
    for x in xs:
        found, expected = on_device(x.cuda()).cpu(), step(name, "cpu")(x)
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-9, atol=1e-9)
    assert on_device.graphs == 1


def test_a_replay_draws_what_the_plain_step_would() -> None:
    found = []
    for run in (draws, gg.compile(draws)):
        gg.manual_seed(3)
        x = gg.tensor(np.linspace(0.1, 0.9, 40, dtype=np.float32).reshape(5, 8), device="cuda")
        found.append([run(x).tolist() for _ in range(6)])
    assert found[0] == found[1]
    assert len({tuple(numbers) for numbers in found[0]}) == 6


@pytest.mark.parametrize("kind", ["sgd", "adam", "rmsprop", "adamax", "nadam"])
def test_rate_and_momentum_move_in_recorded_steps(kind: str) -> None:
    weights = []
    for compiled in (False, True):
        w = gg.ones(300, device="cuda", requires_grad=True)
        optimizer = captured.OPTIMIZERS[kind]([w])
        schedule = gg.optim.OneCycleLR(optimizer, 0.1, 12, pct_start=0.5)

        def plain(x: Any, w: Any = w, optimizer: Any = optimizer, schedule: Any = schedule) -> None:
            optimizer.zero_grad()
            ((w - 2) ** 2 * x).sum().backward()
            optimizer.step()
            schedule.step()

        run = gg.compile(plain) if compiled else plain
        for _ in range(10):
            run(gg.ones(300, device="cuda"))
        weights.append(w.detach().cpu().numpy())
    np.testing.assert_array_equal(*weights)


@pytest.mark.filterwarnings("ignore:.*cudnn.*")
def test_the_lines_of_pytorchs_programs() -> None:
    run_lines()


def test_events_measure_what_the_device_did() -> None:
    x = gg.ones(2048, 2048, device="cuda")
    x @ x  # what is slow the first time
    start, middle, end = (gg.cuda.Event(enable_timing=True) for _ in range(3))
    start.record()
    x @ x
    middle.record()
    for _ in range(20):
        x @ x
    end.record()
    end.synchronize()
    assert 0 < start.elapsed_time(middle) < middle.elapsed_time(end)
