"""`scipy.linalg`'s names and defaults on arrays and tensors: what differs from `numpy.linalg`, and what is shared.

SciPy's switches for memory and speed (`overwrite_a`, `check_finite`, drivers) change no result; they are passed over.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final, NoReturn

from ..backend import backend_of
from ..ops.arguments import bare, operand
from ..ops.cast import conj
from ..ops.decompositions import cholesky as _cholesky
from ..ops.decompositions import svd as _svd
from ..ops.decompositions import svdvals
from ..ops.determinants import det
from ..ops.diagonal import tril, triu
from ..ops.eigenvalues import eigh as _eigh
from ..ops.eigenvalues import eigvalsh as _eigvalsh
from ..ops.index import getitem
from ..ops.joining import concatenate
from ..ops.matrix_equations import solve_banded, solve_sylvester, sqrtm
from ..ops.padding import pad
from ..ops.reduce import norm
from ..ops.shape import atleast_2d, matrix_transpose
from ..ops.solving import inv, pinv
from ..ops.solving import solve as _solve

__all__ = [
    "block_diag",
    "cho_solve",
    "cholesky",
    "det",
    "eigh",
    "eigvalsh",
    "inv",
    "norm",
    "pinv",
    "solve",
    "solve_banded",
    "solve_sylvester",
    "solve_triangular",
    "sqrtm",
    "svd",
    "svdvals",
]


# What `solve` may be told of its matrix, and whether the triangle that it does not read is the conjugate of the other.
_ASSUMED: Final = {
    "sym": False, "symmetric": False, "her": True, "hermitian": True, "pos": True, "positive definite": True,
}  # fmt: skip


def solve(a: Any, b: Any, lower: bool = False, *, assume_a: str | None = None, transposed: bool = False) -> Any:
    """The solution of `a @ x = b` (of the transposed matrix, if asked); b is (n,) or (n, columns).

    Args:
        a: (n, n).
        b: (n,) or (n, columns).
        lower: which triangle holds the matrix, where it is assumed to be symmetric.
        assume_a: "gen" or None; "sym", "her" or "pos" (or in full): the other triangle is not read, and has gradient 0.
        transposed: solve `a.T @ x = b`.

    Raises:
        ValueError: another `assume_a`.
    """
    if assume_a in _ASSUMED:
        a = operand(a)
        half = tril(a, -1) if lower else triu(a, 1)
        a = half + matrix_transpose(conj(half) if _ASSUMED[assume_a] else half) + tril(triu(a))
    elif assume_a not in (None, "gen", "general"):
        raise ValueError(f"[solve] assume_a = {assume_a!r}; expected None, 'gen', {', '.join(map(repr, _ASSUMED))}")
    return _solve(matrix_transpose(a) if transposed else a, b)


def cholesky(a: Any, lower: bool = False) -> Any:
    """The Cholesky factor of a symmetric positive definite matrix: the upper one, as SciPy, unless `lower`."""
    return _cholesky(a) if lower else _cholesky(a, upper=True)


def solve_triangular(a: Any, b: Any, trans: int | str = 0, lower: bool = False, unit_diagonal: bool = False) -> Any:
    """The solution of a triangular system; the other triangle of `a` is not read, and has gradient 0.

    Args:
        a: (n, n).
        b: (n,) or (n, columns).
        trans: 0 or "N" for a, 1 or "T" for its transpose, 2 or "C" for its conjugate transpose.
        lower: which triangle holds the matrix.
        unit_diagonal: take the diagonal as 1.

    Raises:
        ValueError: another `trans`.
    """
    a = operand(a)
    if trans not in (0, 1, 2, "N", "T", "C"):
        raise ValueError(f"[solve_triangular] trans = {trans!r}; expected 0, 1, 2, 'N', 'T' or 'C'")
    if unit_diagonal:
        part = tril(a, -1) if lower else triu(a, 1)
        half = part + _unit(a)
    else:
        half = tril(a) if lower else triu(a)
    if trans in (1, 2, "T", "C"):
        half = matrix_transpose(half if trans in (1, "T") else conj(half))
    return _solve(half, b)


def _unit(a: Any) -> Any:
    """The unit matrix beside `a`, a bare array."""
    return backend_of(bare(a)).xp.eye(a.shape[-1], dtype=a.dtype)


def cho_solve(c_and_lower: tuple[Any, bool], b: Any) -> Any:
    """The solution of `a @ x = b` from the Cholesky factor of a and whether it is the lower one."""
    c, lower = c_and_lower
    inner = solve_triangular(c, b, 0 if lower else "C", lower)
    return solve_triangular(c, inner, "C" if lower else 0, lower)


def eigh(a: Any, *, lower: bool = True, eigvals_only: bool = False) -> Any:
    """The eigenvalues, rising, and eigenvectors of a symmetric matrix, or the eigenvalues alone."""
    side = "L" if lower else "U"
    return _eigvalsh(a, side) if eigvals_only else tuple(_eigh(a, side))


def eigvalsh(a: Any, *, lower: bool = True) -> Any:
    """The eigenvalues of a symmetric matrix, rising."""
    return _eigvalsh(a, "L" if lower else "U")


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """The singular value decomposition u, s, vh; with `compute_uv=False` the singular values alone."""
    found = _svd(a, full_matrices, compute_uv)
    return tuple(found) if compute_uv else found


def block_diag(*arrs: Any) -> Any:
    """The matrix with the given ones along its diagonal and zeros elsewhere; vectors are rows."""
    blocks = [atleast_2d(a) for a in arrs]
    width = sum(b.shape[1] for b in blocks)
    rows, before = [], 0
    for b in blocks:
        rows.append(pad(b, ((0, 0), (before, width - before - b.shape[1]))))
        before += b.shape[1]
    return concatenate(rows, 0) if len(rows) > 1 else getitem(rows[0], ...)


_SWITCHES: Final = frozenset(
    ("overwrite_a", "overwrite_b", "overwrite_ab", "check_finite", "lapack_driver", "driver", "blocksize")
)


def _with_switches(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, also with SciPy's switches among its arguments."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not _SWITCHES.isdisjoint(kwargs):
            kwargs = {k: v for k, v in kwargs.items() if k not in _SWITCHES}
        return function(*args, **kwargs)

    return call


globals().update({n: _with_switches(f) for n, f in list(globals().items()) if n in __all__ and type(f) is FunctionType})


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"[gpugrad.scipy.linalg] {name!r} has no gradient rule here; on values that need none call scipy.linalg's "
        f"with the bare array (x.detach().data), else define it with gpugrad.primitive.Primitive({name!r}, ...)"
    )
