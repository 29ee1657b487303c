"""Negative log-likelihoods of counts and of measurements with a variance, as functions and modules, as PyTorch's."""

from __future__ import annotations

import math
from typing import Any

from ..backend import backend_of
from ..backend.placing import placed
from ..ops.arguments import bare, constant, module, operand, some
from ..ops.defining import elementwise
from ..ops.elementwise import exp, log, square, where
from .loss import _Loss
from .losses import _pair, reduced
from .torch_calls import adopt, adopt_constructors


@elementwise
def poisson_error(x: Any, target: Any) -> Any:
    """`exp(x) - target x`."""
    return exp(x) - target * x


@elementwise
def poisson_rate_error(x: Any, target: Any, eps: Any) -> Any:
    """`x - target log(x + eps)`."""
    return x - target * log(x + eps)


@elementwise
def stirling(target: Any) -> Any:
    """Stirling's approximation of `log(target!)` above 1, else 0."""
    n = where(target > 1.0, target, 2.0)
    return where(target > 1.0, n * log(n) - n + 0.5 * log(2.0 * math.pi * n), 0.0)


@elementwise
def gaussian_error(x: Any, target: Any, var: Any) -> Any:
    """`(log var + (x - target)^2 / var) / 2`."""
    return 0.5 * (log(var) + square(x - target) / var)


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Any:
    """The negative log-likelihood of counts: `exp(x) - t x`, or of rates `x - t log(x + eps)`.

    Args:
        input: logarithms of the expected counts, or the counts themselves, any shape.
        target: the counts `t`, the same shape.
        log_input: whether `input` is in logarithms.
        full: add Stirling's approximation of `log(t!)`, `t log t - t + log(2 pi t) / 2`, where `t` is over 1.
        eps: keeps the logarithm of a rate of 0 finite.
        reduction: "mean", "sum", or "none" for the loss of each element.

    Raises:
        ValueError: the shapes differ, or the reduction is not known.
    """
    x, t = _pair("poisson_nll_loss", input, target)
    loss = poisson_error(x, t) if log_input else poisson_rate_error(x, t, eps)
    return reduced("poisson_nll_loss", loss + stirling(t) if full else loss, reduction)


@placed
def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Any:
    """The negative log-likelihood of measurements: `(log v + (x - t)^2 / v) / 2` (D. Nix and A. Weigend 1994).

    Args:
        input: expected values `x`, (*batch, n).
        target: measured values `t`, a shape that broadcasts with it.
        var: variances `v`, of the input's shape, with a 1 for one of its axes or without its last one; or a number.
        full: add `log(2 pi) / 2`.
        eps: the least variance; a smaller one counts as this, and its gradient is that of this one.
        reduction: "mean", "sum", or "none" for the loss of each element.

    Raises:
        ValueError: the variance has another shape or is negative (looked at on the CPU only), `eps` is not positive, or
            the reduction is not known.
    """
    x, t, v = operand(input), operand(target), operand(var)
    if eps <= 0:
        raise ValueError(f"[gaussian_nll_loss] eps = {eps}; expected a positive number")
    differ = [n for m, n in zip(x.shape, v.shape, strict=False) if m != n]
    if v.ndim == x.ndim - 1 and v.shape == x.shape[:-1] and v.ndim:
        v = v[..., None]
    elif v.ndim and (v.ndim != x.ndim or differ not in ([], [1])):
        raise ValueError(
            f"[gaussian_nll_loss] input has shape {tuple(x.shape)}, var {tuple(v.shape)}; expected the same shape, one "
            "with a 1 in it, or one without the last axis"
        )
    values = bare(v)
    if backend_of(values).name == "cpu" and some(values < 0):
        raise ValueError(f"[gaussian_nll_loss] var has negative values, {float(values.min())} the least")
    # Raised to eps behind the tape's back: a gradient goes through as if it had been so large.
    v = v + constant(v, module(v).maximum(eps - values, 0).astype(values.dtype))
    loss = gaussian_error(x, t, v)
    return reduced("gaussian_nll_loss", loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


adopt(globals())


class PoissonNLLLoss(_Loss):
    """The negative log-likelihood of counts; arguments as `functional.poisson_nll_loss`."""

    def __init__(
        self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, log_input: Any, target: Any) -> Any:
        """Expected counts, or their logarithms, and counts of one shape."""
        return poisson_nll_loss(
            log_input, target, log_input=self.log_input, full=self.full, eps=self.eps, reduction=self.reduction
        )


class GaussianNLLLoss(_Loss):
    """The negative log-likelihood of measurements; arguments as `functional.gaussian_nll_loss`."""

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full, self.eps = full, eps

    def forward(self, input: Any, target: Any, var: Any) -> Any:
        """Expected and measured values, and variances."""
        return gaussian_nll_loss(input, target, var, full=self.full, eps=self.eps, reduction=self.reduction)


adopt_constructors(globals())
