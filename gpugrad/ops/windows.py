"""Windows over images: the primitives that pooling is made of.

Two pairs are each other's rules: `window_pick` takes from each window the element that won and `window_put` puts it
back; `window_sum` adds windows up and `window_spread` spreads sums over them. `max_pool` decides who wins. The public
functions are in `pooling`.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from ..backend import Backend, backend_of
from ..backend.conv import Geometry, reach
from ..primitive import Needs, Primitive, Shape
from ..tensor import apply


def taps(kernel: Shape) -> list[tuple[int, ...]]:
    """The places of a window's elements, in C order."""
    return list(itertools.product(*map(range, kernel)))


def _images(backend: Backend, shape: Shape, size: list[int], dtype: Any, value: Any) -> Any:
    """New images of `size` full of `value`, channels last in memory as those of convolutions."""
    out = backend.empty((shape[0], *size, shape[1]), dtype)
    out[...] = value
    return backend.xp.moveaxis(out, -1, 1)


def bordered(backend: Backend, x: Any, at: Geometry, need: Shape, value: Any) -> Any:
    """`x` inside a border of `value`, wide enough for `need` elements along each axis."""
    before = [lo for lo, _ in at.padding]
    wide = [max(n + lo, m) for n, lo, m in zip(x.shape[2:], before, need, strict=True)]
    if not any(before) and tuple(wide) == tuple(x.shape[2:]):
        return x
    out = _images(backend, x.shape, wide, x.dtype, value)
    out[(..., *(slice(lo, lo + n) for lo, n in zip(before, x.shape[2:], strict=True)))] = x
    return out


def needed(size: Shape, kernel: Shape, at: Geometry) -> Shape:
    """Elements along each axis that the windows reach over."""
    return tuple((n - 1) * s + d * (k - 1) + 1 for n, k, s, d in zip(size, kernel, at.stride, at.dilation, strict=True))


def inside(x: Any, size: Shape, at: Geometry) -> Any:
    """What is not border."""
    if tuple(x.shape[2:]) == size:
        return x
    return x[(..., *(slice(lo, lo + n) for (lo, _), n in zip(at.padding, size, strict=True)))]


def _lowest(dtype: Any) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def max_forward(needs: Needs, x: Any, *, kernel: Shape, size: Shape, at: Geometry) -> tuple[Any, tuple[Any, ...]]:
    """The largest elements; for the rule, which element of each window it was, and the size of the images."""
    backend = backend_of(x)
    found = backend.max_pool(x, kernel, size, at)
    if found is not None:
        return found[0], (found[1], x.shape[2:])
    xp = backend.xp
    wide = bordered(backend, x, at, needed(size, kernel, at), _lowest(x.dtype))
    places = taps(kernel)
    best: Any = None
    won: Any = None
    for k, tap in enumerate(places):
        value = wide[(..., *reach(tap, size, at))]
        if best is None:
            best, won = value, xp.zeros(value.shape, np.uint8 if len(places) < 256 else np.int32)
            continue
        better = (value > best) | (value != value)  # a nan wins, the first of equals stays
        best, won = xp.where(better, value, best), xp.where(better, won.dtype.type(k), won)
    return (best.copy() if len(places) == 1 else best), (won, x.shape[2:])


def _max_rule(
    g: Any, needs: Needs, won: Any, inner: Shape, *, kernel: Shape, size: Shape, at: Geometry
) -> tuple[Any]:
    return (apply(WINDOW_PUT, (g,), {"arrays": (won,), "inner": inner, "kernel": kernel, "at": at}),)


def _max_jvp(
    given: Any, needs: Needs, won: Any, inner: Shape, *, kernel: Shape, size: Shape, at: Geometry
) -> Any:
    return apply(WINDOW_PICK, given, {"arrays": (won,), "kernel": kernel, "at": at})


def _put_forward(
    needs: Needs, g: Any, *, arrays: Any, inner: Shape, kernel: Shape, at: Geometry
) -> tuple[Any, tuple[Any, ...]]:
    (won,) = arrays
    backend, size = backend_of(g), g.shape[2:]
    found = backend.window_put(g, won, inner, kernel, at)
    if found is not None:
        return found, ()
    need = needed(size, kernel, at)
    wide = [max(n + lo, m) for n, (lo, _), m in zip(inner, at.padding, need, strict=True)]
    out = _images(backend, g.shape, wide, g.dtype, 0)
    for k, tap in enumerate(taps(kernel)):
        out[(..., *reach(tap, size, at))] += backend.xp.where(won == k, g, 0)  # infinity by 0 would be nan
    return inside(out, inner, at), ()


def _put_rule(
    v: Any, needs: Needs, *, arrays: Any, inner: Shape, kernel: Shape, at: Geometry
) -> tuple[Any]:
    return (apply(WINDOW_PICK, (v,), {"arrays": arrays, "kernel": kernel, "at": at}),)


def _pick_forward(needs: Needs, x: Any, *, arrays: Any, kernel: Shape, at: Geometry) -> tuple[Any, tuple[Any, ...]]:
    (won,) = arrays
    size = won.shape[2:]
    wide = bordered(backend_of(x), x, at, needed(size, kernel, at), 0)
    total = None
    for k, tap in enumerate(taps(kernel)):
        part = backend_of(x).xp.where(won == k, wide[(..., *reach(tap, size, at))], 0)
        total = part if total is None else total + part
    return total, (x.shape[2:],)


def _pick_rule(g: Any, needs: Needs, inner: Shape, *, arrays: Any, kernel: Shape, at: Geometry) -> tuple[Any]:
    return (apply(WINDOW_PUT, (g,), {"arrays": arrays, "inner": inner, "kernel": kernel, "at": at}),)


def _sum_forward(needs: Needs, x: Any, *, kernel: Shape, size: Shape, at: Geometry) -> tuple[Any, tuple[Any, ...]]:
    found = backend_of(x).window_sum(x, kernel, size, at)
    if found is not None:
        return found, (x.shape[2:],)
    wide = bordered(backend_of(x), x, at, needed(size, kernel, at), 0)
    total: Any = None
    for tap in taps(kernel):
        part = wide[(..., *reach(tap, size, at))]
        total = part if total is None else total + part
    return (total.copy() if math.prod(kernel) == 1 else total), (x.shape[2:],)


def _sum_rule(g: Any, needs: Needs, inner: Shape, *, kernel: Shape, size: Shape, at: Geometry) -> tuple[Any]:
    return (apply(WINDOW_SPREAD, (g,), {"inner": inner, "kernel": kernel, "at": at}),)


def _spread_forward(needs: Needs, g: Any, *, inner: Shape, kernel: Shape, at: Geometry) -> tuple[Any, tuple[Any, ...]]:
    size = g.shape[2:]
    found = backend_of(g).window_spread(g, inner, kernel, at)
    if found is not None:
        return found, (size,)
    need = needed(size, kernel, at)
    wide = [max(n + lo, m) for n, (lo, _), m in zip(inner, at.padding, need, strict=True)]
    out = _images(backend_of(g), g.shape, wide, g.dtype, 0)
    for tap in taps(kernel):
        out[(..., *reach(tap, size, at))] += g
    return inside(out, inner, at), (size,)


def _spread_rule(v: Any, needs: Needs, size: Shape, *, inner: Shape, kernel: Shape, at: Geometry) -> tuple[Any]:
    return (apply(WINDOW_SUM, (v,), {"kernel": kernel, "size": size, "at": at}),)


def _per_window(shapes: tuple[Shape, ...], out_shape: Shape, *, kernel: Shape, **static: Any) -> int:
    """One for each element of each window."""
    return math.prod(out_shape) * math.prod(kernel)


def _per_window_back(
    shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, kernel: Shape, **static: Any
) -> int:
    return math.prod(out_shape) * math.prod(kernel)


def _per_window_of_input(shapes: tuple[Shape, ...], out_shape: Shape, *, kernel: Shape, **static: Any) -> int:
    return math.prod(shapes[0]) * math.prod(kernel)


def _per_window_of_input_back(
    shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, kernel: Shape, **static: Any
) -> int:
    return math.prod(shapes[0]) * math.prod(kernel)


MAX_POOL = Primitive(
    "max_pool", max_forward, _max_rule, jvp=_max_jvp, flops=_per_window, vjp_flops=_per_window_back
)
WINDOW_PUT = Primitive(
    "window_put", _put_forward, _put_rule, linear=True, flops=_per_window_of_input, vjp_flops=_per_window_of_input_back
)
WINDOW_PICK = Primitive(
    "window_pick", _pick_forward, _pick_rule, linear=True, flops=_per_window, vjp_flops=_per_window_back
)
WINDOW_SUM = Primitive(
    "window_sum", _sum_forward, _sum_rule, linear=True, flops=_per_window, vjp_flops=_per_window_back
)
WINDOW_SPREAD = Primitive(
    "window_spread",
    _spread_forward,
    _spread_rule,
    linear=True,
    flops=_per_window_of_input,
    vjp_flops=_per_window_of_input_back,
)
