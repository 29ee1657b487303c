"""Where arrays live: devices, the backend of an array, and the default device.

The only floor that says "NumPy or CuPy". CuPy is imported when a CUDA device is first asked for, or when an array
of its arrives, never before.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from .base import Array, Backend, WrappedArray, memory
from .device import CPU, Device, DeviceError, device
from .fixed import Fixed
from .pool import BufferPool, PoolStats

__all__ = [
    "CPU", "Array", "Backend", "BufferPool", "Device", "DeviceError", "Fixed", "PoolStats", "WrappedArray",
    "backend_for", "backend_of", "cpu", "default_device", "device", "existing", "gpus_in_use", "is_array", "is_mapped",
    "memory", "set_default_device",
]  # fmt: skip

_CUDA: dict[int, Backend] = {}
_CPU: list[Backend] = []
_default: list[Device] = []
_seed: list[int] = []  # the last manual_seed, for backends that are made later
_gpu_arrays: set[type[Any]] = set()  # CuPy's array type, once one of its arrays has come


def cpu() -> Backend:
    """The CPU backend."""
    if not _CPU:
        from .numpy_backend import NumpyBackend

        _CPU.append(NumpyBackend())
    return _CPU[0]


def backend_for(where: Device | str | None = None) -> Backend:
    """The backend of a device (the default device's, when none is named).

    Raises:
        DeviceError: CUDA is asked for where there is none; the message says what is missing and what mends it.
    """
    target = default_device() if where is None else device(where)
    if target.type == "cpu":
        return cpu()
    found = _CUDA.get(target.index)
    if found is None:
        from .cuda_settings import apply_hints
        from .cupy_backend import CupyBackend, require_device

        require_device(target)
        found = _CUDA[target.index] = CupyBackend(target)
        apply_hints()
        if _seed:
            found.seed(_seed[0])
    return found


def existing(seed: int) -> list[Backend]:
    """The backends in use so far; those made later start from `seed`."""
    _seed[:] = [seed]
    return [cpu(), *_CUDA.values()]


def gpus_in_use() -> bool:
    """Whether the process has asked for a GPU."""
    return bool(_CUDA)


def backend_of(array: Any) -> Backend:
    """The backend of an array; anything that is not an array (a number, a list) belongs to the CPU."""
    kind = type(array)
    if kind is np.ndarray:
        return cpu()
    if kind in _gpu_arrays:  # the short way of the long question below
        found = _CUDA.get(array.data.device_id)
        if found is not None:
            return found
    if isinstance(array, WrappedArray):
        return array.backend
    if "cupy" not in sys.modules:
        return cpu()
    if kind.__module__.partition(".")[0] == "cupy" and hasattr(array, "device"):
        _gpu_arrays.add(kind)
        return backend_for(Device("cuda", array.device.id))
    return cpu()


def is_mapped(array: Array) -> bool:
    """Whether an array stands for those of a map's examples."""
    return isinstance(array, WrappedArray) and array.mapped


def is_array(value: Any) -> bool:
    """Whether `value` is a bare array of one of the backends."""
    if isinstance(value, (np.ndarray, WrappedArray)) or type(value) in _gpu_arrays:
        return True
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(value, cupy.ndarray)


def default_device() -> Device:
    """The device of new tensors: `set_default_device`, else `GPUGRAD_DEVICE`, else the CPU."""
    if not _default:
        _default.append(_from_environment(os.environ.get("GPUGRAD_DEVICE", "auto")))
    return _default[0]


def gpu(where: Any) -> Device:
    """The GPU meant by None (the default one), a number, a name or a device.

    Raises:
        DeviceError: the CPU, or a GPU that is not there.
    """
    if where is None:
        chosen = default_device()
        where = chosen if chosen.type == "cuda" else Device("cuda", 0)
    target = device(where)
    if target == CPU:
        raise DeviceError('[cuda] device = "cpu" is no GPU; expected a number, "cuda" or "cuda:<number>"')
    backend_for(target)
    return target


def _from_environment(name: str) -> Device:
    if name != "auto":
        return device(name)
    from .cuda_probe import device_count

    return Device("cuda", 0) if device_count() else CPU


def set_default_device(where: Device | str) -> None:
    """Make `where` the device of new tensors, from now on, in all threads.

    Raises:
        DeviceError: the device is not there.
    """
    target = device(where)
    backend_for(target)
    _default[:] = [target]
