"""The row kernels of the CPU: softmax, cross entropy, normalisation, maxout, dropout, over the last axis.

Here are the checks, the choice between the NumPy bodies (`cpu_rows_numpy`) and the Numba bodies
(`cpu_rows_numba`); `cpu_row_blocks` shares the rows out. float16 computes in float32. Arrays have any number of leading
axes; results are new C-contiguous arrays, large ones of recycled memory, unless `out` is given.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import numpy.typing as npt

from ..fusion import trace
from ..fusion.calculus import where
from ..fusion.numba_cache import load_file
from . import cpu_rows_numpy
from .cpu_row_blocks import BLOCK, FUSE, by_rows, compiled, each, partial_sums, share_of

if TYPE_CHECKING:
    from .numpy_backend import NumpyBackend
    from .pool import BufferPool

Array = npt.NDArray[Any]

_NATIVE: Final = (np.dtype(np.float32), np.dtype(np.float64))
_SEEN: Final = trace(lambda x, seen, low: where(seen, x, low), "softmax_seen")


@functools.cache
def _fused() -> Any:
    return load_file(Path(__file__).with_name("cpu_rows_numba.py"))


def body(x: Array) -> Any:
    """The module whose functions do the work for `x`: Numba's when it is wanted and `x` is large, else NumPy's."""
    return _fused() if compiled(x) else cpu_rows_numpy


def _wide(x: Array) -> Array:
    """`x` C-contiguous and in the type that it computes in."""
    return np.ascontiguousarray(x, x.dtype if x.dtype in _NATIVE else np.float32)


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _check(op: str, x: Array) -> None:
    if x.ndim == 0 or x.dtype.kind not in "fV" or x.shape[-1] == 0:
        raise ValueError(
            f"[{op}] x: {x.shape} {x.dtype}; expected a floating-point array with a last axis of 1 or more elements"
        )


def _result(y: Array, dtype: Any, out: Array | None) -> Array:
    if out is not None:
        if out is not y:
            out[...] = y.reshape(out.shape)
        return out
    return y.astype(dtype, copy=False)


def _target(x: Array, wide: Array, out: Array | None) -> Array:
    """Where to write: `out` itself when it can take the work, else a new array, from recycled memory if it is large."""
    usable = out is not None and out.dtype == wide.dtype and out.shape == x.shape and out.flags.c_contiguous
    return out if usable and out is not None else _pool().empty(x.shape, wide.dtype)


@functools.cache
def _backend() -> NumpyBackend:
    from . import backend_for

    return cast("NumpyBackend", backend_for("cpu"))


def _pool() -> BufferPool:
    return _backend().pool


def _map_rows(op: str, name: str, arrays: tuple[Array, ...], out: Array | None) -> Array:
    for a in arrays:
        _check(op, a)
    wide = [_wide(a) for a in arrays]
    y = _target(arrays[0], wide[0], out)
    by_rows(getattr(body(wide[0]), name), *map(_rows, wide), _rows(y), share=share_of(name, wide[0]))
    return _result(y, arrays[0].dtype, out)


def softmax(x: Array, out: Array | None = None) -> Array:
    """exp(x) / sum(exp(x)) over the last axis.

    Raises:
        ValueError: x is not floating point, or its last axis is missing or empty.
    """
    return _map_rows("softmax", "softmax", (x,), out)


def softmax_causal(x: Array, first: int, out: Array | None = None) -> Array:
    """Softmax over the keys that a query sees, of scores (*batch, queries, keys): those up to `first` and its place."""
    queries, keys = x.shape[-2:]
    seen = np.arange(first, first + queries)[:, None] >= np.arange(keys)
    # A finite number: exponentials of infinities take longer.
    low = float(np.finfo(x.dtype if x.dtype in _NATIVE else np.float16).min)
    return softmax(_backend().kernel(_SEEN)(x, seen, low), out)


def softmax_vjp(g: Array, y: Array, out: Array | None = None) -> Array:
    """The cotangent of softmax's input from that of its output `y`: y (g - <g, y>)."""
    return _map_rows("softmax_vjp", "softmax_vjp", (g, y), out)


def log_softmax(x: Array, out: Array | None = None) -> Array:
    """x - logsumexp(x) over the last axis.

    Raises:
        ValueError: x is not floating point, or its last axis is missing or empty.
    """
    return _map_rows("log_softmax", "log_softmax", (x,), out)


def log_softmax_vjp(g: Array, y: Array, out: Array | None = None) -> Array:
    """The cotangent of log_softmax's input from that of its output `y`: g - exp(y) sum(g)."""
    return _map_rows("log_softmax_vjp", "log_softmax_vjp", (g, y), out)


def logsumexp(x: Array) -> Array:
    """log(sum(exp(x))) over the last axis, shape `x.shape[:-1]`; -inf for rows of -inf.

    Raises:
        ValueError: x is not floating point, or its last axis is missing or empty.
    """
    _check("logsumexp", x)
    wide = _wide(x)
    lse = np.empty(x.shape[:-1], wide.dtype)
    by_rows(body(wide).logsumexp, _rows(wide), lse.reshape(-1), share=share_of("logsumexp", wide))
    return lse.astype(x.dtype, copy=False)


def _labels(labels: Array, rows: int, classes: int, ignore: int) -> Array:
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.size != rows:
        raise ValueError(
            f"[cross_entropy] labels: {labels.shape} {labels.dtype} for {rows} rows of logits; expected one integer "
            "for each row"
        )
    flat = np.ascontiguousarray(labels, np.int64).reshape(-1)
    if flat.size and (flat.min() < 0 or flat.max() >= classes):
        wrong = np.flatnonzero(((flat < 0) | (flat >= classes)) & (flat != ignore))
        if wrong.size:
            raise ValueError(
                f"[cross_entropy] labels[{wrong[0]}] = {flat[wrong[0]]} is not a class: the logits have {classes} "
                f"classes, 0 to {classes - 1} (ignore_index = {ignore})"
            )
    return flat


def _plain(logits: Array, labels: Array, weight: Array | None, smoothing: float) -> bool:
    """Whether a batch is so small and simple that every step beside the arithmetic would show."""
    return (
        weight is None
        and not smoothing
        and logits.ndim == 2
        and logits.size < FUSE
        and logits.dtype in _NATIVE
        and labels.dtype == np.int64
        and labels.ndim == 1
    )


def _weights(weight: Array | None, x: Array) -> Array:
    if weight is None:
        return np.empty(0, x.dtype)
    if weight.shape != (x.shape[-1],):
        raise ValueError(f"[rows] weight: {weight.shape} for x: {x.shape}; expected ({x.shape[-1]},)")
    return np.ascontiguousarray(weight, x.dtype)


def cross_entropy(
    logits: Array,
    labels: Array,
    weight: Array | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = -100,
) -> tuple[Array, Array]:
    """The cross entropy of each row of `logits` with its class index.

    With smoothing e, C classes and weights w: (1-e) w[t] (lse - x[t]) + e/C sum_c w[c] (lse - x[c]), as PyTorch.

    Args:
        logits: `"*batch classes"`, floating point.
        labels: `"*batch"`, integers; rows where it is `ignore_index` have loss 0.
        weight: `"classes"`, or None for ones.
        label_smoothing: between 0 and 1.
        ignore_index: the label that stands for no class; None: there is none, and the labels are known to be right.

    Returns:
        (losses, lse), both `"*batch"`; `lse` (float32 at least) is what the backward pass needs.

    Raises:
        ValueError: a label out of range (the message has its value and position), or shapes that do not fit.
    """
    if ignore_index is None and _plain(logits, labels, weight, label_smoothing):
        return cpu_rows_numpy.plain_cross_entropy(logits, labels)
    ignore_index = -1 if ignore_index is None else ignore_index
    _check("cross_entropy", logits)
    x = _wide(logits)
    rows, kind = _rows(x), x.dtype.type
    flat, w = _labels(labels, rows.shape[0], x.shape[-1], ignore_index), _weights(weight, x)
    loss, lse = np.empty(x.shape[:-1], x.dtype), np.empty(x.shape[:-1], x.dtype)
    run, smoothing = body(x).cross_entropy, kind(label_smoothing)
    by_rows(
        lambda x, t, a, b, **new: run(x, t, w, smoothing, ignore_index, a, b, **new),
        rows, flat, loss.reshape(-1), lse.reshape(-1), share=share_of("cross_entropy", x),
    )  # fmt: skip
    return loss.astype(logits.dtype, copy=False), lse


def cross_entropy_vjp(
    g: Array,
    logits: Array,
    lse: Array,
    labels: Array,
    weight: Array | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = -100,
    out: Array | None = None,
) -> Array:
    """The cotangent of the logits from those of the row losses, in one pass; arguments as `cross_entropy`."""
    if ignore_index is None and out is None and _plain(logits, labels, weight, label_smoothing):
        return cpu_rows_numpy.plain_cross_entropy_vjp(g, logits, lse, labels)
    ignore_index = -1 if ignore_index is None else ignore_index
    x = _wide(logits)
    rows, kind = _rows(x), x.dtype.type
    w = _weights(weight, x)
    flat = np.ascontiguousarray(labels, np.int64).reshape(-1)
    dx = _target(logits, x, out)
    run, smoothing = body(x).cross_entropy_vjp, kind(label_smoothing)
    g = np.ascontiguousarray(np.broadcast_to(g, lse.shape), x.dtype).reshape(-1)
    by_rows(
        lambda x, g, s, t, d: run(g, x, s, t, w, smoothing, ignore_index, d),
        rows, g, np.ascontiguousarray(lse, x.dtype).reshape(-1), flat, _rows(dx),
    )  # fmt: skip
    return _result(dx, logits.dtype, out)


def layer_norm(
    x: Array, weight: Array | None, bias: Array | None, eps: float = 1e-5, out: Array | None = None
) -> tuple[Array, Array, Array]:
    """(x - mean) / sqrt(variance + eps) * weight + bias over the last axis.

    Returns:
        (y, mean, rstd): y like x; mean and rstd of shape `x.shape[:-1]`, float32 at least.

    Raises:
        ValueError: x is not floating point, or weight or bias do not have the shape of its last axis.
    """
    _check("layer_norm", x)
    wide = _wide(x)
    w, b = _weights(weight, wide), _weights(bias, wide)
    y = _target(x, wide, out)
    mean, rstd = np.empty(x.shape[:-1], wide.dtype), np.empty(x.shape[:-1], wide.dtype)
    run, e = body(wide).layer_norm, wide.dtype.type(eps)
    by_rows(lambda x, y, m, r: run(x, w, b, e, y, m, r), _rows(wide), _rows(y), mean.reshape(-1), rstd.reshape(-1))
    return _result(y, x.dtype, out), mean, rstd


def layer_norm_vjp(
    g: Array, x: Array, mean: Array, rstd: Array, weight: Array | None, out: Array | None = None
) -> tuple[Array, Array, Array]:
    """The cotangents (dx, dweight, dbias) of layer_norm; the last two have the shape of the last axis."""
    wide, gw = _wide(x), _wide(g)
    w = _weights(weight, wide)
    dx = _target(x, wide, out)
    run = body(wide).layer_norm_vjp
    dw, db = partial_sums(
        lambda g, x, m, r, d, dw, db, **new: run(g, x, m, r, w, d, dw, db, **new),
        2, _rows(gw), _rows(wide), mean.reshape(-1), rstd.reshape(-1), _rows(dx),
        share=share_of("layer_norm_vjp", wide, weight is not None),
    )  # fmt: skip
    dtype = x.dtype if weight is None else weight.dtype
    return _result(dx, x.dtype, out), dw.astype(dtype, copy=False), db.astype(dtype, copy=False)


def rms_norm(x: Array, weight: Array | None, eps: float = 1e-6, out: Array | None = None) -> tuple[Array, Array]:
    """x / sqrt(mean(x^2) + eps) * weight over the last axis (B. Zhang and R. Sennrich, NeurIPS 2019).

    Returns:
        (y, rstd): y like x; rstd of shape `x.shape[:-1]`, float32 at least.

    Raises:
        ValueError: x is not floating point, or weight does not have the shape of its last axis.
    """
    _check("rms_norm", x)
    wide = _wide(x)
    w, y, rstd = _weights(weight, wide), _target(x, wide, out), np.empty(x.shape[:-1], wide.dtype)
    run, e = body(wide).rms_norm, wide.dtype.type(eps)
    by_rows(lambda x, y, r: run(x, w, e, y, r), _rows(wide), _rows(y), rstd.reshape(-1))
    return _result(y, x.dtype, out), rstd


def rms_norm_vjp(
    g: Array, x: Array, rstd: Array, weight: Array | None, out: Array | None = None
) -> tuple[Array, Array]:
    """The cotangents (dx, dweight) of rms_norm."""
    wide, gw = _wide(x), _wide(g)
    w, dx = _weights(weight, wide), _target(x, wide, out)
    run = body(wide).rms_norm_vjp
    (dw,) = partial_sums(
        lambda g, x, r, d, dw, **new: run(g, x, r, w, d, dw, **new),
        1, _rows(gw), _rows(wide), rstd.reshape(-1), _rows(dx),
        share=share_of("rms_norm_vjp", wide, weight is not None),
    )  # fmt: skip
    return _result(dx, x.dtype, out), dw.astype(x.dtype if weight is None else weight.dtype, copy=False)


def maxout(x: Array, k: int) -> Array:
    """The largest of each k neighbours on the last axis; a nan counts as largest.

    Raises:
        ValueError: the last axis is not a multiple of k.
    """
    _check("maxout", x)
    if k < 1 or x.shape[-1] % k:
        raise ValueError(f"[maxout] k = {k} for x: {x.shape}; expected a divisor of its last axis, {x.shape[-1]}")
    x = np.ascontiguousarray(x)
    y = np.empty((*x.shape[:-1], x.shape[-1] // k), x.dtype)
    # NumPy's body at every size: its strided maximum is as fast as a compiled loop.
    by_rows(lambda x, y: cpu_rows_numpy.maxout(x, k, y), _rows(x), _rows(y))
    return y


def maxout_vjp(g: Array, x: Array, y: Array, k: int) -> Array:
    """The cotangent of maxout's input: pieces that tie for the output `y` share its cotangent equally."""
    g, x, y = map(np.ascontiguousarray, (g, x, y))
    dx = np.empty(x.shape, x.dtype)
    native = x.dtype in _NATIVE
    run = (body(x) if native else cpu_rows_numpy).maxout_vjp
    share = share_of("maxout_vjp", x) if native else cpu_rows_numpy.SCRATCH["maxout_vjp"]
    by_rows(
        lambda x, y, g, d, **new: run(g, x, y, k, d, **new), _rows(x), _rows(y), _rows(g), _rows(dx), share=share
    )
    return dx


def dropout(x: Array, p: float, seed: int, offset: int = 0, out: Array | None = None) -> Array:
    """x / (1 - p) where the random stream keeps an element, else 0; the vjp is the same function of the cotangent.

    The mask depends on (seed, offset, index in C order, p) alone; `cpu_rows_numpy` defines the generator. A call
    uses `x.size` numbers of the stream, from `offset` on.

    Raises:
        ValueError: p is not in [0, 1].
    """
    if not 0 <= p <= 1:
        raise ValueError(f"[dropout] p = {p}; expected a probability between 0 and 1")
    wide = _wide(x)
    y = _target(x, wide, out)
    if p == 1:
        y[...] = 0
        return _result(y, x.dtype, out)
    threshold, scale = min(round(p * 2.0**32), (1 << 32) - 1), wide.dtype.type(1 / (1 - p))
    module = body(wide)
    key = cpu_rows_numpy.stream_key(seed)
    if module is not cpu_rows_numpy and key >> 63:
        key -= 1 << 64  # Numba's integers are signed
    source, target = wide.reshape(-1), y.reshape(-1)

    def block(k: int, **room: Any) -> None:
        part = slice(k * BLOCK, (k + 1) * BLOCK)
        module.dropout(source[part], key, offset + k * BLOCK, threshold, scale, target[part], **room)

    each(block, -(-source.size // BLOCK), source.size, share_of("dropout", wide) * source[:BLOCK].nbytes)
    return _result(y, x.dtype, out)


def scatter_add_rows(target: Array, index: Array, source: Array) -> None:
    """`target[index] += source` in place, repeats added up in the order of `index`: the same result every time.

    Args:
        target: `"rows *rest"`, C-contiguous.
        index: integers of any shape, negative ones from the end.
        source: `index.shape + target.shape[1:]`, of the type of `target`.

    Raises:
        ValueError: an index out of range, or a source of another shape.
    """
    if source.shape != index.shape + target.shape[1:] or not target.flags.c_contiguous:
        raise ValueError(
            f"[scatter_add] target: {target.shape}, index: {index.shape}, source: {source.shape}; expected a "
            f"C-contiguous target and a source of shape {index.shape + target.shape[1:]}"
        )
    rows = target.shape[0]
    flat = np.ascontiguousarray(index, np.int64).reshape(-1)
    if not flat.size or not target.size:
        return
    if flat.min() < -rows or flat.max() >= rows:
        at = int(np.flatnonzero((flat < -rows) | (flat >= rows))[0])
        raise ValueError(f"[scatter_add] index[{at}] = {flat[at]} is out of range for {rows} rows")
    if flat.min() < 0:
        flat = np.where(flat < 0, flat + rows, flat)
    flat_target, flat_source = target.reshape(rows, -1), np.ascontiguousarray(source).reshape(flat.size, -1)
    if target.dtype in _NATIVE:
        body(source).scatter_add_rows(flat_target, flat, flat_source.astype(target.dtype, copy=False))
    else:
        total = flat_target.astype(np.float32 if target.dtype.kind in "fV" else target.dtype)
        cpu_rows_numpy.scatter_add_rows(total, flat, flat_source.astype(total.dtype))
        flat_target[...] = total
