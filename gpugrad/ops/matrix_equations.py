"""Sylvester's equation, banded systems and the square root of a matrix; single matrices, not stacks.

SciPy computes them where it is installed (LAPACK's Schur forms and banded factors). Without it, and on a GPU, the first
two are dense systems. The rules are products and the same equations transposed.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..backend import backend_of
from ..primitive import Needs, Primitive, Shape
from ..tensor import apply
from .arguments import apply_one, backend_for_all, bare, operand
from .costs import dense, vjp_dense
from .elementwise import multiply, negative
from .index import getitem
from .joining import roll, stack
from .linalg import matmul
from .matrices import linear_algebra, matrices, named, turned
from .reduce import sum as sum_over
from .shape import reshape

# ---- Sylvester's equation


def _sylvester_forward(needs: Needs, a: Any, b: Any, q: Any) -> tuple[Any, tuple[Any, ...]]:
    with named("solve_sylvester", "no eigenvalue of a may be the negative of one of b", a, b):
        return backend_for_all("solve_sylvester", a, b, q).solve_sylvester(a, b, q), ()


def _sylvester_rule(g: Any, needs: Needs, a: Any, b: Any, x: Any) -> tuple[Any, ...]:
    w = apply(SYLVESTER, (turned(a), turned(b), g), {})
    ga = negative(matmul(w, turned(x))) if needs[0] else None
    return ga, (negative(matmul(turned(x), w)) if needs[1] else None), w


def _sylvester_flops(shapes: tuple[Shape, ...], out_shape: Shape) -> int:
    """Two Schur forms with their vectors, two products on either side, and a triangular equation."""
    m, n = out_shape
    return 25 * (m**3 + n**3) + 5 * m * n * (m + n)


def _sylvester_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs) -> int:
    m, n = out_shape
    return _sylvester_flops(shapes, out_shape) + 2 * m * n * (m * needs[0] + n * needs[1])


SYLVESTER = Primitive(
    "solve_sylvester",
    _sylvester_forward,
    _sylvester_rule,
    keeps=((0, 1, -1), (0, 1, -1), (0, 1)),
    flops=_sylvester_flops,
    vjp_flops=_sylvester_vjp_flops,
)


@linear_algebra
def solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    """The solution x of `a @ x + x @ b = q`, real or complex.

    Args:
        a: (m, m).
        b: (n, n).
        q: (m, n).

    Returns:
        (m, n). On a GPU, and where SciPy is missing, it is found from m n equations in as many unknowns: for small
        matrices only.

    Raises:
        ValueError: the shapes do not fit.
        numpy.linalg.LinAlgError: an eigenvalue of a is the negative of one of b.
    """
    name = "solve_sylvester"
    a, b, q = matrices(name, a, True, 2), matrices(name, b, True, 2), matrices(name, q, ndim=2)
    if tuple(q.shape) != (a.shape[0], b.shape[0]):
        raise ValueError(f"[{name}] q of shape {tuple(q.shape)}; expected {(a.shape[0], b.shape[0])}, as of a and b")
    return apply(SYLVESTER, (a, b, q), {})


# ---- the square root of a matrix


def _sqrtm_forward(needs: Needs, a: Any) -> tuple[Any, tuple[Any, ...]]:
    with named("sqrtm", "check for nan and infinity", a):
        found = backend_of(a).sqrtm(a)
    # SciPy's releases differ in whether single precision stays what it is.
    return found.astype(np.result_type(a.dtype, np.complex64) if found.dtype.kind == "c" else a.dtype, copy=False), ()


def _sqrtm_rule(g: Any, needs: Needs, x: Any) -> tuple[Any]:
    return (apply(SYLVESTER, (turned(x), turned(x), g), {}),)


# A Schur form with its vectors, the root of the triangle, and two products (Higham, Functions of Matrices, 6.2).
SQRTM = Primitive(
    "sqrtm", _sqrtm_forward, _sqrtm_rule, keeps=((-1,),), flops=dense(0, 25 + 1 / 3 + 4), vjp_flops=vjp_dense(0, 60)
)


@linear_algebra
def sqrtm(a: Any) -> Any:
    """The principal square root of a square matrix (n, n), by SciPy on the CPU.

    Args:
        a: real or complex.

    Returns:
        (n, n); complex also for a real matrix where an eigenvalue is negative. Its derivative solves Sylvester's
        equation with the root on both sides, which an eigenvalue of 0 leaves without a solution.

    Raises:
        ImportError: SciPy is not installed.
        NotImplementedError: on a GPU.
        numpy.linalg.LinAlgError: not square; or, backward, a singular matrix.
    """
    return apply_one(SQRTM, matrices("sqrtm", a, True, 2), {})


# ---- banded systems


def _banded_forward(needs: Needs, ab: Any, b: Any, *, bands: tuple[int, int]) -> tuple[Any, tuple[Any, ...]]:
    with named("solve_banded", "add a multiple of the identity to the diagonal", ab, b):
        return backend_for_all("solve_banded", ab, b).solve_banded(bands, ab, b), ()


def _transposed(ab: Any, lower: int, upper: int) -> Any:
    """The bands of the transposed matrix. What comes round the ends lies outside of it, where nobody reads."""
    return stack([roll(getitem(ab, upper - d), -d) for d in range(-lower, upper + 1)])


def _banded_rule(g: Any, needs: Needs, ab: Any, x: Any, *, bands: tuple[int, int]) -> tuple[Any, Any]:
    lower, upper = bands
    w = apply(BANDED, (_transposed(ab, lower, upper), g), {"bands": (upper, lower)})
    if not needs[0]:
        return None, w
    places = backend_of(bare(ab)).xp.arange(ab.shape[1])
    lines = []
    for d in range(-upper, lower + 1):
        inside = ((places + d >= 0) & (places + d < ab.shape[1])).astype(ab.dtype)
        lines.append(multiply(sum_over(multiply(roll(w, -d, 0), x), 1), inside))
    return negative(stack(lines)), w


def _banded_flops(shapes: tuple[Shape, ...], out_shape: Shape, *, bands: tuple[int, int]) -> int:
    """Elimination with exchanges of rows, which widen the upper part by the lower one."""
    (lower, upper), (n, k) = bands, out_shape
    return 2 * n * lower * (lower + upper) + n * k * (4 * lower + 2 * upper)


def _banded_vjp_flops(
    shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, bands: tuple[int, int]
) -> int:
    solved = _banded_flops(shapes, out_shape, bands=(bands[1], bands[0]))
    return solved + needs[0] * 2 * out_shape[0] * out_shape[1] * (sum(bands) + 1)


BANDED = Primitive(
    "solve_banded",
    _banded_forward,
    _banded_rule,
    keeps=((0, -1), (0,)),
    flops=_banded_flops,
    vjp_flops=_banded_vjp_flops,
)


@linear_algebra
def solve_banded(l_and_u: tuple[int, int], ab: Any, b: Any) -> Any:
    """The solution of `a @ x = b` for a matrix of which only some diagonals are not zero.

    Args:
        l_and_u: how many diagonals there are below and above the main one.
        ab: (l + u + 1, n): `ab[u + i - j, j]` is a[i, j]. What lies outside the matrix is not read, and has gradient 0.
        b: (n,) or (n, columns).

    Returns:
        The shape of b. On a GPU, and where SciPy is missing, a dense system of n equations is solved.

    Raises:
        ValueError: the shapes do not fit.
        numpy.linalg.LinAlgError: the matrix is singular (on a GPU as `solve`).
    """
    name = "solve_banded"
    ab, b = matrices(name, ab, ndim=2), operand(b)
    lower, upper = (operator.index(n) for n in l_and_u)
    if min(lower, upper) < 0 or ab.shape[0] != lower + upper + 1:
        raise ValueError(
            f"[{name}] {tuple(l_and_u)} bands and ab of shape {tuple(ab.shape)}; expected l + u + 1 rows in ab"
        )
    if len(b.shape) not in (1, 2) or b.shape[0] != ab.shape[1]:
        raise ValueError(f"[{name}] ab of shape {tuple(ab.shape)}, b {tuple(b.shape)}; expected b (n,) or (n, columns)")
    vector = len(b.shape) == 1
    x = apply(BANDED, (ab, matrices(name, reshape(b, -1, 1) if vector else b)), {"bands": (lower, upper)})
    return reshape(x, -1) if vector else x
