"""Matrix products of middling size on the CPU, in the compiled loops of convolutions, on one thread.

OpenBLAS first copies the right factor into an order of its own, which at a few dozen rows takes a sixth of the time;
the tile of `fusion.numba_tile` reads it where it lies, and starts from the bias of a layer. Larger products are
OpenBLAS's, on all threads.
"""

from __future__ import annotations

import functools
from typing import Any, Final

import numpy as np

from ..fusion.numba_cache import numba_wanted
from .base import Array
from .cpu_layout import loaded

# Multiply-adds from which on the loops are worth loading Numba for (as `cpu_conv.COMPILED`), and up to which one
# thread is enough (see `numpy_backend`); rows under which a tile would be too low.
LEAST, MOST, ROWS = 1 << 20, 1 << 22, 8
# Multiply-adds of one element of the result that are summed up at a time, as long sums are to be cut.
PART: Final = 256


@functools.cache
def _loops(dtype: Any) -> Any:
    return loaded("cpu_conv_numba.py", BITS=dtype.itemsize * 8, VECTORS=2, HALF=False, DEPTHWISE=False)


@functools.cache
def _ready(dtype: Any) -> tuple[Any, int, int]:
    """The call, the address of the loop and the bytes of a block of columns, for a dtype."""
    loops = _loops(dtype)
    return loaded("cpu_products_numba.py").product, loops.forward.address, loops.BYTES


@functools.cache
def _zeros(dtype: Any, count: int) -> Array:
    return np.zeros(count, dtype)


def takes(a: Array, b: Array, bias: Array | None = None) -> bool:
    """Whether `product` is the way for these: whole blocks of columns, which lie side by side, of one float type."""
    if not numba_wanted():
        return False
    dtype, item, columns = a.dtype, b.itemsize, b.shape[-1]
    if b.strides[-1] != item or columns % 16 or dtype is not b.dtype or dtype not in (np.float32, np.float64):
        return False
    if not (a.ndim == 2 == b.ndim and len(a) >= ROWS and LEAST <= a.size * columns <= MOST):
        return False
    if bias is not None and (bias.dtype is not dtype or not bias.flags.c_contiguous):
        return False
    return bool(columns % _loops(dtype).BLOCK == 0)


def product(a: Array, b: Array, bias: Array | None, out: Array) -> None:
    """out = a @ b + bias, where `takes(a, b, bias)`.

    Args:
        a: (m, k), in any order.
        b: (k, n).
        bias: (n,), or None.
        out: (m, n) in C order, apart from the others in memory.
    """
    run, loop, block = _ready(a.dtype)
    run(loop, a, b, _zeros(a.dtype, b.shape[1]) if bias is None else bias, out, PART, block)
