"""Arithmetic counted while it happens: arrays that count what NumPy computes with them, for rules to run on.

A rule is written with NumPy's operators and gpugrad's operations. The operators are counted here, element by element;
an operation that the rule calls counts as what it states for its own forward, which has a test of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gpugrad.cost.instruments import observed_by
from gpugrad.cost.traffic import Calls
from gpugrad.nodes import Node
from gpugrad.ops.core import Elementwise
from gpugrad.parts import Part
from gpugrad.primitive import Primitive

MOVES = {"positive", "conjugate"}  # ufuncs that compute nothing new


class Counter:
    """How much arithmetic there was; the observer of operations inside a rule."""

    def __init__(self) -> None:
        self.flops = 0

    def operation(self, op: Any, args: tuple[Any, ...], call: Callable[..., Any], static: dict[str, Any]) -> Any:
        """An operation of the rule: as much as it states; it runs on plain arrays."""
        stripped = tuple(plain(a) for a in args)
        out = call(*stripped)
        calls = Calls.of(op, stripped, out, static)
        if calls is not None:
            self.flops += int(op.flops(calls.shapes, calls.out_shape, **static))
        if isinstance(op, Primitive):
            return counted(out[0], self), out[1]
        return counted(out, self)

    def module(self, module: Any, call: Callable[[], Any]) -> Any:
        return call()

    def walk(self, roots: Any, run: Callable[[], None]) -> None:
        run()

    def passed(self, node: Any) -> None:
        pass


class Counted(np.ndarray[Any, Any]):
    """An array whose arithmetic is counted."""

    counter: Counter

    def __array_finalize__(self, obj: Any) -> None:
        if isinstance(obj, Counted) and hasattr(obj, "counter"):
            self.counter = obj.counter

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        counter = next(a.counter for a in (*inputs, *kwargs.get("out", ())) if isinstance(a, Counted))
        if "out" in kwargs:
            kwargs["out"] = tuple(plain(a) for a in kwargs["out"])
        arrays = [plain(a) for a in inputs]
        out = getattr(ufunc, method)(*arrays, **kwargs)
        counter.flops += work(ufunc, method, arrays, out)
        return counted(out, counter)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        out = super().__array_function__(function, types, args, kwargs)
        return counted(out, self.counter)


def work(ufunc: Any, method: str, arrays: list[Any], out: Any) -> int:
    """Arithmetic operations of one call of a ufunc."""
    if ufunc is np.matmul:
        return 2 * int(np.size(out)) * int(arrays[0].shape[-1])
    if ufunc.__name__ in MOVES:
        return 0
    return int(np.size(arrays[0] if method in ("reduce", "accumulate", "reduceat") else out))


def plain(value: Any) -> Any:
    """Without the counting, tuples and lists looked into."""
    if isinstance(value, (tuple, list)):
        return type(value)(plain(v) for v in value)
    return value.view(np.ndarray) if isinstance(value, Counted) else value


def counted(value: Any, counter: Counter) -> Any:
    """With the counting, tuples and lists looked into; what is no array of numbers as it is."""
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return type(value)(counted(v, counter) for v in value)
    if isinstance(value, (np.ndarray, np.generic)):
        found = np.asarray(value).view(Counted)
        found.counter = counter
        return found
    return value


def flops_of_rule(node: Node, g: Any) -> int:
    """The arithmetic that the rule of `node` does for the cotangent `g`."""
    counter = Counter()
    node.saved = counted(node.saved, counter)
    with observed_by(counter), np.errstate(all="ignore"):
        found = node.vjp(counted(g, counter))
    # What goes to places that arrays name is added there by the walk.
    added = [each for each in (found if isinstance(found, tuple) else ()) if isinstance(each, Part) and each.adds]
    return counter.flops + sum(int(part.g.size) for part in added)


def elementwise_work(op: Elementwise, shape: tuple[int, ...]) -> int:
    """Calls of functions in the program that the formula compiles to, for each element."""
    return math.prod(shape) * len(op.formula.outputs)
