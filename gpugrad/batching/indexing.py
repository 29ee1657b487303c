"""Item access: `x[index]` and `x[index] = value` where the array, the index or the value differ among the examples.

Indices that differ pick with the number of the example as one more index; masks that differ go example by example.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..backend import is_array
from .array import BatchArray, _hooks, levels_of
from .levels import Levels, lifted, union
from .table import aligned, call, example, full, highest, holds, loop, strip, tree, under, wrap


def pick(x: BatchArray, index: Any) -> Any:
    """`x[index]`."""
    index = tree(_bare, index)
    level = highest((x, index))
    parts = index if isinstance(index, tuple) else (index,)
    if _is(level, x) and not any(isinstance(p, BatchArray) for p in parts):
        if not x.batched:
            return wrap(level, x.value[index], False)
        if not any(_is_array(p) or isinstance(p, (bool, np.bool_)) for p in parts):
            return wrap(level, x.value[(slice(None), *parts)])
    if not holds(level, x) and not any(holds(level, p) for p in parts):
        return wrap(level, strip(level, x)[tree(lambda v: strip(level, v), index)], False)
    plan = _Plan.of(level, x, parts)
    if plan is None:
        return loop(level, "indexing", operator.getitem, (x, index), {})
    return wrap(level, plan.forth(strip(level, x)[plan.index]))


def put(x: BatchArray, index: Any, value: Any) -> None:
    """`x[index] = value`; an array that all examples share holds one for each from then on, where it must."""
    index, value = tree(_bare, index), _bare(value)
    parts = index if isinstance(index, tuple) else (index,)
    levels = union([x, value, *parts])
    if len(levels) > len(levels_of(x)):
        _grow(x, levels)
    level: Any = levels[0]
    if not x.batched:
        if not holds(level, value) and not any(holds(level, p) for p in parts):
            x.value[tree(lambda v: strip(level, v), index)] = strip(level, value)
            return
        x.set(full(level, x).copy(), True)
    if not any(_is_array(p) or isinstance(p, (bool, np.bool_)) for p in parts):
        ndim = sum(p is None for p in parts) + len(x.shape) - sum(_is_number(p) for p in parts)
        x.value[(slice(None), *parts)] = _value(level, value, ndim)
        return
    if len(parts) == 1 and holds(level, parts[0]) and parts[0].dtype == bool and np.ndim(value) == 0:
        mask = parts[0].value
        mask = mask.reshape((*mask.shape, *(1,) * (x.value.ndim - mask.ndim)))
        backend = under(level, (mask, x.value, strip(level, value)))
        x.value[...] = backend.xp.where(mask, _value(level, value, x.ndim), x.value)
        return
    plan = _Plan.of(level, x, parts)
    if plan is None:
        for i in range(level.size):
            place, one = example(level, i, (index, value))
            x.value[i][place] = one
        return
    x.value[plan.index] = plan.back(_value(level, value, plan.rank))


_hooks.update(pick=pick, put=put)


def _bare(x: Any) -> Any:
    """The array of a tensor; one that requires a gradient refuses, as it does where a bare array is asked for one."""
    if not hasattr(x, "_node"):
        return x
    return x.data if x._node is None else x.__array__()


def _is(level: Any, x: Any) -> bool:
    return isinstance(x, BatchArray) and x.backend.level == level.level  # type: ignore[attr-defined]


def _is_array(part: Any) -> bool:
    return is_array(part) or isinstance(part, list)


def _is_number(part: Any) -> bool:
    return not isinstance(part, (bool, np.bool_)) and (
        isinstance(part, (int, np.integer)) or hasattr(part, "__index__")
    )


def _value(level: Any, value: Any, rank: int) -> Any:
    """A value to write, such that it broadcasts against examples of `rank` axes; more axes in front go if they can."""
    if isinstance(value, BatchArray) and len(value.shape) > rank:
        value = value.reshape(value.shape[len(value.shape) - rank :])
    return aligned(level, value, rank)


def _grow(x: BatchArray, levels: Levels) -> None:
    """Let `x` hold examples of all of `levels`, on memory of its own."""
    wide = lifted(x, levels)
    value = full(wide.backend, wide).copy()  # before `x` changes, which `wide` may hold
    x.backend = wide.backend
    x.set(value, True)


class _Plan:
    """An index with arrays, on the array of all examples, and where the picked axes stand in the result.

    Attributes:
        index: the index; the number of the example is its first part where the array itself has examples.
        rank: axes of one example's result.
    """

    def __init__(self, index: tuple[Any, ...], rank: int, picked: int, place: int, whole: bool) -> None:
        self.index, self.rank = index, rank
        self._picked, self._place, self._whole = picked, place, whole

    @classmethod
    def of(cls, level: Any, x: Any, parts: tuple[Any, ...]) -> _Plan | None:
        """None where masks differ among the examples, or single truth values are part of the index."""
        whole = holds(level, x)
        plain = _integers(level, x, parts)
        if plain is None:
            return None
        taken = sum(p is not None and p is not Ellipsis for p in plain)
        gap = x.ndim - taken
        plain = [q for p in plain for q in ((slice(None),) * gap if p is Ellipsis else (p,))]
        if not any(p is Ellipsis for p in parts):
            plain += [slice(None)] * gap
        places = [i for i, p in enumerate(plain) if not (p is None or isinstance(p, slice))]
        adjacent = places == list(range(places[0], places[-1] + 1))
        picked = max(0 if isinstance(plain[i], (int, np.integer)) else plain[i].ndim for i in places)
        values = [aligned(level, p, picked) for p in plain]
        rank = picked + len(plain) - len(places)
        index = tuple(values)
        if whole:
            xp = under(level, values).xp
            steps = xp.arange(level.size).reshape((level.size, *(1,) * picked))
            index = (steps, *index)
        return cls(index, rank, picked, places[0] if adjacent else 0, whole)

    def forth(self, picked: Any) -> Any:
        """What the index picked, with the batch axis in front and the axes of one example in NumPy's order."""
        k = self._picked
        if self._whole:  # (examples, picked..., rest...)
            return _move(picked, range(1, 1 + k), 1 + self._place)
        # the batch axis stands in front of the picked axes, wherever NumPy puts those
        return _move(picked, (self._place,), 0)

    def back(self, value: Any) -> Any:
        """A value in NumPy's order as the index takes it."""
        ndim = getattr(value, "ndim", 0)
        if not self._place or ndim <= self.rank - self._place - self._picked:
            return value
        if ndim < self.rank + 1:  # shared by all examples: give it the axes that are missing
            value = value.reshape((*(1,) * (self.rank + 1 - ndim), *value.shape))
        first = 1 + self._place
        order = [0, *range(first, first + self._picked), *range(1, first), *range(first + self._picked, self.rank + 1)]
        return value.transpose(order)


def _move(x: Any, axes: Any, to: int) -> Any:
    axes = list(axes)
    if not axes or axes[0] == to:
        return x
    rest = [i for i in range(x.ndim) if i not in axes]
    return x.transpose((*rest[:to], *axes, *rest[to:]))


def _integers(level: Any, x: Any, parts: tuple[Any, ...]) -> list[Any] | None:
    """The parts of an index with integers in place of masks and lists."""
    out: list[Any] = []
    for p in parts:
        if isinstance(p, (bool, np.bool_)):
            return None
        if isinstance(p, list):
            p = np.asarray(p)
        if not is_array(p) or p.dtype != bool:
            out.append(p)
        elif holds(level, p) or not p.ndim:
            return None
        else:
            out.extend(call("nonzero", (strip(level, p),), {}, level))
    return out
