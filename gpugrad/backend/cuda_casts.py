"""Many arrays cast to half precision in one launch: what autocast does with parameters (`kernels/casts.cu`)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from .cuda_launch import BLOCK, function, new
from .cuda_lines import lie_alike

_AT_ONCE: Final = 96  # arrays of a launch; the kernel's
_PIECE: Final = 8 * BLOCK  # elements of a block
_LARGEST: Final = 1 << 20  # elements; what is larger is worth a launch, and its memory goes back by itself
_LIST: Final = np.dtype(
    [("from", "u8", _AT_ONCE), ("size", "u4", _AT_ONCE), ("first", "u4", _AT_ONCE + 1), ("count", "u4")], align=True
)


def cast_many(arrays: Sequence[Any], dtype: Any) -> list[Any]:
    """Each array in another dtype and its own memory order, all in one piece of memory.

    Returns:
        Casts of float32 arrays without gaps of up to a million elements; None in the place of others.
    """
    made: list[Any] = [None] * len(arrays)
    fit = [i for i, a in enumerate(arrays) if a.dtype.char == "f" and 0 < a.size <= _LARGEST and _is_gapless(a)]
    for start in range(0, len(fit), _AT_ONCE):
        some = fit[start : start + _AT_ONCE]
        for i, cast in zip(some, _cast([arrays[i] for i in some], dtype), strict=True):
            made[i] = cast
    return made


def _is_gapless(a: Any) -> bool:
    return a.flags.c_contiguous or lie_alike([[a]])


def _cast(arrays: list[Any], dtype: Any) -> list[Any]:
    listed, blocks = _listed(tuple([(a.data.ptr, a.size) for a in arrays]))
    flat = new((blocks[-1] * _PIECE,), dtype)
    function("casts.cu", "casts", flat.dtype)((blocks[-1],), (BLOCK,), (listed, flat))
    return [_placed(flat[b * _PIECE : b * _PIECE + a.size], a) for a, b in zip(arrays, blocks, strict=False)]


@functools.lru_cache(maxsize=256)  # parameters, and what a graph leaves, lie where they lay in the step before
def _listed(arrays: tuple[tuple[int, int], ...]) -> tuple[Any, list[int]]:
    """The kernel's list of arrays by address and size, and the block at which each begins."""
    pointers, sizes = zip(*arrays, strict=True)
    listed, count = np.zeros(1, _LIST), len(arrays)
    blocks = np.cumsum([0, *[-(-size // _PIECE) for size in sizes]]).tolist()
    listed["from"][0, :count] = pointers
    listed["size"][0, :count] = sizes
    listed["first"][0, : count + 1] = blocks
    listed["count"] = count
    return listed, blocks


def _placed(line: Any, like: Any) -> Any:
    """A line of memory as an array that lies like another one."""
    if like.flags.c_contiguous:
        return line.reshape(like.shape)
    order = sorted(range(like.ndim), key=lambda i: -like.strides[i])
    return line.reshape([like.shape[i] for i in order]).transpose(np.argsort(order).tolist())
