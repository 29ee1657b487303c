"""New tensors: from data, filled, ranges, and the default dtype that Python numbers get."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import backend_for, backend_of, is_array
from ..backend.out_of_memory import told
from ..batching import device_backend, innermost
from ..primitive import FUNCTIONS
from ..tensor import Tensor

_default_dtype = [np.dtype(np.float32)]


def get_default_dtype() -> Any:
    """The dtype of new tensors made from Python floats."""
    return _default_dtype[0]


def set_default_dtype(dtype: Any) -> None:
    """Set the dtype of new tensors made from Python floats (float32 at the start).

    Raises:
        TypeError: it is no floating point dtype.
    """
    dtype = np.dtype(dtype)
    if dtype.kind not in "fV":
        raise TypeError(f"[set_default_dtype] dtype = {dtype}; expected a floating point dtype")
    _default_dtype[0] = dtype


def _finish(array: Any, where: Any, requires_grad: bool) -> Tensor:
    """Place a NumPy or device array on the device asked for, and make it a tensor."""
    target = backend_for(where)
    if device_backend(array) is not target:
        array = target.receive(array, device_backend(array))
    return Tensor(array, requires_grad)


def _from_python(data: Any) -> Any:
    """Nested Python data as a NumPy array, floats in the default dtype."""
    array = np.asarray(_bare(data))
    if array.dtype.kind not in "biufcV":
        raise TypeError(f"[tensor] cannot make a tensor of {type(data).__name__} {str(data)[:60]!r}; expected numbers")
    if array.dtype == np.float64 and not isinstance(data, np.generic):
        return array.astype(get_default_dtype())
    if array.dtype == np.complex128 and get_default_dtype() == np.float32 and not isinstance(data, np.generic):
        return array.astype(np.complex64)
    return array


def _bare(data: Any) -> Any:
    if isinstance(data, Tensor):
        return backend_of(data.data).to_host(data.data)
    return [_bare(d) for d in data] if isinstance(data, list | tuple) else data


@told
def tensor(data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of `data`.

    Args:
        data: a number, nested lists, an array or a tensor. Python floats get the default dtype (float32), integers
            int64; arrays keep theirs.
        dtype: dtype of the result.
        device: "cpu", "cuda", "cuda:1"; an array stays where it is, anything else goes to the default device.
        requires_grad: record operations on it.

    Raises:
        TypeError: the data are not numbers.

    Example:
        >>> import gpugrad as gg
        >>> gg.tensor([1.0, 2.0], requires_grad=True)
        tensor([1., 2.], requires_grad=True)
    """
    source = data.data if isinstance(data, Tensor) else data
    if is_array(source):
        where = backend_of(source).device if device is None else device
        with backend_of(source).place():
            array = source.astype(source.dtype if dtype is None else np.dtype(dtype), copy=True, order="C")
        return _finish(array, where, requires_grad)
    array = _from_python(source) if dtype is None else np.array(_bare(source), dtype=np.dtype(dtype))
    return _finish(array, device, requires_grad)


@told
def asarray(data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor that shares the memory of an array where dtype and device allow it; else as `tensor`.

    A tensor is returned as it is, or converted with its gradient; so a program may call it on what it is given.
    """
    if isinstance(data, Tensor):
        out = data.to(device, None if dtype is None else np.dtype(dtype))
        return Tensor(out, True) if requires_grad and out._node is None else out
    source = data
    if not is_array(source):
        return tensor(source, dtype, device, requires_grad)
    if dtype is not None:
        with backend_of(source).place():
            source = source.astype(np.dtype(dtype), copy=False)
    return _finish(source, backend_of(source).device if device is None else device, requires_grad)


as_tensor = asarray


def from_numpy(array: Any) -> Tensor:
    """A CPU tensor on the memory of a NumPy array."""
    return asarray(array, device="cpu")


def _shape(size: tuple[Any, ...]) -> tuple[int, ...]:
    if len(size) == 1 and isinstance(size[0], tuple | list):
        size = tuple(size[0])
    return tuple(int(n) for n in size)


def _filled(shape: tuple[int, ...], value: Any, dtype: Any, where: Any, requires_grad: bool) -> Tensor:
    backend = innermost(backend_for(where))  # inside vmap one for each example, so that any result can be written to it
    array = backend.empty(shape, np.dtype(get_default_dtype() if dtype is None else dtype))
    if value is not None:
        backend.put(array, ..., value)
    return Tensor(array, requires_grad)


@told
def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros; `zeros(2, 3)` or `zeros((2, 3))`."""
    return _filled(_shape(size), 0, dtype, device, requires_grad)


@told
def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones."""
    return _filled(_shape(size), 1, dtype, device, requires_grad)


@told
def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of whatever is in the memory."""
    return _filled(_shape(size), None, dtype, device, requires_grad)


@told
def full(size: Any, fill_value: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of one value; without `dtype`, that of the value (floats: the default dtype)."""
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    dtype = _from_python(value).dtype if dtype is None else dtype
    return _filled(_shape((size,) if isinstance(size, int) else tuple(size)), value, dtype, device, requires_grad)


# For `Tensor.new_full` and its kin.
FUNCTIONS.update({"torch.full": full, "torch.empty": empty, "torch.tensor": tensor})


def _like(x: Any, value: Any, dtype: Any, where: Any, requires_grad: bool) -> Tensor:
    source = x.data if isinstance(x, Tensor) else x
    where = backend_of(source).device if where is None else where
    return _filled(tuple(source.shape), value, source.dtype if dtype is None else dtype, where, requires_grad)


@told
def zeros_like(x: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros with the shape, dtype and device of `x`."""
    return _like(x, 0, dtype, device, requires_grad)


@told
def ones_like(x: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones with the shape, dtype and device of `x`."""
    return _like(x, 1, dtype, device, requires_grad)


@told
def empty_like(x: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Uninitialised, with the shape, dtype and device of `x`."""
    return _like(x, None, dtype, device, requires_grad)


@told
def full_like(x: Any, fill_value: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """One value, with the shape, dtype and device of `x`."""
    return _like(x, fill_value, dtype, device, requires_grad)


@told
def arange(
    start: Any,
    stop: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from `start` (0 if only one is given) up to, not including, `stop`; integers give int64."""
    start, stop = (0, start) if stop is None else (start, stop)
    if all(isinstance(n, int | np.integer) for n in (start, stop, step)):  # made there: nothing is sent
        backend = backend_for(device)
        whole = backend.xp.arange(int(start), int(stop), int(step), dtype=np.int64)
        return Tensor(whole if dtype in (None, whole.dtype) else backend.cast(whole, np.dtype(dtype)), requires_grad)
    array = np.arange(start, stop, step)
    array = array.astype(np.dtype(dtype)) if dtype is not None else array
    if dtype is None and array.dtype.kind == "f":
        array = array.astype(get_default_dtype())
    return _finish(array, device, requires_grad)


@told
def linspace(
    start: float,
    stop: float,
    num: int = 50,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`num` numbers evenly from `start` to `stop`, both included; computed in float64, then cast."""
    array = np.linspace(start, stop, num).astype(np.dtype(get_default_dtype() if dtype is None else dtype))
    return _finish(array, device, requires_grad)


@told
def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """The (n, m) matrix with ones on the diagonal; square without `m`."""
    return _finish(np.eye(n, m, dtype=np.dtype(get_default_dtype() if dtype is None else dtype)), device, requires_grad)
