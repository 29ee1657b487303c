"""Where a backward pass starts and how cotangents add up on a GPU: by kernels of our own, with the CPU's numbers."""

import numpy as np
import pytest

import gpugrad as gg
from tests.standin import State

FLOATS = ["float16", "float32", "float64"]


@pytest.mark.parametrize("dtype", [*FLOATS, "complex64"])
def test_a_backward_pass_starts_with_one(gpu: State, dtype: str) -> None:
    x = gg.tensor(np.array(3, dtype), device="cuda", requires_grad=True)
    gpu.clear()
    x.backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype
    assert x.grad.item() == 1
    assert not gpu.syncs[:-1]


@pytest.mark.parametrize("dtype", FLOATS)
def test_uses_and_passes_add_up_without_cupys_kernels(gpu: State, rng: np.random.Generator, dtype: str) -> None:
    values = rng.standard_normal((4, 5)).astype(dtype)
    x = gg.tensor(values, device="cuda", requires_grad=True)
    one = gg.ones(4, 5, dtype=dtype, device="cuda")
    gpu.clear()
    for _ in range(2):
        y = x * 1.0
        (gg.relu(y) * 2.0 + gg.relu(-y) + y).backward(one)
    assert "add" not in gpu.calls
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 2 * (np.where(values > 0, 2, -1) + 1), rtol=1e-3)


def test_a_gradient_that_another_tensor_shows_is_added_to_in_place(gpu: State) -> None:
    x = gg.ones(3, device="cuda", requires_grad=True)
    (x * 2.0).backward(gg.ones(3, device="cuda"))
    assert x.grad is not None
    seen = x.grad
    (x * 3.0).backward(gg.ones(3, device="cuda"))
    assert x.grad is seen
    assert seen.tolist() == [5.0] * 3


def test_an_array_that_overlaps_with_the_result_is_read_before_it_is_written(gpu: State) -> None:
    from gpugrad.backend import backend_for

    cuda = backend_for("cuda")
    memory = cuda.from_host(np.arange(6, dtype=np.float32))
    cuda.plus(memory[1:], memory[:-1], into=True)
    assert memory.get().tolist() == [0, 1, 3, 5, 7, 9]
