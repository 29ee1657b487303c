"""`nvmath.bindings.cublasLt` and `.cublas` of the stand-in: real addresses, enums and sizes, NumPy's arithmetic.

It refuses what the bindings and the library refuse: floats for integers, buffers of another size than the attribute's,
handles that were not made, addresses outside the memory that is alive, alignments and workspaces not kept to.
"""

import ctypes
import enum
import itertools
from typing import Any

import numpy as np

from .state import STATE


class NotSupportedError(RuntimeError):
    """What the bindings raise where a library is missing."""


class cuBLASLtError(Exception):  # noqa: N801 - the bindings' name
    """A status of cuBLASLt other than success."""


class Epilogue(enum.IntEnum):
    DEFAULT, RELU, RELU_AUX, BIAS, RELU_BIAS, RELU_AUX_BIAS = 1, 2, 130, 4, 6, 134
    DRELU, DRELU_BGRAD, GELU, GELU_AUX, GELU_BIAS, GELU_AUX_BIAS = 136, 152, 32, 160, 36, 164
    DGELU, DGELU_BGRAD, BGRADA, BGRADB = 192, 208, 256, 512


class ComputeType(enum.IntEnum):
    COMPUTE_32F, COMPUTE_32F_FAST_16F, COMPUTE_32F_FAST_16BF, COMPUTE_32F_FAST_TF32, COMPUTE_64F = 68, 74, 75, 77, 70


class Operation(enum.IntEnum):
    N, T, C = 0, 1, 2


class MatmulDescAttribute(enum.IntEnum):
    COMPUTE_TYPE, SCALE_TYPE, POINTER_MODE, TRANSA, TRANSB, TRANSC, FILL_MODE, EPILOGUE = range(8)
    BIAS_POINTER, BIAS_BATCH_STRIDE, EPILOGUE_AUX_POINTER, EPILOGUE_AUX_LD = 8, 10, 11, 12
    BIAS_DATA_TYPE = 26


class MatrixLayoutAttribute(enum.IntEnum):
    TYPE, ORDER, ROWS, COLS, LD, BATCH_COUNT, STRIDED_BATCH_OFFSET = range(7)


class MatmulPreferenceAttribute(enum.IntEnum):
    SEARCH_MODE, MAX_WORKSPACE_BYTES, REDUCTION_SCHEME_MASK = 0, 1, 3
    MIN_ALIGNMENT_A_BYTES, MIN_ALIGNMENT_B_BYTES, MIN_ALIGNMENT_C_BYTES, MIN_ALIGNMENT_D_BYTES = 5, 6, 7, 8


_DESC: dict[int, Any] = {
    **dict.fromkeys((0, 1, 2, 3, 4, 5, 6, 26), np.int32), 7: np.uint32, **dict.fromkeys((8, 10, 11, 12), np.int64)
}  # fmt: skip
_LAYOUT: dict[int, Any] = {0: np.uint32, 1: np.int32, 2: np.uint64, 3: np.uint64, 4: np.int64, 5: np.int32, 6: np.int64}
_PREFERENCE: dict[int, Any] = {0: np.uint32, 1: np.uint64, **dict.fromkeys((3, 5, 6, 7, 8), np.uint32)}
_TYPES = {0: "float32", 1: "float64", 2: "float16", 14: "bfloat16"}
_RESULT = np.dtype([("algo", "<u8", 8), ("workspace", "<u8"), ("state", "<i4"), ("waves", "<f4"), ("r", "<i4", 4)])
_MAGIC = 0x6C7443  # the first word of an algorithm that the heuristics made

_KNOWN = """
    DEFAULT BIAS BGRADA BGRADB RELU RELU_BIAS RELU_AUX RELU_AUX_BIAS DRELU GELU GELU_BIAS GELU_AUX GELU_AUX_BIAS DGELU
""".split()

_objects: dict[int, tuple[str, dict[int, Any]]] = {}
_numbers = itertools.count(0x10000, 16)


def _integers(*values: Any) -> None:
    for v in values:
        if not hasattr(v, "__index__") or isinstance(v, bool):
            raise TypeError("an integer is required")


def _new(kind: str, **held: Any) -> int:
    number = next(_numbers)
    _objects[number] = kind, {int(k[1:]): v for k, v in held.items()}
    return number


def _get(number: int, kind: str) -> dict[int, Any]:
    found = _objects.get(number)
    if found is None or found[0] != kind:
        raise cuBLASLtError(f"CUBLAS_STATUS_INVALID_VALUE (7): {number:#x} is no {kind}")
    return found[1]


def _set(kind: str, sizes: dict[int, Any], number: int, attribute: int, buffer: int, nbytes: int) -> None:
    _integers(number, attribute, buffer, nbytes)
    dtype = np.dtype(sizes[int(attribute)])
    if dtype.itemsize != nbytes:
        raise cuBLASLtError(f"CUBLAS_STATUS_INVALID_VALUE (7): attribute {attribute} of {nbytes} bytes")
    value = np.frombuffer((ctypes.c_uint8 * nbytes).from_address(buffer), dtype)[0]
    _get(number, kind)[int(attribute)] = value.item()


def create() -> int:
    """A handle, of the device that is current."""
    return _new("handle", _0=STATE.device)


def matmul_desc_create(compute_type: int, scale_type: int) -> int:
    _integers(compute_type, scale_type)
    return _new("desc", _0=ComputeType(compute_type), _1=int(scale_type), _3=0, _4=0, _7=1)


def matmul_desc_set_attribute(desc: int, attr: int, buf: int, size_in_bytes: int) -> None:
    _set("desc", _DESC, desc, attr, buf, size_in_bytes)


def matmul_desc_destroy(desc: int) -> None:
    _get(desc, "desc")
    del _objects[desc]


def matrix_layout_create(type: int, rows: int, cols: int, ld: int) -> int:
    _integers(type, rows, cols, ld)
    if type not in _TYPES or rows < 1 or cols < 1 or ld < rows:
        raise cuBLASLtError(f"CUBLAS_STATUS_INVALID_VALUE (7): layout {type}, {rows} x {cols}, ld {ld}")
    return _new("layout", _0=int(type), _2=int(rows), _3=int(cols), _4=int(ld), _5=1, _6=0)


def matrix_layout_set_attribute(layout: int, attr: int, buf: int, size_in_bytes: int) -> None:
    _set("layout", _LAYOUT, layout, attr, buf, size_in_bytes)


def matrix_layout_destroy(layout: int) -> None:
    _get(layout, "layout")
    del _objects[layout]


def matmul_preference_create() -> int:
    return _new("preference", _1=0, _5=256, _6=256, _7=256, _8=256)


def matmul_preference_set_attribute(pref: int, attr: int, buf: int, size_in_bytes: int) -> None:
    _set("preference", _PREFERENCE, pref, attr, buf, size_in_bytes)


def matmul_preference_destroy(pref: int) -> None:
    _get(pref, "preference")
    del _objects[pref]


def matmul_algo_get_heuristic(
    handle: int, desc: int, a: int, b: int, c: int, d: int, preference: int, count: int, results: int, found: int
) -> None:
    """Fill in `count` proposals; NOT_SUPPORTED for the epilogues that STATE names."""
    _integers(handle, desc, a, b, c, d, preference, count, results, found)
    _get(handle, "handle")
    for layout in (a, b, c, d):
        _get(layout, "layout")
    STATE.calls["cublasLt.heuristic"] += 1
    if Epilogue(_get(desc, "desc")[7]).name in STATE.unsupported:
        raise cuBLASLtError("CUBLAS_STATUS_NOT_SUPPORTED (15)")
    asked = _get(preference, "preference")
    out = np.frombuffer((ctypes.c_uint8 * (_RESULT.itemsize * count)).from_address(results), _RESULT)
    for i in range(count):
        out[i]["algo"][:6] = _MAGIC, i, asked[5], asked[6], asked[8], asked[1]
    ctypes.c_int32.from_address(found).value = count


def _matrix(address: int, layout: dict[int, Any], align: int, what: str) -> np.ndarray:
    """The matrices at an address, as (batch, rows, cols) views of the memory that is alive there."""
    dtype = np.dtype(_TYPES[layout[0]])
    rows, cols, ld, batch, step = (layout[i] for i in (2, 3, 4, 5, 6))
    extent = ((batch - 1) * step + (cols - 1) * ld + rows) * dtype.itemsize
    alive(address, extent, what)
    if address % align:
        raise cuBLASLtError(f"CUBLAS_STATUS_INVALID_VALUE (7): {what} at {address:#x} is not aligned to {align} bytes")
    flat = np.frombuffer((ctypes.c_uint8 * extent).from_address(address), dtype)
    strides = (step * dtype.itemsize, dtype.itemsize, ld * dtype.itemsize)
    return np.lib.stride_tricks.as_strided(flat, (batch, rows, cols), strides)


def alive(address: int, nbytes: int, what: str) -> None:
    """Refuse an address outside the arrays that are alive on the current device: a device would fault."""
    replayed = ((a.ctypes.data, a.nbytes, device) for a, device in STATE.replayed)
    for start, size, device in itertools.chain([block[:3] for block in list(STATE.blocks.values())], replayed):
        if start <= address and address + nbytes <= start + size:
            if device != STATE.device:
                raise cuBLASLtError(f"the stand-in: {what} is on device {device}, the current one is {STATE.device}")
            return
    raise cuBLASLtError(f"cudaErrorIllegalAddress: {what} at {address:#x}, {nbytes} bytes")


def _operand(m: np.ndarray, transposed: int, compute: int, dtype: np.dtype) -> np.ndarray:
    m = m.swapaxes(1, 2) if transposed else m
    if compute == ComputeType.COMPUTE_32F_FAST_TF32:  # ten bits of mantissa are left
        bits = m.astype(np.float32).view(np.uint32)
        m = ((bits + 0x1000) & np.uint32(0xFFFFE000)).view(np.float32)
    if compute == ComputeType.COMPUTE_32F_FAST_16BF:
        m = m.astype("bfloat16")
    return m.astype(np.float64 if dtype == np.float64 else np.float32)


def matmul(
    handle: int, desc: int, alpha: int, a: int, adesc: int, b: int, bdesc: int, beta: int, c: int, cdesc: int, d: int,
    ddesc: int, algo: int, workspace: int, size: int, stream: int,
) -> None:  # fmt: skip
    """`D = epilogue(alpha op(A) op(B) + beta C)`, by columns."""
    _integers(handle, desc, alpha, a, adesc, b, bdesc, beta, c, cdesc, d, ddesc, algo, workspace, size, stream)
    if _get(handle, "handle")[0] != STATE.device:
        raise cuBLASLtError("the stand-in: a handle of another device than the current one")
    how, (la, lb, ld) = dict(_get(desc, "desc")), [dict(_get(x, "layout")) for x in (adesc, bdesc, ddesc)]
    chosen = np.frombuffer((ctypes.c_uint8 * 64).from_address(algo), np.uint64).copy()
    if chosen[0] != _MAGIC or int(chosen[5]) > size:
        raise cuBLASLtError("CUBLAS_STATUS_NOT_SUPPORTED (15): no algorithm of the heuristics, or too little workspace")
    alive(workspace, size, "workspace")
    wide = np.dtype(np.float64 if how[1] == 1 else np.float32)
    factors = [np.frombuffer((ctypes.c_uint8 * wide.itemsize).from_address(p), wide)[0] for p in (alpha, beta)]
    if factors[1] not in (0, 1) or (factors[1] == 0 and (c, cdesc) != (d, ddesc)):
        raise NotImplementedError("the stand-in's matmul has beta = 0 and C = D, or beta = 1")
    STATE.calls["cublasLt.matmul"] += 1
    STATE.calls[f"cublasLt.{Epilogue(how[7]).name}"] += 1
    ma, mb, md = (
        _matrix(p, layout, int(n), name)
        for p, layout, n, name in ((a, la, chosen[2], "A"), (b, lb, chosen[3], "B"), (d, ld, chosen[4], "D"))
    )

    mc = _matrix(c, dict(_get(cdesc, "layout")), int(chosen[4]), "C") if factors[1] else None

    def compute() -> None:
        left, right = _operand(ma, how[3], how[0], wide), _operand(mb, how[4], how[0], wide)
        with np.errstate(all="ignore"):
            product = factors[0] * np.matmul(left, right)
            product = product if mc is None else product + mc.astype(wide)
            _finish(Epilogue(how[7]).name, how, product, left, right, md)

    STATE.work(compute)


def _vector(how: dict[int, Any], n: int, dtype: np.dtype) -> np.ndarray:
    if how.get(26) is None or _TYPES[how[26]] != dtype.name:
        raise cuBLASLtError("the stand-in: say the bias's type")
    alive(how[8], n * dtype.itemsize, "bias")
    return np.frombuffer((ctypes.c_uint8 * (n * dtype.itemsize)).from_address(how[8]), dtype)


def _notes(how: dict[int, Any], gelu: bool, rows: int, cols: int, dtype: np.dtype) -> np.ndarray:
    """The auxiliary matrix of an epilogue as (cols, ld): bytes of a bit mask for relu, values for GELU."""
    ld, at = how.get(12, 0), how.get(11, 0)
    if ld < rows or ld % (8 if gelu else 128) or at % 16 or not at:
        raise cuBLASLtError(f"CUBLAS_STATUS_INVALID_VALUE (7): auxiliary matrix at {at:#x}, ld {ld} for {rows} rows")
    kind = dtype if gelu else np.dtype(np.uint8)
    width = ld if gelu else ld // 8
    alive(at, cols * width * kind.itemsize, "auxiliary matrix")
    flat = np.frombuffer((ctypes.c_uint8 * (cols * width * kind.itemsize)).from_address(at), kind)
    return flat.reshape(cols, width)


def _gelu(x: Any) -> tuple[Any, Any]:
    """GELU's tanh form and its derivative."""
    t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    slope = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
    return 0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope


def _activated(name: str, how: Any, value: Any, out: np.ndarray) -> Any:
    """RELU and GELU, with or without AUX, and the derivatives DRELU and DGELU."""
    rows, cols = out.shape[1:]
    gelu = "GELU" in name
    if name.startswith("D"):
        kept = _notes(how, gelu, rows, cols, out.dtype)
        if gelu:
            return value * _gelu(kept[:, :rows].astype(value.dtype).T)[1]
        return value * np.unpackbits(kept, axis=1, bitorder="little")[:, :rows].T
    if "AUX" in name:
        kept = _notes(how, gelu, rows, cols, out.dtype)
        if gelu:
            kept[:, :rows] = value[0].T
        else:
            bits = np.packbits(value[0].T > 0, axis=1, bitorder="little")
            kept[:, : bits.shape[1]] = bits
    return _gelu(value)[0] if gelu else np.maximum(value, 0)


def _finish(name: str, how: Any, value: Any, left: Any, right: Any, out: np.ndarray) -> None:
    rows, cols = out.shape[1:]
    if name != "DEFAULT" and (out.shape[0] > 1 or out.dtype == np.float64):
        raise cuBLASLtError("CUBLAS_STATUS_NOT_SUPPORTED (15)")
    if name in ("DRELU", "DGELU") and left.shape[2] == 1:
        raise cuBLASLtError("CUBLAS_STATUS_NOT_SUPPORTED (15): a derivative of a product over one element")
    if name.endswith("BIAS"):
        value = value + _vector(how, rows, out.dtype).astype(value.dtype)[:, None]
    if "ELU" in name:
        value = _activated(name, how, value, out)
    if name == "BGRADA":
        _vector(how, rows, out.dtype)[...] = left[0].sum(1)
    if name == "BGRADB":
        _vector(how, cols, out.dtype)[...] = right[0].sum(0)
    if name not in _KNOWN:
        raise NotImplementedError(f"the stand-in has no epilogue {name}")
    out[...] = value
