"""`Embedding`: a vector for each whole number, learned."""

from __future__ import annotations

from typing import Any

from ..backend import is_array
from ..gradmode import no_grad
from ..ops.embedding import embedding
from ..tensor import Tensor
from . import init
from .layers import new_parameter, require_sizes
from .module import Module, Parameter


class Embedding(Module):
    """A row of `weight` for each whole number.

    Args:
        num_embeddings: how many numbers there are.
        embedding_dim: length of a row.
        padding_idx: a number whose row is zeros at first and has no gradient.
        scale_grad_by_freq: divide the gradient of a row by how often it is named in the batch.
        device: where the parameter lives.
        dtype: of the parameter.

    Attributes:
        weight: (num_embeddings, embedding_dim), normal numbers at first, as PyTorch's.

    Raises:
        ValueError: a size is not a positive integer, or `padding_idx` no row.

    Example:
        >>> import gpugrad as gg
        >>> gg.nn.Embedding(10, 3)(gg.tensor([[1, 2], [4, 4]])).shape
        (2, 2, 3)
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        scale_grad_by_freq: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        require_sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(f"[Embedding] padding_idx = {padding_idx}; expected one of the {num_embeddings} rows")
            padding_idx %= num_embeddings
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.scale_grad_by_freq = scale_grad_by_freq
        self.weight = new_parameter((num_embeddings, embedding_dim), device, dtype, "Embedding", order="C")
        self.reset_parameters()

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None) -> Embedding:
        """A layer with given rows (shared, not copied).

        Args:
            embeddings: (num_embeddings, embedding_dim), tensor or array.
            freeze: whether they need no gradient.
            padding_idx: a row without a gradient.
        """
        if not (isinstance(embeddings, Tensor) or is_array(embeddings)) or embeddings.ndim != 2:
            raise ValueError("[Embedding] embeddings: expected a tensor or array (num_embeddings, embedding_dim)")
        rows, length = embeddings.shape
        layer = cls(int(rows), int(length), padding_idx, dtype=embeddings.dtype)
        layer.weight = Parameter(embeddings, requires_grad=not freeze)
        return layer

    def reset_parameters(self) -> None:
        """Draw the rows anew; the one of `padding_idx` is zeros."""
        draw_rows(self.weight, self.padding_idx)

    def forward(self, input: Any) -> Any:
        """Whole numbers of any shape to (*shape, embedding_dim)."""
        return embedding(input, self.weight, self.padding_idx, scale_grad_by_freq=self.scale_grad_by_freq)

    def extra_repr(self) -> str:
        """Sizes, and the padding."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


def draw_rows(weight: Parameter, padding_idx: int | None) -> None:
    """Rows of the standard normal distribution; the one of `padding_idx` is zeros."""
    init.normal_(weight)
    if padding_idx is not None:
        with no_grad():
            weight[padding_idx] = 0
