"""Plain calls with tensors on a GPU: CuPy's ufuncs and operators, either side, and what fails loudly."""

import operator

import numpy as np
import pytest

import gpugrad as gg
from tests.standin import State, module

cupy = module()


def vector() -> gg.Tensor:
    return gg.tensor([0.5, 1.0, 2.0], device="cuda", requires_grad=True)


def test_ufuncs_of_tensors_are_recorded_on_the_device(gpu: State) -> None:
    x = vector()
    y = cupy.sin(x) * 2.0 + cupy.multiply(3.0, x)
    assert y.device == "cuda:0"
    gpu.clear()
    cupy.sum(y).backward()
    assert gpu.syncs == []
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.cos([0.5, 1.0, 2.0]) + 3, rtol=1e-6)


@pytest.mark.parametrize("name", ["add", "mul", "sub", "truediv", "pow", "matmul", "lt"])
def test_operators_with_an_array_on_the_left_are_recorded(gpu: State, name: str) -> None:
    x, a = vector(), gg.full((3,), 2.0, device="cuda").data
    y = getattr(operator, name)(a, x)
    assert isinstance(y, gg.Tensor)
    assert y.requires_grad == (name != "lt")
    assert y.device == "cuda:0"


def test_an_array_is_not_changed_behind_the_tape(gpu: State) -> None:
    x, a = vector(), gg.ones(3, device="cuda").data
    with pytest.raises(TypeError, match=r"\[cupy.add\] would write into an array that exists already.*a = a \+ t"):
        a += x
    with pytest.raises(TypeError, match="would write into"):
        cupy.exp(x, out=a)


def test_functions_that_take_arrays_only_fail(gpu: State) -> None:
    x = vector()
    for call in (lambda: cupy.matmul(x, x), lambda: cupy.expand_dims(x, 0), lambda: cupy.cumsum(x)):
        with pytest.raises(TypeError, match="got Tensor"):
            call()


def test_no_route_to_bare_memory_is_open(gpu: State) -> None:
    x = vector()
    for route in (np.asarray, lambda t: t.__dlpack__(), lambda t: t.numpy()):
        with pytest.raises(gg.GradientError, match=r"\.detach\(\)"):
            route(x)
    for name in ("__cuda_array_interface__", "__cupy_get_ndarray__", "__array_interface__"):
        assert not hasattr(x, name)
        assert not hasattr(x.detach(), name)
    with pytest.warns(UserWarning, match="became a number"):
        float(x[0])
