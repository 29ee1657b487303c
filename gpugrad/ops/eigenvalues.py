"""Eigenvalues and eigenvectors, of Hermitian matrices and of any; stacks throughout.

Where their derivatives exist is asked in `matrices`; singular values are in `decompositions`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.linalg import LinAlgError

from ..primitive import Needs, Primitive
from ..tensor import apply
from .arguments import apply_one, bare, some
from .cast import conj, real
from .costs import dense, vjp_dense
from .diagonal import diagonal
from .linalg import matmul
from .matrices import (
    NO_CONVERGENCE,
    adjoint,
    apart,
    array_like,
    check_phase,
    columns,
    differentiated,
    eye_like,
    linear_algebra,
    matrices,
    named,
    rows,
    skew,
    xp_linalg,
)
from .solving import solve


class EighResult(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Any
    eigenvectors: Any


class EigResult(NamedTuple):
    """What `eig` returns."""

    eigenvalues: Any
    eigenvectors: Any


# ---- eigenvalues of Hermitian matrices


def _uplo(name: str, choice: Any) -> str:
    if str(choice).upper() not in ("L", "U"):
        raise ValueError(f"[{name}] UPLO = {choice!r}; expected 'L' or 'U', the triangle that is read")
    return str(choice).upper()


def _eigh_forward(needs: Needs, a: Any, *, uplo: str, strict: bool) -> tuple[Any, tuple[Any, ...]]:
    with named("eigh", NO_CONVERGENCE, a):
        return tuple(xp_linalg("eigh", a)(a, uplo)), ()


def _eigh_rule(g: Any, needs: Needs, w: Any, v: Any, *, uplo: str, strict: bool) -> tuple[Any]:
    gw, gv = g
    left: Any = 0.0 if gw is None else v * rows(gw)
    if gv is not None:
        gv = conj(gv)
        gaps = rows(w) - columns(w)
        mask = apart("eigh", w, gaps, gw, gv, strict=strict)
        turns = matmul(adjoint(v), gv)
        check_phase("eigh", diagonal(turns, 0, -2, -1))
        left = left + matmul(v, skew(turns) * (0.5 * mask) / (gaps + (1 - mask)))
    return (conj(matmul(left, adjoint(v))),)


EIGH = Primitive(
    "eigh", _eigh_forward, _eigh_rule, keeps=((-1,),), flops=dense(0, 9), vjp_flops=vjp_dense(0, 6), outputs=2
)


@linear_algebra
def eigh(a: Any, UPLO: str = "L") -> EighResult:  # noqa: N803 - NumPy's name
    """Eigenvalues and eigenvectors of Hermitian (real: symmetric) matrices.

    Args:
        a: (..., n, n); only one triangle is read.
        UPLO: "L" for the lower triangle, "U" for the upper one.

    Returns:
        `EighResult(eigenvalues, eigenvectors)`: (..., n), real and rising, and (..., n, n), in columns. The gradient
        is Hermitian, as if both triangles changed together (Giles 2008, section 3.1; with the phases of complex
        eigenvectors open, a loss must not depend on them).

    Raises:
        GradientError: in the backward pass, through eigenvectors of equal eigenvalues (the eigenvalues' own first
            derivatives are defined there, and so are those of a loss that reads no vector of the equal ones), or of
            a loss that depends on complex phases.
        numpy.linalg.LinAlgError: no convergence, or not square.
    """
    return EighResult(*apply(EIGH, (matrices("eigh", a, square=True),), {"uplo": _uplo("eigh", UPLO), "strict": False}))


def _eigvalsh_forward(needs: Needs, a: Any, *, uplo: str) -> tuple[Any, tuple[Any, ...]]:
    with named("eigvalsh", NO_CONVERGENCE, a):
        return xp_linalg("eigvalsh", a)(a, uplo), ()


def _eigvalsh_rule(g: Any, needs: Needs, a: Any, *, uplo: str) -> tuple[Any]:
    _, v = apply(EIGH, (a,), {"uplo": uplo, "strict": differentiated(g)})
    return (conj(matmul(v * rows(g), adjoint(v))),)


EIGVALSH = Primitive(
    "eigvalsh", _eigvalsh_forward, _eigvalsh_rule, keeps=((0,),), flops=dense(0, 4 / 3), vjp_flops=vjp_dense(0, 11)
)


@linear_algebra
def eigvalsh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803 - NumPy's name
    """The eigenvalues of Hermitian matrices (..., n, n), rising: (..., n). `UPLO` as in `eigh`.

    With equal eigenvalues the gradient is the derivative wherever the loss treats them alike. Second derivatives
    through them are refused, since eigenvalues and eigenvectors do not determine them; but a loss that is linear in the
    eigenvalues and reads none of the equal ones (the largest alone) has them.
    """
    return apply_one(EIGVALSH, matrices("eigvalsh", a, square=True), {"uplo": _uplo("eigvalsh", UPLO)})


# ---- eigenvalues of any square matrices


def _eig_forward(needs: Needs, a: Any) -> tuple[Any, tuple[Any, ...]]:
    with named("eig", NO_CONVERGENCE, a):
        return tuple(array_like(a, found) for found in xp_linalg("eig", a)(a)), ()


def _eig_rule(g: Any, needs: Needs, w: Any, v: Any) -> tuple[Any]:
    """V^-H (diag(gw) + (V^H gv - V^H V Re diag(V^H gv)) / conj(gaps)) V^H; the columns of V have length 1."""
    middle: Any = 0.0 if g[0] is None else rows(conj(g[0])) * eye_like(w)
    across = adjoint(v)
    if g[1] is not None:
        gv = conj(g[1])
        gaps = rows(w) - columns(w)
        mask = apart("eig", w, gaps, g[0], gv)
        turns = matmul(across, gv)
        lengths = diagonal(turns, 0, -2, -1)
        check_phase("eig", lengths)
        turns = turns - matmul(across, v) * rows(real(lengths))
        middle = middle + turns * mask / conj(gaps + (1 - mask))
    _check_independent(bare(v))
    return (conj(solve(across, matmul(middle, across))),)


def _check_independent(v: Any) -> None:
    """Refuse eigenvectors that are linearly dependent to working precision (LAPACK returns nearly equal ones)."""
    if not v.size:
        return
    s = xp_linalg("svd", v)(v, compute_uv=False)
    if some(s[..., -1] <= v.shape[-1] * np.finfo(s.dtype).eps * s[..., 0]):
        raise LinAlgError(
            f"[eig] no gradient at a defective matrix: its eigenvectors, {tuple(v.shape)} {v.dtype}, are linearly "
            "dependent; perturb the matrix"
        )


EIG = Primitive(
    "eig", _eig_forward, _eig_rule, keeps=((-1,),), flops=dense(0, 25), vjp_flops=vjp_dense(0, 8 + 2 / 3), outputs=2
)


@linear_algebra
def eig(a: Any) -> EigResult:
    """Eigenvalues and eigenvectors of square matrices.

    Args:
        a: (..., n, n).

    Returns:
        `EigResult(eigenvalues, eigenvectors)`: (..., n) in no order, and (..., n, n), columns of length 1; complex,
        unless all the eigenvalues of a real `a` are real (from NumPy 2.5 on, and on a GPU, always). The gradient is
        that of Boeddeker, Hanebrink et al. 2017 ("On the computation of complex-valued gradients with application to
        statistically optimum beamforming", arXiv:1701.00392), with the lengths of the vectors fixed.

    Raises:
        GradientError: in the backward pass, through eigenvectors of equal eigenvalues, or of a loss that depends on
            the phases of complex eigenvectors.
        numpy.linalg.LinAlgError: no convergence; in the backward pass, a defective matrix.
        NotImplementedError: the installed CuPy has no `eig`.
    """
    return EigResult(*apply(EIG, (matrices("eig", a, square=True),), {}))


@linear_algebra
def eigvals(a: Any) -> Any:
    """The eigenvalues of square matrices (..., n, n), in no order: (..., n).

    Computed with the eigenvectors, which the gradient needs in the same order. Differentiable at equal eigenvalues
    only where the matrix is not defective.
    """
    return eig(a).eigenvalues
