"""The loss functions but cross entropy (`ops.rows`): one formula each, then the reduction.

Names, argument order and definitions are PyTorch's where it has the loss. All take `reduction`: "mean", "sum" or
"none" for the losses of the elements.
"""

from __future__ import annotations

from typing import Any

from ..ops.arguments import bare, operand
from ..ops.defining import elementwise
from ..ops.elementwise import absolute, exp, log, maximum, softplus, square, where
from ..ops.entropy import check_labels, class_rows, class_weight, label_weights
from ..ops.index import take_along_axis
from ..ops.reduce import max as max_
from ..ops.reduce import mean
from ..ops.reduce import sum as sum_
from ..primitive import Needs, Primitive
from ..tensor import apply

REDUCTIONS = ("mean", "sum", "none")


@elementwise
def squared_error(x: Any, target: Any) -> Any:
    """`(x - target)^2`."""
    return square(x - target)


@elementwise
def absolute_error(x: Any, target: Any) -> Any:
    """`|x - target|`."""
    return absolute(x - target)


@elementwise
def huber_error(x: Any, target: Any, delta: Any) -> Any:
    """A square up to `delta`, a line beyond."""
    d = absolute(x - target)
    return where(d <= delta, 0.5 * square(x - target), delta * (d - 0.5 * delta))


@elementwise
def smooth_error(x: Any, target: Any, beta: Any) -> Any:
    """A square below `beta`, a line beyond, of slope 1."""
    d = absolute(x - target)
    return where(d < beta, 0.5 * square(x - target) / beta, d - 0.5 * beta)


@elementwise
def logit_entropy(x: Any, target: Any, pos_weight: Any) -> Any:
    """Binary cross entropy of a score."""
    # Both terms are of one sign, so nothing cancels where the loss is small.
    return pos_weight * target * softplus(-x) + (1.0 - target) * softplus(x)


@elementwise
def divergence(x: Any, target: Any) -> Any:
    """`target (log target - x)`, and 0 where the target is 0."""
    return where(target > 0.0, target * (log(where(target > 0.0, target, 1.0)) - x), -target * x)


@elementwise
def log_divergence(x: Any, target: Any) -> Any:
    """The same with the target in logarithms."""
    return exp(target) * (target - x)


@elementwise
def margin_error(x: Any, target: Any, margin: Any) -> Any:
    """What `target x` lacks of the margin."""
    return where(target * x < margin, margin - target * x, 0.0)


@elementwise
def side_error(x: Any, target: Any) -> Any:
    """How far `x` is on the wrong side."""
    # With a gradient on the boundary too: from weights 0, every score lies there.
    return where(target * x <= 0.0, -target * x, 0.0)


@elementwise
def likelihood_error(x: Any, weight: Any) -> Any:
    """`-x weight`; 0 without a weight, even of -inf."""
    return where(weight > 0.0, -x * weight, 0.0)


# The logarithms are cut at -100, as in PyTorch, so that a wrong certainty costs much but not infinitely; gradients are
# those of the uncut loss with a bounded denominator, so that it can still be unlearned.
@elementwise
def cut_entropy(x: Any, target: Any) -> Any:
    """Binary cross entropy of a probability, logarithms cut at -100."""
    a = where(x > 0.0, log(where(x > 0.0, x, 1.0)), -100.0)
    b = where(x < 1.0, log(where(x < 1.0, 1.0 - x, 1.0)), -100.0)
    return -(target * maximum(a, -100.0) + (1.0 - target) * maximum(b, -100.0))


@elementwise
def _entropy_slope(g: Any, x: Any, target: Any) -> Any:
    return g * (x - target) / maximum(x * (1.0 - x), 1e-12)


@elementwise
def _entropy_target_slope(g: Any, x: Any) -> Any:
    a = where(x > 0.0, log(where(x > 0.0, x, 1.0)), -100.0)
    b = where(x < 1.0, log(where(x < 1.0, 1.0 - x, 1.0)), -100.0)
    return g * (maximum(b, -100.0) - maximum(a, -100.0))


def _entropy_forward(needs: Needs, x: Any, target: Any) -> tuple[Any, tuple[Any, ...]]:
    return cut_entropy(x, target), ()


def _entropy_rule(g: Any, needs: Needs, x: Any, target: Any) -> tuple[Any, Any]:
    return (_entropy_slope(g, x, target) if needs[0] else None), (_entropy_target_slope(g, x) if needs[1] else None)


BINARY_CROSS_ENTROPY = Primitive(
    "binary_cross_entropy",
    _entropy_forward,
    _entropy_rule,
    keeps=((0, 1), (0,)),
    flops=cut_entropy.flops,
    vjp_flops=lambda shapes, out_shape, needs: sum(
        slope.flops(shapes, out_shape)
        for slope, need in zip((_entropy_slope, _entropy_target_slope), needs, strict=True)
        if need
    ),
)


def reduced(name: str, loss: Any, reduction: str) -> Any:
    """`loss` averaged, summed, or as it is.

    Raises:
        ValueError: another name of a reduction.
    """
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return sum_(loss)
    if reduction != "none":
        raise ValueError(f'[{name}] reduction = {reduction!r}; expected "mean", "sum" or "none"')
    return loss


def _pair(name: str, x: Any, target: Any) -> tuple[Any, Any]:
    """Prediction and target, of one shape: broadcasting (n, 1) with (n,) would compare everything with everything."""
    x = operand(x)
    if isinstance(target, (int, float)):
        return x, target
    target = operand(target)
    if x.shape != target.shape and target.shape != ():
        raise ValueError(
            f"[{name}] input has shape {tuple(x.shape)}, target {tuple(target.shape)}; expected one shape (reshape one "
            "of them, or broadcast the target yourself)"
        )
    return x, target


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """The squared error `(input - target)^2`.

    Args:
        input: predictions, any shape.
        target: the same shape, or a number.
        reduction: "mean", "sum", or "none" for the loss of each element.

    Returns:
        A single number, or the input's shape with "none".

    Raises:
        ValueError: the shapes differ, or the reduction is not known. (So for all losses below.)
    """
    return reduced("mse_loss", squared_error(*_pair("mse_loss", input, target)), reduction)


def l1_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """The absolute error `|input - target|`; gradient 0 where they agree. Arguments as `mse_loss`."""
    return reduced("l1_loss", absolute_error(*_pair("l1_loss", input, target)), reduction)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Any:
    """With `d = |input - target|`: `d^2 / 2` up to `delta`, `delta (d - delta / 2)` beyond (Huber 1964).

    Args:
        input: predictions, any shape.
        target: the same shape, or a number.
        reduction: as `mse_loss`.
        delta: where the square becomes a line; positive.

    Raises:
        ValueError: `delta` is not positive.
    """
    if delta <= 0:
        raise ValueError(f"[huber_loss] delta = {delta}; expected a positive number")
    return reduced("huber_loss", huber_error(*_pair("huber_loss", input, target), delta), reduction)


def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Any:
    """The Huber loss divided by its `beta`: `d^2 / (2 beta)` below `beta`, `d - beta / 2` beyond.

    Args:
        input: predictions, any shape.
        target: the same shape, or a number.
        reduction: as `mse_loss`.
        beta: where the square becomes a line; 0 for the absolute error.

    Raises:
        ValueError: `beta` is negative.
    """
    if beta < 0:
        raise ValueError(f"[smooth_l1_loss] beta = {beta}; expected 0 or more")
    if beta == 0:
        return l1_loss(input, target, reduction)
    return reduced("smooth_l1_loss", smooth_error(*_pair("smooth_l1_loss", input, target), beta), reduction)


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Any:
    """`-(t log p + (1 - t) log(1 - p))`, of probabilities; from scores `binary_cross_entropy_with_logits` is exact.

    Args:
        input: probabilities `p` in [0, 1].
        target: `t`, the same shape; 0 and 1, or in between.
        weight: factor of each element's loss, broadcast.
        reduction: as `mse_loss`.

    The logarithms are cut at -100, as in PyTorch; the gradient is `(p - t) / max(p (1 - p), 1e-12)`.
    """
    loss = apply(BINARY_CROSS_ENTROPY, _pair("binary_cross_entropy", input, target), {})
    return reduced("binary_cross_entropy", loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """`-(w t log sigmoid(x) + (1 - t) log(1 - sigmoid(x)))`, from scores, without overflow or cancellation.

    Args:
        input: scores `x`, any shape.
        target: `t`, the same shape; 0 and 1, or in between.
        weight: factor of each element's loss, broadcast.
        reduction: as `mse_loss`.
        pos_weight: `w`, factor of the positive term, broadcast: over 1 for a rare positive class.
    """
    x, target = _pair("binary_cross_entropy_with_logits", input, target)
    loss = logit_entropy(x, target, 1.0 if pos_weight is None else pos_weight)
    return reduced("binary_cross_entropy_with_logits", loss if weight is None else loss * weight, reduction)


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    """The Kullback-Leibler divergence, element by element: `t (log t - input)`, and 0 where `t` is 0.

    Args:
        input: logarithms of the model's probabilities, (batch, *axes).
        target: probabilities `t`, the same shape, or their logarithms with `log_target`.
        reduction: as `mse_loss`, or "batchmean": the sum divided by the batch, which is the divergence itself.
        log_target: whether `target` is in logarithms.
    """
    x, target = _pair("kl_div", input, target)
    loss = (log_divergence if log_target else divergence)(x, target)
    if reduction == "batchmean":
        return sum_(loss) / (x.shape[0] if x.ndim else 1)
    return reduced("kl_div", loss, reduction)


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    """The negative log-likelihood `-w[t] input[t]` of class indices: cross entropy after `log_softmax`.

    Args:
        input: logarithms of probabilities, (batch, classes, *axes) or (classes,).
        target: integers, (batch, *axes) or a single one.
        weight: (classes,), factor of each class; "mean" divides by the sum of the targets' weights.
        ignore_index: a target that counts for nothing.
        reduction: as `mse_loss`.

    Raises:
        ValueError: shapes do not fit.
        IndexError: a target is not in [0, classes), on the CPU; on a GPU its loss is nan.
    """
    x = operand(input)
    rows, labels, shape = class_rows("nll_loss", x, target)
    check_labels("nll_loss", labels, rows.shape[1], ignore_index)
    counts, used = label_weights(labels, class_weight("nll_loss", weight, x), ignore_index, rows.dtype)
    picked = take_along_axis(rows, used[:, None], 1).reshape(-1)
    loss = likelihood_error(picked, counts)
    if reduction == "mean":
        return sum_(loss) / sum_(counts)
    return reduced("nll_loss", loss.reshape(shape), reduction)


def _margin_target(name: str, x: Any, target: Any) -> tuple[Any, Any, bool]:
    """Scores, targets, and whether the targets are class indices."""
    x, target = operand(x), operand(target)
    if target.dtype.kind in "iu" and x.ndim == target.ndim + 1:
        return x, target, True
    if x.shape != target.shape:
        raise ValueError(
            f"[{name}] input has shape {tuple(x.shape)}, target {tuple(target.shape)} {target.dtype}; expected one "
            "shape with targets -1 and 1, or (batch, classes) and integer targets (batch,)"
        )
    return x, target, False


def hinge_loss(input: Any, target: Any, margin: float = 1.0, reduction: str = "mean") -> Any:
    """The loss of a support vector machine: what a score lacks of the margin.

    Two classes: `max(0, margin - t x)`. Several: the sum over the wrong classes `k` of
    `max(0, margin + x[k] - x[t])` (Weston and Watkins 1999; not divided by the number of classes). A score that
    just reaches the margin has no gradient.

    Args:
        input: scores `x`, any shape with targets of -1 and 1; (batch, classes) with class indices.
        target: -1 and 1, of the input's shape; or class indices, integers of shape (batch,).
        margin: how far the right side must be ahead.
        reduction: as `mse_loss`, over the elements, or the examples with class indices.
    """
    if margin < 0:
        raise ValueError(f"[hinge_loss] margin = {margin}; expected 0 or more")
    x, target, classes = _margin_target("hinge_loss", input, target)
    if not classes:
        return reduced("hinge_loss", margin_error(x, target, margin), reduction)
    right = _right("hinge_loss", x, target)
    lacks = sum_(margin_error(right - x, 1.0, margin), axis=-1) - margin  # the right class itself lacks all of it
    return reduced("hinge_loss", lacks, reduction)


def perceptron_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """The perceptron's loss: nothing for a right decision, else how far the score is on the wrong side.

    Two classes: `max(0, -t x)`, with the gradient `-t` at a score of 0. Several: `max_k x[k] - x[t]`. Rosenblatt's
    update is its gradient step.

    Args:
        input: scores `x`, any shape with targets of -1 and 1; (batch, classes) with class indices.
        target: -1 and 1, of the input's shape; or class indices, integers of shape (batch,).
        reduction: as `hinge_loss`.
    """
    x, target, classes = _margin_target("perceptron_loss", input, target)
    if not classes:
        return reduced("perceptron_loss", side_error(x, target), reduction)
    right = _right("perceptron_loss", x, target)
    return reduced("perceptron_loss", max_(x, axis=-1) - right.reshape(right.shape[:-1]), reduction)


def _right(name: str, x: Any, target: Any) -> Any:
    """The scores of the right classes, with an axis of length 1 in the classes' place."""
    labels = bare(target)
    check_labels(name, labels, x.shape[-1], None)
    return take_along_axis(x, labels[..., None], -1)
