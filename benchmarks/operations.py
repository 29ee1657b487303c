"""The operations of the suites `operations` and `convolution` in each library's own words, and their inputs.

Every library computes the same function of the same arrays; a VJP is that of all inputs. Each maker imports its
library, so this module can be imported without any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.data import SEED, Float32

Functions = dict[str, Callable[..., Any]]

# Shapes of the inputs by scale; float32.
SHAPES: dict[str, dict[str, tuple[tuple[int, ...], ...]]] = {
    "full": {
        "matmul": ((512, 512), (512, 512)),
        "softmax": ((2048, 512),),
        "logsumexp": ((2048, 512),),
        "layer_norm": ((2048, 512),),
        "sum": ((2048, 512),),
        "max": ((2048, 512),),
        "multiply": ((2048, 512), (512,)),
        "conv2d 3x3": ((16, 16, 32, 32), (32, 16, 3, 3)),
        "conv2d 1x1": ((16, 64, 32, 32), (64, 64, 1, 1)),
    },
    "smoke": {
        "matmul": ((4, 5), (5, 3)),
        "softmax": ((4, 5),),
        "logsumexp": ((4, 5),),
        "layer_norm": ((4, 5),),
        "sum": ((4, 5),),
        "max": ((4, 5),),
        "multiply": ((4, 5), (5,)),
        "conv2d 3x3": ((2, 3, 6, 6), (4, 3, 3, 3)),
        "conv2d 1x1": ((2, 3, 6, 6), (4, 3, 1, 1)),
    },
}


def operation_data(params: dict[str, Any]) -> list[Float32]:
    """Normal numbers of the shapes that a job names."""
    rng = np.random.default_rng(SEED)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in params["shapes"]]


def cotangent_like(y: Any) -> Float32:
    """Normal numbers of the shape of a result."""
    return np.random.default_rng(SEED + 1).standard_normal(tuple(y.shape), dtype=np.float32)


def gpugrad_functions() -> Functions:
    """gpugrad's."""
    import gpugrad as gg

    return {
        "matmul": gg.matmul,
        "softmax": gg.softmax,
        "logsumexp": lambda x: gg.logsumexp(x, axis=-1),
        "layer_norm": lambda x: gg.layer_norm(x, x.shape[-1]),
        "sum": lambda x: gg.sum(x, axis=0),
        "max": lambda x: gg.max(x, axis=1),
        "multiply": gg.multiply,
        "conv2d 3x3": lambda x, w: gg.conv2d(x, w, padding=1),
        "conv2d 1x1": gg.conv2d,
    }


def torch_functions() -> Functions:
    """PyTorch's."""
    import torch
    from torch.nn import functional

    return {
        "matmul": torch.matmul,
        "softmax": lambda x: torch.softmax(x, -1),
        "logsumexp": lambda x: torch.logsumexp(x, -1),
        "layer_norm": lambda x: functional.layer_norm(x, x.shape[-1:]),
        "sum": lambda x: torch.sum(x, 0),
        "max": lambda x: torch.amax(x, 1),
        "multiply": torch.mul,
        "conv2d 3x3": lambda x, w: functional.conv2d(x, w, padding=1),
        "conv2d 1x1": functional.conv2d,
    }


def jax_functions() -> Functions:
    """JAX's."""
    import jax
    import jax.numpy as jnp

    def layer_norm(x: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        return centred / jnp.sqrt((centred * centred).mean(-1, keepdims=True) + 1e-5)

    return {
        "matmul": jnp.matmul,
        "softmax": jax.nn.softmax,
        "logsumexp": lambda x: jax.nn.logsumexp(x, axis=-1),
        "layer_norm": layer_norm,
        "sum": lambda x: x.sum(0),
        "max": lambda x: x.max(1),
        "multiply": jnp.multiply,
        "conv2d 3x3": lambda x, w: jax.lax.conv(x, w, (1, 1), "SAME"),
        "conv2d 1x1": lambda x, w: jax.lax.conv(x, w, (1, 1), "SAME"),
    }


def array_functions(xp: Any) -> Functions:
    """Those of a bare array module (NumPy, CuPy, autograd's NumPy), as one would write them by hand."""

    def softmax(x: Any) -> Any:
        shares = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
        return shares / xp.sum(shares, axis=-1, keepdims=True)

    def logsumexp(x: Any) -> Any:
        high = xp.max(x, axis=-1, keepdims=True)
        return xp.log(xp.sum(xp.exp(x - high), axis=-1)) + high[:, 0]

    def layer_norm(x: Any) -> Any:
        centred = x - xp.mean(x, axis=-1, keepdims=True)
        return centred / xp.sqrt(xp.mean(centred * centred, axis=-1, keepdims=True) + np.float32(1e-5))

    return {
        "matmul": xp.matmul,
        "softmax": softmax,
        "logsumexp": logsumexp,
        "layer_norm": layer_norm,
        "sum": lambda x: xp.sum(x, axis=0),
        "max": lambda x: xp.max(x, axis=1),
        "multiply": lambda x, y: x * y,
    }


def convolutions(xp: Any) -> Functions:
    """Convolutions on bare arrays: one product of matrices over a view of all patches."""

    def conv2d(x: Any, w: Any, padding: int) -> Any:
        x = xp.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        patches = xp.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
        return xp.tensordot(patches, w, axes=((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)

    return {"conv2d 3x3": lambda x, w: conv2d(x, w, 1), "conv2d 1x1": lambda x, w: conv2d(x, w, 0)}
