"""The memory of pooling and batch normalisation, from shapes alone, where compiled loops or kernels do them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import cuda_windows
from ..backend.cpu_images import takes
from .ghost import Ghost, bare


def compiled(home: Any, axes: int, *arrays: Ghost) -> bool:
    """Whether the device's compiled loops take arrays of images with so many spatial axes."""
    found = [bare(a) for a in arrays]
    if home.device.type == "cuda":
        return cuda_windows.takes(found[0], ()) if found[0].ndim > 2 else cuda_windows.has_rows(found[0])
    return takes(axes, *found)


def images(home: Any, seen: Ghost, size: tuple[int, ...], byte: bool = False) -> Any:
    """New images of `size`, channels last in memory, while `seen` is looked at in that order."""
    last = home.xp.moveaxis(seen, 1, -1)
    kept = last.value.flags.c_contiguous or home.device.type == "cuda"  # its kernels read in any order
    rearranged = None if kept else home.fresh(last.shape, seen.dtype)
    found = home.fresh((seen.shape[0], *size, seen.shape[1]), np.dtype(np.uint8) if byte else seen.dtype)
    del rearranged
    return home.xp.moveaxis(found, -1, 1)
