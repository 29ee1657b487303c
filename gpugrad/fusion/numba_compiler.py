"""Formulas as Numba loops: one `nogil` loop for each type and layout, large arrays split over threads.

Here is the choice of what a loop takes and how it is run; its text comes from `numba_text`. Numba is imported at the
first compilation, not before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from .expr import BOOL, FormulaError, topological
from .formula import Formula
from .numba_team import AGAIN, DECLINED, run_arrays
from .numba_team import run as run_team
from .numba_text import MISSING, PERIODIC, generate, loop_name
from .workers import num_threads

Array = npt.NDArray[Any]

# Elements under which handing work to another thread costs more than it saves, and those of a strip of work.
SPLIT: Final = 131_072
STRIP: Final = 16_384

_FLOATS: Final = {np.dtype(np.float32): "float32", np.dtype(np.float64): "float64"}


class Plan(NamedTuple):
    """How a call's arguments are read.

    Attributes:
        dtype: "float32" or "float64", the type of the arithmetic.
        layouts: one for each input: "each" element, "row" (the last axes of the output), "scalar", or "out0",
            ...: the memory of that output.
        shape: of the outputs.
        inner: elements of a row; 0 where no input is one.
    """

    dtype: str
    layouts: tuple[str, ...]
    shape: tuple[int, ...]
    inner: int


def compile_numba(formula: Formula) -> NumbaKernel | None:
    """The formula as a Numba kernel, or None where a function in it has no fast body there.

    Compilation proper happens at the first call of each type and layout.
    """
    if any(n.op in MISSING for n in topological(formula.outputs)):
        return None
    return NumbaKernel(formula)


class NumbaKernel:
    """A formula compiled by Numba; call it where `accepts` says so.

    Attributes:
        formula: what it computes.
    """

    __slots__ = ("_alike", "_compiled", "_each", "_periodic", "_single_only", "_strips", "_whole", "formula")

    def __init__(self, formula: Formula) -> None:
        ops = {n.op for n in topological(formula.outputs)}
        self.formula = formula
        self._compiled: dict[tuple[str, tuple[str, ...], bool], Callable[..., Any]] = {}
        self._strips: dict[tuple[str, tuple[str, ...], frozenset[str], bool], int] = {}
        # The strips for whole arrays, numbers and one output.
        self._whole: dict[tuple[np.dtype[Any], tuple[str, ...]], int] = {}
        self._each = ("each",) * len(formula.inputs)
        # Whether there is one output, and that of the type of the arithmetic.
        self._alike = len(formula.outputs) == 1 and formula.outputs[0].kind != BOOL
        self._periodic = bool(ops & PERIODIC)
        self._single_only = "power" in ops

    @property
    def source(self) -> str:
        """The generated Python text for float32 arrays of one shape."""
        return numba_source(self.formula, "float32")

    def accepts(self, *arrays: Any, out: Any = None) -> bool:
        """Whether the loop can take these arguments.

        It takes arrays of one float type (and truth values), C-contiguous, of the shape of the output or of
        its last axes, and numbers; `out` may be an input itself but must not overlap one otherwise.
        """
        return self._plan(arrays, out) is not None

    def __call__(self, *arrays: Any, out: Any = None) -> Any:
        """The formula's value, in `out` (an array, or a tuple of them for several outputs) where it is given.

        Raises:
            TypeError: the arguments are not accepted.
        """

        def refuse(*arrays: Any, out: Any) -> Any:
            shown = ", ".join(f"{getattr(a, 'shape', a)} {getattr(a, 'dtype', '')}" for a in arrays)
            raise TypeError(f"[{self.formula.name}] the Numba kernel does not take ({shown}); use the NumPy kernel")

        return self.run(arrays, out, np.empty, refuse)

    def run(self, arrays: Sequence[Any], out: Any, alloc: Callable[..., Any], plain: Callable[..., Any]) -> Any:
        """The formula's value where the loop takes the arguments, else `plain(*arrays, out=out)`.

        Args:
            arrays: one argument for each input.
            out: None, an array, or a tuple of arrays.
            alloc: `alloc(shape, dtype)` makes the results when `out` is None.
            plain: the kernel to fall back to.
        """
        plan = None
        if out is None:
            if self._whole:
                result = self._quick(arrays, alloc)
                if result is not None:
                    return result
            plan = self._fast_plan(arrays)
        plan = plan or self._plan(arrays, out)
        if plan is None:
            return plain(*arrays, out=out)
        if out is None:
            outs = tuple(alloc(plan.shape, np.bool_ if e.kind == BOOL else plan.dtype) for e in self.formula.outputs)
        else:
            outs = out if isinstance(out, tuple) else (out,)
        self._execute(plan, arrays, outs)
        return outs if len(outs) > 1 else outs[0]

    def _quick(self, arrays: Sequence[Any], alloc: Callable[..., Any]) -> Any:
        """The usual large call once its loop is compiled, with as little as can be looked at; None where it is not.

        After a loop has gone through the caches every line of Python costs several times what it does otherwise.
        """
        first = arrays[0]
        if type(first) is not np.ndarray or first.size < SPLIT or len(arrays) != len(self._each):
            return None
        shape, dtype = first.shape, first.dtype
        flat: list[Any] = []
        numbers: list[float] = []
        layouts = self._each
        for k, a in enumerate(arrays):
            if type(a) is not np.ndarray:
                if type(a) is not float and type(a) is not int:
                    return None
                numbers.append(a)
            elif a.shape == shape and a.dtype is dtype:
                flags = a.flags
                if not flags.c_contiguous or not flags.writeable:
                    return None
                flat.append(a if a.ndim == 1 else a.reshape(-1))
                continue
            elif a.size == 1 and a.dtype is dtype and a.ndim <= first.ndim:
                numbers.append(a.item())
            else:
                return None
            layouts = (*layouts[:k], "scalar", *layouts[k + 1 :])
        strip = self._whole.get((dtype, layouts))
        if strip is None:
            return None
        result = alloc(shape, dtype)
        flat.append(result if result.ndim == 1 else result.reshape(-1))
        done = run_arrays(strip, first.size, STRIP, numbers, *flat)
        if done == AGAIN:
            plan = Plan(dtype.name, layouts, shape, 0)
            self._loop(plan, exact=True)(*_arguments(plan, arrays, (result,), (first.size,)))
        return None if done == DECLINED else result

    def _fast_plan(self, arrays: Sequence[Any]) -> Plan | None:
        # The usual call, found without looking at each argument in turn: whole arrays of one shape and type.
        first = arrays[0]
        if type(first) is not np.ndarray or len(arrays) != len(self._each):
            return None
        shape, dtype = first.shape, first.dtype
        for a in arrays:
            if type(a) is not np.ndarray or a.shape != shape or a.dtype is not dtype or not a.flags.c_contiguous:
                return None
        name = _FLOATS.get(dtype)
        return None if name is None or (self._single_only and name != "float32") else Plan(name, self._each, shape, 0)

    def _plan(self, arrays: Sequence[Any], out: Any) -> Plan | None:
        if len(arrays) != len(self.formula.inputs):
            return None
        outs: tuple[Any, ...] = () if out is None else out if isinstance(out, tuple) else (out,)
        shape, dtype = _common(arrays, outs)
        if dtype is None or (self._single_only and dtype != "float32"):
            return None
        layouts: list[str] = []
        inner = 0
        for a in arrays:
            layout, row = _layout(a, shape, dtype, outs)
            if layout is None or (row and inner and row != inner):
                return None
            layouts.append(layout)
            inner = inner or row
        expected = [np.dtype(np.bool_ if e.kind == BOOL else dtype) for e in self.formula.outputs]
        if outs and (len(outs) != len(expected) or any(
            o.dtype != d or o.shape != shape or not (o.flags.c_contiguous and o.flags.writeable)
            for o, d in zip(outs, expected, strict=True)
        )):  # fmt: skip
            return None
        # A periodic function may have to start again with the input unspoilt.
        if self._periodic and any(name.startswith("out") for name in layouts):
            return None
        return Plan(dtype, tuple(layouts), shape, inner)

    def _execute(self, plan: Plan, arrays: Sequence[Any], outs: tuple[Array, ...]) -> None:
        if outs[0].size >= SPLIT and self._shared(plan, arrays, outs):
            return
        run = self._compiled.get((plan.dtype, plan.layouts, False)) or self._loop(plan, exact=False)
        size = outs[0].size
        flat = (size // plan.inner, plan.inner) if plan.inner else (size,)
        arguments = _arguments(plan, arrays, outs, flat)
        if run(*arguments):
            self._loop(plan, exact=True)(*arguments)

    def _shared(self, plan: Plan, arrays: Sequence[Any], outs: tuple[Array, ...]) -> bool:
        """Run on the team of threads; False where that cannot be."""
        if num_threads() == 1:
            return False
        addresses: list[int] = []
        numbers: list[float] = []
        truths = []
        for name, a, layout in zip(self.formula.inputs, arrays, plan.layouts, strict=True):
            if layout == "scalar":
                numbers.append(a.item() if isinstance(a, np.ndarray) else a)
            elif layout in ("each", "row"):
                if a.dtype.char == "?":
                    truths.append(name)
                addresses.append(a.__array_interface__["data"][0])
        addresses += [o.__array_interface__["data"][0] for o in outs]
        inner = plan.inner or 1
        job = ((*addresses, inner), numbers, outs[0].size // inner, max(1, STRIP // inner))
        done = run_team(self._strip(plan, frozenset(truths), exact=False), *job)
        if done == AGAIN:
            # All of it, so that the bits do not depend on where a strip begins.
            done = run_team(self._strip(plan, frozenset(truths), exact=True), *job)
        return done != DECLINED

    def _strip(self, plan: Plan, truths: frozenset[str], exact: bool) -> int:
        key = (plan.dtype, plan.layouts, truths, exact)
        found = self._strips.get(key)
        if found is None:
            from .numba_cache import load

            text = generate(self.formula, plan.dtype, plan.layouts, exact, strip=True, truths=truths)
            found = self._strips[key] = getattr(load(text, self.formula.name), loop_name(self.formula)).address
            if {*plan.layouts} <= {"each", "scalar"} and not truths and not exact and self._alike:
                self._whole[np.dtype(plan.dtype), plan.layouts] = found
        return found

    def _loop(self, plan: Plan, exact: bool) -> Callable[..., Any]:
        key = (plan.dtype, plan.layouts, exact)
        found = self._compiled.get(key)
        if found is None:
            from .numba_cache import load

            text = generate(self.formula, plan.dtype, plan.layouts, exact=exact)
            found = self._compiled[key] = getattr(load(text, self.formula.name), loop_name(self.formula))
        return found


def _arguments(plan: Plan, arrays: Sequence[Any], outs: tuple[Array, ...], flat: tuple[int, ...]) -> list[Any]:
    to_scalar = np.dtype(plan.dtype).type
    found: list[Any] = []
    for a, layout in zip(arrays, plan.layouts, strict=True):
        if layout == "scalar":
            found.append(to_scalar(a.item() if isinstance(a, np.ndarray) else a))
        elif layout == "row":
            found.append(a.reshape(-1))
        elif layout == "each":
            found.append(a if a.shape == flat else a.reshape(flat))
    return found + [o if o.shape == flat else o.reshape(flat) for o in outs]


def _common(arrays: Sequence[Any], outs: tuple[Any, ...]) -> tuple[tuple[int, ...], str | None]:
    """The shape of the result and the float type of the arithmetic; None where there is no single type."""
    shape: tuple[int, ...] = ()
    dtype: str | None = None
    for a in (*arrays, *outs):
        if isinstance(a, np.ndarray):
            name = a.dtype.name
            if name in ("float32", "float64"):
                if dtype not in (None, name):
                    return shape, None
                dtype = name
            elif name != "bool":
                return shape, None
            if a.ndim > len(shape) or (a.ndim == len(shape) and a.size > math.prod(shape)):
                shape = a.shape
        elif type(a) not in (bool, int, float):  # NumPy's scalars take part in promotion
            return shape, None
    return shape, dtype


def _layout(a: Any, shape: tuple[int, ...], dtype: str, outs: tuple[Any, ...]) -> tuple[str | None, int]:
    """The layout of one argument (None: not taken) and, for a row, its number of elements."""
    if not isinstance(a, np.ndarray):
        return "scalar", 0
    if not a.flags.c_contiguous:
        return None, 0
    for k, o in enumerate(outs):
        if a is o or np.may_share_memory(a, o):
            same = a is o or (a.shape == o.shape and a.dtype == o.dtype and a.ctypes.data == o.ctypes.data)
            return (f"out{k}" if same else None), 0
    if a.shape == shape:
        return "each", 0
    if a.size == 1 and a.ndim <= len(shape):
        return "scalar", 0
    if a.ndim and a.size and a.shape == shape[len(shape) - a.ndim :]:
        return "row", a.size
    return None, 0


def numba_source(formula: Formula, dtype: Any) -> str:
    """The Python text of the loop over whole arrays of `dtype`; Numba itself is not needed to see it.

    Raises:
        FormulaError: the formula has a function without a fast Numba body.
    """
    missing = sorted({n.op for n in topological(formula.outputs)} & MISSING)
    if missing:
        raise FormulaError(f"[{formula.name}] {formula}: {', '.join(missing)} runs in NumPy, not in Numba")
    return generate(formula, np.dtype(dtype).name, ("each",) * len(formula.inputs))


__all__ = ["NumbaKernel", "Plan", "compile_numba", "generate", "numba_source"]
