"""Pooling and batch normalisation in compiled loops: what they give is what the general way gives."""

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for, cpu_images
from gpugrad.nn import functional as F

pytest.importorskip("numba", reason="Numba is not installed")


def both(monkeypatch, function, *arrays):
    """Value and gradients the general way, and by the loops."""
    found = []
    for least in (1 << 40, 1):
        monkeypatch.setattr(cpu_images, "SMALL", least)
        inputs = [gg.asarray(a, requires_grad=True) for a in arrays]
        y = function(*inputs)
        g = np.random.default_rng(1).standard_normal(y.shape).astype(arrays[0].dtype)
        y.backward(gg.asarray(g))
        found.append([y.detach().numpy(), *(t.grad.numpy() for t in inputs)])
    return found


def draw(seed, dtype):
    """Images with many ties, in either memory order, and the sizes of windows."""
    rng = np.random.default_rng(seed)
    shape = (3, int(rng.integers(1, 20)), int(rng.integers(6, 14)), int(rng.integers(6, 14)))
    x = rng.integers(-3, 4, shape).astype(dtype)
    if seed % 2:
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    kernel, stride = (tuple(int(v) for v in rng.integers(1, 4, 2)) for _ in range(2))
    padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
    return x, kernel, stride, padding, tuple(int(v) for v in rng.integers(1, 3, 2)), rng


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(24))
def test_windows_agree_with_the_general_way(monkeypatch, seed, dtype):
    x, kernel, stride, padding, dilation, _ = draw(seed, dtype)
    if seed % 7 == 0:
        x[0, 0, 2, 2] = np.nan
    ceil_mode = bool(seed % 3)
    for pool in (
        lambda x: F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode),
        lambda x: F.avg_pool2d(x, kernel, stride, padding, ceil_mode),
    ):
        for general, compiled in zip(*both(monkeypatch, pool, x), strict=True):
            np.testing.assert_allclose(compiled, general, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_windows_of_sequences_agree_too(monkeypatch, seed):
    x, kernel, stride, padding, dilation, _ = draw(seed, np.float64)
    x = x[:, :, 0]
    for general, compiled in zip(
        *both(monkeypatch, lambda x: F.max_pool1d(x, kernel[0], stride[0], padding[0], dilation[0]), x), strict=True
    ):
        np.testing.assert_allclose(compiled, general, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("block", [64, 1 << 17])
@pytest.mark.parametrize("seed", range(6))
def test_batch_normalisation_agrees_with_the_general_way(monkeypatch, seed, block):
    monkeypatch.setattr(cpu_images, "BLOCK", block)
    x, *_, rng = draw(seed, np.float64)
    weight = rng.standard_normal(x.shape[1])
    x += rng.standard_normal(x.shape)
    found = both(monkeypatch, lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), x, weight, weight + 1)
    for general, compiled in zip(*found, strict=True):
        np.testing.assert_allclose(compiled, general, rtol=1e-9, atol=1e-9)


def test_the_variance_beside_a_large_mean_is_not_lost():
    rows = (1000 + np.random.default_rng(0).standard_normal((50_000, 3))).astype(np.float32)
    mean, variance = cpu_images.statistics(rows)
    np.testing.assert_allclose(mean, rows.astype(np.float64).mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance, rows.astype(np.float64).var(0), rtol=1e-4)


@pytest.mark.parametrize("channels", [3, 64, 96])
def test_a_single_image_with_channels_first_is_seen_by_its_channels(channels):
    """Its pixels as rows are a view, in which the numbers of a row lie far apart."""
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 1, channels, 29, 20))
    rows, given = (np.moveaxis(a, 1, -1).reshape(-1, channels) for a in (x, g))
    mean, variance = cpu_images.statistics(rows)
    np.testing.assert_allclose(mean, x.mean((0, 2, 3)), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(variance, x.var((0, 2, 3)), rtol=1e-10)
    total, along = cpu_images.products(given, rows, mean, mean + 1)
    np.testing.assert_allclose(total, g.sum((0, 2, 3)), rtol=1e-10, atol=1e-10)
    exact = (g * (x - mean[:, None, None]) * (mean + 1)[:, None, None]).sum((0, 2, 3))
    np.testing.assert_allclose(along, exact, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(cpu_images.column_sums(given), total, rtol=1e-10, atol=1e-10)


def test_what_the_loops_do_not_take_goes_the_general_way():
    backend = backend_for("cpu")
    assert not cpu_images.takes(3, np.ones((4, 4, 16, 16, 16)))
    assert not cpu_images.takes(2, np.ones((4, 4, 64, 64), np.float16))
    assert not cpu_images.takes(2, np.ones((1, 1, 4, 4)))
    assert backend.statistics(np.ones((4, 4))) is None
