"""Mixed precision on the GPU branch: the CPU's losses, no waiting with bfloat16, one wait a step with float16."""

from collections.abc import Callable

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from tests.cuda_backend.cases import network
from tests.standin import State


def training(device: str, dtype: str, clip: bool = False) -> tuple[nn.Module, Callable[[], gg.Tensor]]:
    """A network and one step of it in mixed precision."""
    rng = np.random.default_rng(0)
    x = gg.tensor(rng.standard_normal((16, 12)).astype(np.float32), device=device)
    labels = gg.tensor(rng.integers(0, 5, 16), device=device)
    model = network("ReLU", device)
    optimizer = gg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler = gg.GradScaler(enabled=dtype == "float16")

    def step() -> gg.Tensor:
        optimizer.zero_grad()
        with gg.autocast(dtype):
            loss = nn.functional.cross_entropy(model(x), labels)
        scaler.scale(loss).backward()
        if clip:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()
        return loss

    return model, step


@pytest.mark.parametrize(("dtype", "waits"), [("float16", 1), ("bfloat16", 0)])
def test_training_gives_the_cpus_losses_and_waits_as_documented(gpu: State, dtype: str, waits: int) -> None:
    pytest.importorskip("ml_dtypes")
    losses = []
    for device in ("cpu", "cuda"):
        _, step = training(device, dtype)
        step()
        gpu.clear()
        found = [step() for _ in range(2)]
        if device == "cuda":
            assert len(gpu.syncs) == 2 * waits
            assert gpu.uploads == []
        losses.append([loss.item() for loss in found])
    np.testing.assert_allclose(losses[1], losses[0], rtol=3e-2)


def test_taking_the_scale_off_and_clipping_are_one_launch_each(gpu: State) -> None:
    _, step = training("cuda", "float16", clip=True)
    step()
    gpu.clear()
    step()
    assert gpu.launches.count("gg_scale_f32") == 2, "one for the scale, one for the clipping"
    assert gpu.launches.count("gg_norm_partials_f32") == 2
    assert gpu.launches.count("gg_sgd_f32") == 1


def test_an_overflow_on_the_device_skips_the_step(gpu: State) -> None:
    w = gg.zeros(3, device="cuda", requires_grad=True)
    optimizer, scaler = gg.optim.SGD([w], lr=1.0), gg.GradScaler(init_scale=4.0)
    for bad, want, scale in ((np.inf, 0.0, 2.0), (1.0, -0.5, 2.0)):
        w.grad = gg.tensor(np.array([1.0, bad, 1.0], np.float32), device="cuda")
        scaler.step(optimizer)
        scaler.update()
        np.testing.assert_array_equal(w.detach().numpy(), want)
        assert scaler.get_scale() == scale
