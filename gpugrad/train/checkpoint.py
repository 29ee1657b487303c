"""Weights as safetensors files: written whole or not at all, and read back with errors that name the file.

The file holds parameters and buffers plus one JSON note; optimizer state and the run's folder are not kept
here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gpugrad as gg
from gpugrad.train.extras import require

WEIGHTS_NAME = "weights.safetensors"
# All notes go under one key: the format's writer orders several keys at random, and equal weights must give
# equal files.
NOTE_KEY = "gpugrad"


class CheckpointError(ValueError):
    """A weights file is missing, unreadable or does not fit the model; the message names the file."""


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step: readers see the old file or the new one, whole.

    Raises:
        OSError: the folder is missing, not writable or full. The old file is left as it was.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        scratch.write_bytes(content)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def save_weights(path: str | os.PathLike[str], model: gg.nn.Module, note: Mapping[str, Any] | None = None) -> None:
    """Write the model's `state_dict` as a safetensors file, atomically.

    Equal weights and notes give files of equal bytes. Arrays on a GPU are copied to the host (this waits for
    the device).

    Args:
        path: the file; one that exists is replaced.
        model: any module.
        note: anything JSON can hold, returned by `load_weights`.

    Raises:
        MissingExtraError: safetensors is not installed.
        OSError: the file cannot be written.
    """
    safetensors = require("safetensors.numpy", package="safetensors", purpose="save weights")
    # The format stores C order and its NumPy writer does not convert: a strided array would be saved
    # scrambled.
    arrays = {name: np.asarray(tensor.detach().numpy(), order="C") for name, tensor in model.state_dict().items()}
    metadata = {NOTE_KEY: json.dumps(dict(note or {}), sort_keys=True)}
    write_atomically(Path(path), safetensors.save(arrays, metadata=metadata))


def read_weights(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a safetensors file.

    Args:
        path: the file, or the folder of a run that holds a `weights.safetensors`.

    Returns:
        The arrays by name, and the note given to `save_weights` (empty for files of other programs).

    Raises:
        CheckpointError: there is no such file, or it is not a complete safetensors file.
        MissingExtraError: safetensors is not installed.
    """
    safetensors = require("safetensors", package="safetensors", purpose="load weights")
    file = Path(path)
    if file.is_dir():
        file = file / WEIGHTS_NAME
    if not file.is_file():
        raise CheckpointError(
            f"[load_weights] there is no file {str(file)!r}; expected a .safetensors file or a run's folder"
        )
    try:
        with safetensors.safe_open(file, framework="numpy") as content:
            arrays = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 (not a mapping)
            note = json.loads((content.metadata() or {}).get(NOTE_KEY, "{}"))
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"[load_weights] {str(file)!r} is not a readable safetensors file ({error}); "
            "it may be cut short or of another format"
        ) from error
    return arrays, note


def load_weights(path: str | os.PathLike[str], model: gg.nn.Module) -> dict[str, Any]:
    """Load weights saved by `save_weights` (or by any program, under the same names) into the model.

    Args:
        path: the file, or the folder of a run that holds a `weights.safetensors`.
        model: its parameters are overwritten in place and stay on their device.

    Returns:
        The note given to `save_weights`.

    Raises:
        CheckpointError: the file is missing or corrupt, or an entry is missing, extra or of another shape.
        MissingExtraError: safetensors is not installed.
    """
    arrays, note = read_weights(path)
    try:
        model.load_state_dict(arrays)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"[load_weights] {str(path)!r} does not fit the model: {error}") from error
    return note
