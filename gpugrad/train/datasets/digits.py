"""scikit-learn's handwritten digits: 1,797 scans of 8x8 pixels, in one fixed split.

The split never changes and does not depend on the seed of a run, so that runs can be compared.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from gpugrad.train.datasets.images import ImageData
from gpugrad.train.extras import require

CLASSES: Final = 10
TEST_FRACTION: Final = 0.2
SPLIT_SEED: Final = 0
BRIGHTEST: Final = 16.0  # the scans are counts of dark pixels in 4x4 blocks, 0 to 16


def load_digits() -> ImageData:
    """Load scikit-learn's 1,797 scans of handwritten digits, split 80/20 and standardised.

    The split is stratified: each class has the same share of both parts, to within one example. The mean is the mean
    training image; the scale is one standard deviation over all pixels of the centred training images. One number and
    not one per pixel: the corner pixels hardly vary, and dividing by their deviation would blow up a single stray dot.

    Returns:
        1,437 training and 360 test images, `(n, 1, 8, 8)`.

    Raises:
        MissingExtraError: scikit-learn is not installed.

    Example:
        >>> digits = load_digits()
        >>> digits.train_x.shape, digits.test_x.shape
        ((1437, 1, 8, 8), (360, 1, 8, 8))
    """
    datasets = require("sklearn.datasets", package="scikit-learn", purpose="load the handwritten digits")
    selection = require("sklearn.model_selection", package="scikit-learn", purpose="split the handwritten digits")
    scans = datasets.load_digits()
    x = (scans.data / BRIGHTEST).astype(np.float32).reshape(-1, 1, 8, 8)
    y = scans.target.astype(np.int64)
    train, test = selection.train_test_split(
        np.arange(len(x)), test_size=TEST_FRACTION, random_state=SPLIT_SEED, stratify=y
    )
    mean = x[train].mean(axis=0)
    scale = np.float32((x[train] - mean).std())
    return ImageData(
        name=f"scikit-learn load_digits, {len(train)} training and {len(test)} test examples",
        train_x=(x[train] - mean) / scale,
        train_y=y[train],
        test_x=(x[test] - mean) / scale,
        test_y=y[test],
        mean=mean,
        scale=np.full((1, 1, 1), scale),
        classes=tuple(str(k) for k in range(CLASSES)),
    )
