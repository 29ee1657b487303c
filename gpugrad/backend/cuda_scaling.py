"""A loss scale in the memory of GPUs: nothing of it is read while training, so steps neither wait nor end a capture.

When it is asked what is `optim.scaler`'s business; the kernels are in `kernels/optim.cu`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from . import backend_of, capturing
from .base import Array
from .cuda_launch import function


class _Copy:
    """The scale on one GPU.

    Attributes:
        factors: (2,) float32, the scale and its inverse.
        good: (1,) int64, the steps since it last changed.
        anywhere: (1,) int32, 1 where gradients on this GPU overflowed since the last `adapt`.
    """

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.factors = backend.empty((2,), np.float32)
        self.good = backend.empty((1,), np.int64)
        self.anywhere = backend.empty((1,), np.int32)

    def write(self, scale: float, good_steps: int) -> None:
        with self.backend.place():  # by kernels: copies from the host would wait
            self.factors[:1].fill(scale)
            self.factors[1:].fill(1.0 / scale)
            self.good.fill(good_steps)
            self.anywhere.fill(0)


class LossScale:
    """The scale, its inverse, and the steps since it last changed, on each GPU that it meets.

    All copies are adapted by the same kernel from the same flags, so they stay equal.

    Args:
        backend: of the first GPU.
        scale: to start with.
        good_steps: likewise.
    """

    def __init__(self, backend: Any, scale: float, good_steps: int) -> None:
        self._copies = {backend: _Copy(backend)}
        self.write(scale, good_steps)

    @property
    def factors(self) -> list[Array]:
        """On each GPU, (2,) float32: the scale and its inverse."""
        return [copy.factors for copy in self._copies.values()]

    def _on(self, backend: Any) -> _Copy:
        """The scale on a GPU; comes from the first one when it is first asked for.

        Raises:
            CaptureError: that is while a step is being recorded, whose replays would set it again.
        """
        if backend not in self._copies:
            capturing.refuse("uses a loss scale on a GPU that did not have it before")
            first = next(iter(self._copies.values()))
            made = _Copy(backend)
            made.factors = backend.receive(first.factors, first.backend)
            made.good = backend.receive(first.good, first.backend)
            with backend.place():
                made.anywhere.fill(0)
            self._copies[backend] = made
        return self._copies[backend]

    def write(self, scale: float, good_steps: int) -> None:
        """Set both from the host.

        Raises:
            CaptureError: a step is being recorded, whose replays would set them again.
        """
        capturing.refuse("sets the loss scale, which each replay would set again")
        for copy in self._copies.values():
            copy.write(scale, good_steps)

    def read(self) -> tuple[float, int]:
        """The scale and the good steps; waits for the device."""
        first = next(iter(self._copies.values()))
        host = first.backend.to_host
        return float(host(first.factors)[0]), int(host(first.good)[0])

    def factor(self, inverse: bool, dtype: Any, backend: Any) -> Array:
        """The scale, or its inverse, as an array without axes of a dtype on a GPU."""
        with backend.place():
            return self._on(backend).factors[int(inverse)].astype(dtype, copy=False)

    def unscale(self, gradients: Iterable[list[Array]]) -> dict[Any, Array]:
        """Multiply gradients (lists of arrays of one GPU and dtype each) by the inverse, in place.

        Returns:
            By backend, (1,) int32: 1 where one of all gradients, wherever it lies, held an infinity or a nan (or, in
            float32, values of 1e19), else 0.
        """
        found: dict[Any, Array] = {}
        for grads in gradients:
            backend: Any = backend_of(grads[0])
            optim = backend.optim
            with backend.place():
                if backend not in found:
                    found[backend] = backend.empty((1,), np.int32)
                    found[backend].fill(0)
                optim.judge(optim.squared_norm(grads), found[backend], self._on(backend).anywhere)
                wide = np.float64 if grads[0].dtype in (np.float64, np.complex128) else np.float32
                optim.scale(grads, self.factor(True, wide, backend))
        _agree(found)
        return found

    def adapt(self, growth: float, backoff: float, interval: int) -> None:
        """Change the scale by what was found since the last time."""
        numbers = np.float32(growth), np.float32(backoff), np.int64(interval)
        _agree({backend: copy.anywhere for backend, copy in self._copies.items()})
        for backend, copy in self._copies.items():
            with backend.place():
                given = copy.factors, copy.good, copy.anywhere, *numbers
                function("optim.cu", "loss_scale", "float32")((1,), (1,), given)


def _agree(flags: Mapping[Any, Array]) -> None:
    """Set the flags on all GPUs to 1 where one of them is."""
    if len(flags) < 2:
        return
    (home, flag), *others = flags.items()
    for backend, other in others:
        theirs = home.receive(other, backend)
        with home.place():
            home.xp.maximum(flag, theirs, out=flag)
    for backend, other in others:
        common = backend.receive(flag, home)
        with backend.place():
            other[...] = common
