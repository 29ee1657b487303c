"""Launching kernels built for the host in tests: elementwise ones through their launch plan, row kernels by family."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from gpugrad.fusion.cuda_compiler import SCALAR, CudaLauncher, CudaSource
from gpugrad.fusion.cuda_sources import SOURCES, row_source
from tests.cuda.hostexec import HostKernel, HostModule

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


class Rows:
    """The row kernels of one dtype. Each is run with its threads forwards and backwards: the results must be the
    same bits, or a barrier is missing."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.real = np.dtype("float64" if dtype == "float64" else "float32")
        self.kernels = build([row_source(file, dtype) for file in SOURCES], batch=1)

    def run(
        self,
        kernel: str,
        grid: Sequence[int],
        block: Sequence[int],
        args: Callable[[], Sequence[Any]],
    ) -> Sequence[Any]:
        """Launch `kernel` twice on fresh arguments from `args` and return those of the first."""
        entry = next(s for s in SOURCES.values() if kernel in s.kernels).entry(kernel, self.dtype)
        first, second = args(), args()
        self.kernels[entry](grid, block, first)
        self.kernels[entry](grid, block, second, backwards=True)
        for a, b in zip(first, second, strict=True):
            if isinstance(a, np.ndarray):
                assert a.tobytes() == b.tobytes(), f"{entry}: depends on the order of threads"
        return first
