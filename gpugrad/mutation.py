"""Which memory was changed in place, and when: what keeps the tape from using values that are no longer there.

Recordings and in-place changes share one clock. A node is stale when memory that it keeps was changed after the
node was recorded. Only changes made through gpugrad are seen here; `anomaly` finds the others by checksum.
"""

from __future__ import annotations

import itertools
import math
import weakref
from typing import Any, Final

import numpy as np

from .backend import WrappedArray, backend_of, is_array, memory

tick: Final = itertools.count(1).__next__


class _Change:
    __slots__ = ("array", "owner", "seq", "what")

    def __init__(self, owner: weakref.ref[Any], array: Any, seq: int, what: str) -> None:
        self.owner, self.array, self.seq, self.what = owner, array, seq, what


# id of the memory's owner -> the last changes of parts of it; empty as long as nothing is ever changed in place
changes: Final[dict[int, list[_Change]]] = {}
# The moment of the last change of any memory (0: there was none): what was recorded later needs no search.
latest: Final = [0]


def changed(array: Any, what: str) -> None:
    """Note that `what` (an operation's name) has just written to `array` in place."""
    array = memory(array) if isinstance(array, WrappedArray) else array
    owner = array if array.base is None else backend_of(array).storage(array)
    key = id(owner)
    latest[0] = now = tick()
    known = changes.get(key)
    if known is not None and known[0].owner() is owner:
        for change in known:
            if change.array() is array:
                change.seq, change.what = now, what
                return
        if len(known) < 256:
            known.append(_Change(known[0].owner, _weak(array), now, what))
        else:  # many views of one buffer: from here on the buffer counts as a whole
            known[:] = [_Change(known[0].owner, _weak(owner), now, what)]
        return
    try:
        reference = weakref.ref(owner, lambda _: changes.pop(key, None))
    except TypeError:
        return  # memory of a foreign owner that cannot be watched
    changes[key] = [_Change(reference, _weak(array), now, what)]


def _weak(array: Any) -> Any:
    return weakref.ref(array)


def stale(saved: Any, seq: int, until: float = math.inf) -> str | None:
    """The name of the operation that changed something of `saved` after the moment `seq` and before another."""
    for value in saved if type(saved) is tuple else (saved,):
        if type(value) is np.ndarray:
            owner: Any = value.base
            if owner is None:
                owner = value
            elif type(owner) is np.ndarray and owner.base is not None:
                owner = backend_of(value).storage(value)
        elif is_array(value):
            value = memory(value)
            owner = backend_of(value).storage(value)
        else:
            continue
        for change in changes.get(id(owner), ()):
            if seq < change.seq < until and _overlap(change.array(), value):
                return change.what
    return None


def _overlap(changed_array: Any, kept: Any) -> bool:
    if changed_array is None:  # the view is gone: nobody can tell any more which part it was
        return True
    if type(kept) is np.ndarray and type(changed_array) is np.ndarray:
        return bool(np.may_share_memory(changed_array, kept))
    low, high = _bounds(changed_array)
    start, stop = _bounds(kept)
    return low < stop and start < high


def _bounds(array: Any) -> tuple[int, int]:
    """First and one past last byte of an array with non-negative strides on any device."""
    start = int(getattr(array, "data", array).ptr)
    low = start + sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True) if s < 0)
    high = start + sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True) if s > 0)
    return low, high + int(array.itemsize)
