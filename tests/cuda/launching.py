"""Launching kernels built for the host in tests: elementwise ones through their launch plan, row kernels by family."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from gpugrad.backend.cuda_axes import Launch
from gpugrad.fusion.cuda_compiler import SCALAR, CudaLauncher, CudaSource
from gpugrad.fusion.cuda_sources import SOURCES, row_source
from tests.cuda.hostexec import HostKernel, HostModule

ROWS_A_WARP = {"four": 8, "sixteen": 2, "warp": 1}
THREADS = {"block64": 64, "block128": 128, "block256": 256, "shared": 64}
Array = np.ndarray[Any, np.dtype[Any]]
Kernels = dict[str, HostKernel]


def build(texts: Sequence[str], batch: int = 30) -> Kernels:
    """All kernels of `texts`, built in a few translation units, as many at a time as there are cores."""
    # The skeleton is taken from the first text of a unit; it must know the half types that any of them uses.
    head = [f"#define {half}\n" for half in ("GG_HALF", "GG_BFLOAT16") if any(f"#define {half}" in t for t in texts)]
    units = [[*head, *texts[i : i + batch]] if batch > 1 else texts[i] for i in range(0, len(texts), batch)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        modules = list(pool.map(HostModule, units))
    return {name: module.get_function(name) for module in modules for name in module.names}


def aligned(shape: Sequence[int], dtype: Any, fill: Any = None) -> Array:
    """An array on a 256-byte boundary, as a device allocator gives, filled with a pattern that shows."""
    count = int(np.prod(shape, dtype=np.int64))
    raw = np.full(count * np.dtype(dtype).itemsize + 256, 0xA5, np.uint8)
    start = -raw.ctypes.data % 256
    array = raw[start : start + count * np.dtype(dtype).itemsize].view(dtype).reshape(tuple(shape))
    if fill is not None:
        array[...] = fill
    return array


def storage(dtype: str) -> np.dtype[Any]:
    """How arrays of a kernel's `dtype` are held here: both half types as their 16 bits."""
    return np.dtype(np.uint16 if dtype in ("float16", "bfloat16") else dtype)


def stored_as(x: Any, dtype: str) -> Array:
    """The values of `x` as an array of the kernel's `dtype`."""
    x = np.asarray(x, np.float64)
    if dtype == "float16":
        return aligned(x.shape, np.uint16, x.astype(np.float16).view(np.uint16))
    if dtype == "bfloat16":
        return aligned(x.shape, np.uint16, x.astype(np.float32).view(np.uint32) >> 16)
    return aligned(x.shape, dtype, x)


def as_float(stored: Array, dtype: str) -> Array:
    """What an array of the kernel's `dtype` holds, as floats."""
    if dtype == "float16":
        return stored.view(np.float16).astype(np.float32)
    if dtype == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored


def elementwise(
    kernels: Kernels, source: CudaSource, inputs: Sequence[Any], outputs: Sequence[Array], expect: str | None = None
) -> None:
    """Run one elementwise kernel into `outputs`; `expect` names the entry point that the plan must choose."""
    launcher = CudaLauncher(source)
    shape = outputs[0].shape
    arrays = [a for a, d in zip(inputs, source.dtypes, strict=True) if d != SCALAR] + list(outputs)
    strides = [
        None
        if a.shape == shape and a.flags.c_contiguous
        else tuple(0 if n == 1 else s for n, s in zip(a.shape, a.strides, strict=True))
        for a in arrays
    ]
    plan = launcher.plan(shape, strides, [a.ctypes.data for a in arrays])
    if plan is None:
        return
    assert expect is None or plan.entry.endswith(f"_{expect}"), plan
    scalars = [launcher.scalar_type(a) if d == SCALAR else a for a, d in zip(inputs, source.dtypes, strict=True)]
    kernels[plan.entry](plan.grid, plan.block, (plan.first, *scalars, *outputs))


def _twin(a: Array) -> Array:
    """A copy that begins as far from a 16-byte boundary as `a` does, if `a` has no gaps."""
    if a.dtype.fields is not None or not a.flags.c_contiguous or not a.size:
        return a.copy()
    off = a.ctypes.data % 16 // a.itemsize
    twin = aligned((off + a.size,), a.dtype)[off:].reshape(a.shape)
    twin[...] = a
    return twin


def packed_words(launch: Launch) -> Array:
    """The axes of a reduction's launch as its kernel takes them: one struct, by value."""
    return np.array(launch.words, np.int64).view([("words", "i8", (len(launch.words),))])


class Rows:
    """The hand-written kernels of one dtype: of some files, or of all of them.

    Each launch is done twice, with the threads of a block forwards and backwards: the results must be the same bits,
    or a barrier is missing.
    """

    def __init__(self, dtype: str, files: Sequence[str] = tuple(SOURCES)) -> None:
        self.dtype = dtype
        self.real = np.dtype("float64" if dtype == "float64" else "float32")
        self.scalar: type[Any] = self.real.type
        self.tolerance = {"float64": 1e-11, "float32": 1e-5, "float16": 2e-3, "bfloat16": 1.6e-2}[dtype]
        self.kernels = build([row_source(file, dtype) for file in files], batch=1)

    def given(self, x: Any) -> tuple[Array, Array]:
        """`x` rounded to this dtype: as stored, and the same values in float64."""
        stored = stored_as(x, self.dtype)
        return stored, as_float(stored, self.dtype).astype(np.float64)

    def empty(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        return aligned(shape, storage(self.dtype) if dtype is None else dtype)

    def read(self, stored: Array) -> Array:
        return as_float(stored, self.dtype) if stored.dtype == storage(self.dtype) else stored

    def check(self, got: Array, wanted: Any, factor: float = 1.0) -> None:
        tolerance = factor * self.tolerance
        np.testing.assert_allclose(self.read(got), wanted, rtol=tolerance, atol=tolerance)

    def run(
        self, kernel: str, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], shared: int = 0
    ) -> None:
        """Launch `kernel` with bytes of shared memory; arrays in `args` are written to."""
        entry = next(s for s in SOURCES.values() if kernel in s.kernels).entry(kernel, self.dtype)
        copies = {id(a): _twin(a) for a in args if isinstance(a, np.ndarray)}  # an array may come twice
        before = [copies.get(id(a), a) for a in args]
        self.kernels[entry].max_dynamic_shared_size_bytes = max(shared, 48 << 10)
        self.kernels[entry](grid, block, before, shared_mem=shared, backwards=True)
        self.kernels[entry](grid, block, args, shared_mem=shared)
        for a, b in zip(args, before, strict=True):
            if isinstance(a, np.ndarray) and a.dtype.fields is None:  # what is passed by value has padding
                assert a.tobytes() == b.tobytes(), f"{entry}: the result depends on the order of threads"

    def run_rows(self, kernel: str, way: str, rows: int, args: Sequence[Any], shared: int = 0) -> None:
        """Launch a kernel over rows in one of its forms; fewer blocks than there are rows, where that is allowed."""
        if way in ROWS_A_WARP:
            self.run(f"{kernel}_{way}", (max(1, -(-rows // ROWS_A_WARP[way]) // 2),), (64,), args)
        else:
            self.run(f"{kernel}_{way}", (rows,), (THREADS[way],), args, shared)


@functools.cache
def rows_of(dtype: str) -> Rows:
    """All hand-written kernels of a dtype, built once."""
    return Rows(dtype)
