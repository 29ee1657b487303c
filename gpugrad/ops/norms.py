"""Normalisation by channels: batch, group, instance and local response normalisation.

Channels are the second axis. Layer and RMS normalisation, over the last axes, are in `rows`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import mutation
from ..backend import backend_of
from ..backend.conv import Geometry
from ..backend.placing import placed
from ..casting import CASTING, cast
from ..gradmode import running_again
from ..primitive import Needs, Primitive, Shape, public
from ..tensor import apply
from .arguments import backend_for_all, bare, operand
from .defining import make
from .elementwise import relu as rectified
from .elementwise import rsqrt, square, where
from .rows import layer_norm
from .shape import moveaxis
from .windows import WINDOW_SUM

_scaled = make(lambda x, mean, scale, weight, bias: (x - mean) * scale * weight + bias, "batch_norm_apply")
_scaled_relu = make(
    lambda x, mean, scale, weight, bias: rectified((x - mean) * scale * weight + bias), "batch_norm_relu_apply"
)
_passed = make(
    lambda g, x, mean, scale, weight, bias: where((x - mean) * scale * weight + bias > 0.0, g, 0.0),
    "batch_norm_relu_passed",
)
_factor = make(lambda variance, weight, eps: rsqrt(variance + eps) * weight, "batch_norm_factor")
_normal = make(lambda x, mean, scale: (x - mean) * scale, "batch_norm_normal")
_back = make(
    lambda g, x, mean, scale, weight, a, b: (g - a - (x - mean) * scale * b) * scale * weight, "batch_norm_back"
)


def _rows_of(x: Any) -> Any:
    """(n, channels, *size) as rows of channels; a view where the memory has channels last."""
    return backend_of(x).xp.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def _images(rows: Any, shape: Shape) -> Any:
    """Back to the shape of the images, channels last in memory."""
    return backend_of(rows).xp.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def _statistics(backend: Any, rows: Any) -> tuple[Any, Any]:
    """Mean and (biased) variance of each column."""
    found: tuple[Any, Any] | None = backend.statistics(rows)
    if found is not None:
        return found
    mean = backend.column_sum(rows) / rows.shape[0]
    squares = rows - mean
    squares *= squares
    return mean, backend.column_sum(squares) / rows.shape[0]


def _batch_forward(
    needs: Needs, x: Any, weight: Any, bias: Any, *, eps: float, arrays: tuple[Any, Any], ready: list[Any], **_: Any
) -> tuple[Any, tuple[Any, ...]]:
    """`ready` holds the result where the backend made it with the statistics; taken out, so that no node keeps it."""
    if ready:
        return ready.pop(), (arrays[0], ready.pop())
    backend = backend_for_all("batch_norm", x, weight, bias)
    rows = _rows_of(x).astype(weight.dtype, copy=False)
    mean, variance = arrays  # computed from x before, because the running statistics take them too
    scale = 1 / backend.xp.sqrt(variance + weight.dtype.type(eps))
    y = _scaled(rows, mean, scale, weight, bias).astype(x.dtype, copy=False)
    return _images(y, x.shape), (mean, scale)


def _batch_rule(
    g: Any, needs: Needs, x: Any, weight: Any, bias: Any, mean: Any, scale: Any, *, relu: bool, **static: Any
) -> tuple[Any, ...]:
    """With n = elements of a channel: w scale (g - sum(g)/n - normal sum(g normal)/n)."""
    backend = backend_of(g)
    whole = backend.batch_norm_vjp(g, x, weight, mean, scale, bias if relu else None)
    if whole is not None:
        return tuple(each if need else None for each, need in zip(whole, needs, strict=True))
    given, rows = (_rows_of(each).astype(weight.dtype, copy=False) for each in (g, x))
    if relu:
        given = _passed(given, rows, mean, scale, weight, bias)
    found = backend.norm_products(given, rows, mean, scale)
    if found is None:
        products = _normal(rows, mean, scale)
        products *= given
        found = backend.column_sum(given), backend.column_sum(products)
        del products
    total, along = found
    gx = None
    if needs[0]:
        count = rows.shape[0]
        gx = _back(given, rows, mean, scale, weight, total / count, along / count).astype(x.dtype, copy=False)
        gx = _images(gx, g.shape)
    return gx, along if needs[1] else None, total if needs[2] else None


def _batch_reference(x: Any, weight: Any, bias: Any, *, eps: float, relu: bool, **static: Any) -> Any:
    axes, wide = (0, *range(2, x.ndim)), x.astype(weight.dtype)
    centred = wide - wide.mean(axes, keepdims=True)
    scale = rsqrt(square(centred).mean(axes, keepdims=True) + eps)
    shape = (-1, *(1,) * (x.ndim - 2))
    y = (centred * scale * weight.reshape(shape) + bias.reshape(shape)).astype(x.dtype)
    return rectified(y) if relu else y


def _batch_flops(shapes: tuple[Shape, ...], out_shape: Shape, *, relu: bool, **static: Any) -> int:
    """Sums for the mean, 3 for the variance, 4 to apply, one for relu."""
    return (8 + relu) * math.prod(out_shape)


def _batch_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, relu: bool, **static: Any) -> int:
    """One for the sum of g, 4 for the sum of g times the normal input, 7 for the input's gradient.

    Relu's derivative is found for the sums and again for the gradient: 2 for the result, a comparison and a choice.
    """
    return math.prod(out_shape) * (5 + 4 * relu + (7 + 4 * relu) * needs[0])


BATCH_NORM = Primitive(
    "batch_norm",
    _batch_forward,
    _batch_rule,
    keeps=((0, 1, 2), (0, 1, 2), (0, 1, 2)),  # the composition takes all of them
    reference=_batch_reference,
    flops=_batch_flops,
    vjp_flops=_batch_vjp_flops,
    describe=lambda kept, relu, **static: "with relu" if relu else "",
)


def _affine(name: str, x: Any, weight: Any, bias: Any, dtype: Any) -> tuple[Any, Any]:
    """Weight and bias of a channel in `dtype`, ones and zeros where there is none."""
    xp = backend_of(bare(x)).xp
    channels = x.shape[1]
    for what, value in (("weight", weight), ("bias", bias)):
        if value is not None and tuple(value.shape) != (channels,):
            raise ValueError(
                f"[{name}] {what} has shape {tuple(value.shape)}, the input {tuple(x.shape)}; expected ({channels},)"
            )
        if value is not None and value.dtype != dtype:
            raise TypeError(
                f"[{name}] the input is {x.dtype}, {what} {value.dtype}; convert one: x.astype({value.dtype.name!r}), "
                f"or the layer with .to({x.dtype.name!r})"
            )
    return (
        xp.ones(channels, dtype) if weight is None else weight,
        xp.zeros(channels, dtype) if bias is None else bias,
    )


def _wide(x: Any, *parameters: Any) -> Any:
    """The dtype that images are normalised in: float32 for halves unless a parameter is in half precision too."""
    half = x.dtype.itemsize == 2 and x.dtype.kind in "fV"
    return np.dtype(np.float32) if half and all(p is None or p.dtype != x.dtype for p in parameters) else x.dtype


@public
@placed
def batch_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    num_batches_tracked: Any = None,
) -> Any:
    """Each channel to mean 0 and variance 1, then scaled and shifted (S. Ioffe and C. Szegedy 2015).

    Args:
        input: (n, channels, *size).
        running_mean: (channels,): in training moved towards the batch's mean by `momentum`, in place; otherwise used in
            its place. None: the batch's own statistics.
        running_var: likewise for the variance; what it is moved towards is the unbiased one, as PyTorch's.
        weight: (channels,), or None for ones; of the input's dtype, or float32 for an input in half precision, which
            is then normalised in float32 and rounded once.
        bias: (channels,), or None for zeros; of the weight's dtype.
        training: whether to normalise by the batch's statistics and update the running ones.
        momentum: share of the new statistics.
        eps: added to the variance.
        num_batches_tracked: int64, grows by 1 where the running statistics move, in place.

    Raises:
        ValueError: shapes do not fit, or one value per channel in training, whose variance is 0.
        TypeError: dtypes differ.
    """
    running = running_mean, running_var, num_batches_tracked
    return _batch_norm(input, weight, bias, running, training, momentum, eps, False)


@public
@placed
def batch_norm_relu(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    num_batches_tracked: Any = None,
) -> Any:
    """`relu(batch_norm(input, ...))`, with the arguments of `batch_norm`; the gradient at 0 is 0.

    In training our own kernels on a GPU do both in one pass each way; cuDNN and the CPU one after the other. In
    evaluation it is one kernel everywhere. `nn.Sequential` calls this on a GPU for a batch normalisation and the `ReLU`
    behind it.

    Raises:
        ValueError: shapes do not fit, or one value per channel in training, whose variance is 0.
        TypeError: dtypes differ.
    """
    running = running_mean, running_var, num_batches_tracked
    return _batch_norm(input, weight, bias, running, training, momentum, eps, True)


def _batch_norm(
    x: Any, weight: Any, bias: Any, running: tuple[Any, ...], training: bool, momentum: float, eps: float, relu: bool
) -> Any:
    x = operand(x)
    if x.ndim < 2:
        raise ValueError(f"[batch_norm] input has shape {tuple(x.shape)}; expected (n, channels, *size)")
    weight, bias = _affine("batch_norm", x, weight, bias, _wide(x, weight, bias))
    mean, variance, _ = running
    if not training and mean is not None and variance is not None:
        scale = _factor(variance, weight, eps)
        y = moveaxis((_scaled_relu if relu else _scaled)(moveaxis(x, 1, -1), mean, scale, 1.0, bias), -1, 1)
        return y if y.dtype == x.dtype else y.astype(x.dtype)
    if math.prod(x.shape) // max(x.shape[1], 1) < 2:
        raise ValueError(
            f"[batch_norm] input has shape {tuple(x.shape)}: one value per channel has no variance to train on; "
            "expected more, or call .eval()"
        )
    static: dict[str, Any] = {"eps": eps, "relu": relu, "ready": []}
    moving = tuple(bare(each) for each in running) if training and mean is not None and not running_again() else None
    array = bare(x)
    found = backend_of(array).batch_norm(array, bare(weight), bare(bias), eps, moving, momentum, relu)
    if found is not None:
        static["arrays"], static["ready"] = (found[1], None), [found[2], found[0]]
        del found
    elif relu:
        return rectified(_batch_norm(x, weight, bias, running, training, momentum, eps, False))
    else:
        static["arrays"] = _moments(array, weight.dtype, moving, momentum)
    _note(moving or (), "batch_norm")
    return apply(BATCH_NORM, (x, weight, bias), static)


def _moments(x: Any, dtype: Any, running: Any, momentum: float) -> tuple[Any, Any]:
    """Mean and variance of each channel of images; the running statistics move towards them."""
    rows = _rows_of(x).astype(dtype, copy=False)
    mean, variance = _statistics(backend_of(rows), rows)
    if running is not None:
        count, batches = rows.shape[0], running[2]
        _move(running[0], mean, momentum)
        _move(running[1], variance * (count / (count - 1)), momentum)
        if batches is not None:
            batches += 1
    return mean, variance


def _move(running: Any, value: Any, momentum: float) -> None:
    """Running statistics towards new ones, in place."""
    running *= 1 - momentum
    running += momentum * value


def _note(running: tuple[Any, ...], what: str) -> None:
    """Tell the clock of in-place changes that running statistics have moved."""
    for array in running:
        if array is not None:
            mutation.changed(array, what)


@public
def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Each group of channels of each example to mean 0 and variance 1 (Y. Wu and K. He 2018).

    Args:
        input: (n, channels, *size).
        num_groups: parts that the channels are divided into.
        weight: (channels,), or None for ones.
        bias: (channels,), or None for zeros.
        eps: added to the variance.

    Raises:
        ValueError: groups do not divide the channels, or shapes do not fit.
        TypeError: dtypes differ.
    """
    x = operand(input)
    if x.ndim < 2 or num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(
            f"[group_norm] input has shape {tuple(x.shape)}, num_groups = {num_groups}; expected (n, channels, *size) "
            "and groups that divide the channels"
        )
    if CASTING:
        x = cast("layer_norm", (x,))[0]
    affine = weight is not None or bias is not None
    if affine:
        weight, bias = _affine("group_norm", x, weight, bias, x.dtype)
    groups = x.reshape(x.shape[0], num_groups, -1)
    y = layer_norm(groups, groups.shape[-1:], eps=eps).reshape(x.shape)
    if not affine:
        return y
    shape = (-1, *(1,) * (x.ndim - 2))
    return y * weight.reshape(shape) + bias.reshape(shape)


@public
def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each channel of each example to mean 0 and variance 1 (D. Ulyanov, A. Vedaldi, V. Lempitsky 2016).

    Args:
        input: (n, channels, *size) with at least one spatial axis.
        running_mean: (channels,): moved towards the mean over the examples, in place; used in its place where
            `use_input_stats` is False.
        running_var: likewise.
        weight: (channels,), or None.
        bias: (channels,), or None.
        use_input_stats: whether to normalise by each example's own statistics.
        momentum: share of the new statistics.
        eps: added to the variance.

    Raises:
        ValueError: shapes do not fit.
        TypeError: dtypes differ.
    """
    x = operand(input)
    if x.ndim < 3 or math.prod(x.shape[2:]) < 2:
        raise ValueError(
            f"[instance_norm] input has shape {tuple(x.shape)}; expected (n, channels, *size) of more than one"
        )
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    if running_mean is not None and not running_again():
        array, running = bare(x), (bare(running_mean), bare(running_var))
        axes, count = tuple(range(2, x.ndim)), math.prod(x.shape[2:])
        _move(running[0], array.mean(axes).mean(0), momentum)
        _move(running[1], (array.var(axes) * (count / (count - 1))).mean(0), momentum)
        _note(running, "instance_norm")
    return group_norm(x, x.shape[1], weight, bias, eps)


@public
def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """Each element divided by a power of the squares of its neighbours in other channels (A. Krizhevsky et al. 2012).

    Args:
        input: (n, channels, *size).
        size: neighbouring channels in the mean of squares, the element's own included (zeros beyond the ends).
        alpha: factor of that mean.
        beta: exponent.
        k: added to it.

    Returns:
        input / (k + alpha mean)^beta, as PyTorch: `alpha` times the mean over `size`, not the sum.

    Raises:
        ValueError: `size` is less than 1, or there is no axis of channels.
    """
    x = operand(input)
    if x.ndim < 2 or size < 1:
        raise ValueError(
            f"[local_response_norm] input has shape {tuple(x.shape)}, size = {size}; expected (n, channels, *size) and "
            "a size of at least 1"
        )
    squares = square(x).reshape(x.shape[0], 1, x.shape[1], -1)
    at = Geometry((1, 1), ((size // 2, (size - 1) // 2), (0, 0)), (1, 1), 1)
    total = apply(WINDOW_SUM, (squares,), {"kernel": (size, 1), "size": tuple(squares.shape[2:]), "at": at})
    return x / (k + (alpha / size) * total.reshape(x.shape)) ** beta
