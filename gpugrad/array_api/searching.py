"""Searching, sorting and sets by the array API's signatures; indices are int64 and have no gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..ops import order, reduce
from ..ops.elementwise import where as _where
from ..ops.masks import nonzero as _nonzero
from ..ops.quantile import searchsorted as _searchsorted


def argmax(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """The index of the largest element (the first among equals) along an axis, or in the flattened array."""
    return reduce.argmax(x, axis, keepdims=keepdims)


def argmin(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """The index of the smallest element (the first among equals) along an axis, or in the flattened array."""
    return reduce.argmin(x, axis, keepdims=keepdims)


def count_nonzero(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """How many elements differ from zero."""
    return reduce.count_nonzero(x, axis, keepdims=keepdims)


def nonzero(x: Any, /) -> tuple[Any, ...]:
    """The indices of the elements that differ from zero, one array for each axis.

    Raises:
        ValueError: `x` has no axes.
    """
    if not x.ndim:
        raise ValueError("[nonzero] x has no axes (a single number); expected at least one")
    return tuple(_nonzero(x))


def searchsorted(x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None) -> Any:
    """Where the elements of `x2` belong in the sorted `x1`."""
    return _searchsorted(x1, x2, side, sorter)


def where(condition: Any, x1: Any, x2: Any, /) -> Any:
    """Elements of `x1` where the condition holds, of `x2` elsewhere."""
    return _where(condition, x1, x2)


def argsort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The indices that sort along an axis."""
    return order.argsort(x, axis, descending=descending, stable=stable)


def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The elements in order along an axis."""
    return order.sort(x, axis, descending=descending, stable=stable)


class UniqueAllResult(NamedTuple):
    """The distinct values, where each is first, which one each element is, and how often each occurs."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCountsResult(NamedTuple):
    """The distinct values, and how often each occurs."""

    values: Any
    counts: Any


class UniqueInverseResult(NamedTuple):
    """The distinct values, and which one each element is."""

    values: Any
    inverse_indices: Any


def unique_all(x: Any, /) -> UniqueAllResult:
    """The distinct values in order, with indices, inverse and counts; each nan is distinct."""
    values, first, inverse, counts = order.unique(
        x, return_index=True, return_inverse=True, return_counts=True, equal_nan=False
    )
    return UniqueAllResult(values, first, inverse.reshape(x.shape), counts)


def unique_counts(x: Any, /) -> UniqueCountsResult:
    """The distinct values in order and how often each occurs; each nan is distinct."""
    values, counts = order.unique(x, return_counts=True, equal_nan=False)
    return UniqueCountsResult(values, counts)


def unique_inverse(x: Any, /) -> UniqueInverseResult:
    """The distinct values in order and which one each element is; each nan is distinct."""
    values, inverse = order.unique(x, return_inverse=True, equal_nan=False)
    return UniqueInverseResult(values, inverse.reshape(x.shape))


def unique_values(x: Any, /) -> Any:
    """The distinct values in order; each nan is distinct."""
    return order.unique(x, equal_nan=False)
