"""The losses as modules; what they compute is the function of the same name in `functional`."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from . import functional as F  # noqa: N812 - its name everywhere
from .module import Module
from .torch_calls import adopt_constructors


class _Loss(Module):
    """A loss with a reduction: "mean", "sum" or "none".

    Raises:
        ValueError: another name of a reduction.
    """

    reduction: str

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none", *self._more):
            raise ValueError(
                f'[{type(self).__name__}] reduction = {reduction!r}; expected "mean", "sum" or "none"'
                + "".join(f' or "{name}"' for name in self._more)
            )
        self.reduction = reduction

    _more: tuple[str, ...] = ()

    def extra_repr(self) -> str:
        """The reduction, where it is not the mean."""
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"

    def _hold(self, name: str, value: Any) -> None:
        """Keep an optional tensor as a buffer that `to` moves and `state_dict` leaves out."""
        self.register_buffer(name, value if value is None or isinstance(value, Tensor) else Tensor(value), False)


class MSELoss(_Loss):
    """The squared error."""

    def forward(self, input: Any, target: Any) -> Any:
        """Predictions and targets of one shape."""
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """The absolute error."""

    def forward(self, input: Any, target: Any) -> Any:
        """Predictions and targets of one shape."""
        return F.l1_loss(input, target, reduction=self.reduction)


class HuberLoss(_Loss):
    """Square up to `delta`, a line beyond."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Any, target: Any) -> Any:
        """Predictions and targets of one shape."""
        return F.huber_loss(input, target, self.reduction, self.delta)


class SmoothL1Loss(_Loss):
    """The Huber loss divided by its `beta`."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Any, target: Any) -> Any:
        """Predictions and targets of one shape."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class CrossEntropyLoss(_Loss):
    """Cross entropy of scores against class indices or probabilities; arguments as `functional.cross_entropy`."""

    weight: Tensor | None

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
    ) -> None:
        super().__init__(reduction)
        self._hold("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Any, target: Any) -> Any:
        """(batch, classes, *axes) against (batch, *axes), or probabilities of the input's shape."""
        return F.cross_entropy(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )  # fmt: skip


class NLLLoss(_Loss):
    """The negative log-likelihood of class indices, after `LogSoftmax`."""

    weight: Tensor | None

    def __init__(self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self._hold("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Any, target: Any) -> Any:
        """(batch, classes, *axes) against (batch, *axes)."""
        return F.nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class BCELoss(_Loss):
    """Binary cross entropy of probabilities."""

    weight: Tensor | None

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self._hold("weight", weight)

    def forward(self, input: Any, target: Any) -> Any:
        """Probabilities and targets of one shape."""
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Binary cross entropy of scores."""

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction)
        self._hold("weight", weight)
        self._hold("pos_weight", pos_weight)

    def forward(self, input: Any, target: Any) -> Any:
        """Scores and targets of one shape."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class KLDivLoss(_Loss):
    """The Kullback-Leibler divergence; "batchmean" divides the sum by the batch."""

    _more = ("batchmean",)

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, input: Any, target: Any) -> Any:
        """Logarithms of probabilities, and probabilities of the same shape."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class HingeLoss(_Loss):
    """The loss of a support vector machine, for two classes or several."""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input: Any, target: Any) -> Any:
        """Scores with targets -1 and 1 of one shape, or (batch, classes) with class indices (batch,)."""
        return F.hinge_loss(input, target, self.margin, self.reduction)


class PerceptronLoss(_Loss):
    """How far a wrong decision's score is on the wrong side."""

    def forward(self, input: Any, target: Any) -> Any:
        """Scores with targets -1 and 1 of one shape, or (batch, classes) with class indices (batch,)."""
        return F.perceptron_loss(input, target, self.reduction)


adopt_constructors(globals())
