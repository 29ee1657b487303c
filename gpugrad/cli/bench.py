"""`gpugrad bench`: one report from its options, the gate, and where both are written.

The measuring is `gpugrad.cost`; this module puts it in order and turns its errors into exit codes.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gpugrad as gg
from gpugrad.backend.device import DeviceError
from gpugrad.cli.errors import INTERRUPTED, REGRESSED, WRONG_OPTION, CommandError
from gpugrad.cli.output import write
from gpugrad.cli.progress import Steps
from gpugrad.cli.study import run_study
from gpugrad.cost.errors import CostError, MissingExtraError
from gpugrad.cost.gate import Regression, read_baseline, regressions, require_comparable
from gpugrad.cost.report import Report
from gpugrad.cost.subjects import BUILT_IN, find
from gpugrad.cost.table import columns, scaled


def run(arguments: argparse.Namespace) -> int:
    """Measure as the options say.

    Returns:
        0, or the code for a report that regressed or was interrupted; everything else is raised.

    Raises:
        CommandError: with the exit code that the command's help lists.
    """
    if arguments.study and arguments.baseline:
        raise CommandError("argument --baseline: not with --study (see gpugrad bench --help)", WRONG_OPTION)
    if not arguments.study and ":" not in arguments.model and arguments.model not in BUILT_IN:
        raise CommandError(
            f"argument MODEL: {arguments.model!r}; expected {', '.join(BUILT_IN)}, or module:function", WRONG_OPTION
        )
    with _errors_as_exit_codes():
        baseline = read_baseline(arguments.baseline) if arguments.baseline else None
        files = _files(arguments)
        if arguments.study:
            return run_study(arguments, files)
        report = _measure(arguments)
        if baseline is not None and not report.interrupted:
            require_comparable(report, baseline, counts_only=arguments.counts_only)
        print(report.table())
        write(files, report.to_json(), report.save_html)
        if report.interrupted:
            print("interrupted; the report is of the runs made so far", file=sys.stderr)
            return INTERRUPTED
        if baseline is None:
            return 0
        return _gate(report, baseline, arguments)


def _measure(arguments: argparse.Namespace) -> Report:
    device = gg.default_device() if arguments.device is None else gg.device(arguments.device)
    sizes = {key: getattr(arguments, key) for key in ("batch", "depth", "width")}
    subject = find(arguments.model, device=device, seed=arguments.seed, **sizes)
    with Steps(arguments.repeats, "runs", quiet=arguments.quiet) as steps:
        report: Report = gg.profile(
            subject.loss,
            *subject.batch,
            repeats=arguments.repeats,
            warmup=arguments.warmup,
            device=device,
            progress=steps.reached,
        )
    return replace(report, model=subject.name, settings=subject.settings)


def _files(arguments: argparse.Namespace) -> dict[str, Path]:
    """Where to write, seen to be writable before anything is measured."""
    files = {}
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        name = "study" if arguments.study else "report"
        files = {"json": arguments.out / f"{name}.json", "html": arguments.out / f"{name}.html"}
    files |= {key: path for key in ("json", "html") if (path := getattr(arguments, key)) is not None}
    for path in files.values():
        with open(path, "a", encoding="utf-8"):
            pass
    return files


def _gate(report: Report, baseline: Report, arguments: argparse.Namespace) -> int:
    allowed = arguments.max_regression
    found = regressions(report, baseline, allowed, counts_only=arguments.counts_only)
    if not found:
        print(f"baseline: nothing grew by more than {allowed:.0%}")
        return 0
    rows = [["layer", "what", "before", "now", "change"], *[_cells(row) for row in found]]
    print(f"baseline: {len(found)} figures grew by more than {allowed:.0%}\n{columns(rows)}")
    return REGRESSED


def _cells(row: Regression) -> list[str]:
    return [row.layer, row.what, scaled(row.before), scaled(row.after), f"{row.change:+.1%}"]


@contextlib.contextmanager
def _errors_as_exit_codes() -> Iterator[None]:
    try:
        yield
    except (CostError, DeviceError, MissingExtraError) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        raise CommandError(f"cannot write{where}: {error.strerror or error}") from error
    except MemoryError as error:
        raise CommandError(f"not enough memory: {error}; choose a smaller --batch, --width or --depth") from error
