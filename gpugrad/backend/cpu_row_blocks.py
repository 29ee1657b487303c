"""How the row kernels of the CPU are shared out: blocks of rows, threads, and room for each one's temporary arrays.

The kernels are in `cpu_rows`. The blocks depend on the shapes alone, so that results do not depend on the number of
threads; the caller's thread takes all memory, so that neither does that depend on which of them come to do the work.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..fusion import workers
from ..fusion.numba_cache import numba_wanted
from ..fusion.numpy_functions import repeating
from . import cpu_rows_numpy

Array = npt.NDArray[Any]

# Elements from which Numba's bodies are used (its start costs half a second, once).
FUSE: Final = 16_384
# Elements of a block of rows, and from where the blocks are shared among threads.
BLOCK: Final = 65_536
SPLIT: Final = 131_072


def compiled(x: Array) -> bool:
    """Whether Numba's bodies do the work for `x`: it is wanted, and `x` is large."""
    return x.size >= FUSE and numba_wanted()


def scratch(name: str, x: Array, weighted: bool = False) -> int:
    """Bytes that the kernel `name` takes for its blocks while it runs on `x`, beside its results.

    Of `x` only the shape and the dtype are looked at. Compiled loops take none.
    """
    if compiled(x):
        return 0
    rows, cols = math.prod(x.shape[:-1]), x.shape[-1]
    if name == "dropout":
        rows, cols = rows * cols, 1
    step = _longer_step(rows, cols) if name.endswith("norm_vjp") else _step(cols)
    count = -(-rows // step)
    rooms = _takers(count, x.size) if count > 1 else 1
    itemsize = max(x.dtype.itemsize, 4)  # narrower floats compute in float32
    taken = share_of(name, x, weighted) * min(rows, step) * cols * itemsize
    if name not in ("maxout", "maxout_vjp", "dropout"):  # where a number of each row meets the row
        taken += repeating(cols, min(rows, step), itemsize)
    return rooms * int(taken)


def share_of(name: str, x: Array, weighted: bool = False) -> float:
    """What the body `name` takes for a block of `x`, in units of the block's bytes."""
    known = cpu_rows_numpy.SCRATCH.get(name)
    return 0.0 if known is None or compiled(x) else known + weighted


def _step(cols: int) -> int:
    """The rows of a block."""
    return max(1, BLOCK // max(1, cols))


def _longer_step(rows: int, cols: int) -> int:
    """The rows of a block that has column sums of its own, or is compiled: fewer blocks, and larger, than elsewhere."""
    return max(1, 2 * BLOCK // max(1, cols), -(-rows // 64))


def _takers(count: int, size: int) -> int:
    """How many threads share the blocks."""
    return workers.takers(count) if size >= SPLIT else 1


def by_rows(work: Callable[..., None], *arrays: Array, share: float = 0.0) -> None:
    """`work(*blocks)` for blocks of rows of `arrays`, over threads where they are large.

    The blocks depend on the shapes alone, so that results do not depend on the number of threads. With a `share`
    `work` takes its temporary arrays, so many times the bytes of a block of the first array, from an argument `new`.
    """
    rows, cols = arrays[0].shape[0], arrays[0].shape[1] if arrays[0].ndim > 1 else 1
    # Compiled bodies go over a row at a time; blocks need not fit a cache, and each costs some microseconds of Python.
    step = _longer_step(rows, cols) if compiled(arrays[0]) else _step(cols)
    if rows <= step:
        work(*arrays)
        return

    def block(k: int, **room: Any) -> None:
        work(*(a[k * step : (k + 1) * step] for a in arrays), **room)

    each(block, -(-rows // step), arrays[0].size, share * arrays[0][:step].nbytes)


def each(block: Callable[..., None], count: int, size: int, nbytes: float = 0.0) -> None:
    """`block(k)` for every k, over threads where `size` is large; with an arena of so many bytes as `new`, if any."""
    if not nbytes:
        _run(block, count, size)
        return

    def lent(k: int, arena: workers.Arena) -> None:
        arena.clear()
        block(k, new=arena.empty)

    # Arrays begin at multiples of 64 bytes.
    arenas = [workers.Arena(np.empty(int(nbytes) + 256, np.uint8)) for _ in range(_takers(count, size))]
    _run(workers.lending(lent, arenas), count, size)


def _run(block: Callable[[int], object], count: int, size: int) -> None:
    if size >= SPLIT:
        workers.parallel_for(block, count)
    else:
        for k in range(count):
            block(k)


def partial_sums(work: Callable[..., None], outputs: int, *arrays: Array, share: float) -> tuple[Array, ...]:
    """`work(*blocks, *sums)` adds a block's share to its own column sums; their totals, in the order of blocks."""
    rows, cols = arrays[0].shape
    step = _longer_step(rows, cols)
    count = max(1, -(-rows // step))
    sums = np.zeros((count, outputs, cols), arrays[0].dtype)

    def block(k: int, **room: Any) -> None:
        work(*(a[k * step : (k + 1) * step] for a in arrays), *sums[k], **room)

    each(block, count, arrays[0].size, share * arrays[0][:step].nbytes)
    return tuple(sums.sum(0)) if count > 1 else tuple(sums[0])
