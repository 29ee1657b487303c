"""Depthwise convolutions of 3 x 3 in their own compiled loops, against the general way in float64."""

from __future__ import annotations

import numpy as np
import pytest

from gpugrad.backend import backend_for, cpu_choice, cpu_depthwise
from gpugrad.backend import conv as general
from gpugrad.backend.conv import Geometry
from gpugrad.fusion.numba_cache import numba_wanted
from tests.backend.threads import threads_change_no_bit

pytestmark = pytest.mark.skipif(not numba_wanted(), reason="Numba is not installed")


def geometry(channels):
    return Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), channels)


def drawn(shape, dtype):
    rng = np.random.default_rng(sum(shape))
    x, g = rng.standard_normal((2, *shape)).astype(dtype)
    return x, rng.standard_normal((shape[1], 1, 3, 3)).astype(dtype), rng.standard_normal(shape[1]).astype(dtype), g


def all_three(x, w, bias, g):
    pool, at = backend_for("cpu").pool, geometry(x.shape[1])
    return (
        cpu_depthwise.conv(pool, x, w, bias, at),
        cpu_depthwise.conv_input(pool, g, w, x.shape[2:], at),
        cpu_depthwise.conv_weight(pool, x, g, (3, 3), at),
    )


SHAPES = [(3, 64, 9, 8), (1, 2, 1, 1), (2, 5, 1, 7), (2, 16, 7, 1), (2, 17, 2, 2), (5, 40, 6, 5), (40, 3, 4, 4)]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_all_three_agree_with_the_general_way(shape, dtype, last):
    x, w, bias, g = drawn(shape, dtype)
    if last:
        x, g = (np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1) for a in (x, g))
    backend, at = backend_for("cpu"), geometry(shape[1])
    wide_x, wide_w, wide_g = (a.astype(np.float64) for a in (x, w, g))
    exact = (
        general.conv(backend, wide_x, wide_w, at) + bias[:, None, None],
        general.conv_input(backend, wide_g, wide_w, shape[2:], at),
        general.conv_weight(backend, wide_x, wide_g, (3, 3), at),
    )
    tolerance = 2e-6 if dtype == np.float32 else 1e-13
    for found, right in zip(all_three(x, w, bias, g), exact, strict=True):
        assert found.shape == right.shape
        assert found.dtype == dtype
        np.testing.assert_allclose(found, right, rtol=0, atol=tolerance * np.abs(right).max())


def test_the_number_of_threads_changes_no_bit():
    arrays = drawn((6, 48, 20, 20), np.float32)
    threads_change_no_bit(lambda: all_three(*arrays))


def test_an_infinite_pixel_reaches_its_neighbours_alone():
    x, w, bias, g = drawn((1, 20, 6, 6), np.float32)
    x[0, 7, 2, 5] = np.inf
    y = all_three(x, w, bias, g)[0]
    there = np.zeros((20, 6, 6), bool)
    there[7, 1:4, 4:] = True
    np.testing.assert_array_equal(np.isinf(y[0]), there)
    assert not np.isnan(y).any()


def test_who_takes_it():
    x, at = np.ones((2, 8, 6, 6), np.float32), geometry(8)
    assert cpu_choice.chosen(1 << 21, (8, 1, 3, 3), at, x, x) == "direct, depthwise"
    assert cpu_choice.name_of("direct, depthwise") == "direct"
    for other in (at._replace(stride=(1, 2)), at._replace(dilation=(2, 1)), at._replace(padding=((1, 1), (0, 1)))):
        assert cpu_choice.chosen(1 << 21, (8, 1, 3, 3), other, x, x) == "direct"
    assert not cpu_depthwise.fits(x, (16, 1, 3, 3), at)
    assert not cpu_depthwise.fits(x, (8, 1, 5, 5), at)
    assert not cpu_depthwise.fits(x[:, :, 0], (8, 1, 3), Geometry((1,), ((1, 1),), (1,), 8))
