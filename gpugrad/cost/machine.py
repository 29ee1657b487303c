"""The machine that figures come from, as far as two of them must share it to be compared."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..backend import Backend
from ..cuda import get_device_name
from ..fusion.numba_cache import numba_wanted

# What must be the same for times to be comparable; the rest is for people to read.
SAME = ("device", "processor", "cores", "numba")


def machine(backend: Backend) -> dict[str, Any]:
    """Device, processor, cores and versions, as JSON values."""
    gpu = backend.device.type == "cuda"
    return {
        "device": str(backend.device),
        "processor": get_device_name(backend.device) if gpu else processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba_wanted(),
        "gpugrad": __version__,
    }


def processor() -> str:
    """The processor's name; where the system hides it, its family and model."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown"
    found = {
        key: match.group(1) if (match := re.search(rf"^{key}\s*:\s*(.+)$", text, re.MULTILINE)) else ""
        for key in ("model name", "cpu family", "model")
    }
    numbers = f" (family/model {found['cpu family']}/{found['model']})" if found["cpu family"] else ""
    return (found["model name"] or platform.processor() or "unknown") + numbers


def summary(facts: dict[str, Any]) -> str:
    """One line for people."""
    numba = "Numba" if facts["numba"] else "NumPy alone"
    return (
        f"{facts['device']}: {facts['processor']}, {facts['cores']} cores; {facts['system']}, Python "
        f"{facts['python']}, NumPy {facts['numpy']}, {numba}, gpugrad {facts['gpugrad']}"
    )
