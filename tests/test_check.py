"""`gpugrad check` and `gpugrad info --json`: every operation has a case, agreement, files, exit codes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpugrad.cli import check, main
from gpugrad.cli.check_cases import ELSEWHERE, Case, cases
from gpugrad.cost.instruments import observed_by
from gpugrad.primitive import ELEMENTWISE, REGISTRY
from tests.ops import table


class Names:
    """An observer that notes which operations ran."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def operation(self, op: Any, args: Any, call: Any, static: Any) -> Any:
        self.seen.add(op.name)
        return call()

    def module(self, module: Any, call: Any) -> Any:
        return call()

    def walk(self, roots: Any, run: Any) -> None:
        run()

    def passed(self, node: Any) -> None:
        pass


def test_every_registered_operation_has_a_case_or_a_reason() -> None:
    assert table.rows(), "every module of operations is imported"
    names = Names()
    with observed_by(names):
        for case in cases(200):
            check.outcome(case, "cpu")
    missing = set(REGISTRY) - names.seen
    assert missing == set(ELSEWHERE)
    assert ELEMENTWISE.keys() <= {case.name for case in cases(200)}


def test_the_compiled_loops_agree_with_numpys(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("numba")
    out = tmp_path / "check.json"
    only = "^(relu|tanh|softmax|layer_norm|matmul|conv|sum)$"
    code = main(["check", "--device", "cpu", "--only", only, "--no-bandwidth", "--verbose", "--json", str(out)])
    text = capsys.readouterr().out
    assert code == 0, text
    assert "cpu: 7 of 7 operations agree" in text
    values = json.loads(out.read_text())
    assert [o["name"] for o in values["operations"]] == [
        "relu",
        "tanh",
        "matmul",
        "conv",
        "softmax",
        "layer_norm",
        "sum",
    ]
    assert values["about"]["NumPy"].startswith(np.__version__)
    assert all(o["forward"] < check.TOLERANCE for o in values["operations"])


def test_a_wrong_operation_is_named_and_ends_in_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpugrad.backend import cpu_rows

    right = cpu_rows.softmax_vjp
    calls = []

    def wrong(g: Any, y: Any) -> Any:
        calls.append(1)
        return right(g, y) + (0.01 if len(calls) % 2 else 0)

    monkeypatch.setattr(cpu_rows, "softmax_vjp", wrong)
    assert main(["check", "--device", "cpu", "--only", "^(softmax|relu)$", "--no-bandwidth"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "WRONG" in line]
    assert len(lines) == 1
    assert lines[0].startswith("softmax")


def test_an_operation_that_raises_is_reported_not_raised() -> None:
    def broken(x: Any) -> Any:
        raise RuntimeError("it\nbroke")

    found = check.compared(Case("broken", broken, (np.ones(2, np.float32),)), "cpu")
    assert not found.ok
    assert found.error == "RuntimeError: it broke"


def test_deviation_sees_shapes_types_nans_and_scale() -> None:
    a = np.array([1.0, 100.0, np.nan], np.float32)
    assert check.deviation(a, a) == 0
    assert check.deviation(a[:2], a) == np.inf
    assert check.deviation(a.astype(np.float64), a) == np.inf
    assert check.deviation(np.nan_to_num(a), a) == np.inf
    assert check.deviation(a + np.float32(1), a) == pytest.approx(0.01)


def test_bandwidth_is_next_to_a_copys() -> None:
    found = check.bandwidths("cpu", 1 << 16)
    assert found[0].name == "copy"
    assert found[0].share_of_copy == 1
    assert all(b.bytes_per_s > 0 for b in found)
    assert {"relu", "softmax", "layer norm", "cross entropy", "gelu backward"} <= {b.name for b in found}


def test_a_device_or_a_name_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--device", "cpu", "--only", "no such operation"]) == 1
    assert "argument --only" in capsys.readouterr().err
    assert main(["check", "--device", "tpu"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_info_as_json_has_what_is_found_and_the_commands_for_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpugrad.cli.info._version", lambda distribution: None)
    assert main(["info", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert {"gpugrad", "Python", "NumPy", "threads", "CuPy"} <= values["found"].keys()
    assert 'pip install "gpugrad[cpu]"' in [m["command"] for m in values["missing"]]
