"""The row kernels on the GPU branch: the same values as the CPU's, for warps and blocks, layouts and dtypes."""

import inspect
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import Backend, backend_for, cpu_rows, cuda_rows
from tests.cuda_backend.cases import (
    DROPOUTS,
    INDICES,
    MAXOUTS,
    NORMS,
    SHAPES,
    both,
    check_dropout,
    check_maxout,
    moved,
    normal,
)
from tests.cuda_backend.parity import same
from tests.standin import State


@pytest.fixture
def cuda(gpu: State) -> Backend:
    return backend_for("cuda")


def test_every_row_function_has_the_arguments_of_the_cpus() -> None:
    public = [n for n, f in vars(cpu_rows).items() if inspect.isfunction(f) and f.__module__ == cpu_rows.__name__]
    shared = {n for n in public if not n.startswith("_")} - {"body", "scratch"}  # what is only the CPU's
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


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64], ids=str)
def test_one_call_is_one_launch_of_the_form_for_its_columns(cuda: Backend, gpu: State, dtype: Any) -> None:
    half = 2 if dtype == np.float64 else 1
    borders = {"four": 64, "sixteen": 256, "warp": 1024, "block64": 2048, "block128": 4096, "block256": 8192}
    for form, most in (*borders.items(), ("shared", 8193)):
        gpu.clear()
        x = cuda.xp.ones((3, most // half if form != "shared" else most), dtype)
        same("softmax", [cuda_rows.softmax(x).get()], [np.full(x.shape, 1 / x.shape[1], dtype)], 1e-3)
        if form != "shared":
            cuda_rows.softmax(cuda.xp.ones((3, most // half + 1), dtype))
        tag = {2: "f16", 4: "f32", 8: "f64"}[np.dtype(dtype).itemsize]
        entries = [name for name in gpu.launches if name.startswith("gg_softmax")]
        assert entries[0] == f"gg_softmax_{form}_{tag}"
        assert form == "shared" or entries[1] != entries[0]
        assert gpu.syncs == ["get"]


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


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize(("columns", "form"), [(16, "four"), (17, "four"), (140, "sixteen"), (515, "warp")])
def test_the_gradients_of_a_norm_are_one_look_at_its_rows(
    cuda: Backend, gpu: State, rng: np.random.Generator, columns: int, form: str, start: int
) -> None:
    x, g, w = (normal(rng, shape) for shape in ((70, columns), (70, columns), (columns,)))
    memory = cuda.empty((x.size + 1,), np.float32)
    there = memory[start:][: x.size].reshape(x.shape)  # on 16 bytes or not
    there[...] = cuda.from_host(x)
    _, mean, rstd = cuda_rows.layer_norm(there, None, None)
    gpu.clear()
    found = cuda_rows.layer_norm_vjp(cuda.from_host(g), there, mean, rstd, cuda.from_host(w))
    assert [n for n in gpu.launches if "norm" in n] == [f"gg_layer_norm_vjp_all_{form}_f32"]
    want = cpu_rows.layer_norm_vjp(g, x, mean.get(), rstd.get(), w)
    same("layer_norm_vjp", [f.get() for f in found], list(want), 2e-4)


def test_a_label_out_of_range_gives_nan_and_does_not_wait(cuda: Backend, gpu: State) -> None:
    x, labels = cuda.from_host(np.zeros((2, 3), np.float32)), cuda.from_host(np.array([1, 3]))
    loss, _ = cuda_rows.cross_entropy(x, labels)
    assert gpu.syncs == []
    np.testing.assert_array_equal(np.isnan(loss.get()), [False, True])


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("shape", NORMS)
def test_layer_and_rms_norm(cuda: Backend, rng: np.random.Generator, shape: Any, affine: bool) -> None:
    x, g = normal(rng, shape) + 1, normal(rng, shape)
    w, b = (normal(rng, shape[-1:]) if affine else None for _ in range(2))
    _, mean, rstd = both(cuda, lambda rows, x, w, b: rows.layer_norm(x, w, b, 1e-5), x, w, b)
    both(cuda, lambda rows, *a: rows.layer_norm_vjp(*a), g, x, mean, rstd, w, rtol=2e-4)
    _, rstd = both(cuda, lambda rows, x, w: rows.rms_norm(x, w, 1e-5), x, w)
    both(cuda, lambda rows, *a: rows.rms_norm_vjp(*a), g, x, rstd, w, rtol=2e-4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64], ids=str)
@pytest.mark.parametrize("shape", MAXOUTS)
def test_maxout_shares_ties_as_the_cpu_does(cuda: Backend, rng: np.random.Generator, shape: Any, dtype: Any) -> None:
    check_maxout(cuda, rng, shape, dtype)
    with pytest.raises(ValueError, match=r"\[maxout\] k = 5"):
        cuda_rows.maxout(cuda.from_host(np.ones((2, 12), np.float32)), 5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64], ids=str)
@pytest.mark.parametrize(("size", "p", "offset"), DROPOUTS)
def test_dropout_has_the_cpus_bits(
    cuda: Backend, rng: np.random.Generator, size: int, p: float, offset: int, dtype: Any
) -> None:
    check_dropout(cuda, rng, size, p, offset, dtype)


def test_dropout_draws_the_same_mask_after_the_same_seed(cuda: Backend) -> None:
    masks = []
    for device in ("cpu", "cuda"):
        gg.manual_seed(11)
        masks.append([gg.dropout(gg.ones(n, device=device), 0.3).numpy() for n in (5, 5, 4001)])
    for on_cpu, on_gpu in zip(*masks, strict=True):
        np.testing.assert_array_equal(on_gpu, on_cpu)
    assert abs((masks[0][2] == 0).mean() - 0.3) < 0.03
    assert (masks[0][0] != masks[0][1]).any()


@pytest.mark.parametrize("columns", [4, 200, 500, 1030, 2100, 5000, 8200])
def test_infinite_logits_give_what_they_give_on_the_cpu(cuda: Backend, columns: int) -> None:
    x = np.zeros((4, columns), np.float32)
    x[0, 1], x[1, 2], x[2] = np.inf, np.nan, -np.inf
    with np.errstate(invalid="ignore"):
        for name in ("softmax", "log_softmax", "logsumexp"):
            (y,) = both(cuda, lambda rows, x, name=name: getattr(rows, name)(x), x)
            assert np.isnan(y.reshape(4, -1)[:3]).all() == (name != "logsumexp")
            assert np.isfinite(y[3]).all()


def test_dropout_draws_without_an_upload_for_each_call(cuda: Backend, gpu: State) -> None:
    x = cuda.from_host(np.ones(8, np.float32))
    cuda_rows.dropout(x, 0.5, 3, 0)
    held = gpu.used_bytes[0]
    results = [cuda_rows.dropout(x, 0.5, 3, 8 * k) for k in range(3)]
    assert gpu.used_bytes[0] == held + 512 * len(results)


@pytest.mark.parametrize(("rows", "columns", "count"), [(4, 3, 50), (300, 1, 20), (2, 300, 5), (4, 3, 5000)])
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
    for count in (3, 5000):  # few of which each row looks for itself, and many that are sorted
        target = cuda.from_host(np.zeros((1, 1), np.float32))
        source = np.zeros((count, 1), np.float32)
        source[[0, count // 2, count - 1]] = [[1e8], [1.0], [-1e8]]
        cuda_rows.scatter_add_rows(target, cuda.from_host(np.zeros(count, np.int64)), cuda.from_host(source))
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
