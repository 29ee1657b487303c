"""`r_` and `c_`: arrays joined by what stands in brackets. The joining itself is in `ops.joining`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.arguments import operand
from ..ops.joining import concatenate
from ..ops.shape import atleast_1d, reshape


class _Joined:
    """Joins the arrays, numbers and slices in its brackets along an axis."""

    def __init__(self, name: str, columns: bool) -> None:
        self._name, self._columns = name, columns

    def __getitem__(self, parts: Any) -> Any:
        """The parts side by side; slices are ranges, with a step of `nj` n points from start to stop.

        Raises:
            TypeError: a text among the parts: NumPy's directives are not taken.
        """
        found = []
        for part in parts if isinstance(parts, tuple) else (parts,):
            if isinstance(part, str):
                raise TypeError(
                    f"[{self._name}] {part!r}: directives are not taken; use concatenate or stack with their axis"
                )
            array = atleast_1d(_range(part) if isinstance(part, slice) else operand(part))
            found.append(reshape(array, (-1, 1)) if self._columns and len(array.shape) == 1 else array)
        return concatenate(found, -1 if self._columns else 0)


def _range(part: slice) -> Any:
    start = 0 if part.start is None else part.start
    if isinstance(part.step, complex):
        return np.linspace(start, part.stop, round(abs(part.step)))
    return np.arange(start, part.stop, part.step)


r_ = _Joined("r_", columns=False)
c_ = _Joined("c_", columns=True)
