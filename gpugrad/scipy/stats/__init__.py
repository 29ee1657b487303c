"""Distributions under `scipy.stats`' names and arguments: one module of functions for each.

Parameters are arrays, tensors or numbers and may need gradients; results broadcast. Outside a distribution's support
a density is 0 and its logarithm -inf, with gradient 0.
"""

from . import beta, chi2, dirichlet, gamma, multivariate_normal, norm, poisson, t

__all__ = ["beta", "chi2", "dirichlet", "gamma", "multivariate_normal", "norm", "poisson", "t"]
