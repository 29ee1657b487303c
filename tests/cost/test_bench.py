"""`gpugrad bench`: what it writes, how it compares, and how it fails; the fits of the scaling study."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpugrad.cli import main
from gpugrad.cost import CostError, Report
from gpugrad.cost.fits import power_law
from gpugrad.cost.gate import read_baseline, regressions, require_comparable
from gpugrad.cost.report import LayerCost, Phase
from gpugrad.cost.scaling import Growth, Point, Study, jacobian_bytes
from gpugrad.cost.scaling_page import lines, study_page

SMALL = ["--width", "16", "--depth", "3", "--batch", "8", "--repeats", "2", "--device", "cpu", "--quiet"]


def bench(*options: str) -> int:
    return main(["bench", *options])


def refused(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    """The exit code and what is on stderr, which must be one line."""
    capsys.readouterr()
    try:
        code = bench(*options)
    except SystemExit as stop:
        code = int(stop.code or 0)
    lines_ = capsys.readouterr().err.splitlines()
    assert len(lines_) == 1, lines_
    return code, lines_[0]


# ---- what it writes


def test_bench_prints_a_table_and_writes_json_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert bench("mlp", *SMALL, "--out", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^0 Linear", printed, re.MULTILINE)
    assert "ceilings, measured in this run" in printed
    report = Report.from_json(json.loads((tmp_path / "report.json").read_text()))
    assert report.model == "mlp"
    assert report.settings == {"batch": 8, "depth": 3, "width": 16}
    assert report.layer("2").forward.flops == 8 * 16 * 33
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 3, "bars, roofline, memory"
    assert not re.search(r'(?:src|href)="(?!#)(?!http://www\.w3\.org)', page), "the page needs no other file"


def test_a_users_function_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "users_model.py").write_text(
        "import gpugrad as gg\n"
        "def make(batch=4):\n"
        "    model = gg.nn.Sequential(gg.nn.Linear(5, 3), gg.nn.Tanh())\n"
        "    return model, (gg.rand(batch, 5), gg.rand(batch, 3))\n"
    )
    code = bench("users_model:make", "--batch", "6", "--repeats", "2", "--device", "cpu", "--quiet", "--json", "r.json")
    assert code == 0
    report = read_baseline("r.json")
    assert report.layer("0").forward.flops == 6 * 3 * 11
    assert report.settings == {"batch": 6}


# ---- how it fails


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["nothing"], 2, "argument MODEL: 'nothing'; expected mlp"),
        (["no_such_module:f"], 1, "module 'no_such_module' cannot be imported"),
        (["json:nope"], 1, "module 'json' has no function 'nope'"),
        (["json:dumps"], 1, "json:dumps"),
        (["--max-regression", "-1"], 2, "expected a percentage of at least 0"),
        (["--max-regression", "many"], 2, "expected a percentage of at least 0"),
        (["--baseline", "there-is-none.json"], 1, "cannot be read"),
        (["--study", "--baseline", "x.json"], 2, "not with --study"),
        (["--device", "toaster"], 1, "toaster"),
        (["--out", "/proc/nowhere"], 1, "cannot write"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_ends_in_one_line(
    capsys: pytest.CaptureFixture[str], options: list[str], code: int, message: str
) -> None:
    found, line = refused(capsys, *options, "--quiet")
    assert found == code
    assert message in line


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 3", "returned int; expected a model and a batch"),
        ("return gg.nn.Linear(3, 3), gg.rand(2, 3)", "expected a scalar tensor"),
        ("return gg.nn.Linear(3, 3), 'words'", "the batch is (str)"),
    ],
)
def test_a_function_that_returns_something_else_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], body: str, message: str
) -> None:
    name = f"wrong_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(f"import gpugrad as gg\ndef make():\n    {body}\n")
    monkeypatch.chdir(tmp_path)
    code, line = refused(capsys, f"{name}:make", "--device", "cpu", "--quiet")
    assert code == 1
    assert message in line


def test_a_size_that_the_model_does_not_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fixed_model.py").write_text("def make():\n    return None\n")
    monkeypatch.chdir(tmp_path)
    code, line = refused(capsys, "fixed_model:make", "--width", "4", "--device", "cpu", "--quiet")
    assert code == 1
    assert "takes no width" in line


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="signals to a process as POSIX has them")
@pytest.mark.skipif(signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason="SIGINT is ignored, also by children")
def test_an_interrupted_run_reports_what_it_measured(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    sizes = ["--width", "64", "--batch", "16", "--device", "cpu", "--quiet", "--json", str(path)]
    command = [sys.executable, "-m", "gpugrad", "bench", *sizes, "--repeats"]
    start = time.perf_counter()
    subprocess.run([*command, "1"], stdout=subprocess.PIPE, check=True)
    once = time.perf_counter() - start  # how long it takes to begin depends on what else the machine does
    path.unlink()
    with subprocess.Popen(
        [*command, "1000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        time.sleep(2 * once)
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert "interrupted: fewer runs than asked for" in out
    assert err.splitlines() == ["interrupted; the report is of the runs made so far"]
    assert Report.from_json(json.loads(path.read_text())).interrupted


# ---- the gate


def report_of(**changes: Any) -> Report:
    forward = Phase(1.0, 0.01, 100, 1000, 1, 0.0)
    backward = Phase(2.0, 0.01, 200, 2000, 2, 0.0)
    row = LayerCost("0", "Linear", 1, forward, backward, 2.0, 400)
    machine = {"device": "cpu", "processor": "one", "cores": 2, "numba": True, "gpugrad": "0"}
    whole = replace(row, name="total", kind="total")
    report = Report((row,), whole, 3.0, 0.0, None, machine, 5, 1, ((0.0, 0, "x"), (1.0, 400, "0 Linear")), model="mlp")
    return replace(report, **changes)


def changed(report: Report, **phases: Any) -> Report:
    row = replace(report.layers[0], **phases)
    return replace(report, layers=(row,), total=replace(row, name="total", kind="total"))


def test_nothing_grew_in_the_same_report() -> None:
    assert regressions(report_of(), report_of(), 0.1) == []


@pytest.mark.parametrize(
    ("phases", "what"),
    [
        ({"forward": Phase(1.0, 0.01, 150, 1000, 1, 0.0)}, "forward FLOPs"),
        ({"backward": Phase(2.0, 0.01, 200, 2600, 2, 0.0)}, "backward bytes"),
        ({"backward": Phase(2.0, 0.01, 200, 2000, 3, 0.0)}, "backward launches"),
        ({"kept_bytes": 500}, "memory kept"),
        ({"ratio": 2.5}, "backward / forward"),
        ({"forward": Phase(1.3, 0.01, 100, 1000, 1, 0.0)}, "forward ms"),
    ],
)
def test_growth_beyond_what_is_allowed_is_found(phases: Any, what: str) -> None:
    found = regressions(changed(report_of(), **phases), report_of(), 0.1)
    assert {row.what for row in found} == {what}
    assert {row.layer for row in found} == {"0 Linear", "total"}
    assert regressions(changed(report_of(), **phases), report_of(), 0.6) == []


def test_a_larger_peak_is_found() -> None:
    now = report_of(timeline=((0.0, 0, "x"), (1.0, 800, "0 Linear")))
    assert [row.what for row in regressions(now, report_of(), 0.1)] == ["peak memory of the tape"]


def test_times_must_grow_by_more_than_their_spread() -> None:
    noisy = changed(report_of(), forward=Phase(1.3, 0.4, 100, 1000, 1, 0.0))
    assert regressions(noisy, report_of(), 0.1) == []


def test_counts_alone_can_be_compared() -> None:
    slower = changed(report_of(), forward=Phase(9.0, 0.0, 100, 1000, 1, 0.0), ratio=9.0)
    assert regressions(slower, report_of(), 0.1, counts_only=True) == []


def test_surest_figures_come_first() -> None:
    worse = changed(report_of(), forward=Phase(9.0, 0.0, 900, 1000, 1, 0.0), ratio=9.0)
    found = [row.what for row in regressions(worse, report_of(), 0.1)]
    assert found == ["forward FLOPs"] * 2 + ["backward / forward"] * 2 + ["forward ms"] * 2


def test_a_baseline_of_something_else_is_refused() -> None:
    with pytest.raises(CostError, match="another machine: cores 64"):
        require_comparable(report_of(), report_of(machine={**report_of().machine, "cores": 64}))
    require_comparable(report_of(), report_of(machine={**report_of().machine, "cores": 64}), counts_only=True)
    with pytest.raises(CostError, match="it is of resnet18"):
        require_comparable(report_of(), report_of(model="resnet18"))
    with pytest.raises(CostError, match=r"it is of mlp \(batch 4\)"):
        require_comparable(report_of(), report_of(settings={"batch": 4}))


def test_the_command_fails_with_the_rows_that_grew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "base.json"
    assert bench("mlp", *SMALL, "--json", str(path)) == 0
    assert bench("mlp", *SMALL, "--baseline", str(path), "--counts-only") == 0
    assert "nothing grew" in capsys.readouterr().out
    values = json.loads(path.read_text())
    values["layers"][0]["backward"]["flops"] //= 2
    path.write_text(json.dumps(values))
    assert bench("mlp", *SMALL, "--baseline", str(path), "--counts-only") == 4
    assert re.search(r"0 Linear +backward FLOPs .*\+100", capsys.readouterr().out)


# ---- the study


def test_an_exponent_is_found_with_its_interval() -> None:
    sizes = [1, 2, 4, 8, 16]
    law = power_law(sizes, [3 * s**2 for s in sizes])
    assert law.exponent == pytest.approx(2)
    assert (law.low, law.high) == pytest.approx((2, 2))
    assert law.at(10) == pytest.approx(300)


def test_the_interval_covers_the_exponent_of_noisy_points_19_times_in_20(rng: np.random.Generator) -> None:
    sizes = 2.0 ** np.arange(6)
    covered = 0
    for _ in range(400):
        law = power_law(list(sizes), list(sizes**1.5 * np.exp(0.1 * rng.standard_normal(6))))
        covered += law.low <= 1.5 <= law.high
    assert 0.91 < covered / 400 < 0.98


def test_two_points_have_no_interval() -> None:
    with pytest.raises(CostError, match="2 points"):
        power_law([1, 2], [1, 2])


def test_the_jacobian_of_the_lectures_takes_a_terabyte() -> None:
    assert jacobian_bytes(32 * 32 * 512, 32 * 32 * 512) == 2**40


def study_of(exponent: float, rate: float = 1e9) -> Study:
    sizes = (64, 128, 256, 512)
    points = tuple(Point(s, s**exponent / rate, 2 * s**exponent / rate, int(s**2), int(2 * s**2)) for s in sizes)
    law = power_law(sizes, [p.seconds for p in points])
    from gpugrad.cost.ceilings import Ceilings

    growth = Growth("width", {"depth": 4}, points, law, 64, 2.0, 0.15)
    jacobian = {
        "large": {"inputs": 8, "outputs": 8, "bytes": 256, "vjp_bytes": 32},
        "small": {"inputs": 4, "outputs": 4, "bytes": 64, "times": 4.0},
    }
    both = {"seconds": 1.0, "peak_bytes": 10}
    recompute = {"segments": 2, "keep": both, "recompute": both}
    facts = {**report_of().machine, "system": "s", "python": "3", "numpy": "2"}
    return Study((growth,), jacobian, recompute, Ceilings(1.5e9, 1e9), facts)


def test_the_study_says_whether_the_rule_holds_and_why_not() -> None:
    assert "holds" in lines(study_of(2.0))
    below = lines(study_of(1.2))
    assert "departs" in below
    assert "part of the cost does not grow with the size" in below
    slow = lines(study_of(2.0, rate=1e7))
    assert "reaches less than half the rate of a large matrix product" in slow


def test_the_study_is_a_page_of_its_own() -> None:
    pytest.importorskip("matplotlib")
    page = study_page(study_of(2.0))
    assert page.count("<svg") == 2
    assert "quadratic" in page
    json.dumps(study_of(2.0).to_json())
