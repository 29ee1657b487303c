"""Attention with several heads; names, state and masks are PyTorch's.

The attention itself is `functional.scaled_dot_product_attention`; here are the projections around it.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend import backend_of
from ..ops.arguments import bare, operand
from ..ops.cast import astype
from ..ops.elementwise import where
from ..ops.joining import concatenate
from ..ops.linalg import linear, matmul
from ..ops.rows import dropout as drop
from ..ops.rows import softmax
from ..ops.shape import broadcast_to
from . import functional as F  # noqa: N812 - its name everywhere
from . import init
from .layers import Linear, new_parameter, require_sizes
from .module import Module, Parameter


class MultiheadAttention(Module):
    """Attention of several heads between projections (Vaswani et al. 2017).

    Args:
        embed_dim: length of a query and of an output; each head has `embed_dim / num_heads` of it.
        num_heads: heads.
        dropout: probability with which each share is dropped in training.
        bias: whether the projections have biases.
        add_bias_kv: append a learned key and value.
        add_zero_attn: append a key and value of zeros.
        kdim: length of a key; `embed_dim` if not given.
        vdim: length of a value; `embed_dim` if not given.
        batch_first: whether inputs are (n, length, features); (length, n, features) otherwise.
        device: where the parameters live.
        dtype: of the parameters.

    Attributes:
        in_proj_weight: (3 * embed_dim, embed_dim), those of query, key and value one after another; with
            `kdim` or `vdim` instead `q_proj_weight`, `k_proj_weight` and `v_proj_weight`.
        in_proj_bias: (3 * embed_dim,), or None.
        out_proj: the linear layer behind.

    Raises:
        ValueError: `num_heads` does not divide `embed_dim`.
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        require_sizes("MultiheadAttention", embed_dim=embed_dim, num_heads=num_heads)
        if embed_dim % num_heads:
            raise ValueError(
                f"[MultiheadAttention] embed_dim = {embed_dim}, num_heads = {num_heads}; expected heads that divide it"
            )
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn

        def new(*shape: int) -> Parameter:
            return new_parameter(shape, device, dtype, "MultiheadAttention")

        packed = self.kdim == self.vdim == embed_dim
        self.q_proj_weight = None if packed else new(embed_dim, embed_dim)
        self.k_proj_weight = None if packed else new(embed_dim, self.kdim)
        self.v_proj_weight = None if packed else new(embed_dim, self.vdim)
        self.in_proj_weight = new(3 * embed_dim, embed_dim) if packed else None
        self.in_proj_bias = new(3 * embed_dim) if bias else None
        self.bias_k = new(1, 1, embed_dim) if add_bias_kv else None
        self.bias_v = new(1, 1, embed_dim) if add_bias_kv else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the projections anew (X. Glorot and Y. Bengio 2010); biases are 0."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for row in (self.bias_k, self.bias_v):
            if row is not None:
                init.xavier_normal_(row)

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """What the queries find.

        Args:
            query: (length, n, embed_dim), (n, length, embed_dim) with `batch_first`, or one example without `n`.
            key: likewise, of its own length and `kdim`.
            value: likewise, of the key's length and `vdim`.
            key_padding_mask: (n, keys): True for keys to leave out, or numbers to add.
            need_weights: also return the shares; without them nothing of the size queries x keys is kept.
            attn_mask: (queries, keys) or (n * heads, queries, keys): True for what is left out, or numbers to add.
            average_attn_weights: give the mean of the shares over the heads.
            is_causal: without a mask, let each query look at the keys up to its own place; with one, the mask decides.

        Returns:
            (output like the query, shares (n, queries, keys), with an axis of heads in front of the last two where they
            are not averaged, or None).

        Raises:
            ValueError: shapes do not fit.
        """
        query, key, value = self._batches(query, key, value)
        alone = query.ndim == 2
        if alone:
            same = query is key and key is value
            axis = 0 if self.batch_first else 1
            query = query[None] if axis == 0 else query[:, None]
            key, value = (query, query) if same else (_unsqueezed(key, axis), _unsqueezed(value, axis))
            key_padding_mask = None if key_padding_mask is None else operand(key_padding_mask)[None]
        q, k, v = self._heads(query, key, value)
        mask = self._mask(q, k, key_padding_mask, attn_mask)
        q, k, v, mask = self._extended(q, k, v, mask)
        causal = is_causal and attn_mask is None
        if causal and (mask is not None or need_weights):
            xp = backend_of(bare(q)).xp
            seen = xp.arange(q.shape[-2])[:, None] >= xp.arange(k.shape[-2])
            mask, causal = seen if mask is None else _both(seen, mask), False
        p = self.dropout if self.training else 0.0
        shares = None
        if need_weights:
            out, shares = _with_shares(q, k, v, mask, p)
            shares = shares.mean(1) if average_attn_weights else shares
        else:
            out = F.scaled_dot_product_attention(q, k, v, mask, p, causal)
        out = out.transpose(0, 2, 1, 3) if self.batch_first else out.transpose(2, 0, 1, 3)
        out = self.out_proj(out.reshape(*out.shape[:2], self.embed_dim))
        if alone:
            out = out[0] if self.batch_first else out[:, 0]
            shares = None if shares is None else shares[0]
        return out, shares

    def _batches(self, query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
        """The inputs, checked."""
        same, keys_too = query is key and key is value, key is value
        query = operand(query)
        key = query if same else operand(key)
        value = key if keys_too else operand(value)
        wanted = (self.embed_dim, self.kdim, self.vdim)
        for what, x, length in zip(("query", "key", "value"), (query, key, value), wanted, strict=True):
            if x.ndim != query.ndim or x.ndim not in (2, 3) or x.shape[-1] != length:
                form = "(n, length, {})" if self.batch_first else "(length, n, {})"
                raise ValueError(
                    f"[MultiheadAttention] {what} has shape {tuple(x.shape)}, query {tuple(query.shape)}; expected "
                    f"{form.format(length)}, or one example without n"
                )
        return query, key, value

    def _heads(self, query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
        """Query, key and value projected, each (n, heads, length, head_dim)."""
        e, bias = self.embed_dim, self.in_proj_bias
        if self.in_proj_weight is not None and query is key and key is value:
            both = linear(query, self.in_proj_weight, bias)
            both = both.reshape(*both.shape[:2], 3, self.num_heads, self.head_dim)
            order = (2, 0, 3, 1, 4) if self.batch_first else (2, 1, 3, 0, 4)
            parts = both.transpose(*order)
            return parts[0], parts[1], parts[2]
        weights: tuple[Any, ...] = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        if self.in_proj_weight is not None:
            weights = tuple(self.in_proj_weight[i * e : (i + 1) * e] for i in range(3))
        found = []
        for i, (x, weight) in enumerate(zip((query, key, value), weights, strict=True)):
            y = linear(x, weight, None if bias is None else bias[i * e : (i + 1) * e])
            y = y.reshape(*y.shape[:2], self.num_heads, self.head_dim)
            found.append(y.transpose(0, 2, 1, 3) if self.batch_first else y.transpose(1, 2, 0, 3))
        return found[0], found[1], found[2]

    def _mask(self, q: Any, k: Any, padding: Any, mask: Any) -> Any:
        """PyTorch's two masks as the one of the attention, whose truth values mean the opposite; None for none."""
        n, heads, rows, _ = q.shape
        keys = k.shape[-2]
        if padding is not None:
            padding = operand(padding)
            if tuple(padding.shape) != (n, keys):
                raise ValueError(
                    f"[MultiheadAttention] key_padding_mask has shape {tuple(padding.shape)}; expected {(n, keys)}"
                )
            padding = padding.reshape(n, 1, 1, keys)
        if mask is not None:
            mask = operand(mask)
            if tuple(mask.shape) not in ((rows, keys), (n * heads, rows, keys)):
                raise ValueError(
                    f"[MultiheadAttention] attn_mask has shape {tuple(mask.shape)}; expected {(rows, keys)} or "
                    f"{(n * heads, rows, keys)}"
                )
            mask = mask.reshape(1, 1, rows, keys) if mask.ndim == 2 else mask.reshape(n, heads, rows, keys)
        # Under autocast the queries may be narrower than the mask that the caller made.
        found = [~bare(m) if m.dtype == bool else astype(m, q.dtype, False) for m in (padding, mask) if m is not None]
        return None if not found else found[0] if len(found) == 1 else _both(*found)

    def _extended(self, q: Any, k: Any, v: Any, mask: Any) -> tuple[Any, Any, Any, Any]:
        """Keys and values with the learned one and that of zeros behind them, and the mask that shows them."""
        n, size = k.shape[0], (self.num_heads, 1, self.head_dim)
        count = 0
        if self.bias_k is not None and self.bias_v is not None:
            k = concatenate([k, broadcast_to(self.bias_k.reshape(size), (n, *size))], 2)
            v = concatenate([v, broadcast_to(self.bias_v.reshape(size), (n, *size))], 2)
            count += 1
        if self.add_zero_attn:
            zeros = backend_of(bare(k)).xp.zeros((n, *size), k.dtype)
            k, v = concatenate([k, zeros], 2), concatenate([v, zeros], 2)
            count += 1
        if count and mask is not None:
            xp = backend_of(bare(mask)).xp
            seen = xp.full((*mask.shape[:-1], count), mask.dtype == bool, mask.dtype)
            mask = concatenate([mask, seen], -1)
        return q, k, v, mask


def _unsqueezed(x: Any, axis: int) -> Any:
    return x[None] if axis == 0 else x[:, None]


def _both(a: Any, b: Any) -> Any:
    """Two masks as one: truth values where both are, else numbers to add."""
    if a.dtype == bool and b.dtype == bool:
        return bare(a) & bare(b)
    kind = a.dtype if a.dtype != bool else b.dtype
    return _added(a, kind) + _added(b, kind)


def _added(mask: Any, kind: Any) -> Any:
    if mask.dtype != bool:
        return mask
    mask = bare(mask)
    return backend_of(mask).xp.where(mask, kind.type(0), kind.type(-math.inf))


def _with_shares(q: Any, k: Any, v: Any, mask: Any, p: float) -> tuple[Any, Any]:
    """Attention that also gives its shares, which then are kept."""
    scores = matmul(q * q.shape[-1] ** -0.5, k.swapaxes(-1, -2))
    if mask is not None:
        keep = mask if mask.dtype == bool else bare(mask) != -math.inf
        scores = scores if mask.dtype == bool else scores + mask
        scores = where(keep, scores, -0.5 * _largest(scores.dtype))
        shares = where(keep, softmax(scores), 0.0)
    else:
        shares = softmax(scores)
    shares = drop(shares, p)
    return matmul(shares, v), shares


def _largest(dtype: Any) -> float:
    """A number far above any score."""
    return 65504.0 if dtype.itemsize == 2 else 3.4e38
