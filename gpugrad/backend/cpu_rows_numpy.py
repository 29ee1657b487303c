"""The row kernels in plain NumPy: what each computes for a block of rows, into arrays that the caller made.

The bodies of `cpu_rows_numba`, where there are any, have the same names and arguments. Row sums are products with a
vector of ones and `vecdot`, which BLAS does several times faster than `sum(axis=1)`; blocks are small enough to stay
in cache. Bodies that need temporary arrays of a block's size take them from `new`, where the caller has made room.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
New = Callable[[tuple[int, ...], Any], Array]

_CELLS: Final = 1 << 13  # elements that are added by index at a time

# What a body takes from `new` for a block of rows, in units of the block's own bytes (the two of normalisation as
# much again with a weight); the others take nothing worth counting. A test holds it against what is seen.
SCRATCH: Final = {
    "log_softmax": 1.0,
    "logsumexp": 1.0,
    "cross_entropy": 1.0,
    "layer_norm_vjp": 1.0,
    "rms_norm_vjp": 1.0,
    "maxout_vjp": 0.875,
    "dropout": 2.25,
}


def _row_sums(x: Array) -> Array:
    ones = np.ones(x.shape[1], x.dtype)
    if len(ones) == 5:
        # OpenBLAS's float32 kernel for rows of five also computes with what lies on the stack, which is not in the sums
        # but can be a signalling nan: NumPy would warn of an invalid value.
        with np.errstate(invalid="ignore"):
            return np.asarray(x @ ones)
    return x @ ones


def column_sums(x: Array, total: Array) -> None:
    """The sums of the columns, added to `total`."""
    np.add(total, np.ones(x.shape[0], x.dtype) @ x, total)


def softmax(x: Array, y: Array) -> None:
    """y = exp(x - max) / sum, each row."""
    np.subtract(x, x.max(1, keepdims=True), y)
    np.exp(y, y)
    y *= np.reciprocal(_row_sums(y))[:, None]


def softmax_vjp(g: Array, y: Array, dx: Array) -> None:
    """dx = y (g - <g, y>)."""
    np.subtract(g, np.vecdot(g, y)[:, None], dx)
    dx *= y


def log_softmax(x: Array, y: Array, new: New = np.empty) -> None:
    """y = x - logsumexp(x)."""
    np.subtract(x, x.max(1, keepdims=True), y)
    y -= np.log(_row_sums(np.exp(y, new(x.shape, x.dtype))))[:, None]


def log_softmax_vjp(g: Array, y: Array, dx: Array) -> None:
    """dx = g - exp(y) sum(g)."""
    np.exp(y, dx)
    dx *= -_row_sums(g)[:, None]
    dx += g


def logsumexp(x: Array, lse: Array, new: New = np.empty) -> None:
    """The log of the sum of exponentials of each row; -inf for a row of -inf."""
    high = x.max(1)
    high[~np.isfinite(high)] = 0
    shifted = np.subtract(x, high[:, None], new(x.shape, x.dtype))
    with np.errstate(divide="ignore", over="ignore"):
        np.log(_row_sums(np.exp(shifted, shifted)), lse)
    lse += high


def cross_entropy(
    x: Array, labels: Array, weight: Array, smoothing: float, ignore: int, loss: Array, lse: Array, new: New = np.empty
) -> None:
    """The loss and the log-sum-exp of each row; `weight` of no elements stands for ones."""
    logsumexp(x, lse, new)
    used = labels != ignore
    target = np.where(used, labels, 0)
    picked = x[np.arange(x.shape[0]), target]
    own = weight[target] if weight.size else np.ones(1, x.dtype)
    np.multiply(lse - picked, own * x.dtype.type(1 - smoothing), loss)
    if smoothing:
        share = x.dtype.type(smoothing / x.shape[1])
        total = weight.sum() if weight.size else x.shape[1]
        loss += share * (total * lse - (x @ weight if weight.size else _row_sums(x)))
    loss[~used] = 0


def plain_cross_entropy(x: Array, labels: Array) -> tuple[Array, Array]:
    """(loss, lse) of each row with its own class, every label a class: no weights, nothing ignored or smoothed."""
    high = np.maximum.reduce(x, 1, keepdims=True)
    shifted = x - high
    picked = shifted[np.arange(x.shape[0]), labels]
    lse = np.add.reduce(np.exp(shifted, shifted), 1)
    np.log(lse, lse)
    loss = lse - picked
    lse += high[:, 0]
    return loss, lse


def plain_cross_entropy_vjp(g: Array, x: Array, lse: Array, labels: Array) -> Array:
    """The cotangent of `x` from those of the row losses, one for each or one for all."""
    dx: Array = np.subtract(x, lse[:, None])
    np.exp(dx, dx)
    dx[np.arange(x.shape[0]), labels] -= 1
    dx *= g[:, None] if g.ndim else g
    return dx


def cross_entropy_vjp(
    g: Array, x: Array, lse: Array, labels: Array, weight: Array, smoothing: float, ignore: int, dx: Array
) -> None:
    """dx from the cotangent of each row's loss."""
    used = labels != ignore
    target = np.where(used, labels, 0)
    g = np.where(used, g, 0).astype(x.dtype, copy=False)
    own = g * (weight[target] if weight.size else 1) * x.dtype.type(1 - smoothing)
    share = x.dtype.type(smoothing / x.shape[1])
    total = weight.sum() if weight.size else x.shape[1]
    np.subtract(x, lse[:, None], dx)
    np.exp(dx, dx)
    dx *= (own + g * (share * total))[:, None] if smoothing else own[:, None]
    if smoothing:
        dx -= (g * share)[:, None] * (weight if weight.size else 1)
    dx[np.arange(x.shape[0]), target] -= own
    dx[~used] = 0


def layer_norm(x: Array, weight: Array, bias: Array, eps: float, y: Array, mean: Array, rstd: Array) -> None:
    """y = (x - mean) rstd weight + bias; no weight, no bias where they have no elements."""
    np.multiply(_row_sums(x), 1 / x.shape[1], mean)
    np.subtract(x, mean[:, None], y)
    _inverse_root(np.vecdot(y, y), x.shape[1], eps, rstd)
    y *= rstd[:, None]
    if weight.size:
        y *= weight
    if bias.size:
        y += bias


def layer_norm_vjp(
    g: Array, x: Array, mean: Array, rstd: Array, weight: Array, dx: Array, dw: Array, db: Array, new: New = np.empty
) -> None:
    """dx, and the block's share of dw and db added to those."""
    n = x.shape[1]
    xhat = np.subtract(x, mean[:, None], new(x.shape, x.dtype))
    xhat *= rstd[:, None]
    column_sums(g, db)
    column_sums(np.multiply(g, xhat, dx), dw)
    gw = np.multiply(g, weight, new(x.shape, x.dtype)) if weight.size else g
    np.multiply(xhat, (np.vecdot(gw, xhat) / -n)[:, None], dx)
    dx += gw
    dx -= (_row_sums(gw) / n)[:, None]
    dx *= rstd[:, None]


def rms_norm(x: Array, weight: Array, eps: float, y: Array, rstd: Array) -> None:
    """y = x rstd weight with rstd = 1 / sqrt(mean(x^2) + eps)."""
    _inverse_root(np.vecdot(x, x), x.shape[1], eps, rstd)
    np.multiply(x, rstd[:, None], y)
    if weight.size:
        y *= weight


def rms_norm_vjp(
    g: Array, x: Array, rstd: Array, weight: Array, dx: Array, dw: Array, new: New = np.empty
) -> None:
    """dx, and the block's share of dw added to that."""
    xhat = np.multiply(x, rstd[:, None], new(x.shape, x.dtype))
    column_sums(np.multiply(g, xhat, dx), dw)
    gw = np.multiply(g, weight, new(x.shape, x.dtype)) if weight.size else g
    np.multiply(xhat, (np.vecdot(gw, xhat) / -x.shape[1])[:, None], dx)
    dx += gw
    dx *= rstd[:, None]


def _inverse_root(squares: Array, n: int, eps: float, rstd: Array) -> None:
    squares *= 1 / n
    squares += eps
    np.sqrt(squares, squares)
    np.reciprocal(squares, rstd)


def maxout(x: Array, k: int, y: Array) -> None:
    """The largest of each k neighbours; a nan counts as largest."""
    # Piece by piece over all outputs: a reduction along a short last axis is several times slower.
    y[...] = x[:, ::k]
    for i in range(1, k):
        np.maximum(y, x[:, i::k], out=y)


def maxout_vjp(g: Array, x: Array, y: Array, k: int, dx: Array, new: New = np.empty) -> None:
    """The cotangent shared equally by the pieces that are y (or nan), 0 at the others."""
    hits, nan = new((k, *g.shape), bool), new(g.shape, bool)
    share = new(g.shape, g.dtype)
    share[...] = 0
    for i, hit in enumerate(hits):
        np.equal(x[:, i::k], y, hit)
        np.not_equal(x[:, i::k], x[:, i::k], nan)
        hit |= nan
        np.add(share, 1, out=share, where=hit)  # adding the truth values would convert them
    np.divide(g, share, share)
    dx[...] = 0
    for i, hit in enumerate(hits):
        np.copyto(dx[:, i::k], share, where=hit)


# The generator of dropout masks. Word j of the stream of a 64-bit seed is, modulo 2^64,
#     mix(mix(seed) + (j + 1) * 0x9E3779B97F4A7C15)
#     mix(z): z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9; z = (z ^ z >> 27) * 0x94D049BB133111EB; z ^ z >> 31
# with logical shifts: SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014) read at any counter. Element e
# (the call's offset plus its index in C order) takes 32 bits u of word e // 2: the low half for an even e, the
# high half for an odd one. It is kept where u >= min(round(p * 2^32), 2^32 - 1), and then divided by 1 - p. So any
# device, and any part of an array, makes the same mask again from (seed, offset); kernels/dropout.cu does.
GOLDEN, MIX_1, MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _mixed(z: Array, new: New = np.empty) -> Array:
    scratch = np.right_shift(z, np.uint64(30), new(z.shape, z.dtype))
    z ^= scratch
    z *= np.uint64(MIX_1)
    np.right_shift(z, np.uint64(27), scratch)
    z ^= scratch
    z *= np.uint64(MIX_2)
    np.right_shift(z, np.uint64(31), scratch)
    z ^= scratch
    return z


def stream_key(seed: int) -> int:
    """mix(seed), where the stream of that seed starts."""
    return int(_mixed(np.array([seed & (1 << 64) - 1], np.uint64))[0])


@functools.cache
def _multiples(bits: int) -> npt.NDArray[np.uint64]:
    """0, 1, ..., 2^bits - 1 times GOLDEN modulo 2^64."""
    return np.arange(1 << bits, dtype=np.uint64) * np.uint64(GOLDEN)


def random_bits(key: int, first: int, count: int, new: New = np.empty) -> npt.NDArray[np.uint32]:
    """The 32 bits of elements first, ..., first + count - 1 of the stream that starts at `key`."""
    n = (first + count + 1) // 2 - first // 2
    start = (key + (first // 2 + 1) * GOLDEN) % (1 << 64)
    words = np.add(_multiples(n.bit_length())[:n], np.uint64(start), new((n,), np.uint64))
    # The words in little-endian order are the low and high halves in turn, on any machine.
    halves = _mixed(words, new).astype("<u8", copy=False).view("<u4")
    return halves[first % 2 : first % 2 + count]


def dropout(x: Array, key: int, first: int, threshold: int, scale: float, y: Array, new: New = np.empty) -> None:
    """y = x * scale where the element's bits reach `threshold`, else 0; x and y are flat."""
    bits = random_bits(key, first, x.size, new)
    dropped = np.less(bits, np.uint32(threshold), new(x.shape, bool))
    np.multiply(x, x.dtype.type(scale), y)
    # Selecting rather than multiplying: what is dropped is 0 even where it is nan or inf.
    np.copyto(y, 0, where=dropped)


def scatter_add_rows(target: Array, index: Array, source: Array) -> None:
    """target[index] += source, in the order of `index`; index is within bounds and not negative."""
    columns, flat = target.shape[1], target.reshape(-1)
    # Some rows at a time: the numbers of their cells take twice the memory of their values.
    cells = np.empty((min(len(index), max(1, _CELLS // columns)), columns), np.int64)
    for first in range(0, len(index), len(cells)):
        part = index[first : first + len(cells)]
        np.add(part[:, None] * columns, np.arange(columns), out=cells[: len(part)])
        np.add.at(flat, cells[: len(part)].reshape(-1), source[first : first + len(part)].reshape(-1))


def scatter_scratch(count: int, columns: int) -> int:
    """Bytes that adding `count` rows takes beside its arguments: cells, and two of NumPy's buffers to count them."""
    return 3 * 8 * columns * min(count, max(1, _CELLS // columns))
