"""The worker: one process that holds one library and does as it is told, one line of JSON at a time.

It is started by `pool.py` as `python -m benchmarks.worker LIBRARY DEVICE`; requests come on stdin, replies go
to what was stdout when it started (stdout itself is turned to stderr, so that a library's prints do no harm).
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import time
import traceback
from typing import Any

from benchmarks.jobs import Job
from benchmarks.libs import LIBRARIES, load
from benchmarks.libs.base import Library, Program
from benchmarks.machine import busy_seconds, openblas_core

_MOST_CALLS = 2000


class Worker:
    """One library and the job that it is on."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.programs: dict[str, Program] = {}

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        """Builds the programs of a job and runs their checks."""
        self.drop(request)
        self.programs = self.library.programs(Job(**request["job"]))
        checks = {}
        for name, program in self.programs.items():
            if program.check is not None:
                checks[name] = program.check()
        return {"variants": list(self.programs), "checks": checks}

    def turn(self, request: dict[str, Any]) -> dict[str, Any]:
        """Times the named variants, and says how busy everybody else was meanwhile."""
        busy, used, started = busy_seconds(), time.process_time(), time.monotonic()
        times = {name: self._time(self.programs[name], request) for name in request["variants"]}
        elapsed = time.monotonic() - started
        others = (busy_seconds() - busy) - (time.process_time() - used)
        # The system counts in hundredths of a second: too coarse to say anything about a short turn.
        return {"times": times, "others": max(0.0, others / elapsed) if elapsed > 0.1 else 0.0}

    def _time(self, program: Program, request: dict[str, Any]) -> dict[str, float]:
        measure, prepare, run = self.library.measure, program.prepare, program.run
        # Wakes the thread pools and the processor; a slow call is warm enough after one.
        warm_until = time.perf_counter() + request["warm"]
        while True:
            prepare()
            measure(run)
            if time.perf_counter() >= warm_until:
                break
        samples: list[float] = []
        end = time.perf_counter() + request["seconds"]
        while len(samples) < request["calls"] or (time.perf_counter() < end and len(samples) < _MOST_CALLS):
            prepare()
            samples.append(measure(run))
        return {"min": min(samples), "median": statistics.median(samples), "calls": float(len(samples))}

    def drop(self, request: dict[str, Any]) -> dict[str, Any]:
        """Forgets the job and what it held."""
        self.programs = {}
        gc.collect()
        return {}

    def facts(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the record says about this process: the library's facts and the BLAS core type."""
        return {"facts": {"openblas": openblas_core(), **self.library.facts()}}


def main() -> int:
    """Serves requests until stdin ends."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    name, device = sys.argv[1:3]
    try:
        if name not in LIBRARIES:
            raise ImportError(f"unknown library {name}")
        worker = Worker(load(name, device))
    except Exception as error:
        # Not installed, no device, broken install: all of them mean "left out, because ...".
        replies.write(json.dumps({"unavailable": f"{type(error).__name__}: {error}".split("\n")[0]}) + "\n")
        return 0
    replies.write(json.dumps({"ready": name}) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = getattr(worker, request["do"])(request)
        except Exception as error:
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
