"""Into a map and out of it: arrays taken apart into examples, put together again, lifted, and summed over the batch.

A map that is walked backwards inside a later one finds its examples within the later one's; each function here goes
down to the level that it is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..backend import backend_of, is_array
from .array import BatchArray, levels_of
from .table import under

Levels = tuple[Any, ...]  # backends of maps, outermost first


def union(values: Iterable[Any]) -> Levels:
    """The maps that any of the arrays has examples of."""
    found = {b.level: b for v in values for b in levels_of(v)}
    return tuple(found[number] for number in sorted(found, reverse=True))


def alike(arrays: Sequence[Any], others: Sequence[Any]) -> Sequence[Any]:
    """Arrays (and whatever else is among them) as members of all the maps that they or `others` belong to."""
    levels = union([*arrays, *others])
    return [lifted(a, levels) if is_array(a) else a for a in arrays] if levels else arrays


def lifted(x: Any, levels: Levels) -> Any:
    """`x` as an array of all of `levels` too, the same for every example of those that it did not have."""
    if not levels:
        return x
    first, rest = levels[0], levels[1:]
    if isinstance(x, BatchArray) and x.backend.level == first.level:  # type: ignore[attr-defined]
        value = lifted(x.value, rest)
        return x if value is x.value else BatchArray(value, first, x.batched)
    if isinstance(x, BatchArray) and x.backend.level > first.level:  # type: ignore[attr-defined]
        return BatchArray(lifted(x.value, levels), x.backend, x.batched)
    return BatchArray(lifted(x, rest), first, False)


def raised(x: Any, levels: Levels) -> Any:
    """`x` as an array of `levels` beside those that it has."""
    every = {b.level: b for b in (*levels, *levels_of(x))}
    return lifted(x, tuple(every[number] for number in sorted(every, reverse=True)))


def examples(x: Any, level: Any, axis: int) -> Any:
    """The array `x` as the examples that lie along its axis `axis`."""
    if isinstance(x, BatchArray) and x.backend.level > level.level:  # type: ignore[attr-defined]
        return BatchArray(examples(x.value, level, axis + x.batched), x.backend, x.batched)
    return BatchArray(backend_of(x).xp.moveaxis(x, axis, 0) if axis else x, level)


def whole(x: Any, level: Any, axis: int) -> Any:
    """The inverse of `examples`: the array of all of them, the batch axis at `axis`; copies where they are alike."""
    if isinstance(x, BatchArray) and x.backend.level > level.level:  # type: ignore[attr-defined]
        return BatchArray(whole(x.value, level, axis + x.batched), x.backend, x.batched)
    if isinstance(x, BatchArray) and x.backend.level == level.level:  # type: ignore[attr-defined]
        value = x.value
        if not x.batched:
            value = _repeated(value, level)
    else:
        value = _repeated(x, level)
    return backend_of(value).xp.moveaxis(value, 0, axis) if axis else value


def _repeated(x: Any, level: Any) -> Any:
    return backend_of(x).xp.broadcast_to(x, (level.size, *x.shape)).copy()


def total(x: Any, levels: Levels) -> Any:
    """The sum over all examples of `levels`: the inverse of `lifted` for cotangents."""
    for level in levels:
        x = _total(x, level)
    return x


def _total(x: Any, level: Any) -> Any:
    if isinstance(x, BatchArray) and x.backend.level > level.level:  # type: ignore[attr-defined]
        return BatchArray(_total(x.value, level), x.backend, x.batched)
    if not isinstance(x, BatchArray) or x.backend.level < level.level:  # type: ignore[attr-defined]
        return x * level.size
    if not x.batched:
        return x.value * level.size
    backend = under(level, (x.value,))
    return backend.sum_to(x.value, (1, *x.shape)).reshape(x.shape)
