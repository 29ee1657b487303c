"""Convolution layers: Conv1d to Conv3d and their transposes, with PyTorch's arguments, names and initialisation.

What they compute is in `ops.conv`; padding with anything but zeros is done here, before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from ..backend import backend_of
from ..ops.conv import convolution_pads
from ..ops.padding import pad
from . import functional as F  # noqa: N812 - its name everywhere
from . import init
from .layers import new_parameter
from .module import Module, Parameter

Size = int | Sequence[int]

PADDING_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class _Convolution(Module):
    """What all of them share: sizes, parameters, and how they are drawn."""

    axes: ClassVar[int]
    transposed: ClassVar[bool] = False
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Any,
        dilation: Size,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        for what, value in (("in_channels", in_channels), ("out_channels", out_channels), ("groups", groups)):
            if value < 1:
                raise ValueError(f"[{name}] {what} = {value!r}; expected an integer of 1 or more")
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"[{name}] in_channels = {in_channels}, out_channels = {out_channels}, groups = {groups}; expected "
                "groups that divide both"
            )
        if padding_mode not in PADDING_MODES or (self.transposed and padding_mode != "zeros"):
            known = ("zeros",) if self.transposed else tuple(PADDING_MODES)
            raise ValueError(f"[{name}] padding_mode = {padding_mode!r}; expected {', '.join(known)}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = self._sizes("kernel_size", kernel_size)
        self.stride, self.dilation = self._sizes("stride", stride), self._sizes("dilation", dilation)
        self.padding = padding if isinstance(padding, str | int) else tuple(padding)
        self.padding_mode = padding_mode
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self.weight = new_parameter((first, second // groups, *self.kernel_size), device, dtype, name)
        self._lay_out()
        self.bias = new_parameter((out_channels,), device, dtype, name) if bias else None
        self.reset_parameters()

    def _sizes(self, what: str, value: Size) -> tuple[int, ...]:
        sizes = (value,) * self.axes if isinstance(value, int) else tuple(value)
        if len(sizes) != self.axes or any(s < 1 for s in sizes):
            raise ValueError(
                f"[{type(self).__name__}] {what} = {value}; expected an integer of 1 or more, or {self.axes} of them"
            )
        return sizes

    def _lay_out(self) -> None:
        backend = backend_of(self.weight.data)
        last = backend.xp.moveaxis(self.weight.data, 1, -1)
        if backend.kernels_last and not last.flags.c_contiguous:
            self.weight.data = backend.xp.moveaxis(backend.copy(last), -1, 1)

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, uniform in +-1/sqrt(inputs of an output), as PyTorch does."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        """Channels and everything that is not as usual."""
        parts = [f"{self.in_channels}, {self.out_channels}", f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        ones = (1,) * self.axes
        parts += [f"padding={self.padding!r}"] if self.padding not in (0, (0,) * self.axes) else []
        parts += [f"dilation={self.dilation}"] if self.dilation != ones else []
        parts += [f"groups={self.groups}"] if self.groups != 1 else []
        parts += ["bias=False"] if self.bias is None else []
        parts += [f"padding_mode={self.padding_mode!r}"] if self.padding_mode != "zeros" else []
        return ", ".join(parts)


class _Direct(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Any = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )

    def forward(self, x: Any) -> Any:
        """(n, in_channels, *size) to (n, out_channels, *size')."""
        return self.convolve(x)

    def convolve(self, x: Any, relu: bool = False) -> Any:
        """The same, and with `relu` 0 in the place of negative results."""
        convolve, padding = F.conv_relu if relu else getattr(F, f"conv{self.axes}d"), self.padding
        if self.padding_mode != "zeros":
            name = type(self).__name__
            pairs = convolution_pads(name, padding, self.kernel_size, self.stride, self.dilation)
            x, padding = pad(x, ((0, 0),) * (x.ndim - self.axes) + pairs, PADDING_MODES[self.padding_mode]), 0
        return convolve(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _Transposed(_Convolution):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Any = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self.output_padding = output_padding

    def forward(self, x: Any) -> Any:
        """(n, in_channels, *size) to (n, out_channels, *size')."""
        convolve = getattr(F, f"conv_transpose{self.axes}d")
        return convolve(
            x, self.weight, self.bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation
        )

    def extra_repr(self) -> str:
        """Channels and everything that is not as usual."""
        more = "" if self.output_padding in (0, (0,) * self.axes) else f", output_padding={self.output_padding}"
        return super().extra_repr() + more


class Conv1d(_Direct):
    """A convolution of sequences; see `Conv2d`, with one spatial axis."""

    axes = 1


class Conv2d(_Direct):
    """A convolution of images with kernels that are learned (a cross-correlation, as everywhere in the field).

    Args:
        in_channels: channels of the input.
        out_channels: kernels.
        kernel_size: height and width, or one number for both.
        stride: step between patches.
        padding: rows and columns around the input: a number, one for each axis, "same" or "valid".
        dilation: step between the elements of a patch.
        groups: parts that the channels are divided into.
        bias: whether there is one.
        padding_mode: what the padding holds: "zeros", "reflect", "replicate" or "circular".
        device: where the parameters live; the default device if not given.
        dtype: of the parameters; the default dtype if not given.

    Attributes:
        weight: (out_channels, in_channels / groups, height, width), uniform in +-1/sqrt(inputs of an output) at first.
        bias: (out_channels,), likewise; or None.

    Raises:
        ValueError: a size is not positive, or groups do not divide the channels.

    Example:
        >>> import gpugrad as gg
        >>> gg.nn.Conv2d(3, 8, 3, padding=1)(gg.ones(2, 3, 16, 16)).shape
        (2, 8, 16, 16)
    """

    axes = 2


class Conv3d(_Direct):
    """A convolution of volumes; see `Conv2d`, with three spatial axes."""

    axes = 3


class ConvTranspose1d(_Transposed):
    """A transposed convolution of sequences; see `ConvTranspose2d`, with one spatial axis."""

    axes = 1


class ConvTranspose2d(_Transposed):
    """The transpose of a convolution: the gradient of a `Conv2d` by its images, with kernels that are learned.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: height and width, or one number for both.
        stride: step between patches of the output.
        padding: rows and columns taken away around the output.
        output_padding: rows and columns added at its end.
        groups: parts that the channels are divided into.
        bias: whether there is one.
        dilation: step between the elements of a patch.
        padding_mode: "zeros".
        device: where the parameters live; the default device if not given.
        dtype: of the parameters; the default dtype if not given.

    Attributes:
        weight: (in_channels, out_channels / groups, height, width).
        bias: (out_channels,), or None.

    Raises:
        ValueError: a size is not positive, or groups do not divide the channels.
    """

    axes = 2


class ConvTranspose3d(_Transposed):
    """A transposed convolution of volumes; see `ConvTranspose2d`, with three spatial axes."""

    axes = 3
