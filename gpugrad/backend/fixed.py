"""Lists of arrays that stay as they are: what an optimizer updates step after step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Fixed(list[Any]):
    """A list of arrays that stays as it is, with room for what a backend found out about it.

    Attributes:
        known: the backend's notes; they go with the list.
    """

    __slots__ = ("known",)

    def __init__(self, arrays: Iterable[Any]) -> None:
        super().__init__(arrays)
        self.known: Any = None
