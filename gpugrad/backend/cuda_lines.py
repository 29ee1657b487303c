"""Lists of arrays as kernels over whole lists take them: by dtype, and each as one line of memory without gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .base import Array
from .cuda_copies import dense, put


def by_dtype(lists: Sequence[Sequence[Array] | None]) -> list[list[list[Array] | None]]:
    """The lists by the dtype of their first one's arrays, without what is empty."""
    first: Any = lists[0]
    found: dict[Any, list[int]] = {}
    for i, p in enumerate(first):
        if p.size:
            found.setdefault(p.dtype, []).append(i)
    return [[None if each is None else [each[i] for i in of] for each in lists] for of in found.values()]


def alike(lists: Sequence[Sequence[Array] | None], dtype: Any) -> list[list[Array] | None]:
    """The lists with each parameter's arrays in one order of memory: as they are where that is so, else in C order."""
    made: list[list[Array] | None] = [None if each is None else [] for each in lists]
    for arrays in zip(*(each for each in lists if each is not None), strict=True):
        as_is = dtype.kind != "c" and all(a.dtype == dtype for a in arrays) and lie_alike([[a] for a in arrays])
        given = iter(arrays if as_is else [_in_c_order(a, dtype) for a in arrays])
        for each in made:
            if each is not None:
                each.append(next(given))
    return made


def lie_alike(lists: Sequence[Sequence[Array]]) -> bool:
    """Whether the arrays at each place of the lists have no gaps and one order of their axes in memory."""
    return all(
        _gapless(arrays[0]) and all(_gapless(a) and _order(a) == _order(arrays[0]) for a in arrays[1:])
        for arrays in zip(*lists, strict=True)
    )


def line(a: Array, dtype: Any) -> Array:
    """An array without gaps, in any order of its axes, and in a dtype; itself, where that will do."""
    return a if dtype.kind != "c" and a.dtype == dtype and _gapless(a) else _in_c_order(a, dtype)


def _gapless(a: Array) -> bool:
    return bool(a.transpose(_order(a)).flags.c_contiguous)


def _order(a: Array) -> tuple[int, ...]:
    """The axes in the order in which they lie in memory."""
    if a.flags.c_contiguous:
        return tuple(range(a.ndim))
    return tuple(sorted(range(a.ndim), key=lambda i: -a.strides[i]))


def _in_c_order(a: Array, dtype: Any) -> Array:
    """An array in C order and in a dtype, complex ones as pairs of reals; itself, where that will do."""
    a = dense(a, dtype)
    return a.reshape(-1).view(a.real.dtype) if dtype.kind == "c" else a


def give_back(targets: Any, written: Any, stored: Any) -> None:
    """What a kernel wrote into copies that stand for them, to where it belongs."""
    for target, a in zip(targets, written, strict=True):
        if target is not a:
            put(target, (a if stored.kind != "c" else a.view(stored)).reshape(target.shape))
