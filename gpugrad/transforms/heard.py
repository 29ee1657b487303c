"""Methods that tell of their calls while somebody in the same thread listens; at other times they cost nothing more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from .. import mutation
from ..backend import backend_of
from ..nodes import Leaf

__all__ = ["ALLOCATED", "CHANGED", "GRADIENTS"]


class Heard:
    """A method, or a function of a module, that tells, while somebody in its thread listens, of its calls.

    Args:
        owner: gives the class or module.
        name: of the method.
        note: takes what was heard, a dictionary, and the method's first argument.
    """

    def __init__(self, owner: Callable[[], Any], name: str, note: Callable[[dict[Any, Any], Any], None]) -> None:
        self._owner, self._name, self._note = owner, name, note
        self._listening = threading.local()
        self._listeners = 0
        self._lock = threading.Lock()
        self._plain: Any = None

    @contextmanager
    def heard(self) -> Iterator[dict[Any, Any]]:
        """A block whose calls, of this thread, are noted in what it gives."""
        outer = getattr(self._listening, "found", None)
        found = self._listening.found = {}
        self._count(1)
        try:
            yield found
        finally:
            self._count(-1)
            self._listening.found = outer

    def _count(self, more: int) -> None:
        owner = self._owner()
        with self._lock:
            if not self._listeners:
                self._plain = getattr(owner, self._name)
                setattr(owner, self._name, self._telling(self._plain))
            self._listeners += more
            if not self._listeners:
                setattr(owner, self._name, self._plain)

    def _telling(self, plain: Any) -> Any:
        def method(first: Any, *args: Any) -> Any:
            found = getattr(self._listening, "found", None)
            if found is not None:
                self._note(found, first)
            return plain(first, *args)

        return method


def _cupy_backend() -> Any:
    from ..backend.cupy_backend import CupyBackend

    return CupyBackend


# Leaves that get a gradient, with the one that each had just before; GPUs on which memory is asked for; devices where
# arrays are changed in place, with the first array of each.
GRADIENTS: Final = Heard(lambda: Leaf, "accumulate", lambda found, leaf: found.setdefault(leaf, leaf.grad))
ALLOCATED: Final = Heard(_cupy_backend, "empty", lambda found, backend: found.setdefault(backend))
CHANGED: Final = Heard(lambda: mutation, "changed", lambda found, array: found.setdefault(backend_of(array), array))
