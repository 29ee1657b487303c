"""The training loop of a classifier: epochs of steps over batches, and evaluation.

It prints nothing and writes no file. Sums of loss and correct answers stay on the device and are read once an
epoch, so a GPU is never waited for between steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gpugrad as gg
from gpugrad.backend import backend_of
from gpugrad.train.data import Examples, batches, epoch_order

LossFunction = Callable[[gg.Tensor, gg.Tensor], gg.Tensor]
Augment = Callable[[gg.Tensor, gg.Tensor, np.random.Generator], tuple[gg.Tensor, gg.Tensor]]

EVALUATION_BATCH = 4096


class DivergedError(ArithmeticError):
    """The loss became infinite or NaN; training on would only spread it."""


@dataclass(frozen=True)
class Score:
    """Mean loss and the number of correct answers over `examples` examples."""

    loss: float
    correct: int
    examples: int

    @property
    def accuracy(self) -> float:
        """The share of correct answers, in [0, 1]."""
        return self.correct / self.examples


@dataclass(frozen=True)
class EpochMetrics:
    """One epoch: what `metrics.jsonl` holds a line of.

    Attributes:
        epoch: 1 for the first.
        lr: learning rate of the epoch's last step.
        train_loss: mean over the epoch's steps, in training mode, while the weights moved.
        train_accuracy: likewise, in [0, 1].
        test_loss: mean after the epoch, in evaluation mode.
        test_accuracy: likewise, in [0, 1].
        seconds: time of the epoch's steps, evaluation not included.
        examples_per_second: training examples over `seconds`.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float
    examples_per_second: float


class _Sums:
    """Loss and correct answers summed on the device; reading waits for it."""

    def __init__(self) -> None:
        self.loss: Any = 0.0
        self.correct: Any = 0
        self.examples = 0

    def add(self, loss: gg.Tensor, logits: gg.Tensor, labels: gg.Tensor) -> None:
        count = int(labels.shape[0])
        with backend_of(loss.data).place():
            self.loss = self.loss + loss.data * count
            self.correct = self.correct + (logits.data.argmax(axis=1) == labels.data).sum()
        self.examples += count

    def read(self) -> Score:
        return Score(float(self.loss) / self.examples, int(self.correct), self.examples)


class Trainer:
    """Trains a classifier on examples that lie on its device, or in main memory: then they are sent batch by batch.

    Args:
        model: maps `(batch, *features)` to logits `(batch, classes)`.
        optimizer: an optimizer of `gpugrad.optim` over the model's parameters.
        loss: maps logits and `(batch,)` labels to their mean loss.
        scheduler: of the optimizer's learning rate, stepped after each step of the training; omitted, the rate
            stays as it is.
        seed: decides the order of the examples in each epoch, and the generator that `augment` gets. (Initial
            weights, dropout and noise follow `gg.manual_seed`.)
        augment: `augment(x, y, rng)` gives the batch that a step learns from.
        weight_noise: standard deviation of normal noise on the parameters while a step's gradient is computed, relative
            to the root mean square of each; the update itself is made to the parameters as they were.
        amp: "float16" or "bfloat16" trains in mixed precision (`gg.autocast`; with float16 a `gg.GradScaler`, in
            `scaler`, whose skipped steps count as steps); None in the parameters' own type.

    Example:
        >>> from gpugrad.train import load_digits, mlp
        >>> digits = load_digits()
        >>> network = gg.nn.Sequential(gg.nn.Flatten(), mlp(64, [64], 10))
        >>> optimizer = gg.optim.Adam(network.parameters(), lr=3e-3)
        >>> trainer = Trainer(network, optimizer)
        >>> train = Examples.on("cpu", digits.train_x, digits.train_y)
        >>> test = Examples.on("cpu", digits.test_x, digits.test_y)
        >>> history = list(trainer.fit(train, test, epochs=5, batch_size=64))
        >>> history[-1].test_accuracy > 0.9  # a list of one entry for each epoch
        True
    """

    def __init__(
        self,
        model: gg.nn.Module,
        optimizer: gg.optim.Optimizer,
        loss: LossFunction = gg.nn.functional.cross_entropy,
        *,
        scheduler: gg.optim.LRScheduler | None = None,
        seed: int = 0,
        augment: Augment | None = None,
        weight_noise: float = 0.0,
        amp: str | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.scheduler = scheduler
        self.seed = seed
        self.augment = augment
        self.weight_noise = weight_noise
        self.amp = amp
        self.scaler = gg.GradScaler(enabled=amp == "float16")
        if amp is not None:
            gg.autocast(amp)  # an unknown type, or a package that bfloat16 lacks, is an error here
        self.steps_done = 0

    @property
    def device(self) -> gg.Device | None:
        """Where the model's parameters are; None without any."""
        return next((p.device for p in self.model.parameters()), None)

    def fit(
        self,
        train: Examples,
        test: Examples,
        *,
        epochs: int,
        batch_size: int,
        on_step: Callable[[int], None] | None = None,
    ) -> Iterator[EpochMetrics]:
        """Train for a number of epochs, one for each item that is taken from the iterator.

        Args:
            train: examples to learn from.
            test: examples to evaluate on after each epoch; nothing is ever chosen by them.
            epochs: passes over `train`.
            batch_size: examples of a step; the last step of an epoch takes what is left.
            on_step: called after each complete step with its number of examples. What it raises ends the
                training between two steps, with the weights of the last one.

        Yields:
            The metrics of each epoch, when it is over.

        Raises:
            DivergedError: the loss of an epoch or of its evaluation is infinite or NaN.
        """
        first_rate = self._learning_rate()
        self.steps_done = 0
        for epoch in range(1, epochs + 1):
            start = time.perf_counter()
            sums = _Sums()
            self.model.train()
            order = epoch_order(len(train), seed=self.seed, epoch=epoch)
            rng = np.random.default_rng((self.seed, epoch, 1))  # another stream than the order's
            for x, y in batches(train, batch_size, order, device=self.device):
                if self.augment is not None:
                    x, y = self.augment(x, y, rng)
                rate = self._learning_rate()
                self.step(x, y, sums)
                if on_step is not None:
                    on_step(int(y.shape[0]))
            trained = sums.read()
            seconds = time.perf_counter() - start
            self._require_finite(trained.loss, "training", epoch, first_rate)
            tested = self.evaluate(test)
            self._require_finite(tested.loss, "test", epoch, first_rate)
            yield EpochMetrics(
                epoch=epoch,
                lr=rate,
                train_loss=trained.loss,
                train_accuracy=trained.accuracy,
                test_loss=tested.loss,
                test_accuracy=tested.accuracy,
                seconds=seconds,
                examples_per_second=len(train) / seconds,
            )

    def step(self, x: gg.Tensor, y: gg.Tensor, sums: _Sums) -> None:
        """Forward, backward and update on one batch; adds its loss and correct answers to `sums`."""
        # An overflow shows in the loss and is reported there, once; NumPy's warnings would only repeat it.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            self.optimizer.zero_grad()
            with self._noisy_weights():
                with nullcontext() if self.amp is None else gg.autocast(self.amp):
                    logits = self.model(x)
                    loss = self.loss(logits, y)
                self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            sums.add(loss, logits, y)
        if self.scheduler is not None:
            self.scheduler.step()
        self.steps_done += 1

    def state_dict(self) -> dict[str, Any]:
        """All that a training goes on from: weights, optimizer, scheduler, loss scale, steps; waits for the device.

        Tensors share memory with the trainer's. The order of examples depends on `seed` and the epoch alone.
        """
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "steps_done": self.steps_done,
        }
        if self.scheduler is not None:
            state["scheduler"] = self.scheduler.state_dict()
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave of a trainer built alike; values are copied.

        Raises:
            ValueError, KeyError: the state is of other weights or another optimizer; or has no loss scale where this
                trainer has one, or no scheduler.
        """
        self.model.load_state_dict(state_dict["model"])
        self.optimizer.load_state_dict(state_dict["optimizer"])
        self.scaler.load_state_dict(state_dict["scaler"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state_dict["scheduler"])
        self.steps_done = int(state_dict["steps_done"])

    def evaluate(self, examples: Examples) -> Score:
        """Mean loss and accuracy in evaluation mode; the mode that the model was in is restored."""
        sums = _Sums()
        with self._evaluating():
            for x, y in batches(examples, EVALUATION_BATCH, device=self.device):
                logits = self.model(x)
                sums.add(self.loss(logits, y), logits, y)
        return sums.read()

    def predict(self, examples: Examples) -> NDArray[np.int64]:
        """The most likely class of each example in evaluation mode: `(n,)` int64 on the host."""
        parts = []
        with self._evaluating():
            for x, _ in batches(examples, EVALUATION_BATCH, device=self.device):
                parts.append(np.asarray(self.model(x).numpy()).argmax(axis=1))
        return np.concatenate(parts).astype(np.int64)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        training = self.model.training
        self.model.eval()
        try:
            with gg.no_grad(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                yield
        finally:
            self.model.train(training)

    @contextmanager
    def _noisy_weights(self) -> Iterator[None]:
        """Parameters moved at random within the block, and put back bit for bit after it."""
        if not self.weight_noise:
            yield
            return
        parameters = list(self.model.parameters())
        with gg.no_grad():
            kept = [p.detach().clone() for p in parameters]
            for p in parameters:
                size = (p * p).mean().sqrt() * self.weight_noise
                p += gg.randn(*p.shape, dtype=p.dtype, device=p.device) * size
        try:
            yield
        finally:
            with gg.no_grad():
                for p, value in zip(parameters, kept, strict=True):
                    p.copy_(value)

    def _require_finite(self, loss: float, part: str, epoch: int, rate: float) -> None:
        if not math.isfinite(loss):
            raise DivergedError(
                f"[train] the {part} loss is {loss} after epoch {epoch} (learning rate {rate:g}): "
                "training diverged; lower the learning rate"
            )

    def _learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])
