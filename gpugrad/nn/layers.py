"""Layers with parameters, and those that only rearrange or drop: Linear, Maxout, the norms, Dropout, Flatten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import backend_for
from ..ops.creation import get_default_dtype
from . import functional as F  # noqa: N812 - its name everywhere
from . import init
from .module import Module, Parameter


def new_parameter(shape: tuple[int, ...], device: Any, dtype: Any, what: str, order: str | None = None) -> Parameter:
    """A parameter on memory of its own, not yet initialised; a matrix in the order that the backend multiplies fastest.

    Args:
        shape: of the parameter.
        device: where it lives; None: the default device.
        dtype: of a floating point type; None: the default dtype.
        what: the layer, for the error.
        order: of a matrix that is not multiplied with, in place of the backend's.

    Raises:
        TypeError: the dtype is not floating point.
    """
    dtype = np.dtype(get_default_dtype() if dtype is None else dtype)
    if dtype.kind not in "fcV":
        raise TypeError(f"[{what}] dtype = {dtype}; expected a floating point dtype")
    backend = backend_for(device)
    order = order or (backend.weight_order if len(shape) == 2 else "C")
    return Parameter(backend.xp.empty(shape, dtype, order=order))


def require_sizes(what: str, **sizes: Any) -> None:
    """Raise ValueError for a size of the layer `what` that is not a positive integer."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise ValueError(f"[{what}] {name} = {size!r}; expected an integer of 1 or more")


class Linear(Module):
    """The affine map `x @ weight.T + bias`.

    Args:
        in_features: length of the last axis of the input.
        out_features: length of the last axis of the output.
        bias: whether there is a bias.
        device: where the parameters live; the default device if not given.
        dtype: of the parameters; the default dtype if not given.

    Attributes:
        weight: (out_features, in_features), uniform in +-1/sqrt(in_features) at first, as PyTorch's.
        bias: (out_features,), likewise; or None.

    Raises:
        ValueError: a size is not a positive integer.

    Example:
        >>> import gpugrad as gg
        >>> gg.nn.Linear(3, 2)(gg.ones(5, 3)).shape
        (5, 2)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        require_sizes("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = new_parameter((out_features, in_features), device, dtype, "Linear")
        self.bias = new_parameter((out_features,), device, dtype, "Linear") if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Any) -> Any:
        """(*batch, in_features) to (*batch, out_features)."""
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Sizes, and whether there is a bias."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Maxout(Module):
    """The largest of `pieces` affine maps, for each output (Goodfellow et al. 2013): an activation that is learned.

    Args:
        in_features: length of the last axis of the input.
        out_features: length of the last axis of the output.
        pieces: affine maps for each output.
        bias: whether they have a bias.
        device: where the parameters live.
        dtype: of the parameters.

    Attributes:
        linear: the maps, `Linear(in_features, out_features * pieces)`; those of one output stand side by side.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        pieces: int = 2,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        require_sizes("Maxout", in_features=in_features, out_features=out_features, pieces=pieces)
        self.out_features, self.pieces = out_features, pieces
        self.linear = Linear(in_features, out_features * pieces, bias, device, dtype)

    def forward(self, x: Any) -> Any:
        """(*batch, in_features) to (*batch, out_features)."""
        return F.maxout(self.linear(x), self.pieces)

    def extra_repr(self) -> str:
        """Outputs and pieces."""
        return f"out_features={self.out_features}, pieces={self.pieces}"


class LayerNorm(Module):
    """Each example to mean 0 and variance 1 over its last axes, then scaled and shifted (Ba et al. 2016).

    Args:
        normalized_shape: lengths of the last axes, over which mean and variance are taken; an integer for one.
        eps: added to the variance.
        elementwise_affine: whether there is a weight (ones at first) and a bias (zeros).
        bias: False leaves out the bias.
        device: where the parameters live.
        dtype: of the parameters.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape, self.eps = _axes(normalized_shape, "LayerNorm"), eps
        self.elementwise_affine = elementwise_affine
        make = elementwise_affine
        self.weight = new_parameter(self.normalized_shape, device, dtype, "LayerNorm") if make else None
        self.bias = new_parameter(self.normalized_shape, device, dtype, "LayerNorm") if make and bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: Any) -> Any:
        """(*batch, *normalized_shape) to the same shape."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Axes, eps, and whether it is affine."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class RMSNorm(Module):
    """Each example divided by its root mean square over the last axes, then scaled (Zhang and Sennrich 2019).

    Args:
        normalized_shape: lengths of the last axes; an integer for one.
        eps: added to the mean square; the dtype's machine epsilon if None.
        elementwise_affine: whether there is a weight (ones at first).
        device: where the parameters live.
        dtype: of the parameters.
    """

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape, self.eps = _axes(normalized_shape, "RMSNorm"), eps
        self.elementwise_affine = elementwise_affine
        self.weight = new_parameter(self.normalized_shape, device, dtype, "RMSNorm") if elementwise_affine else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Any) -> Any:
        """(*batch, *normalized_shape) to the same shape."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Axes, eps, and whether it is affine."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


def _axes(normalized_shape: int | Sequence[int], what: str) -> tuple[int, ...]:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(int(n) for n in normalized_shape)
    if not shape or min(shape) < 1:
        raise ValueError(f"[{what}] normalized_shape = {normalized_shape!r}; expected one positive length or more")
    return shape


class Dropout(Module):
    """In training each element becomes 0 with probability `p`, the others are divided by `1 - p`; else the identity.

    Args:
        p: probability of a zero, in [0, 1].
        inplace: taken for the sake of PyTorch's programs; the result is a new tensor all the same.

    Raises:
        ValueError: `p` is not in [0, 1].
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"[Dropout] p = {p}; expected a probability in [0, 1]")
        self.p = p

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"



class Dropout1d(Dropout):
    """`Dropout` of whole channels of sequences: (n, channels, length)."""

    def forward(self, x: Any) -> Any:
        """(n, channels, length), or without n, to the same shape."""
        return F.dropout1d(x, self.p, self.training)


class Dropout2d(Dropout):
    """`Dropout` of whole channels of images: (n, channels, height, width)."""

    def forward(self, x: Any) -> Any:
        """(n, channels, height, width), or without n, to the same shape."""
        return F.dropout2d(x, self.p, self.training)


class Dropout3d(Dropout):
    """`Dropout` of whole channels of volumes: (n, channels, depth, height, width)."""

    def forward(self, x: Any) -> Any:
        """(n, channels, depth, height, width), or without n, to the same shape."""
        return F.dropout3d(x, self.p, self.training)


class AlphaDropout(Dropout):
    """`Dropout` that keeps mean and variance of what `SELU` gives (`functional.alpha_dropout`)."""

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.alpha_dropout(x, self.p, self.training)


class FeatureAlphaDropout(Dropout):
    """`AlphaDropout` of whole channels."""

    def forward(self, x: Any) -> Any:
        """(n, channels, *size) to the same shape."""
        return F.feature_alpha_dropout(x, self.p, self.training)


class Identity(Module):
    """Gives back what it is given; takes and ignores any arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """The input itself."""
        return x


class Flatten(Module):
    """Joins the axes from `start_dim` to `end_dim` into one; all but the first, the batch, unless told otherwise."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> Any:
        """(batch, *axes) to (batch, prod(axes))."""
        return F.flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The range of axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits one axis into several.

    Args:
        dim: the axis.
        unflattened_size: the lengths it becomes; one of them may be -1.
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Any) -> Any:
        """The input with axis `dim` replaced by `unflattened_size`."""
        return F.unflatten(x, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """The axis and its new lengths."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
