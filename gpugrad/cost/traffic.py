"""The work of one call of an operation, as the operation itself states it: FLOPs and bytes, forward and backward.

The statements are on `Primitive` and `Elementwise`; this module reads shapes off the arguments and asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..backend import is_array
from ..backend.base import memory
from ..nodes import Node
from ..primitive import Primitive, Shape
from ..tensor import Tensor
from .instruments import Operation


@dataclass(frozen=True, slots=True)
class Calls:
    """What a call of an operation was given and gave, without the data."""

    shapes: tuple[Shape, ...]
    nbytes: tuple[int, ...]  # of each input; 0 for numbers and what is left out
    out_shape: Shape  # of the first output
    out_bytes: int  # of all outputs
    static: dict[str, Any]
    times: int = 1  # examples of a map, whose shapes are those of one

    @classmethod
    def of(cls, op: Operation, args: tuple[Any, ...], out: Any, static: dict[str, Any]) -> Calls | None:
        """From the arguments and the result; None where nothing was computed (a formula inside a formula)."""
        results = list(arrays_of(out[0] if isinstance(op, Primitive) else out))
        if not results:
            return None
        arrays = [a.data if isinstance(a, Tensor) else a for a in args]
        return cls(
            tuple([tuple(a.shape) if hasattr(a, "shape") else () for a in arrays]),
            tuple([int(memory(a).nbytes) if is_array(a) else 0 for a in arrays]),
            tuple(results[0].shape),
            sum(int(memory(r).nbytes) for r in results),
            static,
            max(memory(r).size // max(r.size, 1) for r in results),
        )


def arrays_of(values: Any) -> Iterator[Any]:
    """The bare arrays in (nested) tuples, tensors opened."""
    if isinstance(values, (tuple, list)):
        for value in values:
            yield from arrays_of(value)
    else:
        data = values.data if isinstance(values, Tensor) else values
        if is_array(data):
            yield data


def work_forward(op: Operation, calls: Calls) -> tuple[int, int]:
    """FLOPs and bytes of the forward."""
    flops = op.flops(calls.shapes, calls.out_shape, **calls.static)
    return int(flops) * calls.times, int(op.bytes(calls.nbytes, calls.out_bytes, **calls.static))


def work_backward(op: Operation, calls: Calls, node: Node) -> tuple[int, int]:
    """FLOPs and bytes of the rule that `node` runs; 0 for nodes that only pass a cotangent on."""
    if getattr(node, "prim", None) is not op and getattr(node, "op", None) is not op:
        return 0, 0
    needs = node.needs  # type: ignore[attr-defined]
    flops = op.vjp_flops(calls.shapes, calls.out_shape, needs, **calls.static)
    return int(flops) * calls.times, int(op.vjp_bytes(calls.nbytes, calls.out_bytes, needs, **calls.static))
