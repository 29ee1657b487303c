"""What can be asked for of convolutions on GPUs: small, so that `gpugrad.cuda` knows it without loading kernels."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

ALGORITHMS: Final = ("auto", "cudnn", "im2col")
# What was asked for in this thread: one of ALGORITHMS.
algorithm: Final[ContextVar[str]] = ContextVar("gpugrad_cuda_convolution", default="auto")

_limit: Final = [128 << 20]  # as much as makes products large enough, and little beside a network's activations


def memory_limit() -> int:
    """Bytes of patches that a convolution of our own lays out at a time."""
    return _limit[0]


def set_memory_limit(limit: int) -> None:
    """Change them."""
    _limit[0] = limit
