"""The kernels over rows in every form, executed on the CPU from their own CUDA source, against references in float64.

Columns on both sides of what a form's teams and packs divide, arrays that begin on 16 bytes and elsewhere, and in the
shared form room for nothing, for a part of a row and for all of it. Threads forwards and backwards give the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp, softmax

from gpugrad.backend import cuda_axes
from tests.cuda.hostexec import missing_compiler
from tests.cuda.launching import THREADS, Array, Rows, packed_words, rows_of

pytestmark = pytest.mark.skipif(missing_compiler() is not None, reason=str(missing_compiler()))
I64 = np.int64

COLUMNS = {
    "four": (1, 10, 16, 30, 63, 64),
    "sixteen": (3, 65, 128, 250, 256),
    "warp": (1, 257, 640, 1001, 1024),
    "block64": (5, 1025, 1604, 2047, 2048),
    "block128": (2049, 4096),
    "block256": (4097, 8190, 8192),
    "shared": (1, 7, 64, 515, 1040, 2099),
}
ROOMS = {"shared": (0.0, 0.3, 1.0)}  # the share of a row that shared memory has room for
FORMS = [(way, room) for way in COLUMNS for room in ROOMS.get(way, (1.0,))]
CASES = [(way, columns, room) for way, room in FORMS for columns in COLUMNS[way]]
forms = pytest.mark.parametrize(("way", "room"), FORMS)
cases = pytest.mark.parametrize(("way", "columns", "room"), CASES)
starts = pytest.mark.parametrize("start", [0, 1], ids=["on16", "off16"])


class Form:
    """One form of the kernels of a dtype, on rows of so many columns in arrays that begin at an element."""

    def __init__(self, k: Rows, way: str, columns: int, room: float, start: int = 0) -> None:
        self.k, self.way, self.room, self.start = k, way, room, start
        # float64 has half as many elements in registers.
        self.columns = -(-columns // 2) if k.dtype == "float64" and way != "shared" else columns
        self.rows = 21 if self.columns < 300 else 3

    def moved(self, stored: Array) -> Array:
        """A copy of an array that begins at `start` elements behind a boundary of 256 bytes."""
        memory = self.k.empty((self.start + stored.size,), stored.dtype)
        there = memory[self.start :].reshape(stored.shape)
        there[...] = stored
        return there

    def given(self, x: Array) -> tuple[Array, Array]:
        """Values as stored, and as the kernel finds them, in float64."""
        stored, values = self.k.given(x)
        return self.moved(stored), values

    def empty(self) -> Array:
        return self.moved(self.k.empty((self.rows, self.columns)))

    def per_row(self) -> Array:
        """Room for a number for each row, in the compute type."""
        return self.k.empty((self.rows,), self.k.real)

    def run(self, kernel: str, args: tuple[Any, ...], *tail: Any, held: int = 0) -> None:
        """Launch a kernel with `args`, rows, columns and `tail`; `held` arrays are what shared memory is for."""
        arrays = held * self.columns * np.dtype(args[0].dtype).itemsize
        shared = int(arrays * self.room) // 16 * 16 + (16 if self.room == 1 and held else 0)
        sizes = (I64(self.rows), I64(self.columns))
        self.k.run_rows(kernel, self.way, self.rows, (*args, *sizes, *tail), shared)


@starts
@cases
def test_softmax_family(k: Rows, way: str, columns: int, room: float, start: int, rng: np.random.Generator) -> None:
    f = Form(k, way, columns, room, start)
    stored, x = f.given(rng.uniform(-8, 8, (f.rows, f.columns)))
    g_stored, g = f.given(rng.uniform(-1, 1, x.shape))
    for kernel, reference in (("softmax", softmax), ("log_softmax", log_softmax)):
        y = f.empty()
        f.run(kernel, (stored, y), held=1)
        k.check(y, reference(x, axis=1))
        y_now, dx = k.read(y).astype(float), f.empty()
        f.run(f"{kernel}_vjp", (g_stored, y, dx), held=2 if kernel == "softmax" else 1)
        wanted = y_now * (g - (g * y_now).sum(1, keepdims=True))
        k.check(dx, wanted if kernel == "softmax" else g - np.exp(y_now) * g.sum(1, keepdims=True), 3)
    y = k.empty((f.rows,))
    f.run("logsumexp", (stored, y))
    k.check(y, logsumexp(x, axis=1))


@starts
@cases
def test_softmax_of_what_comes_before(
    k: Rows, way: str, columns: int, room: float, start: int, rng: np.random.Generator
) -> None:
    f = Form(k, way, columns, room, start)
    _, x = f.given(rng.uniform(-8, 8, (f.rows, f.columns)))
    for queries, first in ((f.rows, 0), (3, max(f.columns - 2, 0)), (2, f.columns // 2)):
        seen = np.arange(f.columns) <= first + np.arange(f.rows)[:, None] % queries
        wanted = softmax(np.where(seen, x, -np.inf), axis=1)
        y, hidden = f.empty(), f.given(np.where(seen, x, np.nan))[0]
        f.run("softmax_causal", (hidden, y), I64(queries), I64(first), held=1)
        k.check(y, wanted)
        assert (k.read(y)[~seen] == 0).all()
        f.run("softmax_causal", (hidden, hidden), I64(queries), I64(first), held=1)
        np.testing.assert_array_equal(k.read(hidden), k.read(y))


@forms
@starts
def test_a_result_may_lie_where_an_input_lay(way: str, room: float, start: int, rng: np.random.Generator) -> None:
    k = rows_of("float32")
    f = Form(k, way, COLUMNS[way][-1], room, start)
    stored, x = f.given(rng.uniform(-8, 8, (f.rows, f.columns)))
    f.run("softmax", (stored, stored), held=1)
    k.check(stored, softmax(x, axis=1))
    y = k.read(stored).astype(float)
    for place in (0, 1):
        g_stored, g = f.given(rng.uniform(-1, 1, x.shape))
        args = g_stored, f.moved(stored)
        f.run("softmax_vjp", (*args, args[place]), held=2)
        k.check(args[place], y * (g - (g * y).sum(1, keepdims=True)), 3)
        args = f.moved(k.given(g)[0]), f.moved(stored)
        f.run("log_softmax_vjp", (*args, args[place]), held=1)
        k.check(args[place], g - np.exp(y) * g.sum(1, keepdims=True), 3)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@forms
@starts
def test_infinities_and_huge_values(way: str, room: float, start: int, dtype: str) -> None:
    k = rows_of(dtype)
    f = Form(k, way, 40, room, start)
    huge = 3e38 if dtype == "float32" else 6e4
    rows = [[-np.inf] * 40, [np.inf] + [0] * 39, [8.0] * 40, [-huge] * 39 + [huge], [0] * 39 + [np.nan]]
    rows += [[-np.inf] * 38 + [1.0, -np.inf], [-np.inf] * 20 + [np.inf] + [-np.inf] * 19, [np.nan] * 40]
    f.rows = len(rows)
    stored, x = f.given(np.array(rows))
    y = k.empty((f.rows,))
    f.run("logsumexp", (stored, y))
    np.testing.assert_allclose(
        k.read(y), [-np.inf, np.inf, 8 + np.log(40), x[3, -1], np.nan, 1, np.inf, np.nan], rtol=k.tolerance
    )
    p, logs = f.empty(), f.empty()
    f.run("softmax", (stored, p), held=1)
    f.run("log_softmax", (stored, logs), held=1)
    np.testing.assert_allclose(k.read(p)[2], np.full(40, 1 / 40), rtol=k.tolerance)
    assert k.read(p)[3].tolist() == [0] * 39 + [1]
    assert k.read(p)[5].tolist() == [0] * 38 + [1, 0]
    for y in (p, logs):
        assert np.isnan(k.read(y)).all(1).tolist() == [True, True, False, False, True, False, True, True]
        assert not np.isnan(k.read(y)[[2, 3, 5]]).any()


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


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@cases
def test_cross_entropy(
    k: Rows, way: str, columns: int, room: float, weighted: bool, smoothing: float, rng: np.random.Generator
) -> None:
    f = Form(k, way, columns, room, start=columns % 2)
    stored, x = f.given(rng.uniform(-6, 6, (f.rows, f.columns)))
    target = rng.integers(0, f.columns, f.rows).astype(I64)
    target[2] = -100
    weight = rng.uniform(0.5, 2, f.columns).astype(k.real) if weighted else None
    g = rng.uniform(-1, 1, f.rows).astype(k.real)
    loss, lse, dx = f.per_row(), f.per_row(), f.empty()
    options = (I64(-100), k.scalar(smoothing))
    f.run("cross_entropy", (stored, target, weight, loss, lse), *options, held=1)
    w = np.ones(f.columns) if weight is None else weight.astype(float)
    wanted, wanted_dx = cross_entropy(x, target, w, -100, smoothing, g)
    np.testing.assert_allclose(loss, wanted, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(lse, logsumexp(x, axis=1), rtol=2e-5, atol=2e-6)
    f.run("cross_entropy_vjp", (g, stored, target, weight, lse, dx), *options, I64(1), None)
    k.check(dx, wanted_dx)
    f.run("cross_entropy_vjp", (g[:1], stored, target, weight, lse, dx), *options, I64(0), None)
    k.check(dx, cross_entropy(x, target, w, -100, smoothing, np.repeat(g[:1], f.rows))[1])


@forms
def test_a_target_out_of_range_gives_nan(way: str, room: float) -> None:
    f = Form(rows_of("float32"), way, 4, room)
    f.rows = 3
    x, target = np.zeros((3, 4), np.float32), np.array([1, 4, -1], I64)
    loss, lse, dx = f.per_row(), f.per_row(), f.empty()
    options = (I64(-100), np.float32(0))
    f.run("cross_entropy", (x, target, None, loss, lse), *options)
    assert np.isnan(loss).tolist() == [False, True, True]
    f.run("cross_entropy_vjp", (np.ones(3, np.float32), x, target, None, lse, dx), *options, I64(1), None)
    assert np.isnan(dx).any(1).tolist() == [False, True, True]


@pytest.mark.parametrize("affine", [False, True])
@starts
@cases
def test_normalisations(
    k: Rows, way: str, columns: int, room: float, start: int, affine: bool, rng: np.random.Generator
) -> None:
    f = Form(k, way, columns, room, start)
    stored, x = f.given(rng.uniform(-2, 2, (f.rows, f.columns)) + 1.5)
    g_stored, g = f.given(rng.uniform(-1, 1, x.shape))
    (w_stored, w), (b_stored, b) = f.given(rng.uniform(0.5, 2, f.columns)), f.given(rng.uniform(-1, 1, f.columns))
    given: tuple[Any, Any] = (w_stored, b_stored) if affine else (None, None)
    if not affine:
        w, b = np.ones(f.columns), np.zeros(f.columns)
    for kernel in ("layer_norm", "rms_norm"):
        is_layer = kernel == "layer_norm"
        mean = x.mean(1, keepdims=True) if is_layer else np.zeros((f.rows, 1))
        rstd = 1 / np.sqrt(np.square(x - mean).mean(1, keepdims=True) + 1e-2)
        h, v = (x - mean) * rstd, g * w
        y, dx, saved = f.empty(), f.empty(), [f.per_row() for _ in range(1 + is_layer)]
        f.run(kernel, (stored, *given[: 1 + is_layer], y, *saved), k.scalar(1e-2), held=1)
        k.check(y, h * w + (b if is_layer else 0), 4)
        np.testing.assert_allclose(saved[-1], rstd[:, 0], rtol=2e-5)
        centre = v.mean(1, keepdims=True) if is_layer else 0
        wanted = rstd * (v - centre - h * (v * h).mean(1, keepdims=True))
        arrays = (g_stored, stored, given[0], *saved)
        if way == "shared":
            f.run(f"{kernel}_vjp", (*arrays, dx), held=2)
            k.check(dx, wanted, 10)
            dx[...] = 0
        part, a_unit = walked(f, kernel, (*arrays, dx))
        k.check(dx, wanted, 10)
        for i, whole in enumerate((g * h, g)[: 1 + is_layer]):
            sums = np.add.reduceat(whole, range(0, f.rows, a_unit))
            np.testing.assert_allclose(part[:, i], sums, rtol=2e-3, atol=2e-3)


def walked(f: Form, kernel: str, arrays: tuple[Any, ...]) -> tuple[Array, int]:
    """The lines of sums that units leave behind, and the rows of a unit: not a multiple of the teams of a warp."""
    a_unit = 2 if f.rows == 3 else 5
    units = -(-f.rows // a_unit)
    lines = 2 if kernel == "layer_norm" else 1
    part = f.k.empty((units, lines, f.columns), f.k.real)
    args = (*arrays, part, I64(f.rows), I64(f.columns), I64(a_unit))
    itemsize = np.dtype(arrays[0].dtype).itemsize
    sums = lines * -(-f.columns * itemsize // 16) * (16 // itemsize) * f.k.real.itemsize
    shared = sums + int(2 * f.columns * itemsize * f.room) // 16 * 16 if f.way == "shared" else 0
    grid = units if f.way in THREADS else -(-units // 2)
    f.k.run(f"{kernel}_vjp_all_{f.way}", (grid,), (THREADS.get(f.way, 64),), args, shared)
    return part, a_unit


@pytest.mark.parametrize("shape", [(9, 70), (2, 301)])
def test_gradients_of_weights_for_rows_that_no_registers_hold(
    k: Rows, shape: tuple[int, int], rng: np.random.Generator
) -> None:
    rows, columns = shape
    (stored, x), (g_stored, g) = k.given(rng.uniform(-2, 2, shape) + 1.5), k.given(rng.uniform(-1, 1, shape))
    mean, rstd = (rng.uniform(0.5, 1, rows).astype(k.real) for _ in range(2))
    for kernel, saved in (("layer_norm", [mean, rstd]), ("rms_norm", [rstd])):
        h = (x - (mean[:, None] if len(saved) == 2 else 0)) * rstd[:, None]
        chunks = -(-rows // 4)
        parts = [k.empty((chunks, columns), k.real) for _ in saved]
        args = (g_stored, stored, *saved, *parts, I64(rows), I64(columns), I64(4))
        k.run(f"{kernel}_vjp_weight", (-(-columns // 32), chunks), (32, 8), args)
        for part, wanted in zip(parts, (g * h, g), strict=False):
            total = k.empty((columns,))
            launch = cuda_axes.finish(chunks, columns)
            k.run("sum_finish", launch.grid, launch.block, (part, total, None, packed_words(launch), k.scalar(1)))
            k.check(total, wanted.sum(0), 3)
