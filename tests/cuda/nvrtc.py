"""Compiles CUDA C++ with the NVRTC library through ctypes: needs the NVRTC wheel, no driver and no device.

Passes the options that CuPy passes for a RawModule, so that what compiles here compiles there.
"""

from __future__ import annotations

import ctypes
import functools
import glob
import importlib.util
from pathlib import Path

__all__ = ["NvrtcError", "architectures", "compile_source", "missing_nvrtc"]


class NvrtcError(RuntimeError):
    """NVRTC refused a source; the message is its log."""


def _wheel_folders() -> list[Path]:
    spec = importlib.util.find_spec("nvidia")
    return [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []


@functools.cache
def _library() -> ctypes.CDLL | None:
    for folder in _wheel_folders():
        for path in sorted(glob.glob(str(folder / "*" / "lib" / "libnvrtc.so*"))):
            return ctypes.CDLL(path)
    for name in ("libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


@functools.cache
def _include() -> str | None:
    for folder in [*_wheel_folders(), Path("/usr/local/cuda")]:
        for header in sorted(glob.glob(str(folder / "**" / "include" / "cuda_fp16.h"), recursive=True)):
            return str(Path(header).parent)
    return None


def missing_nvrtc() -> str | None:
    """Why sources cannot be compiled here, as a reason for a skip; None where they can."""
    if _library() is None:
        return "no NVRTC library (pip install nvidia-cuda-nvrtc-cu12)"
    if _include() is None:
        return "no CUDA headers (pip install nvidia-cuda-runtime-cu12)"
    return None


def architectures() -> tuple[int, ...]:
    """Of 70, 80, 90 and 100 those that this NVRTC can compile for."""
    library = _library()
    if library is None:
        return ()
    count = ctypes.c_int()
    library.nvrtcGetNumSupportedArchs(ctypes.byref(count))
    found = (ctypes.c_int * count.value)()
    library.nvrtcGetSupportedArchs(found)
    return tuple(a for a in (70, 80, 90, 100) if a in set(found))


def compile_source(source: str, arch: int, *, ptx: bool = False) -> bytes:
    """Compile to a cubin for sm_`arch`, or to PTX text.

    Raises:
        NvrtcError: The source does not compile; the message is the compiler's log.
    """
    library = _library()
    assert library is not None, missing_nvrtc()
    program = ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
    options = [
        f"-arch={'compute' if ptx else 'sm'}_{arch}", "-ftz=true", "--device-as-default-execution-space",
        f"-I{_include()}",
    ]  # fmt: skip
    status = library.nvrtcCompileProgram(
        program, len(options), (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
    )
    try:
        if status:
            raise NvrtcError(_text(library, "nvrtcGetProgramLog", program).decode())
        return _text(library, "nvrtcGetPTX" if ptx else "nvrtcGetCUBIN", program)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _text(library: ctypes.CDLL, getter: str, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    getattr(library, f"{getter}Size")(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    getattr(library, getter)(program, buffer)
    return buffer.raw[: size.value]
