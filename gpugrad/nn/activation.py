"""Every activation as a module; what it computes is the function of the same name in `functional`.

`inplace`, where PyTorch has it, is taken for the sake of programs written for it: results are new tensors all the
same, from recycled memory.
"""

from __future__ import annotations

from typing import Any

from . import functional as F  # noqa: N812 - its name everywhere
from . import init
from .layers import new_parameter
from .module import Module, Parameter


class ReLU(Module):
    """`max(x, 0)`; the gradient at 0 is 0."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.relu(x)


class ReLU6(Module):
    """`min(max(x, 0), 6)`."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.relu6(x)


class LeakyReLU(Module):
    """`x` where it is positive, else `negative_slope * x`."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        """The slope."""
        return f"negative_slope={self.negative_slope}"


class PReLU(Module):
    """`x` where it is positive, else `weight * x`, with the weight learned (He et al. 2015).

    Args:
        num_parameters: 1, or the number of channels (axis 1 of the input) for a slope for each.
        init: the slopes at first.
        device: where the weight lives.
        dtype: of the weight.
    """

    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = new_parameter((num_parameters,), device, dtype, "PReLU")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every slope to `init`."""
        init.constant_(self.weight, self.init)

    def forward(self, x: Any) -> Any:
        """(batch, channels, *axes) to the same shape."""
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        """How many slopes."""
        return f"num_parameters={self.num_parameters}"


class ELU(Module):
    """`x` where it is positive, else `alpha * (exp(x) - 1)` (Clevert et al. 2016)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.elu(x, self.alpha)

    def extra_repr(self) -> str:
        """Alpha."""
        return f"alpha={self.alpha}"


class SELU(Module):
    """The scaled ELU that keeps mean 0 and variance 1 (Klambauer et al. 2017)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.selu(x)


class CELU(Module):
    """`x` where it is positive, else `alpha * (exp(x / alpha) - 1)` (Barron 2017)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.celu(x, self.alpha)

    def extra_repr(self) -> str:
        """Alpha."""
        return f"alpha={self.alpha}"


class GELU(Module):
    """`x * Phi(x)`, exactly, or with `approximate="tanh"` by the formula with tanh (Hendrycks and Gimpel 2016)."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f'[GELU] approximate = {approximate!r}; expected "none" or "tanh"')
        self.approximate = approximate

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        """Which form."""
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """`x * sigmoid(x)`, also called swish."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.silu(x)


class Mish(Module):
    """`x * tanh(softplus(x))` (Misra 2020)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.mish(x)


class Softplus(Module):
    """`log(1 + exp(beta * x)) / beta`; `x` itself where `beta * x` is over the threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """Beta and threshold."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Sigmoid(Module):
    """`1 / (1 + exp(-x))`."""

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.sigmoid(x)


class LogSigmoid(Module):
    """`log(sigmoid(x))`, without overflow."""

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.logsigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.tanh(x)


class Hardtanh(Module):
    """`x` cut to [min_val, max_val]; no gradient outside and on the ends.

    Raises:
        ValueError: `max_val` is not above `min_val`.
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if max_val <= min_val:
            raise ValueError(f"[Hardtanh] min_val = {min_val}, max_val = {max_val}; expected min_val < max_val")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.hardtanh(x, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        """The ends."""
        return f"min_val={self.min_val}, max_val={self.max_val}"


class Hardsigmoid(Module):
    """`x / 6 + 1 / 2` cut to [0, 1]."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.hardsigmoid(x)


class Hardswish(Module):
    """`x * hardsigmoid(x)` (Howard et al. 2019)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.hardswish(x)


class Softsign(Module):
    """`x / (1 + |x|)`."""

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.softsign(x)


class Sin(Module):
    """The sine, for periodic functions and implicit representations (Sitzmann et al. 2020)."""

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.sin(x)


class Step(Module):
    """The hard threshold: 1 where `x` is positive, else 0. Its gradient is 0 everywhere, so it cannot be trained."""

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.step(x)


class Threshold(Module):
    """`x` where it is over the threshold, else `value`."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value = threshold, value

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.threshold(x, self.threshold, self.value)

    def extra_repr(self) -> str:
        """Threshold and value."""
        return f"threshold={self.threshold}, value={self.value}"


class _Along(Module):
    """What goes along one axis."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Softmax(_Along):
    """`exp(x)` divided by its sum along `dim`: probabilities from scores."""

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.softmax(x, self.dim)


class Softmax2d(Module):
    """Softmax over the channels of images."""

    def forward(self, x: Any) -> Any:
        """(n, channels, height, width), or without n, to the same shape."""
        if x.ndim not in (3, 4):
            raise ValueError(f"[Softmax2d] input has shape {tuple(x.shape)}; expected (n, channels, height, width)")
        return F.softmax(x, -3)


class Softmin(_Along):
    """`softmax(-x)` along `dim`."""

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.softmin(x, self.dim)


class GLU(_Along):
    """The first half of the channels times the sigmoid of the second, along `dim`."""

    def forward(self, x: Any) -> Any:
        """A shape to the same with half of one axis."""
        return F.glu(x, self.dim)


class LogSoftmax(_Along):
    """The logarithm of softmax along `dim`, without overflow."""

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return F.log_softmax(x, self.dim)
