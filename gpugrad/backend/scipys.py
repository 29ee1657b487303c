"""What SciPy computes for us, by its name: functions on the CPU from SciPy itself, on a GPU from `cupyx.scipy`.

The one place that imports either, when something first needs it. gpugrad has the derivatives; how to evaluate a Bessel
function or an incomplete gamma function well is another trade.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

INSTALL: Final = 'pip install "gpugrad[scipy]"'


def on_the_cpu(part: str, name: str) -> Callable[..., Any]:
    """`scipy.<part>.<name>`.

    Raises:
        ImportError: SciPy is not installed; gives the command that brings it.
    """
    try:
        found = importlib.import_module(f"scipy.{part}")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"[{name}] SciPy, which evaluates it on the CPU, is not installed; install it with: {INSTALL}"
        ) from error
    return getattr(found, name)  # type: ignore[no-any-return]


def on_a_gpu(name: str, dtypes: tuple[Any, ...]) -> Callable[..., Any]:
    """`cupyx.scipy.special.<name>` for arrays of these dtypes.

    Raises:
        NotImplementedError: there is no such function, or none of complex numbers.
    """
    found = getattr(importlib.import_module("cupyx.scipy.special"), name, None)
    if found is None or any(d.kind == "c" for d in dtypes):
        kinds = " and ".join(sorted({str(d) for d in dtypes}))
        raise NotImplementedError(
            f"[{name}] cupyx.scipy.special has no {name} of {kinds}; compute it on the CPU, x.to('cpu')"
        )
    return found  # type: ignore[no-any-return]


# ---- equations of matrices, with what both array modules have


def dense_of_bands(xp: Any, lower: int, upper: int, ab: Any) -> Any:
    """The matrix (n, n) of the bands `ab` (lower + upper + 1, n), in LAPACK's order: a[i, j] = ab[upper + i - j, j].

    What `ab` has outside the matrix is not read.
    """
    n = ab.shape[1]
    down = xp.arange(n).reshape((n, 1)) - xp.arange(n)
    inside = (down <= lower) & (down >= -upper)
    return xp.where(inside, ab[xp.where(inside, upper + down, 0), xp.arange(n)], 0)


def kronecker_of(xp: Any, a: Any, b: Any) -> Any:
    """The matrix (m n, m n) of x -> a @ x + x @ b on the rows of x (m, n), one after the other."""
    m, n = a.shape[0], b.shape[0]
    left = a.reshape((m, 1, m, 1)) * xp.eye(n, dtype=b.dtype).reshape((1, n, 1, n))
    right = xp.eye(m, dtype=a.dtype).reshape((m, 1, m, 1)) * b.T.reshape((1, n, 1, n))
    return (left + right).reshape((m * n, m * n))
