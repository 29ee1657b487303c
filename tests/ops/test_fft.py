"""Fourier transforms beside the table: dtypes, what they refuse, NumPy's own names called with tensors."""

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.numpy as gnp
from gpugrad.tensor import Tensor


def test_single_precision_stays_forwards_and_backwards() -> None:
    x = Tensor(np.arange(6, dtype=np.float32), True)
    y = gnp.fft.rfft(x)
    assert y.dtype == np.complex64
    z = gnp.fft.irfft(y, 5)
    assert z.dtype == np.float32
    z.sum().backward()
    assert x.grad.dtype == np.float32


def test_a_real_input_of_a_complex_transform_has_a_real_gradient() -> None:
    x = np.array([1.0, -2.0, 0.5])
    g = gg.grad(lambda x: gnp.sum(gnp.abs(gnp.fft.fft(x)) ** 2))(x)
    assert g.dtype == np.float64
    np.testing.assert_allclose(g, 2 * 3 * x)  # Parseval: the sum of squares times n


def test_gradient_of_a_complex_input_is_df_dx_less_i_df_dy() -> None:
    z = np.array([1 + 2j, -1j, 0.3])
    g = gg.grad(lambda z: gnp.sum(gnp.real(gnp.fft.fft(z)[1:2])))(z)
    np.testing.assert_allclose(g, np.exp(-2j * np.pi * np.arange(3) / 3), atol=1e-15)


def test_numpys_own_functions_take_tensors() -> None:
    x = Tensor(np.arange(4.0), True)
    y = np.fft.rfft(x, norm="ortho")
    assert isinstance(y, Tensor)
    assert y.requires_grad
    np.testing.assert_array_equal(y.data, np.fft.rfft(np.arange(4.0), norm="ortho"))


def test_names_are_numpys() -> None:
    public = {n for n in dir(np.fft) if not n.startswith("_") and callable(getattr(np.fft, n))}
    assert public - {"test"} == set(gnp.fft.__all__)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: gnp.fft.fft(x, norm="unitary"), ValueError, r"\[fft\] norm = 'unitary'"),
        (lambda x: gnp.fft.hfft(x, norm="unitary"), ValueError, r"\[hfft\] norm = 'unitary'"),
        (lambda x: gnp.fft.fft(x, 0), ValueError, r"\[fft\] a transform of 0 points"),
        (lambda x: gnp.fft.irfft(x[:1]), ValueError, r"\[irfft\] a transform of 0 points"),
        (
            lambda x: gnp.fft.fftn(x, s=(2, 2), axes=(0,)),
            ValueError,
            r"\[fftn\] s = \(2, 2\) and axes = \(0,\)",
        ),
        (lambda x: gnp.fft.rfft(x * 1j), TypeError, r"\[rfft\].*complex128.*fft"),
        (lambda x: gnp.fft.rfftn(x, axes=()), ValueError, r"\[rfftn\] no axes"),
        (lambda x: gnp.fft.irfftn(x, axes=()), ValueError, r"\[irfftn\] no axes"),
        (lambda x: gnp.fft.ifft(x, out=x), TypeError, r"\[ifft\] out= is not supported"),
        (lambda x: gnp.fft.fft(x, axis=1), IndexError, r"\[fft\] axis = 1"),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(np.arange(4.0))


def test_edge_cases_are_numpys() -> None:
    assert gnp.fft.fftn(np.array(2.0), axes=()).dtype == np.complex128
    np.testing.assert_array_equal(gnp.fft.fftshift(np.array(2.0)), 2.0)
    x = np.arange(12.0).reshape(3, 4)
    np.testing.assert_allclose(gnp.fft.irfftn(x, axes=(0, 0, 1)), np.fft.irfftn(x, axes=(0, 0, 1)), rtol=1e-12)
    np.testing.assert_allclose(gnp.fft.fftn(x, s=(-1, 2), axes=(0, 1)), np.fft.fftn(x, s=(-1, 2), axes=(0, 1)))
