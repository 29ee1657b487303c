"""The networks that `gpugrad bench` knows beside the multilayer perceptron: for images, and a transformer.

They are built of the layers of `gpugrad.nn` and of operations, so their rows in a report are those of a user's model.
"""

from __future__ import annotations

from typing import Any

from ..nn import Conv2d, Flatten, LayerNorm, Linear, Module, ModuleList, Parameter, ReLU, Sequential, Tanh
from ..nn.functional import gelu, relu, softmax
from ..ops.creation import arange, ones, zeros
from ..ops.elementwise import rsqrt, square, where
from ..ops.random import randn
from ..ops.reduce import max as largest
from ..ops.reduce import mean


class Pool(Module):
    """Means or maxima of 2 x 2 squares: (n, c, h, w) to (n, c, h / 2, w / 2)."""

    def __init__(self, reduce: Any) -> None:
        super().__init__()
        self.reduce = reduce

    def forward(self, x: Any) -> Any:
        """The pooled images."""
        n, c, h, w = x.shape
        return self.reduce(x.reshape(n, c, h // 2, 2, w // 2, 2), axis=(3, 5))


class ChannelNorm(Module):
    """Batch normalisation of images by the statistics of the batch (Ioffe and Szegedy 2015)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = Parameter(ones(channels))
        self.bias = Parameter(zeros(channels))

    def forward(self, x: Any) -> Any:
        """Each channel with mean `bias` and deviation `weight`."""
        centred = x - mean(x, axis=(0, 2, 3), keepdims=True)
        scale = rsqrt(mean(square(centred), axis=(0, 2, 3), keepdims=True) + 1e-5)
        return centred * (scale * self.weight.reshape(1, -1, 1, 1)) + self.bias.reshape(1, -1, 1, 1)


def lenet5(classes: int = 10) -> Sequential:
    """LeNet-5 (LeCun et al. 1998) on images of 1 x 28 x 28, with plain means between the convolutions."""
    return Sequential(
        Conv2d(1, 6, 5, padding=2), Tanh(), Pool(mean), Conv2d(6, 16, 5), Tanh(), Pool(mean), Flatten(),
        Linear(400, 120), Tanh(), Linear(120, 84), Tanh(), Linear(84, classes),
    )  # fmt: skip


def convnet(width: int = 32, classes: int = 10) -> Sequential:
    """Six 3 x 3 convolutions in three stages of doubling width, on images of 3 x 32 x 32."""
    layers: list[Module] = []
    channels = 3
    for stage in range(3):
        for _ in range(2):
            layers += [Conv2d(channels, width << stage, 3, padding=1), ReLU()]
            channels = width << stage
        layers.append(Pool(largest))
    return Sequential(*layers, Flatten(), Linear(channels * 16, classes))


class BasicBlock(Module):
    """Two 3 x 3 convolutions and a shortcut (He et al. 2016)."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
        self.norm1 = ChannelNorm(out)
        self.conv2 = Conv2d(out, out, 3, padding=1, bias=False)
        self.norm2 = ChannelNorm(out)
        self.shortcut: Module | None = None
        if stride != 1 or channels != out:
            self.shortcut = Sequential(Conv2d(channels, out, 1, stride=stride, bias=False), ChannelNorm(out))

    def forward(self, x: Any) -> Any:
        """The block's output."""
        y = self.norm2(self.conv2(relu(self.norm1(self.conv1(x)))))
        return relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet18(Module):
    """ResNet-18 for images of 3 x 32 x 32: a 3 x 3 stem, four stages of two blocks, the mean over places."""

    def __init__(self, width: int = 64, classes: int = 10) -> None:
        super().__init__()
        self.stem = Conv2d(3, width, 3, padding=1, bias=False)
        self.norm = ChannelNorm(width)
        blocks, channels = [], width
        for stage in range(4):
            for place in range(2):
                out = width << stage
                blocks.append(BasicBlock(channels, out, 2 if stage and not place else 1))
                channels = out
        self.blocks = Sequential(*blocks)
        self.head = Linear(channels, classes)

    def forward(self, x: Any) -> Any:
        """Logits."""
        return self.head(mean(self.blocks(relu(self.norm(self.stem(x)))), axis=(2, 3)))


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
        size = width // self.heads
        parts = self.mix(x).reshape(n, length, 3, self.heads, size).transpose(2, 0, 3, 1, 4)
        scores = parts[0] @ parts[1].transpose(0, 1, 3, 2) * size**-0.5
        place = arange(length, device=x.device)
        shares = softmax(where(place[:, None] >= place, scores, -1e9))
        return self.out((shares @ parts[2]).transpose(0, 2, 1, 3).reshape(n, length, width))


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
    """A decoder of text: tokens (batch, length) to logits of the next one, (batch * length, vocabulary)."""

    def __init__(self, depth: int, width: int, length: int, vocabulary: int) -> None:
        super().__init__()
        self.tokens = Parameter(randn(vocabulary, width) * 0.02)
        self.places = Parameter(randn(length, width) * 0.02)
        self.blocks = ModuleList([TransformerBlock(width, max(1, width // 64)) for _ in range(depth)])
        self.norm = LayerNorm(width)
        self.head = Linear(width, vocabulary, bias=False)

    def forward(self, tokens: Any) -> Any:
        """Logits."""
        x = self.tokens[tokens] + self.places[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x.reshape(-1, x.shape[-1]))
