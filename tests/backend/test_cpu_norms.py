"""Batch normalisation in compiled loops: against its definition in float64, and the general way."""

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for, cpu_images, cpu_norms
from gpugrad.fusion.numba_cache import numba_wanted
from gpugrad.nn import functional as F
from tests.backend.threads import threads_change_no_bit

pytestmark = pytest.mark.skipif(not numba_wanted(), reason="Numba is not installed")

# Channels that fill a strip of vectors, several, a part of one; few channels, taken as wider rows where the count of
# rows allows it; rows and sequences.
SHAPES = [
    (4, 64, 9, 8), (3, 150, 5, 4), (2, 40, 6, 6), (8, 3, 16, 16), (3, 5, 7, 9), (300, 70), (4, 12, 50), (1, 6, 29, 20),
]  # fmt: skip


def by_hand(x, weight, bias, g, eps):
    """Output and gradients, each sum in float64."""
    x, weight, bias, g = (np.asarray(a, np.float64) for a in (x, weight, bias, g))
    axes, shape = (0, *range(2, x.ndim)), (1, -1, *(1,) * (x.ndim - 2))
    rate = 1 / np.sqrt(x.var(axes, keepdims=True) + eps)
    normal = (x - x.mean(axes, keepdims=True)) * rate
    along = (g * normal).mean(axes, keepdims=True)
    dx = rate * weight.reshape(shape) * (g - g.mean(axes, keepdims=True) - normal * along)
    return normal * weight.reshape(shape) + bias.reshape(shape), dx, (g * normal).sum(axes), g.sum(axes)


def compiled(x, weight, bias, g, eps=1e-5):
    inputs = [gg.asarray(a, requires_grad=True) for a in (x, weight, bias)]
    y = F.batch_norm(inputs[0], None, None, *inputs[1:], training=True, eps=eps)
    y.backward(gg.asarray(g))
    return y.detach().numpy(), *(t.grad.numpy() for t in inputs)


def drawn(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x, g = rng.standard_normal((2, *shape)).astype(dtype)
    return x, *rng.standard_normal((2, shape[1])).astype(dtype), g


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("block", [64, 1 << 17])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_output_and_gradients_are_those_of_the_definition(monkeypatch, shape, dtype, block, last):
    monkeypatch.setattr(cpu_images, "SMALL", 1)
    monkeypatch.setattr(cpu_norms, "BLOCK", block)
    x, weight, bias, g = drawn(shape, dtype)
    if last:
        x, g = (np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1) for a in (x, g))
    assert backend_for("cpu").batch_norm(x, weight, bias, 1e-5, None, 0.1) is not None
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    for found, exact in zip(compiled(x, weight, bias, g), by_hand(x, weight, bias, g, 1e-5), strict=True):
        np.testing.assert_allclose(found, exact, rtol=tolerance, atol=tolerance * np.abs(exact).max())


def test_the_general_way_gives_the_same(monkeypatch):
    arrays = drawn((4, 20, 16, 16), np.float64)
    quick = compiled(*arrays)
    monkeypatch.setattr(cpu_images, "SMALL", 1 << 40)
    for one, other in zip(quick, compiled(*arrays), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("channels", [3, 64])
def test_the_variance_beside_a_large_mean_is_not_lost(channels):
    rows = (1000 + np.random.default_rng(0).standard_normal((50_000, channels))).astype(np.float32)
    mean, variance = cpu_norms.statistics(rows)
    np.testing.assert_allclose(mean, rows.astype(np.float64).mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance, rows.astype(np.float64).var(0), rtol=1e-5)


def test_first_rows_unlike_all_others_cost_the_variance_little():
    """The distances are taken from the mean of a block's first rows."""
    rows = np.random.default_rng(0).standard_normal((20_000, 64)).astype(np.float32)
    rows[:16] = 1e4
    variance = cpu_norms.statistics(rows)[1]
    np.testing.assert_allclose(variance, rows.astype(np.float64).var(0), rtol=2e-4)


def test_a_constant_channel_has_no_variance_and_nan_and_infinity_are_not_hidden():
    rows = np.full((5000, 4), 0.1, np.float32)
    rows[77, 1], rows[78, 2] = np.nan, np.inf
    mean, variance = cpu_norms.statistics(rows)
    np.testing.assert_allclose(mean[[0, 3]], 0.1, rtol=1e-6)
    assert not np.isfinite(mean[1:3]).any()
    assert variance[0] == variance[3] == 0
    assert np.isnan(variance[1:3]).all()


def test_the_number_of_threads_changes_no_bit():
    arrays = drawn((8, 64, 32, 32), np.float32)
    threads_change_no_bit(lambda: compiled(*arrays))


def test_running_statistics_move_towards_those_of_the_batch():
    x, weight, bias, _ = drawn((8, 6, 32, 32), np.float32)
    mean, variance = np.full(6, 2, np.float32), np.full(6, 3, np.float32)
    F.batch_norm(gg.asarray(x), gg.asarray(mean), gg.asarray(variance), weight, bias, training=True, momentum=0.25)
    np.testing.assert_allclose(mean, 1.5 + 0.25 * x.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(variance, 2.25 + 0.25 * x.var((0, 2, 3), ddof=1), rtol=1e-5)


@pytest.mark.parametrize("channels", [3, 64, 96])
def test_sums_over_rows_that_are_a_view_with_distant_columns(channels):
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 1, channels, 29, 20))
    rows, given = (np.moveaxis(a, 1, -1).reshape(-1, channels) for a in (x, g))
    mean, variance = cpu_norms.statistics(rows)
    np.testing.assert_allclose(mean, x.mean((0, 2, 3)), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(variance, x.var((0, 2, 3)), rtol=1e-10)
    total, along = cpu_norms.products(given, rows, mean, mean + 1)
    np.testing.assert_allclose(total, g.sum((0, 2, 3)), rtol=1e-10, atol=1e-10)
    exact = (g * (x - mean[:, None, None]) * (mean + 1)[:, None, None]).sum((0, 2, 3))
    np.testing.assert_allclose(along, exact, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(cpu_norms.column_sums(given), total, rtol=1e-10, atol=1e-10)


def test_what_the_loops_do_not_take_goes_the_general_way():
    backend, row = backend_for("cpu"), np.ones(4, np.float32)
    assert backend.statistics(np.ones((4, 4))) is None
    assert backend.batch_norm(np.ones((2, 4, 3, 3), np.float32), row, row, 1e-5, None, 0.1) is None  # small
    assert backend.batch_norm(np.ones((2, 4, 64, 64), np.float16), row, row, 1e-5, None, 0.1) is None
    assert backend.batch_norm(np.ones((2, 4, 16, 16, 16), np.float32), row, row, 1e-5, None, 0.1) is None
