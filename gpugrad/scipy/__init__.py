"""SciPy's names on arrays and tensors: special functions, convolution, and the densities of variational inference.

SciPy itself is not needed. What computes lives in `gpugrad.ops`; here are SciPy's names, arguments and conventions.
"""

from . import signal, special, stats

__all__ = ["signal", "special", "stats"]
