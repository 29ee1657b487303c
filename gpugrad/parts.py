"""Cotangents of slices: gathered while the walk goes on, and one array when it reaches what was sliced.

The cotangent of `x` in `y = x[index]` is zero but for the places of the index. As an array of its own each would cost
the whole size of `x`: a loop over the rows of `x` would take time by the square of their number. Here the rule hands on
a `Part`, and `Parts` makes the array: they are joined where they are all of `x`, as those of `split` and `unbind`
are, else zeros to which each is written, or added. `Rest` is the same for what a write leaves of an array: a
loop that writes the rows of one is walked back in that one cotangent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from .backend import Backend

Shape = tuple[int, ...]
Places = tuple[range, ...]  # along each axis


class Part:
    """What a rule gives for an input of which its operation showed `input[index]`: integers, slices, None and `...`."""

    __slots__ = ("g", "index")

    def __init__(self, g: Any, index: Any) -> None:
        self.g, self.index = g, index


class Rest:
    """What a rule gives for an input of which `input[index]` was written over: its cotangent, and zero there."""

    __slots__ = ("index",)

    def __init__(self, index: Any) -> None:
        self.index = index


class Parts:
    """The cotangent of one array, as far as it has come, from slices of it.

    Args:
        shape: of the array.
        dtype: of the array, and of all cotangents.
        backend: where they are.
        total: an array to add to, if there is one already.
    """

    __slots__ = ("backend", "dtype", "held", "shape", "size", "total")

    def __init__(self, shape: Shape, dtype: Any, backend: Backend, total: Any = None) -> None:
        self.shape, self.dtype, self.backend, self.total = shape, dtype, backend, total
        self.held: list[tuple[Places, Any]] = []
        self.size = 0  # of all that is held

    def add(self, part: Part) -> None:
        """One more slice; it is not copied, and nobody may change it before the array is made."""
        places = ranges(part.index, self.shape)
        lengths = tuple([len(r) for r in places])
        g = part.g if part.g.shape == lengths else part.g.reshape(lengths)
        if self.total is not None:
            self._into(self.total, places, g)
        elif g.size:
            self.held.append((places, g))
            self.size += g.size
            if self.size > math.prod(self.shape):  # together they are not to take more memory than the array
                self.total = self._added()

    def array(self) -> tuple[Any, bool]:
        """The sum of all, and whether it is an array of its own: a single slice that is all of it comes back as is."""
        if self.total is not None:
            return self.total, True
        axis = along(self.shape, [places for places, _ in self.held])
        if axis is None:
            return self._added(), True
        pieces = sorted(self.held, key=lambda each: each[0][axis].start)
        if sum([len(places[axis]) for places, _ in pieces]) == self.shape[axis]:
            if len(pieces) == 1:
                return pieces[0][1], False
            total = self.backend.empty(self.shape, self.dtype)
            self.backend.join([g for _, g in pieces], axis, total)
            return total, True
        total = self.backend.zeros(self.shape, self.dtype)
        for places, g in pieces:
            self.backend.put(total, slices(places), g)
        return total, True

    def _added(self) -> Any:
        """All that is held, one after the other, in the order in which they came."""
        total = None
        for places, g in self.held:
            if total is not None:
                self._into(total, places, g)
            elif all(r.step == 1 for r in places) and g.shape == self.shape:
                total = self.backend.copy(g)
            else:
                total = self.backend.zeros(self.shape, self.dtype)
                self.backend.put(total, slices(places), g)
        self.held.clear()
        return self.backend.zeros(self.shape, self.dtype) if total is None else total

    def _into(self, total: Any, places: Places, g: Any) -> None:
        self.backend.plus(total[slices(places)] if places else total, g, into=True)


def ranges(index: Any, shape: Shape) -> Places:
    """The places that a basic index names, which fits the shape."""
    places = [range(n) for n in shape]
    _pick(places, list(range(len(shape))), index)
    return tuple(places)


def composed(indices: Sequence[Any], shape: Shape) -> tuple[Any, ...]:
    """One index for basic ones of which each is of what the one before shows, the first of an array of this shape."""
    places, axes = [range(n) for n in shape], list(range(len(shape)))
    for index in indices:
        axes = _pick(places, axes, index)
    found: list[Any] = [places[axis].start if axis not in axes else cut for axis, cut in enumerate(slices(places))]
    for at, axis in enumerate(axes):
        if axis < 0:  # in front of the next one that is the array's own
            after = next((a for a in axes[at:] if a >= 0), len(shape))
            found.insert(len(found) - len(shape) + after, None)
    return tuple(found)


def _pick(places: list[range], axes: list[int], index: Any) -> list[int]:
    """Cut the places along the array's axes that are shown (-1: a new one) to those of an index; returns what is shown.

    Axes that a number picks from have one place, and are not shown any more.
    """
    parts = list(index) if type(index) is tuple else [index]
    if not any(part is ... for part in parts):
        parts.append(...)
    rest = len(axes) - sum(part is not None for part in parts) + 1
    shown: list[int] = []
    at = 0
    for part in parts:
        if part is None:
            shown.append(-1)
        elif part is ...:
            shown += axes[at : at + rest]
            at += rest
        else:
            axis = axes[at]
            at += 1
            if isinstance(part, slice):
                shown.append(axis)
                if axis >= 0:
                    places[axis] = places[axis][part]
            elif axis >= 0:
                place = places[axis][int(part)]
                places[axis] = range(place, place + 1)
    return shown


def slices(places: Sequence[range]) -> tuple[slice, ...]:
    """The same as an index."""
    return tuple([slice(r.start, r.stop if r.stop >= 0 else None, r.step) for r in places])


def along(shape: Shape, pieces: list[Places]) -> int | None:
    """The one axis along which these cut an array, no element being in two of them; None if there is none."""
    cut = {axis for places in pieces for axis, r in enumerate(places) if r != range(shape[axis])}
    if len(cut) > 1 or not shape or not pieces:
        return None
    axis = cut.pop() if cut else 0
    found = sorted([places[axis] for places in pieces], key=lambda r: r.start)
    apart = all(a.stop <= b.start for a, b in pairwise(found))
    return axis if apart and all(r.step == 1 for r in found) else None
