"""Plain calls with tensors on a GPU: CuPy's ufuncs and operators, either side, and what fails loudly."""

import operator

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.numpy
from gpugrad.backend import cuda_settings
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


def test_functions_that_take_arrays_only_name_ours(gpu: State) -> None:
    x, a = vector(), gg.ones(3, device="cuda").data
    for call, name in (
        (lambda: cupy.matmul(a, x), "matmul"), (lambda: cupy.expand_dims(x, 0), "expand_dims"),
        (lambda: cupy.cumsum(x), "cumsum"), (lambda: cupy.outer(a, x), "outer"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=rf"\[cupy.{name}\] .*got Tensor\); use gpugrad\.numpy\.{name}, or"):
            call()
    y = gg.numpy.cumsum(x)  # what the error said
    assert isinstance(y, gg.Tensor)
    assert y.requires_grad
    assert y.device == "cuda:0"


def test_hints_come_with_the_first_gpu_and_go_when_asked(gpu: State) -> None:
    own = cupy.matmul
    gg.zeros(3, device="cpu")
    assert cupy.matmul is own
    gg.zeros(3, device="cuda")
    assert cupy.matmul.__wrapped__ is own
    gg.cuda.set_cupy_hints(False)
    try:
        assert not gg.cuda.get_cupy_hints()
        assert cupy.matmul is own
        with pytest.raises(TypeError, match=r"got Tensor\)$"):
            cupy.matmul(vector(), vector())
    finally:
        gg.cuda.set_cupy_hints(True)
    assert cupy.matmul.__wrapped__ is own


def test_hints_that_are_not_wanted_leave_cupy_alone(gpu: State, monkeypatch: pytest.MonkeyPatch) -> None:
    own = cupy.matmul
    monkeypatch.setattr(cuda_settings, "_hints", [False])  # as GPUGRAD_CUPY_HINTS=0 makes it
    gg.zeros(3, device="cuda")
    assert cupy.matmul is own


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
