"""What the linear algebra families share: matrix operands, LAPACK's errors by name, adjoints, checks of gauge and gaps.

Gradients of complex matrices follow df/dx - i df/dy (JAX's and autograd's convention), in which the rule of a
holomorphic function is that of the real one, with plain transposes. The literature's formulas for the others pair by
Re tr(X^H Y), whose cotangent is the conjugate of ours: those rules begin and end with `conj`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.linalg import LinAlgError

from ..backend import backend_of, memory
from ..gradmode import recording
from ..nodes import GradientError
from ..primitive import FUNCTIONS, public_in
from ..tensor import Tensor
from .arguments import bare, operand, some
from .cast import conj
from .linalg import matmul

linear_algebra: Final = public_in("linalg")  # decorator: registers a function as "linalg.<name>"

NO_CONVERGENCE: Final = "check for nan and infinity"  # the advice where an iteration does not end


def matrices(name: str, x: Any, square: bool = False, ndim: int | None = None) -> Any:
    """The operand of a matrix function: single or double precision (integers become float64), two axes or more.

    Args:
        name: the operation, for the errors.
        x: an array, a tensor or nested lists.
        square: whether the last two axes must be of one length.
        ndim: the number of axes, if stacks are not taken.

    Raises:
        TypeError: a dtype that LAPACK and cuSOLVER have no routines for.
        numpy.linalg.LinAlgError: no matrix, or not a square one.
    """
    x = operand(x)
    if x.dtype.kind in "iub":
        x = FUNCTIONS["astype"](x, np.float64)
    if x.dtype.char not in "fdFD":
        raise TypeError(
            f"[{name}] an array of dtype {x.dtype} and shape {tuple(x.shape)}; expected single or double precision, "
            "real or complex: convert with .astype('float32')"
        )
    shape = tuple(x.shape)
    if len(shape) < 2 or (ndim is not None and len(shape) != ndim):
        raise LinAlgError(
            f"[{name}] an array of shape {shape}; expected {'a matrix' if ndim else 'matrices (..., m, n)'}"
        )
    if square and shape[-1] != shape[-2]:
        raise LinAlgError(f"[{name}] matrices of shape {shape}; expected square ones (..., n, n)")
    return x


@contextmanager
def named(name: str, advice: str, *arrays: Any) -> Iterator[None]:
    """Give LAPACK's errors (singular, not positive definite, no convergence) the operation, the shapes and advice."""
    try:
        yield
    except LinAlgError as error:
        if str(error).startswith("["):
            raise
        shapes = " and ".join(f"{tuple(a.shape)} {a.dtype}" for a in arrays)
        raise LinAlgError(f"[{name}] {str(error).rstrip('.')} ({shapes}); {advice}") from error


def xp_linalg(name: str, x: Any) -> Callable[..., Any]:
    """NumPy's or CuPy's function of that name for the bare array `x`.

    Raises:
        NotImplementedError: this release of the library has no such function.
    """
    found = getattr(backend_of(x).xp.linalg, name, None)
    if found is None:
        raise NotImplementedError(
            f"[{name}] {backend_of(x).xp.__name__}.linalg has no {name} ({tuple(x.shape)} {x.dtype} on "
            f"{backend_of(x).device}); compute it on the CPU, x.to('cpu')"
        )
    return found  # type: ignore[no-any-return]


def array_like(x: Any, value: Any) -> Any:
    """A result as an array on the device of `x`, also where it is a single number."""
    return value if type(value) is type(x) else backend_of(x).xp.asarray(value)


def turned(x: Any) -> Any:
    """The transposed matrices."""
    return x.swapaxes(-1, -2)


def adjoint(x: Any) -> Any:
    """The transposed, conjugated matrices."""
    return conj(turned(x))


def skew(x: Any) -> Any:
    """Twice the skew-Hermitian part."""
    return x - adjoint(x)


def product(*factors: Any) -> Any:
    """The product of several matrices, from the left."""
    out = factors[0]
    for factor in factors[1:]:
        out = matmul(out, factor)
    return out


def rows(x: Any) -> Any:
    """One number for each column, against matrices: (..., n) as (..., 1, n)."""
    return x.reshape((*x.shape[:-1], 1, x.shape[-1]))


def columns(x: Any) -> Any:
    """One number for each row, against matrices: (..., n) as (..., n, 1)."""
    return x.reshape((*x.shape, 1))


def single(x: Any) -> Any:
    """One number for each matrix, against matrices: (...) as (..., 1, 1)."""
    return x.reshape((*x.shape, 1, 1))


def eye_like(x: Any) -> Any:
    """The identity of the size of the last axis of `x`, a bare array of its dtype and device."""
    array = bare(x)
    return backend_of(array).xp.eye(array.shape[-1], dtype=array.dtype)


def differentiated(x: Any) -> bool:
    """Whether an operation on `x` would be recorded."""
    return isinstance(x, Tensor) and x._node is not None and recording()


# ---- where derivatives of eigenvectors and singular vectors exist


def apart(name: str, values: Any, gaps: Any, slopes: Any, *cotangents: Any, strict: bool = False) -> Any:
    """Which pairs of vectors have values far enough apart to divide by their gap: a mask, as numbers.

    A pair within rounding of each other (n eps times the largest value) spans a subspace in which the vectors are
    arbitrary. What such a pair adds to a gradient is 0 where nothing is asked of either vector and the two values are
    treated alike. Else the factors do not determine it: neither zero nor what rounding makes of 0/0 would be right
    (f(A) = V f(w) V^H has a derivative there, which no V and w know), so it is refused.

    Args:
        name: the operation, for the error.
        values: (..., n) eigenvalues or singular values.
        gaps: (..., n, n) what will be divided by.
        slopes: (..., n) the cotangent of the values, or None.
        cotangents: (..., m, n) of the vectors, in columns; None where there is none.
        strict: refuse every such pair. Where a gradient was made of values alone, V f'(w) V^H, a slope f' of 0 hides
            from its derivative that f'' is asked for.

    Raises:
        GradientError: a cotangent asks for the derivative of a vector with another of the same value.
    """
    values, gaps = bare(values), bare(gaps)
    xp = backend_of(values).xp
    size = xp.abs(values)
    if not size.size:
        return xp.ones(gaps.shape, size.dtype)
    near = xp.abs(gaps) <= single(size.shape[-1] * np.finfo(size.dtype).eps * size.max(axis=-1))
    asked = _asked(cotangents)
    refused = columns(asked) | rows(asked) | strict
    if slopes is not None:
        slopes = bare(slopes)
        rounding = np.finfo(slopes.dtype).eps ** 0.5 * xp.abs(slopes).max(axis=-1)
        refused = refused | (xp.abs(rows(slopes) - columns(slopes)) > single(rounding))
    pairs = near & ~xp.eye(size.shape[-1], dtype=bool) & refused
    if some(pairs):
        raise GradientError(
            f"[{name}] {int(memory(pairs).sum()) // 2} pairs of equal values among those of shape {tuple(size.shape)}: "
            "the derivative of their vectors does not exist, and that of a function of the matrix is not determined by "
            "its factors; use the values alone (eigvalsh, svdvals), matrix functions that need no vectors (inv, "
            "solve, matrix_power), or perturb the matrix"
        )
    return (~near).astype(size.dtype)


def _asked(cotangents: tuple[Any, ...]) -> Any:
    """For each vector, whether one of the cotangents (those that there are) has anything for it."""
    found: Any = False
    for cotangent in cotangents:
        if cotangent is not None:
            found = found | (bare(cotangent) != 0).any(axis=-2)
    return found


def nonzero_values(name: str, values: Any, *cotangents: Any) -> Any:
    """As `apart`, for division by the singular values themselves: a mask, as numbers.

    Raises:
        GradientError: a cotangent asks for the derivative of a singular vector whose value is zero.
    """
    values = bare(values)
    if not values.size:
        return values
    zero = values <= values.shape[-1] * np.finfo(values.dtype).eps * values.max(axis=-1, keepdims=True)
    asked = _asked(cotangents)
    if some(zero & asked):
        raise GradientError(
            f"[{name}] {int(memory(zero & asked).sum())} singular values of shape {tuple(values.shape)} are zero: "
            "their vectors have no derivative; use the values alone (svdvals), pinv, or the leading vectors only"
        )
    return (~zero).astype(values.dtype)


def check_phase(name: str, diagonal: Any) -> None:
    """Refuse a loss that depends on the phases of complex vectors, which a decomposition leaves open.

    Args:
        name: the operation, for the error.
        diagonal: (..., n) what the loss changes by when each vector is turned by a phase; zero but for rounding.

    Raises:
        GradientError: it is not zero.
    """
    array = bare(diagonal)
    if array.dtype.kind != "c" or not array.size:
        return
    xp = backend_of(array).xp
    turn, size = xp.abs(array.imag).max(), xp.abs(array).max()
    if some(turn > np.finfo(array.dtype).eps ** 0.5 * (1 + size)):
        raise GradientError(
            f"[{name}] the loss depends on the phases of complex vectors (slope {float(memory(turn).max()):.3g}), "
            "which the decomposition leaves open; use what does not, such as abs(v) or v @ v.conj().mT"
        )


def hermitian_of(name: str, x: Any) -> Any:
    """What `hermitian=True` says of square matrices: the lower triangle is read, the upper is its adjoint."""
    x = matrices(name, x, square=True)
    below = FUNCTIONS["tril"](x, -1)
    middle = FUNCTIONS["tril"](x) - below
    adjoint = FUNCTIONS["swapaxes"](conj(below), -1, -2)
    return below + adjoint + (FUNCTIONS["real"](middle) if x.dtype.kind == "c" else middle)
