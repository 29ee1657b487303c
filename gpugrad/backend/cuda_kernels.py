"""Formulas on CuPy arrays: chooses the compiled kernel for dtypes and layouts once, then launches it.

The CUDA text and the launch geometry come from `fusion.cuda_compiler`; here are modules, plans and calls. What a
repeated call costs is one key, one dictionary look-up and one launch.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np

from ..fusion import Formula
from ..fusion.cuda_compiler import SCALAR, CudaLauncher, cuda_source
from ..fusion.numpy_compiler import compile_numpy
from .cuda_ufuncs import evaluate
from .device import DeviceError
from .handles import of_gpus

_OPTIONS: Final = ("--std=c++17",)
_NUMBERS: Final = (bool, int, float, complex, np.generic)
_MAX_PLANS: Final = 4096
# Wide accesses move 16 bytes: what an address has below that is all that a plan must know of it.
_ALIGNED: Final = 15


@of_gpus
@functools.cache
def load(code: str) -> Any:
    """The module of a CUDA source; compiled by NVRTC at the first launch of one of its kernels."""
    import cupy

    return cupy.RawModule(code=code, options=_OPTIONS)


class CudaKernel:
    """A formula as a function of CuPy arrays on one device; made by `CupyBackend.compile`.

    Args:
        formula: what to compute.
        backend: where the arrays live, and who allocates the results.
    """

    def __init__(self, formula: Formula, backend: Any) -> None:
        self.formula = formula
        self.backend = backend
        self._ndarray: type[Any] = backend.xp.ndarray
        self._many: bool = backend.many
        self._plans: dict[tuple[Any, ...], _Way] = {}
        self._known: dict[tuple[Any, ...], tuple[tuple[Any, ...], tuple[Any, ...]]] = {}

    def __repr__(self) -> str:
        return f"<CUDA kernel {self.formula}>"

    def __call__(self, *arrays: Any, out: Any = None) -> Any:
        """Compute the outputs for all elements; does not wait for the device.

        Args:
            *arrays: one per input of the formula, shapes that broadcast: CuPy arrays, or numbers. Python numbers
                never widen a dtype. float16 and bfloat16 are computed in float32 and rounded once.
            out: an array (a tuple of them for several outputs) of the result's shape and dtype to write to. It may
                share memory with the inputs.

        Returns:
            An array in the memory order of the first input that spans the result, or a tuple for several outputs.

        Raises:
            DeviceError: an operand is a NumPy array, or on another GPU.
            TypeError: wrong number of inputs, or dtypes that a function does not take.
            ValueError: shapes that do not broadcast; `out` of another shape or dtype.
        """
        if out is not None:
            return self._into(arrays, out if isinstance(out, tuple) else (out,))
        plan = self._plan(arrays, arrays)
        single = plan.single
        if single is None:
            outs = plan.run(arrays, None)
            return outs if len(outs) > 1 else outs[0]
        # What most calls are is written out here: a call of another function costs a tenth of them.
        function, grid, block, first, made, dtype = single
        y = self.backend.empty(made, dtype)
        function(grid, block, (first, *arrays, y))
        return y

    def _plan(self, arrays: tuple[Any, ...], operands: tuple[Any, ...]) -> _Way:
        """How it is computed; `operands` are the arrays and, where results go into given ones, those."""
        ndarray = self._ndarray
        key: tuple[Any, ...] = ()
        for a in operands:
            if type(a) is ndarray:
                key += (a.dtype, a.shape, a.strides, a.data.ptr & _ALIGNED)
            else:
                key += (type(a),)
        if self._many:  # where there is one GPU, arrays are nowhere else
            key += tuple([a.data.device_id for a in operands if type(a) is ndarray])
        found = self._plans.get(key)
        if found is None:
            self._check(arrays)
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            found = self._plans[key] = self._make(arrays, operands[len(arrays) :])
        return found

    def _check(self, arrays: tuple[Any, ...]) -> None:
        name, names = self.formula.name, self.formula.inputs
        if len(arrays) != len(names):
            raise TypeError(f"[{name}] takes {len(names)} inputs ({', '.join(names)}), got {len(arrays)}")
        here = str(self.backend.device)
        for n, a in zip(names, arrays, strict=True):
            if isinstance(a, self._ndarray):
                where = f"cuda:{a.data.device_id}"
            elif isinstance(a, _NUMBERS):
                continue
            else:
                where = "cpu"
            if where != here:
                shown = f"{getattr(a, 'shape', ())} {getattr(a, 'dtype', type(a).__name__)}"
                raise DeviceError(
                    f"[{name}] operands on different devices: {n} is {shown} on {where}, the kernel runs on {here}; "
                    f"move it, e.g. x.to({here!r})"
                )

    def _make(self, arrays: tuple[Any, ...], outs: tuple[Any, ...]) -> _Way:
        shapes = [a.shape if isinstance(a, self._ndarray) else () for a in arrays]
        try:
            shape = np.broadcast_shapes(*shapes)
        except ValueError:
            shown = ", ".join(f"{n}: {s}" for n, s in zip(self.formula.inputs, shapes, strict=True))
            raise ValueError(f"[{self.formula.name}] shapes do not broadcast ({shown})") from None
        dtypes, out_dtypes = self.dtypes(arrays)
        for o, dtype in zip(outs, out_dtypes, strict=False):
            if o.shape != shape or o.dtype != dtype:
                raise ValueError(
                    f"[{self.formula.name}] out has shape {o.shape} and dtype {o.dtype}; "
                    f"the result needs shape {shape} and dtype {dtype}"
                )
        kinds = {_kind(d) for d in (*dtypes, *out_dtypes)}
        if "c" in kinds or "f" not in kinds:
            return _ByUfuncs(self, dtypes, out_dtypes)
        try:
            return _Plan(self, arrays, outs, shape, out_dtypes)
        except ValueError:  # more dimensions that step differently than a kernel takes
            return _Densely(self, shape)

    def dtypes(self, arrays: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """The dtypes of inputs and outputs, by the rules of the NumPy compiler: asked of it on empty arrays.

        Raises:
            TypeError: a function of the formula does not take these dtypes.
        """
        key = tuple(a.dtype if isinstance(a, self._ndarray) else type(a) for a in arrays)
        found = self._known.get(key)
        if found is None:
            empty = [np.empty((0,), a.dtype) if isinstance(a, self._ndarray) else a for a in arrays]
            results = compile_numpy(self.formula)(*empty)
            outs = results if isinstance(results, tuple) else (results,)
            found = tuple(np.result_type(e) for e in empty), tuple(o.dtype for o in outs)
            self._known[key] = found
        return found

    def _into(self, arrays: tuple[Any, ...], outs: tuple[Any, ...]) -> Any:
        if len(outs) != len(self.formula.outputs) or not all(isinstance(o, self._ndarray) for o in outs):
            raise ValueError(
                f"[{self.formula.name}] out must be {len(self.formula.outputs)} array(s) on {self.backend.device}, "
                f"got {', '.join(type(o).__module__ + '.' + type(o).__name__ for o in outs)}"
            )
        shared = self.backend.xp.may_share_memory
        spans = [(a, *_span(a)) for a in arrays if isinstance(a, self._ndarray)]
        overlaps = any(
            start < stop and first < last and not _same_memory(a, o) and shared(a, o)
            for o, first, stop in [(o, *_span(o)) for o in outs]
            for a, start, last in spans
        )
        if overlaps:  # a thread might write what another has yet to read
            fresh = self._plan(arrays, arrays).run(arrays, None)
            for o, f in zip(outs, fresh, strict=True):
                o[...] = f
        else:
            self._plan(arrays, (*arrays, *outs)).run(arrays, outs)
        return outs if len(outs) > 1 else outs[0]


def _kind(dtype: Any) -> str:
    return "f" if dtype.name == "bfloat16" else str(dtype.kind)


def _same_memory(a: Any, b: Any) -> bool:
    return bool(a.data.ptr == b.data.ptr and a.shape == b.shape and a.strides == b.strides)


def _span(a: Any) -> tuple[int, int]:
    """Where the memory of an array begins and ends: the quick answer to most questions of shared memory."""
    start = a.data.ptr
    if a.flags.c_contiguous:
        return start, start + a.nbytes
    steps = [(n - 1) * step for n, step in zip(a.shape, a.strides, strict=True)]
    return start + sum([s for s in steps if s < 0]), start + sum([s for s in steps if s > 0]) + a.itemsize


class _Way(Protocol):
    """How a formula is computed for inputs of given dtypes and layouts.

    `single` is all that a launch needs besides its inputs, where it is one that makes one array in C order on the only
    GPU: function, grid, block, first argument, the result's shape and dtype.
    """

    single: tuple[Any, ...] | None

    def run(self, arrays: tuple[Any, ...], outs: tuple[Any, ...] | None) -> tuple[Any, ...]:
        """The outputs, in `outs` if they are given."""


class _Densely:
    """A plan that copies its operands into C order first."""

    single: tuple[Any, ...] | None = None

    def __init__(self, kernel: CudaKernel, shape: tuple[int, ...]) -> None:
        self.kernel, self.shape = kernel, shape

    def run(self, arrays: tuple[Any, ...], outs: tuple[Any, ...] | None) -> tuple[Any, ...]:
        backend = self.kernel.backend
        with backend.place():
            xp = backend.xp
            arrays = tuple(
                xp.ascontiguousarray(xp.broadcast_to(a, self.shape)) if isinstance(a, xp.ndarray) else a for a in arrays
            )
            results = self.kernel._plan(arrays, arrays).run(arrays, None)
            for o, r in zip(outs or (), results, strict=outs is not None):
                o[...] = r
        return outs or results


class _ByUfuncs:
    """A plan without a kernel of ours: CuPy's functions one by one."""

    single: tuple[Any, ...] | None = None

    def __init__(self, kernel: CudaKernel, dtypes: tuple[Any, ...], out_dtypes: tuple[Any, ...]) -> None:
        self.formula, self.xp = kernel.formula, kernel.backend.xp
        self.dtypes, self.out_dtypes = dtypes, out_dtypes
        self.place = kernel.backend.place

    def run(self, arrays: tuple[Any, ...], outs: tuple[Any, ...] | None) -> tuple[Any, ...]:
        with self.place():
            results = evaluate(self.formula, arrays, self.dtypes, self.out_dtypes, self.xp)
            # The identity of a formula must not hand its input out as a new array.
            results = tuple(r.copy() if any(r is a for a in arrays) else r for r in results)
            for o, r in zip(outs or (), results, strict=outs is not None):
                o[...] = r
        return outs or results


class _Plan:
    """One launch, all of it decided but the addresses: for inputs of given dtypes, shapes, strides and alignment."""

    def __init__(
        self,
        kernel: CudaKernel,
        arrays: tuple[Any, ...],
        outs: tuple[Any, ...],
        shape: tuple[int, ...],
        out_dtypes: Any,
    ) -> None:
        backend, ndarray = kernel.backend, kernel.backend.xp.ndarray
        self.backend, self.many = backend, kernel._many
        self.dtypes = out_dtypes
        order = None if outs else memory_order(shape, [a for a in arrays if type(a) is ndarray])
        self.made = shape if order is None else tuple(shape[i] for i in order)
        self.back = None if order is None else tuple(int(i) for i in np.argsort(order))
        source = cuda_source(
            kernel.formula,
            tuple(a.dtype.name if type(a) is ndarray else SCALAR for a in arrays),
            tuple(d.name for d in out_dtypes),
        )
        launcher = CudaLauncher(source)
        self.scalar = launcher.scalar_type
        self.scalars = tuple(i for i, a in enumerate(arrays) if type(a) is not ndarray)
        operands = [a for a in arrays if type(a) is ndarray]
        strides = [_strides(a, shape) for a in operands]
        addresses = [a.data.ptr & _ALIGNED for a in operands]
        if outs:
            strides += [_strides(o, shape) for o in outs]
            addresses += [o.data.ptr & _ALIGNED for o in outs]
        else:  # fresh memory is aligned, and all outputs are laid out alike
            strides += [_fresh_strides(self.made, self.back, d.itemsize) for d in out_dtypes]
            addresses += [0] * len(out_dtypes)
        self.launch = launcher.plan(shape, strides, addresses)
        self.function: Any = None
        if self.launch is not None:
            self.function = load(source.alone(self.launch.entry)).get_function(self.launch.entry)
        self.single: tuple[Any, ...] | None = None
        plain = not (outs or self.scalars or self.many or self.back) and len(out_dtypes) == 1
        if plain and self.launch is not None and not self.launch.more:
            _, grid, block, first, _ = self.launch
            self.single = self.function, grid, block, first, self.made, out_dtypes[0]

    def run(self, arrays: tuple[Any, ...], outs: tuple[Any, ...] | None) -> tuple[Any, ...]:
        if not self.many:
            return self._run(arrays, outs)
        with self.backend.place():
            return self._run(arrays, outs)

    def _run(self, arrays: tuple[Any, ...], outs: tuple[Any, ...] | None) -> tuple[Any, ...]:
        if outs is None:
            empty, made = self.backend.empty, self.made
            outs = tuple([empty(made, d) for d in self.dtypes])
            if self.back is not None:
                outs = tuple([o.transpose(self.back) for o in outs])
        launch = self.launch
        if launch is not None:
            if self.scalars:
                values = list(arrays)
                for i in self.scalars:
                    values[i] = self.scalar(values[i])
                arrays = tuple(values)
            arguments = (launch.first, *arrays, *outs)
            self.function(launch.grid, launch.block, arguments)
            for start, part in launch.more:
                rest = [behind(a, start) for a in arguments[1:]]
                self.function(part.grid, part.block, (part.first, *rest))
        return outs


def behind(operand: Any, start: int) -> Any:
    """The address of a dense array's element `start`; a number stays what it is."""
    return np.uint64(operand.data.ptr + start * operand.itemsize) if hasattr(operand.data, "ptr") else operand


def _strides(a: Any, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """What the launcher wants to know of an operand: None if it is dense and of the full shape."""
    if a.shape == shape and a.flags.c_contiguous:
        return None
    return tuple(0 if n == 1 else s for n, s in zip(a.shape, a.strides, strict=True))


def _fresh_strides(made: tuple[int, ...], back: tuple[int, ...] | None, itemsize: int) -> tuple[int, ...] | None:
    if back is None:
        return None
    dense = [itemsize]
    for n in reversed(made[1:]):
        dense.append(dense[-1] * n)
    return tuple(dense[::-1][i] for i in back)


def memory_order(shape: tuple[int, ...], arrays: list[Any]) -> tuple[int, ...] | None:
    """The order of axes in memory for a result: None for C order, else that of the first input that spans it."""
    spanning = [a for a in arrays if a.shape == shape]
    if not spanning or any(a.flags.c_contiguous for a in spanning):
        return None
    first = spanning[0]
    order = tuple(sorted(range(len(shape)), key=lambda i: -abs(first.strides[i])))
    return None if order == tuple(range(len(shape))) else order
