"""What can be asked of convolutions on GPUs and of CuPy's errors: small, so that `gpugrad.cuda` loads no kernels."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
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


# Whether CuPy's functions say what to use in place of them, and who sees to it: a floor above, told of it here.
_hints: Final = [os.environ.get("GPUGRAD_CUPY_HINTS", "").strip() != "0"]
hinting: Final[list[Callable[[bool], None]]] = []


def hints() -> bool:
    """Whether CuPy's functions are to say what to use for tensors."""
    return _hints[0]


def set_hints(on: bool) -> None:
    """Change it; at once if CuPy is there already."""
    _hints[0] = on
    if "cupy" in sys.modules:
        apply_hints()


def apply_hints() -> None:
    """Called when a GPU comes into use."""
    for put in hinting:
        put(_hints[0])
