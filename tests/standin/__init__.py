"""A strict stand-in for CuPy: `with installed():` puts it in place, so that the whole GPU branch runs on a CPU.

It computes with NumPy, runs the real CUDA sources through `tests.cuda.hostexec`, refuses what CuPy refuses, and
counts what makes the host wait. It shows that the branch is right, not that a device agrees; see docs/gpu-status.md.
"""

import contextlib
import functools
import gc
import importlib
import importlib.util
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from .state import SHARED_MEMORY, STATE, State

__all__ = ["STATE", "State", "installed", "module", "real_cupy"]

_DTYPES = (
    "bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128 "
    "newaxis inf nan pi"
).split()


class _Module(types.ModuleType):
    """A module that says what to do when a name is missing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"the stand-in has no {self.__name__}.{name}: if gpugrad needs it and CuPy has it, list it in tests/standin"
        )


@functools.cache
def real_cupy() -> Any:
    """The real CuPy, for its signatures, or None where it is not installed; call before the stand-in is in place."""
    return importlib.import_module("cupy") if importlib.util.find_spec("cupy") else None


@functools.cache
def module() -> Any:
    """The stand-in as a module object."""
    from . import cuda, functions, linalg, memory
    from .ndarray import ndarray

    cupy = _Module("cupy")
    cupy.__dict__.update(functions.NAMES)
    cupy.__dict__.update({name: getattr(np, name) for name in _DTYPES})
    cupy.__dict__.update(
        ndarray=ndarray, __version__="14.2.0", RawModule=cuda.RawModule, dtype=np.dtype,
        get_default_memory_pool=memory.get_default_memory_pool,
    )  # fmt: skip
    device = _Module("cupy.cuda")
    names = "Device Stream Event MemoryHook get_current_stream get_elapsed_time runtime alloc_pinned_memory"
    for name in names.split():
        setattr(device, name, getattr(cuda, name))
    for name in "Memory MemoryPointer MemoryPool MemoryAsyncPool malloc_async get_allocator using_allocator".split():
        setattr(device, name, getattr(memory, name))
    device.memory = _Module("cupy.cuda.memory")
    device.memory.OutOfMemoryError = memory.OutOfMemoryError
    cupy.cuda = device
    cupy.fft = _Module("cupy.fft")
    for name in "fftn ifftn rfftn irfftn".split():
        setattr(cupy.fft, name, functions.fourier(name))
    cupy.lib = _Module("cupy.lib")
    cupy.lib.stride_tricks = _Module("cupy.lib.stride_tricks")
    cupy.lib.stride_tricks.as_strided = functions.as_strided
    cupy.linalg = _Module("cupy.linalg")
    cupy.linalg.__dict__.update(linalg.NAMES)
    return cupy


def _modules() -> dict[str, Any]:
    from . import special

    cupy = module()
    cupyx, scipy, functions = _Module("cupyx"), _Module("cupyx.scipy"), _Module("cupyx.scipy.special")
    for name in "erf erfc erfcx gammaln digamma".split():
        setattr(functions, name, getattr(special, name))
    functions.__dict__.update(special.EVALUATED)
    cupyx.scipy, scipy.special = scipy, functions
    return {
        "cupy": cupy, "cupy.cuda": cupy.cuda,
        "cupy.linalg": cupy.linalg, "cupy.fft": cupy.fft, "cupyx": cupyx, "cupyx.scipy": scipy,
        "cupyx.scipy.special": functions,
    }  # fmt: skip


def _bindings() -> dict[str, Any]:
    """nvmath-python's low-level bindings."""
    from . import cublaslt

    package, bindings, blas = _Module("nvmath"), _Module("nvmath.bindings"), _Module("nvmath.bindings.cublas")
    blas.ComputeType, blas.Operation = cublaslt.ComputeType, cublaslt.Operation
    package.bindings, bindings.cublasLt, bindings.cublas = bindings, cublaslt, blas
    return {
        "nvmath": package, "nvmath.bindings": bindings, "nvmath.bindings.cublas": blas,
        "nvmath.bindings.cublasLt": cublaslt,
    }  # fmt: skip


def _front_end() -> Any:
    """cuDNN's."""
    from . import cudnn

    return cudnn


def _only_expected_refusals(backends: Any) -> None:
    """What a library refuses is done another way, so a call that breaks its rules would not be seen in any number."""
    for known in backends:
        for library in (known.__dict__["_blas"], known.__dict__["_dnn"]):
            for what, why in getattr(library, "refused", {}).items():
                if not re.match(r"CUBLAS_STATUS_NOT_SUPPORTED|No valid engine|Tests: ", why):
                    raise AssertionError(f"the stand-in: {what} breaks a rule: {why}")


def _ours(name: str) -> bool:
    return name.partition(".")[0] in ("cudnn", "cupy", "cupyx", "nvmath")


@contextlib.contextmanager
def installed(devices: int = 1, nvmath: bool = True, cudnn: bool = False) -> Iterator[State]:
    """Put the stand-in in CuPy's place and a driver with `devices` GPUs beside it; take both away afterwards.

    Args:
        devices: how many GPUs the driver finds.
        nvmath: whether the bindings of cuBLASLt are there too; without them CuPy computes the matrix products.
        cudnn: whether cuDNN is there too; without it our own kernels convolve.
    """
    from gpugrad import backend
    from gpugrad import cuda as gg_cuda
    from gpugrad.backend import cuda_probe, cupy_backend, handles, out_of_memory, placing
    from gpugrad.bridges.cupy import hints
    from gpugrad.transforms import calls

    def forget() -> None:
        for known in backend._CUDA.values():
            known.__dict__.update(_blas=None, _dnn=None, _staging=None)  # what they hold would wait for the collector
            known.bound.__dict__["_limit"] = 0  # what goes later must not tell the next program's pool
        backend._CUDA.clear()
        hints(False)
        placing.MANY.clear()
        cupy_backend._used.clear()
        handles.forget()

    from . import memory

    real_cupy()
    forget()
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if _ours(name)}
    driver, has_cupy = cuda_probe.driver_device_count, cuda_probe.cupy_installed
    cuda_probe.driver_device_count = lambda: devices  # type: ignore[assignment]
    cuda_probe.cupy_installed = lambda: True  # type: ignore[assignment]
    calls.LIBRARIES.add("tests.standin")
    out_of_memory._BETWEEN.add("tests.standin")
    chosen, seed = list(backend._default), list(backend._seed)
    sys.modules.update(_modules())
    sys.modules.update(_bindings() if nvmath else {"nvmath": None})  # type: ignore[dict-item]
    sys.modules["cudnn"] = _front_end() if cudnn else None  # type: ignore[assignment]
    STATE.device, STATE.devices, STATE.captured = 0, devices, {}
    memory.forget()
    STATE.shared_memory = SHARED_MEMORY
    STATE.unsupported.clear()
    STATE.busy.clear()
    STATE.seen.clear()
    STATE.null_copies.clear()
    if STATE.graph:  # graphs and what they hold go in cycles with the functions that were compiled
        STATE.graph, STATE.kept = [], []
        gc.collect()
    STATE.clear()
    try:
        yield STATE
        _only_expected_refusals(backend._CUDA.values())
    finally:
        for name in [name for name in sys.modules if _ours(name)]:
            del sys.modules[name]
        sys.modules.update(hidden)
        cuda_probe.driver_device_count, cuda_probe.cupy_installed = driver, has_cupy
        calls.LIBRARIES.discard("tests.standin")
        out_of_memory._BETWEEN.discard("tests.standin")
        forget()
        backend._default[:], backend._seed[:] = chosen, seed
        STATE.streams.clear()
        STATE.hooks.clear()
        gg_cuda._watches.clear()
