"""LeCun's two networks for digits: that of the zip codes (1989) and LeNet-5 (1998)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from ...ops.joining import concatenate
from ...ops.padding import pad
from .. import init
from ..activation import Tanh
from ..containers import ModuleList
from ..convolution import Conv2d
from ..layers import Linear, new_parameter
from ..module import Module
from ..pooling import AvgPool2d

BACKGROUND: Final = -1.0
# The planes of H1 that each third of H2's sees: 8 of 12, so that every plane of H1 is seen by two of the thirds.
PLANES: Final = (slice(0, 8), slice(4, 12), (0, 1, 2, 3, 8, 9, 10, 11))


class ScaledTanh(Module):
    """1.7159 tanh(2/3 x), which is +-1 at x = +-1 and bends most there (LeCun 1989)."""

    def forward(self, x: Any) -> Any:
        """The same shape."""
        return 1.7159 * (x * (2.0 / 3.0)).tanh()


class LeNet1989(Module):
    """The network of "Backpropagation Applied to Handwritten Zip Code Recognition" (LeCun et al. 1989).

    Images of 1 x 16 x 16 in [-1, 1], white -1; two layers of 12 planes of 5 x 5 kernels in steps of 2, which share
    their weights over a plane but not their biases; 30 hidden units; outputs with targets of +-1, each behind a
    scaled tanh. What lies outside an image or a plane is -1. It has the paper's 9,760 parameters and 64,660
    connections. Which 8 planes of the first layer a plane of the second sees the paper does not say; here three
    groups of four planes each leave out another four.

    Args:
        num_classes: outputs; 10 in the paper.
    """

    def __init__(self, num_classes: int = 10, *, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        where = {"device": device, "dtype": dtype}
        self.h1 = Conv2d(1, 12, 5, stride=2, bias=False, **where)
        self.h1_bias = new_parameter((12, 8, 8), device, dtype, "LeNet1989")
        self.h2 = ModuleList([Conv2d(8, 4, 5, stride=2, bias=False, **where) for _ in PLANES])
        self.h2_bias = new_parameter((12, 4, 4), device, dtype, "LeNet1989")
        self.h3 = Linear(192, 30, **where)
        self.output = Linear(30, num_classes, **where)
        self.activation = ScaledTanh()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew, uniform in +-2.4 / inputs of a unit as in the paper; the biases are zero."""
        for layer in (self.h1, *self.h2, self.h3, self.output):
            bound = 2.4 / math.prod(layer.weight.shape[1:])
            init.uniform_(layer.weight, -bound, bound)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                init.zeros_(parameter)

    def forward(self, x: Any) -> Any:
        """Images (n, 1, 16, 16) to outputs (n, num_classes) between -1.7159 and 1.7159.

        Raises:
            ValueError: images of another shape.
        """
        if x.ndim != 4 or tuple(x.shape[1:]) != (1, 16, 16):
            raise ValueError(f"[LeNet1989] x has shape {tuple(x.shape)}; expected images of (n, 1, 16, 16)")
        x = self.activation(self.h1(_framed(x)) + self.h1_bias)
        x = _framed(x)
        planes = [layer(x[:, seen]) for layer, seen in zip(self.h2, map(_index, PLANES), strict=True)]
        x = self.activation(concatenate(planes, axis=1) + self.h2_bias)
        return self.activation(self.output(self.activation(self.h3(x.reshape(len(x), 192)))))


def _index(planes: Any) -> Any:
    return planes if isinstance(planes, slice) else list(planes)


def _framed(x: Any) -> Any:
    """Images with two rows and columns of the background around them."""
    return pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="constant", constant_values=BACKGROUND)


class LeNet5(Module):
    """LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998) as it is built today.

    Two 5 x 5 convolutions, each behind which a 2 x 2 mean halves the planes, then 120 and 84 units, all tanh. Unlike
    the paper's, every plane of the second convolution sees all six of the first, the means have no parameters and the
    outputs are logits: 61,706 parameters for digits of 28 x 28.

    Args:
        num_classes: outputs.
        in_channels: planes of an image.
        image_size: (height, width) of an image, or both in one number. A convolution keeps its plane's size by padding
            where the plane is smaller than in the paper (32 and 14), and does not pad elsewhere.
        activation: makes the activations; the paper's is tanh.

    Raises:
        ValueError: images of less than 4 pixels a side.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        image_size: int | Sequence[int] = 28,
        *,
        activation: Any = Tanh,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        if len(sizes) != 2 or min(sizes) < 4:
            raise ValueError(f"[LeNet5] image_size = {image_size}; expected (height, width) of 4 pixels or more")
        where = {"device": device, "dtype": dtype}
        first = tuple(0 if size >= 32 else 2 for size in sizes)
        halves = tuple((size + 2 * p - 4) // 2 for size, p in zip(sizes, first, strict=True))
        second = tuple(0 if size >= 14 else 2 for size in halves)
        quarters = tuple((size + 2 * p - 4) // 2 for size, p in zip(halves, second, strict=True))
        self.conv1 = Conv2d(in_channels, 6, 5, padding=first, **where)
        self.conv2 = Conv2d(6, 16, 5, padding=second, **where)
        self.pool = AvgPool2d(2)
        self.fc1 = Linear(16 * math.prod(quarters), 120, **where)
        self.fc2 = Linear(120, 84, **where)
        self.fc3 = Linear(84, num_classes, **where)
        self.activation = activation()

    def forward(self, x: Any) -> Any:
        """Images (n, in_channels, height, width) to logits (n, num_classes)."""
        x = self.pool(self.activation(self.conv1(x)))
        x = self.pool(self.activation(self.conv2(x)))
        x = self.activation(self.fc1(x.reshape(len(x), -1)))
        return self.fc3(self.activation(self.fc2(x)))
