"""The tests marked `gpu` in several processes at a time, none of which takes another's results with it.

Most of what they take is one core's compilation, hence several. A pytest plugin in each (this module) writes down which
test begins and how each ended, and ends the process where a test leaves the device in an error: every later one would
fail for that. A process that ended so, crashed or hangs is followed by another, which goes on behind that test.

    python -m pytest -p benchmarks.gpu.shards ...     with GPUGRAD_SHARD="2/8" and GPUGRAD_SHARD_LOG=FILE
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from benchmarks import machine

ROOT: Final = Path(__file__).resolve().parents[2]
_NEIGHBOURS: Final = 8  # tests that stay together: they often share a kernel
_BROKEN: Final = 70  # exit code: the device does not recover from an error
_LONGEST: Final = 60.0  # seconds of one test, or of the imports; more is taken for a hang
_RESTARTS: Final = 20
# The reference is NumPy's: compiling for the CPU would take as long as the tests. Cores are for the processes.
PLAIN: Final = {"GPUGRAD_NUMBA": "0", "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}


# In each process, as a plugin ----------------------------------------------------------------------------------------


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Keep this process's share of the tests marked `gpu`, without those that an earlier process began."""
    if "GPUGRAD_SHARD" not in os.environ:
        return
    number, _, count = os.environ["GPUGRAD_SHARD"].partition("/")
    marked = [item for item in items if item.get_closest_marker("gpu")]
    begun = {line["test"] for line in _lines(Path(os.environ["GPUGRAD_SHARD_LOG"]))}
    items[:] = [
        item
        for i, item in enumerate(marked)
        if i // _NEIGHBOURS % int(count) == int(number) and item.nodeid not in begun
    ]


def pytest_sessionstart() -> None:
    """Go when the process that started this one does."""
    if "GPUGRAD_SHARD" in os.environ:
        machine.end_with_parent()


def pytest_runtest_logstart(nodeid: str) -> None:
    """Note that a test begins."""
    _note({"test": nodeid})


def pytest_runtest_logreport(report: Any) -> None:
    """Note how a test came out; end the process where the device is lost."""
    outcome = {"failed": "failed", "skipped": "skipped"}.get(report.outcome, "passed" if report.when == "call" else "")
    problem = "" if report.when == "teardown" or outcome == "skipped" else _problem()
    if problem:
        outcome = "failed"
    if outcome:
        text = f"{report.longreprtext[-1000:]}\n{problem}".strip() if outcome == "failed" else ""
        _note({"test": report.nodeid, "outcome": outcome, "seconds": round(report.duration, 3), "error": text})
    if problem:
        os._exit(_BROKEN)


def _problem() -> str:
    """Why the device can do nothing more; "" where it can, or nobody has used it."""
    cupy = sys.modules.get("cupy")
    if cupy is None:
        return ""
    try:
        cupy.cuda.Device().synchronize()
    except Exception as error:
        return f"the device is left in an error: {error}"
    return ""


def _note(what: dict[str, Any]) -> None:
    log = os.environ.get("GPUGRAD_SHARD_LOG")
    if log:
        with Path(log).open("a") as file:
            file.write(json.dumps(what) + "\n")


# In the process that starts them -------------------------------------------------------------------------------------


@dataclass
class _Shard:
    """One share of the tests, and the process that is at it."""

    number: int
    log: Path
    process: subprocess.Popen[str] | None = None
    starts: int = 0
    over: bool = False
    results: dict[str, dict[str, Any]] = field(default_factory=dict)


def run(arguments: list[str], count: int, folder: Path, out: TextIO, seconds: float) -> dict[str, Any]:
    """Run pytest with `arguments` in `count` processes at a time, for at most `seconds`.

    Args:
        arguments: of pytest, beside the choice of tests.
        count: processes.
        folder: for what they note.
        out: where they print to.
        seconds: for all.

    Returns:
        `passed`, `failed`, `skipped` and `failures` (`test` and `error` of each), `seconds`, `cut_off`, and `code`.
    """
    started = time.monotonic()
    shards = [_Shard(i, folder / f"{i}.jsonl") for i in range(count)]
    for shard in shards:
        shard.log.touch()
    try:
        while not all(shard.over for shard in shards) and time.monotonic() < started + seconds:
            for shard in shards:
                if not shard.over:
                    _look_after(shard, arguments, count, out)
            time.sleep(0.05)
    finally:
        for shard in shards:
            if not shard.over:
                _end(shard)
                _read(shard)
    found = {name: each for shard in shards for name, each in sorted(shard.results.items())}
    counts = {how: sum(each["outcome"] == how for each in found.values()) for how in ("passed", "failed", "skipped")}
    failures = [{"test": n, "error": each["error"]} for n, each in found.items() if each["outcome"] == "failed"]
    cut = not all(shard.over for shard in shards)
    slow = sorted(found.items(), key=lambda item: -item[1]["seconds"])[:15]
    return {
        **counts, "failures": failures, "cut_off": cut, "code": None if cut else int(bool(failures) or not found),
        "seconds": round(time.monotonic() - started, 1), "slowest": {name: each["seconds"] for name, each in slow},
    }  # fmt: skip


def _look_after(shard: _Shard, arguments: list[str], count: int, out: TextIO) -> None:
    """Start a shard's process, end one that hangs, and take in one that has ended."""
    if shard.process is None:
        extra = {**PLAIN, "GPUGRAD_SHARD": f"{shard.number}/{count}", "GPUGRAD_SHARD_LOG": str(shard.log)}
        shard.starts += 1
        os.utime(shard.log)
        shard.process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "benchmarks.gpu.shards", *arguments],
            stdout=out, stderr=subprocess.STDOUT, cwd=ROOT, env=machine.child_environment(extra),
            start_new_session=True, text=True,
        )  # fmt: skip
        return
    code = shard.process.poll()
    if code is None:
        if time.time() - shard.log.stat().st_mtime < _LONGEST:
            return
        _end(shard)
        code = f"a hang of {_LONGEST:.0f} s"
    begun = _read(shard)
    for name in begun:
        text = f"its process ended with {code} while it ran"
        shard.results[name] = {"test": name, "outcome": "failed", "seconds": 0.0, "error": text}
        print(f"{name}: {text}", file=out, flush=True)
    # 0 and 1: pytest came to its end; 5: no tests were left. Without a test that began nothing else would differ.
    shard.over = code in (0, 1, 5) or not (begun or code == _BROKEN) or shard.starts > _RESTARTS
    shard.process = None
    if shard.over and code not in (0, 1, 5):
        name = f"shard {shard.number}"
        shard.results[name] = {"test": name, "outcome": "failed", "seconds": 0.0, "error": f"ended with {code}"}


def _read(shard: _Shard) -> list[str]:
    """Take in what a shard noted so far; the tests that began and have no outcome, nor are given up."""
    begun: dict[str, None] = {}
    for line in _lines(shard.log):
        if "outcome" in line:
            begun.pop(line["test"], None)
            known = shard.results.get(line["test"])
            if known is None or known["outcome"] != "failed":
                shard.results[line["test"]] = line
        else:
            begun[line["test"]] = None
    return [name for name in begun if name not in shard.results]


def _end(shard: _Shard) -> None:
    if shard.process is not None:
        machine.end(shard.process)


def _lines(log: Path) -> list[dict[str, Any]]:
    found = []
    for line in log.read_text().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:  # the last one, of a process that was ended
            continue
    return found
