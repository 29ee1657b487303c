"""The gradient of images with few channels in its compiled loop, against the general way in float64."""

from __future__ import annotations

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for, cpu_choice, cpu_conv_few
from gpugrad.backend import conv as general
from gpugrad.backend.conv import Geometry
from gpugrad.fusion.numba_cache import numba_wanted
from tests.backend.threads import threads_change_no_bit

pytestmark = pytest.mark.skipif(not numba_wanted(), reason="Numba is not installed")


def checked(g, w, size, at):
    backend = backend_for("cpu")
    assert cpu_conv_few.fits(g, w.shape, at)
    found = cpu_conv_few.conv_input(backend.pool, g, w, size, at)
    exact = general.conv_input(backend, g.astype(np.float64), w.astype(np.float64), size, at)
    assert found.dtype == g.dtype
    tolerance = 3e-6 if g.dtype == np.float32 else 1e-13
    np.testing.assert_allclose(found, exact, rtol=0, atol=tolerance * np.abs(exact).max())
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(40))
def test_it_agrees_with_the_general_way(seed, dtype):
    rng = np.random.default_rng(seed)
    channels, out = int(rng.integers(1, 3)), int(rng.integers(1, 130))
    kernel = int(rng.integers(1, 8)), int(rng.integers(2, 5))
    stride = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 5, (2, 2)))
    at = Geometry(stride, padding, (int(rng.integers(1, 4)), 1), 1)
    size = int(rng.integers(20, 30)), int(rng.integers(5, 30))
    g, w = (rng.standard_normal(shape).astype(dtype) for shape in (
        (int(rng.integers(1, 6)), out, *at.output(size, kernel)), (out, channels, *kernel)
    ))  # fmt: skip
    if seed % 2:
        g = np.moveaxis(np.ascontiguousarray(np.moveaxis(g, 1, -1)), -1, 1)
    checked(g, w, size, at)


@pytest.mark.parametrize(("channels", "taps"), [(6, 5), (3, 7), (4, 8), (1, 2), (1, 16)])
def test_runs_of_every_width_and_the_bits_of_one_thread(channels, taps):
    rng = np.random.default_rng(0)
    at = Geometry((1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    g, w = (rng.standard_normal(s, dtype=np.float32) for s in ((3, 16, 12, 30), (16, channels, 3, taps)))
    if not cpu_conv_few.fits(g, w.shape, at):
        pytest.skip("wider than two vectors of this machine")
    threads_change_no_bit(lambda: [checked(g, w, (14, 29 + taps), at)])


def test_an_infinite_cotangent_reaches_the_pixels_of_its_patch_alone():
    g, w = np.ones((1, 8, 6, 6), np.float32), np.ones((8, 3, 3, 3), np.float32)
    g[0, 0, 2, 3] = np.inf
    at = Geometry((1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    found = cpu_conv_few.conv_input(backend_for("cpu").pool, g, w, (8, 8), at)
    there = np.zeros((8, 8), bool)
    there[2:5, 3:6] = True
    np.testing.assert_array_equal(np.isinf(found[0]).all(0), there)
    assert not np.isnan(found).any()


def test_who_takes_it():
    g, small = np.ones((2, 16, 8, 8), np.float32), (16, 3, 3, 3)
    at = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    assert cpu_choice.chosen(1 << 21, small, at, g, g, back=True) == "direct, few channels"
    assert cpu_choice.name_of("direct, few channels") == "direct"
    assert cpu_choice.chosen(1 << 21, small, at, g, g) == "direct"
    assert cpu_choice.chosen(1 << 10, small, at, g, g, back=True) == "im2col"
    for other in (at._replace(groups=2), at._replace(dilation=(1, 2)), at._replace(padding=((1, 1), (-1, 1)))):
        assert not cpu_conv_few.fits(g, small, other)
    for shape in ((16, 64, 3, 3), (16, 3, 3, 1)):
        assert not cpu_conv_few.fits(g, shape, at)
    assert not cpu_conv_few.fits(g[:, :, 0], (16, 3, 3), Geometry((1,), ((1, 1),), (1,), 1))


def test_the_layer_gives_the_gradients_of_its_reference():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((16, 6, 14, 14)), rng.standard_normal((16, 6, 5, 5))
    mine = [gg.tensor(a.astype(np.float32), requires_grad=True) for a in (x, w)]
    theirs = [torch.tensor(a, requires_grad=True) for a in (x, w)]
    gg.nn.functional.conv2d(*mine, stride=2, padding=2).square().sum().backward()
    torch.nn.functional.conv2d(*theirs, stride=2, padding=2).square().sum().backward()
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(one.grad.numpy(), other.grad.numpy(), rtol=1e-3, atol=1e-2)
