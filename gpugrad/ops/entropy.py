"""Cross entropy from scores, in one kernel each way, with PyTorch's layouts, class weights, smoothing and reductions.

Also what all losses over class indices share: checking labels and turning layouts into rows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import backend_of
from ..backend.placing import placed
from ..casting import CASTING, cast
from ..primitive import Needs, Primitive, Shape, public
from ..tensor import apply
from .arguments import backend_for_all, bare, operand
from .costs import rows_of
from .elementwise import negative
from .reduce import mean
from .reduce import sum as sum_
from .rows import log_softmax
from .shape import moveaxis


def check_labels(name: str, labels: Any, classes: int, ignore_index: int | None) -> int:
    """Make sure that all labels are in range; returns how many are `ignore_index`.

    Only where the values can be read without waiting for a device (on a GPU, the kernels answer a wrong label with
    nan): returns -1 there.

    Raises:
        IndexError: a label is not in [0, classes); names it and its position.
    """
    if backend_of(labels).name != "cpu":
        return -1
    if not labels.size:
        return 0
    # As unsigned numbers negative labels are the largest, so one reduction checks both ends.
    plain = ignore_index is None or not 0 <= ignore_index < classes
    if plain and labels.dtype == np.int64 and int(np.maximum.reduce(labels.view(np.uint64), axis=None)) < classes:
        return 0
    ignored = np.zeros(labels.shape, bool) if ignore_index is None else labels == ignore_index
    wrong = ((labels < 0) | (labels >= classes)) & ~ignored
    if wrong.any():
        where_ = tuple(int(i) for i in np.argwhere(wrong)[0])
        place = where_[0] if len(where_) == 1 else where_
        raise IndexError(
            f"[{name}] target = {int(labels[where_])} at position {place} of {labels.size} is no class; expected "
            f"0 <= target < {classes}, the number of classes"
            + ("" if ignore_index is None else f", or ignore_index = {ignore_index}")
        )
    return int(ignored.sum())


def class_rows(name: str, x: Any, target: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """Scores as (rows, classes), labels as (rows,) bare int64, and the shape of the losses.

    Raises:
        ValueError: `x` is not (classes,) or (batch, classes, *axes) with a target of (batch, *axes).
    """
    labels = bare(operand(target))
    shape = tuple(x.shape)
    expected = shape[:1] + shape[2:] if len(shape) > 1 else ()
    if not shape or labels.shape != expected:
        raise ValueError(
            f"[{name}] input has shape {shape}, target {tuple(labels.shape)} {labels.dtype}; expected (batch, classes, "
            "*axes) and class indices (batch, *axes), or (classes,) and a single one"
        )
    if labels.dtype != np.int64:
        labels = labels.astype(np.int64)
    if len(shape) == 2:
        return x, labels, expected
    rows = x if len(shape) == 1 else moveaxis(x, 1, -1)
    return rows.reshape((math.prod(expected), shape[1] if len(shape) > 1 else shape[0])), labels.reshape(-1), expected


def class_weight(name: str, weight: Any, x: Any) -> Any:
    """The bare weights of the classes in x's dtype, or None.

    Raises:
        ValueError: not one weight for each class.
    """
    if weight is None:
        return None
    weight, classes = bare(operand(weight)), x.shape[1 if x.ndim > 1 else 0]
    if weight.shape != (classes,):
        raise ValueError(f"[{name}] weight has shape {tuple(weight.shape)}; expected ({classes},), one for each class")
    return weight.astype(bare(x).dtype, copy=False)


def label_weights(labels: Any, weight: Any, ignore_index: int, dtype: Any) -> tuple[Any, Any]:
    """What each label counts (0 if ignored), and labels that can all be used as indices."""
    counted, backend = labels != ignore_index, backend_of(labels)
    used = backend.xp.where(counted, labels, 0)
    if weight is None:
        return backend.cast(counted, dtype), used
    return backend.xp.where(counted, weight[used], backend.xp.zeros((), dtype)), used


# The operation on rows -----------------------------------------------------------------------------------------------


def _forward(
    needs: Needs, x: Any, labels: Any, weight: Any, *, reduction: str, ignore_index: int, label_smoothing: float
) -> tuple[Any, tuple[Any, ...]]:
    backend = backend_for_all("cross_entropy", x, labels, weight)
    ignored = check_labels("cross_entropy", labels, x.shape[1], ignore_index)
    index = ignore_index if ignored else None
    if reduction == "mean" and backend.name == "cuda":  # in kernels of its own: these few numbers are not worth more
        loss, lse, counted = backend.rows.cross_entropy_mean(x, labels, weight, label_smoothing, index)
        return loss, (lse, counted, index)
    losses, lse = backend.rows.cross_entropy(x, labels, weight, label_smoothing, index)
    xp = backend.xp
    if reduction == "none":
        return losses, (lse, None, index)
    total = backend.reduce("sum", losses, None, False)
    if reduction == "sum":
        return (total if type(total) is type(x) else xp.asarray(total)), (lse, None, index)
    divisor: Any = labels.size - ignored
    if weight is not None or ignored < 0:
        divisor = xp.asarray(label_weights(labels, weight, ignore_index, losses.dtype)[0].sum())
    elif not divisor:  # a mean over nothing is nan, as in PyTorch
        divisor = math.nan
    return xp.asarray(total / divisor, dtype=losses.dtype), (lse, divisor, index)


def _rule(
    g: Any,
    needs: Needs,
    x: Any,
    labels: Any,
    weight: Any,
    lse: Any,
    divisor: Any,
    index: int | None,
    *,
    reduction: str,
    ignore_index: int,
    label_smoothing: float,
) -> tuple[Any, None, None]:
    backend, options = backend_of(x), (labels, weight, label_smoothing, index)
    if divisor is not None and backend.name == "cuda":
        return backend.rows.cross_entropy_mean_vjp(g, x, lse, divisor, *options), None, None
    if divisor is not None:
        g = backend.xp.asarray(g / divisor, dtype=g.dtype)
    return backend.rows.cross_entropy_vjp(g, x, lse, *options), None, None


def _reference(x: Any, labels: Any, weight: Any, *, reduction: str, ignore_index: int, label_smoothing: float) -> Any:
    logp = log_softmax(x)
    losses = -(logp * _desired(bare(x), labels, weight, ignore_index, label_smoothing)).sum(axis=-1)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    return losses.sum() / label_weights(labels, weight, ignore_index, losses.dtype)[0].sum()


def _desired(x: Any, labels: Any, weight: Any, ignore_index: int, label_smoothing: float) -> Any:
    """The weighted, smoothed distribution that each row is compared with; zeros where the label is ignored."""
    xp = backend_of(x).xp
    counts, used = label_weights(labels, weight, ignore_index, x.dtype)
    classes = x.shape[-1]
    hits = (xp.arange(classes) == used[:, None]) * ((1 - label_smoothing) * counts)[:, None]
    everywhere = xp.full(classes, label_smoothing / classes, x.dtype) * (1 if weight is None else weight)
    return (hits + (labels != ignore_index)[:, None] * everywhere).astype(x.dtype, copy=False)


def _flops(shapes: tuple[Shape, ...], out_shape: Shape, *, label_smoothing: float, **static: Any) -> int:
    """Largest, difference, exp and sum of each row; a logarithm, two sums and the mean for each row."""
    return (4 + (label_smoothing > 0)) * math.prod(shapes[0]) + 4 * rows_of(shapes[0])


def _vjp_flops(
    shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, label_smoothing: float, **static: Any
) -> int:
    """The softmax from the kept logarithm of the sum, times the cotangent; one off at the label."""
    return (3 + (label_smoothing > 0)) * math.prod(shapes[0]) + rows_of(shapes[0])


CROSS_ENTROPY = Primitive(
    "cross_entropy",
    _forward,
    _rule,
    keeps=((0, 1, 2), (), ()),
    reference=_reference,
    flops=_flops,
    vjp_flops=_vjp_flops,
)


@public
@placed
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """The negative logarithm of the probability that `softmax(input)` gives the target class.

    Args:
        input: scores (logits), (batch, classes, *axes) or (classes,).
        target: class indices, integers of shape (batch, *axes) (or a single one), or the probabilities of the
            classes, floating point in the input's shape; these may need a gradient.
        weight: (classes,), factor of each class.
        ignore_index: a class index that counts for nothing; for indices only.
        reduction: "mean" (divided by the sum of the targets' weights; for probabilities by the number of examples),
            "sum" or "none".
        label_smoothing: this share of the target, in [0, 1], is spread evenly over the classes.

    Returns:
        A single number, or (batch, *axes) with "none", in the input's dtype. The mean over nothing is nan.

    Raises:
        ValueError: shapes do not fit, or an option is out of range.
        IndexError: an index is not in [0, classes), on the CPU, naming value and position; on a GPU, where reading
            would wait for the device, its loss is nan.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'[cross_entropy] reduction = {reduction!r}; expected "mean", "sum" or "none"')
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"[cross_entropy] label_smoothing = {label_smoothing}; expected a share in [0, 1]")
    x, target = operand(input), operand(target)
    if CASTING:
        x = cast("cross_entropy", (x,))[0]
    weight = class_weight("cross_entropy", weight, x) if weight is not None else None
    if target.dtype.kind not in "iu":
        return _with_probabilities(x, target, weight, reduction, label_smoothing)
    rows, labels, shape = class_rows("cross_entropy", x, target)
    static = {"reduction": reduction, "ignore_index": ignore_index, "label_smoothing": label_smoothing}
    out = apply(CROSS_ENTROPY, (rows, labels, weight), static)
    return out if reduction != "none" or len(shape) == 1 else out.reshape(shape)


def _with_probabilities(x: Any, target: Any, weight: Any, reduction: str, label_smoothing: float) -> Any:
    if tuple(target.shape) != tuple(x.shape) or not x.ndim:
        raise ValueError(
            f"[cross_entropy] input has shape {tuple(x.shape)}, target {tuple(target.shape)} {target.dtype}; expected "
            "probabilities of the input's shape, or integer class indices (batch, *axes)"
        )
    axis = 1 if x.ndim > 1 else 0
    classes = x.shape[axis]
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    if weight is not None:
        target = target * weight.reshape((-1,) + (1,) * (x.ndim - 1 - axis))
    losses = negative(sum_(log_softmax(x, axis) * target, axis=axis))
    if reduction == "none":
        return losses
    return sum_(losses) if reduction == "sum" else mean(losses)
