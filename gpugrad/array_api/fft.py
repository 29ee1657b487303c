"""The array API's extension `fft`: the transforms of `gg.fft`, and frequencies as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.creation import asarray, get_default_dtype
from ..ops.fft import fft, fftn, fftshift, hfft, ifft, ifftn, ifftshift, ihfft, irfft, irfftn, rfft, rfftn

__all__ = [
    "fft", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifftn", "ifftshift", "ihfft", "irfft", "irfftn", "rfft",
    "rfftfreq", "rfftn",
]  # fmt: skip


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of a transform of length `n`, in cycles for each unit of the spacing `d`."""
    return _placed(np.fft.fftfreq(n, d), dtype, device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of a real transform of length `n`, in cycles for each unit of the spacing `d`."""
    return _placed(np.fft.rfftfreq(n, d), dtype, device)


def _placed(values: Any, dtype: Any, device: Any) -> Any:
    return asarray(values.astype(np.dtype(get_default_dtype() if dtype is None else dtype)), device=device)
