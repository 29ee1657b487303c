"""What moves elements without computing: copies, casts, writes to parts, reshaping and joining.

Here by the array module's own functions, which serve the CPU, maps and arrays without data; a GPU has kernels
(`cuda_copies`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..fusion import trace
from .along import Along

_SCALED: Final = trace(lambda x, factor: x * factor, "scaled")


class Moving:
    """The part of a backend that moves elements."""

    xp: Any
    empty: Any
    kernel: Any

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """A C-contiguous array of zeros, from the recycled buffers where there are such."""
        out = self.empty(shape, dtype)
        out.fill(0)
        return out

    def copy(self, x: Any) -> Any:
        """A copy in C order."""
        return x.copy()

    def copies(self, arrays: Sequence[Any]) -> list[Any]:
        """A copy of each, in its own order."""
        return [a.copy(order="K") for a in arrays]

    def cast(self, x: Any, dtype: Any) -> Any:
        """A copy of `x` in another dtype."""
        return x.astype(dtype)

    def cast_many(self, arrays: Sequence[Any], dtype: Any) -> list[Any]:
        """Copies in another dtype, made at once; None in the place of those for which that would save nothing."""
        return [None] * len(arrays)

    def put(self, target: Any, index: Any, source: Any) -> None:
        """`target[index] = source`; an array that is given has no memory in common with the target."""
        target[index] = source

    def put_scaled(self, targets: Sequence[Any], sources: Sequence[Any], factor: float) -> None:
        """`targets[i][...] = sources[i]`, the first times a number; targets share no memory with sources."""
        first, target, times = sources[0], targets[0], self.kernel(_SCALED)
        if first.dtype.itemsize > target.dtype.itemsize:
            self.put(target, ..., times(first, factor))
        else:
            if first.dtype != target.dtype:
                self.put(target, ..., first)
                first = target
            times(first, factor, out=target)
        for target, source in zip(targets[1:], sources[1:], strict=True):
            self.put(target, ..., source)

    def write(self, kernel: Any, arrays: Sequence[Any], places: Sequence[Any]) -> list[Any]:
        """The outputs of a formula's kernel: the first are written to `places`, the others are the answer.

        The places, of the results' shape, share no memory with the arrays, nor with one another.
        """
        outs = kernel(*arrays)
        if type(outs) is not tuple:
            places[0][...] = outs
            return []
        for i, place in enumerate(places):
            place[...] = outs[i]
        return list(outs[len(places) :])

    def take_rows(self, x: Any, index: Any) -> Any:
        """`x[index]` for an array of integers."""
        return x[index]

    def take_along(self, x: Any, index: Along) -> Any | None:
        """The elements of `x` at an index along an axis; None where that is the array module's to do."""
        return None

    def add_along(self, g: Any, index: Along, shape: tuple[int, ...], unique: bool) -> Any | None:
        """Zeros of `shape` with `g` added at an index along an axis (`unique`: no place twice); None likewise."""
        return None

    def reshape(self, x: Any, shape: tuple[int, ...]) -> Any:
        """`x` in another shape, a view where the memory allows one; no length is left open."""
        return x.reshape(shape)

    def scattered(self, stack: Any) -> bool:
        """Whether products with this stack of matrices, of several axes, take more launches than with a copy of it."""
        return False

    def roll(self, x: Any, shifts: Sequence[int], axes: Sequence[int]) -> Any:
        """A copy whose elements are shifted along axes; what leaves at one end comes in at the other."""
        return self.xp.roll(x, shifts, axes)

    def concatenate(self, arrays: Sequence[Any], axis: int) -> Any:
        """Arrays side by side along `axis`."""
        return self.xp.concatenate(arrays, axis=axis)

    def join(self, arrays: Sequence[Any], axis: int, out: Any) -> None:
        """Arrays side by side along `axis` of `out`."""
        self.xp.concatenate(arrays, axis=axis, out=out)
