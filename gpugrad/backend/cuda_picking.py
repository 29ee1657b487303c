"""Rows by index on the GPU, and rows added by index: what an embedding looks up, and its gradient; the same along axes.

The arithmetic is in `kernels/picking.cu`; the sorting behind the gradient of many rows is CuPy's. Nothing waits for
the device.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from ..fusion import call, trace
from .along import Along
from .cuda_copies import dense, into
from .cuda_launch import BLOCK, MAX_GRID, function, new, sizes

_FROM_0: Final = trace(lambda index, rows: call("where", index < 0, index + rows, index), "counted_from_0")
_INDEX: Final = np.dtype(np.int64)
_FEW: Final = 4096  # indices that each row looks at itself, which is one launch; more are sorted
_LOOKS: Final = 1 << 20  # by warps; an H100 takes some 10 microseconds for them
_BLOCKS: Final = 2112  # more only wait to be started
_LOOKED_AT: Final = 16  # indices along an axis that each element looks at


def take_rows(x: Any, index: Any) -> Any:
    """`x[index]` for an array of integers; nan for those out of range, which to find would mean waiting.

    Args:
        x: `"rows *rest"`, C-contiguous, of a floating-point dtype, with elements.
        index: integers of any shape, negative ones from the end.

    Returns:
        `index.shape + x.shape[1:]`, of the dtype of `x`.
    """
    y, rows = new((*index.shape, *x.shape[1:]), x.dtype), x.shape[0]
    count, columns = index.size, x.size // rows
    if not count:
        return y
    pack = 16 // x.itemsize
    wide = columns % pack == 0 and x.data.ptr % 16 == 0
    packs = columns // pack if wide else columns
    across = min(32, 1 << (packs - 1).bit_length())
    down = BLOCK // across
    args = (x, dense(index, _INDEX), y, np.int64(count), *sizes(rows, columns))
    run = function("picking.cu", "take_rows_wide" if wide else "take_rows", x.dtype)
    run((min(-(-count // down), _BLOCKS),), (across, down), args)
    return y


def take_along(x: Any, at: Along) -> Any | None:
    """The elements of `x` at an index along an axis, nan for those out of range; None if it is not for the kernel."""
    index, axis = at.indices, at.axis
    others = x.shape[:axis], x.shape[axis + 1 :]
    if others != (index.shape[:axis], index.shape[axis + 1 :]):
        return None
    return _along("take_along", x, at, x.shape[axis], index.shape, index.shape[axis])


def add_along(g: Any, at: Along, shape: tuple[int, ...], unique: bool) -> Any | None:
    """Zeros of `shape` with `g` added where `take_along` takes; None if it is not for kernels.

    Args:
        g: of the shape of the indices.
        at: an index along an axis; what is out of range is left out.
        shape: of the result.
        unique: whether no place comes twice.
    """
    index, axis = at.indices, at.axis
    others = shape[:axis], shape[axis + 1 :]
    if g.shape != index.shape or others != (index.shape[:axis], index.shape[axis + 1 :]):
        return None
    if index.shape[axis] <= _LOOKED_AT:
        return _along("add_along", g, at, shape[axis], shape, shape[axis])
    return _along("put_along", g, at, shape[axis], shape, index.shape[axis]) if unique else None


def _along(kernel: str, x: Any, at: Along, rows: int, made: tuple[int, ...], lines: int) -> Any | None:
    """A launch of a kernel along an axis of `rows` places, which goes through `lines` of them or of the indices."""
    index, count = at.indices, at.indices.shape[at.axis]
    outer, inner = math.prod(index.shape[: at.axis]), math.prod(index.shape[at.axis + 1 :])
    if x.dtype.kind not in "fV" or index.dtype.kind not in "iu" or not x.size or not index.size or not rows:
        return None
    if max(rows, count) * inner >= 1 << 31:
        return None
    import cupy

    y = cupy.zeros(made, x.dtype) if kernel == "put_along" else new(made, x.dtype)
    across = min(BLOCK, 1 << (lines * inner - 1).bit_length())
    down = BLOCK // across
    over = min(-(-outer // down), _BLOCKS)
    grid = over, max(1, min(-(-lines * inner // across), _BLOCKS // over))
    args = dense(x), dense(index, _INDEX), y, np.int64(outer), *map(np.uint32, (rows, count, inner))
    function("picking.cu", kernel, x.dtype)(grid, (across, down), args)
    return y


def scatter_add_rows(target: Any, index: Any, source: Any) -> None:
    """`target[index] += source` in place, repeats added up in the order of `index`: the same result every time.

    Args:
        target: `"rows *rest"`, C-contiguous, of a floating point dtype.
        index: integers of any shape, negative ones from the end; what is out of range is left out.
        source: `index.shape + target.shape[1:]`, of the type of `target`.

    Raises:
        ValueError: a source of another shape, or a target that is not C-contiguous.
    """
    import cupy

    if source.shape != index.shape + target.shape[1:] or not target.flags.c_contiguous:
        raise ValueError(
            f"[scatter_add] target: {target.shape}, index: {index.shape}, source: {source.shape}; expected a "
            f"C-contiguous target and a source of shape {index.shape + target.shape[1:]}"
        )
    if not index.size or not target.size:
        return
    rows, count = target.shape[0], index.size
    columns = target.size // rows
    across = -(-columns // 128)
    if count <= _FEW and rows * -(-count // 32) * across <= _LOOKS:
        grid = across, min(-(-rows // 8), MAX_GRID)
        args = dense(source), dense(index, _INDEX), target, np.int64(count), *sizes(rows, columns)
        function("picking.cu", "add_few_rows", target.dtype)(grid, (32, 8), args)
        return
    from_0 = new((count,), _INDEX)
    into(_FROM_0, (index.reshape(-1), rows), from_0)
    order = cupy.argsort(from_0)  # stable in CuPy, whatever it is asked for
    # A segment for each row of the target, most of them empty: how many differ need not be known on the host.
    starts = new((rows + 1,), _INDEX)
    find, add = (function("picking.cu", kernel, target.dtype) for kernel in ("segment_starts", "segment_sum"))
    find((-(-(rows + 1) // BLOCK),), (BLOCK,), (from_0, order, starts, np.int64(count), np.int64(rows)))
    threads = min(BLOCK, 32 * -(-columns // 32))
    grid = (-(-columns // threads), min(rows, MAX_GRID))
    add(grid, (threads,), (dense(source), order, starts, target, *sizes(rows, columns)))
