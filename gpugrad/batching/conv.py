"""Convolutions of examples: images are added to the batch, kernels to the output channels, both together to groups.

Each is one convolution of the level below. What a convolution computes is `backend.conv`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .array import BatchArray
from .table import full, highest, holds, strip, under

if TYPE_CHECKING:
    from ..backend.conv import Geometry


def conv(home: Any, x: Any, w: Any, at: Geometry) -> Any:
    """`Backend.conv` for examples."""
    level: Any = highest((x, w)) or home
    if not holds(level, w):
        x, w = full(level, x), strip(level, w)
        y = under(level, (x, w)).conv(_merged(x, 0), w, at)
        return BatchArray(y.reshape(level.size, -1, *y.shape[1:]), level)
    x, w = full(level, x), w.value
    groups = at._replace(groups=level.size * at.groups)
    y = under(level, (x, w)).conv(_beside(x), _merged(w, 0), groups)
    return _apart(level, y)


def conv_input(home: Any, g: Any, w: Any, size: tuple[int, ...], at: Geometry) -> Any:
    """`Backend.conv_input` for examples."""
    level: Any = highest((g, w)) or home
    if not holds(level, w):
        g, w = full(level, g), strip(level, w)
        x = under(level, (g, w)).conv_input(_merged(g, 0), w, size, at)
        return BatchArray(x.reshape(level.size, -1, *x.shape[1:]), level)
    g, w = full(level, g), w.value
    groups = at._replace(groups=level.size * at.groups)
    x = under(level, (g, w)).conv_input(_beside(g), _merged(w, 0), size, groups)
    return _apart(level, x)


def conv_weight(home: Any, x: Any, g: Any, kernel: tuple[int, ...], at: Geometry) -> Any:
    """`Backend.conv_weight` for examples."""
    level: Any = highest((x, g)) or home
    x, g = full(level, x), full(level, g)
    groups = at._replace(groups=level.size * at.groups)
    w = under(level, (x, g)).conv_weight(_beside(x), _beside(g), kernel, groups)
    return BatchArray(w.reshape(level.size, -1, *w.shape[1:]), level)


def _merged(x: Any, axis: int) -> Any:
    """Two neighbouring axes as one."""
    return x.reshape(*x.shape[:axis], x.shape[axis] * x.shape[axis + 1], *x.shape[axis + 2 :])


def _beside(x: Any) -> Any:
    """(examples, n, channels, ...) as (n, examples * channels, ...)."""
    return _merged(x.swapaxes(0, 1), 1)


def _apart(level: Any, y: Any) -> BatchArray:
    """(n, examples * channels, ...) as examples of (n, channels, ...)."""
    parts = y.reshape(y.shape[0], level.size, -1, *y.shape[2:])
    return BatchArray(parts.swapaxes(0, 1), level)
