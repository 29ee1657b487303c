"""Which tensors show one memory: what a recorded in-place write has to carry to the others.

A recorded view is told to the node it was taken of; views of constants leave no trace and are looked for when one of
them is first written to by a recorded value. How a write is computed is in `inplace`.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from inspect import CO_OPTIMIZED
from types import FrameType
from typing import Any, Final, cast
from weakref import ref

import numpy as np

from .anomaly import user_line
from .backend import WrappedArray, backend_of, memory
from .nodes import Alias, GradientError, Node, PrimitiveNode
from .parts import composed
from .primitive import FUNCTIONS

_apply: Final[list[Callable[..., Any]]] = []  # set by `tensor`: where a primitive meets tensors
_OVERLAPPING: Final = frozenset(("broadcast_to", "real", "imag"))  # their elements are not elements of the base


def seen(base: Any, view: Any) -> None:
    """Note that the tensor `view` was taken of the recorded tensor `base`, if they show the same memory."""
    a, b, node = base.data, view.data, base._node
    if type(b) is np.ndarray:
        owner = b.base
        if b is not a and (owner is None or (owner is not a and owner is not a.base)):
            return
    elif not _shares(a, b):
        return
    mine = view._node
    if node.leaf:  # a leaf is never written to while recording
        if mine is not None:
            mine.views = node
        return
    known = getattr(node, "views", None)
    if known is None:
        node.views = [ref(base), ref(view)]
    else:
        if type(known) is not list:
            node, known = known, getattr(known, "views", None)
        if known is not None:
            n = len(known)
            if n & (n - 1) == 0 and n >= 32:  # now and then, without those that are gone
                known[1:] = [r for r in known[1:] if r() is not None]
            known.append(ref(view))
    if mine is not None:
        mine.views = node


def _shares(a: Any, b: Any) -> bool:
    a, b = memory(a), memory(b)
    return type(a) is type(b) and backend_of(a).storage(a) is backend_of(b).storage(b)


def hooked(old: Node, new: Node) -> Node:
    """`new` takes the place of `old` as the node of a tensor: its views stay its views."""
    family = getattr(old, "views", None)
    if family is not None:
        new.views = family
    return new


def base_of(tensor: Any) -> Any:
    """The tensor whose memory a recorded one shows: itself, another, the node of a leaf, or None where it is gone."""
    root = getattr(tensor._node, "views", None)
    if root is None or type(root) is list:
        return tensor
    return root if root.leaf else root.views[0]()


def others(tensor: Any) -> list[Any]:
    """The living tensors besides this one that show the memory of the same recorded base."""
    root = getattr(tensor._node, "views", None)
    if root is None:
        return []
    family = root if type(root) is list else getattr(root, "views", [])
    found = []
    for r in family:
        t = r()
        if t is None or t is tensor:
            continue
        if t._node is None:
            if _shares(tensor.data, t.data):
                found.append(t)
        elif (
            getattr(t._node, "views", None) is family or getattr(getattr(t._node, "views", None), "views", 0) is family
        ):
            found.append(t)
    return found


def in_place_already(tensor: Any, index: Any, value: Any) -> bool:
    """Whether a recorded `value` is the view `tensor[index]` itself, as in the last step of `t[index] += v`."""
    node = value._node
    if node is None or tensor._node is None or getattr(node, "views", None) is not _root(tensor._node):
        return False
    try:
        there: Any = None if isinstance(tensor.data, WrappedArray) else tensor.data[index]
    except (IndexError, TypeError, ValueError):
        return False  # the write itself will say what is wrong
    here: Any = value.data
    return (
        type(there) is type(here)
        and there.shape == here.shape
        and there.strides == here.strides
        and _start(there) == _start(here)
    )


def _root(node: Node) -> Any:
    known = getattr(node, "views", None)
    return node if known is None or type(known) is list else known


def way(view: Any) -> list[PrimitiveNode]:
    """The recorded operations that lead from the base to a view, in order."""
    node = view._node
    root: Any = node.views
    nodes: list[PrimitiveNode] = []
    while node is not root:
        if isinstance(node, Alias):
            node = node.parents
            continue
        nodes.append(node)
        node = node.parents[0]
    return nodes[::-1]


def positions(base: Any, view: Any) -> Any:
    """Where in the base a view is; None where its elements are not just some of the base's.

    Returns:
        An index, if the view was taken by such of integers and slices only; else an array of the places of its
        elements, counted row by row.
    """
    steps = way(view)
    if all(n.prim.name == "getitem" and not n.static["arrays"] for n in steps):
        index = composed([n.static["index"] for n in steps], base.shape)
        if base.data[index].shape == view.shape:
            return index
    if any(n.prim.name in _OVERLAPPING for n in steps):
        return None
    at = np.arange(base.data.size).reshape(base.shape)
    for n in steps:
        static = n.static | {"index": _host(n.static["index"])} if n.static.get("arrays") else n.static
        at, _ = n.prim.forward((False,), at, **static)
    return at


def _host(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple([_host(part) for part in index])
    return backend_of(index).to_host(index) if hasattr(index, "dtype") else index


def replay(view: Any, steps: list[PrimitiveNode], base: Any) -> None:
    """Take the view again, of what the base is now."""
    out = base
    for n in steps:
        out = _apply[0](n.prim, (out,), n.static)
    node = view._node
    hook = node.hook if isinstance(node, Alias) else None
    view.data, view._node = out.data, out._node if hook is None else Alias.of(out._node, hook)


def join(base: Any, members: list[Any]) -> None:
    """From here on `members` are views of `base`."""
    base._node.views = [ref(base), *[ref(m) for m in members]]
    for m in members:
        if m._node is not None:
            m._node.views = base._node


# Writes one after another --------------------------------------------------------------------------------------------

_given_up: Final[ContextVar[Any]] = ContextVar("gpugrad_given_up", default=None)


@contextlib.contextmanager
def written_again(base: Any, shown: Iterable[Any]) -> Iterator[None]:
    """A block in which a write to `base` need not copy what was there, if an earlier write made it for it alone.

    Nothing of it is kept then: not by the earlier write, and not by anybody who reads, whom Python would count. The
    tensors `shown` are views of it, which are taken again.
    """
    node = base._node
    ours = isinstance(node, PrimitiveNode) and node.prim.name == "index_put" and _wrapper_alone(base)
    token = _given_up.set(base.data if ours and _holders(base) <= _views_alone(base, shown) else None)
    try:
        yield
    finally:
        _given_up.reset(token)


def _wrapper_alone(tensor: Any) -> bool:
    """Whether only the tensor holds what wraps its array, if there is such; arrays of maps are others' as well."""
    wrapped = isinstance(tensor.data, WrappedArray)
    return not wrapped or (not tensor.data.mapped and sys.getrefcount(tensor.data) <= 2)


def _views_alone(base: Any, tensors: Iterable[Any]) -> int:
    """How many of these show the memory of `base`, if each array that does is its tensor's own; else -1."""
    count = 0
    for t in tensors:
        if _shares(base.data, t.data):
            if not _wrapper_alone(t) or _references(t, lambda array: array)[0] > _ALONE[0]:
                return -1
            count += 1
    return count


def given_up(array: Any) -> bool:
    """Whether an array may be written to by the operation whose operand it is."""
    return _given_up.get() is array


# Views of constants: nobody was told of them ------------------------------------------------------------------------


class _Held:
    """In the place of a tensor, to find out how many references there are where nobody else holds an array."""

    __slots__ = ("data",)

    def __init__(self, data: Any) -> None:
        self.data = data


def _references(tensor: Any, owner: Callable[[Any], Any]) -> tuple[int, int]:
    """What Python counts on a tensor's array, and on what stands for its memory."""
    array = memory(tensor.data)
    storage = owner(array)
    return sys.getrefcount(array), sys.getrefcount(storage)


_ALONE: Final = _references(_Held(np.empty(2)), lambda array: array)
_ALONE_ON: Final = _references(_Held(np.empty(2)[:1]), lambda array: array.base)
# Frozen by whoever started Python; there was no tensor among them.
_FROZEN: Final = gc.get_freeze_count()


def _holders(tensor: Any) -> int:
    """How many references to a tensor's array and to what stands for its memory are not the tensor's own."""
    array = memory(tensor.data)
    backend = backend_of(array)
    storage = backend.storage(array)
    own = storage is array
    of_array, of_storage = _references(tensor, backend.storage)
    of_array -= 1 + own  # `array` and `storage` above
    of_storage -= 1 + own
    holders = of_array - _ALONE[0] if own else of_array - _ALONE_ON[0] + of_storage - _ALONE_ON[1]
    pool = getattr(backend, "pool", None)
    return holders - (pool is not None and pool.holds(storage))


def sharers(name: str, tensor: Any, kind: type) -> list[Any]:
    """The other living tensors (instances of `kind`) on the memory of a constant.

    They are looked for only if somebody besides the tensor holds that memory.

    Raises:
        GradientError: somebody does whom `gc.freeze` may have put where Python shows nobody; `name` is the operation.
    """
    holders = _holders(tensor)
    if holders <= 0:
        return []
    array = memory(tensor.data)
    storage = backend_of(array).storage(array)
    own = storage is array
    found: dict[int, Any] = {}
    known = 0
    for generation in range(3):  # a view is likely young, and nobody looks further than the last holder
        for t in gc.get_objects(generation=generation):
            if issubclass(type(t), kind) and t is not tensor and _on(t, storage, isinstance(array, np.ndarray)):
                found[id(t)] = t
        known = _explained(found.values(), array, storage)
        if known >= holders:
            break
    if known < holders and gc.get_freeze_count() > _FROZEN:
        _refuse_frozen(name, tensor, kind, holders - known, [array] if own else [array, storage])
    return list(found.values())


def _explained(tensors: Iterable[Any], array: Any, storage: Any) -> int:
    """How many references to an array and to what stands for its memory are those of tensors."""
    arrays = [memory(t.data) for t in tensors]
    views = {id(a) for a in arrays if a is not array and a is not storage}
    return len(views) + sum(a is array or a is storage for a in arrays)


def _refuse_frozen(name: str, tensor: Any, kind: type, unknown: int, arrays: list[Any]) -> None:
    """Raise where there are more references than those of nodes, of the user's collections and of variables."""
    unknown -= sum(each is not FrameType and not issubclass(each, kind) for each in _holding(arrays)) - _ARGUMENTS
    if unknown > _variables(arrays):
        raise GradientError(
            f"[{name}] writes a value that is recorded to memory ({tensor.shape} {tensor.dtype}) that others hold too, "
            "and gc.freeze() has put objects where they cannot be found: a tensor among them would keep the old value; "
            f"write to x.clone(), or call gc.unfreeze() before. The write is at {user_line()}"
        )


def _holding(arrays: list[Any]) -> list[type]:
    """The types of what holds some arrays, as far as the collector knows of it."""
    return [type(each) for each in gc.get_referrers(*arrays) if each is not arrays]


_ARGUMENTS: Final = len(_holding([np.empty(1)]))  # Python 3.13 counts those of the call itself, as a tuple


def _variables(arrays: list[Any]) -> int:
    """How many variables of the functions that are being called in this thread are one of some arrays."""
    count, frame = 0, cast(Any, sys._getframe(1))
    while frame is not None:
        if not str(frame.f_globals.get("__name__")).startswith("gpugrad.") and frame.f_code.co_flags & CO_OPTIMIZED:
            held, cells = frame.f_locals, frame.f_code.co_cellvars  # a cell is seen by the collector
            own = [held[v] for v in frame.f_code.co_varnames if v in held and v not in cells]
            count += sum(value is array for value in own for array in arrays)
        frame = frame.f_back
    return count


def _on(tensor: Any, storage: object, host: bool) -> bool:
    data = getattr(tensor, "data", None)  # a tensor that is just being made has none
    if data is None:
        return False
    array = memory(data)
    return isinstance(array, np.ndarray) is host and backend_of(array).storage(array) is storage


def family_head(name: str, tensors: list[Any]) -> tuple[Any, dict[int, Any]]:
    """Of several tensors on one memory the one that has all elements of the others, and where these are in it.

    Args:
        name: the operation, for the error.
        tensors: the first is the one that is written to.

    Returns:
        That tensor, and by `id` of each other one that shares elements with it their positions, counted row by row.

    Raises:
        GradientError: there is no such one.
    """
    plain = all(not isinstance(t.data, WrappedArray) and t.dtype == tensors[0].dtype for t in tensors)
    found: dict[int, Any] = {}
    base = tensors[0]
    if plain:
        written = _addresses(base.data)
        near = [t for t in tensors if np.isin(_addresses(t.data), written).any()] or [base]
        base = max(near, key=lambda t: t.data.size)
        addresses = _addresses(base.data)
        order = np.argsort(addresses, kind="stable")
        known = addresses[order]
        for t in tensors:
            mine = _addresses(t.data)
            at = np.minimum(np.searchsorted(known, mine), known.size - 1)
            same = known[at] == mine
            if t is not base and same.any():
                plain = plain and bool(same.all())
                found[id(t)] = order[at].reshape(t.shape)
        plain = plain and np.unique(known).size == known.size
    if not plain:
        raise GradientError(
            f"[{name}] writes a value that is recorded to memory that {len(tensors)} tensors share "
            f"({', '.join(f'{t.shape} {t.dtype}' for t in tensors)}), and none of them has all elements of the others: "
            f"they would not know of it; write to x.clone(). The write is at {user_line()}"
        )
    return base, found


def _start(array: Any) -> int:
    return int(array.__array_interface__["data"][0] if type(array) is np.ndarray else array.data.ptr)


def _addresses(array: Any) -> Any:
    at = np.full((1,) * array.ndim, _start(array), np.int64)
    for axis, (n, stride) in enumerate(zip(array.shape, array.strides, strict=True)):
        at = at + (np.arange(n) * stride).reshape((-1,) + (1,) * (array.ndim - axis - 1))
    return np.broadcast_to(at, array.shape).reshape(-1)


def put(base: Any, at: Any, value: Any) -> Any:
    """The base with `value` at an index, or at positions that are counted row by row, as a new tensor."""
    if not isinstance(at, np.ndarray):
        return FUNCTIONS["index_put"](base, at, value)
    flat = FUNCTIONS["index_put"](FUNCTIONS["reshape"](base, (-1,)), at.reshape(-1), FUNCTIONS["reshape"](value, (-1,)))
    return FUNCTIONS["reshape"](flat, base.shape)


def pick(base: Any, at: Any) -> Any:
    """The elements of the base at these positions, as a new tensor."""
    return FUNCTIONS["getitem"](FUNCTIONS["reshape"](base, (-1,)), at)
