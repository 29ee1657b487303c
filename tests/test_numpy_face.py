"""`import gpugrad.numpy as np`: NumPy's names and behaviour on arrays, gradients through tensors and transforms."""

import inspect

import numpy
import pytest

import gpugrad as gg
import gpugrad.numpy as np


def test_bare_arrays_stay_bare_and_float64() -> None:
    x = np.array([1, 2.5])
    for result in (
        x,
        np.zeros(3),
        np.linspace(0, 1, 3),
        np.exp(x),
        np.sum(x),
        np.concatenate([x, x]),
        np.linalg.norm(x),
    ):
        assert type(result) is numpy.ndarray
        assert result.dtype == numpy.float64


def test_names_are_numpys() -> None:
    gone = {"row_stack"}  # from NumPy 2.5 on
    assert [name for name in np.__all__ if not hasattr(numpy, name) and name not in gone] == []
    assert [name for name in np.__all__ if not hasattr(np, name)] == []
    assert [name for name in np.linalg.__all__ if not hasattr(numpy.linalg, name)] == []


def test_functions_of_arrays_agree_with_numpy() -> None:
    x = numpy.array([[0.3, 0.6], [0.9, 0.2]])
    skipped = {"copysign"}
    for name in np.__all__:
        ours, theirs = getattr(np, name), getattr(numpy, name, None)
        if not (type(theirs) is numpy.ufunc and theirs.nin == 1) or name in skipped or ours is theirs:
            continue
        arguments = (
            (x > 0.5,)
            if name in ("invert", "bitwise_not", "bitwise_invert")
            else (x + 1,)
            if name in ("arccosh", "acosh")
            else (x,)
        )
        numpy.testing.assert_allclose(ours(*arguments), theirs(*arguments), rtol=1e-14, err_msg=name)


def test_every_name_of_ours_takes_tensors() -> None:
    ours = [n for n in np.__all__ if getattr(getattr(np, n), "__module__", "").startswith("gpugrad")]
    assert len(ours) > 90
    assert np.sum(gg.tensor([1.0, 2.0])).item() == 3.0


def test_a_program_written_for_numpy_is_differentiated() -> None:
    def loss(w: numpy.ndarray) -> numpy.ndarray:
        hidden = np.tanh(np.dot(np.arange(3.0), np.reshape(w, (3, 2))))
        return np.mean(np.square(hidden - np.array([w[0], 1.0]))) + np.linalg.norm(w)

    w = np.linspace(-1, 1, 6)
    gg.check_grads(loss, (w,), order=2)
    assert type(gg.grad(loss)(w)) is numpy.ndarray


def test_array_joins_numbers_and_tensors() -> None:
    x = gg.tensor([1.0, 2.0], dtype=np.float64, requires_grad=True)
    y = np.array([[x[0] * 2, 3.0], [x[1], x[0] * x[1]]])
    assert y.tolist() == [[2.0, 3.0], [2.0, 2.0]]
    np.sum(y).backward()
    assert x.grad.tolist() == [4.0, 2.0]
    assert np.asarray(x) is x
    assert np.array(x, dtype=np.float32).dtype == np.float32


def test_shapes_and_dtypes_of_tensors_are_asked_without_a_gradient() -> None:
    x = gg.zeros(2, 3, requires_grad=True)
    assert (np.shape(x), np.ndim(x), np.size(x), np.size(x, 1)) == ((2, 3), 2, 6, 3)
    assert np.ones_like(x).dtype == np.float32
    assert type(np.zeros_like(x)) is numpy.ndarray
    assert np.result_type(x, np.float64) == np.float64
    assert np.bool is numpy.bool_


@pytest.mark.parametrize("name", ["unpackbits", "histogramdd", "packbits"])
def test_a_function_without_a_rule_says_what_to_do(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"numpy.{name} has no gradient rule here.*Primitive"):
        getattr(np, name)


def test_a_name_that_is_nobodys_is_named() -> None:
    with pytest.raises(AttributeError, match="neither gpugrad nor NumPy has 'convolute'"):
        np.convolute  # noqa: B018


def test_linalg_counts_the_last_two_axes() -> None:
    x = numpy.arange(12.0).reshape(3, 2, 2)
    numpy.testing.assert_array_equal(np.linalg.trace(x), numpy.linalg.trace(x))
    numpy.testing.assert_array_equal(np.linalg.diagonal(x), numpy.linalg.diagonal(x))
    numpy.testing.assert_allclose(
        np.linalg.vector_norm(x, axis=(0, 1), ord=3), numpy.linalg.vector_norm(x, axis=(0, 1), ord=3)
    )


def test_arguments_are_numpys() -> None:
    for name in ("sum", "mean", "prod", "std", "var", "max", "argmax"):
        ours = list(inspect.signature(getattr(np, name)).parameters)
        theirs = list(inspect.signature(getattr(numpy, name)).parameters)
        shared = [n for n in theirs[1:] if n in ours]
        assert ours[1 : len(shared) + 1] == shared


def test_linalg_has_numpys_names_and_arguments() -> None:
    theirs = {n for n in numpy.linalg.__all__ if n not in np.linalg.__all__}
    assert theirs == set()
    for name in np.linalg.__all__:
        if name in ("LinAlgError", "matmul", "outer", "tensordot", "norm", "matrix_transpose"):
            continue
        ours = inspect.signature(getattr(np.linalg, name)).parameters
        assert set(inspect.signature(getattr(numpy.linalg, name)).parameters) <= set(ours) | {"a"}, name


def test_numpys_linalg_functions_called_with_tensors_are_differentiated() -> None:
    x = gg.tensor([[2.0, 1.0], [1.0, 3.0]], requires_grad=True)
    results = [
        numpy.linalg.det(x), numpy.linalg.slogdet(x).logabsdet, numpy.linalg.solve(x, numpy.ones(2, numpy.float32)),
        numpy.linalg.svd(x).S, numpy.linalg.eigh(x)[0], numpy.linalg.norm(x, 2), numpy.linalg.trace(x),
        numpy.linalg.multi_dot([x, x, x]), numpy.linalg.matrix_power(x, -2), numpy.linalg.pinv(x, rcond=1e-6),
    ]  # fmt: skip
    assert all(isinstance(r, gg.Tensor) and r.requires_grad for r in results)
    results[0].backward()
    numpy.testing.assert_allclose(x.grad.numpy(), [[3, -1], [-1, 2]], rtol=1e-6)
    assert numpy.linalg.matrix_rank(x).tolist() == 2
    with pytest.raises(TypeError, match=r"\[numpy.histogramdd\] has no gradient rule"):
        numpy.histogramdd(x)
