"""Rules for functions that work on each element, reduce, sort, or reorder: the batch axis stays in front.

Axes counted from the back need no change; those counted from the front move by one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import is_array
from .array import BatchArray, BatchError, levels_of
from .table import (
    CREATION,
    METHODS,
    RULES,
    Rule,
    aligned,
    any_held,
    by_example,
    call,
    full,
    function,
    holds,
    rule,
    strip,
    under,
    wrap,
)

# ---- by element


def elementwise(level: Any, name: str, *args: Any, out: Any = None, **kwargs: Any) -> Any:
    """A function of each element, with broadcasting among the axes of one example."""
    rank = max([len(a.shape) if is_array(a) else np.ndim(a) for a in args])
    values = [aligned(level, a, rank) for a in args]
    if kwargs:
        kwargs = {k: aligned(level, v, rank) for k, v in kwargs.items()}
    run = function(under(level, values).xp, name)
    if out is not None:
        return _into(level, out[0] if isinstance(out, tuple) else out, run, values, kwargs)
    result = run(*values, **kwargs)
    return BatchArray(result, level) if is_array(result) else wrap(level, result)


def _into(level: Any, out: Any, run: Any, values: list[Any], kwargs: dict[str, Any]) -> Any:
    """Compute into `out`; where it holds too few examples it holds others from then on."""
    if not isinstance(out, BatchArray):
        raise _shared(out)
    known = {b.level for b in levels_of(out)}
    if holds(level, out) and all(b.level in known for v in values for b in levels_of(v)):
        run(*values, out=out.value, **kwargs)
    else:
        put(out, ..., wrap(level, run(*values, **kwargs)))
    return out


# vars(), because dir() with getattr() would import numpy.f2py and numpy.testing: 80 ms of every start.
for _name, _function in vars(np).items():
    if isinstance(_function, np.ufunc) and _function.signature is None:
        RULES[_name] = elementwise
for _name in ("isclose", "real", "imag", "angle", "nan_to_num", "sinc", "i0", "around", "round", "fix", "conjugate",
              "isreal", "iscomplex", "isneginf", "isposinf"):  # fmt: skip
    RULES[_name] = elementwise


@rule("where")
def _where(level: Any, name: str, condition: Any, *args: Any) -> Any:
    return elementwise(level, name, condition, *args) if args else by_example(level, name, condition)


@rule("clip")
def _clip(
    level: Any, name: str, a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None,
    max: Any = None,
) -> Any:  # fmt: skip
    low, high = (min if a_min is None else a_min), (max if a_max is None else a_max)
    if not any_held(level, (low, high)):
        return wrap(level, under(level, (a.value,)).xp.clip(a.value, strip(level, low), strip(level, high)))
    a = a if low is None else call("maximum", (a, low), {}, level)
    return a if high is None else call("minimum", (a, high), {}, level)


# ---- reductions


def _moved(axis: Any, ndim: int) -> Any:
    """Axes of one example as those of all."""
    if isinstance(axis, (tuple, list)):
        return tuple(_moved(a, ndim) for a in axis)
    axis = operator.index(axis)
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return axis if axis < 0 else axis + 1


def _reduction(level: Any, name: str, x: Any, axis: Any = None, *args: Any, **kwargs: Any) -> Any:
    if not holds(level, x) or any_held(level, (args, kwargs)):
        return by_example(level, name, x, axis, *args, **kwargs)
    axes = tuple(range(1, len(x.shape) + 1)) if axis is None else _moved(axis, len(x.shape))
    return wrap(level, function(under(level, (x.value,)).xp, name)(x.value, axes, *args, **kwargs))


for _name in ("sum", "prod", "max", "min", "amax", "amin", "mean", "std", "var", "any", "all", "nansum", "nanmean",
              "nanmax", "nanmin", "nanprod", "nanstd", "nanvar", "count_nonzero", "ptp", "median",
              "nanmedian"):  # fmt: skip
    RULES[_name] = _reduction


@rule("add.reduce", "multiply.reduce", "maximum.reduce", "minimum.reduce", "logical_and.reduce", "logical_or.reduce",
      "logaddexp.reduce")  # fmt: skip
def _ufunc_reduction(level: Any, name: str, x: Any, axis: Any = 0, *args: Any, **kwargs: Any) -> Any:
    return _reduction(level, name, x, axis, *args, **kwargs)


@rule("argmax", "argmin", "nanargmax", "nanargmin")
def _position(level: Any, name: str, x: Any, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
    value, ndim = x.value, len(x.shape)
    run = function(under(level, (value,)).xp, name)
    if axis is not None:
        return wrap(level, run(value, axis=_moved(axis, ndim), keepdims=keepdims))
    found = run(value.reshape((level.size, x.size)), axis=1)
    return wrap(level, found.reshape((level.size, *(1,) * ndim)) if keepdims else found)


# ---- along one axis


def _along(default: Any, *, flat_is_none: bool = True) -> Any:
    """The rule of a function `f(x, axis=default)` that keeps or sorts the elements along one axis."""

    def run(level: Any, name: str, x: Any, axis: Any = default, *args: Any, **kwargs: Any) -> Any:
        if not holds(level, x) or any_held(level, (args, kwargs)):
            return by_example(level, name, x, axis, *args, **kwargs)
        value = x.value
        if axis is None:
            value, axis = value.reshape((level.size, x.size)), -1
        else:
            axis = _moved(axis, len(x.shape))
        return wrap(level, function(under(level, (value,)).xp, name)(value, axis, *args, **kwargs))

    return run


for _name in ("cumsum", "cumprod", "nancumsum", "nancumprod"):
    RULES[_name] = _along(None)
for _name in ("sort", "argsort"):
    RULES[_name] = _along(-1)
for _name in ("maximum.accumulate", "minimum.accumulate", "add.accumulate", "multiply.accumulate",
              "logaddexp.accumulate"):  # fmt: skip
    RULES[_name] = _along(0)


@rule("partition", "argpartition")
def _partition(level: Any, name: str, x: Any, kth: Any, axis: Any = -1, **kwargs: Any) -> Any:
    if any_held(level, kth):
        return by_example(level, name, x, kth, axis, **kwargs)
    value, axis = (x.value.reshape((level.size, x.size)), -1) if axis is None else (x.value, _moved(axis, x.ndim))
    return wrap(level, function(under(level, (value,)).xp, name)(value, kth, axis, **kwargs))


@rule("diff")
def _diff(level: Any, name: str, x: Any, n: int = 1, axis: int = -1, **kwargs: Any) -> Any:
    if kwargs:
        return by_example(level, name, x, n, axis, **kwargs)
    return wrap(level, under(level, (x.value,)).xp.diff(x.value, n, axis=_moved(axis, x.ndim)))


@rule("take_along_axis")
def _take_along_axis(level: Any, name: str, x: Any, indices: Any, axis: Any = -1) -> Any:
    if axis is None:
        x, axis = call("reshape", (x, -1), {}, level), 0
    values = full(level, x), full(level, indices)
    return wrap(level, under(level, values).xp.take_along_axis(*values, axis=_moved(axis, x.ndim)))


@rule("copyto", "put", "place", "putmask", "put_along_axis", "fill_diagonal", "add.at", "subtract.at", "multiply.at",
      "maximum.at", "minimum.at")  # fmt: skip
def _writing(level: Any, name: str, target: Any, *args: Any, **kwargs: Any) -> None:
    if not holds(level, target):
        raise _shared(target)
    by_example(level, name, target, *args, **kwargs)


def _shared(out: Any) -> BatchError:
    return BatchError(
        f"[vmap] values that differ from example to example cannot be written to an array {tuple(out.shape)} "
        f"{out.dtype} that all examples share; compute a new array, or make one for each example: zeros_like(x)"
    )


# ---- what arrays are


@rule("shape")
def _shape(level: Any, name: str, x: Any) -> Any:
    return x.shape


@rule("ndim")
def _ndim(level: Any, name: str, x: Any) -> int:
    return x.ndim  # type: ignore[no-any-return]


@rule("size")
def _size(level: Any, name: str, x: Any, axis: Any = None) -> int:
    return x.size if axis is None else x.shape[axis]  # type: ignore[no-any-return]


@rule("result_type", "common_type", "can_cast", "iscomplexobj", "isrealobj", "min_scalar_type")
def _about(level: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    given = [np.empty((1,) * a.ndim, a.dtype) if isinstance(a, BatchArray) else a for a in args]
    return function(np, name)(*given, **kwargs)


@rule("may_share_memory", "shares_memory")
def _share(level: Any, name: str, a: Any, b: Any, *args: Any) -> Any:
    a, b = strip(level, a), strip(level, b)
    return function(under(level, (a, b)).xp, name)(a, b, *args)


# ---- making arrays


def shape_of(shape: Any) -> tuple[int, ...]:
    """A shape given as a tuple or as one length."""
    return tuple(operator.index(n) for n in shape) if isinstance(shape, (tuple, list)) else (operator.index(shape),)


def _filled(name: str) -> Any:
    def run(home: Any, shape: Any, dtype: Any = float, order: str = "C") -> Any:
        return BatchArray(getattr(home.base.xp, name)((home.size, *shape_of(shape)), dtype), home)

    return run


for _name in ("zeros", "ones", "empty"):
    CREATION[_name] = _filled(_name)


def _full(home: Any, shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> Any:
    dtype = np.asarray(fill_value).dtype if dtype is None and not is_array(fill_value) else dtype
    out = CREATION["empty"](home, shape, fill_value.dtype if dtype is None else dtype)
    out[...] = fill_value
    return out


def _asarray(home: Any, x: Any, dtype: Any = None, **kwargs: Any) -> Any:
    if isinstance(x, BatchArray):
        return x if dtype is None or x.dtype == dtype else x.astype(dtype)
    if isinstance(x, (list, tuple)) and any(isinstance(v, (BatchArray, list, tuple)) for v in x):
        stacked = call("stack", ([_asarray(home, v) for v in x],), {}, home)
        return stacked if dtype is None else _asarray(home, stacked, dtype)
    return BatchArray(home.base.xp.asarray(x, dtype), home, False)


def _array(home: Any, x: Any, dtype: Any = None, copy: bool = True, **kwargs: Any) -> Any:
    out = _asarray(home, x, dtype)
    return out.copy() if out is x and copy else out


CREATION["full"] = _full
CREATION["asarray"] = CREATION["ascontiguousarray"] = CREATION["asanyarray"] = _asarray
CREATION["array"] = _array


@rule("zeros_like", "ones_like", "empty_like", "copy", "tril", "triu")
def _like(level: Any, name: str, x: Any, *args: Any, shape: Any = None, **kwargs: Any) -> Any:
    if any_held(level, (args, kwargs)) or (name in ("tril", "triu") and x.ndim < 2):
        return by_example(level, name, x, *args, **kwargs)
    if shape is not None:
        kwargs["shape"] = (level.size, *shape_of(shape))
    kwargs.pop("subok", None)
    return wrap(level, function(under(level, (x.value,)).xp, name)(x.value, *args, **kwargs))


@rule("full_like")
def _full_like(
    level: Any, name: str, x: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: bool = True, *,
    shape: Any = None, **kwargs: Any,
) -> Any:  # fmt: skip
    return _full(level, x.shape if shape is None else shape, fill_value, x.dtype if dtype is None else dtype)


# ---- methods of arrays


def _method(name: str) -> Callable[[Rule], Rule]:
    def register(run: Rule) -> Rule:
        METHODS[name] = run
        return run

    return register


@_method("astype")
def _astype(x: BatchArray, dtype: Any, *args: Any, **kwargs: Any) -> BatchArray:
    return BatchArray(x.value.astype(dtype, *args, **kwargs), x.backend, x.batched)


@_method("copy")
def _copy(x: BatchArray, order: str = "C") -> BatchArray:
    return BatchArray(x.value.copy(), x.backend, x.batched)


@_method("view")
def _view(x: BatchArray, dtype: Any) -> BatchArray:
    value = x.value if x.batched and not x.shape else None
    if value is not None and np.dtype(dtype).itemsize != x.itemsize:
        raise BatchError(f"[vmap] view of a single {x.dtype} as {dtype}; expected a dtype of the same size")
    return BatchArray(x.value.view(dtype), x.backend, x.batched)


@_method("fill")
def _fill(x: BatchArray, value: Any) -> None:
    if isinstance(value, BatchArray):
        put(x, ..., value)
    else:
        x.value.fill(value)


@_method("sort")
def _sort(x: BatchArray, axis: int = -1, **kwargs: Any) -> None:
    put(x, ..., call("sort", (x, axis), kwargs, x.backend))


@_method("partition")
def _partition_in_place(x: BatchArray, kth: Any, axis: int = -1, **kwargs: Any) -> None:
    put(x, ..., call("partition", (x, kth, axis), kwargs, x.backend))


def put(x: BatchArray, index: Any, value: Any) -> None:
    """`x[index] = value`."""
    x[index] = value
