"""The gate: a report held against an earlier one, and the rows that got slower, larger or hungrier.

What does not depend on the moment (FLOPs, bytes, launches, memory) is compared first, then ratios, then times. Times
and ratios must change by more than their own spread besides, so that a noisy machine raises no alarm.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import CostError
from .machine import SAME
from .report import LayerCost, Phase, Report

_LARGE = 0.05  # share of the step below which the times of a layer are not compared: too short to tell


@dataclass(frozen=True)
class Regression:
    """One figure that grew by more than was allowed."""

    layer: str
    what: str
    before: float
    after: float

    @property
    def change(self) -> float:
        """The growth as a fraction of what it was; infinite where it was nothing."""
        return self.after / self.before - 1 if self.before else float("inf")


def read_baseline(path: str | Path) -> Report:
    """The report in a file.

    Raises:
        CostError: it cannot be read, or is no report of this version.
    """
    try:
        values = json.loads(Path(path).read_text())
    except OSError as error:
        raise CostError(f"[baseline] {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise CostError(f"[baseline] {path} is no JSON; write one with gpugrad bench --json {path}") from None
    try:
        return Report.from_json(values)
    except CostError as error:
        raise CostError(f"[baseline] {path}: {error}") from None


def require_comparable(report: Report, baseline: Report, *, counts_only: bool = False) -> None:
    """Refuse a baseline of something else.

    Raises:
        CostError: another model or other settings; another machine, unless only counts are compared.
    """
    if (report.model, report.settings) != (baseline.model, baseline.settings):
        raise CostError(
            f"[baseline] it is of {baseline.model} {_shown(baseline.settings)}, this is {report.model} "
            f"{_shown(report.settings)}; measure the same, or write a new baseline"
        )
    if counts_only:
        return
    other = [key for key in SAME if report.machine[key] != baseline.machine.get(key)]
    if other:
        what = ", ".join(f"{key} {baseline.machine.get(key)} (here {report.machine[key]})" for key in other)
        raise CostError(
            f"[baseline] it is of another machine: {what}; compare FLOPs, bytes, launches and memory alone with "
            "--counts-only, or write a baseline on this machine"
        )


def _shown(settings: dict[str, object]) -> str:
    return "(" + ", ".join(f"{key} {value}" for key, value in settings.items()) + ")"


def regressions(
    report: Report, baseline: Report, max_regression: float, *, counts_only: bool = False
) -> list[Regression]:
    """The figures that grew by more than `max_regression` (0.1: a tenth), the surest first.

    Args:
        report: what was measured now.
        baseline: what was measured before; see `require_comparable`.
        max_regression: the growth that is allowed.
        counts_only: leave out everything that was timed.
    """
    before = {(row.name, row.kind): row for row in baseline.layers}
    pairs = [(row, before[row.name, row.kind]) for row in report.layers if (row.name, row.kind) in before]
    pairs.append((report.total, baseline.total))
    found = [r for now, then in pairs for r in _counts(now, then)]
    found.append(Regression("total", "peak memory of the tape", baseline.peak_bytes, report.peak_bytes))
    found = [r for r in found if r.after > r.before * (1 + max_regression)]
    if counts_only:
        return found
    whole = baseline.total.forward.seconds + baseline.total.backward.seconds
    pairs = [(now, then) for now, then in pairs if then.forward.seconds + then.backward.seconds > _LARGE * whole]
    timed = [entry for now, then in pairs for entry in (_ratio(now, then), *_times(now, then))]
    timed.sort(key=lambda entry: entry[0].what != "backward / forward")
    return found + [r for r, noise in timed if r.before and r.change > max_regression + noise]


def _counts(now: LayerCost, then: LayerCost) -> Iterator[Regression]:
    for name, new, old in _phases(now, then):
        yield Regression(now.label, f"{name} FLOPs", old.flops, new.flops)
        yield Regression(now.label, f"{name} bytes", old.nbytes, new.nbytes)
        yield Regression(now.label, f"{name} launches", old.launches, new.launches)
    yield Regression(now.label, "memory kept", then.kept_bytes, now.kept_bytes)


def _ratio(now: LayerCost, then: LayerCost) -> tuple[Regression, float]:
    noise = sum(phase.spread for row in (now, then) for phase in (row.forward, row.backward))
    return Regression(now.label, "backward / forward", then.ratio, now.ratio), noise


def _times(now: LayerCost, then: LayerCost) -> Iterator[tuple[Regression, float]]:
    for name, new, old in _phases(now, then):
        yield Regression(now.label, f"{name} ms", old.seconds * 1e3, new.seconds * 1e3), new.spread + old.spread


def _phases(now: LayerCost, then: LayerCost) -> Iterator[tuple[str, Phase, Phase]]:
    yield "forward", now.forward, then.forward
    yield "backward", now.backward, then.backward
