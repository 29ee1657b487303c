"""The machine a figure comes from: processor, cores, BLAS kernels, versions, and whether it is quiet.

Everything is read from /proc and from the libraries themselves; where a system does not tell, the entry says
"unknown". No timing here.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
import os
import platform
import re
import signal
import subprocess
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Some machines preset these for one old processor, which halves the speed of NumPy's matrix products.
BLAS_OVERRIDES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")

_PACKAGES = (
    "numpy",
    "numba",
    "torch",
    "jax",
    "jaxlib",
    "autograd",
    "cupy-cuda12x",
    "cupy-cuda13x",
)
_CORENAME_SYMBOLS = (
    "scipy_openblas_get_corename64_",
    "scipy_openblas_get_corename",
    "openblas_get_corename64_",
    "openblas_get_corename",
)


def child_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of a worker: this one, without what overrules OpenBLAS's own choice of kernels."""
    environment = {key: value for key, value in os.environ.items() if key not in BLAS_OVERRIDES}
    environment.update(extra or {})
    return environment


def end(process: subprocess.Popen[Any]) -> None:
    """Kill a process that leads a session, and all that it started there.

    One that waits for a device that never answers may outlast that; nobody waits for it longer than a few seconds.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)


def end_with_parent() -> None:
    """End this process soon after the one that started it: what leads a session of its own is not killed with that."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _proc_field(path: str, pattern: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    except OSError:
        return "unknown"
    return found.group(1).strip() if found else "unknown"


def describe() -> dict[str, Any]:
    """Processor, cores, memory, system, Python and the date, as JSON values."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = _proc_field("/proc/cpuinfo", r"^model name\s*:\s*(.+)$")
    kib = _proc_field("/proc/meminfo", r"^MemTotal:\s*(\d+) kB$")
    family, number = (_proc_field("/proc/cpuinfo", rf"^{key}\s*:\s*(.+)$") for key in ("cpu family", "model"))
    return {
        "cpu": model if model != "unknown" else platform.processor() or "unknown",
        # Virtual machines hide the name of the processor, not its family.
        "cpu_family_and_model": f"{family}/{number}",
        "cores": usable,
        "memory_gib": round(int(kib) / 2**20, 1) if kib.isdigit() else "unknown",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_at_start": load(),
        "preset_and_removed": {key: os.environ[key] for key in BLAS_OVERRIDES if key in os.environ},
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """The versions of the libraries that are compared; gpugrad's with its commit."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    # A checkout that is not installed has no metadata, and its version alone does not say what was measured.
    return {"gpugrad": f"{_gpugrad_version()} {_revision()}".strip(), **found}


def _gpugrad_version() -> str:
    try:
        return str(importlib.import_module("gpugrad").__version__)
    except (ImportError, AttributeError):
        return "not importable"


def _revision() -> str:
    """The commit of this checkout, with a plus sign where the engine differs from it; empty outside of one."""
    folder = Path(__file__).resolve().parent.parent
    git = ["git", "-C", str(folder)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "gpugrad", "kernels"], check=False)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"({commit.stdout.strip()}{'+' if changed.returncode else ''})"


def load() -> tuple[float, float, float] | None:
    """The load averages of the last 1, 5 and 15 minutes; None where the system has none."""
    return os.getloadavg() if hasattr(os, "getloadavg") else None


def openblas_core() -> str:
    """The kernel family ("SkylakeX", "Haswell", ...) that the OpenBLAS loaded in this process chose."""
    try:
        import threadpoolctl
    except ImportError:
        return _openblas_core_from_maps()
    names = {
        str(entry.get("architecture"))
        for entry in threadpoolctl.threadpool_info()
        if entry.get("internal_api") == "openblas"
    }
    return "+".join(sorted(names)) or "no OpenBLAS"


def _openblas_core_from_maps() -> str:
    try:
        mapped = set(re.findall(r"(/\S*openblas\S*\.so\S*)", Path("/proc/self/maps").read_text()))
    except OSError:
        return "unknown"
    for path in sorted(mapped):
        library = ctypes.CDLL(path)
        for symbol in _CORENAME_SYMBOLS:
            function = getattr(library, symbol, None)
            if function is not None:
                function.restype = ctypes.c_char_p
                return str(function().decode())
    return "unknown" if mapped else "no OpenBLAS"


def runnable_others() -> int:
    """Tasks on the machine that want a processor now, this one not counted (0 where unknown)."""
    running = _proc_field("/proc/loadavg", r"\s(\d+)/\d+\s")
    return max(0, int(running) - 1) if running.isdigit() else 0


def busy_seconds() -> float:
    """Processor seconds that everything on this machine has used since it started (0.0 where unknown)."""
    line = _proc_field("/proc/stat", r"^cpu\s+(.+)$")
    if line == "unknown":
        return 0.0
    ticks = [int(value) for value in line.split()]
    busy = sum(ticks[:3]) + sum(ticks[5:8])  # user nice system | idle iowait | irq softirq steal
    return busy / os.sysconf("SC_CLK_TCK")


class QuietWait:
    """Waits until no other task is runnable, within a bound for each wait and for all of them together.

    Args:
        each: seconds that one wait may take.
        total: seconds that all waits of a run may take together; after that `wait` only looks.
        settle: seconds that every wait takes at least, in which the threads of the last worker stop spinning.
    """

    def __init__(self, each: float, total: float, settle: float = 0.03) -> None:
        self.each = each
        self.left = total
        self.settle = settle

    def wait(self) -> bool:
        """True once three looks in a row, 10 ms apart, saw nobody else running; False when time ran out."""
        time.sleep(self.settle)
        started = time.monotonic()
        end = started + min(self.each, self.left)
        quiet_looks = 0
        while True:
            quiet_looks = quiet_looks + 1 if runnable_others() == 0 else 0
            if quiet_looks == 3 or time.monotonic() >= end:
                break
            time.sleep(0.01)
        self.left = max(0.0, self.left - (time.monotonic() - started))
        return quiet_looks == 3


def process_memory(field: str) -> int:
    """A memory field of this process (`VmRSS`, `VmHWM`) in bytes.

    Raises:
        RuntimeError: where /proc does not tell (not Linux).
    """
    value = _proc_field("/proc/self/status", rf"^{field}:\s*(\d+) kB$")
    if not value.isdigit():
        raise RuntimeError(f"[benchmarks] /proc/self/status has no {field}: the memory suite needs Linux")
    return int(value) * 1024


def reset_peak_memory() -> None:
    """Gives the C library's free memory back and sets this process's `VmHWM` to its present size."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)
    Path("/proc/self/clear_refs").write_text("5")
