"""Densities under `scipy.stats`' names and arguments: one module for each distribution, functions only.

Parameters are arrays, tensors or numbers and may need gradients; results broadcast. Outside a distribution's support
a density is 0 and its logarithm -inf, with gradient 0.
"""

from . import beta, dirichlet, gamma, multivariate_normal, norm, t

__all__ = ["beta", "dirichlet", "gamma", "multivariate_normal", "norm", "t"]
