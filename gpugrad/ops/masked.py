"""NumPy's `where=`, `initial=` and `mean=` of reductions, as compositions of the plain reductions.

Elements that `where` leaves out have the gradient 0.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from ..backend import backend_of
from ..primitive import FUNCTIONS
from .arguments import bare, is_half, module, operand

# What an element that is left out counts as, for the reductions where that is a number.
_NEUTRAL: Final = {"sum": 0, "nansum": 0, "prod": 1, "nanprod": 1, "any": False, "all": True}
_JOINED: Final = {
    "sum": "add", "nansum": "add", "prod": "multiply", "nanprod": "multiply", "max": "maximum", "nanmax": "maximum",
    "min": "minimum", "nanmin": "minimum",
}  # fmt: skip
_MOMENTS: Final = ("mean", "var", "std")
_NAN_MOMENTS: Final = ("nanmean", "nanvar", "nanstd")


def restricted(function: Callable[..., Any], x: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The reduction `function` with `where`, `initial` or `mean` among its keyword arguments.

    Raises:
        TypeError: the reduction has no such argument.
        ValueError: an extreme of a part of the elements, without `initial`.
    """
    name = function.__name__
    mask, initial, mean = kwargs.pop("where", True), kwargs.pop("initial", None), kwargs.pop("mean", None)
    if mask is True and initial is None and mean is None:
        return function(x, *args, **kwargs)
    if mean is not None and name not in ("var", "std"):
        raise TypeError(f"[{name}] mean= is not supported; var and std take it")
    if (initial is not None and name not in _JOINED) or name not in (*_NEUTRAL, *_JOINED, *_MOMENTS, *_NAN_MOMENTS):
        what = "initial" if initial is not None else "where"
        raise TypeError(f"[{name}] {what}= is not supported; choose the elements with where(mask, x, value) before")
    x = operand(x)
    if mask is not True or mean is not None:
        mask = bare(mask) if mask is not True else backend_of(bare(x)).from_host(np.ones((), bool))
        if np.dtype(mask.dtype).kind != "b":
            raise TypeError(f"[{name}] where is {mask.dtype} of shape {tuple(mask.shape)}; expected truth values")
        if name in _MOMENTS:
            bound = inspect.signature(function).bind(x, *args, **kwargs)
            bound.apply_defaults()
            return _moment(name, mask, mean, **bound.arguments)
        x = FUNCTIONS["where"](mask, x, _left_out(name, initial))
    if name not in _JOINED:
        return function(x, *args, **kwargs)
    if name in ("max", "min", "nanmax", "nanmin") and 0 in x.shape:
        # Without elements the initial value is the extreme: one element of it changes nothing else.
        bound = inspect.signature(function).bind(x, *args, **kwargs)
        bound.apply_defaults()
        return _of_nothing(x, bound.arguments["axis"], bound.arguments["keepdims"], initial)
    found = function(x, *args, **kwargs)
    return found if initial is None else FUNCTIONS[_JOINED[name]](found, initial)


def _left_out(name: str, initial: Any) -> Any:
    """What an element that does not count is replaced by."""
    if name in _NEUTRAL:
        return _NEUTRAL[name]
    if name in _NAN_MOMENTS:
        return np.nan
    if initial is None:
        raise ValueError(f"[{name}] where= needs initial=, the {name} of no elements (e.g. -inf for max, inf for min)")
    return initial


def _of_nothing(x: Any, axis: Any, keepdims: bool, initial: Any) -> Any:
    shape = bare(x).sum(axis=axis, keepdims=keepdims).shape
    return module(x).full(shape, initial, x.dtype)


def _moment(
    name: str,
    mask: Any,
    mean: Any,
    x: Any,
    axis: Any,
    dtype: Any,
    out: None,
    keepdims: bool,
    ddof: float = 0,
    correction: float | None = None,
    unbiased: bool | None = None,
) -> Any:
    """Mean, variance or deviation of the elements under the mask, from `mean` if given; nan where there are none."""
    if correction is not None:
        ddof = correction
    elif unbiased is not None:
        ddof = int(unbiased)
    astype, add_up, where = FUNCTIONS["astype"], FUNCTIONS["sum"], FUNCTIONS["where"]
    final = dtype if dtype is not None else x.dtype if x.dtype.kind in "fcV" else np.dtype(np.float64)
    wide = astype(x, np.float32 if is_half(np.dtype(final)) else final, copy=False)
    count = add_up(module(x).broadcast_to(mask, x.shape), axis, keepdims=True).astype(bare(wide).real.dtype)
    mean = add_up(where(mask, wide, 0), axis, keepdims=True) / count if mean is None else mean
    if name == "mean":
        result = mean if keepdims else mean.reshape(bare(x).sum(axis=axis).shape)
    else:
        deviation = FUNCTIONS["absolute"](wide - mean)
        kept = count - ddof
        total = add_up(where(mask, deviation * deviation, 0), axis, keepdims=True)
        result = total / FUNCTIONS["where"](kept > 0, kept, 0)
        result = result if keepdims else result.reshape(bare(x).sum(axis=axis).shape)
        result = FUNCTIONS["sqrt"](result) if name == "std" else result
    return astype(result, final, copy=False) if is_half(np.dtype(final)) else result
