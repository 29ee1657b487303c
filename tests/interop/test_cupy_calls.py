"""Plain CuPy calls: the real CuPy's dispatch on CPU tensors (no device is needed to see whom it calls)."""

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.numpy as gnp
from tests.standin import real_cupy


@pytest.fixture
def cupy():
    found = real_cupy()
    if found is None:
        pytest.skip("CuPy is not installed")
    return found


def square() -> gg.Tensor:
    return gg.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=np.float64, requires_grad=True)


UFUNCS = (
    "sin exp sqrt abs absolute conj conjugate negative log1p tanh exp2 isnan rint square add multiply true_divide "
    "power maximum arctan2 logical_and greater where"
).split()
METHODS = (
    "sum mean max min prod var std argmax argmin ptp amax ravel squeeze transpose sort argsort copy flip trace "
    "diagonal count_nonzero nanmax"
).split()


@pytest.mark.parametrize("name", UFUNCS)
def test_ufuncs_are_ours_with_the_tensor_first_or_last(cupy, name: str) -> None:
    x = square()
    function, ours = getattr(cupy, name), getattr(gnp, name)
    several = {1: ((x,),), 2: ((x, 2.0), (2.0, x), (x, x)), 3: ((x > 2.0, x, 0.5), (x > 2.0, 0.5, x))}
    for arguments in several[getattr(function, "nin", 3)]:
        found, expected = function(*arguments), ours(*arguments)
        assert isinstance(found, gg.Tensor)
        assert found.requires_grad == expected.requires_grad
        np.testing.assert_array_equal(found.detach(), expected.detach())


@pytest.mark.parametrize("name", ["erf", "erfc", "gammaln", "digamma", "expit", "logit", "xlogy", "gamma"])
def test_special_functions_are_ours(cupy, name: str) -> None:
    special = pytest.importorskip("cupyx.scipy.special")
    import gpugrad.scipy.special as ours

    x = square() / 8
    arguments = (x, x) if name == "xlogy" else (x,)
    found = getattr(special, name)(*arguments)
    assert found.requires_grad
    np.testing.assert_array_equal(found.detach(), getattr(ours, name)(*arguments).detach())


@pytest.mark.parametrize("name", METHODS)
def test_functions_that_call_the_arguments_method_are_ours(cupy, name: str) -> None:
    x = square()
    found = getattr(cupy, name)(x)
    expected = getattr(np, name)(x.detach().data)
    assert isinstance(found, gg.Tensor)
    np.testing.assert_allclose(found.detach(), expected)
    assert found.requires_grad == (np.asarray(expected).dtype.kind == "f")


def test_their_further_arguments_arrive(cupy) -> None:
    x = square()
    assert cupy.sum(x, 0, None, None, True).shape == (1, 2)
    assert cupy.mean(x, axis=1, keepdims=True).shape == (2, 1)
    assert cupy.take(x, np.array([0, 0]), 1).shape == (2, 2)
    assert cupy.repeat(x, 2, 0).shape == (4, 2)
    assert cupy.reshape(x, (4,)).requires_grad
    assert cupy.swapaxes(x, 0, 1).requires_grad
    assert cupy.dot(x, x).requires_grad
    assert cupy.clip(x, 2.0, 3.0).detach().tolist() == [[2.0, 2.0], [3.0, 3.0]]
    cupy.std(x, axis=0).sum().backward()
    assert x.grad is not None


REFUSED = {
    "matmul": (TypeError, "cupy._core.core._ndarray_base, got Tensor"),
    "inner": (TypeError, "got Tensor"),
    "expand_dims": (TypeError, "got Tensor"),
    "broadcast_to": (TypeError, "got Tensor"),
    "moveaxis": (TypeError, "got Tensor"),
    "cumsum": (TypeError, "got Tensor"),
    "any": (TypeError, "Tensor"),
    "pad": (AttributeError, r"\[cupy.pad\] takes bare arrays only.*use gpugrad\.numpy\.pad"),
    "roll": (AttributeError, r"\[cupy.roll\] takes bare arrays only.*use gpugrad\.numpy\.roll"),
    "zeros_like": (AttributeError, r"\[cupy.zeros_like\] takes bare arrays only"),
    "array": (TypeError, r"\[cupy.array\] takes bare arrays only"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_functions_that_cannot_be_intercepted_fail(cupy, name: str) -> None:
    x = square()
    more = {"matmul": (x,), "inner": (x,), "expand_dims": (0,), "broadcast_to": ((2, 2),), "moveaxis": (0, 1)}
    more |= {"pad": (1,), "roll": (1,)}
    error, match = REFUSED[name]
    with pytest.raises(error, match=match):
        getattr(cupy, name)([x, x] if name == "array" else x, *more.get(name, ()))


def test_kernels_without_a_rule_and_results_written_elsewhere_are_refused(cupy) -> None:
    x = square()
    special = pytest.importorskip("cupyx.scipy.special")
    with pytest.raises(TypeError, match=r"\[cupy.expi\] on a tensor has no gradient rule.*@gpugrad\.elementwise"):
        special.expi(x)
    mine = cupy.ElementwiseKernel("T x", "T y", "y = 2 * x", "twice")
    with pytest.raises(TypeError, match=r"\[cupy.twice\] on a tensor has no gradient rule"):
        mine(x)
    with pytest.raises(TypeError, match=r"\[cupy.sin\] on a tensor with dtype= has no"):
        cupy.sin(x, dtype=np.float32)
    for write in (lambda: cupy.sin(x, x), lambda: cupy.add(x, x, out=x)):
        with pytest.raises(TypeError, match=r"would write into an array that exists already"):
            write()


def test_methods_refuse_what_they_cannot_do_for_tensors() -> None:
    x = square()
    for call in (
        lambda: x.clip(0, 1, out=x), lambda: x.dot(x, out=x), lambda: x.trace(dtype=np.float32),
        lambda: x.reshape(4, copy=True), lambda: x.take([0], out=x), lambda: x.argmax(dtype=np.int32),
        lambda: x.cumsum(0, None, x), lambda: x.round(1, x),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"is not supported"):
            call()
