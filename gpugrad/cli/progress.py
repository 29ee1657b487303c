"""How a running training shows on a terminal, in a log file, and how Ctrl-C reaches it."""

from __future__ import annotations

import signal
import sys
from types import FrameType, TracebackType
from typing import Any, Self

from gpugrad.train import EpochMetrics
from gpugrad.train.extras import require

LINES_IN_A_LOG = 10


class _Bar:
    """What shows a bar, which the end of a `with` block closes."""

    _bar: Any = None

    def close(self) -> None:
        """Take the bar away, if there is one."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Progress(_Bar):
    """A progress bar on a terminal, else about ten lines in all; nothing when quiet. Both go to stderr.

    Args:
        epochs: epochs of the training.
        examples: examples of an epoch.
        quiet: show nothing.
    """

    def __init__(self, epochs: int, examples: int, *, quiet: bool) -> None:
        self.epochs = epochs
        self._every = max(1, epochs // LINES_IN_A_LOG)
        self._lines = not quiet and not sys.stderr.isatty()
        if not quiet and not self._lines:
            tqdm = require("tqdm", package="tqdm", purpose="show progress")
            self._bar = tqdm.tqdm(
                total=epochs * examples,
                desc=f"epoch 1/{epochs}",
                unit=" examples",
                unit_scale=True,
                dynamic_ncols=True,
                file=sys.stderr,
            )

    def step(self, examples: int) -> None:
        """Count the examples of a step."""
        if self._bar is not None:
            self._bar.update(examples)

    def epoch(self, metrics: EpochMetrics) -> None:
        """Show what an epoch reached."""
        reached = (
            f"loss {metrics.train_loss:.4f}, accuracy {metrics.train_accuracy:.1%}, test {metrics.test_accuracy:.1%}"
        )
        if self._bar is not None:
            following = min(metrics.epoch + 1, self.epochs)
            self._bar.set_description(f"epoch {following}/{self.epochs}", refresh=False)
            self._bar.set_postfix_str(reached, refresh=False)
        elif self._lines and (metrics.epoch % self._every == 0 or metrics.epoch in (1, self.epochs)):
            count = f"{metrics.epoch:>{len(str(self.epochs))}}/{self.epochs}"
            print(
                f"epoch {count}: {reached}, {metrics.examples_per_second:,.0f} examples/s",
                file=sys.stderr,
                flush=True,
            )


class Steps(_Bar):
    """The progress of something with a known number of steps: a bar on a terminal, a few lines in a log.

    Args:
        total: steps.
        unit: what they are called.
        quiet: show nothing.
    """

    def __init__(self, total: int, unit: str, *, quiet: bool) -> None:
        self.unit = unit
        self._every = max(1, total // LINES_IN_A_LOG)
        self._lines = not quiet and not sys.stderr.isatty()
        if not quiet and not self._lines:
            tqdm = require("tqdm", package="tqdm", purpose="show progress")
            self._bar = tqdm.tqdm(total=total, unit=f" {unit}", dynamic_ncols=True, file=sys.stderr)

    def reached(self, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` steps are done."""
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._bar.n)
        elif self._lines and (done % self._every == 0 or done == total):
            print(f"{done}/{total} {self.unit}{': ' + note if note else ''}", file=sys.stderr, flush=True)


class Download(_Bar):
    """The progress of files that are fetched: a bar for each on a terminal, else a line; nothing when quiet.

    Args:
        quiet: show nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._file = ""

    def __call__(self, file: str, done: int, total: int) -> None:
        """Show that `done` of `total` bytes (0: not known) of a file are there."""
        if self._quiet:
            return
        if file != self._file:
            self._file = file
            self.close()
            if sys.stderr.isatty():
                tqdm = require("tqdm", package="tqdm", purpose="show progress")
                self._bar = tqdm.tqdm(total=total or None, desc=file, unit="B", unit_scale=True, file=sys.stderr)
            else:
                print(f"fetching {file} ({total / 1e6:,.1f} MB)", file=sys.stderr, flush=True)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)


class StoppedError(Exception):
    """Ctrl-C was pressed, and a step has been completed since."""


class Interrupt:
    """While active, Ctrl-C is noted and acted on between two steps, so that weights are never half updated.

    A second Ctrl-C raises KeyboardInterrupt at once. Outside the main thread, and where the process ignores
    the signal, nothing is changed.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: Any = None

    def check(self) -> None:
        """Raise StoppedError if Ctrl-C was pressed."""
        if self.requested:
            raise StoppedError

    def __enter__(self) -> Interrupt:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            return self
        try:
            self._previous = signal.signal(signal.SIGINT, self._note)
        except ValueError:  # not the main thread
            self._previous = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
