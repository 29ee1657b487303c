"""Weighted means and second moments: average, cov, corrcoef; compositions of products and sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import backend_of, is_array
from ..backend.placing import placed
from ..primitive import FUNCTIONS, public
from ..tensor import Tensor
from .arguments import axis_tuple, bare, constant, operand, spelled
from .cast import conj, imag, real
from .elementwise import add, clip, divide, multiply, sqrt, subtract, where
from .joining import concatenate
from .linalg import matmul
from .reduce import mean, sum
from .shape import atleast_2d, broadcast_to, expand_dims, squeeze, swapaxes, transpose


def _along(name: str, x: Any, weights: Any, axes: Any) -> Any:
    """The weights with an axis for each of the operand's."""
    if tuple(weights.shape) == tuple(x.shape):
        return weights
    if axes is None:
        raise TypeError(
            f"[{name}] weights of shape {tuple(weights.shape)} for an array of {tuple(x.shape)}; name the axis"
        )
    if tuple(weights.shape) != tuple(x.shape[i] for i in axes):
        raise ValueError(
            f"[{name}] weights of shape {tuple(weights.shape)} for axis = {axes} of shape {tuple(x.shape)}; "
            "expected the array's shape, or that of its axes"
        )
    order = sorted(range(len(axes)), key=lambda k: axes[k])
    return expand_dims(transpose(weights, tuple(order)), tuple(i for i in range(len(x.shape)) if i not in axes))


@public
@spelled
def average(x: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    """The weighted mean, as `numpy.average`.

    Args:
        x: any shape; integers are taken as float64.
        axis: an integer or several; None for all.
        weights: of the shape of `x`, or of the axes; all 1 if not given. They may need a gradient.
        returned: also return the sum of the weights.
        keepdims: leave the axes with length 1.

    Returns:
        The mean, or a pair of the mean and the sum of weights, broadcast to its shape.

    Raises:
        ZeroDivisionError: the weights of a slice add up to 0 (checked where the values are in main memory).
        ValueError: the weights do not fit the shape.
    """
    x = operand(x)
    axes = axis_tuple("average", axis, x.shape)
    if weights is None:
        result = mean(x, axes, keepdims=keepdims)
        total = backend_of(bare(x)).xp.asarray(
            float(bare(x).size) / max(bare(result).size, 1), dtype=bare(result).dtype
        )
        total = constant(x, total)
    else:
        weights = _along("average", x, operand(weights), axes)
        dtype = np.result_type(x.dtype, weights.dtype, *(["f8"] if x.dtype.kind in "iub" else []))
        total = sum(FUNCTIONS["astype"](weights, dtype, copy=False), axes, keepdims=keepdims)
        if type(bare(total)) is np.ndarray and (bare(total) == 0).any():
            raise ZeroDivisionError("[average] the weights of a slice add up to 0; there is no mean")
        products = multiply(x, weights)
        result = divide(sum(FUNCTIONS["astype"](products, dtype, copy=False), axes, keepdims=keepdims), total)
    if not returned:
        return result
    return result, total if total.shape == result.shape else broadcast_to(total, result.shape)


def _weights(name: str, weights: Any, rows: Any, whole: bool) -> Any:
    n = rows.shape[1]
    if weights is None:
        return None
    if not isinstance(weights, Tensor) and not is_array(weights):
        weights = backend_of(bare(rows)).from_host(np.asarray(weights, np.float64))
    array = bare(weights)
    if array.shape != (n,):
        raise ValueError(f"[cov] {name} of shape {tuple(array.shape)}; expected one for each of {n} observations")
    if type(array) is np.ndarray:
        if (array < 0).any():
            raise ValueError(f"[cov] {name} = {array.min()} among them; expected none below 0")
        if whole and (array != np.rint(array)).any():
            raise TypeError(f"[cov] {name} are counts of observations; expected integers")
    return weights


@public
@placed
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: float | None = None,
    fweights: Any = None, aweights: Any = None, *, dtype: Any = None,
) -> Any:  # fmt: skip
    """The covariance matrix, as `numpy.cov`.

    Args:
        m: (variables, observations), or (observations,) of one variable.
        y: more variables, of the same form.
        rowvar: False where the variables are the columns.
        bias: divide by n instead of n - 1.
        ddof: divide by n - ddof, whatever `bias` says.
        fweights: (observations,), how often each was seen: integers.
        aweights: (observations,), the weight of each; may need a gradient.
        dtype: to compute in, at least float64 if not given.

    Returns:
        (variables, variables), or a single number for one variable.

    Raises:
        ValueError: more than two axes, or weights that do not fit.
    """
    x = operand(m)
    parts = [x] if y is None else [x, operand(y)]
    if any(len(p.shape) > 2 for p in parts):
        raise ValueError(f"[cov] m of shape {tuple(x.shape)}; expected (variables, observations) or (observations,)")
    wide = np.result_type(*[p.dtype for p in parts], np.float64) if dtype is None else np.dtype(dtype)
    # A vector is one variable either way; in NumPy a second operand of one row is, too.
    turned = [atleast_2d(p) for p in parts]
    if not rowvar:
        turned = [transpose(t) if (len(parts[0].shape) == 2 if k == 0 else t.shape[0] != 1) else t
                  for k, t in enumerate(turned)]  # fmt: skip
    rows = concatenate(turned, 0) if len(turned) > 1 else turned[0]
    rows = FUNCTIONS["astype"](rows, wide, copy=False)
    n = rows.shape[1]
    counts, shares = _weights("fweights", fweights, rows, True), _weights("aweights", aweights, rows, False)
    weights = counts if shares is None else shares if counts is None else multiply(counts, shares)
    mean_of, total = average(rows, 1, weights, True)
    factor = _degrees(n, total, weights, shares, (0 if bias else 1) if ddof is None else ddof)
    away = subtract(rows, expand_dims(mean_of, 1))
    weighted = away if weights is None else multiply(away, weights)
    return squeeze(divide(matmul(away, conj(swapaxes(weighted, 0, 1))), factor))


def _degrees(n: int, total: Any, weights: Any, shares: Any, ddof: float) -> Any:
    """What the sum of products is divided by; 0 where nothing is left of it."""
    if weights is None:
        return max(n - ddof, 0.0)
    total = real(total[0])
    lost = ddof if shares is None else divide(multiply(sum(multiply(weights, shares)), ddof), total)
    left = subtract(total, lost)
    return where(bare(left) > 0, left, 0.0)


@public
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """The matrix of correlation coefficients, as `numpy.corrcoef`; arguments as in `cov`."""
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.shape:
        return divide(c, c)
    deviations = sqrt(real(FUNCTIONS["diagonal"](c)))
    c = divide(divide(c, expand_dims(deviations, 1)), expand_dims(deviations, 0))
    if bare(c).dtype.kind != "c":
        return clip(c, -1.0, 1.0)
    return add(clip(real(c), -1.0, 1.0), multiply(clip(imag(c), -1.0, 1.0), 1j))
