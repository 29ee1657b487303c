"""The stand-in's array: NumPy memory behind CuPy's rules.

It is no subclass of `numpy.ndarray` and never becomes one by itself: what CuPy refuses (NumPy operands, implicit
conversion) raises the same class of error here, what makes the host wait is counted. Functions are in `functions`.
"""

import itertools
import weakref
from typing import Any

import numpy as np

from .memory import MemoryPointer, get_allocator, rounded
from .state import STATE

SCALARS = (bool, int, float, complex, np.generic)


class Flags:
    """The layout of an array."""

    def __init__(self, a: np.ndarray) -> None:
        self.c_contiguous, self.f_contiguous = a.flags.c_contiguous, a.flags.f_contiguous
        self.forc, self.fnc = a.flags.forc, a.flags.fnc
        self.owndata = a.flags.owndata


_numbers = itertools.count()


def _give_back(device: int, nbytes: int, number: int) -> None:
    STATE.used_bytes[device] -= nbytes
    STATE.blocks.pop(number, None)


def allocate(shape: Any, dtype: Any, order: str = "C") -> np.ndarray:
    """Memory at a multiple of 512 bytes, filled with a pattern that no test mistakes for a result."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "biufcV" or dtype.fields is not None:
        raise ValueError(f"Unsupported dtype {dtype}")
    shape = (shape,) if isinstance(shape, int | np.integer) else tuple(int(n) for n in shape)
    if any(n < 0 for n in shape):
        raise ValueError("Negative dimensions are not allowed")
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    buffer = np.full(rounded(nbytes) + 512, 0xFE, np.uint8)
    start = -buffer.ctypes.data % 512
    return np.ndarray(shape, dtype, buffer, start, order="F" if order == "F" else None)


def ascontiguous(a: np.ndarray, order: str = "C") -> np.ndarray:
    fresh = allocate(a.shape, a.dtype, order)
    fresh[...] = a
    return fresh


class ndarray:  # noqa: N801 - CuPy's name
    """CuPy's array class, on host memory.

    Only what gpugrad uses is here; anything else is an AttributeError, which is how a new dependency shows.
    """

    __slots__ = ("__weakref__", "_a", "_id", "base", "data")
    __array_priority__ = 100

    def __new__(cls, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C") -> Any:
        if memptr is not None or strides is not None:
            raise NotImplementedError("the stand-in's ndarray takes a shape, a dtype and an order")
        return own(allocate(shape, dtype, order))

    # What it is

    shape = property(lambda self: self._a.shape)
    dtype = property(lambda self: self._a.dtype)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    itemsize = property(lambda self: self._a.itemsize)
    nbytes = property(lambda self: self._a.nbytes)
    strides = property(lambda self: self._a.strides)
    flags = property(lambda self: Flags(self._a))

    @property
    def device(self) -> Any:
        from .cuda import Device

        return Device(self._id)

    T = property(lambda self: view(self._a.T, self))
    mT = property(lambda self: view(self._a.mT, self))  # noqa: N815 - CuPy's name

    @property
    def real(self) -> "ndarray":
        return view(self._a.real, self) if self.dtype.kind == "c" else self

    @property
    def imag(self) -> "ndarray":
        return view(self._a.imag, self) if self.dtype.kind == "c" else own(np.zeros_like(self._a))

    # What waits for the device

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        STATE.sync("get")
        if out is not None:
            out[...] = self._a
            return out
        return np.array(self._a, order=order)

    def item(self) -> Any:
        STATE.sync("item")
        return self._a.item()

    def tolist(self) -> Any:
        STATE.sync("tolist")
        return self._a.tolist()

    def tobytes(self, order: str = "C") -> bytes:
        STATE.sync("tobytes")
        return self._a.tobytes(order)

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError("The truth value of an array with more than one element is ambiguous")
        STATE.sync("bool")
        return bool(self._a)

    def __float__(self) -> float:
        STATE.sync("float")
        return float(self._a)

    def __int__(self) -> int:
        STATE.sync("int")
        return int(self._a)

    def __complex__(self) -> complex:
        STATE.sync("complex")
        return complex(self._a)

    def __index__(self) -> int:
        STATE.sync("index")
        return self._a.__index__()

    def __repr__(self) -> str:
        STATE.sync("repr")
        return repr(self._a)

    def __str__(self) -> str:
        STATE.sync("str")
        return str(self._a)

    # What CuPy refuses

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return len(self._a)

    def __iter__(self) -> Any:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self._a)))

    # Indexing

    def __getitem__(self, index: Any) -> "ndarray":
        where, a = _index(index, self, reading=True), self._a
        return result(a[where], self, compute=lambda: a[where])

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, np.ndarray):
            raise TypeError(
                "Implicit conversion to a NumPy array is not allowed (NumPy values assigned to a CuPy array)"
            )
        if isinstance(value, (list, tuple)):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        check_device(self, value)
        where, a, given = _index(index, self, reading=False), self._a, value._a if isinstance(value, ndarray) else value
        with np.errstate(all="ignore"):
            STATE.work(lambda: a.__setitem__(where, given))

    # Views and copies

    def astype(
        self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True
    ) -> "ndarray":
        if not copy and self._a.dtype == np.dtype(dtype):
            return self
        check_device(self)
        with np.errstate(all="ignore"):
            a = self._a  # a graph holds the memory, not the array that had it
            return computed(lambda: a.astype(dtype, order=order, copy=True))

    def copy(self, order: str = "C") -> "ndarray":
        """A copy on the current device; from another one on the current stream, which waits for nothing by itself."""
        if self._id == STATE.device:
            a = self._a
            return computed(lambda: a.copy(order))
        from .cuda import get_current_stream

        if order in "KA" and not self._a.flags.forc:
            raise NotImplementedError("CuPy cannot copy non-contiguous array between devices.")
        # What CuPy makes contiguous over there it gives back before it is copied.
        with_gaps = order == "C" and not self._a.flags.c_contiguous
        fresh = allocate(self.shape, self.dtype, order)
        ordered = STATE.lend(self._id, get_current_stream()._key(), get_current_stream(self._id)._key(self._id))
        made = own(fresh)
        if ordered and not with_gaps:
            source = self._a
            fresh[...] = source
            STATE.again(fresh, lambda: source)
        return made

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        """Copy from the host; with a stream it does not wait."""
        if STATE.capturing or stream is None:
            STATE.sync("set")
        if type(arr) is not np.ndarray or arr.dtype != self.dtype or arr.shape != self.shape:
            raise TypeError("Only numpy.ndarray of the same shape and dtype can be set")
        if stream is None or not STATE.is_pinned(arr.ctypes.data):
            self._a[...] = arr
            return
        # The copy reads the pinned memory when it happens, not now: as late as somebody waits for it.
        STATE.order.append(("copy", stream.ptr, arr.ctypes.data))
        self._a.view(np.uint8)[...] = 0xFE
        stream._copies.ask(lambda: self._a.__setitem__(..., arr))

    def view(self, dtype: Any = None) -> "ndarray":
        return view(self._a.view() if dtype is None else self._a.view(dtype), self)

    def fill(self, value: Any) -> None:
        self[...] = value

    def reshape(self, *shape: Any, order: str = "C") -> "ndarray":
        a = self._a
        return result(a.reshape(*shape, order=order), self, compute=lambda: a.reshape(*shape, order=order))

    def ravel(self, order: str = "C") -> "ndarray":
        a = self._a
        return result(a.ravel(order), self, compute=lambda: a.ravel(order))

    def flatten(self, order: str = "C") -> "ndarray":
        check_device(self)
        a = self._a
        return computed(lambda: a.flatten(order))

    def transpose(self, *axes: Any) -> "ndarray":
        return view(self._a.transpose(*axes), self)

    def swapaxes(self, axis1: int, axis2: int) -> "ndarray":
        return view(self._a.swapaxes(axis1, axis2), self)

    def squeeze(self, axis: Any = None) -> "ndarray":
        return view(self._a.squeeze(axis), self)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> "ndarray":
        return view(self._a.diagonal(offset, axis1, axis2), self)

    def sort(self, axis: int = -1, kind: Any = None) -> None:
        check_device(self)
        self._a.sort(axis=axis, kind="stable")

    def nonzero(self) -> tuple["ndarray", ...]:
        STATE.sync("nonzero")
        return tuple(own(i) for i in self._a.nonzero())

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from . import functions

        mine = functions.NAMES.get(ufunc.__name__)
        known = all(isinstance(x, (ndarray, *SCALARS)) for x in inputs)
        if method != "__call__" or mine is None or not known:
            return NotImplemented
        outs = kwargs.get("out")
        if outs is not None:
            kwargs["out"] = outs[0]
        return mine(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from . import functions

        mine = functions.NAMES.get(func.__name__)
        if mine is None or not all(issubclass(t, ndarray | np.ndarray) for t in types):
            return NotImplemented
        return mine(*args, **kwargs)


ndarray.__module__ = "cupy"


def own(a: Any) -> ndarray:
    """A new device array that owns memory of its own."""
    a = np.asarray(a)
    if a.ctypes.data % 512 and a.size:
        made = allocate(a.shape, a.dtype)
        order = sorted(range(a.ndim), key=lambda i: -abs(a.strides[i]))
        if not a.flags.c_contiguous and a.ndim > 1:
            made = allocate(tuple(a.shape[i] for i in order), a.dtype).transpose(np.argsort(order))
        made[...] = a
        a = made
    STATE.asked[STATE.device] += 1
    block = get_allocator()(a.nbytes).mem
    out = object.__new__(ndarray)
    out._a, out.base, out._id = a, None, STATE.device
    out.data = MemoryPointer(block, a.ctypes.data)
    block.chunk.place.tenant = weakref.ref(out)
    STATE.used_bytes[STATE.device] += rounded(a.nbytes)
    if STATE.capturing:  # what is given back while recording is written again in each replay
        STATE.kept.append((a, STATE.device))
    number = next(_numbers)
    STATE.blocks[number] = a.ctypes.data, a.nbytes, STATE.device, weakref.ref(out)
    weakref.finalize(out, _give_back, STATE.device, rounded(a.nbytes), number).atexit = False
    for hook in STATE.hooks.values():
        hook.malloc_postprocess(
            device_id=STATE.device, size=a.nbytes, mem_size=rounded(a.nbytes), mem_ptr=out.data.ptr, pmem_id=id(out)
        )
    return out


def computed(compute: Any) -> ndarray:
    """A new device array of what a function of NumPy arrays gives, now or in each replay of a graph."""
    out = own(compute())
    STATE.again(out._a, compute)
    return out


def view(a: np.ndarray, of: ndarray) -> ndarray:
    """A device array on the memory of another; its base is the array that owns the memory."""
    out = object.__new__(ndarray)
    out._a, out._id = a, of._id
    out.base = of if of.base is None else of.base
    out.data = MemoryPointer(of.data.mem, a.ctypes.data)
    return out


def result(found: Any, *operands: Any, compute: Any = None) -> ndarray:
    """What a NumPy function returned, as a device array: a view where it shares an operand's memory.

    `compute` gives it again, for the replays of a graph.
    """
    if isinstance(found, np.ndarray):
        for operand in operands:
            if isinstance(operand, ndarray) and (found is operand._a or _of(found, operand._a)):
                return view(found, operand)
    out = own(found)
    if compute is not None:
        STATE.again(out._a, compute)
    return out


def _of(found: np.ndarray, a: np.ndarray) -> bool:
    return found.base is not None and np.may_share_memory(found, a)


def check_device(*values: Any) -> None:
    """CuPy's rule: every array of a call lives on the current device."""
    for value in values:
        if isinstance(value, ndarray) and value._id != STATE.device:
            raise ValueError(
                "Array device must be same as the current device: "
                f"array device = {value._id} while current = {STATE.device}"
            )


def _index(index: Any, of: ndarray, reading: bool) -> Any:
    check_device(of)
    if isinstance(index, tuple):
        return tuple(_index(i, of, reading) for i in index)
    if isinstance(index, ndarray):
        check_device(index)
        if index.dtype.kind not in "biu":
            raise IndexError(f"arrays used as indices must be of integer or boolean type (actual: {index.dtype.type})")
        if index.dtype == bool and reading:
            STATE.sync("boolean index")
        return index._a
    if isinstance(index, list | np.ndarray):
        STATE.uploads.append(type(index).__name__)
        return np.asarray(index)
    if index is None or index is Ellipsis or isinstance(index, slice | int | np.integer | bool | np.bool_):
        return index
    raise IndexError("only integers, slices (`:`), ellipsis (`...`), None and arrays are valid indices")
