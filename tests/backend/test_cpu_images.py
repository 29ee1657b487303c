"""Pooling in compiled loops: what they give is what the general way gives."""

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import cpu_images
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


@pytest.mark.parametrize("shape", [(3, 6, 12, 8), (2, 1, 4, 6), (2, 40, 6, 12)])
@pytest.mark.parametrize("kernel", [(2, 2), (1, 2), (3, 4)])
def test_windows_side_by_side_hand_each_pixel_its_share(monkeypatch, shape, kernel):
    shape = (*shape[:2], shape[2] // 2 * 2 * kernel[0], shape[3] * kernel[1])
    x = np.random.default_rng(0).standard_normal(shape)
    _, (_, gx) = both(monkeypatch, lambda x: F.avg_pool2d(x, kernel), x)
    g = np.random.default_rng(1).standard_normal((*shape[:2], shape[2] // kernel[0], shape[3] // kernel[1]))
    np.testing.assert_allclose(gx, np.kron(g, np.full(kernel, 1 / (kernel[0] * kernel[1]))), rtol=1e-14)


@pytest.mark.parametrize("numba", ["0", "1"])
@pytest.mark.parametrize("stride", [1, 2])
def test_an_infinite_cotangent_reaches_the_largest_element_alone(monkeypatch, stride, numba):
    monkeypatch.setattr(cpu_images, "SMALL", 1)
    monkeypatch.setenv("GPUGRAD_NUMBA", numba)
    x = gg.tensor(np.arange(72.0).reshape(1, 2, 6, 6), requires_grad=True)
    y = F.max_pool2d(x, 2, stride)
    g = np.zeros(y.shape)
    g[0, 1, 1, 1] = np.inf
    y.backward(gg.tensor(g))
    there = (0, 1, 1 + stride, 1 + stride)
    assert x.grad.numpy()[there] == np.inf
    assert np.count_nonzero(x.grad.numpy()) == 1


def test_what_the_loops_do_not_take_goes_the_general_way():
    assert not cpu_images.takes(3, np.ones((4, 4, 16, 16, 16)))
    assert not cpu_images.takes(2, np.ones((4, 4, 64, 64), np.float16))
    assert not cpu_images.takes(2, np.ones((1, 1, 4, 4)))
