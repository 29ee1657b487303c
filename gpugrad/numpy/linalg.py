"""`numpy.linalg`'s names on arrays and tensors: the functions of `gpugrad.linalg`."""

from __future__ import annotations

from typing import NoReturn

import numpy as _numpy
from numpy.linalg import LinAlgError

from ..ops.arguments import holds_tensor
from ..ops.decompositions import cholesky, qr, svd, svdvals
from ..ops.determinants import det, slogdet
from ..ops.eigenvalues import eig, eigh, eigvals, eigvalsh
from ..ops.einsum import outer, tensordot
from ..ops.linalg import matmul
from ..ops.matrix_norms import cond, cross, diagonal, matrix_norm, matrix_rank, trace, vecdot, vector_norm
from ..ops.reduce import norm
from ..ops.shape import matrix_transpose
from ..ops.solving import inv, lstsq, matrix_power, multi_dot, pinv, solve, tensorinv, tensorsolve
from ..signatures import adopt

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


adopt(globals(), _numpy.linalg, holds_tensor)


def __getattr__(name: str) -> NoReturn:
    if not name.startswith("_") and hasattr(_numpy.linalg, name):
        raise AttributeError(
            f"[gpugrad.numpy.linalg] numpy.linalg.{name} has no gradient rule here; on values that need none call it "
            f"with the bare array (x.detach().data), else define it with gpugrad.primitive.Primitive({name!r}, ...)"
        )
    raise AttributeError(f"[gpugrad.numpy.linalg] neither gpugrad nor NumPy has {name!r}; check the spelling")
