"""The layers and networks of the suite `convolution`: forward and backward together, by inputs and parameters.

Both libraries compute the same function of the same arrays. PyTorch runs with channels second and channels last in
memory, and the runner takes the faster. Each maker imports its library, so this module can be imported without any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.data import SEED, Float32


class Layer(NamedTuple):
    """A layer by PyTorch's name, the shape of its input, and its sizes.

    Attributes:
        kind: "conv2d", "max_pool2d", "batch_norm" or "layer_norm".
        input: (n, channels, height, width).
        weight: of a convolution (out, channels / groups, height, width); of a normalisation (channels,).
        stride, padding, groups: of a convolution.
    """

    kind: str
    input: tuple[int, ...]
    weight: tuple[int, ...] = ()
    stride: int = 1
    padding: int = 0
    groups: int = 1


def _square(channels: int, size: int, batch: int = 32) -> Layer:
    return Layer("conv2d", (batch, channels, size, size), (channels, channels, 3, 3), padding=1)


LAYERS: dict[str, Layer] = {
    "conv 3x3 16-16 32x32 B32": _square(16, 32),
    "conv 3x3 32-32 32x32 B32": _square(32, 32),
    "conv 3x3 64-64 32x32 B32": _square(64, 32),
    "conv 3x3 64-128 16x16 B32": Layer("conv2d", (32, 64, 16, 16), (128, 64, 3, 3), padding=1),
    "conv 3x3 128-128 16x16 B32": _square(128, 16),
    "conv 3x3 256-256 8x8 B32": _square(256, 8),
    "conv 5x5 1-6 28x28 B64 (LeNet)": Layer("conv2d", (64, 1, 28, 28), (6, 1, 5, 5), padding=2),
    "conv 5x5 6-16 14x14 B64 (LeNet)": Layer("conv2d", (64, 6, 14, 14), (16, 6, 5, 5)),
    "conv 1x1 64-256 16x16 B32": Layer("conv2d", (32, 64, 16, 16), (256, 64, 1, 1)),
    "conv 1x1 256-64 8x8 B32": Layer("conv2d", (32, 256, 8, 8), (64, 256, 1, 1)),
    "conv 3x3 stride 2 64-128 32x32 B32": Layer("conv2d", (32, 64, 32, 32), (128, 64, 3, 3), 2, 1),
    "conv 7x7 stride 2 3-64 224x224 B4": Layer("conv2d", (4, 3, 224, 224), (64, 3, 7, 7), 2, 3),
    "conv 3x3 depthwise 64 32x32 B32": Layer("conv2d", (32, 64, 32, 32), (64, 1, 3, 3), padding=1, groups=64),
    "max_pool 2x2 64 32x32 B32": Layer("max_pool2d", (32, 64, 32, 32)),
    "batch_norm 64 32x32 B32": Layer("batch_norm", (32, 64, 32, 32), (64,)),
    "layer_norm 2048x512": Layer("layer_norm", (2048, 512), (512,)),
}
SMOKE: dict[str, Layer] = {
    "conv 3x3 smoke": Layer("conv2d", (2, 3, 6, 6), (4, 3, 3, 3), padding=1),
    "max_pool 2x2 smoke": Layer("max_pool2d", (2, 3, 6, 6)),
    "batch_norm smoke": Layer("batch_norm", (2, 3, 6, 6), (3,)),
    "layer_norm smoke": Layer("layer_norm", (4, 5), (5,)),
}
# Images, their planes and size, for a training step of each network.
NETWORKS: dict[str, tuple[int, ...]] = {"lenet5": (64, 1, 28, 28), "resnet18": (32, 3, 32, 32)}


def layer_of(params: dict[str, Any]) -> Layer:
    """The layer that a job names, with another batch where it says one."""
    layer = {**LAYERS, **SMOKE}[params["layer"]]
    return layer._replace(input=(params.get("batch", layer.input[0]), *layer.input[1:]))


def layer_data(layer: Layer) -> list[Float32]:
    """Normal numbers for the input, and for weight and bias where there are any, so that outputs are about normal."""
    rng = np.random.default_rng(SEED)
    arrays = [rng.standard_normal(layer.input, dtype=np.float32)]
    if layer.weight:
        fan_in = int(np.prod(layer.weight[1:]))
        arrays.append(rng.standard_normal(layer.weight, dtype=np.float32) / np.float32(fan_in**0.5))
        arrays.append(rng.standard_normal(layer.weight[0], dtype=np.float32))
    return arrays


def network_data(name: str) -> tuple[Float32, Any]:
    """Images and labels."""
    rng = np.random.default_rng(SEED)
    shape = NETWORKS[name]
    return rng.standard_normal(shape, dtype=np.float32), rng.integers(0, 10, shape[0])


def channels_last(array: Float32) -> Float32:
    """The same images, channels last in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1) if array.ndim == 4 else array


def function_of(layer: Layer, functional: Any) -> Callable[..., Any]:
    """The layer as a function of its arrays, in a module of functions with PyTorch's names."""
    if layer.kind == "conv2d":
        return lambda x, w, b: functional.conv2d(
            x, w, b, stride=layer.stride, padding=layer.padding, groups=layer.groups
        )
    if layer.kind == "max_pool2d":
        return lambda x: functional.max_pool2d(x, 2)
    if layer.kind == "batch_norm":
        return lambda x, w, b: functional.batch_norm(x, None, None, w, b, training=True)
    return lambda x, w, b: functional.layer_norm(x, tuple(layer.weight), w, b)


def torch_network(name: str) -> Any:
    """LeNet-5 or ResNet-18 (stem for small images) in PyTorch, ten classes, with the layers' own initial weights."""
    from torch import nn

    if name == "lenet5":
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
        )  # fmt: skip

    class Block(nn.Module):
        def __init__(self, channels: int, out: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
            self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
            self.bn1, self.bn2, self.relu = nn.BatchNorm2d(out), nn.BatchNorm2d(out), nn.ReLU()
            self.shortcut: nn.Module = nn.Identity()
            if stride != 1:
                self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            return self.relu(y + self.shortcut(x))

    blocks: list[nn.Module] = []
    channels = 64
    for stage in range(4):
        for place in range(2):
            blocks.append(Block(channels, 64 << stage, 2 if stage and not place else 1))
            channels = 64 << stage
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip


def gpugrad_network(name: str) -> Any:
    """The same in gpugrad."""
    import gpugrad as gg

    if name == "resnet18":
        return gg.nn.models.resnet18(10, small_images=True)
    nn = gg.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip
