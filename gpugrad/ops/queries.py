"""Questions about tensors and dtypes, and tensors of places and weights that need none; PyTorch's names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend.placing import placed
from ..tensor import Tensor
from .arguments import bare, constant, operand
from .creation import _finish, get_default_dtype


def is_tensor(obj: Any) -> bool:
    """Whether it is a tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Any) -> bool:
    """Whether the dtype is a floating point one."""
    return operand(input).dtype.kind in "fV"


def is_complex(input: Any) -> bool:
    """Whether the dtype is a complex one."""
    return bool(operand(input).dtype.kind == "c")


def numel(input: Any) -> int:
    """The number of elements."""
    return int(bare(operand(input)).size)


def promote_types(type1: Any, type2: Any) -> Any:
    """The dtype of a sum of arrays of two dtypes, by NumPy's rules."""
    return np.promote_types(type1, type2)


def result_type(tensor1: Any, tensor2: Any) -> Any:
    """The dtype of a sum of two tensors or numbers, by NumPy's rules: numbers never widen a dtype."""
    return np.result_type(*[x.dtype if isinstance(x, Tensor) else x for x in (tensor1, tensor2)])


def finfo(dtype: Any = None) -> Any:
    """`numpy.finfo` of a dtype, bfloat16 included; of the default dtype if not given."""
    dtype = np.dtype(get_default_dtype() if dtype is None else dtype)
    if dtype.name == "bfloat16":
        import ml_dtypes

        return ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    return np.finfo(dtype)


def iinfo(dtype: Any) -> Any:
    """`numpy.iinfo` of a dtype."""
    return np.iinfo(dtype)


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = np.int64, device: Any = None) -> Tensor:
    """The places on and below a diagonal of a (row, col) matrix: their rows and their columns, (2, n)."""
    return _finish(np.stack(np.tril_indices(row, offset, col)).astype(dtype), device, False)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = np.int64, device: Any = None) -> Tensor:
    """The places on and above a diagonal of a (row, col) matrix: their rows and their columns, (2, n)."""
    return _finish(np.stack(np.triu_indices(row, offset, col)).astype(dtype), device, False)


@placed
def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """Places in a flattened array as places along each axis of `shape`."""
    x = operand(indices)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    steps = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    return tuple(constant(x, bare(x) // step % n) for step, n in zip(steps, shape, strict=True))


def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`alpha - beta cos(2 pi i / n)`, n the length, or one less if not periodic; computed in float64, then cast."""
    n = window_length if periodic else window_length - 1
    window = alpha - beta * np.cos(2 * np.pi * np.arange(window_length) / max(n, 1)) if window_length > 1 else None
    window = np.ones(window_length) if window is None else window
    return _finish(window.astype(np.dtype(get_default_dtype() if dtype is None else dtype)), device, requires_grad)


def hann_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """`sin(pi i / n)^2`; otherwise as `hamming_window`."""
    return hamming_window(window_length, periodic, 0.5, 0.5, **options)
