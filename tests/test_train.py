"""The parts of training: the loop, checkpoints, the run's folder, metrics and pictures."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.train import (
    ACTIVATIONS,
    CheckpointError,
    DivergedError,
    EpochMetrics,
    Examples,
    MissingExtraError,
    RunFolder,
    Trainer,
    accuracy,
    confusion_matrix,
    load_weights,
    mlp,
    plots,
    read_weights,
    save_weights,
)
from gpugrad.train.checkpoint import write_atomically
from gpugrad.train.metrics import worst_confusion
from gpugrad.train.threads import blas_threads
from tests.cuda.hostexec import missing_compiler
from tests.standin import installed


def blobs(rng, count=120):
    """Three well separated clouds in the plane."""
    y = np.arange(count) % 3
    centres = np.array([[4, 0], [-4, 4], [-4, -4]])
    return Examples.on("cpu", (centres[y] + rng.standard_normal((count, 2))).astype(np.float32), y)


def new_trainer(lr=0.05, **options):
    gg.manual_seed(0)
    model = mlp(2, [8], 3)
    return Trainer(model, gg.optim.SGD(model.parameters(), lr), **options)


def weights_of(model):
    return {name: tensor.detach().numpy().copy() for name, tensor in model.state_dict().items()}


def line(epoch, loss=1.0):
    return EpochMetrics(epoch, 0.1, loss, 0.5, loss, 0.9, 0.01, 1000.0)


# The loop ---------------------------------------------------------------------------------------------------


def test_training_learns_what_can_be_learned(rng):
    trainer, data = new_trainer(), blobs(rng)
    history = list(trainer.fit(data, data, epochs=5, batch_size=16))
    assert history[-1].train_loss < history[0].train_loss
    assert history[-1].test_accuracy > 0.97


@pytest.mark.parametrize("amp", ["float16", "bfloat16"])
def test_mixed_precision_trains_to_the_same_accuracy_with_float32_weights(rng, amp):
    pytest.importorskip("ml_dtypes")
    data = blobs(rng)
    trainer = new_trainer(amp=amp)
    history = list(trainer.fit(data, data, epochs=4, batch_size=30))
    assert history[-1].test_accuracy > 0.9
    assert {p.dtype.name for p in trainer.model.parameters()} == {"float32"}
    assert trainer.scaler.is_enabled() == (amp == "float16")
    with pytest.raises(ValueError, match="autocast"):
        new_trainer(amp="float8")


def test_an_epoch_reports_means_over_all_its_examples(rng):
    data = blobs(rng, count=10)  # batches of 4, 4 and 2: a mean of means would weigh the last one double
    trainer = new_trainer(lr=0.0)
    (metrics,) = trainer.fit(data, data, epochs=1, batch_size=4)
    loss = gg.nn.functional.cross_entropy(trainer.model(data.x), data.y).item()
    assert metrics.train_loss == pytest.approx(loss, rel=1e-5)
    assert metrics.test_loss == pytest.approx(loss, rel=1e-5)
    assert metrics.train_accuracy == accuracy(data.y.numpy(), trainer.predict(data))
    assert metrics.examples_per_second == pytest.approx(10 / metrics.seconds)


def test_the_scheduler_moves_on_after_each_step_and_metrics_name_the_last_rate_used(rng):
    trainer, data = new_trainer(lr=0.5), blobs(rng, count=8)
    trainer.scheduler = gg.optim.CosineAnnealingLR(trainer.optimizer, T_max=4)
    history = list(trainer.fit(data, data, epochs=2, batch_size=4))
    used = [0.5 * (1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)]
    assert [metrics.lr for metrics in history] == pytest.approx(used[1::2])


def test_the_order_of_examples_follows_the_seed(rng):
    data = blobs(rng)
    results = []
    for seed in (1, 1, 2):
        trainer = new_trainer(seed=seed)
        list(trainer.fit(data, data, epochs=1, batch_size=16))
        results.append(weights_of(trainer.model)["0.weight"])
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


@pytest.mark.parametrize("lr", [1e20, 1e38])
def test_a_loss_that_is_not_finite_ends_the_training_with_an_error(rng, lr):
    data = blobs(rng)
    with pytest.raises(DivergedError, match=r"loss is (nan|inf) after epoch \d+ \(learning rate 1e\+\d+\)"):
        list(new_trainer(lr=lr).fit(data, data, epochs=10, batch_size=16))


def test_what_a_step_callback_raises_leaves_the_weights_of_a_complete_step(rng):
    data = blobs(rng)
    stopped = new_trainer()

    def stop_after_third(_):
        if stopped.steps_done == 3:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        list(stopped.fit(data, data, epochs=1, batch_size=16, on_step=stop_after_third))

    seen = []
    whole = new_trainer()
    list(whole.fit(data, data, epochs=1, batch_size=16, on_step=lambda _: seen.append(weights_of(whole.model))))
    np.testing.assert_array_equal(weights_of(stopped.model)["0.weight"], seen[2]["0.weight"])


def test_evaluation_switches_dropout_off_records_nothing_and_restores_the_mode(rng):
    model = mlp(2, [16], 3, dropout=0.5)
    trainer, data = Trainer(model, gg.optim.SGD(model.parameters(), 0.1)), blobs(rng)
    assert trainer.evaluate(data) == trainer.evaluate(data)
    assert model.training
    model.eval()
    trainer.predict(data)
    assert not model.training
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("batch_size", [4, 64])
def test_an_epoch_on_a_gpu_waits_for_the_device_only_to_read_its_sums(rng, batch_size):
    if missing_compiler():
        pytest.skip(str(missing_compiler()))
    with installed() as device:  # the strict stand-in for CuPy, which counts what makes the host wait
        data = Examples.on("cuda", rng.standard_normal((64, 2)).astype(np.float32), np.arange(64) % 3)
        model = mlp(2, [8], 3, dropout=0.2).to("cuda")
        epochs = Trainer(model, gg.optim.Adam(model.parameters())).fit(data, data, epochs=2, batch_size=batch_size)
        next(epochs)
        device.clear()
        next(epochs)
        assert device.syncs == ["float", "int"] * 2  # loss and correct answers, of training and of the test
        assert device.uploads == []


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_activation_on_the_list_trains(rng, activation):
    gg.manual_seed(0)
    model = mlp(2, [8, 8], 3, activation=activation)
    data = blobs(rng)
    trainer = Trainer(model, gg.optim.Adam(model.parameters(), 0.01))
    history = list(trainer.fit(data, data, epochs=3, batch_size=16))
    assert history[-1].train_loss < history[0].train_loss


def test_a_network_without_hidden_layers_is_linear():
    assert [tuple(p.shape) for p in mlp(64, [], 10).parameters()] == [(10, 64), (10,)]


def test_weights_have_the_same_names_with_dropout_and_without():
    assert list(mlp(4, [3, 3], 2, dropout=0.5).state_dict()) == list(mlp(4, [3, 3], 2).state_dict())


def test_an_unknown_activation_is_refused_with_the_list_of_known_ones():
    with pytest.raises(ValueError, match=r"activation = 'rleu'; expected one of relu, "):
        mlp(2, [2], 2, activation="rleu")


# Checkpoints ------------------------------------------------------------------------------------------------


def test_weights_come_back_as_they_were_saved_with_their_note(tmp_path):
    saved, other = mlp(4, [3], 2), mlp(4, [3], 2)
    save_weights(tmp_path / "w.safetensors", saved, {"epochs": 3})
    assert load_weights(tmp_path / "w.safetensors", other) == {"epochs": 3}
    for name, value in weights_of(saved).items():
        np.testing.assert_array_equal(weights_of(other)[name], value)


def test_strided_weights_are_saved_in_order(tmp_path):
    model = mlp(3, [], 2)
    model[0].weight.data = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    save_weights(tmp_path / "w.safetensors", model)
    arrays, _ = read_weights(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(arrays["0.weight"], [[0, 1, 2], [3, 4, 5]])


def test_equal_weights_give_files_of_equal_bytes(tmp_path):
    model = mlp(4, [3], 2)
    contents = set()
    for number in range(5):
        save_weights(tmp_path / f"{number}", model, {"a": 1, "b": 2, "c": 3})
        contents.add((tmp_path / f"{number}").read_bytes())
    assert len(contents) == 1


def test_other_programs_can_read_the_weights(tmp_path):
    from safetensors.numpy import load_file

    model = mlp(4, [3], 2)
    save_weights(tmp_path / "w.safetensors", model)
    assert {name: a.shape for name, a in load_file(tmp_path / "w.safetensors").items()} == {
        name: tuple(p.shape) for name, p in model.named_parameters()
    }


def damage(kind, file):
    whole = file.read_bytes()
    file.write_bytes({"cut short": whole[:-5], "empty": b"", "of another format": b"PK\3\4" * 50}[kind])


@pytest.mark.parametrize("kind", ["cut short", "empty", "of another format"])
def test_a_corrupt_file_is_refused_by_name_and_leaves_the_model_alone(tmp_path, kind):
    file = tmp_path / "w.safetensors"
    save_weights(file, mlp(4, [3], 2))
    damage(kind, file)
    model = mlp(4, [3], 2)
    before = weights_of(model)
    with pytest.raises(CheckpointError, match=r"w\.safetensors' is not a readable safetensors file"):
        load_weights(file, model)
    for name, value in weights_of(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no file .*none\.safetensors"):
        load_weights(tmp_path / "none.safetensors", mlp(2, [], 2))


@pytest.mark.parametrize("hidden", [[5], [], [3, 3]])
def test_weights_of_another_network_are_refused(tmp_path, hidden):
    save_weights(tmp_path / "w.safetensors", mlp(4, hidden, 2))
    with pytest.raises(CheckpointError, match=r"(?s)does not fit the model: .*weight"):
        load_weights(tmp_path / "w.safetensors", mlp(4, [3], 2))


def test_a_write_that_fails_leaves_the_old_file_and_no_scratch_file(tmp_path, monkeypatch):
    file = tmp_path / "kept"
    write_atomically(file, b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_missing_safetensors_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(MissingExtraError, match=r'safetensors .* pip install "gpugrad\[train\]"'):
        save_weights(tmp_path / "w", mlp(2, [], 2))


# The run's folder -------------------------------------------------------------------------------------------


def test_runs_get_a_new_folder_each_even_within_a_second(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = set()
    for _ in range(3):
        with RunFolder() as folder:
            paths.add(folder.path)
    assert len(paths) == 3
    assert all(path.parent == Path("runs") for path in paths)


def test_a_line_of_metrics_can_be_read_as_soon_as_it_is_appended(tmp_path):
    with RunFolder(tmp_path) as folder:
        folder.append(line(1))
        folder.append(line(2))
        lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(text)["epoch"] for text in lines] == [1, 2]


def test_a_run_in_the_folder_of_another_replaces_its_files_and_nothing_else(tmp_path):
    for name in ("weights.safetensors", "curves.png", "metrics.jsonl", "notes.txt"):
        (tmp_path / name).write_text("old")
    with RunFolder(tmp_path) as folder:
        assert folder.files() == ["metrics.jsonl"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "notes.txt"]
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_a_file_named_runs_is_reported_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs").write_text("")
    with pytest.raises(OSError, match="runs"):
        RunFolder()


# Metrics ----------------------------------------------------------------------------------------------------


def test_the_confusion_matrix_counts_true_classes_in_rows(rng):
    labels, predictions = rng.integers(0, 4, (2, 200))
    matrix = confusion_matrix(labels, predictions, classes=4)
    for true in range(4):
        for predicted in range(4):
            assert matrix[true, predicted] == sum((labels == true) & (predictions == predicted))
    assert np.trace(matrix) / 200 == accuracy(labels, predictions)


def test_the_most_frequent_mistake_is_found_and_none_where_there_is_none():
    assert worst_confusion(np.array([[5, 1, 0], [0, 5, 0], [2, 2, 3]])) == (2, 0, 2)
    assert worst_confusion(np.diag([3, 4])) is None


def test_classes_out_of_range_and_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match=r"run from 0 to 3 with classes = 3"):
        confusion_matrix(np.array([0, 1]), np.array([0, 3]), classes=3)
    with pytest.raises(ValueError, match=r"labels: \(2,\), predictions: \(3,\)"):
        accuracy(np.zeros(2, int), np.zeros(3, int))


# Threads ----------------------------------------------------------------------------------------------------


def blas_thread_counts():
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}


def test_small_products_are_not_shared_among_blas_threads_and_the_count_is_restored():
    before = blas_thread_counts()
    with blas_threads(mlp(64, [256, 128], 10), batch_size=64):
        assert blas_thread_counts() == {1}
    assert blas_thread_counts() == before


def test_large_products_keep_the_threads_they_had():
    before = blas_thread_counts()
    with blas_threads(mlp(784, [512, 512], 10), batch_size=128):
        assert blas_thread_counts() == before


# Pictures ---------------------------------------------------------------------------------------------------


def test_curves_show_training_and_test_with_labelled_axes():
    pytest.importorskip("matplotlib", reason="Matplotlib is not installed")
    figure = plots.curves([line(1, 2.0), line(2, 1.0)])
    loss, acc = figure.axes
    assert [list(drawn.get_ydata()) for drawn in loss.lines] == [[2.0, 1.0], [2.0, 1.0]]
    assert [list(drawn.get_ydata()) for drawn in acc.lines] == [[50.0, 50.0], [90.0, 90.0]]
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("epoch", "cross entropy (nats)")
    assert acc.get_ylabel() == "accuracy (%)"


def test_features_are_images_on_a_colour_scale_symmetric_about_zero(rng):
    pytest.importorskip("matplotlib", reason="Matplotlib is not installed")
    weights = rng.standard_normal((5, 64)) + 3
    image = plots.features(weights.reshape(-1, 1, 8, 8)).axes[0].images[0]
    low, high = image.get_clim()
    assert low == -high
    np.testing.assert_allclose(np.asarray(image.get_array())[1:9, 1:9], weights[0].reshape(8, 8))


def test_of_many_units_the_heaviest_are_shown(rng):
    pytest.importorskip("matplotlib", reason="Matplotlib is not installed")
    weights = rng.standard_normal((10, 64))
    weights[7] *= 100
    figure = plots.features(weights.reshape(-1, 1, 8, 8), at_most=1)
    sheet = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(sheet[1:-1, 1:-1], weights[7].reshape(8, 8))
    assert "1 of 10 units" in figure.axes[0].get_title(loc="left")


def test_the_confusion_picture_writes_each_count(tmp_path):
    pytest.importorskip("matplotlib", reason="Matplotlib is not installed")
    figure = plots.confusion(np.array([[3, 0], [1, 6]]), ("a", "b"))
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["1", "3", "6"]
    assert figure.axes[0].get_title(loc="left") == "1 of 10 misread"
    plots.save(figure, tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_a_missing_matplotlib_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r'matplotlib .* pip install "gpugrad\[train\]"'):
        plots.curves([line(1)])


def test_importing_the_package_imports_none_of_the_extras():
    program = (
        "import sys, gpugrad.train, gpugrad.cli;"
        "heavy = {'sklearn', 'matplotlib', 'tqdm', 'safetensors', 'scipy', 'cupy', 'numba'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("amp", [None, "float16"])
def test_a_training_goes_on_from_its_state(rng, amp):
    train, test = blobs(rng), blobs(rng)

    def trainer():
        gg.manual_seed(0)
        model = mlp(2, [8], 3)
        optimizer = gg.optim.Adam(model.parameters(), 0.05)
        return Trainer(model, optimizer, scheduler=gg.optim.StepLR(optimizer, 3), amp=amp)

    first, second = trainer(), trainer()
    first.scaler.update(16.0) if amp else None
    list(first.fit(train, test, epochs=1, batch_size=40))
    second.load_state_dict(first.state_dict())
    assert second.state_dict()["scaler"] == first.state_dict()["scaler"]
    assert second.steps_done == 3
    losses = [[m.train_loss for m in t.fit(train, test, epochs=2, batch_size=40)] for t in (first, second)]
    assert losses[0] == losses[1]
    if amp:
        with pytest.raises(ValueError, match="'scale' is missing"):
            second.load_state_dict({**first.state_dict(), "scaler": {}})
