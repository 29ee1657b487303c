"""Augmentation: each batch a little different every time it is seen.

What is moved are the pixels as they were before standardisation, so that the dark border of a shifted image is dark.
Random choices come from a host generator given by the caller, so that they are the same on every device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gpugrad as gg
from gpugrad.nn.hooks import HookHandle
from gpugrad.train.mlp import ACTIVATIONS


@dataclass(frozen=True)
class Augmentation:
    """Changes to a batch of standardised images and their labels.

    Attributes:
        mean: of `ImageData`.
        scale: of `ImageData`.
        image_shape: `(channels, height, width)`.
        classes: number of classes, for `label_noise`.
        shift: largest translation along each axis, in pixels; what comes in is black.
        crop: a window of the image's size out of the image padded by that many mirrored pixels on each side.
        flip: mirror left and right, for one image in two.
        noise: standard deviation of normal noise added to the standardised pixels.
        label_noise: share of the labels that are replaced by a class drawn at random (the right one included).
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    image_shape: tuple[int, int, int]
    classes: int
    shift: int = 0
    crop: int = 0
    flip: bool = False
    noise: float = 0.0
    label_noise: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
            ValueError: a shift or a crop that leaves nothing of the image, or both at once.
        """
        least = min(self.image_shape[1:])
        for name, value in (("shift", self.shift), ("crop", self.crop)):
            if not 0 <= value < least:
                raise ValueError(
                    f"[Augmentation] {name} = {value} for images of {self.image_shape}; expected 0 to {least - 1}"
                )
        if self.shift and self.crop:
            raise ValueError("[Augmentation] shift and crop both move the image; choose one")

    def __bool__(self) -> bool:
        """Whether it changes anything."""
        return bool(self.shift or self.crop or self.flip or self.noise or self.label_noise)

    def __call__(self, x: gg.Tensor, y: gg.Tensor, rng: np.random.Generator) -> tuple[gg.Tensor, gg.Tensor]:
        """The changed batch.

        Args:
            x: `(batch, channels, height, width)`, or `(batch, channels * height * width)`; the result has its shape.
            y: `(batch,)` class numbers.
            rng: decides everything but the noise on pixels, which is drawn on the device after `gg.manual_seed`.
        """
        count = int(x.shape[0])
        if self.shift or self.crop or self.flip:
            x = self._moved(x, rng, count)
        if self.noise:
            x = x + gg.randn(*x.shape, dtype=x.dtype, device=x.device) * self.noise
        if self.label_noise:
            changed = rng.random(count) < self.label_noise
            drawn = rng.integers(0, self.classes, count)
            y = gg.where(_on(x, changed), _on(x, drawn), y)
        return x, y

    def _moved(self, x: gg.Tensor, rng: np.random.Generator, count: int) -> gg.Tensor:
        _, height, width = self.image_shape
        images = x.reshape(count, *self.image_shape) * _on(x, self.scale) + _on(x, self.mean)
        reach = self.shift or self.crop
        down, right = rng.integers(-reach, reach + 1, (2, count, 1))
        rows, columns = np.arange(height) - down, np.arange(width) - right
        if self.flip:
            columns = np.where(rng.random((count, 1)) < 0.5, columns[:, ::-1], columns)
        inside = _within(rows, height)[:, :, None] & _within(columns, width)[:, None, :]
        rows, columns = _mirrored(rows, height), _mirrored(columns, width)
        moved = images[
            _on(x, np.arange(count)).reshape(-1, 1, 1, 1),
            _on(x, np.arange(self.image_shape[0])).reshape(1, -1, 1, 1),
            _on(x, rows).reshape(count, 1, height, 1),
            _on(x, columns).reshape(count, 1, 1, width),
        ]
        if self.shift:
            moved = moved * _on(x, inside.astype(np.float32)).reshape(count, 1, height, width)
        return ((moved - _on(x, self.mean)) / _on(x, self.scale)).reshape(x.shape)


def _within(places: NDArray[Any], length: int) -> NDArray[Any]:
    return (places >= 0) & (places < length)


def _mirrored(places: NDArray[Any], length: int) -> NDArray[Any]:
    """Places outside by less than a length, reflected at the centres of the first and the last pixel."""
    places = np.abs(places)
    return np.where(places < length, places, 2 * (length - 1) - places)


def _on(x: gg.Tensor, array: Any) -> gg.Tensor:
    return gg.asarray(np.ascontiguousarray(array)).to(x.device)


def add_hidden_noise(model: gg.nn.Module, deviation: float) -> list[HookHandle]:
    """Add normal noise to what the activations of a network give while it is in training mode.

    Args:
        model: every activation module inside it gets noise of its own at each call.
        deviation: standard deviation of the noise.

    Returns:
        The hooks, each with a `remove()`.
    """
    kinds = tuple(getattr(gg.nn, name) for name in ACTIVATIONS.values())

    def noisy(module: gg.nn.Module, args: Any, out: gg.Tensor) -> gg.Tensor | None:
        if not module.training:
            return None
        return out + gg.randn(*out.shape, dtype=out.dtype, device=out.device) * deviation

    return [m.register_forward_hook(noisy) for m in model.modules() if isinstance(m, kinds)]
