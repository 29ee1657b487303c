"""The CUDA backend: CuPy arrays, our own compiled kernels, matrix products by cuBLASLt or else by CuPy.

CuPy is imported when the first CUDA device is asked for. Formulas are launched by `cuda_kernels`, the row kernels
and updates are in `cuda_rows` and `cuda_optim`, whether there is a device at all says `cuda_probe`.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..fusion import Formula, const, var
from ..fusion.cuda_compiler import cuda_source
from . import capturing, cuda_copies, cuda_probe, cuda_sums, out_of_memory, scipys
from .base import HERE, Array, Kernel
from .cublaslt import relu_row
from .cuda_kernels import CudaKernel
from .cuda_pools import Bound
from .cuda_upload import Staging, Uploads
from .cupy_images_backend import ImagesBackend
from .cupy_moving_backend import MovingBackend
from .device import Device, DeviceError
from .placing import MANY, PlacedModule

_used: list[int] = []  # the GPUs asked for so far; the first becomes CuPy's current device


def require_device(device: Device) -> None:
    """Make sure that `device` can be used.

    Raises:
        DeviceError: the driver, CuPy or the device is missing; says which, and the command that mends it.
    """
    reason = cuda_probe.why_unavailable() or _why_cupy_fails()
    if reason:
        raise DeviceError(f"[device] {device} cannot be used: {reason}; or stay on the CPU with device='cpu'")
    count = cuda_probe.device_count()
    if device.index >= count:
        there = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise DeviceError(
            f"[device] {device} is not there: {count} GPU{'s' if count > 1 else ''} found ({there}); choose one of "
            "these, or check CUDA_VISIBLE_DEVICES"
        )


def _why_cupy_fails() -> str:
    try:
        import cupy
    except Exception as error:  # a broken CuPy raises whatever its libraries raise
        return cuda_probe.why_cupy_fails(error, "")
    return cuda_probe.why_cupy_fails(None, cupy.__version__)


@dataclass(frozen=True)
class CudaMemoryStats:
    """What the allocator of a GPU holds; sizes in bytes.

    Attributes:
        in_use_bytes: in arrays that are alive.
        held_bytes: taken from the device by CuPy's pool, in use or idle.
        free_bytes: free on the device, for all programs.
        total_bytes: the device's memory.
        limit_bytes: the bound of the pool; 0 for none.
        graph_bytes: taken by the private pools of compiled steps (`gg.compile`), which the other numbers leave out.
    """

    in_use_bytes: int
    held_bytes: int
    free_bytes: int
    total_bytes: int
    limit_bytes: int
    graph_bytes: int = 0


class CupyBackend(ImagesBackend, MovingBackend):
    """Arrays on one GPU. The first GPU that a process asks for becomes CuPy's current device in that thread."""

    name = "cuda"
    epilogues = frozenset(("relu", "gelu_tanh"))
    reduces = True
    kernels_last = True

    def __init__(self, device: Device) -> None:
        super().__init__()
        import cupy

        from . import cuda_optim, cuda_rows

        out_of_memory.teach(cupy)
        self.device = device
        self.xp: Any = cupy
        self.rows: Any = cuda_rows
        self.optim: Any = cuda_optim
        self.many = cuda_probe.device_count() > 1
        if self.many:
            self.xp = PlacedModule(cupy, self.place)
            MANY[:] = [None]
        self._ndarray = cupy.ndarray
        self._where = cupy.cuda.Device(device.index)
        self.bound = Bound(self)
        self._staging = Staging(self)
        self._blas: Any = ...  # not looked for yet
        self.without_blas = ""
        if not _used:
            _used.append(device.index)
            self._where.use()
        self.seed(secrets.randbits(62))

    def place(self) -> Any:
        """A context in which this GPU is the current one; free of cost where there is only one.

        Raises:
            CaptureError: a step on other GPUs is being recorded, whose graph would not have this one's work.
        """
        if not self.many:
            return HERE
        capture = capturing.current()
        if capture is not None:
            capture.works_on(self)
        return self.xp.cuda.Device(self.device.index)

    def compile(self, formula: Formula) -> Kernel:
        return CudaKernel(formula, self)

    def source(self, formula: Formula, dtype: Any) -> str:
        name = np.dtype(dtype).name
        outs = CudaKernel(formula, self).dtypes([self.empty((0,), dtype)] * len(formula.inputs))[1]
        return cuda_source(formula, (name,) * len(formula.inputs), tuple(d.name for d in outs)).text

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        if not self.many:
            return self._ndarray(shape, dtype)
        with self.place():
            return self._ndarray(shape, dtype)

    def from_host(self, array: Any) -> Array:
        capturing.refuse("copies data of the host to the device, which a replay would not copy again")
        array = np.asarray(array)
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        with self.place():
            return self.xp.array(array)

    def to_host(self, array: Array) -> Any:
        capturing.refuse("reads values of the device")
        with self.place():
            return array.get()

    def upload(self, target: Array, values: Any, stream: Any) -> None:
        """Values of the host in `target`, by a stream; returns when they may be changed."""
        with self.place():
            self._staging.send(target, values, stream)

    def pinned(self, array: Any) -> Any:
        """A copy of a NumPy array in page-locked memory, which goes to this GPU without a stop in between."""
        with self.place():
            copy = np.ndarray(array.shape, array.dtype, self.xp.cuda.alloc_pinned_memory(max(1, array.nbytes)))
        copy[...] = array
        return copy

    def overwrite(self, target: Array, source: Array) -> None:
        """The values of `source` in `target`, of its shape and dtype and on its GPU; dense ones without a kernel."""
        with self.place():
            dense = source.flags.c_contiguous and target.flags.c_contiguous
            (cuda_copies.move if dense else cuda_copies.put)(target, source)

    def queue(self) -> int:
        with self.place():
            return int(self.xp.cuda.get_current_stream().ptr)

    def receive(self, array: Array, source: Any) -> Array:
        """As the base class's; from another GPU without the host, and without waiting for either.

        The copy is made by this GPU's stream once the other's has computed the array; the other's stream goes on
        when it is made, so that nothing is written there, nor the memory given to others, before.
        """
        if not isinstance(source, CupyBackend):
            return super().receive(array, source)
        cuda = self.xp.cuda
        with source.place():
            dense = source.xp.ascontiguousarray(array)
            theirs = cuda.get_current_stream()
            computed = theirs.record(cuda.Event(disable_timing=True))
        with self.place():
            ours = cuda.get_current_stream()
            ours.wait_event(computed)
            copy = dense.copy().reshape(array.shape)
            copied = ours.record(cuda.Event(disable_timing=True))
        with source.place():
            theirs.wait_event(copied)
        return copy

    @property
    def blas(self) -> Any:
        """Who computes matrix products: `cublaslt.Products`, or None for CuPy; `without_blas` says why then."""
        if self._blas is ...:
            from .cublaslt import Products

            self._blas = None
            try:
                self._blas = Products(self)
            except ImportError as error:
                self.without_blas = f"nvmath-python is missing ({error})"
            except Exception as error:  # bindings and library may not fit each other in any way
                self.without_blas = f"cuBLASLt cannot be used ({type(error).__name__}: {error})"
        return self._blas

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        products = self.blas
        found = None if products is None else products.matmul(a, b, out)
        return self._cupys_matmul(a, b, out) if found is None else found

    def matmul_wide(self, a: Array, b: Array) -> Array:
        if a.dtype.itemsize != 2:
            return self.matmul(a, b)
        products = self.blas
        found = None if products is None else products.matmul(a, b, wide=True)
        return self.cast(self._cupys_matmul(a, b, None), np.float32) if found is None else found

    @property
    def half_products(self) -> bool:  # type: ignore[override]
        """CuPy alone has none of stacks of matrices."""
        return self.blas is not None

    def special(self, name: str, *arrays: Array) -> Array:
        with self.place():
            return scipys.on_a_gpu(name, tuple(a.dtype for a in arrays))(*arrays)

    def linear(self, x: Array, weight: Array, bias: Array | None) -> Array:
        products = self.blas
        if products is not None and bias is not None and bias.dtype == x.dtype and bias.flags.c_contiguous:
            found = products.matmul(x, weight.T, None, "BIAS", bias)
            if found is not None:
                return found
        return super().linear(x, weight, bias)

    def matmul_plus(self, a: Array, b: Array, c: Array) -> Array:
        products = self.blas
        whole = c.flags.c_contiguous or (c.strides[1] == c.itemsize and c.strides[0] >= c.shape[1] * c.itemsize)
        if products is not None and type(a) is type(b) is type(c) and c.dtype == a.dtype and whole:
            found = products.matmul(a, b, None, "ADDED", added=c)
            if found is not None:
                return found
        return super().matmul_plus(a, b, c)

    def linear_activated(
        self, x: Array, weight: Array, bias: Array | None, activation: str, notes: bool, recorded: bool
    ) -> tuple[Array, Array | None, Any] | None:
        products, name, n, rows = self.blas, _EPILOGUES.get(activation, ""), weight.shape[0], math.prod(x.shape[:-1])
        kept = self.activated_size(activation, rows, n, x.dtype, notes, recorded)
        if kept is None or not x.size or not n:
            return None
        if bias is not None and (bias.dtype != x.dtype or not bias.flags.c_contiguous):
            return None
        aux = products.aux_like(name, rows, n, x.dtype) if kept else None
        epilogue = f"{name}{'' if aux is None else '_AUX'}{'' if bias is None else '_BIAS'}"
        values = products.matmul(x, weight.T, None, epilogue, bias, aux)
        if values is None:
            return None
        return (values, None, aux) if name == "RELU" or aux is None else (values, aux.reshape(values.shape), None)

    def activated_size(
        self, activation: str, rows: int, n: int, dtype: Any, notes: bool, recorded: bool
    ) -> int | None:
        name = _EPILOGUES.get(activation)
        if self.blas is None or name is None or dtype.itemsize == 8:  # there is none in float64
            return None
        if name == "RELU":
            return rows * relu_row(n) if notes else 0
        if recorded and n % 8:  # the values before would lie with gaps
            return None
        return int(rows * n * dtype.itemsize) if recorded else 0

    def matmul_activated(self, g: Array, weight: Array, activation: str, z: Array, notes: Any) -> Array | None:
        products, name = self.blas, _EPILOGUES[activation]
        aux = z if name == "GELU" else notes
        if products is None or type(g) is not type(weight) or aux is None or not aux.flags.c_contiguous or not g.size:
            return None
        if name == "GELU" and aux.shape[-1] % 8:
            return None
        return products.matmul(g, weight, None, f"D{name}", None, aux)

    def weight_and_bias(self, x: Array, g: Array, by_columns: bool, wide: bool = False) -> tuple[Array, Array] | None:
        products = self.blas
        if products is None or type(x) is not type(g) or not g.size or not x.size:
            return None
        sums = self.empty(g.shape[1:], np.float32 if wide else g.dtype)
        if by_columns:
            found = products.matmul(x.T, g, None, "BGRADA", sums, wide=wide)
            return None if found is None else (found.T, sums)
        found = products.matmul(g.T, x, None, "BGRADB", sums, wide=wide)
        return None if found is None else (found, sums)

    def _cupys_matmul(self, a: Array, b: Array, out: Array | None) -> Array:
        with self.place():
            if a.ndim > 2 and b.ndim <= 2:
                return self._collapsed(a, b, out)
            if a.dtype.itemsize == 2 and a.dtype.kind in "fV" and max(a.ndim, b.ndim) > 2:
                return self._half_batches(a, b, out)
            return self.xp.matmul(a, b) if out is None else self.xp.matmul(a, b, out=out)

    def _collapsed(self, a: Array, b: Array, out: Array | None) -> Array:
        """[..., K] @ [K, N] as one product of two matrices: faster than batches, and with tensor cores in half."""
        shape = (*a.shape[:-1], *b.shape[1:])
        rows = (math.prod(a.shape[:-1]), *b.shape[1:])
        flat = None if out is None or not out.flags.c_contiguous else out.reshape(rows)
        # The number of rows is written out: with -1 an empty array has no answer.
        a = a.reshape(rows[0], a.shape[-1])
        product = self.xp.matmul(a, b) if flat is None else self.xp.matmul(a, b, out=flat)
        if out is None:
            return product.reshape(shape)
        if flat is None:
            out[...] = product.reshape(shape)
        return out

    def _half_batches(self, a: Array, b: Array, out: Array | None) -> Array:
        """Batched products in half precision, one matrix at a time.

        CuPy would compute float16 batches on float32 copies and has no bfloat16 batches; its product of two
        matrices accumulates in float32 on tensor cores.
        """
        if a.ndim == 1:
            return self._half_batches(a[None, :], b, None if out is None else out[..., None, :]).squeeze(-2)
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        result = self.xp.ndarray((*batch, a.shape[-2], b.shape[-1]), a.dtype) if out is None else out
        a = self.xp.broadcast_to(a, (*batch, *a.shape[-2:]))
        b = self.xp.broadcast_to(b, (*batch, *b.shape[-2:]))
        for index in np.ndindex(*batch):
            result[index] = self.xp.matmul(a[index], b[index])
        return result

    def ones_like(self, x: Array) -> Array:
        return self.kernel(_ONES)(x)

    def plus(self, a: Array, b: Array, into: bool = False) -> Array:
        return self.kernel(_SUM)(a, b, out=a if into else None)

    def column_sum(self, x: Array) -> Array:
        return self.reduce("sum", x, (0,), False)

    def channel_sum(self, x: Array) -> Array:
        return self.reduce("sum", x, (0, *range(2, x.ndim)), False)

    def reduce(self, name: str, x: Array, axes: tuple[int, ...] | None, keepdims: bool) -> Array:
        """By kernels of our own for floating-point arrays; integers, complex numbers and nothing are CuPy's."""
        if x.dtype.kind not in "fV" or not x.size:
            return super().reduce(name, x, axes, keepdims)
        with self.place():
            return cuda_sums.reduce(name, x, axes, keepdims)

    def extreme_vjp(self, g: Array, x: Array, extremes: Array, axes: tuple[int, ...] | None) -> Array | None:
        if x.dtype.kind not in "fV" or not x.size:
            return None
        with self.place():
            return cuda_sums.extreme_vjp(g, x, extremes, axes)

    def storage(self, array: Array) -> object:
        return array if array.base is None else array.base

    def synchronize(self) -> None:
        self._where.synchronize()

    def mark(self) -> Any:
        with self.place():
            event = self.xp.cuda.Event()
            event.record()
            return event

    def elapsed(self, start: Any, stop: Any) -> float:
        return float(self.xp.cuda.get_elapsed_time(start, stop)) / 1e3

    def uploads(self, ahead: int) -> Any:
        return Uploads(self, ahead)

    def loss_scale(self, scale: float, good_steps: int) -> Any:
        from .cuda_scaling import LossScale

        return LossScale(self, scale, good_steps)

    def seed(self, seed: int) -> None:
        self.restart_stream(seed)

    def random(self, kind: str, shape: tuple[int, ...], dtype: Any, low: Any = 0, high: Any = 1) -> Array:
        from .cuda_random import draw

        with self.place():
            return draw(self, kind, shape, np.dtype(dtype), low, high)

    def memory_stats(self) -> CudaMemoryStats:
        with self.place():
            pool = self.xp.get_default_memory_pool()
            free, total = self._where.mem_info
            of_pool = pool.used_bytes(), pool.total_bytes()
            return CudaMemoryStats(*of_pool, free, total, self.bound.limit(), self.bound.taken)



# What CuPy has functions for as well, which take the host longer to call.
_ONES = Formula("ones", ("x",), (const(1.0),))
_SUM = Formula("plus", ("a", "b"), (var("a") + var("b"),))

# cuBLASLt's names of the activations; its GELU is the form with tanh.
_EPILOGUES = {"relu": "RELU", "gelu_tanh": "GELU"}
