"""The benchmark of the host's part runs without a driver, on CuPy's own arrays, and counts what it should."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from benchmarks.gpu import host
from benchmarks.gpu.undriven import undriven, why_not
from gpugrad.nn import functional as F


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
    before = cupy.zeros, cupy.RawModule, cupy.cuda.Device, cupy.cuda.get_current_stream
    with undriven(counting=True) as counts:
        gg.relu(gg.tensor([1.0], device="cuda"))
        assert counts.launches == ["gg_relu_f32_f32_contiguous"]
        assert counts.uploads == 1
    assert (cupy.zeros, cupy.RawModule, cupy.cuda.Device, cupy.cuda.get_current_stream) == before
    with pytest.raises(gg.DeviceError):
        gg.tensor([1.0], device="cuda")


def _zeros(*shape: int, dtype: str = "float32") -> gg.Tensor:
    return gg.tensor(np.zeros(shape, dtype), device="cuda", requires_grad=dtype != "int64")


# What training does besides layers, and how many launches that is, forward and backward.
MOVES: dict[str, tuple[Callable[[], list[gg.Tensor]], Callable[..., gg.Tensor], int, int]] = {
    "sum": (lambda: [_zeros(200, 128)], gg.sum, 2, 1),
    "sum of rows": (lambda: [_zeros(200, 128)], lambda x: x.sum(1), 1, 1),
    "mean": (lambda: [_zeros(200, 128)], gg.mean, 2, 2),
    "mean of squares": (lambda: [_zeros(200, 128)], lambda x: (x * x).mean(), 3, 3),
    "max": (lambda: [_zeros(200, 128)], lambda x: gg.max(x, 1), 1, 2),
    "norm": (lambda: [_zeros(200, 128)], lambda x: gg.norm(x, axis=1), 3, 2),
    "slice": (lambda: [_zeros(200, 128)], lambda x: x[10:50, 3:], 0, 2),
    "halves and back": (lambda: [_zeros(200, 128)], lambda x: x.to("float16"), 1, 1),
    "clone": (lambda: [_zeros(200, 128)], gg.clone, 1, 1),
    "contiguous": (lambda: [_zeros(200, 128)], lambda x: x.T.contiguous(), 1, 1),
    "heads": (lambda: [_zeros(2, 10, 4, 16)], lambda x: x.transpose(0, 2, 1, 3).reshape(8, 160), 1, 1),
    "concatenate": (lambda: [_zeros(20, 8), _zeros(30, 8)], lambda a, b: gg.concatenate([a, b]), 1, 2),
    "stack": (lambda: [_zeros(20, 8), _zeros(20, 8)], lambda a, b: gg.stack([a, b], -1), 1, 2),
    "pad": (lambda: [_zeros(20, 8)], lambda x: F.pad(x, (1, 1)), 2, 1),
    "where": (lambda: [_zeros(20, 8), _zeros(20, 8)], lambda a, b: gg.where(a > 0, a, b), 2, 1),
    "clip": (lambda: [_zeros(20, 8)], lambda x: gg.clip(x, -1, 1), 1, 1),
    "add": (lambda: [_zeros(20, 8), _zeros(20, 8)], lambda a, b: a + b, 1, 2),
    "attention": (lambda: [_zeros(2, 4, 8, 16) for _ in "qkv"], F.scaled_dot_product_attention, 4, 9),
    "group norm": (lambda: [_zeros(2, 8, 6, 6), _zeros(8), _zeros(8)], lambda x, w, b: F.group_norm(x, 2, w, b), 3, 9),
}  # fmt: skip


@pytest.mark.usefixtures("cupy")
@pytest.mark.parametrize("name", MOVES)
def test_what_moves_elements_asks_cupy_for_no_kernel_of_its_own(name: str) -> None:
    """CuPy's own kernels fail here for want of a driver."""
    made, call, forward, backward = MOVES[name]
    with undriven(counting=True) as counts:
        operands = made()
        for _ in range(2):
            counts.clear()
            y = call(*operands)
            ahead, g = len(counts.launches), gg.tensor(np.zeros(y.shape, y.dtype), device="cuda")
            counts.clear()
            y.backward(g)
            behind = len(counts.launches)
            for x in operands:
                x.grad = None
    assert (ahead, behind) == (forward, backward)


def test_where_it_cannot_be_measured_it_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(host, "why_not", lambda: "CuPy is not installed")
    assert host.main(["--quick"]) == 2
    assert capsys.readouterr().err == "benchmarks.gpu.host: not measured: CuPy is not installed\n"
