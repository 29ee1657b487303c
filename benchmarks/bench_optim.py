"""Adam over many arrays whose gradients are ready."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.jobs import Job

SUITE = "adam"


def bench_optim(time_job: Callable[[Job], None], job: Job) -> None:
    """One `optimizer.step()`."""
    time_job(job)
