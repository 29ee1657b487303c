"""What gpugrad says about GPUs: where there is none, where there is one, and what GPUGRAD_DEVICE chooses."""

import importlib.metadata
import os
import subprocess
import sys
import types
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.cuda
from gpugrad import backend
from gpugrad.backend import cuda_probe
from tests.standin import State


def pretend(monkeypatch: pytest.MonkeyPatch, devices: int | None, cupy: bool = True, major: int | None = 12) -> None:
    monkeypatch.setattr(cuda_probe, "driver_device_count", lambda: devices)
    monkeypatch.setattr(cuda_probe, "cupy_installed", lambda: cupy)
    monkeypatch.setattr(cuda_probe, "driver_cuda_major", lambda: major)


def refusal(where: str = "cuda") -> str:
    with pytest.raises(gg.DeviceError) as error:
        gg.zeros(3, device=where)
    return str(error.value)


def test_without_a_driver_the_error_names_it_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, None)
    message = refusal()
    assert message.startswith("[device] cuda:0 cannot be used: no NVIDIA driver (libcuda.so.1 not found)")
    assert "sudo apt install nvidia-driver" in message
    assert "--gpus all" in message
    assert "device='cpu'" in message


def test_a_driver_without_devices_points_at_nvidia_smi(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 0)
    assert "nvidia-smi" in refusal()
    assert "CUDA_VISIBLE_DEVICES" in refusal()


@pytest.mark.parametrize(("major", "extra"), [(12, "cuda12"), (13, "cuda13"), (None, "cuda12")])
def test_without_cupy_the_error_gives_the_extra_of_the_drivers_version(
    monkeypatch: pytest.MonkeyPatch, major: int | None, extra: str
) -> None:
    pretend(monkeypatch, 1, cupy=False, major=major)
    assert f'pip install "gpugrad[{extra}]"' in refusal()


def fake_cupy(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    module = types.ModuleType("cupy")
    module.__version__ = version  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", module)


def test_an_old_cupy_is_refused_by_version(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 1)
    fake_cupy(monkeypatch, "13.6.0")
    assert "CuPy 13.6.0 is too old, gpugrad needs 14 or later" in refusal()


def test_a_cupy_that_does_not_import_shows_its_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 1)
    monkeypatch.setitem(sys.modules, "cupy", None)  # type: ignore[arg-type]
    message = refusal()
    assert "CuPy is installed but does not import" in message
    assert "--force-reinstall" in message


def test_a_number_out_of_range_lists_the_devices_that_there_are(two_gpus: State) -> None:
    message = refusal("cuda:5")
    assert "cuda:5 is not there: 2 GPUs found (cuda:0 to cuda:1)" in message
    assert "CUDA_VISIBLE_DEVICES" in message


def test_the_queries_answer_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, None)
    assert not gg.cuda.is_available()
    assert gg.cuda.device_count() == 0
    assert "no NVIDIA driver" in gg.cuda.why_unavailable()
    gg.cuda.empty_cache()
    with pytest.raises(gg.DeviceError, match="no NVIDIA driver"):
        gg.cuda.synchronize()


def test_the_queries_answer_with_a_gpu(two_gpus: State) -> None:
    assert gg.cuda.is_available()
    assert gg.cuda.device_count() == 2
    assert gg.cuda.why_unavailable() == ""
    assert gg.cuda.current_device() == 0
    assert gg.cuda.get_device_name(1) == "Stand-in GPU 1"
    assert gg.cuda.get_device_capability("cuda:1") == (9, 0)
    gg.cuda.set_device(1)
    assert gg.cuda.current_device() == 1
    with pytest.raises(gg.DeviceError, match="is no GPU"):
        gg.cuda.get_device_name("cpu")


def test_synchronize_waits_once(gpu: State) -> None:
    gg.cuda.synchronize()
    assert gpu.syncs == ["Device.synchronize"]


def test_memory_statistics_follow_what_is_alive(gpu: State) -> None:
    before = gg.cuda.memory_stats()
    x = gg.zeros(1000, device="cuda")
    during = gg.cuda.memory_stats()
    assert during.in_use_bytes == before.in_use_bytes + 4096
    assert during.total_bytes - during.free_bytes == during.in_use_bytes
    del x
    assert gg.cuda.memory_stats().in_use_bytes == before.in_use_bytes


@pytest.mark.parametrize(
    ("value", "devices", "expected"),
    [("auto", 1, "cuda:0"), ("auto", None, "cpu"), ("cpu", 1, "cpu"), ("cuda", 1, "cuda:0"), ("cuda:1", 2, "cuda:1")],
)
def test_the_environment_chooses_the_default_device(
    monkeypatch: pytest.MonkeyPatch, value: str, devices: int | None, expected: str
) -> None:
    pretend(monkeypatch, devices)
    assert str(backend._from_environment(value)) == expected


def test_a_misspelled_device_in_the_environment_is_an_error() -> None:
    with pytest.raises(gg.DeviceError, match="'gpu' names no device"):
        backend._from_environment("gpu")


def test_new_tensors_go_to_the_default_device(gpu: State) -> None:
    gg.set_default_device("cuda")
    assert gg.zeros(2).device == "cuda:0"
    assert gg.tensor([1.0, 2.0]).device == "cuda:0"
    assert gg.randn(3).device == "cuda:0"
    assert gg.tensor(np.ones(2)).device == "cpu", "an array stays where it is"


def test_a_default_device_that_is_not_there_is_refused_and_the_old_one_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, None)
    before = backend.default_device()
    with pytest.raises(gg.DeviceError):
        gg.set_default_device("cuda")
    assert backend.default_device() == before


@pytest.mark.skipif(cuda_probe.driver_device_count() is not None, reason="this machine has an NVIDIA driver")
@pytest.mark.parametrize("value", ["auto", "cuda"])
def test_a_real_machine_without_a_driver(value: str) -> None:
    """Nothing is faked here: the driver is looked for and not found, and CuPy is not imported for that."""
    program = (
        "import sys, gpugrad as gg\n"
        "try: print(gg.zeros(1).device)\n"
        "except gg.DeviceError as error: print(error)\n"
        "print('cupy' in sys.modules)"
    )
    environment = {**os.environ, "GPUGRAD_DEVICE": value}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    said, imported = done.stdout.splitlines()
    assert said == "cpu" if value == "auto" else said.startswith("[device] cuda:0 cannot be used: no NVIDIA driver")
    assert imported == "False"


def test_seeding_makes_the_devices_numbers_repeat(gpu: State) -> None:
    def draw() -> list[Any]:
        return [
            gg.rand(4, device="cuda").numpy(),
            gg.randn(3, device="cuda").numpy(),
            gg.randperm(9, device="cuda").numpy(),
        ]

    gg.manual_seed(5)
    first = draw()
    gg.manual_seed(5)
    for a, b in zip(first, draw(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert sorted(first[2]) == list(range(9))


def test_random_numbers_have_the_dtype_and_range_asked_for(gpu: State) -> None:
    halves = gg.uniform(2.0, 3.0, (50,), dtype=np.float16, device="cuda")
    assert halves.dtype == np.float16
    assert 2.0 <= halves.numpy().min() <= halves.numpy().max() <= 3.0
    whole = gg.randint(-2, 3, (100,), device="cuda", dtype=np.int32)
    assert whole.dtype == np.int32
    assert set(whole.numpy().tolist()) == {-2, -1, 0, 1, 2}
    assert abs(gg.normal(10.0, 0.1, (100,), device="cuda").numpy().mean() - 10.0) < 0.1


@pytest.mark.parametrize(("package", "major"), [("cupy-cuda12x", 12), ("cupy-cuda13x", 13), ("none", 13)])
def test_libraries_beside_cupy_are_for_its_own_cuda(package: str, major: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name != package:
            raise importlib.metadata.PackageNotFoundError(name)
        return "14.2.0"

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(cuda_probe, "driver_cuda_major", lambda: 13)  # newer drivers run older versions too
    assert cuda_probe.cuda_major() == major
