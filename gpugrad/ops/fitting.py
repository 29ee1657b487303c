"""Polynomials from their roots and from data, and the roots of polynomials: `poly`, `roots`, `polyfit`.

The arithmetic of coefficients is in `polynomials`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import backend_of, memory
from ..primitive import FUNCTIONS, public
from .arguments import bare, module, operand
from .cast import real
from .eigenvalues import eigvals
from .elementwise import divide, multiply, negative, sqrt
from .index import getitem
from .joining import concatenate
from .polynomials import vander
from .reduce import sum as _sum
from .sequences import convolve
from .shape import expand_dims, reshape
from .solving import lstsq


@public
def poly(seq_of_zeros: Any) -> Any:
    """The coefficients, highest power first and 1, of the polynomial with the given roots.

    Args:
        seq_of_zeros: (n,) roots, or a square matrix (n, n), whose characteristic polynomial it is.

    Returns:
        (n + 1,); real where complex roots come in conjugate pairs (waits for the device).

    Raises:
        ValueError: neither a vector nor a square matrix.
    """
    zeros = operand(seq_of_zeros)
    if zeros.ndim == 2 and zeros.shape[0] == zeros.shape[1]:
        zeros = eigvals(zeros)
    if zeros.ndim != 1:
        raise ValueError(f"[poly] an array of shape {tuple(zeros.shape)}; expected a vector or a square matrix")
    one = module(zeros).ones(1, np.promote_types(zeros.dtype, np.float16) if zeros.dtype.kind in "bi" else zeros.dtype)
    coefficients = one
    for k in range(zeros.shape[0]):
        factor = concatenate([one, negative(getitem(zeros, slice(k, k + 1)))])
        coefficients = convolve(coefficients, factor)
    if zeros.dtype.kind == "c":
        values = _host(zeros)
        if np.all(np.sort(values, -1) == np.sort(values.conj(), -1)):
            return real(coefficients)
    return coefficients


@public
def roots(p: Any) -> Any:
    """The roots of the polynomial with coefficients `p`, highest power first: eigenvalues of its companion matrix.

    Args:
        p: (n + 1,); how many are zero at its ends decides the number of roots (waits for the device).

    Returns:
        The roots, complex where some are (of the zeros at the end: 0). Differentiable where no two are equal.

    Raises:
        ValueError: not a vector, or the examples of a map have different numbers of zeros at the ends.
    """
    p = operand(p)
    if p.ndim != 1:
        raise ValueError(f"[roots] p of shape {tuple(p.shape)}; expected a vector of coefficients")
    filled = (_host(p) != 0).reshape(-1, p.shape[0])
    places = np.nonzero(filled.any(0))[0]
    if not places.size:
        return module(p).zeros(0, p.dtype)
    first, last = int(places[0]), int(places[-1])
    if not (filled[:, first].all() and filled[:, last].all()):
        raise ValueError("[roots] the examples of a map have different numbers of zeros at the ends of p")
    n = last - first
    if not n:
        return module(p).zeros(p.shape[0] - 1 - last, p.dtype)
    row = negative(divide(getitem(p, slice(first + 1, last + 1)), getitem(p, slice(first, first + 1))))
    below = module(p).eye(n - 1, n, dtype=row.dtype)
    found = eigvals(concatenate([reshape(row, 1, n), below]))
    at_zero = p.shape[0] - 1 - last
    return concatenate([found, module(p).zeros(at_zero, found.dtype)]) if at_zero else found


@public
def polyfit(
    x: Any, y: Any, deg: int, rcond: float | None = None, full: bool = False, w: Any = None, cov: bool = False
) -> Any:
    """The coefficients of the polynomial of degree `deg` that fits data best in the least-squares sense.

    Args:
        x: (m,) places.
        y: (m,) or (m, k) values.
        deg: degree.
        rcond: singular values of the scaled Vandermonde matrix up to `rcond` times the largest count as zero; by
            default m eps.
        full: refused; compute what else is needed from the coefficients.
        w: (m,) weights of the residuals, or None.
        cov: refused likewise.

    Returns:
        (deg + 1,) or (deg + 1, k), highest power first; differentiable in x, y and w.

    Raises:
        ValueError: shapes or a degree that do not fit.
        TypeError: `full` or `cov` is asked for.
    """
    if full or cov:
        raise TypeError("[polyfit] full= and cov= are not supported; compute residuals with polyval of the result")
    x, y = operand(x), operand(y)
    if x.ndim != 1 or y.ndim not in (1, 2) or x.shape[0] != y.shape[0] or not x.shape[0] or deg < 0:
        raise ValueError(
            f"[polyfit] x {tuple(x.shape)}, y {tuple(y.shape)}, deg = {deg}; expected (m,), (m,) or (m, k), deg >= 0"
        )
    x = FUNCTIONS["astype"](x, np.result_type(x.dtype, 0.0), copy=False)
    matrix, values = vander(x, deg + 1), y
    if w is not None:
        w = operand(w)
        matrix = multiply(matrix, expand_dims(w, 1))
        values = multiply(y, expand_dims(w, 1) if y.ndim == 2 else w)
    scale = sqrt(_sum(multiply(matrix, matrix), 0))
    limit = x.shape[0] * float(np.finfo(x.dtype).eps) if rcond is None else rcond
    found = lstsq(divide(matrix, scale), values, limit)[0]
    return divide(found, expand_dims(scale, 1) if y.ndim == 2 else scale)


def _host(x: Any) -> Any:
    """The values in main memory, of all examples of a map."""
    values = memory(bare(x))
    return np.asarray(backend_of(values).to_host(values))
