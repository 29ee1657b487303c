"""Function transforms over the tape: gradients of functions, and the check of gradients against differences."""

from .check import GradientMismatchError, check_grads
from .reverse import grad, value_and_grad, vjp

__all__ = ["GradientMismatchError", "check_grads", "grad", "value_and_grad", "vjp"]
