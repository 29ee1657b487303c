"""Winograd's convolutions: the direct way's results, within what their rounding costs; where they apply."""

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for, cpu_winograd
from gpugrad.backend import conv as general
from gpugrad.backend.conv import Geometry
from gpugrad.backend.cpu_choice import chosen
from gpugrad.backend.cpu_winograd import Tiles
from tests.backend.threads import threads_change_no_bit

pytest.importorskip("numba", reason="Numba is not installed")


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
    """The loops of Numba, whatever the environment asks for: NumPy's own way has its tests elsewhere."""
    monkeypatch.setenv("GPUGRAD_NUMBA", "1")


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
@pytest.mark.parametrize(("side", "bound"), [(2, 2e-6), (4, 1e-4)])
def test_all_three_agree_with_the_general_way_within_the_stated_error(n, channels, out, size, padding, side, bound):
    x, w, g, at = layer(n, channels, out, size, padding)
    backend = backend_for("cpu")
    narrow = [a.astype(np.float32) for a in (x, w, g)]
    bias = np.arange(out, dtype=np.float32)
    y = Tiles(side).conv(backend.pool, narrow[0], narrow[1], bias, at)
    assert relative(y, general.conv(backend, x, w, at) + bias[:, None, None]) < bound
    back = Tiles(side).conv_input(backend.pool, narrow[2], narrow[1], size, at)
    assert relative(back, general.conv_input(backend, g, w, size, at)) < bound
    kernels = Tiles(side).conv_weight(backend.pool, narrow[0], narrow[2], (3, 3), at)
    assert relative(kernels, general.conv_weight(backend, x, g, (3, 3), at)) < bound


@pytest.mark.parametrize("channels", [32, 128, 512])
@pytest.mark.parametrize("positive", [False, True], ids=["", "positive"])
def test_tiles_of_two_are_as_accurate_as_the_direct_way(channels, positive):
    """All three ways of a layer, by their root mean square errors, where nothing cancels too."""
    x, w, g, at = layer(4, channels, channels, (8, 8), ((1, 1), (1, 1)))
    narrow = [(np.abs(a) if positive else a).astype(np.float32) for a in (x, w, g)]
    x, w, g = (a.astype(np.float64) for a in narrow)
    backend = backend_for("cpu")
    exact = (
        general.conv(backend, x, w, at),
        general.conv_input(backend, g, w, (8, 8), at),
        general.conv_weight(backend, x, g, (3, 3), at),
    )
    errors = []
    for name in ("direct", "auto"):
        with gg.cpu.convolution(name):
            found = (
                backend.conv(narrow[0], narrow[1], at),
                backend.conv_input(narrow[2], narrow[1], (8, 8), at),
                backend.conv_weight(narrow[0], narrow[2], (3, 3), at),
            )
        errors.append([np.sqrt(np.mean((a - b) ** 2)) / np.abs(b).max() for a, b in zip(found, exact, strict=True)])
    for direct, winograd in zip(*errors, strict=True):
        assert winograd < 3 * direct
        assert winograd < 2e-7
        assert winograd != direct


@pytest.mark.parametrize("side", [2, 4])
def test_the_result_does_not_depend_on_the_number_of_threads(side):
    x, w, g, at = (a.astype(np.float32) if isinstance(a, np.ndarray) and a.ndim else a for a in layer(
        9, 64, 64, (13, 13), ((1, 1), (1, 1))
    ))  # fmt: skip
    pool = backend_for("cpu").pool
    threads_change_no_bit(
        lambda: (Tiles(side).conv(pool, x, w, None, at), Tiles(side).conv_weight(pool, x, g, (3, 3), at))
    )


@pytest.mark.parametrize(
    ("mode", "way"), [("auto", "winograd2"), ("winograd2", "winograd2"), ("fast", "winograd4"), ("direct", "direct")]
)
def test_it_runs_where_it_applies(mode, way):
    x, w, _, at = layer(2, 64, 64, (16, 16), ((1, 1), (1, 1)))
    x, w, work = x.astype(np.float32), w.astype(np.float32), 1 << 24
    with gg.cpu.convolution(mode):
        assert chosen(work, w.shape, at, x, w) == way
        assert chosen(1 << 10, w.shape, at, x, w) == {"auto": "im2col", "fast": "im2col"}.get(mode, way)
    assert not cpu_winograd.fits(x.astype(np.float64), w.shape, at)
    assert not cpu_winograd.fits(x, (64, 64, 5, 5), at)
    assert not cpu_winograd.fits(x, (64, 33, 3, 3), at)
    assert not cpu_winograd.fits(x, (16, 16, 3, 3), at)
    assert not cpu_winograd.fits(x, w.shape, at._replace(stride=(2, 2)))
    assert not cpu_winograd.fits(x, w.shape, at._replace(padding=((3, 3), (1, 1))))


def test_gradients_of_a_layer_are_those_of_the_accurate_one():
    arrays = [a.astype(np.float32) for a in layer(2, 64, 64, (16, 16), ((1, 1), (1, 1)))[:2]]
    found = []
    for name in ("direct", "fast"):
        with gg.cpu.convolution(name):
            x, w = (gg.tensor(a, requires_grad=True) for a in arrays)
            y = gg.conv2d(x, w, padding=1)
            (y * y).sum().backward()
            found.append([y.detach().numpy(), x.grad.numpy(), w.grad.numpy()])
    for accurate, fast in zip(*found, strict=True):
        assert 1e-8 < relative(fast, accurate) < 1e-4
