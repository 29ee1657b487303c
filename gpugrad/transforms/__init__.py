"""Function transforms over the tape: gradients of functions, and the check of gradients against differences."""

from .batch import vmap
from .check import GradientMismatchError, check_grads
from .jacobian import jacrev
from .reverse import grad, value_and_grad, vjp

__all__ = ["GradientMismatchError", "check_grads", "grad", "jacrev", "value_and_grad", "vjp", "vmap"]
