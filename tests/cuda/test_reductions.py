"""Reductions over axes, executed on the CPU from their own CUDA source by the geometry that the host chooses.

Against NumPy in float64, in all four storage types; threads forwards and backwards give the same bits (`launching`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gpugrad.backend import cuda_axes
from gpugrad.backend.cuda_axes import Axes, Launch
from tests.cuda.hostexec import missing_compiler
from tests.cuda.launching import Array, Rows, aligned, packed_words, rows_of

pytestmark = pytest.mark.skipif(missing_compiler() is not None, reason=str(missing_compiler()))
OPERATIONS = {"sum": np.sum, "max": np.max, "min": np.min, "prod": np.prod}
ITEM = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2}


def run(k: Rows, name: str, axes: Axes, x: Array, start: int = 0, divisor: float = 1.0) -> tuple[Array, list[Launch]]:
    """The reduction of memory that begins at `x[start]`, and its launches."""
    item = ITEM[k.dtype]
    first = cuda_axes.first_stage(axes, item, start * item % 16 == 0)
    y, given = k.empty((axes.outputs,)), x[start:]
    if first.chunks == 1:
        k.run(f"{name}_{first.form}", first.grid, first.block, (given, y, None, packed_words(first), k.scalar(divisor)))
        return y, [first]
    part = k.empty((first.chunks, axes.outputs), k.real)
    k.run(f"{name}_{first.form}", first.grid, first.block, (given, None, part, packed_words(first), k.scalar(divisor)))
    last = cuda_axes.finish(first.chunks, axes.outputs)
    k.run(f"{name}_finish", last.grid, last.block, (part, y, None, packed_words(last), k.scalar(divisor)))
    return y, [first, last]


def seen(x: Array, axes: Axes, start: int = 0) -> Array:
    """The elements of `axes` in memory, as (outer, reduced, inner)."""
    strides = tuple(s * x.itemsize for s in axes.steps)
    return np.lib.stride_tricks.as_strided(x[start:], (axes.outer, axes.reduced, axes.inner), strides)


def dense(outer: int, count: int, inner: int) -> Axes:
    return Axes(outer, count, inner, (count * inner, inner, 1))


def check(k: Rows, name: str, axes: Axes, rng: np.random.Generator, start: int = 0) -> list[Launch]:
    far = sum((n - 1) * s for n, s in zip((axes.outer, axes.reduced, axes.inner), axes.steps, strict=True))
    exponent = 2.0 / max(2, axes.reduced) if name == "prod" else 1.0
    stored, x = k.given(rng.uniform(0.4, 2.5, start + far + 1) ** exponent)
    y, launches = run(k, name, axes, stored, start)
    want = OPERATIONS[name](seen(x, axes, start), axis=1).reshape(-1)
    if name in ("max", "min"):
        np.testing.assert_array_equal(k.read(y), want)
    else:
        np.testing.assert_allclose(k.read(y), want, rtol=4 * k.tolerance * (5 if k.dtype == "float32" else 1))
    return launches


# Form, `flat`, whether there is a second stage: for float32.
SHAPES: list[tuple[Axes, str, bool, bool]] = [
    (dense(1, 1, 1), "rows_warp", False, False),
    (dense(7, 1, 1), "rows_warp", False, False),
    (dense(5, 10, 1), "rows_warp", False, False),
    (dense(300, 3, 1), "rows_warp", False, False),
    (dense(3, 1023, 1), "rows_warp", False, False),
    (dense(2, 1025, 1), "rows_block", False, False),
    (dense(300, 1100, 1), "rows_block", False, False),
    (dense(1, 40_003, 1), "rows_block", False, True),
    (dense(3, 9001, 1), "rows_block", False, True),
    (dense(1, 2, 3), "columns", False, False),
    (dense(1, 19, 45), "columns", False, False),
    (dense(1, 7, 128), "columns_wide", False, False),
    (dense(1, 700, 40), "columns_wide", True, True),
    (dense(1, 4001, 10), "columns_wide", True, True),
    (dense(1, 3001, 7), "columns_wide", True, True),
    (dense(1, 500, 129), "columns_wide", True, True),
    (dense(2, 1300, 4), "columns_wide", True, False),
    (dense(1, 300, 512), "columns_wide", False, True),
    (dense(1, 300, 514), "columns", False, True),
    (dense(6, 5, 8), "columns_wide", False, False),
    (dense(6, 5, 7), "columns", False, False),
    (dense(30, 40, 24), "columns_wide", False, False),
    (dense(3, 333, 5), "columns", False, True),
    (Axes(5, 40, 1, (100, 2, 1)), "rows_warp", False, False),  # every second element
    (Axes(5, 40, 1, (64, 1, 1)), "rows_warp", False, False),  # the first part of rows
    (Axes(1, 1400, 12, (0, 20, 1)), "columns_wide", False, True),  # some columns of a matrix
    (Axes(1, 700, 12, (0, 24, 2)), "columns", False, True),
    (Axes(1, 70, 12, (0, 14, 1)), "columns", False, False),  # rows that begin between boundaries
    (Axes(3, 9, 8, (74, 8, 1)), "columns", False, False),  # matrices that do
    (Axes(3, 1100, 7, (7702, 7, 1)), "columns", False, True),
    (Axes(4, 9, 5, (0, 5, 1)), "columns", False, False),  # repeated
    (Axes(1, 5000, 6, (0, 0, 1)), "columns", False, True),
]


@pytest.mark.parametrize("start", [0, 1, 4])
@pytest.mark.parametrize(("axes", "form", "flat", "two"), SHAPES)
def test_sums_of_every_form_are_numpys(
    axes: Axes, form: str, flat: bool, two: bool, start: int, rng: np.random.Generator
) -> None:
    launches = check(rows_of("float32"), "sum", axes, rng, start)
    if start % 4 == 0:
        assert (launches[0].form, launches[0].words[7] > 0, len(launches) == 2) == (form, flat, two)
    elif axes.inner > 1:
        assert launches[0].form == "columns", "what begins between boundaries is read one by one"


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("case", range(0, len(SHAPES), 3))
def test_every_operation_in_every_type(k: Rows, name: str, case: int, rng: np.random.Generator) -> None:
    for start in (0, 3):
        check(k, name, SHAPES[case][0], rng, start)


@pytest.mark.parametrize("columns", range(1, 40))
def test_narrow_matrices_are_read_16_bytes_at_a_time_whatever_their_columns(
    k: Rows, columns: int, rng: np.random.Generator
) -> None:
    axes = dense(1, 16_400 // columns + 1, columns)
    (first, *_) = check(k, "sum", axes, rng)
    assert columns == 1 or (first.form == "columns_wide" and first.words[7] * (16 // ITEM[k.dtype]) % columns == 0)


def test_a_mean_divides_once_and_in_the_last_stage(k: Rows) -> None:
    for axes in (dense(3, 10, 1), dense(1, 50_000, 1), dense(1, 5000, 3)):
        stored, x = k.given(np.full(axes.outer * axes.reduced * axes.inner, 0.7))
        y, _ = run(k, "sum", axes, stored, divisor=axes.reduced)
        np.testing.assert_allclose(k.read(y), x[0], rtol=2 * k.tolerance)


@pytest.mark.parametrize("axes", [dense(4, 50, 1), dense(1, 9001, 1), dense(1, 3000, 7), dense(2, 9, 8)])
def test_a_nan_wins_and_infinities_count(axes: Axes, rng: np.random.Generator) -> None:
    k = rows_of("float32")
    x = rng.standard_normal(axes.outer * axes.reduced * axes.inner).astype(np.float32)
    for place in (0, len(x) // 2, len(x) - 1):
        for value in (np.nan, np.inf, -np.inf):
            given = x.copy()
            given[place] = value
            for name in ("max", "min", "sum"):
                y, _ = run(k, name, axes, aligned(x.shape, np.float32, given))
                np.testing.assert_allclose(y, OPERATIONS[name](seen(given, axes), axis=1).reshape(-1), 1e-4, 1e-3)
    for value in (-np.inf, np.inf):
        y, _ = run(k, "max", axes, aligned(x.shape, np.float32, value))
        assert (y == value).all()


def test_a_prod_of_a_zero_is_zero_and_signs_count() -> None:
    k = rows_of("float64")
    x = aligned((2, 3000), np.float64, 1.0)
    x[0, 17], x[1, :3] = 0, -2
    y, _ = run(k, "prod", dense(2, 3000, 1), x.reshape(-1))
    assert y.tolist() == [0, -8]


def counted(k: Rows, axes: Axes, x: Array, extremes: Array, start: int) -> Array:
    """How many elements of each slice are its extreme, of memory that begins at `x[start]`."""
    item = ITEM[k.dtype]
    first = cuda_axes.first_stage(axes, item, start * item % 16 == 0)
    parts = k.empty((first.chunks, axes.outputs), k.real)
    k.run(f"ties_{first.form}", first.grid, first.block, (x[start:], extremes, parts, packed_words(first)))
    return parts.sum(0)


@pytest.mark.parametrize("start", [0, 3])
@pytest.mark.parametrize("case", range(len(SHAPES)))
def test_ties_are_counted_in_every_form(k: Rows, case: int, start: int, rng: np.random.Generator) -> None:
    axes = SHAPES[case][0]
    far = sum((n - 1) * s for n, s in zip((axes.outer, axes.reduced, axes.inner), axes.steps, strict=True))
    stored, x = k.given(rng.integers(0, 4, start + far + 1).astype(np.float64))
    slices = seen(x, axes, start)
    extremes, read = k.given(slices.max(axis=1).reshape(-1))
    want = (slices == read.reshape(axes.outer, 1, axes.inner)).sum(axis=1).reshape(-1)
    np.testing.assert_array_equal(counted(k, axes, stored, extremes, start), want)


def test_a_nan_is_the_extreme_of_its_slice() -> None:
    k = rows_of("float32")
    for axes in (dense(2, 30, 1), dense(1, 30, 2), dense(1, 3000, 4)):
        x = aligned((axes.outer * axes.reduced * axes.inner,), np.float32, 1.0)
        x[5] = x[-1] = np.nan
        extremes = aligned((axes.outputs,), np.float32, seen(x, axes).max(axis=1).reshape(-1))
        want = np.isnan(seen(x, axes)).sum(axis=1).reshape(-1)
        want[want == 0] = axes.reduced
        np.testing.assert_array_equal(counted(k, axes, x, extremes, 0), want)


# ---- geometry


def groups_of(x: Any, axes: tuple[int, ...]) -> list[Axes] | None:
    steps = [s // x.itemsize for s in x.strides]
    return cuda_axes.passes(cuda_axes.grouped(x.shape, steps, axes))


def test_arrays_are_seen_in_memory_order() -> None:
    x = np.zeros((4, 5, 6))
    assert groups_of(x, (0, 1, 2)) == groups_of(x.T, (0, 1, 2)) == [Axes(1, 120, 1, (1, 1, 1))]
    assert groups_of(x, (0, 1)) == groups_of(x.T, (1, 2)) == [Axes(1, 20, 6, (1, 6, 1))]
    assert groups_of(x, (1,)) == groups_of(x.transpose(1, 0, 2), (0,)) == [dense(4, 5, 6)]
    assert groups_of(x, (2,)) == groups_of(x[:, None], (1, 3)) == [Axes(20, 6, 1, (6, 1, 1))]


def test_axes_that_are_apart_go_one_after_the_other_the_larger_first() -> None:
    x = np.zeros((4, 5, 6))
    assert groups_of(x, (0, 2)) == [Axes(20, 6, 1, (6, 1, 1)), Axes(1, 4, 5, (1, 5, 1))]
    assert groups_of(np.zeros((9, 5, 6)), (0, 2)) == [Axes(1, 9, 30, (1, 30, 1)), Axes(5, 6, 1, (6, 1, 1))]


def test_gaps_are_steps_where_three_are_enough() -> None:
    x = np.zeros((4, 5, 6))
    assert groups_of(x[:, :, :3], (0, 1)) == [Axes(1, 20, 3, (1, 6, 1))]
    assert groups_of(x[:, :4, :3], (0, 1)) is None, "five and more must be made dense"
    assert groups_of(x[:, :4], (1,)) == [Axes(4, 4, 6, (30, 6, 1))]
    assert groups_of(x[::-1], (0,)) == [Axes(1, 4, 30, (1, -30, 1))]


@pytest.mark.parametrize("itemsize", [2, 4, 8])
@pytest.mark.parametrize(
    "axes",
    [dense(1, 2_000_000, 10), dense(1, 1_000_000, 128), dense(1, 65_536, 4096), dense(1, 1 << 26, 1),
     dense(64, 3136, 256), dense(4096, 1024, 1), dense(1, 2_000_000, 13), dense(1, 65_536, 1000)],
)  # fmt: skip
def test_large_arrays_fill_a_gpu_and_the_second_stage_is_short(axes: Axes, itemsize: int) -> None:
    first = cuda_axes.first_stage(axes, itemsize, True)
    threads = math.prod(first.grid) * math.prod(first.block)
    assert threads >= 132 * 512, "fewer than 16 warps for each of 132 multiprocessors"
    assert first.form.startswith(("rows", "columns_wide"))
    last = cuda_axes.finish(first.chunks, axes.outputs)
    assert -(-first.chunks // last.block[1]) <= 68, "accesses of a thread of the second stage"


@pytest.mark.parametrize("itemsize", [2, 4, 8])
@pytest.mark.parametrize("columns", [257, 513, 1001, 4097, 8449, 16_899, 50_257])
def test_what_is_read_one_by_one_keeps_the_memory_as_busy(columns: int, itemsize: int) -> None:
    """Little's law: 3.35 TB/s times 700 ns is 17.8 KB on the way for each of 132 multiprocessors."""
    first = cuda_axes.first_stage(dense(1, 65_536, columns), itemsize, True)
    assert first.form.startswith("columns")
    each = 4 * 16 if first.form == "columns_wide" else 8 * itemsize
    resident = min(math.prod(first.grid) / 132, 2048 // math.prod(first.block))
    assert resident * math.prod(first.block) * each >= 17_800


def test_launches_stay_within_what_a_gpu_takes() -> None:
    for axes in (dense(1 << 31, 2, 1), dense(1 << 20, 3, 5), dense(1, 1 << 32, 3), dense(1 << 18, 1 << 12, 2),
                 Axes(1, 1 << 40, 1, (0, 0, 1)), dense(300, 1 << 33, 1), dense(2, 3, 1 << 33)):
        for item in (2, 8):
            first = cuda_axes.first_stage(axes, item, True)
            assert first.grid[0] < 1 << 31
            assert first.grid[1] <= 65_535
            assert math.prod(first.block) <= 256
            assert first.words[6] * (axes.inner if first.words[7] else 1) < 1 << 31, "32 bits count a chunk"
