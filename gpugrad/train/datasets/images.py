"""What a data set of images is once it is read: two parts, standardised, with the numbers that undo it.

Reading the formats is the business of the modules beside this one; batches and their order are `train.data`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


class DataError(ValueError):
    """A data file is missing, cut short or not what its name says; the message names the file and the place in it."""


@dataclass(frozen=True)
class ImageData:
    """Images to learn from and images to test on, as host arrays, standardised by the training part alone.

    Attributes:
        name: what was read, for reports.
        train_x: `(n, channels, height, width)` float32; raw pixels in [0, 1] are `x * scale + mean`.
        train_y: `(n,)` int64, class numbers.
        test_x: `(m, channels, height, width)` float32.
        test_y: `(m,)` int64.
        mean: float32, broadcasts to an image.
        scale: float32, broadcasts to an image.
        classes: the names of the classes.
    """

    name: str
    train_x: NDArray[np.float32]
    train_y: NDArray[np.int64]
    test_x: NDArray[np.float32]
    test_y: NDArray[np.int64]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    classes: tuple[str, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(channels, height, width)`."""
        _, channels, height, width = self.train_x.shape
        return channels, height, width


def standardised(
    name: str,
    train: tuple[NDArray[np.uint8], NDArray[Any]],
    test: tuple[NDArray[np.uint8], NDArray[Any]],
    classes: tuple[str, ...],
) -> ImageData:
    """`ImageData` of 8-bit images: each channel by its mean and standard deviation over the training part.

    Args:
        name: what was read.
        train: images `(n, channels, height, width)` and labels `(n,)`.
        test: likewise.
        classes: the names of the classes.
    """
    counts = np.stack([np.bincount(train[0][:, c].reshape(-1), minlength=256) for c in range(train[0].shape[1])])
    levels = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ levels
    deviation = np.sqrt(np.maximum(shares @ levels**2 - mean**2, 0))
    # A channel of one colour has nothing to scale.
    scale = np.where(deviation > 0, deviation, 1.0)

    def prepare(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        x = images.astype(np.float32)
        x *= (1 / (255 * scale)).astype(np.float32).reshape(-1, 1, 1)
        x -= (mean / scale).astype(np.float32).reshape(-1, 1, 1)
        return x

    return ImageData(
        name=name,
        train_x=prepare(train[0]),
        train_y=train[1].astype(np.int64),
        test_x=prepare(test[0]),
        test_y=test[1].astype(np.int64),
        mean=mean.astype(np.float32).reshape(-1, 1, 1),
        scale=scale.astype(np.float32).reshape(-1, 1, 1),
        classes=classes,
    )
