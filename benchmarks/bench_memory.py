"""What a deep step holds at its peak, beside its time; the probes in processes of their own are `benchmarks.memory`."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import memory
from benchmarks.libs.base import Library


def bench_memory(benchmark: Any, library: Library, request: pytest.FixtureRequest) -> None:
    """One deep step; `extra_info` has the bytes above the idle process and above the model."""
    scale = "smoke" if request.config.getoption("--smoke") else "quick"
    try:
        benchmark.extra_info.update(memory.peak(library, scale))
    except IndexError:
        pytest.skip(f"{library.name} has no training step")
    except (OSError, RuntimeError) as error:  # the peak of a process is read from Linux's /proc
        pytest.skip(str(error))
    benchmark.pedantic(memory.deep_step(library, scale), rounds=3 if scale == "smoke" else 10, warmup_rounds=1)
