"""Grad mode: whether operations are recorded, by thread, and the debug mode that watches them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from . import anomaly

F = TypeVar("F", bound=Callable[..., Any])

# Context variables: each thread (and each async task) has its own, and reading one costs half a thread-local.
_recording: Final[ContextVar[bool]] = ContextVar("gpugrad_recording", default=True)
_short_way: Final[ContextVar[bool]] = ContextVar("gpugrad_short_way", default=True)
recording: Final = _recording.get  # operations are recorded
short_way: Final = _short_way.get  # recorded, and nobody watches: the operators' short way is open

# A part of a program runs for the second time (`checkpoint`): what it did to its surroundings it did the first time.
_again: Final[ContextVar[bool]] = ContextVar("gpugrad_again", default=False)
running_again: Final = _again.get


@contextlib.contextmanager
def again() -> Iterator[None]:
    """What runs in this block has run before: running statistics and counters are left alone."""
    token = _again.set(True)
    try:
        yield
    finally:
        _again.reset(token)


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread."""
    return recording()


class set_grad_enabled:  # noqa: N801 - a context manager and decorator under PyTorch's name
    """Record operations or not, within a `with` block or a decorated function; restored on every way out."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._before: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self._before.append((recording(), short_way()))
        _recording.set(self._enabled)
        _short_way.set(self._enabled and not anomaly.watching())

    def __exit__(self, *exc: object) -> None:
        before, short_before = self._before.pop()
        _recording.set(before)
        _short_way.set(short_before)

    def __call__(self, function: F) -> F:
        """Decorate: run `function` in this mode."""
        enabled = self._enabled

        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            with set_grad_enabled(enabled):
                return function(*args, **kwargs)

        return inner  # type: ignore[return-value]


def no_grad() -> set_grad_enabled:
    """Within this block (or decorated function) nothing is recorded: results need no gradient."""
    return set_grad_enabled(False)


def inference_mode(mode: Any = True) -> Any:
    """`no_grad` under PyTorch's other name, also as a plain decorator; `inference_mode(False)` records."""
    return no_grad()(mode) if callable(mode) else set_grad_enabled(not mode)


def enable_grad() -> set_grad_enabled:
    """Within this block (or decorated function) operations are recorded, also inside `no_grad`."""
    return set_grad_enabled(True)


class detect_anomaly:  # noqa: N801 - a context manager under PyTorch's name
    """Debug mode: remembers where each operation was recorded, and checksums of what it keeps.

    Backward then refuses values that were changed behind the tape's back (also through a bare array), and reports
    the first gradient that is nan or infinite, with the source line of the operation. Slow.
    """

    def __enter__(self) -> None:
        self._before = short_way()
        anomaly.enter()
        _short_way.set(False)

    def __exit__(self, *exc: object) -> None:
        anomaly.leave()
        _short_way.set(self._before)
