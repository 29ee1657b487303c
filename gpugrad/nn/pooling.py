"""Pooling layers, with PyTorch's names and arguments; what they compute is in `ops.pooling`."""

from __future__ import annotations

from typing import Any, ClassVar

from ..ops.conv import Size
from ..ops.pooling import POOLING
from .module import Module


class _Pooling(Module):
    """A layer that hands its arguments to the function of pooling that it names."""

    function: ClassVar[str]

    def forward(self, x: Any) -> Any:
        """(n, channels, *size) to (n, channels, *size')."""
        return POOLING[self.function](x, **self._options)

    @property
    def _options(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("training", "_buffers")}

    def extra_repr(self) -> str:
        """The arguments."""
        return ", ".join(f"{name}={value}" for name, value in self._options.items())


class _MaxPool(_Pooling):
    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode


class _AvgPool(_Pooling):
    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad, self.divisor_override = ceil_mode, count_include_pad, divisor_override


class _LPPool(_Pooling):
    def __init__(
        self, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode


class _AdaptiveAvg(_Pooling):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size


class _AdaptiveMax(_Pooling):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices


class _MaxUnpool(Module):
    """The way back from a max pooling, given its indices."""

    function: ClassVar[str]

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: Any, indices: Any, output_size: Any = None) -> Any:
        """(n, channels, *size), with the indices of as many places, to (n, channels, *size')."""
        return POOLING[self.function](x, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool1d(_MaxPool):
    """The largest element of each window of sequences; see `gg.max_pool1d`."""

    function = "max_pool1d"


class MaxPool2d(_MaxPool):
    """The largest element of each window of images; see `gg.max_pool2d`.

    Example:
        >>> import gpugrad as gg
        >>> gg.nn.MaxPool2d(2)(gg.ones(1, 3, 8, 8)).shape
        (1, 3, 4, 4)
    """

    function = "max_pool2d"


class MaxPool3d(_MaxPool):
    """The largest element of each window of volumes; see `gg.max_pool3d`."""

    function = "max_pool3d"


class MaxUnpool1d(_MaxUnpool):
    """The way back from `MaxPool1d`; see `gg.max_unpool1d`."""

    function = "max_unpool1d"


class MaxUnpool2d(_MaxUnpool):
    """The way back from `MaxPool2d`; see `gg.max_unpool2d`."""

    function = "max_unpool2d"


class MaxUnpool3d(_MaxUnpool):
    """The way back from `MaxPool3d`; see `gg.max_unpool3d`."""

    function = "max_unpool3d"


class AvgPool1d(_AvgPool):
    """The mean of each window of sequences; see `gg.avg_pool1d`."""

    function = "avg_pool1d"


class AvgPool2d(_AvgPool):
    """The mean of each window of images; see `gg.avg_pool2d`."""

    function = "avg_pool2d"


class AvgPool3d(_AvgPool):
    """The mean of each window of volumes; see `gg.avg_pool3d`."""

    function = "avg_pool3d"


class LPPool1d(_LPPool):
    """The power mean of each window of sequences; see `gg.lp_pool1d`."""

    function = "lp_pool1d"


class LPPool2d(_LPPool):
    """The power mean of each window of images; see `gg.lp_pool2d`."""

    function = "lp_pool2d"


class LPPool3d(_LPPool):
    """The power mean of each window of volumes; see `gg.lp_pool3d`."""

    function = "lp_pool3d"


class AdaptiveAvgPool1d(_AdaptiveAvg):
    """Means over as many windows as are asked for; see `gg.adaptive_avg_pool1d`."""

    function = "adaptive_avg_pool1d"


class AdaptiveAvgPool2d(_AdaptiveAvg):
    """Means over as many windows as are asked for; see `gg.adaptive_avg_pool2d`."""

    function = "adaptive_avg_pool2d"


class AdaptiveAvgPool3d(_AdaptiveAvg):
    """Means over as many windows as are asked for; see `gg.adaptive_avg_pool3d`."""

    function = "adaptive_avg_pool3d"


class AdaptiveMaxPool1d(_AdaptiveMax):
    """Maxima over as many windows as are asked for; see `gg.adaptive_max_pool1d`."""

    function = "adaptive_max_pool1d"


class AdaptiveMaxPool2d(_AdaptiveMax):
    """Maxima over as many windows as are asked for; see `gg.adaptive_max_pool2d`."""

    function = "adaptive_max_pool2d"


class AdaptiveMaxPool3d(_AdaptiveMax):
    """Maxima over as many windows as are asked for; see `gg.adaptive_max_pool3d`."""

    function = "adaptive_max_pool3d"
