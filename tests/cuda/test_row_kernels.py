"""Hand-written kernels, executed on the CPU from their own CUDA source, against NumPy in float64.

Those over rows, which come in forms, are in `test_row_forms`.

All four storage types; threads forwards and backwards give the same bits (see `launching.Rows`).
"""

from __future__ import annotations

import numpy as np
import pytest

from gpugrad.backend import cpu_rows_numpy, cuda_casts
from gpugrad.fusion.cuda_sources import SOURCES
from tests.cuda.hostexec import missing_compiler
from tests.cuda.launching import Array, Rows, aligned

pytestmark = pytest.mark.skipif(missing_compiler() is not None, reason=str(missing_compiler()))
I64 = np.int64


def test_the_registry_lists_every_entry_point_of_every_file(k: Rows) -> None:
    listed = {source.entry(kernel, k.dtype) for source in SOURCES.values() for kernel in source.kernels}
    assert listed == set(k.kernels)


@pytest.mark.parametrize("start", [2**32 - 8, 2**32 - 7])
@pytest.mark.parametrize("n", [1, 16, 1003])
def test_dropout_keeps_what_the_cpus_stream_keeps(k: Rows, n: int, start: int, rng: np.random.Generator) -> None:
    p, seed, skip = 0.3, 0xFEDC_BA98_7654_3210, 4
    stored, x = k.given(rng.uniform(0.5, 2, n))
    y, threshold = k.empty((n,)), round(p * 2**32)
    state = np.array([seed, start], np.uint64)
    args = (stored, y, I64(n), state, np.uint64(skip), np.uint32(threshold), k.scalar(1 / (1 - p)))
    k.run("dropout", (2,), (32,), args)
    bits = cpu_rows_numpy.random_bits(cpu_rows_numpy.stream_key(seed), start + skip, n)
    k.check(y, np.where(bits >= threshold, x / (1 - p), 0))
    assert n < 100 or abs((k.read(y) != 0).mean() - 0.7) < 0.05


def test_dropout_of_an_unaligned_view_has_the_same_mask(k: Rows) -> None:
    stored, _ = k.given(np.ones(101))
    whole, part = k.empty((100,)), k.empty((101,))
    for x, y in ((stored[:100], whole), (stored[1:], part[1:])):
        args = (x, y, I64(100), np.zeros(2, np.uint64), np.uint64(6), np.uint32(2**31), k.scalar(2))
        k.run("dropout", (1,), (32,), args)
    np.testing.assert_array_equal(k.read(part)[1:], k.read(whole))


def test_dropout_with_a_threshold_of_0_keeps_all(k: Rows) -> None:
    stored, x = k.given(np.ones(10))
    y = k.empty((10,))
    k.run("dropout", (1,), (32,), (stored, y, I64(10), np.zeros(2, np.uint64), np.uint64(0), np.uint32(0), k.scalar(1)))
    k.check(y, x)


def test_maxout_shares_a_tie_and_gives_a_nans_cotangent_to_the_nan(k: Rows, rng: np.random.Generator) -> None:
    values = rng.integers(-2, 3, (7, 4)).astype(float)  # few values: many ties
    values[3, 1] = np.nan
    stored, x = k.given(values)
    g_stored, g = k.given(rng.uniform(-1, 1, 7))
    y, dx = k.empty((7,)), k.empty((7, 4))
    k.run("maxout", (1,), (32,), (stored, y, I64(7), I64(4)))
    np.testing.assert_array_equal(k.read(y), x.max(1))
    k.run("maxout_vjp", (1,), (32,), (g_stored, stored, y, dx, I64(7), I64(4)))
    top = (x == x.max(1, keepdims=True)) | np.isnan(x)
    k.check(dx, top * (g / top.sum(1))[:, None])


def test_segment_sum_adds_rows_by_index(k: Rows, rng: np.random.Generator) -> None:
    index = np.array([3, 0, 4, 3, 3, 1, 0], I64)
    order = np.argsort(index, kind="stable")
    starts = np.full(6, -1, I64)
    k.run("segment_starts", (1,), (32,), (index, order, starts, I64(7), I64(5)))
    assert starts.tolist() == np.searchsorted(index[order], np.arange(6)).tolist()
    g_stored, g = k.given(rng.uniform(-1, 1, (7, 37)))
    out_stored, out = k.given(rng.uniform(-1, 1, (5, 37)))
    k.run("segment_sum", (1, 2), (64,), (g_stored, order, starts, out_stored, I64(5), I64(37)))
    np.add.at(out, index, g)
    k.check(out_stored, out, 2)


@pytest.mark.parametrize("lengths", [(3, 1), (8, 16, 8, 24), (5, 40, 2)])
def test_arrays_are_joined(k: Rows, rng: np.random.Generator, lengths: tuple[int, ...]) -> None:
    pieces = [k.given(rng.uniform(-1, 1, (6, n)))[0] for n in lengths]
    apart = [n if i % 2 else 2 * n for i, n in enumerate(lengths)]
    stored = [p if i % 2 else np.concatenate([p, p], 1) for i, p in enumerate(pieces)]
    for name, per in (("join", 1), ("join_wide", 16 // pieces[0].itemsize)):
        if any(n % per for n in lengths):
            continue
        marks = [8 // per * (per > 1) + int(n) // per for n in np.cumsum([0, *lengths])]
        numbers = [6, marks[-1] + 1, *marks, *marks[-1:] * (4 - len(lengths)), *[n // per for n in apart]]
        numbers += [0] * (4 - len(lengths))
        y = k.empty((6, (marks[-1] + 1) * per))
        y[...] = 0
        given = [*stored, *stored[:1] * (4 - len(lengths))]
        k.run(name, (2, 2), (4, 8), (*given, y, *map(I64, numbers)))
        first = marks[0] * per
        np.testing.assert_array_equal(y[:, first : first + sum(lengths)], np.concatenate(pieces, 1))
        assert not y[:, :first].any()
        assert not y[:, first + sum(lengths) :].any()


@pytest.mark.parametrize("count", [1, 3, 40])
@pytest.mark.parametrize("inner", [1, 5])
def test_elements_are_taken_and_put_along_an_axis(k: Rows, rng: np.random.Generator, count: int, inner: int) -> None:
    outer, rows = 7, 41
    index = np.stack([rng.permutation(rows)[:count] for _ in range(outer * inner)]).reshape(outer, inner, count)
    index = np.ascontiguousarray(index.swapaxes(1, 2)).astype(I64)
    index[0, 0, 0], index[1, 0, 0], index[2, 0, 0] = rows, -rows - 1, -rows
    inside = (index >= -rows) & (index < rows)
    sizes = I64(outer), *map(np.uint32, (rows, count, inner))
    x_stored, x = k.given(rng.uniform(-1, 1, (outer, rows, inner)))
    y = k.empty(index.shape)
    k.run("take_along", (3, 2), (16, 2), (x_stored, index, y, *sizes))
    k.check(y, np.where(inside, np.take_along_axis(x, np.where(inside, index, 0), 1), np.nan))
    index[2, 0, 0] = rows  # may have been there already
    inside[2, 0, 0] = False
    g_stored, g = k.given(rng.uniform(-1, 1, index.shape))
    put = k.empty(x.shape)
    put[...] = 0
    k.run("put_along", (3, 2), (16, 2), (g_stored, index, put, *sizes))
    added = k.empty(x.shape)
    k.run("add_along", (3, 2), (16, 2), (g_stored, index, added, *sizes))
    want = np.zeros((outer, rows + 1, inner))
    np.put_along_axis(want, np.where(inside, index, rows), g, 1)
    k.check(put, want[:, :rows])
    np.testing.assert_array_equal(added, put)
    index[3:] = 2 - rows  # one place for all
    k.run("add_along", (3, 2), (16, 2), (g_stored, index, added, *sizes))
    k.check(added[3:, 2], g[3:].sum(1), count)


def test_many_arrays_are_cast_in_a_launch(k: Rows, rng: np.random.Generator) -> None:
    sizes = [1, 7, 2048, 2049, 4096, 24, 3]
    given = [aligned((n + 1,), np.float32, rng.standard_normal(n + 1)) for n in sizes]
    given = [a[1:] if i == 4 else a[:-1] for i, a in enumerate(given)]  # one is not on a boundary of 16 bytes
    blocks = np.cumsum([0, *[-(-n // 2048) for n in sizes]])
    listed = np.zeros(1, cuda_casts._LIST)
    listed["from"][0, : len(sizes)] = [a.ctypes.data for a in given]
    listed["size"][0, : len(sizes)], listed["first"][0, : len(blocks)], listed["count"] = sizes, blocks, len(sizes)
    y = k.empty((blocks[-1] * 2048,))
    before = y.copy()
    k.run("casts", (int(blocks[-1]),), (256,), (listed, y))
    for a, b, n in zip(given, blocks, sizes, strict=False):
        at = b * 2048
        if k.dtype in ("float32", "float64"):
            np.testing.assert_array_equal(y[at : at + n], a)
        else:
            kind = np.float16 if k.dtype == "float16" else pytest.importorskip("ml_dtypes").bfloat16
            np.testing.assert_array_equal(y[at : at + n], a.astype(kind).view(np.uint16))
        rest = slice(at + n, at + -(-n // 2048) * 2048)
        np.testing.assert_array_equal(y[rest], before[rest])


@pytest.mark.parametrize(("count", "columns"), [(7, 37), (70, 130), (33, 1), (1, 4)])
def test_few_rows_are_added_by_index(k: Rows, rng: np.random.Generator, count: int, columns: int) -> None:
    rows = 11
    index = rng.integers(-rows - 1, rows + 1, count)
    index[: count // 2] = 3
    g_stored, g = k.given(rng.uniform(-1, 1, (count, columns)))
    out_stored, out = k.given(rng.uniform(-1, 1, (rows, columns)))
    grid = -(-columns // 128), 1
    k.run("add_few_rows", grid, (32, 8), (g_stored, index, out_stored, I64(count), I64(rows), I64(columns)))
    inside = (index >= -rows) & (index < rows)
    np.add.at(out, index[inside], g[inside])
    k.check(out_stored, out, 2 + count // 20)


@pytest.mark.parametrize(("columns", "across"), [(16, 4), (37, 32), (264, 32)])
def test_rows_are_taken_by_index(k: Rows, rng: np.random.Generator, columns: int, across: int) -> None:
    stored, x = k.given(rng.uniform(-1, 1, (5, columns)))
    index = np.array([3, -5, 4, -1, 0, 5, -6], I64)
    for name in ("take_rows", "take_rows_wide")[: 1 + (columns % 8 == 0)]:
        y = k.empty((7, columns))
        k.run(name, (2,), (across, 32 // across), (stored, index, y, I64(7), I64(5), I64(columns)))
        np.testing.assert_array_equal(k.read(y)[:5], x[index[:5]])
        assert np.isnan(k.read(y)[5:]).all()


STREAM = np.array([0xFEDC_BA98_7654_3210, 2**33 - 6], np.uint64)


def words(count: int, skip: int) -> Array:
    """The words of the stream, by the CPU's dropout."""
    key = cpu_rows_numpy.stream_key(int(STREAM[0]))
    bits = cpu_rows_numpy.random_bits(key, int(STREAM[1]) + skip, 2 * count).astype(np.uint64)
    return bits[::2] | bits[1::2] << np.uint64(32)


@pytest.mark.parametrize("n", [1, 2, 101])
def test_random_numbers_are_what_their_definition_makes_of_the_stream(k: Rows, n: int) -> None:
    double = k.dtype == "float64"
    y, pairs = k.empty((n,)), -(-n // 2)
    k.run("uniform", (2,), (32,), (y, I64(n), STREAM, np.uint64(4), k.scalar(0), k.scalar(1)))
    if double:
        want = (words(n, 4) >> np.uint64(11)) * 2.0**-53
    else:
        digits = {"float32": 24, "float16": 11, "bfloat16": 8}[k.dtype]
        want = (words(pairs, 4).view(np.uint32) >> np.uint32(32 - digits)) * 2.0**-digits
    np.testing.assert_array_equal(k.read(y), want[:n])

    k.run("normal", (2,), (32,), (y, I64(n), STREAM, np.uint64(4), k.scalar(0.5), k.scalar(2)))
    if double:
        w = words(2 * pairs, 4)
        u, v = ((w[::2] >> np.uint64(11)) + np.uint64(1)) * 2.0**-53, (w[1::2] >> np.uint64(11)) * 2.0**-53
    else:
        w = words(pairs, 4)
        u, v = (w & np.uint64(2**32 - 1)) * 2.0**-32 + 2.0**-33, (w >> np.uint64(40)) * 2.0**-24
    radius = 2 * np.sqrt(-2 * np.log(u))
    want = 0.5 + np.stack([radius * np.cos(2 * np.pi * v), radius * np.sin(2 * np.pi * v)], 1).reshape(-1)
    k.check(y, want[:n], 8)


def test_random_integers_are_the_high_half_of_a_product(k: Rows) -> None:
    for low, width in ((-5, 7), (0, 1), (-(2**62), 2**63 - 1), (3, 2**40 + 11)):
        y = np.zeros(50, I64)
        k.run("integers", (2,), (32,), (y, I64(50), STREAM, np.uint64(0), I64(low), np.uint64(width)))
        assert y.tolist() == [low + (int(w) * width >> 64) for w in words(50, 0)]
