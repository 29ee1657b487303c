"""IDX files, the format of MNIST and Fashion-MNIST, plain or gzipped: read whole, and checked.

The format (Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database"): two zero bytes, the type of the elements, the
number of axes, each length as a big-endian 32-bit integer, then the elements in C order, big-endian.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpugrad.train.datasets.images import DataError, ImageData, standardised

_TYPES: Final = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP: Final = b"\x1f\x8b"
# Both spellings are in use: the original archive has a hyphen, unpacked copies often a dot.
_PARTS: Final = {
    "training images": ("train-images-idx3-ubyte", "train-images.idx3-ubyte"),
    "training labels": ("train-labels-idx1-ubyte", "train-labels.idx1-ubyte"),
    "test images": ("t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"),
    "test labels": ("t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte"),
}


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array in an IDX file, in the machine's byte order.

    Args:
        path: the file, gzipped or not (told by its first bytes, not by its name).

    Raises:
        DataError: not an IDX file, cut short, too long, or its gzip stream is damaged; names the file, the offset and
            what was expected there.
        OSError: the file cannot be read.
    """
    content = _content(Path(path))
    if len(content) < 4:
        raise DataError(f"[read_idx] {str(path)!r} ends at offset {len(content)}; expected a magic number of 4 bytes")
    kind, axes = content[2], content[3]
    if content[:2] != b"\0\0" or kind not in _TYPES or not axes:
        raise DataError(
            f"[read_idx] {str(path)!r} begins with {content[:4].hex(' ')} at offset 0; expected 00 00, a type "
            f"({', '.join(f'{k:02x}' for k in _TYPES)}) and a number of axes: it is not an IDX file"
        )
    start = 4 + 4 * axes
    if len(content) < start:
        raise DataError(
            f"[read_idx] {str(path)!r} ends at offset {len(content)}; expected the lengths of {axes} axes up to "
            f"offset {start}"
        )
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", axes, 4))
    dtype = np.dtype(_TYPES[kind])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        what = "is cut short" if len(content) < expected else "goes on after its last element"
        raise DataError(
            f"[read_idx] {str(path)!r} {what}: it ends at offset {len(content)}; expected {expected} for "
            f"{' x '.join(map(str, shape))} elements of {dtype.itemsize} byte{'s' * (dtype.itemsize > 1)}"
        )
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    if raw[:2] != _GZIP:
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"[read_idx] {str(path)!r} ({len(raw)} bytes) has a damaged gzip stream: {error}; expected a whole file, "
            "fetch it again"
        ) from error


def load_idx(folder: str | os.PathLike[str]) -> ImageData:
    """The four IDX files of MNIST, Fashion-MNIST or data of their kind, standardised.

    Args:
        folder: holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
            `t10k-labels-idx1-ubyte`, each with or without `.gz`.

    Raises:
        DataError: a file is missing or damaged, images are not 8-bit or of two sizes, images and labels differ in
            number, or a label of the test part is of no class of the training part.
    """
    base = Path(folder)
    paths = {part: _find(base, part, names) for part, names in _PARTS.items()}
    arrays = {part: read_idx(path) for part, path in paths.items()}
    for part, array in arrays.items():
        axes = 3 if part.endswith("images") else 1
        if array.dtype != np.uint8 or array.ndim != axes or not len(array):
            raise DataError(
                f"[load_idx] {str(paths[part])!r} holds {array.dtype} {array.shape}; expected uint8 {part} with "
                f"{axes} {'axes' if axes > 1 else 'axis'}, at least one of them"
            )
    for part in ("training", "test"):
        images, labels = arrays[f"{part} images"], arrays[f"{part} labels"]
        if len(images) != len(labels):
            raise DataError(
                f"[load_idx] {str(paths[f'{part} images'])!r} has {len(images)} images, "
                f"{str(paths[f'{part} labels'])!r} {len(labels)} labels; expected one label for each image"
            )
    if arrays["training images"].shape[1:] != arrays["test images"].shape[1:]:
        raise DataError(
            f"[load_idx] training images are {arrays['training images'].shape[1:]}, test images "
            f"{arrays['test images'].shape[1:]} in {str(base)!r}; expected one size"
        )
    classes = int(arrays["training labels"].max()) + 1
    strange = np.flatnonzero(arrays["test labels"] >= classes)
    if len(strange):
        raise DataError(
            f"[load_idx] {str(paths['test labels'])!r} has label {arrays['test labels'][strange[0]]} at offset "
            f"{8 + strange[0]}; expected 0 to {classes - 1}, the classes of the training part"
        )
    return standardised(
        f"IDX files in {base}",
        (arrays["training images"][:, None], arrays["training labels"]),
        (arrays["test images"][:, None], arrays["test labels"]),
        tuple(str(k) for k in range(classes)),
    )


def _find(folder: Path, part: str, names: tuple[str, ...]) -> Path:
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    raise DataError(
        f"[load_idx] {str(folder)!r} has no {part}; expected {names[0]} or {names[0]}.gz (--download fetches MNIST, "
        "--download fashion-mnist Fashion-MNIST)"
    )
