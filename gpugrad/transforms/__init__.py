"""Function transforms over the tape: gradients of functions, and the check of gradients against differences."""

from .batch import vmap
from .check import GradientMismatchError, check_grads
from .checkpoint import checkpoint
from .compiling import compile
from .custom import custom_jvp, custom_vjp, stop_gradient
from .forward import jvp, linearize
from .jacobian import elementwise_grad, hessian, hvp, jacfwd, jacobian, jacrev
from .reverse import grad, value_and_grad, vjp

__all__ = [
    "GradientMismatchError", "check_grads", "checkpoint", "compile", "custom_jvp", "custom_vjp", "elementwise_grad",
    "grad", "hessian", "hvp", "jacfwd", "jacobian", "jacrev", "jvp", "linearize", "stop_gradient", "value_and_grad",
    "vjp", "vmap",
]  # fmt: skip
