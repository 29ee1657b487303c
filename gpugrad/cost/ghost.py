"""`Ghost`: an array with a shape, a dtype and a memory order, and no data, for following a program's allocations.

Operators, NumPy's protocols and methods come to the shape rules in `ghost_rules`. A ghost of known values (labels,
indices) computes with them; asking any other one for a value is an error. Where memory comes and goes is noted by the
`Ledger` of the backend.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..backend import WrappedArray
from .errors import CostError

Shape = tuple[int, ...]

# Set by `ghost_rules`, which needs this class.
_hooks: Final[dict[str, Any]] = {}


def hollow(shape: Shape, dtype: Any) -> Any:
    """A NumPy array to take views of; its elements are never read or written.

    Addresses alone: pages that nobody touches take no memory. Each is one of its own, so that changes in place are told
    apart as in a real run.
    """
    return np.empty(shape, dtype)


class Record:
    """One piece of memory in the ledger: its size, the layer and direction that took it, whether it is scratch."""

    __slots__ = ("nbytes", "scratch", "tag")

    def __init__(self, nbytes: int, tag: Any, scratch: bool = False) -> None:
        self.nbytes, self.tag, self.scratch = nbytes, tag, scratch


class Storage:
    """The memory of a ghost and its views; the ledger is told when the last of them is gone."""

    __slots__ = ("__weakref__", "events", "record")

    def __init__(self, events: list[tuple[int, Record]], record: Record) -> None:
        self.events, self.record = events, record
        events.append((record.nbytes, record))

    def __del__(self) -> None:
        self.events.append((-self.record.nbytes, self.record))

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return self.record.nbytes


class Ghost(WrappedArray):
    """An array of which everything is known but its elements.

    Attributes:
        value: a NumPy array of the same shape, dtype and strides; its elements mean something only if `known`.
        storage: the memory, shared with views; None for memory that was there before.
    """

    __slots__ = ("__weakref__", "known", "storage")
    mapped = False
    __array_priority__ = 900
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: Any, backend: Any, storage: Storage | None, known: bool = False) -> None:
        self.value, self.backend, self.storage, self.known = value, backend, storage, known

    def seen_as(self, value: Any) -> Ghost:
        """A view: the same memory under another shape or order."""
        return Ghost(value, self.backend, self.storage, self.known)

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    itemsize = property(lambda self: self.value.itemsize)
    nbytes = property(lambda self: self.value.nbytes)
    flags = property(lambda self: self.value.flags)
    strides = property(lambda self: self.value.strides)
    device = property(lambda self: self.value.device)
    base = property(lambda self: None)
    T = property(lambda self: self.seen_as(self.value.T))
    mT = property(lambda self: self.seen_as(self.value.mT))  # noqa: N815 - NumPy's name
    real = property(lambda self: self.seen_as(self.value.real))
    imag = property(lambda self: self.seen_as(self.value.imag))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(hasattr(x, "_node") for x in inputs):
            return NotImplemented
        return _hooks["ufunc"](self.backend, ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(hasattr(kind, "_node") for kind in types):
            return NotImplemented
        return _hooks["function"](self.backend, func, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"an array without data has no attribute {name!r}")
        return lambda *args, **kwargs: _hooks["method"](self, name, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        return _hooks["pick"](self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        if self.known:
            self.value[bare(index)] = bare(value)

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<{self.shape} {self.dtype} without data>"

    def _known(self, what: str) -> Any:
        if not self.known:
            raise CostError(
                f"[tape_memory] {what} of an array {self.shape} {self.dtype} that has no data: the function decides by "
                "values, and only shapes are there; predict a function without such a decision"
            )
        return self.value

    def __bool__(self) -> bool:
        return bool(self._known("bool() (if, while, and, or)"))

    def __float__(self) -> float:
        return float(self._known("float()"))

    def __int__(self) -> int:
        return int(self._known("int()"))

    def __index__(self) -> int:
        return int(self._known("an index").__index__())

    def item(self, *args: Any) -> Any:
        """The element, of known values only."""
        return self._known(".item()").item(*args)

    def tolist(self) -> Any:
        """The elements, of known values only."""
        return self._known(".tolist()").tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self._known("numpy.asarray()"), dtype=dtype)


def bare(value: Any) -> Any:
    """NumPy arrays in the place of arrays without data."""
    if isinstance(value, tuple):
        return tuple(bare(v) for v in value)
    return value.value if isinstance(value, Ghost) else value


_OPERATORS: Final = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "floordiv": np.floor_divide,
    "mod": np.remainder, "pow": np.power, "matmul": np.matmul, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}  # fmt: skip
_COMPARISONS: Final = {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip


def _operator(ufunc: Any, reflected: bool = False, in_place: bool = False) -> Any:
    def method(self: Ghost, other: Any) -> Any:
        if hasattr(other, "_node"):  # a tensor: its own operator records
            return NotImplemented
        inputs = (other, self) if reflected else (self, other)
        return _hooks["ufunc"](self.backend, ufunc, "__call__", inputs, {"out": (self,)} if in_place else {})

    return method


def _install() -> None:
    for symbol, ufunc in _OPERATORS.items():
        setattr(Ghost, f"__{symbol}__", _operator(ufunc))
        setattr(Ghost, f"__r{symbol}__", _operator(ufunc, reflected=True))
        setattr(Ghost, f"__i{symbol}__", _operator(ufunc, in_place=True))
    for symbol, ufunc in _COMPARISONS.items():
        setattr(Ghost, f"__{symbol}__", _operator(ufunc))
    for symbol, ufunc in (("neg", np.negative), ("pos", np.positive), ("abs", np.absolute), ("invert", np.invert)):
        setattr(Ghost, f"__{symbol}__", lambda self, u=ufunc: _hooks["ufunc"](self.backend, u, "__call__", (self,), {}))


_install()
