"""Loads what `build` made and launches its kernels with CuPy's calling convention on NumPy arrays.

Arguments are checked against the kernel's C++ parameter list, which a device cannot do.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from .build import HostExecError, build

__all__ = ["HostExecError", "HostKernel", "HostModule"]


class HostModule:
    """CUDA C++ text as a module of callable kernels.

    Args:
        source: One text, or several to be built as one translation unit (much cheaper than one by one; the
            texts must not define the same names, save under include guards).
        name_expressions: Entry points other than the `extern "C"` kernels, such as `"softmax<float>"`.

    Raises:
        HostExecError: The host compiler is missing or refused the text.

    Example:
        >>> add = HostModule('''extern "C" __global__ void add_one(float* x) { x[threadIdx.x] += 1.f; }''')
        >>> x = np.zeros(4, np.float32)
        >>> add.get_function("add_one")((1,), (4,), (x,))
        >>> x
        array([1., 1., 1., 1.], dtype=float32)
    """

    def __init__(self, source: str | Sequence[str], name_expressions: Sequence[str] = ()) -> None:
        text = source if isinstance(source, str) else "\n".join(source)
        path, entries = build(text, tuple(name_expressions))
        self._library = ctypes.CDLL(str(path))
        self._library.gg_error.restype = ctypes.c_char_p
        self._kernels = {n: HostKernel(self._library, i, n, most) for i, (n, most) in enumerate(entries)}

    @property
    def names(self) -> tuple[str, ...]:
        """The entry points, in the order of the text."""
        return tuple(self._kernels)

    def get_function(self, name: str) -> HostKernel:
        """The kernel called `name`.

        Raises:
            HostExecError: There is no such entry point; the message lists those that there are.
        """
        try:
            return self._kernels[name]
        except KeyError:
            raise HostExecError(f"[hostexec] no kernel {name!r}; the module has {', '.join(self.names)}") from None


class HostKernel:
    """One entry point; call it as a `cupy.RawKernel`: `kernel(grid, block, args, shared_mem=0)`.

    `args` may hold NumPy arrays and whatever has `__array_interface__` (passed as pointers), NumPy scalars and
    Python numbers (passed by value: an int is 8 bytes, a float is a double, as CuPy passes them), structured
    arrays of one element or `numpy.void` (passed by value as C structs), and None (a null pointer).
    Blocks run one after another, and in a block each warp as far as it can before the next one begins;
    `backwards=True` takes warps and lanes in the opposite order: a kernel whose result changes lacks a barrier.

    Raises:
        HostExecError: The arguments do not fit the kernel's parameters, the block is larger than
            `__launch_bounds__` or 1024 threads, or threads diverge at a barrier.
    """

    def __init__(self, library: ctypes.CDLL, index: int, name: str, most_threads: int) -> None:
        self.name = name
        self.most_threads = most_threads or 1024
        self._shared = 48 << 10
        self._library = library
        self._run = getattr(library, f"gg_run_{index}")
        self._run.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
        signature = getattr(library, f"gg_signature_{index}")
        signature.restype = ctypes.POINTER(ctypes.c_int)
        found = signature()
        count = found[0]
        self.parameters = tuple((chr(found[1 + i]), found[1 + count + i]) for i in range(count))

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """What `shared_mem` may be; settable up to what an H100 gives a block.

        Raises:
            HostExecError: no device gives a block so much.
        """
        return self._shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        if not 0 <= size <= 227 << 10:
            raise HostExecError(f"[{self.name}] max_dynamic_shared_size_bytes = {size}: a device refuses that")
        self._shared = size

    def __call__(
        self,
        grid: Sequence[int],
        block: Sequence[int],
        args: Sequence[Any],
        *,
        shared_mem: int = 0,
        backwards: bool = False,
    ) -> None:
        dims = (*grid, 1, 1)[:3] + (*block, 1, 1)[:3]
        self._check_launch(dims, args, shared_mem)
        values = [self._value(i, a) for i, a in enumerate(args)]
        pointers = (ctypes.c_void_p * max(1, len(values)))(*(v.ctypes.data for v in values))
        failed = self._run((ctypes.c_uint * 6)(*dims), shared_mem, int(backwards), pointers)
        if failed:
            raise HostExecError(f"[{self.name}] {self._library.gg_error().decode()}")

    def _check_launch(self, dims: tuple[int, ...], args: Sequence[Any], shared_mem: int) -> None:
        limits = (2**31 - 1, 65535, 65535, 1024, 1024, 64)
        threads = dims[3] * dims[4] * dims[5]
        if any(not 1 <= d <= most for d, most in zip(dims, limits, strict=True)) or threads > self.most_threads:
            raise HostExecError(
                f"[{self.name}] grid {dims[:3]}, block {dims[3:]}: out of range (at most {self.most_threads} "
                f"threads for this kernel; grid at most {limits[:3]})"
            )
        if not 0 <= shared_mem <= self.max_dynamic_shared_size_bytes:
            raise HostExecError(
                f"[{self.name}] shared_mem = {shared_mem}: a device refuses more than "
                f"{self.max_dynamic_shared_size_bytes}, what max_dynamic_shared_size_bytes says (at first 49152)"
            )
        if len(args) != len(self.parameters):
            raise HostExecError(f"[{self.name}] takes {len(self.parameters)} arguments, got {len(args)}")

    def _value(self, index: int, given: Any) -> np.ndarray[Any, Any]:
        """The bytes of one argument, as a zero- or one-element array that holds them."""
        kind, size = self.parameters[index]
        by_value = isinstance(given, np.generic | bool | int | float) or (
            isinstance(given, np.ndarray) and given.dtype.fields is not None and given.size == 1
        )
        if given is None:
            value = np.zeros(1, np.uint64)
        elif by_value:
            value = np.ascontiguousarray(given)
        elif hasattr(given, "__array_interface__"):
            value = np.array([given.__array_interface__["data"][0]], np.uint64)
        else:
            raise HostExecError(f"[{self.name}] argument {index} is a {type(given).__name__}, which no kernel takes")
        passed = {"f": "f", "b": "b", "i": "i", "u": "i", "V": "s"}.get(value.dtype.kind, "?") if by_value else "p"
        raw_pointer = kind == "p" and passed == "i" and isinstance(given, np.generic)
        if (passed != kind and not raw_pointer) or value.nbytes != size:
            words = {
                "p": "a pointer",
                "f": "a float",
                "i": "an integer",
                "b": "a bool",
                "s": "a struct",
                "?": "unknown",
            }
            raise HostExecError(
                f"[{self.name}] argument {index} is {words[passed]} of {value.nbytes} bytes ({given!r:.80}); "
                f"the kernel takes {words[kind]} of {size} bytes"
            )
        return value
