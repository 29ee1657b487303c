"""Gradients of every example of a batch, and the Jacobian of a layer."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.jobs import Job

SUITE = "transforms"


def bench_transforms(time_job: Callable[[Job], None], job: Job) -> None:
    """One call of the transformed function."""
    time_job(job)
