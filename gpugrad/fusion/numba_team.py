"""A team of threads for compiled loops: a job is handed over through memory, so that no helper waits for the GIL.

`workers.parallel_for` runs any Python function and needs some 20 microseconds before a helper begins; here a helper
that has just worked looks for the next job for a moment, without the GIL, and begins within one. Strips of a job
are of one size whatever the number of threads. POSIX only; `run` says where it declines.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from .numba_cache import load_file
from .workers import in_chunk, num_threads

DECLINED, DONE, AGAIN = range(3)

_MOST_HELPERS: Final = 63
_MOST_ARGUMENTS: Final = 64
# The slot that says whether the first helper sleeps: ASLEEP of the compiled half.
_FIRST: Final = 32
# As many as the compiled half uses: DRAWN, and a LINE for each thread.
_SLOTS: Final = 128 + 8 * (_MOST_HELPERS + 1)


@functools.cache
def _loops() -> Any:
    return load_file(Path(__file__).with_name("numba_team_loops.py"))


class _Team:
    """The helpers, the slots they share with the leader, and the table of a job's arguments."""

    def __init__(self) -> None:
        self.leader = threading.Lock()
        self.slots = np.zeros(_SLOTS, np.int64)
        self.table = np.zeros(_MOST_ARGUMENTS, np.int64)
        self.numbers = self.table.view(np.float64)
        self.bells: list[threading.Lock] = []
        self.job = 0
        self.state, self.arguments = self.slots.ctypes.data, self.table.ctypes.data

    def start(self, helpers: int) -> None:
        while len(self.bells) < helpers:
            bell = threading.Lock()
            bell.acquire()
            number = len(self.bells)
            self.slots[_FIRST + number] = 1
            self.bells.append(bell)
            name = f"gpugrad-team-{number}"
            threading.Thread(target=_helper, args=(self, bell, number), name=name, daemon=True).start()


_team = _Team()


def _helper(team: _Team, bell: threading.Lock, number: int) -> None:
    serve = _loops().serve
    while True:
        bell.acquire()
        serve(team.state, number)


def run(function: int, addresses: Sequence[int], numbers: Sequence[float], count: int, step: int) -> int:
    """Call the C function `int64 f(table, start, stop)` over 0..count in strips of `step`, on all threads.

    Args:
        function: its address.
        addresses: the first slots of the table; what they point to must live until this returns.
        numbers: for the slots after them, which hold float64.
        count: elements (or rows).
        step: elements (or rows) of a strip.

    Returns:
        DECLINED, with nothing done, where the team is at work for another thread, inside a chunk of `parallel_for`,
        and with one thread; AGAIN where a strip gave another number than 0; else DONE.
    """
    team = _team
    helpers = _gathered(team, count // step)
    if not helpers:
        return DECLINED
    try:
        team.table[: len(addresses)] = addresses
        for slot, value in enumerate(numbers, len(addresses)):
            team.numbers[slot] = value
        far = _loops().lead(team.state, team.job, function, team.arguments, count, step, helpers)
    finally:
        team.leader.release()
    return AGAIN if far else DONE


def run_arrays(function: int, count: int, step: int, numbers: Sequence[float], *arrays: Any) -> int:
    """`run` for one-dimensional writeable arrays, whose addresses are taken in compiled code."""
    team = _team
    helpers = _gathered(team, count // step)
    if not helpers:
        return DECLINED
    try:
        for slot, value in enumerate(numbers, len(arrays) + 1):  # behind the addresses and the elements of a row
            team.numbers[slot] = value
        far = _loops().lead_arrays(team.state, team.job, function, team.arguments, count, step, helpers, *arrays)
    finally:
        team.leader.release()
    return AGAIN if far else DONE


def _gathered(team: _Team, strips: int) -> int:
    """Become the leader of a new job, the sleepers woken: the number of helpers, 0 where there is no team."""
    helpers = min(num_threads() - 1, _MOST_HELPERS, strips)
    if helpers < 1 or in_chunk() or not team.leader.acquire(False):
        return 0
    if len(team.bells) < helpers:
        team.start(helpers)
    first, slots = _FIRST, team.slots
    for k in range(helpers):
        if slots[first + k]:
            slots[first + k] = 0
            team.bells[k].release()
    team.job += 1
    return helpers


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_team.__init__)  # type: ignore[misc]
