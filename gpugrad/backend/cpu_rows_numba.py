"""The row kernels as Numba loops, a row at a time in cache; names and arguments are those of `cpu_rows_numpy`.

This file is run from a copy in the kernel cache (see `gpugrad.fusion.numba_cache`), hence the absolute imports.
"""

from __future__ import annotations

from typing import Any

from gpugrad.fusion import numba_ir as ir
from gpugrad.fusion import numba_math as m
from gpugrad.fusion.numba_cache import kernel, reduction

ZERO, ONE = ir.constant(0.0), ir.constant(1.0)
_LOW = ir.integer(-(2**31), -(2**63))
_ORDER, _TOP = ir.integer(31, 63), ir.integer(2**31 - 1, 2**63 - 1)


@ir.inline
def _key(x: Any) -> Any:
    """The bits of a float as an integer in the same order; their maximum is SIMD without assuming no nan."""
    i = ir.bits(x)
    return ir.ixor(i, ir.iand(ir.shift_right(i, _ORDER(i)), _TOP(i)))


@ir.inline
def _value(i: Any) -> Any:
    return ir.from_bits(ir.ixor(i, ir.iand(ir.shift_right(i, _ORDER(i)), _TOP(i))))


@ir.inline
def _larger(a: Any, b: Any) -> Any:
    return ir.select(a > b, a, b)


@ir.inline
def to_type(n: Any, like: Any) -> Any:
    """An integer as a number of the type of `like`."""
    return ir.narrow(ir.to_float(n), like)


@reduction
def _row_max(x: Any, r: Any) -> Any:
    best = _LOW(_key(x[r, 0]))
    for j in range(x.shape[1]):
        best = _larger(_key(x[r, j]), best)
    return _value(best)


@reduction
def softmax(x: Any, y: Any) -> None:
    """y = exp(x - max) / sum, each row."""
    for r in range(x.shape[0]):
        high = _row_max(x, r)
        total = ZERO(high)
        for j in range(x.shape[1]):
            e = m.exp_below_one(x[r, j] - high)
            y[r, j] = e
            total += e
        scale = ONE(total) / total
        for j in range(x.shape[1]):
            y[r, j] *= scale


@reduction
def softmax_vjp(g: Any, y: Any, dx: Any) -> None:
    """dx = y (g - <g, y>)."""
    for r in range(g.shape[0]):
        total = ZERO(g[r, 0])
        for j in range(g.shape[1]):
            total += g[r, j] * y[r, j]
        for j in range(g.shape[1]):
            dx[r, j] = y[r, j] * (g[r, j] - total)


@reduction
def log_softmax(x: Any, y: Any) -> None:
    """y = x - logsumexp(x)."""
    for r in range(x.shape[0]):
        high = _row_max(x, r)
        total = ZERO(high)
        for j in range(x.shape[1]):
            total += m.exp_below_one(x[r, j] - high)
        rest = m.log(total)
        for j in range(x.shape[1]):
            y[r, j] = (x[r, j] - high) - rest


@reduction
def log_softmax_vjp(g: Any, y: Any, dx: Any) -> None:
    """dx = g - exp(y) sum(g)."""
    for r in range(g.shape[0]):
        total = ZERO(g[r, 0])
        for j in range(g.shape[1]):
            total += g[r, j]
        for j in range(g.shape[1]):
            dx[r, j] = g[r, j] - m.exp_below_one(y[r, j]) * total


@reduction
def _row_lse(x: Any, r: Any) -> Any:
    high = _row_max(x, r)
    shift = ir.select(m.isfinite(high), high, ZERO(high))
    total = ZERO(high)
    for j in range(x.shape[1]):
        total += m.exp(x[r, j] - shift)
    return shift + m.log(total)


@kernel
def logsumexp(x: Any, lse: Any) -> None:
    """The log of the sum of exponentials of each row; -inf for a row of -inf."""
    for r in range(x.shape[0]):
        lse[r] = _row_lse(x, r)


@reduction
def cross_entropy(x: Any, labels: Any, weight: Any, smoothing: Any, ignore: Any, loss: Any, lse: Any) -> None:
    """The loss and the log-sum-exp of each row; `weight` of no elements stands for ones."""
    n = x.shape[1]
    for r in range(x.shape[0]):
        s = _row_lse(x, r)
        lse[r] = s
        t = labels[r]
        if t == ignore:
            loss[r] = ZERO(s)
            continue
        value = (s - x[r, t]) * (ONE(s) - smoothing)
        if weight.size > 0:
            value *= weight[t]
        if smoothing > ZERO(s):
            total = ZERO(s)
            if weight.size > 0:
                for j in range(n):
                    total += weight[j] * (s - x[r, j])
            else:
                for j in range(n):
                    total += s - x[r, j]
            value += smoothing * total / to_type(n, s)
        loss[r] = value


@reduction
def cross_entropy_vjp(g: Any, x: Any, lse: Any, labels: Any, weight: Any, smoothing: Any, ignore: Any, dx: Any) -> None:
    """dx from the cotangent of each row's loss."""
    n = x.shape[1]
    weights = ZERO(smoothing)
    for j in range(weight.size):
        weights += weight[j]
    for r in range(x.shape[0]):
        t, s = labels[r], lse[r]
        if t == ignore:
            for j in range(n):
                dx[r, j] = ZERO(s)
            continue
        own = g[r] * (ONE(s) - smoothing)
        if weight.size > 0:
            own *= weight[t]
        share = g[r] * smoothing / to_type(n, s)
        factor = own + (share * weights if weight.size > 0 else g[r] * smoothing)
        for j in range(n):
            dx[r, j] = m.exp_below_one(x[r, j] - s) * factor
        if smoothing > ZERO(s):
            if weight.size > 0:
                for j in range(n):
                    dx[r, j] -= share * weight[j]
            else:
                for j in range(n):
                    dx[r, j] -= share
        dx[r, t] -= own


@reduction
def layer_norm(x: Any, weight: Any, bias: Any, eps: Any, y: Any, mean: Any, rstd: Any) -> None:
    """y = (x - mean) rstd weight + bias; no weight, no bias where they have no elements."""
    n = x.shape[1]
    inverse = ONE(eps) / to_type(n, eps)
    for r in range(x.shape[0]):
        total = ZERO(eps)
        for j in range(n):
            total += x[r, j]
        mu = total * inverse
        total = ZERO(eps)
        for j in range(n):
            d = x[r, j] - mu
            total += d * d
        scale = ONE(eps) / ir.sqrt(total * inverse + eps)
        mean[r], rstd[r] = mu, scale
        if weight.size > 0 and bias.size > 0:
            for j in range(n):
                y[r, j] = (x[r, j] - mu) * scale * weight[j] + bias[j]
        elif weight.size > 0:
            for j in range(n):
                y[r, j] = (x[r, j] - mu) * scale * weight[j]
        else:
            for j in range(n):
                y[r, j] = (x[r, j] - mu) * scale
            for j in range(bias.size):
                y[r, j] += bias[j]


@reduction
def layer_norm_vjp(g: Any, x: Any, mean: Any, rstd: Any, weight: Any, dx: Any, dw: Any, db: Any) -> None:
    """dx, and the block's share of dw and db added to those."""
    n = x.shape[1]
    for r in range(x.shape[0]):
        mu, scale = mean[r], rstd[r]
        inverse = ONE(mu) / to_type(n, mu)
        first, second = ZERO(mu), ZERO(mu)
        if weight.size > 0:
            for j in range(n):
                d = x[r, j] - mu
                gw = g[r, j] * weight[j]
                first += gw
                second += gw * d
                dw[j] += g[r, j] * (d * scale)
                db[j] += g[r, j]
        else:
            for j in range(n):
                d = x[r, j] - mu
                first += g[r, j]
                second += g[r, j] * d
                dw[j] += g[r, j] * (d * scale)
                db[j] += g[r, j]
        first *= inverse
        second *= inverse * scale * scale
        if weight.size > 0:
            for j in range(n):
                dx[r, j] = scale * (g[r, j] * weight[j] - first - (x[r, j] - mu) * second)
        else:
            for j in range(n):
                dx[r, j] = scale * (g[r, j] - first - (x[r, j] - mu) * second)


@reduction
def rms_norm(x: Any, weight: Any, eps: Any, y: Any, rstd: Any) -> None:
    """y = x rstd weight with rstd = 1 / sqrt(mean(x^2) + eps)."""
    n = x.shape[1]
    for r in range(x.shape[0]):
        total = ZERO(eps)
        for j in range(n):
            total += x[r, j] * x[r, j]
        scale = ONE(eps) / ir.sqrt(total / to_type(n, eps) + eps)
        rstd[r] = scale
        if weight.size > 0:
            for j in range(n):
                y[r, j] = x[r, j] * scale * weight[j]
        else:
            for j in range(n):
                y[r, j] = x[r, j] * scale


@reduction
def rms_norm_vjp(g: Any, x: Any, rstd: Any, weight: Any, dx: Any, dw: Any) -> None:
    """dx, and the block's share of dw added to that."""
    n = x.shape[1]
    for r in range(x.shape[0]):
        scale = rstd[r]
        total = ZERO(scale)
        if weight.size > 0:
            for j in range(n):
                total += g[r, j] * weight[j] * x[r, j]
        else:
            for j in range(n):
                total += g[r, j] * x[r, j]
        total *= scale * scale / to_type(n, scale)
        for j in range(n):
            dw[j] += g[r, j] * (x[r, j] * scale)
        if weight.size > 0:
            for j in range(n):
                dx[r, j] = scale * (g[r, j] * weight[j] - x[r, j] * total)
        else:
            for j in range(n):
                dx[r, j] = scale * (g[r, j] - x[r, j] * total)


@kernel
def maxout_vjp(g: Any, x: Any, y: Any, k: Any, dx: Any) -> None:
    """The cotangent shared equally by the pieces that are y (or nan), 0 at the others."""
    for r in range(g.shape[0]):
        for c in range(g.shape[1]):
            best, ties = y[r, c], ZERO(y[r, c])
            for i in range(k):
                v = x[r, c * k + i]
                ties += ir.select((v == best) | (v != v), ONE(best), ZERO(best))
            shared = g[r, c] / ties
            for i in range(k):
                v = x[r, c * k + i]
                dx[r, c * k + i] = ir.select((v == best) | (v != v), shared, ZERO(best))


# SplitMix64, as `cpu_rows_numpy` defines it, on signed integers: they wrap alike.
def _signed(value: int) -> Any:
    value = value - (1 << 64) if value >> 63 else value
    return ir.integer(value, value)


GOLDEN, MIX_1, MIX_2 = map(_signed, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
S27, S30, S31, S32, LOW_WORD = map(_signed, (27, 30, 31, 32, 0xFFFFFFFF))


@ir.inline
def _word(key: Any, j: Any) -> Any:
    z = ir.iadd(ir.imul(ir.iadd(j, ONE_MORE(j)), GOLDEN(j)), key)
    z = ir.imul(ir.ixor(z, ir.shift_right_logical(z, S30(z))), MIX_1(z))
    z = ir.imul(ir.ixor(z, ir.shift_right_logical(z, S27(z))), MIX_2(z))
    return ir.ixor(z, ir.shift_right_logical(z, S31(z)))


ONE_MORE = _signed(1)


@kernel
def dropout(x: Any, key: Any, first: Any, threshold: Any, scale: Any, y: Any) -> None:
    """y = x * scale where the element's bits reach `threshold`, else 0; x and y are flat."""
    lead = min(first & 1, x.size)
    if lead == 1:
        high = ir.shift_right_logical(_word(key, first >> 1), S32(key))
        y[0] = ir.select(high >= threshold, x[0] * scale, ZERO(scale))
    base = (first + lead) >> 1
    pairs = (x.size - lead) // 2
    for j in range(pairs):
        w = _word(key, base + j)
        i = lead + 2 * j
        y[i] = ir.select(ir.iand(w, LOW_WORD(w)) >= threshold, x[i] * scale, ZERO(scale))
        y[i + 1] = ir.select(ir.shift_right_logical(w, S32(w)) >= threshold, x[i + 1] * scale, ZERO(scale))
    if lead + 2 * pairs < x.size:
        low = ir.iand(_word(key, base + pairs), LOW_WORD(key))
        i = x.size - 1
        y[i] = ir.select(low >= threshold, x[i] * scale, ZERO(scale))


@kernel
def scatter_add_rows(target: Any, index: Any, source: Any) -> None:
    """target[index] += source, in the order of `index`; index is within bounds and not negative."""
    for r in range(index.size):
        t = index[r]
        for j in range(target.shape[1]):
            target[t, j] += source[r, j]
