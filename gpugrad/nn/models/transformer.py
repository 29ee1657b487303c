"""A small Transformer: a decoder of text, each token from those before it (Vaswani et al. 2017)."""

from __future__ import annotations

from typing import Any

from ...ops.random import randn
from ..containers import ModuleList
from ..functional import gelu, scaled_dot_product_attention
from ..layers import LayerNorm, Linear
from ..module import Module, Parameter


class Attention(Module):
    """Causal self-attention with several heads (Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.mix = Linear(width, 3 * width)
        self.out = Linear(width, width)

    def forward(self, x: Any) -> Any:
        """(batch, length, width) to the same."""
        n, length, width = x.shape
        parts = self.mix(x).reshape(n, length, 3, self.heads, width // self.heads).transpose(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=True)
        return self.out(mixed.transpose(0, 2, 1, 3).reshape(n, length, width))


class TransformerBlock(Module):
    """Attention and a perceptron of four times the width, each behind a layer norm and beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = LayerNorm(width)
        self.grow = Linear(width, 4 * width)
        self.shrink = Linear(4 * width, width)

    def forward(self, x: Any) -> Any:
        """(batch, length, width) to the same."""
        x = x + self.attention(self.norm1(x))
        return x + self.shrink(gelu(self.grow(self.norm2(x))))


class Transformer(Module):
    """A decoder of text that predicts each next token (Vaswani et al. 2017, with the norms first).

    Learned tokens and places of deviation 0.02, `depth` blocks, a last layer norm and a linear layer without bias.

    Args:
        vocabulary: how many tokens there are.
        depth: blocks.
        width: of what a token is represented by; the perceptrons are four times as wide.
        heads: of attention; one for every 64 units of the width if not given.
        length: tokens of the longest text.

    Raises:
        ValueError: the heads do not divide the width.
    """

    def __init__(
        self, vocabulary: int, *, depth: int = 4, width: int = 256, heads: int | None = None, length: int = 128
    ) -> None:
        super().__init__()
        heads = max(1, width // 64) if heads is None else heads
        if heads < 1 or width % heads:
            raise ValueError(f"[Transformer] width = {width}, heads = {heads}; expected heads that divide the width")
        self.length = length
        self.tokens = Parameter(randn(vocabulary, width) * 0.02)
        self.places = Parameter(randn(length, width) * 0.02)
        self.blocks = ModuleList([TransformerBlock(width, heads) for _ in range(depth)])
        self.norm = LayerNorm(width)
        self.head = Linear(width, vocabulary, bias=False)

    def forward(self, tokens: Any) -> Any:
        """Whole numbers (batch, length) to logits of the tokens that follow, (batch, length, vocabulary).

        Raises:
            ValueError: the text is longer than the model's `length`.
        """
        if tokens.ndim != 2 or tokens.shape[1] > self.length:
            raise ValueError(
                f"[Transformer] tokens has shape {tuple(tokens.shape)}; expected (batch, up to {self.length} tokens)"
            )
        x = self.tokens[tokens] + self.places[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))
