"""SciPy's names on arrays and tensors: special functions, convolution, matrices, and densities.

SciPy itself is needed only for what it evaluates: Bessel functions but I0 and I1, incomplete gamma and beta functions,
erf of complex numbers, the root of a matrix. The rest lives in `gpugrad.ops`; here are SciPy's names, arguments and
conventions.
"""

from . import linalg, signal, special, stats

__all__ = ["linalg", "signal", "special", "stats"]
