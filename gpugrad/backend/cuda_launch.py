"""What launches of hand-written kernels share: entry points, compute types, dense operands, one team for each row."""

from __future__ import annotations

import functools
from typing import Any, Final

import numpy as np

from ..fusion.cuda_compiler import SOURCES, row_source
from .cuda_kernels import load

WARP_COLUMNS: Final = 1024  # up to here one warp has a row, beyond it a block
BLOCK: Final = 256
_WARPS: Final = 4  # rows a block in the warp form
MAX_GRID: Final = 65535


@functools.lru_cache(maxsize=512)
def function(file: str, kernel: str, dtype: str) -> Any:
    """The entry point `kernel` of `kernels/<file>` for arrays of `dtype`, as a `RawKernel`.

    Raises:
        TypeError: there is no such kernel for this dtype.
    """
    source = SOURCES[file]
    if dtype not in source.dtypes:
        raise TypeError(f"[{kernel}] dtype = {dtype}; expected {', '.join(source.dtypes)}, convert with x.astype(...)")
    return load(row_source(file, dtype)).get_function(source.entry(kernel, dtype))


@functools.lru_cache(maxsize=64)
def compute_type(dtype: Any) -> Any:
    """The scalar type that kernels on arrays of `dtype` compute in: float64 for itself, else float32."""
    return np.float64 if dtype == np.float64 else np.float32


def new(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array on the current GPU, without values."""
    import cupy

    return cupy.ndarray(shape, dtype)


def current_stream() -> int:
    """The address of the stream that work is given to."""
    import cupy

    return int(cupy.cuda.get_current_stream().ptr)


def dense(x: Any) -> Any:
    """`x` in C order (itself, if it is)."""
    if x.flags.c_contiguous:
        return x
    import cupy

    return cupy.ascontiguousarray(x)


def size(x: Any) -> tuple[int, int]:
    """Rows and columns of an array of rows."""
    return x.size // x.shape[-1], x.shape[-1]


def sizes(rows: int, columns: int) -> tuple[Any, Any]:
    """The same as kernels take them."""
    return np.int64(rows), np.int64(columns)


def target(x: Any, out: Any) -> Any:
    """Where a kernel writes a result like `x`: `out` itself where it can take the work, else a new array."""
    usable = out is not None and out.dtype == x.dtype and out.shape == x.shape and out.flags.c_contiguous
    return out if usable else new(x.shape, x.dtype)


def result(y: Any, out: Any) -> Any:
    """`y`, or `out` with its values where that was asked for and is another array."""
    if out is None or out is y:
        return y
    out[...] = y.reshape(out.shape)
    return out


def launch_rows(file: str, kernel: str, dtype: Any, rows: int, columns: int, args: tuple[Any, ...]) -> None:
    """Launch the warp or the block form of a kernel over rows; `args` in its own order, sizes included."""
    if not rows:
        return
    if columns <= WARP_COLUMNS:
        run = function(file, f"{kernel}_warp", dtype.name)
        run((-(-rows // _WARPS),), (32 * _WARPS,), args)
    else:
        function(file, f"{kernel}_block", dtype.name)((rows,), (BLOCK,), args)


def flat_grid(n: int) -> tuple[int]:
    """A grid in which `n` threads, or as many as fit, have one thing each to do."""
    return (min(-(-n // BLOCK), MAX_GRID),)
