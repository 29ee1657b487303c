"""All that a GPU is needed for, in one call: the tests marked `gpu`, the figures, then the suites, one after the other.

    python -m benchmarks.gpu.verify FOLDER [--seconds 500]

FOLDER receives `summary.txt`, `results.json` (device, versions, each failed test, the suites' figures), `tests.txt`,
`benchmarks.txt`, and what `python -m benchmarks.gpu` writes (`gpu-figures.json`, `gpu-figures.md`, `figures.txt`). What
does not fit into the time is cut off and said so; nothing runs beside a measurement. Exit code 0: all passed; 1:
something failed or was cut off; 2: no device answers. `--rehearse` runs the tests on the stand-in for CuPy and the
benchmarks in their smallest sizes on the CPU, to see that the call itself is in order.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, TextIO

from benchmarks import machine
from benchmarks.gpu.run import missing_device

ROOT = Path(__file__).resolve().parents[2]
# The most telling first: what the time does not reach is the least of a loss.
SUITES = ("bandwidth", "mlp", "adam", "memory", "tape", "elementwise")
_TESTS_SHARE = 0.6  # of the time, at most


def run(command: list[str], log: TextIO, seconds: float) -> dict[str, Any]:
    """Runs a command with its output in `log`; kills it, and all that it started, when the time is over."""
    started = time.monotonic()
    print("$", *command[1:], file=log, flush=True)
    process = subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env=machine.child_environment(), start_new_session=True
    )
    try:
        code: int | None = process.wait(max(seconds, 1.0))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        code = None
        print(f"\ncut off after {seconds:.0f} s", file=log, flush=True)
    return {"code": code, "cut_off": code is None, "seconds": round(time.monotonic() - started, 1)}


def tests(folder: Path, seconds: float, options: argparse.Namespace) -> dict[str, Any]:
    """Runs the tests marked `gpu`; how many passed, and of each that did not its name and the end of its error."""
    # Warnings are no errors here: the libraries of a borrowed machine have versions of their own.
    command = [sys.executable, "-m", "pytest", "tests", "-m", "gpu", "-v", "--tb=short", "-W", "default"]
    command += ["-p", "no:cacheprovider", "--continue-on-collection-errors", "--durations=15"]
    command += ["-p", "tests.standin.plugin"] if options.rehearse else []
    command += ["-k", options.select] if options.select else []
    with tempfile.TemporaryDirectory() as scratch, (folder / "tests.txt").open("w") as log:
        report = Path(scratch) / "tests.xml"
        found = run([*command, f"--junitxml={report}"], log, seconds)
        return {**found, **(_counted(report) if report.is_file() else {})}


def _counted(report: Path) -> dict[str, Any]:
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    failures = []
    for case in ElementTree.parse(report).iter("testcase"):
        wrong = [part for part in case if part.tag in ("failure", "error")]
        if wrong:
            counts["failed"] += 1
            name = f"{case.get('classname')}::{case.get('name')}"
            failures.append({"test": name, "error": (wrong[0].text or wrong[0].get("message") or "")[-1000:]})
        else:
            counts["skipped" if case.find("skipped") is not None else "passed"] += 1
    return {**counts, "failures": failures}


def figures(folder: Path, deadline: float, options: argparse.Namespace) -> dict[str, Any]:
    """Runs `python -m benchmarks.gpu`, which leaves its two files in the folder."""
    left = max(deadline - time.monotonic(), 1.0)
    small = ["--device", "cpu", "--tiny", "--parity", "^relu$", "--only", "^no job$"] if options.rehearse else []
    command = [sys.executable, "-m", "benchmarks.gpu", "--out", str(folder), "--seconds", f"{left * 0.8:.0f}", *small]
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
    import cupy

    import gpugrad as gg

    return {
        "name": gg.cuda.get_device_name(),
        "capability": list(gg.cuda.get_device_capability()),
        "memory_bytes": gg.cuda.memory_stats().total_bytes,
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "runtime": cupy.cuda.runtime.runtimeGetVersion(),
        "cupy": cupy.__version__,
    }


def summary(results: dict[str, Any]) -> str:
    """The results in a few lines."""
    about = results["device"] or {"name": "none: a rehearsal on the stand-in and the CPU"}
    lines = [f"{key}: {value}" for key, value in about.items()]
    lines += [f"date: {results['machine']['date']}", f"seconds: {results['seconds']}", ""]
    found = results["tests"]
    counts = ", ".join(f"{found[key]} {key}" for key in ("passed", "failed", "skipped") if key in found)
    lines.append(f"tests: {counts or 'no report'}; {_how(found)}")
    lines += [f"  FAILED {failure['test']}" for failure in found.get("failures", [])]
    lines.append(f"figures: {_how(results['figures'])}")
    lines += [f"  {each['verdict']}: {each['goal']} ({each['worst']}, {each['where']})" for each in results["goals"]]
    lines += [f"benchmarks, {suite}: {_how(one)}" for suite, one in results["benchmarks"].items()]
    return "\n".join(lines) + "\n"


def _how(found: dict[str, Any]) -> str:
    end = "cut off" if found["cut_off"] else f"exit code {found['code']}"
    return f"{end} after {found['seconds']} s"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.verify", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the results go")
    parser.add_argument("--seconds", type=float, default=500.0, help="for everything together")
    parser.add_argument("--suites", default=",".join(SUITES), help="benchmarks, in order; empty for none")
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
    results: dict[str, Any] = {
        "machine": machine.describe(),
        "device": None if options.rehearse else device(),
        "tests": tests(folder, options.seconds * _TESTS_SHARE, options),
    }
    results["figures"] = figures(folder, started + options.seconds, options)
    written = folder / "gpu-figures.json"
    results["goals"] = json.loads(written.read_text())["goals"] if written.is_file() else []
    results["benchmarks"] = benchmarks(folder, started + options.seconds, options)
    results["seconds"] = round(time.monotonic() - started, 1)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "summary.txt").write_text(summary(results))
    print(summary(results), end="")
    ran = [results["tests"], results["figures"], *results["benchmarks"].values()]
    return 0 if all(one["code"] == 0 for one in ran) else 1


if __name__ == "__main__":
    sys.exit(main())
