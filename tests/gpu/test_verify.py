"""The one call that a session with a GPU makes (`benchmarks.gpu.verify`), rehearsed without one."""

import json
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu import shards, verify
from tests.cuda.hostexec import missing_compiler


@pytest.mark.skipif(missing_compiler() is not None, reason=str(missing_compiler()))
def test_a_rehearsal_writes_the_folder(tmp_path: Path) -> None:
    code = verify.main([str(tmp_path), "--rehearse", "--select", "test_scatter_add and number", "--suites", ""])
    results = json.loads((tmp_path / "results.json").read_text())
    assert code == 0, (tmp_path / "tests.txt").read_text()
    assert (results["tests"]["passed"], results["tests"]["failed"]) == (3, 0)
    assert list(results["check"]["deviations"]) == ["relu"]
    assert len(list(tmp_path.iterdir())) <= 7, "some machines return few files"
    assert "tests: 3 passed, 0 failed" in (tmp_path / "summary.txt").read_text()


TESTS = """
import os, signal, sys, time, types
import pytest

def device(error):
    def synchronize():
        if error:
            raise RuntimeError(error)
    module = types.ModuleType("cupy")
    module.cuda = types.SimpleNamespace(Device=lambda: types.SimpleNamespace(synchronize=synchronize))
    sys.modules["cupy"] = module

pytestmark = pytest.mark.gpu

def test_good(): pass
def test_wrong(): assert 2 == 3
def test_that_crashes(): os.kill(os.getpid(), signal.SIGSEGV)
def test_between(): pass
def test_that_breaks_the_device(): device("cudaErrorIllegalAddress")
def test_that_hangs(): time.sleep(60)
@pytest.mark.skip(reason="")
def test_left_out(): pass
def test_last(): pass
"""


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_a_test_that_crashes_hangs_or_breaks_the_device_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu")
    monkeypatch.setattr(shards, "_LONGEST", 6.0)
    given = [str(tmp_path / "test_some.py"), "-q", "-c", str(tmp_path / "pytest.ini"), "-p", "no:cacheprovider"]
    with (tmp_path / "log").open("w") as log:
        found = shards.run(given, count, tmp_path, log, 60.0)
    assert (found["passed"], found["failed"], found["skipped"], found["cut_off"]) == (3, 4, 1, False)
    errors = {failure["test"].partition("::")[2]: failure["error"] for failure in found["failures"]}
    assert "assert 2 == 3" in errors["test_wrong"]
    assert errors["test_that_crashes"] == "its process ended with -11 while it ran"
    assert errors["test_that_hangs"] == "its process ended with a hang of 6 s while it ran"
    assert errors["test_that_breaks_the_device"] == "the device is left in an error: cudaErrorIllegalAddress"


@pytest.mark.slow
def test_what_is_done_when_the_time_is_over_is_told(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "import time, pytest\npytestmark = pytest.mark.gpu\ndef test_a(): pass\ndef test_b(): time.sleep(60)\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu")
    with (tmp_path / "log").open("w") as log:
        found = shards.run(["-c", str(tmp_path / "pytest.ini"), str(tmp_path)], 1, tmp_path, log, 4.0)
    assert (found["passed"], found["cut_off"], found["code"]) == (1, True, None)


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


@pytest.mark.slow
def test_what_leads_a_session_ends_with_its_parent(tmp_path: Path) -> None:
    late = tmp_path / "late"
    child = "import time, pathlib; from benchmarks.machine import end_with_parent; end_with_parent(); "
    child += f"pathlib.Path({str(tmp_path / 'begun')!r}).touch(); time.sleep(4); pathlib.Path({str(late)!r}).touch()"
    parent = "import subprocess, sys, time\n"
    parent += f"subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True)"
    parent += f"\nwhile not __import__('pathlib').Path({str(tmp_path / 'begun')!r}).exists(): time.sleep(0.1)"
    with (tmp_path / "log").open("w+") as log:
        assert verify.run([sys.executable, "-c", parent], log, 60.0)["code"] == 0
    time.sleep(5)
    assert not late.exists()


def test_without_a_device_it_ends_with_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify, "missing_device", lambda: "there is none")
    assert verify.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == "benchmarks.gpu.verify: no CUDA device answers: there is none\n"
