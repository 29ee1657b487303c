"""Random choices by given probabilities, from the devices' own generators: nothing waits, and there is no gradient.

Inside `vmap` every example draws for itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import backend_of
from ..batching import innermost
from ..primitive import public
from ..tensor import Tensor
from .arguments import bare, constant, operand, spelled
from .random import drawn


def _uniform(x: Any, shape: tuple[int, ...]) -> Any:
    """Numbers in [0, 1) on the device of `x`; in double precision for integers and truth values."""
    dtype = x.dtype if x.dtype.kind in "fV" else np.dtype(np.float64)
    return innermost(backend_of(bare(x))).random("uniform", shape, dtype)


@public
@spelled
def exponential(x: Any, rate: float = 1.0) -> Any:
    """Exponential numbers with the shape and dtype of `x`, all above 0; no gradient."""
    x = operand(x)
    kind = np.dtype(np.float64 if x.dtype == np.float64 else np.float32)
    u = innermost(backend_of(bare(x))).random("uniform", tuple(x.shape), kind)
    xp, least = backend_of(u).xp, 2.0 ** (-53 if kind == np.float64 else -24)  # the generator's own steps
    return constant(x, (xp.maximum(-xp.log1p(-u), least) / rate).astype(x.dtype))


@public
@drawn
@spelled
def bernoulli(x: Any, p: Any = None) -> Any:
    """1 with the probability that `x` gives, else 0.

    Args:
        x: probabilities in [0, 1], of any shape; with `p` only shape and dtype count.
        p: one probability for all, or some that broadcast.

    Returns:
        Zeros and ones with the shape and dtype of `x`; no gradient.

    Raises:
        ValueError: the number `p` is not in [0, 1].
    """
    x = operand(x)
    if isinstance(p, (int, float)) and not 0 <= p <= 1:
        raise ValueError(f"[bernoulli] p = {p}; expected a probability in [0, 1]")
    chance = bare(x) if p is None else p.data if isinstance(p, Tensor) else p
    return constant(x, (_uniform(x, tuple(x.shape)) < chance).astype(x.dtype))


@public
@drawn
@spelled
def multinomial(x: Any, num_samples: int, replacement: bool = False) -> Any:
    """Positions drawn along the last axis with probabilities in proportion to the values there.

    Args:
        x: (n,) or (rows, n), floating point, 0 or more; in each row something above 0, and without replacement as many
            such values as samples. Values are not looked at: that would wait for the device.
        num_samples: how many to draw from each row.
        replacement: whether a position can be drawn again.

    Returns:
        int64, (num_samples,) or (rows, num_samples), in the order drawn; no gradient.

    Raises:
        ValueError: another number of axes, no samples, or more than there are positions to draw.
        TypeError: not a floating point dtype.
    """
    x = operand(x)
    n = x.shape[-1] if x.ndim else 0
    if x.ndim not in (1, 2) or not 1 <= num_samples <= (num_samples if replacement and n else n):
        raise ValueError(
            f"[multinomial] {num_samples} samples of shape {tuple(x.shape)}, replacement = {replacement}; expected "
            "(n,) or (rows, n), and from 1 to n samples, or any number with replacement"
        )
    if x.dtype.kind not in "fV":
        raise TypeError(f"[multinomial] x is {x.dtype}; expected a floating point dtype")
    xp = backend_of(bare(x)).xp
    rows = bare(x).astype(np.float64).reshape(-1, n)
    if not replacement:  # the least of exponential times with these rates come first
        times = -xp.log1p(-_uniform(rows, rows.shape))
        times = xp.where(rows > 0, times / xp.where(rows > 0, rows, 1.0), np.inf)
        drawn = xp.argsort(times, axis=1)[:, :num_samples]
    else:  # where a number falls among the sums of all rows, one row behind the other
        first = xp.arange(len(rows))[:, None]
        ends = xp.cumsum(rows, axis=1)
        ends = ends / ends[:, -1:] + first
        numbers = _uniform(rows, (len(rows), num_samples)) + first
        places = xp.searchsorted(ends.reshape(-1), numbers.reshape(-1), side="right").reshape(numbers.shape)
        drawn = xp.clip(places - first * n, 0, n - 1)
    return constant(x, drawn.astype(np.int64).reshape((*x.shape[:-1], num_samples)))
