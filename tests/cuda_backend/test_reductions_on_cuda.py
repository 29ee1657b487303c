"""Reductions over axes on the CUDA branch, next to the CPU's: which kernels run, in which order results lie, errors."""

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import Backend, backend_for, cuda_sums
from tests.cuda_backend.cases import NAMES, REDUCTIONS, SUMS, check_case, check_reduction, normal
from tests.cuda_backend.parity import same
from tests.standin import State

ORDERS = ((0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1))
AXES = [axes for n in range(4) for axes in itertools.combinations(range(3), n)]
@pytest.fixture
def cuda(gpu: State) -> Backend:
    return backend_for("cuda")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(("shape", "order", "axes"), REDUCTIONS)
def test_larger_arrays_through_two_stages(
    cuda: Backend, rng: np.random.Generator, name: str, dtype: Any, shape: Any, order: Any, axes: Any
) -> None:
    check_case(cuda, rng, name, dtype, shape, order, axes)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_any_axes_in_any_memory_order(
    cuda: Backend, gpu: State, rng: np.random.Generator, name: str, dtype: Any
) -> None:
    for order, axes, keepdims in itertools.product(ORDERS, [None, *AXES], (False, True)):
        x = rng.uniform(0.8, 1.2, (4, 3, 5)).astype(dtype).transpose(order)
        there = cuda.from_host(np.ascontiguousarray(x.transpose(np.argsort(order)))).transpose(order)
        gpu.clear()
        check_reduction(cuda, name, x, there, axes, keepdims)
        assert gpu.syncs == ["get"], "the test's own"
        of = {"mean": "sum"}.get(name, name) if axes != () else "copy"
        assert gpu.launches
        assert all(launch.startswith(f"gg_{of}_") for launch in gpu.launches)


@pytest.mark.parametrize("name", NAMES)
def test_arrays_with_gaps_repeats_and_turned_axes(cuda: Backend, rng: np.random.Generator, name: str) -> None:
    whole = rng.uniform(0.5, 1.5, (6, 7, 8)).astype(np.float32)
    there = cuda.from_host(whole)
    for axes in (None, *AXES):
        for view in (
            lambda a: a[:, ::2],
            lambda a: a[1:, 2:5, 1:],
            lambda a: a[::-1, :, ::-1],
            lambda a: a[:, :, 3:4],
            lambda a: a[:, :1, ::2],
        ):
            check_reduction(cuda, name, view(whole), view(there), axes, False)
    repeated = np.broadcast_to(whole[:, :1], (6, 5, 8))
    for axes in AXES:
        check_reduction(cuda, name, repeated, cuda.xp.broadcast_to(there[:, :1], (6, 5, 8)), axes, True)


def test_results_lie_in_the_order_of_the_array(cuda: Backend, rng: np.random.Generator) -> None:
    there = cuda.from_host(normal(rng, (4, 5, 6))).transpose(2, 1, 0)
    for axes, keepdims in (((0,), False), ((1,), True), ((2,), False)):
        have = cuda.reduce("sum", there, axes, keepdims)
        assert have.T.flags.c_contiguous, "what computes with it next takes one order"


@pytest.mark.parametrize(
    ("shape", "axes", "launches"),
    [
        ((4, 33), (1,), ["sum_rows_warp"]),
        ((4, 2000), (1,), ["sum_rows_block"]),
        ((40_000,), (0,), ["sum_rows_block", "sum_finish"]),
        ((40_000, 3), (0,), ["sum_columns_wide", "sum_finish"]),
        ((7, 8), (0,), ["sum_columns_wide"]),
        ((7, 9), (0,), ["sum_columns"]),
        ((5, 4, 8), (1,), ["sum_columns_wide"]),
        ((3, 4, 50), (0, 2), ["sum_rows_warp", "sum_columns_wide"]),
    ],
)
def test_the_kernels_of_a_sum(cuda: Backend, gpu: State, shape: Any, axes: Any, launches: list[str]) -> None:
    there = cuda.from_host(np.ones(shape, np.float32))
    gpu.clear()
    have = cuda.reduce("sum", there, axes, False)
    assert gpu.launches == [f"gg_{name}_f32" for name in launches]
    assert (have.get() == np.prod([shape[i] for i in axes])).all()


def test_halves_stay_in_float32_between_passes(cuda: Backend, gpu: State) -> None:
    there = cuda.from_host(np.full((300, 7, 400), 0.1, np.float16))
    gpu.clear()
    have = cuda.reduce("mean", there, (0, 2), False)
    assert gpu.launches == ["gg_sum_rows_warp_f16", "gg_sum_columns_wide_f32", "gg_sum_finish_f16"]
    assert (have.get() == np.float16(0.1)).all()
    assert cuda.reduce("sum", there, None, False).get() == np.inf, "too large for float16, not for its sum"
    assert cuda.reduce("mean", there, None, False).get() == np.float16(0.1)


def test_what_is_planned_once_is_launched_again(cuda: Backend, rng: np.random.Generator) -> None:
    for _ in range(3):
        x = normal(rng, (50, 6))
        check_reduction(cuda, "sum", x, cuda.from_host(x), (0,), False)
    assert cuda_sums.planned.cache_info().misses == 1


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min"])
def test_tensors_and_their_gradients(gpu: State, rng: np.random.Generator, name: str) -> None:
    values = rng.uniform(0.5, 2, (3, 4, 5)).astype(np.float32)
    for axis in (None, 0, 1, (0, 2), -1):
        found = []
        for device in ("cpu", "cuda"):
            x = gg.tensor(values, device=device, requires_grad=True)
            y = getattr(gg, name)(x, axis=axis)
            y.backward(gg.ones_like(y))
            found.append((y.detach().numpy(), x.grad.numpy()))
        for have, want in zip(*found[::-1], strict=True):
            np.testing.assert_allclose(have, want, rtol=2e-5)
    assert any(launch.startswith("gg_") for launch in gpu.launches)


def test_nothing_and_other_types_are_cupys(cuda: Backend, gpu: State) -> None:
    empty = cuda.from_host(np.zeros((0, 3), np.float32))
    numbers = cuda.from_host(np.arange(6).reshape(2, 3))
    gpu.clear()
    assert cuda.reduce("sum", empty, (0,), False).get().tolist() == [0, 0, 0]
    assert cuda.reduce("prod", empty, (0,), True).get().tolist() == [[1, 1, 1]]
    assert cuda.reduce("sum", numbers, (1,), False).get().tolist() == [3, 12]
    assert cuda.reduce("max", numbers, None, False).get() == 5
    assert cuda.reduce("sum", cuda.from_host(np.array([1j, 2])), (0,), False).get() == 2 + 1j
    assert not gpu.launches
    with pytest.raises(ValueError, match=r"\[max\] no elements"):
        gg.max(gg.zeros(0, 3, device="cuda"), axis=0)
    assert gg.sum(gg.tensor(3.5, device="cuda")).item() == 3.5
    assert gg.sum(gg.ones(2, 3, device="cuda"), dtype="float64").dtype == np.float64


def test_sums_inside_maps_are_one_launch(gpu: State, rng: np.random.Generator) -> None:
    values = normal(rng, (6, 50, 7))
    x = gg.tensor(values, device="cuda")
    gpu.clear()
    have = gg.vmap(lambda one: gg.sum(one, axis=0))(x)
    assert [launch for launch in gpu.launches if "sum" in launch] == ["gg_sum_columns_f32"]
    np.testing.assert_allclose(have.numpy(), values.sum(1), rtol=1e-4)


@pytest.mark.parametrize("last", [False, True])
def test_sums_of_channels(cuda: Backend, gpu: State, rng: np.random.Generator, last: bool) -> None:
    x = normal(rng, (3, 8, 5, 6))
    there = cuda.from_host(x)
    if last:
        there = cuda.xp.ascontiguousarray(there.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    gpu.clear()
    np.testing.assert_allclose(cuda.channel_sum(there).get(), x.sum((0, 2, 3)), rtol=1e-4, atol=1e-5)
    wanted = ["gg_sum_columns_wide_f32"] if last else ["gg_sum_rows_warp_f32", "gg_sum_columns_wide_f32"]
    assert gpu.launches == wanted


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(("shape", "to"), SUMS)
def test_sum_to_is_the_cpus_with_kernels_of_our_own(
    cuda: Backend, gpu: State, rng: np.random.Generator, shape: Any, to: Any, dtype: Any
) -> None:
    x = normal(rng, shape, dtype)
    want = backend_for("cpu").sum_to(x, to)
    have = cuda.sum_to(cuda.from_host(x), to)
    same("sum", [have.get()], [want], rtol=1e-3)
    assert gpu.launches


def test_column_sums_of_any_dtype_and_order(cuda: Backend, rng: np.random.Generator) -> None:
    cpu = backend_for("cpu")
    for x in (normal(rng, (700, 40)), normal(rng, (3, 5)).T, rng.integers(0, 9, (4, 3)), np.zeros((0, 3), np.float32)):
        same("sum", [cuda.column_sum(cuda.from_host(x)).get()], [cpu.column_sum(x)], rtol=1e-4)
        same("sum", [cpu.column_sum(x)], [x.sum(0)], rtol=1e-4)
    half = np.full((5000, 3), 0.5, np.float16)
    assert cpu.column_sum(half).tolist() == cuda.column_sum(cuda.from_host(half)).get().tolist() == [2500.0] * 3


SUMMED: dict[str, Any] = {
    "channels": lambda x: (x * 2).sum((0, 2)),
    "columns": lambda x: (x * 2).reshape(-1, 10).sum(0),
    "everything": lambda x: gg.exp(x).mean(),
    "with gaps": lambda x: (x * 2)[:, 1:30, 1:].max((0, 2)),
    "in another order": lambda x: (x * 2).transpose(2, 0, 1).sum(1),
}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", SUMMED)
def test_the_peak_of_a_reduction_is_told_beforehand(gpu: State, name: str, dtype: str) -> None:
    x = gg.ones(40, 50, 40, device="cuda", dtype=dtype)
    x.requires_grad = True

    def loss() -> gg.Tensor:
        return gg.sum(SUMMED[name](x))

    predicted = gg.tape_memory(loss).peak_bytes
    loss().backward()
    x.grad = None
    gg.cuda.reset_peak_memory_stats()
    held = gg.cuda.memory_allocated()
    loss().backward()
    taken = gg.cuda.max_memory_allocated() - held
    gg.cuda.stop_peak_memory_stats()
    assert predicted == pytest.approx(taken, rel=0.03)


EXTREMES = [((7,), None), ((300, 5), 0), ((300, 5), 1), ((3, 40, 6), 1), ((2, 1100, 16), None), ((2, 1100, 16), 1),
            ((1, 5000), 0), ((40, 512), 0), ((5, 4, 3), (0, 2)), ((2, 3, 4, 5), (1, 2))]  # fmt: skip


@pytest.mark.parametrize(("shape", "axis"), EXTREMES)
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_elements_that_tie_share_the_gradient_by_kernels_of_ours(
    gpu: State, rng: np.random.Generator, dtype: Any, shape: Any, axis: Any
) -> None:
    values = rng.integers(0, 4, shape).astype(dtype)
    values.reshape(-1)[-1] = np.nan
    for function, turned in itertools.product((gg.max, gg.min), (False, True)):
        grads = []
        for device in ("cpu", "cuda"):
            x = gg.tensor(values, device=device, requires_grad=True)
            with np.errstate(invalid="ignore"):
                y = function(x.transpose(*range(x.ndim)[::-1]) if turned else x, axis)
            g = gg.tensor(np.arange(1.0, y.size + 1).reshape(y.shape).astype(dtype), device=device)
            gpu.clear()
            y.backward(g)
            assert x.grad is not None
            assert x.grad.dtype == dtype
            if device == "cuda":
                assert dict(gpu.calls) == {}
                assert not gpu.syncs
            grads.append(x.grad.numpy().astype(np.float64))
        np.testing.assert_allclose(*grads, rtol=2e-2 if x.dtype.itemsize == 2 else 1e-6)


def test_one_pass_counts_ties_and_one_shares_them_out(gpu: State) -> None:
    x = gg.ones(64, 200, device="cuda", requires_grad=True)
    y, g = gg.max(x, 1), gg.ones(64, device="cuda")
    gpu.clear()
    y.backward(g)
    assert [launch.removesuffix("_f32") for launch in gpu.launches] == [
        "gg_ties_rows_warp", "gg_shares_of_extremes_f32_f32_f32_f32_f32_rows",
    ]  # fmt: skip
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 1 / 200)


def test_halves_that_tie_more_often_than_halves_count_still_have_a_gradient(gpu: State) -> None:
    x = gg.zeros(70_000, dtype="float16", device="cuda", requires_grad=True)
    gg.max(x).backward(gg.tensor(np.array(7000, "float16"), device="cuda"))
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 0.1, rtol=1e-3)
