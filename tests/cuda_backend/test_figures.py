"""`python -m benchmarks.gpu` in its smallest sizes on the stand-in: so that the first run on a device works."""

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from benchmarks.gpu import __main__ as figures
from benchmarks.gpu import goals, jobs, parts
from tests.standin import State


@pytest.mark.slow  # half a minute: all jobs, in their smallest sizes; the tests below run some
def test_every_kind_of_job_runs_on_the_gpu_and_is_reported(gpu_with_cudnn: State, tmp_path: Path) -> None:
    pytest.importorskip("ml_dtypes")
    only = "^(mlp large bf16|mlp small|softmax.*|resnet50 bf16|conv 64-64 1x1.*|conv 128-128 3x3/2 .*)$"
    given = ["--tiny", "--only", only, "--parity", "^(relu|matmul)$", "--out", str(tmp_path)]
    code = figures.main(given, apart=False)  # the stand-in is in this process
    record = json.loads((tmp_path / "gpu-figures.json").read_text())
    sides = {f"{name}, {side}": found for name, job in record["jobs"].items() for side, found in job["sides"].items()}
    assert code == 0, sides
    assert record["parity"] == {"operations": 2, "wrong": []}
    assert {"mlp large bf16, gpugrad eager", "mlp small, gpugrad eager"} <= sides.keys()
    assert sides["mlp small, gpugrad captured"]["seconds"] > 0
    layers = [f"{p} {part}" for p in ("bfloat16", "tf32") for part in ("forward", "images", "kernels")]
    assert {f"conv 128-128 3x3/2 56 {layer}, gpugrad {way}" for layer in layers for way in ("cudnn", "im2col")} <= set(
        sides
    )
    assert {"resnet50 bf16, gpugrad cudnn", "resnet50 bf16, gpugrad im2col"} <= sides.keys()
    assert sides["mlp small, gpugrad eager"]["peak_bytes"] > 0
    assert sides["softmax 10^7, gpugrad captured"]["seconds"] > 0
    text = (tmp_path / "gpu-figures.md").read_text()
    assert "| mlp small | gpugrad eager |" in text
    assert "| softmax backward |" in text
    assert "gpugrad captured: time at most 0.5x torch eager" in text
    assert {goal["verdict"] for goal in record["goals"]} <= {"met", "missed", "not measured"}
    assert sides["mlp small, gpugrad captured"]["peak_bytes"] > 0


def test_a_job_that_fails_is_told_and_the_others_run(gpu: State, tmp_path: Path, monkeypatch: Any) -> None:
    wrong = replace(jobs.JOBS[2], name="wrong", kind="kernel", tiny=(3, 8), part="none")
    monkeypatch.setattr(jobs, "JOBS", (wrong, jobs.JOBS[2]))
    assert figures.main(["--tiny", "--parity", "^relu$", "--out", str(tmp_path)], apart=False) == 1
    record = json.loads((tmp_path / "gpu-figures.json").read_text())
    assert record["jobs"]["wrong"]["sides"]["gpugrad eager"]["error"] == "KeyError: 'none'"
    assert record["jobs"]["mlp small"]["sides"]["gpugrad eager"]["seconds"] > 0
    assert record["failed"] == ["wrong|gpugrad eager", "wrong|gpugrad captured"]


# What a part says and does in its process, in place of the real ones: nothing here needs a device.
PROGRAM = """
import json, os, signal, sys, time
sys.argv = sys.argv[1:]
done, told = json.loads(sys.stdin.read()), open(sys.argv[1], "a")
def tell(**said):
    print(json.dumps(said), file=told, flush=True)
tell(pid=os.getpid())
for key, how in [("a|x", "fine"), ("b|x", "crash"), ("c|x", "hang"), ("d|x", "broken"), ("e|x", "fine")]:
    if key in done:
        continue
    tell(start=key)
    if how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "hang":
        time.sleep(60)
    tell(key=key, value={"seconds": 1.0} if how == "fine" else {"error": how})
    if how == "broken":
        tell(broken="illegal address")
        sys.exit(3)
"""


def test_what_crashes_hangs_or_breaks_the_device_takes_no_other_figure_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = subprocess.Popen

    def instead(command: list[str], **options: Any) -> Any:
        return started([sys.executable, "-c", PROGRAM, *command[3:]], **options)

    monkeypatch.setattr(parts.subprocess, "Popen", instead)
    monkeypatch.setattr(parts, "_LONGEST", 2.0)
    options, found = figures.parse([]), {}
    assert parts.run(parts.PARTS[0], options, time.monotonic() + 30, found.__setitem__) == ""
    assert found == {
        "a|x": {"seconds": 1.0}, "b|x": {"error": "its process ended with -11"},
        "c|x": {"error": "its process ended with a hang of 2 s"}, "d|x": {"error": "broken"}, "e|x": {"seconds": 1.0},
    }  # fmt: skip


def test_a_part_whose_process_does_not_come_up_is_told_and_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, starts = subprocess.Popen, []

    def instead(command: list[str], **options: Any) -> Any:
        starts.append(command)
        return started([sys.executable, "-c", "raise SystemExit(9)"], **options)

    monkeypatch.setattr(parts.subprocess, "Popen", instead)
    assert parts.run(parts.PARTS[0], figures.parse([]), time.monotonic() + 30, {}.__setitem__).endswith("ended with 9")
    assert len(starts) == 1


def test_parts_run_apart_and_what_has_no_time_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PARTS", parts.PARTS[:3])
    given = ["--device", "cpu", "--tiny", "--parity", "^relu$", "--out", str(tmp_path)]
    assert figures.main([*given, "--only", "^mlp small$", "--seconds", "200"]) == 0
    record = json.loads((tmp_path / "gpu-figures.json").read_text())
    assert record["parity"]["operations"] == 1
    assert set(record["ceilings"]) == set(jobs.CEILINGS)
    assert record["jobs"]["mlp small"]["sides"]["gpugrad eager"]["seconds"] > 0
    assert len(record["bandwidth"]) == 15
    assert figures.main([*given, "--only", "^mlp small$", "--seconds", "0"]) == 1
    record = json.loads((tmp_path / "gpu-figures.json").read_text())
    assert record["jobs"]["mlp small"]["sides"]["gpugrad eager"] == {"left_out": "no time left"}


def test_the_arithmetic_of_a_step_is_counted_by_hand() -> None:
    mlp = jobs.Job("", "", "mlp", (2, 3, 5, 7), (1,))
    assert mlp.flops(tiny=False) == 2 * 2 * (2 * 3 * 5 + 3 * 5 * 7)
    conv = jobs.Job("", "", "conv", (2, 3, 4, 3, 2, 9), (1,))
    assert conv.flops(tiny=False) == 2 * (2 * 4 * 5 * 5) * (3 * 3 * 3)


@pytest.mark.parametrize("precision", ["bfloat16", "tf32"])
@pytest.mark.parametrize("part", ["forward", "images", "kernels"])
def test_both_sides_compute_the_same_convolution(part: str, precision: str) -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.gpu import torch_jobs

    sizes = (2, 3, 4, 3, 2, 9)
    job = jobs.Job("conv", "", "conv", sizes, sizes, precision, part=part)
    ours = jobs.ours(job, "im2col", "cpu", tiny=True).step()
    theirs = torch_jobs.theirs(job, "eager", "cpu", tiny=True).step()
    theirs = next(t for t in (theirs if isinstance(theirs, tuple) else (theirs,)) if isinstance(t, torch.Tensor))
    near = 3e-2 if precision == "bfloat16" else 1e-5
    np.testing.assert_allclose(np.asarray(ours, np.float32), theirs.float().numpy(), rtol=near, atol=near)


def _job(ours: float, theirs: float | None, peak: int = 1) -> dict[str, object]:
    sides = {"gpugrad eager": {"seconds": ours, "peak_bytes": peak}, "gpugrad captured": {"error": "none"}}
    if theirs is not None:
        sides["torch eager"] = {"seconds": theirs, "peak_bytes": 2}
    return {"sides": sides, "flops": 8, "bytes": 0, "ceiling": "products"}


def test_each_goal_is_met_missed_or_not_measured_by_its_worst_job(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = (
        goals.Goal("a", ("gpugrad eager",), "time", 1.2, "torch eager"),
        goals.Goal("a|b", ("gpugrad eager",), "time", 1.2, "torch eager"),
        goals.Goal("a|c", ("gpugrad eager",), "time", 1.2, "torch eager"),
        goals.Goal("b|c", ("gpugrad eager",), "time", 1.2, "torch eager"),
        goals.Goal("a", ("gpugrad captured",), "time", 9, "torch eager"),
        goals.Goal("a|b", ("gpugrad captured", "gpugrad eager"), "ceiling", 0.5),
        goals.Goal("a|b", ("gpugrad eager",), "peak", 1.0, "torch eager"),
        goals.Goal("sum", ("kernels",), "copy", 0.85),
    )
    monkeypatch.setattr(goals, "GOALS", asked)
    record = {
        "jobs": {"a": _job(1.1, 1.0, 2), "b": _job(2.0, 1.0), "c": _job(1.0, None)},
        "ceilings": {"products": 8.0},
        "bandwidth": [{"name": "copy", "share_of_copy": 1.0}, {"name": "sum", "share_of_copy": 0.8}],
    }
    found = goals.verdicts(record)
    assert [each["verdict"] for each in found] == [
        "met", "missed", "not measured", "missed", "not measured", "met", "met", "missed",
    ]  # fmt: skip
    assert [each["where"] for each in found] == ["a", "b", "a", "b", "", "b", "a", "sum"]
    assert found[1]["worst"] == 2.0
    assert found[5]["worst"] == 0.5
    assert (found[3]["measured"], found[3]["are"]) == (1, 2)


def test_every_goal_names_jobs_and_sides_that_there_are() -> None:
    from benchmarks.gpu import torch_jobs

    for goal in goals.GOALS:
        if goal.figure == "copy":
            continue
        named = [job for job in jobs.JOBS if re.search(goal.jobs, job.name)]
        assert named
        for job in named:
            ways = {f"gpugrad {way}" for way in job.ways} | {f"torch {way}" for way in torch_jobs.ways(job, "cuda")}
            assert {*goal.ours, *filter(None, [goal.peer])} <= ways, (goal, job.name)


KERNELS = [job for job in jobs.JOBS if job.kind == "kernel"]


@pytest.mark.parametrize("job", KERNELS, ids=lambda job: job.name)
@pytest.mark.parametrize("other", ["torch", "jax"])
def test_all_sides_compute_the_same_of_a_kernel(job: jobs.Job, other: str) -> None:
    pytest.importorskip(other)
    from benchmarks.gpu import jax_jobs, torch_jobs

    ours = jobs.ours(job, "eager", "cpu", tiny=True).step()
    theirs = (
        jax_jobs.theirs(job, "cpu", True) if other == "jax" else torch_jobs.theirs(job, "eager", "cpu", True)
    ).step()
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), np.asarray(b), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_jax_takes_the_steps_that_pytorch_takes(precision: str) -> None:
    pytest.importorskip("jax")
    torch = pytest.importorskip("torch")
    from benchmarks.gpu import jax_jobs

    job = jobs.Job("mlp", "", "mlp", (8, 6, 7, 5), (8, 6, 7, 5), precision)
    model = torch.nn.Sequential(torch.nn.Linear(6, 7), torch.nn.ReLU(), torch.nn.Linear(7, 5))
    weights = [(m.weight.detach().numpy().T.copy(), m.bias.detach().numpy().copy()) for m in (model[0], model[2])]
    zeros = [tuple(np.zeros_like(a) for a in pair) for pair in weights]
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 6)).astype(np.float32), rng.integers(0, 5, 8)
    step, state = jax_jobs.training(job), (weights, zeros, zeros, np.float32(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    for _ in range(3):
        state, loss = step(state, x, y.astype(np.int32))
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            theirs = torch.nn.functional.cross_entropy(model(torch.tensor(x)), torch.tensor(y))
        theirs.backward()
        optimizer.step()
        assert float(loss) == pytest.approx(theirs.item(), rel=1e-5 if precision == "float32" else 1e-2)
    near = 1e-5 if precision == "float32" else 1e-3
    np.testing.assert_allclose(np.asarray(state[0][0][0]), model[0].weight.detach().numpy().T, atol=near)


def test_pytorch_is_compiled_in_both_modes_on_a_gpu() -> None:
    from benchmarks.gpu import torch_jobs

    by_name = {job.name: torch_jobs.ways(job, "cuda") for job in jobs.JOBS}
    assert by_name["mlp small"] == ("eager", "compiled", "reduced", "graph")
    assert by_name["mlp large bf16"] == by_name["softmax 10^7"] == ("eager", "compiled", "reduced")
    assert {torch_jobs.ways(job, "cpu") for job in jobs.JOBS} == {("eager",)}


def test_bytes_of_a_kernel_are_counted_by_hand() -> None:
    for job in KERNELS:
        assert job.bytes(tiny=True) == (3 if job.part == "cross_entropy" else 5) * 4 * 24


def test_the_network_beside_ours_is_as_large() -> None:
    pytest.importorskip("torch")
    from benchmarks.gpu import torch_jobs

    theirs = sum(p.numel() for p in torch_jobs.resnet50(1000).parameters())
    assert theirs == sum(p.size for p in gg.nn.models.resnet50(1000).parameters()) == 25_557_032
