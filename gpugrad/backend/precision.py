"""How exactly products of float32 matrices are computed on a GPU, one setting for the process; and the short dtype.

PyTorch's names and values. The products themselves are in `cublaslt`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

_LEVELS: Final = ("highest", "high", "medium")
_level: Final = ["highest"]


def set_float32_matmul_precision(precision: str) -> None:
    """Choose how products of float32 matrices are computed on a GPU, from now on, in all threads.

    Args:
        precision: "highest": in float32. "high": operands rounded to TF32 (10 bits of mantissa), sums in float32; about
            eight times as fast on tensor cores. "medium": operands rounded to bfloat16 (7 bits), sums in float32.
            It holds for products through cuBLASLt (`gg.cuda.matmul_library`); CuPy's own routine and the CPU
            compute in float32 always.

    Raises:
        ValueError: another name.
    """
    if precision not in _LEVELS:
        raise ValueError(f"[set_float32_matmul_precision] precision = {precision!r}; expected one of {_LEVELS}")
    _level[0] = precision


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` chose: "highest" unless it was called."""
    return _level[0]


def bfloat16(who: str) -> Any:
    """The dtype bfloat16, which is not one of NumPy's own.

    Raises:
        ImportError: the package that has it is not installed.
    """
    try:
        import ml_dtypes
    except ImportError:
        raise ImportError(f'[{who}] bfloat16 needs the package ml_dtypes; pip install "ml_dtypes"') from None
    return np.dtype(ml_dtypes.bfloat16)
