"""Pooling over one, two and three spatial axes: maxima, means, Lp norms, adaptive sizes, and the way back from maxima.

Each function is written once for any number of axes and has three public names. The primitives are in `windows`.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from ..backend import backend_of
from ..backend.conv import Geometry
from ..backend.placing import placed
from ..primitive import FUNCTIONS, Shape
from ..tensor import Tensor, apply, new_tensor
from .arguments import bare, operand
from .conv import Size, sizes
from .creation import zeros
from .elementwise import absolute, sign
from .index import scatter
from .joining import stack
from .linalg import matmul
from .shape import moveaxis
from .windows import MAX_POOL, WINDOW_SUM, max_forward


def _windows(
    name: str, axes: int, x: Any, kernel: Size, stride: Size | None, padding: Size, dilation: Size, ceil_mode: bool
) -> tuple[Shape, Shape, Geometry]:
    """Kernel, output size and geometry of a pooling, checked."""
    if x.ndim not in (axes + 1, axes + 2):
        raise ValueError(
            f"[{name}] input has shape {tuple(x.shape)}; expected (n, channels, {', '.join(['size'] * axes)})"
        )
    window = sizes(name, "kernel_size", kernel, axes, 1)
    steps = window if stride is None else sizes(name, "stride", stride, axes, 1)
    pads, spread = sizes(name, "padding", padding, axes, 0), sizes(name, "dilation", dilation, axes, 1)
    if any(2 * p > k for p, k in zip(pads, window, strict=True)):
        raise ValueError(f"[{name}] padding = {pads}, kernel_size = {window}; expected at most half of the kernel")
    size = []
    for n, k, s, p, d in zip(x.shape[-axes:], window, steps, pads, spread, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        count = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (count - 1) * s >= n + p:  # a window that begins behind the input has nothing in it
            count -= 1
        size.append(count)
    if min(size) < 1:
        raise ValueError(
            f"[{name}] input has shape {tuple(x.shape)}, padding = {pads}: the window {window} (dilation {spread}) is "
            "larger than the padded input"
        )
    return window, tuple(size), Geometry(steps, tuple((p, p) for p in pads), spread, 1)


def _batched(axes: int, x: Any, pool: Any) -> Any:
    """`pool(x)` for one image as for a batch of one."""
    if x.ndim == axes + 2:
        return pool(x)
    found = pool(x[None])
    return tuple(f[0] for f in found) if isinstance(found, tuple) else found[0]


def max_pool(
    axes: int,
    input: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window over the last `axes` axes.

    Args:
        axes: spatial axes.
        input: (n, channels, *size), or one image without `n`.
        kernel_size: of the window, one number or one for each axis.
        stride: step between windows; the kernel's size if not given.
        padding: elements around the input that never win, at most half of the kernel.
        dilation: step between the elements of a window.
        ceil_mode: count windows that stick out at the end, as long as they begin inside.
        return_indices: also give where each largest element is: its number in its image, in C order.

    Returns:
        (n, channels, *size'). Of equal elements the first (in C order) wins and gets the gradient; nan wins.

    Raises:
        ValueError: the window is larger than the padded input, or the padding than half of it.
    """
    x = operand(input)
    kernel, size, at = _windows(f"max_pool{axes}d", axes, x, kernel_size, stride, padding, dilation, ceil_mode)

    def pool(x: Any) -> Any:
        y = apply(MAX_POOL, (x,), {"kernel": kernel, "size": size, "at": at})
        return (y, _places(x, kernel, size, at)) if return_indices else y

    return _batched(axes, x, pool)


def _places(x: Any, kernel: Shape, size: Shape, at: Geometry) -> Any:
    """Where in its image each window's largest element is, counted along the spatial axes in C order."""
    array = bare(x)
    xp = backend_of(array).xp
    won, inner = max_forward((False,), array, kernel=kernel, size=size, at=at)[1]
    rest, place = won.astype(np.int64), 0
    parts = []
    for k in reversed(kernel):
        parts.append(rest % k)
        rest = rest // k
    axes = len(kernel)
    for axis, (part, n) in enumerate(zip(reversed(parts), inner, strict=True)):
        first = xp.arange(size[axis]) * at.stride[axis] - at.padding[axis][0]
        along = first.reshape(-1, *(1,) * (axes - 1 - axis)) + part * at.dilation[axis]
        place = place * n + along
    return new_tensor(place, None) if isinstance(x, Tensor) else place


@placed
def max_unpool(
    axes: int,
    input: Any,
    indices: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Any:
    """The elements of `input` at the places in `indices`, zeros elsewhere: the way back from `max_pool`.

    Args:
        axes: spatial axes.
        input: (n, channels, *size), or one image without `n`.
        indices: of the input's shape, as `max_pool` returns them with `return_indices`.
        kernel_size: of the pooling.
        stride: of the pooling; the kernel's size if not given.
        padding: of the pooling.
        output_size: of the result, where several sizes give the input's; its last axes are taken.

    Raises:
        ValueError: `indices` have another shape than `input`.
    """
    name = f"max_unpool{axes}d"
    x, places = operand(input), bare(indices)
    if tuple(places.shape) != tuple(x.shape):
        raise ValueError(f"[{name}] indices have shape {tuple(places.shape)}; expected the input's, {tuple(x.shape)}")
    window = sizes(name, "kernel_size", kernel_size, axes, 1)
    steps = window if stride is None else sizes(name, "stride", stride, axes, 1)
    pads = sizes(name, "padding", padding, axes, 0)
    if output_size is None:
        wanted = tuple(
            (n - 1) * s - 2 * p + k for n, s, p, k in zip(x.shape[-axes:], steps, pads, window, strict=True)
        )
    else:
        wanted = tuple(output_size)[-axes:]
    lead = x.shape[:-axes]
    flat = scatter(
        zeros(*lead, math.prod(wanted), dtype=x.dtype, device=backend_of(bare(x)).device),
        -1,
        places.reshape(*lead, -1),
        x.reshape(*lead, -1),
    )
    return flat.reshape(*lead, *wanted)


def avg_pool(
    axes: int,
    input: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window over the last `axes` axes.

    Args:
        axes: spatial axes.
        input: (n, channels, *size), or one image without `n`.
        kernel_size: of the window.
        stride: step between windows; the kernel's size if not given.
        padding: zeros around the input.
        ceil_mode: count windows that stick out at the end.
        count_include_pad: whether the zeros of the padding count in the mean.
        divisor_override: divide by this number instead.

    Returns:
        (n, channels, *size').

    Raises:
        ValueError: the window is larger than the padded input, or the padding than half of it.
    """
    name = f"avg_pool{axes}d"
    x = operand(input)
    kernel, size, at = _windows(name, axes, x, kernel_size, stride, padding, 1, ceil_mode)
    if divisor_override is not None and divisor_override < 1:
        raise ValueError(f"[{name}] divisor_override = {divisor_override}; expected 1 or more")
    counts, alike = _counts(tuple(x.shape[-axes:]), kernel, size, at, count_include_pad)
    uniform = divisor_override or alike

    def pool(x: Any) -> Any:
        y = apply(WINDOW_SUM, (x,), {"kernel": kernel, "size": size, "at": at})
        if uniform is not None:
            return y * (1 / uniform)
        return y * backend_of(bare(x)).from_host((1 / counts).astype(x.dtype))

    return _batched(axes, x, pool)


@functools.lru_cache(maxsize=256)
def _counts(
    inner: Shape, kernel: Shape, size: Shape, at: Geometry, with_padding: bool
) -> tuple[Any, int | None]:
    """How many elements each window's mean is over, and that number where it is one for all."""
    counts: Any = np.ones(())
    for n, k, s, (lo, hi), count in zip(inner, kernel, at.stride, at.padding, size, strict=True):
        start = np.arange(count) * s - lo
        # A window that ceil_mode lets stick out further than the padding is cut in either case.
        end = np.minimum(start + k, n + hi if with_padding else n)
        along = end - (start if with_padding else np.maximum(start, 0))
        counts = counts[..., None] * along
    counts.flags.writeable = False
    return counts, int(counts.flat[0]) if (counts == counts.flat[0]).all() else None


def lp_pool(
    axes: int, input: Any, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Any:
    """(sum of x^p)^(1/p) over each window of the last `axes` axes.

    Args:
        axes: spatial axes.
        input: (n, channels, *size), or one image without `n`.
        norm_type: p. For odd p the sum may be negative: its size is taken, as PyTorch does. Where it is 0 the gradient
            is not finite for p > 1.
        kernel_size: of the window.
        stride: step between windows; the kernel's size if not given.
        ceil_mode: count windows that stick out at the end.

    Raises:
        ValueError: the window is larger than the input.
    """
    x = operand(input)
    kernel, size, at = _windows(f"lp_pool{axes}d", axes, x, kernel_size, stride, 0, 1, ceil_mode)

    def pool(x: Any) -> Any:
        total = apply(WINDOW_SUM, (x**norm_type,), {"kernel": kernel, "size": size, "at": at})
        return (sign(total) * absolute(total)) ** (1 / norm_type)

    return _batched(axes, x, pool)


def _bins(n: int, count: int) -> list[tuple[int, int]]:
    """PyTorch's adaptive windows: from floor(i n / count) to ceil((i + 1) n / count)."""
    return [(i * n // count, -(-(i + 1) * n // count)) for i in range(count)]


def _adaptive_size(name: str, axes: int, x: Any, output_size: Any) -> Shape:
    if x.ndim not in (axes + 1, axes + 2):
        raise ValueError(
            f"[{name}] input has shape {tuple(x.shape)}; expected (n, channels, {', '.join(['size'] * axes)})"
        )
    wanted = (output_size,) * axes if isinstance(output_size, int) else tuple(output_size)
    if len(wanted) != axes or any(w is not None and w < 1 for w in wanted):
        raise ValueError(f"[{name}] output_size = {output_size}; expected {axes} integers of 1 or more, or None")
    return tuple(n if w is None else w for n, w in zip(x.shape[-axes:], wanted, strict=True))


def adaptive_avg_pool(axes: int, input: Any, output_size: Any) -> Any:
    """Means over as many windows as are asked for, of the last `axes` axes.

    Args:
        axes: spatial axes.
        input: (n, channels, *size), or one image without `n`.
        output_size: windows along each axis, one number or one for each; None for as many as there are elements. Window
            i of k over n elements goes from floor(i n / k) to ceil((i + 1) n / k), as PyTorch's.

    Raises:
        ValueError: `output_size` is not positive, or not one for each axis.
    """
    x = operand(input)
    wanted = _adaptive_size(f"adaptive_avg_pool{axes}d", axes, x, output_size)
    if all(w == 1 for w in wanted):
        return x.mean(tuple(range(-axes, 0)), keepdims=True)
    backend = backend_of(bare(x))
    for axis, count in zip(range(-axes, 0), wanted, strict=True):
        n = x.shape[axis]
        if n == count:
            continue
        weights = np.zeros((n, count), x.dtype)
        for k, (start, stop) in enumerate(_bins(n, count)):
            weights[start:stop, k] = 1 / (stop - start)
        x = moveaxis(matmul(moveaxis(x, axis, -1), backend.from_host(weights)), -1, axis)
    return x


def adaptive_max_pool(axes: int, input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over as many windows as are asked for, of the last `axes` axes.

    Args:
        axes: spatial axes.
        input: (n, channels, *size), or one image without `n`.
        output_size: as for `adaptive_avg_pool`.
        return_indices: also give where each largest element is.

    Raises:
        ValueError: `output_size` is not positive, or not one for each axis.
    """
    x = operand(input)
    wanted = _adaptive_size(f"adaptive_max_pool{axes}d", axes, x, output_size)
    inner = x.shape[-axes:]
    if all(n % w == 0 for n, w in zip(inner, wanted, strict=True)):
        kernel = tuple(n // w for n, w in zip(inner, wanted, strict=True))
        return max_pool(axes, x, kernel, return_indices=return_indices)
    maxima, places = [], []
    for window in itertools.product(*(_bins(n, w) for n, w in zip(inner, wanted, strict=True))):
        cut = tuple(slice(start, stop) for start, stop in window)
        kernel = tuple(stop - start for start, stop in window)
        found = max_pool(axes, x[(..., *cut)], kernel, return_indices=return_indices)
        maxima.append((found[0] if return_indices else found)[(..., *(0,) * axes)])
        if return_indices:
            places.append(_moved(found[1][(..., *(0,) * axes)], kernel, [start for start, _ in window], inner))
    y = stack(maxima, -1).reshape(*x.shape[:-axes], *wanted)
    return (y, stack(places, -1).reshape(y.shape)) if return_indices else y


def _moved(places: Any, kernel: Shape, starts: list[int], inner: Shape) -> Any:
    """Places in a window as places in the image."""
    rest, parts = places, []
    for k in reversed(kernel):
        parts.append(rest % k)
        rest = rest // k
    total = 0
    for part, start, n in zip(reversed(parts), starts, inner, strict=True):
        total = total * n + (part + start)
    return total


def _public(general: Callable[..., Any], axes: int) -> Callable[..., Any]:
    """`general` for a number of axes, under its public name."""

    @functools.wraps(general)
    def pool(*args: Any, **kwargs: Any) -> Any:
        return general(axes, *args, **kwargs)

    pool.__name__ = pool.__qualname__ = f"{general.__name__}{axes}d"
    doc = (general.__doc__ or "").replace("        axes: spatial axes.\n", "")
    pool.__doc__ = doc.replace("the last `axes` axes", f"the last {axes} axes" if axes > 1 else "the last axis")
    signature = inspect.signature(general)
    parameters = list(signature.parameters.values())[1:]
    pool.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    FUNCTIONS[pool.__name__] = pool
    return pool


_GENERAL: Final = (max_pool, max_unpool, avg_pool, lp_pool, adaptive_avg_pool, adaptive_max_pool)
POOLING: Final = {f.__name__: f for f in (_public(general, axes) for general in _GENERAL for axes in (1, 2, 3))}
