"""Formulas as CUDA C++: one functor of plain statements, and entry points from the skeleton in `kernels/`.

Gives text and launch descriptions (entry, grid, block, packed arguments) as plain data; it neither compiles nor
launches and knows no CuPy. The hand-written kernels are listed in `cuda_sources`.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from .cuda_sources import SOURCES, inline_includes, row_source
from .expr import BOOL, Expr, FormulaError, topological
from .formula import Formula

__all__ = [
    "SCALAR", "SOURCES", "CudaLauncher", "CudaSource", "Launch", "collapse", "compute_dtype", "cuda_source",
    "row_source",
]  # fmt: skip

SCALAR: Final = "scalar"  # in place of a dtype: a number passed by value in the compute type
THREADS: Final = 256
MAX_DIMS: Final = 8
_LONGEST = 2**31  # elements of one contiguous launch: half of what fits, as below
_INDEX32_LIMIT: Final = 2**30  # half of what fits, so that a loop counter may run one step past the end

# dtype -> (C++ type, tag in names, bytes)
_TYPES: Final[dict[str, tuple[str, str, int]]] = {
    "float16": ("__half", "f16", 2), "bfloat16": ("__nv_bfloat16", "bf16", 2), "float32": ("float", "f32", 4),
    "float64": ("double", "f64", 8), "bool": ("bool", "b1", 1), "int8": ("signed char", "i8", 1),
    "uint8": ("unsigned char", "u8", 1), "int16": ("short", "i16", 2), "uint16": ("unsigned short", "u16", 2),
    "int32": ("int", "i32", 4), "uint32": ("unsigned", "u32", 4), "int64": ("long long", "i64", 8),
    "uint64": ("unsigned long long", "u64", 8),
}  # fmt: skip
_COMPUTE: Final = {"float32": "float", "float64": "double", "int64": "long long"}

_SPELLING: Final[dict[str, str]] = {
    "add": "{} + {}", "subtract": "{} - {}", "multiply": "{} * {}", "divide": "{} / {}", "negative": "-{}",
    "greater": "{} > {}", "greater_equal": "{} >= {}", "less": "{} < {}", "less_equal": "{} <= {}",
    "equal": "{} == {}", "not_equal": "{} != {}", "power": "pow({}, {})", "logical_and": "{} && {}",
    "logical_or": "{} || {}", "logical_xor": "{} != {}", "logical_not": "!{}", "where": "{} ? {} : {}",
    **{f"arc{name}": f"a{name}({{}})" for name in "sin cos tan sinh cosh tanh".split()}, "arctan2": "atan2({}, {})",
    **{name: f"{name}({{}})" for name in "sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh "
       "floor ceil trunc rint erf erfc erfcx lgamma isnan isinf isfinite signbit".split()},
    **{name: f"{name}({{}}, {{}})" for name in "fmod fmax fmin hypot copysign".split()},
    **{name: f"gg::{name}({{}})" for name in "absolute sign square reciprocal relu sigmoid softplus digamma".split()},
    **{name: f"gg::{name}({{}}, {{}})" for name in "floor_divide remainder maximum minimum heaviside logaddexp "
       "logaddexp2".split()},
}  # fmt: skip
_LOGICAL: Final = frozenset({"logical_and", "logical_or", "logical_xor", "logical_not"})
# What integers can do exactly, in 64 bits; any other function makes an integer kernel compute in double.
_INTEGRAL: Final = _LOGICAL | frozenset(
    "input const add subtract multiply negative absolute sign square relu floor_divide remainder maximum minimum "
    "where greater greater_equal less less_equal equal not_equal".split()
)


@dataclass(frozen=True)
class CudaSource:
    """One formula for one choice of dtypes, as CUDA C++.

    `text` is complete (the skeleton is in it) and `short` is the same with its `#include`s. The entry points are
    `<name>_contiguous(n, operands...)`, and `<name>_rows`, `<name>_strided`, `<name>_strided64(layout,
    operands...)`; the operands are the inputs in order, then the outputs. `width` is how many elements one wide
    access moves; a scalar input is passed by value as `compute`.
    """

    name: str
    text: str
    short: str
    entries: tuple[str, ...]
    width: int
    compute: str
    dtypes: tuple[str, ...]
    out_dtypes: tuple[str, ...]

    def alone(self, entry: str) -> str:
        """The complete text with this entry point only: a program seldom needs two, and NVRTC takes half the time."""
        head, *entries = re.split(r'^(?=extern "C" __global__)', self.text, flags=re.MULTILINE)
        return head + entries[self.entries.index(entry)]


def compute_dtype(formula: Formula, dtypes: Sequence[str], out_dtypes: Sequence[str]) -> str:
    """The dtype a kernel computes in: float64 if any array has it, else float32 if any is floating.

    Kernels on integers and truth values alone compute in int64 if the formula allows it, else in float64.
    """
    arrays = {d for d in (*dtypes, *out_dtypes) if d != SCALAR}
    if "float64" in arrays:
        return "float64"
    if arrays & {"float16", "bfloat16", "float32"}:
        return "float32"
    nodes = list(topological(formula.outputs))
    exact = all(n.op in _INTEGRAL and (n.op != "const" or float(n.value).is_integer()) for n in nodes)
    return "int64" if exact else "float64"


@functools.lru_cache(maxsize=4096)
def cuda_source(formula: Formula, dtypes: tuple[str, ...], out_dtypes: tuple[str, ...]) -> CudaSource:
    """Write `formula` as CUDA C++ for arrays of `dtypes`.

    Args:
        formula: What to compute for each element.
        dtypes: One NumPy dtype name (or "bfloat16") for each input; "scalar" for a number passed by value.
        out_dtypes: One for each output.

    Raises:
        FormulaError: A dtype that kernels do not take, a wrong number of them, or a function that CUDA lacks.
    """
    _check_dtypes(formula, dtypes, out_dtypes)
    compute = compute_dtype(formula, dtypes, out_dtypes)
    arrays = [d for d in (*dtypes, *out_dtypes) if d != SCALAR]
    tags = "".join(f"_{_TYPES[d][1] if d != SCALAR else 's'}" for d in (*dtypes, *out_dtypes))
    name = f"gg_{formula.name}{tags}"
    width = min(8, 16 // max(_TYPES[d][2] for d in arrays))
    parameters, operands = _operands(formula, dtypes, out_dtypes, compute)
    short = "\n".join(
        (
            f"// {formula}",
            *(["#define GG_HALF"] if "float16" in arrays else []),
            *(["#define GG_BFLOAT16"] if "bfloat16" in arrays else []),
            '#include "elementwise.cuh"',
            "",
            _functor(formula, name, compute),
            *_entry_points(name, parameters, operands, width, len(arrays)),
        )
    )
    entries = tuple(f"{name}_{way}" for way in ("contiguous", "rows", "strided", "strided64"))
    return CudaSource(name, inline_includes(short), short, entries, width, compute, dtypes, out_dtypes)


def _check_dtypes(formula: Formula, dtypes: tuple[str, ...], out_dtypes: tuple[str, ...]) -> None:
    unknown = [d for d in (*dtypes, *out_dtypes) if d not in _TYPES and d != SCALAR]
    if unknown or SCALAR in out_dtypes:
        raise FormulaError(
            f"[{formula.name}] a CUDA kernel takes no array of dtype {(unknown or [SCALAR])[0]}; inputs {dtypes}, "
            f"outputs {out_dtypes}; expected {', '.join(_TYPES)} (or 'scalar' for an input)"
        )
    if len(dtypes) != len(formula.inputs) or len(out_dtypes) != len(formula.outputs):
        raise FormulaError(
            f"[{formula.name}] {len(dtypes)} input and {len(out_dtypes)} output dtypes for a formula with "
            f"{len(formula.inputs)} inputs and {len(formula.outputs)} outputs: {formula}"
        )


def _operands(formula: Formula, dtypes: tuple[str, ...], out_dtypes: tuple[str, ...], compute: str) -> tuple[str, str]:
    """The kernel's parameter list, and the same as operands of the skeleton."""
    c = _COMPUTE[compute]
    parameters, operands, slot = [], [], 0
    for name, dtype in zip(formula.inputs, dtypes, strict=True):
        if dtype == SCALAR:
            parameters.append(f"{c} in_{name}")
            operands.append(f"gg::Value<{c}>{{in_{name}}}")
        else:
            parameters.append(f"const {_TYPES[dtype][0]}* in_{name}")
            operands.append(f"gg::In<{slot}, {_TYPES[dtype][0]}, {c}>{{in_{name}}}")
            slot += 1
    for i, dtype in enumerate(out_dtypes):
        parameters.append(f"{_TYPES[dtype][0]}* out_{i}")
        operands.append(f"gg::Out<{slot + i}, {_TYPES[dtype][0]}, {c}>{{out_{i}}}")
    return ", ".join(parameters), ", ".join(operands)


def _entry_points(name: str, parameters: str, operands: str, width: int, arrays: int) -> list[str]:
    kernel = f'extern "C" __global__ void __launch_bounds__({THREADS}) {name}_'
    lines = [
        f"{kernel}contiguous(unsigned n, {parameters}) {{",
        f"  gg::contiguous<{name}, {width}>(n, {operands});",
        "}",
    ]
    for way, w, index in (("rows", width, "int"), ("strided", 1, "int"), ("strided64", 1, "long long")):
        lines += [
            f"{kernel}{way}(gg::Layout<{index}, {arrays}> layout, {parameters}) {{",
            f"  gg::strided<{name}, {w}>(layout, {operands});",
            "}",
        ]
    return [*lines, ""]


def _functor(formula: Formula, name: str, compute: str) -> str:
    c = _COMPUTE[compute]
    formals = [f"{c} in_{n}" for n in formula.inputs] + [f"{c}& out_{i}" for i in range(len(formula.outputs))]
    written: dict[Expr, str] = {}
    body: list[str] = []
    for node in topological(formula.outputs):
        if node.op == "const":
            written[node] = _literal(node, compute)
        elif node.op == "input" and node.kind != BOOL:
            written[node] = f"in_{node.value}"
        else:
            written[node] = f"t{len(body)}"
            kind = "bool" if node.kind == BOOL else c
            body.append(f"    const {kind} {written[node]} = {_statement(node, written, c, formula)};")
    for i, output in enumerate(formula.outputs):
        body.append(f"    out_{i} = {_as_real(output, written, c)};")
    head = f"  static __device__ __forceinline__ void at({', '.join(formals)}) {{"
    return "\n".join((f"struct {name} {{", head, *body, "  }", "};"))


def _statement(node: Expr, written: dict[Expr, str], c: str, formula: Formula) -> str:
    if node.op == "input":
        return f"gg::truth(in_{node.value})"
    spelling = _SPELLING.get(node.op)
    if spelling is None:
        raise FormulaError(f"[{formula.name}] the CUDA compiler has no {node.op!r}, in the formula {formula}")
    if node.op in _LOGICAL:
        operands = [_as_truth(a, written) for a in node.args]
    elif node.op == "where":
        branch = _as_truth if node.kind == BOOL else lambda a, w: _as_real(a, w, c)
        operands = [_as_truth(node.args[0], written), *(branch(a, written) for a in node.args[1:])]
    else:
        operands = [_as_real(a, written, c) for a in node.args]
    return spelling.format(*operands)


def _as_truth(e: Expr, written: dict[Expr, str]) -> str:
    return written[e] if e.kind == BOOL else f"gg::truth({written[e]})"


def _as_real(e: Expr, written: dict[Expr, str], c: str) -> str:
    return f"({c}){written[e]}" if e.kind == BOOL else written[e]


def _literal(node: Expr, compute: str) -> str:
    """A constant in exactly the compute type: a bare `0.5` would make a float32 kernel compute in double."""
    if node.kind == BOOL:
        return "true" if node.value else "false"
    if compute == "int64":
        return f"({int(node.value)}LL)"
    value = float(node.value)
    if compute == "float32" and math.isfinite(value):
        with np.errstate(over="ignore"):
            value = float(np.float32(value))
    c = _COMPUTE[compute]
    if math.isnan(value):
        return f"gg::quiet_nan<{c}>()"
    if math.isinf(value):
        return f"({'-' if value < 0 else ''}gg::infinity<{c}>())"
    text = repr(value) if compute == "float64" else format(value, ".9g")
    text = text if re.search(r"[.e]", text) else f"{text}.0"
    text += "f" if compute == "float32" else ""
    return f"({text})" if text.startswith("-") else text


class Launch(NamedTuple):
    """How to launch one entry point: `kernel(grid, block, (first, *operands))`.

    An array of more elements than an index of 32 bits counts takes several launches: `more` are those after the first,
    each with the element that its operands begin at.
    """

    entry: str
    grid: tuple[int, int]
    block: tuple[int, int]
    first: Any  # np.uint32 for `contiguous`; a structured array of one element, passed by value, for the others
    more: tuple[tuple[int, Launch], ...] = ()


def collapse(
    shape: Sequence[int], strides: Sequence[Sequence[int]]
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Drop dimensions of size 1, order the rest by the last operand's strides, merge those that step as one.

    Args:
        shape: The shape that all operands share (after broadcasting).
        strides: For each operand one stride a dimension, in any unit; 0 where it is broadcast.

    Returns:
        The shape and the strides that reach the same elements in the same pairing, slowest dimension first; at
        least one dimension is left.

    Example:
        >>> collapse((4, 3, 5), [(0, 0, 1), (15, 5, 1)])
        ((12, 5), ((0, 1), (5, 1)))
    """
    kept = [d for d, size in enumerate(shape) if size != 1]
    kept.sort(key=lambda d: -abs(strides[-1][d]))
    sizes: list[int] = []
    steps: list[tuple[int, ...]] = []
    for d in kept:
        step = tuple(s[d] for s in strides)
        if sizes and all(outer == inner * shape[d] for outer, inner in zip(steps[-1], step, strict=True)):
            sizes[-1] *= shape[d]
            steps[-1] = step
        else:
            sizes.append(shape[d])
            steps.append(step)
    if not sizes:
        return (1,), tuple((0,) for _ in strides)
    return tuple(sizes), tuple(zip(*steps, strict=True))


class CudaLauncher:
    """Chooses entry point, grid and arguments for arrays of given shapes and strides; touches no device.

    Args:
        source: What `cuda_source` wrote.

    Example:
        >>> from gpugrad.fusion import trace
        >>> s = cuda_source(trace(lambda x, y: x * y, "mul"), ("float32", "float32"), ("float32",))
        >>> CudaLauncher(s).plan((8, 4), [None, (0, 4), None], [256, 512, 1024]).entry
        'gg_mul_f32_f32_f32_rows'
    """

    def __init__(self, source: CudaSource) -> None:
        self.source = source
        self.scalar_type: type[Any] = np.dtype(source.compute).type
        self._itemsizes = [_TYPES[d][2] for d in (*source.dtypes, *source.out_dtypes) if d != SCALAR]
        self._alignments = [i * source.width for i in self._itemsizes]
        self._layouts = {t: self._layout_dtype(t) for t in ("i4", "i8")}

    def plan(
        self, shape: Sequence[int], strides: Sequence[Sequence[int] | None], addresses: Sequence[int]
    ) -> Launch | None:
        """Describe the launch for operands broadcast to `shape`; None when there is no element to compute.

        Args:
            shape: The outputs' shape.
            strides: For each array operand (scalars left out; inputs, then outputs) its strides in bytes, aligned
                with the end of `shape` (missing dimensions and those of size 1 in the operand: 0); None for an
                operand of exactly this shape in C order.
            addresses: The first byte of each array operand; decides whether wide accesses are aligned.

        Raises:
            ValueError: More than eight dimensions that cannot be merged.
        """
        n = math.prod(shape)
        if n == 0:
            return None
        aligned = not any(a % need for a, need in zip(addresses, self._alignments, strict=True))
        if aligned and all(s is None for s in strides):
            return self._contiguous(n)
        given = [self._element_strides(shape, s, i) for s, i in zip(strides, self._itemsizes, strict=True)]
        sizes, steps = collapse(shape, given)
        if aligned and len(sizes) == 1 and all(s == (1,) for s in steps):
            return self._contiguous(n)
        if len(sizes) > MAX_DIMS:
            raise ValueError(
                f"[{self.source.name}] {len(sizes)} dimensions that step differently, shape {tuple(shape)}; a kernel "
                f"takes {MAX_DIMS}: make the operands contiguous first"
            )
        return self._strided(sizes, steps, aligned)

    def _contiguous(self, n: int) -> Launch:
        more = tuple((i, self._contiguous(min(n - i, _LONGEST))) for i in range(_LONGEST, n, _LONGEST))
        n = min(n, _LONGEST)
        blocks = -(-n // (self.source.width * 2 * THREADS))  # two wide accesses a thread
        return Launch(self.source.entries[0], (blocks, 1), (THREADS, 1), np.uint32(n), more)

    def _strided(self, sizes: tuple[int, ...], steps: tuple[tuple[int, ...], ...], aligned: bool) -> Launch:
        extent = max(sum(abs(s) * (size - 1) for s, size in zip(step, sizes, strict=True)) for step in steps)
        wide = max(extent, math.prod(sizes)) >= _INDEX32_LIMIT
        width = 1 if wide else self._row_width(steps, aligned)
        entry = self.source.entries[3 if wide else 1 if width > 1 else 2]
        inner, outer = sizes[-1], math.prod(sizes[:-1])
        packs = -(-inner // width)
        lanes = max(packs, inner % width)  # what is left of a row takes one thread an element
        across = min(THREADS, 1 << (lanes - 1).bit_length())
        down = THREADS // across
        grid = (-(-packs // across), min(-(-outer // down), 65535))
        shape = [*sizes[-2::-1], *[1] * MAX_DIMS][: MAX_DIMS - 1]
        words = [inner, outer, len(sizes) - 1, *shape]
        for step in steps:
            words += [*step[::-1], *[0] * MAX_DIMS][:MAX_DIMS]
        index = "i8" if wide else "i4"
        return Launch(entry, grid, (across, down), np.array(words, index).view(self._layouts[index]))

    def _row_width(self, steps: tuple[tuple[int, ...], ...], aligned: bool) -> int:
        """The skeleton's width where rows can be moved in wide accesses, else 1."""
        width = self.source.width
        outputs = len(self.source.out_dtypes)
        fits = (
            aligned
            and all(s[-1] in (0, 1) for s in steps)
            and all(s[-1] == 1 for s in steps[-outputs:])
            and all(outer % width == 0 for s in steps if s[-1] for outer in s[:-1])
        )
        return width if fits else 1

    @staticmethod
    def _element_strides(shape: Sequence[int], strides: Sequence[int] | None, itemsize: int) -> tuple[int, ...]:
        if strides is None:
            dense = [1]
            for size in reversed(shape[1:]):
                dense.append(dense[-1] * size)
            return tuple(reversed(dense[: len(shape)]))
        return (0,) * (len(shape) - len(strides)) + tuple(s // itemsize for s in strides)

    def _layout_dtype(self, index: str) -> np.dtype[Any]:
        return np.dtype([("words", index, (3 + MAX_DIMS - 1 + MAX_DIMS * len(self._itemsizes),))])
