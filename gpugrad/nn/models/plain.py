"""Networks of one chain of convolutions: a small ConvNet, AlexNet and VGG, the latter two as in torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from .. import init
from ..activation import ReLU
from ..containers import Sequential
from ..convolution import Conv2d
from ..layers import Dropout, Flatten, Linear
from ..module import Module
from ..norms import BatchNorm2d
from ..pooling import AdaptiveAvgPool2d, MaxPool2d

# Channels of the 3 x 3 convolutions in Simonyan and Zisserman's table 1; 0 is a 2 x 2 maximum.
CONFIGURATIONS: Final = {
    11: (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    13: (64, 64, 0, 128, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    16: (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0),
    19: (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512, 0),
}


class ConvNet(Sequential):
    """3 x 3 convolutions in pairs, each pair of twice the channels at half the size: a good first try on small images.

    Every convolution is followed by batch normalisation and ReLU, every pair by a 2 x 2 maximum and dropout, as long
    as the planes have 4 pixels a side or more and for three pairs at most; then one linear layer.

    Args:
        num_classes: outputs.
        in_channels: planes of an image.
        image_size: (height, width) of an image, or both in one number.
        width: channels of the first pair.
        dropout: probability of zeroing a hidden unit in training.

    Raises:
        ValueError: images of less than 4 pixels a side.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        image_size: int | Sequence[int] = 32,
        *,
        width: int = 32,
        dropout: float = 0.0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        height, breadth = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        if min(height, breadth) < 4:
            raise ValueError(f"[ConvNet] image_size = {image_size}; expected (height, width) of 4 pixels or more")
        where = {"device": device, "dtype": dtype}
        layers: list[Module] = []
        channels, out = in_channels, width
        for _ in range(3):
            if min(height, breadth) < 4:
                break
            for _ in range(2):
                layers += [Conv2d(channels, out, 3, padding=1, bias=False, **where), BatchNorm2d(out, **where), ReLU()]
                channels = out
            layers += [MaxPool2d(2)] + ([Dropout(dropout)] if dropout else [])
            out, height, breadth = 2 * out, height // 2, breadth // 2
        super().__init__(*layers, Flatten(), Linear(channels * height * breadth, num_classes, **where))
        for layer in self:
            if isinstance(layer, Conv2d):
                init.kaiming_normal_(layer.weight, nonlinearity="relu")


class AlexNet(Module):
    """AlexNet in Krizhevsky's form for one device ("One weird trick", 2014), as torchvision has it.

    Args:
        num_classes: outputs.
        dropout: probability before the first two linear layers.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5, *, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        where = {"device": device, "dtype": dtype}
        self.features = Sequential(
            Conv2d(3, 64, 11, stride=4, padding=2, **where), ReLU(), MaxPool2d(3, stride=2),
            Conv2d(64, 192, 5, padding=2, **where), ReLU(), MaxPool2d(3, stride=2),
            Conv2d(192, 384, 3, padding=1, **where), ReLU(),
            Conv2d(384, 256, 3, padding=1, **where), ReLU(),
            Conv2d(256, 256, 3, padding=1, **where), ReLU(), MaxPool2d(3, stride=2),
        )  # fmt: skip
        self.avgpool = AdaptiveAvgPool2d((6, 6))
        self.classifier = Sequential(
            Dropout(dropout), Linear(256 * 6 * 6, 4096, **where), ReLU(),
            Dropout(dropout), Linear(4096, 4096, **where), ReLU(), Linear(4096, num_classes, **where),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        """Images (n, 3, height, width), 63 pixels a side or more and 224 in the paper, to logits (n, num_classes)."""
        return self.classifier(self.avgpool(self.features(x)).reshape(len(x), -1))


class VGG(Module):
    """VGG (Simonyan and Zisserman 2015), as torchvision has it.

    Args:
        depth: layers with weights: 11, 13, 16 or 19.
        num_classes: outputs.
        batch_norm: normalise behind each convolution.
        dropout: probability behind the first two linear layers.
        hidden: units of those two; 4,096 in the paper.

    Raises:
        ValueError: another depth.
    """

    def __init__(
        self,
        depth: int,
        num_classes: int = 1000,
        *,
        batch_norm: bool = False,
        dropout: float = 0.5,
        hidden: int = 4096,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if depth not in CONFIGURATIONS:
            raise ValueError(f"[VGG] depth = {depth}; expected one of {', '.join(map(str, CONFIGURATIONS))}")
        super().__init__()
        where = {"device": device, "dtype": dtype}
        layers: list[Module] = []
        channels = 3
        for out in CONFIGURATIONS[depth]:
            if not out:
                layers.append(MaxPool2d(2))
                continue
            layers.append(Conv2d(channels, out, 3, padding=1, **where))
            layers += [BatchNorm2d(out, **where), ReLU()] if batch_norm else [ReLU()]
            channels = out
        self.features = Sequential(*layers)
        self.avgpool = AdaptiveAvgPool2d((7, 7))
        self.classifier = Sequential(
            Linear(512 * 7 * 7, hidden, **where), ReLU(), Dropout(dropout),
            Linear(hidden, hidden, **where), ReLU(), Dropout(dropout), Linear(hidden, num_classes, **where),
        )  # fmt: skip
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew as torchvision does: He's rule for convolutions, deviation 0.01 for linear layers."""
        for layer in self.modules():
            if isinstance(layer, Conv2d):
                init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(layer, Linear):
                init.normal_(layer.weight, 0.0, 0.01)
            if isinstance(layer, Conv2d | Linear) and layer.bias is not None:
                init.zeros_(layer.bias)

    def forward(self, x: Any) -> Any:
        """Images (n, 3, height, width), 32 pixels a side or more and 224 in the paper, to logits (n, num_classes)."""
        return self.classifier(self.avgpool(self.features(x)).reshape(len(x), -1))


def alexnet(num_classes: int = 1000, **options: Any) -> AlexNet:
    """`AlexNet` by torchvision's name."""
    return AlexNet(num_classes, **options)


def vgg11(num_classes: int = 1000, **options: Any) -> VGG:
    """`VGG` of 11 layers with weights."""
    return VGG(11, num_classes, **options)


def vgg11_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """`VGG` of 11 layers with weights, with batch normalisation."""
    return VGG(11, num_classes, batch_norm=True, **options)


def vgg13(num_classes: int = 1000, **options: Any) -> VGG:
    """`VGG` of 13 layers with weights."""
    return VGG(13, num_classes, **options)


def vgg13_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """`VGG` of 13 layers with weights, with batch normalisation."""
    return VGG(13, num_classes, batch_norm=True, **options)


def vgg16(num_classes: int = 1000, **options: Any) -> VGG:
    """`VGG` of 16 layers with weights."""
    return VGG(16, num_classes, **options)


def vgg16_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """`VGG` of 16 layers with weights, with batch normalisation."""
    return VGG(16, num_classes, batch_norm=True, **options)


def vgg19(num_classes: int = 1000, **options: Any) -> VGG:
    """`VGG` of 19 layers with weights."""
    return VGG(19, num_classes, **options)


def vgg19_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """`VGG` of 19 layers with weights, with batch normalisation."""
    return VGG(19, num_classes, batch_norm=True, **options)
