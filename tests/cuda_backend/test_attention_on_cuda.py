"""Attention by our own kernels on the GPU branch: what it launches, and in which types it computes."""

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F
from tests.standin import State

ml_dtypes = pytest.importorskip("ml_dtypes")
DTYPES = {"float32": np.dtype(np.float32), "float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
TOLERANCE = {"float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}
HEADS, LENGTH, SIZE = 4, 6, 8


def heads(rng: np.random.Generator, device: str, dtype: str, count: int = 3) -> tuple[gg.Tensor, ...]:
    """Query, key, value (and a cotangent) as a layer has them: heads beside one another in rows."""
    rows = rng.standard_normal((2, LENGTH, count, HEADS, SIZE)).astype(DTYPES[dtype])
    whole = gg.tensor(rows, device=device)
    return tuple(whole[:, :, i].transpose(1, 2).detach().requires_grad_(i < 3) for i in range(count))


def exact(q: np.ndarray, k: np.ndarray, v: np.ndarray, g: np.ndarray, keep: np.ndarray) -> list[np.ndarray]:
    """Attention and its gradients in float64."""
    q, k, v, g = (a.astype(np.float64) for a in (q, k, v, g))
    s = np.where(keep, q @ k.swapaxes(-1, -2) / np.sqrt(SIZE), -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    dp = g @ v.swapaxes(-1, -2)
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / np.sqrt(SIZE)
    return [p @ v, ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ g]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("masked", ["causal", "mask", ""])
def test_numbers_are_those_of_float64(gpu: State, rng: np.random.Generator, dtype: str, masked: str) -> None:
    q, k, v, g = heads(rng, "cuda", dtype, 4)
    keep = np.tri(LENGTH, dtype=bool) if masked else np.ones((LENGTH, LENGTH), bool)
    mask = gg.tensor(keep, device="cuda") if masked == "mask" else None
    y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=masked == "causal")
    y.backward(g)
    want = exact(*(t.detach().numpy() for t in (q, k, v, g)), keep)
    for have, value in zip((y, q.grad, k.grad, v.grad), want, strict=True):
        assert have.dtype == DTYPES[dtype]
        np.testing.assert_allclose(have.detach().numpy().astype(np.float64), value, atol=TOLERANCE[dtype], rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_heads_are_gathered_in_one_launch_and_gradients_go_back_in_one(
    gpu: State, rng: np.random.Generator, dtype: str
) -> None:
    q, k, v, g = heads(rng, "cuda", dtype, 4)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    y.backward(g)
    cast = 0 if dtype == "float32" else 1
    gpu.clear()
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    ahead = list(gpu.launches)
    gpu.clear()
    y.backward(g)
    assert len(ahead) == 2 + cast, "operands, softmax, and its result as a factor of a product"
    assert len(gpu.launches) - 3 == 4 + 2 * cast, "operands, softmax, its gradient, results; three leaves add up"
    assert [sum("put_scaled" in name for name in launches) for launches in (ahead, gpu.launches)] == [1, 2]
    for t in (q, k, v):
        assert t.grad.data.transpose(0, 2, 1, 3).flags.c_contiguous, "in the memory order of what it belongs to"


def test_operands_of_other_shapes_are_copied_apart(gpu: State, rng: np.random.Generator) -> None:
    found = []
    for device in ("cpu", "cuda"):
        rng = np.random.default_rng(0)
        q, k, v = (gg.tensor(rng.standard_normal(s), device=device, requires_grad=True) for s in (
            (2, 3, 5, 4), (2, 1, 7, 4), (2, 1, 7, 2)
        ))  # fmt: skip
        y = F.scaled_dot_product_attention(q.swapaxes(1, 1), k, v, enable_gqa=True)
        y.square().sum().backward()
        found.append([t.detach().numpy() for t in (y, q.grad, k.grad, v.grad)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)


def test_without_cublaslt_halves_are_multiplied_in_float32(gpu_without_nvmath: State, rng: np.random.Generator) -> None:
    q, k, v, g = heads(rng, "cuda", "bfloat16", 4)
    y = F.scaled_dot_product_attention(q, k, v)
    y.backward(g)
    want = exact(*(t.detach().numpy() for t in (q, k, v, g)), np.ones((LENGTH, LENGTH), bool))
    for have, value in zip((y, q.grad, k.grad, v.grad), want, strict=True):
        np.testing.assert_allclose(have.detach().numpy().astype(np.float64), value, atol=1e-2, rtol=1e-2)
