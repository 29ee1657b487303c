"""`BatchBackend`: the backend of one `vmap` call, over the backend of the arrays that hold all its examples."""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..backend import Backend, is_array
from ..backend.base import Kernel
from ..fusion import Formula
from . import conv, indexing, rules, shapes  # the rules register themselves
from .array import BatchArray, BatchError
from .rows import Optim, Rows
from .table import Namespace, aligned, any_held, call, example, full, highest, holds, loop, strip, tree, under, wrap

if TYPE_CHECKING:
    from ..backend.conv import Geometry

_numbers: Final = itertools.count(1)
USED: Final[
    list[bool]
] = []  # empty while there is no map, nor an array or a graph of one: nobody need look for examples


class _Active(threading.local):
    def __init__(self) -> None:
        self.maps: list[BatchBackend] = []


_active: Final = _Active()


@functools.cache
def _kernel(formula: Formula) -> Kernel:
    def run(*arrays: Any, out: Any = None) -> Any:
        level: Any = highest(arrays)
        rank = 0
        held = False
        for a in arrays:
            if is_array(a):
                rank = max(rank, len(a.shape))
                held = held or holds(level, a)
        values = [aligned(level, a, rank) for a in arrays]
        result = under(level, values).kernel(formula)(*values)
        if type(result) is tuple:
            result = tuple([BatchArray(r, level, held) for r in result])
        else:
            result = BatchArray(result, level, held)
        if out is None:
            return result
        for target, one in zip(*((out, result) if type(out) is tuple else ((out,), (result,))), strict=True):
            target[...] = one
        return out

    return run


class BatchBackend(Backend):
    """What arrays of examples ask in place of a device: the operations of one map.

    Attributes:
        level: its number; later maps have higher ones and are outermost in nested arrays.
        size: how many examples there are.
        base: where the arrays that hold all examples are made: another map's backend, or the device's.
        root: the device's backend.
        chain: the levels of this map and those beneath; `beneath` are the latter.

    A map has several such objects where it is one of nested maps: new arrays belong to the maps of the array whose
    backend makes them. Levels are what maps are told apart by.
    """

    name = "vmap"
    level: int
    size: int
    root: Backend
    base: Any
    beneath: tuple[int, ...]
    chain: tuple[int, ...]

    def __init__(self, size: int, root: Backend) -> None:
        self._become(next(_numbers), size, root, _active.maps[-1] if _active.maps else None)

    def _become(self, level: int, size: int, root: Backend, base: BatchBackend | None) -> None:
        base = base if base is not None and base.root is root else None
        self.level, self.size, self.root = level, size, root
        self.base = root if base is None else base
        self.beneath = () if base is None else base.chain
        self.chain = (level, *self.beneath)
        self.device = root.device
        self.weight_order = root.weight_order
        self.reduces, self.half_products = root.reduces, root.half_products
        USED.append(True)

    def over(self, base: BatchBackend | None) -> BatchBackend:
        """The same map over arrays of another one (None: of the device)."""
        other = object.__new__(BatchBackend)
        other._become(self.level, self.size, self.root, base)
        return other

    def __enter__(self) -> BatchBackend:
        _active.maps.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _active.maps.pop()

    def __del__(self) -> None:
        USED.pop()

    @property
    def xp(self) -> Any:
        """The array module of the map."""
        return Namespace(self)

    @property
    def rows(self) -> Any:
        """The row kernels of the map."""
        return Rows(self)

    @property
    def optim(self) -> Any:
        """The updates of the map's parameters."""
        return Optim(self)

    def kernel(self, formula: Formula) -> Kernel:
        """The kernel of the level below, on examples."""
        return _kernel(formula)

    def compile(self, formula: Formula) -> Kernel:
        """The same: nothing is compiled for a map."""
        return _kernel(formula)

    def source(self, formula: Formula, dtype: Any) -> str:
        """The source of the device's kernel."""
        return self.root.source(formula, dtype)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> BatchArray:
        """An uninitialised array for each example."""
        return BatchArray(self.base.empty((self.size, *shape), dtype), self)

    def from_host(self, array: Any) -> Any:
        """A copy on the device, the same for all examples."""
        return self.root.from_host(array)

    def to_host(self, array: Any) -> Any:
        """The values in main memory; refused where they differ among the examples."""
        value = array._value(".numpy(), .cpu() or gg.tensor of a list (gg.stack joins)")
        return under(self, (value,)).to_host(value)

    def matmul(self, a: Any, b: Any, out: Any = None) -> Any:
        """NumPy's matmul for examples."""
        return call("matmul", (a, b), {} if out is None else {"out": out}, self)

    def special(self, name: str, *arrays: Any) -> Any:
        """The function of all examples at once: it works by element."""
        level: Any = highest(arrays)
        rank = max([len(a.shape) for a in arrays])
        values = [aligned(level, a, rank) for a in arrays]
        return BatchArray(under(level, values).special(name, *values), level, any_held(level, arrays))

    def solve_sylvester(self, a: Any, b: Any, q: Any) -> Any:
        """One example at a time."""
        return self._one_by_one("solve_sylvester", (a, b, q), {})

    def solve_banded(self, bands: tuple[int, int], ab: Any, b: Any) -> Any:
        """One example at a time."""
        return self._one_by_one("solve_banded", (bands, ab, b), {})

    def sqrtm(self, a: Any) -> Any:
        """One example at a time."""
        return self._one_by_one("sqrtm", (a,), {})

    def conv(self, x: Any, w: Any, at: Geometry, bias: Any = None) -> Any:
        """A convolution for each example."""
        y = conv.conv(self, x, w, at)
        return y if bias is None else y + bias.reshape(-1, *(1,) * (y.ndim - 2))

    def conv_input(self, g: Any, w: Any, size: tuple[int, ...], at: Geometry) -> Any:
        """Its gradient by the images."""
        return conv.conv_input(self, g, w, size, at)

    def conv_weight(self, x: Any, g: Any, kernel: tuple[int, ...], at: Geometry) -> Any:
        """Its gradient by the kernels."""
        return conv.conv_weight(self, x, g, kernel, at)

    def scatter_add(self, target: Any, index: Any, source: Any) -> None:
        """Add at an index of each example's; one call where the index is of rows."""
        level: Any = highest((target, index, source))
        if not holds(level, target):
            raise BatchError(f"[vmap] scatter_add of examples into an array {tuple(target.shape)} that all share")
        value = target.value
        if is_array(index) and index.dtype.kind in "iu" and index.ndim == 1 and value.flags.c_contiguous:
            rows, picked, added = value.shape[1], full(level, index), full(level, source)
            backend = under(level, (value, picked, added))
            xp = backend.xp
            picked = xp.where(picked < 0, picked + rows, picked) + xp.arange(level.size).reshape((-1, 1)) * rows
            flat = value.reshape((level.size * rows, *value.shape[2:]))
            added = xp.ascontiguousarray(added).reshape((level.size * index.shape[0], *value.shape[2:]))
            backend.scatter_add(flat, picked.reshape(-1), added)
            return
        for i in range(level.size):
            place, one = example(level, i, (index, source))
            under(level, (value, place, one)).scatter_add(value[i], place, one)

    def storage(self, array: Any) -> object:
        """The object that stands for the memory of all examples."""
        return under(self, (array.value,)).storage(array.value)

    def synchronize(self) -> None:
        """Wait for the device."""
        self.root.synchronize()

    def seed(self, seed: int) -> None:
        """Restart the device's random generator."""
        self.root.seed(seed)

    def random(self, kind: str, shape: tuple[int, ...], dtype: Any, low: Any = 0, high: Any = 1) -> Any:
        """Random numbers, others for each example."""
        if kind == "permutation":
            orders = [self.base.random(kind, shape, dtype, low, high) for _ in range(self.size)]
            return BatchArray(under(self, orders).xp.stack(orders), self) if orders else self.empty(shape, dtype)
        return BatchArray(self.base.random(kind, (self.size, *shape), dtype, low, high), self)

    def reserve_random(self, count: int) -> tuple[int, Any]:
        """Numbers of the device's stream for each example: the seed, and where each one's begin."""
        each = count + count % 2
        seed, offset = self.base.reserve_random(each * self.size)
        return seed, BatchArray(offset + np.arange(self.size) * each, self)

    def restart_stream(self, seed: int) -> None:
        """Restart the device's stream."""
        self.root.restart_stream(seed)

    def memory_stats(self) -> Any:
        """What the device's allocator holds."""
        return self.root.memory_stats()

    def column_sum(self, x: Any) -> Any:
        """The sums of the columns of each example's matrix."""
        if x.shape[0] == 1:
            return x.reshape(x.shape[1:])
        return self.reduce("sum", x, (0,), False).astype(x.dtype, copy=False)

    def reduce(self, name: str, x: Any, axes: tuple[int, ...] | None, keepdims: bool) -> Any:
        """A reduction of each example, all at once."""
        if not holds(self, x):
            return self._one_by_one("reduce", (name, x, axes, keepdims), {})
        of_all = tuple(i + 1 for i in (range(len(x.shape)) if axes is None else axes))
        return wrap(self, under(self, (x.value,)).reduce(name, x.value, of_all, keepdims))

    def sum_to(self, array: Any, shape: tuple[int, ...]) -> Any:
        """Sum each example down to `shape`."""
        return super().sum_to(array, shape)

    def concatenate(self, arrays: Sequence[Any], axis: int) -> Any:
        """Join along `axis`."""
        return call("concatenate", (list(arrays), axis), {}, self)

    def __getattr__(self, name: str) -> Any:
        """What a device can do that has no rule here runs example by example."""
        if name.startswith("_") or not callable(getattr(self.root, name)):
            raise AttributeError(name)

        return lambda *args, **kwargs: self._one_by_one(name, args, kwargs)

    def _one_by_one(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The method `name` of the level below for each example."""
        level: Any = highest((*args, *kwargs.values())) or self

        def one(*given: Any, **named: Any) -> Any:
            return getattr(under(level, (*given, *named.values())), name)(*given, **named)

        if not any_held(level, (args, kwargs)):
            result = one(*tree(lambda v: strip(level, v), args), **tree(lambda v: strip(level, v), kwargs))
            return wrap(level, result, False)
        return loop(level, name, one, args, kwargs)


def innermost(root: Backend) -> Backend:
    """The backend for new arrays on a device: that of the innermost map around, or the device's."""
    for level in reversed(_active.maps):
        if level.root is root:
            return level
    return root


def running() -> tuple[BatchBackend, ...]:
    """The maps that are running in this thread, the outermost first."""
    return tuple(_active.maps)


@contextlib.contextmanager
def within(maps: Iterable[BatchBackend]) -> Iterator[None]:
    """A block in which `maps` run, and no others."""
    found = {level.level: level for level in maps}
    before, _active.maps = _active.maps, [found[number] for number in sorted(found)]
    try:
        yield
    finally:
        _active.maps = before


def active(root: Backend) -> tuple[BatchBackend, ...]:
    """The maps that are running in this thread on a device, the innermost first."""
    return tuple([level for level in reversed(_active.maps) if level.root is root])


__all__ = ["USED", "BatchBackend", "active", "indexing", "innermost", "rules", "running", "shapes", "within"]
