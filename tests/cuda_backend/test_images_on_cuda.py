"""Convolutions, pooling and batch statistics on the GPU branch: the numbers, the memory, and no waiting."""

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for, cpu, cuda_conv, cuda_settings, cuda_windows
from gpugrad.backend import conv as general
from gpugrad.backend.conv import Geometry
from tests.cuda_backend.image_cases import (
    CONVOLUTIONS,
    KINDS,
    POOLS,
    compare,
    compare_pooling,
    placed,
)
from tests.standin import State


@pytest.fixture
def cuda(gpu: State) -> Any:
    return backend_for("cuda")


@pytest.fixture
def little_memory() -> Any:
    before = cuda_settings.memory_limit()
    gg.cuda.set_convolution_memory(2000)
    yield
    gg.cuda.set_convolution_memory(before)


@pytest.mark.parametrize("last", [True, False], ids=["channels last", "channels second"])
@pytest.mark.parametrize("dtype", list(KINDS))
@pytest.mark.parametrize("name", list(CONVOLUTIONS))
def test_convolution(cuda: Any, gpu: State, rng: np.random.Generator, name: str, dtype: str, last: bool) -> None:
    compare(cuda, rng, name, dtype, last)
    assert gpu.calls["as_strided"] == 0, "no patches by CuPy's general way"
    assert set(gpu.syncs) == {"get"}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", list(CONVOLUTIONS))
def test_parts_of_a_batch_give_the_same(
    cuda: Any, little_memory: None, rng: np.random.Generator, name: str, dtype: str
) -> None:
    compare(cuda, rng, name, dtype, True)


@pytest.mark.parametrize("name", ["3x3", "groups", "1x1", "stride, uneven padding, dilation"])
def test_without_the_bindings(gpu_without_nvmath: State, rng: np.random.Generator, name: str) -> None:
    compare(backend_for("cuda"), rng, name, "float32", True)


def test_patches_keep_to_the_memory_that_is_set(cuda: Any, gpu: State, rng: np.random.Generator) -> None:
    x, w = cuda.from_host(rng.standard_normal((8, 16, 12, 12)).astype(np.float32)), cuda.empty((4, 16, 3, 3), "f4")
    at = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    before = cuda_settings.memory_limit()
    try:
        for limit, launches in ((before, 1), (200_000, 4), (100_000, 7)):
            gg.cuda.set_convolution_memory(limit)
            assert gg.cuda.get_convolution_memory() == limit
            cuda.blas.scratch.of(cuda.xp.cuda.get_current_stream())
            gg.cuda.reset_peak_memory_stats()
            held = gg.cuda.memory_allocated()
            gpu.clear()
            y = cuda.conv(x, w, at)
            assert gpu.computing == ["gg_im2col_f32"] * launches
            patches = gg.cuda.max_memory_allocated() - held - y.nbytes - w.nbytes
            assert patches <= min(limit, 8 * 144 * 16 * 9 * 4) + w.nbytes + 2048, "one part, and the kernels turned"
    finally:
        gg.cuda.set_convolution_memory(before)
        gg.cuda.stop_peak_memory_stats()


@pytest.mark.parametrize("limit", [0, -1])
def test_no_memory_at_all_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match=r"\[set_convolution_memory\] limit = .*; expected 1 byte or more"):
        gg.cuda.set_convolution_memory(limit)


def test_one_by_one_kernels_need_no_patches(cuda: Any, gpu: State, rng: np.random.Generator) -> None:
    x = placed(cuda, rng.standard_normal((2, 8, 5, 5)).astype(np.float32), last=True)
    w, b = cuda.from_host(rng.standard_normal((4, 8, 1, 1)).astype(np.float32)), cuda.empty((4,), "f4")
    at = Geometry((1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    gpu.clear()
    y = cuda.conv(x, w, at, b)
    cuda.conv_input(y, w, (5, 5), at)
    cuda.conv_weight(x, y, (1, 1), at)
    assert not gpu.computing
    assert gpu.calls["cublasLt.matmul"] == 3
    assert gpu.calls["cublasLt.BIAS"] == 1


def test_wide_copies_where_the_channels_allow_it(cuda: Any, gpu: State, rng: np.random.Generator) -> None:
    at = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    for channels, last, launched in ((8, True, "im2col_wide"), (8, False, "im2col"), (6, True, "im2col")):
        x = placed(cuda, rng.standard_normal((2, channels, 5, 5)).astype(np.float32), last)
        gpu.clear()
        cuda.conv(x, cuda.empty((4, channels, 3, 3), "f4"), at)
        assert gpu.computing == [f"gg_{launched}_f32"]
    odd = cuda.from_host(rng.standard_normal(2 * 5 * 5 * 8 + 1).astype(np.float32))[1:].reshape(2, 5, 5, 8)
    gpu.clear()
    cuda.conv(cuda.xp.moveaxis(odd, -1, 1), cuda.empty((4, 8, 3, 3), "f4"), at)
    assert gpu.computing == ["gg_im2col_f32"], "an address that is not a multiple of 16"


def test_integers_and_complex_numbers_go_the_general_way(cuda: Any, gpu: State, rng: np.random.Generator) -> None:
    at = Geometry((1,), ((1, 1),), (1,), 1)
    x, w = rng.integers(-5, 5, (2, 3, 7)).astype(np.complex64), rng.integers(-5, 5, (4, 3, 3)).astype(np.complex64)
    gpu.clear()
    y = cuda.conv(cuda.from_host(x), cuda.from_host(w), at)
    np.testing.assert_allclose(y.get(), general.conv(cpu(), x, w, at), rtol=1e-5)
    assert not gpu.computing


def test_numbers_beyond_32_bits_are_left_to_others(cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = cuda.empty((2, 4, 6, 6), np.float32)
    assert cuda_conv.fits(x, (4, 4, 3, 3), 1, (6, 6))
    assert not cuda_conv.fits(x, (4, 4, 30_000, 30_000), 1, (6, 6))
    # With a lower limit a batch is cut where a longer one would be with the real one.
    monkeypatch.setattr(cuda_windows, "INDEX_LIMIT", 4 * 36 + 1)
    monkeypatch.setattr(cuda_windows.examples, "__defaults__", (4 * 36,))
    assert list(cuda_windows.examples(3, 144)) == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("dtype", list(KINDS))
@pytest.mark.parametrize("pool", POOLS)
def test_pooling(
    cuda: Any, gpu: State, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, pool: Any, dtype: str, cut: bool
) -> None:
    kernel, stride, padding, dilation, size = pool
    places = Geometry(stride, padding, dilation, 1).output(size, kernel)
    if cut:  # as a batch that is too long for one launch
        monkeypatch.setattr(cuda_windows.examples, "__defaults__", (2 * 5 * max(np.prod(size), np.prod(places)),))
    compare_pooling(cuda, rng, pool, dtype)
    assert set(gpu.syncs) == {"get"}


def test_a_window_of_more_than_255_elements_goes_the_general_way(cuda: Any, rng: np.random.Generator) -> None:
    at = Geometry((1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    x = cuda.from_host(rng.standard_normal((1, 2, 17, 17)).astype(np.float32))
    assert cuda.max_pool(x, (16, 16), (2, 2), at) is None
    y = gg.nn.functional.max_pool2d(gg.asarray(x), 16, 1)
    np.testing.assert_array_equal(y.numpy()[0, 0, 0, 0], x.get()[0, 0, :16, :16].max())


def test_a_training_step_of_a_network_of_convolutions_waits_for_nothing(gpu: State, rng: np.random.Generator) -> None:
    losses = []
    for device in ("cpu", "cuda"):
        gg.set_default_device("cpu")
        gg.manual_seed(1)
        model = gg.nn.models.resnet18(10, width=4).to(device).to("float64")
        x = gg.tensor(np.random.default_rng(0).standard_normal((2, 3, 32, 32)), device=device)
        y = gg.tensor(np.array([1, 7]), device=device)
        update = gg.optim.SGD(model.parameters(), lr=0.05)
        gpu.clear()
        steps = []
        for _ in range(2):
            update.zero_grad()
            loss = gg.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            update.step()
            steps.append(loss.detach())
        assert not gpu.syncs
        assert not gpu.uploads
        losses.append([step.item() for step in steps])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-9)
    assert {"gg_im2col_wide_f64", "gg_moments_f64", "gg_norm_products_f64"} <= set(gpu.launches)
