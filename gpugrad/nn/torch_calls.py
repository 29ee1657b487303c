"""Calls of `nn.functional` as programs for PyTorch write them: its argument names, its order, its options.

Our functions have PyTorch's arguments in PyTorch's order, the operand under our name (`x` for `input`), without those
that have no meaning here. A call that they refuse, or that gives more by position than the two have in common, is bound
as PyTorch binds it. Other calls cost one Python call more.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final

from ..primitive import FUNCTIONS

# PyTorch's signatures where they differ from ours; a test compares them with PyTorch.
THEIRS: Final[dict[str, Callable[..., None]]] = {
    **dict.fromkeys(
        ("hardsigmoid", "hardswish", "mish", "relu", "relu6", "selu", "silu"), lambda input, inplace=False: None
    ),
    **dict.fromkeys(("celu", "elu"), lambda input, alpha=1.0, inplace=False: None),
    **dict.fromkeys(("logsigmoid", "sigmoid", "softsign", "tanh", "tanhshrink"), lambda input: None),
    **dict.fromkeys(("softmax", "softmin", "log_softmax"), lambda input, dim=None, _stacklevel=3, dtype=None: None),
    **dict.fromkeys(
        ("dropout", "dropout1d", "dropout2d", "dropout3d"), lambda input, p=0.5, training=True, inplace=False: None
    ),
    "binary_cross_entropy": lambda input, target, weight=None, size_average=None, reduce=None, reduction="mean": None,
    "binary_cross_entropy_with_logits": (
        lambda input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None: None
    ),
    "cross_entropy": (
        lambda input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean",
        label_smoothing=0.0: None
    ),
    "cosine_embedding_loss": (
        lambda input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean": None
    ),
    "gelu": lambda input, approximate="none": None,
    "glu": lambda input, dim=-1: None,
    "hardtanh": lambda input, min_val=-1.0, max_val=1.0, inplace=False: None,
    "hardshrink": lambda input, lambd=0.5: None,
    "hinge_embedding_loss": (
        lambda input, target, margin=1.0, size_average=None, reduce=None, reduction="mean": None
    ),
    "huber_loss": lambda input, target, reduction="mean", delta=1.0, weight=None: None,
    "kl_div": lambda input, target, size_average=None, reduce=None, reduction="mean", log_target=False: None,
    "l1_loss": lambda input, target, size_average=None, reduce=None, reduction="mean", weight=None: None,
    "layer_norm": lambda input, normalized_shape, weight=None, bias=None, eps=1e-5: None,
    "leaky_relu": lambda input, negative_slope=0.01, inplace=False: None,
    "linear": lambda input, weight, bias=None: None,
    "margin_ranking_loss": (
        lambda input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean": None
    ),
    "mse_loss": lambda input, target, size_average=None, reduce=None, reduction="mean", weight=None: None,
    "multi_margin_loss": (
        lambda input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean": None
    ),
    "multilabel_margin_loss": lambda input, target, size_average=None, reduce=None, reduction="mean": None,
    "multilabel_soft_margin_loss": (
        lambda input, target, weight=None, size_average=None, reduce=None, reduction="mean": None
    ),
    "nll_loss": (
        lambda input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean": None
    ),
    "one_hot": lambda tensor, num_classes=-1: None,
    "poisson_nll_loss": (
        lambda input, target, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None,
        reduction="mean": None
    ),
    "prelu": lambda input, weight: None,
    "rms_norm": lambda input, normalized_shape, weight=None, eps=None: None,
    "smooth_l1_loss": (
        lambda input, target, size_average=None, reduce=None, reduction="mean", beta=1.0: None
    ),
    "rrelu": lambda input, lower=1 / 8, upper=1 / 3, training=False, inplace=False: None,
    "soft_margin_loss": lambda input, target, size_average=None, reduce=None, reduction="mean": None,
    "softplus": lambda input, beta=1.0, threshold=20.0: None,
    "softshrink": lambda input, lambd=0.5: None,
    "threshold": lambda input, threshold, value, inplace=False: None,
    "triplet_margin_loss": (
        lambda anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False, size_average=None, reduce=None,
        reduction="mean": None
    ),
}  # fmt: skip

# The same of the losses' constructors.
CONSTRUCTORS: Final[dict[str, Callable[..., None]]] = {
    **dict.fromkeys(
        ("L1Loss", "MSELoss", "MultiLabelMarginLoss", "SoftMarginLoss"),
        lambda self, size_average=None, reduce=None, reduction="mean": None,
    ),
    **dict.fromkeys(
        ("BCELoss", "MultiLabelSoftMarginLoss"),
        lambda self, weight=None, size_average=None, reduce=None, reduction="mean": None,
    ),
    **dict.fromkeys(
        ("CosineEmbeddingLoss", "MarginRankingLoss"),
        lambda self, margin=0.0, size_average=None, reduce=None, reduction="mean": None,
    ),
    "HingeEmbeddingLoss": lambda self, margin=1.0, size_average=None, reduce=None, reduction="mean": None,
    "BCEWithLogitsLoss": (
        lambda self, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None: None
    ),
    "CrossEntropyLoss": (
        lambda self, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean",
        label_smoothing=0.0: None
    ),
    "KLDivLoss": lambda self, size_average=None, reduce=None, reduction="mean", log_target=False: None,
    "MultiMarginLoss": (
        lambda self, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean": None
    ),
    "NLLLoss": (
        lambda self, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean": None
    ),
    "PoissonNLLLoss": (
        lambda self, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None, reduction="mean": None
    ),
    "SmoothL1Loss": lambda self, size_average=None, reduce=None, reduction="mean", beta=1.0: None,
    "TripletMarginLoss": (
        lambda self, margin=1.0, p=2.0, eps=1e-6, swap=False, size_average=None, reduce=None, reduction="mean": None
    ),
}  # fmt: skip


def adopt(space: dict[str, Any]) -> None:
    """Put the functions of a namespace that are in the table under PyTorch's signatures."""
    for name, theirs in THEIRS.items():
        if name in space:
            space[name] = torchs(name, space[name], inspect.signature(theirs))


def adopt_constructors(space: dict[str, Any]) -> None:
    """The same of the constructors of a namespace's classes."""
    for name, theirs in CONSTRUCTORS.items():
        if name in space:
            space[name].__init__ = torchs(name, space[name].__init__, inspect.signature(theirs))


def torchs(name: str, function: Callable[..., Any], theirs: inspect.Signature) -> Callable[..., Any]:
    """`function`, also under PyTorch's signature."""
    formula = getattr(function, "formula", None)
    own = tuple(inspect.signature(function).parameters) if formula is None else tuple(formula.inputs)
    # How many arguments from the left are the same ones.
    common = 1
    for ours, other in zip(own[1:], tuple(theirs.parameters)[1:], strict=False):
        if ours != _ours(other, own):
            break
        common += 1

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        refused: TypeError | None = None
        if len(args) <= common:
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                refused = error
        try:
            bound = theirs.bind(*args, **kwargs).arguments
        except TypeError:
            if refused is not None:
                raise refused from None
            return function(*args, **kwargs)
        return function(**_translated(name, bound, own))

    return call


def _ours(argument: str, own: tuple[str, ...]) -> str:
    return "axis" if argument == "dim" and "axis" in own else argument


def _translated(name: str, bound: dict[str, Any], own: tuple[str, ...]) -> dict[str, Any]:
    """PyTorch's arguments under our names; what remains of them has been done or has no effect."""
    (_, operand), *more = bound.items()
    found = {own[0]: operand}
    for argument, value in more:
        if _ours(argument, own) in own:
            found[_ours(argument, own)] = value
        elif argument in ("size_average", "reduce", "weight") and value is not None:
            found |= _reduction(name, argument, value)
        elif argument == "dtype" and value is not None:
            found[own[0]] = FUNCTIONS["astype"](operand, value)
    if found.get("axis", 0) is None:
        raise TypeError(f"[{name}] dim = None; say along which axis, dim=-1 for the last")
    return found


def _reduction(name: str, argument: str, value: Any) -> dict[str, str]:
    """A reduction given by its name in the place of `size_average`, where PyTorch's older words for one stood.

    Raises:
        TypeError: the value of an argument that is not supported.
    """
    if argument == "size_average" and isinstance(value, str):
        return {"reduction": value}
    shown = repr(value) if isinstance(value, (bool, int, float, str)) else type(value).__name__
    hint = 'say reduction="mean", "sum" or "none"'
    if argument == "weight":
        hint = 'multiply the losses of reduction="none" with it'
    raise TypeError(f"[{name}] {argument} = {shown} is not supported; {hint}")
