"""Batch normalisation on the GPU by our own kernels (`batch_norm.cu`), over rows with a column for each channel.

Statistics, sums and what there is one of for a channel are in the type that kernels compute in, float32 for halves.
Nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from .base import Array, Running
from .cuda_copies import dense as copied
from .cuda_launch import compute_type, function
from .cuda_windows import row_chunks

_THREADS: Final = 256
_ROWS: Final = 8  # of a thread, at least: what it reads for its columns first should not be most of its work
_BLOCKS: Final = 4096  # that share the rows of a normalisation


def _new(shape: tuple[int, ...], dtype: Any) -> Array:
    import cupy

    return cupy.ndarray(shape, dtype)


def dense(values: Array, dtype: Any) -> Array:
    """A number for each column, in the type that kernels on arrays of `dtype` compute in; itself, if it is so."""
    return copied(values, np.dtype(compute_type(dtype)))


def _in_two_stages(
    name: str,
    inputs: tuple[Any, ...],
    count: int,
    besides: tuple[Any, ...] = (),
    numbers: tuple[Any, ...] = (),
    first: str = "parts",
) -> Array:
    """`count` numbers for each column, made of chunks of rows first.

    Args:
        name: of the kernels.
        inputs: of the first stage; the first is the matrix, and some may be null.
        count: results of the second.
        besides: what the second takes behind them.
        numbers: what it takes at the end, in which case it takes all sizes too.
        first: what the first stage's name has besides.
    """
    x = inputs[0]
    (rows, columns), wide = x.shape, compute_type(x.dtype)
    pack = _pack([a for a in inputs if a is not None and a.ndim == 2])
    across = _across(columns // pack, 32)
    blocks = -(-columns // (pack * across))
    each = max(row_chunks(rows, 32 * blocks)[0], 4 * _THREADS // across)  # four rows a thread, or more
    chunks = -(-rows // each)
    part, found = _new((chunks, columns, 2), wide), _new((count, columns), wide)
    tail = np.int64(rows), np.int64(columns), np.int64(each)
    run = function("batch_norm.cu", f"{name}_{first}_wide" if pack > 1 else f"{name}_{first}", x.dtype.name)
    run((blocks, chunks), (across, _THREADS // across), (*inputs, part, *tail))
    last = (*tail, *numbers) if numbers else tail[1:2]
    args = (part, *(found[i] for i in range(count)), *besides, np.int64(chunks), *last)
    across = _across(columns, 8)  # few, so that many threads share the chunks
    function("batch_norm.cu", name, x.dtype.name)((-(-columns // across),), (across, _THREADS // across), args)
    return found


def _pack(matrices: Sequence[Array]) -> int:
    """Elements of 16 bytes where rows of all matrices consist of such, else 1."""
    pack = 16 // int(matrices[0].itemsize)
    return pack if matrices[0].shape[1] % pack == 0 and not any(a.data.ptr % 16 for a in matrices) else 1


def _across(packs: int, most: int) -> int:
    """Threads of a block side by side: a power of two."""
    return min(most, 1 << (packs - 1).bit_length())


def statistics(rows: Array, eps: float = 0.0, running: Running = None, momentum: float = 0.0) -> Array:
    """Mean, biased variance and 1 / sqrt(variance + eps) of the columns, (3, columns).

    `running`, contiguous and in the computing type, moves towards the mean and the unbiased variance by `momentum`.
    """
    wide = compute_type(rows.dtype)
    return _in_two_stages("moments", (rows,), 3, running or (None, None, None), (wide(eps), wide(momentum)))


def _along_columns(name: str, arrays: tuple[Array, ...], columns: tuple[Any, ...], y: Array) -> None:
    """Launch a kernel that goes down the columns: one thread's stay the same from row to row."""
    pack = _pack((*arrays, y))
    packs = y.shape[1] // pack
    across = _across(packs, 32)
    down = _THREADS // across
    grid = -(-packs // across), min(-(-y.shape[0] // (_ROWS * down)), max(1, _BLOCKS // -(-packs // across)))
    run = function("batch_norm.cu", f"{name}_wide" if pack > 1 else name, y.dtype.name)
    run(grid, (across, down), (*arrays, *columns, y, np.int64(y.shape[0]), np.int64(y.shape[1])))


def batch_norm(
    rows: Array, weight: Array, bias: Array, eps: float, running: Running, momentum: float, relu: bool
) -> tuple[Array, Array, Array]:
    """`(rows - mean) rate weight + bias`, or its `relu`; mean and rate = 1 / sqrt(variance + eps) of the columns."""
    y = _new(rows.shape, rows.dtype)
    mean, _, rate = statistics(rows, eps, running, momentum)
    columns = mean, rate, dense(weight, rows.dtype), dense(bias, rows.dtype)
    _along_columns("normalise_relu" if relu else "normalise", (rows,), columns, y)
    return y, mean, rate


def batch_norm_vjp(
    g: Array, rows: Array, weight: Array, mean: Array, rate: Array, bias: Array | None
) -> tuple[Array, Array, Array]:
    """The cotangents of rows, weight and bias, from that of the result; the last two in the computing type.

    Which results relu let through is computed again from rows and `bias` (None: there was no relu): both kernels read
    the rows in any case, and would have to read the results besides.
    """
    dx = _new(rows.shape, rows.dtype)
    columns = tuple(each if each is None else dense(each, rows.dtype) for each in (mean, rate, weight, bias))
    first, last = ("parts", "normalise_vjp") if bias is None else ("relu_parts", "normalise_relu_vjp")
    total, along = _in_two_stages("norm_products", (g, rows, *columns), 2, first=first)
    _along_columns(last, (g, rows), (*columns, total, along), dx)
    return dx, along, total
