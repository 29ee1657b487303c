"""Looking up rows of a matrix by whole numbers: what `nn.Embedding` computes.

Picking and adding up repeated rows are those of `index`; here are the conventions of PyTorch around them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import backend_of, memory
from ..parts import Part
from ..primitive import Needs, Primitive, Shape, public
from ..tensor import apply
from .arguments import apply_one, bare, operand
from .costs import no_flops, out_bytes_twice
from .index import GETITEM, SCATTER, add_at, added_up, index_array


def _forward(needs: Needs, weight: Any, *, arrays: Any) -> tuple[Any, tuple[Any, ...]]:
    return backend_of(weight).take_rows(weight, arrays[0]), (weight.shape, *arrays)


def _rule(g: Any, needs: Needs, shape: Shape, *kept: Any, arrays: Any) -> tuple[Any, ...]:
    index = arrays[0]
    g = g if len(arrays) == 1 else g * arrays[1]
    if added_up(g, (index,)):
        return (Part(g, index, add_at),)
    return (apply_one(SCATTER, g, {"index": index, "arrays": (index,), "unique": False, "shape": shape}),)


def _jvp(given: Any, needs: Needs, shape: Shape, *kept: Any, arrays: Any) -> Any:
    index = arrays[0]
    y = apply_one(GETITEM, given[0], {"index": index, "arrays": (index,), "unique": False})
    return y if len(arrays) == 1 else y * arrays[1]


def _vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, arrays: Any) -> int:
    """Rows that are looked up add up; what weighs them multiplies once more."""
    return math.prod(out_shape) * len(arrays)


EMBEDDING = Primitive(
    "embedding",
    _forward,
    _rule,
    flops=no_flops,
    vjp_flops=_vjp_flops,
    bytes=out_bytes_twice,
    vjp_bytes=lambda sizes, out_size, needs, **static: sizes[0] + 3 * out_size,
    jvp=_jvp,
)


@public
def embedding(input: Any, weight: Any, padding_idx: int | None = None, *, scale_grad_by_freq: bool = False) -> Any:
    """The rows of `weight` that `input` names.

    Args:
        input: whole numbers of any shape, from 0. One out of range is an error on the CPU; a GPU's row is undefined.
        weight: (num_embeddings, embedding_dim).
        padding_idx: a row without a gradient, negative from the end.
        scale_grad_by_freq: divide the gradient of a row by how often it is named in `input`.

    Returns:
        (*input.shape, embedding_dim). The gradient of a row is the sum over all places that name it, always in the same
        order: the same bits every time, on the GPU too.

    Raises:
        IndexError: numbers out of range, or not whole.
        ValueError: `weight` is not a matrix, or `padding_idx` no row of it.
    """
    weight = operand(weight)
    if weight.ndim != 2:
        raise ValueError(
            f"[embedding] weight has shape {tuple(weight.shape)}; expected (num_embeddings, embedding_dim)"
        )
    rows = weight.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise ValueError(
            f"[embedding] padding_idx = {padding_idx} for weight {tuple(weight.shape)}; expected one of its {rows} rows"
        )
    index = index_array("embedding", backend_of(bare(weight)), bare(weight), input)
    if index.dtype.kind not in "iu":
        raise IndexError(f"[embedding] input is {index.dtype} {tuple(index.shape)}; expected whole numbers")
    values = memory(index)
    if isinstance(values, np.ndarray) and values.size and not 0 <= values.min() <= values.max() < rows:
        wrong = values[(values < 0) | (values >= rows)].flat[0]
        raise IndexError(f"[embedding] input names row {wrong}; weight {tuple(weight.shape)} has rows 0 to {rows - 1}")
    factor = _factor(index, rows, padding_idx, scale_grad_by_freq, weight.dtype)
    return apply(EMBEDDING, (weight,), {"arrays": (index,) if factor is None else (index, factor)})


def _factor(index: Any, rows: int, padding_idx: int | None, by_frequency: bool, dtype: Any) -> Any:
    """What the cotangent of each looked-up row is multiplied with, (*index.shape, 1); None for 1."""
    factor = None
    if by_frequency:
        counts = (index[..., None] == backend_of(index).xp.arange(rows)).reshape(-1, rows).sum(0)
        factor = 1 / counts[index][..., None]
    if padding_idx is not None:
        other = (index != padding_idx % rows)[..., None]
        factor = other if factor is None else factor * other
    return None if factor is None else factor.astype(dtype)
