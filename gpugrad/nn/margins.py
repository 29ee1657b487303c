"""Losses by margins: of rankings, labels and distances, each one formula and a reduction, with their modules.

Names, argument order and definitions are PyTorch's, at ties too: where a margin is just kept, a gradient goes through
unless the docstring says otherwise. `losses` has the rest, `hinge_loss` among it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend import backend_of
from ..backend.placing import placed
from ..ops.arguments import bare, operand
from ..ops.defining import elementwise
from ..ops.elementwise import minimum, rsqrt, softplus, square, where
from ..ops.entropy import check_labels, class_weight
from ..ops.index import take_along_axis
from ..ops.reduce import mean
from ..ops.reduce import sum as sum_
from ..tensor import Tensor
from .distances import pairwise_distance
from .loss import _Loss
from .losses import _pair, logit_entropy, reduced
from .torch_calls import adopt, adopt_constructors

Distance = Callable[[Any, Any], Any]


@elementwise
def ranking_lack(x1: Any, x2: Any, target: Any, margin: Any) -> Any:
    """What `target (x1 - x2)` lacks of the margin."""
    lack = margin - target * (x1 - x2)
    return where(lack >= 0.0, lack, 0.0)


@elementwise
def distance_lack(x: Any, target: Any, margin: Any) -> Any:
    """`x` of what belongs together, and what `x` lacks of the margin of what does not."""
    apart = where(margin - x >= 0.0, margin - x, 0.0)
    return where(target == 1.0, 0.0, apart) + where(target == -1.0, 0.0, x)


@elementwise
def soft_lack(x: Any, target: Any) -> Any:
    """`log(1 + exp(-target x))`."""
    return softplus(-target * x)


@elementwise
def class_lack(x: Any, right: Any, margin: Any) -> Any:
    """What the right score lacks of being `margin` ahead of `x`."""
    lack = margin - right + x
    return where(lack > 0.0, lack, 0.0)


@elementwise
def angle_lack(product: Any, square1: Any, square2: Any, target: Any, margin: Any) -> Any:
    """`1 - cos` of what belongs together, and what `cos` is over the margin of what does not."""
    # As PyTorch: what keeps vectors of zeros apart from 0 / 0 is added to the squares.
    cos = product * rsqrt(square1 + 1e-12) * rsqrt(square2 + 1e-12)
    over = where(cos - margin >= 0.0, cos - margin, 0.0)
    return where(target == 1.0, 1.0 - cos, 0.0) + where(target == -1.0, over, 0.0)


@elementwise
def triplet_lack(near: Any, far: Any, margin: Any) -> Any:
    """What the distance `far` lacks of being `margin` over `near`."""
    lack = margin + near - far
    return where(lack >= 0.0, lack, 0.0)


def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean") -> Any:
    """`max(0, margin - t (x1 - x2))`: the first is to rank over the second where `t` is 1, below it where it is -1.

    Args:
        input1: scores `x1`, any shape.
        input2: scores `x2`, a shape that broadcasts with it.
        target: `t`, 1 and -1, a shape that broadcasts with both.
        margin: how far the right one must be ahead.
        reduction: "mean", "sum", or "none" for the loss of each pair.

    Returns:
        A single number, or the common shape with "none". Scores that are just `margin` apart have a gradient: from
        weights 0 and with margin 0, all lie there.

    Raises:
        ValueError: the numbers of axes differ, or the reduction is not known.
    """
    x1, x2, t = operand(input1), operand(input2), operand(target)
    if not x1.ndim == x2.ndim == t.ndim:
        raise ValueError(
            f"[margin_ranking_loss] input1 has shape {tuple(x1.shape)}, input2 {tuple(x2.shape)}, target "
            f"{tuple(t.shape)}; expected the same number of axes (reshape them, or (n, 1) would meet (n,) by pairs)"
        )
    return reduced("margin_ranking_loss", ranking_lack(x1, x2, t, margin), reduction)


def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, reduction: str = "mean") -> Any:
    """Of distances: `x` where the target is 1, `max(0, margin - x)` where it is -1.

    Args:
        input: distances `x`, any shape.
        target: 1 for what is alike and -1 for what is not, the same shape.
        margin: how far what is not alike must be apart.
        reduction: as `margin_ranking_loss`.

    Raises:
        ValueError: the shapes differ, or the reduction is not known.
    """
    x, t = _pair("hinge_embedding_loss", input, target)
    return reduced("hinge_embedding_loss", distance_lack(x, t, margin), reduction)


def soft_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """The logistic loss `log(1 + exp(-t x))`, without overflow.

    Args:
        input: scores `x`, any shape.
        target: `t`, 1 and -1, the same shape.
        reduction: as `margin_ranking_loss`.

    Raises:
        ValueError: the shapes differ, or the reduction is not known.
    """
    return reduced("soft_margin_loss", soft_lack(*_pair("soft_margin_loss", input, target)), reduction)


def multilabel_soft_margin_loss(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Any:
    """Binary cross entropy of the score of each class, averaged over the classes: an example may have several.

    Args:
        input: scores, (*batch, classes).
        target: 1 for the classes of an example, else 0; the same shape.
        weight: factor of each class, broadcast.
        reduction: as `margin_ranking_loss`, over the examples.

    Raises:
        ValueError: the shapes differ, or the reduction is not known.
    """
    x, t = _pair("multilabel_soft_margin_loss", input, target)
    loss = logit_entropy(x, t, 1.0)
    loss = mean(loss if weight is None else loss * weight, axis=-1)
    return reduced("multilabel_soft_margin_loss", loss, reduction)


@placed
def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean"
) -> Any:
    """`w[t] / classes` times the sum over the wrong classes `k` of `max(0, margin + x[k] - x[t])^p`.

    A score that just keeps the margin has no gradient. (`hinge_loss` is its like without the division.)

    Args:
        input: scores `x`, (batch, classes) or (classes,).
        target: class indices `t`, (batch,) or a single one.
        p: 1 or 2.
        margin: how far the right class must be ahead.
        weight: `w`, (classes,), a factor for each class.
        reduction: as `margin_ranking_loss`, over the examples.

    Raises:
        ValueError: shapes do not fit, `p` is neither 1 nor 2, or the reduction is not known.
        IndexError: a target is not in [0, classes), on the CPU.
    """
    if p not in (1, 2):
        raise ValueError(f"[multi_margin_loss] p = {p}; expected 1 or 2")
    x, labels = operand(input), bare(operand(target))
    if x.ndim not in (1, 2) or labels.shape != tuple(x.shape[:-1]) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"[multi_margin_loss] input has shape {tuple(x.shape)}, target {tuple(labels.shape)} {labels.dtype}; "
            "expected (batch, classes) and class indices (batch,), or (classes,) and a single one"
        )
    weights = class_weight("multi_margin_loss", weight, x)
    check_labels("multi_margin_loss", labels, x.shape[-1], None)
    lack = class_lack(x, take_along_axis(x, labels[..., None], -1), margin)
    # The right class itself lacks all of the margin.
    loss = (sum_(lack if p == 1 else square(lack), axis=-1) - max(margin, 0.0) ** p) / x.shape[-1]
    return reduced("multi_margin_loss", loss if weights is None else loss * weights[labels], reduction)


@placed
def multilabel_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """The sum of `max(0, 1 - x[t] + x[k])` over the right classes `t` and the wrong ones `k`, over the classes.

    Args:
        input: scores `x`, (batch, classes) or (classes,).
        target: integers of the same shape: the right classes, -1 behind the last of them.
        reduction: as `margin_ranking_loss`, over the examples.

    Raises:
        ValueError: shapes do not fit, or the reduction is not known.
    """
    x, labels = operand(input), bare(operand(target))
    if x.ndim not in (1, 2) or labels.shape != tuple(x.shape) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"[multilabel_margin_loss] input has shape {tuple(x.shape)}, target {tuple(labels.shape)} {labels.dtype}; "
            "expected (batch, classes) or (classes,), and integers of this shape"
        )
    xp = backend_of(labels).xp
    named = xp.cumprod(labels >= 0, axis=-1) > 0  # up to the first -1
    places = xp.where(named, labels, 0)
    right = (named[..., None] & (places[..., None] == xp.arange(x.shape[-1]))).any(axis=-2)
    lack = class_lack(x[..., None, :], take_along_axis(x, places, -1)[..., None], 1.0)
    loss = sum_(where(named[..., None] & ~right[..., None, :], lack, 0.0), axis=(-2, -1)) / x.shape[-1]
    return reduced("multilabel_margin_loss", loss, reduction)


def cosine_embedding_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean") -> Any:
    """Of pairs of vectors: `1 - cos` where the target is 1, `max(0, cos - margin)` where it is -1.

    Args:
        input1: (*batch, n).
        input2: the same shape.
        target: 1 for what is alike and -1 for what is not, (*batch).
        margin: in [-1, 1], up to which cosine what is not alike may lie.
        reduction: as `margin_ranking_loss`, over the pairs.

    Raises:
        ValueError: shapes do not fit, or the reduction is not known.
    """
    x1, x2, t = operand(input1), operand(input2), operand(target)
    if not x1.ndim or x1.shape != x2.shape or t.shape != x1.shape[:-1]:
        raise ValueError(
            f"[cosine_embedding_loss] input1 has shape {tuple(x1.shape)}, input2 {tuple(x2.shape)}, target "
            f"{tuple(t.shape)}; expected (*batch, n) twice and (*batch)"
        )
    products = sum_(x1 * x2, axis=-1), sum_(square(x1), axis=-1), sum_(square(x2), axis=-1)
    return reduced("cosine_embedding_loss", angle_lack(*products, t, margin), reduction)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """`max(0, margin + d(anchor, positive) - d(anchor, negative))` (V. Balntas et al. 2016).

    Args:
        anchor: (*batch, n).
        positive: of the anchor's kind, the same shape.
        negative: of another kind, the same shape.
        margin: how much farther the negative must be; positive.
        p: the order of the norm that is the distance.
        eps: added to the differences, see `pairwise_distance`.
        swap: use the negative's distance from the positive where that is smaller.
        reduction: as `margin_ranking_loss`, over the triplets.

    Raises:
        ValueError: the margin is not positive, shapes do not broadcast, or the reduction is not known.
    """

    def distance(x1: Any, x2: Any) -> Any:
        return pairwise_distance(x1, x2, p, eps)

    return _triplets("triplet_margin_loss", (anchor, positive, negative), distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Distance | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """`triplet_margin_loss` of any distance.

    Args:
        anchor: (*batch, n), or what the distance takes.
        positive: likewise.
        negative: likewise.
        distance_function: of two of them; `pairwise_distance` if not given.
        margin: how much farther the negative must be; positive.
        swap: use the negative's distance from the positive where that is smaller.
        reduction: as `margin_ranking_loss`, over the distances.

    Raises:
        ValueError: the margin is not positive, or the reduction is not known.
    """
    given, distance = (anchor, positive, negative), distance_function or pairwise_distance
    return _triplets("triplet_margin_with_distance_loss", given, distance, margin, swap, reduction)


def _triplets(
    name: str, given: tuple[Any, Any, Any], distance: Distance, margin: float, swap: bool, reduction: str
) -> Any:
    if margin <= 0:
        raise ValueError(f"[{name}] margin = {margin}; expected a positive number")
    anchor, positive, negative = map(operand, given)
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(name, triplet_lack(near, far, margin), reduction)


adopt(globals())


# The same as modules ------------------------------------------------------------------------------------------------


class MarginRankingLoss(_Loss):
    """What the right one of two scores lacks of being `margin` ahead."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:
        """Two scores and 1 or -1, of shapes that broadcast."""
        return margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class HingeEmbeddingLoss(_Loss):
    """Distances of what is alike, and what those of the others lack of the margin."""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input: Any, target: Any) -> Any:
        """Distances and targets 1 and -1 of one shape."""
        return hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class SoftMarginLoss(_Loss):
    """The logistic loss of scores."""

    def forward(self, input: Any, target: Any) -> Any:
        """Scores and targets 1 and -1 of one shape."""
        return soft_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_Loss):
    """Binary cross entropy of scores, averaged over the classes."""

    weight: Tensor | None

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self._hold("weight", weight)

    def forward(self, input: Any, target: Any) -> Any:
        """(*batch, classes) and targets 0 and 1 of the same shape."""
        return multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)


class MultiMarginLoss(_Loss):
    """What the right class's score lacks of being `margin` ahead of the others."""

    weight: Tensor | None

    def __init__(self, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if p not in (1, 2):
            raise ValueError(f"[MultiMarginLoss] p = {p}; expected 1 or 2")
        self.p, self.margin = p, margin
        self._hold("weight", weight)

    def forward(self, input: Any, target: Any) -> Any:
        """(batch, classes) and class indices (batch,)."""
        return multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)


class MultiLabelMarginLoss(_Loss):
    """What each right class's score lacks of being 1 ahead of each wrong one's."""

    def forward(self, input: Any, target: Any) -> Any:
        """(batch, classes) and the right classes, ended by -1, of the same shape."""
        return multilabel_margin_loss(input, target, reduction=self.reduction)


class CosineEmbeddingLoss(_Loss):
    """`1 - cos` of what is alike, and by how much the cosine of the others is over the margin."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:
        """(*batch, n) twice and targets 1 and -1, (*batch)."""
        return cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


class TripletMarginLoss(_Loss):
    """What the distance of another kind lacks of being `margin` over that of the own kind."""

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:
        """(*batch, n) three times."""
        return triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, reduction=self.reduction
        )


class TripletMarginWithDistanceLoss(_Loss):
    """`TripletMarginLoss` of any distance."""

    def __init__(
        self,
        *,
        distance_function: Distance | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.distance_function, self.margin, self.swap = distance_function, margin, swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:
        """(*batch, n) three times, or what the distance takes."""
        return triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


adopt_constructors(globals())
