"""The compiled half of `numba_team`: drawing strips of work, leading a job, waiting for the next one.

This file is run from a copy in the kernel cache (see `numba_cache`), hence the absolute imports. `state` is the
address of a table of 64-bit slots; the slots that threads contend for lie on cache lines of their own.
"""

from __future__ import annotations

from typing import Any

from numba import literal_unroll

from gpugrad.fusion import numba_memory as memory
from gpugrad.fusion.numba_cache import kernel
from gpugrad.fusion.numba_ir import inline

# The number of the job that may be joined (0: none), the helpers inside the job.
OPEN, INSIDE = 0, 16
# The job: what to call, with which table, for how many elements in strips of how many; helpers that take part.
FUNCTION, TABLE, COUNT, STEP, LIMIT = 24, 25, 26, 27, 28
# Whether a strip asked for its job to be done again in the exact way (see `numba_text.generate`).
FAR = 29
# Whether a helper sleeps, one slot for each.
ASLEEP = 32
# How many strips of a thread's share are drawn, on a cache line for each thread.
DRAWN, LINE = 128, 8
# How often to look before sleeping, or before giving the processor away: 20 to 50 microseconds.
PATIENCE = 1000


@inline
def work(state: Any, me: Any) -> Any:
    """Draw strips and run them until none is left: first those of this thread's own share, then the others'.

    So from call to call a thread meets what it had in its caches, which saves a tenth of relu on a million elements.
    """
    function, table = memory.load(state, FUNCTION), memory.load(state, TABLE)
    count, step = memory.load(state, COUNT), memory.load(state, STEP)
    threads = memory.load(state, LIMIT) + 1
    strips = (count + step - 1) // step
    for turn in range(threads):
        share = (me + turn) % threads
        first, end = strips * share // threads, strips * (share + 1) // threads
        while True:
            strip = first + memory.fetch_add(state, DRAWN + LINE * share, 1)
            if strip >= end:
                break
            start = strip * step
            if memory.call_strip(function, table, start, min(count, start + step)) != 0:
                memory.store(state, FAR, 1)


@inline
def _lead(state: Any, number: Any, function: Any, table: Any, count: Any, step: Any, limit: Any) -> Any:
    memory.store(state, FUNCTION, function)
    memory.store(state, TABLE, table)
    memory.store(state, COUNT, count)
    memory.store(state, STEP, step)
    memory.store(state, LIMIT, limit)
    memory.store(state, FAR, 0)
    for share in range(limit + 1):
        memory.store(state, DRAWN + LINE * share, 0)
    memory.store(state, OPEN, number)
    work(state, 0)
    memory.store(state, OPEN, 0)
    looks = 0
    while memory.load(state, INSIDE) > 0:
        looks += 1
        if looks < PATIENCE:
            memory.relax()
        else:  # a helper that lost its processor may be waiting for this one
            memory.give_way()
    return memory.load(state, FAR)


@kernel
def lead(state: Any, number: Any, function: Any, table: Any, count: Any, step: Any, limit: Any) -> Any:
    """Open job `number`, work at it with the helpers below `limit`, and give FAR when nobody is inside any more."""
    return _lead(state, number, function, table, count, step, limit)


@kernel
def lead_arrays(
    state: Any, number: Any, function: Any, table: Any, count: Any, step: Any, limit: Any, *arrays: Any
) -> Any:
    """`lead`, with the addresses of `arrays` and a row of one element in the table."""
    slot = 0
    for array in literal_unroll(arrays):
        memory.store(table, slot, array.ctypes.data)
        slot += 1
    memory.store(table, slot, 1)
    return _lead(state, number, function, table, count, step, limit)


@kernel
def serve(state: Any, helper: Any) -> None:
    """Join jobs as they open; return, marked asleep, after some time in vain."""
    last, idle = 0, 0
    while idle < PATIENCE:
        number = memory.load(state, OPEN)
        if number != 0 and number != last:
            # Inside first, then a second look: whoever closes the job afterwards waits for this helper.
            memory.fetch_add(state, INSIDE, 1)
            if memory.load(state, OPEN) == number and helper < memory.load(state, LIMIT):
                work(state, helper + 1)
                idle = 0
            memory.fetch_add(state, INSIDE, -1)
            last = number
        else:
            idle += 1
            memory.relax()
    memory.store(state, ASLEEP + helper, 1)
