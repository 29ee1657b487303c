"""`gpugrad info`: what this machine offers gpugrad, what is missing, and the command that installs it."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import platform
from typing import Any

import numpy as np

from gpugrad._version import __version__
from gpugrad.backend import cuda_probe

NAME = "info"
SUMMARY = "print versions and devices, and what is missing"
DESCRIPTION = "Print the versions and devices that gpugrad finds, what is missing, and the command that installs it."

CUPY_DISTRIBUTIONS = ("cupy-cuda12x", "cupy-cuda13x", "cupy")
INSTALL_CUPY = 'pip install "gpugrad[cuda12]"  (or "gpugrad[cuda13]" with a driver for CUDA 13)'
OPTIONAL = (
    ("Numba", "numba", "cpu", "fused multi-threaded kernels on the CPU"),
    ("tqdm", "tqdm", "train", "the progress bar of gpugrad train"),
    ("Matplotlib", "matplotlib", "train", "the pictures of gpugrad train"),
    ("scikit-learn", "scikit-learn", "train", "the handwritten digits of gpugrad train"),
    ("safetensors", "safetensors", "train", "saved weights"),
)

Row = tuple[str, str]


def add_options(parser: argparse.ArgumentParser) -> None:
    """`info` takes no options."""


def run(arguments: argparse.Namespace) -> int:
    """Print the report on stdout.

    Returns:
        0, whatever is missing: only NumPy is needed.
    """
    found: list[Row] = [
        ("gpugrad", __version__),
        (
            "Python",
            f"{platform.python_version()} on {platform.system()} {platform.machine()}, {_cores()} CPU cores",
        ),
        ("NumPy", f"{np.__version__}, {_blas()}"),
    ]
    missing: list[Row] = []
    _report_cuda(found, missing)
    for label, distribution, extra, purpose in OPTIONAL:
        version = _version(distribution)
        found.append((label, version or "not installed"))
        if version is None:
            missing.append((f"{label} ({purpose})", f'pip install "gpugrad[{extra}]"'))
    width = max(len(label) for label, _ in found)
    for label, value in found:
        print(f"{label:<{width}}  {value}")
    print("\nmissing:" if missing else "\nnothing is missing")
    for what, command in missing:
        print(f"  {what}\n    {command}")
    return 0


def _report_cuda(found: list[Row], missing: list[Row]) -> None:
    installed = [name for name in CUPY_DISTRIBUTIONS if _version(name)]
    found.append(("CuPy", ", ".join(f"{_version(name)} ({name})" for name in installed) or "not installed"))
    count = cuda_probe.device_count()
    reason, _, command = cuda_probe.why_unavailable().partition("; ")
    if not count:
        found.append(("GPU", "none that gpugrad can use"))
        missing.append((f"training on an NVIDIA GPU: {reason}", command))
        return
    try:
        runtime = importlib.import_module("cupy").cuda.runtime
        version = runtime.driverGetVersion()
        found.append(("CUDA driver", f"for CUDA {version // 1000}.{version % 1000 // 10}"))
        found += [(f"cuda:{number}", _describe(runtime.getDeviceProperties(number))) for number in range(count)]
    except Exception as error:  # a broken CuPy raises whatever its loader met; the rest must still be printed
        found.append(("GPU", f"{count}, but CuPy cannot use it: {' '.join(str(error).split())[:200]}"))
        missing.append(("a CuPy that works with this driver", INSTALL_CUPY))


def _describe(properties: dict[str, Any]) -> str:
    memory = properties["totalGlobalMem"] / 2**30
    name = properties["name"].decode()
    return f"{name}, {memory:.0f} GiB, compute capability {properties['major']}.{properties['minor']}"


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _blas() -> str:
    """Name and version of NumPy's BLAS, and its threads and core type where threadpoolctl can tell."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    text = f"BLAS {blas.get('name', 'unknown')} {blas.get('version', '')}".strip()
    try:
        pools = importlib.import_module("threadpoolctl").threadpool_info()
    except ModuleNotFoundError:
        return text
    for pool in pools:
        if pool["user_api"] == "blas":
            return f"{text}, {pool['num_threads']} threads, core type {pool.get('architecture', 'unknown')}"
    return text
