"""An index along one axis, as `take_along_axis` and PyTorch's `gather` have it."""

from __future__ import annotations

import operator
from typing import Any

Shape = tuple[int, ...]


class Along:
    """Picks with `indices` along an axis and stays in place on the others, which have `lengths`."""

    __slots__ = ("arrays", "axis", "indices", "lengths", "xp")

    def __init__(self, indices: Any, axis: int, lengths: Shape, xp: Any) -> None:
        self.indices, self.axis, self.lengths, self.xp = indices, axis, lengths, xp
        self.arrays: tuple[Any, ...] | None = None

    def spread(self) -> tuple[Any, ...]:
        """The same as arrays of the indices' array module, one for each axis, which broadcast; they are kept."""
        if self.arrays is None:
            ones = [1] * self.indices.ndim
            self.arrays = tuple([
                self.indices if i == self.axis else self.xp.arange(n).reshape([*ones[:i], n, *ones[i + 1 :]])
                for i, n in enumerate(self.lengths)
            ])  # fmt: skip
        return self.arrays

    def once(self) -> bool:
        """Whether no element can be picked twice: one index along the axis, and no repetition on the others."""
        shape = self.indices.shape
        return shape[self.axis] <= 1 and all(map(operator.le, shape, self.lengths))
