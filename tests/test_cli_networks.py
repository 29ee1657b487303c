"""`gpugrad train` with networks and data sets by name: what it reaches, draws and refuses."""

import gzip
import json

import numpy as np
import pytest

from gpugrad.cli import main
from tests.test_cli import metrics, names, run_refused

for package in ("sklearn", "safetensors", "tqdm", "matplotlib"):
    pytest.importorskip(package, reason="the extra gpugrad[train] is not installed")


def write_idx(folder, images, labels, prefix):
    """One half of an IDX data set, gzipped images and plain labels."""
    n, h, w = images.shape
    head = b"".join(int(v).to_bytes(4, "big") for v in (0x803, n, h, w))
    (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + images.tobytes()))
    head = b"".join(int(v).to_bytes(4, "big") for v in (0x801, n))
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())


def stripes(rng, count, size):
    """Images of two classes that differ in the direction of their stripes."""
    labels = (np.arange(count) % 2).astype(np.uint8)
    across = (np.arange(size) // 2 % 2 * 200).astype(np.uint8)
    images = np.where(labels[:, None, None] == 0, across[None, None, :], across[None, :, None]).astype(np.uint8)
    return images + rng.integers(0, 50, images.shape, dtype=np.uint8), labels


@pytest.fixture
def idx_folder(tmp_path, rng):
    folder = tmp_path / "stripes"
    folder.mkdir()
    for prefix, count in (("train", 64), ("t10k", 32)):
        write_idx(folder, *stripes(rng, count, 28), prefix)
    return folder


@pytest.fixture
def cifar_folder(tmp_path, rng):
    folder = tmp_path / "cifar"
    folder.mkdir()
    for name in (*[f"data_batch_{k}.bin" for k in range(1, 6)], "test_batch.bin"):
        grey, labels = stripes(rng, 10_000, 32)
        records = np.empty((10_000, 3073), np.uint8)
        records[:, 0] = labels
        records[:, 1:] = np.repeat(grey.reshape(10_000, 1, 1024), 3, 1).reshape(10_000, -1)
        records.tofile(folder / name)
    return folder


@pytest.mark.slow
def test_a_convnet_reaches_985_of_1000_unseen_digits(tmp_path):
    assert main(["train", "--model", "convnet", "--device", "cpu", "--out", str(tmp_path), "--no-plots"]) == 0
    assert metrics(tmp_path)[-1]["test_accuracy"] >= 0.985


def test_networks_with_convolutions_have_pictures_of_their_feature_maps(tmp_path, capsys):
    options = ["--model", "lenet5", "--epochs", "2", "--show", "5,11", "--device", "cpu"]
    assert main(["train", "--out", str(tmp_path), *options]) == 0
    assert "feature_maps.png" in names(tmp_path)
    assert "lenet5 (21,386 parameters)" in capsys.readouterr().out
    assert json.loads((tmp_path / "config.json").read_text())["model"] == "lenet5"


def test_every_network_learns_stripes_from_idx_files(tmp_path, idx_folder):
    for model in ("mlp", "lenet5", "convnet", "resnet18"):
        epochs = "1" if model == "resnet18" else "8"
        out = tmp_path / model
        options = ["--data", f"idx:{idx_folder}", "--batch-size", "16", "--epochs", epochs, "--no-plots"]
        assert main(["train", "--model", model, "--out", str(out), "--device", "cpu", *options]) == 0
        if model != "resnet18":
            assert metrics(out)[-1]["test_accuracy"] >= 0.9


@pytest.mark.slow
def test_cifar10_is_read_with_its_three_colours_and_augmented(tmp_path, cifar_folder):
    options = ["--model", "mlp", "--hidden", "8", "--epochs", "1", "--batch-size", "1000", "--flip", "--crop", "4"]
    options += ["--input-noise", "0.1", "--label-noise", "0.05", "--no-plots", "--device", "cpu"]
    assert main(["train", "--data", f"cifar10:{cifar_folder}", "--out", str(tmp_path / "run"), *options]) == 0
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["examples"]["training"] == 50_000
    assert saved["examples"]["test"] == 10_000
    assert metrics(tmp_path / "run")[-1]["test_accuracy"] > 0.3


def test_noise_on_inputs_hidden_units_weights_and_labels_still_learns(tmp_path, idx_folder):
    options = ["--input-noise", "0.2", "--hidden-noise", "0.1", "--weight-noise", "0.02", "--label-noise", "0.02"]
    options += ["--data", f"idx:{idx_folder}", "--epochs", "10", "--batch-size", "16", "--shift", "2", "--no-plots"]
    assert main(["train", "--model", "convnet", "--out", str(tmp_path / "run"), "--device", "cpu", *options]) == 0
    assert metrics(tmp_path / "run")[-1]["test_accuracy"] >= 0.9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "vgg"], "argument --model: invalid choice: 'vgg'"),
        (["--model", "convnet", "--hidden", "32"], "--hidden: is for --model mlp, not convnet"),
        (["--show", "3"], "--show: is for pictures of networks with convolutions"),
        (["--model", "lenet5", "--show", "400"], "--show: 400; expected test examples from 0 to 359"),
        (["--download"], "--download: is for --data idx:FOLDER or cifar10:FOLDER"),
        (["--data", "mnist"], "argument --data"),
    ],
)
def test_options_that_do_not_go_together_end_in_one_line(options, words, tmp_path, capsys):
    code, lines = run_refused(capsys, ["train", "--out", str(tmp_path / "run"), *options])
    assert code == 2
    assert words in lines[-1]


def test_a_damaged_file_ends_in_one_line_with_its_name_and_place(tmp_path, idx_folder, capsys):
    path = idx_folder / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-3])
    code, lines = run_refused(capsys, ["train", "--data", f"idx:{idx_folder}", "--out", str(tmp_path / "run")])
    assert code == 1
    assert len(lines) == 1
    assert "train-labels-idx1-ubyte" in lines[0]
