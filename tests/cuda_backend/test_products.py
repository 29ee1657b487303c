"""Matrix products through cuBLASLt: every memory order, no copies, epilogues, precision, and the fall-back."""

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import Backend, backend_for
from gpugrad.backend.products import Problem, problem, spread
from tests.standin import State

TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}
HALVES = {"bfloat16": np.dtype(ml_dtypes.bfloat16), "float16": np.dtype(np.float16)}


@pytest.fixture
def cuda(gpu: State) -> Any:
    return backend_for("cuda")


def layouts(cuda: Backend, host: np.ndarray) -> list[tuple[str, Any]]:
    """The same matrices as they may lie in memory, and whether BLAS takes them as they are."""
    padded = cuda.from_host(np.pad(host, [(0, 0)] * (host.ndim - 1) + [(0, 8)]))
    every = np.zeros((*host.shape[:-1], 2 * host.shape[-1]), host.dtype)
    every[..., ::2] = host
    return [
        ("rows", cuda.from_host(host)),
        ("columns", cuda.from_host(np.ascontiguousarray(host.swapaxes(-1, -2))).swapaxes(-1, -2)),
        ("part of longer rows", padded[..., : host.shape[-1]]),
        ("every second column", cuda.from_host(every)[..., ::2]),
    ]


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize(
    ("left", "right"),
    [((5, 7), (7, 4)), ((3, 5, 7), (7, 4)), ((3, 5, 7), (3, 7, 4)), ((2, 1, 5, 7), (3, 7, 4)), ((1, 7), (7, 1))],
)
def test_products_of_every_memory_order(
    cuda: Any, gpu: State, rng: np.random.Generator, left: Any, right: Any, dtype: str
) -> None:
    kind = HALVES.get(dtype, np.dtype(dtype))
    a, b = (rng.standard_normal(s).astype(kind) for s in (left, right))
    want = np.matmul(a.astype(np.float64), b.astype(np.float64))
    for (how_a, x), (how_b, y) in itertools.product(layouts(cuda, a), layouts(cuda, b)):
        gpu.clear()
        got = cuda.matmul(x, y)
        near, how = TOLERANCE[dtype], f"{how_a} @ {how_b}"
        np.testing.assert_allclose(got.get().astype(np.float64), want, rtol=near, atol=4 * near, err_msg=how)
        assert got.dtype == kind
        assert gpu.calls["matmul"] == 0, "CuPy computes none of them"
        copies = ("every" in how_a) + ("every" in how_b)
        assert gpu.calls["ascontiguousarray"] <= copies, f"{how_a} @ {how_b}: copied without need"


def test_broadcast_batches_are_one_launch_where_strides_allow(cuda: Any, gpu: State) -> None:
    def launches(*shapes: tuple[int, ...]) -> int:
        gpu.clear()
        cuda.matmul(*(cuda.empty(s, np.float32) for s in shapes))
        return gpu.calls["cublasLt.matmul"]

    assert launches((6, 2, 5, 7), (7, 4)) == 1, "all rows at once"
    assert launches((6, 2, 5, 7), (6, 2, 7, 4)) == 1, "two axes are one batch"
    assert launches((2, 5, 7), (6, 2, 7, 4)) == 2, "six matrices at a time"
    assert launches((5, 7), (6, 7, 4)) == 1, "the first matrix is not copied for each"


def test_the_result_goes_where_it_is_asked_for(cuda: Any, rng: np.random.Generator) -> None:
    a, b = (cuda.from_host(rng.standard_normal(s).astype(np.float32)) for s in ((5, 7), (7, 4)))
    want = a.get() @ b.get()
    for out in (
        cuda.empty((5, 4), np.float32),
        cuda.empty((4, 5), np.float32).T,
        cuda.empty((5, 8), np.float32)[:, ::2],
    ):
        assert cuda.matmul(a, b, out) is out
        np.testing.assert_allclose(out.get(), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_can_give_a_result_in_float32(cuda: Any, rng: np.random.Generator, dtype: str) -> None:
    a, b = (rng.standard_normal(s).astype(HALVES[dtype]) for s in ((3, 5, 7), (3, 7, 4)))
    out = cuda.empty((3, 5, 4), np.float32)
    x, y = map(cuda.from_host, (a, b))
    for _ in range(2):
        assert cuda.blas.matmul(x, y, out) is out
        np.testing.assert_allclose(out.get(), a.astype(np.float32) @ b.astype(np.float32), rtol=1e-6, atol=1e-6)
    assert cuda.matmul(x, y).dtype == a.dtype, "the plan of one is not that of the other"
    assert cuda.blas.matmul(x, y, cuda.empty((3, 5, 4), np.float64)) is None
    assert cuda.blas.matmul(x[0], y[0], out[0], "BIAS", cuda.empty((4,), a.dtype)) is None


def test_nothing_to_add_up_gives_zeros(cuda: Any) -> None:
    assert cuda.matmul(cuda.empty((2, 0), np.float32), cuda.empty((0, 3), np.float32)).get().tolist() == [[0] * 3] * 2


def test_a_plan_is_made_once_for_each_shape(cuda: Any, gpu: State) -> None:
    a, b = cuda.empty((5, 7), np.float32), cuda.empty((7, 4), np.float32)
    for _ in range(3):
        cuda.matmul(a, b)
    cuda.matmul(cuda.empty((5, 7), np.float32), b)
    assert gpu.calls["cublasLt.heuristic"] == 1
    cuda.matmul(cuda.empty((6, 7), np.float32), b)
    assert gpu.calls["cublasLt.heuristic"] == 2


def test_addresses_that_are_less_aligned_have_plans_of_their_own(
    cuda: Any, gpu: State, rng: np.random.Generator
) -> None:
    whole = cuda.from_host(rng.standard_normal(64).astype(np.float32))
    b = cuda.from_host(rng.standard_normal((7, 4)).astype(np.float32))
    for start in (0, 1, 2):
        a = whole[start : start + 35].reshape(5, 7)
        np.testing.assert_allclose(cuda.matmul(a, b).get(), a.get() @ b.get(), rtol=1e-5, atol=1e-6)
    assert gpu.calls["cublasLt.heuristic"] == 3


@pytest.mark.parametrize(("level", "digits"), [("highest", 1e-6), ("high", 2e-3), ("medium", 2e-2)])
def test_float32_products_are_as_exact_as_asked(cuda: Any, rng: np.random.Generator, level: str, digits: float) -> None:
    a, b = (cuda.from_host(rng.standard_normal(s).astype(np.float32)) for s in ((32, 64), (64, 16)))
    want = a.get().astype(np.float64) @ b.get()
    gg.set_float32_matmul_precision(level)
    try:
        assert gg.get_float32_matmul_precision() == level
        error = np.abs(cuda.matmul(a, b).get() - want).max() / np.abs(want).max()
    finally:
        gg.set_float32_matmul_precision("highest")
    assert error < digits
    assert level == "highest" or error > digits / 1e3, "it is computed with fewer bits"


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match=r"precision = 'low'; expected one of"):
        gg.set_float32_matmul_precision("low")


def test_timing_the_candidates_changes_no_number(cuda: Any, gpu: State, rng: np.random.Generator) -> None:
    assert gg.cuda.tune_matmul()
    a, b = (cuda.from_host(rng.standard_normal(s).astype(np.float32)) for s in ((5, 7), (7, 4)))
    np.testing.assert_allclose(cuda.matmul(a, b).get(), a.get() @ b.get(), rtol=1e-5, atol=1e-6)
    assert gpu.calls["cublasLt.matmul"] > 8, "each candidate ran"
    gpu.clear()
    cuda.matmul(a, b)
    assert gpu.calls["cublasLt.matmul"] == 1
    assert not gg.cuda.tune_matmul(False)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("shape", [(6, 5), (2, 3, 5)])
def test_bias_and_its_gradient_come_with_the_products(
    gpu: State, rng: np.random.Generator, shape: Any, columns: bool, dtype: str
) -> None:
    kind = HALVES.get(dtype, np.dtype(dtype))
    x, w, b = (rng.standard_normal(s).astype(kind) for s in (shape, (4, 5), (4,)))
    g = rng.standard_normal((*shape[:-1], 4)).astype(kind)
    on = [gg.tensor(v, device="cuda", requires_grad=True) for v in (x, w, b)]
    if columns:
        on[1] = gg.asarray(backend_for("cuda").from_host(np.ascontiguousarray(w.T)).T).detach().requires_grad_()
    gpu.clear()
    y = gg.linear(*on)
    y.backward(gg.tensor(g, device="cuda"))
    assert gpu.calls["cublasLt.BIAS"] == 1
    assert gpu.calls["cublasLt.BGRADA" if columns else "cublasLt.BGRADB"] == 1
    assert gpu.launches == [], "no kernel for a bias or its gradient"
    x, w, b, g = (v.astype(np.float64) for v in (x, w, b, g))
    rows, flat = x.reshape(-1, 5), g.reshape(-1, 4)
    for have, want in ((y, x @ w.T + b), (on[0].grad, g @ w), (on[1].grad, flat.T @ rows), (on[2].grad, flat.sum(0))):
        got = have.detach().numpy().astype(np.float64)
        np.testing.assert_allclose(got, want, rtol=TOLERANCE[dtype], atol=4 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("lacks", [(), ("BGRADB",), ("BGRADB", "DEFAULT")])
def test_gradients_of_operands_that_autocast_has_cast_come_in_float32(
    gpu: State, rng: np.random.Generator, dtype: str, lacks: tuple[str, ...]
) -> None:
    host = [rng.standard_normal(s).astype(np.float32) for s in ((6, 5), (4, 5), (4,))]
    g = rng.standard_normal((6, 4)).astype(HALVES[dtype])
    x, w, b = (gg.tensor(v, device="cuda", requires_grad=True) for v in host)
    with gg.autocast(dtype):
        y = gg.linear(x, w, b)
    given = gg.tensor(g, device="cuda")
    gpu.unsupported.update(lacks)
    gpu.clear()
    y.backward(given)
    if not lacks:
        assert (gpu.calls["cublasLt.matmul"], gpu.launches) == (2, []), "no casts"
    a, c, g = (v.astype(g.dtype).astype(np.float32) for v in (*host[:2], g))
    exact = {"rtol": 1e-5, "atol": 1e-6} if "DEFAULT" not in lacks else {"rtol": 0.01, "atol": 0.05}
    np.testing.assert_allclose(x.grad.numpy(), g @ c, **exact)
    np.testing.assert_allclose(w.grad.numpy(), g.T @ a, **exact)
    np.testing.assert_allclose(b.grad.numpy(), g.sum(0), rtol=0.01, atol=0.01)


def test_epilogues_that_cublaslt_lacks_are_computed_apart(gpu: State, rng: np.random.Generator) -> None:
    gpu.unsupported.update({"BIAS", "BGRADB"})
    host = [rng.standard_normal(s).astype(np.float32) for s in ((6, 5), (4, 5), (4,))]
    x, w, b = (gg.tensor(v, device="cuda", requires_grad=True) for v in host)
    y = gg.linear(x, w, b)
    np.testing.assert_allclose(y.data.get(), host[0] @ host[1].T + host[2], rtol=1e-5, atol=1e-6)
    y.sum().backward()
    assert b.grad.numpy().tolist() == [6] * 4


def test_what_fails_at_its_launch_is_computed_another_way(
    cuda: Any, gpu: State, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = [rng.standard_normal(s).astype(np.float32) for s in ((6, 5), (4, 5), (4,))]
    x, w, b = (gg.tensor(v, device="cuda") for v in host)
    products, launched = cuda.blas, []

    def refusing(*args: Any) -> None:
        launched.append(args)
        raise products._lt.cuBLASLtError("Tests: EXECUTION_FAILED")

    monkeypatch.setattr(products, "_matmul", refusing)
    for _ in range(2):
        np.testing.assert_allclose(gg.linear(x, w, b).numpy(), host[0] @ host[1].T + host[2], rtol=1e-5, atol=1e-6)
    assert len(launched) == 2, "the product with the bias and the one without, once each"
    assert [what.partition(":")[0] for what in products.refused] == ["BIAS", "DEFAULT"]
    assert gg.cuda.matmul_refusals() == products.refused


def test_a_bias_between_boundaries_has_a_plan_of_its_own(cuda: Any, gpu: State, rng: np.random.Generator) -> None:
    host = [rng.standard_normal(s).astype(np.float32) for s in ((6, 5), (4, 5), (36,))]
    x, w, many = (gg.tensor(v, device="cuda") for v in host)
    for start in (0, 1, 0, 32, 1):
        have = gg.linear(x, w, many[start : start + 4]).numpy()
        np.testing.assert_allclose(have, host[0] @ host[1].T + host[2][start : start + 4], rtol=1e-5, atol=1e-6)
    assert gpu.calls["cublasLt.heuristic"] == 2


def test_without_the_bindings_cupy_computes_products(gpu_without_nvmath: State) -> None:
    x = gg.ones(3, 3, device="cuda")
    assert ((x @ x).numpy() == 3).all()
    assert gpu_without_nvmath.calls["matmul"] == 1
    assert gg.cuda.matmul_library().startswith("CuPy: nvmath-python is missing")
    assert not gg.cuda.tune_matmul()


def test_bindings_that_do_not_fit_are_told(gpu: State, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.standin import cublaslt

    def broken() -> int:
        raise cublaslt.cuBLASLtError("CUBLAS_STATUS_NOT_INITIALIZED (1)")

    monkeypatch.setattr(cublaslt, "create", broken)
    x = gg.ones(3, 3, device="cuda")
    assert ((x @ x).numpy() == 3).all()
    assert gg.cuda.matmul_library() == (
        "CuPy: cuBLASLt cannot be used (cuBLASLtError: CUBLAS_STATUS_NOT_INITIALIZED (1))"
    )
    assert gg.cuda.matmul_refusals() == {}


def test_cublaslt_computes_them_where_it_is_there(gpu: State) -> None:
    assert gg.cuda.matmul_library() == "cuBLASLt"


def test_products_can_be_captured(cuda: Any, gpu: State, rng: np.random.Generator) -> None:
    a, b = (cuda.from_host(rng.standard_normal(s).astype(np.float32)) for s in ((5, 7), (7, 4)))
    out = cuda.matmul(a, b)
    want = out.get()
    out.fill(0)
    stream = cuda.xp.cuda.Stream(non_blocking=True)
    cuda.blas.scratch.of(stream)
    with stream:
        stream.begin_capture()
        cuda.matmul(a, b, out)
        graph = stream.end_capture()
    assert (out.get() == 0).all(), "a capture computes nothing"
    graph.launch(stream)
    np.testing.assert_array_equal(out.get(), want)


def test_a_freed_address_is_found_by_the_stand_in(cuda: Any, gpu: State) -> None:
    from tests.standin import cublaslt

    with pytest.raises(cublaslt.cuBLASLtError, match="IllegalAddress"):
        cublaslt.alive(4096, 16, "A")


@pytest.mark.parametrize(
    ("a", "b", "batch", "count", "launches"),
    [((4, 3, 5), (5, 2), (4,), 1, 1), ((4, 3, 5), (4, 5, 2), (4,), 4, 1), ((3, 5), (4, 6, 5, 2), (4, 6), 24, 1)],
)
def test_the_fewest_launches_are_found(a: Any, b: Any, batch: Any, count: int, launches: int) -> None:
    arrays = [np.empty(s, np.float32) for s in (a, b, (*batch, a[-2], b[-1]))]
    found = problem(*(spread(x, batch) for x in arrays), batch)
    assert isinstance(found, Problem)
    assert (found.batch, len(found.offsets)) == (count, launches)


def test_what_blas_cannot_take_is_named() -> None:
    good, bad = np.empty((4, 4), np.float32), np.empty((4, 8), np.float32)[:, ::2]
    for which in range(3):
        case = [bad if i == which else good for i in range(3)]
        assert problem(*(spread(x, ()) for x in case), ()) == which


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("gap", [0, 3])
def test_what_is_added_goes_with_the_product(
    cuda: Any, gpu: State, rng: np.random.Generator, dtype: str, gap: int
) -> None:
    kind = HALVES.get(dtype, np.dtype(dtype))
    a, b, c = (rng.standard_normal(s).astype(kind) for s in ((5, 7), (7, 4), (5, 4 + gap)))
    want = a.astype(np.float64) @ b.astype(np.float64) + c[:, :4].astype(np.float64)
    x, y, z = map(cuda.from_host, (a, b, c))
    for _ in range(2):
        gpu.clear()
        got = cuda.matmul_plus(x, y, z[:, :4])
        assert (gpu.calls["cublasLt.matmul"], gpu.launches) == (1, [])
        np.testing.assert_allclose(got.get().astype(np.float64), want, rtol=TOLERANCE[dtype], atol=4 * TOLERANCE[dtype])
        np.testing.assert_array_equal(z.get(), c)
    np.testing.assert_allclose(cuda.matmul_plus(x[:, :0], y[:0], z[:, :4]).get(), c[:, :4])
    turned = cuda.from_host(np.ascontiguousarray(c[:, :4].T)).T
    np.testing.assert_allclose(
        cuda.matmul_plus(x, y, turned).get().astype(np.float64),
        got.get().astype(np.float64),
        rtol=TOLERANCE[dtype],
        atol=4 * TOLERANCE[dtype],
    )
