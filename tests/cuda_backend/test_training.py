"""Training on the GPU branch: the CPU's numbers, no waiting, no growth, and the command itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from tests.cuda_backend.cases import NETWORKS, OPTIMIZERS, check_training, network, training
from tests.standin import State


@pytest.mark.parametrize(("activation", "optimizer", "clip"), NETWORKS)
def test_training_gives_the_same_network_on_both_devices(
    gpu: State, activation: str, optimizer: str, clip: bool
) -> None:
    check_training(activation, optimizer, clip)


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize("clip", [False, True])
def test_a_training_step_does_not_wait_for_the_device(gpu: State, optimizer: str, clip: bool) -> None:
    _, step = training("cuda", optimizer=optimizer, clip=clip)
    step()
    gpu.clear()
    for _ in range(2):
        step()
    assert gpu.syncs == []
    assert gpu.uploads == []


def test_a_training_step_launches_few_kernels(gpu: State) -> None:
    _, step = training("cuda")
    step()
    gpu.clear()
    step()
    ours = {name.removeprefix("gg_") for name in gpu.launches}
    assert {"cross_entropy_four_f32", "cross_entropy_vjp_four_f32", "layer_norm_four_f32", "sgd_f32"} <= ours
    assert gpu.launches.count("gg_sgd_f32") == 1, "one update for all parameters"
    assert len(gpu.launches) <= 10
    assert not {"ones", "add", "sum", "divide", "true_divide", "where"} & set(gpu.calls), "nothing by CuPy's kernels"
    assert gpu.calls["cublasLt.BIAS"] == 2, "biases are added by the product"
    assert gpu.calls["cublasLt.BGRADB"] == 2, "and their gradients are summed by it"
    assert gpu.calls["cublasLt.matmul"] == 5, "two forward, three backward: the input needs no gradient"


def test_memory_does_not_grow_from_step_to_step(gpu: State) -> None:
    _, step = training("cuda", optimizer="adam")
    for _ in range(3):
        step()
    held = gpu.used_bytes[0]
    tables = []
    for _ in range(5):
        step()
        tables.append(gpu.used_bytes[0] - held)
    # A step count is uploaded for each step; they are kept for a while, 512 bytes each.
    assert max(tables) <= 5 * 3 * 512, tables


def test_gradients_of_gradients_agree(gpu: State) -> None:
    slope = gg.grad(lambda x: (gg.tanh(x) * gg.softmax(x)).sum())

    def penalty(device: str) -> Any:
        x = gg.tensor(np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), device=device)
        return gg.grad(lambda x: (slope(x) * slope(x)).sum())(x).numpy()

    np.testing.assert_allclose(penalty("cuda"), penalty("cpu"), rtol=1e-5, atol=1e-6)


def test_a_network_moves_between_devices_with_its_state(gpu: State) -> None:
    model = network("ReLU", "cuda")
    assert {str(p.device) for p in model.parameters()} == {"cuda:0"}
    saved = {name: value.cpu().numpy() for name, value in model.state_dict().items()}
    back = network("ReLU", "cpu")
    back.load_state_dict(model.state_dict())
    for name, value in back.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), saved[name])
        assert value.device == "cpu"


def test_the_command_trains_on_the_gpu(gpu: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from gpugrad.cli import main

    options = ["--epochs", "1", "--hidden", "16", "--no-plots", "--device", "cuda", "--out", str(tmp_path / "run")]
    assert main(["train", *options]) == 0
    assert gpu.launches.count("gg_cross_entropy_four_f32") > 10, "the work was done by kernels"
    written = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(written[-1])
