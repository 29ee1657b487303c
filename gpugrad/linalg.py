"""Linear algebra on tensors and arrays, `gg.linalg`: NumPy's names and signatures, with gradients of every order.

The functions are those of `gpugrad.ops`; `gpugrad.numpy.linalg` shows the same ones.
"""

from numpy.linalg import LinAlgError

from .ops.decompositions import cholesky, qr, svd, svdvals
from .ops.determinants import det, slogdet
from .ops.eigenvalues import eig, eigh, eigvals, eigvalsh
from .ops.einsum import outer, tensordot
from .ops.linalg import matmul
from .ops.matrix_norms import cond, cross, diagonal, matrix_norm, matrix_rank, trace, vecdot, vector_norm
from .ops.reduce import norm
from .ops.shape import matrix_transpose
from .ops.solving import inv, lstsq, matrix_power, multi_dot, pinv, solve, tensorinv, tensorsolve

__all__ = [
    "LinAlgError",
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vector_norm",
]
