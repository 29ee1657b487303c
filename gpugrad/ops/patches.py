"""`unfold` and `fold`: every patch of an image as a column, and columns added up to images; each the other's rule.

Convolutions do not go this way: theirs, which never hold all patches at once, are in `backend.conv`.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend import backend_of
from ..backend.conv import Geometry, reach
from ..primitive import Needs, Primitive, Shape, public
from .arguments import apply_one, operand
from .conv import Size, sizes
from .costs import no_flops
from .windows import bordered, inside, needed, taps


def _unfold_forward(needs: Needs, x: Any, *, kernel: Shape, at: Geometry) -> tuple[Any, tuple[Any, ...]]:
    size = at.output(x.shape[2:], kernel)
    wide = bordered(backend_of(x), x, at, needed(size, kernel, at), 0)
    out = backend_of(x).empty((*x.shape[:2], *kernel, *size), x.dtype)
    for tap in taps(kernel):
        out[(slice(None), slice(None), *tap)] = wide[(..., *reach(tap, size, at))]
    return out.reshape(x.shape[0], x.shape[1] * math.prod(kernel), math.prod(size)), (x.shape[2:],)


def _unfold_rule(g: Any, needs: Needs, inner: Shape, *, kernel: Shape, at: Geometry) -> tuple[Any]:
    return (apply_one(FOLD, g, {"inner": inner, "kernel": kernel, "at": at}),)


def _fold_forward(needs: Needs, g: Any, *, inner: Shape, kernel: Shape, at: Geometry) -> tuple[Any, tuple[Any, ...]]:
    size = at.output(inner, kernel)
    columns = g.reshape(g.shape[0], g.shape[1] // math.prod(kernel), *kernel, *size)
    need = needed(size, kernel, at)
    wide = [max(n + lo, m) for n, (lo, _), m in zip(inner, at.padding, need, strict=True)]
    out = backend_of(g).xp.zeros((*columns.shape[:2], *wide), g.dtype)
    for tap in taps(kernel):
        out[(..., *reach(tap, size, at))] += columns[(slice(None), slice(None), *tap)]
    return inside(out, inner, at), ()


def _fold_rule(v: Any, needs: Needs, *, inner: Shape, kernel: Shape, at: Geometry) -> tuple[Any]:
    return (apply_one(UNFOLD, v, {"kernel": kernel, "at": at}),)


def _fold_flops(shapes: tuple[Shape, ...], out_shape: Shape, **static: Any) -> int:
    return math.prod(shapes[0])


def _unfold_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, **static: Any) -> int:
    return math.prod(out_shape)


def _fold_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, **static: Any) -> int:
    return 0


UNFOLD = Primitive("unfold", _unfold_forward, _unfold_rule, linear=True, flops=no_flops, vjp_flops=_unfold_vjp_flops)
FOLD = Primitive("fold", _fold_forward, _fold_rule, linear=True, flops=_fold_flops, vjp_flops=_fold_vjp_flops)


def _placed(
    name: str, inner: Shape, kernel_size: Size, dilation: Size, padding: Size, stride: Size
) -> tuple[Shape, Geometry]:
    """The kernel's size and where the patches lie, checked."""
    axes = len(inner)
    kernel = sizes(name, "kernel_size", kernel_size, axes, 1)
    pads = sizes(name, "padding", padding, axes, 0)
    at = Geometry(
        sizes(name, "stride", stride, axes, 1),
        tuple((p, p) for p in pads),
        sizes(name, "dilation", dilation, axes, 1),
        1,
    )
    if min(at.output(inner, kernel)) < 1:
        raise ValueError(
            f"[{name}] images of {inner}, padding = {pads}: the patch {kernel} (dilation {at.dilation}) is larger than "
            "the padded image"
        )
    return kernel, at


@public
def unfold(input: Any, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> Any:
    """Every patch of an image as a column.

    Args:
        input: (n, channels, height, width), or (channels, height, width); (n, channels, *size) with more spatial axes.
        kernel_size: of a patch, one number or one for each spatial axis.
        dilation: step between the elements of a patch.
        padding: zeros around the images.
        stride: step between patches.

    Returns:
        (n, channels * prod(kernel_size), patches): a column has its channels one after another, each in C order.

    Raises:
        ValueError: `input` has too few axes, or the patch is larger than the padded image.
    """
    x = operand(input)
    if x.ndim < 3:
        raise ValueError(f"[unfold] input has shape {tuple(x.shape)}; expected (n, channels, *size)")
    if x.ndim == 3:
        return unfold(x[None], kernel_size, dilation, padding, stride)[0]
    kernel, at = _placed("unfold", tuple(x.shape[2:]), kernel_size, dilation, padding, stride)
    return apply_one(UNFOLD, x, {"kernel": kernel, "at": at})


@public
def fold(
    input: Any, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Any:
    """Columns added up to images where their patches lie: the transpose of `unfold` (its inverse only without overlap).

    Args:
        input: (n, channels * prod(kernel_size), patches), or one image without `n`.
        output_size: of the images; a single number for two axes, as PyTorch.
        kernel_size: of a patch.
        dilation: step between the elements of a patch.
        padding: what is cut off around the images.
        stride: step between patches.

    Returns:
        (n, channels, *output_size).

    Raises:
        ValueError: the columns are not as long as a patch, or not as many as there are patches.
    """
    x = operand(input)
    if x.ndim not in (2, 3):
        raise ValueError(f"[fold] input has shape {tuple(x.shape)}; expected (n, channels * kernel elements, patches)")
    if x.ndim == 2:
        return fold(x[None], output_size, kernel_size, dilation, padding, stride)[0]
    inner = (output_size,) * 2 if isinstance(output_size, int) else tuple(output_size)
    kernel, at = _placed("fold", inner, kernel_size, dilation, padding, stride)
    patches = math.prod(at.output(inner, kernel))
    if x.shape[1] % math.prod(kernel) or x.shape[2] != patches:
        raise ValueError(
            f"[fold] input has shape {tuple(x.shape)}, kernel_size = {kernel}, output_size = {inner}; expected "
            f"(n, a multiple of {math.prod(kernel)}, {patches})"
        )
    return apply_one(FOLD, x, {"inner": inner, "kernel": kernel, "at": at})
