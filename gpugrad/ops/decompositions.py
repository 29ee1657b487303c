"""Factorisations of matrices and their derivatives: Cholesky, QR and singular values; stacks throughout.

Each rule names its source. A factorisation is only differentiable where it is unique: `matrices.apart` and its kin
refuse the rest. Eigenvalues are in `eigenvalues`, inverses in `solving`, norms and ranks in `matrix_norms`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from numpy.linalg import LinAlgError

from ..nodes import GradientError
from ..primitive import Needs, Primitive, Shape
from ..tensor import apply
from .arguments import apply_one, bare, constant
from .cast import conj, imag, real
from .costs import dense, vjp_dense
from .diagonal import diagonal, tril
from .joining import concatenate
from .linalg import matmul
from .matrices import (
    NO_CONVERGENCE,
    adjoint,
    apart,
    check_phase,
    columns,
    differentiated,
    eye_like,
    hermitian_of,
    linear_algebra,
    matrices,
    named,
    nonzero_values,
    product,
    rows,
    skew,
    turned,
    xp_linalg,
)
from .solving import inv, solve


class QRResult(NamedTuple):
    """What `qr` returns."""

    Q: Any
    R: Any


class SVDResult(NamedTuple):
    """What `svd` returns."""

    U: Any
    S: Any
    Vh: Any


# ---- Cholesky


def _cholesky_forward(needs: Needs, a: Any) -> tuple[Any, tuple[Any, ...]]:
    with named("cholesky", "expected positive definite ones; add a multiple of the identity", a):
        return xp_linalg("cholesky", a)(a), ()


def _lower_half(x: Any) -> Any:
    """The lower triangle with half the diagonal."""
    return tril(x) - x * (eye_like(x) * 0.5)


def _cholesky_rule(g: Any, needs: Needs, lower: Any) -> tuple[Any]:
    middle = _lower_half(matmul(adjoint(lower), conj(g)))
    inverse = inv(lower)
    return (conj(product(adjoint(inverse), (middle + adjoint(middle)) * 0.5, inverse)),)


CHOLESKY = Primitive(
    "cholesky", _cholesky_forward, _cholesky_rule, keeps=((-1,),), flops=dense(0, 1 / 3), vjp_flops=vjp_dense(0, 8)
)


@linear_algebra
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """The Cholesky factor of Hermitian positive definite matrices: `a = L @ L^H`.

    Args:
        a: (..., n, n); only the lower triangle is read (with `upper` the upper one).
        upper: return the upper factor `L^H` instead.

    Returns:
        (..., n, n), lower triangular. The gradient is Hermitian, as if both triangles changed together (Murray 2016,
        "Differentiation of the Cholesky decomposition", arXiv:1602.07527).

    Raises:
        numpy.linalg.LinAlgError: a matrix is not positive definite (CuPy says so only under
            `cupyx.errstate(linalg="raise")`), or not square.
    """
    a = matrices("cholesky", a, square=True)
    return adjoint(cholesky(adjoint(a))) if upper else apply_one(CHOLESKY, a, {})


# ---- QR


def _qr_forward(needs: Needs, a: Any) -> tuple[Any, tuple[Any, ...]]:
    return tuple(xp_linalg("qr", a)(a)), ()


def _qr_rule(g: Any, needs: Needs, q: Any, r: Any) -> tuple[Any]:
    gq, gr = (None if one is None else conj(one) for one in g)
    middle = 0.0 if gr is None else matmul(r, adjoint(gr))
    if gq is not None:
        middle = middle - matmul(adjoint(gq), q)
    below = tril(middle, -1)
    # The diagonal of R is real, which leaves no imaginary part on the diagonal of the symmetric completion.
    total = matmul(q, below + adjoint(below) + real(middle) * eye_like(real(middle)))
    if gq is not None:
        total = total + gq
    try:
        return (conj(adjoint(solve(r, adjoint(total)))),)
    except LinAlgError as error:
        raise LinAlgError(
            f"[qr] no gradient where the leading columns are linearly dependent (R, {tuple(r.shape)} {r.dtype}, is "
            "singular); perturb the matrix"
        ) from error


QR = Primitive(
    "qr", _qr_forward, _qr_rule, keeps=((-1,),), flops=dense(4, -4 / 3), vjp_flops=vjp_dense(6, 8 / 3), outputs=2
)


@linear_algebra
def qr(a: Any, mode: str = "reduced") -> Any:
    """The factors of `a = Q @ R`, orthonormal and upper triangular.

    Args:
        a: (..., m, n).
        mode: "reduced" for Q (..., m, k) and R (..., k, n), k = min(m, n); "r" for R alone; "complete" for Q
            (..., m, m), which has a gradient only where it is the reduced one, m <= n; "raw" has none.

    Returns:
        `QRResult(Q, R)`. Its gradient is that of Roberts & Roberts 2020 ("QR and LQ decomposition matrix
        backpropagation algorithms for square, wide, and deep matrices", arXiv:2009.10071); wide matrices are taken
        apart into their leading square, which is factorised, and the rest, which is multiplied by Q^H.

    Raises:
        GradientError: a gradient through "complete" with m > n, or through "raw": the other columns of Q are any
            basis of the rest of the space.
        numpy.linalg.LinAlgError: in the backward pass, where the leading k columns are linearly dependent.
    """
    a = matrices("qr", a)
    m, n = a.shape[-2:]
    if mode not in ("reduced", "complete", "r", "raw"):
        raise ValueError(f"[qr] mode = {mode!r}; expected 'reduced', 'complete', 'r' or 'raw'")
    if mode == "raw" or (mode == "complete" and m > n):
        if differentiated(a):
            raise GradientError(
                f"[qr] mode = {mode!r} of shape {tuple(a.shape)}: its factors are not unique and have no gradient; "
                "use mode='reduced'"
            )
        first, second = (constant(a, found) for found in xp_linalg("qr", bare(a))(bare(a), mode))
        return (first, second) if mode == "raw" else QRResult(first, second)
    if m >= n:
        q, r = apply(QR, (a,), {})
    else:
        q, r = apply(QR, (a[..., :m],), {})
        r = concatenate([r, matmul(adjoint(q), a[..., m:])], -1)
    return r if mode == "r" else QRResult(q, r)


# ---- singular values


def _svd_forward(needs: Needs, a: Any, *, strict: bool) -> tuple[Any, tuple[Any, ...]]:
    with named("svd", NO_CONVERGENCE, a):
        return tuple(xp_linalg("svd", a)(a, full_matrices=False)), ()


def _svd_rule(g: Any, needs: Needs, u: Any, s: Any, vh: Any, *, strict: bool) -> tuple[Any]:
    """A = U S V^H: what lies within the two bases, divided by the gaps of S^2, and what leaves them, by S."""
    gu = None if g[0] is None else conj(g[0])
    gv = None if g[2] is None else turned(g[2])
    v, away_u, away_v = adjoint(vh), None, None
    inside: Any = 0.0 if g[1] is None else rows(g[1]) * eye_like(s)
    if gu is not None or gv is not None:
        gaps = (rows(s) - columns(s)) * (rows(s) + columns(s))
        mask = apart("svd", s, rows(s) - columns(s), g[1], gu, gv, strict=strict)
        gaps = gaps + (1 - mask)
        ku = None if gu is None else matmul(adjoint(u), gu)
        kv = None if gv is None else matmul(vh, gv)
        if ku is not None:
            inside = inside + skew(ku) * mask / gaps * rows(s)
        if kv is not None:
            inside = inside + columns(s) * (skew(kv) * mask / gaps)
        bare_u, bare_v = (0.0 if k is None else diagonal(k, 0, -2, -1) for k in (ku, kv))
        check_phase("svd", bare_u + bare_v)
        inverse = _inverse_values(u, s, vh, gu, gv)
        if u.dtype.kind == "c":
            phase = imag(bare_u - bare_v) * inverse * 0.5
            inside = inside + rows(phase) * (1j * eye_like(s))
        if gu is not None and u.shape[-2] > s.shape[-1]:
            away_u = (gu - matmul(u, ku)) * rows(inverse)
        if gv is not None and vh.shape[-1] > s.shape[-1]:
            away_v = (gv - matmul(v, kv)) * rows(inverse)
    left = matmul(u, inside)
    total = matmul(left if away_u is None else left + away_u, vh)
    if away_v is not None:
        total = total + matmul(u, adjoint(away_v))
    return (conj(total),)


def _inverse_values(u: Any, s: Any, vh: Any, gu: Any, gv: Any) -> Any:
    """1 / s where anything is divided by it: in complex matrices, and for what leaves a basis that is not full."""
    k = s.shape[-1]
    full = u.dtype.kind != "c"
    asked = [g for g, size in ((gu, u.shape[-2]), (gv, vh.shape[-1])) if g is not None and (not full or size > k)]
    if not asked:
        return 1.0
    mask = nonzero_values("svd", s, *asked)
    return mask / (s + (1 - mask))


def _svd_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, **static: Any) -> int:
    *batch, rows, columns = shapes[0]
    m, n = max(rows, columns), min(rows, columns)
    if m == n:
        return math.prod(batch) * 8 * n**3
    return math.prod(batch) * (8 * m * n * n + (2 if rows > columns else 4) * n**3)


SVD = Primitive("svd", _svd_forward, _svd_rule, keeps=((-1,),), flops=dense(14, 8), vjp_flops=_svd_vjp_flops, outputs=3)


@linear_algebra
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """The singular value decomposition `a = U @ diag(S) @ Vh`.

    Args:
        a: (..., m, n).
        full_matrices: U (..., m, m) and Vh (..., n, n) as in NumPy, whose default it is; they have a gradient only
            where they are those of False, in square matrices. False: (..., m, k) and (..., k, n), k = min(m, n).
        compute_uv: False for the singular values alone (see `svdvals`).
        hermitian: `a` is square and Hermitian: its lower triangle is read, as in NumPy.

    Returns:
        `SVDResult(U, S, Vh)`, S real and falling. The gradient is that of Townsend 2016 ("Differentiating the singular
        value decomposition", after Giles 2008, "Collected matrix derivative results for forward and reverse mode
        algorithmic differentiation"); for complex matrices with the term of Wan & Zhang 2019 ("Automatic
        differentiation for complex valued SVD", arXiv:1909.02659). Signs and phases of the vectors are open: a loss
        must not depend on them.

    Raises:
        GradientError: a gradient through non-square full matrices; in the backward pass, through vectors of equal or
            zero singular values, or of a loss that depends on complex phases.
        numpy.linalg.LinAlgError: no convergence.
    """
    a = hermitian_of("svd", a) if hermitian else matrices("svd", a)
    if not compute_uv:
        return svdvals(a)
    if full_matrices and a.shape[-1] != a.shape[-2]:
        if differentiated(a):
            raise GradientError(
                f"[svd] full_matrices=True of shape {tuple(a.shape)}: the singular vectors beyond the first "
                f"{min(a.shape[-2:])} are any basis of the rest of the space and have no gradient; pass "
                "full_matrices=False"
            )
        with named("svd", NO_CONVERGENCE, a):
            return SVDResult(*(constant(a, found) for found in xp_linalg("svd", bare(a))(bare(a))))
    return SVDResult(*apply(SVD, (a,), {"strict": False}))


def _svdvals_forward(needs: Needs, a: Any) -> tuple[Any, tuple[Any, ...]]:
    with named("svdvals", NO_CONVERGENCE, a):
        return xp_linalg("svd", a)(a, compute_uv=False), ()


def _svdvals_rule(g: Any, needs: Needs, a: Any) -> tuple[Any]:
    u, _, vh = apply(SVD, (a,), {"strict": differentiated(g)})
    return (conj(matmul(u * rows(g), vh)),)


SVDVALS = Primitive(
    "svdvals", _svdvals_forward, _svdvals_rule, keeps=((0,),), flops=dense(4, -4 / 3), vjp_flops=vjp_dense(16, 8)
)


@linear_algebra
def svdvals(x: Any, /) -> Any:
    """The singular values of matrices (..., m, n), falling: (..., k), k = min(m, n).

    Their gradient needs no gaps: with equal values it is that of the vectors LAPACK happens to choose, which is the
    derivative wherever the loss treats equal values alike. Higher derivatives are as in `eigvalsh`.
    """
    return apply_one(SVDVALS, matrices("svdvals", x), {})
