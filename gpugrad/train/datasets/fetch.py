"""Fetching data sets: from a list of mirrors that can be set, each file checked before it gets its name.

Only what the checksums here name is ever written; unpacked is only what the reader of a data set asks for.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gpugrad.train.datasets import cifar10
from gpugrad.train.datasets.images import DataError

MIRRORS_VARIABLE: Final = "GPUGRAD_MIRRORS"  # addresses with spaces between them, tried before the built-in ones
_CHUNK: Final = 1 << 20
_TIMEOUT: Final = 30  # seconds without a byte

Report = Callable[[str, int, int], None]  # file, bytes so far, bytes in all (0: not known)


@dataclass(frozen=True)
class Source:
    """A data set on the net.

    Attributes:
        files: SHA-256 of each file.
        mirrors: addresses that a file's name is appended to, in the order of trial.
        unpack: for an archive, the folder inside that is unpacked.
    """

    files: dict[str, str]
    mirrors: tuple[str, ...]
    unpack: str | None = None


SOURCES: Final = {
    "mnist": Source(
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
        ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"),
    ),
    "fashion-mnist": Source(
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    ),
    "cifar10": Source(
        {"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
        ("https://www.cs.toronto.edu/~kriz/",),
        unpack=cifar10.INSIDE,
    ),
}


class DownloadError(OSError):
    """No mirror gave a file with the right checksum; the message lists what each of them answered."""


def download(
    name: str, folder: str | os.PathLike[str], *, mirrors: Sequence[str] = (), report: Report | None = None
) -> None:
    """Fetch a data set into a folder; files that are there and have the right checksum are left alone.

    Args:
        name: a key of `SOURCES`.
        folder: made if it is not there.
        mirrors: addresses that a file's name is appended to, tried in turn before those of $GPUGRAD_MIRRORS and the
            built-in ones. `file:` addresses serve as well.
        report: called with each file's name, the bytes so far and in all.

    Raises:
        DownloadError: no mirror gave a file with the right checksum. Nothing half-fetched is left.
        DataError: a file of that name is there with another checksum (it is not touched), or the archive lacks what
            it should hold.
        OSError: the folder cannot be written.
    """
    source = SOURCES[name]
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    places = (*mirrors, *os.environ.get(MIRRORS_VARIABLE, "").split(), *source.mirrors)
    for file, checksum in source.files.items():
        path = target / file
        if not path.exists():
            _fetch(path, checksum, places, report)
        elif _sha256(path) != checksum:
            raise DataError(
                f"[download] {str(path)!r} is there but is not {name}'s: SHA-256 {_sha256(path)}; expected {checksum}; "
                "move it away or name another folder"
            )
        if source.unpack is not None:
            _unpack(path, source.unpack, target)


def _fetch(path: Path, checksum: str, mirrors: Sequence[str], report: Report | None) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    answers = []
    try:
        for mirror in mirrors:
            address = mirror.rstrip("/") + "/" + path.name
            try:
                found = _save(address, scratch, path.name, report)
            except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError) as error:
                answers.append(f"{address}: {getattr(error, 'reason', error)}")
                continue
            if found == checksum:
                os.replace(scratch, path)
                return
            answers.append(f"{address}: SHA-256 {found}, expected {checksum}")
    finally:
        scratch.unlink(missing_ok=True)
    raise DownloadError(
        f"[download] no mirror gave {path.name} ({'; '.join(answers)}); set others with --mirror or ${MIRRORS_VARIABLE}"
    )


def _save(address: str, path: Path, name: str, report: Report | None) -> str:
    """Write what the address holds and give its SHA-256."""
    digest, done = hashlib.sha256(), 0
    with urllib.request.urlopen(address, timeout=_TIMEOUT) as answer, path.open("wb") as out:
        total = int(answer.headers.get("Content-Length") or 0)
        while chunk := answer.read(_CHUNK):
            out.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if report is not None:
                report(name, done, total)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _unpack(archive: Path, inside: str, target: Path) -> None:
    """The files of one folder of a tar archive, where they are not there yet."""

    def wanted(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        safe = tarfile.data_filter(member, path)
        return safe if Path(safe.name).parts[:1] == (inside,) else None

    if (target / inside).is_dir():
        return
    with tarfile.open(archive) as content:
        content.extractall(target, filter=wanted)
    if not (target / inside).is_dir():
        raise DataError(f"[download] {str(archive)!r} holds no folder {inside}")
