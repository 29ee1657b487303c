"""What the emulated runtime does not do itself: kernels by `hostexec`, cuBLASLt and sorting by NumPy.

CuPy hands the driver a binary for a device, which nothing here can run; the text that it was compiled from is noted on
the way and built for the host when the first kernel of it is launched.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cupy
import numpy as np

from tests import standin
from tests.cuda.hostexec import build as hostexec
from tests.standin import cublaslt

_INCLUDE = Path(__file__).parent / "include"
_CUPYS = Path(cupy.__file__).parent / "_core" / "include"
_PREPROCESS = ("-D__CUDACC_VER_MAJOR__=12", "-I", str(_INCLUDE), "-I", str(_CUPYS))
_LAUNCH = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(ctypes.c_uint), ctypes.c_uint, ctypes.POINTER(ctypes.c_void_p),
    ctypes.c_void_p, ctypes.c_int,
)  # fmt: skip
_AGAIN = ctypes.CFUNCTYPE(None, ctypes.c_int)

failures: dict[str, int] = {}  # what kernels could not be run, and how often
_texts: dict[int, tuple[str, tuple[str, ...]]] = {}  # of modules, by their address
_kept: list[Any] = []  # modules, whose addresses must not be given to others
_tokens: list[Callable[[], None]] = [lambda: None]  # what graphs do: a token is a place here
runtime = ctypes.CDLL("libcuda.so.1")
for _name in ("emulator_capturing", "emulator_alive", "emulator_note"):
    getattr(runtime, _name).argtypes = {
        "emulator_capturing": [ctypes.c_void_p],
        "emulator_alive": [ctypes.c_void_p, ctypes.c_size_t],
        "emulator_note": [ctypes.c_void_p, ctypes.c_int],
    }[_name]


class _Module:
    """A text of CUDA C++, built for the host."""

    def __init__(self, text: str, options: tuple[str, ...]) -> None:
        names = [o[2:].partition("=") for o in options if o.startswith("-D")]
        text = "".join(f"#define {name} {value}\n" for name, _, value in names) + text
        cupys = "cupy/" in text  # else one of ours, which needs nothing of CuPy's
        if cupys:
            text = f'#include "cupys.h"\n{text}'
        path, entries = hostexec.build(text, (), _PREPROCESS if cupys else ())
        self._library = ctypes.CDLL(str(path))
        self._library.gg_error.restype = ctypes.c_char_p
        self._places = {name: i for i, (name, _) in enumerate(entries)}

    @functools.cache  # noqa: B019 - modules stay
    def entry(self, name: str) -> tuple[Any, list[int]]:
        """The function of a kernel, and the bytes of each of its parameters."""
        place = self._places[name]
        run, signature = getattr(self._library, f"gg_run_{place}"), getattr(self._library, f"gg_signature_{place}")
        run.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
        signature.restype = ctypes.POINTER(ctypes.c_int)
        found = signature()
        return run, [found[1 + found[0] + i] for i in range(found[0])]

    def launch(self, name: str, dims: Any, shared: int, arguments: Any) -> None:
        """Run a kernel over its whole grid."""
        if self.entry(name)[0](dims, shared, 0, arguments):
            raise RuntimeError(self._library.gg_error().decode())


@functools.cache
def _module(address: int) -> _Module:
    return _Module(*_texts[address])


@_LAUNCH
def _launched(name: bytes, dims: Any, shared: int, arguments: Any, address: int, noted: int) -> int:
    kernel, dims = name.decode(), (ctypes.c_uint * 6)(*dims[:6])
    try:
        module = _module(address)
        if not noted:
            module.launch(kernel, dims, shared, arguments)
            return 0
        sizes = module.entry(kernel)[1]
        values = [ctypes.create_string_buffer(ctypes.string_at(arguments[i], n), n) for i, n in enumerate(sizes)]
        held = (ctypes.c_void_p * max(1, len(values)))(*map(ctypes.addressof, values))
        return _token(lambda: _keeping(values, module.launch, kernel, dims, shared, held))
    except Exception as error:
        text = f"{kernel}: {type(error).__name__}: {error}"
        failures[text] = failures.get(text, 0) + 1
        return -1


def _keeping(_: Any, function: Callable[..., None], *arguments: Any) -> None:
    """Call a function; the first argument is only to stay alive as long."""
    function(*arguments)


@_AGAIN
def _again(token: int) -> None:
    _tokens[token]()


def _token(work: Callable[[], None]) -> int:
    _tokens.append(work)
    return len(_tokens) - 1


def _in_order(work: Callable[[], None], stream: int) -> None:
    """Do work of a stream now, or in each replay of the graph that it captures."""
    if stream and runtime.emulator_capturing(stream):
        runtime.emulator_note(stream, _token(work))
    else:
        work()


# Sorting, by Thrust, which CuPy has compiled in ----------------------------------------------------------------------


def _values(address: int, dtype: Any, shape: Any) -> Any:
    count = int(np.prod(shape))
    if not count:
        return np.empty(tuple(shape), dtype)
    block = (ctypes.c_uint8 * (count * np.dtype(dtype).itemsize)).from_address(address)
    return np.frombuffer(block, dtype).reshape(tuple(shape))


def _sort(dtype: Any, data: int, keys: int, shape: Any) -> None:
    values = _values(data, dtype, shape)
    values[...] = np.sort(values, -1)


def _argsort(dtype: Any, indices: int, data: int, keys: int, shape: Any) -> None:
    values = _values(data, dtype, shape)
    order = np.argsort(values, -1, kind="stable")
    _values(indices, np.int64, shape)[...] = order
    values[...] = np.take_along_axis(values, order, -1)


def _lexsort(dtype: Any, indices: int, keys: int, k: int, n: int) -> None:
    _values(indices, np.int64, (n,))[...] = np.lexsort(_values(keys, dtype, (k, n)))


def _ordered(function: Callable[..., None]) -> Callable[..., None]:
    def call(*arguments: Any) -> None:
        _in_order(lambda: function(*arguments), cupy.cuda.get_current_stream().ptr)

    return call


# All of it -----------------------------------------------------------------------------------------------------------


def _alive(address: int, nbytes: int, what: str) -> None:
    if not runtime.emulator_alive(address, nbytes):
        raise cublaslt.cuBLASLtError(f"cudaErrorIllegalAddress: {what} at {address:#x}, {nbytes} bytes")


def install() -> None:
    """Put all this in its place; once, before anything is launched."""
    compiler, thrust = cupy.cuda.compiler, cupy.cuda.thrust
    compiled = compiler._compile_with_cache_cuda

    def noted(source: str, options: tuple[str, ...], *rest: Any, **named: Any) -> Any:
        module = compiled(source, options, *rest, **named)
        _texts[module.ptr] = source, options
        _kept.append(module)
        return module

    compiler._compile_with_cache_cuda = noted
    thrust.sort, thrust.argsort, thrust.lexsort = map(_ordered, (_sort, _argsort, _lexsort))
    sys.modules.update(standin._bindings())
    cublaslt.alive = _alive
    product, stream = cublaslt.matmul, [0]

    def matmul(*arguments: int) -> None:
        stream[0] = arguments[-1]
        product(*arguments)

    cublaslt.matmul = matmul
    type(cublaslt.STATE).work = lambda state, work: _in_order(work, stream[0])  # type: ignore[method-assign]
    runtime.emulator_executes(_launched, _again)
