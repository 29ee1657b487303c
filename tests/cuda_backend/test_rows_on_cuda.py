"""The row kernels on the GPU branch: the same values as the CPU's, for warps and blocks, layouts and dtypes."""

import inspect
from typing import Any

import numpy as np
import pytest

from gpugrad.backend import Backend, backend_for, cpu_rows, cuda_rows
from tests.cuda_backend.cases import INDICES, SHAPES, both, moved, normal
from tests.cuda_backend.parity import same
from tests.standin import State


@pytest.fixture
def cuda(gpu: State) -> Backend:
    return backend_for("cuda")


def test_every_row_function_has_the_arguments_of_the_cpus() -> None:
    public = [n for n, f in vars(cpu_rows).items() if inspect.isfunction(f) and f.__module__ == cpu_rows.__name__]
    shared = {n for n in public if not n.startswith("_")} - {"body", "maxout_vjp"}
    for name in sorted(shared):
        mine, theirs = (inspect.signature(getattr(m, name)) for m in (cuda_rows, cpu_rows))
        assert list(mine.parameters) == list(theirs.parameters), name
        assert [p.default for p in mine.parameters.values()] == [p.default for p in theirs.parameters.values()], name


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_softmax_and_its_kin(cuda: Backend, rng: np.random.Generator, name: str, shape: Any) -> None:
    x, g = normal(rng, shape) * 3, normal(rng, shape)
    y = both(cuda, lambda rows, x: getattr(rows, name)(x), x)[0]
    if name != "logsumexp":
        both(cuda, lambda rows, g, y: getattr(rows, f"{name}_vjp")(g, y), g, y)


def test_one_call_is_one_launch_of_the_right_form(cuda: Backend, gpu: State, rng: np.random.Generator) -> None:
    cuda_rows.softmax(cuda.from_host(normal(rng, (5, 1024))))
    cuda_rows.softmax(cuda.from_host(normal(rng, (5, 1025))))
    assert gpu.launches == ["gg_softmax_warp_f32", "gg_softmax_block_f32"]
    assert gpu.syncs == []


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_dtypes(cuda: Backend, rng: np.random.Generator, dtype: Any) -> None:
    both(cuda, lambda rows, x: rows.softmax(x), normal(rng, (5, 40), dtype))


def test_arrays_in_another_memory_order(cuda: Backend, rng: np.random.Generator) -> None:
    x, g = normal(rng, (6, 5)), normal(rng, (6, 5))
    both(cuda, lambda rows, x, g: (rows.log_softmax(x), rows.softmax_vjp(g, x)), x, g, order="F")


def test_out_receives_the_result_whatever_its_layout(cuda: Backend, rng: np.random.Generator) -> None:
    x = cuda.from_host(normal(rng, (4, 6)))
    want = cuda_rows.softmax(x)
    dense, turned = cuda.empty((4, 6), np.float32), cuda.empty((6, 4), np.float32).T
    assert cuda_rows.softmax(x, out=dense) is dense
    assert cuda_rows.softmax(x, out=turned) is turned
    same("out", [dense.get(), turned.get()], [want.get()] * 2, 0.0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(6, 5), (2, 1030)])
def test_cross_entropy(cuda: Backend, rng: np.random.Generator, shape: Any, smoothing: float, weighted: bool) -> None:
    x, labels = normal(rng, shape), rng.integers(0, shape[1], shape[0])
    labels[0] = -100
    weight = rng.random(shape[1]).astype(np.float32) if weighted else None
    _, lse = both(cuda, lambda rows, x, t, w: rows.cross_entropy(x, t, w, smoothing, -100), x, labels, weight)
    for g in (normal(rng, shape[:1]), np.float32([0.5])[0:1].reshape(())):
        both(
            cuda,
            lambda rows, g, x, s, t, w: rows.cross_entropy_vjp(g, x, s, t, w, smoothing, -100),
            np.asarray(g), x, lse, labels, weight,
        )  # fmt: skip


def test_a_label_out_of_range_gives_nan_and_does_not_wait(cuda: Backend, gpu: State) -> None:
    x, labels = cuda.from_host(np.zeros((2, 3), np.float32)), cuda.from_host(np.array([1, 3]))
    loss, _ = cuda_rows.cross_entropy(x, labels)
    assert gpu.syncs == []
    np.testing.assert_array_equal(np.isnan(loss.get()), [False, True])


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("shape", [(300, 6), (2, 3, 33), (2, 1030)])
def test_layer_and_rms_norm(cuda: Backend, rng: np.random.Generator, shape: Any, affine: bool) -> None:
    x, g = normal(rng, shape) + 1, normal(rng, shape)
    w, b = (normal(rng, shape[-1:]) if affine else None for _ in range(2))
    _, mean, rstd = both(cuda, lambda rows, x, w, b: rows.layer_norm(x, w, b, 1e-5), x, w, b)
    both(cuda, lambda rows, *a: rows.layer_norm_vjp(*a), g, x, mean, rstd, w, rtol=2e-4)
    _, rstd = both(cuda, lambda rows, x, w: rows.rms_norm(x, w, 1e-5), x, w)
    both(cuda, lambda rows, *a: rows.rms_norm_vjp(*a), g, x, rstd, w, rtol=2e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_bias_grad_adds_rows_in_float32(cuda: Backend, rng: np.random.Generator, dtype: Any) -> None:
    both(cuda, lambda rows, g: rows.bias_grad(g), normal(rng, (700, 40), dtype), rtol=1e-3)


def test_maxout_gives_the_largest_of_neighbours(cuda: Backend, rng: np.random.Generator) -> None:
    x = normal(rng, (3, 4, 12))
    have = cuda_rows.maxout(cuda.from_host(x), 3).get()
    np.testing.assert_array_equal(have, x.reshape(3, 4, 4, 3).max(-1))
    with pytest.raises(ValueError, match=r"\[maxout\] k = 5"):
        cuda_rows.maxout(cuda.from_host(x), 5)


def test_dropout_scales_what_it_keeps_and_follows_seed_and_offset(cuda: Backend, rng: np.random.Generator) -> None:
    x = cuda.from_host(np.ones(4001, np.float32))
    first = cuda_rows.dropout(x, 0.25, 7, 0).get()
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((first == 0).mean() - 0.25) < 0.03
    np.testing.assert_array_equal(first, cuda_rows.dropout(x, 0.25, 7, 0).get())
    assert (first != cuda_rows.dropout(x, 0.25, 8, 0).get()).mean() > 0.2
    assert (first != cuda_rows.dropout(x, 0.25, 7, 4001).get()).mean() > 0.2
    assert (cuda_rows.dropout(x, 1.0, 7).get() == 0).all()


def test_dropout_draws_without_an_upload_for_each_call(cuda: Backend, gpu: State) -> None:
    x = cuda.from_host(np.ones(8, np.float32))
    cuda_rows.dropout(x, 0.5, 3, 0)
    held = gpu.used_bytes[0]
    results = [cuda_rows.dropout(x, 0.5, 3, 8 * k) for k in range(3)]
    assert gpu.used_bytes[0] == held + 512 * len(results)


@pytest.mark.parametrize(("rows", "columns", "count"), [(4, 3, 50), (300, 1, 20), (2, 300, 5)])
def test_rows_added_by_index_with_repeats(
    cuda: Backend, gpu: State, rng: np.random.Generator, rows: int, columns: int, count: int
) -> None:
    target, source = normal(rng, (rows, columns)), normal(rng, (count, columns))
    index = rng.integers(-rows, rows, count)
    want = target.copy()
    cpu_rows.scatter_add_rows(want, index, source)
    have = cuda.from_host(target)
    arguments = cuda.from_host(index), cuda.from_host(source)
    gpu.clear()
    cuda_rows.scatter_add_rows(have, *arguments)
    assert gpu.syncs == [], "how many indices differ is not asked"
    same("target", [have.get()], [want])


def test_rows_are_added_in_the_order_of_the_index(cuda: Backend) -> None:
    """1e8 + 1 - 1e8 in float32 depends on the order: the answer of adding from left to right is 0."""
    target = cuda.from_host(np.zeros((1, 1), np.float32))
    source = cuda.from_host(np.float32([1e8, 1.0, -1e8]).reshape(3, 1))
    cuda_rows.scatter_add_rows(target, cuda.from_host(np.zeros(3, np.int64)), source)
    assert target.get().item() == 0.0


@pytest.mark.parametrize("call", [cuda_rows.softmax, lambda x: cuda_rows.layer_norm(x, None, None)])
def test_integers_and_empty_rows_are_refused(cuda: Backend, call: Any) -> None:
    for bad in (np.ones((2, 3), np.int32), np.ones((2, 0), np.float32), np.float32(1).reshape(())):
        with pytest.raises(ValueError, match="expected a floating-point array with a last axis of 1 or more"):
            call(cuda.from_host(bad))


def test_a_missing_barrier_would_show(cuda: Backend, gpu: State, rng: np.random.Generator) -> None:
    """Threads in the opposite order give the same result."""
    x = normal(rng, (3, 1030))
    want = cuda_rows.softmax(cuda.from_host(x)).get()
    gpu.backwards = True
    try:
        np.testing.assert_allclose(cuda_rows.softmax(cuda.from_host(x)).get(), want, rtol=1e-6)
    finally:
        gpu.backwards = False


# scatter_add of the backend: any index ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.complex64], ids=str)
@pytest.mark.parametrize(("name", "index"), INDICES, ids=[n for n, _ in INDICES])
def test_scatter_add_takes_every_index_that_numpy_takes(
    cuda: Backend, rng: np.random.Generator, name: str, index: Any, dtype: Any
) -> None:
    target = (rng.standard_normal((4, 3)) * 9).astype(dtype)
    source = (rng.standard_normal(target[index].shape) * 9).astype(dtype)
    want = target.copy()
    np.add.at(want, index, source)
    have = cuda.from_host(target)
    cuda.scatter_add(have, moved(cuda, index), cuda.from_host(source))
    same("target", [have.get()], [want])


def test_scatter_add_into_a_view_changes_its_owner(cuda: Backend) -> None:
    owner = cuda.from_host(np.zeros((3, 4), np.float32))
    cuda.scatter_add(owner.T, cuda.from_host(np.array([1, 1])), cuda.from_host(np.ones((2, 3), np.float32)))
    assert owner.get().sum(0).tolist() == [0.0, 6.0, 0.0, 0.0]
