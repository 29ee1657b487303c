"""What a machine can do at best: its rate of a large matrix product, and of a copy, measured when asked.

Sizes grow until a call is long against the clock, so the same code fits a laptop and a large GPU; the best size counts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..backend import Backend

_PRODUCT = (512, 8192)  # rows of the smallest and the largest square product
_LONG = 0.03  # seconds of a product that is long enough
_COPY = (1 << 26, 1 << 30)  # bytes; far beyond the caches
_BURST, _WARM = 0.005, 0.05  # seconds of work of a repeat, and before the first one, on a GPU


@dataclass(frozen=True)
class Ceilings:
    """The best of several calls.

    Attributes:
        flops_per_s: of a square matrix product of `dtype`, a multiply-add counted as two.
        bytes_per_s: of a copy, read and written.
        dtype: element type of the product.
    """

    flops_per_s: float
    bytes_per_s: float
    dtype: str = "float32"

    def at_least(self, flops: float, nbytes: float) -> float:
        """Seconds that so much work takes at best: as long as its arithmetic or its traffic, whichever is longer."""
        return max(flops / self.flops_per_s, nbytes / self.bytes_per_s)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def measure_ceilings(backend: Backend, dtype: Any = np.float32, repeats: int = 5) -> Ceilings:
    """Measure both on the device of `backend`; takes about a second on a CPU.

    Args:
        backend: the device.
        dtype: of the product.
        repeats: calls of which the fastest counts.
    """
    flops, nbytes = product_ceiling(backend, dtype, repeats), copy_ceiling(backend, repeats)
    return Ceilings(flops, nbytes, np.dtype(dtype).name)


def product_ceiling(backend: Backend, dtype: Any, repeats: int = 5) -> float:
    """Arithmetic a second of a large square matrix product, a multiply-add counted as two."""
    n, flops = _PRODUCT[0], 0.0
    while n <= _PRODUCT[1]:
        seconds = _product_seconds(backend, n, dtype, repeats)
        flops = max(flops, 2 * n**3 / seconds)
        # On a busy machine a small product may look slow: the arithmetic decides when a size is large enough.
        if 2 * n**3 / flops > _LONG:
            break
        n *= 2
    return flops


def copy_ceiling(backend: Backend, repeats: int = 5) -> float:
    """Bytes a second of a large copy, read and written."""
    size, nbytes = _COPY[0], 0.0
    while size <= _COPY[1]:
        nbytes = max(nbytes, 2 * size / _copy_seconds(backend, size, repeats))
        if 2 * size / nbytes > _LONG / 10:
            break
        size *= 2
    return nbytes


def _product_seconds(backend: Backend, n: int, dtype: Any, repeats: int) -> float:
    # Numbers of all kinds: products of zeros or ones take less power, and some devices then run faster.
    drawn = np.random.default_rng(0).standard_normal(1 << 16, dtype=np.float32)
    a, b = (backend.from_host(np.resize(d, (n, n)).astype(dtype)) for d in (drawn, drawn[::-1]))
    out = backend.empty((n, n), dtype)
    return best_of(backend, lambda: backend.matmul(a, b, out), repeats)


def _copy_seconds(backend: Backend, size: int, repeats: int) -> float:
    drawn = np.random.default_rng(0).integers(0, 256, 1 << 16, np.uint8)
    source = backend.from_host(np.resize(drawn, size))
    target = source.copy()
    return best_of(backend, lambda: target.__setitem__(..., source), repeats)


def best_of(backend: Backend, call: Any, repeats: int) -> float:
    """Seconds of the fastest of `repeats` calls, after one that is not counted.

    On a GPU a repeat is several calls, given out before the first is over: a call's own way through the host is no
    part of what its kernels take. Before that the device works for a moment, because its clock falls when it is idle.
    """
    call()
    count = 1
    if backend.device.type == "cuda":
        first = _seconds(backend, call, 1)
        count = max(1, min(100, int(_BURST / first)))
        _seconds(backend, call, max(1, min(10_000, int(_WARM / first))))
    return max(min(_seconds(backend, call, count) for _ in range(repeats)), 1e-9)


def _seconds(backend: Backend, call: Any, count: int) -> float:
    backend.synchronize()
    start = backend.mark()
    for _ in range(count):
        call()
    stop = backend.mark()
    backend.synchronize()
    return max(backend.elapsed(start, stop) / count, 1e-9)
