"""What the tape costs: a chain of operations on 16 floats."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.jobs import Job

SUITE = "tape"


def bench_tape(time_job: Callable[[Job], None], job: Job) -> None:
    """One phase of the whole chain; divide by its operations."""
    time_job(job)
