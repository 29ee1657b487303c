"""Every hand-written row kernel, executed on the CPU from its own CUDA source, against NumPy in float64.

All four storage types; threads forwards and backwards give the same bits (see `launching.Rows`).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp, softmax

from gpugrad.fusion.cuda_sources import SOURCES
from tests.cuda.hostexec import missing_compiler
from tests.cuda.launching import Array, Rows, aligned

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
    dx, y_now = k.empty(shape), k.read(y).astype(float)
    k.run_rows("logsumexp_vjp", way, shape[0], (g_stored[:, 0].copy(), stored, y, dx, *sizes))
    k.check(dx, g[:, :1] * np.exp(x - y_now[:, None]), 3)


@ways
def test_logsumexp_of_infinities_and_huge_values(way: str) -> None:
    k = rows_of("float32")
    x = np.float32([[-np.inf] * 40, [np.inf] + [0] * 39, [88.0] * 40, [-1e30] * 39 + [3e38], [np.nan] + [0] * 39])
    y = k.empty((5,))
    k.run_rows("logsumexp", way, 5, (x, y, I64(5), I64(40)))
    np.testing.assert_allclose(y, [-np.inf, np.inf, 88 + np.log(40), 3e38, np.nan], rtol=1e-6)
    p = k.empty((5, 40))
    k.run_rows("softmax", way, 5, (x, p, I64(5), I64(40)))
    np.testing.assert_allclose(p[2], np.full(40, 1 / 40), rtol=1e-6)
    assert p[3, -1] == 1
    assert np.isnan(p[4]).all()


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
            k.run("finish_columns_sum", (2,), (32,), (part, total, I64(chunks), I64(columns), k.scalar(1)))
            k.check(total, wanted.sum(0), 3)


def philox(seed: int, counter: int) -> list[int]:
    """Philox4x32-10 in Python's integers."""
    c, key = [counter & 0xFFFFFFFF, counter >> 32 & 0xFFFFFFFF, 0, 0], [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [b >> 32 ^ c[1] ^ key[0], b & 0xFFFFFFFF, a >> 32 ^ c[3] ^ key[1], a & 0xFFFFFFFF]
        key = [key[0] + 0x9E3779B9 & 0xFFFFFFFF, key[1] + 0xBB67AE85 & 0xFFFFFFFF]
    return c


def test_the_reference_philox_gives_the_published_words() -> None:
    # Known answer of the authors' Random123 library for key 0, counter 0.
    assert [f"{w:08x}" for w in philox(0, 0)] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


def test_dropout_draws_its_mask_from_philox(k: Rows, rng: np.random.Generator) -> None:
    n, p, seed, offset, skip = 1003, 0.3, 0x1234_5678_9ABC_DEF0, 2**32 - 7, 5
    stored, x = k.given(rng.uniform(0.5, 2, n))
    y = k.empty((n,))
    threshold = round(p * 2**32)
    state = np.array([seed, offset], np.uint64)
    k.run(
        "dropout", (2,), (64,),
        (stored, y, I64(n), state, np.uint64(skip), np.uint64(threshold), k.scalar(1 / (1 - p))),
    )  # fmt: skip
    words = np.array([philox(seed, offset + skip + q) for q in range(-(-n // 4))]).ravel()[:n]
    k.check(y, np.where(words >= threshold, x / (1 - p), 0))
    assert abs((k.read(y) != 0).mean() - 0.7) < 0.05


def test_dropout_of_nothing_and_of_everything(k: Rows) -> None:
    stored, x = k.given(np.ones(10))
    for threshold, wanted in ((0, x), (2**32, 0 * x)):
        y = k.empty((10,))
        args = (stored, y, I64(10), np.zeros(2, np.uint64), np.uint64(0), np.uint64(threshold), k.scalar(1))
        k.run("dropout", (1,), (32,), args)
        k.check(y, wanted)


@pytest.mark.parametrize("inner", [1, 6])
def test_maxout_shares_a_tie(k: Rows, inner: int, rng: np.random.Generator) -> None:
    stored, x = k.given(rng.integers(-2, 3, (7, 4, inner)))  # few values: many ties
    g_stored, g = k.given(rng.uniform(-1, 1, (7, inner)))
    y, dx = k.empty((7, inner)), k.empty((7, 4, inner))
    sizes = (I64(7), I64(4), I64(inner))
    k.run("maxout", (1,), (32,), (stored, y, *sizes))
    k.check(y, x.max(1))
    k.run("maxout_vjp", (1,), (32,), (g_stored, stored, y, dx, *sizes))
    top = x == x.max(1, keepdims=True)
    k.check(dx, top * (g / top.sum(1))[:, None])


OPS = {
    "sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min,
    "sum_squares": lambda x, axis=None: np.sum(x * x, axis=axis),
}  # fmt: skip


@pytest.mark.parametrize("op", OPS)
def test_reductions_over_rows_columns_and_all(k: Rows, op: str, rng: np.random.Generator) -> None:
    for rows, columns in ((1, 1), (19, 45), (3, 500)):
        stored, x = k.given(rng.uniform(0.9, 1.1, (rows, columns)))
        for way in ("warp", "block"):
            y = k.empty((rows,))
            k.run_rows(f"reduce_rows_{op}", way, rows, (stored, y, I64(rows), I64(columns), k.scalar(0.5)))
            k.check(y, 0.5 * OPS[op](x, axis=1), 4)
        chunks = -(-rows // 8)
        part, y = k.empty((chunks, columns), k.real), k.empty((columns,))
        k.run(
            f"reduce_columns_{op}", (-(-columns // 32), chunks), (32, 8),
            (stored, part, I64(rows), I64(columns), I64(8)),
        )  # fmt: skip
        k.run(f"finish_columns_{op}", (1,), (64,), (part, y, I64(chunks), I64(columns), k.scalar(2)))
        k.check(y, 2 * OPS[op](x, axis=0), 4)
        part, y = k.empty((3,), k.real), k.empty((1,))
        k.run(f"reduce_all_{op}", (3,), (256,), (stored, part, I64(x.size)))
        k.run(f"finish_{op}", (1,), (256,), (part, y, I64(3), k.scalar(1)))
        k.check(y, [OPS[op](x)], 10)


@ways
def test_extremes_propagate_nan_and_take_the_first_of_equals(k: Rows, way: str, rng: np.random.Generator) -> None:
    x = rng.integers(-3, 4, (6, 90)).astype(float)
    x[1, [40, 70]] = np.nan
    x[2] = -np.inf
    x[3, 5] = np.inf
    stored, x = k.given(x)
    for name in ("max", "min"):
        y, at = k.empty((6,)), k.empty((6,), I64)
        k.run_rows(f"reduce_rows_{name}", way, 6, (stored, y, I64(6), I64(90), k.scalar(1)))
        np.testing.assert_array_equal(k.read(y), getattr(np, name)(x, axis=1))
        k.run_rows(f"arg{name}", way, 6, (stored, at, I64(6), I64(90)))
        np.testing.assert_array_equal(at, getattr(np, f"arg{name}")(x, axis=1))


def test_gather_takes_rows_and_segment_sum_gives_them_back(k: Rows, rng: np.random.Generator) -> None:
    stored, x = k.given(rng.uniform(-1, 1, (5, 37)))
    index = np.array([3, 0, -1, 3, 3, 1, -5], I64)
    y = k.empty((7, 37))
    k.run("gather", (2,), (64,), (stored, index, y, I64(7), I64(5), I64(37)))
    np.testing.assert_array_equal(k.read(y), x[index])

    wrapped = index % 5
    order = np.argsort(wrapped, kind="stable")
    target, starts = np.unique(wrapped[order], return_index=True)
    starts = np.append(starts, len(order)).astype(I64)
    g_stored, g = k.given(rng.uniform(-1, 1, (7, 37)))
    out_stored, out = k.given(rng.uniform(-1, 1, (5, 37)))
    k.run("segment_sum", (1, 2), (64,), (g_stored, order, starts, target, out_stored, I64(len(target)), I64(37)))
    np.add.at(out, index, g)
    k.check(out_stored, out, 2)


def test_gather_out_of_range_gives_nan() -> None:
    k = rows_of("float32")
    y = k.empty((2, 3))
    args = (np.ones((4, 3), np.float32), np.array([4, -5], I64), y, I64(2), I64(4), I64(3))
    k.run("gather", (1,), (32,), args)
    assert np.isnan(y).all()


class Parameters:
    """Arrays of different lengths with their states, and the tables that the optimizer kernels take."""

    def __init__(self, k: Rows, rng: np.random.Generator, states: int) -> None:
        self.k = k
        shapes, self.chunk = [(1,), (300,), (700,)], 256
        self.p, self.exact_p = map(list, zip(*(k.given(rng.uniform(-1, 1, s)) for s in shapes), strict=True))
        self.g, self.exact_g = map(list, zip(*(k.given(rng.uniform(-1, 1, s)) for s in shapes), strict=True))
        self.states = [[aligned(s, k.real, 0) for s in shapes] for _ in range(states)]
        sizes = [int(np.prod(s)) for s in shapes]
        pieces = [(i, start) for i, n in enumerate(sizes) for start in range(0, n, self.chunk)]
        fields = [self.p, self.g, *self.states]
        self.table = np.array([[f[i].ctypes.data for f in fields] for i in range(len(shapes))], np.uint64)
        self.blocks = len(pieces)
        self.tables = (
            self.table, np.array(sizes, I64), np.array([i for i, _ in pieces], np.int32),
            np.array([start for _, start in pieces], I64), np.int32(self.chunk),
        )  # fmt: skip

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
    given = Parameters(k, rng, 1)
    scale = np.array([0.5], k.real)
    buffers = [np.zeros_like(p) for p in given.exact_p]
    for step in (1, 2, 3):
        given.launch(
            "sgd", np.array([rate], k.real), np.array([step], I64), scale, k.scalar(momentum), k.scalar(damp),
            k.scalar(decay), np.int32(nesterov),
        )  # fmt: skip
        for p, g, b in zip(given.exact_p, given.exact_g, buffers, strict=True):
            d = 0.5 * g + decay * p
            if momentum:
                b[...] = d if step == 1 else momentum * b + (1 - damp) * d
                d = d + momentum * b if nesterov else b
            p -= rate * d
    given.check(given.exact_p, 3)


@pytest.mark.parametrize("decoupled", [0, 1])
def test_adam(k: Rows, decoupled: int, rng: np.random.Generator) -> None:
    b1, b2, eps, decay, rate = 0.9, 0.999, 1e-8, 0.01, 0.02
    given = Parameters(k, rng, 2)
    m, v = ([np.zeros_like(p) for p in given.exact_p] for _ in range(2))
    for step in (1, 2, 3):
        given.launch(
            "adam", np.array([rate], k.real), np.array([step], I64), None, k.scalar(b1), k.scalar(b2),
            k.scalar(np.log(b1)), k.scalar(np.log(b2)), k.scalar(eps), k.scalar(decay), np.int32(decoupled),
        )  # fmt: skip
        for i, (p, g) in enumerate(zip(given.exact_p, given.exact_g, strict=True)):
            d = g if decoupled else g + decay * p
            p -= rate * decay * p * decoupled
            m[i], v[i] = b1 * m[i] + (1 - b1) * d, b2 * v[i] + (1 - b2) * d * d
            p -= rate * (m[i] / (1 - b1**step)) / (np.sqrt(v[i] / (1 - b2**step)) + eps)
    given.check(given.exact_p, 5)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_rmsprop(k: Rows, momentum: float, rng: np.random.Generator) -> None:
    alpha, eps, decay, rate = 0.99, 1e-8, 0.01, 0.002
    given = Parameters(k, rng, 2)
    v, b = ([np.zeros_like(p) for p in given.exact_p] for _ in range(2))
    for step in (1, 2):
        given.launch(
            "rmsprop", np.array([rate], k.real), np.array([step], I64), None, k.scalar(alpha), k.scalar(eps),
            k.scalar(decay), k.scalar(momentum),
        )  # fmt: skip
        for i, (p, g) in enumerate(zip(given.exact_p, given.exact_g, strict=True)):
            d = g + decay * p
            v[i] = alpha * v[i] + (1 - alpha) * d * d
            b[i] = momentum * b[i] + d / (np.sqrt(v[i]) + eps)
            p -= rate * b[i]
    given.check(given.exact_p, 5)


def test_clipping_by_the_norm_of_all_gradients(k: Rows, rng: np.random.Generator) -> None:
    given = Parameters(k, rng, 0)
    part = aligned((given.blocks,), k.real)
    given.launch("norm_partials", np.int32(2), np.int32(1), part)
    norm = np.sqrt(sum((g * g).sum() for g in given.exact_g))
    for most in (1.0, 1000.0):
        scale, found = aligned((1,), k.real), aligned((1,), k.real)
        k.run("clip_scale", (1,), (256,), (part, I64(given.blocks), k.scalar(most), scale, found))
        np.testing.assert_allclose(found[0], norm, rtol=1e-5)
        np.testing.assert_allclose(scale[0], min(1, most / (norm + 1e-6)), rtol=1e-5)
