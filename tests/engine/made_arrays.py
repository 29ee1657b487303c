"""Counts the arrays that the CPU's backend makes."""

from collections.abc import Callable
from typing import Any

import pytest

import gpugrad as gg


def counting(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[int]:
    """The sizes of arrays that are made by these methods of the backend from now on."""
    made: list[int] = []
    kind = type(gg.backend.cpu())

    def counted(name: str) -> Callable[..., Any]:
        plain = getattr(kind, name)

        def call(self: Any, *args: Any) -> Any:
            out = plain(self, *args)
            made.append(out.size)
            return out

        return call

    for name in names:
        monkeypatch.setattr(kind, name, counted(name))
    return made
