"""Where compiled Numba kernels live between runs: a folder keyed by Numba, Python and the text of the math.

Numba caches a function beside its source file, so each kernel's text is written into this folder and
imported from there. A folder that cannot be written costs only the cache: each process then compiles anew.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

# One text at a time: a module is in `sys.modules` before it is whole.
_loading = threading.RLock()

_MATH = (
    "numba_ir.py",
    "numba_memory.py",
    "numba_select.py",
    "numba_exp.py",
    "numba_math.py",
    "numba_tile.py",
    "numba_sweep.py",
    "numba_slide.py",
    "numba_transform.py",
)


def numba_wanted() -> bool:
    """Whether large kernels go through Numba: `GPUGRAD_NUMBA` = 0 or 1, or else whether it is installed.

    Raises:
        ValueError: the variable is something else.
        ImportError: it is 1 and Numba is missing.
    """
    asked = os.environ.get("GPUGRAD_NUMBA", "")
    if asked not in ("", "0", "1"):
        raise ValueError(f"[numba] GPUGRAD_NUMBA = {asked!r}; expected 0, 1 or nothing")
    if asked == "0":
        return False
    installed = "numba" in sys.modules or _installed()
    if asked == "1" and not installed:
        raise ImportError('[numba] GPUGRAD_NUMBA = 1 but Numba is not installed; pip install "gpugrad[cpu]"')
    return installed


@functools.cache
def _installed() -> bool:
    return importlib.util.find_spec("numba") is not None


@functools.cache
def cache_folder() -> Path | None:
    """The folder of compiled kernels, made if it is missing: under `GPUGRAD_CACHE` or `~/.cache/gpugrad`.

    Returns:
        The folder, or None when it cannot be written. Its name has Numba's version and a hash of the math
        that is compiled into every kernel, so that neither an upgrade nor an edit finds stale machine code.
    """
    import numba

    digest = hashlib.sha256()
    for name in _MATH:
        digest.update(Path(__file__).with_name(name).read_bytes())
    name = f"numba-{numba.__version__}-{digest.hexdigest()[:16]}"
    try:
        asked = os.environ.get("GPUGRAD_CACHE")
        folder = (Path(asked).expanduser() if asked else Path.home() / ".cache" / "gpugrad") / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):  # RuntimeError: no home directory
        return None


def _compiled(function: F, freedom: tuple[str, ...]) -> F:
    import numba

    folder = cache_folder()
    cached = folder is not None and Path(function.__code__.co_filename).parent == folder
    njit: Any = numba.njit
    jitted: F = njit(nogil=True, error_model="numpy", fastmath=set(freedom), cache=cached)(function)
    return jitted


def kernel(function: F) -> F:
    """Compile a loop over arrays: serial, without the GIL, kept on disk if its file is in the cache."""
    return _compiled(function, ("contract",))


def reduction(function: F) -> F:
    """A `kernel` whose own sums may be reordered (in order they cannot use SIMD), but not its callees'."""
    return _compiled(function, ("contract", "reassoc", "nsz"))


def strip(function: Any) -> Any:
    """Compile a `kernel` as a C function `int64 (int64 table, int64 start, int64 stop)`: see `numba_team`."""
    import numba

    folder = cache_folder()
    cached = folder is not None and Path(function.__code__.co_filename).parent == folder
    cfunc: Any = numba.cfunc
    return cfunc("int64(int64, int64, int64)", cache=cached, error_model="numpy", fastmath={"contract"})(function)


def load(text: str, name: str) -> ModuleType:
    """The module with the source `text`; its kernels are found compiled if a process compiled them before."""
    unique = f"{name}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    qualified = f"gpugrad_kernels_{unique}"
    with _loading:
        loaded = sys.modules.get(qualified)
        return _execute(text, unique, qualified) if loaded is None else loaded


def _execute(text: str, unique: str, qualified: str) -> ModuleType:
    folder = cache_folder()
    path = None if folder is None else _write(folder / f"{unique}.py", text)
    spec = None if path is None else importlib.util.spec_from_file_location(qualified, path)
    module = ModuleType(qualified) if spec is None else importlib.util.module_from_spec(spec)
    # Numba looks a cached kernel's globals up by the module's name, and for a C function it does so at once.
    sys.modules[qualified] = module
    try:
        if spec is None:
            exec(compile(text, f"<{qualified}>", "exec"), module.__dict__)
        else:
            assert spec.loader is not None  # the suffix is .py
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[qualified]
        raise
    return module


def load_file(path: Path) -> ModuleType:
    """The module at `path`, compiled from a copy in the cache folder (its own folder may be read-only)."""
    return load(path.read_text(encoding="utf-8"), path.stem)


def _write(path: Path, text: str) -> Path | None:
    # Never rewritten: Numba keys its cache by the file's time, and a half-written file must not be seen.
    try:
        if not path.exists():
            with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as draft:
                draft.write(text)
            Path(draft.name).replace(path)
    except OSError:
        return None
    return path
