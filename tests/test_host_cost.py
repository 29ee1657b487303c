"""The benchmark of the host's part runs without a driver, on CuPy's own arrays, and counts what it should."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks.gpu import host
from benchmarks.gpu.undriven import undriven, why_not


@pytest.fixture
def cupy() -> ModuleType:
    found: ModuleType = pytest.importorskip("cupy")
    if reason := why_not():
        pytest.skip(reason)
    return found


@pytest.mark.usefixtures("cupy")
def test_a_training_step_is_measured_launch_by_launch(tmp_path: Path) -> None:
    assert host.main(["--quick", "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "gpu-host.json").read_text())["calls"]
    step = record["training step 784-256-128-10"]
    assert step["launches"].count("product") == 8
    assert step["launches"][-1] == "gg_adam_f32"
    assert step["uploads"] == 0
    assert step["us"] > step["arrays_us"] > 0
    replay = record["the same compiled, a replay"]
    assert replay["launches"] == ["copy", "copy", "graph"]
    assert replay["uploads"] == 1
    assert len(record["20 elementwise"]["launches"]) == len(record["20 elementwise, backward"]["launches"]) == 20
    assert "| training step" in (tmp_path / "gpu-host.md").read_text()


def test_everything_is_as_it_was_afterwards(cupy: Any) -> None:
    import gpugrad as gg

    before = cupy.zeros, cupy.RawModule, cupy.cuda.Device, cupy.cuda.get_current_stream
    with undriven(counting=True) as counts:
        gg.relu(gg.tensor([1.0], device="cuda"))
        assert counts.launches == ["gg_relu_f32_f32_contiguous"]
        assert counts.uploads == 1
    assert (cupy.zeros, cupy.RawModule, cupy.cuda.Device, cupy.cuda.get_current_stream) == before
    with pytest.raises(gg.DeviceError):
        gg.tensor([1.0], device="cuda")


def test_where_it_cannot_be_measured_it_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(host, "why_not", lambda: "CuPy is not installed")
    assert host.main(["--quick"]) == 2
    assert capsys.readouterr().err == "benchmarks.gpu.host: not measured: CuPy is not installed\n"
