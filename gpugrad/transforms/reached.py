"""What a function finds by itself: what it closes over, its globals, and the objects in these.

Python does not say what of it a function uses, so this is what it could use, as far as one can see.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ..tensor import Tensor

__all__ = ["Reach"]

_MOST: Final = 20000  # objects that are looked at
_FOREIGN: Final = {"builtins", "collections", "cupy", "cupyx", "numpy", "threading", "torch", "weakref"}
_OURS: Final = ("gpugrad.nn.", "gpugrad.optim.", "gpugrad.train.")  # the rest of gpugrad has nothing of the user's


class Reach:
    """What is within reach of a function now.

    Args:
        function: any callable.
        given: what it is called with, besides arrays.

    Attributes:
        tensors: by how one gets to them, such as `self.hidden`.
    """

    def __init__(self, function: Any, given: Sequence[Any] = ()) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._containers: list[tuple[Any, Any]] = []
        seen: set[int] = set()
        waiting: list[tuple[str, Any]] = [("", function), *((type(each).__name__, each) for each in given)]
        while waiting and len(seen) < _MOST:
            name, value = waiting.pop()
            if isinstance(value, Tensor):
                self.tensors[name] = value
            elif id(value) not in seen:
                seen.add(id(value))
                if type(value) in (dict, list):
                    self._containers.append((value, value.copy()))
                waiting += _inside(name, value)
        self._arrays = [(t, t.data) for t in {id(t): t for t in self.tensors.values()}.values()]

    def put_back(self) -> None:
        """Make dictionaries (attributes too), lists and the tensors' arrays what they were."""
        for container, before in self._containers:
            if type(container) is list:
                container[:] = before
            elif container.keys() != before.keys() or any(container[k] is not v for k, v in before.items()):
                container.clear()
                container.update(before)
        for tensor, array in self._arrays:
            if tensor.data is not array:
                tensor.data = array

    def holds(self) -> bool:
        """Whether the tensors are on the same arrays still."""
        return all(tensor.data is array for tensor, array in self._arrays)

    def new_in(self, later: Reach) -> str | None:
        """How one gets to a tensor that was not there before; None where there is no such."""
        known = {id(tensor) for tensor in self.tensors.values()}
        return next((name for name, tensor in later.tensors.items() if id(tensor) not in known), None)


def _inside(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What hangs on an object, with its names."""
    module = type(value).__module__
    if isinstance(value, dict):
        for i, (key, each) in enumerate(list(value.items())):
            attribute = name.endswith(".")  # of an object, whose dictionary this is
            yield f"{name}{key}" if attribute else f"{name}[{key!r}]" if isinstance(key, str) else f"{name}[{i}]", each
    elif isinstance(value, list | tuple):
        yield from ((f"{name}[{i}]", each) for i, each in enumerate(value))
    elif isinstance(value, types.MethodType):
        yield "self", value.__self__
        yield name, value.__func__
    elif isinstance(value, functools.partial):
        yield from ((name, each) for each in (value.func, value.args, value.keywords))
    elif module == "gpugrad.transforms.compiling":
        yield name, getattr(value, "function", None)
    elif isinstance(value, types.FunctionType):
        yield from _of_function(value)
    elif isinstance(value, type | types.ModuleType) or module.partition(".")[0] in _FOREIGN:
        return
    elif not module.startswith("gpugrad.") or module.startswith(_OURS):
        yield f"{name}.", getattr(value, "__dict__", None)
        if callable(value):
            yield name, getattr(type(value), "forward", type(value).__call__)


def _of_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield "", function.__defaults__
    yield "", function.__kwdefaults__
    if not function.__module__.startswith("gpugrad."):
        for name in sorted(_names(function.__code__)):
            if name in function.__globals__:
                yield name, function.__globals__[name]


def _names(code: types.CodeType) -> set[str]:
    """The names that a function and those within it look up."""
    inner = [_names(each) for each in code.co_consts if isinstance(each, types.CodeType)]
    return set(code.co_names).union(*inner)
