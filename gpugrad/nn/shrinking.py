"""Activations that pull values towards 0, and the leaky one with random slopes, as functions and modules."""

from __future__ import annotations

from typing import Any

from ..backend.placing import placed
from ..ops.arguments import bare, constant, operand
from ..ops.defining import elementwise
from ..ops.elementwise import absolute, tanh, where
from ..ops.random import rand_like
from .module import Module
from .torch_calls import adopt


@elementwise
def hardshrink(x: Any, lambd: Any = 0.5) -> Any:
    """`x` where it is over `lambd` or under `-lambd`, else 0."""
    return where(absolute(x) <= lambd, 0.0, x)


@elementwise
def pulled(x: Any, lambd: Any) -> Any:
    """`x` moved by `lambd` towards 0, and no farther."""
    return where(absolute(x) <= lambd, 0.0, where(x > 0.0, x - lambd, x + lambd))


@elementwise
def tanhshrink(x: Any) -> Any:
    """`x - tanh(x)`."""
    return x - tanh(x)


@elementwise
def sloped(x: Any, slope: Any) -> Any:
    """`x` where it is positive, else `slope x`."""
    return where(x > 0.0, x, slope * x)


def softshrink(x: Any, lambd: float = 0.5) -> Any:
    """`x` moved by `lambd` towards 0, and no farther; no gradient where it comes to 0.

    Raises:
        ValueError: `lambd` is negative.
    """
    if lambd < 0:
        raise ValueError(f"[softshrink] lambd = {lambd}; expected 0 or more")
    return pulled(operand(x), lambd)


@placed
def rrelu(x: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Any:
    """`x` where it is positive, else `a x`, with a slope `a` drawn for each element (B. Xu et al. 2015).

    Args:
        x: any shape, of a floating point dtype.
        lower: the least slope.
        upper: the greatest; outside training all slopes are in the middle of both.
        training: whether to draw.

    Raises:
        ValueError: `lower` is above `upper`.
    """
    if lower > upper:
        raise ValueError(f"[rrelu] lower = {lower}, upper = {upper}; expected lower <= upper")
    x = operand(x)
    if not training:
        return sloped(x, (lower + upper) / 2)
    return sloped(x, constant(x, bare(rand_like(x)) * (upper - lower) + lower))


adopt(globals())


class _Shrink(Module):
    """What has a threshold."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        """The threshold."""
        return f"{self.lambd}"


class Hardshrink(_Shrink):
    """`x` where it is over `lambd` or under `-lambd`, else 0."""

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return hardshrink(x, self.lambd)


class Softshrink(_Shrink):
    """`x` moved by `lambd` towards 0, and no farther."""

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return softshrink(x, self.lambd)


class Tanhshrink(Module):
    """`x - tanh(x)`."""

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return tanhshrink(x)


class RReLU(Module):
    """`x` where it is positive, else `a x`: slopes drawn in training, all in the middle of their range outside it."""

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower, self.upper = lower, upper

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return rrelu(x, self.lower, self.upper, self.training)

    def extra_repr(self) -> str:
        """The range."""
        return f"lower={self.lower}, upper={self.upper}"
