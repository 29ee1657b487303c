"""Copies, casts and fills on the GPU: one launch of a kernel of our own each, from any memory order into any other.

The kernel is the formula `x`, compiled as any other (`fusion.cuda_compiler`): 16 bytes an access where rows of both
sides allow it. What keeps its dtype is moved as bits, so that all types of one size share a kernel. Complex numbers of
16 bytes, casts of complex numbers and arrays of more than eight axes that step apart are CuPy's.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ..fusion import Formula, FormulaError, var
from ..fusion.cuda_compiler import SCALAR, CudaLauncher, Launch, cuda_source
from .cuda_kernels import behind, load, memory_order
from .cuda_launch import BLOCK, function
from .handles import of_gpus

_COPY: Final = Formula("copy", ("x",), (var("x"),))
_BITS: Final = {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint64"}
_NUMBERS: Final = (bool, int, float, np.bool_, np.integer, np.floating)
_AS_LONG: Final = {2: "float16", 4: "float32", 8: "float64"}
_AT_ONCE: Final = 4  # arrays that a launch joins
_BLOCKS: Final = 2112  # more only wait to be started
_ALIGNED: Final = 15  # the bits of an address that a wide access must know

Layout = tuple[Any, tuple[int, ...], tuple[int, ...], int]  # dtype, shape, strides and the low bits of an address


def put(target: Any, source: Any) -> None:
    """`target[...] = source`, cast and broadcast. Where the two share memory they must be the same elements.

    Args:
        target: an array on the current GPU, in any memory order.
        source: another one there, or a number.
    """
    if not into(_COPY, (source,), target):
        target[...] = source


def put_scaled(targets: Sequence[Any], sources: Sequence[Any], factor: float) -> bool:
    """`targets[i][...] = sources[i]`, the first times a number, in one launch; the rest as `into`. All of one shape."""
    return into(_scaled(len(targets)), (*sources, factor), *targets)


@functools.cache
def _scaled(count: int) -> Formula:
    first, *others = names = [f"x{i}" for i in range(count)]
    return Formula("put_scaled", (*names, "factor"), (var(first) * var("factor"), *map(var, others)))


def into(formula: Formula, operands: tuple[Any, ...], *outs: Any) -> bool:
    """A formula's values in `outs`, of any floating-point dtypes: unlike `Backend.kernel`, which follows NumPy's.

    Args:
        formula: with as many outputs.
        operands: arrays that broadcast to the outputs, and numbers.
        *outs: where to, all of one shape; one may share memory with an operand only where they are the same elements.

    Returns:
        Whether a kernel of ours takes these dtypes and layouts; if not, nothing is done.
    """
    if not all(isinstance(a, _NUMBERS) or _is_array(a) for a in operands):
        return False
    layouts = tuple([None if isinstance(a, _NUMBERS) else _layout(a) for a in operands])
    plan = _plan(formula, layouts, tuple([_layout(o) for o in outs]))
    if plan is None:
        return False
    run, launch, number = plan
    if launch is None:
        return True
    given = [number(a) if isinstance(a, _NUMBERS) else a for a in operands]
    run(launch.grid, launch.block, (launch.first, *given, *outs))
    for start, part in launch.more:
        run(part.grid, part.block, (part.first, *[behind(a, start) for a in (*given, *outs)]))
    return True


def _is_array(a: Any) -> bool:
    return hasattr(a, "strides") and hasattr(a.data, "ptr")


def _layout(a: Any) -> Layout:
    return a.dtype, a.shape, a.strides, a.data.ptr & _ALIGNED


@of_gpus
@functools.lru_cache(maxsize=4096)
def _plan(
    formula: Formula, operands: tuple[Layout | None, ...], outs: tuple[Layout, ...]
) -> tuple[Any, Launch | None, Any] | None:
    """Kernel, launch (None: nothing to do) and the type of numbers; None where it is not for a kernel of ours."""
    dtype, shape = outs[0][:2]
    arrays = [o for o in operands if o is not None]
    if any(np.broadcast_shapes(a[1], shape) != shape for a in arrays):
        return None  # the array module says what is wrong
    kinds = [SCALAR if o is None else o[0].name for o in operands]
    targets = [o[0].name for o in outs]
    if formula is _COPY and kinds == targets:  # moved as bits, so that all types of one size share a kernel
        kinds = targets = [_BITS.get(dtype.itemsize, targets[0])]
    steps = [tuple([0 if n == 1 else s for n, s in zip(a[1], a[2], strict=True)]) for a in (*arrays, *outs)]
    try:
        made = cuda_source(formula, tuple(kinds), tuple(targets))
        launcher = CudaLauncher(made)
        launch = launcher.plan(shape, steps, [a[3] for a in (*arrays, *outs)])
    except (FormulaError, ValueError):  # complex numbers; more axes that step apart than kernels take
        return None
    run = None if launch is None else load(made.alone(launch.entry)).get_function(launch.entry)
    return run, launch, launcher.scalar_type


def dense(x: Any, dtype: Any = None) -> Any:
    """`x` in C order and in a dtype; itself, if it is so already."""
    if x.flags.c_contiguous and (dtype is None or x.dtype == dtype):
        return x
    return copy(x, dtype)


def copy(x: Any, dtype: Any = None) -> Any:
    """A copy in C order, cast to a dtype if one is given."""
    out = _new(x.shape, x.dtype if dtype is None else dtype)
    put(out, x)
    return out


def twin(x: Any) -> Any:
    """A copy in the memory order of `x`; of an array without gaps it takes no kernel."""
    out = like(x, x.dtype)
    (move if out.strides == x.strides else put)(out, x)
    return out


def move(target: Any, source: Any) -> None:
    """The bytes of an array without gaps in another one that lies alike."""
    target.data.copy_from_device_async(source.data, source.nbytes)


def cast(x: Any, dtype: Any) -> Any:
    """A copy in another dtype, in the memory order of `x`."""
    out = like(x, dtype)
    put(out, x)
    return out


def like(x: Any, dtype: Any) -> Any:
    """Memory for the shape of `x`, in its memory order."""
    order = None if x.flags.c_contiguous or 0 in x.strides else memory_order(x.shape, [x])
    if order is None:
        return _new(x.shape, dtype)
    return _new(tuple([x.shape[i] for i in order]), dtype).transpose(np.argsort(order).tolist())


def reshaped(x: Any, shape: tuple[int, ...]) -> Any:
    """`x.reshape(shape)`: a view where the memory allows one, else a copy by a kernel of ours."""
    return (x if x.flags.c_contiguous or is_view(x.shape, x.strides, shape) else copy(x)).reshape(shape)


@functools.lru_cache(maxsize=4096)
def is_view(shape: tuple[int, ...], strides: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether an array of these strides can be seen in another shape without a copy.

    It can if each run of axes that neither shape can do without the others of has one step.
    """
    if 0 in shape:
        return True
    axes = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    rest = [n for n in wanted if n != 1]
    while axes:
        (here, step), there = axes.pop(), rest.pop() if rest else 1
        while here != there:
            if here < there:
                n, s = axes.pop() if axes else (0, 0)
                if s != step * here:
                    return False
                here *= n
            else:
                there *= rest.pop() if rest else 0
                if not there:
                    return False
    return True


def concatenate(arrays: Sequence[Any], axis: int, out: Any) -> None:
    """Join arrays along `axis` in `out`, four in a launch where their rows have no gaps, else one."""
    axis %= out.ndim
    if not out.flags.c_contiguous:
        order = memory_order(out.shape, [out])
        if order is not None:
            arrays, axis, out = [a.transpose(order) for a in arrays], order.index(axis), out.transpose(order)
    plan = _joining(tuple([_layout(a) for a in arrays]), axis, _layout(out))
    if plan is not None:
        run, grids, block, numbers = plan
        for i, (grid, given) in enumerate(zip(grids, numbers, strict=True)):
            some = list(arrays[_AT_ONCE * i : _AT_ONCE * (i + 1)])
            run(grid, block, (*some, *some[:1] * (_AT_ONCE - len(some)), out, *given))
        return
    start, before = 0, (slice(None),) * axis
    for a in arrays:
        stop = start + a.shape[axis]
        put(out[(*before, slice(start, stop))], a)
        start = stop


@of_gpus
@functools.lru_cache(maxsize=4096)
def _joining(pieces: tuple[Layout, ...], axis: int, out: Layout) -> Any:
    """Launches of `kernels/join.cu`: entry point, grids, block, each one's numbers; None where it is not for them."""
    dtype, shape, _, low = out
    kind = _AS_LONG.get(dtype.itemsize)
    rows, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    lengths = [p[1][axis] * inner for p in pieces]
    steps = [s for s in (_row_step(p, axis) for p in pieces) if s is not None]
    if kind is None or len(pieces) < 2 or not rows or not all(lengths) or len(steps) < len(pieces):
        return None
    if any(p[0] != dtype for p in pieces) or _row_step(out, axis) != sum(lengths):
        return None
    for p, n, step in zip(pieces, lengths, steps, strict=True):
        low |= p[3] | (n | step) * dtype.itemsize
    wide = not low & _ALIGNED
    if wide:
        lengths, steps = ([n * dtype.itemsize // 16 for n in each] for each in (lengths, steps))
    marks = [0, *itertools.accumulate(lengths)]
    across = min(BLOCK, 1 << (marks[min(_AT_ONCE, len(pieces))] - 1).bit_length())
    down, grids, numbers = BLOCK // across, [], []
    for i in range(0, len(pieces), _AT_ONCE):
        missing = max(i + _AT_ONCE - len(pieces), 0)
        ends, apart = marks[i : i + _AT_ONCE + 1] + [marks[-1]] * missing, steps[i : i + _AT_ONCE] + [0] * missing
        over_rows = min(-(-rows // down), _BLOCKS)
        grids.append((over_rows, max(1, min(-(-(ends[-1] - ends[0]) // across), _BLOCKS // over_rows))))
        numbers.append(tuple(map(np.int64, (rows, marks[-1], *ends, *apart))))
    return function("join.cu", "join_wide" if wide else "join", kind), grids, (across, down), numbers


def _row_step(array: Layout, axis: int) -> int | None:
    """How many elements rows are apart, which are what `axis` and those behind it span; None where there are gaps."""
    dtype, shape, strides, _ = array
    step, rows = dtype.itemsize, [(n, s) for n, s in zip(shape[:axis], strides, strict=False) if n != 1]
    for n, s in zip(reversed(shape[axis:]), reversed(strides), strict=False):
        if n != 1 and s != step:
            return None
        step *= n
    if any(s != m * t for (_, s), (m, t) in itertools.pairwise(rows)):
        return None
    return int((rows[-1][1] if rows else step) // dtype.itemsize)


def _new(shape: tuple[int, ...], dtype: Any) -> Any:
    import cupy

    return cupy.ndarray(shape, dtype)
