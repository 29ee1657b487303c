"""The error of everything that finds no memory, and CuPy's pools raising it.

Memory of a GPU is asked for in many places, most of them CuPy's functions. What they have in common is the class of the
error that its pools raise, by its name in their module: from when a GPU comes into use, that is a class of ours,
derived from theirs. So nothing has to be caught on the way, and nothing is slower as long as there is memory.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from .device import Device

P = ParamSpec("P")
R = TypeVar("R")

# Between a function of gpugrad's and the allocator there may be these too.
_BETWEEN: Final = {"contextlib", "cupy", "cupyx", "functools"}

_ADVICE: Final = (
    "Try a smaller batch or model, or a narrower dtype; delete what is not needed any more (a loss holds its graph: "
    "keep loss.item()). gg.cuda.memory_summary() says what a GPU's memory is taken by, gg.cuda.empty_cache() returns "
    "what lies idle to other programs"
)


class OutOfMemoryError(MemoryError):
    """An operation, a backward pass or any other call found no memory; the message says what is held and what to try.

    What the graph behind an operation keeps is told with it; other calls know of none.

    Attributes:
        held: bytes that the graph behind the operation keeps, by operation, largest first.
        where: the device, where the allocator knew.
        plain: what the allocator said, where no operation has said more yet.
    """

    def __init__(
        self, message: str, held: dict[str, int] | None = None, where: str | None = None, plain: str | None = None
    ) -> None:
        MemoryError.__init__(self, message)  # a class derived from CuPy's too has another one next
        self.held = held or {}
        self.where, self.plain = where, plain

    def __reduce__(self) -> Any:
        return OutOfMemoryError, (str(self), self.held, self.where, self.plain)


def tell(name: str, error: MemoryError) -> None:
    """Where `name` found no main memory: raise what a GPU's lack would; what has been told so already is left alone.

    Raises:
        OutOfMemoryError: it has not.
    """
    if not isinstance(error, OutOfMemoryError):
        plain = str(error).rstrip(".")
        raise OutOfMemoryError(_message(name, "cpu", plain), where="cpu", plain=plain) from error


def told(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: `tell` where the function finds no memory."""

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except MemoryError as error:
            tell(function.__name__, error)
            raise

    return inner


def teach(cupy: Any) -> None:
    """From here on CuPy's pools raise our error, which is theirs too."""
    memory = cupy.cuda.memory
    if not issubclass(memory.OutOfMemoryError, OutOfMemoryError):
        memory.OutOfMemoryError = _derived(memory.OutOfMemoryError)


def _derived(theirs: Any) -> Any:
    class DeviceOutOfMemoryError(OutOfMemoryError, theirs):  # type: ignore[misc]  # of which only CuPy knows
        def __init__(self, size: int, total: int, limit: int = 0) -> None:
            theirs.__init__(self, size, total, limit)  # which finds its class by name, and that is this one now
            words, caller = str(self), _caller()
            where, plain = _taken(words.rstrip("."))
            message = words if caller is None else _message(caller, where, plain)
            OutOfMemoryError.__init__(self, message, where=where, plain=plain)

    DeviceOutOfMemoryError.__name__ = DeviceOutOfMemoryError.__qualname__ = OutOfMemoryError.__name__
    return DeviceOutOfMemoryError


def _message(caller: str, where: str | None, plain: str) -> str:
    return f"[{caller}] out of memory{f' on {where}' if where else ''}: {plain}\n{_ADVICE}"


def _caller() -> str | None:
    """The function of gpugrad's that the program called, innermost where it was called in turn; None where none was."""
    public = private = None
    inside = False
    frame: Any = sys._getframe(2)
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module.startswith("gpugrad."):
            inside = inside or module != __name__
            name = frame.f_code.co_name
            if module != __name__ and not name.startswith("<") and frame.f_code.co_qualname.find("<") < 0:
                if module.startswith("gpugrad.backend.") or (name.startswith("_") and not name.endswith("__")):
                    private = name
                else:
                    public = _shown(name, frame)
        elif inside and not any(module == each or module.startswith(f"{each}.") for each in _BETWEEN):
            break
        frame = frame.f_back
    return public or private


def _shown(name: str, frame: Any) -> str:
    """The name of a function, with its object's class where it is a method."""
    owner = frame.f_locals.get("self") if "." in frame.f_code.co_qualname else None
    if owner is None:
        return name
    kind = type(owner).__name__
    return kind if name in ("__init__", "__call__") else f"{kind}.{name}"


def _taken(plain: str) -> tuple[str | None, str]:
    """The current GPU, and what its allocators hold, as the end of a sentence."""
    from . import _CUDA

    try:
        index = int(sys.modules["cupy"].cuda.Device().id)
        return str(Device("cuda", index)), plain + holding(_CUDA[index])
    except Exception:  # another allocator, a capture: what the error is about is more important
        return None, plain


def holding(backend: Any) -> str:
    """What a GPU's allocators hold, as part of a sentence."""
    s = backend.memory_stats()
    graphs = f"{mib(s.graph_bytes)} taken by compiled steps, " if s.graph_bytes else ""
    limit = f"{mib(s.limit_bytes)} allowed for all of it, " if s.limit_bytes else ""
    return (
        f"; {mib(s.in_use_bytes)} are in arrays, {mib(s.held_bytes)} held by the pool, {graphs}{limit}"
        f"{mib(s.free_bytes)} of {mib(s.total_bytes)} free for all programs"
    )


def mib(nbytes: int) -> str:
    """Bytes for people."""
    return f"{nbytes / 2**20:,.1f} MiB"
