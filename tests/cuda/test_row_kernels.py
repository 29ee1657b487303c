"""Every hand-written row kernel, executed on the CPU from its own CUDA source, against NumPy in float64.

All four storage types; threads forwards and backwards give the same bits (see `launching.Rows`).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp, softmax

from gpugrad.backend import cpu_rows_numpy
from gpugrad.fusion.cuda_sources import SOURCES
from tests.cuda.hostexec import missing_compiler
from tests.cuda.launching import Array, Rows, aligned, storage, stored_as

pytestmark = pytest.mark.skipif(missing_compiler() is not None, reason=str(missing_compiler()))
I64 = np.int64


@functools.cache
def rows_of(dtype: str) -> Rows:
    return Rows(dtype)


@pytest.fixture(params=["float32", "float64", "float16", "bfloat16"])
def k(request: pytest.FixtureRequest) -> Rows:
    return rows_of(request.param)


ways = pytest.mark.parametrize("way", ["warp", "block"])
SHAPES = [(1, 1), (5, 10), (6, 300)]


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
def test_cross_entropy(k: Rows, way: str, weighted: bool, smoothing: float, rng: np.random.Generator) -> None:
    rows, columns = 7, 70
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
@pytest.mark.parametrize("shape", [(1, 2), (9, 70), (5, 300)])
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
        chunks = -(-rows // 4)
        parts = [k.empty((chunks, columns), k.real) for _ in range(1 + is_layer)]
        k.run(
            f"{kernel}_vjp_weight", (-(-columns // 32), chunks), (32, 8),
            (g_stored, stored, *saved, *parts, *sizes, I64(4)),
        )  # fmt: skip
        for part, wanted in zip(parts, (g * h, g), strict=False):
            total = k.empty((columns,))
            k.run("column_sum", (2,), (32,), (part, total, I64(chunks), I64(columns)))
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


def test_sums_of_rows_of_columns_and_of_everything(k: Rows, rng: np.random.Generator) -> None:
    for rows, columns in ((1, 1), (19, 45), (3, 500)):
        stored, x = k.given(rng.uniform(0.9, 1.1, (rows, columns)))
        for way in ("warp", "block"):
            y = k.empty((rows,))
            k.run_rows("row_sum", way, rows, (stored, y, I64(rows), I64(columns)))
            k.check(y, x.sum(1), 4)
        chunks = -(-rows // 8)
        part, y = k.empty((chunks, columns), k.real), k.empty((columns,))
        k.run("column_parts", (-(-columns // 32), chunks), (32, 8), (stored, part, I64(rows), I64(columns), I64(8)))
        k.run("column_sum", (1,), (64,), (part, y, I64(chunks), I64(columns)))
        k.check(y, x.sum(0), 4)
        part, y = k.empty((3,), k.real), k.empty((1,))
        k.run("total_parts", (3,), (256,), (stored, part, I64(x.size)))
        k.run("total", (1,), (256,), (part, y, I64(3)))
        k.check(y, [x.sum()], 10)


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


class Parameters:
    """Arrays of different lengths with their states, and the tables that the optimizer kernels take.

    `states` names the fields: "-" for a null pointer. The last array is on no boundary of 16 bytes.
    """

    def __init__(self, k: Rows, rng: np.random.Generator, states: str) -> None:
        self.k = k
        shapes, self.chunk = [(1,), (300,), (700,), (258,)], 256
        self.p, self.exact_p = map(list, zip(*(k.given(rng.uniform(-1, 1, s)) for s in shapes), strict=True))
        self.g, self.exact_g = map(list, zip(*(k.given(rng.uniform(-1, 1, s)) for s in shapes), strict=True))
        self.p[-1], self.exact_p[-1] = self.p[-1][1:], self.exact_p[-1][1:]
        self.g[-1], self.exact_g[-1] = self.g[-1][1:], self.exact_g[-1][1:]
        sizes = [p.size for p in self.p]
        self.states = [None if s == "-" else [aligned((n,), storage(k.dtype), 0) for n in sizes] for s in states]
        pieces = [(i, start) for i, n in enumerate(sizes) for start in range(0, n, self.chunk)]
        fields = [self.p, self.g, *self.states]
        self.table = np.array([[0 if f is None else f[i].ctypes.data for f in fields] for i in range(4)], np.uint64)
        self.blocks = len(pieces)
        self.tables = (
            self.table, np.array(sizes, I64), np.array([i for i, _ in pieces], np.int32),
            np.array([start for _, start in pieces], I64), np.int32(self.chunk),
        )  # fmt: skip

    def zeros(self) -> list[Array]:
        """Something to compute a state's exact values in."""
        return [np.zeros_like(p) for p in self.exact_p]

    def launch(self, kernel: str, *args: Any) -> None:
        source = SOURCES["optim.cu"]
        self.k.kernels[source.entry(kernel, self.k.dtype)]((self.blocks,), (256,), (*self.tables, *args))

    def check(self, wanted: list[Array], factor: float = 1.0) -> None:
        for p, w in zip(self.p, wanted, strict=True):
            self.k.check(p, w, factor)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [0, 1])
def test_sgd(k: Rows, momentum: float, nesterov: int, rng: np.random.Generator) -> None:
    damp, decay, rate = 0.1 * (1 - nesterov), 0.01, 0.05
    given = Parameters(k, rng, "b" if momentum else "-")
    scale = np.array([0.5], k.real)
    buffers = given.zeros()
    for step in (1, 2, 3):
        given.launch(
            "sgd", np.array([rate], k.real), np.array([step], I64), scale, k.scalar(momentum), k.scalar(damp),
            k.scalar(decay), np.int32(nesterov), None, None,
        )  # fmt: skip
        for p, g, b in zip(given.exact_p, given.exact_g, buffers, strict=True):
            d = 0.5 * g + decay * p
            if momentum:
                b[...] = d if step == 1 else momentum * b + (1 - damp) * d
                d = d + momentum * b if nesterov else b
            p -= rate * d
    given.check(given.exact_p, 3)


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("decoupled", [0, 1])
def test_adam(k: Rows, decoupled: int, largest: bool, rng: np.random.Generator) -> None:
    b1, b2, eps, decay, rate = 0.9, 0.9 if largest else 0.99, 3e-2, 0.01, 0.02
    given = Parameters(k, rng, "mvt" if largest else "mv-")
    m, v, top = given.zeros(), given.zeros(), given.zeros()
    for step, scale in ((1, 1.0), (2, 0.25), (3, 0.5)):
        given.launch(
            "adam", np.array([rate], k.real), np.array([step], I64), np.array([scale], k.real), k.scalar(b1),
            k.scalar(b2), k.scalar(np.log(b1)), k.scalar(np.log(b2)), k.scalar(eps), k.scalar(decay),
            np.int32(decoupled), None, None, None,
        )  # fmt: skip
        for i, (p, g) in enumerate(zip(given.exact_p, given.exact_g, strict=True)):
            d = scale * g if decoupled else scale * g + decay * p
            p -= rate * decay * p * decoupled
            m[i], v[i] = b1 * m[i] + (1 - b1) * d, b2 * v[i] + (1 - b2) * d * d
            top[i] = np.maximum(top[i], v[i])
            root = np.sqrt((top[i] if largest else v[i]) / (1 - b2**step))
            p -= rate * (m[i] / (1 - b1**step)) / (root + eps)
    given.check(given.exact_p, 5)


def test_the_largest_square_keeps_a_nan(k: Rows, rng: np.random.Generator) -> None:
    given = Parameters(k, rng, "mvt")
    given.states[2][1][:] = stored_as(np.full(300, np.nan), k.dtype)  # type: ignore[index]
    numbers = (*map(k.scalar, (0.9, 0.9, np.log(0.9), np.log(0.9), 1e-4, 0.0)), np.int32(0), None, None, None)
    given.launch("adam", np.array([0.1], k.real), np.array([1], I64), None, *numbers)
    assert np.isnan(k.read(given.states[2][1])).all()  # type: ignore[index]
    assert np.isnan(k.read(given.p[1])).all()
    assert np.isfinite(k.read(given.p[2])).all()


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_rmsprop(k: Rows, momentum: float, centred: bool, rng: np.random.Generator) -> None:
    alpha, eps, decay, rate = 0.9, 1e-2, 0.01, 0.002
    given = Parameters(k, rng, ("vb" if momentum else "v-") + ("a" if centred else "-"))
    v, b, a = given.zeros(), given.zeros(), given.zeros()
    for step in (1, 2):
        given.launch(
            "rmsprop", np.array([rate], k.real), np.array([step], I64), None, k.scalar(alpha), k.scalar(eps),
            k.scalar(decay), k.scalar(momentum), None, None,
        )  # fmt: skip
        for i, (p, g) in enumerate(zip(given.exact_p, given.exact_g, strict=True)):
            d = g + decay * p
            v[i], a[i] = alpha * v[i] + (1 - alpha) * d * d, alpha * a[i] + (1 - alpha) * d
            b[i] = momentum * b[i] + d / (np.sqrt(v[i] - a[i] ** 2 * centred) + eps)
            p -= rate * b[i]
    given.check(given.exact_p, 5)


def test_a_variance_that_rounding_made_negative_counts_as_none(k: Rows, rng: np.random.Generator) -> None:
    given = Parameters(k, rng, "v-a")
    given.states[2][1][:] = stored_as(np.full(300, 8.0), k.dtype)  # type: ignore[index]
    numbers = (*map(k.scalar, (0.9, 1.0, 0, 0)), None, None)
    given.launch("rmsprop", np.array([0.1], k.real), np.array([1], I64), None, *numbers)
    k.check(given.p[1], given.exact_p[1] - 0.1 * given.exact_g[1], 3)


@pytest.mark.parametrize("kernel", ["sgd", "adam", "rmsprop"])
def test_a_step_that_a_loss_scale_leaves_out_changes_nothing_and_does_not_count(
    k: Rows, kernel: str, rng: np.random.Generator
) -> None:
    def run(steps: list[tuple[int, bool]], skipped: int) -> list[Array]:
        given = Parameters(k, np.random.default_rng(5), {"sgd": "b", "adam": "mvt", "rmsprop": "vba"}[kernel])
        count, found = np.array([0], I64), np.array([0], np.int32)
        for step, bad in steps:
            found[0] = bad
            rest = {
                "sgd": (k.scalar(0.9), k.scalar(0.0), k.scalar(0.1), np.int32(0)),
                "adam": (*map(k.scalar, (0.9, 0.99, np.log(0.9), np.log(0.99), 1e-8, 0.1)), np.int32(0), None),
                "rmsprop": tuple(map(k.scalar, (0.9, 1e-8, 0.1, 0.5))),
            }[kernel]
            given.launch(kernel, np.array([0.1], k.real), np.array([step], I64), None, *rest, found, count)
            k.run("count_skip", (1,), (1,), (found, count))
        assert count[0] == skipped
        return [*given.p, *(a for state in given.states for a in state or ())]

    with_skips = run([(1, True), (2, False), (3, True), (4, False)], 2)
    for a, b in zip(with_skips, run([(1, False), (2, False)], 0), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_not_finite_is_noted_for_one_optimizer_and_for_all(k: Rows) -> None:
    found, anywhere = np.zeros(1, np.int32), np.zeros(1, np.int32)
    for total, want in ((2.0, 0), (np.inf, 1), (3.0, 1), (np.nan, 1)):
        k.run("judge", (1,), (1,), (np.array([total], k.real), found, anywhere))
        assert (found[0], anywhere[0]) == (want, want)
        anywhere[0] = found[0]


def test_the_loss_scale_moves(k: Rows) -> None:
    factors, good, anywhere = np.array([8, 1 / 8], k.real), np.array([0], I64), np.zeros(1, np.int32)
    for bad, scale, steps in ((0, 8, 1), (0, 16, 0), (1, 8, 0), (0, 8, 1), (1, 4, 0)):
        anywhere[0] = bad
        k.run("loss_scale", (1,), (1,), (factors, good, anywhere, k.scalar(2), k.scalar(0.5), I64(2)))
        assert (factors[0], factors[1], good[0], anywhere[0]) == (scale, 1 / scale, steps, 0)
    factors[:], good[:] = (2.0**126, 2.0**-126), 1
    k.run("loss_scale", (1,), (1,), (factors, good, anywhere, k.scalar(4), k.scalar(0.5), I64(2)))
    assert (factors[0], good[0]) == (2.0**126, 0), "a scale beyond float32's range would be infinite for ever"


def test_the_norm_of_all_gradients(k: Rows, rng: np.random.Generator) -> None:
    given = Parameters(k, rng, "")
    part = aligned((given.blocks,), k.real)
    given.launch("norm_partials", np.int32(2), np.int32(1), part)
    np.testing.assert_allclose(part.sum(), sum((g * g).sum() for g in given.exact_g), rtol=1e-5)


def test_scaling_all_gradients(k: Rows, rng: np.random.Generator) -> None:
    given = Parameters(k, rng, "")
    given.tables = (np.ascontiguousarray(given.table[:, 1]), *given.tables[1:])
    given.launch("scale", np.array([0.37], k.real))
    for g, exact in zip(given.g, given.exact_g, strict=True):
        k.check(g, 0.37 * exact)
