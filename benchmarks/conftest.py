"""Options and fixtures of the pytest-benchmark files: `pytest benchmarks --lib gpugrad`.

One library a run, because the thread pools of two in one process spoil each other; what compares libraries is
the paired runner. A library that is not installed skips everything with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.jobs import Job, control_job, timed_jobs
from benchmarks.libs import LIBRARIES, load
from benchmarks.libs.base import Library


def pytest_addoption(parser: pytest.Parser) -> None:
    """The library, the device, and tiny sizes."""
    parser.addoption("--lib", default="gpugrad", choices=sorted(LIBRARIES), help="the library to time")
    parser.addoption("--device", default="cpu", choices=("cpu", "cuda"))
    parser.addoption("--smoke", action="store_true", help="tiny sizes, to see that everything runs")


def pytest_configure(config: pytest.Config) -> None:
    """Sets the variant's environment before the library is imported."""
    os.environ.update(LIBRARIES[config.getoption("--lib")][1])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives each `bench_` function the jobs of the suite that its module names."""
    if "job" in metafunc.fixturenames:
        scale = "smoke" if metafunc.config.getoption("--smoke") else "full"
        suite = metafunc.module.SUITE
        found = [control_job()] if suite == "control" else timed_jobs(suite, scale)
        metafunc.parametrize("job", found, ids=[job.name.replace(" ", "-") for job in found])


@pytest.fixture(scope="session")
def library(request: pytest.FixtureRequest) -> Library:
    """The library that `--lib` names."""
    name, device = request.config.getoption("--lib"), request.config.getoption("--device")
    try:
        return load(name, device)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{name}: {error}")


@pytest.fixture
def time_job(benchmark: Any, library: Library, request: pytest.FixtureRequest) -> Callable[[Job], None]:
    """Times the library's first way to do a job (PyTorch has several: the paired runner takes the best)."""

    def run(job: Job) -> None:
        programs = library.programs(job)
        if not programs:
            pytest.skip(f"{library.name} cannot do {job.name}")
        program = next(iter(programs.values()))
        if program.check is not None:
            program.check()
        rounds = 3 if request.config.getoption("--smoke") else 30
        benchmark.extra_info["operations"] = job.divisor

        def call() -> float:
            return library.measure(program.run)

        def prepare() -> None:
            program.prepare()

        benchmark.pedantic(call, setup=prepare, rounds=rounds, warmup_rounds=2)

    return run
