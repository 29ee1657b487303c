"""CuPy without a driver: real arrays over memory of the host, and launches that only count.

CuPy's arrays need no device as long as nobody asks one for anything. `undriven()` gives the few calls that do answers
of their own: which device is current, which stream, where memory comes from, what is launched. Nothing is computed, so
what is left of a training step is what the host does for it: gpugrad's Python, and CuPy's own making of arrays.

CuPy's own kernels (ufuncs, reductions, copies) are behind compiled code that cannot be given an answer: a step that
calls one fails with the error that CuPy raises without a driver.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import importlib.util
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np

_ATTRIBUTES = {16: 132, 97: 227 << 10}  # of an H100: multiprocessors, bytes of shared memory that a block may have
MEMORY = 1 << 30  # bytes of addresses; their pages are never touched, so they take no memory


@dataclass
class Counts:
    """What was asked of the device: names of launched kernels and products in order, arrays that were made, uploads.

    Attributes:
        held: bytes of memory, in the 512 that CuPy's pool counts by, and `most` of them at a time.
    """

    launches: list[str] = field(default_factory=list)
    arrays: int = 0
    uploads: int = 0
    held: int = 0
    most: int = 0

    def clear(self) -> None:
        """Start anew; what is held stays held."""
        self.launches.clear()
        self.arrays = self.uploads = 0
        self.most = self.held


class _Piece:
    """Memory of an array, for as long as anybody has it."""

    __slots__ = ("counts", "nbytes")

    def __init__(self, counts: Counts, nbytes: int) -> None:
        self.counts, self.nbytes = counts, -(-nbytes // 512) * 512
        counts.held += self.nbytes
        counts.most = max(counts.most, counts.held)

    def __del__(self) -> None:
        self.counts.held -= self.nbytes


def why_not() -> str:
    """Why a step cannot run without a driver here; "" where it can."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed"
    from gpugrad.backend import cuda_probe

    return "a GPU is here: its launches are real" if cuda_probe.driver_device_count() else ""


class _Graph:
    def launch(self, stream: Any) -> None:
        """A launch is nothing."""


class _Stream:
    ptr = 0
    _capturing = False

    def __init__(self, non_blocking: bool = False) -> None:
        pass

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def record(self, event: Any = None) -> Any:
        """An event."""
        return event

    def wait_event(self, event: Any) -> None:
        """There is nothing to wait for."""

    def begin_capture(self) -> None:
        """From here on it captures."""
        self._capturing = True

    def end_capture(self) -> _Graph:
        """The graph."""
        self._capturing = False
        return _Graph()

    def is_capturing(self) -> bool:
        """Whether it captures."""
        return self._capturing


class _Event:
    def __init__(self, disable_timing: bool = False) -> None:
        pass


class _Pool:
    """Memory from one allocator, of which nothing is counted."""

    malloc: Any = None

    def __init__(self, _: Any = None) -> None:
        pass

    def total_bytes(self) -> int:
        """None."""
        return 0

    get_limit = used_bytes = free_bytes = total_bytes

    def set_limit(self, **_: Any) -> None:
        """There is none."""

    def free_all_blocks(self, stream: Any = None) -> None:
        """There are none."""


class _Device:
    """The only GPU."""

    id = 0

    def __init__(self, number: int = 0) -> None:
        pass

    def use(self) -> None:
        """It is the current one."""

    def __enter__(self) -> _Device:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Epilogue(enum.IntEnum):
    DEFAULT, RELU, RELU_AUX, BIAS, RELU_BIAS, RELU_AUX_BIAS = range(6)
    DRELU, GELU, GELU_AUX, GELU_BIAS, GELU_AUX_BIAS, DGELU, BGRADA, BGRADB = range(6, 14)


class _Numbers:
    """Enumerations of which any member is 1."""

    def __getattr__(self, name: str) -> int:
        return 1


def _bindings(counts: Counts | None) -> dict[str, Any]:
    """cuBLASLt's bindings, in which a product is nothing; counted where `counts` is given."""
    lt: Any = types.ModuleType("nvmath.bindings.cublasLt")
    blas: Any = types.ModuleType("nvmath.bindings.cublas")
    package: Any = types.ModuleType("nvmath")
    bindings: Any = types.ModuleType("nvmath.bindings")
    package.bindings, bindings.cublasLt, bindings.cublas = bindings, lt, blas

    def nothing(*_: Any) -> int:
        return 1

    def found(*given: Any) -> None:
        ctypes.c_int.from_address(given[-1]).value = 1  # one algorithm

    for name in (
        "create matmul_desc_create matmul_desc_set_attribute matrix_layout_create matrix_layout_set_attribute "
        "matmul_preference_create matmul_preference_set_attribute matmul_preference_destroy matrix_layout_destroy "
        "matmul_desc_destroy matmul"
    ).split():
        setattr(lt, name, nothing)
    lt.matmul_algo_get_heuristic, lt.cuBLASLtError, lt.Epilogue = found, RuntimeError, _Epilogue
    lt.MatmulDescAttribute = lt.MatrixLayoutAttribute = lt.MatmulPreferenceAttribute = _Numbers()
    blas.Operation = blas.ComputeType = _Numbers()
    if counts is not None:
        lt.matmul = lambda *_: counts.launches.append("product")
    return {
        "nvmath": package, "nvmath.bindings": bindings, "nvmath.bindings.cublasLt": lt, "nvmath.bindings.cublas": blas,
    }  # fmt: skip


def _put_back(modules: dict[str, Any]) -> None:
    for name, module in modules.items():
        if module is None:
            del sys.modules[name]
        else:
            sys.modules[name] = module


def launch_of_nothing(grid: Any, block: Any, arguments: Any, **_: Any) -> None:
    """What a kernel's launch is here."""


def _module(counts: Counts | None) -> type[Any]:
    class RawModule:
        def __init__(self, code: str, options: tuple[str, ...]) -> None:
            pass

        def get_function(self, name: str) -> Any:
            if counts is None:
                return launch_of_nothing
            return lambda grid, block, arguments, **_: counts.launches.append(name)

    return RawModule


@contextlib.contextmanager
def undriven(counting: bool = False) -> Iterator[Counts]:
    """A block in which `device="cuda"` works without a driver, and computes nothing.

    Args:
        counting: note what is asked of the device, which takes time of its own.

    Raises:
        RuntimeError: there is a GPU, or no CuPy.
    """
    if reason := why_not():
        raise RuntimeError(f"[undriven] {reason}")
    import cupy

    from gpugrad import backend
    from gpugrad.backend import cuda_copies, cuda_probe, cupy_backend, handles
    from gpugrad.bridges.cupy import hints

    counts = Counts()
    memory = np.empty(MEMORY, np.uint8)
    owner = cupy.cuda.UnownedMemory(memory.ctypes.data, MEMORY, memory, device_id=0)
    pointer, stream = cupy.cuda.MemoryPointer(owner, 0), _Stream()

    def current() -> _Stream:
        return stream

    def one() -> int:
        return 1

    def attribute(which: int, device: int) -> int:
        return _ATTRIBUTES[which]

    def first() -> int:
        return 0

    def allocate(size: int) -> Any:
        return pointer

    def counted(size: int) -> Any:
        counts.arrays += 1
        piece = cupy.cuda.UnownedMemory(memory.ctypes.data, size, _Piece(counts, size), device_id=0)
        return cupy.cuda.MemoryPointer(piece, 0)

    def filled(name: str) -> Any:  # what CuPy makes by a kernel of its own
        def make(shape: Any, dtype: Any = float, **_: Any) -> Any:
            counts.launches.append(name)
            return cupy.ndarray(shape, dtype)

        return make

    def like(name: str) -> Any:
        def make(array: Any, **_: Any) -> Any:
            counts.launches.append(name)
            return cuda_copies.like(array, array.dtype)

        return make

    def uploaded(array: Any, dtype: Any = None, **_: Any) -> Any:
        counts.uploads += 1
        array = np.asarray(array, dtype)
        return cupy.ndarray(array.shape, array.dtype)

    def launched(*_: Any) -> None:
        if counting:
            counts.launches.append("graph")

    def upload(*_: Any) -> None:
        if counting:
            counts.uploads += 1

    def moved(*_: Any) -> None:
        if counting:
            counts.launches.append("copy")

    def forget() -> None:
        hints(False)
        for known in backend._CUDA.values():
            known.__dict__["_blas"] = None
        backend._CUDA.clear()
        cupy_backend._used.clear()
        handles.forget()

    given = {"zeros": filled, "ones": filled, "zeros_like": like, "ones_like": like}
    forget()
    with contextlib.ExitStack() as stack:
        change = stack.enter_context
        for name, make in given.items():
            change(mock.patch.object(cupy, name, make(name)))
        change(mock.patch.object(cupy, "array", uploaded))
        change(mock.patch.object(cupy, "RawModule", _module(counts if counting else None)))
        change(mock.patch.object(_Pool, "malloc", staticmethod(counted if counting else allocate)))
        change(mock.patch.object(cupy, "get_default_memory_pool", _Pool))
        change(mock.patch.object(cupy.cuda, "MemoryPool", _Pool))
        change(mock.patch.object(cupy.cuda, "Stream", _Stream))
        change(mock.patch.object(cupy.cuda, "Event", _Event))
        change(mock.patch.object(_Graph, "launch", launched))
        change(mock.patch.object(cupy_backend.CupyBackend, "upload", upload))
        change(mock.patch.object(cuda_copies, "move", moved))
        change(mock.patch.object(cupy.cuda, "Device", _Device))
        change(mock.patch.object(cupy.cuda.runtime, "deviceGetAttribute", attribute))
        change(mock.patch.object(cupy.cuda.runtime, "getDevice", first))
        change(mock.patch.object(cupy.cuda, "get_current_stream", current))
        change(mock.patch.object(cuda_probe, "driver_device_count", one))
        bindings = _bindings(counts if counting else None)
        stack.callback(_put_back, {name: sys.modules.get(name) for name in bindings})
        sys.modules.update(bindings)
        change(cupy.cuda.using_allocator(counted if counting else allocate))
        try:
            yield counts
        finally:
            forget()
