"""The inputs of the jobs: the same numbers for every library, so that their results can be compared.

Only NumPy arrays here; each library makes its own tensors from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED = 20261120
SGD_RATE = 0.01
ADAM_RATE = 1e-4

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class MlpData:
    """A batch, its labels, and the first weights as (out, in) and (out,) pairs."""

    x: Float32
    labels: NDArray[np.int64]
    layers: list[tuple[Float32, Float32]]


def mlp_data(params: dict[str, Any]) -> MlpData:
    """Standard normal inputs, uniform labels, He-normal weights, zero biases."""
    rng = np.random.default_rng(SEED)
    sizes, batch = params["sizes"], params["batch"]
    x = rng.standard_normal((batch, sizes[0]), dtype=np.float32)
    labels = rng.integers(0, sizes[-1], batch)
    layers = []
    for fan_in, fan_out in pairwise(sizes):
        weight = rng.standard_normal((fan_out, fan_in), dtype=np.float32) * np.float32((2 / fan_in) ** 0.5)
        layers.append((weight, np.zeros(fan_out, np.float32)))
    return MlpData(x, labels, layers)


def gemm_data(params: dict[str, Any]) -> list[tuple[Float32, Float32]]:
    """The factors of every matrix product of one training step: forward, weight and input gradients."""
    data = mlp_data(params)
    rng = np.random.default_rng(SEED)
    products: list[tuple[Float32, Float32]] = []
    h = data.x
    for index, (weight, _) in enumerate(data.layers):
        g = rng.standard_normal((len(h), weight.shape[0]), dtype=np.float32)
        products += [(h, weight.T), (g.T, h)] + ([(g, weight)] if index else [])
        h = g
    return products


def layer_data(params: dict[str, Any]) -> tuple[Float32, Float32, Float32]:
    """A square layer's weight, one input, and a full matrix of cotangents."""
    rng, width = np.random.default_rng(SEED), params["width"]
    weight = rng.standard_normal((width, width), dtype=np.float32) * np.float32(width**-0.5)
    return weight, rng.standard_normal(width, dtype=np.float32), rng.standard_normal((width, width), dtype=np.float32)


def elementwise_data(params: dict[str, Any]) -> tuple[Float32, Float32]:
    """An input with both tails of every activation (standard deviation 2), and a cotangent."""
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal(params["n"], dtype=np.float32) * np.float32(2)
    return x, rng.standard_normal(params["n"], dtype=np.float32)


def adam_data(params: dict[str, Any]) -> tuple[list[Float32], list[Float32]]:
    """Parameters and gradients, `params["arrays"]` of each."""
    rng = np.random.default_rng(SEED)
    shape = (params["arrays"], params["each"])
    return list(rng.standard_normal(shape, dtype=np.float32)), list(rng.standard_normal(shape, dtype=np.float32))


def digest(array: Any) -> list[float]:
    """A few numbers by which arrays of two libraries are compared: a mean of squares, and six entries."""
    flat = np.asarray(array).reshape(-1)[:10_000].astype(np.float64)
    picks = flat[np.linspace(0, flat.size - 1, min(6, flat.size)).astype(int)]
    return [float(np.mean(flat * flat)), *(float(value) for value in picks)]
