"""All that a GPU is needed for, in one call: the tests marked `gpu`, `gpugrad check`, the figures, then the suites.

    python -m benchmarks.gpu.verify FOLDER [--seconds 500]

FOLDER receives `summary.txt`, `results.json` (device, versions, each failed test, the check's deviations, the suites'
figures), `tests.txt`, `benchmarks.txt`, and what `python -m benchmarks.gpu` writes (`gpu-figures.json`,
`gpu-figures.md`, `figures.txt`); the first two anew after each part. Tests and check run in several processes at a
time, which hang or crash for themselves alone; nothing runs beside a measurement. What does not fit into the time is
cut off and said so.
Exit code 0: all passed; 1: something failed or was cut off; 2: no device answers. `--rehearse` runs the tests on the
stand-in for CuPy and the benchmarks in their smallest sizes on the CPU, to see that the call itself is in order.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from benchmarks import machine
from benchmarks.gpu import shards
from benchmarks.gpu.run import missing_device
from gpugrad.cli.check import TOLERANCE

ROOT = Path(__file__).resolve().parents[2]
# The most telling first: what the time does not reach is the least of a loss.
SUITES = ("bandwidth", "mlp", "adam", "memory", "tape", "elementwise")
_TESTS_SHARE = 0.45  # of the time, at most


def run(command: list[str], log: TextIO, seconds: float, extra: dict[str, str] | None = None) -> dict[str, Any]:
    """Runs a command with its output in `log`; kills it, and all that it started, when the time is over."""
    started = time.monotonic()
    print("$", *command[1:], file=log, flush=True)
    environment = machine.child_environment(extra)
    process = subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env=environment, start_new_session=True
    )
    try:
        code: int | None = process.wait(max(seconds, 1.0))
    except subprocess.TimeoutExpired:
        machine.end(process)
        code = None
        print(f"\ncut off after {seconds:.0f} s", file=log, flush=True)
    return {"code": code, "cut_off": code is None, "seconds": round(time.monotonic() - started, 1)}


def tests(folder: Path, seconds: float, options: argparse.Namespace) -> dict[str, Any]:
    """Runs the tests marked `gpu`; how many passed, and of each that did not its name and the end of its error."""
    # Warnings are no errors here: the libraries of a borrowed machine have versions of their own.
    arguments = [*marked(), "-m", "gpu", "-q", "--tb=short", "-W", "default", "-p", "no:cacheprovider"]
    arguments += ["--continue-on-collection-errors"]
    arguments += ["-p", "tests.standin.plugin"] if options.rehearse else []
    arguments += ["-k", options.select] if options.select else []
    with tempfile.TemporaryDirectory() as scratch, (folder / "tests.txt").open("w") as log:
        return shards.run(arguments, options.processes, Path(scratch), log, seconds)


def marked() -> list[str]:
    """The files with tests marked `gpu`: the others would be read for nothing."""
    every = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(path.relative_to(ROOT)) for path in every if "pytest.mark.gpu" in path.read_text()]


def check(seconds: float, options: argparse.Namespace) -> dict[str, Any]:
    """Runs `gpugrad check`, whose bandwidths the figures measure; how many operations agree, and which do not."""
    device = ["cpu", "--only", "^relu$"] if options.rehearse else ["cuda"]
    command = [sys.executable, "-m", "gpugrad", "check", "--no-bandwidth", "--device", *device]
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile("w+") as log:
        report = Path(scratch) / "check.json"
        found = run([*command, "--json", str(report)], log, seconds, shards.PLAIN)
        log.seek(0)
        found["end"] = log.read()[-1000:]
        each = json.loads(report.read_text())["operations"] if report.is_file() else []
    if each:
        bad = [f for f in each if f["error"] or max(f["forward"], f["backward"] or 0) > TOLERANCE]
        found |= {"operations": len(each), "wrong": bad}
        found["deviations"] = {f["name"]: [f["forward"], f["backward"]] for f in each}
    return found


def figures(folder: Path, deadline: float, options: argparse.Namespace) -> dict[str, Any]:
    """Runs `python -m benchmarks.gpu`, which leaves its two files in the folder."""
    left = max(deadline - time.monotonic(), 1.0)
    small = ["--device", "cpu", "--tiny", "--only", "^no job$"] if options.rehearse else []
    command = [sys.executable, "-m", "benchmarks.gpu", "--out", str(folder), "--parity", "^of the check$", *small]
    command += ["--seconds", f"{max(left - 20, 1):.0f}"]  # the rest is for its own end
    with (folder / "figures.txt").open("w") as log:
        return run(command, log, left)


def benchmarks(folder: Path, deadline: float, options: argparse.Namespace) -> dict[str, Any]:
    """Runs one suite after the other while there is time; the record of each as the runner wrote it."""
    size = ["--smoke", "--device", "cpu"] if options.rehearse else ["--quick"]
    program = "benchmarks.paired" if options.rehearse else "benchmarks.gpu.run"
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch, (folder / "benchmarks.txt").open("w") as log:
        for suite in options.suites:
            left = deadline - time.monotonic()
            if left < 10:
                found[suite] = {"code": None, "cut_off": True, "seconds": 0.0}
                continue
            record = Path(scratch) / f"{suite}.json"
            command = [sys.executable, "-m", program, "--suite", suite, *size, "--no-record", "--quiet-total", "10"]
            found[suite] = run([*command, "--json", str(record)], log, left)
            if record.is_file():
                found[suite]["record"] = json.loads(record.read_text())
    return found


def device() -> dict[str, Any]:
    """The GPU and what drives it."""
    import gpugrad as gg

    runtime = gg.cuda.backend_for("cuda").xp.cuda.runtime
    asked: dict[str, Callable[[], Any]] = {
        "name": gg.cuda.get_device_name,
        "capability": lambda: list(gg.cuda.get_device_capability()),
        "memory_bytes": lambda: gg.cuda.memory_stats().total_bytes,
        "driver": runtime.driverGetVersion,
        "runtime": runtime.runtimeGetVersion,
        "cupy": lambda: importlib.import_module("cupy").__version__,
        "products": gg.cuda.matmul_library,
        "convolutions": gg.cuda.convolution_library,
    }
    found = {}
    for key, ask in asked.items():
        try:
            found[key] = ask()
        except Exception as error:  # the rest has to run all the same
            found[key] = f"{type(error).__name__}: {error}"
    return found


def summary(results: dict[str, Any]) -> str:
    """The results in a few lines."""
    about = results["device"] or {"name": "none: a rehearsal on the stand-in and the CPU"}
    lines = [f"{key}: {value}" for key, value in about.items()]
    lines += [f"date: {results['machine']['date']}", f"seconds: {results['seconds']}", ""]
    found = results["tests"]
    counts = ", ".join(f"{found[key]} {key}" for key in ("passed", "failed", "skipped") if key in found)
    lines.append(f"tests: {counts or 'no report'}; {_how(found)}")
    lines += [f"  FAILED {f['test']}: {_last(f['error'])}" for f in found.get("failures", [])]
    checked = results["check"]
    wrong, every = checked.get("wrong", []), checked.get("operations")
    lines.append(f"check: {f'{every - len(wrong)} of {every} agree' if every else 'no report'}; {_how(checked)}")
    lines += [f"  WRONG {f['name']}: {f['forward']}, {f['backward']} {f['error'][:150]}" for f in wrong]
    if "figures" in results:
        lines.append(f"figures: {_how(results['figures'])}")
        lines += [f"  {g['verdict']}: {g['goal']} ({g['worst']}, {g['where']})" for g in results["goals"]]
    lines += [f"benchmarks, {suite}: {_how(one)}" for suite, one in results.get("benchmarks", {}).items()]
    return "\n".join(lines) + "\n"


def _last(error: str) -> str:
    """The line of an error that says the most."""
    lines = [line[2:].strip() for line in error.splitlines() if line.startswith("E ")] or error.splitlines() or [""]
    return lines[-1][:200]


def _how(found: dict[str, Any]) -> str:
    end = "cut off" if found["cut_off"] else f"exit code {found['code']}"
    return f"{end} after {found['seconds']} s"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.verify", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the results go")
    parser.add_argument("--seconds", type=float, default=500.0, help="for everything together")
    parser.add_argument("--suites", default=",".join(SUITES), help="benchmarks, in order; empty for none")
    parser.add_argument("--processes", type=int, default=max(1, min(8, (os.cpu_count() or 1) // 2)), help="of tests")
    parser.add_argument("--select", default="", metavar="EXPRESSION", help="tests, as pytest's -k")
    parser.add_argument("--rehearse", action="store_true", help="without a GPU: stand-in and smoke sizes")
    options = parser.parse_args(arguments)
    options.suites = [name for name in options.suites.split(",") if name]
    return options


def main(arguments: list[str] | None = None) -> int:
    """Runs it all and writes the folder."""
    options = parse(arguments)
    reason = None if options.rehearse else missing_device()
    if reason is not None:
        print(f"benchmarks.gpu.verify: no CUDA device answers: {reason}", file=sys.stderr)
        return 2
    started = time.monotonic()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"machine": machine.describe(), "device": None if options.rehearse else device()}
    most = options.seconds * _TESTS_SHARE

    def written() -> None:
        results["seconds"] = round(time.monotonic() - started, 1)
        (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (folder / "summary.txt").write_text(summary(results))

    with concurrent.futures.ThreadPoolExecutor(2) as both:
        parts = {"tests": both.submit(tests, folder, most, options), "check": both.submit(check, most, options)}
        results |= {name: part.result() for name, part in parts.items()}
    written()
    print(summary(results), end="", flush=True)
    results["figures"] = figures(folder, started + options.seconds, options)
    figured = folder / "gpu-figures.json"
    results["goals"] = json.loads(figured.read_text())["goals"] if figured.is_file() else []
    written()
    results["benchmarks"] = benchmarks(folder, started + options.seconds, options)
    written()
    print(summary(results), end="")
    ran = [results["tests"], results["check"], results["figures"], *results["benchmarks"].values()]
    return 0 if all(one["code"] == 0 for one in ran) else 1


if __name__ == "__main__":
    sys.exit(main())
