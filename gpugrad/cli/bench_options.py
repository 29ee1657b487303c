"""The options of `gpugrad bench`: their names, defaults and help.

What they do is in `gpugrad.cli.bench`; the measuring itself is `gpugrad.cost`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gpugrad.cli.values import percentage, positive_integer, seed
from gpugrad.cost.subjects import BUILT_IN

NAME = "bench"
SUMMARY = "measure what forward and backward cost, layer by layer"
DESCRIPTION = """\
Measure a training step layer by layer: forward and backward time and their
ratio, FLOPs, bytes, share of the roofline, kernel launches, host time, and the
memory that the tape holds. Prints a table; --json, --html and --out write the
report, with pictures. --baseline holds it against an earlier report and fails
where it got slower, larger or hungrier. --study fits how the cost grows."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `gpugrad bench`."""
    parser.add_argument(
        "model",
        nargs="?",
        default="mlp",
        metavar="MODEL",
        help=f"{', '.join(BUILT_IN)}, or module:function that returns a model and a batch (default: mlp)",
    )
    sizes = parser.add_argument_group("sizes")
    sizes.add_argument("--batch", type=positive_integer, metavar="N", help="examples of a step")
    sizes.add_argument(
        "--depth", type=positive_integer, metavar="N", help="layers, where the model can have any number"
    )
    sizes.add_argument("--width", type=positive_integer, metavar="N", help="units of a layer, likewise")
    measuring = parser.add_argument_group("measuring")
    measuring.add_argument("--device", metavar="NAME", help="cpu, cuda or cuda:<number> (default: the best there is)")
    measuring.add_argument("--repeats", type=positive_integer, default=20, metavar="N", help="runs (default: 20)")
    measuring.add_argument("--warmup", type=positive_integer, default=3, metavar="N", help="runs before (default: 3)")
    measuring.add_argument("--seed", type=seed, default=0, metavar="N", help="of weights and data (default: 0)")
    measuring.add_argument("--study", action="store_true", help="the scaling study, in place of one model")
    measuring.add_argument("--quick", action="store_true", help="with --study: fewer and smaller sizes")
    output = parser.add_argument_group("output")
    output.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    output.add_argument("--html", type=Path, metavar="FILE", help="write the report as one page with pictures")
    output.add_argument("--out", type=Path, metavar="DIR", help="write both into a folder")
    output.add_argument("--quiet", action="store_true", help="show no progress")
    gate = parser.add_argument_group("gate")
    gate.add_argument("--baseline", type=Path, metavar="FILE", help="the JSON of an earlier report to compare with")
    gate.add_argument(
        "--max-regression",
        type=percentage,
        default=0.1,
        metavar="P",
        help="growth that is allowed, such as 10%% or 0.1 (default: 10%%)",
    )
    gate.add_argument("--counts-only", action="store_true", help="compare FLOPs, bytes, launches and memory, not times")
