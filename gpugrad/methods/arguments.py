"""Arguments that NumPy's and CuPy's functions hand to an array's method, and that tensors have no use for."""

from __future__ import annotations

from typing import Any


def refuse(name: str, **given: Any) -> None:
    """Refuse what would change the result: `out=` and its kin unless None.

    Raises:
        TypeError: one of them is given.
    """
    for argument, value in given.items():
        if value is not None:
            raise TypeError(f"[{name}] {argument}= is not supported for tensors; assign the result, y = x.{name}(...)")
