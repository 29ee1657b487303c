"""`gpugrad train`: its options, one run from them, and what it reports.

The parts (data, loop, files, pictures) are those of `gpugrad.train`; this module puts them in order and turns
their errors into exit codes.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import platform
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gpugrad as gg
from gpugrad._version import __version__
from gpugrad.backend.device import DeviceError
from gpugrad.cli.errors import DIVERGED, INTERRUPTED, WRONG_OPTION, CommandError
from gpugrad.cli.progress import Download, Interrupt, Progress, StoppedError
from gpugrad.cli.train_options import LEARNING_RATES, SGD_MOMENTUM, complete
from gpugrad.train import (
    Augmentation,
    CheckpointError,
    DataError,
    DivergedError,
    EpochMetrics,
    Examples,
    ImageData,
    MissingExtraError,
    RunFolder,
    Score,
    Trainer,
    confusion_matrix,
    load_data,
    load_weights,
    plots,
    read_weights,
)
from gpugrad.train.augment import add_hidden_noise
from gpugrad.train.datasets import DownloadError
from gpugrad.train.metrics import worst_confusion
from gpugrad.train.networks import Network, build, feature_maps, first_features
from gpugrad.train.threads import blas_threads
from gpugrad.train.trainer import LossFunction


def run(arguments: argparse.Namespace) -> int:
    """Train as the options say.

    Returns:
        0; everything that can go wrong is raised.

    Raises:
        CommandError: with the exit code that the command's help lists.
    """
    complete(arguments)
    started = time.perf_counter()
    device = _device(arguments.device)
    with _errors_as_exit_codes():
        data = _data(arguments)
        augmentation = _augmentation(arguments, data)
        # Before the run's folder is made: weights to resume from may lie in it, and are then replaced.
        network = _network(arguments, data, device)
        with RunFolder(arguments.out) as folder:
            task = _Task(arguments, device, data, augmentation, network, folder, started)
            try:
                task.run()
            except KeyboardInterrupt:
                raise CommandError(task.where_it_stopped(), INTERRUPTED) from None
    return 0


@dataclass
class _Task:
    """One run of the command: its parts, and how far it has come."""

    arguments: argparse.Namespace
    device: gg.Device
    data: ImageData
    augmentation: Augmentation
    network: Network
    folder: RunFolder
    started: float
    history: list[EpochMetrics] = field(default_factory=list)
    weights_saved: bool = False

    def run(self) -> None:
        """Train, evaluate, draw and report."""
        self.folder.write_config(_config(self.arguments, self.device, self.data, self.model))
        # From here on there are always weights to load, however early Ctrl-C comes.
        self.save(steps=0)
        data = self.data
        train = Examples.on(self.device, self.network.inputs(data.train_x), data.train_y)
        test = Examples.on(self.device, self.network.inputs(data.test_x), data.test_y)
        trainer = self.trainer(len(train))
        with blas_threads(self.model, self.arguments.batch_size):
            self.fit(trainer, train, test)
        seconds = time.perf_counter() - self.started
        predicted = trainer.predict(test)
        matrix = confusion_matrix(data.test_y, predicted, len(data.classes))
        if not self.arguments.no_plots:
            self.draw(matrix, predicted)
        self.report(trainer.evaluate(train), trainer.evaluate(test), worst_confusion(matrix), seconds)

    @property
    def model(self) -> gg.nn.Module:
        """What is trained."""
        return self.network.model

    def trainer(self, examples: int) -> Trainer:
        """The training loop that the options ask for, over `examples` in each epoch."""
        options = self.arguments
        optimizer = _optimizer(options, self.model)
        scheduler = None
        if options.schedule == "cosine":
            steps = options.epochs * math.ceil(examples / options.batch_size)
            scheduler = gg.optim.CosineAnnealingLR(optimizer, T_max=steps)
        if options.hidden_noise:
            add_hidden_noise(self.model, options.hidden_noise)
        return Trainer(
            self.model,
            optimizer,
            _loss(options.label_smoothing),
            scheduler=scheduler,
            seed=options.seed,
            augment=self.augmentation or None,
            weight_noise=options.weight_noise,
            amp=options.amp,
        )

    def fit(self, trainer: Trainer, train: Examples, test: Examples) -> None:
        """Train, saving weights after each epoch and when stopped between two steps."""
        epochs, batch_size, quiet = self.arguments.epochs, self.arguments.batch_size, self.arguments.quiet
        with Interrupt() as interrupt, Progress(epochs, len(train), quiet=quiet) as progress:

            def on_step(examples: int) -> None:
                progress.step(examples)
                interrupt.check()

            try:
                for metrics in trainer.fit(train, test, epochs=epochs, batch_size=batch_size, on_step=on_step):
                    self.history.append(metrics)
                    self.save(trainer.steps_done)
                    self.folder.append(metrics)
                    progress.epoch(metrics)
                interrupt.check()
            except StoppedError:
                self.save(trainer.steps_done)
                raise KeyboardInterrupt from None
            except DivergedError as error:
                kept = f"the weights after epoch {len(self.history)} are in {self.folder.weights}"
                raise DivergedError(f"{error}; {kept}") from error

    def save(self, steps: int) -> None:
        """Replace the saved weights by the present ones."""
        progress = {"epochs": len(self.history), "steps": steps}
        self.folder.save(self.model, {**progress, "network": _options_of(self.arguments)})
        self.weights_saved = True

    def where_it_stopped(self) -> str:
        """What to tell a user who pressed Ctrl-C."""
        if not self.weights_saved:
            return "interrupted before training began"
        weights = self.folder.weights
        return (
            f"interrupted after {_times(len(self.history), 'epoch')}; weights saved in {weights}, "
            f"go on from them with: gpugrad train --resume {shlex.quote(str(weights))}"
        )

    def draw(self, matrix: NDArray[np.int64], predicted: NDArray[np.int64]) -> None:
        """Draw the pictures into the run's folder."""
        smoothing = self.arguments.label_smoothing
        smoothed = f", label smoothing {smoothing:g}" if smoothing else ""
        curves = plots.curves(self.history, loss_label=f"cross entropy (nats{smoothed})")
        self.folder.draw("curves.png", curves)
        weights, names = first_features(self.network, self.data.image_shape), self.data.classes
        self.folder.draw("features.png", plots.features(weights))
        self.folder.draw("confusion.png", plots.confusion(matrix, names))
        self.folder.draw("overview.png", plots.overview(self.history, weights, matrix, names))
        if self.network.convolutions():
            shown = [self.example(number, predicted) for number in self.shown()]
            self.folder.draw("feature_maps.png", plots.feature_maps(shown))

    def shown(self) -> list[int]:
        """The test examples whose feature maps are drawn: those asked for, else the first of each of three classes."""
        if self.arguments.show:
            return list(self.arguments.show)
        labels = self.data.test_y
        return [int(np.flatnonzero(labels == k)[0]) for k in np.unique(labels)[:3]]

    def example(self, number: int, predicted: NDArray[np.int64]) -> plots.Example:
        """A test example and what the convolutions make of it."""
        data = self.data
        x, true, read = data.test_x[number], int(data.test_y[number]), int(predicted[number])
        title = f"test {number}: {data.classes[true]}"
        if read != true:
            title += f", read as {data.classes[read]}"
        return plots.Example(title, x * data.scale + data.mean, feature_maps(self.network, x, self.device))

    def report(self, train: Score, test: Score, mistake: tuple[int, int, int] | None, seconds: float) -> None:
        """Print the result on stdout."""
        options = self.arguments
        print(
            f"{self.network.title} ({_count(self.model):,} parameters), {options.optimizer}, seed {options.seed}, "
            f"on {self.device}: {_times(options.epochs, 'epoch')} in {seconds:.1f} s"
        )
        rule = "-" * 44
        print(f"{rule}\n{'':<10}{'loss':>8}{'accuracy':>12}{'correct':>14}\n{rule}")
        for name, score in (("training", train), ("test", test)):
            correct = f"{score.correct}/{score.examples}"
            print(f"{name:<10}{score.loss:>8.4f}{score.accuracy:>12.2%}{correct:>14}")
        print(rule)
        if mistake is not None:
            true, read = self.data.classes[mistake[0]], self.data.classes[mistake[1]]
            print(f"most frequent mistake: {true} read as {read} ({_times(mistake[2])})")
        print(f"written to {self.folder.path}: {', '.join(self.folder.files())}")


def _data(arguments: argparse.Namespace) -> ImageData:
    """The data set that --data names, fetched first where --download asks for it."""
    mirrors = arguments.mirror or ()
    with Download(quiet=arguments.quiet) as download:
        data = load_data(arguments.data, fetch=arguments.download, mirrors=mirrors, report=download)
    beyond = [n for n in arguments.show or () if n >= len(data.test_y)]
    if beyond:
        last = len(data.test_y) - 1
        raise CommandError(f"argument --show: {beyond[0]}; expected test examples from 0 to {last}", WRONG_OPTION)
    return data


def _augmentation(arguments: argparse.Namespace, data: ImageData) -> Augmentation:
    try:
        return Augmentation(
            data.mean,
            data.scale,
            data.image_shape,
            len(data.classes),
            shift=arguments.shift,
            crop=arguments.crop,
            flip=arguments.flip,
            noise=arguments.input_noise,
            label_noise=arguments.label_noise,
        )
    except ValueError as error:
        raise CommandError(f"{error} (see gpugrad train --help)", WRONG_OPTION) from error


def _network(arguments: argparse.Namespace, data: ImageData, device: gg.Device) -> Network:
    """The network on its device, with new weights or those to resume from."""
    gg.manual_seed(arguments.seed)
    options = {name: getattr(arguments, name) for name in ("hidden", "activation", "dropout")}
    try:
        network = build(arguments.model, data.image_shape, len(data.classes), **options)
    except ValueError as error:
        raise CommandError(f"argument --model: {error}", WRONG_OPTION) from error
    network.model.to(device)
    if arguments.resume is not None:
        _require_same_network(arguments)
        load_weights(arguments.resume, network.model)
    return network


def _require_same_network(arguments: argparse.Namespace) -> None:
    """Refuse weights of another network by the options that made it; shapes alone would let an activation pass."""
    _, note = read_weights(arguments.resume)
    wanted = _options_of(arguments)
    saved = note.get("network", wanted)
    if saved != wanted:
        raise CheckpointError(
            f"[train] {str(arguments.resume)!r} holds weights of a network with {saved}, not with "
            f"{wanted}; pass the former to go on from them"
        )


def _options_of(arguments: argparse.Namespace) -> str:
    """The options that decide what the weights mean."""
    if arguments.model != "mlp":
        return f"--model {arguments.model}"
    sizes = ",".join(str(size) for size in arguments.hidden)
    return f"--hidden {shlex.quote(sizes)} --activation {arguments.activation}"


@contextlib.contextmanager
def _errors_as_exit_codes() -> Iterator[None]:
    """Errors that a user can mend become CommandError; anything else is a bug and keeps its traceback."""
    try:
        yield
    except DivergedError as error:
        raise CommandError(str(error), DIVERGED) from error
    except (MissingExtraError, CheckpointError, DataError, DownloadError) as error:
        raise CommandError(str(error)) from error
    except MemoryError as error:
        raise CommandError(f"out of memory ({error}); use smaller --hidden or --batch-size") from error
    except OSError as error:
        place = error.filename or "the run's folder"
        raise CommandError(f"cannot write {str(place)!r}: {error.strerror}; name another folder with --out") from error


def _device(name: str | None) -> gg.Device:
    """The device that was asked for, or the default one, after an allocation that proves it works."""
    try:
        wanted = None if name is None else gg.device(name)
    except DeviceError as error:
        raise CommandError(f"argument --device: {error} (see gpugrad train --help)", WRONG_OPTION) from error
    try:
        return gg.zeros(1, device=wanted).device
    except DeviceError as error:
        raise CommandError(f"argument --device: {error}") from error


def _optimizer(arguments: argparse.Namespace, model: gg.nn.Module) -> gg.optim.Optimizer:
    rate, decay = _learning_rate(arguments), arguments.weight_decay
    parameters = model.parameters()
    match arguments.optimizer:
        case "sgd":
            return gg.optim.SGD(parameters, rate, momentum=_momentum(arguments), weight_decay=decay)
        case "rmsprop":
            return gg.optim.RMSprop(parameters, rate, weight_decay=decay)
        case "adamw":
            return gg.optim.AdamW(parameters, rate, weight_decay=decay)
        case _:
            return gg.optim.Adam(parameters, rate, weight_decay=decay)


def _learning_rate(arguments: argparse.Namespace) -> float:
    return LEARNING_RATES[arguments.optimizer] if arguments.lr is None else float(arguments.lr)


def _momentum(arguments: argparse.Namespace) -> float:
    return SGD_MOMENTUM if arguments.momentum is None else float(arguments.momentum)


def _loss(smoothing: float) -> LossFunction:
    def loss(logits: gg.Tensor, labels: gg.Tensor) -> gg.Tensor:
        value: gg.Tensor = gg.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)
        return value

    return loss


def _config(arguments: argparse.Namespace, device: gg.Device, data: ImageData, model: gg.nn.Module) -> dict[str, Any]:
    """What `config.json` holds: every option with the value it came to, and what the run was made with."""
    chosen = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(arguments).items()
        if name not in ("run", "prog", "device")
    }
    chosen["lr"] = _learning_rate(arguments)
    chosen["momentum"] = _momentum(arguments) if arguments.optimizer == "sgd" else None
    return {
        **chosen,
        "hidden": list(arguments.hidden) if arguments.model == "mlp" else None,
        "device": str(device),
        "parameters": _count(model),
        "examples": {"source": data.name, "training": len(data.train_y), "test": len(data.test_y)},
        "command": shlex.join(["gpugrad", *sys.argv[1:]]),
        "versions": {"gpugrad": __version__, "numpy": np.__version__, "python": platform.python_version()},
    }


def _count(model: gg.nn.Module) -> int:
    return sum(int(np.prod(parameter.shape)) for parameter in model.parameters())


def _times(number: int, what: str = "time") -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
