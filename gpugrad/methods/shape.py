"""The methods of `Tensor` that move, pick or convert elements: one line each, the operation of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np

from ..primitive import FUNCTIONS, Operation
from ..signatures import called
from .arguments import refuse

_CALL: Final[Mapping[str, Operation]] = FUNCTIONS


class ShapeMethods:
    """Shapes, axes, indexing, copies."""

    __slots__ = ()

    def reshape(self, *shape: Any, order: str | None = None, copy: None = None) -> Self:
        """The same elements in another shape; one length may be -1."""
        if order is not None or copy is not None:
            refuse("reshape", copy=copy)
            options = {"order": order or "C"}
            return called(_CALL["reshape"], np.reshape, (self, shape[0] if len(shape) == 1 else shape), options)  # type: ignore[no-any-return]
        return _CALL["reshape"](self, *shape)

    def view(self, *shape: Any) -> Self:
        """`reshape` under PyTorch's name."""
        return _CALL["view"](self, *shape)

    def view_as(self, other: Any) -> Self:
        """In the shape of `other`."""
        return _CALL["view_as"](self, other)

    def reshape_as(self, other: Any) -> Self:
        """In the shape of `other`."""
        return _CALL["view_as"](self, other)

    def ravel(self, order: str = "C") -> Self:
        """All elements along one axis, the last index changing fastest, or the first with order "F"."""
        return called(_CALL["ravel"], np.ravel, (self,), {"order": order})  # type: ignore[no-any-return]

    def flatten(self, start_dim: int | str = 0, end_dim: int = -1, *, order: str | None = None) -> Self:
        """The axes from `start_dim` to `end_dim` joined into one; with an order, as NumPy's, `ravel`."""
        if order is not None or isinstance(start_dim, str):
            return self.ravel(str(start_dim) if order is None else order)
        return _CALL["flatten"](self, start_dim, end_dim)

    def unflatten(self, dim: int, sizes: Any) -> Self:
        """Axis `dim` split into axes of lengths `sizes`."""
        return _CALL["unflatten"](self, dim, sizes)

    def squeeze(self, *args: Any, **kwargs: Any) -> Self:
        """Without the axes of length 1 (all, or `axis`/`dim`)."""
        return _CALL["squeeze"](self, *args, **kwargs)

    def unsqueeze(self, dim: int) -> Self:
        """With an axis of length 1 at `dim`."""
        return _CALL["unsqueeze"](self, dim)

    def transpose(self, *args: Any, **kwargs: Any) -> Self:
        """The axes in another order, reversed if none is given (NumPy's meaning; see `gg.transpose`)."""
        return _CALL["transpose"](self, *args, **kwargs)

    def permute(self, *dims: Any) -> Self:
        """The axes in the order `dims`."""
        return _CALL["permute"](self, *dims)

    def swapaxes(self, axis1: int, axis2: int) -> Self:
        """Two axes swapped."""
        return _CALL["swapaxes"](self, axis1, axis2)

    def swapdims(self, dim0: int, dim1: int) -> Self:
        """Two axes swapped."""
        return _CALL["swapaxes"](self, dim0, dim1)

    def moveaxis(self, source: Any, destination: Any) -> Self:
        """Axes moved, the others in their order."""
        return _CALL["moveaxis"](self, source, destination)

    def movedim(self, source: Any, destination: Any) -> Self:
        """Axes moved, the others in their order."""
        return _CALL["moveaxis"](self, source, destination)

    def t(self) -> Self:
        """A matrix transposed."""
        return _CALL["t"](self)

    def expand(self, *shape: Any) -> Self:
        """Broadcast to a shape, -1 keeping a length; a view."""
        return _CALL["expand"](self, *shape)

    def expand_as(self, other: Any) -> Self:
        """Broadcast to the shape of `other`; a view."""
        return _CALL["expand_as"](self, other)

    def broadcast_to(self, shape: Any) -> Self:
        """Broadcast to a shape; a view."""
        return _CALL["broadcast_to"](self, shape)

    def sum_to(self, shape: Any) -> Self:
        """Summed down to a shape that broadcasts to this one."""
        return _CALL["sum_to"](self, shape)

    def flip(self, *args: Any, **kwargs: Any) -> Self:
        """Reversed along axes (`axis`/`dims`)."""
        return _CALL["flip"](self, *args, **kwargs)

    def fliplr(self) -> Self:
        """Reversed along the second axis."""
        return _CALL["fliplr"](self)

    def flipud(self) -> Self:
        """Reversed along the first axis."""
        return _CALL["flipud"](self)

    def roll(self, *args: Any, **kwargs: Any) -> Self:
        """Shifted along axes, what leaves coming in at the other end."""
        return _CALL["roll"](self, *args, **kwargs)

    def rot90(self, k: int = 1, dims: Any = (0, 1)) -> Self:
        """Turned by 90 degrees `k` times in the plane of two axes."""
        return _CALL["rot90"](self, k, dims)

    def repeat(self, *args: Any, **kwargs: Any) -> Self:
        """Each element repeated (NumPy's meaning; PyTorch's is `tile`)."""
        return _CALL["repeat"](self, *args, **kwargs)

    def repeat_interleave(self, *args: Any, **kwargs: Any) -> Self:
        """Each element repeated."""
        return _CALL["repeat"](self, *args, **kwargs)

    def tile(self, *reps: Any) -> Self:
        """Copies side by side, `reps` times along each axis."""
        return _CALL["tile"](self, *reps)

    def split(self, *args: Any, **kwargs: Any) -> list[Self]:
        """Cut along an axis into parts of given lengths (with `axis=` NumPy's meaning; see `gg.split`)."""
        return FUNCTIONS["torch.split"](self, *args, **kwargs)  # type: ignore[no-any-return]

    def chunk(self, chunks: int, dim: int = 0) -> list[Self]:
        """At most `chunks` parts along an axis."""
        return FUNCTIONS["chunk"](self, chunks, dim)  # type: ignore[no-any-return]

    def unbind(self, dim: int = 0) -> tuple[Self, ...]:
        """The slices along an axis."""
        return FUNCTIONS["unbind"](self, dim)  # type: ignore[no-any-return]

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Self:
        """The diagonals, as the last axis."""
        return _CALL["diagonal"](self, offset, axis1, axis2)

    def diag(self, k: int = 0) -> Self:
        """The diagonal of a matrix, or the matrix with this diagonal."""
        return _CALL["diag"](self, k)

    def diag_embed(self, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Self:
        """Matrices with the last axis on their diagonal."""
        return _CALL["diag_embed"](self, offset, dim1, dim2)

    def tril(self, k: int = 0, *, diagonal: int | None = None) -> Self:
        """With zeros above the `k`-th diagonal."""
        return _CALL["tril"](self, k, diagonal=diagonal)

    def triu(self, k: int = 0, *, diagonal: int | None = None) -> Self:
        """With zeros below the `k`-th diagonal."""
        return _CALL["triu"](self, k, diagonal=diagonal)

    def take(self, indices: Any, axis: int | None = None, out: None = None, mode: str = "raise") -> Self:
        """Elements or slices at positions that may repeat; beyond the ends as `mode` says."""
        options = {"out": out, "mode": mode}
        return called(_CALL["take"], np.take, (self, indices, axis), options)  # type: ignore[no-any-return]

    def index_select(self, dim: int, index: Any) -> Self:
        """Slices at positions of axis `dim`."""
        return _CALL["index_select"](self, dim, index)

    def take_along_axis(self, indices: Any, axis: int | None = -1) -> Self:
        """Picked along an axis, with one index for each place."""
        return _CALL["take_along_axis"](self, indices, axis)

    def gather(self, dim: int, index: Any) -> Self:
        """Picked along axis `dim`, with one index for each place."""
        return _CALL["gather"](self, dim, index)

    def scatter(self, dim: int, index: Any, src: Any) -> Self:
        """A copy with `src` written where `gather` would pick."""
        return _CALL["scatter"](self, dim, index, src)

    def scatter_add(self, dim: int, index: Any, src: Any) -> Self:
        """With `src` added where `gather` would pick."""
        return _CALL["scatter_add"](self, dim, index, src)

    def index_add(self, dim: int, index: Any, source: Any, alpha: float = 1) -> Self:
        """With slices added at positions of axis `dim`."""
        return _CALL["index_add"](self, dim, index, source, alpha)

    def index_put(self, index: Any, value: Any) -> Self:
        """A copy with `value` at `index`."""
        return _CALL["index_put"](self, index, value)

    def masked_fill(self, mask: Any, value: Any) -> Self:
        """With `value` where `mask` holds."""
        return _CALL["masked_fill"](self, mask, value)

    def masked_select(self, mask: Any) -> Self:
        """The elements where `mask` holds, along one axis."""
        return _CALL["masked_select"](self, mask)

    def nonzero(self, *, as_tuple: bool = True) -> Any:
        """The positions of the elements that are not 0; no gradient."""
        return FUNCTIONS["nonzero"](self, as_tuple=as_tuple)

    def astype(self, dtype: Any, copy: bool = True) -> Self:
        """With another dtype; the gradient comes back in this one."""
        return _CALL["astype"](self, dtype, copy)

    def clone(self) -> Self:
        """A copy; the gradient passes through."""
        return _CALL["clone"](self)

    def conj(self) -> Self:
        """The complex conjugate."""
        return _CALL["conj"](self)

    conjugate = conj

    def __getitem__(self, index: Any) -> Self:
        """Elements by integers, slices, masks, arrays or tensors."""
        return _CALL["getitem"](self, index)

    def argwhere(self) -> Self:
        """The positions of the elements that are not 0, one row for each; no gradient."""
        return _CALL["argwhere"](self)

    def tensor_split(self, indices_or_sections: Any, dim: int = 0) -> list[Self]:
        """Cut along an axis into parts that may differ in length by one."""
        return FUNCTIONS["array_split"](self, indices_or_sections, dim)  # type: ignore[no-any-return]
