"""Scalar formulas, their derivatives and their three compilers: CUDA source, blocked NumPy, Numba.

Nothing here knows of tensors, tapes or devices; a compiler takes a `Formula` and gives source or a callable.
"""

from .expr import BOOL, REAL, Expr, FormulaError, call, const, lift, var
from .formula import Formula, Vjp, trace

__all__ = ["BOOL", "REAL", "Expr", "Formula", "FormulaError", "Vjp", "call", "const", "lift", "trace", "var"]
