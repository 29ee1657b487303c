"""Every activation, forward and VJP, in the cache and beyond it."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.jobs import Job

SUITE = "elementwise"


def bench_elementwise(time_job: Callable[[Job], None], job: Job) -> None:
    """One call on the whole array."""
    time_job(job)
