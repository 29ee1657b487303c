"""The networks that the training command can be asked for by name, and how to look into a trained one.

The multilayer perceptron is stacked in `mlp`; the convolutional networks are those of `gpugrad.nn.models`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import gpugrad as gg
from gpugrad.train.mlp import mlp

NETWORKS: Final = ("mlp", "lenet5", "convnet", "resnet18")
MAPPED_LAYERS: Final = 4  # of which feature maps are taken, at most


@dataclass(frozen=True)
class Network:
    """A network and what the command says of it.

    Attributes:
        model: maps a batch of inputs to logits.
        title: for reports.
        flat: whether an input is one row of numbers instead of an image.
    """

    model: gg.nn.Module
    title: str
    flat: bool

    def inputs(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Images `(n, channels, height, width)` as the model takes them."""
        return images.reshape(len(images), -1) if self.flat else images

    def convolutions(self) -> dict[str, gg.nn.Module]:
        """The convolutions inside, by name, in the order of use."""
        return {name: m for name, m in self.model.named_modules() if isinstance(m, gg.nn.Conv2d)}


def build(
    name: str,
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    hidden: Sequence[int] = (),
    activation: str = "relu",
    dropout: float = 0.0,
) -> Network:
    """A new network by name.

    Args:
        name: one of `NETWORKS`.
        image_shape: `(channels, height, width)` of its inputs.
        classes: its outputs.
        hidden: of an mlp: units of its hidden layers.
        activation: of an mlp: a key of `ACTIVATIONS`.
        dropout: of mlp and convnet: probability of zeroing a hidden unit in training.

    Raises:
        ValueError: the name is not known, or images of this size are too small for the network.
    """
    channels, height, width = image_shape
    if name == "mlp":
        inputs = channels * height * width
        model: gg.nn.Module = mlp(inputs, hidden, classes, activation=activation, dropout=dropout)
        kind = activation if hidden else "linear"
        return Network(model, f"{'-'.join(map(str, (inputs, *hidden, classes)))} {kind}", flat=True)
    size = (height, width)
    match name:
        case "lenet5":
            model = gg.nn.models.LeNet5(classes, channels, size)
        case "convnet":
            model = gg.nn.models.ConvNet(classes, channels, size, dropout=dropout)
        case "resnet18":
            model = gg.nn.models.resnet18(classes, in_channels=channels, small_images=min(size) < 64)
        case _:
            raise ValueError(f"{name!r} is not known; expected one of {', '.join(NETWORKS)}")
    return Network(model, name, flat=False)


def first_features(network: Network, image_shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """The first layer's weights as images: `(units, channels, height, width)` on the host."""
    if network.flat:
        weights = next(iter(network.model.parameters()))
        return np.asarray(weights.detach().numpy()).reshape(-1, *image_shape)
    first: Any = next(iter(network.convolutions().values()))
    return np.asarray(first.weight.detach().numpy())


def feature_maps(network: Network, image: NDArray[np.float32], device: gg.Device) -> dict[str, NDArray[np.float32]]:
    """What some of the convolutions give for one image, in evaluation mode.

    Args:
        network: with convolutions.
        image: `(channels, height, width)`, standardised.
        device: of the network.

    Returns:
        `(channels, height, width)` by the layer's name, for up to `MAPPED_LAYERS` layers from first to last.
    """
    layers = list(network.convolutions().items())
    picked = np.unique(np.linspace(0, len(layers) - 1, MAPPED_LAYERS).round().astype(int))
    found: dict[str, NDArray[np.float32]] = {}

    def keep(name: str) -> Any:
        def hook(module: gg.nn.Module, args: Any, out: gg.Tensor) -> None:
            found[f"layer {name}" if name.isdigit() else name] = np.asarray(out.detach().numpy())[0]

        return hook

    handles = [layers[k][1].register_forward_hook(keep(layers[k][0])) for k in picked]
    training = network.model.training
    network.model.eval()
    try:
        with gg.no_grad():
            network.model(gg.asarray(image[None]).to(device))
    finally:
        network.model.train(training)
        for handle in handles:
            handle.remove()
    return found
