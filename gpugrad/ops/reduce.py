"""Reductions: sums, means, products, extremes, norms and what counts elements, over all or some axes.

Sums and means of half precision add up in float32. Row-wise functions with a kernel of their own (softmax, logsumexp)
are in `rows`; running sums and sorting in `order`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import backend_of
from ..primitive import FUNCTIONS, Needs, Primitive, Shape, public
from .arguments import (
    Axes,
    apply_one,
    axis_tuple,
    bare,
    constant,
    count,
    divisor,
    is_half,
    kept_shape,
    module,
    operand,
    reduction,
)
from .cast import imag, real
from .costs import no_vjp_bytes, no_vjp_flops, per_input, vjp_per_input
from .defining import make
from .elementwise import absolute, hypot, power, select, sign, square, where
from .index import getitem
from .order import cumprod
from .shape import moveaxis, reshape, spread

_FLOAT32 = np.dtype(np.float32)


def _array(x: Any, out: Any) -> Any:
    """What a ufunc's reduction returned, as an array also where it is a single number."""
    return out if type(out) is type(x) else backend_of(x).xp.asarray(out)


# ---- sum and mean


def _sum_forward(needs: Needs, x: Any, *, axis: Axes | None, keepdims: bool, dtype: Any) -> tuple[Any, tuple[Any, ...]]:
    on = backend_of(x)
    if dtype is None and (on.reduces or x.itemsize == 2):
        return _array(x, on.reduce("sum", x, axis, keepdims)), (x.shape,)
    out = on.xp.add.reduce(x, axis, dtype, None, keepdims)  # as `reduce`, without the cost of a call
    return (out if type(out) is type(x) else on.xp.asarray(out)), (x.shape,)


def _sum_rule(g: Any, needs: Needs, shape: Shape, *, axis: Axes | None, keepdims: bool, dtype: Any) -> tuple[Any, ...]:
    return (spread(g, shape, axis, keepdims),)


SUM = Primitive(
    "sum", _sum_forward, _sum_rule, fresh=False, flops=per_input(1), vjp_flops=no_vjp_flops, vjp_bytes=no_vjp_bytes,
    linear=True,
)


@public
@reduction
def sum(x: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The sum of the elements, over all axes or those named.

    Args:
        x: any shape; integers and truth values add up as int64, half precision in float32.
        axis: an integer or several (`dim` in PyTorch); None for all.
        dtype: of the sum, if not that of `x`.
        out: refused: the tape would not know the other memory.
        keepdims: leave the axes with length 1 (`keepdim` in PyTorch).

    Raises:
        numpy.exceptions.AxisError: there is no such axis.
    """
    x = operand(x)
    axis = axis if axis is None else axis_tuple("sum", axis, x.shape)
    return apply_one(SUM, x, {"axis": axis, "keepdims": keepdims, "dtype": dtype})


def _mean_forward(needs: Needs, x: Any, *, axis: Axes | None, keepdims: bool) -> tuple[Any, tuple[Any, ...]]:
    n, on = count(x.shape, axis), backend_of(x)
    if x.dtype.kind in "fV" and (on.reduces or x.itemsize == 2):
        return _array(x, on.reduce("mean", x, axis, keepdims)), (x.shape, n)
    wide = np.float64 if x.dtype.kind in "iub" else None
    return _array(x, on.xp.add.reduce(x, axis, wide, None, keepdims) / n), (x.shape, n)


def _mean_rule(g: Any, needs: Needs, shape: Shape, n: int, *, axis: Axes | None, keepdims: bool) -> tuple[Any, ...]:
    g = g / n if type(g) is np.ndarray else FUNCTIONS["divide"](g, n)  # on a GPU a kernel of our own
    return (spread(g, shape, axis, keepdims),)


MEAN = Primitive(
    "mean",
    _mean_forward,
    _mean_rule,
    fresh=False,
    flops=per_input(1, 1),
    vjp_flops=vjp_per_input(0, 1),
    vjp_bytes=lambda sizes, out_size, needs, **static: 2 * out_size,
    linear=True,
)


@public
@reduction
def mean(x: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The arithmetic mean; arguments as in `sum`. Integers have a float64 mean."""
    x = operand(x)
    axis = axis_tuple("mean", axis, x.shape)
    if dtype is not None:
        x = FUNCTIONS["astype"](x, dtype)
    return apply_one(MEAN, x, {"axis": axis, "keepdims": keepdims})


# ---- prod


def _prod_forward(needs: Needs, x: Any, *, axis: Axes | None, keepdims: bool) -> tuple[Any, tuple[Any, ...]]:
    on = backend_of(x)
    out = on.reduce("prod", x, axis, keepdims)
    return (out if type(out) is type(x) else on.xp.asarray(out)), ()


def _prod_rule(g: Any, needs: Needs, x: Any, *, axis: Axes | None, keepdims: bool) -> tuple[Any, ...]:
    """The cotangent times the product of all other elements: those before times those after, nothing divided."""
    shape = x.shape
    axes = tuple(range(len(shape))) if axis is None else axis
    if not axes:
        return (g,)
    last = tuple(range(len(shape) - len(axes), len(shape)))
    moved = moveaxis(x, axes, last)
    rows = reshape(moved, (*moved.shape[: len(shape) - len(axes)], count(shape, axes)))
    backwards = (..., slice(None, None, -1))
    others = _before(rows) * getitem(_before(getitem(rows, backwards)), backwards)
    others = moveaxis(reshape(others, moved.shape), last, axes)
    return (g.reshape(kept_shape(shape, axes)) * others,)


def _before(rows: Any) -> Any:
    """For each element the product of those before it in its row."""
    first = module(rows).ones((*rows.shape[:-1], 1), rows.dtype)
    return FUNCTIONS["concatenate"]([first, cumprod(getitem(rows, (..., slice(-1))), -1)], -1)


def _prod_vjp_flops(
    shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, axis: Axes | None, **static: Any
) -> int:
    """Two running products, that of both, and the cotangent's."""
    return 0 if axis == () else 4 * math.prod(shapes[0]) - 2 * math.prod(out_shape)


PROD = Primitive(
    "prod", _prod_forward, _prod_rule, keeps=((0,),), fresh=False, flops=per_input(1), vjp_flops=_prod_vjp_flops
)


@public
@reduction
def prod(x: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The product of the elements; arguments as in `sum`. Its gradient is exact at zeros: nothing is divided."""
    x = operand(x)
    axis = axis_tuple("prod", axis, x.shape)
    if dtype is not None:
        x = FUNCTIONS["astype"](x, dtype)
    return apply_one(PROD, x, {"axis": axis, "keepdims": keepdims})


# ---- max and min


def _max_forward(needs: Needs, x: Any, *, axis: Axes | None, keepdims: bool) -> tuple[Any, tuple[Any, ...]]:
    on = backend_of(x)
    out = on.reduce("max", x, axis, keepdims) if on.reduces else on.xp.maximum.reduce(x, axis, None, None, keepdims)
    return (out if type(out) is type(x) else on.xp.asarray(out)), ()


def _min_forward(needs: Needs, x: Any, *, axis: Axes | None, keepdims: bool) -> tuple[Any, tuple[Any, ...]]:
    on = backend_of(x)
    out = on.reduce("min", x, axis, keepdims) if on.reduces else on.xp.minimum.reduce(x, axis, None, None, keepdims)
    return (out if type(out) is type(x) else on.xp.asarray(out)), ()


def _extreme_rule(g: Any, needs: Needs, x: Any, y: Any, *, axis: Axes | None, keepdims: bool) -> tuple[Any, ...]:
    """Elements that tie share the cotangent equally; a nan is the extreme of its slice and takes it."""
    array, extreme, kept = bare(x), bare(y), kept_shape(x.shape, axis)
    if type(g) is type(array) is not np.ndarray:
        found = backend_of(g).extreme_vjp(g.reshape(kept), array, extreme.reshape(kept), axis)
        if found is not None:
            return (found,)
    share = array == extreme.reshape(kept)
    share |= array != array
    ties = share.sum(axis=axis, keepdims=True)
    return (g.reshape(kept) * (share.astype(g.dtype) / ties.astype(g.dtype)),)


MAX = Primitive("max", _max_forward, _extreme_rule, keeps=((0, -1),), flops=per_input(1), vjp_flops=vjp_per_input(6))
MIN = Primitive("min", _min_forward, _extreme_rule, keeps=((0, -1),), flops=per_input(1), vjp_flops=vjp_per_input(6))


def _extreme(name: str, primitive: Primitive, x: Any, axis: Any, keepdims: bool) -> Any:
    x = operand(x)
    if hasattr(axis, "shape") and axis.shape:
        raise TypeError(
            f"[{name}] axis is an array of shape {tuple(axis.shape)}; the elementwise function is {name}imum"
        )
    axis = axis_tuple(name, axis, x.shape)
    if not count(x.shape, axis):
        raise ValueError(
            f"[{name}] no elements along axis = {axis} of shape {x.shape}: there is no {name}; check the input"
        )
    return apply_one(primitive, x, {"axis": axis, "keepdims": keepdims})


@public
@reduction
def max(x: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The largest element; arguments as in `sum`. Elements that tie share the gradient equally.

    Returns:
        The values; with PyTorch's names (`dim`, `keepdim`), as in PyTorch, (values, indices).

    Raises:
        ValueError: there are no elements.
    """
    return _extreme("max", MAX, x, axis, keepdims)


@public
@reduction
def min(x: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The smallest element; otherwise as `max`."""
    return _extreme("min", MIN, x, axis, keepdims)


@public
@reduction
def ptp(x: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The range of the elements: `max` less `min`."""
    return max(x, axis, keepdims=keepdims) - min(x, axis, keepdims=keepdims)


# ---- var and std


def _modulus(x: Any) -> Any:
    """The absolute values, of complex elements by their parts (whose derivatives are real)."""
    return hypot(real(x), imag(x)) if x.dtype.kind == "c" else absolute(x)


def _deviations(x: Any, axis: Axes | None, dtype: Any) -> Any:
    if dtype is not None:
        x = FUNCTIONS["astype"](x, dtype)
    away = FUNCTIONS["subtract"](x, mean(x, axis, keepdims=True))
    return _modulus(away) if away.dtype.kind == "c" else away


@public
@reduction
def var(
    x: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: float = 0, keepdims: bool = False,
    *, correction: float | None = None, unbiased: bool | None = None,
) -> Any:  # fmt: skip
    """The variance, as `numpy.var`: divided by n unless asked otherwise.

    Args:
        x: any shape.
        axis: an integer or several (`dim` in PyTorch); None for all.
        dtype: to compute in.
        out: refused.
        ddof: the mean square deviation is over n - ddof elements.
        keepdims: leave the axes with length 1.
        correction: `ddof` under its name in the array API and PyTorch (whose default, 1, holds where `dim` or
            `keepdim` is given).
        unbiased: True for ddof = 1, False for 0.
    """
    x = operand(x)
    axis = axis_tuple("var", axis, x.shape)
    degrees = divisor(count(x.shape, axis), ddof, correction, unbiased)
    return FUNCTIONS["divide"](sum(square(_deviations(x, axis, dtype)), axis, keepdims=keepdims), degrees)


@public
@reduction
def std(
    x: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: float = 0, keepdims: bool = False,
    *, correction: float | None = None, unbiased: bool | None = None,
) -> Any:  # fmt: skip
    """The standard deviation; arguments as in `var`. Of equal elements its gradient is 0."""
    x = operand(x)
    axis = axis_tuple("std", axis, x.shape)
    degrees = divisor(count(x.shape, axis), ddof, correction, unbiased)
    return FUNCTIONS["divide"](norm(_deviations(x, axis, dtype), 2, axis, keepdims=keepdims, p=2), math.sqrt(degrees))


# ---- norms

_norm_scale = make(lambda g, y: where(y == 0, 0.0, g / where(y == 0, 1.0, y)), "norm_scale")


def _norm_forward(needs: Needs, x: Any, *, p: float, axis: Axes | None, keepdims: bool) -> tuple[Any, tuple[Any, ...]]:
    on, xp = backend_of(x), backend_of(x).xp
    wide = on.cast(x, _FLOAT32) if is_half(x.dtype) else x
    if p == 2:
        squared, root = (square, FUNCTIONS["sqrt"]) if on.reduces else (xp.square, xp.sqrt)
        out = root(on.reduce("sum", squared(wide), axis, keepdims))
    else:
        out = on.reduce("sum", xp.abs(wide) ** p, axis, keepdims) ** (1 / p)
    return (_array(x, out) if out.dtype == x.dtype else on.cast(_array(x, out), x.dtype)), ()


def _norm_rule(g: Any, needs: Needs, x: Any, y: Any, *, p: float, axis: Axes | None, keepdims: bool) -> tuple[Any, ...]:
    kept = kept_shape(x.shape, axis)
    g, y = g.reshape(kept), y.reshape(kept)
    if p == 2:
        return (FUNCTIONS["multiply"](x, _norm_scale(g, y)),)
    zero, flat = bare(y) == 0, bare(x) == 0  # for p < 2 a power of 0 is infinite; by convention the gradient is 0 there
    ratio = absolute(select(flat, 1.0, x)) / select(zero, 1.0, y)
    return (select(flat, 0.0, sign(x) * power(ratio, p - 1)) * select(zero, 0.0, g),)


def _norm_flops(shapes: tuple[Shape, ...], out_shape: Shape, *, p: float, **static: Any) -> int:
    return (2 if p == 2 else 3) * math.prod(shapes[0]) + math.prod(out_shape)


def _norm_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, p: float, **static: Any) -> int:
    each, rest = (1, 4) if p == 2 else (9, 3)
    return each * math.prod(shapes[0]) + rest * math.prod(out_shape)


NORM = Primitive("norm", _norm_forward, _norm_rule, keeps=((0, -1),), flops=_norm_flops, vjp_flops=_norm_vjp_flops)


def _vector_norm(x: Any, p: Any, axis: Axes | None, keepdims: bool) -> Any:
    if p == 0:
        return FUNCTIONS["astype"](count_nonzero(x, axis, keepdims=keepdims), x.dtype)
    if p == math.inf:
        return max(_modulus(x), axis, keepdims=keepdims)
    if p == -math.inf:
        return min(_modulus(x), axis, keepdims=keepdims)
    if p == 1:
        return sum(_modulus(x), axis, keepdims=keepdims)
    x = _modulus(x) if x.dtype.kind == "c" else x
    return apply_one(NORM, x, {"p": p, "axis": axis, "keepdims": keepdims})


@public
@reduction
def norm(
    x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False, *, p: Any = None, dtype: Any = None
) -> Any:  # fmt: skip
    """Vector norms of any order and matrix norms, as `numpy.linalg.norm`.

    Args:
        x: any shape.
        ord: None for the root of the sum of squares over `axis`; a number (also 0, inf, -inf) for the vector norm
            of that order along one axis; of a matrix, or of two axes: "fro", 1, -1, inf, -inf, and of the singular
            values 2 (the largest), -2 (the smallest) and "nuc" (their sum).
        axis: an integer, or two for matrices; None for all.
        keepdims: leave the axes with length 1.
        p: PyTorch's name of the order; then always a vector norm, over all the axes named.
        dtype: to compute in.

    Returns:
        The norms. The gradient at 0 is 0.

    Raises:
        ValueError: an order that there is not, or no single axis or pair of axes where one is needed.
    """
    x = operand(x)
    if dtype is not None or x.dtype.kind in "iub":
        x = FUNCTIONS["astype"](x, dtype or np.float64)
    axes = axis_tuple("norm", axis, x.shape)
    order = ord if p is None else p
    if order is None or order == "fro":
        return _vector_norm(x, 2, axes, keepdims)
    if isinstance(order, str) and order != "nuc":
        raise ValueError(f"[norm] ord = {order!r}; expected a number, 'fro' or 'nuc'")
    matrix = p is None and (len(x.shape) == 2 if axes is None else len(axes) == 2)
    if not matrix:
        if order == "nuc" or (p is None and (len(axes) if axes is not None else len(x.shape)) != 1):
            raise ValueError(
                f"[norm] ord = {order} over axis = {axis} of shape {x.shape}; name one axis, or p= for all"
            )
        return _vector_norm(x, order, axes, keepdims)
    if order not in (1, -1, 2, -2, math.inf, -math.inf, "nuc"):
        raise ValueError(f"[norm] ord = {order} of a matrix; expected 'fro', 'nuc', 1, -1, 2, -2, inf or -inf")
    rows, columns = axes or (0, 1)
    if order in (2, -2, "nuc"):
        values = FUNCTIONS["linalg.svdvals"](moveaxis(x, (rows, columns), (-2, -1)))
        result = {2: max, -2: min, "nuc": sum}[order](values, -1)
        return FUNCTIONS["expand_dims"](result, axes or (0, 1)) if keepdims else result
    added, compared = (rows, columns) if math.fabs(order) == 1 else (columns, rows)
    sums = sum(_modulus(x), added, keepdims=True)
    result = (max if order > 0 else min)(sums, (added, compared), keepdims=True)
    return result if keepdims else FUNCTIONS["squeeze"](result, (rows, columns))


# ---- without gradients


@public
@reduction
def argmax(x: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The position of the (first) largest element, along an axis or in the flattened array. No gradient."""
    x = operand(x)
    axis = axis_tuple("argmax", axis, x.shape)
    return constant(x, module(x).argmax(bare(x), axis=None if axis is None else axis[0], keepdims=keepdims))


@public
@reduction
def argmin(x: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The position of the (first) smallest element, along an axis or in the flattened array. No gradient."""
    x = operand(x)
    axis = axis_tuple("argmin", axis, x.shape)
    return constant(x, module(x).argmin(bare(x), axis=None if axis is None else axis[0], keepdims=keepdims))


@public
@reduction
def all(x: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """Whether all elements are true (not 0). No gradient."""
    x = operand(x)
    return constant(x, bare(x).all(axis=axis_tuple("all", axis, x.shape), keepdims=keepdims))


@public
@reduction
def any(x: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """Whether an element is true (not 0). No gradient."""
    x = operand(x)
    return constant(x, bare(x).any(axis=axis_tuple("any", axis, x.shape), keepdims=keepdims))


@public
@reduction
def count_nonzero(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """How many elements are not 0. No gradient."""
    x = operand(x)
    return constant(x, (bare(x) != 0).sum(axis=axis_tuple("count_nonzero", axis, x.shape), keepdims=keepdims))
