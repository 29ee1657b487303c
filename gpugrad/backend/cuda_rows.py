"""The row kernels on the GPU: softmax, cross entropy, norms, maxout, dropout, rows added by index.

The same names, arguments and results as `cpu_rows`; the arithmetic is in `kernels/*.cu`, whose heads say what each
entry point takes. Here are checks, allocation and launch geometry. Nothing waits for the device.
"""

from __future__ import annotations

import functools
from typing import Any, Final, NamedTuple

import numpy as np

from . import capturing, cuda_long_rows
from .cuda_copies import copy, dense
from .cuda_launch import (
    BLOCK,
    compute_type,
    current_stream,
    flat_grid,
    form,
    function,
    launch_rows,
    launch_units,
    new,
    result,
    rows_a_unit,
    shared_memory,
    size,
    sizes,
    target,
)
from .cuda_picking import scatter_add_rows as scatter_add_rows  # beside the others, as in `cpu_rows`
from .cuda_sums import column_sums, lines_added
from .handles import of_gpus

_INT64: Final = np.dtype(np.int64)
_ROWS_OF_A_LOSS: Final = 8192  # whose losses one block adds up
_LEAST_ROWS: Final = {"four": 64, "sixteen": 16}  # of a unit that leaves a line of sums: 8 a team; others 8


def _check(op: str, x: Any) -> None:
    if x.ndim == 0 or x.dtype.kind not in "fV" or x.shape[-1] == 0:
        raise ValueError(
            f"[{op}] x: {x.shape} {x.dtype}; expected a floating-point array with a last axis of 1 or more elements"
        )


def _along_rows(op: str, inputs: tuple[Any, ...], out: Any, held: int = 1) -> Any:
    """A kernel of softmax.cu that takes arrays of one shape, reads `held` of them twice and writes one more."""
    _check(op, inputs[0])
    inputs = tuple(map(dense, inputs))
    y = target(inputs[0], out)
    rows, columns = size(y)
    at = cuda_long_rows.cut(rows, columns)
    if at is None:
        launch_rows("softmax.cu", op, y.dtype, rows, columns, (*inputs, y, *sizes(rows, columns)), held)
    else:
        cuda_long_rows.along(op, inputs, y, rows, columns, at)
    return result(y, out)


def softmax(x: Any, out: Any = None) -> Any:
    """`exp(x) / sum(exp(x))` over the last axis.

    Raises:
        ValueError: x is not floating point, or its last axis is missing or empty.
    """
    return _along_rows("softmax", (x,), out)


def softmax_causal(x: Any, first: int, out: Any = None) -> Any:
    """Softmax over the keys that a query sees, of scores `"*batch queries keys"`: those up to `first` and its place.

    Raises:
        ValueError: as `softmax`.
    """
    _check("softmax_causal", x)
    x = dense(x)
    y = target(x, out)
    rows, columns = size(y)
    args = (x, y, *sizes(rows, columns), *sizes(x.shape[-2], first))
    launch_rows("softmax.cu", "softmax_causal", y.dtype, rows, columns, args, 1)
    return result(y, out)


def softmax_vjp(g: Any, y: Any, out: Any = None) -> Any:
    """The cotangent of softmax's input, from that of its output `y`."""
    return _along_rows("softmax_vjp", (g, y), out, held=2)


def log_softmax(x: Any, out: Any = None) -> Any:
    """`x - logsumexp(x)` over the last axis; raises as `softmax`."""
    return _along_rows("log_softmax", (x,), out)


def log_softmax_vjp(g: Any, y: Any, out: Any = None) -> Any:
    """The cotangent of log_softmax's input, from that of its output `y`."""
    return _along_rows("log_softmax_vjp", (g, y), out)


def logsumexp(x: Any) -> Any:
    """`log(sum(exp(x)))` over the last axis, shape `x.shape[:-1]`; -inf for rows of -inf. Raises as `softmax`."""
    _check("logsumexp", x)
    x = dense(x)
    out = new(x.shape[:-1], x.dtype)
    rows, columns = size(x)
    at = cuda_long_rows.cut(rows, columns)
    if at is None:
        launch_rows("softmax.cu", "logsumexp", x.dtype, rows, columns, (x, out, *sizes(rows, columns)))
    else:
        cuda_long_rows.logsumexp(x, out, rows, columns, at)
    return out


def _labels(labels: Any, x: Any) -> Any:
    if labels.dtype.kind not in "iu" or labels.shape != x.shape[:-1]:
        raise ValueError(
            f"[cross_entropy] labels: {labels.shape} {labels.dtype} for logits: {x.shape}; expected one integer for "
            "each row"
        )
    return dense(labels, _INT64)


def _affine(op: str, a: Any, x: Any, dtype: Any) -> Any:
    """A weight or bias of the last axis, in C order and in `dtype`; None stays None.

    Raises:
        ValueError: it has another shape.
    """
    if a is None:
        return None
    if a.shape != x.shape[-1:]:
        raise ValueError(f"[{op}] weight: {a.shape} for x: {x.shape}; expected ({x.shape[-1]},)")
    return a if a.dtype == dtype and a.flags.c_contiguous else copy(a, np.dtype(dtype))


def cross_entropy(
    logits: Any, labels: Any, weight: Any = None, label_smoothing: float = 0.0, ignore_index: int = -100
) -> tuple[Any, Any]:
    """The cross entropy of each row of `logits` with its class index.

    Args:
        logits: `"*batch classes"`, floating point.
        labels: `"*batch"`, integers; rows where it is `ignore_index` have loss 0. One out of range gives nan: finding
            it would mean waiting for the device.
        weight: `"classes"`, or None for ones.
        label_smoothing: between 0 and 1.
        ignore_index: the label that stands for no class.

    Returns:
        (losses, lse), both `"*batch"`; losses in the dtype of `logits`, lse in the type that kernels compute in.

    Raises:
        ValueError: shapes that do not fit, or labels that are no integers.
    """
    loss, lse, _, _ = _row_losses(logits, labels, weight, label_smoothing, ignore_index)
    return dense(loss, logits.dtype), lse


def _row_losses(logits: Any, labels: Any, weight: Any, smoothing: float, ignore_index: int) -> tuple[Any, ...]:
    """Losses and lse in the compute type, and labels and weight as kernels take them."""
    _check("cross_entropy", logits)
    x, labels = dense(logits), _labels(labels, logits)
    (rows, columns), wide = size(x), compute_type(x.dtype)
    loss, lse = new(x.shape[:-1], wide), new(x.shape[:-1], wide)
    weight = _affine("cross_entropy", weight, x, wide)
    arrays, results, options = (x, labels, weight), (loss, lse), (np.int64(ignore_index), wide(smoothing))
    at = cuda_long_rows.cut(rows, columns)
    if at is None:
        args = (*arrays, *results, *sizes(rows, columns), *options)
        launch_rows("cross_entropy.cu", "cross_entropy", x.dtype, rows, columns, args, held=int(smoothing > 0))
    else:
        cuda_long_rows.cross_entropy(arrays, results, rows, columns, options, at)
    return loss, lse, labels, weight


def cross_entropy_mean(
    logits: Any, labels: Any, weight: Any = None, label_smoothing: float = 0.0, ignore_index: int = -100
) -> tuple[Any, Any, Any]:
    """The mean of `cross_entropy` over the rows that count, in one more launch (two where there are many rows).

    Returns:
        (mean, lse, divisor): the mean, 0-d in the dtype of `logits`, nan where no row counts; lse as `cross_entropy`;
        the sum of the weights of the rows that count, 0-d in the type that kernels compute in.

    Raises:
        ValueError: as `cross_entropy`.
    """
    loss, lse, labels, weight = _row_losses(logits, labels, weight, label_smoothing, ignore_index)
    dtype, (rows, columns) = logits.dtype, size(logits)
    mean, divisor = new((), dtype), new((), loss.dtype)
    options = (*sizes(rows, columns), np.int64(ignore_index))
    if rows <= _ROWS_OF_A_LOSS:
        args = (loss, labels, weight, mean, divisor, *options)
        function("loss.cu", "loss_mean", dtype)((1,), (1024 if rows > BLOCK else BLOCK,), args)
        return mean, lse, divisor
    blocks = -(-rows // _ROWS_OF_A_LOSS)
    part = new((blocks, 2), loss.dtype)
    args = (loss, labels, weight, part, *options, np.int64(_ROWS_OF_A_LOSS))
    function("loss.cu", "loss_parts", dtype)((blocks,), (1024,), args)
    function("loss.cu", "loss_of_parts", dtype)((1,), (BLOCK,), (part, mean, divisor, np.int64(blocks)))
    return mean, lse, divisor


def cross_entropy_vjp(
    g: Any,
    logits: Any,
    lse: Any,
    labels: Any,
    weight: Any = None,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
    out: Any = None,
) -> Any:
    """The cotangent of the logits from those of the row losses (one for each, or one for all)."""
    return _to_logits(g, logits, lse, labels, weight, label_smoothing, ignore_index, None, out)


def cross_entropy_mean_vjp(
    g: Any,
    logits: Any,
    lse: Any,
    divisor: Any,
    labels: Any,
    weight: Any = None,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
) -> Any:
    """The cotangent of the logits from that of the mean, in one launch; `lse` and `divisor` are the forward's."""
    return _to_logits(g, logits, lse, labels, weight, label_smoothing, ignore_index, divisor, None)


def _to_logits(
    g: Any, logits: Any, lse: Any, labels: Any, weight: Any, smoothing: float, ignored: int, divisor: Any, out: Any
) -> Any:
    x, labels, wide = dense(logits), _labels(labels, logits), compute_type(logits.dtype)
    g = dense(g, np.dtype(wide))
    dx = target(x, out)
    rows, columns = size(x)
    options = (np.int64(ignored), wide(smoothing), np.int64(g.size != 1), divisor)
    weight = _affine("cross_entropy", weight, x, wide)
    arrays, at = (g, x, labels, weight, dense(lse), dx), cuda_long_rows.cut(rows, columns)
    if at is None:
        args = (*arrays, *sizes(rows, columns), *options)
        launch_rows("cross_entropy.cu", "cross_entropy_vjp", x.dtype, rows, columns, args)
    else:
        cuda_long_rows.cross_entropy_vjp(arrays, rows, columns, options, at)
    return result(dx, out)


def layer_norm(x: Any, weight: Any, bias: Any, eps: float = 1e-5, out: Any = None) -> tuple[Any, Any, Any]:
    """`(x - mean) / sqrt(variance + eps) * weight + bias` over the last axis.

    Returns:
        (y, mean, rstd): y like x; mean and rstd of shape `x.shape[:-1]`, in the type that kernels compute in.

    Raises:
        ValueError: x is not floating point, or weight or bias do not have the shape of its last axis.
    """
    _check("layer_norm", x)
    x = dense(x)
    wide = compute_type(x.dtype)
    y, mean, rstd = target(x, out), new(x.shape[:-1], wide), new(x.shape[:-1], wide)
    affine = _affine("layer_norm", weight, x, x.dtype), _affine("layer_norm", bias, x, x.dtype)
    _normalised("layer_norm", x, affine, (y, mean, rstd), wide(eps))
    return result(y, out), mean, rstd


def _normalised(name: str, x: Any, affine: tuple[Any, ...], results: tuple[Any, ...], eps: Any) -> None:
    rows, columns = size(x)
    at = cuda_long_rows.cut(rows, columns)
    if at is None:
        args = (x, *affine, *results, *sizes(rows, columns), eps)
        launch_rows(f"{name}.cu", name, x.dtype, rows, columns, args, held=1)
    else:
        cuda_long_rows.normalised(name, x, affine, results, rows, columns, eps, at)


def layer_norm_vjp(g: Any, x: Any, mean: Any, rstd: Any, weight: Any, out: Any = None) -> tuple[Any, Any, Any]:
    """The cotangents (dx, dweight, dbias) of layer_norm; the last two have the shape of the last axis."""
    arrays = dense(g), dense(x), _affine("layer_norm", weight, x, x.dtype)
    dx, dweight, dbias = _normalised_vjp("layer_norm", arrays, (mean, rstd), out)
    return dx, dweight, dbias


def rms_norm(x: Any, weight: Any, eps: float = 1e-6, out: Any = None) -> tuple[Any, Any]:
    """`x / sqrt(mean(x^2) + eps) * weight` over the last axis (B. Zhang and R. Sennrich, NeurIPS 2019).

    Returns:
        (y, rstd): y like x; rstd of shape `x.shape[:-1]`, in the type that kernels compute in.

    Raises:
        ValueError: x is not floating point, or weight does not have the shape of its last axis.
    """
    _check("rms_norm", x)
    x = dense(x)
    wide = compute_type(x.dtype)
    y, rstd = target(x, out), new(x.shape[:-1], wide)
    _normalised("rms_norm", x, (_affine("rms_norm", weight, x, x.dtype),), (y, rstd), wide(eps))
    return result(y, out), rstd


def rms_norm_vjp(g: Any, x: Any, rstd: Any, weight: Any, out: Any = None) -> tuple[Any, Any]:
    """The cotangents (dx, dweight) of rms_norm."""
    arrays = dense(g), dense(x), _affine("rms_norm", weight, x, x.dtype)
    dx, dweight = _normalised_vjp("rms_norm", arrays, (rstd,), out)
    return dx, dweight


def _normalised_vjp(name: str, arrays: tuple[Any, ...], saved: tuple[Any, ...], out: Any) -> list[Any]:
    """The cotangents of a normalisation's input, weight and, for layer_norm, bias.

    Args:
        name: layer_norm or rms_norm.
        arrays: cotangent, input and weight (or None), dense and of one dtype.
        saved: what the forward kernel saved.
        out: memory for the first result, or None.
    """
    (g, x, _), count = arrays, len(saved)
    file, dx, (rows, columns) = f"{name}.cu", target(x, out), size(x)
    units = _units(rows, columns, x.dtype, count, x.data.device_id)
    if units is None:
        at = cuda_long_rows.cut(rows, columns)
        if at is None:
            args = (*arrays, *saved, dx, *sizes(rows, columns))
            launch_rows(file, f"{name}_vjp", x.dtype, rows, columns, args, held=2)
        else:
            cuda_long_rows.normalised_vjp(name, arrays, saved, dx, rows, columns, at)
        return [result(dx, out), *column_sums("norm_weights.cu", f"{name}_vjp_weight", (g, x, *saved), count)]
    part = new((units.number, count * columns), compute_type(x.dtype))
    args = (*arrays, *saved, dx, part, *sizes(rows, columns), units.rows)
    launch_units(file, f"{name}_vjp_all", x.dtype, units.number, columns, args, units.wanted)
    added = lines_added(part, x.dtype)
    return [result(dx, out), *(added[i * columns : (i + 1) * columns] for i in range(count))]


class _Units(NamedTuple):
    """How many walk through rows, with so many each, and the bytes of shared memory that one has a use for."""

    number: int
    rows: Any
    wanted: int


@of_gpus
@functools.lru_cache(maxsize=1024)
def _units(rows: int, columns: int, dtype: Any, lines: int, device: int) -> _Units | None:
    """The units that make a norm's gradients in one pass; None where they have no room for `lines` sums of a column."""
    way, itemsize = form(columns, dtype.itemsize), dtype.itemsize
    # The shared form adds up in shared memory, columns in whole packs, and holds rows in what is left of it.
    sums = lines * -(-columns * itemsize // 16) * (16 // itemsize) * np.dtype(compute_type(dtype)).itemsize
    if not rows or cuda_long_rows.cut(rows, columns) or (way == "shared" and sums > shared_memory(device)):
        return None
    a_unit = rows_a_unit(way, rows, _LEAST_ROWS.get(way, 8), device)
    return _Units(-(-rows // a_unit), np.int64(a_unit), sums + 2 * columns * itemsize)


def maxout(x: Any, k: int) -> Any:
    """The largest of each `k` neighbours on the last axis; a nan counts as largest.

    Raises:
        ValueError: the last axis is not a multiple of k.
    """
    _check("maxout", x)
    if k < 1 or x.shape[-1] % k:
        raise ValueError(f"[maxout] k = {k} for x: {x.shape}; expected a divisor of its last axis, {x.shape[-1]}")
    x = dense(x)
    y = new((*x.shape[:-1], x.shape[-1] // k), x.dtype)
    if y.size:
        args = (x, y, *sizes(y.size, k))
        function("maxout.cu", "maxout", x.dtype)(flat_grid(y.size), (BLOCK,), args)
    return y


def maxout_vjp(g: Any, x: Any, y: Any, k: int) -> Any:
    """The cotangent of maxout's input: pieces that tie for the output `y` share its cotangent equally."""
    g, x, y = dense(g), dense(x), dense(y)
    dx = new(x.shape, x.dtype)
    if y.size:
        args = (g, x, y, dx, *sizes(y.size, k))
        function("maxout.cu", "maxout_vjp", x.dtype)(flat_grid(y.size), (BLOCK,), args)
    return dx


@of_gpus
@functools.lru_cache(maxsize=16)
def stream_of(seed: int, device: int, stream: int) -> Any:
    """Seed and offset 0 in device memory: uploaded once, and the launches count on from there.

    Once for each CUDA stream: another one would not wait for the upload.
    """
    import cupy

    with cupy.cuda.Device(device):
        return cupy.array(np.array([seed & (1 << 64) - 1, 0], np.uint64))


def dropout(x: Any, p: float, seed: int, offset: int = 0, out: Any = None) -> Any:
    """`x / (1 - p)` where the random stream keeps an element, else 0; the vjp is the same function of the cotangent.

    The mask depends on (seed, offset, index in C order, p) alone and is that of the CPU. A call uses `x.size` numbers
    of the stream, from `offset` on.

    Raises:
        ValueError: p is not in [0, 1].
    """
    if not 0 <= p <= 1:
        raise ValueError(f"[dropout] p = {p}; expected a probability between 0 and 1")
    x = dense(x)
    y = target(x, out)
    if p == 1:
        y[...] = 0
    elif x.size:
        capture = capturing.current()
        if capture is None:
            state = stream_of(seed, x.data.device_id, current_stream())
        else:
            state, offset = capture.random_state(seed, offset)
        threshold = np.uint32(min(round(p * 2.0**32), (1 << 32) - 1))
        args = (x, y, np.int64(x.size), state, np.uint64(offset), threshold, compute_type(x.dtype)(1.0 / (1.0 - p)))
        grid = flat_grid(-(-(x.size + 1) * x.itemsize // 16))
        function("dropout.cu", "dropout", x.dtype)(grid, (BLOCK,), args)
    return result(y, out)
