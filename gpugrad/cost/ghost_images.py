"""The memory of pooling and batch normalisation on the CPU, from shapes alone, where compiled loops do them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.cpu_images import takes
from .ghost import Ghost, bare


def compiled(home: Any, axes: int, *arrays: Ghost) -> bool:
    """Whether the device's compiled loops take arrays of images with so many spatial axes."""
    return home.device.type == "cpu" and takes(axes, *[bare(a) for a in arrays])


def images(home: Any, seen: Ghost, size: tuple[int, ...], byte: bool = False) -> Any:
    """New images of `size`, channels last in memory, while `seen` is looked at in that order."""
    last = home.xp.moveaxis(seen, 1, -1)
    rearranged = None if last.value.flags.c_contiguous else home.fresh(last.shape, seen.dtype)
    found = home.fresh((seen.shape[0], *size, seen.shape[1]), np.dtype(np.uint8) if byte else seen.dtype)
    del rearranged
    return home.xp.moveaxis(found, -1, 1)
