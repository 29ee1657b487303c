"""The report as a table for a terminal, and numbers with their units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .machine import summary

if TYPE_CHECKING:
    from .report import LayerCost, Report

_COLUMNS = (
    "layer", "fwd ms", "bwd ms", "bwd/fwd", "fwd flop", "bwd flop", "fwd byte", "bwd byte", "flop/byte", "roof fwd",
    "roof bwd", "launches", "host ms", "idle ms", "kept",
)  # fmt: skip


def scaled(value: float, unit: str = "") -> str:
    """Three digits and a decimal prefix: `1.50 G`."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}".rstrip()


def table(report: Report) -> str:
    """The layers, the total, and what one must know to read them."""
    rows = [list(_COLUMNS)]
    rows += [_cells(row, report) for row in report.layers]
    rows.append(_cells(report.total, report))
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = ["  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
             for row in rows]  # fmt: skip
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], "", *notes(report)])


def _cells(row: LayerCost, report: Report) -> list[str]:
    forward, backward = row.forward, row.backward
    nbytes = forward.nbytes + backward.nbytes
    return [
        row.label + (" *" if row.noisy else ""),
        f"{forward.seconds * 1e3:.3f}",
        f"{backward.seconds * 1e3:.3f}",
        f"{row.ratio:.2f}" if row.ratio else "-",
        scaled(forward.flops),
        scaled(backward.flops),
        scaled(forward.nbytes),
        scaled(backward.nbytes),
        f"{(forward.flops + backward.flops) / nbytes:.1f}" if nbytes else "-",
        f"{forward.share(report.ceilings):.0%}" if report.ceilings and forward.nbytes else "-",
        f"{backward.share(report.ceilings):.0%}" if report.ceilings and backward.nbytes else "-",
        str(forward.launches + backward.launches),
        f"{(forward.host_seconds + backward.host_seconds) * 1e3:.3f}",
        f"{(forward.idle_seconds + backward.idle_seconds) * 1e3:.3f}",
        scaled(row.kept_bytes, "B"),
    ]


def notes(report: Report) -> list[str]:
    """Lines under the table: the machine, the runs, the ceilings, what to be careful about."""
    total = report.total
    spreads = f"spread {total.forward.spread:.1%} forward, {total.backward.spread:.1%} backward"
    lines = [summary(report.machine), f"median of {report.runs} runs after {report.warmup} to warm up; {spreads}"]
    if report.step_seconds:
        seconds = total.forward.seconds + total.backward.seconds
        lines.append(
            f"a step without measuring takes {report.step_seconds * 1e3:.3f} ms; the layers add up to "
            f"{seconds / report.step_seconds:.1%} of it; measuring costs {report.overhead:+.1%}"
        )
    if report.ceilings is not None:
        best = report.ceilings
        lines.append(
            f"ceilings, measured in this run: {scaled(best.flops_per_s, 'flop/s')} ({best.dtype} matrix product), "
            f"{scaled(best.bytes_per_s, 'B/s')} (copy); roof = least time at these / time taken"
        )
    lines.append(f"the tape holds at most {scaled(report.peak_bytes, 'B')}")
    if report.noisy or any(row.noisy for row in report.layers):
        lines.append("* noisy: the middle half of the runs lies more than 10 % apart; read it as a direction")
    if report.interrupted:
        lines.append("interrupted: fewer runs than asked for")
    return lines


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text, the first a heading, with aligned columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
