"""What a trained classifier gets right: accuracy and the confusion matrix, on host arrays.

The running sums of training live on the device and are the trainer's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def accuracy(labels: NDArray[np.integer], predictions: NDArray[np.integer]) -> float:
    """The share of predictions that equal their label, in [0, 1].

    Args:
        labels: `(n,)` class numbers.
        predictions: `(n,)` class numbers.

    Raises:
        ValueError: the shapes differ, or there is nothing to count.
    """
    _check(labels, predictions)
    return float(np.mean(labels == predictions))


def confusion_matrix(labels: NDArray[np.integer], predictions: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Count how often each class was read as each.

    Args:
        labels: `(n,)` class numbers in [0, classes).
        predictions: `(n,)` class numbers in [0, classes).
        classes: number of classes.

    Returns:
        `(classes, classes)` int64: row the true class, column the prediction; the diagonal holds what was
        right.

    Raises:
        ValueError: the shapes differ, there is nothing to count, or a class number is out of range.

    Example:
        >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 1, 0]), classes=2).tolist()
        [[1, 0], [1, 1]]
    """
    _check(labels, predictions)
    lowest = min(int(labels.min()), int(predictions.min()))
    highest = max(int(labels.max()), int(predictions.max()))
    if lowest < 0 or highest >= classes:
        raise ValueError(
            f"[confusion_matrix] class numbers run from {lowest} to {highest} with classes = {classes}; "
            f"expected 0 to {classes - 1}"
        )
    counts = np.bincount(labels.astype(np.int64) * classes + predictions, minlength=classes * classes)
    return counts.reshape(classes, classes)


def worst_confusion(matrix: NDArray[np.int64]) -> tuple[int, int, int] | None:
    """The most frequent mistake as `(true class, predicted class, times)`: the first of equals, or None."""
    mistakes = matrix - np.diag(np.diag(matrix))
    true, predicted = np.unravel_index(int(mistakes.argmax()), mistakes.shape)
    times = int(mistakes[true, predicted])
    return (int(true), int(predicted), times) if times else None


def _check(labels: NDArray[np.integer], predictions: NDArray[np.integer]) -> None:
    if labels.shape != predictions.shape or labels.ndim != 1 or labels.size == 0:
        raise ValueError(
            f"[metrics] labels: {labels.shape}, predictions: {predictions.shape}; "
            "expected two vectors of one length, not empty"
        )
