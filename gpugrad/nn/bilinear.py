"""Products of two inputs with a weight for each pair of their features, as a function and a layer."""

from __future__ import annotations

import math
from typing import Any

from ..ops.arguments import operand
from ..ops.linalg import linear
from . import init
from .layers import new_parameter, require_sizes
from .module import Module, Parameter


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """`y[k] = x1 @ weight[k] @ x2 + bias[k]`, as one product of all pairs of features with the weight.

    Args:
        input1: (*batch, in1_features).
        input2: (*batch, in2_features).
        weight: (out_features, in1_features, in2_features).
        bias: (out_features,), or None.

    Returns:
        (*batch, out_features).

    Raises:
        ValueError: shapes do not fit.
    """
    x1, x2, w = operand(input1), operand(input2), operand(weight)
    fits = x1.ndim > 0 and w.ndim == 3 and x1.shape[:-1] == x2.shape[:-1] and x2.ndim > 0
    if not fits or w.shape[1:] != (x1.shape[-1], x2.shape[-1]):
        raise ValueError(
            f"[bilinear] input1 has shape {tuple(x1.shape)}, input2 {tuple(x2.shape)}, weight {tuple(w.shape)}; "
            "expected (*batch, n), (*batch, m) and (out, n, m)"
        )
    n, m = x1.shape[-1], x2.shape[-1]
    pairs = (x1[..., :, None] * x2[..., None, :]).reshape((*x1.shape[:-1], n * m))
    return linear(pairs, w.reshape((w.shape[0], n * m)), bias)


class Bilinear(Module):
    """`functional.bilinear` with a learned weight.

    Args:
        in1_features: length of the first input.
        in2_features: length of the second.
        out_features: length of the output.
        bias: whether to add one.
        device: where the parameters live.
        dtype: of the parameters.

    Attributes:
        weight: (out_features, in1_features, in2_features), uniform up to `1 / sqrt(in1_features)`, as PyTorch's.
        bias: (out_features,), likewise; or None.

    Raises:
        ValueError: a size is not a positive integer.
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = {"in1_features": in1_features, "in2_features": in2_features, "out_features": out_features}
        require_sizes("Bilinear", **sizes)
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = new_parameter((out_features, in1_features, in2_features), device, dtype, "Bilinear")
        self.bias = new_parameter((out_features,), device, dtype, "Bilinear") if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Any, input2: Any) -> Any:
        """(*batch, in1_features) and (*batch, in2_features) to (*batch, out_features)."""
        return bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Sizes, and whether there is a bias."""
        sizes = f"in1_features={self.in1_features}, in2_features={self.in2_features}"
        return f"{sizes}, out_features={self.out_features}, bias={self.bias is not None}"
