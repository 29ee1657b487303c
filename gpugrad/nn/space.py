"""Layers without parameters that change the size of images, or cut them into patches; PyTorch's names and arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ops.arguments import operand
from ..ops.conv import Size
from ..ops.patches import fold, unfold
from ..ops.resample import interpolate, pixel_shuffle, pixel_unshuffle
from .module import Module


class Upsample(Module):
    """Images of another size, by `functional.interpolate`.

    Args:
        size: of the results, one number or one for each spatial axis.
        scale_factor: in place of `size`.
        mode: "nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic" or "area".
        align_corners: of the linear and cubic modes: whether the centres of the corner elements stay in place.
        recompute_scale_factor: count positions with the ratio of the sizes.
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, x: Any) -> Any:
        """(n, channels, *size) to (n, channels, *size')."""
        return interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor)

    def extra_repr(self) -> str:
        """Size or factor, and the mode."""
        what = f"scale_factor={self.scale_factor}" if self.size is None else f"size={self.size}"
        return f"{what}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """`Upsample` of images with mode "nearest"."""

    def __init__(
        self, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None
    ) -> None:
        super().__init__(size, scale_factor)


class UpsamplingBilinear2d(Upsample):
    """`Upsample` of images with mode "bilinear" and the corners in place."""

    def __init__(
        self, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None
    ) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


def channel_shuffle(input: Any, groups: int) -> Any:
    """The channels, counted by groups, counted across them: (n, channels, *size) to the same (Zhang et al. 2018).

    Raises:
        ValueError: `groups` does not divide the channels.
    """
    x = operand(input)
    n, channels, *size = x.shape if x.ndim > 2 else (0, 0)
    if groups < 1 or not channels or channels % groups:
        raise ValueError(
            f"[channel_shuffle] input has shape {tuple(x.shape)}, groups = {groups}; expected (n, channels, *size) "
            "with channels that the groups divide"
        )
    return x.reshape((n, groups, channels // groups, *size)).swapaxes(1, 2).reshape(x.shape)


class ChannelShuffle(Module):
    """`functional.channel_shuffle`."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Any) -> Any:
        """(n, channels, *size) to the same shape."""
        return channel_shuffle(x, self.groups)

    def extra_repr(self) -> str:
        """The groups."""
        return f"groups={self.groups}"


class PixelShuffle(Module):
    """Channels moved into space by `functional.pixel_shuffle` (Shi et al. 2016)."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, x: Any) -> Any:
        """(*batch, channels r^2, height, width) to (*batch, channels, height r, width r)."""
        return pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Space moved into channels, the inverse of `PixelShuffle`."""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, x: Any) -> Any:
        """(*batch, channels, height r, width r) to (*batch, channels r^2, height, width)."""
        return pixel_unshuffle(x, self.downscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"downscale_factor={self.downscale_factor}"


class Unfold(Module):
    """Every patch of an image as a column, by `functional.unfold`."""

    def __init__(self, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, x: Any) -> Any:
        """(n, channels, *size) to (n, channels * prod(kernel_size), patches)."""
        return unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Module):
    """Columns added up to images where their patches lie, by `functional.fold`."""

    def __init__(
        self, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
    ) -> None:
        super().__init__()
        self.output_size, self.kernel_size, self.dilation = output_size, kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, x: Any) -> Any:
        """(n, channels * prod(kernel_size), patches) to (n, channels, *output_size)."""
        return fold(x, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )
