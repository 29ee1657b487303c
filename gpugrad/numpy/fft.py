"""`numpy.fft`'s names on arrays and tensors: all of them, with gradients."""

from __future__ import annotations

import numpy as _numpy
from numpy.fft import fftfreq, rfftfreq

from ..ops.arguments import holds_tensor
from ..ops.fft import (
    fft,
    fft2,
    fftn,
    fftshift,
    hfft,
    ifft,
    ifft2,
    ifftn,
    ifftshift,
    ihfft,
    irfft,
    irfft2,
    irfftn,
    rfft,
    rfft2,
    rfftn,
)
from ..signatures import adopt

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]

adopt(globals(), _numpy.fft, holds_tensor)
