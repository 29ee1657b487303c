"""CuPy's linear algebra on the stand-in's arrays: its signatures and refusals, NumPy's arithmetic.

CuPy does not raise for singular or indefinite matrices by itself; NumPy's error stands for what a user sees under
`cupyx.errstate(linalg="raise")`.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from .functions import bare
from .ndarray import check_device, ndarray, own
from .state import STATE

NAMES: dict[str, Callable[..., Any]] = {}

FUNCTIONS = "det slogdet inv solve pinv lstsq cholesky qr svd eigh eigvalsh eig eigvals".split()


def _function(name: str) -> Callable[..., Any]:
    numpys = getattr(np.linalg, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        from . import real_cupy

        STATE.calls[f"linalg.{name}"] += 1
        real = real_cupy()
        if real is not None:
            inspect.signature(getattr(real.linalg, name)).bind(*args, **kwargs)
        operands = [a for a in args if isinstance(a, ndarray)]
        if not isinstance(args[0], ndarray):
            raise TypeError(f"cupy.linalg.{name} takes cupy.ndarray only, got {type(args[0]).__name__}")
        check_device(*operands)
        if any(a.dtype.char not in "fdFD" for a in operands):
            raise TypeError(f"cupy.linalg.{name}: unsupported dtype among {[str(a.dtype) for a in operands]}")
        if name == "solve" and args[1].ndim > 1 and args[0].shape[:-1] != args[1].shape[:-1]:
            raise ValueError("a must have (..., M, M) shape and b must have (..., M, K) for multidimensional b")
        found = numpys(*map(bare, args), **kwargs)
        if name in ("eig", "eigvals"):
            wide = np.result_type(args[0].dtype, np.complex64)
            found = tuple(f.astype(wide) for f in found) if name == "eig" else found.astype(wide)
        return tuple(map(own, found)) if isinstance(found, tuple) else own(found)

    call.__name__ = name
    return call


NAMES.update({name: _function(name) for name in FUNCTIONS})
