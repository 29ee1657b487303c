"""Batch normalisation and attention on both devices, the CPU in float64: on the stand-in, in tests/gpu for real."""

from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad.nn import functional as F
from tests.cuda_backend.image_cases import KINDS

NORMALISED = [(4, 6, 5, 7), (30, 6), (3, 5, 9), (2, 4, 3, 4, 5)]


def on(device: str, *arrays: np.ndarray) -> list[Any]:
    return [gg.tensor(a, device=device, requires_grad=True) for a in arrays]


def values(*tensors: Any) -> list[np.ndarray]:
    return [t.detach().numpy().astype(np.float64) for t in tensors]


def close(have: list[np.ndarray], want: list[np.ndarray], near: float) -> None:
    for h, w in zip(have, want, strict=True):
        np.testing.assert_allclose(h, w, rtol=near, atol=near * max(1, np.abs(w).max()))


def batch_norm(device: str, arrays: Any, kind: Any, parameters: Any = None, relu: bool = False) -> list[np.ndarray]:
    x, w, b, g = (
        a.astype(k) for a, k in zip(arrays, (kind, parameters or kind, parameters or kind, kind), strict=True)
    )
    tensors = on(device, x, w, b)
    running = [gg.tensor(np.full(w.shape, v, w.dtype), device=device) for v in (0.5, 2.0)]
    function = F.batch_norm_relu if relu else F.batch_norm
    y = function(tensors[0], *running, *tensors[1:], training=True, momentum=0.25, eps=1e-3)
    assert y.dtype == kind
    y.backward(gg.tensor(g, device=device))
    assert [t.grad.dtype for t in tensors] == [t.dtype for t in tensors]
    return values(y, *(t.grad for t in tensors), *running)


# Shapes of queries and keys, and the columns of values.
ATTENDED: list[Any] = [
    ((2, 4, 16, 8), (2, 4, 24, 8), 16),
    ((3, 5, 8), (3, 5, 8), 8),
    ((6, 8), (6, 8), 8),
    ((2, 1, 3, 8, 8), (2, 1, 3, 8, 8), 8),
    ((2, 3, 2, 8, 16), (2, 3, 1, 12, 16), 8),  # two heads of the query share one of key and value
]


def attention(device: str, arrays: Any, kind: Any, causal: bool, rows_last: bool) -> list[np.ndarray]:
    *operands, g = (a.astype(kind) for a in arrays)
    if rows_last:  # as a layer has them: heads side by side in a row
        tensors = on(device, *(np.ascontiguousarray(a.swapaxes(-2, -3)) for a in operands))
        q, k, v = (t.swapaxes(-2, -3) for t in tensors)
    else:
        q, k, v = tensors = on(device, *operands)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    y.backward(gg.tensor(g, device=device))
    return values(y, *(t.grad for t in tensors))


def compare_batch_norm(
    rng: np.random.Generator, shape: Any, dtype: str, parameters: Any = None, relu: bool = False
) -> None:
    """Results, gradients and running statistics of one shape; the parameters may be of another dtype."""
    kind, near = KINDS[dtype]
    channels = shape[1:2]
    arrays = [rng.standard_normal(s).astype(kind).astype(np.float64) for s in (shape, channels, channels, shape)]
    close(batch_norm("cuda", arrays, kind, parameters, relu), batch_norm("cpu", arrays, np.float64, None, relu), near)


def compare_attention(rng: np.random.Generator, case: Any, dtype: str, causal: bool, rows_last: bool) -> None:
    """Results and gradients of one of `ATTENDED`."""
    (q, k, columns), (kind, near) = case, KINDS[dtype]
    shapes = (q, k, (*k[:-1], columns), (*q[:-1], columns))
    arrays = [rng.standard_normal(s).astype(kind).astype(np.float64) for s in shapes]
    want = attention("cpu", arrays, np.float64, causal, rows_last)
    close(attention("cuda", arrays, kind, causal, rows_last), want, near)
