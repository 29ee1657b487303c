"""Lists of tensors where an array is expected, arrays joined in brackets, and numbers in place of arrays."""

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.numpy as gnp


def test_lists_with_tensors_in_them_are_arrays_to_every_function():
    def f(x):
        rows = [[x[0], x[1] * x[1]], [2.0, x[2]]]
        return gnp.sum(gnp.vstack([rows, [[x[0], 1.0]]]) ** 2) + gnp.mean([x[0], x[1]]) + gnp.linalg.norm([x[2], 3.0])

    def plain(x):
        squares = x[0] ** 2 * 2 + x[1] ** 4 + 5.0 + x[2] ** 2
        return squares + (x[0] + x[1]) / 2 + gnp.sqrt(x[2] ** 2 + 9.0)

    x = np.array([0.5, -1.5, 2.0])
    np.testing.assert_allclose(f(x), plain(x))
    np.testing.assert_allclose(gg.grad(f)(x), gg.grad(plain)(x))


def test_brackets_join_numbers_slices_and_arrays_as_numpys_do():
    a, b = np.arange(3.0), np.ones((3, 2))
    np.testing.assert_array_equal(gnp.r_[a, 0.5, 1:4, 0:1:3j], np.r_[a, 0.5, 1:4, 0:1:3j])
    np.testing.assert_array_equal(gnp.c_[a, b, a], np.c_[a, b, a])
    np.testing.assert_array_equal(gnp.r_[b, 2 * b], np.r_[b, 2 * b])
    weights = np.arange(1.0, 7.0)
    np.testing.assert_allclose(gg.grad(lambda x: gnp.sum(gnp.r_[x, 2.0, x[1:] ** 2] * weights))(a), [1, 2 + 10, 3 + 24])
    with pytest.raises(TypeError, match=r"\[r_\] '0,2'"):
        gnp.r_["0,2", a, a]


def test_a_complex_number_without_axes_stays_an_array_under_conj():
    z = np.asarray(1.0 + 2.0j)
    found = gnp.conj(gg.tensor(z, requires_grad=True))
    assert isinstance(found.data, np.ndarray)
    value, pull = gg.vjp(gnp.conj, z)
    assert value == 1.0 - 2.0j
    assert pull(np.asarray(1.0j))[0] == np.conj(1.0j)


def test_parts_of_python_numbers():
    assert gnp.conj(2.0) == 2.0
    assert gnp.conj(1 + 2j) == 1 - 2j
    assert gnp.real(1 + 2j) == 1.0
    assert gnp.imag(1 + 2j) == 2.0


def test_tile_takes_its_repetitions_by_name():
    np.testing.assert_array_equal(gnp.tile(np.arange(3.0), reps=(2, 1)), np.tile(np.arange(3.0), (2, 1)))
