"""`Report`: what several runs came to, by layer and in all, as an object, a table and JSON.

Medians over the runs; a ratio is the median of the runs' own ratios. How runs are made is in `measure`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from .ceilings import Ceilings
from .errors import CostError
from .layers import BETWEEN, Layer, described
from .recorder import BACKWARD, FORWARD, Run, Sums

VERSION = 1  # of the JSON
NOISY = 0.10  # spread (quartiles' distance by the median) above which a figure is called noisy


@dataclass(frozen=True)
class Phase:
    """One direction of a layer.

    Attributes:
        seconds: median over the runs; `spread` the distance of the quartiles, divided by it.
        flops: arithmetic operations, a multiply-add counted as two. `nbytes`: bytes read and written.
        launches: kernels, counted as operations that consist of no others.
        host_seconds: median of the time that Python took between operations.
        idle_seconds: how long the device waited for the host (0 on a CPU, which computes in the same thread).
    """

    seconds: float
    spread: float
    flops: int
    nbytes: int
    launches: int
    host_seconds: float
    idle_seconds: float = 0.0

    @property
    def intensity(self) -> float:
        """FLOPs for each byte."""
        return self.flops / self.nbytes if self.nbytes else 0.0

    def share(self, ceilings: Ceilings | None) -> float:
        """The least time that the work can take on this machine, divided by the time that it took.

        Above 1 the data stayed in caches, which are faster than the copy that the ceiling comes from, or the
        operation was computed with less arithmetic than it is counted with, as by Winograd's convolutions.
        """
        if ceilings is None or self.seconds <= 0:
            return 0.0
        return ceilings.at_least(self.flops, self.nbytes) / self.seconds


@dataclass(frozen=True)
class LayerCost:
    """A row of the report.

    Attributes:
        name: path of the module, or name of the operation.
        kind: class of the module, "operation", or "total".
        calls: operations that ran in its forward.
        ratio: backward by forward, the median of the runs' ratios (0 where there is no forward).
        kept_bytes: memory that its residuals hold when the backward pass begins.
    """

    name: str
    kind: str
    calls: int
    forward: Phase
    backward: Phase
    ratio: float
    kept_bytes: int

    @property
    def label(self) -> str:
        """As the tables show it."""
        return described(Layer(self.name, self.kind)) if self.kind != "total" else self.name

    @property
    def noisy(self) -> bool:
        """Whether the runs differ so much that the figures should be read as directions."""
        return max(self.forward.spread, self.backward.spread) > NOISY


@dataclass(frozen=True)
class Report:
    """What forward and backward cost.

    Attributes:
        layers: the layers in order of their first call; what ran between operations is one of them.
        total: all of them together; its times are the sums of the layers' medians.
        step_seconds: median time of the same step without any measuring inside (0.0 where it was not run so).
        overhead: how much longer a measured step takes, as a fraction of `step_seconds`.
        ceilings: of the machine, measured in the same run; None if not wanted.
        machine: device, processor, versions.
        runs: how many were measured; `warmup` how many were run before.
        timeline: (seconds, bytes that the tape holds, layer that they came or went with) over the median run.
        interrupted: fewer runs than asked for.
        model: what was measured, in words.
    """

    layers: tuple[LayerCost, ...]
    total: LayerCost
    step_seconds: float
    overhead: float
    ceilings: Ceilings | None
    machine: dict[str, Any]
    runs: int
    warmup: int
    timeline: tuple[tuple[float, int, str], ...] = ()
    interrupted: bool = False
    model: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def noisy(self) -> bool:
        """Whether the steps differ by more than a tenth."""
        return self.total.noisy

    @property
    def peak_bytes(self) -> int:
        """The most that the tape held."""
        return max((held for _, held, _ in self.timeline), default=0)

    def layer(self, name: str) -> LayerCost:
        """The row of a name.

        Raises:
            CostError: there is none.
        """
        for row in self.layers:
            if name in (row.name, row.label):
                return row
        raise CostError(f"[report] there is no layer {name!r}; there are {', '.join(r.name for r in self.layers)}")

    def table(self) -> str:
        """The report as text for a terminal."""
        from .table import table

        return table(self)

    def __str__(self) -> str:
        return self.table()

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {"version": VERSION, **asdict(self), "peak_bytes": self.peak_bytes}

    @classmethod
    def from_json(cls, values: Any) -> Report:
        """The report that `to_json` gave.

        Raises:
            CostError: something else, or of another version.
        """
        if not isinstance(values, dict) or "total" not in values:
            raise CostError("[report] this is no report of gpugrad bench; write one with --json FILE")
        if values.get("version") != VERSION:
            raise CostError(
                f"[report] it has version {values.get('version')!r} and this gpugrad reads {VERSION}; write it anew"
            )
        values = {key: value for key, value in values.items() if key not in ("version", "peak_bytes")}
        try:
            values["layers"] = tuple(_row(row) for row in values["layers"])
            values["total"] = _row(values["total"])
            values["timeline"] = tuple((s, b, n) for s, b, n in values["timeline"])
            values["ceilings"] = values["ceilings"] and Ceilings(**values["ceilings"])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise CostError(f"[report] an entry is missing or wrong ({error}); write it anew") from None

    def save(self, path: str | Path) -> None:
        """Write the report as JSON.

        Raises:
            OSError: the file cannot be written.
        """
        Path(path).write_text(json.dumps(self.to_json(), indent=1) + "\n")

    def save_html(self, path: str | Path) -> None:
        """Write the report as one page with its pictures in it; needs Matplotlib.

        Raises:
            OSError: the file cannot be written.
            MissingExtraError: Matplotlib is not installed.
        """
        from .page import page

        Path(path).write_text(page(self))


def _row(values: dict[str, Any]) -> LayerCost:
    phases = {name: Phase(**values[name]) for name in ("forward", "backward")}
    return LayerCost(**{**values, **phases})


def spread(values: Sequence[float]) -> float:
    """The distance of the quartiles divided by the median; 0 for fewer than three values."""
    middle = statistics.median(values)
    if len(values) < 3 or middle <= 0:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / middle


def summarise(runs: Sequence[Run], fed: Sequence[Run] = (), **facts: Any) -> Report:
    """A report of runs of the same step.

    Args:
        runs: at least one.
        fed: runs of the same step on a device that never had to wait for the host; what the others took longer is the
            device's idle time.
        **facts: the other attributes of `Report`.
    """
    order = list(dict.fromkeys(layer for run in runs for layer in run.layers))
    tables = [dict(zip(run.layers, run.sums, strict=True)) for run in runs]
    fed_tables = [dict(zip(run.layers, run.sums, strict=True)) for run in fed]
    rows = [
        _summed(layer, [t.get(layer, Sums()) for t in tables], [t.get(layer, Sums()) for t in fed_tables])
        for layer in order
    ]
    rows.sort(key=lambda row: row.name == BETWEEN)
    rows = [row for row in rows if row.forward.seconds + row.backward.seconds > 0]
    whole = _whole(_summed(Layer("total", "total"), [_total(t) for t in tables], []), rows)
    middle = sorted(runs, key=lambda run: run.seconds)[len(runs) // 2]
    timeline = tuple((when, held, described(middle.layers[layer])) for when, held, layer in middle.timeline)
    return Report(tuple(rows), whole, timeline=timeline, runs=len(runs), **facts)


def _whole(total: LayerCost, rows: Sequence[LayerCost]) -> LayerCost:
    """The total with the sums of the layers' medians as its times.

    On a shared machine something disturbs nearly every step somewhere, but no layer in most of the steps: the sum of
    medians is what a step takes when it is left alone. The spread is that of whole steps.
    """
    forward, backward = (
        replace(
            phase,
            seconds=sum(getattr(row, name).seconds for row in rows),
            host_seconds=sum(getattr(row, name).host_seconds for row in rows),
            idle_seconds=sum(getattr(row, name).idle_seconds for row in rows),
        )
        for name, phase in (("forward", total.forward), ("backward", total.backward))
    )
    ratio = backward.seconds / forward.seconds if forward.seconds else 0.0
    return replace(total, forward=forward, backward=backward, ratio=ratio)


def _total(table: dict[Layer, Sums]) -> Sums:
    whole = Sums()
    for sums in table.values():
        whole.calls += sums.calls
        whole.kept += sums.kept
        for phase in (FORWARD, BACKWARD):
            whole.seconds[phase] += sums.seconds[phase]
            whole.host[phase] += sums.host[phase]
            whole.flops[phase] += sums.flops[phase]
            whole.nbytes[phase] += sums.nbytes[phase]
            whole.launches[phase] += sums.launches[phase]
    return whole


def _summed(layer: Layer, sums: list[Sums], fed: list[Sums]) -> LayerCost:
    phases = []
    for phase in (FORWARD, BACKWARD):
        seconds = [s.seconds[phase] for s in sums]
        median = statistics.median(seconds)
        idle = max(0.0, median - statistics.median([s.seconds[phase] for s in fed])) if fed else 0.0
        host = statistics.median([s.host[phase] for s in sums])
        last = sums[-1]
        phases.append(
            Phase(median, spread(seconds), last.flops[phase], last.nbytes[phase], last.launches[phase], host, idle)
        )
    ratios = [s.seconds[BACKWARD] / s.seconds[FORWARD] for s in sums if s.seconds[FORWARD] > 0]
    ratio = statistics.median(ratios) if ratios else 0.0
    return LayerCost(layer.name, layer.kind, sums[-1].calls, phases[0], phases[1], ratio, sums[-1].kept)
