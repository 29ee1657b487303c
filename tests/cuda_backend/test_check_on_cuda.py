"""`gpugrad check --device cuda` and `gpugrad info` on the stand-in: so that their first run on a device works."""

import json
from pathlib import Path

import pytest

from gpugrad.cli import check, main
from tests.standin import State

ONLY = "^(add|gelu_erf|softmax|layer_norm|cross_entropy|matmul.*|linear|conv|getitem|sum|max_pool|dropout|norm)$"


def test_the_check_runs_on_the_gpu_and_agrees(
    gpu: State, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(check.ELEMENTS, "cuda", 1 << 12)
    out = tmp_path / "check.json"
    code = main(["check", "--device", "cuda", "--only", ONLY, "--verbose", "--json", str(out)])
    text = capsys.readouterr().out
    assert code == 0, text
    assert "cuda:0: 15 of 15 operations agree" in text
    assert any(name.startswith("gg_softmax") for name in gpu.launches)
    assert {b["name"] for b in json.loads(out.read_text())["bandwidth"]} >= {"copy", "bias gradient", "max of rows"}


def test_info_names_the_gpu_and_its_libraries(gpu: State, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["found"]
    assert {"cuda:0", "CUDA driver", "CUDA runtime", "cuBLASLt", "convolutions", "NCCL"} <= found.keys(), found
    assert "Stand-in GPU 0" in found["cuda:0"]
