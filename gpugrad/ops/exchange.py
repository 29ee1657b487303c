"""Tensors on the memory of other libraries, through DLPack; the way out is `Tensor.__dlpack__`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import CPU, Device, backend_for
from ..backend import device as _device
from ..tensor import Tensor, new_tensor

_CPU_TYPES, _CUDA_TYPES = (1, 3), (2, 13)  # DLPack's device types: CPU and pinned memory; CUDA and managed memory


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor on the memory of any object with `__dlpack__`: PyTorch's, JAX's and TensorFlow's tensors, arrays.

    Args:
        x: the object. It stays alive as long as the tensor does; what either writes the other one sees, the tape's
            checks of in-place changes excepted.
        device: where the tensor lives; with another device than that of `x` it is copied there.
        copy: True: always in new memory, False: never, None: only where it must be.

    Returns:
        A tensor without a gradient. It is read-only where the producer says so (JAX's arrays are).

    Raises:
        BufferError: what `x` has cannot be exported (a gradient: detach it first; a dtype), or `copy=False` and the
            devices differ.
        TypeError: `x` has no `__dlpack__`.

    Example:
        >>> import numpy as np
        >>> import gpugrad as gg
        >>> a = np.zeros(3)
        >>> t = gg.from_dlpack(a)
        >>> a[0] = 1.0
        >>> t.tolist()
        [1.0, 0.0, 0.0]
    """
    if not hasattr(x, "__dlpack__") or not hasattr(x, "__dlpack_device__"):
        raise TypeError(
            f"[from_dlpack] {type(x).__name__} has no __dlpack__; pass an array or tensor that has, or use gg.asarray"
        )
    kind, index = x.__dlpack_device__()
    if int(kind) not in _CPU_TYPES + _CUDA_TYPES:
        raise BufferError(f"[from_dlpack] device type {int(kind)}; expected main memory or an NVIDIA GPU: copy x there")
    home = CPU if int(kind) in _CPU_TYPES else Device("cuda", int(index))
    target = home if device is None else _device(device)
    if target != home and copy is False:
        raise BufferError(f"[from_dlpack] copy = False, but x is on {home} and device = {target}; leave copy out")
    array = np.from_dlpack(x) if home == CPU else backend_for(home).xp.from_dlpack(x)
    out = new_tensor(array.copy() if copy and target == home else array, None)
    return out if target == home else out.to(target)
