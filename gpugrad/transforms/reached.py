"""What a function finds by itself: what it closes over, its globals, and the objects in these.

Python does not say what of it a function uses, so this is what it could use, as far as one can see.
"""

from __future__ import annotations

import collections
import functools
import types
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ..tensor import Tensor

__all__ = ["Reach"]

_MOST: Final = 20000  # objects that are looked at
_FOREIGN: Final = {"builtins", "collections", "cupy", "cupyx", "numpy", "threading", "torch", "weakref"}
_OURS: Final = ("gpugrad.nn.", "gpugrad.optim.", "gpugrad.train.")  # the rest of gpugrad has nothing of the user's
_PLAIN: Final = (bool, int, float, complex, str, bytes, type(None))
_ABSENT: Final = object()


class Reach:
    """What is within reach of a function now.

    Args:
        function: any callable.
        given: what it is called with, besides arrays.

    Attributes:
        tensors: by how one gets to them, such as `self.hidden`.
        switches: the attributes of the modules, which have `training` among them.
    """

    def __init__(self, function: Any, given: Sequence[Any] = ()) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.switches: list[dict[str, Any]] = []
        self._held: list[tuple[str, Any, Any]] = []  # what holds values, with those that it held; the user's only
        self._ours: list[tuple[str, Any, Any]] = []  # likewise, within objects of gpugrad's
        self._named: set[str] = set()
        self._methods: dict[str, list[Any]] = {}  # of the user's classes, that no code met so far names
        self._seen: set[int] = set()
        waiting: list[tuple[str, Any, bool]] = [("", function, False)]
        waiting += [(type(each).__name__, each, False) for each in given]
        while waiting and len(self._seen) < _MOST:
            name, value, ours = waiting.pop()
            if isinstance(value, Tensor):
                self.tensors[name] = value
            elif id(value) not in self._seen and type(value) not in _PLAIN:
                self._seen.add(id(value))
                waiting += self._look(name, value, ours)
        self._arrays = [(t, t.data, t._node) for t in {id(t): t for t in self.tensors.values()}.values()]

    def _look(self, name: str, value: Any, ours: bool) -> Iterator[tuple[str, Any, bool]]:
        """Note what an object holds; gives what hangs on it."""
        if isinstance(value, types.FunctionType):
            yield from self._of_function(value)
            return
        held = _Slots(value) if not isinstance(value, type) and _has_slots(value) else value
        before = _contents(held)
        if before is not None:
            (self._ours if ours else self._held).append((name, held, before))
            if type(value) is dict and type(before.get("training")) is bool:
                self.switches.append(value)
        if not isinstance(value, dict | list | tuple | collections.deque | set):
            ours = _is_ours(type(value))
            for each in _methods(value):
                if each.__name__ in self._named:
                    yield name, each, False
                else:
                    self._methods.setdefault(each.__name__, []).append(each)
        yield from ((at, each, ours) for at, each in _inside(name, value))

    def _of_function(self, function: types.FunctionType) -> Iterator[tuple[str, Any, bool]]:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            before = _contents(cell)
            if before:  # else it is not assigned yet
                self._held.append((name, cell, before))
                yield name, before[0], False
        yield "", function.__defaults__, False
        yield "", function.__kwdefaults__, False
        if not str(function.__module__).startswith("gpugrad."):
            names = _names(function.__code__)
            for name in sorted(names):
                if name in function.__globals__:
                    space = _Global(function.__globals__, name)
                    self._held.append(("", space, _contents(space)))
                    yield name, function.__globals__[name], False
                yield from (("self", each, False) for each in self._methods.pop(name, ()))
            self._named |= names

    def put_back(self) -> None:
        """Make variables, attributes, what collections hold, and the tensors' arrays what they were."""
        for _, held, before in (*self._held, *self._ours):
            if not _same(_contents(held), before):
                _restore(held, before)
        for tensor, array, node in self._arrays:
            if tensor.data is not array or tensor._node is not node:
                tensor.data, tensor._node = array, node

    def settle(self) -> None:
        """From here on the tensors need gradients as they do now: where the function itself switches that."""
        self._arrays = [(tensor, array, tensor._node) for tensor, array, _ in self._arrays]

    def holds(self) -> bool:
        """Whether the tensors are on the same arrays still, and need gradients or not as then."""
        return all(tensor.data is array and tensor._node is node for tensor, array, node in self._arrays)

    def new_in(self, later: Reach) -> str | None:
        """How one gets to a tensor that was not there before; None where there is no such."""
        known = {id(tensor) for tensor in self.tensors.values()}
        return next((name for name, tensor in later.tensors.items() if id(tensor) not in known), None)

    def changed(self) -> str | None:
        """How one gets to a number or text of the user's that is another one now; None where there is no such."""
        for name, held, before in self._held:
            now = _contents(held)
            if _same(now, before):
                continue
            if isinstance(before, dict):
                keys = [k for k in {**before, **now} if _differ(before.get(k, _ABSENT), now.get(k, _ABSENT))]
                if keys:
                    return f"{name}{keys[0]}" if name.endswith(".") or not name else f"{name}[{keys[0]!r}]"
            elif isinstance(before, set) or len(before) != len(now) or any(map(_differ, before, now)):
                return name
        return None


class _Slots:
    """The attributes of an object that has no dictionary of them."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        slots = [vars(kind).get("__slots__", ()) for kind in type(owner).__mro__]
        names = [name for each in slots for name in ([each] if isinstance(each, str) else each)]
        self.names = [name for name in names if name not in ("__dict__", "__weakref__")]


class _Global:
    """A variable of a module."""

    def __init__(self, space: dict[str, Any], name: str) -> None:
        self.space, self.name = space, name


def _is_ours(kind: type) -> bool:
    """Whether objects of a class change by rules of ours, which replays follow: optimizers, schedules, users' too."""
    inherited = any(each.__module__.startswith("gpugrad.optim.") for each in kind.__mro__)
    return inherited or kind.__module__.startswith("gpugrad.")


def _has_slots(value: Any) -> bool:
    kind = type(value)
    foreign = kind.__module__.partition(".")[0] in {"gpugrad", *_FOREIGN}
    return not foreign and any("__slots__" in vars(k) for k in kind.__mro__)


def _contents(held: Any) -> Any:
    """What a variable, an object with slots or a collection holds, to be compared later; None for anything else."""
    if isinstance(held, _Slots):
        return {name: getattr(held.owner, name) for name in held.names if hasattr(held.owner, name)}
    if isinstance(held, _Global):
        return {held.name: held.space[held.name]} if held.name in held.space else {}
    if isinstance(held, types.CellType):
        try:
            return [held.cell_contents]
        except ValueError:  # not assigned yet
            return []
    if isinstance(held, dict):
        return dict(held)
    if isinstance(held, set):
        return set(held)
    return list(held) if isinstance(held, list | collections.deque) else None


def _restore(held: Any, before: Any) -> None:
    if isinstance(held, _Slots):
        for name, value in before.items():
            setattr(held.owner, name, value)
    elif isinstance(held, _Global):
        held.space.update(before)
    elif isinstance(held, types.CellType):
        if before:
            held.cell_contents = before[0]
    elif isinstance(held, list):
        held[:] = before
    elif isinstance(held, collections.deque):
        held.clear()
        held.extend(before)
    else:
        held.clear()
        held.update(before)


def _same(a: Any, b: Any) -> bool:
    """Whether two contents are the same objects."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(map(_is, a.values(), map(b.__getitem__, a)))
    if isinstance(a, set):
        return set(map(id, a)) == set(map(id, b))
    return len(a) == len(b) and all(map(_is, a, b))


def _is(a: Any, b: Any) -> bool:
    return a is b


def _differ(a: Any, b: Any) -> bool:
    """Whether a number or text is another one."""
    if a is b or not (_is_plain(a) or _is_plain(b)):
        return False
    return type(a) is not type(b) or not (a == b or (a != a and b != b))


def _is_plain(value: Any) -> bool:
    return all(map(_is_plain, value)) if type(value) is tuple else type(value) in _PLAIN


def _methods(value: Any) -> Iterator[types.FunctionType]:
    """The functions of the classes of an object of the user's."""
    for kind in type(value).__mro__:
        module = kind.__module__
        if module.partition(".")[0] in {"gpugrad", *_FOREIGN} or isinstance(value, type | types.ModuleType):
            continue
        for each in vars(kind).values():
            each = each.fget if isinstance(each, property) else getattr(each, "__func__", each)
            if isinstance(each, types.FunctionType):
                yield each


def _inside(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What hangs on an object that is no function, with its names."""
    module = type(value).__module__
    if isinstance(value, dict):
        for i, (key, each) in enumerate(list(value.items())):
            attribute = name.endswith(".")  # of an object, whose dictionary this is
            yield f"{name}{key}" if attribute else f"{name}[{key!r}]" if isinstance(key, str) else f"{name}[{i}]", each
    elif isinstance(value, list | tuple | collections.deque | set):
        yield from ((f"{name}[{i}]", each) for i, each in enumerate(list(value)))
    elif isinstance(value, types.MethodType):
        yield "self", value.__self__
        yield name, value.__func__
    elif isinstance(value, functools.partial):
        yield from ((name, each) for each in (value.func, value.args, value.keywords))
    elif module == "gpugrad.transforms.compiling":
        yield name, getattr(value, "function", None)
    elif isinstance(value, type | types.ModuleType) or module.partition(".")[0] in _FOREIGN:
        return
    elif not module.startswith("gpugrad.") or module.startswith(_OURS):
        yield f"{name}.", getattr(value, "__dict__", None)
        if _has_slots(value):
            yield from ((f"{name}.{at}", each) for at, each in _contents(_Slots(value)).items())
        if callable(value):
            yield name, getattr(type(value), "forward", type(value).__call__)


def _names(code: types.CodeType) -> set[str]:
    """The names that a function and those within it look up."""
    inner = [_names(each) for each in code.co_consts if isinstance(each, types.CodeType)]
    return set(code.co_names).union(*inner)
