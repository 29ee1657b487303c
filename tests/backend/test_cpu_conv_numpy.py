"""Convolutions with NumPy alone: against their definition and the general way, for every kind of geometry."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for, blas, cpu_choice, cpu_conv_numpy, cpu_depthwise_numpy, cpu_winograd_numpy
from gpugrad.backend import conv as general
from gpugrad.backend.conv import Geometry
from gpugrad.fusion import workers
from tests.backend.threads import threads_change_no_bit


def by_definition(x, w, bias, at):
    """Each output pixel as the sum over its patch, one after the other, in float64."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *at.padding))
    size, (out, inner, *kernel) = at.output(x.shape[2:], w.shape[2:]), w.shape
    y = np.empty((x.shape[0], out, *size))
    for o, *place in itertools.product(range(out), *map(range, size)):
        first = o // (out // at.groups) * inner
        seen = tuple(
            slice(i * s, i * s + d * (k - 1) + 1, d)
            for i, s, d, k in zip(place, at.stride, at.dilation, kernel, strict=True)
        )
        patch = padded[(slice(None), slice(first, first + inner), *seen)]
        y[(slice(None), o, *place)] = (patch * w[o]).reshape(x.shape[0], -1).sum(1) + bias[o]
    return y


def draw(seed, axes=2):
    """A convolution of random sizes, with all that can be odd about one; every fourth is depthwise."""
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    channels, out = groups * int(rng.integers(1, 6)), groups * int(rng.integers(1, 6))
    if seed % 4 == 0:
        groups = channels = out = int(rng.integers(2, 7))
    kernel, stride, dilation = (
        tuple(int(v) for v in rng.integers(1, high, axes)) for high in (5, 4, 3)
    )  # fmt: skip
    padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 5, (axes, 2)))
    least = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = tuple(int(n + v) for n, v in zip(least, rng.integers(0, 8, axes), strict=True))
    dtype = np.dtype(("float32", "float64")[seed % 2])
    x = rng.standard_normal((int(rng.integers(1, 10)), channels, *size)).astype(dtype)
    if seed % 3 == 0:  # channels last in memory
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    w = rng.standard_normal((out, channels // groups, *kernel)).astype(dtype)
    return x, w, rng.standard_normal(out).astype(dtype), Geometry(stride, padding, dilation, groups), rng


def way(w, at):
    return cpu_depthwise_numpy if w.shape[1] == 1 and len(w) == at.groups > 1 else cpu_conv_numpy


@pytest.mark.parametrize("seed", range(80))
@pytest.mark.parametrize("axes", [1, 2])
def test_all_three_are_what_the_definition_and_the_general_way_say(seed, axes):
    x, w, bias, at, rng = draw(seed, axes)
    backend = backend_for("cpu")
    close = {"atol": 1e-4 if x.dtype == np.float32 else 1e-12, "rtol": 1e-4 if x.dtype == np.float32 else 1e-12}
    y = way(w, at).conv(backend.pool, x, w, bias, at)
    assert y.dtype == x.dtype
    np.testing.assert_allclose(y, by_definition(x, w, bias, at), **close)
    g = rng.standard_normal(y.shape).astype(x.dtype)
    back = way(w, at).conv_input(backend.pool, g, w, x.shape[2:], at)
    np.testing.assert_allclose(back, general.conv_input(backend, g, w, x.shape[2:], at), **close)
    kernels = way(w, at).conv_weight(backend.pool, x, g, w.shape[2:], at)
    np.testing.assert_allclose(kernels, general.conv_weight(backend, x, g, w.shape[2:], at), **close)


# Sizes at which batches and images are cut, patches serve several pixels, and the kernels' gradient is shared out.
LARGE = {
    "rows of one image": ((1, 3, 200, 200), (16, 3, 7, 7), 2, 3, 1),
    "several pixels to a patch": ((16, 1, 28, 28), (6, 1, 5, 5), 1, 2, 1),
    "gradient by images of patches added up": ((16, 6, 14, 14), (16, 6, 5, 5), 1, 0, 1),
    "kernels in pieces": ((8, 96, 12, 12), (80, 96, 3, 3), 1, 1, 1),
    "kernels in pieces, one row": ((8, 300, 8, 8), (260, 300, 1, 1), 1, 0, 1),
    "large groups": ((4, 128, 10, 10), (192, 64, 3, 3), 1, 1, 2),
    "depthwise": ((12, 64, 40, 40), (64, 1, 3, 3), 1, 1, 64),
    "depthwise with steps": ((12, 64, 40, 40), (64, 1, 5, 5), 2, 2, 64),
}


def large(name):
    shape, kernels, stride, pad, groups = LARGE[name]
    rng = np.random.default_rng(len(name))
    x, w = rng.standard_normal(shape), rng.standard_normal(kernels) / np.prod(kernels[1:]) ** 0.5
    at = Geometry((stride,) * 2, ((pad, pad),) * 2, (1, 1), groups)
    g = rng.standard_normal((shape[0], kernels[0], *at.output(shape[2:], kernels[2:])))
    return x, w, rng.standard_normal(kernels[0]), g, at


@pytest.mark.parametrize("name", LARGE)
def test_large_ones_agree_with_the_general_way(name):
    x, w, bias, g, at = large(name)
    backend = backend_for("cpu")
    y = way(w, at).conv(backend.pool, x, w, bias, at)
    np.testing.assert_allclose(y, general.conv(backend, x, w, at) + bias[:, None, None], atol=1e-11)
    back = way(w, at).conv_input(backend.pool, g, w, x.shape[2:], at)
    np.testing.assert_allclose(back, general.conv_input(backend, g, w, x.shape[2:], at), atol=1e-11)
    kernels = way(w, at).conv_weight(backend.pool, x, g, w.shape[2:], at)
    np.testing.assert_allclose(kernels, general.conv_weight(backend, x, g, w.shape[2:], at), atol=1e-10)


@pytest.mark.parametrize("name", LARGE)
def test_the_bits_do_not_depend_on_the_number_of_threads(name):
    x, w, bias, g, at = large(name)
    pool = backend_for("cpu").pool

    def all_three():
        here = way(w, at)
        y, back = here.conv(pool, x, w, bias, at), here.conv_input(pool, g, w, x.shape[2:], at)
        return y, back, here.conv_weight(pool, x, g, w.shape[2:], at)

    threads_change_no_bit(all_three)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_an_output_may_be_smaller_than_the_images_have_room_for(groups):
    """As of the transposed convolution with `output_padding`, whose images end with rows that no patch sees."""
    rng = np.random.default_rng(groups)
    at, backend = Geometry((3, 2), ((1, 1), (0, 1)), (1, 1), groups), backend_for("cpu")
    x, w, g = (rng.standard_normal(shape) for shape in ((3, 6, 12, 11), (6, 6 // groups, 2, 3), (3, 6, 4, 4)))
    assert at.output(x.shape[2:], w.shape[2:]) == (5, 5)
    back = way(w, at).conv_input(backend.pool, g, w, x.shape[2:], at)
    np.testing.assert_allclose(back, general.conv_input(backend, g, w, x.shape[2:], at), atol=1e-12)
    kernels = way(w, at).conv_weight(backend.pool, x, g, w.shape[2:], at)
    np.testing.assert_allclose(kernels, general.conv_weight(backend, x, g, w.shape[2:], at), atol=1e-12)


def test_a_patch_serves_several_pixels_where_there_are_few_channels():
    def block(channels, out, size, kernel):
        at = Geometry((1, 1), ((0, 0), (0, 0)), (1, 1), 1)
        output, w_shape = at.output((size, size), (kernel, kernel)), (out, channels, kernel, kernel)
        return cpu_conv_numpy.plan(output, w_shape, at, 4).block

    assert block(1, 6, 32, 5) > 1
    assert block(64, 64, 34, 3) == 1


def test_products_have_their_threads_back_afterwards():
    controls = blas._controls()
    if controls is None:
        pytest.skip("NumPy has no OpenBLAS here")
    tell, put = controls
    before = tell()
    try:
        put(2)
        with blas.one_thread():
            assert tell() == 1
            with blas.one_thread():
                assert tell() == 1
            assert tell() == 1
        assert tell() == 2
    finally:
        put(before)


def test_without_openblas_everything_runs_on_the_callers_thread(monkeypatch):
    x, w, bias, _, at = large("several pixels to a patch")
    expected = cpu_conv_numpy.conv(backend_for("cpu").pool, x, w, bias, at)
    monkeypatch.setattr(blas, "_controls", lambda: None)
    monkeypatch.setattr(workers, "parallel_for", None)
    np.testing.assert_allclose(cpu_conv_numpy.conv(backend_for("cpu").pool, x, w, bias, at), expected, atol=1e-12)


def test_rounding_errors_are_those_of_a_direct_convolution():
    rng = np.random.default_rng(2)
    x, w, bias = rng.standard_normal((2, 64, 16, 16)), rng.standard_normal((64, 64, 3, 3)) / 24, np.zeros(64)
    at = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    single = [a.astype(np.float32) for a in (x, w, bias)]
    y = cpu_conv_numpy.conv(backend_for("cpu").pool, *single, at)
    assert np.abs(y - by_definition(x, w, bias, at)).max() < 4e-6


def test_other_types_and_three_axes_go_the_general_way():
    x, w = np.ones((2, 3, 8, 8)), np.ones((4, 3, 3, 3))
    assert not cpu_conv_numpy.takes(x[:, :, None], w[:, :, None])
    assert cpu_conv_numpy.takes(x, w)
    assert not cpu_conv_numpy.takes(x.astype(np.float16), w)
    assert not cpu_conv_numpy.takes(x.astype(np.float16), w.astype(np.float16))


def test_derivatives_of_the_second_order(monkeypatch):
    monkeypatch.setenv("GPUGRAD_NUMBA", "0")
    rng = np.random.default_rng(0)
    x, w = gg.tensor(rng.standard_normal((2, 2, 5, 6))), gg.tensor(rng.standard_normal((3, 2, 3, 2)))
    gg.check_grads(lambda x, w: gg.conv2d(x, w, stride=2, padding=1), (x, w), order=2)


# ---- Winograd's F(2x2, 3x3)


@pytest.mark.parametrize("seed", range(60))
def test_winograd_agrees_with_the_general_way(seed, monkeypatch):
    """At every size, border and number of parts; borders may also cut off what no patch sees."""
    rng = np.random.default_rng(seed)
    count, channels, out = (int(v) for v in rng.integers(1, 12, 3))
    size = tuple(int(v) for v in rng.integers(3, 20, 2))
    padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 5, (2, 2)))
    at, backend = Geometry((1, 1), padding, (1, 1), 1), backend_for("cpu")
    x, w, bias = (rng.standard_normal(s) for s in ((count, channels, *size), (out, channels, 3, 3), (out,)))
    monkeypatch.setattr(cpu_winograd_numpy, "LEAST", int(rng.integers(1, 100)))
    monkeypatch.setattr(cpu_winograd_numpy, "CHUNK", 1 << int(rng.integers(8, 22)))
    y = cpu_winograd_numpy.conv(backend.pool, x, w, bias, at)
    np.testing.assert_allclose(y, general.conv(backend, x, w, at) + bias[:, None, None], atol=1e-11)
    g = rng.standard_normal(y.shape)
    back = cpu_winograd_numpy.conv_input(backend.pool, g, w, size, at)
    np.testing.assert_allclose(back, general.conv_input(backend, g, w, size, at), atol=1e-11)
    kernels = cpu_winograd_numpy.conv_weight(backend.pool, x, g, (3, 3), at)
    np.testing.assert_allclose(kernels, general.conv_weight(backend, x, g, (3, 3), at), atol=1e-10)


def test_errors_of_winograd_are_those_of_a_direct_convolution():
    """Of the root mean square: under twice those of patches, forward and both gradients."""
    rng = np.random.default_rng(3)
    shapes = ((8, 64, 16, 16), (64, 64, 3, 3), (8, 64, 16, 16))
    x, w, g = (rng.standard_normal(shape) for shape in shapes)
    w /= 24
    at, pool = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1), backend_for("cpu").pool

    def all_three(way, kind):
        a, k, c = (v.astype(kind) for v in (x, w, g))
        y, back = way.conv(pool, a, k, None, at), way.conv_input(pool, c, k, (16, 16), at)
        return y, back, way.conv_weight(pool, a, c, (3, 3), at)

    exact = all_three(cpu_conv_numpy, np.float64)

    def errors(way):
        return [((a - b) ** 2).mean() ** 0.5 for a, b in zip(all_three(way, np.float32), exact, strict=True)]

    for tiles, patches in zip(errors(cpu_winograd_numpy), errors(cpu_conv_numpy), strict=True):
        assert tiles < 2 * patches


@pytest.mark.parametrize("channels", [32, 130], ids=["sums of their own", "rows of tiles one after the other"])
def test_the_bits_of_winograd_do_not_depend_on_the_number_of_threads(channels):
    rng = np.random.default_rng(4)
    at, pool, here = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1), backend_for("cpu").pool, cpu_winograd_numpy
    x, w = rng.standard_normal((9, channels, 18, 18)), rng.standard_normal((channels, channels, 3, 3))
    threads_change_no_bit(lambda: (here.conv(pool, x, w, None, at), here.conv_weight(pool, x, x, (3, 3), at)))


def test_the_gradient_by_images_is_added_up_where_that_is_less_work():
    bare = Geometry((1, 1), ((0, 0),) * 2, (1, 1), 1)
    assert cpu_conv_numpy.spreads((10, 10), (16, 6, 5, 5), (14, 14), bare, 4)
    same = Geometry((1, 1), ((1, 1),) * 2, (1, 1), 1)
    assert not cpu_conv_numpy.spreads((32, 32), (16, 16, 3, 3), (32, 32), same, 4)
    assert cpu_conv_numpy.spreads((16, 16), (16, 16, 3, 3), (32, 32), same._replace(stride=(2, 2)), 4)


def test_the_choice_without_numba(monkeypatch):
    monkeypatch.setenv("GPUGRAD_NUMBA", "0")
    name, images, square = gg.cpu.convolution_algorithm, (8, 64, 16, 16), (64, 64, 3, 3)
    assert name(images, square, padding=1) == "winograd2"
    assert name(images, square, padding=1, dtype="float64") == "winograd2"
    assert name((1, 64, 4, 4), square, padding=1) == "im2col", "too small"
    assert name(images, (64, 64, 5, 5), padding=1) == "im2col"
    assert name(images, square, stride=2) == "im2col"
    assert name(images, square, dilation=2) == "im2col"
    assert name(images, (64, 32, 3, 3), groups=2) == "im2col"
    assert name((8, 16, 32, 32), (16, 16, 3, 3)) == "im2col", "too few channels"
    assert name(images, (64, 1, 3, 3), groups=64) == "shifted"
    assert name((8, 64, 100), (64, 64, 3)) == "im2col"
    assert name((8, 4, 9, 9, 9), (4, 4, 3, 3, 3)) == "im2col"
    with gg.cpu.convolution("im2col"):
        assert name(images, square, padding=1) == "im2col"
    for channels, way in ((64, "im2col"), (192, "winograd2 in NumPy")):
        x, at = np.empty((8, channels, 16, 16), np.float32), Geometry((1, 1), ((1, 1),) * 2, (1, 1), 1)
        assert cpu_choice.chosen(1 << 30, (channels, channels, 3, 3), at, x, x) == "winograd2 in NumPy"
        assert cpu_choice.chosen(1 << 30, (channels, channels, 3, 3), at, x, x, weight=True) == way
    monkeypatch.setenv("GPUGRAD_NUMBA", "")
    with gg.cpu.convolution("winograd2"):
        assert name(images, square, padding=1) == "winograd2", "with Numba too"
        assert name((1, 64, 4, 4), square, padding=1) == "winograd2"
        assert name((1, 8, 4, 4), (8, 8, 3, 3), padding=1) == "im2col"
