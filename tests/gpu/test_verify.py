"""The one call that a session with a GPU makes (`benchmarks.gpu.verify`), rehearsed without one."""

import json
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu import verify
from tests.cuda.hostexec import missing_compiler


@pytest.mark.skipif(missing_compiler() is not None, reason=str(missing_compiler()))
def test_a_rehearsal_writes_the_folder(tmp_path: Path) -> None:
    code = verify.main([str(tmp_path), "--rehearse", "--select", "test_scatter_add and number", "--suites", ""])
    results = json.loads((tmp_path / "results.json").read_text())
    assert code == 0, (tmp_path / "tests.txt").read_text()
    assert (results["tests"]["passed"], results["tests"]["failed"]) == (3, 0)
    assert "tests: 3 passed, 0 failed" in (tmp_path / "summary.txt").read_text()


def test_a_failure_is_told_by_name(tmp_path: Path) -> None:
    report = tmp_path / "tests.xml"
    report.write_text('<x><testcase classname="a" name="b"><failure>2 != 3</failure></testcase><testcase/></x>')
    found = verify._counted(report)
    assert (found["passed"], found["failed"]) == (1, 1)
    assert found["failures"] == [{"test": "a::b", "error": "2 != 3"}]


def test_what_takes_too_long_is_cut_off_with_all_that_it_started(tmp_path: Path) -> None:
    late = tmp_path / "late"
    child = f"import time, pathlib; time.sleep(3); pathlib.Path({str(late)!r}).touch()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with (tmp_path / "log").open("w+") as log:
        found = verify.run([sys.executable, "-c", parent], log, 1.0)
        assert found["cut_off"]
        assert "cut off after 1 s" in Path(log.name).read_text()
    time.sleep(3)
    assert not late.exists()


def test_without_a_device_it_ends_with_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify, "missing_device", lambda: "there is none")
    assert verify.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == "benchmarks.gpu.verify: no CUDA device answers: there is none\n"
