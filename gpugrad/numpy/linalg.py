"""`numpy.linalg`'s names on arrays and tensors: what there is of it with a gradient."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as _numpy
from numpy.linalg import LinAlgError

from ..ops.diagonal import diagonal as _diagonal
from ..ops.einsum import outer, tensordot
from ..ops.linalg import matmul
from ..ops.reduce import norm
from ..ops.reduce import sum as _sum
from ..ops.shape import matrix_transpose

__all__ = [
    "LinAlgError",
    "diagonal",
    "matmul",
    "matrix_transpose",
    "norm",
    "outer",
    "tensordot",
    "trace",
    "vector_norm",
]


def diagonal(x: Any, offset: int = 0) -> Any:
    """The diagonals of the matrices in the last two axes."""
    return _diagonal(x, offset, -2, -1)


def trace(x: Any, offset: int = 0) -> Any:
    """The sums of the diagonals of the matrices in the last two axes."""
    return _sum(diagonal(x, offset), -1)


def vector_norm(x: Any, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """The vector norm of any order over all the axes named; its gradient at 0 is 0."""
    return norm(x, None, axis, keepdims, p=ord)


def __getattr__(name: str) -> NoReturn:
    if not name.startswith("_") and hasattr(_numpy.linalg, name):
        raise AttributeError(
            f"[gpugrad.numpy.linalg] numpy.linalg.{name} has no gradient rule here; on values that need none call it "
            f"with the bare array (x.detach().data), else define it with gpugrad.primitive.Primitive({name!r}, ...)"
        )
    raise AttributeError(f"[gpugrad.numpy.linalg] neither gpugrad nor NumPy has {name!r}; check the spelling")
