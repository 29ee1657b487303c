"""`BatchArray`: many examples as one array that shows the shape of a single one.

It holds the array of all examples with the batch axis in front. Operators, NumPy's protocols and methods all go to
the one table of batched functions (`table`); levels tell the axes of nested maps apart.
"""

from __future__ import annotations

import math
from typing import Any, Final, NoReturn

import numpy as np

from ..backend import Backend, WrappedArray, backend_of, memory

Shape = tuple[int, ...]


class BatchError(TypeError):
    """Something that cannot be done for many examples at once; the message says what to use."""


# Set by `table`, which needs this class: call(name, args, kwargs, home) runs a batched function, home being the backend
# of the array that asks; pick and put are item access.
_hooks: Final[dict[str, Any]] = {}


class BatchArray(WrappedArray):
    """The arrays of all examples of a map, seen as the array of one.

    Attributes:
        value: the array of all examples, batch axis first; of one level less. Not `batched`: the array of any one.
        backend: the backend of the map; its `level` orders nested maps, the later ones outermost.
        batched: False where all examples have the same values, which then are held once.
        shape: of one example, as are `ndim`, `size` and all else that NumPy's arrays have.
    """

    __slots__ = ("__weakref__", "batched", "dtype", "shape")
    __array_priority__ = 900
    __hash__ = None  # type: ignore[assignment]

    batched: bool
    dtype: Any
    shape: Shape

    def __init__(self, value: Any, backend: Any, batched: bool = True) -> None:
        self.backend = backend
        self.set(value, batched)

    def set(self, value: Any, batched: bool) -> None:
        """Hold other values from now on."""
        # The backend makes arrays of the maps that this one has examples of, and of no others.
        base = value.backend if isinstance(value, BatchArray) else None
        if self.backend.beneath != (() if base is None else base.chain):  # type: ignore[attr-defined]
            self.backend = self.backend.over(base)  # type: ignore[attr-defined]
        self.value, self.batched, self.dtype = value, batched, value.dtype
        self.shape = value.shape[1:] if batched else value.shape

    @property
    def level(self) -> int:
        """The number of the map."""
        return self.backend.level  # type: ignore[attr-defined,no-any-return]

    @property
    def ndim(self) -> int:
        """Axes of one example."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Elements of one example."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize  # type: ignore[no-any-return]

    @property
    def nbytes(self) -> int:
        """Bytes of one example."""
        return self.size * self.itemsize

    @property
    def flags(self) -> Any:
        """The memory order; one example counts as C-contiguous where all of them are."""
        return self.value.flags

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element of an example to the next, by axis."""
        strides = self.value.strides
        return strides[1:] if self.batched else strides  # type: ignore[no-any-return]

    @property
    def base(self) -> None:
        """None: who owns the memory says `Backend.storage`."""
        return None

    @property
    def device(self) -> Any:
        """The device, as the array module names it."""
        return self.value.device

    @property
    def T(self) -> Any:  # noqa: N802 - NumPy's name
        """The example with its axes in reverse order."""
        return self.transpose()

    @property
    def mT(self) -> Any:  # noqa: N802 - NumPy's name
        """The example with its last two axes swapped."""
        return self.swapaxes(-1, -2)

    @property
    def real(self) -> Any:
        """The real part."""
        return BatchArray(self.value.real, self.backend, self.batched)

    @property
    def imag(self) -> Any:
        """The imaginary part."""
        return BatchArray(self.value.imag, self.backend, self.batched)

    @property
    def flat(self) -> Any:
        """The elements of one example along one axis."""
        return self.reshape(-1)

    # What runs in the table -------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(hasattr(x, "_node") for x in inputs):
            return NotImplemented
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        if getattr(np, ufunc.__name__, None) is not ufunc:  # SciPy's, or a user's
            plain = method == "__call__"
            return _hooks["foreign"](ufunc if plain else getattr(ufunc, method), name, inputs, kwargs, plain)
        return _hooks["call"](name, inputs, kwargs, self.backend)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(hasattr(kind, "_node") for kind in types):
            return NotImplemented
        space = (func.__module__ or "numpy").partition("numpy")[2].strip(".")
        name = f"{space}.{func.__name__}" if space in ("linalg", "fft") else func.__name__
        if "." not in name and getattr(np, name, None) is not func:
            return _hooks["foreign"](func, name, args, kwargs, False)
        return _hooks["call"](name, args, kwargs, self.backend)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("data", "ctypes") or not hasattr(np.ndarray, name):
            raise AttributeError(f"an array of examples has no attribute {name!r}")
        return lambda *args, **kwargs: _hooks["method"](self, name, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        return _hooks["pick"](self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        _hooks["put"](self, index, value)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("[vmap] len() of an example without axes (a single number)")
        return self.shape[0]

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        count = getattr(self.backend, "size", "?")
        return f"<{count} examples, each {self.shape} {self.dtype}, of vmap level {self.level}>"

    # What needs the values of one example -------------------------------------------------------------------------

    def _value(self, what: str) -> Any:
        if self.batched:
            self._refuse(what)
        return self.value

    def _refuse(self, what: str) -> NoReturn:
        raise BatchError(
            f"[vmap] {what} of a value that differs from example to example (shape {self.shape} {self.dtype} each): "
            "there is no single value; choose with gg.where(condition, a, b) in place of if, keep numbers as tensors, "
            "or loop over the examples"
        )

    def __bool__(self) -> bool:
        return bool(self._value("bool() (if, and, or, not, while)"))

    def __float__(self) -> float:
        return float(self._value("float()"))

    def __int__(self) -> int:
        return int(self._value("int()"))

    def __complex__(self) -> complex:
        return complex(self._value("complex()"))

    def __index__(self) -> int:
        if self.batched:
            self._refuse("an index into a list or a bare array, or a length,")
        return int(self.value.__index__())

    def item(self, *args: Any) -> Any:
        """The element as a Python number; refused where it differs among the examples."""
        return self._value(".item()").item(*args)

    def tolist(self) -> Any:
        """The elements as Python numbers; refused where they differ among the examples."""
        return self._value(".tolist()").tolist()

    def tobytes(self, order: Any = "C") -> bytes:
        """The bytes of the elements; refused where they differ among the examples."""
        return self._value(".tobytes()").tobytes(order)  # type: ignore[no-any-return]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        what = "numpy.asarray() or .array() (gg.stack joins), or use as an index or value of a bare array,"
        return np.asarray(self._value(what), dtype=dtype)

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._value("DLPack export").__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self.value.__dlpack_device__()

    def __deepcopy__(self, memo: Any) -> BatchArray:
        return BatchArray(self.value.copy(), self.backend, self.batched)


def levels_of(x: Any) -> tuple[Any, ...]:
    """The backends of the maps that `x` has examples of, outermost first."""
    found = []
    while isinstance(x, BatchArray):
        found.append(x.backend)
        x = x.value
    return tuple(found)


def agreed(x: Any, what: str) -> Any:
    """The value that all examples have in common.

    Raises:
        BatchError: they differ, in `what`.
    """
    while isinstance(x, BatchArray):
        if x.batched and not memory((x.value == x.value[:1]).all()).all():
            raise BatchError(f"[vmap] {what} differs from example to example: {x.value}; loop over the examples")
        x = x.value[0] if x.batched else x.value
    return x


def device_backend(x: Any) -> Backend:
    """The backend of the device on which an array lies."""
    while isinstance(x, BatchArray):
        x = x.value
    return backend_of(x)


_OPERATORS: Final = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
_COMPARISONS: Final = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}  # fmt: skip
_UNARY: Final = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}


def _binary(name: str, reflected: bool = False) -> Any:
    def method(self: BatchArray, other: Any) -> Any:
        if hasattr(other, "_node"):  # a tensor: its own operator records
            return NotImplemented
        return _hooks["call"](name, (other, self) if reflected else (self, other), {}, self.backend)

    return method


def _in_place(name: str) -> Any:
    def method(self: BatchArray, other: Any) -> Any:
        return _hooks["call"](name, (self, other), {"out": self}, self.backend)

    return method


def _unary(name: str) -> Any:
    return lambda self: _hooks["call"](name, (self,), {}, self.backend)


def _install() -> None:
    for symbol, name in _OPERATORS.items():
        setattr(BatchArray, f"__{symbol}__", _binary(name))
        setattr(BatchArray, f"__r{symbol}__", _binary(name, True))
        setattr(BatchArray, f"__i{symbol}__", _in_place(name))
    for symbol, name in _COMPARISONS.items():
        setattr(BatchArray, f"__{symbol}__", _binary(name))
    for symbol, name in _UNARY.items():
        setattr(BatchArray, f"__{symbol}__", _unary(name))


_install()
