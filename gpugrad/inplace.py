"""In-place changes of tensors: on the bare array where nothing is recorded, else as a recorded result.

What the tape has saved is protected by `mutation`; what would leave a view or a leaf with the wrong gradient is
refused here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from . import mutation
from .backend import WrappedArray, backend_of, memory
from .gradmode import recording
from .nodes import GradientError, Node, PrimitiveNode
from .primitive import FUNCTIONS

_VIEWS = frozenset(("reshape", "transpose", "broadcast_to", "flip", "alias"))


class InPlace:
    """The part of `Tensor` that writes to it: item assignment, `+=` and its kin, PyTorch's methods with a `_`."""

    __slots__ = ()
    data: Any
    _node: Node | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.data.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        """The NumPy dtype of the elements."""
        return self.data.dtype

    def __setitem__(self, index: Any, value: Any) -> None:
        self._write(
            "setitem",
            lambda: FUNCTIONS["index_put"](self, index, value),
            lambda x, v: x.__setitem__(_bare(index), v),
            value,
        )

    def __iadd__(self, other: Any) -> Self:
        return self._inplace("add", other)

    def __isub__(self, other: Any) -> Self:
        return self._inplace("subtract", other)

    def __imul__(self, other: Any) -> Self:
        return self._inplace("multiply", other)

    def __itruediv__(self, other: Any) -> Self:
        return self._inplace("divide", other)

    def _inplace(self, name: str, other: Any) -> Self:
        def write(x: Any, v: Any) -> None:
            getattr(backend_of(x).xp, name)(x, v, out=x)

        self._write(name, lambda: FUNCTIONS[name](self, other), write, other)
        return self

    def _write(self, name: str, compute: Callable[[], Any], write: Callable[[Any, Any], None], value: Any) -> None:
        """Change the tensor in place: on the array itself where nothing is recorded, else as a recorded result.

        A recorded result takes this tensor's place; memory that the tape or a view shares is left as it was.
        """
        recorded = recording() and (self._node is not None or (getattr(value, "_node", None) is not None))
        if not recorded:
            if isinstance(_array(value), WrappedArray) and not isinstance(self.data, WrappedArray):
                raise GradientError(
                    f"[{name}] values that differ from example to example of a vmap, written to a tensor from outside "
                    f"it (shape {self.shape}): it would have to hold all of them; compute a new tensor, or write to "
                    "one made inside (gg.zeros, x.clone())"
                )
            write(self.data, _array(value))
            mutation.changed(self.data, name)
            return
        if self._node is not None and self._node.leaf:
            raise GradientError(
                f"[{name}] in place on a leaf that requires a gradient (shape {self.shape}): its gradient would mean "
                "two things; compute a new tensor, or change it under gg.no_grad()"
            )
        if _is_view(self.data, self._node):
            raise GradientError(
                f"[{name}] in place on a view (shape {self.shape}) of another tensor while recording: the other tensor "
                "would not know; write to that tensor directly, or to x.clone()"
            )
        result = compute()
        if result.shape != self.shape:
            raise ValueError(
                f"[{name}] the result has shape {result.shape}, the tensor {self.shape}; it cannot grow in place"
            )
        result = result if result.dtype == self.dtype else FUNCTIONS["astype"](result, self.dtype)
        mutation.changed(self.data, name)
        self.data = result.data
        self._node = result._node  # type: ignore[misc]  # the slot is the subclass's

    # PyTorch's in-place methods, for initialisers and hand-written updates under no_grad.
    def copy_(self, other: Any) -> Self:
        """Overwrite the values with those of `other` (broadcast, cast)."""
        self[...] = other
        return self

    def fill_(self, value: float) -> Self:
        """Overwrite every value with a number."""
        self[...] = value
        return self

    def zero_(self) -> Self:
        """Overwrite every value with 0."""
        return self.fill_(0)

    def add_(self, other: Any, alpha: float = 1) -> Self:
        """Add `alpha * other` in place."""
        return self._inplace("add", other if alpha == 1 else other * alpha)

    def sub_(self, other: Any, alpha: float = 1) -> Self:
        """Subtract `alpha * other` in place."""
        return self._inplace("subtract", other if alpha == 1 else other * alpha)

    def mul_(self, other: Any) -> Self:
        """Multiply by `other` in place."""
        return self._inplace("multiply", other)

    def div_(self, other: Any) -> Self:
        """Divide by `other` in place."""
        return self._inplace("divide", other)


def _array(value: Any) -> Any:
    """The array of a tensor; anything else as it is."""
    return value.data if hasattr(value, "_node") else value


def _is_view(array: Any, node: Node | None) -> bool:
    """Whether a tensor shows memory that another one shows: told by the operation, for a constant by the memory."""
    if isinstance(node, PrimitiveNode):
        return node.name in _VIEWS or (node.name == "getitem" and not node.static["arrays"])
    if node is not None:
        return False
    array = memory(array)
    storage = backend_of(array).storage(array)
    if storage is array or not isinstance(storage, np.ndarray):
        return False
    # A recycled buffer is bytes, and all but a sixteenth of it is the array it was given out for.
    return storage.dtype != np.uint8 or bool(array.nbytes < 0.9 * storage.nbytes)


def _bare(index: Any) -> Any:
    """An index with arrays in place of tensors."""
    if isinstance(index, tuple):
        return tuple(_bare(i) for i in index)
    return _array(index)
