"""From turns to figures: times, ratios to PyTorch, goals, and the tables that show them.

Ratios below 1 mean faster than PyTorch. The goal is held against the ratio of the minima: where it and
the median of the paired ratios disagree it is usually a scheduler event that hurt one side.
"""

from __future__ import annotations

import math
import statistics
from typing import Any

from benchmarks import jobs
from benchmarks.jobs import Job

BASELINE = "torch"
# Processors that others kept busy during a turn, above which the turn is called noisy.
_NOISY = 0.15
# Relative difference (to the largest number) above which two libraries did not compute the same thing.
_AGREE = 2e-3


def figures(job: Job, played: dict[str, Any]) -> dict[str, Any]:
    """The record of one job: for each library its best variant, times, ratios, goal and verdict."""
    best = {name: _best_variant(name, played["rounds"]) for name in _libraries(played["rounds"])}
    base = BASELINE if BASELINE in best else None
    record: dict[str, Any] = {"job": job.to_json(), "libraries": {}, "failed": played["failed"]}
    base_min = _all(base, best[base], "min", played["rounds"]) if base else []
    for name, variant in best.items():
        fastest = min(_all(name, variant, "min", played["rounds"]))
        row: dict[str, Any] = {
            "variant": variant,
            "min_s": fastest,
            "median_s": statistics.median(_all(name, variant, "median", played["rounds"])),
            "rounds": len(_all(name, variant, "min", played["rounds"])),
        }
        if base:
            row["ratio_min"] = fastest / min(base_min)
            row["ratio_paired"] = _paired(name, variant, base, best[base], played["rounds"])
        if job.unit == jobs.PER_OP:
            row["us_per_op"] = fastest / job.divisor * 1e6
        _judge(row, job, name)
        record["libraries"][name] = row
    record["noisy_turns"] = _noisy_share(played["rounds"])
    record["disagree"] = _disagreements(played["checks"])
    return record


def _libraries(rounds: list[dict[str, Any]]) -> list[str]:
    return sorted({name for turns in rounds for name in turns})


def _all(name: str | None, variant: str, field: str, rounds: list[dict[str, Any]]) -> list[float]:
    return [
        turns[name]["times"][variant][field] for turns in rounds if name in turns and variant in turns[name]["times"]
    ]


def _best_variant(name: str, rounds: list[dict[str, Any]]) -> str:
    seen = {variant for turns in rounds if name in turns for variant in turns[name]["times"]}
    return min(sorted(seen), key=lambda variant: min(_all(name, variant, "min", rounds)))


def _paired(name: str, variant: str, base: str, base_variant: str, rounds: list[dict[str, Any]]) -> float:
    ratios = []
    for turns in rounds:
        mine = turns.get(name, {}).get("times", {}).get(variant)
        theirs = turns.get(base, {}).get("times", {}).get(base_variant)
        if mine and theirs:
            ratios.append(mine["median"] / theirs["median"])
    return statistics.median(ratios) if ratios else math.nan


def _judge(row: dict[str, Any], job: Job, name: str) -> None:
    goal = job.goals.get(name)
    value = row.get("us_per_op") if job.unit == jobs.PER_OP else row.get("ratio_min")
    if goal is not None and value is not None:
        row["goal"] = goal
        row["met"] = value <= goal


def _noisy_share(rounds: list[dict[str, Any]]) -> float:
    turns = [turn for entry in rounds for turn in entry.values()]
    return sum(turn["others"] > _NOISY for turn in turns) / len(turns) if turns else 0.0


def _disagreements(checks: dict[str, dict[str, list[float]]]) -> list[str]:
    """Variants whose check numbers differ from those of PyTorch's first variant (or of whoever is first)."""
    named = [(f"{name} {variant}", values) for name, many in checks.items() for variant, values in many.items()]
    if not named:
        return []
    reference = next((entry for entry in named if entry[0].startswith(BASELINE)), named[0])
    scale = max(abs(value) for value in reference[1])
    wrong = []
    for label, values in named:
        apart = max(abs(a - b) for a, b in zip(values, reference[1], strict=True))
        if not apart <= _AGREE * scale:
            wrong.append(f"{label} differs from {reference[0]} by {apart:.3g} (scale {scale:.3g})")
    return wrong


def elementwise_summary(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Geometric mean and worst of the elementwise ratios by library and size, with the suite's goals."""
    groups: dict[tuple[str, int], dict[str, float]] = {}
    for record in records:
        if record["job"]["suite"] != "elementwise":
            continue
        for name, row in record["libraries"].items():
            if name != BASELINE and "ratio_min" in row:
                group = groups.setdefault((name, record["job"]["params"]["n"]), {})
                group[record["job"]["name"]] = row["ratio_min"]
    rows = []
    for (name, n), ratios in sorted(groups.items()):
        worst = max(ratios, key=lambda job: ratios[job])
        row: dict[str, Any] = {
            "library": name,
            "n": n,
            "jobs": len(ratios),
            "geometric_mean": statistics.geometric_mean(ratios.values()),
            "worst": ratios[worst],
            "worst_job": worst,
        }
        if name == jobs.WITH_NUMBA:
            large = n > jobs.ELEMENTWISE_CACHE_SIZE
            row["goal_mean"] = None if large else jobs.ELEMENTWISE_MEAN_GOAL
            row["goal_worst"] = jobs.ELEMENTWISE_LARGE_GOAL if large else jobs.ELEMENTWISE_WORST_GOAL
            mean_met = large or row["geometric_mean"] <= jobs.ELEMENTWISE_MEAN_GOAL
            row["met"] = mean_met and row["worst"] <= row["goal_worst"]
        rows.append(row)
    return rows


def bandwidth_summary(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Bytes that gpugrad's kernels move in a second, and as a fraction of what its copy moves."""
    chosen = [record for record in records if record["job"]["suite"] == "bandwidth"]
    rates: dict[str, float] = {}
    for record in chosen:
        row, params = record["libraries"].get(jobs.WITH_NUMBA), record["job"]["params"]
        if row is not None:
            # A VJP reads the cotangent and what was saved, and writes; everything else reads once and writes.
            arrays = 3 if params.get("phase") == "vjp" else 2
            rates[record["job"]["name"]] = arrays * 4 * params["n"] / row["min_s"]
    copy = next((rates[name] for name in rates if name.startswith("copy")), None)
    if copy is None:
        return []
    return [{"job": name, "rate": rate, "fraction": rate / copy} for name, rate in rates.items()]


def _bandwidth_table(rows: list[dict[str, Any]]) -> str:
    lines = ["| gpugrad, bytes moved | GB/s | of the copy |", "|---|---|---|"]
    for row in rows:
        verdict = "meets" if row["fraction"] >= jobs.BANDWIDTH_GOAL else "**misses**"
        goal = "" if row["job"].startswith("copy") else f" {verdict} {jobs.BANDWIDTH_GOAL:.2f}"
        lines.append(f"| {row['job']} | {row['rate'] / 1e9:.1f} | {row['fraction']:.2f}{goal} |")
    return "\n".join(lines)


def cell(row: dict[str, Any] | None, unit: str) -> str:
    """One library's figure as the tables show it: `0.52 (0.54)`, with the verdict if there is a goal."""
    if row is None:
        return "-"
    if unit == jobs.PER_OP:
        text = f"{row['us_per_op']:.2f}"
    elif "ratio_min" in row:
        text = f"{row['ratio_min']:.2f} ({row['ratio_paired']:.2f})"
    else:
        text = f"{row['min_s'] * 1e3:.3f} ms"
    if "goal" in row:
        text += f" {'meets' if row['met'] else '**misses**'} {row['goal']:.2f}"
    return text


def markdown(records: list[dict[str, Any]]) -> str:
    """The records as Markdown tables: one row a job, one column a library."""
    parts = []
    for unit in (jobs.RATIO, jobs.PER_OP):
        chosen = [record for record in records if record["job"]["unit"] == unit and record["libraries"]]
        if chosen:
            parts.append(_table(chosen, unit))
    summary = elementwise_summary(records)
    if summary:
        parts.append(summary_table(summary))
    fractions = bandwidth_summary(records)
    if fractions:
        parts.append(_bandwidth_table(fractions))
    return "\n\n".join(parts)


def _table(records: list[dict[str, Any]], unit: str) -> str:
    order = ["gpugrad", "gpugrad-numpy", "jax", "autograd", "numpy"]
    names = [name for name in order if any(name in record["libraries"] for record in records)]
    if unit == jobs.PER_OP:
        names = ["torch", *names]
        lines = ["| job, us an operation | " + " | ".join(names) + " | noisy turns |"]
    else:
        lines = ["| job | torch ms, min (median) | " + " | ".join(names) + " | noisy turns |"]
    lines.append("|---" * (lines[0].count("|") - 1) + "|")
    for record in records:
        rows = record["libraries"]
        cells = [record["job"]["name"]]
        if unit == jobs.RATIO:
            torch = rows.get(BASELINE)
            text = f"{torch['min_s'] * 1e3:.3f} ({torch['median_s'] * 1e3:.3f}) {torch['variant']}" if torch else "-"
            cells.append(text)
        cells += [cell(rows.get(name), unit) for name in names]
        cells.append(f"{record['noisy_turns'] * 100:.0f} %")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def summary_table(summary: list[dict[str, Any]]) -> str:
    """The rows of `elementwise_summary` as a Markdown table."""
    lines = [
        "| elementwise, x torch | size | geometric mean | worst | goals |",
        "|---|---|---|---|---|",
    ]
    for row in summary:
        goals = "-"
        if "met" in row:
            mean = f"mean {row['goal_mean']:.2f}, " if row["goal_mean"] else ""
            goals = f"{'meets' if row['met'] else '**misses**'} {mean}worst {row['goal_worst']:.2f}"
        worst = f"{row['worst']:.2f} ({row['worst_job']})"
        lines.append(f"| {row['library']} | {row['n']:.0e} | {row['geometric_mean']:.2f} | {worst} | {goals} |")
    return "\n".join(lines)
