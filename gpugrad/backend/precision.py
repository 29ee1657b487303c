"""How exactly products of float32 matrices are computed on a GPU: one setting for the process.

PyTorch's names and values. The products themselves are in `cublaslt`.
"""

from __future__ import annotations

from typing import Final

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
