"""Rules for functions that move elements: shapes, orders of axes, joining, stacking."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ..backend import is_array
from .array import BatchArray
from .rules import _moved, shape_of
from .table import METHODS, any_held, by_example, full, function, holds, rule, strip, under, wrap

_LETTERS = "ZYXWVUTSRQPONMLKJIHGFEDCBAzyxwvutsrqponmlkjihgfedcba"


@rule("reshape")
def _reshape(level: Any, name: str, x: Any, shape: Any, order: str = "C", **kwargs: Any) -> Any:
    if order != "C" or kwargs:
        return by_example(level, name, x, shape, order=order, **kwargs)
    shape = shape_of(shape)
    if -1 in shape:  # the length that is left is counted within one example
        known = -math.prod(shape)
        shape = tuple([x.size // known if n == -1 and known else max(n, 0) for n in shape])
    return BatchArray(x.value.reshape((level.size, *shape)), level)


def _reshape_method(x: BatchArray, *shape: Any, order: str = "C") -> Any:
    shape = shape[0] if len(shape) == 1 else shape
    if not x.batched:
        return BatchArray(x.value.reshape(shape, order=order), x.backend, False)
    return _reshape(x.backend, "reshape", x, shape, order)


def _flat_method(x: BatchArray, order: str = "C") -> Any:
    return _reshape_method(x, -1, order=order)


METHODS["reshape"] = _reshape_method
METHODS["ravel"] = _flat_method
METHODS["flatten"] = lambda x, order="C": _reshape_method(x, -1, order=order).copy()


@rule("ravel")
def _ravel(level: Any, name: str, x: Any, order: str = "C") -> Any:
    return _reshape(level, "reshape", x, -1, order)


@rule("transpose", "permute_dims")
def _transpose(level: Any, name: str, x: Any, axes: Any = None) -> Any:
    n = x.ndim
    order = range(n - 1, -1, -1) if axes is None else [operator.index(a) % n for a in axes]
    return BatchArray(x.value.transpose((0, *[a + 1 for a in order])), level)


def _transpose_method(x: BatchArray, *axes: Any) -> Any:
    given = axes[0] if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], (tuple, list))) else axes or None
    if not x.batched:
        return BatchArray(x.value.transpose(given), x.backend, False)
    return _transpose(x.backend, "transpose", x, given)


METHODS["transpose"] = _transpose_method


@rule("swapaxes")
def _swapaxes(level: Any, name: str, x: Any, axis1: int, axis2: int) -> Any:
    return BatchArray(x.value.swapaxes(_moved(axis1, x.ndim), _moved(axis2, x.ndim)), level)


@rule("matrix_transpose", "linalg.matrix_transpose")
def _matrix_transpose(level: Any, name: str, x: Any) -> Any:
    return BatchArray(x.value.swapaxes(-1, -2), level)


@rule("moveaxis")
def _moveaxis(level: Any, name: str, x: Any, source: Any, destination: Any) -> Any:
    xp = under(level, (x.value,)).xp
    return wrap(level, xp.moveaxis(x.value, _moved(source, x.ndim), _moved(destination, x.ndim)))


@rule("expand_dims")
def _expand_dims(level: Any, name: str, x: Any, axis: Any) -> Any:
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    return wrap(level, under(level, (x.value,)).xp.expand_dims(x.value, _moved(axes, x.ndim + len(axes))))


@rule("squeeze")
def _squeeze(level: Any, name: str, x: Any, axis: Any = None) -> Any:
    axes = tuple(i for i, n in enumerate(x.shape) if n == 1) if axis is None else axis
    return wrap(level, x.value.squeeze(_moved(axes, x.ndim)))


@rule("broadcast_to")
def _broadcast_to(level: Any, name: str, x: Any, shape: Any, **kwargs: Any) -> Any:
    shape = shape_of(shape)
    value = x.value.reshape((level.size, *(1,) * (len(shape) - x.ndim), *x.shape)) if len(shape) > x.ndim else x.value
    return wrap(level, under(level, (value,)).xp.broadcast_to(value, (level.size, *shape)))


@rule("flip")
def _flip(level: Any, name: str, x: Any, axis: Any = None) -> Any:
    axes = tuple(range(1, x.ndim + 1)) if axis is None else _moved(axis, x.ndim)
    return wrap(level, under(level, (x.value,)).xp.flip(x.value, axes))


@rule("roll")
def _roll(level: Any, name: str, x: Any, shift: Any, axis: Any = None) -> Any:
    if any_held(level, shift):
        return by_example(level, name, x, shift, axis)
    value = x.value if axis is not None else x.value.reshape((level.size, -1))
    rolled = under(level, (value,)).xp.roll(value, shift, 1 if axis is None else _moved(axis, x.ndim))
    return wrap(level, rolled.reshape(x.value.shape))


@rule("diagonal", "trace", "linalg.diagonal", "linalg.trace")
def _diagonal(level: Any, name: str, x: Any, *args: Any, **kwargs: Any) -> Any:
    given = dict(zip(("offset", "axis1", "axis2", "dtype"), args, strict=False)) | kwargs
    first, second = (-2, -1) if name.startswith("linalg") else (0, 1)
    given["axis1"] = _moved(given.get("axis1", first), x.ndim)
    given["axis2"] = _moved(given.get("axis2", second), x.ndim)
    return wrap(level, function(under(level, (x.value,)).xp, name.partition(".")[2] or name)(x.value, **given))


@rule("concatenate", "concat")
def _concatenate(level: Any, name: str, arrays: Any, axis: Any = 0, out: Any = None, **kwargs: Any) -> Any:
    values = [full(level, a) for a in arrays]
    if out is not None:
        out[...] = _concatenate(level, name, arrays, axis, **kwargs)
        return out
    if axis is None:
        values, axis = [v.reshape((level.size, -1)) for v in values], 0
    found = under(level, values).concatenate(values, _moved(axis, values[0].ndim - 1))
    return wrap(level, found.astype(kwargs["dtype"]) if kwargs.get("dtype") else found)


@rule("stack")
def _stack(level: Any, name: str, arrays: Any, axis: int = 0, **kwargs: Any) -> Any:
    values = [full(level, a) for a in arrays]
    return wrap(level, under(level, values).xp.stack(values, axis=_moved(axis, values[0].ndim), **kwargs))


# ---- products


@rule("matmul", "linalg.matmul")
def matmul(level: Any, name: str, a: Any, b: Any, out: Any = None) -> Any:
    """Products of matrices; an operand that all examples share makes one product of the many."""
    if a.ndim == 1 or b.ndim == 1:
        left = a.reshape((1, -1)) if a.ndim == 1 else a
        right = b.reshape((-1, 1)) if b.ndim == 1 else b
        y = matmul(level, name, left, right)
        shape = y.shape[:-2] + (() if a.ndim == 1 else y.shape[-2:-1]) + (() if b.ndim == 1 else y.shape[-1:])
        return y.reshape(shape)
    p, q = strip(level, a), strip(level, b)
    backend = under(level, (p, q))
    if not holds(level, b) and b.ndim == 2:
        rows = p.reshape((-1, p.shape[-1])) if p.size else p
        product = backend.matmul(rows, q)
        result = product.reshape((*p.shape[:-1], q.shape[-1])) if p.size else product
    elif not holds(level, a) and a.ndim == b.ndim == 2:
        # (a @ b).T of all examples is one product of their columns with a.T
        columns = q.swapaxes(-1, -2)
        product = backend.matmul(columns.reshape((-1, q.shape[-2])), p.T) if q.size else backend.xp.matmul(p, q)
        result = product.reshape((level.size, q.shape[-1], p.shape[0])).swapaxes(-1, -2) if q.size else product
    else:
        rank = max(a.ndim, b.ndim)
        p, q = _ranked(level, a, rank), _ranked(level, b, rank)
        result = _outer(backend, p, q) if a.shape[-1] == 1 else backend.matmul(p, q)
    result = wrap(level, result)
    if out is None:
        return result
    out[...] = result
    return out


def _ranked(level: Any, x: Any, rank: int) -> Any:
    if not holds(level, x):
        return strip(level, x)
    return x.value if x.ndim == rank else x.value.reshape((level.size, *(1,) * (rank - x.ndim), *x.shape))


def _outer(backend: Any, column: Any, row: Any) -> Any:
    """Products over an inner length of 1 are products of numbers: a loop of small matrix products would be slower."""
    shape = np.broadcast_shapes(column.shape, row.shape)
    out = backend.empty(shape, np.result_type(column.dtype, row.dtype))
    return backend.xp.multiply(column, row, out=out)


@rule("dot")
def _dot(level: Any, name: str, a: Any, b: Any, out: Any = None) -> Any:
    dims = np.ndim(a) if not is_array(a) else a.ndim, np.ndim(b) if not is_array(b) else b.ndim
    if 0 in dims:
        return a * b
    if dims[0] <= 2 and dims[1] <= 2:
        return matmul(level, name, a, b)
    return by_example(level, name, a, b)


@rule("einsum")
def _einsum(level: Any, name: str, subscripts: Any, *operands: Any, **kwargs: Any) -> Any:
    if not isinstance(subscripts, str) or kwargs.get("out") is not None:
        return by_example(level, name, subscripts, *operands, **kwargs)
    text = subscripts.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    if not arrow:
        letters = inputs.replace(",", "").replace(".", "")
        output = ("..." if "..." in inputs else "") + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    batch = next(c for c in _LETTERS if c not in text)
    terms = [batch + t if holds(level, x) else t for t, x in zip(inputs.split(","), operands, strict=True)]
    values = [strip(level, x) for x in operands]
    return wrap(level, under(level, values).xp.einsum(f"{','.join(terms)}->{batch}{output}", *values, **kwargs))


# ---- linear algebra and Fourier transforms: NumPy's take stacks


@rule("linalg.inv", "linalg.det", "linalg.slogdet", "linalg.cholesky", "linalg.qr", "linalg.svd", "linalg.svdvals",
      "linalg.eigh", "linalg.eigvalsh", "linalg.eig", "linalg.eigvals", "linalg.pinv", "linalg.matrix_power",
      "linalg.matrix_rank")  # fmt: skip
def _stacked(level: Any, name: str, x: Any, *args: Any, **kwargs: Any) -> Any:
    if any_held(level, (args, kwargs)) or not holds(level, x):
        return by_example(level, name, x, *args, **kwargs)
    return wrap(level, function(under(level, (x.value,)).xp, name)(x.value, *args, **kwargs))


@rule("linalg.solve")
def _solve(level: Any, name: str, a: Any, b: Any) -> Any:
    if b.ndim == 1:
        return _solve(level, name, a, b.reshape((-1, 1))).reshape(b.shape)
    rank = max(a.ndim, b.ndim)
    left = full(level, a) if a.ndim == rank else _ranked(level, a, rank)
    right = full(level, b) if b.ndim == rank else _ranked(level, b, rank)
    return wrap(level, under(level, (left, right)).xp.linalg.solve(left, right))


@rule("fft.fft", "fft.ifft", "fft.rfft", "fft.irfft", "fft.hfft", "fft.ihfft")
def _fft(level: Any, name: str, x: Any, n: Any = None, axis: int = -1, norm: Any = None, **kwargs: Any) -> Any:
    return wrap(level, function(under(level, (x.value,)).xp, name)(x.value, n, _moved(axis, x.ndim), norm))


@rule("fft.fft2", "fft.ifft2", "fft.rfft2", "fft.irfft2", "fft.fftn", "fft.ifftn", "fft.rfftn", "fft.irfftn")
def _fftn(level: Any, name: str, x: Any, s: Any = None, axes: Any = None, norm: Any = None, **kwargs: Any) -> Any:
    if axes is None:
        axes = (-2, -1) if name.endswith("2") else tuple(range(-(x.ndim if s is None else len(s)), 0))
    return wrap(level, function(under(level, (x.value,)).xp, name)(x.value, s, _moved(axes, x.ndim), norm))


@rule("fft.fftshift", "fft.ifftshift")
def _fftshift(level: Any, name: str, x: Any, axes: Any = None) -> Any:
    axes = tuple(range(-x.ndim, 0)) if axes is None else axes
    return wrap(level, function(under(level, (x.value,)).xp, name)(x.value, _moved(axes, x.ndim)))
