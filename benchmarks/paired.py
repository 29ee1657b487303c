"""The paired runner: every library in a process of its own, taking turns, its time divided by PyTorch's.

    python -m benchmarks.paired --suite mlp --only "B128 relu" --libs gpugrad,torch --quick

Thread pools of two libraries in one process spoil each other, hence the processes; one is active at a time.
A full, unfiltered run of a suite is the record: it is written to `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks import machine, memory, report
from benchmarks.jobs import SUITES, Job, control_job, timed_jobs
from benchmarks.libs import LIBRARIES
from benchmarks.pool import Pool

RESULTS = Path(__file__).resolve().parent / "results"
DEFAULT_LIBRARIES = ("torch", "gpugrad", "gpugrad-numpy", "jax", "autograd", "numpy")
# scale -> rounds, seconds for each variant in a turn, calls at least.
_EFFORT = {"full": (7, 0.15, 3), "quick": (3, 0.08, 2), "smoke": (2, 0.0, 1)}
# Share of noisy turns above which the page says so in words.
_DISTURBED = 0.2
# The elementwise suite has many jobs of many calls each.
_EFFORT_ELEMENTWISE = (5, 0.08, 3)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paired", description=__doc__.split("\n")[0])
    parser.add_argument("--suite", default="all", help=f"one of {', '.join(SUITES)}, bandwidth; a comma list; or all")
    parser.add_argument("--only", default="", metavar="REGEX", help="jobs whose name the expression finds")
    parser.add_argument("--libs", default=",".join(DEFAULT_LIBRARIES), help="comma list: " + ",".join(LIBRARIES))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--quick", action="store_true", help="fewer and shorter rounds; not a record")
    effort.add_argument("--smoke", action="store_true", help="tiny sizes, to see that everything runs; not a record")
    parser.add_argument("--rounds", type=int, help="rounds for each job")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    parser.add_argument("--quiet-wait", type=float, default=3.0, help="seconds to wait for a quiet machine, each turn")
    parser.add_argument("--quiet-total", type=float, default=120.0, help="seconds that all such waits may take")
    parser.add_argument("--no-record", action="store_true", help="do not write into benchmarks/results/")
    parser.add_argument("--verbose", action="store_true", help="show what the workers print")
    options = parser.parse_args(arguments)
    options.libs = [name.strip() for name in options.libs.split(",") if name.strip()]
    options.suites = list(SUITES) if options.suite == "all" else options.suite.split(",")
    unknown = [name for name in options.libs if name not in LIBRARIES]
    unknown += [name for name in options.suites if name not in (*SUITES, "bandwidth")]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; libraries: {', '.join(LIBRARIES)}; suites: {', '.join(SUITES)}")
    try:
        re.compile(options.only)
    except re.error as error:
        parser.error(f"--only {options.only!r} is not a regular expression: {error}")
    options.scale = "smoke" if options.smoke else "quick" if options.quick else "full"
    return options


def say(text: str) -> None:
    """Prints a line of progress to stderr."""
    print(text, file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the chosen suites; returns the whole record, ready for JSON."""
    wanted = re.compile(options.only)
    record: dict[str, Any] = {
        "device": options.device,
        "scale": options.scale,
        "only": options.only,
        "machine": machine.describe(),
        "suites": {},
    }
    timed = [name for name in options.suites if name != "memory"]
    if timed:
        _run_timed(options, timed, record, wanted)
    if "memory" in options.suites:
        say("memory: each probe in a process of its own")
        found = memory.run(options.libs, options.device, options.scale, lambda name: bool(wanted.search(name)))
        record["suites"]["memory"] = found
    return record


def _run_timed(options: argparse.Namespace, suites: list[str], record: dict[str, Any], wanted: re.Pattern[str]) -> None:
    smoke = options.scale == "smoke"
    quiet = (
        machine.QuietWait(options.quiet_wait, 0.0, 0.0)
        if smoke
        else machine.QuietWait(options.quiet_wait, options.quiet_total)
    )
    pool = Pool(options.libs, options.device, quiet, options.verbose)
    try:
        record["left_out"] = pool.left_out
        for name, reason in pool.left_out.items():
            say(f"left out: {name} ({reason})")
        record["workers"] = pool.facts()
        record["control"] = _figures(pool, control_job(), options)
        for suite in suites:
            chosen = [job for job in timed_jobs(suite, options.scale) if wanted.search(job.name)]
            record["suites"][suite] = [_figures(pool, job, options) for job in chosen]
    finally:
        pool.close()


def _figures(pool: Pool, job: Job, options: argparse.Namespace) -> dict[str, Any]:
    rounds, seconds, calls = _EFFORT[options.scale]
    if options.scale == "full" and job.suite == "elementwise":
        rounds, seconds, calls = _EFFORT_ELEMENTWISE
    figures = report.figures(
        job, pool.play(job, options.rounds or rounds, seconds, calls, 0.0 if options.scale == "smoke" else 0.02)
    )
    figures["load_after"] = machine.load()
    if job.kind != "control":
        parts = [f"{name} {report.cell(row, job.unit)}" for name, row in figures["libraries"].items()]
        say(f"{job.name}: " + "; ".join(parts).replace("**", ""))
    for name, reason in figures["failed"].items():
        say(f"  FAILED {name}: {reason}")
    for line in figures["disagree"]:
        say(f"  DISAGREES: {line}")
    return figures


def document(record: dict[str, Any], tables: bool = True) -> str:
    """The record as a Markdown page: where it was measured and, with `tables`, one table a suite."""
    about = record["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    cores = {facts.get("openblas", "unknown") for facts in record.get("workers", {}).values()} - {"no OpenBLAS"}
    gpus = {facts["device"] for facts in record.get("workers", {}).values() if "device" in facts}
    lines = [
        f"{about['cpu']} (family/model {about['cpu_family_and_model']}), {about['cores']} cores,",
        f"{about['memory_gib']} GiB, {about['system']},",
        f"Python {about['python']};",
        f"{versions}; OpenBLAS core type {', '.join(sorted(cores)) or 'not recorded'}; {about['date']}.",
    ]
    if record["device"] == "cuda":
        lines.append(f"Device: {', '.join(sorted(gpus))}.")
    shares = [entry["noisy_turns"] for found in record["suites"].values() for entry in found if "job" in entry]
    if shares and (share := sum(shares) / len(shares)) > _DISTURBED:
        lines.append(f"**Others were busy in {share * 100:.0f} % of the turns: directions, not figures.**")
    if record["scale"] != "full":
        lines.append(f"This was a {record['scale']} run: not a record.")
    parts = ["\n".join(lines)]
    for suite, records in record["suites"].items():
        if records and tables:
            parts.append(memory.markdown(records) if suite == "memory" else report.markdown(records))
    return "\n\n".join(parts) + "\n"


def save(record: dict[str, Any]) -> list[Path]:
    """Writes one JSON and one Markdown file for each suite into `benchmarks/results/`."""
    RESULTS.mkdir(exist_ok=True)
    written = []
    for suite, records in record["suites"].items():
        alone = {**record, "suites": {suite: records}}
        path = RESULTS / f"{record['device']}-{suite}.json"
        path.write_text(json.dumps(alone, indent=1) + "\n")
        path.with_suffix(".md").write_text(document(alone))
        written += [path, path.with_suffix(".md")]
    return written


def succeeded(record: dict[str, Any]) -> bool:
    """False where a library failed at a job or computed something else; goals do not count."""
    for suite, records in record["suites"].items():
        for entry in records:
            if suite == "memory" and any("failed" in row for row in entry["libraries"].values()):
                return False
            if entry.get("failed") or entry.get("disagree"):
                return False
    return True


def main(arguments: list[str] | None = None) -> int:
    """Runs, prints the tables, writes the record; 1 where a library failed or disagreed."""
    options = parse(arguments)
    record = run(options)
    print(document(record))
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    if options.scale == "full" and not options.only and not options.no_record:
        for path in save(record):
            say(f"written: {path}")
    return 0 if succeeded(record) else 1


if __name__ == "__main__":
    sys.exit(main())
