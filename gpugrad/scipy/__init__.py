"""SciPy's names on arrays and tensors: special functions, convolution, matrices, and densities.

SciPy itself is not needed. What computes lives in `gpugrad.ops`; here are SciPy's names, arguments and conventions.
"""

from . import linalg, signal, special, stats

__all__ = ["linalg", "signal", "special", "stats"]
