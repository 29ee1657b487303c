"""Functions of sampled signals: convolution and correlation, interpolation, differences and integrals, phases.

Convolution is a primitive whose rule is convolution again; the rest is composed of slices, picking and arithmetic.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend.placing import placed
from ..primitive import FUNCTIONS, Needs, Primitive, Shape, public
from ..tensor import Tensor, apply
from .arguments import axis_index, axis_tuple, backend_for_all, bare, constant, module, operand, spelled
from .cast import conj
from .elementwise import add, divide, multiply, negative, remainder, select, subtract
from .index import getitem, take
from .joining import concatenate, flip, stack
from .reduce import sum
from .shape import broadcast_to, moveaxis, ravel, reshape

# ---- convolution


def _convolve_forward(needs: Needs, a: Any, v: Any) -> tuple[Any, tuple[Any, ...]]:
    return backend_for_all("convolve", a, v).xp.convolve(a, v), (a.shape[0], v.shape[0])


def _convolve_rule(g: Any, needs: Needs, a: Any, v: Any, n: int, m: int) -> tuple[Any, ...]:
    """The correlation of g with the other operand: of its convolution with the reverse, what overlaps in full."""
    ga = getitem(_full(g, flip(v)), slice(m - 1, m - 1 + n)) if needs[0] else None
    gv = getitem(_full(g, flip(a)), slice(n - 1, n - 1 + m)) if needs[1] else None
    return ga, gv


def _convolve_flops(shapes: tuple[Shape, ...], out_shape: Shape) -> int:
    return 2 * shapes[0][0] * shapes[1][0]


def _convolve_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs) -> int:
    """Each is taken out of the full convolution of the cotangent with the other operand."""
    return 2 * out_shape[0] * (shapes[1][0] * needs[0] + shapes[0][0] * needs[1])


# A slice of the full convolution is a view, but of nothing that is kept.
CONVOLVE = Primitive(
    "convolve",
    _convolve_forward,
    _convolve_rule,
    keeps=((1,), (0,)),
    flops=_convolve_flops,
    vjp_flops=_convolve_vjp_flops,
    bilinear=True,
)


def _full(a: Any, v: Any) -> Any:
    return apply(CONVOLVE, (a, v), {})


def _signals(name: str, a: Any, v: Any, mode: str) -> tuple[Any, Any]:
    a, v = FUNCTIONS["atleast_1d"](a, v)
    if len(a.shape) != 1 or len(v.shape) != 1:
        raise ValueError(f"[{name}] shapes {tuple(a.shape)} and {tuple(v.shape)}; expected two vectors")
    if not a.shape[0] or not v.shape[0]:
        raise ValueError(f"[{name}] lengths {a.shape[0]} and {v.shape[0]}; expected at least one element in each")
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"[{name}] mode = {mode!r}; expected 'full', 'same' or 'valid'")
    return a, v


def part_of_full(full: Any, n: int, m: int, mode: str) -> Any:
    """Of the full convolution of lengths `n` and `m` what NumPy's `mode` keeps."""
    short, long = (n, m) if n < m else (m, n)
    if mode == "full":
        return full
    start, length = ((short - 1) // 2, long) if mode == "same" else (short - 1, long - short + 1)
    return getitem(full, slice(start, start + length))


@public
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """The convolution of two vectors, as `numpy.convolve`.

    Args:
        a: (n,).
        v: (m,).
        mode: "full": every overlap, n + m - 1; "same": the middle max(n, m); "valid": the full overlaps only.

    Raises:
        ValueError: an operand is empty or no vector, or another mode.
    """
    a, v = _signals("convolve", a, v, mode)
    return part_of_full(_full(a, v), a.shape[0], v.shape[0], mode)


@public
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """The cross-correlation of two vectors, sum of a[n + k] conj(v[n]), as `numpy.correlate`; see `convolve`."""
    a, v = _signals("correlate", a, v, mode)
    if v.shape[0] > a.shape[0]:
        return flip(conj(correlate(v, a, mode)))
    return convolve(a, flip(conj(v)), mode)


# ---- interpolation


def _wide(x: Any, dtype: Any = np.float64) -> Any:
    x = operand(x)
    return x if x.dtype == dtype else FUNCTIONS["astype"](x, dtype)


@public
@placed
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: float | None = None
) -> Any:  # fmt: skip
    """The value at `x` of the line through the points (xp, fp), as `numpy.interp`; always in double precision.

    Args:
        x: any shape.
        xp: (points,), rising (with `period`: in any order).
        fp: (points,), real or complex.
        left: the value below xp[0]; fp[0] if not given.
        right: the value above xp[-1]; fp[-1] if not given.
        period: the points repeat with it; then `left` and `right` are ignored.

    Returns:
        The shape of `x`. All of `x`, `xp`, `fp`, `left` and `right` may need gradients; at a point that of `x` is the
        slope to its right.

    Raises:
        ValueError: the points are no vectors of one length, none, or `period` is 0.
    """
    x, xp, fp = _wide(x), _wide(xp), operand(fp)
    fp = _wide(fp, np.complex128 if fp.dtype.kind == "c" else np.float64)
    if len(xp.shape) != 1 or xp.shape != fp.shape or not xp.shape[0]:
        raise ValueError(
            f"[interp] xp and fp of shapes {tuple(xp.shape)} and {tuple(fp.shape)}; expected vectors of one length"
        )
    if period is not None:
        x, xp, fp = _periodic(x, xp, fp, period)
        left = right = None
    array, knots = bare(x), bare(xp)
    low, high = getitem(fp, 0) if left is None else left, getitem(fp, -1) if right is None else right
    last = knots.shape[0] - 1
    if not last:
        inside = broadcast_to(fp, array.shape) if len(array.shape) else getitem(fp, 0)
    else:
        n = module(x).clip(module(x).searchsorted(knots, array, side="right") - 1, 0, last - 1)
        x0, y0 = take(xp, n), take(fp, n)
        slope = divide(subtract(take(fp, n + 1), y0), subtract(take(xp, n + 1), x0))
        # On a knot the value is the knot's, whatever the slope.
        inside = add(multiply(slope, subtract(x, x0)), y0)
        inside = select(array == knots[-1], getitem(fp, -1), inside)
    return select(array < knots[0], low, select(array > knots[-1], high, inside))


def _periodic(x: Any, xp: Any, fp: Any, period: float) -> tuple[Any, Any, Any]:
    if period == 0:
        raise ValueError("[interp] period = 0; expected another number")
    period = abs(period)
    x, xp = remainder(x, period), remainder(xp, period)
    order = module(xp).argsort(bare(xp), kind="stable")
    xp, fp = take(xp, order), take(fp, order)
    first, final = slice(0, 1), slice(-1, None)
    xp = concatenate([subtract(getitem(xp, final), period), xp, add(getitem(xp, first), period)])
    return x, xp, concatenate([getitem(fp, final), fp, getitem(fp, first)])


# ---- differences and integrals


def _along(axis: int, *part: Any) -> tuple[Any, ...]:
    return (slice(None),) * axis + part


@public
@spelled
def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """The differences between neighbours along an axis, taken `n` times; of truth values whether they differ.

    Args:
        x: any shape but a single number.
        n: how many times.
        axis: along which.
        prepend: numbers or arrays to put before `x` along the axis first; may need a gradient.
        append: the same behind it.

    Raises:
        ValueError: `n` is negative.
    """
    x = operand(x)
    i = axis_index("diff", axis, x.shape)
    if n < 0:
        raise ValueError(f"[diff] n = {n}; expected 0 or more")
    if n and (prepend is not None or append is not None):
        ends = [None if e is None else operand(e) for e in (prepend, append)]
        shape = (*x.shape[:i], 1, *x.shape[i + 1 :])
        before, behind = [e if e is None or e.shape else broadcast_to(e, shape) for e in ends]
        x = concatenate([part for part in (before, x, behind) if part is not None], i)
    for _ in range(n):
        ahead, behind = getitem(x, _along(i, slice(1, None))), getitem(x, _along(i, slice(None, -1)))
        x = FUNCTIONS["not_equal"](ahead, behind) if x.dtype == bool else subtract(ahead, behind)
    return x


@public
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """The differences between neighbours of the flattened array, with `to_begin` before and `to_end` after them."""
    ary = ravel(ary)
    parts = [None if to_begin is None else ravel(to_begin), diff(ary), None if to_end is None else ravel(to_end)]
    found = [p if p.dtype == ary.dtype else FUNCTIONS["astype"](p, ary.dtype) for p in parts if p is not None]
    return concatenate(found) if len(found) > 1 else found[0]


@public
@spelled
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral along an axis by the trapezoidal rule, as `numpy.trapezoid`.

    Args:
        y: the values.
        x: where they are: (n,), or the shape of `y`; may need a gradient.
        dx: their distance, where `x` is not given.
        axis: along which.
    """
    y = operand(y)
    i = axis_index("trapezoid", axis, y.shape)
    if x is None:
        steps = dx
    else:
        x = operand(x)
        steps = diff(x) if len(x.shape) == 1 else diff(x, axis=axis)
        if len(x.shape) == 1:
            steps = reshape(steps, [-1 if k == i else 1 for k in range(len(y.shape))])
    pairs = add(getitem(y, _along(i, slice(1, None))), getitem(y, _along(i, slice(None, -1))))
    return sum(divide(multiply(steps, pairs), 2.0), i)


@public
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """The derivative of samples along each axis by central differences, as `numpy.gradient`.

    Args:
        f: the samples.
        varargs: nothing for distance 1; one distance for all axes; for each axis a distance or (n,) places. They may
            need a gradient.
        axis: an integer or several; None for all.
        edge_order: 1 or 2, the order of accuracy at the ends.

    Returns:
        An array for one axis, else a tuple of arrays, all of the shape of `f`.

    Raises:
        ValueError: distances that fit neither the axes nor their lengths, an axis of fewer than edge_order + 1 samples.
        TypeError: not as many distances as axes.
    """
    f = operand(f)
    if f.dtype.kind in "iub":
        f = FUNCTIONS["astype"](f, np.float64)
    axes = axis_tuple("gradient", axis, f.shape)
    axes = tuple(range(len(f.shape))) if axes is None else axes
    if edge_order not in (1, 2):
        raise ValueError(f"[gradient] edge_order = {edge_order}; expected 1 or 2")
    if len(varargs) not in (0, 1, len(axes)):
        raise TypeError(f"[gradient] {len(varargs)} distances for {len(axes)} axes; expected none, one or one for each")
    steps: list[Any] = [1.0 if not varargs else varargs[k if len(varargs) > 1 else 0] for k in range(len(axes))]
    steps = [module(f).full((), s, f.real.dtype) if isinstance(s, (int, float)) else operand(s) for s in steps]
    found = []
    for i, given in zip(axes, steps, strict=True):
        n = f.shape[i]
        if n < edge_order + 1:
            raise ValueError(
                f"[gradient] shape {tuple(f.shape)} has {n} samples along axis {i}; expected {edge_order + 1} or more"
            )
        if len(given.shape) > 1 or (given.shape and given.shape[0] != n):
            raise ValueError(
                f"[gradient] places of shape {tuple(given.shape)} for axis {i} of shape {tuple(f.shape)}; "
                f"expected one distance, or ({n},)"
            )
        slope = _slope(moveaxis(f, i, 0), _distances(given, n, f), edge_order)
        found.append(moveaxis(FUNCTIONS["astype"](slope, f.dtype, copy=False), 0, i))
    return found[0] if len(found) == 1 else tuple(found)


def _distances(given: Any, n: int, f: Any) -> Any:
    """The distances between neighbours, (n - 1,) and an axis for each further one of `f`."""
    if given.dtype.kind in "iub":
        given = FUNCTIONS["astype"](given, np.float64)
    h = diff(given) if given.shape else broadcast_to(given, (n - 1,))
    return reshape(h, (n - 1,) + (1,) * (len(f.shape) - 1))


def _slope(f: Any, h: Any, edge_order: int) -> Any:
    """The derivative along the first axis, with distances `h`: three-point formulas within, one-sided at the ends."""
    n = f.shape[0]

    def at(x: Any, k: int) -> Any:
        return getitem(x, slice(k, k + 1 or None))

    def rate(k: int) -> Any:
        return divide(subtract(at(f, k + 1), at(f, k)), at(h, k))

    parts = []
    if n > 2:
        left, right = getitem(h, slice(None, -1)), getitem(h, slice(1, None))
        rise = subtract(getitem(f, slice(2, None)), getitem(f, slice(1, -1)))
        fall = subtract(getitem(f, slice(1, -1)), getitem(f, slice(None, -2)))
        both = add(left, right)
        parts.append(add(multiply(divide(right, multiply(left, both)), fall),
                         multiply(divide(left, multiply(right, both)), rise)))  # fmt: skip
    first, final = rate(0), divide(subtract(at(f, -1), at(f, -2)), at(h, -1))
    if edge_order == 2:
        # The straight slope, corrected by the curvature over half the distance.
        before, behind = rate(1), divide(subtract(at(f, -2), at(f, -3)), at(h, -2))
        first = subtract(first, multiply(subtract(before, first), divide(at(h, 0), add(at(h, 0), at(h, 1)))))
        final = add(final, multiply(subtract(final, behind), divide(at(h, -1), add(at(h, -1), at(h, -2)))))
    return concatenate([first, *parts, final], 0)


@public
@placed
def unwrap(p: Any, discont: float | None = None, axis: int = -1, *, period: float = 2 * math.pi) -> Any:
    """Angles with whole periods added so that neighbours differ by half a period at most, as `numpy.unwrap`.

    What is added is piecewise constant: the gradient passes through.
    """
    p = operand(p)
    found = module(p).unwrap(bare(p), discont=discont, axis=axis, period=period)
    if not isinstance(p, Tensor) or found.dtype.kind != "f":
        return constant(p, found)
    return add(p, found - bare(p))


# ---- products


@public
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """The vector product of vectors with three elements, as `numpy.cross` (of two: the third is 0).

    Args:
        a: (..., 3) or (..., 2).
        b: likewise; both broadcast.
        axisa: the axis of `a` that holds the elements.
        axisb: that of `b`.
        axisc: where it is in the result. Two vectors of two elements give a number, without an axis.
        axis: all three at once (`dim` in PyTorch is this).

    Raises:
        ValueError: the axis has another length.
    """
    a, b = operand(a), operand(b)
    if axis is not None:
        axisa = axisb = axisc = axis
    a = moveaxis(a, axis_index("cross", axisa, a.shape), -1)
    b = moveaxis(b, axis_index("cross", axisb, b.shape), -1)
    if a.shape[-1] not in (2, 3) or b.shape[-1] not in (2, 3):
        raise ValueError(f"[cross] lengths {a.shape[-1]} and {b.shape[-1]} along the axes; expected 3 (or 2)")
    x, y = ([getitem(v, (..., k)) for k in range(v.shape[-1])] for v in (a, b))

    def minor(i: int, j: int) -> Any:
        terms = [multiply(x[i], y[j])] if i < len(x) and j < len(y) else []
        if j < len(x) and i < len(y):
            terms.append(negative(multiply(x[j], y[i])))
        return terms[0] if len(terms) == 1 else add(*terms)

    if len(x) == len(y) == 2:
        return minor(0, 1)
    out = stack([minor(1, 2), minor(2, 0), minor(0, 1)], -1)
    return moveaxis(out, -1, axis_index("cross", axisc, out.shape))
