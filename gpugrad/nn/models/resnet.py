"""Residual networks (He et al. 2016), with torchvision's names and shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ...fusion import call
from ...ops.defining import make
from .. import init
from ..activation import ReLU
from ..containers import Sequential, relu_of
from ..convolution import Conv2d
from ..layers import Identity, Linear
from ..module import Module
from ..norms import BatchNorm2d
from ..pooling import AdaptiveAvgPool2d, MaxPool2d

_relu_of_sum = make(lambda x, shortcut: call("relu", x + shortcut), "relu_of_sum")


def _conv(in_channels: int, channels: int, size: int, stride: int = 1, **where: Any) -> Conv2d:
    return Conv2d(in_channels, channels, size, stride=stride, padding=size // 2, bias=False, **where)


class _Block(Module):
    """What both blocks share: the shortcut, projected where the shape changes."""

    expansion: ClassVar[int]
    relu: Module
    downsample: Module | None

    def shortcut(self, in_channels: int, channels: int, stride: int, **where: Any) -> Module | None:
        """A 1 x 1 convolution to the block's output shape; None where that is the input's."""
        out = channels * self.expansion
        if stride == 1 and in_channels == out:
            return None
        return Sequential(_conv(in_channels, out, 1, stride, **where), BatchNorm2d(out, **where))

    def joined(self, y: Any, x: Any) -> Any:
        """The activation of `y` and the shortcut of `x`: one pass over both where it is the plain one."""
        shortcut = x if self.downsample is None else self.downsample(x)
        if type(self.relu) is ReLU and not self.relu._hooks:
            return _relu_of_sum(y, shortcut)
        return self.relu(y + shortcut)


class BasicBlock(_Block):
    """Two 3 x 3 convolutions beside a shortcut.

    Args:
        in_channels, channels: of the input and of the output.
        stride: of the first convolution.
    """

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int = 1, **where: Any) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, channels, 3, stride, **where)
        self.bn1 = BatchNorm2d(channels, **where)
        self.relu = ReLU()
        self.conv2 = _conv(channels, channels, 3, **where)
        self.bn2 = BatchNorm2d(channels, **where)
        self.downsample = self.shortcut(in_channels, channels, stride, **where)

    def forward(self, x: Any) -> Any:
        """(n, in_channels, h, w) to (n, channels, h / stride, w / stride)."""
        y = relu_of(self.bn1, self.relu, self.conv1(x))
        return self.joined(self.bn2(self.conv2(y)), x)


class Bottleneck(_Block):
    """1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut; the stride is in the 3 x 3 ("v1.5", as torchvision).

    Args:
        in_channels: of the input.
        channels: of the 3 x 3 convolution; the output has four times as many.
        stride: of the 3 x 3 convolution.
    """

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1, **where: Any) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, channels, 1, **where)
        self.bn1 = BatchNorm2d(channels, **where)
        self.conv2 = _conv(channels, channels, 3, stride, **where)
        self.bn2 = BatchNorm2d(channels, **where)
        self.conv3 = _conv(channels, 4 * channels, 1, **where)
        self.bn3 = BatchNorm2d(4 * channels, **where)
        self.relu = ReLU()
        self.downsample = self.shortcut(in_channels, channels, stride, **where)

    def forward(self, x: Any) -> Any:
        """(n, in_channels, h, w) to (n, 4 channels, h / stride, w / stride)."""
        y = relu_of(self.bn1, self.relu, self.conv1(x))
        y = relu_of(self.bn2, self.relu, self.conv2(y))
        return self.joined(self.bn3(self.conv3(y)), x)


class ResNet(Module):
    """A stem, four stages of residual blocks, the mean over places and a linear layer.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        layers: blocks in each of the four stages.
        num_classes: outputs.
        in_channels: planes of an image.
        small_images: for images of less than 64 pixels a side: the stem is a 3 x 3 convolution in steps of 1, and
            no maximum follows. Otherwise it is 7 x 7 in steps of 2 and a 3 x 3 maximum in steps of 2.
        width: channels of the first stage; each stage has twice those before it.
        zero_init_residual: start each block as its shortcut, by a zero weight of its last normalisation.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        *,
        in_channels: int = 3,
        small_images: bool = False,
        width: int = 64,
        zero_init_residual: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        where = {"device": device, "dtype": dtype}
        self.conv1 = _conv(in_channels, width, 3 if small_images else 7, 1 if small_images else 2, **where)
        self.bn1 = BatchNorm2d(width, **where)
        self.relu = ReLU()
        self.maxpool = Identity() if small_images else MaxPool2d(3, stride=2, padding=1)
        channels = width
        for stage, blocks in enumerate(layers):
            stacked: list[Module] = []
            for place in range(blocks):
                stacked.append(block(channels, width << stage, 2 if stage and not place else 1, **where))
                channels = (width << stage) * block.expansion
            setattr(self, f"layer{stage + 1}", Sequential(*stacked))
        self.stages = len(layers)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.fc = Linear(channels, num_classes, **where)
        self.reset_parameters(zero_init_residual)

    def reset_parameters(self, zero_init_residual: bool = False) -> None:
        """Draw the convolutions' weights anew by He's rule, as torchvision does."""
        for layer in self.modules():
            if isinstance(layer, Conv2d):
                init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init_residual and isinstance(layer, BasicBlock | Bottleneck):
                last: Any = layer.bn2 if isinstance(layer, BasicBlock) else layer.bn3
                init.zeros_(last.weight)

    def forward(self, x: Any) -> Any:
        """Images (n, in_channels, height, width) to logits (n, num_classes)."""
        x = self.maxpool(relu_of(self.bn1, self.relu, self.conv1(x)))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.fc(self.avgpool(x).reshape(len(x), -1))


def resnet18(num_classes: int = 1000, **options: Any) -> ResNet:
    """`ResNet` of 18 layers with weights: 2 basic blocks in each stage."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, **options)


def resnet34(num_classes: int = 1000, **options: Any) -> ResNet:
    """`ResNet` of 34 layers with weights: 3, 4, 6 and 3 basic blocks."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, **options)


def resnet50(num_classes: int = 1000, **options: Any) -> ResNet:
    """`ResNet` of 50 layers with weights: 3, 4, 6 and 3 bottlenecks."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, **options)
