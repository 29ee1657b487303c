"""`gg.save` and `gg.load`: nested states of tensors and numbers in one safetensors file; nothing in it is ever run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

import gpugrad as gg

from .checkpoint import CheckpointError, write_atomically
from .extras import require

_KEY = "gpugrad.save"


def save(obj: Any, f: Any) -> None:
    """Write a state: dictionaries, lists and tuples of tensors, arrays, numbers, texts, None.

    Args:
        obj: what to write, such as `{"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}`.
        f: a path, which is replaced at once or not at all, or a file open for bytes.

    Raises:
        TypeError: something else is in it; it says where.
        MissingExtraError: safetensors is not installed.
    """
    safetensors = require("safetensors.numpy", package="safetensors", purpose="save a state")
    arrays: dict[str, Any] = {}
    note = json.dumps(_noted(obj, arrays, "obj"))
    content = safetensors.save(arrays, metadata={_KEY: note})
    if hasattr(f, "write"):
        f.write(content)
    else:
        write_atomically(Path(os.fspath(f)), content)


def load(f: Any, map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Read what `save` wrote, or the tensors of any safetensors file as a dictionary.

    Args:
        f: a path, or a file open for bytes.
        map_location: the device to bring tensors to; where they were if not given.
        weights_only: without effect: no file can do more.

    Raises:
        CheckpointError: there is no such file, or it is of another format, such as PyTorch's.
        MissingExtraError: safetensors is not installed.
    """
    safetensors = require("safetensors", package="safetensors", purpose="load a state")
    try:
        content = f.read() if hasattr(f, "read") else Path(os.fspath(f)).read_bytes()
        arrays = require("safetensors.numpy", package="safetensors", purpose="load a state").load(content)
        length = int.from_bytes(content[:8], "little")
        note = json.loads(content[8 : 8 + length]).get("__metadata__", {}).get(_KEY)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise CheckpointError(
            f"[load] {f!r} is not a readable safetensors file ({error}); a state of PyTorch's has to be written by "
            "safetensors.torch.save_file, or taken over while both are loaded"
        ) from error
    if note is None:
        return {name: gg.tensor(a, device=map_location or "cpu") for name, a in arrays.items()}
    return _restored(json.loads(note), arrays, map_location)


def _noted(value: Any, arrays: dict[str, Any], at: str) -> Any:
    """What JSON can hold of a value; its tensors go to `arrays`."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (gg.Tensor, np.ndarray)):
        tensor = gg.asarray(value)
        name = str(len(arrays))
        arrays[name] = np.asarray(tensor.detach().cpu().data, order="C")
        return {"tensor": name, "device": str(tensor.device), "requires_grad": tensor.requires_grad}
    if isinstance(value, dict):
        pairs = [[_noted(k, arrays, at), _noted(v, arrays, f"{at}[{k!r}]")] for k, v in value.items()]
        return {"dict": pairs}
    if isinstance(value, (list, tuple)):
        parts = [_noted(v, arrays, f"{at}[{i}]") for i, v in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": parts}
    raise TypeError(
        f"[save] {at} is a {type(value).__name__}; expected tensors, numbers, texts and containers of them, such as "
        "the state_dict() of a module"
    )


def _restored(note: Any, arrays: dict[str, Any], where: Any) -> Any:
    """The value that `_noted` described."""
    if not isinstance(note, dict):
        return note
    if "tensor" in note:
        device = note["device"] if where is None else where
        return gg.tensor(arrays[note["tensor"]], device=device, requires_grad=note["requires_grad"])
    if "dict" in note:
        return {_restored(k, arrays, where): _restored(v, arrays, where) for k, v in note["dict"]}
    kind = "tuple" if "tuple" in note else "list"
    parts = [_restored(v, arrays, where) for v in note[kind]]
    return tuple(parts) if kind == "tuple" else parts
