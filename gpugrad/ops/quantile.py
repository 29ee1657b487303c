"""Quantiles, percentiles and medians: every method of NumPy's, each linear between the order statistics.

A slice is sorted once; a quantile is then a place between two neighbours, whose weights are the gradient. The
quantile itself may be differentiated too, where the method is continuous in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from ..backend import backend_of, is_array
from ..primitive import FUNCTIONS, public
from ..tensor import Tensor
from .arguments import axis_tuple, bare, constant, count, kept_shape, operand, reduction
from .elementwise import add, clip, divide, multiply, select, subtract
from .index import take_along_axis
from .order import sort
from .shape import moveaxis, reshape

# Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996): alpha and beta of the continuous methods.
CONTINUOUS: Final = {
    "linear": (1.0, 1.0),
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}


def _next_unless(stay: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The place above a place, or the one below it where `stay` holds."""
    return lambda xp, place: xp.floor(place) + xp.where(stay(place - xp.floor(place), place), 0.0, 1.0)


# The others, as the place (from 0) that n and q choose: half way between two neighbours, or on one.
DISCRETE: Final[dict[str, Callable[[Any, Any, Any], Any]]] = {
    "inverted_cdf": lambda xp, n, q: _next_unless(lambda part, _: part == 0)(xp, n * q - 1),
    "averaged_inverted_cdf": lambda xp, n, q: _halved(xp, n * q - 1, 1.0, 0.5),
    "closest_observation": lambda xp, n, q: _next_unless(lambda part, place: (part == 0) & (xp.floor(place) % 2 == 1))(
        xp, n * q - 1.5
    ),
    "lower": lambda xp, n, q: xp.floor((n - 1) * q),
    "higher": lambda xp, n, q: xp.ceil((n - 1) * q),
    "midpoint": lambda xp, n, q: _halved(xp, (n - 1) * q, 0.5, 0.0),
    "nearest": lambda xp, n, q: xp.rint((n - 1) * q),
}


def _halved(xp: Any, place: Any, between: float, on: float) -> Any:
    """A place whose part after the point becomes `between`, or `on` where it is 0."""
    low = xp.floor(place)
    return low + xp.where(place == low, on, between)


def _place(name: str, method: str, n: Any, q: Any) -> Any:
    """Where in a sorted slice of `n` elements the quantile `q` is, counted from 0 (before the ends cut it off)."""
    if method in CONTINUOUS:
        if method == "linear":  # as the general form, with one rounding less
            return multiply(q, n - 1)
        alpha, beta = CONTINUOUS[method]
        return add(multiply(q, n + (1 - alpha - beta)), alpha - 1)
    if method not in DISCRETE:
        raise ValueError(f"[{name}] method = {method!r}; expected one of {', '.join([*CONTINUOUS, *DISCRETE])}")
    if isinstance(q, Tensor) and q.requires_grad:
        raise TypeError(f"[{name}] method = {method!r} is constant between jumps in q: pass q.detach()")
    return DISCRETE[method](backend_of(bare(n)).xp, n, bare(q))


def _beside(x: Any, values: Any) -> Any:
    """Numbers from the host on the device of `x`; a single one without a copy."""
    backend = backend_of(bare(x))
    return backend.from_host(values) if values.ndim else backend.xp.full((), float(values))


def _prepared(name: str, x: Any, axis: Any, q: Any) -> tuple[Any, Any, Any, Any]:
    """The slices sorted along the last axis, the quantiles on their device, the axes, and the result's dtype."""
    if x.dtype.kind == "c":
        raise TypeError(f"[{name}] an array of dtype {x.dtype}; complex numbers have no order")
    axes = axis_tuple(name, axis, x.shape)
    length = count(x.shape, axes)
    if not length:
        raise ValueError(f"[{name}] no elements along axis = {axis} of shape {tuple(x.shape)}; check the input")
    kept = tuple(range(len(x.shape))) if axes is None else axes
    last = tuple(range(len(x.shape) - len(kept), len(x.shape)))
    moved = moveaxis(x, kept, last) if kept else x
    rows = sort(reshape(moved, (*moved.shape[: len(x.shape) - len(kept)], length)), -1)
    if isinstance(q, (int, float)):
        dtype = x.dtype
    else:
        dtype = np.result_type(x.dtype, operand(q).dtype if operand(q).dtype.kind == "f" else np.float64)
    values = bare(q) if is_array(bare(q)) else np.asarray(q, np.float64)
    # Those on a GPU are not looked at, which would wait for it.
    if type(values) is np.ndarray and not ((values >= 0) & (values <= 1)).all():
        raise ValueError(
            f"[{name}] shares from {values.min()} to {values.max()}; expected 0 to 1 (0 to 100 in percentiles)"
        )
    if not isinstance(q, Tensor):
        q = values.astype(np.float64) if is_array(q) else _beside(x, values)
    return rows, q, axes, dtype


def _between(rows: Any, n: Any, place: Any, dtype: Any) -> Any:
    """The value at `place` (last axis: the quantiles) of sorted rows whose first `n` count; nan where none does."""
    xp = backend_of(bare(rows)).xp
    top = xp.maximum(n - 1, 0)
    place = clip(place, 0.0, top)
    low = xp.floor(bare(place))
    part = subtract(place, low)
    part = part if part.dtype == dtype else FUNCTIONS["astype"](part, dtype)
    lead = (*rows.shape[:-1], low.shape[-1])
    below = xp.broadcast_to(low, lead).astype(np.intp)
    above = xp.minimum(below + 1, xp.broadcast_to(top, (*rows.shape[:-1], 1)).astype(np.intp))
    first, second = take_along_axis(rows, below, -1), take_along_axis(rows, above, -1)
    with np.errstate(invalid="ignore"):
        away = subtract(second, first)
    # On an element its neighbour does not count, not even an infinite one.
    away = select((bare(part) == 0) & ~xp.isfinite(bare(away)), 0.0, away)
    return add(first, multiply(away, part))


def _traced(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad


def _quantile(name: str, x: Any, q: Any, axis: Any, method: str, keepdims: bool, skip: bool) -> Any:
    x = operand(x)
    if x.dtype.kind in "iub":
        x = FUNCTIONS["astype"](x, np.float64)
    rows, q, axes, dtype = _prepared(name, x, axis, q)
    xp = backend_of(bare(rows)).xp
    gone = xp.isnan(bare(rows))
    n = (~gone).sum(axis=-1, keepdims=True).astype(np.float64) if skip else xp.full((1,), float(rows.shape[-1]))
    shape = tuple(q.shape)
    found = _between(rows, n, _place(name, method, n, reshape(q, -1)), dtype)
    # Sorted, a nan is last: without skipping it is the result; with it, where nothing else is.
    found = select(n == 0 if skip else gone[..., -1:], math.nan, found)
    found = moveaxis(found, -1, 0)
    return reshape(found, (*shape, *(kept_shape(x.shape, axes) if keepdims else found.shape[1:])))


def _refuse(name: str, weights: Any) -> None:
    if weights is not None:
        raise TypeError(f"[{name}] weights= is not supported; sort, and interpolate the cumulative weights (interp)")


@public
@reduction
def quantile(
    x: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: None = None,
) -> Any:  # fmt: skip
    """The value below which a share `q` of the elements lies, as `numpy.quantile`.

    Args:
        x: real numbers; integers are taken as float64. A slice with a nan gives nan.
        q: number or array, each in [0, 1]; may need a gradient where the method is continuous.
        axis: an integer or several (`dim` in PyTorch); None for all.
        out: refused.
        overwrite_input: taken for NumPy's sake; the input is never changed.
        method: how to choose between neighbours, one of NumPy's thirteen.
        keepdims: leave the axes with length 1.
        weights: refused.

    Returns:
        The shape of `q`, then that of the reduction.

    Raises:
        ValueError: a share outside [0, 1], an unknown method, no elements.
    """
    _refuse("quantile", weights)
    return _quantile("quantile", x, q, axis, method, keepdims, False)


def _hundredths(q: Any) -> Any:
    if isinstance(q, (int, float)):
        return q / 100
    return divide(q, 100.0) if isinstance(q, Tensor) or is_array(q) else (np.asarray(q) / 100).tolist()


@public
@reduction
def percentile(
    x: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: None = None,
) -> Any:  # fmt: skip
    """`quantile` of `q` hundredths."""
    _refuse("percentile", weights)
    return _quantile("percentile", x, _hundredths(q), axis, method, keepdims, False)


@public
@reduction
def nanquantile(
    x: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: None = None,
) -> Any:  # fmt: skip
    """`quantile` of the elements that are not nan; of none, nan."""
    _refuse("nanquantile", weights)
    return _quantile("nanquantile", x, q, axis, method, keepdims, True)


@public
@reduction
def nanpercentile(
    x: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: None = None,
) -> Any:  # fmt: skip
    """`percentile` of the elements that are not nan; of none, nan."""
    _refuse("nanpercentile", weights)
    return _quantile("nanpercentile", x, _hundredths(q), axis, method, keepdims, True)


def _median(name: str, x: Any, axis: Any, keepdims: bool, skip: bool) -> Any:
    x = operand(x)
    if not count(x.shape, axis_tuple(name, axis, x.shape)):
        raise ValueError(f"[{name}] no elements along axis = {axis} of shape {tuple(x.shape)}; check the input")
    return _quantile(name, x, 0.5, axis, "linear", keepdims, skip)


@public
@reduction
def median(
    x: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:  # fmt: skip
    """The middle element in order, or the mean of the middle two (NumPy's convention); nan where a nan is among them.

    Args:
        x: real numbers; integers are taken as float64.
        axis: an integer or several (`dim` in PyTorch); None for all.
        out: refused.
        overwrite_input: taken for NumPy's sake; the input is never changed.
        keepdims: leave the axes with length 1.

    Raises:
        ValueError: there are no elements.
    """
    return _median("median", x, axis, keepdims, False)


@public
@reduction
def nanmedian(
    x: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:  # fmt: skip
    """The median of the elements that are not nan; of none, nan."""
    return _median("nanmedian", x, axis, keepdims, True)


# ---- without gradients


@public
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """The places where elements of `v` would stand in the sorted `a`, as `numpy.searchsorted`. No gradient."""
    a, v = operand(a), operand(v)
    xp = backend_of(bare(a)).xp
    return constant(v if isinstance(v, Tensor) else a, xp.searchsorted(bare(a), bare(v), side, bare(sorter)))


@public
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """The bin of each element, as `numpy.digitize`. No gradient."""
    x = operand(x)
    return constant(x, backend_of(bare(x)).xp.digitize(bare(x), bare(operand(bins)), right))


def _counts(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    weights = options.get("weights")
    if _traced(weights):
        raise TypeError(f"[{name}] weights that need a gradient; bin with digitize and add up with index_add")
    first = arguments[0]
    plain = [bare(operand(a)) for a in arguments]
    backend = backend_of(plain[0])
    there = getattr(backend.xp, name, None)
    plain_options = {k: bare(v) for k, v in options.items()}
    if there is None:  # not every function of NumPy's is one of CuPy's
        found = backend.from_host(getattr(np, name)(*map(backend.to_host, plain), **plain_options))
    else:
        found = there(*plain, **plain_options)
    wrap = first if isinstance(first, Tensor) else bare(operand(first))
    return tuple(constant(wrap, f) for f in found) if isinstance(found, tuple) else constant(wrap, found)


@public
def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """How many elements fall in each bin, and the edges, as `numpy.histogram`. No gradient."""
    return _counts("histogram", (a,), {"bins": bins, "range": range, "density": density, "weights": weights})


@public
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """The edges that `histogram` would take. No gradient."""
    return _counts("histogram_bin_edges", (a,), {"bins": bins, "range": range, "weights": weights})


@public
def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each number from 0 up occurs. No gradient (for that of weights, see `index_add`)."""
    return _counts("bincount", (x,), {"weights": weights, "minlength": minlength})
