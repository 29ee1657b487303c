"""Gradients for NumPy and CuPy code, with a training stack on top.

The tensor face: `import gpugrad as gg`, with PyTorch's names. The NumPy face is `gpugrad.numpy`. What is imported here
needs NumPy only; CuPy and Numba are loaded when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

import numpy as _numpy

from . import cpu, cuda, fusion, linalg
from ._version import __version__

# fmt: off
from .anomaly import AnomalyError
from .backend import Device, DeviceError, cuda_settings as _cuda_settings, default_device, device, set_default_device
from .backend import precision as _precision
from .backend.precision import get_float32_matmul_precision, set_float32_matmul_precision
from .batching import BatchError
from .casting import autocast
from .exhausted import OutOfMemoryError
from .fusion import FormulaError
from .gradmode import detect_anomaly, enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from .methods.layout import MemoryFormat as _MemoryFormat
from .ops import fft, special
from .ops.arranging import append, block, meshgrid
from .ops.bessel import i0
from .ops.cast import astype, clone, conj, imag, real
from .ops.choosing import apply_along_axis, piecewise, select
from .ops.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from .ops.defining import elementwise
from .ops.creation import (
    arange, as_tensor, asarray, empty, empty_like, eye, from_numpy, full, full_like, get_default_dtype, linspace,
    ones, ones_like, set_default_dtype, tensor, zeros, zeros_like,
)
from .ops.diagonal import diag, diag_embed, diagonal, trace, tril, triu
from .ops.distances import cdist
from .ops.einsum import dot, einsum, inner, kron, outer, tensordot, vdot
from .ops.elementwise import (
    absolute as abs, absolute, arccos as acos, arccosh as acosh, add, arccos, arccosh, arcsin, arcsinh, arctan,
    arctan2, arctanh, arcsin as asin, arcsinh as asinh, arctan as atan, arctan2 as atan2, arctanh as atanh, cbrt, ceil,
    celu, clip as clamp, clip, copysign, cos, cosh, deg2rad, rad2deg as degrees, divide as div, divide, elu, equal as
    eq, equal, erf, erfc, exp, exp2, sigmoid as expit, expm1, absolute as fabs, floor, floor_divide, fmax, fmin, fmod,
    gelu, greater_equal as ge, greater, greater_equal, greater as gt, hardsigmoid, hardswish, hardtanh, heaviside,
    hypot, identity, isfinite, isinf, isnan, leaky_relu, less_equal as le, less, less_equal, less as lt, log, log10,
    log1p, log2, log_sigmoid, logaddexp, logaddexp2, logical_and, logical_not, logical_or, logical_xor, logit,
    log_sigmoid as logsigmoid, maximum, minimum, mish, remainder as     mod, multiply as mul, multiply, not_equal as
    ne, negative as neg, negative, not_equal, positive, power as pow, power, prelu, rad2deg, deg2rad as     radians,
    reciprocal, relu, relu6, remainder, rint, rsqrt, selu, sigmoid, sign, signbit, silu, sin, sinc, sinh, softplus,
    softsign, sqrt, square, step, subtract as sub, subtract, tan, tanh, divide as true_divide, trunc, where,
)
from .ops.entropy import cross_entropy
from .ops.exchange import from_dlpack
from .ops.index import gather, index_add, put_along_axis, scatter, scatter_add, take, take_along_axis
from .ops.joining import (
    array_split, concatenate as cat, chunk, column_stack, concatenate as concat, concatenate, dstack, flip, fliplr,
    flipud, hstack, repeat, repeat as repeat_interleave, roll, rot90, vstack as row_stack, stack,
    array_split as tensor_split, tile, unbind, unbind as unstack, vstack,
)
from .ops.linalg import addmm, bmm, linear, matmul, mm
from .ops.logic import (
    allclose, round as around, array_equal, bitwise_and, bitwise_not, bitwise_or, bitwise_xor, bitwise_not as
    invert, isclose, left_shift, right_shift, round,
)
from .ops.masks import argwhere, masked_fill, masked_select, nonzero
from .ops.nan import nancumprod, nancumsum, nanmax, nanmean, nanmin, nanprod, nanstd, nansum, nanvar
from .ops.numeric import (
    angle, cumulative_prod, cumulative_sum, fix, float_power, frexp, ldexp, modf, nan_to_num,
)
from .ops.order import argpartition, argsort, cumprod, cumsum, partition, sort, topk, unique
from .ops.polynomials import polyval, vander
from .ops.picking import index_copy, index_fill, index_select, narrow, scatter_reduce, take_along_dim
from .ops.quantile import (
    bincount, digitize, histogram, median, nanmedian, nanpercentile, nanquantile, percentile, quantile,
    searchsorted,
)
from .ops.padding import pad
from .ops.queries import (
    finfo, hamming_window, hann_window, iinfo, is_complex, is_floating_point, is_tensor, numel, promote_types,
    result_type, tril_indices, triu_indices, unravel_index,
)
from .ops.random import (
    Generator, get_rng_state, manual_seed, normal, rand, rand_like, randint, randn, randn_like, randperm, set_rng_state,
    uniform,
)
from .ops.reduce import (
    all, any, argmax, argmin, count_nonzero, max, mean, min, prod, ptp, std, sum, var,
)
from .ops.rows import dropout, layer_norm, log_softmax, logsumexp, maxout, rms_norm, softmax
from .ops.runs import bucketize, cummax, cummin, isin, kthvalue, logcumsumexp, mode, unique_consecutive
from .ops.sampling import bernoulli, multinomial
from .ops.sequences import convolve, correlate, cross, diff, gradient, interp, trapezoid, unwrap
from .ops.shape import (
    atleast_1d, atleast_2d, atleast_3d, broadcast_arrays, broadcast_arrays as broadcast_tensors, broadcast_to,
    expand, expand_as, expand_dims, flatten, matrix_transpose, moveaxis, moveaxis as movedim, permute, permute as
    permute_dims, ravel, reshape, view_as as reshape_as, squeeze, swapaxes, swapaxes as swapdims, t, transpose,
    unflatten, unsqueeze, view, view_as,
)
from .ops.special import digamma, erfinv, gammaln, gammaln as lgamma, polygamma, xlogy
from .ops.statistics import average, corrcoef, cov
from .ops.torch_meanings import amax, amin, norm, split
from .ops.weighted import (
    addbmm, addcdiv, addcmul, addmv, addr, baddbmm, frac, lerp, mv, polar, std_mean, var_mean, view_as_complex,
    view_as_real,
)
from .primitive import Primitive
from .nodes import GradientError
from .tensor import Tensor
from .transforms import (
    GradientMismatchError, check_grads, checkpoint, compile, custom_jvp, custom_vjp, elementwise_grad, grad, hessian,
    hvp, jacfwd, jacobian, jacrev, jvp, linearize, stop_gradient, value_and_grad, vjp, vmap,
)
# fmt: on

# Dtypes are NumPy's.
float16 = _numpy.float16
float32 = _numpy.float32
float64 = _numpy.float64
int8 = _numpy.int8
int16 = _numpy.int16
int32 = _numpy.int32
int64 = _numpy.int64
uint8 = _numpy.uint8
uint16 = _numpy.uint16
uint32 = _numpy.uint32
uint64 = _numpy.uint64
complex64 = _numpy.complex64
complex128 = _numpy.complex128
bool_ = _numpy.bool_
pi = _numpy.pi
e = _numpy.e
inf = _numpy.inf
nan = _numpy.nan
newaxis = _numpy.newaxis


if TYPE_CHECKING:
    from . import amp, autograd, backends, cost, func, nn, optim
    from .bridges import from_jax, from_torch, to_jax, to_torch
    from .cost import CostError, checkpoint_plan, profile, tape_memory
    from .explaining import explain
    from .optim.scaler import GradScaler
    from .scipy.linalg import block_diag
    from .train.saving import load, save
    from .transforms.solvers import SolverError, fixed_point, odeint

# Loaded when first asked for: a program that only differentiates trains nothing, measures nothing, solves no equations.
_ROOMS = frozenset({"amp", "autograd", "backends", "cost", "func", "nn", "optim"})
# PyTorch's names of dtypes that Python has already: attributes of `gg`, and not among what `import *` brings.
_DTYPES = {
    "half": float16, "float": float32, "double": float64, "short": int16, "int": int32, "long": int64,
    "bool": bool_, "cfloat": complex64, "cdouble": complex128,
}  # fmt: skip
_FORMATS = {each.name: each for each in _MemoryFormat}
_LATE = {
    **dict.fromkeys(("CostError", "checkpoint_plan", "profile", "tape_memory"), ".cost"),
    **dict.fromkeys(("from_jax", "from_torch", "to_jax", "to_torch"), ".bridges"),
    **dict.fromkeys(("SolverError", "fixed_point", "odeint"), ".transforms.solvers"),
    **dict.fromkeys(("are_deterministic_algorithms_enabled", "use_deterministic_algorithms"), ".backends"),
    "GradScaler": ".optim.scaler",
    "block_diag": ".scipy.linalg",
    **dict.fromkeys(("load", "save"), ".train.saving"),
    "explain": ".explaining",
}

# What the backend calls when a GPU comes into use: it may not import a floor above.
_cuda_settings.hinting.append(lambda on: importlib.import_module(".bridges.cupy", __name__).hints(on))


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f".{name}", __name__)
    if name in _LATE:
        return getattr(importlib.import_module(_LATE[name], __name__), name)
    if name in _DTYPES:
        return _DTYPES[name]
    if name in _FORMATS:
        return _FORMATS[name]
    if name == "bfloat16":
        return _precision.bfloat16("bfloat16")
    raise AttributeError(
        f"module 'gpugrad' has no attribute {name!r}; functions without a gradient rule take the bare array, x.data"
    )


# fmt: off
__all__ = [
    "AnomalyError", "BatchError", "CostError", "Device", "DeviceError", "FormulaError", "Generator", "GradScaler",
    "GradientError", "GradientMismatchError", "OutOfMemoryError", "Primitive", "SolverError", "Tensor", "__version__",
    "abs", "absolute", "acos", "acosh", "add", "addbmm", "addcdiv", "addcmul", "addmm", "addmv", "addr", "all",
    "allclose", "amax", "amin", "amp", "angle", "any", "append", "apply_along_axis", "arange", "arccos", "arccosh",
    "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "are_deterministic_algorithms_enabled", "argmax", "argmin",
    "argpartition", "argsort", "argwhere", "around", "array_equal", "array_split", "as_tensor", "asarray", "asin",
    "asinh", "astype", "atan", "atan2", "atanh", "atleast_1d", "atleast_2d", "atleast_3d", "autocast", "autograd",
    "average", "backends", "baddbmm", "bernoulli", "bfloat16", "bincount", "bitwise_and", "bitwise_not", "bitwise_or",
    "bitwise_xor", "block", "block_diag", "bmm", "bool_", "broadcast_arrays", "broadcast_tensors", "broadcast_to",
    "bucketize", "cat", "cbrt", "cdist", "ceil", "celu", "check_grads", "checkpoint", "checkpoint_plan", "chunk",
    "clamp", "clip", "clone", "column_stack", "compile", "complex64", "complex128", "concat", "concatenate", "conj",
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolve", "copysign",
    "corrcoef", "correlate", "cos", "cosh", "cost", "count_nonzero", "cov", "cpu", "cross", "cross_entropy", "cuda",
    "cummax", "cummin", "cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "custom_jvp", "custom_vjp",
    "default_device", "deg2rad", "degrees", "detect_anomaly", "device", "diag", "diag_embed", "diagonal", "diff",
    "digamma", "digitize", "div", "divide", "dot", "dropout", "dstack", "e", "einsum", "elementwise",
    "elementwise_grad", "elu", "empty", "empty_like", "enable_grad", "eq", "equal", "erf", "erfc", "erfinv", "exp",
    "exp2", "expand", "expand_as", "expand_dims", "expit", "explain", "expm1", "eye", "fabs", "fft", "finfo", "fix",
    "fixed_point", "flatten", "flip", "fliplr", "flipud", "float16", "float32", "float64", "float_power", "floor",
    "floor_divide", "fmax", "fmin", "fmod", "frac", "frexp", "from_dlpack", "from_jax", "from_numpy", "from_torch",
    "full", "full_like", "func", "fusion", "gammaln", "gather", "ge", "gelu", "get_default_dtype",
    "get_float32_matmul_precision", "get_rng_state", "grad", "gradient", "greater", "greater_equal", "gt",
    "hamming_window", "hann_window", "hardsigmoid", "hardswish", "hardtanh", "heaviside", "hessian", "histogram",
    "hstack", "hvp", "hypot", "i0", "identity", "iinfo", "imag", "index_add", "index_copy", "index_fill",
    "index_select", "inf", "inference_mode", "inner", "int8", "int16", "int32", "int64", "interp", "invert",
    "is_complex", "is_floating_point", "is_grad_enabled", "is_tensor", "isclose", "isfinite", "isin", "isinf", "isnan",
    "jacfwd", "jacobian", "jacrev", "jvp", "kron", "kthvalue", "layer_norm", "ldexp", "le", "leaky_relu", "left_shift",
    "lerp", "less", "less_equal", "lgamma", "linalg", "linear", "linearize", "linspace", "load", "log", "log1p", "log2",
    "log10", "log_sigmoid", "log_softmax", "logaddexp", "logaddexp2", "logcumsumexp", "logical_and", "logical_not",
    "logical_or", "logical_xor", "logit", "logsigmoid", "logsumexp", "lt", "manual_seed", "masked_fill",
    "masked_select", "matmul", "matrix_transpose", "max", "maximum", "maxout", "mean", "median", "meshgrid", "min",
    "minimum", "mish", "mm", "mod", "mode", "modf", "moveaxis", "movedim", "mul", "multinomial", "multiply", "mv",
    "nan", "nan_to_num", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmedian", "nanmin", "nanpercentile",
    "nanprod", "nanquantile", "nanstd", "nansum", "nanvar", "narrow", "ne", "neg", "negative", "newaxis", "nn",
    "no_grad", "nonzero", "norm", "normal", "not_equal", "numel", "odeint", "ones", "ones_like", "optim", "outer",
    "pad", "partition", "percentile", "permute", "permute_dims", "pi", "piecewise", "polar", "polygamma", "polyval",
    "positive", "pow", "power", "prelu", "prod", "profile", "promote_types", "ptp", "put_along_axis", "quantile",
    "rad2deg", "radians", "rand", "rand_like", "randint", "randn", "randn_like", "randperm", "ravel", "real",
    "reciprocal", "relu", "relu6", "remainder", "repeat", "repeat_interleave", "reshape", "reshape_as", "result_type",
    "right_shift", "rint", "rms_norm", "roll", "rot90", "round", "row_stack", "rsqrt", "save", "scatter", "scatter_add",
    "scatter_reduce", "searchsorted", "select", "selu", "set_default_device", "set_default_dtype",
    "set_float32_matmul_precision", "set_grad_enabled", "set_rng_state", "sigmoid", "sign", "signbit", "silu", "sin",
    "sinc", "sinh", "softmax", "softplus", "softsign", "sort", "special", "split", "sqrt", "square", "squeeze", "stack",
    "std", "std_mean", "step", "stop_gradient", "sub", "subtract", "sum", "swapaxes", "swapdims", "t", "take",
    "take_along_axis", "take_along_dim", "tan", "tanh", "tape_memory", "tensor", "tensor_split", "tensordot", "tile",
    "to_jax", "to_torch", "topk", "trace", "transpose", "trapezoid", "tril", "tril_indices", "triu", "triu_indices",
    "true_divide", "trunc", "uint8", "uint16", "uint32", "uint64", "unbind", "unflatten", "uniform", "unique",
    "unique_consecutive", "unravel_index", "unsqueeze", "unstack", "unwrap", "use_deterministic_algorithms",
    "value_and_grad", "vander", "var", "var_mean", "vdot", "view", "view_as", "view_as_complex", "view_as_real", "vjp",
    "vmap", "vstack", "where", "xlogy", "zeros", "zeros_like",
]
# fmt: on
