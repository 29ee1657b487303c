"""Optimizer updates in plain NumPy on flat blocks, in place; `s` holds scratch arrays of the block's size or more.

The bodies of `cpu_optim_numba` have the same names and arguments, but for the scratch. Blocks are small enough that
the passes over them stay in cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def sgd(p: Array, g: Array, lr: float, decay: float, s: tuple[Array, Array]) -> None:
    """p -= lr (g + decay p)."""
    step = np.multiply(g, lr, s[0])
    if decay:
        p *= 1 - lr * decay
    p -= step


def momentum(
    p: Array, g: Array, buffer: Array, lr: float, decay: float, mu: float, share: float, nesterov: bool,
    s: tuple[Array, Array],
) -> None:  # fmt: skip
    """buffer = mu buffer + share g, p -= lr buffer (nesterov: lr (g + mu buffer)), with g including decay p."""
    if decay:
        g = np.add(g, np.multiply(p, decay, s[0]), s[0])
    buffer *= mu
    buffer += g if share == 1 else np.multiply(g, share, s[1])
    step = np.multiply(buffer, lr * mu if nesterov else lr, s[1])
    p -= step
    if nesterov:
        p -= np.multiply(g, lr, s[1])


def adam(
    p: Array, g: Array, m: Array, v: Array, top: Array, lr: float, beta1: float, beta2: float, eps: float,
    decay: float, decoupled: bool, root: float, s: tuple[Array, Array],
) -> None:  # fmt: skip
    """m, v = moving means of g and g^2; p -= lr m / (root sqrt(v) + eps); decay is added to g unless decoupled.

    `top`, where it has elements, is the largest v so far and takes its place in the root.
    """
    if decay and decoupled:
        p *= 1 - decay
    elif decay:
        g = np.add(g, np.multiply(p, decay, s[1]), s[1])
    scratch = np.subtract(g, m, s[0])
    scratch *= 1 - beta1
    m += scratch
    np.multiply(g, g, scratch)
    scratch *= 1 - beta2
    v *= beta2
    v += scratch
    np.sqrt(np.maximum(top, v, out=top) if top.size else v, scratch)
    if not lr:
        return
    # Divided by lr beforehand: one pass less.
    scratch *= root / lr
    scratch += eps / lr
    p -= np.divide(m, scratch, scratch)


def rmsprop(
    p: Array, g: Array, square: Array, mean: Array, buffer: Array, lr: float, alpha: float, eps: float, decay: float,
    mu: float, s: tuple[Array, Array],
) -> None:  # fmt: skip
    """square = moving mean of g^2 (centred by `mean`), p -= lr g / (sqrt(square) + eps), through `buffer` if mu."""
    if decay:
        g = np.add(g, np.multiply(p, decay, s[1]), s[1])
    scratch = np.multiply(g, g, s[0])
    scratch *= 1 - alpha
    square *= alpha
    square += scratch
    if mean.size:
        mean += np.multiply(np.subtract(g, mean, scratch), 1 - alpha, scratch)
        np.maximum(np.subtract(square, np.multiply(mean, mean, scratch), scratch), 0, out=scratch)
        np.sqrt(scratch, scratch)
    else:
        np.sqrt(square, scratch)
    scratch += eps
    np.divide(g, scratch, scratch)
    if buffer.size:
        buffer *= mu
        buffer += scratch
        scratch = np.multiply(buffer, lr, scratch)
    else:
        scratch *= lr
    p -= scratch


def squared_norm(x: Array) -> float:
    """The sum of squares of a flat block."""
    return float(np.dot(x, x))
