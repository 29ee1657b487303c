"""Sums, means and largest elements of bags of embedded numbers, as a function and a layer; PyTorch's conventions.

The rows are picked as `embedding` does, and added up by the scatter of indexing: in the same order every time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import backend_of, memory
from ..backend.placing import placed
from ..ops.arguments import bare, constant, module, operand
from ..ops.elementwise import where
from ..ops.embedding import embedding
from ..ops.index import index_array, written
from ..ops.reduce import max as max_
from ..ops.reduce import sum as sum_
from ..tensor import Tensor
from .embedding import Embedding, draw_rows
from .layers import new_parameter, require_sizes
from .module import Module, Parameter

MODES = ("sum", "mean", "max")


@placed
def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    *,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """The sum, the mean or the largest elements of the rows of `weight` that each bag of numbers names.

    Args:
        input: whole numbers from 0, (bags, numbers); or (numbers,), all bags one after the other.
        weight: (num_embeddings, embedding_dim).
        offsets: of flat input, whole numbers: where each bag begins, (bags,). The first is 0.
        scale_grad_by_freq: divide the gradient of a row by how often it is named in `input`.
        mode: "sum", "mean" or "max". Equal largest elements share a gradient.
        per_sample_weights: factors of the rows of a sum, of the input's shape.
        include_last_offset: whether `offsets` ends with the end of the last bag, (bags + 1,).
        padding_idx: a number that counts for nothing.

    Returns:
        (bags, embedding_dim); zeros for a bag of nothing. With offsets, "max" asks the device for the longest bag.

    Raises:
        ValueError: shapes do not fit, another mode, or, on the CPU, offsets that do not begin with 0, fall, or go
            beyond the input.
        IndexError: numbers out of range (on the CPU), or not whole.
    """
    if mode not in MODES:
        raise ValueError(f'[embedding_bag] mode = {mode!r}; expected "sum", "mean" or "max"')
    weight = operand(weight)
    index = index_array("embedding_bag", backend_of(bare(weight)), bare(weight), input)
    if index.ndim not in (1, 2) or (index.ndim == 1) != (offsets is not None):
        given = "without offsets" if offsets is None else "with offsets"
        raise ValueError(
            f"[embedding_bag] input has shape {tuple(index.shape)}, {given}; expected (bags, numbers) without, or "
            "(numbers,) with them"
        )
    if per_sample_weights is not None:
        per_sample_weights = operand(per_sample_weights)
        if mode != "sum" or per_sample_weights.shape != index.shape:
            raise ValueError(
                f"[embedding_bag] per_sample_weights {tuple(per_sample_weights.shape)} for input {tuple(index.shape)} "
                f'in mode {mode!r}; expected one factor for each number, and mode "sum"'
            )
    if padding_idx is not None and not -weight.shape[0] <= padding_idx < weight.shape[0]:
        raise ValueError(f"[embedding_bag] padding_idx = {padding_idx}; expected one of {weight.shape[0]} rows")
    used = None if padding_idx is None else index != padding_idx % weight.shape[0]
    rows = embedding(index, weight, scale_grad_by_freq=scale_grad_by_freq)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights[..., None]
    if offsets is None:
        return _rectangle(rows, used, mode)
    starts, ends = _bounds(index, offsets, include_last_offset)
    if mode == "max":
        return _rectangle(*_side_by_side(rows, used, starts, ends), mode)
    return _pieces(rows, used, starts, ends, mode)


def _rectangle(rows: Any, used: Any, mode: str) -> Any:
    """Bags of one length: rows are (bags, numbers, embedding_dim), `used` (bags, numbers) or None for all."""
    xp, count = module(rows), rows.shape[1]
    dtype = rows.dtype
    if mode == "max":
        if not count:
            return sum_(rows, axis=1)
        if used is None:
            return max_(rows, axis=1)
        some = constant(rows, used.any(axis=1)[:, None])
        # A bag of nothing is all 0 instead of -inf, whose gradient goes nowhere.
        least = xp.where(used.any(axis=1), -np.inf, 0.0).astype(dtype)[:, None, None]
        return where(some, max_(where(constant(rows, used[..., None]), rows, constant(rows, least)), axis=1), 0.0)
    if used is None:
        return sum_(rows, axis=1) / max(count, 1) if mode == "mean" else sum_(rows, axis=1)
    total = sum_(where(constant(rows, used[..., None]), rows, 0.0), axis=1)
    counts = xp.maximum(used.sum(axis=1), 1).astype(dtype)[:, None]
    return total / constant(rows, counts) if mode == "mean" else total


def _bounds(index: Any, offsets: Any, include_last: bool) -> tuple[Any, Any]:
    """Where each bag begins and ends, bare."""
    xp = backend_of(index).xp
    starts = index_array("embedding_bag", backend_of(index), index, offsets).astype(np.int64)
    if starts.ndim != 1 or starts.shape[0] < include_last:
        raise ValueError(f"[embedding_bag] offsets has shape {tuple(starts.shape)}; expected (bags,)")
    values = memory(starts)
    known = isinstance(values, np.ndarray) and values.size > 0
    if known and (values[0] != 0 or (np.diff(values) < 0).any() or values[-1] > index.shape[0]):
        raise ValueError(
            f"[embedding_bag] offsets = {values[:8].tolist()}{'...' if values.size > 8 else ''} for {index.shape[0]} "
            "numbers; expected 0 first, no smaller one after a larger, none beyond the input"
        )
    if include_last:
        return starts[:-1], starts[1:]
    return starts, xp.concatenate([starts[1:], xp.full(1, index.shape[0], np.int64)])


def _pieces(rows: Any, used: Any, starts: Any, ends: Any, mode: str) -> Any:
    """Sums and means of pieces of (numbers, embedding_dim)."""
    xp, dtype = module(rows), rows.dtype
    numbers = xp.arange(rows.shape[0], dtype=np.int64)
    # Of bags that begin at one place the last one has the numbers; those behind the last bag's end count for nothing.
    bag = xp.maximum(xp.searchsorted(starts, numbers, side="right") - 1, 0)
    if ends.shape[0]:
        inside = numbers < ends[-1]
        used = inside if used is None else used & inside
    if used is not None:
        rows = where(constant(rows, used[:, None]), rows, 0.0)
    total = written(rows, (bag,), (starts.shape[0], rows.shape[1]))
    if mode == "sum":
        return total
    before = xp.zeros(rows.shape[0] + 1, np.int64)
    before[1:] = numbers + 1 if used is None else xp.cumsum(used)
    counts = xp.maximum(before[ends] - before[starts], 1).astype(dtype)[:, None]
    return total / constant(rows, counts)


def _side_by_side(rows: Any, used: Any, starts: Any, ends: Any) -> tuple[Any, Any]:
    """Pieces of (numbers, embedding_dim) as (bags, longest, embedding_dim), and which of these there are."""
    xp, lengths = module(rows), ends - starts
    longest = int(lengths.max()) if lengths.size else 0
    there = xp.arange(longest) < lengths[:, None]
    places = xp.where(there, starts[:, None] + xp.arange(longest), 0)
    return rows[places], there if used is None else there & used[places]


class EmbeddingBag(Module):
    """The sum, mean or largest elements of the rows of `weight` that a bag of whole numbers names.

    Args:
        num_embeddings: how many numbers there are.
        embedding_dim: length of a row.
        scale_grad_by_freq: divide the gradient of a row by how often it is named in the batch.
        mode: "sum", "mean" or "max".
        include_last_offset: whether offsets end with the end of the last bag.
        padding_idx: a number that counts for nothing; its row is zeros at first and has no gradient.
        device: where the parameter lives.
        dtype: of the parameter.

    Attributes:
        weight: (num_embeddings, embedding_dim), normal numbers at first, as PyTorch's.

    Raises:
        ValueError: a size is not a positive integer, another mode, or `padding_idx` is no row.

    Example:
        >>> import gpugrad as gg
        >>> bags = gg.nn.EmbeddingBag(10, 3, mode="sum")
        >>> bags(gg.tensor([1, 2, 4, 5, 4]), offsets=gg.tensor([0, 3])).shape
        (2, 3)
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        require_sizes("EmbeddingBag", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if mode not in MODES:
            raise ValueError(f'[EmbeddingBag] mode = {mode!r}; expected "sum", "mean" or "max"')
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"[EmbeddingBag] padding_idx = {padding_idx}; expected one of the {num_embeddings} rows")
        self.num_embeddings, self.embedding_dim, self.mode = num_embeddings, embedding_dim, mode
        self.scale_grad_by_freq, self.include_last_offset = scale_grad_by_freq, include_last_offset
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = new_parameter((num_embeddings, embedding_dim), device, dtype, "EmbeddingBag", order="C")
        self.reset_parameters()

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, **options: Any) -> EmbeddingBag:
        """A layer with given rows (shared, not copied).

        Args:
            embeddings: (num_embeddings, embedding_dim), tensor or array.
            freeze: whether they need no gradient.
            options: as the constructor.
        """
        weight = Embedding.from_pretrained(embeddings, freeze).weight
        layer = cls(*map(int, weight.shape), dtype=weight.dtype, **options)
        layer.weight = weight
        return layer

    def reset_parameters(self) -> None:
        """Draw the rows anew; the one of `padding_idx` is zeros."""
        draw_rows(self.weight, self.padding_idx)

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Tensor | None = None) -> Any:
        """(bags, numbers), or (numbers,) with offsets, to (bags, embedding_dim)."""
        return embedding_bag(
            input,
            self.weight,
            offsets,
            scale_grad_by_freq=self.scale_grad_by_freq,
            mode=self.mode,
            per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset,
            padding_idx=self.padding_idx,
        )

    def extra_repr(self) -> str:
        """Sizes, and what is made of the rows."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}{padding}"
