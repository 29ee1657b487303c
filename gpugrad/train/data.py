"""The handwritten digits and how training walks over them: one fixed split, and batches in a seeded order.

Everything is deterministic: the split never changes, and the order of an epoch depends on the seed and the
number of the epoch alone. What is done with a batch is the trainer's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gpugrad as gg
from gpugrad.train.extras import require

IMAGE_SHAPE = (8, 8)
CLASSES = 10
TEST_FRACTION = 0.2
SPLIT_SEED = 0
BRIGHTEST = 16.0  # the scans are counts of dark pixels in 4x4 blocks, 0 to 16


@dataclass(frozen=True)
class Digits:
    """The split digits as host arrays, standardised with statistics of the training part alone.

    Attributes:
        train_x: `(1437, 64)` float32.
        train_y: `(1437,)` int64, classes 0 to 9.
        test_x: `(360, 64)` float32.
        test_y: `(360,)` int64.
        mean: `(64,)` float32, the mean training image on the scale 0 to 1.
        scale: one standard deviation over all pixels of the centred training images. One number and not one
            per pixel: the corner pixels hardly vary, and dividing by their deviation would blow up a single
            stray dot.
    """

    train_x: NDArray[np.float32]
    train_y: NDArray[np.int64]
    test_x: NDArray[np.float32]
    test_y: NDArray[np.int64]
    mean: NDArray[np.float32]
    scale: float


def load_digits() -> Digits:
    """Load scikit-learn's 1,797 scans of handwritten digits, split 80/20 and standardised.

    The split is stratified (each class has the same share of both parts, to within one example) and fixed: it
    does not depend on the seed of a run, so that runs can be compared.

    Returns:
        The split data; see `Digits`.

    Raises:
        MissingExtraError: scikit-learn is not installed.

    Example:
        >>> digits = load_digits()
        >>> digits.train_x.shape, digits.test_x.shape
        ((1437, 64), (360, 64))
    """
    datasets = require("sklearn.datasets", package="scikit-learn", purpose="load the handwritten digits")
    selection = require("sklearn.model_selection", package="scikit-learn", purpose="split the handwritten digits")
    scans = datasets.load_digits()
    x = (scans.data / BRIGHTEST).astype(np.float32)
    y = scans.target.astype(np.int64)
    train, test = selection.train_test_split(
        np.arange(len(x)), test_size=TEST_FRACTION, random_state=SPLIT_SEED, stratify=y
    )
    mean = x[train].mean(axis=0)
    scale = float((x[train] - mean).std())
    return Digits(
        train_x=(x[train] - mean) / np.float32(scale),
        train_y=y[train],
        test_x=(x[test] - mean) / np.float32(scale),
        test_y=y[test],
        mean=mean,
        scale=scale,
    )


@dataclass(frozen=True)
class Examples:
    """Inputs and labels on one device.

    Attributes:
        x: `(n, *features)`, of the model's dtype.
        y: `(n,)` int64 class numbers.
    """

    x: gg.Tensor
    y: gg.Tensor

    @classmethod
    def on(cls, device: gg.Device | str, x: NDArray[Any], y: NDArray[Any]) -> Examples:
        """Move host arrays of equal length to `device`.

        Raises:
            ValueError: the lengths differ.
        """
        if len(x) != len(y):
            raise ValueError(
                f"[Examples.on] x has {len(x)} rows and y has {len(y)} (x: {x.shape}, y: {y.shape}); "
                "expected one label for each row"
            )
        return cls(gg.asarray(x).to(device), gg.asarray(y).to(device))

    def __len__(self) -> int:
        return int(self.x.shape[0])


def epoch_order(count: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which epoch `epoch` visits `count` examples: `(count,)` int64, a permutation.

    It depends on `(seed, epoch)` alone, not on what was drawn before, so it is the same on every device and
    for every batch size.
    """
    return np.random.default_rng((seed, epoch)).permutation(count)


def batches(
    examples: Examples, batch_size: int, order: NDArray[np.int64] | None = None
) -> Iterator[tuple[gg.Tensor, gg.Tensor]]:
    """Walk over the examples in batches; the last one may be smaller.

    Args:
        examples: what to walk over.
        batch_size: rows in a batch, at least 1.
        order: `(n,)` row numbers; omitted, the rows come as they lie and batches are views.

    Yields:
        `(x, y)` of `(batch, *features)` and `(batch,)`. With an order, rows are gathered on the device of the
        examples: the order is sent there once, nothing else is transferred.

    Raises:
        ValueError: `batch_size` is smaller than 1.
    """
    if batch_size < 1:
        raise ValueError(f"[batches] batch_size = {batch_size}; expected at least 1")
    x, y = examples.x.data, examples.y.data
    rows = None if order is None else gg.asarray(order).to(examples.x.device).data
    count = len(examples) if rows is None else len(rows)
    for start in range(0, count, batch_size):
        pick = slice(start, start + batch_size) if rows is None else rows[start : start + batch_size]
        yield gg.asarray(x[pick]), gg.asarray(y[pick])
