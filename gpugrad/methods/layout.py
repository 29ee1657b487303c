"""Where a tensor's elements lie, and as what: device, dtype and order in memory, as PyTorch's programs ask for them."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple, Self

import numpy as np

from ..backend import Device, backend_for, gpu
from ..backend.precision import bfloat16
from ..nodes import new_tensor
from ..primitive import FUNCTIONS


class MemoryFormat(enum.Enum):
    """An order of axes in memory, as `gg.channels_last`."""

    contiguous_format = "the last axis fastest"
    channels_last = "the channels of images fastest"
    channels_last_3d = "the channels of volumes fastest"
    preserve_format = "as it is"

    def __str__(self) -> str:
        return f"gg.{self.name}"

    __repr__ = __str__


_AXES = {MemoryFormat.channels_last: 4, MemoryFormat.channels_last_3d: 5}


class Wanted(NamedTuple):
    """What the arguments of `to` ask for; None: as it is."""

    device: Any
    dtype: Any
    order: MemoryFormat | None
    copy: bool


def wanted(who: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Wanted:
    """Read the arguments of `to`: a device, a dtype, both, or a tensor that has them, then PyTorch's flags.

    Raises:
        TypeError: an unknown argument.
    """
    device, dtype, order = (kwargs.pop(name, None) for name in ("device", "dtype", "memory_format"))
    flags = [arg for arg in args if isinstance(arg, bool)]
    copy = kwargs.pop("copy", flags[1] if len(flags) > 1 else False)
    kwargs.pop("non_blocking", None)  # transfers wait for nothing but their own memory
    if kwargs:
        raise TypeError(
            f"[{who}] unknown {next(iter(kwargs))!r}; expected device, dtype, copy, memory_format or non_blocking"
        )
    for arg in args:
        if arg is None or isinstance(arg, bool):  # a flag, read above
            continue
        if hasattr(arg, "_node"):
            device, dtype = arg.device, arg.dtype
        elif isinstance(arg, Device | int) or (isinstance(arg, str) and arg.partition(":")[0] in ("cpu", "cuda")):
            device = arg
        else:
            dtype = arg
    return Wanted(device, None if dtype is None else np.dtype(dtype), order, copy)


class MemoryMethods:
    """Order in memory, and the device, under PyTorch's names."""

    __slots__ = ()

    def contiguous(self, memory_format: MemoryFormat = MemoryFormat.contiguous_format) -> Self:
        """The tensor on memory without gaps in an order: itself where it lies so already.

        Args:
            memory_format: `gg.contiguous_format`, the last axis fastest; `gg.channels_last` for images (n, channels,
                height, width) and `gg.channels_last_3d` for volumes, the second axis fastest.

        Raises:
            ValueError: the order is one of another number of axes.
        """
        like: Any = self
        if self.is_contiguous(memory_format):
            return self
        if memory_format not in _AXES:
            return like.copy()  # type: ignore[no-any-return]
        last = FUNCTIONS["moveaxis"](like, 1, -1)
        return FUNCTIONS["moveaxis"](last.copy(), -1, 1)  # type: ignore[no-any-return]

    def is_contiguous(self, memory_format: MemoryFormat = MemoryFormat.contiguous_format) -> bool:
        """Whether the elements lie without gaps in an order, as `contiguous`; raises as it."""
        like: Any = self
        if memory_format is MemoryFormat.preserve_format:
            return True
        array = like.data
        if memory_format in _AXES:
            if array.ndim != _AXES[memory_format]:
                raise ValueError(
                    f"[contiguous] {memory_format} of a tensor of shape {tuple(array.shape)}; expected "
                    f"{_AXES[memory_format]} axes"
                )
            array = array.transpose(0, *range(2, array.ndim), 1)
        return bool(array.flags.c_contiguous)

    def stride(self, dim: int | None = None) -> Any:
        """How many elements lie between neighbours along each axis, or along one."""
        like: Any = self
        steps = tuple(step // like.data.itemsize for step in like.data.strides)
        return steps if dim is None else steps[dim]

    def pin_memory(self) -> Self:
        """A copy in page-locked main memory, which goes to a GPU without a stop in between; no gradient.

        Raises:
            DeviceError: there is no GPU.
            ValueError: the tensor is not in main memory.
        """
        like: Any = self
        if type(like.data) is not np.ndarray:
            raise ValueError(f"[pin_memory] the tensor is on {like.device}; expected one in main memory")
        home: Any = backend_for(gpu(None))
        return new_tensor(home.pinned(like.data), None)  # type: ignore[no-any-return]

    def get_device(self) -> int:
        """The number of the GPU that it lives on; -1 on the CPU."""
        like: Any = self
        return like.device.index if like.device.type == "cuda" else -1

    @property
    def is_cuda(self) -> bool:
        """Whether it lives on a GPU."""
        like: Any = self
        return bool(like.device.type == "cuda")

    @property
    def is_cpu(self) -> bool:
        """Whether it lives in main memory."""
        return not self.is_cuda

    def type(self, dtype: Any) -> Self:
        """With another dtype."""
        return FUNCTIONS["astype"](self, dtype)  # type: ignore[no-any-return]

    def bfloat16(self) -> Self:
        """With dtype bfloat16."""
        return FUNCTIONS["astype"](self, bfloat16("Tensor.bfloat16"))  # type: ignore[no-any-return]
