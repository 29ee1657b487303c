"""ResNet-18 and VGG-11 written in PyTorch with torchvision's names and shapes, for tests to compare with."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def resnet18(torch: ModuleType, num_classes: int, small_images: bool) -> Any:
    """He et al.'s network of 18 layers; `small_images`: the stem for images of 32 x 32."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, channels: int, out: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(out)
            self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(out)
            self.downsample = None
            if stride != 1 or channels != out:
                self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            return torch.relu(y + (x if self.downsample is None else self.downsample(x)))

    class ResNet18(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 64, *((3, 1, 1) if small_images else (7, 2, 3)), bias=False)
            self.bn1 = nn.BatchNorm2d(64)
            self.maxpool = nn.Identity() if small_images else nn.MaxPool2d(3, 2, 1)
            self.layer1 = nn.Sequential(Block(64, 64, 1), Block(64, 64, 1))
            self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128, 1))
            self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256, 1))
            self.layer4 = nn.Sequential(Block(256, 512, 2), Block(512, 512, 1))
            self.fc = nn.Linear(512, num_classes)

        def forward(self, x: Any) -> Any:
            x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(x.mean((2, 3)))

    return ResNet18()


def vgg11(torch: ModuleType, num_classes: int, hidden: int, batch_norm: bool) -> Any:
    """Simonyan and Zisserman's configuration A; no dropout."""
    nn = torch.nn

    class VGG11(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers, channels = [], 3
            for out in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"):
                if out == "M":
                    layers.append(nn.MaxPool2d(2, 2))
                    continue
                layers.append(nn.Conv2d(channels, out, 3, padding=1))
                layers += [nn.BatchNorm2d(out)] if batch_norm else []
                layers.append(nn.ReLU())
                channels = out
            self.features = nn.Sequential(*layers)
            self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
            self.classifier = nn.Sequential(
                nn.Linear(512 * 49, hidden), nn.ReLU(), nn.Dropout(0.0), nn.Linear(hidden, hidden), nn.ReLU(),
                nn.Dropout(0.0), nn.Linear(hidden, num_classes),
            )  # fmt: skip

        def forward(self, x: Any) -> Any:
            return self.classifier(self.avgpool(self.features(x)).flatten(1))

    return VGG11()
