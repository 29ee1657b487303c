"""Winograd's convolution: the direct way's results, within what its rounding costs; only where it is asked for."""

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for, cpu_winograd
from gpugrad.backend import conv as general
from gpugrad.backend.conv import Geometry
from gpugrad.fusion import workers

pytest.importorskip("numba", reason="Numba is not installed")


def relative(found, exact):
    return np.abs(found - exact).max() / np.abs(exact).max()


def layer(n, channels, out, size, padding, seed=0):
    """Images, kernels, a gradient of the results and the geometry, in float64."""
    rng = np.random.default_rng(seed)
    at = Geometry((1, 1), padding, (1, 1), 1)
    x, w = rng.standard_normal((n, channels, *size)), rng.standard_normal((out, channels, 3, 3))
    return x, w, rng.standard_normal((n, out, *at.output(size, (3, 3)))), at


@pytest.mark.parametrize(
    ("n", "channels", "out", "size", "padding"),
    [
        (2, 64, 64, (16, 16), ((1, 1), (1, 1))),
        (3, 32, 96, (9, 14), ((1, 1), (1, 1))),
        (1, 96, 32, (7, 5), ((0, 0), (0, 0))),
        (5, 32, 32, (6, 11), ((2, 0), (1, 2))),
        (33, 32, 64, (8, 8), ((1, 1), (1, 1))),
    ],
)
def test_all_three_agree_with_the_general_way_within_the_stated_error(n, channels, out, size, padding):
    x, w, g, at = layer(n, channels, out, size, padding)
    backend = backend_for("cpu")
    narrow = [a.astype(np.float32) for a in (x, w, g)]
    bias = np.arange(out, dtype=np.float32)
    y = cpu_winograd.conv(backend.pool, narrow[0], narrow[1], bias, at)
    assert relative(y, general.conv(backend, x, w, at) + bias[:, None, None]) < 1e-4
    back = cpu_winograd.conv_input(backend.pool, narrow[2], narrow[1], at)
    assert relative(back, general.conv_input(backend, g, w, size, at)) < 1e-4
    kernels = cpu_winograd.conv_weight(backend.pool, narrow[0], narrow[2], at)
    assert relative(kernels, general.conv_weight(backend, x, g, (3, 3), at)) < 1e-4


def test_the_result_does_not_depend_on_the_number_of_threads(monkeypatch):
    x, w, g, at = (a.astype(np.float32) if isinstance(a, np.ndarray) and a.ndim else a for a in layer(
        9, 64, 64, (13, 13), ((1, 1), (1, 1))
    ))  # fmt: skip
    pool = backend_for("cpu").pool
    many = cpu_winograd.conv(pool, x, w, None, at), cpu_winograd.conv_weight(pool, x, g, at)
    monkeypatch.setattr(workers._Pool, "limit", 1)
    np.testing.assert_array_equal(cpu_winograd.conv(pool, x, w, None, at), many[0])
    np.testing.assert_array_equal(cpu_winograd.conv_weight(pool, x, g, at), many[1])


def test_it_runs_only_where_it_is_asked_for_and_applies():
    x, w, _, at = layer(2, 64, 64, (16, 16), ((1, 1), (1, 1)))
    x, w, work = x.astype(np.float32), w.astype(np.float32), 1 << 24
    assert not cpu_winograd.wanted(x, w.shape, work, at)
    with gg.cpu.convolution("fast"):
        assert cpu_winograd.wanted(x, w.shape, work, at)
        assert not cpu_winograd.wanted(x.astype(np.float64), w.shape, work, at)
        assert not cpu_winograd.wanted(x, (64, 64, 5, 5), work, at)
        assert not cpu_winograd.wanted(x, (64, 33, 3, 3), work, at)
        assert not cpu_winograd.wanted(x, w.shape, work, at._replace(stride=(2, 2)))
        assert not cpu_winograd.wanted(x, w.shape, work, at._replace(padding=((3, 3), (1, 1))))
        assert not cpu_winograd.wanted(x, w.shape, 1 << 10, at)


def test_gradients_of_a_layer_are_those_of_the_accurate_one():
    arrays = [a.astype(np.float32) for a in layer(2, 64, 64, (16, 16), ((1, 1), (1, 1)))[:2]]
    found = []
    for name in ("auto", "fast"):
        with gg.cpu.convolution(name):
            x, w = (gg.tensor(a, requires_grad=True) for a in arrays)
            y = gg.conv2d(x, w, padding=1)
            (y * y).sum().backward()
            found.append([y.detach().numpy(), x.grad.numpy(), w.grad.numpy()])
    for accurate, fast in zip(*found, strict=True):
        assert 1e-8 < relative(fast, accurate) < 1e-4
