"""Connectionist temporal classification, as a function and a module; the recursion is in `ops.ctc`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import backend_of, memory
from ..backend.placing import placed
from ..ops.arguments import bare, module, operand
from ..ops.ctc import CTC, extended
from ..ops.elementwise import where
from ..ops.index import index_array, take_along_axis
from ..ops.reduce import mean
from ..tensor import apply
from .loss import _Loss
from .losses import reduced


@placed
def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """The negative logarithm of how probable labels are whose times are not known (A. Graves et al. 2006).

    Args:
        log_probs: logarithms of probabilities, (times, batch, classes) or (times, classes), as `log_softmax` gives.
        targets: class indices without blanks, (batch, most labels), or all one after the other, which asks the device
            for their lengths; (labels,) for one example.
        input_lengths: (batch,), how many times each example has; or a single number for one example.
        target_lengths: (batch,), how many labels; or a single number for one example.
        blank: the class that stands for no label.
        reduction: "mean" of the losses divided by the numbers of labels, "sum", or "none".
        zero_infinity: 0 in the place of infinite losses, of labels that do not fit into their times.

    Returns:
        A single number, or (batch,) with "none". The gradient is that of the losses by `log_probs`: minus how probable
        each class is at each time; PyTorch adds `exp(log_probs)`, which makes no difference before `log_softmax`.
        Infinite losses have a gradient of 0.

    Raises:
        ValueError: shapes do not fit, a length is too long (looked at on the CPU), or the reduction is not known.
        IndexError: a label is no class, on the CPU.
    """
    lp = operand(log_probs)
    alone = lp.ndim == 2
    lp = lp[:, None] if alone else lp
    if lp.ndim != 3 or not lp.shape[0] or not 0 <= blank < lp.shape[2]:
        raise ValueError(
            f"[ctc_loss] log_probs has shape {tuple(lp.shape)}, blank = {blank}; expected (times, batch, classes), one "
            "time at least, and a class"
        )
    labels, times, counts = (
        index_array("ctc_loss", backend_of(bare(lp)), bare(lp), x).astype(np.int64)
        for x in (targets, input_lengths, target_lengths)
    )
    if alone and times.size == counts.size == 1:
        labels, times, counts = labels.reshape((1, -1)), times.reshape(1), counts.reshape(1)
    loss = _losses(lp, labels, times, counts, blank)
    if zero_infinity:
        loss = where(loss < np.inf, loss, 0.0)
    if reduction == "mean":
        return mean(loss / module(counts).maximum(counts, 1).astype(lp.dtype))
    return reduced("ctc_loss", loss[0] if alone else loss, reduction)


def _losses(lp: Any, labels: Any, times: Any, counts: Any, blank: int) -> Any:
    """The loss of each example; what is whose has been checked but for the shapes."""
    batch = lp.shape[1]
    if labels.ndim == 1 and counts.shape == (batch,):
        labels = _side_by_side(labels, counts)
    if labels.ndim != 2 or not labels.shape[0] == batch or times.shape != (batch,) or counts.shape != (batch,):
        raise ValueError(
            f"[ctc_loss] targets has shape {tuple(labels.shape)}, input_lengths {tuple(times.shape)}, target_lengths "
            f"{tuple(counts.shape)} for a batch of {batch}; expected (batch, labels), or all labels in a row, and "
            "(batch,) twice"
        )
    _check(labels, times, counts, lp.shape)
    classes, skip, ends = extended(labels, counts, blank, lp.dtype)
    xp = module(labels)
    places = xp.broadcast_to(classes[None], (lp.shape[0], *classes.shape))
    emit = take_along_axis(lp, places, 2)
    last = xp.broadcast_to((times - 1)[:, None], classes.shape)
    return apply(CTC, (emit, skip, ends, last), {})


def _side_by_side(labels: Any, counts: Any) -> Any:
    """Labels one after the other as (batch, most)."""
    xp = backend_of(labels).xp
    most = int(counts.max()) if counts.size else 0
    ends = xp.cumsum(counts)
    if labels.shape[0] != (int(ends[-1]) if counts.size else 0):
        raise ValueError(f"[ctc_loss] targets has {labels.shape[0]} labels; target_lengths adds up to {int(ends[-1])}")
    places = (ends - counts)[:, None] + xp.arange(most)
    return labels[xp.minimum(places, max(labels.shape[0] - 1, 0))] if most else xp.zeros((counts.shape[0], 0), np.int64)


def _check(labels: Any, times: Any, counts: Any, shape: Any) -> None:
    """Lengths and labels, where they can be read without waiting."""
    arrays = [memory(a) for a in (labels, times, counts)]
    if not all(isinstance(a, np.ndarray) for a in arrays) or not shape[1]:
        return
    values, steps, numbers = arrays
    if not (steps.min() >= 1 and steps.max() <= shape[0]):
        raise ValueError(f"[ctc_loss] input_lengths from {steps.min()} to {steps.max()}; expected 1 to {shape[0]}")
    if not (numbers.min() >= 0 and numbers.max() <= values.shape[-1]):
        raise ValueError(
            f"[ctc_loss] target_lengths from {numbers.min()} to {numbers.max()}; expected 0 to {values.shape[-1]}"
        )
    own = values[np.arange(values.shape[-1]) < numbers[..., None]]
    if own.size and not 0 <= own.min() <= own.max() < shape[2]:
        wrong = own[(own < 0) | (own >= shape[2])][0]
        raise IndexError(f"[ctc_loss] target {wrong} is no class; expected 0 <= target < {shape[2]}")


class CTCLoss(_Loss):
    """Connectionist temporal classification; arguments as `functional.ctc_loss`."""

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(self, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any) -> Any:
        """(times, batch, classes) against (batch, labels), with the lengths of both, (batch,)."""
        return ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )
