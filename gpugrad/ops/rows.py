"""Operations along the last axis that are one kernel each: softmax and its kin, the norms, maxout, dropout.

The kernels are the backend's (`backend.rows`) and take bare arrays; on tensors a rule is the same formula in
gpugrad's own functions, so that it is recorded. Cross entropy, with its labels and layouts, is in `entropy`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import backend_of, is_array
from ..casting import CASTING, cast
from ..lifting import here
from ..primitive import Needs, Primitive, Shape, public
from ..tensor import apply
from .arguments import axis_index, axis_tuple, backend_for_all, bare, operand, reduction, spelled
from .cast import astype
from .costs import per_input, rows_of, vjp_per_input
from .defining import elementwise
from .elementwise import exp, rsqrt, square
from .shape import moveaxis, reshape

# Softmax, log-softmax, logsumexp -------------------------------------------------------------------------------------


def _softmax_rule(g: Any, needs: Needs, y: Any) -> tuple[Any]:
    if is_array(g):
        return (backend_of(g).rows.softmax_vjp(g, y),)
    return (y * (g - (g * y).sum(axis=-1, keepdims=True)),)


def _log_softmax_rule(g: Any, needs: Needs, y: Any) -> tuple[Any]:
    if is_array(g):
        return (backend_of(g).rows.log_softmax_vjp(g, y),)
    return (g - exp(y) * g.sum(axis=-1, keepdims=True),)


@elementwise
def share(g: Any, x: Any, total: Any) -> Any:
    """`g exp(x - total)`."""
    return g * exp(x - total)


def _logsumexp_rule(g: Any, needs: Needs, x: Any, y: Any) -> tuple[Any]:
    return (share(g.reshape((*g.shape, 1)), x, y.reshape((*y.shape, 1))),)


SOFTMAX = Primitive(
    "softmax",
    lambda needs, x: (backend_of(x).rows.softmax(x), ()),
    _softmax_rule,
    keeps=((-1,),),
    flops=lambda shapes, out_shape: 5 * math.prod(out_shape) + rows_of(out_shape),
    vjp_flops=vjp_per_input(4),
)
LOG_SOFTMAX = Primitive(
    "log_softmax",
    lambda needs, x: (backend_of(x).rows.log_softmax(x), ()),
    _log_softmax_rule,
    keeps=((-1,),),
    flops=lambda shapes, out_shape: 5 * math.prod(out_shape) + rows_of(out_shape),
    vjp_flops=vjp_per_input(4),
)
LOGSUMEXP = Primitive(
    "logsumexp",
    lambda needs, x: (backend_of(x).rows.logsumexp(x), ()),
    _logsumexp_rule,
    keeps=((0, -1),),
    flops=per_input(4, 2),
    vjp_flops=vjp_per_input(3),
)


def _floating(name: str, x: Any) -> Any:
    """The operand; integers become floats, as NumPy's functions do it."""
    x = operand(x)
    kind = x.dtype.kind
    if kind == "f":
        return x
    if kind in "iub":
        return astype(x, np.float64)
    if kind == "c":
        raise TypeError(f"[{name}] x is {x.dtype} {tuple(x.shape)}; expected real numbers")
    return x


def _along(prim: Primitive, x: Any, axis: Any) -> Any:
    """Apply a row operation along `axis`, by turning that axis to the end and back."""
    x = _floating(prim.name, x)
    if not x.ndim:
        if axis not in (-1, 0):
            axis_index(prim.name, axis, x.shape)
        return apply(prim, (x.reshape(1),), {}).reshape(())
    if axis in (-1, x.ndim - 1):
        return apply(prim, (x,), {})
    axis = axis_index(prim.name, axis, x.shape)
    return moveaxis(apply(prim, (moveaxis(x, axis, -1),), {}), -1, axis)


@public
@spelled
def softmax(x: Any, axis: int = -1) -> Any:
    """`exp(x)` divided by its sum along an axis, without overflow; also `softmax(x, dim=...)`.

    Args:
        x: any shape, of a floating point dtype (integers become float64).
        axis: the axis along which the results add up to 1. A call without it means the last one; PyTorch's, which it
            warns of, means axis 0 of 0, 1 and 3 axes, else axis 1.

    Returns:
        The same shape. A row of -inf only gives nan, as in PyTorch.
    """
    return _along(SOFTMAX, x, axis)


@public
@spelled
def log_softmax(x: Any, axis: int = -1) -> Any:
    """The logarithm of `softmax`, `x - logsumexp(x)`, exact where the probability underflows.

    Args:
        x: any shape.
        axis: the axis of the classes; also `dim=`. The last one where it is not given, as `softmax`.
    """
    return _along(LOG_SOFTMAX, x, axis)


@public
@reduction
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """`log(sum(exp(x)))` along axes, without overflow.

    Args:
        x: any shape.
        axis: an axis, several, or None for all; also `dim=`.
        keepdims: keep the axes with length 1; also `keepdim=`.

    Returns:
        -inf where everything is -inf.
    """
    x = _floating("logsumexp", x)
    axes = axis_tuple("logsumexp", axis, x.shape)
    if axes is None:
        axes = tuple(range(x.ndim))
    rest = [i for i in range(x.ndim) if i not in axes]
    rows = x
    if tuple(rest) + tuple(sorted(axes)) != tuple(range(x.ndim)):
        rows = x.transpose(*rest, *axes)
    if len(axes) != 1:
        rows = rows.reshape((*rows.shape[: len(rest)], math.prod(x.shape[a] for a in axes)))
    out = apply(LOGSUMEXP, (rows,), {})
    return out.reshape(tuple(1 if i in axes else n for i, n in enumerate(x.shape))) if keepdims else out


# Norms ---------------------------------------------------------------------------------------------------------------


def _layer_norm_reference(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    centred = x - x.mean(axis=-1, keepdims=True)
    y = centred * rsqrt(square(centred).mean(axis=-1, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _layer_norm_forward(needs: Needs, x: Any, weight: Any, bias: Any, *, eps: float) -> tuple[Any, tuple[Any, ...]]:
    y, mean, rstd = backend_for_all("layer_norm", x, weight, bias).rows.layer_norm(x, weight, bias, eps)
    return y, (mean, rstd)


def _layer_norm_rule(g: Any, needs: Needs, x: Any, weight: Any, mean: Any, rstd: Any, *, eps: float) -> tuple[Any, ...]:
    dx, dw, db = backend_of(g).rows.layer_norm_vjp(g, x, mean=mean, rstd=rstd, weight=weight)
    return (dx if needs[0] else None), (dw if needs[1] else None), (db if needs[2] else None)


def _layer_norm_flops(shapes: tuple[Shape, ...], out_shape: Shape, *, eps: float) -> int:
    affine = (shapes[1] != ()) + (shapes[2] != ())
    return (5 + affine) * math.prod(out_shape) + 5 * rows_of(out_shape)


def _layer_norm_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, eps: float) -> int:
    each = (9 + (shapes[1] != ())) * needs[0] + 2 * needs[1] + needs[2]
    return each * math.prod(out_shape) + 2 * needs[0] * rows_of(out_shape)


LAYER_NORM = Primitive(
    "layer_norm",
    _layer_norm_forward,
    _layer_norm_rule,
    keeps=((0, 1), (0, 1), (0, 1)),
    reference=_layer_norm_reference,
    flops=_layer_norm_flops,
    vjp_flops=_layer_norm_vjp_flops,
)


def _rms_norm_reference(x: Any, weight: Any, *, eps: float) -> Any:
    y = x * rsqrt(square(x).mean(axis=-1, keepdims=True) + eps)
    return y if weight is None else y * weight


def _rms_norm_forward(needs: Needs, x: Any, weight: Any, *, eps: float) -> tuple[Any, tuple[Any, ...]]:
    y, rstd = backend_for_all("rms_norm", x, weight).rows.rms_norm(x, weight, eps)
    return y, (rstd,)


def _rms_norm_rule(g: Any, needs: Needs, x: Any, weight: Any, rstd: Any, *, eps: float) -> tuple[Any, ...]:
    dx, dw = backend_of(g).rows.rms_norm_vjp(g, x, rstd=rstd, weight=weight)
    return (dx if needs[0] else None), (dw if needs[1] else None)


def _rms_norm_flops(shapes: tuple[Shape, ...], out_shape: Shape, *, eps: float) -> int:
    return (3 + (shapes[1] != ())) * math.prod(out_shape) + 4 * rows_of(out_shape)


def _rms_norm_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, eps: float) -> int:
    each = (6 + (shapes[1] != ())) * needs[0] + 2 * needs[1]
    return each * math.prod(out_shape) + needs[0] * rows_of(out_shape)


RMS_NORM = Primitive(
    "rms_norm",
    _rms_norm_forward,
    _rms_norm_rule,
    keeps=((0, 1), (0, 1)),
    reference=_rms_norm_reference,
    flops=_rms_norm_flops,
    vjp_flops=_rms_norm_vjp_flops,
)


def _normalised(
    name: str, x: Any, shape: int | Sequence[int], weight: Any, bias: Any = None
) -> tuple[Any, tuple[int, ...]]:
    """The operand, and the lengths of the axes to normalise, all checked."""
    x = _floating(name, x)
    if CASTING:
        x = cast(name, (x,))[0]
    axes = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    given, dtype = x.shape, x.dtype
    if not axes or given[-len(axes) :] != axes:
        raise ValueError(
            f"[{name}] x has shape {tuple(given)}, normalized_shape = {axes}; expected x to end with these lengths"
        )
    if weight is not None and (weight.shape != axes or weight.dtype != dtype):
        raise _misfit(name, "weight", weight, x, axes)
    if bias is not None and (bias.shape != axes or bias.dtype != dtype):
        raise _misfit(name, "bias", bias, x, axes)
    return x, axes


def _misfit(name: str, what: str, a: Any, x: Any, axes: tuple[int, ...]) -> Exception:
    return (ValueError if a.shape != axes else TypeError)(
        f"[{name}] {what} is {a.dtype} {tuple(a.shape)}, x is {x.dtype} {tuple(x.shape)}; expected {what} of "
        f"shape {axes} and of x's dtype (convert x with x.astype({a.dtype.name!r}), or the layer with .to)"
    )


def _joined(x: Any, axes: tuple[int, ...]) -> Any:
    """`x` (or None) with its last axes, of these lengths, as one."""
    return x if x is None else reshape(x, (*x.shape[: x.ndim - len(axes)], math.prod(axes)))


@public
def layer_norm(
    x: Any, normalized_shape: int | Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """`(x - mean) / sqrt(variance + eps) * weight + bias` over the last axes (Ba et al. 2016).

    Args:
        x: (*batch, *normalized_shape).
        normalized_shape: lengths of the axes over which mean and (biased) variance are taken.
        weight: normalized_shape, of x's dtype, or None.
        bias: likewise.
        eps: added to the variance.

    Returns:
        The shape and dtype of `x`; half precision computes in float32.

    Raises:
        ValueError: shapes do not fit.
        TypeError: weight or bias differ from `x` in dtype.
    """
    x, axes = _normalised("layer_norm", x, normalized_shape, weight, bias)
    if len(axes) == 1:
        return apply(LAYER_NORM, (x, weight, bias), {"eps": float(eps)})
    joined = (_joined(x, axes), _joined(weight, axes), _joined(bias, axes))
    return reshape(apply(LAYER_NORM, joined, {"eps": float(eps)}), x.shape)


@public
def rms_norm(x: Any, normalized_shape: int | Sequence[int], weight: Any = None, eps: float | None = None) -> Any:
    """`x / sqrt(mean(x^2) + eps) * weight` over the last axes (Zhang and Sennrich 2019).

    Args:
        x: (*batch, *normalized_shape).
        normalized_shape: lengths of the axes over which the mean is taken.
        weight: normalized_shape, of x's dtype, or None.
        eps: added to the mean square; the machine epsilon of x's dtype if None.

    Raises:
        ValueError: shapes do not fit.
        TypeError: the weight differs from `x` in dtype.
    """
    x, axes = _normalised("rms_norm", x, normalized_shape, weight)
    eps = float(np.finfo(x.dtype).eps) if eps is None else float(eps)
    if len(axes) == 1:
        return apply(RMS_NORM, (x, weight), {"eps": eps})
    return reshape(apply(RMS_NORM, (_joined(x, axes), _joined(weight, axes)), {"eps": eps}), x.shape)


# Maxout and dropout --------------------------------------------------------------------------------------------------


def _maxout_reference(x: Any, *, pieces: int) -> Any:
    return x.reshape((*x.shape[:-1], x.shape[-1] // pieces, pieces)).max(axis=-1)


def _maxout_forward(needs: Needs, x: Any, *, pieces: int) -> tuple[Any, tuple[Any, ...]]:
    return backend_of(x).rows.maxout(x, pieces), ()


def _maxout_rule(g: Any, needs: Needs, x: Any, y: Any, *, pieces: int) -> tuple[Any]:
    return (backend_of(g).rows.maxout_vjp(g, x, y, pieces),)


MAXOUT = Primitive(
    "maxout",
    _maxout_forward,
    _maxout_rule,
    keeps=((0, -1),),
    reference=_maxout_reference,
    flops=per_input(1, -1),
    vjp_flops=vjp_per_input(4, 1),
)


@public
@spelled
def maxout(x: Any, pieces: int, axis: int = -1) -> Any:
    """The largest of each `pieces` neighbours along an axis (Goodfellow et al. 2013).

    Args:
        x: any shape; the axis has `pieces` times the outputs, those of one output side by side.
        pieces: how many make one.
        axis: which axis; also `dim=`.

    Returns:
        The shape of `x` with that axis shorter by the factor `pieces`. Pieces that tie share the gradient
        equally; a nan is the largest and takes it.

    Raises:
        ValueError: the axis's length is no multiple of `pieces`.
    """
    x = operand(x)
    axis = axis_index("maxout", axis, x.shape)
    if pieces < 1 or x.shape[axis] % pieces:
        raise ValueError(
            f"[maxout] axis {axis} of x {tuple(x.shape)} has length {x.shape[axis]}, pieces = {pieces}; expected a "
            "multiple of pieces"
        )
    static = {"pieces": int(pieces)}
    if axis == x.ndim - 1:
        return apply(MAXOUT, (x,), static)
    return moveaxis(apply(MAXOUT, (moveaxis(x, axis, -1),), static), -1, axis)


def _dropout_forward(needs: Needs, x: Any, *, p: float, seed: int, offset: int) -> tuple[Any, tuple[Any, ...]]:
    return backend_of(x).rows.dropout(x, p, seed, offset), ()


def _dropout_rule(g: Any, needs: Needs, *, p: float, seed: int, offset: int) -> tuple[Any]:
    return (apply(DROPOUT, (g,), {"p": p, "seed": seed, "offset": offset}),)


# Linear in x, with a mask that seed and offset give again: the rule is the operation itself.
DROPOUT = Primitive("dropout", _dropout_forward, _dropout_rule, keeps=((),), flops=per_input(1))


@public
def dropout(x: Any, p: float = 0.5, training: bool = True) -> Any:
    """Each element 0 with probability `p`, else divided by `1 - p`; `x` itself where not in training.

    Args:
        x: any shape, of a floating point dtype.
        p: probability of a zero, in [0, 1].
        training: whether to do anything.

    Returns:
        The shape of `x`. The mask is not kept: backward computes it again. After `gg.manual_seed` it is the same on
        every device.

    Raises:
        ValueError: `p` is not in [0, 1].
    """
    if not 0 <= p <= 1:
        raise ValueError(f"[dropout] p = {p}; expected a probability in [0, 1]")
    x = _floating("dropout", x)
    if not training or p == 0:
        return x
    if p == 1:
        return x * 0.0
    x = here(x)  # inside vmap each example has a mask of its own, also of what they share
    seed, offset = backend_of(bare(x)).reserve_random(math.prod(x.shape))
    return apply(DROPOUT, (x,), {"p": float(p), "seed": seed, "offset": offset})
