"""What the distributions share: standard variables, logarithms of shares, values outside a support."""

from __future__ import annotations

import math
from typing import Any

from ...ops.arguments import bare, operand
from ...ops.elementwise import divide, log, subtract, where

__all__: list[str] = []


def standard(x: Any, loc: Any, scale: Any) -> Any:
    """`(x - loc) / scale`."""
    return divide(subtract(operand(x), loc), scale)


def log_of_share(share: Any) -> Any:
    """The logarithm of a share between 0 and 1; where it is 0, -inf with gradient 0."""
    none = bare(share) == 0
    return where(none, -math.inf, log(where(none, 1.0, share)))
