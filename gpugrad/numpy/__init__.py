"""NumPy's names on arrays and tensors: `import gpugrad.numpy as np` in place of `import numpy as np`.

Bare arrays in give bare arrays out, and `float64` is the default, as in NumPy; a tensor in gives a tensor, and the
transforms (`gpugrad.grad` and its kin) differentiate. What computes lives in `gpugrad.ops`; constants, dtypes and the
functions that make or inspect arrays are NumPy's own.
"""

from __future__ import annotations

from typing import Any

# isort: off
import numpy as _numpy
from numpy import (
    arange, array2string, array_repr, array_str, bartlett, base_repr, binary_repr, blackman, bool_,
    broadcast_shapes, byte, can_cast, cdouble, complex128, complex64, complexfloating, csingle, datetime64,
    diag_indices, double, dtype, e, empty, errstate, euler_gamma, exceptions, eye, False_, finfo, float16,
    float32, float64, floating, from_dlpack, frombuffer, fromfile, fromfunction, fromiter, fromstring, gcd,
    generic, genfromtxt, get_printoptions, geterr, half, hamming, hanning, histogram2d, identity, iinfo,
    index_exp, indices, inexact, inf, int16, int32, int64, int8, int_, intc, integer, intp, isdtype, isin,
    isscalar, issubdtype, iterable, kaiser, lcm, lexsort, load, loadtxt, long, longdouble, longlong,
    mask_indices, may_share_memory, mgrid, min_scalar_type, nan, ndarray, ndenumerate, ndindex, newaxis, number,
    ogrid, ones, pi, printoptions, promote_types, random, ravel_multi_index, s_, save, savetxt, savez,
    savez_compressed, set_printoptions, seterr, shares_memory, short, signedinteger, single, testing,
    timedelta64, tri, tril_indices, triu_indices, True_, typing, ubyte, ufunc, uint, uint16, uint32, uint64,
    uint8, uintc, uintp, ulong, ulonglong, unravel_index, unsignedinteger, ushort, vectorize, zeros,
)  # fmt: skip

from ..backend import backend_of, is_array
from ..ops.arguments import bare, holds_tensor, operand
from ..ops.arranging import (
    append, block, compress, delete, diagflat, dsplit, extract, flatnonzero, hsplit, insert, meshgrid, resize,
    rollaxis, trim_zeros, vsplit,
)  # fmt: skip
from ..ops.bessel import i0
from ..ops.cast import astype, clone, conj, imag, real
from ..ops.choosing import apply_along_axis, apply_over_axes, choose, piecewise, select
from ..ops.diagonal import diag, diagonal, trace, tril, triu
from ..ops.einsum import dot, einsum, inner, kron, outer, tensordot, vdot
from ..ops.elementwise import (
    absolute, add, arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh, cbrt, ceil, clip, copysign,
    cos, cosh, deg2rad, divide, equal, exp, exp2, expm1, floor, floor_divide, fmax, fmin, fmod, greater,
    greater_equal, heaviside, hypot, isfinite, isinf, isnan, less, less_equal, log, log1p, log2, log10,
    logaddexp, logaddexp2, logical_and, logical_not, logical_or, logical_xor, maximum, minimum, multiply,
    negative, not_equal, positive, power, rad2deg, reciprocal, remainder, rint, sign, signbit, sin, sinc,
    sinh, sqrt, square, subtract, tan, tanh, trunc, where,
)  # fmt: skip
from ..ops.fitting import poly, polyfit, roots
from ..ops.index import take, take_along_axis
from ..ops.joining import (
    array_split, column_stack, concatenate, dstack, flip, fliplr, flipud, hstack, repeat, roll,
    rot90, split, stack, tile, unbind as unstack, vstack as row_stack, vstack,
)  # fmt: skip
from ..ops.linalg import matmul
from ..ops.logic import (
    allclose, array_equal, bitwise_and, bitwise_not, bitwise_or, bitwise_xor, isclose, left_shift,
    right_shift, round,
)  # fmt: skip
from ..ops.masks import argwhere, nonzero
from ..ops.matrix_norms import matvec, vecdot, vecmat
from ..ops.nan import (
    nanargmax, nanargmin, nancumprod, nancumsum, nanmax, nanmean, nanmin, nanprod, nanstd, nansum, nanvar,
)  # fmt: skip
from ..ops.numeric import (
    angle, cumulative_prod, cumulative_sum, divmod, fix, float_power, frexp, full, full_like, geomspace,
    iscomplex, isneginf, isposinf, isreal, ldexp, linspace, logspace, modf, nan_to_num, nextafter,
    real_if_close, spacing,
)  # fmt: skip
from ..ops.order import argpartition, argsort, cumprod, cumsum, partition, sort, unique
from ..ops.padding import pad
from ..ops.polynomials import polyadd, polyder, polyint, polymul, polysub, polyval, vander
from ..ops.quantile import (
    bincount, digitize, histogram, histogram_bin_edges, median, nanmedian, nanpercentile, nanquantile,
    percentile, quantile, searchsorted,
)  # fmt: skip
from ..ops.reduce import all, any, argmax, argmin, count_nonzero, max, mean, min, prod, ptp, std, sum, var
from ..ops.sequences import convolve, correlate, cross, diff, ediff1d, gradient, interp, trapezoid, unwrap
from ..ops.shape import (
    atleast_1d, atleast_2d, atleast_3d, broadcast_arrays, broadcast_to, expand_dims, matrix_transpose,
    moveaxis, permute as permute_dims, ravel, reshape, squeeze, swapaxes, transpose,
)  # fmt: skip
from ..ops.statistics import average, corrcoef, cov
from ..signatures import adopt
from ..tensor import Tensor
from . import fft, linalg
from .bracketed import c_, r_
# isort: on


__all__ = [  # noqa: RUF022 - wrapped like a paragraph
    "False_", "True_", "abs", "absolute", "acos", "acosh", "add", "all", "allclose", "amax", "amin", "angle",
    "any", "append", "apply_along_axis", "apply_over_axes", "arange", "arccos", "arccosh", "arcsin", "arcsinh",
    "arctan", "arctan2", "arctanh", "argmax", "argmin", "argpartition", "argsort", "argwhere", "around",
    "array", "array2string", "array_equal", "array_repr", "array_split", "array_str", "asanyarray", "asarray",
    "ascontiguousarray", "asin", "asinh", "astype", "atan", "atan2", "atanh", "atleast_1d", "atleast_2d",
    "atleast_3d", "average", "bartlett", "base_repr", "binary_repr", "bincount", "bitwise_and",
    "bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor",
    "blackman", "block", "bool_", "broadcast_arrays", "broadcast_shapes", "broadcast_to", "byte", "can_cast",
    "c_", "cbrt", "cdouble", "ceil", "choose", "clip", "column_stack", "complex128", "complex64", "complexfloating",
    "compress", "concat", "concatenate", "conj", "conjugate", "convolve", "copy", "copysign", "corrcoef",
    "correlate", "cos", "cosh", "count_nonzero", "cov", "cross", "csingle", "cumprod", "cumsum",
    "cumulative_prod", "cumulative_sum", "datetime64", "deg2rad", "degrees", "delete", "diag", "diag_indices",
    "diagflat", "diagonal", "diff", "digitize", "divide", "divmod", "dot", "double", "dsplit", "dstack",
    "dtype", "e", "ediff1d", "einsum", "einsum_path", "empty", "empty_like", "equal", "errstate", "euler_gamma",
    "exceptions", "exp", "exp2", "expand_dims", "expm1", "extract", "eye", "fabs", "fft", "finfo", "fix",
    "flatnonzero", "flip", "fliplr", "flipud", "float16", "float32", "float64", "float_power", "floating",
    "floor", "floor_divide", "fmax", "fmin", "fmod", "frexp", "from_dlpack", "frombuffer", "fromfile",
    "fromfunction", "fromiter", "fromstring", "full", "full_like", "gcd", "generic", "genfromtxt", "geomspace",
    "get_printoptions", "geterr", "gradient", "greater", "greater_equal", "half", "hamming", "hanning",
    "heaviside", "histogram", "histogram2d", "histogram_bin_edges", "hsplit", "hstack", "hypot", "i0",
    "identity", "iinfo", "imag", "index_exp", "indices", "inexact", "inf", "inner", "insert", "int16", "int32",
    "int64", "int8", "int_", "intc", "integer", "interp", "intp", "invert", "isclose", "iscomplex",
    "iscomplexobj", "isdtype", "isfinite", "isin", "isinf", "isnan", "isneginf", "isposinf", "isreal",
    "isrealobj", "isscalar", "issubdtype", "iterable", "ix_", "kaiser", "kron", "lcm", "ldexp", "left_shift",
    "less", "less_equal", "lexsort", "linalg", "linspace", "load", "loadtxt", "log", "log10", "log1p", "log2",
    "logaddexp", "logaddexp2", "logical_and", "logical_not", "logical_or", "logical_xor", "logspace", "long",
    "longdouble", "longlong", "mask_indices", "matmul", "matrix_transpose", "matvec", "max", "maximum",
    "may_share_memory", "mean", "median", "meshgrid", "mgrid", "min", "min_scalar_type", "minimum", "mod",
    "modf", "moveaxis", "multiply", "nan", "nan_to_num", "nanargmax", "nanargmin", "nancumprod", "nancumsum",
    "nanmax", "nanmean", "nanmedian", "nanmin", "nanpercentile", "nanprod", "nanquantile", "nanstd", "nansum",
    "nanvar", "ndarray", "ndenumerate", "ndim", "ndindex", "negative", "newaxis", "nextafter", "nonzero",
    "not_equal", "number", "ogrid", "ones", "ones_like", "outer", "pad", "partition", "percentile",
    "permute_dims", "pi", "piecewise", "poly", "polyadd", "polyder", "polyfit", "polyint", "polymul", "polysub",
    "polyval", "positive", "pow", "power", "printoptions", "prod", "promote_types", "ptp", "quantile",
    "r_", "rad2deg", "radians", "random", "ravel", "ravel_multi_index", "real", "real_if_close", "reciprocal",
    "remainder", "repeat", "reshape", "resize", "result_type", "right_shift", "rint", "roll", "rollaxis",
    "roots", "rot90", "round", "s_", "save", "savetxt", "savez", "savez_compressed", "searchsorted", "select",
    "set_printoptions", "seterr", "shape", "shares_memory", "short", "sign", "signbit", "signedinteger", "sin",
    "sinc", "single", "sinh", "size", "sort", "spacing", "split", "sqrt", "square", "squeeze", "stack", "std",
    "subtract", "sum", "swapaxes", "take", "take_along_axis", "tan", "tanh", "tensordot", "testing", "tile",
    "timedelta64", "trace", "transpose", "trapezoid", "tri", "tril", "tril_indices", "trim_zeros", "triu",
    "triu_indices", "true_divide", "trunc", "typing", "ubyte", "ufunc", "uint", "uint16", "uint32", "uint64",
    "uint8", "uintc", "uintp", "ulong", "ulonglong", "unique", "unravel_index", "unsignedinteger", "unstack",
    "unwrap", "ushort", "vander", "var", "vdot", "vecdot", "vecmat", "vectorize", "vsplit", "vstack", "where",
    "zeros", "zeros_like", "row_stack",
]  # fmt: skip

abs = fabs = absolute
true_divide, mod, pow = divide, remainder, power
acos, acosh, asin, asinh, atan, atan2, atanh = arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh
degrees, radians = rad2deg, deg2rad
conjugate, around, invert = conj, round, bitwise_not
bitwise_invert, bitwise_left_shift, bitwise_right_shift = bitwise_not, left_shift, right_shift
amax, amin, concat = max, min, concatenate
copy = clone


def array(
    object: Any, dtype: Any = None, *, copy: bool | None = True, order: Any = "K", subok: bool = False, ndmin: int = 0
) -> Any:
    """An array of numbers, arrays and tensors in nested lists; a tensor where a tensor is among them.

    Args:
        object: a number, an array, a tensor, or (nested) sequences of them, all of one shape.
        dtype: of the result, if not that of the elements.
        copy: False or None: an array or tensor of that dtype is returned itself.
        order: of a new bare array in memory.
        subok: without meaning here.
        ndmin: the least number of axes; more of length 1 come first.
    """
    if copy is not True and (isinstance(object, Tensor) or is_array(object)):
        made = object if dtype is None or object.dtype == dtype else astype(object, dtype)
    elif isinstance(object, Tensor):
        made = clone(object) if dtype is None else astype(object, dtype)
    elif isinstance(object, (list, tuple)) and holds_tensor(object):
        joined = stack([array(part, dtype) for part in object])
        made = joined if dtype is None else astype(joined, dtype)
    else:
        made = backend_of(object).xp.array(object, dtype=dtype, order=order)
    return reshape(made, (1,) * (ndmin - made.ndim) + tuple(made.shape)) if made.ndim < ndmin else made


def asarray(object: Any, dtype: Any = None, order: Any = None, *, copy: bool | None = None) -> Any:
    """As `array`, but an array or tensor of that dtype is returned itself, unless `copy` is True."""
    return array(object, dtype, copy=copy, order="K" if order is None else order)


asanyarray = ascontiguousarray = asarray


def shape(x: Any) -> tuple[int, ...]:
    """The lengths of the axes."""
    return tuple(operand(x).shape)


def ndim(x: Any) -> int:
    """The number of axes."""
    return len(operand(x).shape)


def size(x: Any, axis: int | None = None) -> int:
    """The number of elements, or the length of one axis."""
    return int(bare(operand(x)).size) if axis is None else int(operand(x).shape[axis])


def zeros_like(a: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None) -> Any:
    """A bare array of zeros, of the shape, dtype and device of `a` unless given; `subok` is without meaning here."""
    return backend_of(bare(a)).xp.zeros_like(bare(a), dtype=dtype, order=order, shape=shape)


def ones_like(a: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None) -> Any:
    """A bare array of ones, of the shape, dtype and device of `a` unless given; `subok` is without meaning here."""
    return backend_of(bare(a)).xp.ones_like(bare(a), dtype=dtype, order=order, shape=shape)


def empty_like(prototype: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None) -> Any:
    """A bare array whose values are not set, else as `zeros_like`."""
    return backend_of(bare(prototype)).xp.empty_like(bare(prototype), dtype=dtype, order=order, shape=shape)


def result_type(*operands: Any) -> Any:
    """The dtype that NumPy's promotion gives to the operands."""
    return _numpy.result_type(*[x.dtype if isinstance(x, Tensor) else x for x in operands])


def isrealobj(x: Any) -> Any:
    """Whether the dtype is no complex one."""
    return not iscomplexobj(x)


def ix_(*args: Any) -> tuple[Any, ...]:
    """An open mesh of indices: `x[np.ix_(rows, columns)]`."""
    return _numpy.ix_(*[bare(a) for a in args])


def einsum_path(*operands: Any, optimize: Any = "greedy") -> Any:
    """The order in which to contract the operands of `einsum`, and a report; nothing is computed."""
    shapes: list[Any] = [_numpy.empty(x.shape) if isinstance(x, Tensor) else x for x in operands]
    return _numpy.einsum_path(*shapes, optimize=optimize)


def iscomplexobj(x: Any) -> bool:
    """Whether the dtype is a complex one."""
    return bool(operand(x).dtype.kind == "c")


adopt(globals(), _numpy, holds_tensor)

# What NumPy does by changing an array in place, and how to say it instead.
_IN_PLACE = {
    "copyto": "x[...] = values, or np.where(mask, values, x)",
    "fill_diagonal": "x[np.diag_indices(n)] = value, or np.where(np.eye(n, dtype=bool), value, x)",
    "place": "x[mask] = values, or np.where(mask, values, x)",
    "put": "x[index] = values, or gg.index_put for a copy",
    "put_along_axis": "gg.put_along_axis, which returns a copy",
    "putmask": "x[mask] = values, or np.where(mask, values, x)",
}


def __getattr__(name: str) -> Any:
    if name in _IN_PLACE:
        raise AttributeError(
            f"[gpugrad.numpy] numpy.{name} changes its argument in place, which the tape cannot follow; "
            f"use {_IN_PLACE[name]}"
        )
    if name == "bool":  # NumPy 2's name of the dtype; here it would hide Python's own
        return bool_
    if not name.startswith("_") and hasattr(_numpy, name):
        raise AttributeError(
            f"[gpugrad.numpy] numpy.{name} has no gradient rule here; on values that need none call numpy.{name} with "
            f"the bare array (x.detach().data), else define it: elementwise with @gpugrad.elementwise, or with "
            f"gpugrad.primitive.Primitive({name!r}, forward, rule)"
        )
    raise AttributeError(f"[gpugrad.numpy] neither gpugrad nor NumPy has {name!r}; check the spelling")
