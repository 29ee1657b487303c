"""The runner's end of the workers: one process a library, a job played in rounds, one worker at a time.

No statistics (`report.py`) and no command line (`paired.py`) here.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.jobs import Job
from benchmarks.libs import LIBRARIES
from benchmarks.machine import QuietWait, child_environment

REPOSITORY = Path(__file__).resolve().parent.parent
_REPLY_SECONDS = 600.0
# A variant of the same library that is this much slower than its best in the first round is not timed again.
_HOPELESS = 1.5


class WorkerError(RuntimeError):
    """A worker died, hung, or reported an error."""


class WorkerHandle:
    """A running worker process.

    Args:
        name: the library, a key of `LIBRARIES`.
        device: "cpu" or "cuda".
        verbose: let the worker's stderr through.
    """

    def __init__(self, name: str, device: str, verbose: bool = False) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name, device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if verbose else subprocess.DEVNULL,
            env=child_environment(LIBRARIES[name][1]),
            cwd=REPOSITORY,
            text=True,
        )
        self.unavailable: str | None = None

    def greet(self) -> bool:
        """Waits until the library is imported; False (and `unavailable` says why) where it is not."""
        try:
            hello = self._reply()
        except WorkerError as error:
            hello = {"unavailable": str(error)}
        self.unavailable = hello.get("unavailable")
        return self.unavailable is None

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Sends one request and waits for its reply.

        Raises:
            WorkerError: the worker died, did not answer in time, or answered with an error.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self.process.stdin.flush()
        except OSError as error:
            raise WorkerError(f"the worker of {self.name} is gone ({error})") from None
        reply = self._reply()
        if "error" in reply:
            raise WorkerError(f"{self.name}: {reply['error']}")
        return reply

    def _reply(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], _REPLY_SECONDS)
        if not ready:
            self.process.kill()
            raise WorkerError(f"{self.name} did not answer within {_REPLY_SECONDS:.0f} s and was stopped")
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(f"the worker of {self.name} ended with code {self.process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def close(self) -> None:
        """Ends the worker."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Pool:
    """The workers of one run.

    Args:
        names: libraries in the order in which they take turns.
        device: "cpu" or "cuda".
        quiet: how long to wait for a quiet machine before each turn.
        verbose: let the workers' stderr through.
    """

    def __init__(self, names: list[str], device: str, quiet: QuietWait, verbose: bool = False) -> None:
        self.quiet = quiet
        self.left_out: dict[str, str] = {}
        self.workers: list[WorkerHandle] = []
        for name in names:  # One after the other: imports would only slow each other down.
            worker = WorkerHandle(name, device, verbose)
            if worker.greet():
                self.workers.append(worker)
            else:
                self.left_out[name] = worker.unavailable or "unknown"
                worker.close()

    def facts(self) -> dict[str, dict[str, str]]:
        """What each worker says about itself."""
        return {worker.name: worker.ask("facts")["facts"] for worker in self.workers}

    def close(self) -> None:
        """Ends all workers."""
        for worker in self.workers:
            worker.close()

    def play(self, job: Job, rounds: int, seconds: float, calls: int, warm: float = 0.02) -> dict[str, Any]:
        """One job in `rounds` rounds; in each round every library has one turn, a new one first each time.

        Args:
            job: what to measure.
            rounds: how often each library is timed.
            seconds: time for each variant in a turn.
            calls: calls at least in a turn, however long they take.
            warm: seconds of untimed calls before, one call at least.

        Returns:
            `checks` (library -> variant -> numbers), `rounds` (a list of library -> turn), and `failed`
            (library -> why).
        """
        failed: dict[str, str] = {}
        checks: dict[str, dict[str, list[float]]] = {}
        variants: dict[str, list[str]] = {}
        for worker in self.workers:
            try:
                reply = worker.ask("start", job=job.to_json())
            except WorkerError as error:
                failed[worker.name] = str(error)
                continue
            if reply["variants"]:
                variants[worker.name] = reply["variants"]
                checks[worker.name] = reply["checks"]
        request = {"seconds": seconds, "calls": calls, "warm": warm}
        history = [self._round(number, variants, failed, request) for number in range(rounds)]
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.ask("drop")
        self.workers = [worker for worker in self.workers if worker.process.poll() is None]
        return {"checks": checks, "rounds": history, "failed": failed}

    def _round(
        self, number: int, variants: dict[str, list[str]], failed: dict[str, str], request: dict[str, Any]
    ) -> dict[str, Any]:
        active = [worker for worker in self.workers if worker.name in variants]
        shift = number % max(1, len(active))
        turns: dict[str, Any] = {}
        for worker in active[shift:] + active[:shift]:
            quiet = self.quiet.wait()
            waited_until = time.time()
            try:
                turn = worker.ask("turn", variants=variants[worker.name], **request)
            except WorkerError as error:
                failed[worker.name] = str(error)
                del variants[worker.name]
                continue
            turns[worker.name] = {**turn, "quiet": quiet, "at": round(waited_until, 2)}
            if number == 0:
                variants[worker.name] = _worth_timing(turn["times"])
        return turns


def _worth_timing(times: dict[str, dict[str, float]]) -> list[str]:
    best = min(time["min"] for time in times.values())
    return [name for name, time in times.items() if time["min"] <= _HOPELESS * best]
