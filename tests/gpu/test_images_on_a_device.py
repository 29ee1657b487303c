"""Convolutions, pooling and batch statistics on a real device, against the general way in float64.

The cases are those of tests/cuda_backend; every operation of the table is run on a device by tests/ops.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for
from tests.cuda_backend.image_cases import (
    CONVOLUTIONS,
    KINDS,
    POOLS,
    compare,
    compare_pooling,
    compare_statistics,
)

pytestmark = pytest.mark.gpu
kinds = pytest.mark.parametrize("dtype", list(KINDS))


@pytest.fixture
def cuda() -> Iterator[Any]:
    before = gg.default_device()
    yield backend_for("cuda")
    gg.set_default_device(before)


@pytest.mark.parametrize("last", [True, False], ids=["channels last", "channels second"])
@pytest.mark.parametrize("name", list(CONVOLUTIONS))
@kinds
def test_convolution(cuda: Any, rng: np.random.Generator, name: str, dtype: str, last: bool) -> None:
    compare(cuda, rng, name, dtype, last)


@pytest.mark.parametrize("name", list(CONVOLUTIONS))
def test_convolution_in_parts(cuda: Any, rng: np.random.Generator, name: str) -> None:
    before = gg.cuda.get_convolution_memory()
    gg.cuda.set_convolution_memory(2000)
    try:
        compare(cuda, rng, name, "float32", True)
    finally:
        gg.cuda.set_convolution_memory(before)


@pytest.mark.parametrize("pool", POOLS)
@kinds
def test_pooling(cuda: Any, rng: np.random.Generator, pool: Any, dtype: str) -> None:
    compare_pooling(cuda, rng, pool, dtype)


@pytest.mark.parametrize("shape", [(100_000, 64), (5000, 3), (40, 70), (1, 4)])
@kinds
def test_batch_statistics(cuda: Any, rng: np.random.Generator, shape: Any, dtype: str) -> None:
    compare_statistics(cuda, rng, shape, dtype)
