"""CIFAR-10's binary files: read whole, and checked.

The format (A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009, binary version): records of
one byte for the class and 3,072 for the image, its red, green and blue planes of 32 rows of 32.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gpugrad.train.datasets.images import DataError, ImageData, standardised

CLASSES: Final = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
IMAGE_SHAPE: Final = (3, 32, 32)
RECORD: Final = 1 + 3 * 32 * 32
RECORDS: Final = 10_000  # of a file
_TRAIN: Final = tuple(f"data_batch_{k}.bin" for k in range(1, 6))
_TEST: Final = ("test_batch.bin",)
INSIDE: Final = "cifar-10-batches-bin"  # the folder that the archive unpacks to


def read_cifar10(path: str | os.PathLike[str], records: int = RECORDS) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The images `(records, 3, 32, 32)` and classes `(records,)` of one binary file, uint8.

    Args:
        path: the file.
        records: how many it must hold.

    Raises:
        DataError: of another length, or with a class above 9; names the file, the offset and what was expected there.
        OSError: the file cannot be read.
    """
    content = np.fromfile(path, np.uint8)
    if content.size != records * RECORD:
        what = "is cut short" if content.size < records * RECORD else "goes on after its last record"
        raise DataError(
            f"[read_cifar10] {str(path)!r} {what}: it ends at offset {content.size}; expected {records * RECORD} for "
            f"{records} records of {RECORD} bytes"
        )
    rows = content.reshape(records, RECORD)
    labels = rows[:, 0].copy()
    strange = np.flatnonzero(labels >= len(CLASSES))
    if strange.size:
        raise DataError(
            f"[read_cifar10] {str(path)!r} has class {labels[strange[0]]} at offset {strange[0] * RECORD}; expected 0 "
            f"to {len(CLASSES) - 1}: the file is damaged or not CIFAR-10's binary version"
        )
    return rows[:, 1:].reshape(records, *IMAGE_SHAPE), labels


def load_cifar10(folder: str | os.PathLike[str], records: int = RECORDS) -> ImageData:
    """The six binary files of CIFAR-10, standardised by channel.

    Args:
        folder: holds `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`, or the `cifar-10-batches-bin` that
            has them.
        records: how many images each file must hold.

    Raises:
        DataError: a file is missing or damaged.
    """
    base = Path(folder)
    if (base / INSIDE).is_dir():
        base = base / INSIDE
    for name in (*_TRAIN, *_TEST):
        if not (base / name).is_file():
            raise DataError(
                f"[load_cifar10] {str(base)!r} has no {name}; expected the six files of CIFAR-10's binary version "
                "(--download fetches them)"
            )
    parts = [read_cifar10(base / name, records) for name in _TRAIN]
    train = np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])
    return standardised(f"CIFAR-10 in {base}", train, read_cifar10(base / _TEST[0], records), CLASSES)
