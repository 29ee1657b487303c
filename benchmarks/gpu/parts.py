"""The parts of `python -m benchmarks.gpu`: processes one after the other, each of which tells a figure as it has it.

A library has a process of its own, so that none shares memory or a failed device with another. One that hangs, crashes
or leaves the device in an error is ended, and the rest of its part goes on in a new one. The most telling parts are the
first. Every figure has a key: "parity|<operation>", "ceiling|<name>", "bandwidth", "refused|<library>" or
"<job>|<side>".
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from benchmarks import machine
from benchmarks.gpu import jax_jobs, jobs, torch_jobs

ROOT: Final = Path(__file__).resolve().parents[2]
ROUNDS: Final = 3  # of which the fastest counts
_ELEMENTS: Final = 97_657 * 1024  # 10^8, of the arrays that kernels' bandwidth is measured on
_SECONDS: Final = {"conv": 0.05, "kernel": 0.1}  # of a round, where there are many short jobs; 0.4 for the others
_WARM: Final = 0.05  # seconds of work before a measurement: an idle device has a slow clock
_LONGEST: Final = 60.0  # seconds of one figure, or of the libraries' imports; more is taken for a hang
_COMPILING: Final = 120.0  # the same where compilers, or cuDNN's plans of a whole network, are part of it


@dataclass(frozen=True)
class Part:
    """What one process does.

    Attributes:
        name: of it.
        library: that must be installed; "" for gpugrad.
        sides: which sides of jobs, a regular expression.
        kinds: of which jobs.
    """

    name: str
    library: str = ""
    sides: str = "^gpugrad "
    kinds: tuple[str, ...] = ()


_STEPS: Final = ("mlp", "kernel", "resnet")
PARTS: Final = (
    Part("parity"),
    Part("ceilings"),
    Part("gpugrad", kinds=_STEPS),
    Part("torch", "torch", "^torch (eager|graph)$", _STEPS),
    Part("torch compiled", "torch", "^torch compiled$", _STEPS),
    Part("gpugrad's convolutions", kinds=("conv",)),
    Part("torch's convolutions", "torch", "^torch ", ("conv",)),
    Part("jax", "jax", "^jax ", _STEPS),
    Part("torch reduced", "torch", "^torch reduced$", _STEPS),
)


def chosen(part: Part, options: argparse.Namespace) -> Iterator[tuple[jobs.Job, str]]:
    """The jobs of a part and who does them."""
    if part.library and importlib.util.find_spec(part.library) is None:
        return
    for job in jobs.JOBS:
        if job.kind in part.kinds and re.search(options.only, job.name):
            for side in sides(job, options.device):
                if re.search(part.sides, side):
                    yield job, side


def sides(job: jobs.Job, device: str) -> list[str]:
    """Who does a job: gpugrad in its ways, then PyTorch in its, then JAX."""
    ours = [f"gpugrad {way}" for way in job.ways]
    return [*ours, *(f"torch {way}" for way in torch_jobs.ways(job, device)), *(f"jax {w}" for w in jax_jobs.ways(job))]


def keys(part: Part, options: argparse.Namespace) -> list[str]:
    """What a part is to find, as far as that is known before it has begun."""
    return [f"{job.name}|{side}" for job, side in chosen(part, options)]


# In the process of a part --------------------------------------------------------------------------------------------


def tasks(part: Part, options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The figures of a part, each with the call that finds it."""
    if part.name == "parity":
        from gpugrad.cli import check
        from gpugrad.cli.check_cases import cases

        for case in cases(check._PARITY["cuda"]):
            if re.search(options.parity, case.name):
                yield f"parity|{case.name}", lambda case=case: asdict(check.compared(case, options.device))
    elif part.name == "ceilings":
        from gpugrad.cli import check

        for name in jobs.CEILINGS:
            yield f"ceiling|{name}", lambda name=name: jobs.ceiling(name, options.device, options.tiny)
        size = 1 << 12 if options.tiny else _ELEMENTS
        yield "bandwidth", lambda: [vars(b) for b in check.bandwidths(options.device, size)]
    for job, side in chosen(part, options):
        yield f"{job.name}|{side}", lambda job=job, side=side: one(job, side, options)
    if part.name.startswith("gpugrad") and options.device != "cpu":
        import gpugrad as gg

        yield f"refused|cuBLASLt, {part.name}", gg.cuda.matmul_refusals
        yield f"refused|cuDNN, {part.name}", gg.cuda.convolution_refusals


def work(part: Part, options: argparse.Namespace, done: set[str], tell: Callable[[dict[str, Any]], None]) -> int:
    """Find what is not done yet; 0 when through, 3 where the device is left in an error."""
    module = {"torch": torch_jobs, "jax": jax_jobs}.get(part.library)
    if module is not None and not module.available(options.device):
        tell({"unavailable": f"{part.library} has no {options.device}"})
        return 0
    for key, call in tasks(part, options):
        if key in done:
            continue
        tell({"start": key})
        try:
            value = call()
        except Exception as error:  # what fails must not take the others' figures with it
            value = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"}
        failed = isinstance(value, dict) and value.get("error")
        tell({"key": key, "value": value})
        gc.collect()
        if failed and (problem := _broken(part, options.device)):
            tell({"broken": problem})
            return 3
        _give_back(part, options.device)
    return 0


def _broken(part: Part, device: str) -> str:
    """What the device says after an error that it cannot recover from; "" where all is well."""
    try:
        if part.library == "torch" and device != "cpu":
            import torch

            torch.cuda.synchronize()
        elif not part.library:
            from gpugrad.backend import backend_for

            backend_for(device).synchronize()
    except Exception as error:
        return " ".join(str(error).split())[:300]
    return ""


def _give_back(part: Part, device: str) -> None:
    """Return idle memory, so that the next job starts as the first one did."""
    if device == "cpu":
        return
    if part.library == "torch":
        import torch

        torch.cuda.empty_cache()
    elif not part.library:
        import gpugrad as gg

        gg.cuda.empty_cache()


def one(job: jobs.Job, side: str, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds a step and peak memory of one side of a job."""
    library, _, way = side.partition(" ")
    device, tiny = options.device, options.tiny
    if library == "jax":
        made = jax_jobs.theirs(job, device, tiny)
    else:
        made = (jobs.ours if library == "gpugrad" else torch_jobs.theirs)(job, way, device, tiny)
    return timed(made, _SECONDS.get(job.kind, 0.4), 0.0 if tiny else _WARM)


def timed(side: jobs.Side, round_seconds: float, warm: float) -> dict[str, Any]:
    """The fastest of some rounds of many steps each, waited for at the end of a round only."""
    for _ in range(3):  # compiles, plans, captures
        side.step()
    side.synchronize()
    once, warmed = float("inf"), time.perf_counter() + warm
    while True:
        start = time.perf_counter()
        side.step()
        side.synchronize()
        now = time.perf_counter()
        once = min(once, now - start)
        if now >= warmed:
            break
    steps = max(1, min(500, int(round_seconds / max(once, 1e-6))))
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(steps):
            side.step()
        side.synchronize()
        times.append((time.perf_counter() - start) / steps)
    return {"seconds": min(times), "spread": max(times) / min(times) - 1, "steps": steps, "peak_bytes": side.peak()}


# In the process that starts them -------------------------------------------------------------------------------------


def run(part: Part, options: argparse.Namespace, deadline: float, put: Callable[[str, Any], None]) -> str:
    """Run a part apart until it is through or the time is over; `put` is given each figure as it comes.

    Returns:
        Why it has no figures at all; "" where it has, or had no time.
    """
    done: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.jsonl"
        while time.monotonic() < deadline:
            told.write_text("")
            with told.open() as lines:
                code, started, why = _watched(part, options, deadline, told, lines, done, put)
            if why or code == 0 or (started is None and code != 3):
                return why or ("" if code == 0 or time.monotonic() >= deadline else f"its process ended with {code}")
    return ""


def _watched(
    part: Part, options: argparse.Namespace, deadline: float, told: Path, lines: TextIO, done: set[str],
    put: Callable[[str, Any], None],
) -> tuple[int | str, str | None, str]:  # fmt: skip
    """One process of a part, from its start to its end: how it ended, at what figure, and why it has none."""
    given = ["--device", options.device, "--only", options.only, "--parity", options.parity]
    command = [sys.executable, "-m", "benchmarks.gpu.parts", part.name, str(told), *given]
    command += ["--tiny"] if options.tiny else []
    environment = machine.child_environment({"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "GPUGRAD_NUMBA": "0"})
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=sys.stderr, start_new_session=True, text=True
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(sorted(done)))
    process.stdin.close()
    most = _COMPILING if set(part.kinds) & set(_STEPS) else _LONGEST
    at, started, why, code = None, time.monotonic(), "", None
    while code is None:
        code = process.poll()
        for line in iter(lines.readline, ""):
            said = json.loads(line)
            why = said.get("unavailable", why)
            at, started = said.get("start", at), time.monotonic()
            if "key" in said:
                at = None
                done.add(said["key"])
                put(said["key"], said["value"])
        if code is not None:
            break
        if time.monotonic() > min(deadline, started + most):
            machine.end(process)
            code = "a signal" if time.monotonic() > deadline else f"a hang of {most:.0f} s"
        time.sleep(0.02)
    if at is not None and time.monotonic() < deadline:
        done.add(at)
        put(at, {"error": f"its process ended with {code}"})
    return code, at, why


def main() -> int:
    """The process of one part: the keys that are done come on stdin, what it finds goes to a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.parts")
    parser.add_argument("part", choices=[part.name for part in PARTS])
    parser.add_argument("told", type=Path)
    for name in ("--device", "--only", "--parity"):
        parser.add_argument(name, default="")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    machine.end_with_parent()
    done = set(json.loads(sys.stdin.read()))
    with options.told.open("a") as out:

        def tell(what: dict[str, Any]) -> None:
            out.write(json.dumps(what) + "\n")
            out.flush()

        return work(next(part for part in PARTS if part.name == options.part), options, done, tell)


if __name__ == "__main__":
    sys.exit(main())
