"""Runs a formula on NumPy arrays: picks the generated program, allocates results, blocks and threads large arrays.

The programs themselves (dtypes, temporaries, source text) come from `numpy_program`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .formula import Formula
from .numpy_functions import repeating
from .numpy_program import DType, Program, build, compute_dtype
from .workers import lending, num_threads, parallel_for, takers

Array = NDArray[Any]
Alloc = Callable[[tuple[int, ...], DType], Array]

# Elements of one block: operands and temporaries of a block stay in the second-level cache.
BLOCK: Final = 65536
# Handing a chunk to another thread costs 10 to 40 microseconds, and BLAS's own threads may still hold the cores: work
# (elements, elements times passes) below these stays on one thread. The blocks of threads are longer, since each
# ufunc call takes the interpreter lock for a moment.
MIN_THREADED: Final = 1 << 19
MIN_THREADED_WORK: Final = 2_000_000
# Elements of a row from which on the time that it takes to begin one does not count; rows that are joined at most.
LONG_ROW: Final = 2048
MOST_ROWS: Final = 512
_MAX_PLANS: Final = 512
_WEAK: Final = (bool, int, float, complex)


@dataclass(frozen=True)
class _Plan:
    """What is decided for inputs of given dtypes and shapes."""

    formula: Formula
    dtypes: tuple[DType, ...]
    masks: tuple[int, ...]
    full: int
    ranks: tuple[int, ...]
    shape: tuple[int, ...]
    size: int
    programs: dict[bool, Program] = field(default_factory=dict)

    @cached_property
    def simple(self) -> Callable[..., Any] | None:
        """`run(*inputs)` where that is all there is to do: small arrays, whose ufuncs allocate what they need."""
        program = self.program(True)
        reshaped = any(m == self.full and r != len(self.shape) for m, r in zip(self.masks, self.ranks, strict=True))
        if program.needs_out or program.prologue or reshaped or not self.full or self.size > BLOCK:
            return None
        return partial(program.run if program.quiet else program.body, *(None,) * program.buffers)

    def program(self, direct: bool) -> Program:
        """The program whose outputs may hold intermediate values (`direct`), or may share memory with an input."""
        found = self.programs.get(direct)
        if found is None:
            found = build(self.formula, self.dtypes, self.masks, self.full, direct)
            self.programs[direct] = found
        return found


def _mask(shape: tuple[int, ...], result: tuple[int, ...]) -> int:
    """Bit i for every axis i of `result` along which `shape` is not broadcast; axes of length one do not count."""
    offset = len(result) - len(shape)
    return sum(1 << (offset + i) for i, n in enumerate(shape) if n != 1)


def _repeated(shape: tuple[int, ...], mask: int, full: int) -> int:
    """The elements that a ufunc copies for an operand that spans the axes `mask` of a result with axes `full`."""
    inner, size = 1, math.prod(shape)
    if mask in (0, full):
        return 0
    last = mask >> full.bit_length() - 1 & 1
    for axis in range(len(shape) - 1, -1, -1):
        if full >> axis & 1 and mask >> axis & 1 != last:
            break
        inner *= shape[axis]
    return repeating(inner, size // inner, 1)


class NumpyKernel:
    """A formula as a function of NumPy arrays; made by `compile_numpy`.

    Attributes:
        formula: what it computes.
    """

    def __init__(self, formula: Formula, alloc: Alloc) -> None:
        self.formula = formula
        self._alloc = alloc
        self._arity = len(formula.inputs)
        self._fast: dict[DType, Callable[..., Any]] = {}
        self._plans: dict[tuple[Any, ...], _Plan] = {}

    def __repr__(self) -> str:
        return f"<NumPy kernel {self.formula}>"

    @property
    def source(self) -> str:
        """The generated Python for float32 arrays of one shape."""
        n = len(self.formula.inputs)
        return build(self.formula, (np.dtype(np.float32),) * n, (1,) * n, 1, True).source

    def __call__(self, *arrays: Any, out: Any = None) -> Any:
        """Compute the outputs for all elements.

        Args:
            *arrays: one per input of the formula, shapes that broadcast: arrays, or Python numbers, which never widen
                a dtype. float16 and narrower floats are computed in float32 and rounded once; integers promote as in
                NumPy, a whole number of the formula counting as an integer.
            out: an array (a tuple of them for several outputs) of the result's shape and dtype to write to. It may
                share memory with the inputs.

        Returns:
            An array (0-d arrays included), or a tuple for several outputs; bool for comparisons.

        Raises:
            TypeError: wrong number of inputs, or dtypes that a function does not take.
            ValueError: shapes that do not broadcast; `out` of another shape or dtype.
        """
        if out is None and len(arrays) == self._arity:
            first = arrays[0]
            if type(first) is np.ndarray:
                dtype = first.dtype
                run = self._fast.get(dtype)
                if run is not None and first.ndim > 0 and first.size <= BLOCK:
                    if self._arity == 1:
                        return run(first)
                    shape = first.shape
                    for a in arrays[1:]:
                        if type(a) is not np.ndarray or a.dtype is not dtype or a.shape != shape:
                            break
                    else:
                        return run(*arrays)
        return self._general(arrays, out)

    def footprint(self, *arrays: Any) -> tuple[tuple[int, ...] | None, int]:
        """What a call does to memory: the order of its results' axes there (None: C order), bytes of temporaries.

        Of the arrays only shapes, strides and dtypes are looked at.
        """
        plan = self._plan(arrays)
        program = plan.program(True)
        threads, block = _threads_and_block(plan, program) if plan.size > BLOCK else (1, plan.size)
        block = min(block, plan.size)
        scratch = block * (program.inside + sum(d.itemsize for d in program.temps))
        # What ufuncs convert and what they repeat they have in buffers of their own, for one call at a time.
        apart = [min(block, np.getbufsize()) * program.converted]
        spans = zip(plan.masks, plan.dtypes, strict=True)
        apart += [_repeated(plan.shape, mask, plan.full) * d.itemsize for mask, d in spans]
        scratch = threads * (scratch + max(apart))
        if plan.size > BLOCK:
            short = [a for a in arrays if type(a) is np.ndarray and 1 < a.size < plan.size]
            scratch += sum(a.nbytes * rows_joined(plan.size // a.size, a.size) for a in short)
        whole = next((a for a in arrays if type(a) is np.ndarray and a.shape == plan.shape), None)
        return None if whole is None else _axes_by_stride(whole), scratch

    def _general(self, arrays: tuple[Any, ...], out: Any) -> Any:
        key = tuple([(a.dtype, a.shape) if type(a) is np.ndarray else type(a) for a in arrays])
        plan = self._plans.get(key)
        if plan is None:
            arrays = tuple(a if type(a) is np.ndarray or type(a) in _WEAK else np.asarray(a) for a in arrays)
            plan = self._remember(arrays)
        inputs = [a if type(a) is np.ndarray else np.asarray(a, d) for a, d in zip(arrays, plan.dtypes, strict=True)]
        if out is None:
            if plan.simple is not None:
                return plan.simple(*inputs)
            results = self._run(plan, inputs, None)
        else:
            results = self._run_into(plan, inputs, out if isinstance(out, tuple) else (out,))
        return results if len(self.formula.outputs) > 1 else results[0]

    def _remember(self, arrays: tuple[Any, ...]) -> _Plan:
        key = tuple([(a.dtype, a.shape) if type(a) is np.ndarray else type(a) for a in arrays])
        plan = self._plans.get(key) or self._plan(arrays)
        if len(self._plans) >= _MAX_PLANS:
            self._plans.clear()
        self._plans[key] = plan
        return plan

    def _plan(self, arrays: tuple[Any, ...]) -> _Plan:
        if len(arrays) != len(self.formula.inputs):
            names = ", ".join(self.formula.inputs)
            wanted = f"{len(self.formula.inputs)} inputs ({names})"
            raise TypeError(f"[{self.formula.name}] takes {wanted}, got {len(arrays)}")
        shapes = [a.shape if type(a) is np.ndarray else () for a in arrays]
        try:
            shape = np.broadcast_shapes(*shapes)
        except ValueError:
            shown = ", ".join(f"{n}: {s}" for n, s in zip(self.formula.inputs, shapes, strict=True))
            raise ValueError(f"[{self.formula.name}] shapes do not broadcast ({shown})") from None
        strong = [a.dtype for a in arrays if type(a) is np.ndarray]
        dtypes = tuple(a.dtype if type(a) is np.ndarray else _weak_dtype(a, strong) for a in arrays)
        masks = tuple(_mask(s, shape) for s in shapes)
        full = _mask(shape, shape)
        ranks = tuple(map(len, shapes))
        plan = _Plan(self.formula, dtypes, masks, full, ranks, shape, math.prod(shape))
        alike = len(set(dtypes)) == 1 and dtypes[0].kind in "fV" and all(s == shape for s in shapes)
        if alike and plan.simple is not None:
            self._fast.setdefault(dtypes[0], plan.simple)
        return plan

    def _run_into(self, plan: _Plan, inputs: list[Array], outs: tuple[Any, ...]) -> tuple[Array, ...]:
        wanted = plan.program(True).outputs
        if len(outs) != len(wanted) or not all(isinstance(o, np.ndarray) for o in outs):
            raise ValueError(f"[{self.formula.name}] out must be {len(wanted)} array(s), got {len(outs)}")
        for o, dtype in zip(outs, wanted, strict=True):
            if o.shape != plan.shape or o.dtype != dtype:
                raise ValueError(
                    f"[{self.formula.name}] out has shape {o.shape} and dtype {o.dtype}; "
                    f"the result needs shape {plan.shape} and dtype {dtype}"
                )
        shared = [(a, o) for a in inputs for o in outs if np.may_share_memory(a, o)]
        if not shared:
            return self._run(plan, inputs, outs)
        if len(outs) == 1 and all(_same_memory(a, o) for a, o in shared):
            return self._run(plan, inputs, outs, direct=False)
        for o, result in zip(outs, self._run(plan, inputs, None), strict=True):
            np.copyto(o, result)
        return outs

    def _run(
        self, plan: _Plan, inputs: list[Array], outs: tuple[Any, ...] | None, direct: bool = True
    ) -> tuple[Any, ...]:
        program, rank = plan.program(direct), len(plan.shape)
        # Arrays that span the whole result have its rank, so that a temporary of theirs can hold any full value.
        inputs = [
            a.reshape((1,) * (rank - a.ndim) + a.shape) if a.ndim < rank and mask == plan.full else a
            for a, mask in zip(inputs, plan.masks, strict=True)
        ]
        hoisted = _once(program, inputs)
        if plan.size > BLOCK:
            return _run_large(plan, program, [*inputs, *hoisted], outs, self._alloc)
        temps: list[Any] = [None] * len(program.temps)
        if not plan.shape:  # a ufunc without out= would give NumPy scalars
            temps = [np.empty((), d) for d in program.temps]
        if outs is None and (program.needs_out or not plan.shape):
            outs = tuple(np.empty(plan.shape, d) for d in program.outputs)
        result = program.run(*(outs or [None] * len(program.outputs)), *temps, *inputs, *hoisted)
        return result if len(program.outputs) > 1 else (result,)


def _weak_dtype(value: Any, strong: list[DType]) -> DType:
    """The dtype that a Python number takes beside arrays of dtypes `strong`."""
    if not strong:
        return np.result_type(value)
    promoted = np.result_type(compute_dtype(tuple(strong)), type(value)(0))
    together = np.result_type(*strong)
    return together if promoted == np.float32 and together.itemsize < 4 else promoted


def _once(program: Program, inputs: list[Array]) -> tuple[Any, ...]:
    if program.prologue is None:
        return ()
    if program.quiet:
        with np.errstate(all="ignore"):
            return program.prologue(*inputs)
    return program.prologue(*inputs)


def _same_memory(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.strides == b.strides and a.ctypes.data == b.ctypes.data


def _axes_by_stride(a: Array) -> tuple[int, ...] | None:
    """The permutation of axes that puts `a` into memory order; None when it is in order already."""
    if a.flags.c_contiguous:
        return None
    order = tuple(sorted(range(a.ndim), key=lambda i: -abs(a.strides[i]) if a.shape[i] > 1 else -a.nbytes))
    return None if order == tuple(range(a.ndim)) else order


def _blocks(shape: tuple[int, ...], size: int) -> list[tuple[slice, ...]]:
    """Indices that cut an array of `shape` into boxes of at most about `size` elements, along the first axes."""
    axis, row = len(shape) - 1, 1
    while axis > 0 and row * shape[axis] <= size:
        row *= shape[axis]
        axis -= 1
    step = max(1, size // row)
    pieces = [slice(start, min(start + step, shape[axis])) for start in range(0, shape[axis], step)]
    outer = itertools.product(*([slice(i, i + 1) for i in range(n)] for n in shape[:axis]))
    return [(*index, piece) for index in outer for piece in pieces]


def _run_large(
    plan: _Plan, program: Program, inputs: list[Any], outs: tuple[Array, ...] | None, alloc: Alloc
) -> tuple[Array, ...]:
    """Evaluate arrays larger than a block: in memory order, block by block, on several threads."""
    shape, rank = plan.shape, len(plan.shape)
    inputs = [np.asarray(a) for a in inputs]
    reference = outs[0] if outs is not None else next((a for a in inputs if a.shape == shape), None)
    axes = None if reference is None else _axes_by_stride(reference)
    if outs is None:
        if axes is None:
            outs = tuple([alloc(shape, d) for d in program.outputs])
        else:
            made = tuple(shape[i] for i in axes)
            back = tuple(axes.index(i) for i in range(rank))
            outs = tuple([alloc(made, d).transpose(back) for d in program.outputs])
    arrays = [*outs, *inputs]
    if axes is not None or any(a.ndim != rank for a in inputs):
        arrays = [a if a.ndim == rank else a.reshape((1,) * (rank - a.ndim) + a.shape) for a in arrays]
        arrays = arrays if axes is None else [a.transpose(axes) for a in arrays]
    whole = arrays[0].shape
    flat = True
    for a in arrays:
        flat = flat and (a.size == 1 or (a.shape == whole and a.flags.c_contiguous))
    if flat:
        _run_flat(plan, program, [a.reshape(-1) for a in arrays] if rank != 1 else arrays, alloc)
    else:
        _run_blocks(plan, program, _in_long_rows(arrays), alloc)
    return outs


def rows_joined(count: int, length: int) -> int:
    """How many of `count` rows of a length are to be one row, so that loops over it are long."""
    return next((k for k in range(min(LONG_ROW // length, MOST_ROWS), 1, -1) if count % k == 0), 1)


def _in_long_rows(arrays: list[Array]) -> list[Array]:
    """Short rows joined to longer ones, and what stands for each row repeated: a loop over a short row is slow."""
    whole = arrays[0].shape
    length, count = whole[-1], arrays[0].size // whole[-1]
    joined = rows_joined(count, length)
    each = (1,) * (len(whole) - 1) + whole[-1:]
    if joined == 1 or any(a.size > 1 and not (a.flags.c_contiguous and a.shape in (whole, each)) for a in arrays):
        return arrays
    return [
        a.reshape(1, 1) if a.size == 1 else
        a.reshape(count // joined, -1) if a.shape == whole else np.tile(a.reshape(1, -1), (1, joined))
        for a in arrays
    ]  # fmt: skip


def _threads_and_block(plan: _Plan, program: Program) -> tuple[int, int]:
    """How many threads share the work, and the elements of a block."""
    size = plan.size
    threads = num_threads() if size >= MIN_THREADED and size * program.passes >= MIN_THREADED_WORK else 1
    if threads == 1 and (size <= 2 * BLOCK or program.passes <= 2):
        return 1, size  # nothing that the cache could save
    return threads, min(2 * BLOCK, -(-size // threads)) if threads > 1 else BLOCK


def _share(
    compute: Callable[[int, list[Array]], None], program: Program, elements: int, chunks: int, alloc: Alloc
) -> None:
    """`compute(number, temporaries)` for every chunk; each thread has temporaries for blocks of so many elements."""
    rooms = [[alloc((elements,), d) for d in program.temps] for _ in range(takers(chunks))]
    parallel_for(lending(compute, rooms), chunks)


def _run_flat(plan: _Plan, program: Program, arrays: list[Array], alloc: Alloc) -> None:
    """Evaluate one-dimensional arrays (those of one element stand for all) in blocks."""
    size, n_outs = plan.size, len(program.outputs)
    threads, block = _threads_and_block(plan, program)
    blocks = -(-size // block)
    # Several chunks a thread, so that one that is held up by other work does not hold up the rest.
    per_chunk = -(-blocks // (4 * threads)) if threads > 1 else blocks
    whole = [a.size == 1 < size for a in arrays]

    def chunk(number: int, scratch: list[Array]) -> None:
        for start in range(number * per_chunk * block, min(size, (number + 1) * per_chunk * block), block):
            stop = start + block
            held = scratch if stop <= size else [s[: size - start] for s in scratch]
            parts = [a if w else a[start:stop] for a, w in zip(arrays, whole, strict=True)]
            program.run(*parts[:n_outs], *held, *parts[n_outs:])

    _share(chunk, program, block, -(-blocks // per_chunk), alloc)


def _run_blocks(plan: _Plan, program: Program, arrays: list[Array], alloc: Alloc) -> None:
    """Evaluate arrays of any strides in boxes."""
    whole, n_outs = arrays[0].shape, len(program.outputs)
    threads, block = _threads_and_block(plan, program)
    blocks = _blocks(whole, block)
    per_chunk = -(-len(blocks) // (4 * threads)) if threads > 1 else len(blocks)

    def chunk(number: int, scratch: list[Array]) -> None:
        for index in blocks[number * per_chunk : (number + 1) * per_chunk]:
            parts = [a[_within(a, index)] for a in arrays] if len(blocks) > 1 else arrays
            shape, count = parts[0].shape, parts[0].size
            held = [s[:count].reshape(shape) for s in scratch]
            program.run(*parts[:n_outs], *held, *parts[n_outs:])

    # The first box is as large as any.
    elements = arrays[0][blocks[0]].size
    _share(chunk, program, elements, -(-len(blocks) // per_chunk), alloc)


def _within(a: Array, index: tuple[slice, ...]) -> tuple[slice, ...]:
    """`index` for an array that may have length one along the axes where it is broadcast."""
    return tuple(slice(None) if n == 1 else s for s, n in zip(index, a.shape, strict=False))


def compile_numpy(formula: Formula, alloc: Alloc = np.empty) -> NumpyKernel:
    """A callable that computes `formula` on NumPy arrays.

    Args:
        formula: one or more outputs over named inputs.
        alloc: `alloc(shape, dtype)` provides result arrays of more than `BLOCK` elements (a pool of buffers, say);
            smaller ones come from NumPy's own cache, which is faster.

    Example:
        >>> from gpugrad.fusion import trace
        >>> kernel = compile_numpy(trace(lambda x, y: x * y + 1.0))
        >>> kernel(np.float32([1, 2]), 3)
        array([4., 7.], dtype=float32)
    """
    return NumpyKernel(formula, alloc)
