"""Optimizer updates in plain NumPy, in place: `adam(dtype, *numbers)` gives a body for blocks of that dtype.

The bodies take the arrays of `cpu_optim_numba`'s loops of the same names and two scratch arrays of the block's shape.
What can be computed from the numbers is, once for all blocks, in float64, and rounded to an array of no dimensions,
which a ufunc takes in half the time of a Python number. Blocks are small enough that the passes stay in cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Body = Callable[..., None]


def _rounded(dtype: np.dtype[Any], *numbers: float) -> list[Array]:
    return [np.array(n, dtype) for n in numbers]


def sgd(dtype: np.dtype[Any], lr: float, decay: float) -> Body:
    """p -= lr (g + decay p)."""
    rate, kept = _rounded(dtype, lr, 1 - lr * decay)

    def body(p: Array, g: Array, s: Array, t: Array) -> None:
        if decay:
            np.multiply(p, kept, p)
        np.subtract(p, np.multiply(g, rate, s), p)

    return body


def momentum(dtype: np.dtype[Any], lr: float, decay: float, mu: float, share: float, nesterov: bool) -> Body:
    """buffer = mu buffer + share g, p -= lr buffer (nesterov: lr (g + mu buffer)), with g including decay p."""
    rate, keep, mine, step, decayed = _rounded(dtype, lr, mu, share, lr * mu if nesterov else lr, decay)

    def body(p: Array, g: Array, buffer: Array, s: Array, t: Array) -> None:
        if decay:
            g = np.add(g, np.multiply(p, decayed, s), s)
        np.multiply(buffer, keep, buffer)
        np.add(buffer, g if share == 1 else np.multiply(g, mine, t), buffer)
        np.subtract(p, np.multiply(buffer, step, t), p)
        if nesterov:
            np.subtract(p, np.multiply(g, rate, t), p)

    return body


def adam(
    dtype: np.dtype[Any], lr: float, beta1: float, beta2: float, eps: float, decay: float, decoupled: bool, root: float
) -> Body:
    """m, v = moving means of g and g^2; p -= lr m / (root sqrt(v) + eps); decay is added to g unless decoupled.

    `top`, where it has elements, is the largest v so far and takes its place in the root.
    """
    # Divided by lr beforehand: one pass less.
    per_rate = 1 / lr if lr else 0.0
    new1, new2, keep2, scale, shift = _rounded(dtype, 1 - beta1, 1 - beta2, beta2, root * per_rate, eps * per_rate)
    kept, added = _rounded(dtype, 1 - decay, decay)

    def body(p: Array, g: Array, m: Array, v: Array, top: Array, s: Array, t: Array) -> None:
        if decay and decoupled:
            np.multiply(p, kept, p)
        elif decay:
            g = np.add(g, np.multiply(p, added, t), t)
        np.subtract(g, m, s)
        np.multiply(s, new1, s)
        np.add(m, s, m)
        np.multiply(g, g, s)
        np.multiply(s, new2, s)
        np.multiply(v, keep2, v)
        np.add(v, s, v)
        np.sqrt(np.maximum(top, v, out=top) if top.size else v, s)
        if lr:
            np.multiply(s, scale, s)
            np.add(s, shift, s)
            np.subtract(p, np.divide(m, s, s), p)

    return body


def rmsprop(dtype: np.dtype[Any], lr: float, alpha: float, eps: float, decay: float, mu: float) -> Body:
    """square = moving mean of g^2 (centred by `mean`), p -= lr g / (sqrt(square) + eps), through `buffer` if mu."""
    rate, keep, new, shift, added, hold = _rounded(dtype, lr, alpha, 1 - alpha, eps, decay, mu)

    def body(p: Array, g: Array, square: Array, mean: Array, buffer: Array, s: Array, t: Array) -> None:
        if decay:
            g = np.add(g, np.multiply(p, added, t), t)
        np.multiply(np.multiply(g, g, s), new, s)
        np.multiply(square, keep, square)
        np.add(square, s, square)
        if mean.size:
            np.add(mean, np.multiply(np.subtract(g, mean, s), new, s), mean)
            np.maximum(np.subtract(square, np.multiply(mean, mean, s), s), 0, out=s)
            np.sqrt(s, s)
        else:
            np.sqrt(square, s)
        np.divide(g, np.add(s, shift, s), s)
        if buffer.size:
            np.multiply(buffer, hold, buffer)
            np.add(buffer, s, buffer)
            np.subtract(p, np.multiply(buffer, rate, s), p)
        else:
            np.subtract(p, np.multiply(s, rate, s), p)

    return body


def adagrad(dtype: np.dtype[Any], lr: float, eps: float, decay: float) -> Body:
    """total += g^2; p -= lr g / (sqrt(total) + eps), with g including decay p."""
    rate, shift, added = _rounded(dtype, lr, eps, decay)

    def body(p: Array, g: Array, total: Array, s: Array, t: Array) -> None:
        if decay:
            g = np.add(g, np.multiply(p, added, t), t)
        np.add(total, np.multiply(g, g, s), total)
        np.add(np.sqrt(total, s), shift, s)
        np.subtract(p, np.multiply(np.divide(g, s, s), rate, s), p)

    return body


def adadelta(dtype: np.dtype[Any], lr: float, rho: float, eps: float, decay: float) -> Body:
    """v = moving mean of g^2; u = sqrt(moved + eps) / sqrt(v + eps) g; moved = moving mean of u^2; p -= lr u."""
    rate, keep, new, shift, added = _rounded(dtype, lr, rho, 1 - rho, eps, decay)

    def body(p: Array, g: Array, v: Array, moved: Array, s: Array, t: Array) -> None:
        if decay:
            g = np.add(g, np.multiply(p, added, t), t)
        np.multiply(np.multiply(g, g, s), new, s)
        np.add(np.multiply(v, keep, v), s, v)
        np.sqrt(np.add(v, shift, s), s)
        u = np.divide(g, s, t)
        np.multiply(np.sqrt(np.add(moved, shift, s), s), u, u)
        np.multiply(np.multiply(u, u, s), new, s)
        np.add(np.multiply(moved, keep, moved), s, moved)
        np.subtract(p, np.multiply(u, rate, u), p)

    return body


def adamax(dtype: np.dtype[Any], lr: float, beta1: float, beta2: float, eps: float, decay: float) -> Body:
    """m = moving mean of g, top = max(beta2 top, |g| + eps); p -= lr m / top, with g including decay p."""
    rate, new, keep, shift, added = _rounded(dtype, lr, 1 - beta1, beta2, eps, decay)

    def body(p: Array, g: Array, m: Array, top: Array, s: Array, t: Array) -> None:
        if decay:
            g = np.add(g, np.multiply(p, added, t), t)
        np.add(m, np.multiply(np.subtract(g, m, s), new, s), m)
        np.multiply(top, keep, top)
        np.maximum(top, np.add(np.absolute(g, s), shift, s), out=top)
        np.subtract(p, np.multiply(np.divide(m, top, s), rate, s), p)

    return body


def moments(
    dtype: np.dtype[Any], own: float, past: float, root: float, shift: float, beta1: float, beta2: float, keep: float,
    decay: float,
) -> Body:  # fmt: skip
    """m, v = moving means of g and g^2; p = keep p - (own g + past m) / (root sqrt(v) + shift)."""
    mine, old, by, least, new1, new2, keep2, kept, added = _rounded(
        dtype, own, past, root, shift, 1 - beta1, 1 - beta2, beta2, keep, decay
    )

    def body(p: Array, g: Array, m: Array, v: Array, s: Array, t: Array) -> None:
        if decay:
            g = np.add(g, np.multiply(p, added, t), t)
        np.add(m, np.multiply(np.subtract(g, m, s), new1, s), m)
        np.multiply(np.multiply(g, g, s), new2, s)
        np.add(np.multiply(v, keep2, v), s, v)
        if keep != 1:
            np.multiply(p, kept, p)
        move = np.add(np.multiply(g, mine, t), np.multiply(m, old, s), t) if own else np.multiply(m, old, t)
        if root:
            move = np.divide(move, np.add(np.multiply(np.sqrt(v, s), by, s), least, s), t)
        np.subtract(p, move, p)

    return body


def squared_norm(x: Array) -> float:
    """The sum of squares of a flat block."""
    return float(np.dot(x, x))
