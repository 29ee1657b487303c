"""Matrix product, rows, reductions: forward and VJP."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.jobs import Job

SUITE = "operations"


def bench_operations(time_job: Callable[[Job], None], job: Job) -> None:
    """One call."""
    time_job(job)
