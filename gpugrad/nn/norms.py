"""Normalisation layers by channels: batch, group, instance and local response, with PyTorch's names and state.

What they compute is in `ops.norms`. `LayerNorm` and `RMSNorm`, over the last axes, are in `layers`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..gradmode import running_again
from ..ops.creation import ones, tensor, zeros
from ..ops.norms import batch_norm, batch_norm_relu, group_norm, instance_norm, local_response_norm
from ..tensor import Tensor
from . import init
from .layers import new_parameter
from .module import Module, Parameter


class _ChannelNorm(Module):
    """Weight, bias and running statistics of channels."""

    ranks: ClassVar[tuple[int, ...]]
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if num_features < 1:
            raise ValueError(f"[{name}] num_features = {num_features}; expected 1 or more")
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = new_parameter((num_features,), device, dtype, name) if affine else None
        self.bias = new_parameter((num_features,), device, dtype, name) if affine else None
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, device=device, dtype=dtype) if tracked else None)
        self.register_buffer("running_var", ones(num_features, device=device, dtype=dtype) if tracked else None)
        self.register_buffer("num_batches_tracked", tensor(0, dtype=np.int64, device=device) if tracked else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0; running mean 0, running variance 1."""
        for value, number in ((self.weight, 1), (self.bias, 0), (self.running_mean, 0), (self.running_var, 1)):
            if value is not None:
                init.constant_(value, number)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.fill_(0)

    def _check(self, x: Any) -> None:
        if x.ndim not in self.ranks or x.shape[1] != self.num_features:
            raise ValueError(
                f"[{type(self).__name__}] input has shape {tuple(x.shape)}; expected {self.num_features} channels on "
                f"axis 1, and {' or '.join(map(str, self.ranks))} axes"
            )

    def _share(self) -> float:
        """How much of the new statistics goes into the running ones; counts the batch."""
        if self.training and self.num_batches_tracked is not None:
            if not running_again():
                self.num_batches_tracked.add_(1)
            if self.momentum is None:
                return 1 / self.num_batches_tracked.item()  # type: ignore[no-any-return]
        return 0.0 if self.momentum is None else self.momentum

    def extra_repr(self) -> str:
        """Channels and what decides the normalisation."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_ChannelNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)

    def forward(self, x: Any) -> Any:
        """(n, channels, *size), normalised by the batch in training, by the running statistics otherwise."""
        return self.normalise(x)

    def normalise(self, x: Any, relu: bool = False) -> Any:
        """The same, and with `relu` 0 in the place of negative results."""
        self._check(x)
        counted = self.num_batches_tracked if self.training and self.momentum is not None else None
        share = self._share() if counted is None else self.momentum
        running = self.running_mean, self.running_var
        function = batch_norm_relu if relu else batch_norm
        return function(
            x, *running, self.weight, self.bias, self.training, share, self.eps, num_batches_tracked=counted
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of rows (n, channels) or sequences; see `BatchNorm2d`."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Each channel to mean 0 and variance 1 over the batch, then scaled and shifted (S. Ioffe and C. Szegedy 2015).

    Args:
        num_features: channels.
        eps: added to the variance.
        momentum: share of a batch's statistics in the running ones; None for the mean over all batches.
        affine: whether there is a weight (ones at first) and a bias (zeros).
        track_running_stats: whether there are running statistics; without them batches are normalised by their own in
            evaluation too.
        device: where parameters and statistics live.
        dtype: of parameters and statistics.

    Attributes:
        running_mean: (channels,), zeros at first.
        running_var: (channels,), ones at first; unbiased.
        num_batches_tracked: int64, how many batches there were in training.
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of volumes; see `BatchNorm2d`."""

    ranks = (5,)


class _InstanceNorm(_ChannelNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)

    def forward(self, x: Any) -> Any:
        """(n, channels, *size), each example normalised by itself (by running statistics, if any, in evaluation)."""
        self._check(x)
        share = self._share()
        own = self.training or not self.track_running_stats
        mean, variance = (self.running_mean, self.running_var) if self.training or not own else (None, None)
        return instance_norm(x, mean, variance, self.weight, self.bias, own, share, self.eps)


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of sequences; see `InstanceNorm2d`."""

    ranks = (3,)


class InstanceNorm2d(_InstanceNorm):
    """Each channel of each example to mean 0 and variance 1 (D. Ulyanov et al. 2016); arguments as `BatchNorm2d`."""

    ranks = (4,)


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of volumes; see `InstanceNorm2d`."""

    ranks = (5,)


class GroupNorm(Module):
    """Each group of channels of each example to mean 0 and variance 1 (Y. Wu and K. He 2018).

    Args:
        num_groups: parts that the channels are divided into.
        num_channels: channels.
        eps: added to the variance.
        affine: whether there is a weight (ones at first) and a bias (zeros).
        device: where the parameters live.
        dtype: of the parameters.

    Raises:
        ValueError: groups do not divide the channels.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(
                f"[GroupNorm] num_groups = {num_groups}, num_channels = {num_channels}; expected a divisor"
            )
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self.weight = new_parameter((num_channels,), device, dtype, "GroupNorm") if affine else None
        self.bias = new_parameter((num_channels,), device, dtype, "GroupNorm") if affine else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        for value, number in ((self.weight, 1), (self.bias, 0)):
            if value is not None:
                init.constant_(value, number)

    def forward(self, x: Any) -> Any:
        """(n, channels, *size), normalised."""
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Groups, channels and what decides the normalisation."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class LocalResponseNorm(Module):
    """Each element divided by a power of its neighbours' squares (A. Krizhevsky et al. 2012); see `functional`."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Any) -> Any:
        """(n, channels, *size), normalised."""
        return local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
