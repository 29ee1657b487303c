"""How the cost room sees operations: instruments that are fitted while somebody watches, and taken off again.

While an observer stands in any thread, the calls of primitives, elementwise operations, tensor operators and modules
are replaced by ones that tell the observer of their own thread. Without one the engine is exactly as it was: nothing
is consulted and nothing is paid. What observers do with what they hear is in `recorder` and `ledger`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Final, Protocol

from ..nn.module import Module
from ..observing import WalkObserver, walk_observer
from ..ops import attention, embedding, patches, recurrent, resample  # noqa: F401 - loaded later, but watched too
from ..ops.core import Elementwise
from ..primitive import FUNCTIONS, REGISTRY, Primitive
from ..tensor import Tensor

Operation = Primitive | Elementwise


class Observer(WalkObserver, Protocol):
    """What the instruments tell of one thread."""

    def operation(self, op: Operation, args: tuple[Any, ...], call: Callable[..., Any], static: dict[str, Any]) -> Any:
        """Run one operation and return what it gave: `call()` runs it on `args`, `call(*others)` on others.

        A primitive's arguments are bare arrays, and it gives `(output, extras)`.
        """

    def module(self, module: Module, call: Callable[[], Any]) -> Any:
        """Run `call`, the forward of `module`, and return what it gave."""


_observer: Final[ContextVar[Observer | None]] = ContextVar("gpugrad_observer", default=None)
_lock: Final = threading.Lock()
_fitted: Final[list[Callable[[], None]]] = []  # how to take the instruments off; empty while none are fitted
_standing: Final[list[Observer]] = []

# The operators with a short way of their own: while watched they go the general way, so that they are seen.
_OPERATORS: Final = {
    "__add__": "add",
    "__radd__": "add",
    "__sub__": "subtract",
    "__mul__": "multiply",
    "__rmul__": "multiply",
    "__truediv__": "divide",
}


@contextlib.contextmanager
def observed_by(observer: Observer) -> Iterator[None]:
    """Tell `observer` of all operations, modules and walks of this thread, within the block."""
    with _lock:
        if not _standing:
            _fit()
        _standing.append(observer)
    token, walks = _observer.set(observer), walk_observer.set(observer)
    try:
        yield
    finally:
        walk_observer.reset(walks)
        _observer.reset(token)
        with _lock:
            _standing.remove(observer)
            if not _standing:
                while _fitted:
                    _fitted.pop()()


def _fit() -> None:
    for primitive in REGISTRY.values():
        _replace(primitive, "forward", _watched_forward(primitive, primitive.forward))
    _replace(Elementwise, "__call__", _watched_elementwise(Elementwise.__call__))
    _replace(Module, "__call__", _watched_module(Module.__call__))
    _replace(Module, "_forward_as", _watched_module(Module._forward_as))
    for method, name in _OPERATORS.items():
        _replace(Tensor, method, _watched_operator(getattr(Tensor, method), FUNCTIONS[name]))


def _replace(owner: Any, name: str, new: Callable[..., Any]) -> None:
    old = getattr(owner, name)
    setattr(owner, name, new)
    _fitted.append(lambda: setattr(owner, name, old))


def _watched_forward(primitive: Primitive, forward: Callable[..., Any]) -> Callable[..., Any]:
    def watched(needs: Any, *arrays: Any, **static: Any) -> Any:
        observer = _observer.get()
        if observer is None:
            return forward(needs, *arrays, **static)
        return observer.operation(primitive, arrays, lambda *a: forward(needs, *(a or arrays), **static), static)

    return watched


def _watched_elementwise(call: Callable[..., Any]) -> Callable[..., Any]:
    def watched(self: Elementwise, *args: Any, **kwargs: Any) -> Any:
        observer = _observer.get()
        if observer is None:
            return call(self, *args, **kwargs)
        if kwargs or len(args) != len(self.formula.inputs):
            args = self._bind(args, kwargs)
        return observer.operation(self, args, lambda *a: call(self, *(a or args)), {})

    return watched


def _watched_module(call: Callable[..., Any]) -> Callable[..., Any]:
    def watched(self: Module, *args: Any, **kwargs: Any) -> Any:
        observer = _observer.get()
        if observer is None:
            return call(self, *args, **kwargs)
        return observer.module(self, lambda: call(self, *args, **kwargs))

    return watched


def _watched_operator(method: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    def watched(self: Any, other: Any) -> Any:
        return method(self, other) if _observer.get() is None else function(self, other)

    return watched
