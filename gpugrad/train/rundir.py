"""The folder of one run: configuration, one line of metrics for each epoch, weights and pictures.

It decides names and writes files; what is in the pictures is decided in `gpugrad.train.plots`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import gpugrad as gg
from gpugrad.train import plots
from gpugrad.train.checkpoint import WEIGHTS_NAME, save_weights, write_atomically
from gpugrad.train.trainer import EpochMetrics

CONFIG_NAME = "config.json"
METRICS_NAME = "metrics.jsonl"
PICTURE_NAMES = ("curves.png", "features.png", "feature_maps.png", "confusion.png", "overview.png")


class RunFolder:
    """A run's folder, made at once so that an unwritable place is found before the training and not after it.

    Args:
        path: the folder; None makes `runs/<date>_<time>` below the current one. In a folder that exists, the
            files of an earlier run are replaced and anything else is left alone.

    Raises:
        OSError: the folder cannot be made or written to.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = _new_folder() if path is None else path
        self.path.mkdir(parents=True, exist_ok=True)
        # Pictures and weights of an earlier run beside this one's metrics would contradict them.
        for name in (CONFIG_NAME, WEIGHTS_NAME, *PICTURE_NAMES):
            (self.path / name).unlink(missing_ok=True)
        self._metrics = open(self.path / METRICS_NAME, "w", encoding="utf-8")  # noqa: SIM115 (closed in __exit__)

    @property
    def weights(self) -> Path:
        """Where `save` writes."""
        return self.path / WEIGHTS_NAME

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write `config.json`."""
        write_atomically(self.path / CONFIG_NAME, (json.dumps(config, indent=2) + "\n").encode())

    def append(self, metrics: EpochMetrics) -> None:
        """Add a line to `metrics.jsonl`, on disk when this returns to whoever follows the file."""
        self._metrics.write(json.dumps(asdict(metrics)) + "\n")
        self._metrics.flush()

    def save(self, model: gg.nn.Module, note: Mapping[str, Any]) -> None:
        """Replace `weights.safetensors` in one step."""
        save_weights(self.weights, model, note)

    def draw(self, name: str, figure: Any) -> None:
        """Write a figure under one of `PICTURE_NAMES`."""
        plots.save(figure, self.path / name)

    def files(self) -> list[str]:
        """The names of the run's files that exist by now."""
        names = (METRICS_NAME, CONFIG_NAME, WEIGHTS_NAME, *PICTURE_NAMES)
        return [name for name in names if (self.path / name).is_file()]

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._metrics.close()


def _new_folder() -> Path:
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    for number in range(1, 1000):
        path = Path("runs") / (stamp if number == 1 else f"{stamp}_{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            # Raised as well when "runs" is a file; then the next mkdir says so.
            if not path.is_dir():
                raise
            continue
        return path
    raise FileExistsError(f"[train] a thousand runs began in the second {stamp}; name a folder with --out")
