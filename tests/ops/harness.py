"""How a row of the table is run: on arrays, on tensors, forwards and backwards, and what its graph recorded."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpugrad.backend import backend_of
from gpugrad.tape import walk
from gpugrad.tensor import Tensor
from tests.ops.table import Row


def several(result: Any) -> tuple[Any, ...]:
    """The results of a row, always as a tuple."""
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def tensors(inputs: Sequence[Any], requires_grad: bool = True) -> list[Tensor]:
    """The inputs as tensors on the same memory, also where it is strided."""
    return [Tensor(x, requires_grad=requires_grad) for x in inputs]


def host(x: Any) -> Any:
    """The values in NumPy."""
    data = x.data if isinstance(x, Tensor) else x
    return backend_of(data).to_host(data)


def cotangents(outputs: Sequence[Any], seed: int = 1) -> list[Any]:
    """A fixed random cotangent for each output, on its device."""
    rng = np.random.default_rng(seed)
    return [backend_of(o.data).from_host(np.asarray(rng.standard_normal(o.shape), host(o).dtype)) for o in outputs]


def gradients(row: Row, inputs: Sequence[Any]) -> tuple[tuple[Tensor, ...], list[Any]]:
    """The outputs of a row on tensors, and the gradients of the inputs for fixed cotangents (None: none arrived)."""
    xs = tensors(inputs)
    outputs = several(row.call(*xs))
    roots = [(o._node, g) for o, g in zip(outputs, cotangents(outputs), strict=True) if o._node is not None]
    walk(roots)
    return outputs, [None if x.grad is None else x.grad.data for x in xs]


def recorded(row: Row) -> set[str]:
    """The names of the operations in the graph of a row."""
    names: set[str] = set()
    waiting = [o._node for o in several(row.call(*tensors(row.sample()))) if o._node is not None]
    while waiting:
        node = waiting.pop()
        names.add(node.name)
        above = (node.parents,) if node.single else (node.parents or ())
        waiting.extend(p for p in above if p is not None)
    return names
