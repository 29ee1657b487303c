"""What parts of an array cost that are read or written one after the other."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.jobs import Job

SUITE = "loops"


def bench_loops(time_job: Callable[[Job], None], job: Job) -> None:
    """A forward and a backward pass."""
    time_job(job)
