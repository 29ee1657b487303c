"""Bridges to PyTorch and JAX: tensors and functions that cross with their gradients, in both directions.

Each library is imported when its bridge is first used. Arrays without gradients cross by DLPack as well, see
`gg.from_dlpack`.
"""

from .jax import from_jax, to_jax
from .torch import from_torch, to_torch

__all__ = ["from_jax", "from_torch", "to_jax", "to_torch"]
