"""The data that `gpugrad train` learns from: digits, IDX files, CIFAR-10, and how to fetch them.

`load_data` reads what a name like `idx:folder` stands for; the formats have a module each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gpugrad.train.datasets.cifar10 import load_cifar10, read_cifar10
from gpugrad.train.datasets.digits import load_digits
from gpugrad.train.datasets.fetch import SOURCES, DownloadError, Report, download
from gpugrad.train.datasets.idx import load_idx, read_idx
from gpugrad.train.datasets.images import DataError, ImageData

__all__ = [
    "SOURCES",
    "DataError",
    "DownloadError",
    "ImageData",
    "download",
    "load_cifar10",
    "load_data",
    "load_digits",
    "load_idx",
    "read_cifar10",
    "read_idx",
]

_READERS: Final = {"idx": load_idx, "cifar10": load_cifar10}
_DOWNLOADS: Final = {"idx": ("mnist", "fashion-mnist"), "cifar10": ("cifar10",)}


def load_data(
    name: str, *, fetch: str | None = None, mirrors: Sequence[str] = (), report: Report | None = None
) -> ImageData:
    """The data set that a name stands for.

    Args:
        name: `digits`, `idx:FOLDER` or `cifar10:FOLDER`.
        fetch: fetch what is missing first: "" for the format's first data set (MNIST for IDX files), or a key of
            `SOURCES`.
        mirrors: see `download`.
        report: see `download`.

    Raises:
        ValueError: the name, or what to fetch, is not known.
        DataError: a file is missing or damaged.
        DownloadError: nothing could be fetched.
    """
    kind, _, folder = name.partition(":")
    if kind == "digits" and not folder:
        if fetch is not None:
            raise ValueError("[load_data] digits come with scikit-learn: there is nothing to download")
        return load_digits()
    if kind not in _READERS or not folder:
        raise ValueError(f"[load_data] {name!r}; expected digits, idx:FOLDER or cifar10:FOLDER")
    if fetch is not None:
        known = _DOWNLOADS[kind]
        if fetch and fetch not in known:
            raise ValueError(f"[load_data] cannot download {fetch!r} for {name!r}; expected {' or '.join(known)}")
        download(fetch or known[0], folder, mirrors=mirrors, report=report)
    return _READERS[kind](folder)
