"""Is there a usable GPU? Asked of the driver itself, so that the answer "no" costs no import of CuPy."""

from __future__ import annotations

import ctypes
import functools
import importlib.util


@functools.cache
def driver_device_count() -> int | None:
    """GPUs that the NVIDIA driver reports; None without a driver library, 0 when it finds no device."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            driver = ctypes.CDLL(name)
        except OSError:
            continue
        count = ctypes.c_int(0)
        if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
            return 0
        return count.value
    return None


@functools.cache
def cupy_installed() -> bool:
    """Whether a CuPy is installed (it is not imported)."""
    return importlib.util.find_spec("cupy") is not None


def device_count() -> int:
    """GPUs that gpugrad can use: those of the driver, if CuPy is installed; else 0."""
    return (driver_device_count() or 0) if cupy_installed() else 0


def why_unavailable() -> str:
    """What is missing for CUDA, and the command that mends it; "" when nothing is."""
    if driver_device_count() is None:
        return (
            "no NVIDIA driver (libcuda.so.1 not found); install the driver, e.g. `sudo apt install nvidia-driver`, "
            "or run the container with `--gpus all`"
        )
    if driver_device_count() == 0:
        return "the NVIDIA driver finds no device; check `nvidia-smi` and CUDA_VISIBLE_DEVICES"
    if not cupy_installed():
        return 'CuPy is not installed; `pip install "gpugrad[cuda12]"` (CUDA 12) or `"gpugrad[cuda13]"` (CUDA 13)'
    return ""
