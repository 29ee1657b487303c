"""The part of the CUDA backend that moves elements: the GPU is made current, and kernels of our own do it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import compress
from typing import Any

import numpy as np

from . import cuda_casts, cuda_copies, cuda_picking
from .along import Along
from .base import Array, Backend
from .cuda_kernels import memory_order
from .products import launches


class MovingBackend(Backend):
    """Copies, casts, writes to parts, joining, and rows by index on one GPU."""

    @abstractmethod
    def place(self) -> Any:
        """A context in which this GPU is the current one."""

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        with self.place():
            return self.xp.zeros(shape, dtype)

    def copy(self, x: Array) -> Array:
        with self.place():
            return cuda_copies.copy(x)

    def copies(self, arrays: Sequence[Any]) -> list[Any]:
        with self.place():
            made = cuda_casts.cast_many(arrays, np.dtype(np.float32)) if len(arrays) > 1 else [None]
            return [cuda_copies.twin(a) if copy is None else copy for a, copy in zip(arrays, made, strict=False)]

    def cast(self, x: Array, dtype: Any) -> Array:
        with self.place():
            return cuda_copies.cast(x, np.dtype(dtype))

    def cast_many(self, arrays: Sequence[Any], dtype: Any) -> list[Any]:
        with self.place():
            return cuda_casts.cast_many(arrays, dtype)

    def put(self, target: Array, index: Any, source: Any) -> None:
        with self.place():
            if _has_arrays(index):
                target[index] = source
                return
            key = index if isinstance(index, tuple) else (index,)
            if not any(part is ... for part in key):
                key = (*key, ...)  # with it a single element is a view, too
            cuda_copies.put(target[key], source)

    def put_scaled(self, targets: Sequence[Any], sources: Sequence[Any], factor: float) -> None:
        """As the base class's; those of the first one's shape in one launch."""
        alike = [t.shape == targets[0].shape for t in targets]
        with self.place():
            if not cuda_copies.put_scaled(list(compress(targets, alike)), list(compress(sources, alike)), factor):
                super().put_scaled(targets, sources, factor)
                return
        for target, source, done in zip(targets, sources, alike, strict=True):
            if not done:
                self.put(target, ..., source)

    def write(self, kernel: Any, arrays: Sequence[Any], places: Sequence[Any]) -> list[Any]:
        """As the base class's, in one launch."""
        like = places[0]
        others = [self.empty(like.shape, like.dtype) for _ in kernel.formula.outputs[len(places) :]]
        outs = *places, *others
        kernel(*arrays, out=outs if len(outs) > 1 else outs[0])
        return others

    def take_rows(self, x: Array, index: Array) -> Array:
        with self.place():
            if not x.size or x.dtype.kind not in "fV" or not x.flags.c_contiguous or index.dtype.kind not in "iu":
                return x[index]
            return cuda_picking.take_rows(x, index)

    def take_along(self, x: Array, index: Along) -> Array | None:
        with self.place():
            return cuda_picking.take_along(x, index)

    def add_along(self, g: Array, index: Along, shape: tuple[int, ...], unique: bool) -> Array | None:
        with self.place():
            return cuda_picking.add_along(g, index, shape, unique)

    def reshape(self, x: Array, shape: tuple[int, ...]) -> Array:
        if x.flags.c_contiguous:
            return x.reshape(shape)
        with self.place():
            return cuda_copies.reshaped(x, shape)

    def scattered(self, stack: Any) -> bool:
        return launches(stack.shape, stack.strides) > 2

    def roll(self, x: Array, shifts: Sequence[int], axes: Sequence[int]) -> Array:
        """As the base class's, in a launch for each axis."""
        rolled = x
        for shift, axis in zip(shifts, axes, strict=True):
            first = -shift % max(x.shape[axis], 1)
            if first:
                before = (slice(None),) * axis
                parts = rolled[(*before, slice(first, None))], rolled[(*before, slice(first))]
                rolled = self.concatenate(parts, axis)
        return self.copy(x) if rolled is x else rolled

    def concatenate(self, arrays: Any, axis: int) -> Array:
        first, axis = arrays[0], axis % max(arrays[0].ndim, 1)
        before, after = first.shape[:axis], first.shape[axis + 1 :]
        if any((a.dtype, a.shape[:axis], a.shape[axis + 1 :]) != (first.dtype, before, after) for a in arrays):
            with self.place():  # which promotes, or refuses
                return self.xp.concatenate(arrays, axis=axis)
        shape = (*before, sum([a.shape[axis] for a in arrays]), *after)
        order = memory_order(first.shape, [first])
        if order is None or any(memory_order(a.shape, [a]) != order for a in arrays):
            out = self.empty(shape, first.dtype)
        else:  # images with channels last stay so
            out = self.empty(tuple([shape[i] for i in order]), first.dtype).transpose(np.argsort(order).tolist())
        self.join(arrays, axis, out)
        return out

    def join(self, arrays: Any, axis: int, out: Array) -> None:
        with self.place():
            cuda_copies.concatenate(arrays, axis, out)

    def scatter_add(self, target: Array, index: Any, source: Array) -> None:
        with self.place():
            if not _has_arrays(index):  # slices and numbers name no element twice
                target[index] += source
                return
            rows = isinstance(index, self.xp.ndarray) and index.dtype.kind in "iu" and target.ndim > 0
            if rows and target.flags.c_contiguous and target.dtype == source.dtype and target.dtype.kind in "fV":
                cuda_picking.scatter_add_rows(target, index, source)
                return
            if target.dtype.kind == "c":
                self.scatter_add(target.real, index, source.real)
                self.scatter_add(target.imag, index, source.imag)
                return
            # Any other index: ask it for the number of each element that it names, and treat those as rows.
            numbers = self.xp.arange(target.size, dtype=np.int64).reshape(target.shape)[index]
            source = self.xp.broadcast_to(source, numbers.shape).astype(target.dtype, copy=False)
            if target.dtype.kind in "biu":
                self._add_integers(target, numbers, source)
                return
            dense = self.xp.zeros(target.shape, target.dtype)
            cuda_picking.scatter_add_rows(dense.reshape(-1), numbers, source)
            target += dense

    def _add_integers(self, target: Array, numbers: Array, source: Array) -> None:
        """Integers add up to the same sum in any order, so atomics do; CuPy has them for 64 unsigned bits."""
        total = self.xp.zeros(target.size, np.uint64)
        self.xp.add.at(total, numbers.reshape(-1), source.reshape(-1).astype(np.int64).view(np.uint64))
        target += total.view(np.int64).reshape(target.shape).astype(target.dtype)


def _has_arrays(index: Any) -> bool:
    """Whether an index names elements one by one (arrays, lists), not by slices and single numbers."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(p, list) or getattr(p, "shape", ()) != () for p in parts)
