"""Pooling and sums of columns in parts, with NumPy alone, against what they are by definition."""

from __future__ import annotations

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for, cpu_images_numpy
from gpugrad.backend.conv import Geometry
from gpugrad.fusion import trace, workers
from gpugrad.fusion.numpy_compiler import BLOCK, compile_numpy, rows_joined
from tests.backend.threads import threads_change_no_bit


def windows(x, kernel, at, fill):
    """(n, channels, *size, elements of a window) of images inside a border of `fill`."""
    wide = np.pad(x, ((0, 0), (0, 0), *at.padding), constant_values=fill)
    size = at.output(x.shape[2:], kernel)
    found = []
    for tap in np.ndindex(*kernel):
        each = zip(tap, size, at.stride, at.dilation, strict=True)
        found.append(wide[(..., *(slice(k * d, k * d + (n - 1) * s + 1, s) for k, n, s, d in each))])
    return np.stack(found, axis=-1)


def draw(seed, axes):
    rng = np.random.default_rng(seed)
    kernel, stride, dilation = (tuple(int(v) for v in rng.integers(1, high, axes)) for high in (5, 4, 3))
    padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (axes, 2)))
    least = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = tuple(int(n + v) for n, v in zip(least, rng.integers(0, 9, axes), strict=True))
    dtype = np.dtype(("float32", "float64")[seed % 2])
    # Few values, so that there are equals; every third has channels last in memory.
    x = rng.integers(-3, 4, (int(rng.integers(1, 9)), int(rng.integers(1, 7)), *size)).astype(dtype)
    if seed % 3 == 0:
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    return x, kernel, Geometry(stride, padding, dilation, 1), rng


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("axes", [1, 2])
def test_the_first_of_the_largest_wins_and_gets_the_gradient(seed, axes):
    x, kernel, at, rng = draw(seed, axes)
    size, pool = at.output(x.shape[2:], kernel), backend_for("cpu").pool
    seen = windows(x, kernel, at, -np.inf)
    y, won = cpu_images_numpy.max_pool(pool, x, kernel, size, at)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, seen.max(-1))
    np.testing.assert_array_equal(won, seen.argmax(-1))
    g = rng.standard_normal(y.shape).astype(x.dtype)
    back = cpu_images_numpy.window_put(pool, g, won, x.shape[2:], kernel, at)
    # The transposed of picking: every image e with one element gives the sum over windows that picked that element.
    e = rng.standard_normal(x.shape).astype(x.dtype)
    picked = np.take_along_axis(windows(e, kernel, at, 0), won[..., None].astype(np.intp), -1)[..., 0]
    assert (back * e).sum(dtype=np.float64) == pytest.approx((g * picked).sum(dtype=np.float64), rel=1e-4, abs=1e-3)


def test_large_images_in_several_parts_agree_with_one_thread(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9, 40, 50, 48)).astype(np.float32)
    pool, cut = backend_for("cpu").pool, Geometry((2, 2), ((1, 1), (1, 1)), (1, 1), 1)
    size = cut.output((50, 48), (3, 3))
    y, won = cpu_images_numpy.max_pool(pool, x, (3, 3), size, cut)
    np.testing.assert_array_equal(y, windows(x, (3, 3), cut, -np.inf).max(-1))
    back = cpu_images_numpy.window_put(pool, y, won, (50, 48), (3, 3), cut)
    monkeypatch.setattr(workers._Pool, "limit", 1)
    np.testing.assert_array_equal(cpu_images_numpy.window_put(pool, y, won, (50, 48), (3, 3), cut), back)


def test_images_with_a_nan_go_the_general_way(monkeypatch):
    monkeypatch.setenv("GPUGRAD_NUMBA", "0")
    rng = np.random.default_rng(1)
    x = rng.standard_normal((4, 8, 32, 32)).astype(np.float32)
    x[2, 3, 5, 7] = np.nan
    at = Geometry((2, 2), ((0, 0), (0, 0)), (1, 1), 1)
    assert cpu_images_numpy.max_pool(backend_for("cpu").pool, x, (2, 2), (16, 16), at) is None
    t = gg.tensor(x, requires_grad=True)
    y = gg.nn.functional.max_pool2d(t, 2)
    y.sum().backward()
    assert np.isnan(y.detach().numpy()).sum() == 1
    assert t.grad.numpy()[2, 3, 5, 7] == 1


@pytest.mark.parametrize("shape", [(4096, 64), (1000, 3), (997, 130), (5000, 1), (40, 3000)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_columns_are_those_of_float64(shape, dtype):
    rng = np.random.default_rng(shape[0])
    rows, g = ((rng.standard_normal(shape) + 30).astype(dtype) for _ in range(2))
    exact, given = rows.astype(np.float64), g.astype(np.float64)
    close = {"rtol": 2e-6 if dtype == "float32" else 1e-12}
    mean, variance = cpu_images_numpy.statistics(rows)
    np.testing.assert_allclose(mean, exact.mean(0), **close)
    np.testing.assert_allclose(variance, exact.var(0), rtol=2e-5 if dtype == "float32" else 1e-12)
    total, along = cpu_images_numpy.products(g, rows, mean, 1 / np.sqrt(variance))
    np.testing.assert_allclose(total, given.sum(0), **close)
    normal = (exact - mean) / np.sqrt(variance.astype(np.float64))
    scale = np.abs(given * normal).sum(0).max() * (1e-5 if dtype == "float32" else 1e-12)
    np.testing.assert_allclose(along, (given * normal).sum(0), atol=scale)
    np.testing.assert_allclose(cpu_images_numpy.column_sums(rows), exact.sum(0), **close)


def test_sums_of_columns_do_not_depend_on_the_number_of_threads():
    rows = np.random.default_rng(2).standard_normal((20_000, 24)).astype(np.float32)
    threads_change_no_bit(lambda: cpu_images_numpy.statistics(rows))


@pytest.mark.parametrize("shape", [(4000, 64), (4001, 64), (30_000, 3), (70, 3000)], ids=str)
def test_a_formula_on_short_rows_is_what_it_is_on_long_ones(shape):
    """Rows are joined where their number has a divisor; a vector for all rows and a number stand beside them."""
    rng = np.random.default_rng(3)
    x, y, v = rng.standard_normal(shape), rng.standard_normal(shape), rng.standard_normal(shape[1])
    assert x.size > BLOCK
    kernel = compile_numpy(trace(lambda x, y, v, c: (x - v) * y + v * c))
    np.testing.assert_array_equal(kernel(x, y, v, 0.5), (x - v) * y + v * 0.5)
    column = rng.standard_normal((shape[0], 1))
    np.testing.assert_array_equal(kernel(x, y, column, 0.5), (x - column) * y + column * 0.5)


def test_rows_are_joined_by_a_divisor_of_their_number():
    assert rows_joined(4096, 64) == 32
    assert rows_joined(4001, 64) == 1
    assert rows_joined(10, 5000) == 1
    assert rows_joined(0, 8) > 0
