"""Cotangents of slices: gathered while the walk goes on, and one array when it reaches what was sliced.

The cotangent of `x` in `y = x[index]` is zero but for the places of the index. As an array of its own each would have
the size of `x`: a loop over the rows of `x` would take time by the square of their number. Here the rule hands on
a `Part`, and `Parts` makes the array. Slices that are all of `x`, as those of `split` and `unbind`, are joined; else
each is written, or added, to zeros, or right to the gradient that a leaf has. `Rest` is the same for what a write
leaves of an array: a loop that writes the rows of one is walked back in that one cotangent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from .backend import Backend

Shape = tuple[int, ...]
Places = tuple[range, ...]  # along each axis


class Part:
    """What a rule gives for an input of which its operation showed, or copied, `input[index]`.

    Args:
        g: the cotangent of what was picked.
        index: integers, slices, None and `...`; with `adds` also arrays, which may name an element twice.
        adds: `adds(backend, total, index, g)` adds `g` to `total` at an index with arrays.
    """

    __slots__ = ("adds", "g", "index")

    def __init__(self, g: Any, index: Any, adds: Callable[..., None] | None = None) -> None:
        self.g, self.index, self.adds = g, index, adds


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
        self.held: list[tuple[Places | None, Part]] = []  # without places: of an index with arrays
        self.size = 0  # of all that is held

    def add(self, part: Part) -> None:
        """One more of them; it is not copied, and nobody may change it before the array is made."""
        if not part.g.size:
            return
        places = None
        if part.adds is None:
            places = ranges(part.index, self.shape)
            lengths = tuple([len(r) for r in places])
            if part.g.shape != lengths:
                part = Part(part.g.reshape(lengths), part.index)
        if self.total is not None:
            self._into(self.total, places, part)
            return
        self.held.append((places, part))
        self.size += part.g.size
        if self.size > math.prod(self.shape):  # together they are not to take more memory than the array
            self.total = self._added()

    def array(self) -> tuple[Any, bool]:
        """The sum of all, and whether it is an array of its own: a single slice that is all of it comes back as is."""
        if self.total is not None:
            return self.total, True
        axis = along(self.shape, [places for places, _ in self.held])
        if axis is None:
            return self._added(), True
        pieces = sorted(self.held, key=lambda each: each[0][axis].start)  # type: ignore[index]
        if sum([part.g.shape[axis] for _, part in pieces]) == self.shape[axis]:
            arrays = [part.g for _, part in pieces]
            return (arrays[0], False) if len(arrays) == 1 else (self.backend.concatenate(arrays, axis), True)
        total = self.backend.zeros(self.shape, self.dtype)
        for places, part in pieces:
            self.backend.put(total, slices(places or ()), part.g)
        return total, True

    def onto(self, array: Any) -> None:
        """Add all of them to an array, in place."""
        if self.total is not None:
            self.backend.plus(array, self.total, into=True)
        for places, part in self.held:
            self._into(array, places, part)

    def _added(self) -> Any:
        """All that is held, one after the other, in the order in which they came."""
        total = None
        for places, part in self.held:
            if total is not None or places is None:
                total = self.backend.zeros(self.shape, self.dtype) if total is None else total
                self._into(total, places, part)
            elif part.g.shape == self.shape and all(r.step == 1 for r in places):
                total = self.backend.copy(part.g)
            else:
                total = self.backend.zeros(self.shape, self.dtype)
                self.backend.put(total, slices(places), part.g)
        self.held.clear()
        return self.backend.zeros(self.shape, self.dtype) if total is None else total

    def _into(self, total: Any, places: Places | None, part: Part) -> None:
        if part.adds is not None:
            here = total if total.flags.c_contiguous else self.backend.zeros(self.shape, self.dtype)
            part.adds(self.backend, here, part.index, part.g)
            if here is not total:
                self.backend.plus(total, here, into=True)
        elif places is not None:
            self.backend.plus(total[slices(places)] if places else total, part.g, into=True)


def ranges(index: Any, shape: Shape) -> Places:
    """The places that a basic index names, which fits the shape."""
    places = [range(n) for n in shape]
    if type(index) is int:
        k = index % shape[0]
        places[0] = range(k, k + 1)
    else:
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


def along(shape: Shape, pieces: Sequence[Places | None]) -> int | None:
    """The one axis along which these cut an array, no element being in two of them; None if there is none."""
    named = [places for places in pieces if places is not None]
    cut = {axis for places in named for axis, r in enumerate(places) if r != range(shape[axis])}
    if len(cut) > 1 or not shape or not named or len(named) < len(pieces):
        return None
    axis = cut.pop() if cut else 0
    found = sorted([places[axis] for places in named], key=lambda r: r.start)
    apart = all(a.stop <= b.start for a, b in pairwise(found))
    return axis if apart and all(r.step == 1 for r in found) else None
