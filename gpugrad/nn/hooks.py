"""Handles of the functions that watch a module's calls, or change what it gives.

When they are called is `Module.__call__`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ForwardHook = Callable[[Any, tuple[Any, ...], Any], Any]


class HookHandle:
    """A forward hook of a module, for taking it away again."""

    def __init__(self, module: Any, hook: ForwardHook) -> None:
        self.module, self.hook = module, hook

    def remove(self) -> None:
        """Take the hook away; a second time does nothing."""
        self.module._forward_hooks = tuple(h for h in self.module._forward_hooks if h is not self)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()
