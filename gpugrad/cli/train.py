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
from gpugrad.cli.progress import Interrupt, Progress, StoppedError
from gpugrad.cli.train_options import LEARNING_RATES, SGD_MOMENTUM
from gpugrad.train import (
    CheckpointError,
    DivergedError,
    EpochMetrics,
    Examples,
    MissingExtraError,
    RunFolder,
    Score,
    Trainer,
    confusion_matrix,
    load_digits,
    load_weights,
    mlp,
    plots,
    read_weights,
)
from gpugrad.train.data import CLASSES, IMAGE_SHAPE
from gpugrad.train.metrics import worst_confusion
from gpugrad.train.threads import blas_threads
from gpugrad.train.trainer import LossFunction


def run(arguments: argparse.Namespace) -> int:
    """Train as the options say.

    Returns:
        0; everything that can go wrong is raised.

    Raises:
        CommandError: with the exit code that the command's help lists.
    """
    if arguments.momentum is not None and arguments.optimizer != "sgd":
        raise CommandError(
            f"argument --momentum: is for --optimizer sgd, not {arguments.optimizer} (see gpugrad train --help)",
            WRONG_OPTION,
        )
    started = time.perf_counter()
    device = _device(arguments.device)
    with _errors_as_exit_codes():
        # Before the run's folder is made: weights to resume from may lie in it, and are then replaced.
        model = _model(arguments, device)
        with RunFolder(arguments.out) as folder:
            task = _Task(arguments, device, model, folder, started)
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
    model: gg.nn.Sequential
    folder: RunFolder
    started: float
    history: list[EpochMetrics] = field(default_factory=list)
    weights_saved: bool = False

    def run(self) -> None:
        """Train, evaluate, draw and report."""
        self.folder.write_config(_config(self.arguments, self.device, self.model))
        # From here on there are always weights to load, however early Ctrl-C comes.
        self.save(steps=0)
        digits = load_digits()
        train = Examples.on(self.device, digits.train_x, digits.train_y)
        test = Examples.on(self.device, digits.test_x, digits.test_y)
        trainer = self.trainer(len(train))
        with blas_threads(self.model, self.arguments.batch_size):
            self.fit(trainer, train, test)
        seconds = time.perf_counter() - self.started
        matrix = confusion_matrix(digits.test_y, trainer.predict(test), CLASSES)
        if not self.arguments.no_plots:
            self.draw(matrix)
        self.report(trainer.evaluate(train), trainer.evaluate(test), worst_confusion(matrix), seconds)

    def trainer(self, examples: int) -> Trainer:
        """The training loop that the options ask for, over `examples` in each epoch."""
        options = self.arguments
        optimizer = _optimizer(options, self.model)
        scheduler = None
        if options.schedule == "cosine":
            steps = options.epochs * math.ceil(examples / options.batch_size)
            scheduler = gg.optim.CosineAnnealingLR(optimizer, T_max=steps)
        loss = _loss(options.label_smoothing)
        return Trainer(self.model, optimizer, loss, scheduler=scheduler, seed=options.seed)

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
        self.folder.save(self.model, {**progress, "network": _network(self.arguments)})
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

    def draw(self, matrix: NDArray[np.int64]) -> None:
        """Draw the pictures into the run's folder."""
        smoothing = self.arguments.label_smoothing
        smoothed = f", label smoothing {smoothing:g}" if smoothing else ""
        curves = plots.curves(self.history, loss_label=f"cross entropy (nats{smoothed})")
        self.folder.draw("curves.png", curves)
        weights = np.asarray(next(iter(self.model.parameters())).detach().numpy())
        self.folder.draw("features.png", plots.features(weights, IMAGE_SHAPE))
        self.folder.draw("confusion.png", plots.confusion(matrix))
        self.folder.draw("overview.png", plots.overview(self.history, weights, IMAGE_SHAPE, matrix))

    def report(self, train: Score, test: Score, mistake: tuple[int, int, int] | None, seconds: float) -> None:
        """Print the result on stdout."""
        options = self.arguments
        layers = "-".join(str(size) for size in (_inputs(), *options.hidden, CLASSES))
        kind = options.activation if options.hidden else "linear"
        print(
            f"{layers} {kind} ({_count(self.model):,} parameters), {options.optimizer}, seed {options.seed}, "
            f"on {self.device}: {_times(options.epochs, 'epoch')} in {seconds:.1f} s"
        )
        rule = "-" * 44
        print(f"{rule}\n{'':<10}{'loss':>8}{'accuracy':>12}{'correct':>14}\n{rule}")
        for name, score in (("training", train), ("test", test)):
            correct = f"{score.correct}/{score.examples}"
            print(f"{name:<10}{score.loss:>8.4f}{score.accuracy:>12.2%}{correct:>14}")
        print(rule)
        if mistake is not None:
            print(f"most frequent mistake: {mistake[0]} read as {mistake[1]} ({_times(mistake[2])})")
        print(f"written to {self.folder.path}: {', '.join(self.folder.files())}")


def _model(arguments: argparse.Namespace, device: gg.Device) -> gg.nn.Sequential:
    """The network on its device, with new weights or those to resume from."""
    gg.manual_seed(arguments.seed)
    model = mlp(_inputs(), arguments.hidden, CLASSES, activation=arguments.activation, dropout=arguments.dropout)
    model.to(device)
    if arguments.resume is not None:
        _require_same_network(arguments)
        load_weights(arguments.resume, model)
    return model


def _require_same_network(arguments: argparse.Namespace) -> None:
    """Refuse weights of another network by the options that made it; shapes alone would let an activation pass."""
    _, note = read_weights(arguments.resume)
    saved = note.get("network", _network(arguments))
    if saved != _network(arguments):
        raise CheckpointError(
            f"[train] {str(arguments.resume)!r} holds weights of a network with {saved}, not with "
            f"{_network(arguments)}; pass the former to go on from them"
        )


def _network(arguments: argparse.Namespace) -> str:
    """The options that decide what the weights mean."""
    sizes = ",".join(str(size) for size in arguments.hidden)
    return f"--hidden {shlex.quote(sizes)} --activation {arguments.activation}"


def _inputs() -> int:
    return IMAGE_SHAPE[0] * IMAGE_SHAPE[1]


@contextlib.contextmanager
def _errors_as_exit_codes() -> Iterator[None]:
    """Errors that a user can mend become CommandError; anything else is a bug and keeps its traceback."""
    try:
        yield
    except DivergedError as error:
        raise CommandError(str(error), DIVERGED) from error
    except (MissingExtraError, CheckpointError) as error:
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


def _config(arguments: argparse.Namespace, device: gg.Device, model: gg.nn.Module) -> dict[str, Any]:
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
        "hidden": list(arguments.hidden),
        "device": str(device),
        "parameters": _count(model),
        "data": "scikit-learn load_digits, 1437 training and 360 test examples",
        "command": shlex.join(["gpugrad", *sys.argv[1:]]),
        "versions": {"gpugrad": __version__, "numpy": np.__version__, "python": platform.python_version()},
    }


def _count(model: gg.nn.Module) -> int:
    return sum(int(np.prod(parameter.shape)) for parameter in model.parameters())


def _times(number: int, what: str = "time") -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
