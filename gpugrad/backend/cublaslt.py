"""Matrix products on a GPU through cuBLASLt's low-level bindings: plans, epilogues, workspace and handle.

The bindings (`nvmath.bindings`) take addresses and bare structures, so a product can be captured in a CUDA graph, which
CuPy's own routine refuses. What memory order an operand may have is in `products`; `CupyBackend` chooses who computes.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any, Final

import numpy as np

from . import precision
from .base import Array
from .cuda_copies import dense, put
from .cuda_scratch import Scratch
from .products import Operand, Problem, batch_shape, problem, spread

# CUDA's numbers of the types (cudaDataType): of the matrices, and of the factors alpha and beta.
_FLOAT32, _FLOAT64, _FLOAT16, _BFLOAT16 = 0, 1, 2, 14
_TYPES: Final = {"float32": _FLOAT32, "float64": _FLOAT64, "float16": _FLOAT16, "bfloat16": _BFLOAT16}
_MAX_PLANS: Final = 4096
_WORKSPACE: Final = 32 << 20  # what cuBLAS recommends for Hopper; smaller ones take away its fastest kernels
_RESULT_BYTES: Final = 96  # of cublasLtMatmulHeuristicResult_t; the algorithm comes first
_STATE_AT: Final = 72  # where its status is, an int
_CANDIDATES: Final = 8  # algorithms that a timed choice compares
_ALIGNED: Final = 16  # bytes; more than that makes no difference to an algorithm
_RELU_ALIGNED: Final = 128  # bits that the rows of a mask are a multiple of

# What is read or written besides: the bias or its gradient, the notes on an activation, what is added.
Beside = tuple[Any, Any, Any]
_NOTHING: Final = (None, None, None)
_WIDENED: Final = ("DEFAULT", "BGRADA", "BGRADB")  # those whose result may be wider than the operands
_PLAIN: Final = ("DEFAULT", "ADDED")  # those that are no epilogue of the library's


class _Plan:
    """One product, all of it decided but the addresses."""

    __slots__ = ("algorithm", "alpha", "beta", "desc", "keep", "layouts", "offsets", "told")

    def __init__(
        self, problem: Problem, desc: int, layouts: tuple[int, ...], itemsizes: Any, numbers: Any, keep: Any
    ) -> None:
        self.desc, self.layouts = desc, layouts
        size, out_size = itemsizes
        self.offsets = tuple([(a * size, b * size, d * out_size) for a, b, d in problem.offsets])  # in bytes
        self.told: list[int] = [0, 0]  # the addresses of what is beside it, as the descriptor has them
        self.alpha, self.beta = numbers.ctypes.data, numbers.ctypes.data + numbers.itemsize
        self.keep, self.algorithm = [numbers, keep], keep.ctypes.data


class Products:
    """The products of one GPU.

    Args:
        backend: of that GPU; allocates results and says which device is current.

    Attributes:
        scratch: memory for their intermediate results.
        tuned: whether plans made from now on time their candidates on the device, once each, and keep the fastest.
        refused: products that cuBLASLt would not do, in words, and what it said.

    Raises:
        Exception: whatever the bindings raise where they, or cuBLASLt itself, are missing or cannot be used.
    """

    def __init__(self, backend: Any) -> None:
        from nvmath.bindings import cublas, cublasLt

        self.backend = backend
        self.tuned = False
        self.refused: dict[str, str] = {}
        self._lt, self._blas, self._matmul = cublasLt, cublas, cublasLt.matmul
        self._cuda = backend.xp.cuda
        self._desc, self._layout = cublasLt.MatmulDescAttribute, cublasLt.MatrixLayoutAttribute
        self._preference = cublasLt.MatmulPreferenceAttribute
        with backend.place():
            self._handle: int = cublasLt.create()
        pointers = self._desc.BIAS_POINTER, self._desc.EPILOGUE_AUX_POINTER
        self._pointers: tuple[int, int] = (int(pointers[0]), int(pointers[1]))
        self._address = ctypes.c_int64()  # where an attribute is read from
        self._address_at = ctypes.addressof(self._address)
        self._plans: dict[Any, _Plan | int | None] = {}
        # Of products whose results are made here: by what decides one without its result, with the result's shape.
        self._known: dict[Any, tuple[_Plan, tuple[int, ...]]] = {}
        self.scratch = Scratch(backend, _WORKSPACE)
        # A plan's descriptor holds the addresses of bias and notes, so that two threads must not call it at once.
        self._lock = threading.Lock()

    def matmul(
        self,
        a: Array,
        b: Array,
        out: Array | None = None,
        epilogue: str = "DEFAULT",
        vector: Array | None = None,
        aux: Array | None = None,
        added: Array | None = None,
        wide: bool = False,
    ) -> Array | None:
        """NumPy's matmul of arrays of two axes or more, followed by an epilogue of cuBLASLt.

        Args:
            a: (*batch, m, k).
            b: (*batch, k, n), of the same dtype.
            out: (*batch, m, n) to write to, of the same dtype, or float32 for halves; made if not given.
            epilogue: what cuBLASLt does besides: DEFAULT (nothing), BGRADA, BGRADB, or an activation or its derivative:
                BIAS, RELU, RELU_BIAS, RELU_AUX, RELU_AUX_BIAS, DRELU, and the same of GELU (the tanh form), or ADDED.
            vector: the bias, (n,), or where its gradient is written: the sums over k of `b`, (n,), with BGRADA, and of
                `a`, (m,), with BGRADB. Contiguous.
            aux: what an AUX writes and a D.. reads, as `aux_like` makes it.
            added: with ADDED (the library's C), one matrix of the result's shape and dtype, its rows without gaps.
            wide: make the result, and a bias gradient, of halves in float32.

        Returns:
            The product, or None where cuBLASLt has no such product: another routine must compute it.
        """
        beside = _NOTHING if epilogue == "DEFAULT" else (vector, aux, added)
        if out is None and not self.backend.many:
            at, bt = a.data.ptr, b.data.ptr
            level, low = precision.get_float32_matmul_precision(), 0 if beside is _NOTHING else _low(beside)
            more = epilogue if added is None else added.strides
            short = (a.shape, a.strides, b.shape, b.strides, a.dtype, b.dtype, at & 15, bt & 15, more, level, low, wide)
            known = self._known.get(short)
            if known is not None:
                target = self.backend.empty(known[1], np.float32 if wide else a.dtype)
                self._launch(known[0], (at, bt, target.data.ptr), beside)
                return target
        if a.dtype != b.dtype or a.dtype.name not in _TYPES or min(a.ndim, b.ndim) < 2:
            return None
        shape = (*batch_shape(a, b), a.shape[-2], b.shape[-1])
        target = self.backend.empty(shape, np.float32 if wide else a.dtype) if out is None else out
        wider = target.dtype == np.float32 and a.dtype.itemsize == 2 and epilogue in _WIDENED
        if target.shape != shape or not (target.dtype == a.dtype or wider):
            return None
        if not target.size:
            return target
        if not a.shape[-1]:
            target.fill(0)
            return target if beside is _NOTHING else None
        with self.backend.place():
            found = self._run(a, b, target, epilogue, beside)
        if out is None and found is not None and not self.backend.many:
            plan = self._plans.get(self._key(a, b, target, epilogue, beside))  # gone, if there were too many
            if isinstance(plan, _Plan) and target.data.ptr % _ALIGNED == 0:  # as all new memory is
                if len(self._known) >= _MAX_PLANS:
                    self._known.clear()
                self._known[short] = plan, shape
        return found

    def _key(self, a: Array, b: Array, out: Array, epilogue: str, beside: Beside) -> tuple[Any, ...]:
        at, bt, dt = a.data.ptr, b.data.ptr, out.data.ptr
        bits = (at & -at & 15, bt & -bt & 15, dt & -dt & 15, _low(beside))
        level = precision.get_float32_matmul_precision()
        adds = None if beside[2] is None else beside[2].strides
        return a.shape, a.strides, b.shape, b.strides, out.strides, a.dtype, out.dtype, bits, epilogue, level, adds

    def aux_like(self, epilogue: str, rows: int, n: int, dtype: Any) -> Array:
        """Memory, by rows, for what RELU_AUX keeps (a bit for each element) or GELU_AUX (the values before)."""
        if "GELU" in epilogue:
            return self.backend.empty((rows, n), dtype)
        return self.backend.empty((rows, relu_row(n)), np.uint8)

    def _run(self, a: Array, b: Array, out: Array, epilogue: str, beside: Beside) -> Array | None:
        key = self._key(a, b, out, epilogue, beside)
        found = self._plans.get(key, ...)
        if found is ...:
            if len(self._plans) >= _MAX_PLANS:
                self._forget()
            found = self._plans[key] = self._plan(a, b, out, epilogue, beside)
        if isinstance(found, _Plan):
            try:
                self._launch(found, (a.data.ptr, b.data.ptr, out.data.ptr), beside)
            except self._lt.cuBLASLtError as error:  # the heuristics know better than that, but not always
                self._plans[key] = None  # its descriptor stays: the call may be one of several, some of them under way
                self._refuse(a, b, out, epilogue, error)
                return None
            return out
        if isinstance(found, int):
            return self._rearranged(found, a, b, out, epilogue, beside)
        return None

    def _rearranged(self, which: int, a: Array, b: Array, out: Array, epilogue: str, beside: Beside) -> Any:
        """The product of operands of which one lies as BLAS cannot take it: turned around, or copied."""
        if which == 2:
            if epilogue != "DEFAULT":
                return None
            if out.strides[-2] == out.itemsize:
                turned = self._run(b.swapaxes(-1, -2), a.swapaxes(-1, -2), out.swapaxes(-1, -2), epilogue, _NOTHING)
                return None if turned is None else out
            made = self._run(a, b, self.backend.empty(out.shape, out.dtype), epilogue, _NOTHING)
            if made is not None:
                put(out, made)
            return None if made is None else out
        a, b = (dense(a), b) if which == 0 else (a, dense(b))
        return self._run(a, b, out, epilogue, beside)

    def _launch(self, plan: _Plan, starts: tuple[int, int, int], beside: Beside) -> None:
        stream = self._cuda.get_current_stream()
        scratch = self.scratch.of(stream)
        at, bt, dt = starts
        a_desc, b_desc, c_desc, d_desc = plan.layouts
        added = beside[2]
        with self._lock:
            if beside is not _NOTHING and added is None:
                self._point(plan.desc, beside, plan.told)
            for a_off, b_off, d_off in plan.offsets:
                result = dt + d_off
                c = result if added is None else added.data.ptr
                self._matmul(
                    self._handle, plan.desc, plan.alpha, bt + b_off, a_desc, at + a_off, b_desc,
                    plan.beta, c, c_desc, result, d_desc, plan.algorithm, scratch.address, _WORKSPACE, stream.ptr,
                )  # fmt: skip
            if scratch.event is not None:
                scratch.event.record(stream)

    def _point(self, desc: int, beside: Beside, told: list[int]) -> None:
        """Tell a descriptor where its bias and what is kept beside the result are, as far as it is not `told` so."""
        for i, array in enumerate(beside[:2]):
            if array is not None and told[i] != (address := array.data.ptr):
                told[i] = self._address.value = address
                self._lt.matmul_desc_set_attribute(desc, self._pointers[i], self._address_at, 8)

    # Plans

    def _plan(self, a: Array, b: Array, out: Array, epilogue: str, beside: Beside) -> _Plan | int | None:
        batch = out.shape[:-2]
        found = problem(spread(a, batch), spread(b, batch), spread(out, batch), batch)
        if isinstance(found, int):
            return found
        special = epilogue not in _PLAIN
        if epilogue != "DEFAULT" and (found.batch > 1 or len(found.offsets) > 1):
            return None
        if special and a.dtype.name == "float64":
            return None
        if epilogue.startswith("D") and special and found.k == 1:  # the library has none
            return None
        if epilogue == "BGRADB" and not found.b.transposed:  # the library adds up the rows of such operands only
            return None
        kind = _TYPES[a.dtype.name]
        desc = self._lt.matmul_desc_create(int(self._compute(kind)), _FLOAT64 if kind == _FLOAT64 else _FLOAT32)
        operation = self._blas.Operation
        for attribute, operand in ((self._desc.TRANSA, found.a), (self._desc.TRANSB, found.b)):
            self._set(desc, attribute, np.int32(operation.T if operand.transposed else operation.N))
        if special:
            self._set(desc, self._desc.EPILOGUE, np.uint32(self._lt.Epilogue[epilogue]))
            vector, aux, _ = beside
            self._point(desc, beside, [0, 0])
            if vector is not None:
                self._set(desc, self._desc.BIAS_DATA_TYPE, np.int32(_TYPES[vector.dtype.name]))
            if aux is not None:  # in elements: bits for relu
                per = 1 if "GELU" in epilogue else 8
                self._set(desc, self._desc.EPILOGUE_AUX_LD, np.int64(aux.shape[-1] * per))
        a_layout, b_layout = (self._matrix(kind, each, found.batch) for each in (found.a, found.b))
        d_layout = self._matrix(_TYPES[out.dtype.name], found.d, found.batch)
        c_layout = d_layout
        if beside[2] is not None:  # it lies with longer rows, perhaps
            ld = max(beside[2].strides[0] // a.dtype.itemsize, found.d.ld) if len(out) > 1 else found.d.ld
            c_layout = self._matrix(kind, found.d._replace(ld=ld), 1)
        layouts = a_layout, b_layout, c_layout, d_layout
        wide = np.float64 if kind == _FLOAT64 else np.float32
        aligned = [_alignment(each, [s[i] for s in found.offsets]) for i, each in ((1, b), (0, a), (2, out))]
        low = _low(beside)
        aligned[2] = min(aligned[2], low & -low or _ALIGNED)  # what an epilogue moves counts as the result's
        try:
            algorithms = self._algorithms(desc, layouts, aligned, _CANDIDATES if self.tuned else 1)
        except self._lt.cuBLASLtError as error:  # NOT_SUPPORTED: this epilogue or order does not exist for this type
            algorithms = []
            self._refuse(a, b, out, epilogue, error)
        if not algorithms:
            self._drop(desc, layouts)
            return None
        itemsizes = a.dtype.itemsize, out.dtype.itemsize
        plan = _Plan(found, desc, layouts, itemsizes, np.array([1, epilogue == "ADDED"], wide), algorithms[0])
        if len(algorithms) > 1:
            self._choose(plan, algorithms, (a.data.ptr, b.data.ptr, out.data.ptr), beside)
        return plan

    def _compute(self, kind: int) -> int:
        types = self._blas.ComputeType
        if kind == _FLOAT64:
            return int(types.COMPUTE_64F)
        level = precision.get_float32_matmul_precision() if kind == _FLOAT32 else "highest"
        names = {"high": types.COMPUTE_32F_FAST_TF32, "medium": types.COMPUTE_32F_FAST_16BF}
        return int(names.get(level, types.COMPUTE_32F))

    def _matrix(self, kind: int, operand: Operand, batch: int) -> int:
        layout: int = self._lt.matrix_layout_create(kind, operand.rows, operand.cols, operand.ld)
        if batch > 1:
            for attribute, value in (
                (self._layout.BATCH_COUNT, np.int32(batch)),
                (self._layout.STRIDED_BATCH_OFFSET, np.int64(operand.step)),
            ):
                held = np.array([value])
                self._lt.matrix_layout_set_attribute(layout, int(attribute), held.ctypes.data, held.nbytes)
        return layout

    def _set(self, desc: int, attribute: int, value: Any) -> None:
        held = np.array([value])
        self._lt.matmul_desc_set_attribute(desc, int(attribute), held.ctypes.data, held.nbytes)

    def _algorithms(self, desc: int, layouts: Any, aligned: list[int], count: int) -> list[Any]:
        """What cuBLASLt's heuristics propose, the best guess first; [] where it has nothing for this product.

        Raises:
            cuBLASLtError: the library's own, where it says so.
        """
        preference = self._lt.matmul_preference_create()
        names = self._preference
        for attribute, value in (
            (names.MAX_WORKSPACE_BYTES, np.uint64(_WORKSPACE)),
            (names.MIN_ALIGNMENT_A_BYTES, np.uint32(aligned[0])),
            (names.MIN_ALIGNMENT_B_BYTES, np.uint32(aligned[1])),
            (names.MIN_ALIGNMENT_C_BYTES, np.uint32(aligned[2])),
            (names.MIN_ALIGNMENT_D_BYTES, np.uint32(aligned[2])),
        ):
            held = np.array([value])
            self._lt.matmul_preference_set_attribute(preference, int(attribute), held.ctypes.data, held.nbytes)
        results, got = np.zeros((count, _RESULT_BYTES // 8), np.uint64), np.zeros(1, np.int32)
        try:
            self._lt.matmul_algo_get_heuristic(
                self._handle, desc, *layouts, preference, count,
                results.ctypes.data, got.ctypes.data,
            )  # fmt: skip
        finally:
            self._lt.matmul_preference_destroy(preference)
        status = results.view(np.int32)[:, _STATE_AT // 4]
        return [results[i].copy() for i in range(int(got[0])) if status[i] == 0]

    def _choose(self, plan: _Plan, algorithms: list[Any], starts: Any, beside: Beside) -> None:
        """Time the candidates on the device, and keep the fastest; waits for the device."""
        best = None
        for algorithm in algorithms:
            plan.algorithm = algorithm.ctypes.data
            self._launch(plan, starts, beside)
            start = self.backend.mark()
            for _ in range(3):
                self._launch(plan, starts, beside)
            stop = self.backend.mark()
            self.backend.synchronize()
            seconds = self.backend.elapsed(start, stop)
            if best is None or seconds < best[0]:
                best = seconds, algorithm
        chosen = best[1] if best is not None else algorithms[0]
        plan.keep[1], plan.algorithm = chosen, chosen.ctypes.data

    def _refuse(self, a: Array, b: Array, out: Array, epilogue: str, error: Exception) -> None:
        if len(self.refused) < _MAX_PLANS:
            what = f"{epilogue}: {a.shape} {a.strides} @ {b.shape} {b.strides}, {a.dtype} to {out.dtype}"
            self.refused[what] = " ".join(str(error).split())[:300]

    def _drop(self, desc: int, layouts: Any) -> None:
        for layout in set(layouts):
            self._lt.matrix_layout_destroy(layout)
        self._lt.matmul_desc_destroy(desc)

    def _forget(self) -> None:
        with self._lock:
            for plan in self._plans.values():
                if isinstance(plan, _Plan):
                    self._drop(plan.desc, plan.layouts)
            self._plans.clear()
            self._known.clear()


def relu_row(n: int) -> int:
    """Bytes of a row of relu's mask."""
    return -(-n // _RELU_ALIGNED) * _RELU_ALIGNED // 8


def _low(beside: Beside) -> int:
    """The bits of the addresses of what is beside a product below 128: the heuristics look at those they are told."""
    bits = 0
    for array in beside:
        if array is not None:
            bits |= array.data.ptr & 127
    return bits


def _alignment(array: Array, offsets: list[int]) -> int:
    """What divides the addresses of all launches, in bytes; no more than makes a difference."""
    addresses = [array.data.ptr + offset * array.itemsize for offset in offsets]
    return min([_ALIGNED, *(int(address & -address) for address in addresses)])
