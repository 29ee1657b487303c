"""Few long rows on the GPU branch: several blocks share a row, forward and backward, with the values of one block."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import Backend, backend_for, cpu_rows, cuda_long_rows, cuda_rows
from gpugrad.backend.cuda_long_rows import Cut, cut
from gpugrad.nn import functional as F
from tests.cuda_backend.cases import normal
from tests.cuda_backend.parity import same
from tests.cuda_backend.test_long_rows import check_all
from tests.standin import State


@pytest.fixture
def cuda(gpu: State) -> Backend:
    return backend_for("cuda")


def in_pieces(gpu: State) -> bool:
    """Whether no kernel was launched that gives a row to one block."""
    return not any("_shared_" in name for name in gpu.launches)


@pytest.mark.parametrize("start", [0, 1], ids=["on16", "off16"])
@pytest.mark.parametrize(("rows", "columns"), [(1, 40_000), (3, 32_771), (2, 65_544)])
def test_pieces_give_what_whole_rows_give(
    cuda: Backend, gpu: State, rng: np.random.Generator, rows: int, columns: int, start: int
) -> None:
    check_all(cuda, rng, columns, start, rows=rows)
    assert in_pieces(gpu)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64], ids=str)
def test_pieces_in_other_dtypes(cuda: Backend, gpu: State, rng: np.random.Generator, dtype: Any) -> None:
    check_all(cuda, rng, 32_781, 0, dtype, rows=2)
    assert in_pieces(gpu)


def test_infinities_and_nans_of_one_piece_are_the_rows(cuda: Backend, gpu: State, rng: np.random.Generator) -> None:
    x = normal(rng, (6, 40_000))
    x[0, 7] = x[1, 39_999] = -np.inf
    x[2, :] = -np.inf
    x[3, :30_000] = -np.inf
    x[4, 20_000], x[5, 100] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        for name in ("softmax", "log_softmax", "logsumexp"):
            want = getattr(cpu_rows, name)(x)
            have = getattr(cuda_rows, name)(cuda.from_host(x)).get()
            same(name, [have], [want], 2e-4)
    assert in_pieces(gpu)
    assert np.isposinf(have[5])
    assert np.isneginf(have[2])


def test_a_mean_far_from_zero_costs_no_digits(cuda: Backend, rng: np.random.Generator) -> None:
    """Pieces keep what is off their own means."""
    x = (normal(rng, (1, 40_000), np.float64) + 1000).astype(np.float32)
    _, mean, rstd = cuda_rows.layer_norm(cuda.from_host(x), None, None)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean.get(), wide.mean(1), rtol=1e-6)
    np.testing.assert_allclose(rstd.get(), 1 / wide.std(1), rtol=1e-5)


@pytest.mark.parametrize("call", [
    lambda x: gg.softmax(x, -1), lambda x: gg.log_softmax(x, -1), lambda x: gg.layer_norm(x, x.shape[-1]),
    lambda x: F.cross_entropy(x, gg.zeros(2, dtype="int64", device="cuda")),
])  # fmt: skip
def test_the_bits_do_not_depend_on_the_order_of_threads(
    gpu: State, rng: np.random.Generator, call: Callable[[gg.Tensor], gg.Tensor]
) -> None:
    values, found = normal(rng, (2, 32_768)), []
    for backwards in (False, True):
        gpu.backwards = backwards
        x = gg.tensor(values, device="cuda", requires_grad=True)
        y = call(x)
        y.backward(gg.tensor(np.ones(y.shape, np.float32) * 3, device="cuda") * y.detach())
        assert x.grad is not None
        found.append((y.detach().numpy(), x.grad.numpy()))
    gpu.backwards = False
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_rows_are_cut_where_they_are_few_and_long() -> None:
    assert cut(1, 10_000_000) == Cut(264, 37_880)
    assert cut(4, 1_000_000) == Cut(66, 15_152)
    assert cut(32, 1_000_000) == Cut(9, 111_112)
    assert cut(1, 128_256) == Cut(15, 8552)
    assert cut(33, 1_000_000) is None, "enough blocks by themselves"
    assert cut(1, 32_767) is None, "too short for a second launch"
    assert cut(0, 1_000_000) is cut(1, 2**31) is None
    for rows, columns in ((1, 32_768), (7, 99_999), (32, 2**31 - 1), (3, 65_537)):
        at = cut(rows, columns)
        assert at is not None
        assert at.a_piece % 8 == 0
        assert (at.pieces - 1) * at.a_piece < columns <= at.pieces * at.a_piece
        assert rows * at.pieces <= cuda_long_rows._BLOCKS + rows


def test_a_long_row_is_two_launches_each_way(gpu: State, rng: np.random.Generator) -> None:
    x = gg.tensor(normal(rng, (1, 40_000)), device="cuda", requires_grad=True)
    g = gg.tensor(normal(rng, (1, 40_000)), device="cuda")
    gpu.clear()
    gg.softmax(x, -1).backward(g)
    assert [name.removesuffix("_f32") for name in gpu.launches] == [
        "gg_max_sum_parts", "gg_softmax_pieces", "gg_softmax_vjp_parts", "gg_softmax_vjp_pieces",
    ]  # fmt: skip
