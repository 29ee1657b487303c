"""Lengths, angles and distances of vectors along an axis, as functions and layers; PyTorch's names and conventions."""

from __future__ import annotations

from typing import Any

from ..ops.arguments import operand
from ..ops.elementwise import maximum
from ..ops.reduce import norm
from .module import Module


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Any:
    """`input / max(norm, eps)`: vectors along an axis, of length 1.

    Args:
        input: any shape.
        p: the norm's order, also 1 and inf.
        dim: the axis.
        eps: the least that is divided by; a vector of zeros stays one.
    """
    x = operand(input)
    return x / maximum(norm(x, axis=dim, keepdims=True, p=p), eps)


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """The cosine of the angle between vectors along an axis, whose shapes broadcast.

    Args:
        x1: any shape.
        x2: a shape that broadcasts with it.
        dim: the axis, which the result lacks.
        eps: the least length that is divided by, for each of both.
    """
    x1, x2 = operand(x1), operand(x2)
    return (normalize(x1, 2.0, dim, eps) * normalize(x2, 2.0, dim, eps)).sum(axis=dim)


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """The norm of `x1 - x2 + eps` along the last axis; `eps` keeps the gradient of equal vectors finite."""
    return norm(operand(x1) - operand(x2) + eps, axis=-1, keepdims=keepdim, p=p)


class CosineSimilarity(Module):
    """`functional.cosine_similarity` along an axis."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Any, x2: Any) -> Any:
        """Two shapes that broadcast to theirs without the axis."""
        return cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """`functional.pairwise_distance` of order `p`."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Any, x2: Any) -> Any:
        """(*batch, n) and the same to (*batch,)."""
        return pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
