"""Determinants, their signs and logarithms, and cofactors, which are their derivatives at singular matrices too."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.linalg import LinAlgError

from ..backend import backend_of, is_array
from ..primitive import Needs, Primitive
from ..tensor import apply
from .arguments import apply_one, bare, some
from .cast import imag
from .costs import dense, vjp_dense
from .matrices import array_like, linear_algebra, matrices, product, rows, single, turned, xp_linalg
from .solving import inv, pinv


class SlogdetResult(NamedTuple):
    """What `slogdet` returns."""

    sign: Any
    logabsdet: Any


def _det_forward(needs: Needs, a: Any) -> tuple[Any, tuple[Any, ...]]:
    return array_like(a, xp_linalg("det", a)(a)), ()


def _det_rule(g: Any, needs: Needs, a: Any, y: Any) -> tuple[Any]:
    """The cotangent times the cofactors: det(a) * inv(a).T, and where a determinant is 0 from singular values."""
    if some(bare(y) == 0):
        return (single(g) * cofactors(a),)
    return (single(g * y) * turned(inv(a)),)


DET = Primitive("det", _det_forward, _det_rule, keeps=((0, -1),), flops=dense(0, 2 / 3), vjp_flops=vjp_dense(0, 2))


@linear_algebra
def det(a: Any) -> Any:
    """The determinants of square matrices (..., n, n): (...).

    The gradient is the matrix of cofactors, at singular matrices too, and so is its derivative; third derivatives at
    a singular matrix are refused. In backward the host waits to learn whether a determinant is 0.

    Raises:
        numpy.linalg.LinAlgError: not square; a third derivative at a singular matrix.
    """
    return apply_one(DET, matrices("det", a, square=True), {})


def _pseudo_forward(needs: Needs, a: Any, *, cut: float) -> tuple[Any, tuple[Any, ...]]:
    values = xp_linalg("eigvalsh", a)(a)
    xp = backend_of(a).xp
    kept = values > cut * xp.abs(values).max(axis=-1, keepdims=True)
    return xp.asarray(xp.log(xp.where(kept, values, 1)).sum(axis=-1)), ()


def _pseudo_rule(g: Any, needs: Needs, a: Any, *, cut: float) -> tuple[Any]:
    return (single(g) * pinv(turned(a), rtol=cut),)


LOG_PSEUDO_DET = Primitive(
    "log_pseudo_det",
    _pseudo_forward,
    _pseudo_rule,
    keeps=((0,),),
    flops=dense(0, 4 / 3),
    vjp_flops=vjp_dense(16, 8),
)


def log_pseudo_det(a: Any, cut: float) -> Any:
    """The logarithm of the product of the eigenvalues that are not 0, of positive semidefinite matrices (..., n, n).

    Args:
        a: symmetric; its lower triangle is read.
        cut: eigenvalues up to `cut` times the largest count as 0.

    Returns:
        (...); its gradient, the pseudoinverse, is that among matrices of the same rank.
    """
    return apply_one(LOG_PSEUDO_DET, matrices("log_pseudo_det", a, square=True), {"cut": cut})


def _others(x: Any) -> Any:
    """The product of all other elements of the row, for each element of a bare array; nothing is divided."""
    xp = backend_of(x).xp
    one = xp.ones((*x.shape[:-1], 1), x.dtype)
    before = xp.cumprod(xp.concatenate([one, x[..., :-1]], axis=-1), axis=-1)
    after = xp.cumprod(xp.concatenate([one, x[..., :0:-1]], axis=-1), axis=-1)
    return before * after[..., ::-1]


def _cofactors_forward(needs: Needs, a: Any) -> tuple[Any, tuple[Any, ...]]:
    linalg = backend_of(a).xp.linalg
    u, s, vh = linalg.svd(a)
    u, vh = u.conj(), vh.conj()
    phase = single(array_like(a, linalg.det(u) * linalg.det(vh)).conj())
    u = u * phase
    return backend_of(a).matmul(u * rows(_others(s)), vh), (u, s, vh, phase)


def _cofactors_rule(g: Any, needs: Needs, a: Any, u: Any, s: Any, vh: Any, phase: Any) -> tuple[Any]:
    """In the bases of the singular vectors, adj(diag(s) + b) is to first order in b made of products of all but two s.

    Off the diagonal it is minus that product times b, on it the sum of those products times the others of b's diagonal.
    """
    xp = backend_of(s).xp
    eye = xp.eye(s.shape[-1], dtype=s.dtype)
    pairs = _others(rows(s) * (1 - eye) + eye) * (1 - eye)
    w = product(turned(u), g, turned(vh))
    inner = -pairs * turned(w) + rows(xp.einsum("...kl,...ll->...k", pairs, w)) * eye
    return (product(u / phase, inner, vh),)


def _cofactors_jvp(given: Any, needs: Needs, a: Any, *bases: Any) -> Any:
    """The determinant's second derivative is symmetric, so the rule goes both ways; recorded, Jacobi's formula does."""
    t = given[0]
    if is_array(t):
        return _cofactors_rule(t, needs, a, *bases)[0]
    cofactor, inverse = _cofactors_reference(a), inv(a)
    return single((inverse * turned(t)).sum((-2, -1))) * cofactor - product(cofactor, turned(t), turned(inverse))


def _cofactors_reference(a: Any) -> Any:
    y = apply_one(DET, a, {})
    if some(bare(y) == 0):
        raise LinAlgError(
            f"[det] no third derivative at a singular matrix (shape {tuple(a.shape)} {a.dtype}); perturb it"
        )
    return single(y) * turned(inv(a))


COFACTORS = Primitive(
    "cofactors",
    _cofactors_forward,
    _cofactors_rule,
    keeps=((0,),),
    reference=_cofactors_reference,
    flops=dense(0, 22 + 2 + 4 / 3),
    vjp_flops=vjp_dense(0, 8),
    jvp=_cofactors_jvp,
)


@linear_algebra
def cofactors(a: Any) -> Any:
    """The cofactors of square matrices (..., n, n), which are the gradient of `det`; of singular matrices too.

    Raises:
        numpy.linalg.LinAlgError: not square; a second derivative at a singular matrix.
    """
    return apply_one(COFACTORS, matrices("cofactors", a, square=True), {})


def _slogdet_forward(needs: Needs, a: Any) -> tuple[Any, tuple[Any, ...]]:
    sign, logabs = xp_linalg("slogdet", a)(a)
    return (array_like(a, sign), array_like(a, logabs)), ()


def _slogdet_rule(g: Any, needs: Needs, a: Any, sign: Any, logabs: Any) -> tuple[Any]:
    """With t = tr(inv(a) da): d logabsdet = Re t, d sign = i sign Im t, which is 0 for real matrices."""
    gsign, glog = g
    factor: Any = 0.0 if glog is None else single(glog)
    if gsign is not None and a.dtype.kind == "c":
        factor = factor + single(imag(gsign * sign)) * 1j
    return (factor * turned(inv(a)),)


SLOGDET = Primitive(
    "slogdet",
    _slogdet_forward,
    _slogdet_rule,
    keeps=((0, -1),),
    flops=dense(0, 2 / 3),
    vjp_flops=vjp_dense(0, 2),
    outputs=2,
)


@linear_algebra
def slogdet(a: Any) -> SlogdetResult:
    """The sign (complex: the phase) of the determinants of (..., n, n), and the logarithm of their absolute values.

    Returns:
        `SlogdetResult(sign, logabsdet)`, each (...). The sign of a real determinant has gradient 0.

    Raises:
        numpy.linalg.LinAlgError: not square; in the backward pass, a singular matrix, where logabsdet is -inf.
    """
    return SlogdetResult(*apply(SLOGDET, (matrices("slogdet", a, square=True),), {}))
