"""The methods of `Tensor` that only call the operation of the same name, by family, and the operators among them.

The operations are looked up by name when called, since they stand above the tensor. `+`, `-`, `*` and `/` have a
shorter way of their own, in `arithmetic`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from ..primitive import FUNCTIONS, Operation
from .elementwise import ElementwiseMethods
from .layout import MemoryMethods
from .numeric import NumericMethods
from .reduce import ReduceMethods
from .shape import ShapeMethods
from .torch import TorchMethods

_CALL: Final[Mapping[str, Operation]] = FUNCTIONS
# Within the class `int` and `bool` are methods.
Integer = int
Truth = bool


class Methods(ElementwiseMethods, MemoryMethods, NumericMethods, ReduceMethods, ShapeMethods, TorchMethods):
    """Operators, conversions of dtype, and what asks for sizes."""

    __slots__ = ()

    data: Any

    if TYPE_CHECKING:  # set by `arithmetic.install`

        def __add__(self, other: Any) -> Self: ...
        def __radd__(self, other: Any) -> Self: ...
        def __sub__(self, other: Any) -> Self: ...
        def __mul__(self, other: Any) -> Self: ...
        def __rmul__(self, other: Any) -> Self: ...
        def __truediv__(self, other: Any) -> Self: ...

    # Operators that have no short way in `arithmetic`.

    def __neg__(self) -> Self:
        return _CALL["negative"](self)

    def __pos__(self) -> Self:
        return _CALL["positive"](self)

    def __abs__(self) -> Self:
        return _CALL["absolute"](self)

    def __pow__(self, exponent: Any) -> Self:
        return _CALL["power"](self, exponent)

    def __rpow__(self, base: Any) -> Self:
        return _CALL["power"](base, self)  # type: ignore[no-any-return]

    def __rsub__(self, other: Any) -> Self:
        return _CALL["subtract"](other, self)  # type: ignore[no-any-return]

    def __rtruediv__(self, other: Any) -> Self:
        return _CALL["divide"](other, self)  # type: ignore[no-any-return]

    def __floordiv__(self, other: Any) -> Self:
        return _CALL["floor_divide"](self, other)

    def __rfloordiv__(self, other: Any) -> Self:
        return _CALL["floor_divide"](other, self)  # type: ignore[no-any-return]

    def __mod__(self, other: Any) -> Self:
        return _CALL["remainder"](self, other)

    def __rmod__(self, other: Any) -> Self:
        return _CALL["remainder"](other, self)  # type: ignore[no-any-return]

    def __matmul__(self, other: Any) -> Self:
        return _CALL["matmul"](self, other)

    def __rmatmul__(self, other: Any) -> Self:
        return _CALL["matmul"](other, self)  # type: ignore[no-any-return]

    def __lt__(self, other: Any) -> Self:
        return _CALL["less"](self, other)

    def __le__(self, other: Any) -> Self:
        return _CALL["less_equal"](self, other)

    def __gt__(self, other: Any) -> Self:
        return _CALL["greater"](self, other)

    def __ge__(self, other: Any) -> Self:
        return _CALL["greater_equal"](self, other)

    # Element by element, as NumPy; `Tensor` hashes by identity.
    def __eq__(self, other: Any) -> Self:  # type: ignore[override]
        return _CALL["equal"](self, other)

    def __ne__(self, other: Any) -> Self:  # type: ignore[override]
        return _CALL["not_equal"](self, other)

    __hash__ = object.__hash__

    def __and__(self, other: Any) -> Self:
        return _CALL["bitwise_and"](self, other)

    def __rand__(self, other: Any) -> Self:
        return _CALL["bitwise_and"](other, self)  # type: ignore[no-any-return]

    def __or__(self, other: Any) -> Self:
        return _CALL["bitwise_or"](self, other)

    def __ror__(self, other: Any) -> Self:
        return _CALL["bitwise_or"](other, self)  # type: ignore[no-any-return]

    def __xor__(self, other: Any) -> Self:
        return _CALL["bitwise_xor"](self, other)

    def __rxor__(self, other: Any) -> Self:
        return _CALL["bitwise_xor"](other, self)  # type: ignore[no-any-return]

    def __invert__(self) -> Self:
        return _CALL["bitwise_not"](self)

    def __lshift__(self, other: Any) -> Self:
        return _CALL["left_shift"](self, other)

    def __rshift__(self, other: Any) -> Self:
        return _CALL["right_shift"](self, other)

    # Dtypes under PyTorch's names.

    def half(self) -> Self:
        """With dtype float16."""
        return _CALL["astype"](self, np.float16)

    def float(self) -> Self:
        """With dtype float32."""
        return _CALL["astype"](self, np.float32)

    def double(self) -> Self:
        """With dtype float64."""
        return _CALL["astype"](self, np.float64)

    def int(self) -> Self:
        """With dtype int32, towards 0."""
        return _CALL["astype"](self, np.int32)

    def long(self) -> Self:
        """With dtype int64, towards 0."""
        return _CALL["astype"](self, np.int64)

    def bool(self) -> Self:
        """Whether the elements are not 0."""
        return _CALL["astype"](self, np.bool_)

    def new_zeros(self, *size: Any, dtype: Any = None) -> Self:
        """Zeros of another shape (`new_zeros(2, 3)` or of a tuple), of this dtype and on this device."""
        return self.new_full(size[0] if len(size) == 1 else size, 0, dtype=dtype)

    def new_ones(self, *size: Any, dtype: Any = None) -> Self:
        """Ones of another shape, of this dtype and on this device."""
        return self.new_full(size[0] if len(size) == 1 else size, 1, dtype=dtype)

    def new_full(self, size: Any, fill_value: Any, *, dtype: Any = None) -> Self:
        """A number everywhere, in another shape, of this dtype and on this device."""
        like: Any = self
        new: Self = _CALL["torch.full"](size, fill_value, like.dtype if dtype is None else dtype, like.device)
        return new

    def type_as(self, other: Self) -> Self:
        """With the dtype of `other`."""
        return _CALL["astype"](self, other.data.dtype)

    def copy(self, order: str = "C") -> Self:
        """`clone` under NumPy's name; its order in memory is the tensor's own choice."""
        return _CALL["clone"](self)

    # What asks for sizes.

    @property
    def size(self) -> Size:
        """The number of elements, as NumPy; called as in PyTorch, `size()` is the shape and `size(dim)` one length."""
        return Size(self.data.shape)

    def dim(self) -> Integer:
        """The number of axes."""
        return self.data.ndim  # type: ignore[no-any-return]

    def numel(self) -> Integer:
        """The number of elements."""
        return self.data.size  # type: ignore[no-any-return]

    def element_size(self) -> Integer:
        """The bytes of one element."""
        return self.data.itemsize  # type: ignore[no-any-return]

    def nelement(self) -> Integer:
        """`numel` under its other name."""
        return self.data.size  # type: ignore[no-any-return]

    def ndimension(self) -> Integer:
        """`dim` under its other name."""
        return self.data.ndim  # type: ignore[no-any-return]

    def is_floating_point(self) -> Truth:
        """Whether the dtype is a floating point one."""
        return self.data.dtype.kind in "fV"


class Size(int):
    """The number of elements of a shape; called, the shape itself or the length of one of its axes."""

    shape: tuple[int, ...]

    def __new__(cls, shape: tuple[int, ...]) -> Size:
        """The product of the lengths, with the shape at hand."""
        out = int.__new__(cls, math.prod(shape))
        out.shape = shape
        return out

    def __call__(self, dim: int | None = None) -> Any:
        """The shape, or one of its lengths."""
        return self.shape if dim is None else self.shape[dim]
