"""What a measurement costs when the measured call does nothing."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.jobs import Job

SUITE = "control"


def bench_control(time_job: Callable[[Job], None], job: Job) -> None:
    """An empty call."""
    time_job(job)
