"""Few long rows on the GPU: blocks share a row, in two launches, where a block a row leaves multiprocessors idle.

When that is, says `cut`, for all kernels over rows; the arithmetic is in `kernels/long_*.cu`, on pieces of rows
(`kernels/pieces.cuh`). Functions here take what those of `cuda_rows` have made of their arguments.
"""

from __future__ import annotations

import functools
from typing import Any, Final, NamedTuple

import numpy as np

from .cuda_launch import compute_type, function, new

# A block reads some 90 bytes a nanosecond when 64 KiB of its accesses are on their way at 700 ns each, so that 40 rows
# or so keep 3.3 TB/s busy. Beyond, a second look at the row would cost more than blocks bring.
_FEW_ROWS: Final = 32
_BLOCKS: Final = 264  # two for each of 132 multiprocessors
_LEAST: Final = 8192  # elements of a piece: less is not worth a second launch
_LEAST_PIECES: Final = 4
_THREADS: Final = 512
_SOFTMAX: Final = "long_softmax.cu"
_LOSSES: Final = "long_losses.cu"
_NORMS: Final = "long_norms.cu"


class Cut(NamedTuple):
    """How rows are cut: so many pieces of so many columns each, but for the last."""

    pieces: int
    a_piece: int


@functools.lru_cache(maxsize=1024)
def cut(rows: int, columns: int) -> Cut | None:
    """The pieces of rows that are few and long; None where a block, or less, has a row to itself."""
    if not 0 < rows <= _FEW_ROWS or columns >> 31:
        return None
    pieces = min(-(-_BLOCKS // rows), columns // _LEAST)
    if pieces < _LEAST_PIECES:
        return None
    a_piece = -(-columns // pieces)
    a_piece += -a_piece % 8  # whole packs of 16 bytes, of halves too
    return Cut(-(-columns // a_piece), a_piece)


def _launch(file: str, kernel: str, dtype: Any, rows: int, blocks: int, *args: Any) -> None:
    """A launch of so many blocks a row, one for each piece or one."""
    function(file, kernel, dtype)((blocks, rows), (_THREADS,), args)


def _parts(rows: int, at: Cut, count: int, dtype: Any) -> Any:
    return new((rows, at.pieces, count), compute_type(dtype))


def along(op: str, inputs: tuple[Any, ...], y: Any, rows: int, columns: int, at: Cut) -> None:
    """softmax, log_softmax (one input) or a vjp of theirs (two), written to `y`."""
    backward, dtype = len(inputs) == 2, y.dtype
    sizes = np.int64(columns), np.int64(at.a_piece)
    part = _parts(rows, at, 1 if backward else 2, dtype)
    _launch(_SOFTMAX, f"{op}_parts" if backward else "max_sum_parts", dtype, rows, at.pieces, *inputs, part, *sizes)
    _launch(_SOFTMAX, f"{op}_pieces", dtype, rows, at.pieces, *inputs, part, y, *sizes)


def logsumexp(x: Any, y: Any, rows: int, columns: int, at: Cut) -> None:
    """As `cuda_rows.logsumexp`, written to `y`."""
    part = _parts(rows, at, 2, x.dtype)
    _launch(_SOFTMAX, "max_sum_parts", x.dtype, rows, at.pieces, x, part, np.int64(columns), np.int64(at.a_piece))
    _launch(_SOFTMAX, "logsumexp_of_parts", x.dtype, rows, 1, part, y, np.int64(at.pieces))


def cross_entropy(
    arrays: tuple[Any, ...], results: tuple[Any, ...], rows: int, columns: int, options: tuple[Any, Any], at: Cut
) -> None:
    """Losses and lse of (x, labels, weight); options: the label that is ignored, smoothing."""
    x, labels, weight = arrays
    part, length, (ignored, smoothing) = _parts(rows, at, 4, x.dtype), np.int64(columns), options
    args = (x, weight, part, length, np.int64(at.a_piece), smoothing)
    _launch(_LOSSES, "cross_entropy_parts", x.dtype, rows, at.pieces, *args)
    args = (x, labels, weight, part, *results, length, np.int64(at.pieces), ignored, smoothing)
    _launch(_LOSSES, "cross_entropy_of_parts", x.dtype, rows, 1, *args)


def cross_entropy_vjp(arrays: tuple[Any, ...], rows: int, columns: int, options: tuple[Any, ...], at: Cut) -> None:
    """Arrays and options as the kernel takes them, the gradient last among the arrays; one launch."""
    sizes = np.int64(columns), np.int64(at.a_piece)
    _launch(_LOSSES, "cross_entropy_vjp_pieces", arrays[1].dtype, rows, at.pieces, *arrays, *sizes, *options)


def normalised(
    op: str, x: Any, affine: tuple[Any, ...], results: tuple[Any, ...], rows: int, columns: int, eps: Any, at: Cut
) -> None:
    """layer_norm or rms_norm: `affine` is weight (and bias), `results` are y and what is saved."""
    part, sizes = _parts(rows, at, 2 if op == "layer_norm" else 1, x.dtype), (np.int64(columns), np.int64(at.a_piece))
    _launch(_NORMS, f"{op}_parts", x.dtype, rows, at.pieces, x, part, *sizes)
    _launch(_NORMS, f"{op}_pieces", x.dtype, rows, at.pieces, x, *affine, part, *results, *sizes, eps)


def normalised_vjp(
    op: str, arrays: tuple[Any, ...], saved: tuple[Any, ...], dx: Any, rows: int, columns: int, at: Cut
) -> None:
    """The gradient of a normalisation's input from (g, x, weight) and what was saved."""
    part, sizes = _parts(rows, at, 2, dx.dtype), (np.int64(columns), np.int64(at.a_piece))
    _launch(_NORMS, f"{op}_vjp_parts", dx.dtype, rows, at.pieces, *arrays, *saved, part, *sizes)
    _launch(_NORMS, f"{op}_vjp_pieces", dx.dtype, rows, at.pieces, *arrays, *saved, part, dx, *sizes)
