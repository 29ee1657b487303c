"""Optimizer updates as Numba loops, one pass over a flat block; names and arguments as in `cpu_optim_numpy`.

This file is run from a copy in the kernel cache (see `gpugrad.fusion.numba_cache`), hence the absolute imports.
"""

from __future__ import annotations

from typing import Any

from gpugrad.fusion import numba_ir as ir
from gpugrad.fusion.numba_cache import kernel, reduction
from gpugrad.fusion.numba_math import maximum

ZERO, ONE = ir.constant(0.0), ir.constant(1.0)


@kernel
def sgd(p: Any, g: Any, lr: Any, decay: Any) -> None:
    """p -= lr (g + decay p)."""
    for i in range(p.size):
        p[i] -= lr * (g[i] + decay * p[i])


@kernel
def momentum(p: Any, g: Any, buffer: Any, lr: Any, decay: Any, mu: Any, share: Any, nesterov: Any) -> None:
    """buffer = mu buffer + share g, p -= lr buffer (nesterov: lr (g + mu buffer)), with g including decay p."""
    own = ONE(lr) if nesterov else ZERO(lr)
    rest = mu if nesterov else ONE(lr)
    for i in range(p.size):
        d = g[i] + decay * p[i]
        b = mu * buffer[i] + share * d
        buffer[i] = b
        p[i] -= lr * (own * d + rest * b)


@kernel
def adam(
    p: Any, g: Any, m: Any, v: Any, top: Any, lr: Any, beta1: Any, beta2: Any, eps: Any, decay: Any, decoupled: Any,
    root: Any,
) -> None:  # fmt: skip
    """m, v = moving means of g and g^2; p -= lr m / (root sqrt(v) + eps); decay is added to g unless decoupled.

    `top`, where it has elements, is the largest v so far and takes its place in the root.
    """
    keep = ONE(lr) - decay if decoupled else ONE(lr)
    add = ZERO(lr) if decoupled else decay
    new1, new2 = ONE(lr) - beta1, ONE(lr) - beta2
    if top.size == 0:
        for i in range(p.size):
            d = g[i] + add * p[i]
            a = m[i] + new1 * (d - m[i])
            b = beta2 * v[i] + new2 * (d * d)
            m[i] = a
            v[i] = b
            p[i] = keep * p[i] - lr * a / (root * ir.sqrt(b) + eps)
        return
    for i in range(p.size):
        d = g[i] + add * p[i]
        a = m[i] + new1 * (d - m[i])
        b = beta2 * v[i] + new2 * (d * d)
        m[i] = a
        v[i] = b
        top[i] = maximum(top[i], b)
        p[i] = keep * p[i] - lr * a / (root * ir.sqrt(top[i]) + eps)


@kernel
def rmsprop(
    p: Any, g: Any, square: Any, mean: Any, buffer: Any, lr: Any, alpha: Any, eps: Any, decay: Any, mu: Any
) -> None:
    """square = moving mean of g^2 (centred by `mean`), p -= lr g / (sqrt(square) + eps), through `buffer` if mu."""
    new = ONE(lr) - alpha
    if mean.size == 0 and buffer.size == 0:
        for i in range(p.size):
            d = g[i] + decay * p[i]
            a = alpha * square[i] + new * (d * d)
            square[i] = a
            p[i] -= lr * d / (ir.sqrt(a) + eps)
        return
    for i in range(p.size):
        d = g[i] + decay * p[i]
        a = alpha * square[i] + new * (d * d)
        square[i] = a
        if mean.size > 0:
            mean[i] += new * (d - mean[i])
            a = maximum(a - mean[i] * mean[i], ZERO(a))
        step = d / (ir.sqrt(a) + eps)
        if buffer.size > 0:
            step = mu * buffer[i] + step
            buffer[i] = step
        p[i] -= lr * step


@kernel
def adagrad(p: Any, g: Any, total: Any, lr: Any, eps: Any, decay: Any) -> None:
    """total += g^2; p -= lr g / (sqrt(total) + eps), with g including decay p."""
    for i in range(p.size):
        d = g[i] + decay * p[i]
        a = total[i] + d * d
        total[i] = a
        p[i] -= lr * d / (ir.sqrt(a) + eps)


@kernel
def adadelta(p: Any, g: Any, v: Any, moved: Any, lr: Any, rho: Any, eps: Any, decay: Any) -> None:
    """v = moving mean of g^2; u = sqrt(moved + eps) / sqrt(v + eps) g; moved = moving mean of u^2; p -= lr u."""
    new = ONE(lr) - rho
    for i in range(p.size):
        d = g[i] + decay * p[i]
        a = rho * v[i] + new * (d * d)
        v[i] = a
        b = moved[i]
        u = ir.sqrt(b + eps) / ir.sqrt(a + eps) * d
        moved[i] = rho * b + new * (u * u)
        p[i] -= lr * u


@kernel
def adamax(p: Any, g: Any, m: Any, top: Any, lr: Any, beta1: Any, beta2: Any, eps: Any, decay: Any) -> None:
    """m = moving mean of g, top = max(beta2 top, |g| + eps); p -= lr m / top, with g including decay p."""
    new = ONE(lr) - beta1
    for i in range(p.size):
        d = g[i] + decay * p[i]
        a = m[i] + new * (d - m[i])
        b = maximum(beta2 * top[i], maximum(d, -d) + eps)
        m[i] = a
        top[i] = b
        p[i] -= lr * a / b


@kernel
def moments(
    p: Any, g: Any, m: Any, v: Any, own: Any, past: Any, root: Any, shift: Any, beta1: Any, beta2: Any, keep: Any,
    decay: Any,
) -> None:  # fmt: skip
    """m, v = moving means of g and g^2; p = keep p - (own g + past m) / (root sqrt(v) + shift)."""
    new1, new2 = ONE(own) - beta1, ONE(own) - beta2
    for i in range(p.size):
        d = g[i] + decay * p[i]
        a = m[i] + new1 * (d - m[i])
        b = beta2 * v[i] + new2 * (d * d)
        m[i] = a
        v[i] = b
        p[i] = keep * p[i] - (own * d + past * a) / (root * ir.sqrt(b) + shift)


@reduction
def squared_norm(x: Any) -> Any:
    """The sum of squares of a flat block."""
    total = ZERO(x[0])
    for i in range(x.size):
        total += x[i] * x[i]
    return total
