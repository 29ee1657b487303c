"""What a library module offers to the worker: programs to time, and a clock that fits the device."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.jobs import Job
from benchmarks.machine import process_memory, reset_peak_memory


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Program:
    """One way in which a library does a job.

    Args:
        run: what is timed; what it returns is dropped within the timed region.
        prepare: called, untimed, before every timed call.
        check: called once, untimed, before the first timing: a few numbers that all libraries must agree on.
    """

    run: Callable[[], object]
    prepare: Callable[[], object] = _nothing
    check: Callable[[], list[float]] | None = None


class Library(ABC):
    """A library on a device: builds the programs of a job and takes their time."""

    def __init__(self, name: str, device: str) -> None:
        self.name = name
        self.device = device

    def programs(self, job: Job) -> dict[str, Program]:
        """The library's variants of a job by name, e.g. three optimizers; empty where it cannot do it."""
        builder = getattr(self, job.kind, None)
        found: dict[str, Program] = {} if builder is None else builder(job.params)
        return found

    def programs_of(self, kind: str, params: dict[str, Any]) -> list[Program]:
        """The programs of a kind of job with other sizes than the tables', e.g. for the memory probes."""
        return list(self.programs(Job("", "", kind, params)).values())

    def control(self, params: dict[str, Any]) -> dict[str, Program]:
        """A call that does nothing."""
        return {"empty": Program(_nothing)}

    def measure(self, run: Callable[[], object]) -> float:
        """Seconds that one call takes, until its results are there."""
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    def memory_now(self) -> int:
        """Bytes in use: of this process on the CPU, of the library's pool on a GPU."""
        return process_memory("VmRSS")

    def memory_peak(self) -> int:
        """The most bytes held since `reset_memory_peak`."""
        return process_memory("VmHWM")

    def reset_memory_peak(self) -> None:
        """Gives cached memory back and starts a new peak."""
        reset_peak_memory()

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """What the results must say about this library: threads, device, settings."""
