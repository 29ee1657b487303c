"""The figures that decide whether training on a GPU is as fast as the hardware lets it be, in one call of 8 minutes.

    python -m benchmarks.gpu [--device cuda] [--seconds 460] [--only REGEX] [--tiny] [--out FOLDER]

Parity with the CPU first, then the ceilings, each job in gpugrad, in PyTorch (eager and in a CUDA graph, then compiled)
and JAX, and what of the ceilings they reach. What does not fit into the time is listed as left out, what fails as
failed with its error; the rest is measured. `gpu-figures.json` and `gpu-figures.md`, the goals first, are written anew
with each figure. Jobs are in `jobs`, how the others do them in `torch_jobs` and `jax_jobs`, what is asked of us in
`goals`, the processes that run them in `parts`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.gpu import goals, jobs, parts
from benchmarks.paired import RESULTS
from gpugrad.cli import info


class Record:
    """What was found so far, in its two files.

    Args:
        options: the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.values: dict[str, Any] = {
            "device": options.device,
            "tiny": options.tiny,
            "machine": machine.describe(),
            "about": dict(info.collect().found),
            "parity": {"operations": 0, "wrong": []},
            "ceilings": {},
            "bandwidth": [],
            "refused": {},
            "jobs": {
                job.name: {
                    "what": job.what,
                    "flops": job.flops(options.tiny),
                    "bytes": job.bytes(options.tiny),
                    "ceiling": job.ceiling,
                    "sides": {},
                }
                for job in jobs.JOBS
                if re.search(options.only, job.name)
            },
            "failed": [],
            "parts": {},
        }

    def put(self, key: str, value: Any) -> None:
        """Take in one figure, and write the files."""
        found, (name, _, rest) = self.values, key.partition("|")
        failed = isinstance(value, dict) and value.get("error")
        if failed:
            found["failed"].append(key)
        if name == "parity":
            found["parity"]["operations"] += 1
            if not self._agrees(value):
                given = {"name": rest, "forward": float("inf"), "backward": None, **value}
                found["parity"]["wrong"].append(given)
        elif name == "ceiling" and not failed:
            found["ceilings"][rest] = value
        elif name == "bandwidth" and not failed:
            found["bandwidth"] = value
        elif name == "refused" and not failed:
            found["refused"][rest] = value
        elif name in found["jobs"]:
            found["jobs"][name]["sides"][rest] = value
        self.write()

    @staticmethod
    def _agrees(value: dict[str, Any]) -> bool:
        from gpugrad.cli.check import Found

        return "name" in value and Found(**value).ok

    def write(self) -> None:
        """Write both files as they now are."""
        self.values["goals"] = goals.verdicts(self.values)
        self.options.out.mkdir(parents=True, exist_ok=True)
        (self.options.out / "gpu-figures.json").write_text(json.dumps(self.values, indent=1) + "\n")
        (self.options.out / "gpu-figures.md").write_text(table(self.values))


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
    lines += [f"- {name} has no figures: {why}" for name, why in record["parts"].items() if why]
    for who, what in record["refused"].items():
        lines += [f"- {who}: {len(what)} refused", *(f"  - {name}: {why}" for name, why in list(what.items())[:5])]
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


def main(arguments: list[str] | None = None, apart: bool = True) -> int:
    """Measures and writes; 0: all agreed and ran; 1: something was wrong, failed or was left out; 2: no such device.

    `apart` is whether parts have processes of their own.
    """
    options = parse(arguments)
    import gpugrad as gg

    try:
        gg.zeros(1, device=options.device)
    except (gg.DeviceError, ValueError) as error:
        print(f"benchmarks.gpu: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    deadline = time.monotonic() + options.seconds
    record = Record(options)

    def put(key: str, value: Any) -> None:
        record.put(key, value)
        print(key, json.dumps(value), flush=True)

    left_out: list[str] = []
    for part in parts.PARTS:
        before = time.monotonic()
        if apart:
            why = parts.run(part, options, deadline, put)
        else:
            why = ""
            parts.work(part, options, set(), lambda said: put(said["key"], said["value"]) if "key" in said else None)
        print(f"# {part.name}: {time.monotonic() - before:.1f} s{why and ', '}{why}", flush=True)
        record.values["parts"][part.name] = why
        known = {f"{name}|{side}" for name, job in record.values["jobs"].items() for side in job["sides"]}
        missing = [key for key in parts.keys(part, options) if key not in known] if apart and not why else []
        left_out += missing
        for key in missing:
            record.put(key, {"left_out": "no time left"})
    record.write()
    print(table(record.values))
    wrong = record.values["parity"]["wrong"] or record.values["failed"] or left_out
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
