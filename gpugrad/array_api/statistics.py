"""Reductions, cumulative functions, differences and `clip` by the array API's signatures."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import reduce
from ..ops.elementwise import clip as _clip
from ..ops.numeric import cumulative_prod, cumulative_sum
from ..ops.sequences import diff as _diff

__all__ = [
    "all", "any", "clip", "cumulative_prod", "cumulative_sum", "diff", "max", "mean", "min", "prod", "std", "sum",
    "var",
]  # fmt: skip


def all(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether every element is true (differs from zero)."""
    return reduce.all(x, axis, keepdims=keepdims)


def any(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether an element is true (differs from zero)."""
    return reduce.any(x, axis, keepdims=keepdims)


def max(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest element; ties share the gradient."""
    return reduce.max(x, axis, keepdims=keepdims)


def min(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest element; ties share the gradient."""
    return reduce.min(x, axis, keepdims=keepdims)


def mean(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The arithmetic mean."""
    return reduce.mean(x, axis, keepdims=keepdims)


def std(x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """The standard deviation; the sum of squares is divided by the count less `correction`."""
    return reduce.std(x, axis, correction=correction, keepdims=keepdims)


def var(x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """The variance; the sum of squares is divided by the count less `correction`."""
    return reduce.var(x, axis, correction=correction, keepdims=keepdims)


def sum(x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The sum; small integers are summed in 64 bits."""
    return reduce.sum(x, axis, dtype, keepdims=keepdims)


def prod(x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The product; small integers are multiplied in 64 bits."""
    return reduce.prod(x, axis, dtype, keepdims=keepdims)


def diff(x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along an axis, `n` times."""
    return _diff(x, n, axis, prepend, append)


def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
    """The elements brought into the range from `min` to `max`, in the dtype of `x`; None leaves a side open."""
    if min is None and max is None:
        return +x
    out = _clip(x, min, max)
    return out if out.dtype == x.dtype else out.astype(np.dtype(x.dtype))
