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
    arange, array2string, array_repr, array_str, base_repr, binary_repr, bincount, blackman, bool_,
    broadcast_shapes, can_cast, complex64, complex128, complexfloating, datetime64, digitize, dtype, e,
    empty, errstate, euler_gamma, exceptions, eye, finfo, float16, float32, float64, floating, frombuffer,
    fromfunction, fromiter, full, generic, geomspace, get_printoptions, geterr, hamming, hanning,
    histogram, histogram2d, histogram_bin_edges, identity, iinfo, indices, inexact, inf, int8, int16,
    int32, int64, integer, intp, isin, isscalar, issubdtype, ix_, kaiser, lexsort, linspace, load,
    loadtxt, logspace, longdouble, may_share_memory, meshgrid, mgrid, nan, ndarray, newaxis, number,
    ogrid, ones, pi, printoptions, promote_types, random, ravel_multi_index, save, savetxt, savez,
    savez_compressed, searchsorted, set_printoptions, seterr, shares_memory, signedinteger, testing,
    timedelta64, tri, tril_indices, triu_indices, typing, ufunc, uint8, uint16, uint32, uint64,
    unravel_index, unsignedinteger, vectorize, zeros,
)  # fmt: skip

from ..backend import backend_of
from ..ops.arguments import bare, operand
from ..ops.cast import astype, clone as copy, conj, imag, real
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
from ..ops.index import argwhere, nonzero, take, take_along_axis
from ..ops.joining import (
    array_split, column_stack, concatenate, dstack, flip, fliplr, flipud, hstack, pad, repeat, roll,
    rot90, split, stack, tile, unbind as unstack, vstack,
)  # fmt: skip
from ..ops.linalg import matmul
from ..ops.logic import (
    allclose, array_equal, bitwise_and, bitwise_not, bitwise_or, bitwise_xor, isclose, left_shift,
    right_shift, round,
)  # fmt: skip
from ..ops.order import argpartition, argsort, cumprod, cumsum, partition, sort, unique
from ..ops.reduce import all, any, argmax, argmin, count_nonzero, max, mean, min, prod, ptp, std, sum, var
from ..ops.shape import (
    atleast_1d, atleast_2d, atleast_3d, broadcast_arrays, broadcast_to, expand_dims, matrix_transpose,
    moveaxis, permute as permute_dims, ravel, reshape, squeeze, swapaxes, transpose,
)  # fmt: skip
from ..tensor import Tensor
from . import fft, linalg
# isort: on


__all__ = [  # noqa: RUF022 - wrapped like a paragraph
    "abs", "absolute", "acos", "acosh", "add", "all", "allclose", "amax", "amin", "any", "arange",
    "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "argmax", "argmin",
    "argpartition", "argsort", "argwhere", "around", "array", "array2string", "array_equal", "array_repr",
    "array_split", "array_str", "asarray", "asin", "asinh", "astype", "atan", "atan2", "atanh",
    "atleast_1d", "atleast_2d", "atleast_3d", "base_repr", "binary_repr", "bincount", "bitwise_and",
    "bitwise_not", "bitwise_or", "bitwise_xor", "blackman", "bool_", "broadcast_arrays",
    "broadcast_shapes", "broadcast_to", "can_cast", "cbrt", "ceil", "clip", "column_stack", "complex128",
    "complex64", "complexfloating", "concat", "concatenate", "conj", "conjugate", "copy", "copysign",
    "cos", "cosh", "count_nonzero", "cumprod", "cumsum", "datetime64", "deg2rad", "degrees", "diag",
    "diagonal", "diff", "digitize", "divide", "dot", "dstack", "dtype", "e", "einsum", "empty",
    "empty_like", "equal", "errstate", "euler_gamma", "exceptions", "exp", "exp2", "expand_dims", "expm1",
    "eye", "fabs", "fft", "finfo", "flip", "fliplr", "flipud", "float16", "float32", "float64", "floating",
    "floor", "floor_divide", "fmax", "fmin", "fmod", "frombuffer", "fromfunction", "fromiter", "full",
    "full_like", "generic", "geomspace", "get_printoptions", "geterr", "greater", "greater_equal",
    "hamming", "hanning", "heaviside", "histogram", "histogram2d", "histogram_bin_edges", "hstack",
    "hypot", "identity", "iinfo", "imag", "indices", "inexact", "inf", "inner", "int16", "int32", "int64",
    "int8", "integer", "intp", "invert", "isclose", "iscomplexobj", "isfinite", "isin", "isinf", "isnan",
    "isscalar", "issubdtype", "ix_", "kaiser", "kron", "left_shift", "less", "less_equal", "lexsort",
    "linalg", "linspace", "load", "loadtxt", "log", "log10", "log1p", "log2", "logaddexp", "logaddexp2",
    "logical_and", "logical_not", "logical_or", "logical_xor", "logspace", "longdouble", "matmul",
    "matrix_transpose", "max", "maximum", "may_share_memory", "mean", "median", "meshgrid", "mgrid",
    "min", "minimum", "mod", "moveaxis", "multiply", "nan", "ndarray", "ndim", "negative", "newaxis",
    "nonzero", "not_equal", "number", "ogrid", "ones", "ones_like", "outer", "pad", "partition",
    "permute_dims", "pi", "positive", "pow", "power", "printoptions", "prod", "promote_types", "ptp",
    "rad2deg", "radians", "random", "ravel", "ravel_multi_index", "real", "reciprocal", "remainder",
    "repeat", "reshape", "result_type", "right_shift", "rint", "roll", "rot90", "round", "save",
    "savetxt", "savez", "savez_compressed", "searchsorted", "set_printoptions", "seterr", "shape",
    "shares_memory", "sign", "signbit", "signedinteger", "sin", "sinc", "sinh", "size", "sort", "split",
    "sqrt", "square", "squeeze", "stack", "std", "subtract", "sum", "swapaxes", "take", "take_along_axis",
    "tan", "tanh", "tensordot", "testing", "tile", "timedelta64", "trace", "transpose", "tri", "tril",
    "tril_indices", "triu", "triu_indices", "true_divide", "trunc", "typing", "ufunc", "uint16", "uint32",
    "uint64", "uint8", "unique", "unravel_index", "unsignedinteger", "unstack", "var", "vdot",
    "vectorize", "vstack", "where", "zeros", "zeros_like",
]  # fmt: skip

abs = fabs = absolute
true_divide, mod, pow = divide, remainder, power
acos, acosh, asin, asinh, atan, atan2, atanh = arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh
degrees, radians = rad2deg, deg2rad
conjugate, around, invert = conj, round, bitwise_not
amax, amin, concat = max, min, concatenate


def array(object: Any, dtype: Any = None) -> Any:
    """An array of numbers, arrays and tensors in nested lists, copied; a tensor where a tensor is among them.

    Args:
        object: a number, an array, a tensor, or (nested) sequences of them, all of one shape.
        dtype: of the result, if not that of the elements.
    """
    if isinstance(object, Tensor):
        return copy(object) if dtype is None else astype(object, dtype)
    if isinstance(object, (list, tuple)) and _holds_tensor(object):
        joined = stack([array(part, dtype) for part in object])
        return joined if dtype is None else astype(joined, dtype)
    return backend_of(object).xp.array(object, dtype=dtype)


def _holds_tensor(parts: Any) -> bool:
    found = [p for p in parts if isinstance(p, Tensor) or (isinstance(p, (list, tuple)) and _holds_tensor(p))]
    return bool(found)


def asarray(object: Any, dtype: Any = None) -> Any:
    """As `array`, but an array or tensor of that dtype is returned itself."""
    if isinstance(object, (Tensor, ndarray)) or backend_of(object).xp is not _numpy:
        return object if dtype is None or object.dtype == dtype else astype(object, dtype)
    return array(object, dtype)


def shape(x: Any) -> tuple[int, ...]:
    """The lengths of the axes."""
    return tuple(operand(x).shape)


def ndim(x: Any) -> int:
    """The number of axes."""
    return len(operand(x).shape)


def size(x: Any, axis: int | None = None) -> int:
    """The number of elements, or the length of one axis."""
    return int(bare(operand(x)).size) if axis is None else int(operand(x).shape[axis])


def zeros_like(x: Any, dtype: Any = None) -> Any:
    """A bare array of zeros, of the shape, dtype and device of `x`."""
    return backend_of(bare(x)).xp.zeros_like(bare(x), dtype=dtype)


def ones_like(x: Any, dtype: Any = None) -> Any:
    """A bare array of ones, of the shape, dtype and device of `x`."""
    return backend_of(bare(x)).xp.ones_like(bare(x), dtype=dtype)


def empty_like(x: Any, dtype: Any = None) -> Any:
    """A bare array whose values are not set, of the shape, dtype and device of `x`."""
    return backend_of(bare(x)).xp.empty_like(bare(x), dtype=dtype)


def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Any:
    """A bare array of one value, of the shape, dtype and device of `x`."""
    return backend_of(bare(x)).xp.full_like(bare(x), fill_value, dtype=dtype)


def result_type(*operands: Any) -> Any:
    """The dtype that NumPy's promotion gives to the operands."""
    return _numpy.result_type(*[x.dtype if isinstance(x, Tensor) else x for x in operands])


def iscomplexobj(x: Any) -> bool:
    """Whether the dtype is a complex one."""
    return bool(operand(x).dtype.kind == "c")


def __getattr__(name: str) -> Any:
    if name == "bool":  # NumPy 2's name of the dtype; here it would hide Python's own
        return bool_
    if not name.startswith("_") and hasattr(_numpy, name):
        raise AttributeError(
            f"[gpugrad.numpy] numpy.{name} has no gradient rule here; on values that need none call numpy.{name} with "
            f"the bare array (x.detach().data), else define it: elementwise with @gpugrad.elementwise, or with "
            f"gpugrad.primitive.Primitive({name!r}, forward, rule)"
        )
    raise AttributeError(f"[gpugrad.numpy] neither gpugrad nor NumPy has {name!r}; check the spelling")
