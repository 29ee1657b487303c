"""The shapes of what NumPy's functions return, for arrays without data.

Ufuncs, reductions, products and what only looks at memory have rules. Anything else runs once on ones of the same
shapes and what it returns is thrown away: slower, and right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from .ghost import Ghost, Shape, _hooks, hollow

# Methods and functions that give a view of the memory: run on the hollow array, which they do not read.
_VIEWS: Final = frozenset(
    "transpose swapaxes moveaxis expand_dims squeeze broadcast_to permute_dims matrix_transpose diagonal rollaxis "
    "atleast_1d atleast_2d atleast_3d flip fliplr flipud as_strided view split array_split hsplit vsplit".split()
)
_REDUCTIONS: Final = frozenset(
    "sum prod mean max min any all amax amin std var argmax argmin nansum count_nonzero ptp".split()
)
_ACCUMULATIONS: Final = frozenset("cumsum cumprod sort argsort partition conj conjugate round clip".split())
_REFUSED: Final = frozenset("nonzero unique argwhere flatnonzero".split())


def ghosts_in(values: Any) -> list[Ghost]:
    """The ghosts among arguments, nested ones too."""
    if isinstance(values, Ghost):
        return [values]
    if isinstance(values, (tuple, list)):
        return [g for v in values for g in ghosts_in(v)]
    if isinstance(values, dict):
        return [g for v in values.values() for g in ghosts_in(v)]
    return []


def replaced(values: Any, by: Any) -> Any:
    """The arguments with `by(ghost)` in the place of each ghost."""
    if isinstance(values, Ghost):
        return by(values)
    if isinstance(values, (tuple, list)) and not hasattr(values, "_fields"):
        return type(values)(replaced(v, by) for v in values)
    if isinstance(values, dict):
        return {k: replaced(v, by) for k, v in values.items()}
    return values


def all_known(values: Any) -> bool:
    """Whether everything can be computed."""
    return all(g.known for g in ghosts_in(values))


def made(backend: Any, result: Any) -> Any:
    """What a computation with known values gave, as memory of the ledger."""
    if isinstance(result, (tuple, list)) and not hasattr(result, "_fields"):
        return type(result)(made(backend, r) for r in result)
    if isinstance(result, (np.ndarray, np.generic)):
        return backend.fresh(np.asarray(result).shape, result.dtype, np.asarray(result))
    return result


def alike(backend: Any, result: Any) -> Any:
    """New memory of the shapes of a result whose values are of no interest."""
    if isinstance(result, (tuple, list)):
        parts = [alike(backend, r) for r in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    if isinstance(result, (np.ndarray, np.generic)):
        return backend.fresh(np.shape(result), result.dtype)
    return result


# ---- ufuncs


def ufunc(backend: Any, function: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A ufunc's call, reduction or accumulation."""
    out = kwargs.get("out")
    if method == "at":
        return None
    if out is None and all_known((inputs, kwargs)):
        plain = replaced(inputs, lambda g: g.value)
        return made(backend, getattr(function, method)(*plain, **replaced(kwargs, lambda g: g.value)))
    if out is not None and out[0] is not None:
        return out[0] if len(out) == 1 else out
    if method == "__call__":
        dtypes = _dtypes(function, inputs, kwargs.get("dtype"))
        shape = _shape(function, inputs)
        results = tuple(in_order_of(inputs, backend.fresh(shape, d)) for d in dtypes)
        return results[0] if len(results) == 1 else results
    if method == "reduce":
        axis = inputs[1] if len(inputs) > 1 else kwargs.get("axis", 0)
        dtype = inputs[2] if len(inputs) > 2 else kwargs.get("dtype")
        keepdims = inputs[4] if len(inputs) > 4 else kwargs.get("keepdims", False)
        small = function.reduce(np.ones(1, inputs[0].dtype), dtype=dtype)
        return backend.fresh(_reduced(inputs[0].shape, axis, bool(keepdims)), small.dtype)
    if method == "accumulate":
        small = function.accumulate(np.ones(1, inputs[0].dtype))
        return backend.fresh(inputs[0].shape, small.dtype)
    return fallback(backend, getattr(function, method), inputs, kwargs)


def _dtypes(function: Any, inputs: tuple[Any, ...], dtype: Any) -> tuple[Any, ...]:
    with np.errstate(all="ignore"):
        small = [np.ones((1, 1) if function.signature else (), x.dtype) if hasattr(x, "dtype") else x for x in inputs]
        results = function(*small, **({} if dtype is None else {"dtype": dtype}))
    return tuple(r.dtype for r in (results if isinstance(results, tuple) else (results,)))


def _shape(function: Any, inputs: tuple[Any, ...]) -> Shape:
    shapes = [np.shape(x) if not isinstance(x, Ghost) else x.shape for x in inputs]
    if function is np.matmul:
        return product_shape(*shapes)
    if function.signature:  # vecdot
        return tuple(np.broadcast_shapes(*[s[:-1] for s in shapes]))
    return tuple(np.broadcast_shapes(*shapes))


def product_shape(a: Shape, b: Shape) -> Shape:
    """The shape of NumPy's matmul."""
    if len(a) == 1 or len(b) == 1:
        return (*(a[:-1] if len(a) > 1 else ()), *(b[:-2] if len(b) > 1 else ()), *(b[-1:] if len(b) > 1 else ()))
    return (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])


def _reduced(shape: Shape, axis: Any, keepdims: bool) -> Shape:
    n = len(shape)
    axes = range(n) if axis is None else (axis,) if isinstance(axis, (int, np.integer)) else axis
    gone = {a % n for a in axes} if n else set()
    if keepdims:
        return tuple(1 if i in gone else s for i, s in enumerate(shape))
    return tuple(s for i, s in enumerate(shape) if i not in gone)


# ---- functions and methods


def function(backend: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """One of NumPy's functions."""
    name = func.__name__
    if all_known((args, kwargs)):
        plain = replaced(args, lambda g: g.value)
        return made(backend, func(*plain, **replaced(kwargs, lambda g: g.value)))
    if name in _VIEWS:
        owner = ghosts_in(args)[0]
        return replaced_arrays(func(*replaced(args, lambda g: g.value), **kwargs), owner)
    if name in ("reshape", "ravel"):
        return _reshape(args[0], args[1] if len(args) > 1 else kwargs.get("shape", -1))
    if name in ("empty_like", "zeros_like", "ones_like", "full_like", "copy", "ascontiguousarray", "asarray"):
        return like(backend, name, args[0], kwargs)
    if name in ("concatenate", "stack"):
        return _joined(backend, name, args, kwargs)
    if name == "where" and len(args) == 3:
        dtype = np.where(True, *[np.ones((), x.dtype) if hasattr(x, "dtype") else x for x in args[1:]]).dtype
        return backend.fresh(tuple(np.broadcast_shapes(*[np.shape(_hollow(x)) for x in args])), dtype)
    if name in _REDUCTIONS and isinstance(args[0], Ghost):
        return method(args[0], name, args[1:], kwargs)
    if name in ("shares_memory", "may_share_memory"):
        a, b = args[:2]
        return isinstance(a, Ghost) and isinstance(b, Ghost) and a.storage is b.storage
    return fallback(backend, func, args, kwargs)


def _hollow(x: Any) -> Any:
    return x.value if isinstance(x, Ghost) else x


def replaced_arrays(result: Any, owner: Ghost) -> Any:
    """Views of the hollow array as views of the ghost."""
    if isinstance(result, (tuple, list)):
        return type(result)(replaced_arrays(r, owner) for r in result)
    return owner.seen_as(result)


def _reshape(x: Ghost, shape: Any) -> Ghost:
    try:
        return x.seen_as(np.reshape(x.value, shape, copy=False))
    except ValueError:  # the order of the elements does not allow a view
        shape = shape if isinstance(shape, tuple) else (shape,)
        known = -math.prod(shape)
        return x.backend.fresh(  # type: ignore[attr-defined,no-any-return]
            tuple(x.size // known if n == -1 else n for n in shape), x.dtype
        )


def like(backend: Any, name: str, x: Any, kwargs: dict[str, Any]) -> Any:
    """Memory of the shape of `x`, in the order that the function `name` gives it; `x` itself where that is so."""
    x = x if isinstance(x, Ghost) else backend.there(np.asarray(x))
    dtype, shape = np.dtype(kwargs.get("dtype") or x.dtype), kwargs.get("shape")
    fits = {"asarray": True, "ascontiguousarray": x.flags.c_contiguous, "asfortranarray": x.flags.f_contiguous}
    if dtype == x.dtype and fits.get(name, False):
        return x
    new: Ghost = backend.fresh(x.shape if shape is None else shape, dtype, x.value.astype(dtype) if x.known else None)
    if name == "ascontiguousarray" or shape is not None or x.known:
        return new
    return new.seen_as(hollow(x.shape[::-1], dtype).T) if name == "asfortranarray" else _ordered(new, x)


def in_order_of(inputs: Any, new: Ghost) -> Ghost:
    """`new` in the memory order that the inputs of its shape share, where that is not NumPy's own."""
    whole = [x for x in ghosts_in(inputs) if x.shape == new.shape and x.ndim > 1]
    if not whole or whole[0].flags.c_contiguous:
        return new
    return _ordered(new, whole[0])


def _ordered(new: Ghost, x: Ghost) -> Ghost:
    """`new` with its axes in memory in the order of those of `x`, as NumPy's order="K"."""
    return in_order(new, sorted(range(x.ndim), key=lambda i: -abs(x.strides[i])))


def in_order(new: Ghost, order: Sequence[int]) -> Ghost:
    """`new` with its axes in memory in an order."""
    value = hollow(tuple(new.shape[i] for i in order), new.dtype)
    return new.seen_as(value.transpose([order.index(i) for i in range(new.ndim)]))


def _joined(backend: Any, name: str, args: Any, kwargs: Any) -> Any:
    if kwargs.get("out") is not None:
        return kwargs["out"]
    parts = list(args[0])
    axis = args[1] if len(args) > 1 else kwargs.get("axis", 0)
    dtype = np.result_type(*[p.dtype for p in parts])
    shape = list(parts[0].shape)
    if name == "stack":
        shape.insert(axis % (len(shape) + 1), len(parts))
    else:
        shape[axis] = sum(p.shape[axis] for p in parts)
    return backend.fresh(tuple(shape), dtype)


def method(x: Ghost, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """One of an array's methods."""
    backend: Any = x.backend
    if x.known and name not in ("reshape", "astype", "copy"):
        plain = getattr(x.value, name)(*replaced(args, _hollow), **replaced(kwargs, _hollow))
        return made(backend, plain)
    if name == "reshape":
        return _reshape(x, args[0] if len(args) == 1 else args)
    if name == "ravel":
        return _reshape(x, -1)
    if name == "flatten":
        return backend.fresh((x.size,), x.dtype)
    if name in ("astype", "copy"):
        return _converted(x, name, args, kwargs)
    if name == "fill":
        return None
    if name in _VIEWS:
        return x.seen_as(getattr(x.value, name)(*args, **kwargs))
    if name in _REDUCTIONS:
        axis = args[0] if args else kwargs.get("axis")
        small = getattr(np, name)(np.ones(1, x.dtype), **{k: v for k, v in kwargs.items() if k == "dtype"})
        return backend.fresh(_reduced(x.shape, axis, bool(kwargs.get("keepdims", False))), np.asarray(small).dtype)
    if name in _ACCUMULATIONS:
        return backend.fresh(x.shape, np.int64 if name == "argsort" else x.dtype)
    if name in _REFUSED:
        x._known(f".{name}()")
    return fallback(backend, getattr(np.ndarray, name), (x, *args), kwargs)


def _converted(x: Ghost, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ghost:
    dtype = np.dtype(args[0] if name == "astype" else x.dtype)
    if name == "astype" and dtype == x.dtype and kwargs.get("copy", True) is False:
        return x
    new: Ghost = x.backend.fresh(x.shape, dtype, x.value.astype(dtype) if x.known else None)  # type: ignore[attr-defined]
    order = kwargs.get("order") or (args[0] if name == "copy" and args else "K" if name == "astype" else "C")
    return new if x.known or order == "C" else _ordered(new, x)


def fallback(backend: Any, call: Any, args: Any, kwargs: Any) -> Any:
    """Run on ones (on the identity in linear algebra), and take the shapes of the result."""
    square = (getattr(call, "__module__", "") or "").startswith("numpy.linalg")

    def stand_in(g: Ghost) -> Any:
        if g.known:
            return g.value
        if square and g.ndim >= 2:
            return np.broadcast_to(np.eye(*g.shape[-2:], dtype=g.dtype), g.shape)
        return np.broadcast_to(np.ones((), g.dtype), g.shape)

    return alike(backend, call(*replaced(args, stand_in), **replaced(kwargs, stand_in)))


def pick(x: Ghost, index: Any) -> Any:
    """Item access: a view for slices and numbers, new memory for arrays of indices."""
    parts = index if isinstance(index, tuple) else (index,)
    # Which elements an array of integers picks makes no difference to the result's shape; a mask's does.
    unknown = any(isinstance(p, Ghost) and not p.known for p in parts)
    plain = tuple(
        (np.zeros(p.shape, np.intp) if not p.known and p.dtype.kind in "iu" else p._known("use as an index"))
        if isinstance(p, Ghost)
        else p
        for p in parts
    )
    if all(p is None or p is Ellipsis or isinstance(p, (int, slice, np.integer)) for p in plain):
        found = x.value[plain]
        return x.seen_as(found if isinstance(found, np.ndarray) else hollow((), x.dtype))
    if x.known and not unknown:
        return made(x.backend, x.value[plain])
    found = np.broadcast_to(np.int8(0), x.shape)[plain]
    return x.backend.fresh(found.shape, x.dtype)  # type: ignore[attr-defined]


_hooks.update(ufunc=ufunc, function=function, method=method, pick=pick)
