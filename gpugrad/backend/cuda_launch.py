"""What launches of hand-written kernels share: entry points, compute types, forms for rows."""

from __future__ import annotations

import functools
from typing import Any, Final

import numpy as np

from ..fusion.cuda_compiler import SOURCES, row_source
from .cuda_kernels import load
from .handles import of_gpus

BLOCK: Final = 256
MAX_GRID: Final = 65535
# Forms of kernels over rows (kernels/rows.cuh) and the columns that registers hold in each; in float64 half as many.
_HELD: Final = {"four": 64, "sixteen": 256, "warp": 1024, "block64": 2048, "block128": 4096, "block256": 8192}
_TEAMS: Final = {"four": 64, "sixteen": 16, "warp": 8}  # rows of a block of 256 threads
_THREADS: Final = {"block64": 64, "block128": 128}  # of a block; others have 256
_MOST_BLOCKS: Final = 1 << 14  # of those: more only wait to be started
# Blocks of a kernel that keeps sums of columns beside a row, for whose registers a multiprocessor has room (sm_90).
RESIDENT: Final = {"four": 2, "sixteen": 2, "warp": 1, "block64": 6, "block128": 3, "block256": 1, "shared": 2}
_GRANTED: Final = 48 << 10  # bytes of shared memory that a launch may ask for on any device, unless the kernel is told
_STATIC: Final = 1 << 10  # more than any kernel over rows has besides


@of_gpus
@functools.lru_cache(maxsize=512)
def function(file: str, kernel: str, dtype: Any) -> Any:
    """The entry point `kernel` of `kernels/<file>` for arrays of `dtype` (or its name), as a `RawKernel`.

    Raises:
        TypeError: there is no such kernel for this dtype.
    """
    source = SOURCES[file]
    dtype = dtype if isinstance(dtype, str) else dtype.name  # NumPy puts names together at each call
    if dtype not in source.dtypes:
        raise TypeError(f"[{kernel}] dtype = {dtype}; expected {', '.join(source.dtypes)}, convert with x.astype(...)")
    return load(row_source(file, dtype, source.form(kernel))).get_function(source.entry(kernel, dtype))


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


def size(x: Any) -> tuple[int, int]:
    """Rows and columns of an array of rows."""
    return x.size // x.shape[-1], x.shape[-1]


@functools.lru_cache(maxsize=4096)
def sizes(rows: int, columns: int) -> tuple[Any, Any]:
    """The same as kernels take them; NumPy takes as long to make two numbers as to look them up here four times."""
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


@functools.lru_cache(maxsize=1024)
def form(columns: int, itemsize: int) -> str:
    """The form in which kernels work on rows of so many columns."""
    held = columns * (2 if itemsize == 8 else 1)
    return next((name for name, most in _HELD.items() if held <= most), "shared")


def launch_rows(
    file: str, kernel: str, dtype: Any, rows: int, columns: int, args: tuple[Any, ...], held: int = 0
) -> None:
    """Launch a kernel over rows in the form for its columns; `args` in its own order, sizes included.

    `held` says how many arrays its shared form reads more than once, and so must have room for.

    Raises:
        ValueError: rows of 2^31 elements or more, which kernels do not count.
    """
    run, grid, block = _in_registers(file, kernel, dtype, rows, columns)
    if run is not None:
        run(grid, block, args)
    elif rows:
        _launch_shared(file, f"{kernel}_shared", dtype, rows, held * columns * dtype.itemsize, args)


@of_gpus
@functools.lru_cache(maxsize=4096)
def _in_registers(file: str, kernel: str, dtype: Any, rows: int, columns: int) -> tuple[Any, Any, Any]:
    """Entry point, grid and block for rows that registers hold; no entry point for longer rows, and for none."""
    if columns >> 31:
        raise ValueError(
            f"[{kernel}] rows of {columns} elements; expected fewer than 2^31: kernels count them in 32 bits, cut them"
        )
    way = form(columns, dtype.itemsize)
    if not rows or way == "shared":
        return None, (0,), (0,)
    grid = min(-(-rows // _TEAMS[way]), _MOST_BLOCKS) if way in _TEAMS else rows
    return function(file, f"{kernel}_{way}", dtype), (grid,), (_THREADS.get(way, BLOCK),)


def launch_units(
    file: str, kernel: str, dtype: Any, units: int, columns: int, args: tuple[Any, ...], wanted: int = 0
) -> None:
    """Launch a kernel of which each unit, a warp or a block by the columns, walks through rows of its own.

    `wanted` says how many bytes its shared form has a use for.
    """
    way = form(columns, dtype.itemsize)
    if way == "shared":
        _launch_shared(file, f"{kernel}_shared", dtype, units, wanted, args)
        return
    grid = -(-units // (BLOCK // 32)) if way in _TEAMS else units
    function(file, f"{kernel}_{way}", dtype)((grid,), (_THREADS.get(way, BLOCK),), args)


def _launch_shared(file: str, kernel: str, dtype: Any, blocks: int, wanted: int, args: tuple[Any, ...]) -> None:
    """Launch blocks with as much shared memory of what is `wanted` as the device gives one.

    1024 threads fill the registers of a multiprocessor. Where two rows fit into its shared memory two blocks of 512
    share it, so that one reads while the other writes.
    """
    import cupy

    device = cupy.cuda.runtime.getDevice()
    most = shared_memory(device)
    given = min(-(-wanted // 16) * 16, most)
    run = function(file, kernel, dtype)
    if given > _GRANTED:
        run = _with_shared_memory(file, kernel, dtype, device)
    run((blocks,), (1024 if 2 * given > most else 512,), args, shared_mem=given)


def rows_a_unit(way: str, rows: int, least: int, device: int) -> int:
    """The rows of a unit, a warp or a block, that keeps sums of columns beside a row and leaves a line of them.

    Every multiprocessor has as many units as every other, and no more than are at work at once: of a few more the last
    would start when the first are done, with most of the device waiting for them. `least` rows are worth a line.
    """
    import cupy

    runtime = cupy.cuda.runtime
    each = int(runtime.deviceGetAttribute(runtime.cudaDevAttrMultiProcessorCount, device))
    each *= BLOCK // 32 if way in _TEAMS else 1
    side_by_side = min(RESIDENT[way], max(1, rows // (least * each)))
    return max(least, -(-rows // (each * side_by_side)))


@of_gpus
@functools.cache
def shared_memory(device: int) -> int:
    """Bytes of shared memory that a block on a device may have for rows."""
    import cupy

    runtime = cupy.cuda.runtime
    most = runtime.deviceGetAttribute(runtime.cudaDevAttrMaxSharedMemoryPerBlockOptin, device)
    return (max(int(most), _GRANTED) - _STATIC) // 16 * 16


@of_gpus
@functools.cache
def _with_shared_memory(file: str, kernel: str, dtype: Any, device: int) -> Any:
    """An entry point that may ask for all of a device's shared memory: said once, as saying it can wait for copies."""
    run = function(file, kernel, dtype)
    run.max_dynamic_shared_size_bytes = shared_memory(device)
    return run


def flat_grid(n: int) -> tuple[int]:
    """A grid in which `n` threads, or as many as fit, have one thing each to do."""
    return (min(-(-n // BLOCK), MAX_GRID),)
