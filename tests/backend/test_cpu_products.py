"""Products in compiled loops: the numbers of float64, in every memory order of the left factor, and who takes them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

import gpugrad as gg
from gpugrad.backend import backend_for, cpu_products


@pytest.fixture(autouse=True)
def _with_numba(monkeypatch):
    monkeypatch.setenv("GPUGRAD_NUMBA", "1")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("m", "k", "n"), [(32, 784, 128), (784, 32, 128), (9, 1300, 96), (301, 57, 64), (8, 2048, 256)]
)
def test_products_and_affine_maps_agree_with_float64(dtype, m, k, n):
    backend, rng = backend_for("cpu"), np.random.default_rng(0)
    b, bias = rng.standard_normal((k, n)).astype(dtype), rng.standard_normal(n).astype(dtype)
    whole = rng.standard_normal((2 * m, k + 3)).astype(dtype)
    for a in (whole[:m, :k].copy(), np.asfortranarray(whole[:m, :k]), whole[::2, 1 : k + 1], whole[m - 1 :: -1, :k]):
        assert cpu_products.takes(a, b)
        exact = a.astype(np.float64) @ b.astype(np.float64)
        bound = 4 * np.finfo(dtype).eps * (np.abs(a) @ np.abs(b) + np.abs(bias))
        assert (np.abs(backend.matmul(a, b) - exact) <= bound).all()
        assert (np.abs(backend.linear(a, b.T, bias) - (exact + bias)) <= bound).all()
        assert (np.abs(backend.linear(a, b.T, None) - exact) <= bound).all()


def test_what_does_not_fit_is_left_to_openblas():
    def array(*shape, dtype=np.float32):
        return np.zeros(shape, dtype)

    fits = array(64, 256), array(256, 128)
    assert cpu_products.takes(*fits)
    assert cpu_products.takes(fits[0][::-1], fits[1])
    for a, b in (
        (array(64, 256), array(256, 100)),  # no whole blocks of columns
        (array(64, 256), array(128, 256).T),  # columns far apart
        (array(64, 256), array(256, 256)[:, ::2]),
        (array(4, 4096), array(4096, 128)),  # too few rows
        (array(16, 16), array(16, 64)),  # small
        (array(512, 512), array(512, 512)),  # large
        (array(2, 64, 256), array(256, 128)),
        (array(64, 256, dtype=np.float64), array(256, 128)),
        (array(64, 256, dtype=np.int32), array(256, 128, dtype=np.int32)),
    ):
        assert not cpu_products.takes(a, b)
    assert cpu_products.takes(*fits, array(128))
    assert not cpu_products.takes(*fits, array(256)[::2])
    assert not cpu_products.takes(*fits, array(128, dtype=np.float64))


def test_without_numba_nothing_is_taken(monkeypatch):
    monkeypatch.setenv("GPUGRAD_NUMBA", "0")
    assert not cpu_products.takes(np.zeros((64, 256), np.float32), np.zeros((256, 128), np.float32))


def test_nan_and_infinity_pass_through_and_out_may_be_an_operand():
    backend, rng = backend_for("cpu"), np.random.default_rng(1)
    a, b = (rng.standard_normal((128, 128), dtype=np.float32) for _ in range(2))
    a[3, 5], a[7, 9] = np.nan, np.inf
    got = backend.matmul(a, b)
    assert np.isnan(got[3]).all()
    assert np.isinf(got[7]).all()
    assert np.isfinite(np.delete(got, (3, 7), 0)).all()
    square = rng.standard_normal((128, 128), dtype=np.float32)
    expected = square.astype(np.float64) @ square
    np.testing.assert_allclose(backend.matmul(square, square, square), expected, rtol=1e-4, atol=1e-4)


def test_gradients_of_a_layer_of_this_size_are_those_of_numpy():
    rng = np.random.default_rng(2)
    x, w, b, g = (rng.standard_normal(shape) for shape in ((32, 784), (128, 784), (128,), (32, 128)))
    for order in "CF":
        tensors = [gg.asarray(np.array(v, np.float32, order=order)).requires_grad_() for v in (x, w, b)]
        y = gg.nn.functional.linear(*tensors)
        np.testing.assert_allclose(y.detach().numpy(), x @ w.T + b, rtol=1e-4, atol=1e-4)
        y.backward(gg.tensor(g.astype(np.float32)))
        for tensor, expected in zip(tensors, (g @ w, g.T @ x, g.sum(0)), strict=True):
            np.testing.assert_allclose(tensor.grad.numpy(), expected, rtol=1e-4, atol=1e-4)
