"""The report as one HTML page that needs no other file: the table, the pictures, and what they mean.

`document` is the frame, which the scaling study uses as well.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import pictures
from .table import notes, scaled

if TYPE_CHECKING:
    from .report import LayerCost, Report

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 1180px; margin: 2em auto; padding: 0 1.5em; }
h1 { font-size: 1.5em; margin-bottom: .2em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #d9dde3; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } tr:last-child td { font-weight: 600; }
th { border-bottom: 2px solid #57606a; } .noisy { color: #b35900; } .wide { overflow-x: auto; }
svg { max-width: 100%; height: auto; } p.note { color: #57606a; font-size: 13px; margin: .2em 0; }
"""

_READ = (
    "A matrix product of an affine layer multiplies and adds each weight once for every row of the batch. The backward "
    "pass needs two products of that size, one for the gradient of the weights and one for the gradient of the input, "
    "so a backward pass costs about two forward passes. The first layer needs no gradient of its input and costs one."
)
_ROOF = (
    "Left of the corner a layer is bound by memory: it cannot be faster than its bytes at the rate of a copy. Right of "
    "it, it is bound by arithmetic. A point far below the line waits for something else: the calls of small "
    "operations, or a product too small to fill the machine. A point above the sloping line works on data that is "
    "still in a cache; one above the level line is done with less arithmetic than the definition has, as Winograd's "
    "convolutions are."
)
_MEMORY = (
    "Each operation keeps what its gradient needs until the backward pass has gone through it. The tape holds most "
    "when the forward pass ends. Parameters and the batch are not counted: they are there with and without a tape."
)


def document(title: str, body: str) -> str:
    """A whole page."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def page(report: Report) -> str:
    """The page of a report.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    title = f"What forward and backward cost{': ' + report.model if report.model else ''}"
    parts = [
        *[f'<p class="note">{html.escape(line)}</p>' for line in notes(report)],
        "<h2>Time</h2>",
        f"<p>{_READ}</p>",
        pictures.svg(pictures.bars(report)),
        "<h2>Layers</h2>",
        _table(report),
        "<h2>Roofline</h2>",
        f"<p>{_ROOF}</p>",
        pictures.svg(pictures.roofline(report)),
    ]
    if report.peak_bytes:
        parts += ["<h2>Memory</h2>", f"<p>{_MEMORY}</p>", pictures.svg(pictures.memory(report))]
    return document(title, "\n".join(parts))


def _table(report: Report) -> str:
    head = ["layer", "calls"]
    for name in ("forward", "backward"):
        head += [f"{name} ms", "±", "flop", "byte", "flop/byte", "of roof", "launches", "host ms", "idle ms"]
    head += ["bwd/fwd", "kept"]
    rows = [_cells(row, report) for row in (*report.layers, report.total)]
    noisy = [row.noisy for row in (*report.layers, report.total)]
    return html_table([head, *rows], noisy)


def html_table(rows: Sequence[Sequence[str]], marked: Sequence[bool] = ()) -> str:
    """Rows of text, the first a heading; `marked` rows are shown as noisy."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0])
    lines = [f'<div class="wide"><table><tr>{head}</tr>']
    for number, row in enumerate(rows[1:]):
        kind = ' class="noisy"' if number < len(marked) and marked[number] else ""
        lines.append(f"<tr{kind}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>")
    return "\n".join([*lines, "</table></div>"])


def _cells(row: LayerCost, report: Report) -> list[str]:
    cells = [row.label, str(row.calls)]
    for phase in (row.forward, row.backward):
        share = f"{phase.share(report.ceilings):.0%}" if report.ceilings and phase.nbytes else "-"
        cells += [
            f"{phase.seconds * 1e3:.3f}",
            f"{phase.spread:.0%}",
            scaled(phase.flops),
            scaled(phase.nbytes),
            f"{phase.intensity:.1f}" if phase.nbytes else "-",
            share,
            str(phase.launches),
            f"{phase.host_seconds * 1e3:.3f}",
            f"{phase.idle_seconds * 1e3:.3f}",
        ]
    return [*cells, f"{row.ratio:.2f}" if row.ratio else "-", scaled(row.kept_bytes, "B")]
