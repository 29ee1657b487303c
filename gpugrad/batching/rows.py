"""The row kernels and the updates for examples: what works on each row or element takes all at once, or is composed."""

from __future__ import annotations

from functools import partial
from typing import Any

from .array import BatchArray, BatchError
from .table import any_held, full, function, highest, holds, loop, strip, tree, under, wrap


class Rows:
    """`Backend.rows` of a map: the functions of that name for examples."""

    __slots__ = ("_home",)

    def __init__(self, home: Any) -> None:
        self._home = home

    def __getattr__(self, name: str) -> Any:
        function(self._home.root.rows, name)  # an AttributeError where there is none
        return partial(_run, self._home, name)


def _run(home: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    level: Any = highest((*args, *kwargs.values()))
    if level is None:
        return getattr(home.root.rows, name)(*args, **kwargs)
    if not any_held(level, (args, kwargs)):
        args, kwargs = tree(lambda v: strip(level, v), args), tree(lambda v: strip(level, v), kwargs)
        return wrap(level, _run(home, name, *args, **kwargs), False)
    own: Any = _OWN.get(name, _looped)
    return own(level, name, *args, **kwargs)


def _looped(level: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    def run(*given: Any, **named: Any) -> Any:
        return getattr(_rows(level, given), name)(*given, **named)

    return loop(level, name, run, args, kwargs)


def _rows(level: Any, values: Any) -> Any:
    return under(level, values).rows


def _each(level: Any, name: str, *args: Any) -> Any:
    """Every row by itself: softmax and its kin."""
    values = [full(level, a) if hasattr(a, "shape") else a for a in args]
    return wrap(level, getattr(_rows(level, values), name)(*values))


def _cross_entropy(level: Any, name: str, logits: Any, labels: Any, weight: Any = None, *args: Any) -> Any:
    if holds(level, weight):
        return _looped(level, name, logits, labels, weight, *args)
    values = full(level, logits), full(level, labels)
    return wrap(level, _rows(level, values).cross_entropy(*values, strip(level, weight), *args))


def _cross_entropy_vjp(level: Any, name: str, g: Any, logits: Any, lse: Any, labels: Any, *args: Any) -> Any:
    weight = args[0] if args else None
    if holds(level, weight):
        return _looped(level, name, g, logits, lse, labels, *args)
    if g.shape != lse.shape:
        g = g.reshape((*(1,) * (lse.ndim - g.ndim), *g.shape)) * _ones(level, lse)
    values = [full(level, a) for a in (g, logits, lse, labels)]
    return wrap(level, _rows(level, values).cross_entropy_vjp(*values, strip(level, weight), *args[1:]))


def _ones(level: Any, like: Any) -> Any:
    return under(level, (strip(level, like),)).xp.ones(like.shape, like.dtype)


def _affine(y: Any, weight: Any, bias: Any, dtype: Any) -> Any:
    y = y if weight is None else y * weight
    y = y if bias is None else y + bias
    return y.astype(dtype, copy=False)


def _layer_norm(level: Any, name: str, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    x_all = full(level, x)
    rows = _rows(level, (x_all, strip(level, weight), strip(level, bias)))
    if not any_held(level, (weight, bias)):
        return wrap(level, rows.layer_norm(x_all, strip(level, weight), strip(level, bias), eps))
    y, mean, rstd = wrap(level, rows.layer_norm(x_all, None, None, eps))
    return _affine(y, weight, bias, x.dtype), mean, rstd


def _layer_norm_vjp(level: Any, name: str, g: Any, x: Any, mean: Any, rstd: Any, weight: Any) -> Any:
    axes = tuple(range(x.ndim - 1))
    normal = (x - mean.reshape((*mean.shape, 1))) * rstd.reshape((*rstd.shape, 1))
    dw, db = (g * normal).sum(axis=axes), g.sum(axis=axes)
    scaled = g if weight is None else g * weight
    along = scaled.mean(axis=-1, keepdims=True), (scaled * normal).mean(axis=-1, keepdims=True)
    dx = (scaled - along[0] - normal * along[1]) * rstd.reshape((*rstd.shape, 1))
    dtype = x.dtype if weight is None else weight.dtype
    return dx.astype(x.dtype, copy=False), dw.astype(dtype, copy=False), db.astype(dtype, copy=False)


def _rms_norm(level: Any, name: str, x: Any, weight: Any, eps: float = 1e-6) -> Any:
    x_all = full(level, x)
    rows = _rows(level, (x_all, strip(level, weight)))
    if not holds(level, weight):
        return wrap(level, rows.rms_norm(x_all, strip(level, weight), eps))
    y, rstd = wrap(level, rows.rms_norm(x_all, None, eps))
    return _affine(y, weight, None, x.dtype), rstd


def _rms_norm_vjp(level: Any, name: str, g: Any, x: Any, rstd: Any, weight: Any) -> Any:
    normal = x * rstd.reshape((*rstd.shape, 1))
    dw = (g * normal).sum(axis=tuple(range(x.ndim - 1)))
    scaled = g if weight is None else g * weight
    dx = (scaled - normal * (scaled * normal).mean(axis=-1, keepdims=True)) * rstd.reshape((*rstd.shape, 1))
    return dx.astype(x.dtype, copy=False), dw.astype(x.dtype if weight is None else weight.dtype, copy=False)


def _dropout(level: Any, name: str, x: Any, p: float, seed: int, offset: Any = 0) -> Any:
    """The mask belongs to the map whose stream gave the numbers: another for each of its examples, and of no others."""
    if holds(level, offset):
        # Each example has an even count of numbers, because two share a word of the stream.
        count = x.size + x.size % 2
        start = offset.value[0] if level.size else 0
        backend = under(level, (strip(level, x), offset.value))
        mask = backend.rows.dropout(backend.xp.ones((level.size, count), x.dtype), p, seed, _number(start))
        factor = BatchArray(mask[:, : x.size].reshape((level.size, *x.shape)), level)
    else:
        offset = strip(level, offset)
        backend = under(level, (strip(level, x), offset))
        factor = backend.rows.dropout(backend.xp.ones(x.shape, x.dtype), p, seed, offset)
    return _masked(factor, x)


def _number(offset: Any) -> Any:
    return offset if isinstance(offset, BatchArray) else int(offset)


def _masked(factor: Any, x: Any) -> Any:
    """`x` times what is left of ones after dropout; 0 where nothing is, of infinities too."""
    xp = x.backend.xp if isinstance(x, BatchArray) else factor.backend.xp
    return xp.where(factor != 0, x, xp.asarray(0, x.dtype)) * factor


_OWN = {
    "cross_entropy": _cross_entropy,
    "cross_entropy_vjp": _cross_entropy_vjp,
    "layer_norm": _layer_norm,
    "layer_norm_vjp": _layer_norm_vjp,
    "rms_norm": _rms_norm,
    "rms_norm_vjp": _rms_norm_vjp,
    "dropout": _dropout,
} | dict.fromkeys(
    "softmax softmax_causal softmax_vjp log_softmax log_softmax_vjp logsumexp maxout maxout_vjp".split(), _each
)


# ---- updates


class Optim:
    """`Backend.optim` of a map: the updates of parameters that each example has of its own.

    They work on each element, so all examples are updated in one call.
    """

    __slots__ = ("_home",)

    def __init__(self, home: Any) -> None:
        self._home = home

    def __getattr__(self, name: str) -> Any:
        function(self._home.root.optim, name)  # an AttributeError where there is none
        own = {"squared_norm": _squared_norm, "scale": _scale, "clip": _clip}.get(name)
        return partial(_update, self._home, name) if own is None else own


def _squared_norm(arrays: Any) -> Any:
    return sum((a * a).sum() for a in arrays)


def _scale(arrays: Any, factor: Any) -> None:
    """Each example has a factor of its own."""
    for a in arrays:
        a *= factor


def _clip(arrays: Any, most: float) -> None:
    for a in arrays:
        a[...] = a.clip(-most, most)


def _update(home: Any, name: str, *args: Any, **options: Any) -> None:
    level: Any = highest(args)
    if level is None:
        getattr(home.root.optim, name)(*args, **options)
        return
    if any_held(level, options):
        raise BatchError(f"[vmap] {name} with options that differ from example to example; write the update out")
    count = len(args[0])
    mapped = [any_held(level, [a[i] for a in args if isinstance(a, list)]) for i in range(count)]

    def values(arrays: Any) -> Any:
        return [_own(level, name, a) if m else strip(level, a) for a, m in zip(arrays, mapped, strict=True)]

    lists = [values(a) if isinstance(a, list) else a for a in args]
    getattr(under(level, lists).optim, name)(*lists, **options)


def _own(level: Any, name: str, x: Any) -> Any:
    """All examples of an array that an update reads and may write to."""
    if holds(level, x) or x.shape == (0,):  # the place of a state that is not kept
        return strip(level, x)
    if not isinstance(x, BatchArray) or x.backend.level != level.level:  # type: ignore[attr-defined]
        raise BatchError(
            f"[vmap] {name} of a parameter {tuple(x.shape)} {x.dtype} that all examples share, by gradients that "
            "differ from example to example; make the parameter inside the map, or step after it"
        )
    x.set(full(level, x).copy(), True)
    return x.value
