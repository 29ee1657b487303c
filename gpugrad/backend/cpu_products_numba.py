"""The call of the convolutions' loop that is a matrix product: taking addresses in Python would cost a tenth of it.

This file is run from a copy in the kernel cache (see `gpugrad.fusion.numba_cache`), hence the absolute imports.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpugrad.fusion import numba_memory as memory
from gpugrad.fusion.numba_cache import kernel


@kernel
def product(loop: Any, a: Any, b: Any, start: Any, out: Any, part: Any, block: Any) -> Any:
    """out = a @ b + start by the loop `forward` of `cpu_conv_numba` at an address, whose table this fills.

    `part`: how many numbers are added up at a time; `block`: bytes of a block of columns.
    """
    table = np.zeros(27, np.int64)
    table[0], table[1], table[2], table[3] = a.ctypes.data, b.ctypes.data, out.ctypes.data, start.ctypes.data
    # One image of one line, whose pixels are the rows of `a`, and kernels of one element.
    table[6], table[9] = a.strides[0], out.strides[0]
    table[10], table[11], table[12] = 1, a.shape[0], b.shape[1]
    table[13], table[16], table[19] = 1, 1, 1
    table[22], table[23], table[24] = a.shape[1], a.strides[1], b.strides[0]
    table[25], table[26] = part, block
    return memory.call_strip(loop, table.ctypes.data, 0, 1)
