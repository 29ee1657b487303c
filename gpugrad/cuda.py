"""`gpugrad.cuda`: what there is to know and to do about GPUs, without importing CuPy before it is needed.

Names follow `torch.cuda`. Arrays and kernels are in `backend`.
"""

from __future__ import annotations

import contextlib
import importlib
import types
from collections.abc import Iterator
from typing import Any

from .backend import backend_for
from .backend import cuda_probe as _probe
from .backend import cuda_settings as _settings
from .backend import gpu as _gpu
from .backend.cuda_streams import Event, Stream, stream
from .backend.out_of_memory import OutOfMemoryError
from .backend.precision import get_float32_matmul_precision, set_float32_matmul_precision

__all__ = [
    "Event", "OutOfMemoryError", "Stream", "convolution", "convolution_library", "convolution_refusals",
    "current_device", "current_stream", "device_count", "empty_cache", "get_convolution_memory", "get_cupy_hints",
    "get_device_capability", "get_device_name", "get_device_properties", "get_float32_matmul_precision",
    "is_available", "is_bf16_supported", "manual_seed", "manual_seed_all", "matmul_library", "matmul_refusals",
    "max_memory_allocated", "mem_get_info", "memory_allocated", "memory_reserved", "memory_stats", "memory_summary",
    "reset_peak_memory_stats", "set_convolution_memory", "set_cupy_hints", "set_device",
    "set_float32_matmul_precision", "set_memory_limit", "set_per_process_memory_fraction", "stop_peak_memory_stats",
    "stream", "synchronize", "tune_matmul", "why_unavailable",
]  # fmt: skip


def is_available() -> bool:
    """Whether a GPU can be used: a driver with a device, and CuPy installed. Imports nothing."""
    return _probe.device_count() > 0


def why_unavailable() -> str:
    """What is missing for `is_available()`, and the command that mends it; "" when nothing is."""
    return _probe.why_unavailable()


def device_count() -> int:
    """How many GPUs can be used; 0 without a driver or without CuPy."""
    return _probe.device_count()


def current_device() -> int:
    """The number of the GPU that CuPy works on in this thread.

    Raises:
        DeviceError: there is none.
    """
    return int(backend_for(_gpu(None)).xp.cuda.runtime.getDevice())


def set_device(where: Any) -> None:
    """Make a GPU (a number or a device) CuPy's current one in this thread.

    The first GPU that a process asks for is current by itself. On a machine with several, CuPy's functions want their
    arrays on the current one.

    Raises:
        DeviceError: it is not there.
    """
    target = _gpu(where)
    backend_for(target).xp.cuda.Device(target.index).use()


def get_device_name(where: Any = None) -> str:
    """The name of a GPU, such as "NVIDIA H100 80GB HBM3"."""
    target = _gpu(where)
    name = backend_for(target).xp.cuda.runtime.getDeviceProperties(target.index)["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def get_device_capability(where: Any = None) -> tuple[int, int]:
    """The compute capability of a GPU, such as (9, 0)."""
    target = _gpu(where)
    digits = str(backend_for(target).xp.cuda.Device(target.index).compute_capability)
    return int(digits[:-1]), int(digits[-1])


def get_device_properties(where: Any = None) -> Any:
    """A GPU's `name`, `total_memory` in bytes, `multi_processor_count`, and `major` and `minor` of its capability."""
    target = _gpu(where)
    found = backend_for(target).xp.cuda.runtime.getDeviceProperties(target.index)
    return types.SimpleNamespace(
        name=get_device_name(target),
        total_memory=int(found["totalGlobalMem"]),
        multi_processor_count=int(found["multiProcessorCount"]),
        major=int(found["major"]),
        minor=int(found["minor"]),
    )


def is_bf16_supported(where: Any = None) -> bool:
    """Whether there is a GPU that multiplies bfloat16 on its tensor cores: from capability 8.0 on."""
    return is_available() and get_device_capability(where) >= (8, 0)


def current_stream(where: Any = None) -> Stream:
    """The stream that a GPU's work is given to in this thread."""
    target = _gpu(where)
    return Stream(own=backend_for(target).xp.cuda.get_current_stream(target.index))


def synchronize(where: Any = None) -> None:
    """Wait until a GPU has done all that was asked of it."""
    backend_for(_gpu(where)).synchronize()


def matmul_library(where: Any = None) -> str:
    """Who computes matrix products on a GPU: "cuBLASLt", or "CuPy: " and the reason why cuBLASLt does not."""
    backend: Any = backend_for(_gpu(where))
    return "cuBLASLt" if backend.blas is not None else f"CuPy: {backend.without_blas}"


def matmul_refusals(where: Any = None) -> dict[str, str]:
    """What cuBLASLt would not do and so another routine did, with what it said; empty where CuPy does it all."""
    products = getattr(backend_for(_gpu(where)), "blas", None)
    return {} if products is None else dict(products.refused)


def tune_matmul(on: bool = True, where: Any = None) -> bool:
    """Let each new shape of a matrix product time cuBLASLt's candidates on the device, once, and keep the fastest.

    Off, the first proposal of cuBLASLt's heuristics is taken. Timing waits for the device; shapes that are known
    already keep what they have.

    Returns:
        Whether it is on: False where CuPy computes the products (`matmul_library`).
    """
    backend: Any = backend_for(_gpu(where))
    products = backend.blas
    if products is not None:
        products.tuned = on
    return products is not None and on


@contextlib.contextmanager
def convolution(name: str = "auto") -> Iterator[None]:
    """How convolutions are computed on GPUs within a `with` block (or a decorated function), in this thread.

    Args:
        name: "cudnn": by cuDNN for float32, float16 and bfloat16 (the extra `cudnn12` or `cudnn13`), images and kernels
            with channels last, and by our own kernels for what it refuses (`convolution_refusals`). "im2col": by our
            own kernels: patches in parts of a bounded memory (`set_convolution_memory`) and cuBLASLt's products.
            "auto": "cudnn" where it is installed.

    The setting holds for all that cuDNN does: batch normalisation in training too, and attention of float16 and
    bfloat16 without mask and dropout. Our own batch normalisation has a relu behind it in its kernels, cuDNN's has not.

    float32 is rounded to TF32 where `set_float32_matmul_precision` allows it, in both. Sums have one order: algorithms
    that add up in any order are left out. The first convolution on a GPU says in the log (logger "gpugrad") who runs
    it: as a warning where cuDNN is missing, else as information.

    Raises:
        ValueError: another name.
        RuntimeError: "cudnn" on a machine with a GPU where cuDNN cannot be used; says why.

    Example:
        >>> import gpugrad as gg
        >>> with gg.cuda.convolution("im2col"):
        ...     y = gg.conv2d(gg.ones(1, 3, 8, 8), gg.ones(4, 3, 3, 3))
    """
    if name not in _settings.ALGORITHMS:
        raise ValueError(f"[convolution] name = {name!r}; expected {', '.join(map(repr, _settings.ALGORITHMS))}")
    if name == "cudnn" and is_available():
        backend: Any = backend_for(_gpu(None))
        if backend.dnn is None:
            raise RuntimeError(
                f"[convolution] name = 'cudnn', but {backend.without_dnn}; pip install \"gpugrad[cudnn12]\" (cudnn13 "
                "with a driver for CUDA 13), or use 'auto'"
            )
    token = _settings.algorithm.set(name)
    try:
        yield
    finally:
        _settings.algorithm.reset(token)


def convolution_library(where: Any = None) -> str:
    """Who convolves on a GPU under the present setting: "cuDNN" and its versions, or our own kernels and why."""
    from .backend.cuda_images import description

    return description(backend_for(_gpu(where)))


def convolution_refusals(where: Any = None) -> dict[str, str]:
    """What cuDNN refused on a GPU so far, and why: our own kernels did it instead."""
    backend: Any = backend_for(_gpu(where))
    return {} if backend.dnn is None else dict(backend.dnn.refused)


def get_convolution_memory() -> int:
    """Bytes of patches that a convolution of our own lays out at a time; 128 MiB unless it was set."""
    return _settings.memory_limit()


def set_convolution_memory(limit: int) -> None:
    """Bound what a convolution of our own ("im2col") lays out at a time, on every GPU, to `limit` bytes.

    A batch is cut into parts that fit, into single windows if need be; only the gradient by the images with a stride
    above 1 takes at least one image at a time. Less memory means smaller matrix products.

    Raises:
        ValueError: `limit` is less than 1.
    """
    if limit < 1:
        raise ValueError(f"[set_convolution_memory] limit = {limit}; expected 1 byte or more")
    _settings.set_memory_limit(limit)


def get_cupy_hints() -> bool:
    """Whether CuPy's functions name ours where they refuse a tensor: `set_cupy_hints`, else `GPUGRAD_CUPY_HINTS`."""
    return _settings.hints()


def set_cupy_hints(on: bool) -> None:
    """Let CuPy's functions that take bare arrays only name ours, to be used for tensors; or leave CuPy as it is.

    CuPy has no hook there, so thin functions are put in its namespaces when gpugrad first uses a GPU, unless
    `GPUGRAD_CUPY_HINTS=0`; here at once, if CuPy is imported. They pass each call on, and change nothing but the words
    of one that failed with a tensor among its arguments. Off, CuPy's own functions are put back. Names that a program
    took before (`from cupy import matmul`) are not reached.

    Example:
        >>> import gpugrad as gg
        >>> gg.cuda.set_cupy_hints(False)
        >>> gg.cuda.get_cupy_hints()
        False
        >>> gg.cuda.set_cupy_hints(True)
    """
    _settings.set_hints(on)


def memory_stats(where: Any = None) -> Any:
    """What a GPU's allocator holds: `in_use_bytes`, `held_bytes`, `free_bytes`, `total_bytes`, `limit_bytes`.

    `graph_bytes` is what compiled steps (`gg.compile`) took for themselves, beside `held_bytes`; `limit_bytes` bounds
    the sum of both.
    """
    return backend_for(_gpu(where)).memory_stats()


def memory_allocated(where: Any = None) -> int:
    """Bytes of a GPU in arrays that are alive."""
    return int(memory_stats(where).in_use_bytes)


def memory_reserved(where: Any = None) -> int:
    """Bytes of a GPU that CuPy's pool holds, in arrays or idle."""
    return int(memory_stats(where).held_bytes)


def mem_get_info(where: Any = None) -> tuple[int, int]:
    """(free, total) bytes of a GPU, for all programs."""
    stats = memory_stats(where)
    return int(stats.free_bytes), int(stats.total_bytes)


def reset_peak_memory_stats(where: Any = None) -> None:
    """Begin to watch the most that is in use on a GPU: `max_memory_allocated` counts from here.

    Watching starts with the first call and takes some microseconds an allocation; before it nothing is paid.
    Allocations of the threads that have called this are seen.
    """
    _watch().reset(_gpu(where))


def stop_peak_memory_stats() -> None:
    """Stop watching in this thread: allocations cost what they did before."""
    if _watches:
        _watches[0].stop()


def max_memory_allocated(where: Any = None) -> int:
    """The most bytes of a GPU in arrays at one time since `reset_peak_memory_stats`.

    Raises:
        RuntimeError: it was not called before.
    """
    target = _gpu(where)
    peak: int | None = None if not _watches else _watches[0].peak(target)
    if peak is None:
        raise RuntimeError(
            f"[max_memory_allocated] nobody watches {target}; call gg.cuda.reset_peak_memory_stats() before what is to "
            "be measured"
        )
    return peak


_watches: list[Any] = []


def _watch() -> Any:
    if not _watches:
        from .backend.cuda_memory import PeakWatch

        _watches.append(PeakWatch())
    return _watches[0]


def set_memory_limit(limit: int, where: Any = None) -> None:
    """Bound what this process takes of a GPU to `limit` bytes; 0 for no bound. Beyond it operations run out of memory.

    The bound holds for CuPy's pool and the memory of compiled steps (`gg.compile`) together: what these hold comes off
    what the pool may take. Idle memory is given back before an operation runs out of it, but for what graphs work on.
    Libraries (cuBLAS, cuDNN) and CUDA itself take memory of their own besides.

    Raises:
        ValueError: `limit` is negative.
    """
    if limit < 0:
        raise ValueError(f"[set_memory_limit] limit = {limit}; expected bytes, 0 for no bound")
    backend: Any = backend_for(_gpu(where))
    backend.bound.set(limit)


def set_per_process_memory_fraction(fraction: float, where: Any = None) -> None:
    """Bound what this process takes of a GPU (see `set_memory_limit`) to a share of the GPU's memory, in (0, 1].

    Raises:
        ValueError: the share is out of range.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"[set_per_process_memory_fraction] fraction = {fraction}; expected a share in (0, 1]")
    set_memory_limit(int(fraction * mem_get_info(where)[1]), where)


def memory_summary(where: Any = None) -> str:
    """A table of a GPU's memory: arrays, the pool, compiled steps, the limit, the device; the peak if it is watched."""
    target = _gpu(where)
    stats = memory_stats(target)
    idle = stats.held_bytes - stats.in_use_bytes
    rows = [("in arrays", stats.in_use_bytes), ("idle in the pool", idle), ("held by the pool", stats.held_bytes)]
    peak = None if not _watches else _watches[0].peak(target)
    rows += [] if peak is None else [("most in arrays", peak)]
    rows += [("in compiled steps", stats.graph_bytes)] if stats.graph_bytes else []
    rows += [("limit", stats.limit_bytes)] if stats.limit_bytes else []
    rows += [("free on the device", stats.free_bytes), ("on the device", stats.total_bytes)]
    lines = [f"{what:<20}{nbytes / 2**20:>14,.1f} MiB" for what, nbytes in rows]
    return "\n".join([f"{target}, {get_device_name(target)}", *lines])


def empty_cache() -> None:
    """Give idle memory back to the device: CuPy's, and that of compiled steps without a graph. No GPU: nothing."""
    if is_available():
        backend: Any = backend_for(_gpu(None))
        if backend.blas is not None:
            backend.blas.scratch.sweep()
        backend.bound.give_back()


def manual_seed(seed: int, where: Any = None) -> None:
    """Restart the random generator of one GPU; `gg.manual_seed` restarts those of all devices.

    Raises:
        ValueError: the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"[manual_seed] seed = {seed}; expected 0 or more")
    backend_for(_gpu(where)).seed(seed)


def manual_seed_all(seed: int) -> None:
    """Restart the random generators of all GPUs; without one nothing. `gg.manual_seed` restarts the CPU's too."""
    for index in range(device_count()):
        manual_seed(seed, index)


def __getattr__(name: str) -> Any:
    if name == "amp":  # from a floor above
        return importlib.import_module("gpugrad.amp").cuda
    raise AttributeError(f"module 'gpugrad.cuda' has no attribute {name!r}")
