"""Scaled dot product attention as one operation that keeps its inputs and nothing of the size queries x keys.

Scores are made block by block of the queries, forward and again backward, so memory grows with the length and not with
its square. Projections and heads belong to the layer, `nn.attention`.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Final, NamedTuple

import numpy as np

from ..backend import backend_of
from ..lifting import here
from ..primitive import Needs, Primitive, Shape, public
from ..tensor import apply
from .arguments import backend_for_all, bare, operand
from .defining import make
from .elementwise import maximum, where
from .linalg import matmul
from .rows import softmax

# Scores of a block: what stays in the cache of a core, and what keeps a GPU busy.
BUDGET: Final = {"cpu": 1 << 18, "cuda": 1 << 26}
CAUSAL_ROWS: Final = 128  # queries of a block under a causal mask: keys behind the last of them are left out

# What is hidden has the lowest finite score, so that a row with nothing to see is no difference of infinities.
_seen = make(lambda s, keep, low: where(keep, s, low), "attention_mask")
_added = make(lambda s, mask, low: maximum(s + mask, low), "attention_add")
_cleared = make(lambda p, s, low: where(s <= low, 0.0, p), "attention_clear")


class _Block(NamedTuple):
    """A part of the scores: some heads, some of the queries, and the first `keys` of the keys."""

    heads: slice
    rows: slice
    keys: int


def blocks(heads: int, rows: int, keys: int, causal: bool, budget: int) -> list[_Block]:
    """The scores (heads, rows, keys) in parts of about `budget` elements, in C order."""
    step = max(1, min(rows, budget // max(keys, 1)))
    if causal:
        step = min(step, CAUSAL_ROWS)
    several = max(1, budget // max(step * keys, 1))
    return [
        _Block(
            slice(h, min(h + several, heads)),
            slice(r, min(r + step, rows)),
            min(keys, r + step) if causal else keys,
        )
        for h in range(0, heads, several)
        for r in range(0, rows, step)
    ]


class _Operands:
    """The operands with one axis of heads, in C order, and the scores of a block of them.

    Scores and their softmax are in `kind`, in float32 for halves. The factors of products are in `form`: that of the
    operands, or `kind` where products of halves would be slow.
    """

    def __init__(
        self, q: Any, k: Any, v: Any, mask: Any, scale: float, causal: bool, g: Any = None
    ) -> None:
        self.backend = backend_for_all("scaled_dot_product_attention", q, k, v, mask)
        self.kind = np.dtype(np.float32) if q.dtype.itemsize == 2 else q.dtype
        self.form = q.dtype if self.backend.half_products else self.kind
        self.lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
        self.heads = math.prod(self.lead)
        self.causal = causal
        self.q, self.k, self.v, *self.given = self._flat([q, k, v] if g is None else [q, k, v, g], scale)
        self.mask: Any = None
        self.places: Any = None
        if mask is not None:
            count = math.prod(mask.shape[:-2])
            self.mask = mask.reshape(count, *mask.shape[-2:])
            numbers = np.arange(count).reshape(mask.shape[:-2])
            self.places = np.broadcast_to(numbers, self.lead).reshape(-1) if count > 1 else None

    def _flat(self, arrays: list[Any], scale: float) -> list[Any]:
        """Each (*lead, n, m) as (heads, n, m), spread over the heads that share it; the first scaled, as a copy."""
        backend, moved = self.backend, []
        for i, a in enumerate(arrays):
            whole = (*self.lead, *a.shape[-2:])
            if a.shape != whole:
                arrays[i] = a = backend.xp.broadcast_to(a, whole)
            if not i or a.dtype != self.form or not a.flags.c_contiguous:
                moved.append(i)
        places = [backend.empty(arrays[i].shape, self.form) for i in moved]
        backend.put_scaled(places, [arrays[i] for i in moved], scale)
        for i, place in zip(moved, places, strict=True):
            arrays[i] = place
        return [backend.reshape(a, (self.heads, *a.shape[-2:])) for a in arrays]

    def factor(self, shares: Any) -> Any:
        """What was computed of scores, as a factor of products."""
        return shares if shares.dtype == self.form else self.backend.cast(shares, self.form)

    def mask_of(self, block: _Block) -> Any:
        """The mask over a block; it broadcasts."""
        mask = self.mask
        if self.places is not None:
            numbers = self.places[block.heads]
            first = int(numbers[0])
            if (numbers == first).all():
                mask = mask[first : first + 1]
            elif (np.diff(numbers) == 1).all():
                mask = mask[first : first + len(numbers)]
            else:
                mask = mask[self.backend.xp.asarray(numbers)]
        rows = slice(None) if mask.shape[1] == 1 else block.rows
        return mask[:, rows, slice(None) if mask.shape[2] == 1 else slice(block.keys)]

    def shares(self, block: _Block) -> tuple[Any, Any]:
        """The scaled queries of a block, and how much each looks at each key."""
        backend = self.backend
        q = self.q[block.heads, block.rows]
        s = backend.matmul_wide(q, self.k[block.heads, : block.keys].swapaxes(-1, -2))
        if self.causal:
            return q, backend.rows.softmax_causal(s, block.rows.start, s)
        if self.mask is None:
            return q, backend.rows.softmax(s)
        low = float(np.finfo(self.kind).min)
        mask = self.mask_of(block)
        s = _seen(s, mask, low) if mask.dtype == bool else _added(s, mask.astype(self.kind, copy=False), low)
        return q, _cleared(backend.rows.softmax(s), s, low)

    def blocks(self, budget: int) -> list[_Block]:
        """The blocks of these operands."""
        return blocks(self.heads, self.q.shape[1], self.k.shape[1], self.causal, budget)

    def added(self, total: Any, place: Any, part: Any) -> Any:
        """`part` added to its place in `total`; all there is, where that is None."""
        if total is None:
            return part
        self.backend.plus(total[place], part, into=True)
        return total


def _alike(q: Shape, k: Shape, v: Shape) -> bool:
    """Whether the heads are the same for all three, or those in the query's last axis share one of key and value."""
    return k == v and (q == k or (len(q) == len(k) > 1 and k[-1] == 1 and q[:-1] == k[:-1]))


def _forward(
    needs: Needs, q: Any, k: Any, v: Any, mask: Any, *, scale: float, causal: bool, p: float, draws: Any, budget: int
) -> tuple[Any, tuple[Any, ...]]:
    if mask is None and not p and _alike(q.shape[:-2], k.shape[:-2], v.shape[:-2]):
        whole = backend_for_all("scaled_dot_product_attention", q, k, v).attention(q, k, v, scale, causal)
        if whole is not None:
            return whole[0], whole
    on = _Operands(q, k, v, mask, scale, causal)
    parts = on.blocks(budget)
    out: Any = None if len(parts) == 1 else on.backend.empty((on.heads, q.shape[-2], v.shape[-1]), on.form)
    for i, block in enumerate(parts):
        _, shares = on.shares(block)
        if p:
            shares = on.backend.rows.dropout(shares, p, *draws[i])
        part = on.backend.matmul(on.factor(shares), on.v[block.heads, : block.keys])
        if out is None:
            out = part
        else:
            on.backend.put(out, (block.heads, block.rows), part)
    out = out.reshape(*on.lead, *out.shape[1:])
    return (out if out.dtype == q.dtype else on.backend.cast(out, q.dtype)), ()


def _rule(
    g: Any, needs: Needs, q: Any, k: Any, v: Any, mask: Any, *whole: Any,
    scale: float, causal: bool, p: float, draws: Any, budget: int,
) -> tuple[Any, ...]:  # fmt: skip
    """The scores once more, block by block, and through them backward; `whole` is what the backend's own way kept."""
    if whole:
        out, sums = whole
        gradients = backend_of(g).attention_vjp(g, q, k, v, out, sums, scale, causal)
        if gradients is not None:
            return *(d if need else None for d, need in zip(gradients, needs, strict=False)), None
    on = _Operands(q, k, v, mask, scale, causal, g)
    matmul_, rows, given = on.backend.matmul_wide, on.backend.rows, on.given[0]
    parts = on.blocks(budget)
    alone = len(parts) == 1 and parts[0].keys == on.k.shape[1]  # its gradients are all there is
    dq, dk, dv = (
        on.backend.zeros(a.shape, on.kind) if need and not alone else None
        for a, need in zip((on.q, on.k, on.v), needs, strict=False)
    )
    dmask = on.backend.zeros(on.mask.shape, on.kind) if needs[3] else None
    for i, block in enumerate(parts):
        scaled, shares = on.shares(block)
        g_block, keys = given[block.heads, block.rows], (block.heads, slice(block.keys))
        if needs[2]:
            dropped = rows.dropout(shares, p, *draws[i]) if p else shares
            dv = on.added(dv, keys, matmul_(on.factor(dropped).swapaxes(-1, -2), g_block))
        if not (needs[0] or needs[1] or needs[3]):
            continue
        ds = matmul_(g_block, on.v[keys].swapaxes(-1, -2))
        ds = rows.softmax_vjp(rows.dropout(ds, p, *draws[i]) if p else ds, shares)
        if dmask is not None:
            _add_mask(on, dmask, ds, block)
        ds = on.factor(ds)
        if needs[0]:
            dq = on.added(dq, (block.heads, block.rows), matmul_(ds, on.k[keys]))
        if needs[1]:
            dk = on.added(dk, keys, matmul_(ds.swapaxes(-1, -2), scaled))
    found = _conformed(on, (dq, dk, dv), (q, k, v), scale)
    return *found, None if dmask is None else dmask.reshape(mask.shape).astype(mask.dtype, copy=False)


def _conformed(on: _Operands, gradients: tuple[Any, ...], operands: tuple[Any, ...], scale: float) -> list[Any]:
    """The gradients (None: not asked for), the query's scaled: each of the shape, dtype and order of its operand."""
    found: list[Any] = [None, None, None]
    for i, (d, a) in enumerate(zip(gradients, operands, strict=True)):
        if d is not None:
            found[i] = on.backend.sum_to(d.reshape(*on.lead, *d.shape[1:]), a.shape)
    moved = [
        i for i, (d, a) in enumerate(zip(found, operands, strict=True))
        if d is not None and (not i or d.dtype != a.dtype or not a.flags.c_contiguous)
    ]  # fmt: skip
    if moved:
        places = [_ordered(on.backend, operands[i]) for i in moved]
        on.backend.put_scaled(places, [found[i] for i in moved], 1.0 if moved[0] else scale)
        for i, place in zip(moved, places, strict=True):
            found[i] = place
    return found


def _ordered(backend: Any, like: Any) -> Any:
    """Memory for an array of this shape and dtype whose axes lie in the same order."""
    if like.flags.c_contiguous:
        return backend.empty(like.shape, like.dtype)
    axes, back = _axes(like.strides)
    return backend.empty(tuple([like.shape[i] for i in axes]), like.dtype).transpose(*back)


@functools.lru_cache(maxsize=1024)
def _axes(strides: Shape) -> tuple[list[int], list[int]]:
    """The axes from the longest step to the shortest, and where each is among them."""
    axes = sorted(range(len(strides)), key=lambda i: -strides[i])
    return axes, [axes.index(i) for i in range(len(strides))]


def _add_mask(on: _Operands, dmask: Any, ds: Any, block: _Block) -> None:
    """Add the cotangent of a block's scores to that of the mask they were added to."""
    rows, keys = block.rows, slice(block.keys)
    if dmask.shape[1] == 1:
        ds, rows = ds.sum(axis=1, keepdims=True), slice(None)
    if dmask.shape[2] == 1:
        ds, keys = ds.sum(axis=2, keepdims=True), slice(None)
    if on.places is None:
        dmask[0, rows, keys] += ds.sum(axis=0)
        return
    for head, place in enumerate(on.places[block.heads]):
        dmask[int(place), rows, keys] += ds[head]


def _keep(q: Any, k: Any, mask: Any, causal: bool) -> Any:
    """Truth values of what may be seen, or None: all of it."""
    xp = backend_of(bare(q)).xp
    if causal:
        return xp.arange(q.shape[-2])[:, None] >= xp.arange(k.shape[-2])
    if mask is None:
        return None
    return bare(mask) if mask.dtype == bool else bare(mask) != -math.inf


def _reference(
    q: Any, k: Any, v: Any, mask: Any, *, scale: float, causal: bool, p: float, draws: Any, budget: int
) -> Any:
    scores = matmul(q * scale, k.swapaxes(-1, -2))
    if mask is not None and mask.dtype != bool:
        scores = scores + mask
    keep = _keep(q, k, mask, causal)
    if keep is not None:  # a finite number, because a row of infinities has no derivative
        scores = where(keep, scores, float(np.finfo(scores.dtype).min) / 2)
    shares = softmax(scores)
    shares = shares if keep is None else where(keep, shares, 0.0)
    return matmul(shares * _dropped(shares, causal, p, draws, budget) if p else shares, v)


def _dropped(shares: Any, causal: bool, p: float, draws: Any, budget: int) -> Any:
    """What dropout multiplies the shares with: the mask of every block, in its place."""
    array = bare(shares)
    backend = backend_of(array)
    rows, keys = array.shape[-2:]
    heads = math.prod(array.shape[:-2])
    out = backend.xp.zeros((heads, rows, keys), array.dtype)
    for block, draw in zip(blocks(heads, rows, keys, causal, budget), draws, strict=True):
        ones = backend.xp.ones(out[block.heads, block.rows, : block.keys].shape, array.dtype)
        out[block.heads, block.rows, : block.keys] = backend.rows.dropout(ones, p, *draw)
    return out.reshape(array.shape)


def _sizes(shapes: tuple[Shape, ...], out_shape: Shape) -> tuple[int, int, int]:
    """Scores, and the lengths of a key and of a value."""
    return math.prod(out_shape[:-1]) * shapes[1][-2], shapes[0][-1], out_shape[-1]


def _flops(shapes: tuple[Shape, ...], out_shape: Shape, **static: Any) -> int:
    """Two products and a softmax, as if nothing were masked."""
    scores, key, value = _sizes(shapes, out_shape)
    return scores * (2 * key + 2 * value + 5)


def _vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, **static: Any) -> int:
    """The scores again, two products by the values, the softmax's rule, and a product each for queries and keys."""
    scores, key, value = _sizes(shapes, out_shape)
    through = needs[0] or needs[1] or needs[3]
    each = 2 * key + 5 + 2 * value * (needs[2] + through) + 4 * through + 2 * key * (needs[0] + needs[1])
    return scores * (each + needs[3])


ALL: Final = (0, 1, 2, 3)
ATTENTION = Primitive(
    "scaled_dot_product_attention",
    _forward,
    _rule,
    keeps=(ALL, ALL, ALL, ALL),
    reference=_reference,
    flops=_flops,
    vjp_flops=_vjp_flops,
)


def _checked(q: Any, k: Any, v: Any, mask: Any, causal: bool, p: float, groups: bool) -> None:
    """Raise for operands that do not fit."""

    def fail(what: str, kind: type[Exception] = ValueError) -> None:
        shown = f"query {tuple(q.shape)} {q.dtype}, key {tuple(k.shape)} {k.dtype}, value {tuple(v.shape)} {v.dtype}"
        shown += "" if mask is None else f", attn_mask {tuple(mask.shape)} {mask.dtype}"
        raise kind(f"[scaled_dot_product_attention] {what} ({shown})")

    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        fail("shapes do not fit; expected (*batch, queries, e), (*batch, keys, e) and (*batch, keys, e')")
    if not (q.dtype == k.dtype == v.dtype) or q.dtype.kind not in "fV":
        fail("dtypes do not fit; expected three of one floating point dtype", TypeError)
    if not k.shape[-2]:
        fail("there are no keys; expected one or more")
    if not 0 <= p < 1:
        fail(f"dropout_p = {p}; expected a probability in [0, 1)")
    if groups and (min(q.ndim, k.ndim, v.ndim) < 3 or k.shape[-3] != v.shape[-3] or q.shape[-3] % k.shape[-3]):
        fail("enable_gqa with heads that do not fit; expected as many for key and value, which divide the query's")
    if mask is None:
        return
    if causal:
        fail("attn_mask and is_causal = True; expected one of them")
    if mask.dtype != bool and mask.dtype != q.dtype:
        fail("attn_mask has another dtype; expected truth values (True: look), or the query's dtype (added)", TypeError)


@public
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(query @ key.T * scale + mask) @ value (Vaswani et al. 2017).

    Scores are computed in blocks and again in the backward pass: memory grows with the number of queries and keys, not
    with its product (Rabe and Staats 2021; here each block has whole rows).

    Args:
        query: (*batch, heads, queries, e).
        key: (*batch, heads, keys, e), of the same dtype.
        value: (*batch, heads, keys, e').
        attn_mask: broadcasts to (*batch, heads, queries, keys): truth values, where True means look, or numbers that
            are added to the scores and have a gradient.
        dropout_p: probability with which each share is dropped; also outside of training, unless it is 0.
        is_causal: let query i look at the keys 0 to i only.
        scale: factor of the scores; 1 / sqrt(e) if not given.
        enable_gqa: let several heads of the query share one head of key and value (heads side by side).

    Returns:
        (*batch, heads, queries, e'), of the query's dtype. Half precision adds up in float32, and scores and their
        softmax are float32; so are the factors of products on a CPU. A query that may look at nothing gives zeros.

    Raises:
        ValueError: shapes do not fit, both a mask and `is_causal`, or a probability outside [0, 1).
        TypeError: dtypes differ, or are not floating point.
    """
    q, k, v = operand(query), operand(key), operand(value)
    mask = None if attn_mask is None else operand(attn_mask)
    _checked(q, k, v, mask, is_causal, dropout_p, enable_gqa)
    heads = q.shape[-3] if q.ndim > 2 else 1
    grouped = enable_gqa and heads != k.shape[-3]
    if grouped:
        q = q.reshape(*q.shape[:-3], k.shape[-3], heads // k.shape[-3], *q.shape[-2:])
        if mask is not None and mask.ndim > 2:
            split = (1, 1) if mask.shape[-3] == 1 else q.shape[-4:-2]
            mask = mask.reshape(*mask.shape[:-3], *split, *mask.shape[-2:])
        k, v = k.reshape(*k.shape[:-2], 1, *k.shape[-2:]), v.reshape(*v.shape[:-2], 1, *v.shape[-2:])
    lead = _lead(q, k, v, mask)
    if mask is not None and mask.ndim < len(lead) + 2:
        mask = mask.reshape(*(1,) * (len(lead) + 2 - mask.ndim), *mask.shape)
    budget = BUDGET.get(backend_of(bare(q)).name, BUDGET["cpu"])
    draws: tuple[Any, ...] = ()
    if dropout_p:
        q = here(q)  # inside vmap each example has masks of its own, also of what they share
        draws = _draws(q, blocks(math.prod(lead), q.shape[-2], k.shape[-2], is_causal, budget))
    static = {
        "scale": q.shape[-1] ** -0.5 if scale is None else float(scale),
        "causal": is_causal, "p": float(dropout_p), "draws": draws, "budget": budget,
    }  # fmt: skip
    out = apply(ATTENTION, (q, k, v, mask), static)
    return out.reshape(*out.shape[:-4], heads, *out.shape[-2:]) if grouped else out


def _draws(q: Any, parts: list[_Block]) -> tuple[Any, ...]:
    """Where in the stream of random numbers those of each block's dropout are."""
    draw = backend_of(bare(q)).reserve_random
    return tuple(draw((b.heads.stop - b.heads.start) * (b.rows.stop - b.rows.start) * b.keys) for b in parts)


def _lead(q: Any, k: Any, v: Any, mask: Any) -> Shape:
    """The batch and head axes that all operands broadcast to."""
    try:
        lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
        fits = mask is None or np.broadcast_shapes(tuple(mask.shape), (*lead, q.shape[-2], k.shape[-2])) == (
            *lead,
            q.shape[-2],
            k.shape[-2],
        )
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"[scaled_dot_product_attention] query {tuple(q.shape)}, key {tuple(k.shape)}, value {tuple(v.shape)}"
            f"{'' if mask is None else f', attn_mask {tuple(mask.shape)}'}: batches or heads do not broadcast; several "
            "heads of the query for one of the key need enable_gqa=True"
        )
    return lead
