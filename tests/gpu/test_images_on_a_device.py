"""Convolutions, pooling and batch statistics on a real device, against the general way in float64.

The cases are those of tests/cuda_backend; every operation of the table is run on a device by tests/ops.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for
from gpugrad.backend.conv import Geometry
from tests.cuda_backend import layer_cases
from tests.cuda_backend.image_cases import (
    CONVOLUTIONS,
    KINDS,
    POOLS,
    compare,
    compare_pooling,
)

pytestmark = pytest.mark.gpu
kinds = pytest.mark.parametrize("dtype", list(KINDS))


@pytest.fixture
def cuda() -> Iterator[Any]:
    before = gg.default_device()
    yield backend_for("cuda")
    gg.set_default_device(before)


@pytest.mark.parametrize("way", ["im2col", "cudnn"])
@pytest.mark.parametrize("last", [True, False], ids=["channels last", "channels second"])
@pytest.mark.parametrize("name", list(CONVOLUTIONS))
@kinds
def test_convolution(cuda: Any, rng: np.random.Generator, name: str, dtype: str, last: bool, way: str) -> None:
    if way == "cudnn" and cuda.dnn is None:
        pytest.skip(cuda.without_dnn)
    with gg.cuda.convolution(way):
        compare(cuda, rng, name, dtype, last)


def test_bias_and_relu_in_one_plan_of_cudnn(cuda: Any, rng: np.random.Generator) -> None:
    if cuda.dnn is None:
        pytest.skip(cuda.without_dnn)
    at = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    x, w, b = (
        cuda.from_host(rng.standard_normal(s).astype(np.float16)) for s in ((4, 16, 9, 9), (8, 16, 3, 3), (8,))
    )
    y = cuda.dnn.conv(x, w, b, at, relu=True)
    want = np.maximum(cuda.conv(x, w, at, b).get(), 0).astype(np.float32)
    np.testing.assert_allclose(y.get().astype(np.float32), want, rtol=1e-2, atol=3e-2)


@pytest.mark.parametrize("name", list(CONVOLUTIONS))
def test_convolution_in_parts(cuda: Any, rng: np.random.Generator, name: str) -> None:
    before = gg.cuda.get_convolution_memory()
    gg.cuda.set_convolution_memory(2000)
    try:
        with gg.cuda.convolution("im2col"):
            compare(cuda, rng, name, "float32", True)
    finally:
        gg.cuda.set_convolution_memory(before)


@pytest.mark.parametrize("pool", POOLS)
@kinds
def test_pooling(cuda: Any, rng: np.random.Generator, pool: Any, dtype: str) -> None:
    compare_pooling(cuda, rng, pool, dtype)


@pytest.mark.parametrize("shape", [*layer_cases.NORMALISED, (16, 64, 56, 56)])
@pytest.mark.parametrize("way", ["im2col", "auto"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("relu", [False, True])
def test_batch_normalisation(
    cuda: Any, rng: np.random.Generator, shape: Any, way: str, dtype: str, relu: bool
) -> None:
    with gg.cuda.convolution(way):
        layer_cases.compare_batch_norm(rng, shape, dtype, relu=relu)


def test_a_layer_counts_its_batches(cuda: Any) -> None:
    layer = gg.nn.BatchNorm2d(8).to("cuda")
    with gg.cuda.convolution("im2col"):
        for _ in range(3):
            layer(gg.randn(2, 8, 5, 5, device="cuda"))
    assert layer.num_batches_tracked.item() == 3


@pytest.mark.parametrize("case", [*layer_cases.ATTENDED, ((2, 8, 256, 64), (2, 8, 256, 64), 64)])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("rows_last", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_attention(
    cuda: Any, rng: np.random.Generator, case: Any, causal: bool, rows_last: bool, dtype: str
) -> None:
    layer_cases.compare_attention(rng, case, dtype, causal, rows_last and len(case[0]) > 2)
