"""Kernels, rows, updates and training on a real device: the CPU's values, and what only a device can show.

The cases are those of tests/cuda_backend; every operation of the table is run on a device by tests/ops.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import Backend, backend_for, cpu_optim, cpu_rows, cuda_optim, cuda_rows
from gpugrad.fusion import Formula
from gpugrad.fusion.numpy_compiler import compile_numpy
from tests.cuda_backend.cases import (
    AXPY,
    DROPOUTS,
    INDICES,
    INTEGERS,
    LAYOUTS,
    MAXOUTS,
    NAMES,
    NETWORKS,
    NORMS,
    REDUCTIONS,
    SHAPES,
    SUMS,
    UPDATES,
    both,
    check_case,
    check_dropout,
    check_maxout,
    check_training,
    moved,
    normal,
    training,
    update_lists,
)
from tests.cuda_backend.parity import check, same

pytestmark = pytest.mark.gpu
HALVES = ["float16", "bfloat16"]


@pytest.fixture
def cuda() -> Iterator[Backend]:
    before = gg.default_device()
    yield backend_for("cuda")
    gg.set_default_device(before)


def dtype_of(name: str) -> Any:
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16) if name == "bfloat16" else np.dtype(name)


# ---- formulas


@pytest.mark.parametrize("name", ["float32", "float64", *HALVES])
@pytest.mark.parametrize(("shapes", "way"), LAYOUTS)
def test_formula_for_every_layout(cuda: Backend, rng: np.random.Generator, shapes: Any, way: str, name: str) -> None:
    x, y = (np.asarray(rng.standard_normal(s)).astype(dtype_of(name)) for s in shapes)
    want = compile_numpy(AXPY)(x, y, 2.5)
    same("result", [cuda.kernel(AXPY)(cuda.from_host(x), cuda.from_host(y), 2.5).get()], [want])


@pytest.mark.parametrize("n", [1, 3, 1023, 100_003])
def test_formula_for_sizes_that_no_width_divides(cuda: Backend, rng: np.random.Generator, n: int) -> None:
    x, y = normal(rng, n + 1), normal(rng, n + 1)
    have = cuda.kernel(AXPY)(cuda.from_host(x)[1:], cuda.from_host(y)[1:], 2.5)
    same("unaligned", [have.get()], [compile_numpy(AXPY)(x[1:], y[1:], 2.5)])


@pytest.mark.parametrize("formula", INTEGERS, ids=lambda f: f.name)
@pytest.mark.parametrize("dtype", ["int8", "int64"])
def test_integer_formulas(cuda: Backend, formula: Formula, dtype: str) -> None:
    x, y = np.array([1, 5, 100, -7], dtype), np.array([3, 2, 2, 2], dtype)
    same("result", [cuda.kernel(formula)(cuda.from_host(x), cuda.from_host(y)).get()], [compile_numpy(formula)(x, y)])


# ---- rows


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64], ids=str)
@pytest.mark.parametrize("shape", [*SHAPES, (4097, 10), (3, 50_000)])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_softmax_and_its_kin(cuda: Backend, rng: np.random.Generator, name: str, shape: Any, dtype: Any) -> None:
    x, g = normal(rng, shape, dtype), normal(rng, shape, dtype)
    y = both(cuda, lambda rows, x: getattr(rows, name)(x), x)[0]
    if name != "logsumexp":
        both(cuda, lambda rows, g, y: getattr(rows, f"{name}_vjp")(g, y), g, y)


@pytest.mark.parametrize("shape", [(6, 5), (2, 1030), (5000, 10), (3, 50_257), (3, 128_256)])
def test_cross_entropy(cuda: Backend, rng: np.random.Generator, shape: Any) -> None:
    x, labels = normal(rng, shape), rng.integers(0, shape[1], shape[0])
    labels[0], weight, g = -100, rng.random(shape[1]).astype(np.float32), normal(rng, shape[:1])
    _, lse = both(cuda, lambda rows, x, t, w: rows.cross_entropy(x, t, w, 0.1, -100), x, labels, weight)
    both(
        cuda,
        lambda rows, g, x, s, t, w: rows.cross_entropy_vjp(g, x, s, t, w, 0.1, -100),
        g, x, lse, labels, weight,
    )  # fmt: skip


@pytest.mark.parametrize("shape", [*NORMS, (20_000, 64), (70, 2048), (70, 4096), (70, 12_288), (3, 50_001)])
def test_norms(cuda: Backend, rng: np.random.Generator, shape: Any) -> None:
    x, g, w, b = (normal(rng, s) for s in (shape, shape, shape[-1:], shape[-1:]))
    _, mean, rstd = both(cuda, lambda rows, x, w, b: rows.layer_norm(x, w, b, 1e-5), x, w, b)
    both(cuda, lambda rows, *a: rows.layer_norm_vjp(*a), g, x, mean, rstd, w, rtol=2e-3)
    _, rstd = both(cuda, lambda rows, x, w: rows.rms_norm(x, w, 1e-5), x, w)
    both(cuda, lambda rows, *a: rows.rms_norm_vjp(*a), g, x, rstd, w, rtol=2e-3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64], ids=str)
@pytest.mark.parametrize(("shape", "to"), [*SUMS, ((20_000, 64), (64,)), ((300_000,), ()), ((2, 100_000), (2, 1))])
def test_sum_to(cuda: Backend, rng: np.random.Generator, shape: Any, to: Any, dtype: Any) -> None:
    x = normal(rng, shape, dtype)
    want = backend_for("cpu").sum_to(x, to)
    same("sum", [cuda.sum_to(cuda.from_host(x), to).get()], [want], rtol=2e-3)


@pytest.mark.parametrize("dtype", [*HALVES, "float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("shape", "order", "axes"), [*REDUCTIONS, ((300_000, 10), (0, 1), (0,))])
def test_reductions_over_axes(
    cuda: Backend, rng: np.random.Generator, name: str, dtype: str, shape: Any, order: Any, axes: Any
) -> None:
    check_case(cuda, rng, name, dtype_of(dtype), shape, order, axes)


@pytest.mark.parametrize("dtype", [*HALVES, "float32", "float64"])
@pytest.mark.parametrize("shape", [*MAXOUTS, (4096, 96)])
def test_maxout_has_the_cpus_bits(cuda: Backend, rng: np.random.Generator, shape: Any, dtype: str) -> None:
    check_maxout(cuda, rng, shape, dtype_of(dtype))


@pytest.mark.parametrize("dtype", [*HALVES, "float32", "float64"])
@pytest.mark.parametrize(("size", "p", "offset"), [*DROPOUTS, (3_000_001, 0.1, 10**12)])
def test_dropout_has_the_cpus_bits(
    cuda: Backend, rng: np.random.Generator, size: int, p: float, offset: int, dtype: str
) -> None:
    check_dropout(cuda, rng, size, p, offset, dtype_of(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.complex64], ids=str)
@pytest.mark.parametrize(("name", "index"), INDICES, ids=[n for n, _ in INDICES])
def test_scatter_add(cuda: Backend, rng: np.random.Generator, name: str, index: Any, dtype: Any) -> None:
    target = (rng.standard_normal((4, 3)) * 9).astype(dtype)
    source = (rng.standard_normal(target[index].shape) * 9).astype(dtype)
    have = cuda.from_host(target)
    np.add.at(target, index, source)
    cuda.scatter_add(have, moved(cuda, index), cuda.from_host(source))
    same("target", [have.get()], [target])


def test_rows_added_by_index_give_the_same_bits_every_time(cuda: Backend, rng: np.random.Generator) -> None:
    index, source = rng.integers(0, 50, 20_000), normal(rng, (20_000, 33))
    results = []
    for _ in range(3):
        target = cuda.from_host(np.zeros((50, 33), np.float32))
        cuda_rows.scatter_add_rows(target, cuda.from_host(index), cuda.from_host(source))
        results.append(target.get())
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    want = np.zeros((50, 33), np.float32)
    cpu_rows.scatter_add_rows(want, index, source)
    same("sum", results[:1], [want], 1e-3)


# ---- updates and training


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16], ids=str)
@pytest.mark.parametrize(("name", "states", "options"), UPDATES)
def test_updates(cuda: Backend, rng: np.random.Generator, name: str, states: float, options: Any, dtype: Any) -> None:
    lists = update_lists(name, rng, states, dtype)
    device = [None if given is None else [cuda.from_host(a) for a in given] for given in lists]
    getattr(cuda_optim, name)(*device, **options)
    getattr(cpu_optim, name)(*lists, **options)
    for have, want in zip(device, lists, strict=True):
        if have is not None:
            same(name, [h.get() for h in have], want)


def test_the_norm_of_many_arrays(cuda: Backend, rng: np.random.Generator) -> None:
    arrays = [normal(rng, (1000, 301)), normal(rng, 7)]
    total = float(cuda_optim.squared_norm([cuda.from_host(a) for a in arrays]))
    assert total == pytest.approx(cpu_optim.squared_norm(arrays), rel=1e-5)


@pytest.mark.parametrize(("activation", "optimizer", "clip"), NETWORKS)
def test_training_gives_the_same_network_on_both_devices(
    cuda: Backend, activation: str, optimizer: str, clip: bool
) -> None:
    check_training(activation, optimizer, clip)


def test_memory_does_not_grow_from_step_to_step(cuda: Backend) -> None:
    _, step = training("cuda", optimizer="adam")
    for _ in range(300):  # more than the small tables that are kept
        step()
    before = gg.cuda.memory_stats()
    for _ in range(50):
        step()
    after = gg.cuda.memory_stats()
    assert after.held_bytes == before.held_bytes


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("left", "right"), [((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4))])
def test_matrix_products(cuda: Backend, rng: np.random.Generator, left: Any, right: Any, dtype: str) -> None:
    a, b = (rng.standard_normal(s).astype(dtype) for s in (left, right))
    check(gg.matmul, a, b, rtol=4e-3 if dtype == "float16" else 1e-5)


def test_half_precision_batches_in_bfloat16(cuda: Backend, rng: np.random.Generator) -> None:
    a, b = (normal(rng, s, dtype_of("bfloat16")) for s in ((4, 3, 5), (4, 5, 2)))
    want = (a.astype(np.float32) @ b.astype(np.float32)).astype(a.dtype)
    same("product", [cuda.matmul(cuda.from_host(a), cuda.from_host(b)).get()], [want])


# ---- the device itself


def test_random_numbers_repeat_after_seeding(cuda: Backend) -> None:
    draws = []
    for _ in range(2):
        gg.manual_seed(5)
        draws.append([gg.rand(999, device="cuda").numpy(), gg.randperm(99, device="cuda").numpy()])
    for first, second in zip(*draws, strict=True):
        np.testing.assert_array_equal(first, second)
    assert abs(draws[0][0].mean() - 0.5) < 0.05
    assert sorted(draws[0][1]) == list(range(99))


def test_dropout_draws_the_same_mask_after_the_same_seed(cuda: Backend) -> None:
    masks = []
    for device in ("cpu", "cuda"):
        gg.manual_seed(11)
        masks.append([gg.dropout(gg.ones(n, device=device), 0.3).numpy() for n in (5, 100_001)])
    for on_cpu, on_gpu in zip(*masks, strict=True):
        np.testing.assert_array_equal(on_gpu, on_cpu)


def test_the_queries_describe_the_device(cuda: Backend) -> None:
    assert gg.cuda.get_device_name()
    assert gg.cuda.get_device_capability() >= (7, 0)
    stats = gg.cuda.memory_stats()
    assert 0 <= stats.in_use_bytes <= stats.held_bytes <= stats.total_bytes
    gg.cuda.synchronize()


def test_a_numpy_array_among_device_arrays_is_refused(cuda: Backend) -> None:
    with pytest.raises(gg.DeviceError):
        gg.ones(2, device="cuda") * np.ones(2, np.float32)
