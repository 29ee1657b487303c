"""Reductions and running sums that leave nan out: nansum, nanmean, nanmax, nanvar, nancumsum and their kin.

Each is the plain reduction of the elements with nan replaced by what does not count; an element that is nan has
gradient 0. Slices of nan only give nan (nansum 0, nanprod 1), without a warning. Quantiles are in `quantile`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import backend_of
from ..primitive import FUNCTIONS, public
from .arguments import axis_tuple, bare, constant, count, degrees_of, operand, reduction, spelled
from .elementwise import divide, select, square, subtract
from .order import cumprod, cumsum
from .reduce import _modulus, argmax, argmin, max, mean, min, norm, prod, std, sum, var


def without(x: Any, value: float) -> tuple[Any, Any]:
    """`x` with `value` in place of nan, and where that is (None: nowhere, the dtype has no nan)."""
    array = bare(x)
    if array.dtype.kind in "iub":
        return x, None
    gone = backend_of(array).xp.isnan(array)
    return select(gone, value, x), gone


def _counted(gone: Any, axis: Any, dtype: Any) -> Any:
    """How many elements of each slice are not nan, with the axes left at length 1."""
    return (~gone).sum(axis=axis, keepdims=True).astype(dtype)


def _squeezed(x: Any, axis: Any, keepdims: bool) -> Any:
    if keepdims:
        return x
    return FUNCTIONS["reshape"](x, ()) if axis is None else FUNCTIONS["squeeze"](x, axis)


@public
@reduction
def nansum(x: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The sum of the elements that are not nan; arguments as in `sum`."""
    return sum(without(operand(x), 0.0)[0], axis, dtype, keepdims=keepdims)


@public
@reduction
def nanprod(x: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The product of the elements that are not nan; arguments as in `sum`."""
    return prod(without(operand(x), 1.0)[0], axis, dtype, keepdims=keepdims)


@public
@reduction
def nanmean(x: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The mean of the elements that are not nan; arguments as in `sum`."""
    x = operand(x)
    if dtype is not None:
        x = FUNCTIONS["astype"](x, dtype)
    filled, gone = without(x, 0.0)
    if gone is None:
        return mean(x, axis, keepdims=keepdims)
    axis = axis_tuple("nanmean", axis, x.shape)
    return _squeezed(_mean(filled, gone, axis), axis, keepdims)


def _mean(filled: Any, gone: Any, axis: Any) -> Any:
    """The means, nan where nothing counts."""
    n = _counted(gone, axis, bare(filled).real.dtype)
    total = sum(filled, axis, keepdims=True)
    return select(n == 0, math.nan, divide(total, n + (n == 0)))


def _extreme(plain: Callable[..., Any], x: Any, axis: Any, keepdims: bool, least: float) -> Any:
    x = operand(x)
    filled, gone = without(x, least)
    found = plain(filled, axis, keepdims=keepdims)
    if gone is None:
        return found
    return select(gone.all(axis=axis_tuple(plain.__name__, axis, x.shape), keepdims=keepdims), math.nan, found)


@public
@reduction
def nanmax(x: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The largest element that is not nan; elements that tie share the gradient."""
    return _extreme(max, x, axis, keepdims, -math.inf)


@public
@reduction
def nanmin(x: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The smallest element that is not nan; elements that tie share the gradient."""
    return _extreme(min, x, axis, keepdims, math.inf)


def _deviations(name: str, x: Any, axis: Any, dtype: Any) -> tuple[Any, Any, Any]:
    """The distances from the mean (0 for nan), how many count, and the axes."""
    if dtype is not None:
        x = FUNCTIONS["astype"](x, dtype)
    axis = axis_tuple(name, axis, x.shape)
    filled, gone = without(x, 0.0)
    away = select(gone, 0.0, subtract(filled, _mean(filled, gone, axis)))
    return (_modulus(away) if away.dtype.kind == "c" else away), _counted(gone, axis, bare(filled).real.dtype), axis


@public
@reduction
def nanvar(
    x: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: float = 0, keepdims: bool = False,
    *, correction: float | None = None, unbiased: bool | None = None,
) -> Any:  # fmt: skip
    """The variance of the elements that are not nan; arguments as in `var`. nan where no degree of freedom is left."""
    x = operand(x)
    if x.dtype.kind in "iub":
        return var(x, axis, dtype, None, ddof, keepdims, correction=correction, unbiased=unbiased)
    away, n, axes = _deviations("nanvar", x, axis, dtype)
    degrees = n + degrees_of(0, ddof, correction, unbiased)
    spread = divide(sum(square(away), axes, keepdims=True), degrees + (degrees == 0))
    return _squeezed(select(degrees <= 0, math.nan, spread), axes, keepdims)


@public
@reduction
def nanstd(
    x: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: float = 0, keepdims: bool = False,
    *, correction: float | None = None, unbiased: bool | None = None,
) -> Any:  # fmt: skip
    """The standard deviation of the elements that are not nan; arguments as in `std`."""
    x = operand(x)
    if x.dtype.kind in "iub":
        return std(x, axis, dtype, None, ddof, keepdims, correction=correction, unbiased=unbiased)
    away, n, axes = _deviations("nanstd", x, axis, dtype)
    degrees = n + degrees_of(0, ddof, correction, unbiased)
    root = backend_of(n).xp.sqrt(abs(degrees) + (degrees == 0))
    spread = divide(norm(away, axis=axes, keepdims=True, p=2), root)
    return _squeezed(select(degrees <= 0, math.nan, spread), axes, keepdims)


@public
@spelled
def nancumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """The running sum, nan counting 0; arguments as in `cumsum`."""
    return cumsum(without(operand(x), 0.0)[0], axis, dtype)


@public
@spelled
def nancumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """The running product, nan counting 1; arguments as in `cumprod`."""
    return cumprod(without(operand(x), 1.0)[0], axis, dtype)


def _place(plain: Callable[..., Any], x: Any, axis: Any, keepdims: bool, least: float) -> Any:
    x = operand(x)
    name = f"nan{plain.__name__}"
    axes = axis_tuple(name, axis, x.shape)
    if type(bare(x)) is np.ndarray and count(x.shape, axes) and bare(x).dtype.kind not in "iub":
        empty = (bare(x) != bare(x)).all(axis=axes)
        if bool(empty.any()):
            raise ValueError(f"[{name}] a slice of nan only (shape {tuple(x.shape)}, axis = {axis}); check the input")
    return constant(x, plain(without(bare(x), least)[0], axis, keepdims=keepdims))


@public
@reduction
def nanargmax(x: Any, axis: Any = None, out: None = None, *, keepdims: bool = False) -> Any:
    """The position of the largest element that is not nan. No gradient.

    Raises:
        ValueError: a slice holds nothing but nan (on a GPU, where looking would wait for it, its result is 0).
    """
    return _place(argmax, x, axis, keepdims, -math.inf)


@public
@reduction
def nanargmin(x: Any, axis: Any = None, out: None = None, *, keepdims: bool = False) -> Any:
    """The position of the smallest element that is not nan; otherwise as `nanargmax`."""
    return _place(argmin, x, axis, keepdims, math.inf)
