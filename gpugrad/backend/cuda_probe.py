"""Is there a usable GPU? Asked of the driver itself, so that the answer "no" costs no import of CuPy."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.metadata
import importlib.util

OLDEST_CUPY = 14


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
def driver_cuda_major() -> int | None:
    """The newest major version of CUDA that the driver can run; None without a driver."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            driver = ctypes.CDLL(name)
        except OSError:
            continue
        version = ctypes.c_int(0)
        if driver.cuDriverGetVersion(ctypes.byref(version)) == 0:
            return version.value // 1000
    return None


def cuda_major() -> int:
    """The major version of CUDA that libraries beside CuPy must be for: that of CuPy's package, else the driver's."""
    for major in (13, 12):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version(f"cupy-cuda{major}x")
            return major
    return 13 if (driver_cuda_major() or 12) >= 13 else 12


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
        extra = "cuda13" if (driver_cuda_major() or 12) >= 13 else "cuda12"
        return f'CuPy is not installed; `pip install "gpugrad[{extra}]"`'
    return ""


def why_cupy_fails(error: Exception | None, version: str) -> str:
    """What is wrong with the CuPy that was just imported, and the command that mends it; "" when nothing is."""
    extra = "cuda13" if (driver_cuda_major() or 12) >= 13 else "cuda12"
    mend = f'`pip install --force-reinstall "gpugrad[{extra}]"` (and uninstall any other cupy first)'
    if error is not None:
        return f"CuPy is installed but does not import ({type(error).__name__}: {error}); {mend}"
    if int(version.partition(".")[0]) < OLDEST_CUPY:
        return f"CuPy {version} is too old, gpugrad needs {OLDEST_CUPY} or later; {mend}"
    return ""
