"""What the figures of `python -m benchmarks.gpu` are held against, and how each goal came out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Goal:
    """A bound that one figure of every job it names must keep.

    Attributes:
        jobs: a regular expression for the names of jobs; of kernels for "copy".
        ours: the sides of gpugrad, of which the best counts.
        figure: "time" or "peak" (at most `limit` times that of `peer`), "ceiling" (at least that share of the job's),
            or "copy" (at least that share of a copy's bandwidth, of a kernel alone).
        limit: the bound.
        peer: the side that it is relative to; "" for a ceiling.
    """

    jobs: str
    ours: tuple[str, ...]
    figure: str
    limit: float
    peer: str = ""

    def text(self) -> str:
        """The goal in words."""
        who = " or ".join(self.ours)
        if not self.peer:
            return f"{who}: at least {self.limit:.0%} of the {self.figure}"
        return f"{who}: {self.figure} at most {self.limit:g}x {self.peer}"


_OURS: Final = ("gpugrad eager", "gpugrad captured")
_KERNELS: Final = r" 10\^"
GOALS: Final = (
    Goal("", ("kernels",), "copy", 0.85),
    Goal("^mlp large", _OURS, "time", 1.0, "torch compiled"),
    Goal("^mlp large", _OURS, "ceiling", 0.75),
    Goal("^mlp small", ("gpugrad captured",), "time", 0.5, "torch eager"),
    Goal("^mlp small", ("gpugrad captured",), "time", 1.0, "torch graph"),
    Goal("^mlp small", ("gpugrad eager",), "time", 1.2, "torch eager"),
    Goal(_KERNELS, _OURS, "ceiling", 0.85),
    Goal(_KERNELS, _OURS, "time", 1.0, "torch compiled"),
    Goal(f"^mlp|{_KERNELS}", ("gpugrad eager",), "peak", 1.0, "torch eager"),
    Goal(f"^mlp|{_KERNELS}", ("gpugrad captured",), "peak", 1.0, "torch eager"),
    Goal("^resnet50", ("gpugrad cudnn",), "time", 1.1, "torch eager"),
    Goal("^resnet50", ("gpugrad im2col",), "time", 4.0, "torch eager"),
    Goal("^conv .* bfloat16 ", ("gpugrad cudnn",), "time", 1.05, "torch eager"),
    Goal("^conv .* tf32 ", ("gpugrad cudnn",), "time", 1.05, "torch eager"),
)


def verdicts(record: dict[str, Any]) -> list[dict[str, Any]]:
    """How each goal came out.

    Args:
        record: as `python -m benchmarks.gpu` writes it: "jobs", "ceilings" and "bandwidth".

    Returns:
        For each goal: `goal` and `jobs` in words, the `worst` value of all its jobs and the job `where` it was (None
        and "" where nothing was measured), how many jobs were `measured` and how many there `are`, and the `verdict`:
        "met", "missed", or "not measured" where a job that might still miss it has no figure.
    """
    found = []
    for goal in GOALS:
        if goal.figure == "copy":
            every: dict[str, float | None] = {each["name"]: each["share_of_copy"] for each in record["bandwidth"]}
        else:
            every = {name: _value(goal, job, record) for name, job in record["jobs"].items()}
        values = {name: value for name, value in every.items() if re.search(goal.jobs, name)}
        known = {name: value for name, value in values.items() if value is not None}
        least = not goal.peer
        where = (min if least else max)(known, key=known.__getitem__, default="")
        worst = known.get(where)
        kept = worst is not None and (worst >= goal.limit if least else worst <= goal.limit)
        verdict = "missed" if known and not kept else "met" if kept and len(known) == len(values) else "not measured"
        found.append(
            {"goal": goal.text(), "jobs": goal.jobs, "worst": worst, "where": where, "measured": len(known),
             "are": len(values), "verdict": verdict}
        )  # fmt: skip
    return found


def _value(goal: Goal, job: dict[str, Any], record: dict[str, Any]) -> float | None:
    """The figure of one job; None where it was not measured."""
    key = "peak_bytes" if goal.figure == "peak" else "seconds"
    ours = [found for name in goal.ours if (found := job["sides"].get(name, {}).get(key)) is not None]
    if not ours:
        return None
    if goal.figure == "ceiling":
        ceiling, work = record["ceilings"].get(job["ceiling"]), job["flops"] or job["bytes"]
        return float(work / min(ours) / ceiling) if ceiling and work else None
    theirs = job["sides"].get(goal.peer, {}).get(key)
    return min(ours) / theirs if theirs else None


def table(found: list[dict[str, Any]]) -> list[str]:
    """The verdicts as lines of a table."""
    lines = ["| goal | jobs | worst | where | verdict |", "|---|---|---|---|---|"]
    for each in found:
        worst = "-" if each["worst"] is None else f"{each['worst']:.2f}"
        jobs = each["jobs"].replace("|", " or ")  # would end the cell
        lines.append(
            f"| {each['goal']} | `{jobs}` ({each['measured']} of {each['are']}) | {worst} | {each['where']} | "
            f"{each['verdict']} |"
        )
    return lines
