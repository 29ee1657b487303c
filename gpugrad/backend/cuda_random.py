"""Random numbers on the GPU, by the kernels of `kernels/random.cu` from the stream that dropout's masks come from.

Seed and offset are read from device memory, so that a captured step draws new numbers in each replay; an offset is
reserved on the host, so that drawing never waits and can be repeated (`Backend.replaying`).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from . import capturing
from .base import Array
from .cuda_launch import compute_type, current_stream, flat_grid, function
from .cuda_rows import stream_of

_BLOCK: Final = 256
_OWN: Final = ("float16", "bfloat16", "float32", "float64")


def draw(backend: Any, kind: str, shape: tuple[int, ...], dtype: Any, low: Any, high: Any) -> Array:
    """`Backend.random` on the GPU of `backend`, which is the current one."""
    if kind == "permutation":
        keys = draw(backend, "uniform", shape, np.dtype(np.float64), 0, 1)
        return backend.xp.argsort(keys).astype(dtype, copy=False)
    wanted: Any = dtype
    if kind == "integers":
        wanted = np.dtype(np.int64)
        numbers: Any = np.int64(low), np.uint64(int(high) - int(low))
    else:
        wanted = dtype if dtype.name in _OWN else np.dtype(np.float32)
        wide = compute_type(wanted)
        numbers = wide(low), wide(high - low if kind == "uniform" else high)
    y = backend.empty(shape, wanted)
    n = math.prod(shape)
    if n:
        seed, offset = backend.reserve_random(2 * n if wanted.itemsize == 8 else n)
        capture = capturing.current()
        if capture is None:
            state = stream_of(seed, backend.device.index, current_stream())
        else:
            state, offset = capture.random_state(seed, offset)
        entry = function("random.cu", kind, "float32" if kind == "integers" else wanted.name)
        entry(flat_grid(n), (_BLOCK,), (y, np.int64(n), state, np.uint64(offset), *numbers))
    return y.astype(dtype, copy=False)
