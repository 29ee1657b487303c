"""`gpugrad info`: what this machine offers gpugrad, what is missing, and the command that installs it."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpugrad import cuda
from gpugrad._version import __version__
from gpugrad.backend import cuda_probe
from gpugrad.fusion import workers

NAME = "info"
SUMMARY = "print versions and devices, and what is missing"
DESCRIPTION = "Print the versions and devices that gpugrad finds, what is missing, and the command that installs it."

CUPY_DISTRIBUTIONS = ("cupy-cuda12x", "cupy-cuda13x", "cupy")
# What is used with a GPU beside CuPy, and the packages that bring it.
BESIDE_CUPY = (
    ("cuBLASLt", ("nvmath-python",)),
    ("cuDNN", ("nvidia-cudnn-frontend", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13")),
    ("NCCL", ("nvidia-nccl-cu12", "nvidia-nccl-cu13")),
)
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
    """The options of the command."""
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")


@dataclass(frozen=True)
class Report:
    """What there is, and of what is missing what it is for and the command that installs it."""

    found: list[Row]
    missing: list[Row]


def run(arguments: argparse.Namespace) -> int:
    """Print the report on stdout.

    Returns:
        0, whatever is missing: only NumPy is needed.
    """
    report = collect()
    if arguments.json:
        missing = [{"what": what, "command": command} for what, command in report.missing]
        print(json.dumps({"found": dict(report.found), "missing": missing}, indent=1))
        return 0
    width = max(len(label) for label, _ in report.found)
    for label, value in report.found:
        print(f"{label:<{width}}  {value}")
    print("\nmissing:" if report.missing else "\nnothing is missing")
    for what, command in report.missing:
        print(f"  {what}\n    {command}")
    return 0


def collect() -> Report:
    """Versions and devices of this machine; CuPy is imported where a driver finds a GPU, never otherwise."""
    found: list[Row] = [
        ("gpugrad", __version__),
        (
            "Python",
            f"{platform.python_version()} on {platform.system()} {platform.machine()}, {_cores()} CPU cores",
        ),
        ("NumPy", f"{np.__version__}, {_blas()}"),
        ("threads", f"{workers.num_threads()} of gpugrad's own"),
    ]
    missing: list[Row] = []
    _report_cuda(found, missing)
    for label, distribution, extra, purpose in OPTIONAL:
        version = _version(distribution)
        found.append((label, version or "not installed"))
        if version is None:
            missing.append((f"{label} ({purpose})", f'pip install "gpugrad[{extra}]"'))
    return Report(found, missing)


def _report_cuda(found: list[Row], missing: list[Row]) -> None:
    installed = [name for name in CUPY_DISTRIBUTIONS if _version(name)]
    found.append(("CuPy", ", ".join(f"{_version(name)} ({name})" for name in installed) or "not installed"))
    count = cuda_probe.device_count()
    reason, _, command = cuda_probe.why_unavailable().partition("; ")
    if not count:
        found.append(("GPU", "none that gpugrad can use"))
        found += [(label, _installed(names)) for label, names in BESIDE_CUPY]
        missing.append((f"training on an NVIDIA GPU: {reason}", command))
        return
    try:
        runtime = importlib.import_module("cupy").cuda.runtime
        version = runtime.driverGetVersion()
        found.append(("CUDA driver", f"for CUDA {version // 1000}.{version % 1000 // 10}"))
        found += [(f"cuda:{number}", _describe(runtime.getDeviceProperties(number))) for number in range(count)]
        version = runtime.runtimeGetVersion()
        found.append(("CUDA runtime", f"{version // 1000}.{version % 1000 // 10}"))
        _report_libraries(found, missing)
    except Exception as error:  # a broken CuPy raises whatever its loader met; the rest must still be printed
        found.append(("GPU", f"{count}, but CuPy cannot use it: {' '.join(str(error).split())[:200]}"))
        missing.append(("a CuPy that works with this driver", INSTALL_CUPY))


def _report_libraries(found: list[Row], missing: list[Row]) -> None:
    """The libraries beside CuPy: who multiplies matrices, convolves, and joins several GPUs."""
    extra = str(cuda_probe.cuda_major())
    library = cuda.matmul_library()
    version = _version("nvmath-python")
    found.append(("cuBLASLt", f"through nvmath-python {version}" if library == "cuBLASLt" else f"not used; {library}"))
    if library != "cuBLASLt":
        missing.append(("cuBLASLt (products with fused bias, TF32 and halves)", f'pip install "gpugrad[cuda{extra}]"'))
    library = cuda.convolution_library()
    found.append(("convolutions", library))
    if not library.startswith("cuDNN"):
        missing.append(("cuDNN (convolutions)", f'pip install "gpugrad[cudnn{extra}]"'))
    nccl = _version(f"nvidia-nccl-cu{extra}")
    found.append(("NCCL", nccl or "not installed"))
    if nccl is None:
        missing.append(("NCCL (several GPUs)", f"pip install nvidia-nccl-cu{extra}"))


def _installed(names: tuple[str, ...]) -> str:
    """The packages of these names that are here, with their versions."""
    versions = [(name, _version(name)) for name in names]
    return ", ".join(f"{version} ({name})" for name, version in versions if version) or "not installed"


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
