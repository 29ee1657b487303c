"""Inverses, systems of equations, powers and chains of products of matrices; stacks of matrices throughout.

Their derivatives are products with inverses (Giles 2008, "Collected matrix derivative results for forward and reverse
mode algorithmic differentiation"; Golub & Pereyra 1973 for the pseudoinverse). Factorisations are in `decompositions`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

from ..backend import backend_of
from ..backend.placing import placed
from ..batching import agreed
from ..primitive import FUNCTIONS, Needs, Primitive, Shape
from ..tensor import apply
from .arguments import apply_one, backend_for_all, bare, constant, operand
from .cast import conj, imag, real
from .costs import dense, vjp_dense
from .elementwise import square
from .linalg import matmul
from .matrices import (
    NO_CONVERGENCE,
    adjoint,
    columns,
    hermitian_of,
    linear_algebra,
    matrices,
    named,
    product,
    rows,
    turned,
    xp_linalg,
)
from .reduce import sum as sum_over
from .shape import moveaxis, reshape

_SINGULAR = "use pinv or lstsq, or add a multiple of the identity"


# ---- inverse


def _inv_forward(needs: Needs, a: Any) -> tuple[Any, tuple[Any, ...]]:
    with named("inv", _SINGULAR, a):
        return xp_linalg("inv", a)(a), ()


def _inv_rule(g: Any, needs: Needs, y: Any) -> tuple[Any]:
    return (-product(turned(y), g, turned(y)),)


INV = Primitive("inv", _inv_forward, _inv_rule, keeps=((-1,),), flops=dense(0, 2), vjp_flops=vjp_dense(0, 4))


@linear_algebra
def inv(a: Any) -> Any:
    """The inverse of square matrices (..., n, n).

    Raises:
        numpy.linalg.LinAlgError: a matrix is singular (CuPy says so only under `cupyx.errstate(linalg="raise")`), or
            not square.
    """
    return apply_one(INV, matrices("inv", a, square=True), {})


# ---- systems of equations


def _solve_forward(needs: Needs, a: Any, b: Any) -> tuple[Any, tuple[Any, ...]]:
    xp = backend_for_all("solve", a, b).xp
    if a.shape[:-2] != b.shape[:-2]:  # CuPy does not broadcast stacks
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = xp.broadcast_to(a, batch + a.shape[-2:]), xp.broadcast_to(b, batch + b.shape[-2:])
    with named("solve", _SINGULAR, a, b):
        return xp.linalg.solve(a, b), ()


def _solve_rule(g: Any, needs: Needs, a: Any, x: Any) -> tuple[Any, Any]:
    gb = apply(SOLVE, (turned(a), g), {})
    return (-matmul(gb, turned(x)) if needs[0] else None), gb


def _solve_flops(shapes: tuple[Shape, ...], out_shape: Shape) -> int:
    n, k = out_shape[-2:]
    return int(math.prod(out_shape[:-2]) * (2 / 3 * n**3 + 2 * n * n * k))


def _solve_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs) -> int:
    n, k = out_shape[-2:]
    return _solve_flops(shapes, out_shape) + math.prod(out_shape[:-2]) * 2 * n * n * k * needs[0]


SOLVE = Primitive(
    "solve", _solve_forward, _solve_rule, keeps=((0, -1), (0,)), flops=_solve_flops, vjp_flops=_solve_vjp_flops
)


@linear_algebra
def solve(a: Any, b: Any) -> Any:
    """The solution x of `a @ x = b`.

    Args:
        a: (..., n, n).
        b: (n,), or matrices (..., n, k); stacks broadcast.

    Returns:
        (..., n) or (..., n, k).

    Raises:
        numpy.linalg.LinAlgError: a matrix is singular (CuPy says so only under `cupyx.errstate(linalg="raise")`), or
            not square.
        ValueError: the lengths do not fit.
    """
    a, b = matrices("solve", a, square=True), operand(b)
    vector = len(b.shape) == 1
    if not b.shape or b.shape[0 if vector else -2] != a.shape[-1]:
        raise ValueError(
            f"[solve] a has shape {tuple(a.shape)}, b {tuple(b.shape)}; expected (..., n, n) and (n,) or (..., n, k)"
        )
    b = matrices("solve", columns(b) if vector else b)
    x = apply(SOLVE, (a, b), {})
    return x.reshape(x.shape[:-1]) if vector else x


@linear_algebra
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """The solution x of `tensordot(a, x, x.ndim) = b`, as `numpy.linalg.tensorsolve`.

    Args:
        a: of the shape of `b` followed by that of x; both have as many elements.
        b: any shape.
        axes: axes of `a` to move to its end first.

    Raises:
        numpy.linalg.LinAlgError: the sizes do not fit, or the system is singular.
    """
    a, b = operand(a), operand(b)
    if axes is not None:
        a = moveaxis(a, tuple(axes), tuple(range(len(a.shape) - len(axes), len(a.shape))))
    shape, n = tuple(a.shape[len(b.shape) :]), math.prod(b.shape)
    if math.prod(a.shape) != n * n:
        raise LinAlgError(
            f"[tensorsolve] a of shape {tuple(a.shape)} and b of shape {tuple(b.shape)}; expected a.shape = b.shape + "
            "x.shape with as many elements in x as in b"
        )
    return reshape(solve(reshape(a, (n, n)), reshape(b, (n,))), shape)


@linear_algebra
def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse of `a` for `tensordot` over `ind` axes, as `numpy.linalg.tensorinv`.

    Args:
        a: any shape whose first `ind` axes have as many elements as the others.
        ind: the number of leading axes, 1 or more.

    Raises:
        ValueError: `ind` is not positive.
        numpy.linalg.LinAlgError: the sizes do not fit, or `a` is singular.
    """
    a = operand(a)
    if operator.index(ind) <= 0:
        raise ValueError(f"[tensorinv] ind = {ind}; expected a positive number of axes")
    first, rest = tuple(a.shape[:ind]), tuple(a.shape[ind:])
    if math.prod(first) != math.prod(rest):
        raise LinAlgError(
            f"[tensorinv] ind = {ind} of shape {tuple(a.shape)}; expected as many elements in {first} as in {rest}"
        )
    return reshape(inv(reshape(a, (math.prod(first), math.prod(rest)))), rest + first)


# ---- pseudoinverse and least squares


def _pinv_forward(needs: Needs, a: Any, *, cut: Any) -> tuple[Any, tuple[Any, ...]]:
    with named("pinv", NO_CONVERGENCE, a):
        return xp_linalg("pinv", a)(a, cut), ()


def _pinv_rule(g: Any, needs: Needs, a: Any, p: Any, *, cut: Any) -> tuple[Any]:
    """The derivative among matrices of the same rank: -P dA P, and two terms that leave the row and column spaces."""
    gh, ph = turned(g), adjoint(p)
    inside = product(ph, adjoint(gh), ph)
    above = product(gh - product(a, p, gh), p, ph)
    beside = product(ph, p, gh - product(gh, p, a))
    return (conj(above + beside - inside),)


def _pinv_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, **static: Any) -> int:
    *batch, m, n = shapes[0]
    return 20 * math.prod(batch) * m * m * n


PINV = Primitive("pinv", _pinv_forward, _pinv_rule, keeps=((0, -1),), flops=dense(16, 8), vjp_flops=_pinv_vjp_flops)


@linear_algebra
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """The Moore-Penrose pseudoinverse of matrices (..., m, n): (..., n, m).

    Args:
        a: the matrices.
        rcond: singular values up to `rcond` times the largest count as zero; 1e-15 if not given.
        hermitian: `a` is square and Hermitian: its lower triangle is read, as in NumPy.
        rtol: another name of `rcond`.

    Returns:
        The pseudoinverses. Where the rank changes they jump; the gradient is that among matrices of the same rank
        (Golub & Pereyra 1973).

    Raises:
        ValueError: `rcond` and `rtol` are both given.
        numpy.linalg.LinAlgError: no convergence.
    """
    if rcond is not None and rtol is not None:
        raise ValueError(f"[pinv] rcond = {rcond} and rtol = {rtol} are two names of one argument; give one")
    cut = 1e-15 if rcond is None and rtol is None else bare(rtol if rcond is None else rcond)
    return apply_one(PINV, hermitian_of("pinv", a) if hermitian else matrices("pinv", a), {"cut": cut})


def _lstsq_forward(needs: Needs, a: Any, b: Any, *, rcond: float) -> tuple[Any, tuple[Any, ...]]:
    xp = backend_for_all("lstsq", a, b).xp
    with named("lstsq", NO_CONVERGENCE, a, b):
        x, _, rank, s = xp.linalg.lstsq(a, b, rcond)
    return (x, xp.asarray(rank), s), ()


def _lstsq_rule(g: Any, needs: Needs, a: Any, b: Any, x: Any, rank: Any, s: Any, *, rcond: float) -> tuple[Any, Any]:
    """That of pinv(a) @ b, with every product of matrices taken from the side of the (few) columns of b."""
    gx, gs = g[0], g[2]
    ga = gb = None
    if gx is not None:
        p = pinv(a, rcond)
        gb = matmul(turned(p), gx)
        if needs[0]:
            gx, ph = conj(gx), adjoint(p)
            back = matmul(ph, gx)
            rest = gx - product(p, matmul(a, gx))
            left = b - matmul(a, x)
            ga = matmul(left, adjoint(matmul(p, back))) + product(ph, x, adjoint(rest)) - matmul(back, adjoint(x))
            ga = conj(ga)
    if gs is not None and needs[0]:
        u, _, vh = FUNCTIONS["linalg.svd"](a, full_matrices=False)
        values = conj(matmul(u * rows(gs), vh))
        ga = values if ga is None else ga + values
    return ga, gb


def _lstsq_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, **static: Any) -> int:
    """With a cotangent of the solution, not of the singular values: a pseudoinverse, and products with few columns."""
    (m, n), k = shapes[0][-2:], out_shape[-1]
    return int(PINV.flops(shapes[:1], ())) + 2 * m * n * k * (1 + 9 * needs[0])


LSTSQ = Primitive(
    "lstsq",
    _lstsq_forward,
    _lstsq_rule,
    keeps=((0, 1, -1), (0,)),
    flops=dense(4, 8),
    vjp_flops=_lstsq_vjp_flops,
    outputs=3,
)


@linear_algebra
def lstsq(a: Any, b: Any, rcond: float | None = None) -> tuple[Any, Any, Any, Any]:
    """The shortest x that makes `|a @ x - b|` smallest, as `numpy.linalg.lstsq`.

    Args:
        a: (m, n).
        b: (m,) or (m, k).
        rcond: singular values up to `rcond` times the largest count as zero; by default max(m, n) eps, with -1 eps.

    Returns:
        x (n,) or (n, k); the sums of squared residuals, (1,) or (k,), and (0,) where m <= n or the rank is below n;
        the rank; the singular values of `a`. The gradient of x is that among matrices of the same rank, as `pinv`'s.

    Raises:
        numpy.linalg.LinAlgError: the lengths do not fit, or no convergence.
    """
    a, b = matrices("lstsq", a, ndim=2), operand(b)
    vector = len(b.shape) == 1
    b = matrices("lstsq", columns(b) if vector else b, ndim=2)
    if a.shape[0] != b.shape[0]:
        raise LinAlgError(f"[lstsq] a has {a.shape[0]} rows, b {b.shape[0]}; expected as many")
    m, n = a.shape
    eps = float(np.finfo(np.result_type(a.dtype, b.dtype)).eps)
    cut = eps * max(m, n) if rcond is None else eps if rcond < 0 else rcond
    x, rank, s = apply(LSTSQ, (a, b), {"rcond": cut})
    if m > n and int(agreed(bare(rank), "the rank of a in lstsq")) == n:
        away = b - matmul(a, x)
        left = sum_over(square(real(away)) + square(imag(away)) if away.dtype.kind == "c" else square(away), 0)
    else:
        left = constant(x, backend_of(bare(x)).xp.empty(0, bare(s).dtype))
    return (x.reshape(n) if vector else x), left, rank, s


# ---- powers and products


@linear_algebra
@placed
def matrix_power(a: Any, n: int) -> Any:
    """The n-th power of square matrices (..., k, k) by repeated squaring; of the inverses where n is negative.

    Raises:
        TypeError: n is no integer.
        numpy.linalg.LinAlgError: not square, or a negative power of a singular matrix.
    """
    a = matrices("matrix_power", a, square=True)
    try:
        n = operator.index(n)
    except TypeError:
        raise TypeError(f"[matrix_power] n = {n!r} of type {type(n).__name__}; expected an integer") from None
    if n == 0:
        xp = backend_of(bare(a)).xp
        return constant(a, xp.zeros_like(bare(a)) + xp.eye(a.shape[-1], dtype=a.dtype))
    if n < 0:
        a, n = inv(a), -n
    result = None
    while True:
        if n & 1:
            result = a if result is None else matmul(result, a)
        n >>= 1
        if not n:
            return result
        a = matmul(a, a)


@linear_algebra
def multi_dot(arrays: Sequence[Any], *, out: None = None) -> Any:
    """The product of two or more matrices in the order that takes the fewest multiplications.

    Args:
        arrays: matrices; the first may be a row vector (k,), the last a column vector.
        out: refused: the tape would not know the other memory.

    Raises:
        ValueError: fewer than two arrays.
        numpy.linalg.LinAlgError: an operand of other rank.
    """
    if out is not None:
        raise TypeError("[multi_dot] out= is not supported; assign the result")
    factors = [operand(a) for a in arrays]
    shapes = [tuple(a.shape) for a in factors]
    if len(factors) < 2:
        raise ValueError(f"[multi_dot] {len(factors)} arrays; expected two or more")
    ends = (0, len(factors) - 1)
    if any(len(s) != 2 and not (len(s) == 1 and i in ends) for i, s in enumerate(shapes)):
        raise LinAlgError(f"[multi_dot] shapes {shapes}; expected matrices, and perhaps vectors at the ends")
    if len(shapes[0]) == 1:
        factors[0] = rows(factors[0])
    if len(shapes[-1]) == 1:
        factors[-1] = columns(factors[-1])
    result = _chain(factors, _best_splits([f.shape[0] for f in factors] + [factors[-1].shape[1]]), 0, ends[1])
    last = result.shape
    return reshape(result, (() if len(shapes[0]) == 1 else last[:1]) + (() if len(shapes[-1]) == 1 else last[1:]))


def _best_splits(lengths: list[int]) -> dict[tuple[int, int], int]:
    """Where to split the product of factors i to j, by the textbook's dynamic programme (Cormen et al., chapter 15)."""
    n = len(lengths) - 1
    cost = {(i, i): 0 for i in range(n)}
    splits: dict[tuple[int, int], int] = {}
    for width in range(1, n):
        for i in range(n - width):
            j = i + width
            costs = {k: cost[i, k] + cost[k + 1, j] + lengths[i] * lengths[k + 1] * lengths[j + 1] for k in range(i, j)}
            splits[i, j] = min(costs, key=costs.__getitem__)
            cost[i, j] = costs[splits[i, j]]
    return splits


def _chain(factors: list[Any], splits: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return factors[i]
    k = splits[i, j]
    return matmul(_chain(factors, splits, i, k), _chain(factors, splits, k + 1, j))
