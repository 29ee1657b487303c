"""What NumPy has beside the ufuncs: parts of numbers, repairs of nan and infinities, ranges between traced ends.

Parts that are constant between jumps (exponents, spacings, truth values) have no gradient.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import WrappedArray, backend_of, is_array
from ..backend.placing import placed
from ..primitive import FUNCTIONS, public
from ..tensor import Tensor
from .arguments import bare, constant, module, operand, shape_tuple, some, spelled
from .cast import imag, real
from .elementwise import (
    absolute,
    add,
    arctan2,
    copysign,
    divide,
    exp2,
    floor_divide,
    fmod,
    log,
    multiply,
    power,
    remainder,
    select,
    sign,
    subtract,
    trunc,
)
from .index import getitem
from .joining import concatenate
from .order import cumprod, cumsum
from .shape import broadcast_to, expand_dims, moveaxis

# ---- nan, infinities, complex numbers


def _repaired(x: Any, nan: Any, posinf: Any, neginf: Any) -> Any:
    array = bare(x)
    limits = np.finfo(array.dtype)
    top, bottom = float(limits.max) if posinf is None else posinf, float(limits.min) if neginf is None else neginf
    x = select(array != array, nan, x)
    return select(array == math.inf, top, select(array == -math.inf, bottom, x))


@public
@spelled
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """Numbers in place of nan and infinities, as `numpy.nan_to_num`; what was replaced has gradient 0.

    Args:
        x: any shape; of complex elements both parts are repaired.
        copy: True only: a change in place would cut the graph.
        nan: in place of nan.
        posinf: in place of infinity, the largest number of the dtype if not given.
        neginf: in place of its negative, likewise.

    Raises:
        TypeError: `copy=False` on a tensor.
    """
    x = operand(x)
    if not copy and isinstance(x, Tensor):
        raise TypeError("[nan_to_num] copy=False would change a tensor in place; assign the result")
    if x.dtype.kind in "iub":
        return x
    if x.dtype.kind != "c":
        return _repaired(x, nan, posinf, neginf)
    first = _repaired(real(x), nan, posinf, neginf)
    return add(first, multiply(_repaired(imag(x), nan, posinf, neginf), 1j))


@public
@spelled
def real_if_close(x: Any, tol: float = 100) -> Any:
    """The real part where all imaginary parts are within `tol` epsilons of 0, else `x`; waits for the device."""
    x = operand(x)
    if x.dtype.kind != "c":
        return x
    limit = tol * float(np.finfo(x.dtype).eps) if tol > 1 else tol
    return real(x) if bool((abs(bare(x).imag) < limit).all()) else x


@public
def angle(z: Any, deg: bool = False) -> Any:
    """The argument of complex numbers, in radians or degrees; of real ones 0 or pi."""
    z = operand(z)
    y = arctan2(imag(z), real(z)) if z.dtype.kind == "c" else arctan2(0.0, z)
    return multiply(y, 180 / math.pi) if deg else y


@public
def isreal(x: Any) -> Any:
    """Whether elements have no imaginary part. No gradient."""
    x = operand(x)
    return constant(x, module(x).isreal(bare(x)))


@public
def iscomplex(x: Any) -> Any:
    """Whether elements have an imaginary part. No gradient."""
    x = operand(x)
    return constant(x, module(x).iscomplex(bare(x)))


@public
@placed
def isposinf(x: Any) -> Any:
    """Whether elements are infinity. No gradient."""
    x = operand(x)
    return constant(x, bare(x) == math.inf)


@public
@placed
def isneginf(x: Any) -> Any:
    """Whether elements are negative infinity. No gradient."""
    x = operand(x)
    return constant(x, bare(x) == -math.inf)


# ---- powers and parts


@public
def float_power(x1: Any, x2: Any) -> Any:
    """`power` in double precision, whatever the dtypes: integers may have negative exponents."""
    wide = np.result_type(operand(x1).dtype, operand(x2).dtype, np.float64)
    return power(*[FUNCTIONS["astype"](operand(x), wide, copy=False) for x in (x1, x2)])


@public
def fix(x: Any) -> Any:
    """Rounded towards 0; the gradient is 0."""
    return trunc(operand(x))


@public
@placed
def modf(x: Any) -> tuple[Any, Any]:
    """The fractional part, whose gradient is that of `x`, and the whole part; both with the sign of `x`."""
    x = _floating(operand(x))
    endless = abs(bare(x)) == math.inf
    return select(endless, copysign(0.0, x), fmod(select(endless, 0.0, x), 1.0)), trunc(x)


def _floating(x: Any) -> Any:
    return FUNCTIONS["astype"](x, np.float64) if x.dtype.kind in "iub" else x


@public
def divmod(x1: Any, x2: Any) -> tuple[Any, Any]:
    """`floor_divide` and `remainder`."""
    return floor_divide(x1, x2), remainder(x1, x2)


@public
@placed
def ldexp(x1: Any, x2: Any) -> Any:
    """`x1 * 2**x2` for integers `x2`, exactly."""
    x1, powers = _floating(operand(x1)), bare(operand(x2))
    if powers.dtype.kind not in "iu":
        raise TypeError(f"[ldexp] x2 has dtype {powers.dtype}; expected integers (multiply by exp2 takes others)")
    dtype = x1.dtype
    half = powers // 2  # each factor stays in range where their product does not
    first, second = (bare(exp2(p.astype(np.float64))).astype(dtype) for p in (half, powers - half))
    return multiply(multiply(x1, first), second)


@public
@placed
def frexp(x: Any) -> tuple[Any, Any]:
    """The mantissa, in [0.5, 1), and the exponent of 2; the gradient of the mantissa is 2**-exponent."""
    x = _floating(operand(x))
    mantissa, exponent = module(x).frexp(bare(x))
    if not isinstance(x, Tensor):
        return constant(x, mantissa), constant(x, exponent)
    finite = select(~module(x).isfinite(bare(x)), mantissa, ldexp(x, -exponent))
    return finite, constant(x, exponent)


@public
@placed
def spacing(x: Any) -> Any:
    """The distance to the next number of the dtype. No gradient."""
    x = operand(x)
    return constant(x, module(x).nextafter(bare(x), module(x).copysign(math.inf, bare(x))) - bare(x))


@public
def nextafter(x1: Any, x2: Any) -> Any:
    """The number of the dtype next to `x1` in the direction of `x2`. No gradient."""
    first = x1 if isinstance(x1, Tensor) or (is_array(x1) and not isinstance(x2, Tensor)) else operand(x2)
    return constant(first, module(first).nextafter(bare(x1), bare(x2)))


# ---- running sums of the array API


def _cumulative(name: str, running: Any, x: Any, axis: int | None, dtype: Any, start: float) -> Any:
    x = operand(x)
    if axis is None:
        if len(x.shape) > 1:
            raise ValueError(f"[{name}] an array of shape {tuple(x.shape)}; name the axis")
        axis = 0
    found = running(x, axis, dtype)
    if math.isnan(start):
        return found
    shape = list(found.shape)
    shape[axis] = 1
    return concatenate([module(x).full(shape, start, dtype=found.dtype), found], axis)


@public
def cumulative_sum(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    """The running sum along an axis (which only a vector may leave out), with a 0 before it if asked."""
    return _cumulative("cumulative_sum", cumsum, x, axis, dtype, 0.0 if include_initial else math.nan)


@public
def cumulative_prod(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    """The running product along an axis (which only a vector may leave out), with a 1 before it if asked."""
    return _cumulative("cumulative_prod", cumprod, x, axis, dtype, 1.0 if include_initial else math.nan)


# ---- ranges and constant arrays with traced numbers


def _has_tensor(*values: Any) -> bool:
    return any(isinstance(v, Tensor) for v in values)


def _ends(start: Any, stop: Any) -> tuple[Any, Any, Any]:
    start, stop = operand(start), operand(stop)
    shape = np.broadcast_shapes(start.shape, stop.shape)
    first, last = (expand_dims(v if v.shape == shape else broadcast_to(v, shape), 0) for v in (start, stop))
    return first, last, first if first.dtype.kind in "fc" else last


def _even(first: Any, last: Any, like: Any, num: int, endpoint: bool) -> tuple[Any, Any]:
    """Even numbers along a new first axis, rounded as NumPy rounds them, and their distance."""
    parts = num - 1 if endpoint else num
    dtype = like.dtype if like.dtype.kind in "fc" else np.dtype(np.float64)
    counts = module(like).arange(num).astype(dtype).reshape((-1,) + (1,) * (len(first.shape) - 1))
    away = subtract(last, first)
    step = divide(away, parts) if parts else multiply(away, math.nan)
    found = add(multiply(step if parts else away, counts), first)
    if endpoint and num > 1:
        found = _with_end(found, last)
    return found, getitem(step, 0)


def _with_end(x: Any, last: Any) -> Any:
    """`x` with its last slice replaced, exactly, by the end."""
    last = FUNCTIONS["astype"](last, x.dtype, copy=False)
    return concatenate([getitem(x, slice(None, -1)), last], 0)


def _finished(x: Any, dtype: Any, axis: int) -> Any:
    x = x if dtype is None else FUNCTIONS["astype"](x, dtype)
    return moveaxis(x, 0, axis) if axis else x


@public
@placed
def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None,
    axis: int = 0,
) -> Any:  # fmt: skip
    """`num` numbers evenly from `start` to `stop`, as `numpy.linspace`; the ends may be tensors with gradients.

    Returns:
        The numbers along `axis`; with `retstep` a pair of them and their distance. A bare array of bare ends.
    """
    if not _has_tensor(start, stop):
        found = _plain("linspace", start, stop)(start, stop, num, endpoint, retstep, dtype, axis=axis)
        return (found[0], module(found[0]).asarray(found[1])) if retstep else found
    x, step = _even(*_ends(start, stop), num, endpoint)
    x = _finished(x, dtype, axis)
    return (x, step) if retstep else x


def _plain(name: str, *values: Any) -> Any:
    """The function of this name that fits where the values are."""
    arrays = [v for v in values if is_array(v)]
    return getattr(backend_of(arrays[0]).xp if arrays else np, name)


@public
@placed
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Any:  # fmt: skip
    """`base` to the powers that are evenly from `start` to `stop`, as `numpy.logspace`."""
    if not _has_tensor(start, stop, base):
        return _plain("logspace", start, stop, base)(start, stop, num, endpoint, base, dtype, axis=axis)
    powers = linspace(start, stop, num, endpoint, False, None, 0)
    base = base if isinstance(base, (int, float)) else operand(base)
    return _finished(power(base if isinstance(base, (Tensor, np.ndarray)) else float(base), powers), dtype, axis)


@public
@placed
def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:  # fmt: skip
    """`num` numbers of one ratio from `start` to `stop`, as `numpy.geomspace`; real traced ends of one sign.

    Raises:
        ValueError: an end is 0, or traced ends are complex or of different signs.
    """
    first, last, like = _ends(start, stop)
    odd = "c" in (first.dtype.kind, last.dtype.kind)
    if type(bare(first)) is np.ndarray:
        odd = odd or some(bare(first) * bare(last) <= 0)
    if odd and not _has_tensor(start, stop):
        return _plain("geomspace", start, stop)(start, stop, num, endpoint, dtype, axis=axis)
    if odd:
        raise ValueError("[geomspace] traced ends must be real, not 0 and of one sign; compose others of exp and log")
    powers, _ = _even(log(absolute(first)), log(absolute(last)), like, num, endpoint)
    found = multiply(sign(bare(first)), FUNCTIONS["exp"](powers))
    if num:
        found = concatenate([FUNCTIONS["astype"](first, found.dtype, copy=False), getitem(found, slice(1, None))], 0)
    return _finished(_with_end(found, last) if endpoint and num > 1 else found, dtype, axis)


@public
def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> Any:
    """An array of one value; a tensor where the value is one, whose gradient is then the sum of the cotangent."""
    shape = shape_tuple("full", (shape,))
    if not isinstance(fill_value, Tensor):
        return _plain("full", fill_value)(shape, fill_value, dtype, order)
    value = fill_value if dtype is None else FUNCTIONS["astype"](fill_value, dtype)
    return FUNCTIONS["clone"](broadcast_to(value, shape))


@public
def full_like(x: Any, fill_value: Any, dtype: Any = None, order: str = "K", shape: Any = None) -> Any:
    """An array of one value, of the shape, dtype and device of `x`; a tensor where the value is one."""
    array = bare(operand(x))
    shape = array.shape if shape is None else shape_tuple("full_like", (shape,))
    if isinstance(fill_value, (Tensor, WrappedArray)):
        return full(shape, fill_value, array.dtype if dtype is None else dtype)
    return backend_of(array).xp.full_like(array, fill_value, dtype=dtype, order=order, shape=shape)
