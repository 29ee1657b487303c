"""The Python array API standard, version 2024.12, on tensors: what `x.__array_namespace__()` returns.

Names, signatures and promotion are the standard's; everything differentiable is differentiated. The functions are those
of `gpugrad.ops` behind the standard's signatures. Floats made from Python numbers have `gg.get_default_dtype()`, which
the standard leaves open. How far it conforms is in docs/array-api.md.
"""

from __future__ import annotations

from typing import Any, Final

# isort: off
import numpy as _numpy

from .._version import __version__
from ..ops.arguments import operand as _operand
from ..ops.cast import conj, imag, real
from ..ops.diagonal import tril as _tril, triu as _triu
from ..ops.einsum import tensordot
from ..ops.elementwise import (
    absolute as abs, add, arccos as acos, arccosh as acosh, arcsin as asin, arcsinh as asinh, arctan as atan,
    arctan2 as atan2, arctanh as atanh, ceil, copysign, cos, cosh, divide, equal, exp, expm1, floor, floor_divide,
    greater, greater_equal, hypot, isfinite, isinf, isnan, less, less_equal, log, log1p, log2, log10, logaddexp,
    logical_and, logical_not, logical_or, logical_xor, maximum, minimum, multiply, negative, not_equal, positive,
    power as pow, reciprocal, remainder, sign, signbit, sin, sinh, sqrt, square, subtract, tan, tanh, trunc,
)  # fmt: skip
from ..ops.linalg import matmul
from ..ops.logic import (
    bitwise_and, bitwise_not as bitwise_invert, bitwise_or, bitwise_xor, left_shift as bitwise_left_shift,
    right_shift as bitwise_right_shift, round,
)  # fmt: skip
from ..ops.matrix_norms import vecdot
from ..ops.numeric import nextafter
from ..ops.shape import matrix_transpose
from . import fft, linalg
from .creation import (
    arange, asarray, empty, empty_like, eye, from_dlpack, full, full_like, linspace, meshgrid, ones, ones_like, zeros,
    zeros_like,
)  # fmt: skip
from .dtypes import astype, can_cast, finfo, iinfo, isdtype, result_type
from .info import __array_namespace_info__
from .manipulation import (
    broadcast_arrays, broadcast_to, concat, expand_dims, flip, moveaxis, permute_dims, repeat, reshape, roll, squeeze,
    stack, take, take_along_axis, tile, unstack,
)  # fmt: skip
from .searching import (
    argmax, argmin, argsort, count_nonzero, nonzero, searchsorted, sort, unique_all, unique_counts, unique_inverse,
    unique_values, where,
)  # fmt: skip
from .statistics import all, any, clip, cumulative_prod, cumulative_sum, diff, max, mean, min, prod, std, sum, var
# isort: on

VERSIONS: Final = ("2021.12", "2022.12", "2023.12", "2024.12")  # each later one contains the earlier ones
__array_api_version__: Final = "2024.12"

bool = _numpy.dtype(_numpy.bool_)
int8, int16, int32, int64 = map(_numpy.dtype, ("int8", "int16", "int32", "int64"))
uint8, uint16, uint32, uint64 = map(_numpy.dtype, ("uint8", "uint16", "uint32", "uint64"))
float32, float64, complex64, complex128 = map(_numpy.dtype, ("float32", "float64", "complex64", "complex128"))
e, inf, nan, pi, newaxis = _numpy.e, _numpy.inf, _numpy.nan, _numpy.pi, None

__all__ = [  # noqa: RUF022 - wrapped like a paragraph
    "__array_api_version__", "__array_namespace_info__", "__version__", "abs", "acos", "acosh", "add", "all", "any",
    "arange", "argmax", "argmin", "argsort", "asarray", "asin", "asinh", "astype", "atan", "atan2", "atanh",
    "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "bool",
    "broadcast_arrays", "broadcast_to", "can_cast", "ceil", "clip", "complex128", "complex64", "concat", "conj",
    "copysign", "cos", "cosh", "count_nonzero", "cumulative_prod", "cumulative_sum", "diff", "divide", "e", "empty",
    "empty_like", "equal", "exp", "expand_dims", "expm1", "eye", "fft", "finfo", "flip", "float32", "float64", "floor",
    "floor_divide", "from_dlpack", "full", "full_like", "greater", "greater_equal", "hypot", "iinfo", "imag", "inf",
    "int16", "int32", "int64", "int8", "isdtype", "isfinite", "isinf", "isnan", "less", "less_equal", "linalg",
    "linspace", "log", "log10", "log1p", "log2", "logaddexp", "logical_and", "logical_not", "logical_or",
    "logical_xor", "matmul", "matrix_transpose", "max", "maximum", "mean", "meshgrid", "min", "minimum", "moveaxis",
    "multiply", "nan", "negative", "newaxis", "nextafter", "nonzero", "not_equal", "ones", "ones_like",
    "permute_dims", "pi", "positive", "pow", "prod", "real", "reciprocal", "remainder", "repeat", "reshape",
    "result_type", "roll", "round", "searchsorted", "sign", "signbit", "sin", "sinh", "sort", "sqrt", "square",
    "squeeze", "stack", "std", "subtract", "sum", "take", "take_along_axis", "tan", "tanh", "tensordot", "tile",
    "tril", "triu", "trunc", "uint16", "uint32", "uint64", "uint8", "unique_all", "unique_counts", "unique_inverse",
    "unique_values", "unstack", "var", "vecdot", "where", "zeros", "zeros_like",
]  # fmt: skip


def tril(x: Any, /, *, k: int = 0) -> Any:
    """The lower triangle, up to the `k`-th diagonal; zeros elsewhere."""
    return _tril(_operand(x), k)


def triu(x: Any, /, *, k: int = 0) -> Any:
    """The upper triangle, from the `k`-th diagonal on; zeros elsewhere."""
    return _triu(_operand(x), k)
