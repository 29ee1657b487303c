"""`gpugrad bench --study`: the scaling study, its progress, and where it is written."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import gpugrad as gg
from gpugrad.cli.errors import INTERRUPTED
from gpugrad.cli.output import write
from gpugrad.cli.progress import Steps
from gpugrad.cost.scaling import FULL, PASSES, QUICK, study
from gpugrad.cost.scaling_page import lines, study_page


def run_study(arguments: argparse.Namespace, files: dict[str, Path]) -> int:
    """Run the study as the options say; the exit code."""
    device = gg.default_device() if arguments.device is None else gg.device(arguments.device)
    gg.manual_seed(arguments.seed)
    plans = QUICK if arguments.quick else FULL
    sizes = PASSES * sum(len(values) for _, values in plans.values())
    with Steps(sizes + 2, "sizes", quiet=arguments.quiet) as steps:
        found = study(device=device, quick=arguments.quick, progress=steps.reached)
    print(lines(found))
    write(files, found.to_json(), lambda path: Path(path).write_text(study_page(found), encoding="utf-8"))
    if found.interrupted:
        print("interrupted; the study is of the sizes measured so far", file=sys.stderr)
        return INTERRUPTED
    return 0
