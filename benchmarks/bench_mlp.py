"""One training step of a multilayer perceptron."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.jobs import Job

SUITE = "mlp"


def bench_mlp(time_job: Callable[[Job], None], job: Job) -> None:
    """Gradients to zero, forward, cross entropy, backward, update."""
    time_job(job)
