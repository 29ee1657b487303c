"""Weighted sums, products added to what is there, moments in pairs, complex numbers of two parts; PyTorch's names."""

from __future__ import annotations

from typing import Any

from ..primitive import public
from .arguments import operand
from .cast import imag, real
from .einsum import outer
from .elementwise import cos, sin, trunc, where
from .joining import stack
from .linalg import added_to, addmm, matmul
from .reduce import mean
from .reduce import sum as sum_
from .torch_meanings import torch_std, torch_var


@public
def lerp(input: Any, end: Any, weight: Any) -> Any:
    """`input + weight * (end - input)`, computed from the nearer end, so that it ends where it should."""
    x, end = operand(input), operand(end)
    if isinstance(weight, (int, float)):
        return x + (end - x) * weight if abs(weight) < 0.5 else end - (end - x) * (1 - weight)
    weight = operand(weight)
    return where(abs(weight) < 0.5, x + weight * (end - x), end - (end - x) * (1 - weight))


@public
def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """`input + value * tensor1 * tensor2`."""
    product = operand(tensor1) * operand(tensor2)
    return operand(input) + (product if value == 1 else product * value)


@public
def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """`input + value * tensor1 / tensor2`."""
    quotient = operand(tensor1) / operand(tensor2)
    return operand(input) + (quotient if value == 1 else quotient * value)


@public
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """`beta * input + alpha * (batch1 @ batch2)` of stacks of matrices."""
    return addmm(input, batch1, batch2, beta=beta, alpha=alpha)


@public
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """`beta * input + alpha * sum(batch1 @ batch2)` over the stack."""
    return added_to(input, sum_(matmul(batch1, batch2), axis=0), beta, alpha)


@public
def addmv(input: Any, mat: Any, vec: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """`beta * input + alpha * (mat @ vec)`."""
    return addmm(input, mat, vec, beta=beta, alpha=alpha)


@public
def addr(input: Any, vec1: Any, vec2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """`beta * input + alpha * outer(vec1, vec2)`."""
    return added_to(input, outer(vec1, vec2), beta, alpha)


@public
def mv(input: Any, vec: Any) -> Any:
    """A matrix times a vector."""
    return matmul(input, vec)


@public
def frac(input: Any) -> Any:
    """What is behind the point, with the sign of the number."""
    x = operand(input)
    return x - trunc(x)


@public
def var_mean(
    input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Any:
    """The variance, as `torch.var`, and the mean."""
    return torch_var(input, dim, unbiased, keepdim, correction=correction), mean(input, dim, keepdims=keepdim)


@public
def std_mean(
    input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Any:
    """The standard deviation, as `torch.std`, and the mean."""
    return torch_std(input, dim, unbiased, keepdim, correction=correction), mean(input, dim, keepdims=keepdim)


@public
def polar(abs: Any, angle: Any) -> Any:
    """Complex numbers of a length and an angle."""
    length, angle = operand(abs), operand(angle)
    return length * cos(angle) + length * sin(angle) * 1j


@public
def view_as_complex(input: Any) -> Any:
    """Complex numbers of the real and imaginary parts along the last axis; here a new tensor."""
    x = operand(input)
    if not x.ndim or x.shape[-1] != 2:
        raise ValueError(f"[view_as_complex] input has shape {tuple(x.shape)}; expected a last axis of two parts")
    return x[..., 0] + x[..., 1] * 1j


@public
def view_as_real(input: Any) -> Any:
    """The real and imaginary parts along a new last axis; here a new tensor."""
    return stack([real(input), imag(input)], -1)
