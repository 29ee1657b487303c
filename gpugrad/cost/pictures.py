"""The pictures of a report as Matplotlib figures: bars by layer, the roofline, and the tape's memory over a step.

Figures are drawn without pyplot, so no window opens and no global state is touched; `svg` is how they get into a page.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from typing import Any

from .errors import matplotlib
from .layers import BETWEEN
from .report import LayerCost, Report
from .table import scaled

FORWARD_COLOUR = "#1f6feb"
BACKWARD_COLOUR = "#d1580b"
MEMORY_COLOUR = "#5b8c5a"
GRID = {"color": "#d9dde3", "linewidth": 0.8}
_MOST_ROWS = 40  # of more layers, those that cost most are drawn


def figure(width: float, height: float) -> Any:
    """An empty figure, sizes in inches."""
    made = matplotlib(".figure").Figure(figsize=(width, height), layout="constrained", facecolor="white")
    made.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    return made


def style(axes: Any, title: str, x: str, y: str) -> None:
    """Title, labels, a grid behind everything."""
    axes.set_title(title, fontsize=12, fontweight="bold", loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(**GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def svg(drawn: Any) -> str:
    """A figure as an `<svg>` element; the same figure always gives the same text."""
    content = io.StringIO()
    with matplotlib().rc_context({"svg.hashsalt": "gpugrad", "svg.fonttype": "none"}):
        drawn.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    text = content.getvalue()
    return re.sub(r"^.*?(?=<svg)", "", text, count=1, flags=re.DOTALL)


def bars(report: Report) -> Any:
    """Forward and backward time of each layer, stacked, the first layer on top."""
    rows = [row for row in report.layers if row.name != BETWEEN or _worth_a_bar(row, report)]
    every = len(rows)
    if len(rows) > _MOST_ROWS:
        largest = set(sorted(rows, key=_seconds, reverse=True)[:_MOST_ROWS])
        rows = [row for row in rows if row in largest]
    drawn = figure(10.0, 1.3 + 0.3 * len(rows))
    axes = drawn.subplots()
    places = range(len(rows))
    forward = [row.forward.seconds * 1e3 for row in rows]
    backward = [row.backward.seconds * 1e3 for row in rows]
    axes.barh(places, forward, color=FORWARD_COLOUR, label="forward")
    axes.barh(places, backward, left=forward, color=BACKWARD_COLOUR, label="backward")
    longest = max(f + b for f, b in zip(forward, backward, strict=True))
    for place, row in enumerate(rows):
        text = f"{row.ratio:.2f}" if row.ratio and row.backward.seconds else ""
        axes.text(forward[place] + backward[place] + longest * 0.008, place, text, va="center", fontsize=8)
    axes.set_yticks(places, [row.label for row in rows], fontsize=9)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    ratio = f"backward takes {report.total.ratio:.2f} times the forward" if report.total.ratio else "forward only"
    ratio += f" (the {len(rows)} costliest of {every} layers)" if len(rows) < every else ""
    style(axes, f"Time by layer: {ratio}", "milliseconds (the number behind a bar: backward / forward)", "")
    axes.grid(visible=False, axis="y")
    axes.legend(frameon=False, loc="best")
    return drawn


def _seconds(row: LayerCost) -> float:
    return row.forward.seconds + row.backward.seconds


def _worth_a_bar(row: LayerCost, report: Report) -> bool:
    return _seconds(row) > 0.005 * _seconds(report.total)


def roofline(report: Report) -> Any:
    """What each layer reaches, against the least time that its arithmetic and its traffic take on this machine."""
    drawn = figure(10.0, 5.6)
    axes = drawn.subplots()
    best = report.ceilings
    points: list[tuple[float, float, str, str]] = []
    for row in report.layers:
        for phase, colour in ((row.forward, FORWARD_COLOUR), (row.backward, BACKWARD_COLOUR)):
            if phase.flops and phase.nbytes and phase.seconds:
                points.append((phase.intensity, phase.flops / phase.seconds / 1e9, colour, row.label))
    if best is not None:
        corner = best.flops_per_s / best.bytes_per_s
        low = min([p[0] for p in points] + [corner / 8]) / 2
        high = max([p[0] for p in points] + [corner * 8]) * 2
        line = [low, corner, high]
        roof = [min(x * best.bytes_per_s, best.flops_per_s) / 1e9 for x in line]
        axes.plot(line, roof, color="#30363d", linewidth=1.8)
        middle = (low * corner) ** 0.5
        axes.annotate(
            f"copy {scaled(best.bytes_per_s, 'B/s')}", (middle, middle * best.bytes_per_s / 1e9), (-6, 8),
            textcoords="offset points", ha="right", fontsize=9,
        )  # fmt: skip
        axes.annotate(
            f"matrix product {scaled(best.flops_per_s, 'flop/s')}", (high, roof[-1]), (-4, 6),
            textcoords="offset points", ha="right", fontsize=9,
        )  # fmt: skip
    for x, y, colour, _ in points:
        axes.plot([x], [y], marker="o", markersize=7, color=colour, alpha=0.75, linestyle="none")
    _name_points(axes, points)
    axes.set_xscale("log")
    axes.set_yscale("log")
    style(axes, "Roofline: arithmetic reached against arithmetic for each byte", "flop / byte", "Gflop/s")
    handles = [
        matplotlib(".lines").Line2D([], [], marker="o", linestyle="none", color=colour, label=name)
        for colour, name in ((FORWARD_COLOUR, "forward"), (BACKWARD_COLOUR, "backward"))
    ]
    axes.legend(handles=handles, frameon=False, loc="lower right")
    return drawn


def _name_points(axes: Any, points: Sequence[tuple[float, float, str, str]]) -> None:
    """Names beside the points; where several lie together, one name and how many more there are."""
    taken: dict[tuple[int, int], list[str]] = {}
    first: dict[tuple[int, int], tuple[float, float]] = {}
    if not points:
        return
    left, width = _extent([x for x, *_ in points])
    bottom, height = _extent([y for _, y, *_ in points])
    for x, y, _, label in points:
        cell = (int(4 * (math.log10(x) - left) / width), int(12 * (math.log10(y) - bottom) / height))
        names = taken.setdefault(cell, [])
        first.setdefault(cell, (x, y))
        if label not in names:
            names.append(label)
    for cell, names in taken.items():
        text = names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        axes.annotate(text, first[cell], (7, -9), textcoords="offset points", fontsize=7.5, color="#57606a")


def _extent(values: Sequence[float]) -> tuple[float, float]:
    """The smallest logarithm, and how far the largest lies from it (at least a factor of ten)."""
    logarithms = [math.log10(value) for value in values]
    return min(logarithms), max(max(logarithms) - min(logarithms), 1.0)


def memory(report: Report) -> Any:
    """What the tape holds over the step, and what its peak is made of."""
    drawn = figure(10.0, 4.4)
    left, right = drawn.subplots(1, 2, width_ratios=[1.6, 1.0])
    times = [when * 1e3 for when, _, _ in report.timeline]
    held = [count / 1e6 for _, count, _ in report.timeline]
    left.fill_between(times, held, step="post", color=MEMORY_COLOUR, alpha=0.35)
    left.step(times, held, where="post", color=MEMORY_COLOUR, linewidth=1.6)
    if report.peak_bytes:
        top = max(range(len(held)), key=held.__getitem__)
        left.annotate(
            f"peak {scaled(report.peak_bytes, 'B')}", (times[top], held[top]), (0, 5), textcoords="offset points",
            ha="center", fontsize=9,
        )  # fmt: skip
    left.set_ylim(0, max([*held, 1e-9]) * 1.12)
    style(left, "Memory that the tape holds", "milliseconds", "MB")
    shares = peak_by_layer(report)[:12]
    places = range(len(shares))
    right.barh(places, [count / 1e6 for _, count in shares], color=MEMORY_COLOUR)
    right.set_yticks(places, [name for name, _ in shares], fontsize=9)
    right.invert_yaxis()
    style(right, "At the peak, by operation", "MB", "")
    right.grid(visible=False, axis="y")
    return drawn


def peak_by_layer(report: Report) -> list[tuple[str, int]]:
    """The bytes that each layer has on the tape when it holds most, largest first."""
    held: dict[str, int] = {}
    before, peak = 0, 0
    at_peak: dict[str, int] = {}
    for _, count, layer in report.timeline:
        held[layer] = held.get(layer, 0) + count - before
        before = count
        if count > peak:
            peak, at_peak = count, dict(held)
    return sorted(((name, count) for name, count in at_peak.items() if count), key=lambda entry: -entry[1])
