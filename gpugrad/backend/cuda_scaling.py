"""A loss scale in the memory of a GPU: nothing of it is read while training, so steps neither wait nor end a capture.

When it is asked what is `optim.scaler`'s business; the kernels are in `kernels/optim.cu`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from . import capturing
from .base import Array
from .cuda_rows import function


class LossScale:
    """The scale, its inverse, and the steps since it last changed.

    Args:
        backend: of the GPU.
        scale: to start with.
        good_steps: likewise.

    Attributes:
        factors: (2,) float32, the scale and its inverse.
    """

    def __init__(self, backend: Any, scale: float, good_steps: int) -> None:
        self.backend = backend
        self.factors = backend.empty((2,), np.float32)
        self._good = backend.empty((1,), np.int64)
        self._any = backend.empty((1,), np.int32)
        self.write(scale, good_steps)

    def write(self, scale: float, good_steps: int) -> None:
        """Set both from the host.

        Raises:
            CaptureError: a step is being recorded, whose replays would set them again.
        """
        capturing.refuse("sets the loss scale, which each replay would set again")
        with self.backend.place():  # by kernels: copies from the host would wait
            self.factors[:1].fill(scale)
            self.factors[1:].fill(1.0 / scale)
            self._good.fill(good_steps)
            self._any.fill(0)

    def read(self) -> tuple[float, int]:
        """The scale and the good steps; waits for the device."""
        host = self.backend.to_host
        return float(host(self.factors)[0]), int(host(self._good)[0])

    def factor(self, inverse: bool, dtype: Any) -> Array:
        """The scale, or its inverse, as an array without axes of a dtype."""
        with self.backend.place():
            return self.factors[int(inverse)].astype(dtype, copy=False)

    def unscale(self, gradients: Iterable[list[Array]]) -> Array:
        """Multiply gradients by the inverse, in place.

        Returns:
            (1,) int32: 1 where one of them held an infinity or a nan (or, in float32, values of 1e19), else 0.
        """
        optim = self.backend.optim
        found = self.backend.empty((1,), np.int32)
        with self.backend.place():
            found.fill(0)
            for grads in gradients:
                optim.judge(optim.squared_norm(grads), found, self._any)
                optim.scale(grads, self.factor(True, np.float64 if grads[0].dtype == np.float64 else np.float32))
        return found

    def adapt(self, growth: float, backoff: float, interval: int) -> None:
        """Change the scale by what was found since the last time."""
        numbers = np.float32(growth), np.float32(backoff), np.int64(interval)
        with self.backend.place():
            function("optim.cu", "loss_scale", "float32")((1,), (1,), (self.factors, self._good, self._any, *numbers))
