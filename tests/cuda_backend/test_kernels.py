"""Compiled formulas on CuPy arrays: which entry point, which dtypes, which memory order, what is refused."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import Backend, DeviceError, backend_for
from gpugrad.fusion import Formula, cuda_compiler, trace
from gpugrad.fusion.numpy_compiler import compile_numpy
from tests.cuda_backend.cases import AXPY, INTEGERS, LAYOUTS
from tests.standin import State

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


@pytest.fixture
def cuda(gpu: State) -> Backend:
    return backend_for("cuda")


def host(result: Any) -> Any:
    return tuple(r.get() for r in result) if isinstance(result, tuple) else result.get()


MASK = trace(lambda x, y: x > y, "above")
TWO = trace(lambda x, y: (x + y, x * y), "two")


def compare(cuda: Backend, formula: Formula, *arrays: Any, rtol: float = 1e-6) -> Any:
    """Run both backends' kernels on the same values and return the device's result."""
    want = compile_numpy(formula)(*arrays)
    have = cuda.kernel(formula)(*(cuda.from_host(a) if isinstance(a, np.ndarray) else a for a in arrays))
    for h, w in zip(*((r if isinstance(r, tuple) else (r,)) for r in (have, want)), strict=True):
        assert (h.dtype, h.shape) == (w.dtype, w.shape)
        np.testing.assert_allclose(
            h.get().astype(np.float64), w.astype(np.float64), rtol=rtol, atol=rtol, equal_nan=True
        )
    return have


@pytest.mark.parametrize(("shapes", "way"), LAYOUTS)
def test_layout_decides_the_entry_point(
    cuda: Backend, gpu: State, rng: np.random.Generator, shapes: Any, way: str
) -> None:
    x, y = (rng.standard_normal(s).astype(np.float32) for s in shapes)
    compare(cuda, AXPY, np.asarray(x), np.asarray(y), 2.5)
    assert gpu.launches == [f"gg_axpy_f32_f32_s_f32_{way}"]


def test_one_call_is_one_launch_and_no_wait(cuda: Backend, gpu: State) -> None:
    x = cuda.from_host(np.ones((3, 4), np.float32))
    gpu.clear()
    cuda.kernel(TWO)(x, x)
    assert len(gpu.launches) == 1
    assert gpu.syncs == []
    assert not gpu.calls, "no function of CuPy's is called on the way"


def test_an_unaligned_view_gives_the_right_values(cuda: Backend, gpu: State, rng: np.random.Generator) -> None:
    x = rng.standard_normal(65).astype(np.float32)
    y = cuda.from_host(x)[1:]
    have = cuda.kernel(AXPY)(y, y, 3.0)
    np.testing.assert_allclose(have.get(), x[1:] * np.float32(4), rtol=1e-6)
    aligned = cuda.from_host(x)[:64]
    np.testing.assert_allclose(cuda.kernel(AXPY)(aligned, aligned, 3.0).get(), x[:64] * np.float32(4), rtol=1e-6)
    assert gpu.launches[0] != gpu.launches[1], "the plan for aligned arrays must not serve the unaligned one"


def test_results_keep_the_memory_order_of_the_first_full_input(cuda: Backend, gpu: State) -> None:
    x = cuda.from_host(np.arange(24, dtype=np.float32).reshape(2, 3, 4)).transpose(0, 2, 1)
    out = cuda.kernel(AXPY)(x, cuda.from_host(np.ones((1, 4, 3), np.float32)), 1.0)
    assert out.strides == x.strides
    np.testing.assert_array_equal(out.get(), np.arange(24).reshape(2, 3, 4).transpose(0, 2, 1) + 1)
    gpu.clear()
    cuda.kernel(AXPY)(x, x, 1.0)
    assert gpu.launches == ["gg_axpy_f32_f32_s_f32_contiguous"], "dense in another order is dense"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_arrays_longer_than_a_32_bit_index_take_several_launches(
    cuda: Backend, gpu: State, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, dtype: Any
) -> None:
    monkeypatch.setattr(cuda_compiler, "_LONGEST", 64)
    x, y = (rng.standard_normal((7, 45)).astype(dtype) for _ in range(2))
    have = cuda.kernel(AXPY)(cuda.from_host(x), cuda.from_host(y), 3.0)
    np.testing.assert_allclose(have.get(), x * dtype(3) + y, rtol=2e-3 if dtype == np.float16 else 1e-6, atol=1e-2)
    assert len(gpu.launches) == 5, "315 elements, 64 a launch"


def test_broadcast_and_reversed_inputs(cuda: Backend, rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 4)).astype(np.float32)
    d = cuda.from_host(x)
    have = cuda.kernel(AXPY)(d[:, ::-1], cuda.xp.broadcast_to(d[:1], (3, 4)), 2.0)
    np.testing.assert_allclose(have.get(), x[:, ::-1] * 2 + x[:1], rtol=1e-6)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0, 2)])
def test_empty_arrays_launch_nothing(cuda: Backend, gpu: State, shape: Any) -> None:
    x = np.ones(shape, np.float32)
    compare(cuda, AXPY, x, x, 2.0)
    assert gpu.launches == []


def test_more_than_eight_separate_dimensions_still_compute(cuda: Backend) -> None:
    x = np.arange(3**9, dtype=np.float32).reshape((3,) * 9)
    d = cuda.from_host(x)[(slice(0, 2),) * 9]
    y = cuda.from_host(x.transpose()[(slice(0, 2),) * 9].copy())
    have = cuda.kernel(AXPY)(d, y, 2.0)
    np.testing.assert_array_equal(have.get(), (x * 2 + x.transpose())[(slice(0, 2),) * 9])


DTYPES = ["bool", "int8", "uint8", "int32", "int64", "float16", "float32", "float64"]


@pytest.mark.parametrize("second", [*DTYPES, bool, int, float])
@pytest.mark.parametrize("first", ["int32", "float16", "float32", "float64"])
def test_result_dtypes_are_those_of_the_numpy_compiler(
    cuda: Backend, gpu: State, monkeypatch: pytest.MonkeyPatch, first: str, second: Any
) -> None:
    """Only the dtypes: without a launch, so that no kernel has to be built for each of them."""
    import gpugrad.backend.cuda_kernels as module

    monkeypatch.setattr(module, "load", lambda code: _Never())
    formula = trace(lambda x, y: x * y + 1.0, "affine")
    a = np.ones(3, first)
    b = second(1) if isinstance(second, type) else np.ones(3, second)
    want = compile_numpy(formula)(a, b)
    have = cuda.kernel(formula)(cuda.from_host(a), cuda.from_host(b) if isinstance(b, np.ndarray) else b)
    assert have.dtype == want.dtype


class _Never:
    def get_function(self, name: str) -> Any:
        return lambda grid, block, args: None


@pytest.mark.parametrize("dtype", ["float16", BFLOAT16], ids=str)
def test_half_precision_is_computed_in_float32_and_rounded_once(cuda: Backend, dtype: Any) -> None:
    x = (np.arange(1, 40, dtype=np.float32) / 7).astype(dtype)
    cubic = trace(lambda x, a: (x * x - 3.0) * x + a, "cubic")
    have = cuda.kernel(cubic)(cuda.from_host(x), 0.1)
    f = x.astype(np.float32)
    want = ((f * f - np.float32(3)) * f + np.float32(0.1)).astype(dtype)
    assert have.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(have.get().view(np.uint16), want.view(np.uint16))


def test_numbers_reach_the_kernel_in_its_compute_type(cuda: Backend) -> None:
    x = np.ones(3, np.float32)
    for number in (2, True, 0.1, np.float32(0.1)):
        assert compare(cuda, AXPY, x, x, number).dtype == np.float32
    assert compare(cuda, AXPY, x, x, np.float64(0.1)).dtype == np.float64, "a NumPy scalar counts with its dtype"


def test_truth_values_and_masks(cuda: Backend, gpu: State) -> None:
    x, y = np.array([1.0, np.nan, 3.0], np.float32), np.array([0.0, 0.0, 4.0], np.float32)
    mask = compare(cuda, MASK, x, y)
    assert mask.dtype == bool
    choose = trace(lambda c, a, b: gg.where(c, a, 2.0 * b), "choose")
    compare(cuda, choose, np.array([True, False, True]), x, y)
    assert len(gpu.launches) == 2


@pytest.mark.parametrize("formula", INTEGERS, ids=lambda f: f.name)
@pytest.mark.parametrize("dtype", ["int8", "int64"])
def test_integers_wrap_and_promote_as_in_numpy(cuda: Backend, gpu: State, formula: Formula, dtype: str) -> None:
    x, y = np.array([1, 5, 100, -7], dtype), np.array([3, 2, 2, 2], dtype)
    compare(cuda, formula, x, y)
    assert gpu.launches == [], "integer arithmetic is CuPy's own"


def test_complex_numbers_are_computed_by_cupys_functions(cuda: Backend) -> None:
    z = np.array([1 + 2j, -0.5j, 3.0], np.complex64)
    formula = trace(lambda x, y: gg.exp(x) * y + gg.sigmoid(x) - 1.0 / x, "rational")
    want = compile_numpy(formula)(z, z)
    have = cuda.kernel(formula)(cuda.from_host(z), cuda.from_host(z))
    assert have.dtype == np.complex64
    np.testing.assert_allclose(have.get(), want, rtol=1e-5)


def test_identity_of_integers_is_a_copy(cuda: Backend) -> None:
    x = cuda.from_host(np.arange(3))
    out = cuda.kernel(trace(lambda x: x, "same"))(x)
    out[...] = 9
    assert x.get().tolist() == [0, 1, 2]


# out= -----------------------------------------------------------------------------------------------------------


def test_out_is_written_and_returned(cuda: Backend, gpu: State) -> None:
    x = cuda.from_host(np.arange(4, dtype=np.float32))
    out = cuda.empty((4,), np.float32)
    assert cuda.kernel(AXPY)(x, x, 2.0, out=out) is out
    assert out.get().tolist() == [0.0, 3.0, 6.0, 9.0]
    assert cuda.kernel(AXPY)(x, x, 2.0, out=x) is x, "in place"
    assert x.get().tolist() == [0.0, 3.0, 6.0, 9.0]


def test_out_that_overlaps_an_input_elsewhere_is_as_if_it_did_not(cuda: Backend) -> None:
    x = cuda.from_host(np.arange(6, dtype=np.float32))
    cuda.kernel(AXPY)(x[:-1], x[:-1], 1.0, out=x[1:])
    assert x.get().tolist() == [0.0, 0.0, 2.0, 4.0, 6.0, 8.0]


def test_out_of_strided_memory(cuda: Backend) -> None:
    x = cuda.from_host(np.ones((3, 2), np.float32))
    out = cuda.from_host(np.zeros((2, 3), np.float32))
    cuda.kernel(AXPY)(x, x, 1.0, out=out.T)
    assert (out.get() == 2).all()


def test_several_outputs_take_several_arrays(cuda: Backend) -> None:
    x = cuda.from_host(np.arange(3, dtype=np.float32))
    outs = (cuda.empty((3,), np.float32), cuda.empty((3,), np.float32))
    assert cuda.kernel(TWO)(x, x, out=outs) is outs
    assert outs[1].get().tolist() == [0.0, 1.0, 4.0]


@pytest.mark.parametrize(("shape", "dtype"), [((4,), np.float32), ((3,), np.float64)])
def test_out_of_another_shape_or_dtype_is_refused(cuda: Backend, shape: Any, dtype: Any) -> None:
    x = cuda.from_host(np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"\[axpy\] out has shape .* the result needs shape \(3,\) and dtype float32"):
        cuda.kernel(AXPY)(x, x, 1.0, out=cuda.empty(shape, dtype))


# What is refused ------------------------------------------------------------------------------------------------


def test_a_numpy_array_among_device_arrays_is_refused_by_name(cuda: Backend) -> None:
    x = cuda.from_host(np.ones(3, np.float32))
    with pytest.raises(DeviceError, match=r"\[axpy\] .*: y is \(3,\) float64 on cpu, the kernel runs on cuda:0"):
        cuda.kernel(AXPY)(x, np.ones(3), 2.0)
    with pytest.raises(ValueError, match="out must be 1 array"):
        cuda.kernel(AXPY)(x, x, 2.0, out=np.ones(3, np.float32))


def test_wrong_counts_and_shapes_are_refused(cuda: Backend) -> None:
    x = cuda.from_host(np.ones(3, np.float32))
    with pytest.raises(TypeError, match=r"\[axpy\] takes 3 inputs \(x, y, a\), got 2"):
        cuda.kernel(AXPY)(x, x)
    with pytest.raises(ValueError, match=r"\[axpy\] shapes do not broadcast \(x: \(3,\), y: \(2,\), a: \(\)\)"):
        cuda.kernel(AXPY)(x, x[:2], 1.0)


def test_arrays_of_two_gpus_are_refused_and_each_gpu_runs_its_own(two_gpus: State) -> None:
    first, second = backend_for("cuda:0"), backend_for("cuda:1")
    x, y = first.from_host(np.ones(3, np.float32)), second.from_host(np.ones(3, np.float32))
    assert (x.device.id, y.device.id) == (0, 1)
    with pytest.raises(DeviceError, match=r"y is \(3,\) float32 on cuda:1, the kernel runs on cuda:0"):
        first.kernel(AXPY)(x, y, 2.0)
    out = second.kernel(AXPY)(y, y, 2.0)
    assert out.device.id == 1
    assert two_gpus.device == 0, "the current device is as it was"


def test_source_is_the_cuda_text_and_needs_no_launch(cuda: Backend, gpu: State) -> None:
    text = cuda.source(AXPY, np.float32)
    assert "gg_axpy_f32_f32_f32_f32_contiguous" in text
    assert gpu.launches == []
