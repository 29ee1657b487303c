"""How a product of two stacks of matrices in any memory order becomes strided batches of column-major products.

Geometry only: shapes and strides in, numbers for BLAS out. Who computes them is `cublaslt`'s business.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Operand", "Problem", "Spread", "batch_shape", "launches", "problem", "spread"]


class Operand(NamedTuple):
    """A matrix as BLAS sees it: `rows` by `cols` by columns, `ld` elements from one column to the next.

    `transposed` says that the product takes its transpose; `step` is the distance of one matrix of a batch to the next.
    """

    rows: int
    cols: int
    ld: int
    transposed: bool
    step: int


@dataclass(frozen=True)
class Problem:
    """`out.T = b.T @ a.T`, all three by columns: what is row-major for NumPy, without a copy.

    Attributes:
        m, n, k: of the product in BLAS's order: `m` is the length of a row of the result.
        a, b, d: the operands in BLAS's order: `a` is NumPy's second.
        batch: matrices in a strided batch.
        offsets: for each launch, where the operands start, in elements (NumPy's first, second, and the result).
    """

    m: int
    n: int
    k: int
    a: Operand
    b: Operand
    d: Operand
    batch: int
    offsets: tuple[tuple[int, int, int], ...]


class Spread(NamedTuple):
    """An array's shape and its strides in elements, with the axes of the batch broadcast."""

    batch: tuple[int, ...]
    rows: int
    cols: int
    row_step: int
    col_step: int


def spread(array: Any, batch: tuple[int, ...]) -> Spread:
    """Shape and strides of a stack of matrices; axes of the batch that it lacks or has once have the stride 0."""
    steps = [s // array.itemsize for s in array.strides]
    missing = len(batch) + 2 - array.ndim
    own = [0 if n == 1 else s for n, s in zip(array.shape[:-2], steps[:-2], strict=True)]
    return Spread((*(0,) * missing, *own), array.shape[-2], array.shape[-1], steps[-2], steps[-1])


def _operand(m: Spread, step: int) -> Operand | None:
    """A matrix given by rows, seen by columns as its transpose; None where no leading dimension describes it."""
    rows, cols = m.rows, m.cols
    if cols == 1 or m.col_step == 1:
        ld = cols if rows == 1 else m.row_step
        if ld >= cols:
            return Operand(cols, rows, ld, False, step)
    if rows == 1 or m.row_step == 1:
        ld = rows if cols == 1 else m.col_step
        if ld >= rows:
            return Operand(rows, cols, ld, True, step)
    return None


def problem(a: Spread, b: Spread, d: Spread, batch: tuple[int, ...]) -> Problem | int:
    """The launches that compute `d = a @ b`.

    Returns:
        The problem, or the number of the operand (0, 1, or 2 for the result) that BLAS cannot take as it lies.
    """
    sizes = [(n, sa, sb, sd) for n, sa, sb, sd in zip(batch, a.batch, b.batch, d.batch, strict=True) if n != 1]
    # Rows of all matrices are rows of one where the second operand is the same for all: [..., m, k] @ [k, n].
    while sizes:
        n, sa, sb, sd = sizes[-1]
        a_step, d_step = (sa, sd) if a.rows == 1 else (a.row_step, d.row_step)
        if sb != 0 or sa != a.rows * a_step or sd != a.rows * d_step:
            break
        a = a._replace(rows=n * a.rows, row_step=a_step)
        d = d._replace(rows=n * d.rows, row_step=d_step)
        sizes.pop()
    merged: list[tuple[int, int, int, int]] = []
    for n, sa, sb, sd in sizes:
        if merged and merged[-1][1:] == (n * sa, n * sb, n * sd):
            n *= merged.pop()[0]
        merged.append((n, sa, sb, sd))
    # The longest axis is the batch of each launch, the others are launched one by one.
    merged.sort(key=lambda axis: axis[0])
    count, sa, sb, sd = merged.pop() if merged else (1, 0, 0, 0)
    first, second, result = _operand(a, sa), _operand(b, sb), _operand(d, sd)
    if first is None:
        return 0
    if second is None:
        return 1
    if result is None or result.transposed:
        return 2
    # `_operand` sees the memory by columns, so what lies by rows is the transpose already.
    return Problem(b.cols, a.rows, a.cols, second, first, result, count, tuple(_starts(merged)))


def _starts(axes: list[tuple[int, int, int, int]]) -> Iterator[tuple[int, int, int]]:
    for index in itertools.product(*(range(n) for n, *_ in axes)):
        pairs = list(zip(index, axes, strict=True))
        yield (
            sum(i * axis[1] for i, axis in pairs),
            sum(i * axis[2] for i, axis in pairs),
            sum(i * axis[3] for i, axis in pairs),
        )


@functools.lru_cache(maxsize=4096)
def launches(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """In how many strided batches a stack of matrices is multiplied with one that lies in C order."""
    counts, step = [1], 0  # of axes that have a step in common, the last ones first; what the next one would have
    for n, s in reversed([axis for axis in zip(shape[:-2], strides[:-2], strict=True) if axis[0] != 1]):
        if s == step:
            counts[-1] *= n
        else:
            counts.append(n)
        step = n * s
    return math.prod(counts) // max(counts)


def batch_shape(a: Any, b: Any) -> tuple[int, ...]:
    """The shape that the batches of two stacks of matrices broadcast to."""
    return np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
