"""The memory of pooling and batch normalisation, from shapes alone, where compiled loops or kernels do them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import cuda_windows
from ..backend.cpu_images import takes
from ..backend.cuda_rows import compute_type
from ..backend.cuda_windows import FLOATS
from .ghost import Ghost, bare


def compiled(home: Any, axes: int, *arrays: Ghost) -> bool:
    """Whether the device's compiled loops take arrays of images with so many spatial axes."""
    found = [bare(a) for a in arrays]
    if home.device.type == "cuda":
        return found[0].ndim > 2 and cuda_windows.takes(found[0], ())
    return takes(axes, *found)


def images(home: Any, seen: Ghost, size: tuple[int, ...], byte: bool = False) -> Any:
    """New images of `size`, channels last in memory, while `seen` is looked at in that order."""
    last = home.xp.moveaxis(seen, 1, -1)
    kept = last.value.flags.c_contiguous or home.device.type == "cuda"  # its kernels read in any order
    rearranged = None if kept else home.fresh(last.shape, seen.dtype)
    found = home.fresh((seen.shape[0], *size, seen.shape[1]), np.dtype(np.uint8) if byte else seen.dtype)
    del rearranged
    return home.xp.moveaxis(found, -1, 1)


def batch_norm(home: Any, x: Ghost) -> Any:
    """`cuda_norms.batch_norm` on arrays without data: the images, and of each channel mean and rate."""
    if home.device.type != "cuda" or x.dtype.name not in FLOATS:
        return None
    last = home.xp.ascontiguousarray(home.xp.moveaxis(x, 1, -1))
    y = home.fresh(last.shape, x.dtype)
    kept = [home.fresh((x.shape[1],), compute_type(x.dtype)) for _ in range(2)]
    del last
    return home.xp.moveaxis(y, -1, 1), *kept


def batch_norm_vjp(home: Any, g: Ghost, x: Ghost, weight: Ghost) -> Any:
    """`cuda_norms.batch_norm_vjp` likewise."""
    if home.device.type != "cuda" or x.dtype.name not in FLOATS:
        return None
    given, last = (home.xp.ascontiguousarray(home.xp.moveaxis(a, 1, -1)) for a in (g, x))
    dx = home.fresh(last.shape, x.dtype)
    sums = [home.fresh(weight.shape, weight.dtype) for _ in range(2)]
    del given, last
    return home.xp.moveaxis(dx, -1, 1), *sums
