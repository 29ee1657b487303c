"""The figures that decide whether training on a GPU is as fast as the hardware lets it be, in one call of 8 minutes.

    python -m benchmarks.gpu [--device cuda] [--seconds 460] [--only REGEX] [--tiny] [--out FOLDER]

Parity with the CPU first, then each job with PyTorch (eager, compiled, in CUDA graphs) and JAX beside it, in turns, and
the share of the measured ceilings. What does not fit into the time is listed as left out, what fails as failed with its
error; the rest is measured. Writes `gpu-figures.json` and `gpu-figures.md`, the goals first. Jobs are in `jobs`, how
the others do them in `torch_jobs` and `jax_jobs`, what is asked of us in `goals`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.gpu import goals, jax_jobs, jobs, torch_jobs
from benchmarks.paired import RESULTS
from gpugrad.cli import check, info
from gpugrad.cli.check_cases import cases

ROUNDS = 3  # each side in turn, of which the fastest counts
_ELEMENTS = 97_657 * 1024  # 10^8, of the arrays that kernels' bandwidth is measured on
_SECONDS = {"conv": 0.06, "kernel": 0.2}  # of a round, where there are many short jobs; 0.4 for the others


def parity(device: str, pattern: str) -> dict[str, Any]:
    """How many operations agree with the CPU, and those that do not."""
    size = check._PARITY["cuda"]
    found = [check.compared(case, device) for case in cases(size) if re.search(pattern, case.name)]
    return {"operations": len(found), "wrong": [asdict(f) for f in found if not f.ok]}


def sides(job: jobs.Job, device: str, tiny: bool) -> dict[str, Callable[[], jobs.Side]]:
    """Who does the job: gpugrad in its ways, then PyTorch in its, then JAX, each made when its turn comes."""
    made: dict[str, Callable[[], jobs.Side]] = {}
    for name in job.ways:
        made[f"gpugrad {name}"] = lambda name=name: jobs.ours(job, name, device, tiny)
    if torch_jobs.available(device):
        for name in torch_jobs.ways(job, device):
            made[f"torch {name}"] = lambda name=name: torch_jobs.theirs(job, name, device, tiny)
    if jax_jobs.ways(job) and jax_jobs.available(device):
        made["jax jit"] = lambda: jax_jobs.theirs(job, device, tiny)
    return made


def measure(job: jobs.Job, device: str, tiny: bool, deadline: float) -> dict[str, Any]:
    """Seconds a step and peak memory of each side; an error, or that no time was left, in the place of one."""
    found: dict[str, Any] = {}
    for name, make in sides(job, device, tiny).items():
        if time.monotonic() > deadline:
            found[name] = {"left_out": "no time left"}
            continue
        try:
            found[name] = _one(make(), _SECONDS.get(job.kind, 0.4))
        except Exception as error:  # a job that fails must not take the others' figures with it
            found[name] = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"}
    return {"what": job.what, "flops": job.flops(tiny), "bytes": job.bytes(tiny), "sides": found}


def _one(side: jobs.Side, round_seconds: float) -> dict[str, Any]:
    for _ in range(3):  # compiles, plans, captures
        side.step()
    side.synchronize()
    start = time.perf_counter()
    side.step()
    side.synchronize()
    steps = max(1, min(200, int(round_seconds / max(time.perf_counter() - start, 1e-6))))
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(steps):
            side.step()
        side.synchronize()
        times.append((time.perf_counter() - start) / steps)
    return {"seconds": min(times), "spread": max(times) / min(times) - 1, "steps": steps, "peak_bytes": side.peak()}


def table(record: dict[str, Any]) -> str:
    """The record as text."""
    lines = [f"# Figures on {record['device']}", ""]
    lines += [f"- {key}: {value}" for key, value in record["about"].items()]
    wrong = record["parity"]["wrong"]
    lines += ["", f"Parity: {record['parity']['operations'] - len(wrong)} of {record['parity']['operations']} agree."]
    lines += [f"- WRONG {w['name']}: {w['forward']:.1e}, {w['backward']} {w['error']}" for w in wrong]
    ceilings = record["ceilings"]
    lines += ["", "Ceilings: " + ", ".join(f"{name} {value / 1e12:.3g} T/s" for name, value in ceilings.items()) + "."]
    lines += ["", *goals.table(record["goals"])]
    lines += ["", "| job | side | ms a step | of the ceiling | peak MiB |", "|---|---|---|---|---|"]
    for name, job in record["jobs"].items():
        for side, found in job["sides"].items():
            if "seconds" not in found:
                lines.append(f"| {name} | {side} | {found.get('error') or found.get('left_out')} | | |")
                continue
            ceiling = ceilings.get(job.get("ceiling", ""), 0)
            work = job["flops"] or job["bytes"]
            share = f"{work / found['seconds'] / ceiling:.0%}" if ceiling and work else "-"
            peak = "-" if found["peak_bytes"] is None else f"{found['peak_bytes'] / 2**20:.0f}"
            lines.append(f"| {name} | {side} | {found['seconds'] * 1e3:.3f} | {share} | {peak} |")
    lines += ["", "| kernel | GB/s | of a copy |", "|---|---|---|"]
    lines += [f"| {b['name']} | {b['bytes_per_s'] / 1e9:.1f} | {b['share_of_copy']:.0%} |" for b in record["bandwidth"]]
    return "\n".join(lines) + "\n"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=460.0, help="for everything together")
    parser.add_argument("--only", default="", metavar="REGEX", help="jobs whose name it finds")
    parser.add_argument("--tiny", action="store_true", help="smallest sizes: a rehearsal, its times mean nothing")
    parser.add_argument("--parity", default="", metavar="REGEX", help="operations to compare")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the two files go")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measures and writes; 0: all agreed and ran; 1: something was wrong, failed or was left out; 2: no such device."""
    options = parse(arguments)
    import gpugrad as gg

    try:
        gg.zeros(1, device=options.device)
    except (gg.DeviceError, ValueError) as error:
        print(f"benchmarks.gpu: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    deadline = time.monotonic() + options.seconds
    chosen = [job for job in jobs.JOBS if re.search(options.only, job.name)]
    record: dict[str, Any] = {
        "device": options.device,
        "tiny": options.tiny,
        "machine": machine.describe(),
        "about": dict(info.collect().found),
        "parity": parity(options.device, options.parity),
        "ceilings": jobs.ceilings(options.device, options.tiny),
    }
    found = check.bandwidths(options.device, 1 << 12 if options.tiny else _ELEMENTS)
    record["bandwidth"] = [vars(b) for b in found]
    record["jobs"] = {}
    for job in chosen:
        record["jobs"][job.name] = {**measure(job, options.device, options.tiny, deadline), "ceiling": job.ceiling}
        print(job.name, json.dumps(record["jobs"][job.name]["sides"]), flush=True)
    record["goals"] = goals.verdicts(record)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gpu-figures.json").write_text(json.dumps(record, indent=1) + "\n")
    (options.out / "gpu-figures.md").write_text(table(record))
    print(table(record))
    each = [found for job in record["jobs"].values() for found in job["sides"].values()]
    return 0 if not record["parity"]["wrong"] and all("seconds" in found for found in each) else 1


if __name__ == "__main__":
    sys.exit(main())
