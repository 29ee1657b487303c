"""The array API's extension `linalg`: the functions of `gg.linalg` behind the standard's signatures."""

from __future__ import annotations

from typing import Any

from ..ops import decompositions, determinants, eigenvalues, matrix_norms, sequences, solving
from ..ops.decompositions import cholesky, svdvals
from ..ops.einsum import outer, tensordot
from ..ops.linalg import matmul
from ..ops.matrix_norms import diagonal, vecdot
from ..ops.shape import matrix_transpose

__all__ = [
    "cholesky", "cross", "det", "diagonal", "eigh", "eigvalsh", "inv", "matmul", "matrix_norm", "matrix_power",
    "matrix_rank", "matrix_transpose", "outer", "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "tensordot",
    "trace", "vecdot", "vector_norm",
]  # fmt: skip


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The cross product of vectors of three elements along an axis.

    Raises:
        ValueError: the axis has another length.
    """
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ValueError(f"[cross] lengths {x1.shape[axis]} and {x2.shape[axis]} along axis {axis}; expected 3 and 3")
    return sequences.cross(x1, x2, axis=axis)


def det(x: Any, /) -> Any:
    """The determinants of square matrices."""
    return determinants.det(x)


def eigh(x: Any, /) -> Any:
    """Eigenvalues in ascending order and eigenvectors of Hermitian matrices, from the lower triangle."""
    return eigenvalues.eigh(x)


def eigvalsh(x: Any, /) -> Any:
    """Eigenvalues of Hermitian matrices in ascending order."""
    return eigenvalues.eigvalsh(x)


def inv(x: Any, /) -> Any:
    """The inverses of square matrices."""
    return solving.inv(x)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """Norms of matrices: Frobenius, nuclear, and by `ord` as in NumPy."""
    return matrix_norms.matrix_norm(x, keepdims=keepdims, ord=ord)


def matrix_power(x: Any, n: int, /) -> Any:
    """Square matrices to an integer power."""
    return solving.matrix_power(x, n)


def matrix_rank(x: Any, /, *, rtol: Any = None) -> Any:
    """How many singular values exceed `rtol` times the largest."""
    return matrix_norms.matrix_rank(x, rtol=rtol)


def pinv(x: Any, /, *, rtol: Any = None) -> Any:
    """Pseudo-inverses; singular values up to `rtol` times the largest count as zero."""
    return solving.pinv(x, rtol=rtol)


def qr(x: Any, /, *, mode: str = "reduced") -> Any:
    """The QR decomposition; `mode` is "reduced" or "complete"."""
    return decompositions.qr(x, mode)


def slogdet(x: Any, /) -> Any:
    """Sign and logarithm of the absolute value of the determinants."""
    return determinants.slogdet(x)


def solve(x1: Any, x2: Any, /) -> Any:
    """The solution of `x1 @ x = x2`; a one-dimensional `x2` is one vector."""
    return solving.solve(x1, x2)


def svd(x: Any, /, *, full_matrices: bool = True) -> Any:
    """The singular value decomposition."""
    return decompositions.svd(x, full_matrices)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sums of the `offset`-th diagonals of the last two axes; small integers are summed in 64 bits."""
    return matrix_norms.trace(x, offset=offset, dtype=dtype)


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """Norms of vectors along the axes, of the flattened array if None."""
    return matrix_norms.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)
