"""Devices by name. Which backend serves a device is decided in `gpugrad.backend`; nothing here touches CUDA."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


class DeviceError(RuntimeError):
    """A device that is not there, or values on devices that do not match."""


@dataclass(frozen=True)
class Device:
    """Where an array lives: `cpu`, or `cuda` with the number of the GPU."""

    type: str
    index: int = 0

    def __str__(self) -> str:
        return "cpu" if self.type == "cpu" else f"cuda:{self.index}"

    def __repr__(self) -> str:
        return f"device({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            try:
                other = device(other)
            except DeviceError:
                return False
        return isinstance(other, Device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))


def device(spec: Any, index: int | None = None) -> Device:
    """The device named by `spec`: "cpu", "cuda", "cuda:1", the number of a GPU, a Device; or "cuda" with an `index`.

    Raises:
        DeviceError: any other name. Whether the device is there is checked on first use, not here.
    """
    if isinstance(spec, Device):
        return spec
    if isinstance(spec, int) and not isinstance(spec, bool) and spec >= 0:
        return Device("cuda", spec)
    if index is not None and spec == "cuda":
        return device(index)
    match = re.fullmatch(r"(cpu)|cuda(?::(\d+))?", spec) if isinstance(spec, str) else None
    if match is None:
        raise DeviceError(f'[device] {spec!r} names no device; expected "cpu", "cuda" or "cuda:<number>"')
    return Device("cpu") if match[1] else Device("cuda", int(match[2] or 0))


CPU = Device("cpu")
