"""Reading of IDX and CIFAR-10 files, what damaged ones are told, and fetching from mirrors."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile

import numpy as np
import pytest

from gpugrad.train.datasets import (
    SOURCES,
    DataError,
    DownloadError,
    download,
    load_cifar10,
    load_data,
    load_idx,
    read_cifar10,
    read_idx,
)
from gpugrad.train.datasets.cifar10 import RECORD
from gpugrad.train.datasets.fetch import Source


def idx_bytes(array):
    kinds = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, kinds[array.dtype.name], array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 5, 4), dtype=np.uint8)


def write_idx(folder, train=6, test=3, zipped=True, **replaced):
    parts = {
        "train-images-idx3-ubyte": idx_bytes(images(train)),
        "train-labels-idx1-ubyte": idx_bytes(np.arange(train, dtype=np.uint8) % 3),
        "t10k-images-idx3-ubyte": idx_bytes(images(test, 1)),
        "t10k-labels-idx1-ubyte": idx_bytes(np.arange(test, dtype=np.uint8) % 3),
    }
    for name, content in parts.items():
        content = replaced.get(name.split("-idx")[0].replace("-", "_"), content)
        (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(content) if zipped else content)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64"])
def test_an_idx_file_of_each_type_comes_back_as_it_was_written(tmp_path, dtype):
    array = (np.random.default_rng(0).standard_normal((3, 2, 4)) * 50).astype(dtype)
    (tmp_path / "a").write_bytes(idx_bytes(array))
    (tmp_path / "b").write_bytes(gzip.compress(idx_bytes(array)))
    for name in "ab":
        found = read_idx(tmp_path / name)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\0\0", "ends at offset 2; expected a magic number of 4 bytes"),
        (b"\x89PNG....", "begins with 89 50 4e 47 at offset 0"),
        (b"\0\0\x07\x01\0\0\0\x01\0", "begins with 00 00 07 01 at offset 0"),
        (idx_bytes(images(2))[:9], "ends at offset 9; expected the lengths of 3 axes up to offset 16"),
        (idx_bytes(images(2))[:-1], "is cut short: it ends at offset 55; expected 56 for 2 x 5 x 4 elements of 1 byte"),
        (idx_bytes(images(2)) + b"x", "goes on after its last element: it ends at offset 57; expected 56"),
        (gzip.compress(idx_bytes(images(2)), mtime=0)[:-9], "damaged gzip stream"),
        (gzip.compress(idx_bytes(images(2)), mtime=0)[:20] + b"\xff" * 20, "damaged gzip stream"),
    ],
)
def test_a_damaged_idx_file_is_named_with_the_place_and_what_was_expected(tmp_path, content, said):
    (tmp_path / "data").write_bytes(content)
    with pytest.raises(DataError, match="data") as error:
        read_idx(tmp_path / "data")
    assert said in str(error.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_four_idx_files_make_a_data_set_standardised_by_its_training_part(tmp_path, zipped):
    write_idx(tmp_path, zipped=zipped)
    data = load_data(f"idx:{tmp_path}")
    assert data.image_shape == (1, 5, 4)
    assert data.classes == ("0", "1", "2")
    assert data.train_y.tolist() == [0, 1, 2, 0, 1, 2]
    assert data.train_x.dtype == np.float32
    np.testing.assert_allclose(data.train_x.mean(), 0, atol=1e-6)
    np.testing.assert_allclose(data.train_x.std(), 1, rtol=1e-5)
    for x, raw in ((data.train_x, images(6)), (data.test_x, images(3, 1))):
        np.testing.assert_allclose((x * data.scale + data.mean)[:, 0], raw / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("replaced", "said"),
    [
        ({"train_labels": idx_bytes(np.zeros(5, np.uint8))}, "has 6 images"),
        ({"t10k_labels": idx_bytes(np.array([0, 7, 0], np.uint8))}, "label 7 at offset 9; expected 0 to 2"),
        ({"t10k_images": idx_bytes(images(3)[:, :4])}, "expected one size"),
        ({"train_images": idx_bytes(images(6).astype(np.int32))}, "holds int32 (6, 5, 4); expected uint8"),
        ({"train_images": idx_bytes(images(0)), "train_labels": idx_bytes(np.zeros(0, np.uint8))}, "at least one"),
    ],
)
def test_idx_files_that_do_not_belong_together_are_refused(tmp_path, replaced, said):
    write_idx(tmp_path, **replaced)
    with pytest.raises(DataError) as error:
        load_idx(tmp_path)
    assert said in str(error.value)


def test_a_missing_idx_file_is_named_with_the_option_that_fetches_it(tmp_path):
    write_idx(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"no test labels; expected t10k-labels-idx1-ubyte .*--download"):
        load_idx(tmp_path)


def records(count, seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 256, (count, RECORD), dtype=np.uint8)
    rows[:, 0] %= 10
    return rows


def write_cifar10(folder, count=4):
    for k, name in enumerate([*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]):
        (folder / name).write_bytes(records(count, k).tobytes())


def test_cifar10_planes_and_classes_come_in_their_places(tmp_path):
    write_cifar10(tmp_path)
    x, y = read_cifar10(tmp_path / "data_batch_2.bin", 4)
    rows = records(4, 1)
    assert x[2, 1, 3, 5] == rows[2, 1 + 1024 + 3 * 32 + 5]  # green, row 3, column 5
    np.testing.assert_array_equal(y, rows[:, 0])
    data = load_cifar10(tmp_path, 4)
    assert data.train_x.shape == (20, 3, 32, 32)
    assert data.test_y.tolist() == records(4, 5)[:, 0].tolist()
    assert len(data.classes) == 10
    np.testing.assert_allclose(data.train_x.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(data.train_x.std(axis=(0, 2, 3)), 1, rtol=1e-4)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rows: rows.tobytes()[:-1], "is cut short: it ends at offset 12291; expected 12292 for 4 records"),
        (lambda rows: rows.tobytes()[:-RECORD], "is cut short"),
        (lambda rows: rows.tobytes() + b"\0", "goes on after its last record"),
        (lambda rows: rows[:2].tobytes() + b"\x0a" + rows[2:].tobytes()[1:], "has class 10 at offset 6146"),
    ],
)
def test_a_damaged_cifar10_file_is_named_with_the_place(tmp_path, spoil, said):
    (tmp_path / "data_batch_1.bin").write_bytes(spoil(records(4, 0)))
    with pytest.raises(DataError) as error:
        read_cifar10(tmp_path / "data_batch_1.bin", 4)
    assert said in str(error.value)


def test_a_missing_cifar10_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"has no data_batch_1\.bin"):
        load_data(f"cifar10:{tmp_path}")


@pytest.mark.parametrize("name", ["digits:x", "mnist", "idx:", "png:folder"])
def test_an_unknown_data_set_is_refused_with_those_there_are(name):
    with pytest.raises(ValueError, match="expected digits, idx:FOLDER or cifar10:FOLDER"):
        load_data(name)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror in a folder, of a data set of two files."""
    place = tmp_path / "mirror"
    place.mkdir()
    contents = {"one": b"1" * 10, "two": b"2" * 3_000_000}
    for name, content in contents.items():
        (place / name).write_bytes(content)
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setitem(SOURCES, "pair", Source(checksums, ((tmp_path / "nowhere").as_uri(),)))
    monkeypatch.delenv("GPUGRAD_MIRRORS", raising=False)
    return place


def test_files_come_from_the_first_mirror_that_has_them_right(tmp_path, mirror, monkeypatch):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "one").write_bytes(b"spoilt")
    seen = []
    monkeypatch.setenv("GPUGRAD_MIRRORS", mirror.as_uri())
    download("pair", tmp_path / "data", mirrors=[bad.as_uri()], report=lambda *args: seen.append(args))
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == ["one", "two"]
    assert (tmp_path / "data" / "one").read_bytes() == b"1" * 10
    assert seen[-1] == ("two", 3_000_000, 3_000_000)


def test_a_file_that_no_mirror_has_right_leaves_nothing_and_lists_the_answers(tmp_path, mirror):
    (mirror / "one").write_bytes(b"spoilt")
    answers = r"mirror/one: SHA-256 \w+, expected \w+; .*nowhere/one: .*--mirror or \$GPUGRAD_MIRRORS"
    with pytest.raises(DownloadError, match=answers):
        download("pair", tmp_path / "data", mirrors=[mirror.as_uri()])
    assert not list((tmp_path / "data").iterdir())


def test_files_that_are_there_are_left_alone_and_others_of_their_name_never_replaced(tmp_path, mirror):
    target = tmp_path / "data"
    download("pair", target, mirrors=[mirror.as_uri()])
    before = (target / "one").stat().st_mtime_ns
    (mirror / "one").unlink()
    download("pair", target, mirrors=[mirror.as_uri()])
    assert (target / "one").stat().st_mtime_ns == before
    (target / "one").write_bytes(b"mine")
    with pytest.raises(DataError, match="is there but is not pair's"):
        download("pair", target, mirrors=[mirror.as_uri()])
    assert (target / "one").read_bytes() == b"mine"


def test_an_archive_is_unpacked_into_its_folder_and_nowhere_else(tmp_path, monkeypatch):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name in ("cifar-10-batches-bin/test_batch.bin", "elsewhere/file", "cifar-10-batches-bin/../../evil"):
            entry = tarfile.TarInfo(name)
            entry.size = 3
            archive.addfile(entry, io.BytesIO(b"abc"))
    (tmp_path / "archive.tar.gz").write_bytes(content.getvalue())
    checksum = hashlib.sha256(content.getvalue()).hexdigest()
    source = Source({"archive.tar.gz": checksum}, (tmp_path.as_uri(),), unpack="cifar-10-batches-bin")
    monkeypatch.setitem(SOURCES, "packed", source)
    with pytest.raises((DataError, tarfile.FilterError)):
        download("packed", tmp_path / "data")
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "data" / "elsewhere").exists()
