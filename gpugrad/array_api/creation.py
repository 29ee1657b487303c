"""New tensors by the array API's signatures; `gpugrad.ops.creation` makes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import backend_of
from ..backend import device as _device
from ..ops import creation
from ..ops.arranging import meshgrid as _meshgrid
from ..ops.exchange import from_dlpack
from ..tensor import Tensor

__all__ = [
    "arange", "asarray", "empty", "empty_like", "eye", "from_dlpack", "full", "full_like", "linspace", "meshgrid",
    "ones", "ones_like", "zeros", "zeros_like",
]  # fmt: skip


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor of a number, nested lists, an array, a tensor or a buffer.

    Args:
        obj: what to convert; a tensor that requires a gradient keeps it.
        dtype: of the result, if not that of the data (Python floats: the default dtype).
        device: where the result lives; an array stays where it is if not given.
        copy: True: always, False: never, None: only where it must be.

    Raises:
        ValueError: `copy=False`, and the data cannot be shared.
    """
    if isinstance(obj, Tensor):
        out = obj.to(device, None if dtype is None else np.dtype(dtype))
        if out is not obj and copy is False:
            raise _must_copy(obj)
        return out.clone() if copy and out is obj else out
    if not isinstance(obj, np.ndarray) and isinstance(obj, (bytearray, memoryview)):
        obj = np.asarray(obj)
    if copy:
        return creation.tensor(obj, dtype, device)
    out = creation.asarray(obj, dtype, device)
    if copy is False and (not hasattr(obj, "shape") or not backend_of(out.data).xp.may_share_memory(out.data, obj)):
        raise _must_copy(obj)
    return out


def _must_copy(obj: Any) -> ValueError:
    return ValueError(
        f"[asarray] copy = False, but a {type(obj).__name__} cannot be shared as asked (Python data, or another dtype "
        "or device); leave copy out"
    )


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Numbers from `start` (0 if only one is given) up to, not including, `stop`."""
    return creation.arange(start, stop, step, dtype=dtype, device=device)


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros."""
    return creation.zeros(shape, dtype=dtype, device=device)


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones."""
    return creation.ones(shape, dtype=dtype, device=device)


def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Whatever is in the memory."""
    return creation.empty(shape, dtype=dtype, device=device)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """One value everywhere."""
    return creation.full(shape, fill_value, dtype=dtype, device=device)


def zeros_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros of the shape, dtype and device of `x`."""
    return creation.zeros_like(x, dtype, device)


def ones_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones of the shape, dtype and device of `x`."""
    return creation.ones_like(x, dtype, device)


def empty_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Whatever is in memory of the shape, dtype and device of `x`."""
    return creation.empty_like(x, dtype, device)


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """One value, with the shape, dtype and device of `x`."""
    return creation.full_like(x, fill_value, dtype, device)


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None, endpoint: bool = True
) -> Tensor:
    """`num` numbers evenly from `start` to `stop`; without `endpoint` the last one is left out."""
    values = np.linspace(start, stop, num, endpoint=endpoint)
    if dtype is None:
        default = np.dtype(creation.get_default_dtype())
        dtype = np.result_type(default, np.complex64) if values.dtype.kind == "c" else default
    return creation.asarray(values.astype(np.dtype(dtype)), device=_device(device) if device is not None else "cpu")


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones on the `k`-th diagonal, zeros elsewhere."""
    dtype = np.dtype(creation.get_default_dtype() if dtype is None else dtype)
    return creation.asarray(np.eye(n_rows, n_cols, k, dtype), device=_device(device) if device is not None else "cpu")


def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Any]:
    """Coordinate matrices from coordinate vectors."""
    return list(_meshgrid(*arrays, indexing=indexing))
