"""Reductions on the GPU: sums, means, products and extremes over any axes, in one order; nothing waits for the device.

The arithmetic is in `kernels/axes.cuh`, the geometry in `cuda_axes`; here are plans and launches. Gradients of weights
that row kernels make by lines are added up here, too.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Final

import numpy as np

from ..fusion import call, trace
from . import cuda_axes
from .cuda_axes import Axes, Launch
from .cuda_copies import copy, dense, into, like
from .cuda_launch import compute_type, function, new, size, sizes
from .handles import of_gpus

_ROWS_A_CHUNK: Final = 128
_MAX_LINES: Final = 256
_FILES: Final = {
    "sum": "reduce.cu", "max": "extremes.cu", "min": "extremes.cu", "prod": "extremes.cu", "ties": "ties.cu",
}  # fmt: skip
_IS_EXTREME: Final = trace(lambda x, y: call("where", (x == y) | call("isnan", x), 1.0, 0.0), "is_extreme")
_SHARES: Final = trace(
    lambda g, x, y, n: call("where", (x == y) | call("isnan", x), g / n, 0.0), "shares_of_extremes"
)
_WORDS: Final = np.dtype([("words", "i8", (9,))])


def reduce(name: str, x: Any, axes: tuple[int, ...] | None, keepdims: bool) -> Any:
    """The sum, mean, prod, max or min of `x` over axes, in its dtype; halves are reduced in float32 and rounded once.

    Largest group of neighbouring axes first; where several are apart (the first and the last of three), one pass
    follows the other on what is left, in the compute type. An array with gaps whose axes do not come to (outer,
    reduced, inner) is made dense first.

    Args:
        name: "sum", "mean", "prod", "max" or "min".
        x: floating point, with elements, in any memory order.
        axes: numbers from 0 on; None for all.
        keepdims: leave the axes with length 1.

    Returns:
        The values, in the memory order of `x`.
    """
    return planned(name, x.dtype, x.shape, x.strides, x.data.ptr & 15, axes, keepdims)(x)


@of_gpus
@functools.lru_cache(maxsize=4096)
def planned(
    name: str,
    dtype: Any,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    low: int,
    axes: tuple[int, ...] | None,
    keepdims: bool,
) -> Any:
    """A reduction of arrays of one kind, everything decided but the addresses: a function of the array."""
    gone = tuple(range(len(shape))) if axes is None else axes
    steps = [s // dtype.itemsize for s in strides]
    if all(shape[i] == 1 for i in gone):
        kept = tuple(n for i, n in enumerate(shape) if keepdims or i not in gone)
        return lambda x: copy(x).reshape(kept)
    passes = cuda_axes.passes(cuda_axes.grouped(shape, steps, gone))
    if passes is None:
        return lambda x: reduce(name, dense(x), axes, keepdims)
    return _Plan(name, dtype, passes, low, _Result(shape, steps, gone, keepdims))


class _Result:
    """The shape of what is left, in memory order, and the way back from there."""

    def __init__(self, shape: tuple[int, ...], steps: list[int], gone: tuple[int, ...], keepdims: bool) -> None:
        order = [i for i in cuda_axes.in_memory_order(steps) if keepdims or i not in gone]
        self.made = tuple(1 if i in gone else shape[i] for i in order)
        back = tuple(int(i) for i in np.argsort(order))
        self.back = None if back == tuple(range(len(back))) else back


class _Plan:
    """The passes of a reduction, for arrays of one kind."""

    __slots__ = ("back", "made", "passes")

    def __init__(self, name: str, dtype: Any, passes: list[Axes], low: int, result: _Result) -> None:
        wide = np.dtype(compute_type(dtype))
        of = "sum" if name == "mean" else name
        divisor = wide.type(math.prod(p.reduced for p in passes) if name == "mean" else 1)
        self.passes = []
        for k, axes in enumerate(passes):
            last = k == len(passes) - 1
            source, target = wide if k else dtype, dtype if last else wide
            shape = result.made if last else (axes.outputs,)
            by = divisor if last else wide.type(1)
            self.passes.append(_Pass(of, axes, source, target, shape, by, k == 0 and low))
        self.back = result.back

    def __call__(self, x: Any) -> Any:
        for each in self.passes:
            x = each(x)
        return x if self.back is None else x.transpose(self.back)


class _Pass:
    """One reduction of a (outer, reduced, inner) array: a stage, and a second one where there are chunks."""

    __slots__ = ("divisor", "dtype", "finish", "first", "lines", "shape", "straight", "wide")

    def __init__(
        self, of: str, axes: Axes, source: Any, target: Any, shape: tuple[int, ...], divisor: Any, low: int
    ) -> None:
        first = cuda_axes.first_stage(axes, source.itemsize, not low)
        self.first = _entry(of, first, source)
        self.dtype, self.shape, self.divisor = target, shape, divisor
        self.wide = divisor.dtype
        self.straight = source == target  # results of one chunk are stored as such, not in the compute type
        self.finish: Any = None
        if first.chunks > 1 or target not in (source, self.wide):
            self.finish = _entry(of, cuda_axes.finish(first.chunks, axes.outputs), target)
        self.lines = (first.chunks * axes.outputs,)

    def __call__(self, x: Any) -> Any:
        run, grid, block, words = self.first
        out = new(self.shape, self.dtype)
        if self.finish is None:
            y, part = (out, None) if self.straight else (None, out)
            run(grid, block, (x, y, part, words, self.divisor))
            return out
        part = new(self.lines, self.wide)
        run(grid, block, (x, None, part, words, self.divisor))
        run, grid, block, words = self.finish
        run(grid, block, (part, out, None, words, self.divisor))
        return out


def _entry(of: str, launch: Launch, dtype: Any) -> tuple[Any, ...]:
    """The kernel of a launch for arrays of a dtype, its geometry, and its axes as it takes them."""
    run = function(_FILES[of], f"{of}_{launch.form}", dtype)
    return run, launch.grid, launch.block, np.array(launch.words, np.int64).view(_WORDS)


def extreme_vjp(g: Any, x: Any, extremes: Any, axes: tuple[int, ...] | None) -> Any:
    """The cotangent of the input of a maximum or minimum: elements that tie share that of their slice equally.

    Two passes over `x`: one counts the elements that are their slice's extreme (a second launch adds up chunks), one
    gives each of them its share. Where the reduced axes are apart, what is counted is written down first.

    Args:
        g: of the results, with the reduced axes (length 1), of any floating-point dtype.
        x: floating point, with elements, in any memory order.
        extremes: the results, shaped as `g`; a nan is the extreme of its slice.
        axes: numbers from 0 on; None for all.

    Returns:
        An array in the dtype and memory order of `x`; None where it has too many axes that step apart.
    """
    ties = (_ties(x.dtype, x.shape, x.strides, x.data.ptr & 15, axes) or _written_ties)(x, extremes, axes)
    if ties is None:
        return None
    out = like(x, x.dtype)
    return out if into(_SHARES, (g, x, extremes, ties), out) else None


def _written_ties(x: Any, extremes: Any, axes: tuple[int, ...] | None) -> Any:
    """The ties of each slice, from an array of ones and zeros."""
    ones = like(x, np.dtype(compute_type(x.dtype)))
    return reduce("sum", ones, axes, True) if into(_IS_EXTREME, (x, extremes), ones) else None




@of_gpus
@functools.lru_cache(maxsize=1024)
def _ties(
    dtype: Any, shape: tuple[int, ...], strides: tuple[int, ...], low: int, axes: tuple[int, ...] | None
) -> Any:
    """What counts ties in arrays of one kind: a function of array and extremes. None where that is not one pass."""
    gone = tuple(range(len(shape))) if axes is None else axes
    steps = [s // dtype.itemsize for s in strides]
    passes = cuda_axes.passes(cuda_axes.grouped(shape, steps, gone))
    if passes is None or len(passes) != 1:
        return None
    kept, wide = _Result(shape, steps, gone, True), np.dtype(compute_type(dtype))
    first = cuda_axes.first_stage(passes[0], dtype.itemsize, not low)
    run, grid, block, words = _entry("ties", first, dtype)
    order = cuda_axes.in_memory_order(steps)

    def count(x: Any, extremes: Any, axes: tuple[int, ...] | None) -> Any:
        parts = new((first.chunks, passes[0].outputs), wide)
        run(grid, block, (x, dense(extremes.transpose(order)), parts, words))
        ties = lines_added(parts, wide).reshape(kept.made)
        return ties if kept.back is None else ties.transpose(kept.back)

    return count


def column_sums(file: str, kernel: str, inputs: tuple[Any, ...], count: int) -> list[Any]:
    """Sums over rows of what `kernel` computes for each column: chunks of rows first, then the chunks."""
    dtype, (rows, columns) = inputs[0].dtype, size(inputs[0])
    wide, a_chunk = compute_type(dtype), max(_ROWS_A_CHUNK, -(-rows // _MAX_LINES))
    chunks = max(1, -(-rows // a_chunk))
    parts = [new((chunks, columns), wide) for _ in range(count)]
    grid = (-(-columns // 32), chunks)
    function(file, kernel, dtype)(grid, (32, 8), (*inputs, *parts, *sizes(rows, columns), np.int64(a_chunk)))
    return [lines_added(part, dtype) for part in parts]


def lines_added(part: Any, dtype: Any) -> Any:
    """Lines of sums, (lines, columns) in the compute type, as their sum in a dtype: (columns,)."""
    lines, columns = part.shape
    if lines == 1 and dtype == part.dtype:
        return part.reshape(columns)
    sums = new((columns,), dtype)
    run, grid, block, words = _adding(lines, columns, dtype)
    run(grid, block, (part, sums, None, words, part.dtype.type(1)))
    return sums


@of_gpus
@functools.lru_cache(maxsize=256)
def _adding(lines: int, columns: int, dtype: Any) -> tuple[Any, ...]:
    """The `_entry` that adds up lines."""
    return _entry("sum", cuda_axes.finish(lines, columns), dtype)
