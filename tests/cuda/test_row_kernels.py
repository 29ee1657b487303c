"""Every hand-written row kernel, executed on the CPU from its own CUDA source, against NumPy in float64.

All four storage types; threads forwards and backwards give the same bits (see `launching.Rows`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp, softmax

from gpugrad.backend import cpu_rows_numpy, cuda_axes
from gpugrad.fusion.cuda_sources import SOURCES
from tests.cuda.hostexec import missing_compiler
from tests.cuda.launching import Array, Rows, packed_words, rows_of

pytestmark = pytest.mark.skipif(missing_compiler() is not None, reason=str(missing_compiler()))
I64 = np.int64


ways = pytest.mark.parametrize("way", ["warp", "block"])
# With 128 threads a block: rows that registers hold, of 16 bytes and others, and rows that they do not hold.
SHAPES = [(1, 1), (5, 10), (6, 304), (3, 300), (2, 1040), (2, 4112), (2, 4099)]


def test_the_registry_lists_every_entry_point_of_every_file(k: Rows) -> None:
    listed = {source.entry(kernel, k.dtype) for source in SOURCES.values() for kernel in source.kernels}
    assert listed == set(k.kernels)


@ways
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_family(k: Rows, way: str, shape: tuple[int, int], rng: np.random.Generator) -> None:
    sizes = (I64(shape[0]), I64(shape[1]))
    stored, x = k.given(rng.uniform(-8, 8, shape))
    g_stored, g = k.given(rng.uniform(-1, 1, shape))
    for kernel, reference in (("softmax", softmax), ("log_softmax", log_softmax)):
        y = k.empty(shape)
        k.run_rows(kernel, way, shape[0], (stored, y, *sizes))
        k.check(y, reference(x, axis=1))
        y_now, dx = k.read(y).astype(float), k.empty(shape)
        k.run_rows(f"{kernel}_vjp", way, shape[0], (g_stored, y, dx, *sizes))
        wanted = y_now * (g - (g * y_now).sum(1, keepdims=True))
        k.check(dx, wanted if kernel == "softmax" else g - np.exp(y_now) * g.sum(1, keepdims=True), 3)
    y = k.empty(shape[:1])
    k.run_rows("logsumexp", way, shape[0], (stored, y, *sizes))
    k.check(y, logsumexp(x, axis=1))


@ways
def test_infinities_and_huge_values(way: str) -> None:
    k = rows_of("float32")
    x = np.float32([[-np.inf] * 40, [np.inf] + [0] * 39, [88.0] * 40, [-1e30] * 39 + [3e38], [np.nan] + [0] * 39])
    y = k.empty((5,))
    k.run_rows("logsumexp", way, 5, (x, y, I64(5), I64(40)))
    np.testing.assert_allclose(y, [-np.inf, np.inf, 88 + np.log(40), 3e38, np.nan], rtol=1e-6)
    p, logs = k.empty((5, 40)), k.empty((5, 40))
    k.run_rows("softmax", way, 5, (x, p, I64(5), I64(40)))
    k.run_rows("log_softmax", way, 5, (x, logs, I64(5), I64(40)))
    np.testing.assert_allclose(p[2], np.full(40, 1 / 40), rtol=1e-6)
    assert p[3, -1] == 1
    for y in (p, logs):
        assert np.isnan(y).all(1).tolist() == [True, True, False, False, True]


def cross_entropy(x: Array, t: Array, w: Array, ignored: int, s: float, g: Array) -> tuple[Array, Array]:
    """Losses and gradients of cross entropy, row by row."""
    losses, dx = np.zeros(len(x)), np.zeros_like(x)
    for r, row in enumerate(x):
        if t[r] == ignored:
            continue
        target = s / len(row) * w
        target[t[r]] += (1 - s) * w[t[r]]
        losses[r] = -(target * log_softmax(row)).sum()
        dx[r] = g[r] * (target.sum() * softmax(row) - target)
    return losses, dx


@ways
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("columns", [70, 64, 4112])
def test_cross_entropy(
    k: Rows, way: str, columns: int, weighted: bool, smoothing: float, rng: np.random.Generator
) -> None:
    rows = 7
    stored, x = k.given(rng.uniform(-6, 6, (rows, columns)))
    target = rng.integers(0, columns, rows).astype(I64)
    target[2] = -100
    weight = rng.uniform(0.5, 2, columns).astype(k.real) if weighted else None
    g = rng.uniform(-1, 1, rows).astype(k.real)
    loss, lse, dx = k.empty((rows,), k.real), k.empty((rows,), k.real), k.empty((rows, columns))
    tail = (I64(rows), I64(columns), I64(-100), k.scalar(smoothing))
    k.run_rows("cross_entropy", way, rows, (stored, target, weight, loss, lse, *tail))
    w = np.ones(columns) if weight is None else weight.astype(float)
    wanted, wanted_dx = cross_entropy(x, target, w, -100, smoothing, g)
    np.testing.assert_allclose(loss, wanted, rtol=2e-5)
    np.testing.assert_allclose(lse, logsumexp(x, axis=1), rtol=2e-5)
    k.run_rows("cross_entropy_vjp", way, rows, (g, stored, target, weight, lse, dx, *tail, I64(1)))
    k.check(dx, wanted_dx)
    k.run_rows("cross_entropy_vjp", way, rows, (g[:1], stored, target, weight, lse, dx, *tail, I64(0)))
    k.check(dx, cross_entropy(x, target, w, -100, smoothing, np.repeat(g[:1], rows))[1])


@ways
def test_a_target_out_of_range_gives_nan(way: str) -> None:
    k = rows_of("float32")
    x, target = np.zeros((3, 4), np.float32), np.array([1, 4, -1], I64)
    loss, lse, dx = k.empty((3,)), k.empty((3,)), k.empty((3, 4))
    tail = (I64(3), I64(4), I64(-100), np.float32(0))
    k.run_rows("cross_entropy", way, 3, (x, target, None, loss, lse, *tail))
    assert np.isnan(loss).tolist() == [False, True, True]
    k.run_rows("cross_entropy_vjp", way, 3, (np.ones(3, np.float32), x, target, None, lse, dx, *tail, I64(1)))
    assert np.isnan(dx).any(1).tolist() == [False, True, True]


@ways
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("shape", [(1, 2), (9, 70), (5, 304), (2, 4112)])
def test_normalisations(k: Rows, way: str, affine: bool, shape: tuple[int, int], rng: np.random.Generator) -> None:
    rows, columns = shape
    sizes = (I64(rows), I64(columns))
    stored, x = k.given(rng.uniform(-2, 2, shape) + 1.5)
    g_stored, g = k.given(rng.uniform(-1, 1, shape))
    (w_stored, w), (b_stored, b) = k.given(rng.uniform(0.5, 2, columns)), k.given(rng.uniform(-1, 1, columns))
    given: tuple[Any, Any] = (w_stored, b_stored) if affine else (None, None)
    if not affine:
        w, b = np.ones(columns), np.zeros(columns)
    for kernel in ("layer_norm", "rms_norm"):
        is_layer = kernel == "layer_norm"
        mean = x.mean(1, keepdims=True) if is_layer else np.zeros((rows, 1))
        rstd = 1 / np.sqrt(np.square(x - mean).mean(1, keepdims=True) + 1e-3)
        h, v = (x - mean) * rstd, g * w
        y, dx, saved = k.empty(shape), k.empty(shape), [k.empty((rows,), k.real) for _ in range(1 + is_layer)]
        k.run_rows(kernel, way, rows, (stored, *given[: 1 + is_layer], y, *saved, *sizes, k.scalar(1e-3)))
        k.check(y, h * w + (b if is_layer else 0), 2)
        np.testing.assert_allclose(saved[-1], rstd[:, 0], rtol=1e-5)
        k.run_rows(f"{kernel}_vjp", way, rows, (g_stored, stored, given[0], *saved, dx, *sizes))
        centre = v.mean(1, keepdims=True) if is_layer else 0
        k.check(dx, rstd * (v - centre - h * (v * h).mean(1, keepdims=True)), 4)
        if shape == (5, 304) and (k.dtype != "float64" or way == "block"):  # registers hold a row
            part = k.empty((3, 1 + is_layer, columns), k.real)
            dx[:] = 0
            args = (g_stored, stored, given[0], *saved, dx, part, *sizes, I64(2))
            k.run_rows(f"{kernel}_vjp_all", way, 3, args)
            k.check(dx, rstd * (v - centre - h * (v * h).mean(1, keepdims=True)), 4)
            for i, wanted in enumerate((g * h, g)[: 1 + is_layer]):
                np.testing.assert_allclose(part[:, i], np.add.reduceat(wanted, [0, 2, 4]), rtol=2e-4, atol=2e-4)
        chunks = -(-rows // 4)
        parts = [k.empty((chunks, columns), k.real) for _ in range(1 + is_layer)]
        k.run(
            f"{kernel}_vjp_weight", (-(-columns // 32), chunks), (32, 8),
            (g_stored, stored, *saved, *parts, *sizes, I64(4)),
        )  # fmt: skip
        for part, wanted in zip(parts, (g * h, g), strict=False):
            total = k.empty((columns,))
            launch = cuda_axes.finish(chunks, columns)
            k.run("sum_finish", launch.grid, launch.block, (part, total, None, packed_words(launch), k.scalar(1)))
            k.check(total, wanted.sum(0), 3)


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
    target, starts = np.unique(index[order], return_index=True)
    starts = np.append(starts, len(order)).astype(I64)
    g_stored, g = k.given(rng.uniform(-1, 1, (7, 37)))
    out_stored, out = k.given(rng.uniform(-1, 1, (5, 37)))
    k.run("segment_sum", (1, 2), (64,), (g_stored, order, starts, target, out_stored, I64(len(target)), I64(37)))
    np.add.at(out, index, g)
    k.check(out_stored, out, 2)


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
