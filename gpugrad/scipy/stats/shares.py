"""What the distributions share: standard variables, logarithms of shares, values outside a support."""

from __future__ import annotations

import math
from typing import Any

from ...backend.placing import placed
from ...ops.arguments import bare
from ...ops.elementwise import divide, log, subtract, where
from ...ops.evaluated import reals

__all__: list[str] = []


def standard(name: str, x: Any, loc: Any, scale: Any, *shapes: Any) -> tuple[Any, ...]:
    """`(x - loc) / scale`, the scale, and a distribution's other parameters, all real and on one device.

    Python's numbers take the dtype of the others.

    Raises:
        TypeError: one is complex.
    """
    x, loc, scale, *others = reals(name, x, loc, scale, *shapes)
    return (divide(subtract(x, loc), scale), scale, *others)


@placed
def log_of_share(share: Any) -> Any:
    """The logarithm of a share between 0 and 1; where it is 0, -inf with gradient 0."""
    none = bare(share) == 0
    return where(none, -math.inf, log(where(none, 1.0, share)))
