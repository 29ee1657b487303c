"""Sums on the GPU: of rows, of columns, of everything, each in one order of addition; nothing waits for the device.

The arithmetic is in `kernels/reduce.cu`. Gradients of weights that row kernels make by lines are added up here, too.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from .cuda_launch import BLOCK, compute_type, dense, function, launch_rows, new, size, sizes

_ROWS_A_CHUNK: Final = 128
_TOTAL_BLOCKS: Final = 1024  # blocks that share the sum of everything
_MAX_LINES: Final = 256  # lines of sums that are added up in one go: eight threads share a column


def column_sum(x: Any) -> Any:
    """The sums over all axes but the last, which has elements; halves add up in float32."""
    return column_sums("reduce.cu", "column_parts", (dense(x),), 1)[0]


def row_sum(x: Any) -> Any:
    """The sums over the last axis, which has elements, shape `x.shape[:-1]`; halves add up in float32."""
    x = dense(x)
    out = new(x.shape[:-1], x.dtype)
    rows, columns = size(x)
    launch_rows("reduce.cu", "row_sum", x.dtype, rows, columns, (x, out, *sizes(rows, columns)))
    return out


def total(x: Any) -> Any:
    """The sum of all elements, a 0-d array; halves add up in float32."""
    x = dense(x)
    blocks = max(1, min(-(-x.size // (8 * BLOCK)), _TOTAL_BLOCKS))
    part, out = new((blocks,), compute_type(x.dtype)), new((), x.dtype)
    function("reduce.cu", "total_parts", x.dtype.name)((blocks,), (BLOCK,), (x, part, np.int64(x.size)))
    function("reduce.cu", "total", x.dtype.name)((1,), (BLOCK,), (part, out, np.int64(blocks)))
    return out


def column_sums(file: str, kernel: str, inputs: tuple[Any, ...], count: int) -> list[Any]:
    """Sums over rows of what `kernel` computes for each column: chunks of rows first, then the chunks."""
    dtype, (rows, columns) = inputs[0].dtype, size(inputs[0])
    wide, a_chunk = compute_type(dtype), max(_ROWS_A_CHUNK, -(-rows // _MAX_LINES))
    chunks = max(1, -(-rows // a_chunk))
    parts = [new((chunks, columns), wide) for _ in range(count)]
    grid = (-(-columns // 32), chunks)
    function(file, kernel, dtype.name)(grid, (32, 8), (*inputs, *parts, *sizes(rows, columns), np.int64(a_chunk)))
    return [lines_added(part, dtype) for part in parts]


def lines_added(part: Any, dtype: Any) -> Any:
    """Lines of sums, (lines, columns) in the compute type, as their sum in a dtype: (columns,)."""
    lines, columns = part.shape
    if lines > _MAX_LINES:  # a thread would walk through too many
        a_chunk = -(-lines // _MAX_LINES)
        whole, lines = part, -(-lines // a_chunk)
        part = new((lines, columns), whole.dtype)
        args = (whole, part, *sizes(whole.shape[0], columns), np.int64(a_chunk))
        function("reduce.cu", "column_parts", whole.dtype.name)((-(-columns // 32), lines), (32, 8), args)
    if lines == 1 and dtype == part.dtype:
        return part.reshape(columns)
    sums = new((columns,), dtype)
    finish = function("reduce.cu", "column_sum", dtype.name)
    finish((-(-columns // 32),), (32, 8), (part, sums, *sizes(lines, columns)))
    return sums
