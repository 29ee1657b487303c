"""Arithmetic and traffic from shapes alone: what the operations of this floor state to `Primitive` as their cost.

The conventions: every scalar operation, comparison, selection and function (exp, erf, lgamma) counts as one, a
multiply-add as two; moving values, views and the arithmetic of indices count as none. A complex number counts like a
real one. Of dense factorisations only the leading terms are stated (Golub and Van Loan, Matrix Computations, 4th ed.).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..primitive import Needs, Shape


def no_flops(shapes: tuple[Shape, ...], out_shape: Shape, **static: Any) -> int:
    """A view or a copy computes nothing."""
    return 0


def no_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, **static: Any) -> int:
    """The rule of a view or a copy computes nothing."""
    return 0


def no_bytes(sizes: tuple[int, ...], out_size: int, **static: Any) -> int:
    """A view moves nothing."""
    return 0


def no_vjp_bytes(sizes: tuple[int, ...], out_size: int, needs: Needs, **static: Any) -> int:
    """The rule of a view moves nothing."""
    return 0


def out_bytes_twice(sizes: tuple[int, ...], out_size: int, **static: Any) -> int:
    """What is taken out of a larger array is read and written; the rest is not looked at."""
    return 2 * out_size


def per_input(each: float, per_output: float = 0) -> Callable[..., int]:
    """`each` operations for every element of the first input, and `per_output` for every element of the output."""

    def flops(shapes: tuple[Shape, ...], out_shape: Shape, **static: Any) -> int:
        return int(each * math.prod(shapes[0]) + per_output * math.prod(out_shape))

    return flops


def vjp_per_input(each: float, per_output: float = 0) -> Callable[..., int]:
    """As `per_input`, for a rule."""

    def flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, **static: Any) -> int:
        return int(each * math.prod(shapes[0]) + per_output * math.prod(out_shape))

    return flops


def per_output(each: int) -> Callable[..., int]:
    """`each` operations for every element of the output; for a forward or a rule."""

    def flops(shapes: tuple[Shape, ...], out_shape: Shape, *needs: Needs, **static: Any) -> int:
        return each * math.prod(out_shape)

    return flops


def rows_of(shape: Shape) -> int:
    """How many rows an array has along its last axis."""
    return math.prod(shape[:-1])


def dense(mnn: float, nnn: float = 0) -> Callable[..., int]:
    """`mnn * m n^2 + nnn * n^3` for each matrix of the first input, n the shorter and m the longer side."""

    def flops(shapes: tuple[Shape, ...], out_shape: Shape, **static: Any) -> int:
        *batch, rows, columns = shapes[0]
        m, n = max(rows, columns), min(rows, columns)
        return round(math.prod(batch) * (mnn * m * n * n + nnn * n**3))

    return flops


def vjp_dense(mnn: float, nnn: float = 0) -> Callable[..., int]:
    """As `dense`, for a rule with cotangents of all outputs."""
    count = dense(mnn, nnn)

    def flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, **static: Any) -> int:
        return count(shapes, out_shape)

    return flops
