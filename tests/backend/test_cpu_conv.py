"""Convolutions in compiled loops against the general way: every stride, padding, dilation and grouping."""

from __future__ import annotations

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for, cpu_conv, cpu_layout
from gpugrad.backend import conv as general
from gpugrad.backend.conv import Geometry
from gpugrad.fusion import workers
from gpugrad.fusion.numba_cache import numba_wanted

pytestmark = pytest.mark.skipif(not numba_wanted(), reason="Numba is not installed")


def draw(seed):
    """A convolution of random sizes, with all that can be odd about one."""
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    channels, out = groups * int(rng.integers(1, 20)), groups * int(rng.integers(1, 40))
    if seed % 5 == 0:  # depthwise
        groups = channels = out = int(rng.integers(2, 40))
    size, kernel, stride, dilation = (
        tuple(int(v) for v in rng.integers(low, high, 2)) for low, high in ((6, 18), (1, 6), (1, 4), (1, 3))
    )
    padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 4, (2, 2)))
    # The padded images have room for a kernel.
    size = tuple(
        max(n, d * (k - 1) + 1 - sum(p)) for n, k, d, p in zip(size, kernel, dilation, padding, strict=True)
    )
    at = Geometry(stride, padding, dilation, groups)
    dtype = np.dtype(("float32", "float64")[seed % 2])
    x = rng.standard_normal((int(rng.integers(1, 12)), channels, *size)).astype(dtype)
    if seed % 3 == 0:  # channels last in memory
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    w = rng.standard_normal((out, channels // groups, *kernel)).astype(dtype)
    return x, w, rng.standard_normal(out).astype(dtype), at, rng


@pytest.mark.parametrize("seed", range(90))
def test_all_three_agree_with_the_general_way(seed):
    x, w, bias, at, rng = draw(seed)
    backend = backend_for("cpu")
    close = {"atol": 3e-4 if x.dtype == np.float32 else 1e-11, "rtol": 1e-4 if x.dtype == np.float32 else 1e-11}
    y = cpu_conv.conv(backend.pool, x, w, bias, at)
    np.testing.assert_allclose(y, general.conv(backend, x, w, at) + bias[:, None, None], **close)
    g = rng.standard_normal(y.shape).astype(x.dtype)
    back = cpu_conv.conv_input(backend.pool, g, w, x.shape[2:], at)
    if back is None:
        assert any(s > 1 and d > 1 for s, d in zip(at.stride, at.dilation, strict=True))
    else:
        np.testing.assert_allclose(back, general.conv_input(backend, g, w, x.shape[2:], at), **close)
    kernels = cpu_conv.conv_weight(backend.pool, x, g, w.shape[2:], at)
    np.testing.assert_allclose(kernels, general.conv_weight(backend, x, g, w.shape[2:], at), **close)


@pytest.mark.parametrize("seed", range(24))
def test_a_few_images_at_a_time_give_the_same(seed, monkeypatch):
    x, w, bias, at, rng = draw(seed)
    x = np.concatenate([x, 2 * x, -x])
    pool = backend_for("cpu").pool
    y = cpu_conv.conv(pool, x, w, bias, at)
    g = rng.standard_normal(y.shape).astype(x.dtype)

    def back():
        return cpu_conv.conv_input(pool, g, w, x.shape[2:], at), cpu_conv.conv_weight(pool, x, g, w.shape[2:], at)

    together = back()
    monkeypatch.setattr(cpu_layout, "CHUNK", 1 << 12)
    monkeypatch.setattr(cpu_conv, "AT_A_TIME", 1 << 12)
    if seed % 2:  # a gradient with one sum
        monkeypatch.setattr(cpu_conv, "SMALL_GRADIENT", 0)
    np.testing.assert_array_equal(cpu_conv.conv(pool, x, w, bias, at), y)
    found = back()
    np.testing.assert_array_equal(found[0], together[0])
    np.testing.assert_allclose(found[1], together[1], rtol=1e-4, atol=1e-3 if x.dtype == np.float32 else 1e-11)


@pytest.mark.parametrize("channels", [1, 3, 15, 16, 17, 32, 33, 70])
def test_every_number_of_channels_fills_its_vectors(channels):
    rng = np.random.default_rng(channels)
    x, w = rng.standard_normal((2, channels, 9, 31)), rng.standard_normal((channels, channels, 3, 3))
    at = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    y = cpu_conv.conv(backend_for("cpu").pool, x, w, None, at)
    np.testing.assert_allclose(y, general.conv(backend_for("cpu"), x, w, at), atol=1e-11)


def test_one_axis_is_an_image_of_one_row():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((3, 5, 40)), rng.standard_normal((7, 5, 4))
    at, backend = Geometry((2,), ((3, 1),), (1,), 1), backend_for("cpu")
    y = cpu_conv.conv(backend.pool, x, w, None, at)
    np.testing.assert_allclose(y, general.conv(backend, x, w, at), atol=1e-11)
    g = rng.standard_normal(y.shape)
    back = cpu_conv.conv_input(backend.pool, g, w, (40,), at)
    np.testing.assert_allclose(back, general.conv_input(backend, g, w, (40,), at), atol=1e-11)
    np.testing.assert_allclose(
        cpu_conv.conv_weight(backend.pool, x, g, (4,), at), general.conv_weight(backend, x, g, (4,), at), atol=1e-11
    )


def test_the_result_does_not_depend_on_the_number_of_threads(monkeypatch):
    x, w, bias, at, rng = draw(1)
    pool = backend_for("cpu").pool
    many = cpu_conv.conv(pool, x, w, bias, at)
    g = rng.standard_normal(many.shape)
    kernels = cpu_conv.conv_weight(pool, x, g, w.shape[2:], at)
    monkeypatch.setattr(cpu_layout, "CHUNK", 1 << 12)
    monkeypatch.setattr(workers._Pool, "limit", 1)
    np.testing.assert_array_equal(cpu_conv.conv(pool, x, w, bias, at), many)
    np.testing.assert_array_equal(cpu_conv.conv_weight(pool, x, g, w.shape[2:], at), kernels)


def test_rounding_errors_are_those_of_a_direct_convolution():
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal((2, 64, 16, 16)), rng.standard_normal((64, 64, 3, 3)) / 24
    at = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    exact = general.conv(backend_for("cpu"), x, w, at)
    y = cpu_conv.conv(backend_for("cpu").pool, x.astype(np.float32), w.astype(np.float32), None, at)
    assert np.abs(y - exact).max() < 4e-6


def test_the_algorithm_can_be_chosen():
    x, w = np.ones((2, 8, 32, 32), np.float32), np.ones((8, 8, 3, 3), np.float32)
    assert cpu_conv.chosen(1 << 21, x, w) == "direct"
    assert cpu_conv.chosen(1 << 10, x, w) == "im2col"
    assert cpu_conv.chosen(1 << 21, x.astype(np.complex64), w) == "im2col"
    with gg.cpu.convolution("im2col"):
        assert cpu_conv.chosen(1 << 21, x, w) == "im2col"
        with gg.cpu.convolution("direct"):
            assert cpu_conv.chosen(1 << 10, x, w) == "direct"
    with pytest.raises(ValueError, match=r"name = 'quick'; expected 'auto', 'im2col', 'winograd2', 'direct', 'fast'"):
        gg.cpu.convolution("quick").__enter__()


def test_the_choice_can_be_seen():
    name, square = gg.cpu.convolution_algorithm, (64, 64, 3, 3)
    images = (8, 64, 16, 16)
    assert name(images, square, padding=1) == "winograd2"
    assert name(images, (64, 64, 5, 5), padding=1) == "direct"
    with gg.cpu.convolution("fast"):
        assert name(images, square, padding=1) == "winograd4"
        assert name(images, square, padding=1, stride=2) == "direct"
        assert name(images, square, padding=1, dtype="float64") == "direct"
    with gg.cpu.convolution("im2col"):
        assert name(images, square) == "im2col"
        assert name(images, (64, 1, 3, 3), groups=64) == "shifted"
    assert name((1, 1, 8, 8), (1, 1, 3, 3)) == "im2col"
    with pytest.raises(ValueError, match="the kernel is larger than the padded input"):
        name((1, 1, 2, 2), (1, 1, 3, 3))


@pytest.mark.parametrize("seed", range(12))
def test_shifted_images_are_a_depthwise_convolution(seed):
    """Against one convolution for each channel, which has nothing to do with groups."""
    rng = np.random.default_rng(seed)
    channels = int(rng.integers(2, 9))
    stride, dilation = (tuple(int(v) for v in rng.integers(1, 3, 2)) for _ in range(2))
    at = Geometry(stride, ((1, 2), (0, 1)), dilation, channels)
    alone = at._replace(groups=1)
    x, w = rng.standard_normal((3, channels, 9, 8)), rng.standard_normal((channels, 1, 3, 2))
    backend = backend_for("cpu")
    y = general.conv(backend, x, w, at)
    g = rng.standard_normal(y.shape)
    back, kernels = general.conv_input(backend, g, w, (9, 8), at), general.conv_weight(backend, x, g, (3, 2), at)
    for c in range(channels):
        one, own = slice(c, c + 1), (x[:, c : c + 1], w[c : c + 1], g[:, c : c + 1])
        np.testing.assert_allclose(y[:, one], general.conv(backend, own[0], own[1], alone), atol=1e-12)
        np.testing.assert_allclose(back[:, one], general.conv_input(backend, own[2], own[1], (9, 8), alone), atol=1e-12)
        expected = general.conv_weight(backend, own[0], own[2], (3, 2), alone)
        np.testing.assert_allclose(kernels[one], expected, atol=1e-12)
