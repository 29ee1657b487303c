"""Which GPU is the current one in a process that sees several: CuPy allocates and launches there, whatever it is given.

Operations, walks over the tape and updates make the GPU of their arrays the current one while they run, and leave the
one that was. Where there is one GPU, or none, nothing is asked: `MANY` is empty.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final, ParamSpec, TypeVar

from .base import WrappedArray, memory
from .device import DeviceError
from .out_of_memory import tell

P = ParamSpec("P")
R = TypeVar("R")

MANY: Final[list[None]] = []  # one entry in a process that uses a GPU and sees several


def number_of(value: Any) -> int | None:
    """The number of the GPU that an array, or a tensor's array, lies on; None for anything else."""
    array = value.data if hasattr(value, "_node") else value
    array = memory(array) if isinstance(array, WrappedArray) else array
    if type(array) in (list, tuple):
        return next((n for n in map(number_of, array) if n is not None), None)
    of_cupy = type(array).__module__.partition(".")[0] == "cupy" and hasattr(array, "strides")
    return int(array.data.device_id) if of_cupy else None


def elsewhere(name: str, values: Iterable[Any]) -> Any:
    """A context in which the GPU that all of `values` are on is the current one; None where it is, or they are on none.

    Raises:
        DeviceError: they are on several GPUs; names them.
    """
    values = [v for value in values for v in (value if type(value) in (list, tuple) else (value,))]
    numbers = [number_of(v) for v in values]
    found = {n for n in numbers if n is not None}
    if len(found) > 1:
        arrays = [v.data if hasattr(v, "_node") else v for v, n in zip(values, numbers, strict=True) if n is not None]
        shown = "; ".join(f"{tuple(a.shape)} {a.dtype} on cuda:{number_of(a)}" for a in arrays)
        raise DeviceError(
            f"[{name}] operands on different devices: {shown}; move one, e.g. x.to('cuda:{number_of(arrays[0])}')"
        )
    device = sys.modules["cupy"].cuda.Device
    return device(found.pop()) if found and device().id not in found else None


def placed(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: run on the GPU of the arguments, for functions that compute besides calling operations."""

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            if MANY and (there := elsewhere(function.__name__, (*args, *kwargs.values()))) is not None:
                with there:
                    return function(*args, **kwargs)
            return function(*args, **kwargs)
        except MemoryError as error:
            tell(function.__name__, error)
            raise

    return inner


def follow(value: Any) -> None:
    """Make the GPU of an array the current one; `returning` is around."""
    number = number_of(value)
    if number is not None:
        sys.modules["cupy"].cuda.Device(number).use()


@contextmanager
def returning() -> Iterator[None]:
    """A block after which the current GPU is the one that it was."""
    with sys.modules["cupy"].cuda.Device():
        yield


class PlacedModule:
    """CuPy, or a module of it, whose functions run on one GPU, whatever the current one is.

    Args:
        module: CuPy's.
        place: gives a context in which the GPU is the current one.
    """

    def __init__(self, module: Any, place: Callable[[], Any]) -> None:
        self._module, self._place = module, place

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if isinstance(found, ModuleType) and name != "cuda":
            found = PlacedModule(found, self._place)
        elif callable(found) and not isinstance(found, type):
            found = _PlacedFunction(found, self._place)
        self.__dict__[name] = found
        return found


class _PlacedFunction(PlacedModule):
    """A function of CuPy, with what hangs on it (`add.at`, `multiply.reduce`)."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._place():
            return self._module(*args, **kwargs)
