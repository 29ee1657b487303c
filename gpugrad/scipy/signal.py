"""`scipy.signal`'s convolution and correlation on arrays and tensors, of any number of axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

from ..ops.arguments import operand
from ..ops.cast import conj
from ..ops.elementwise import multiply
from ..ops.fft import fftn, ifftn, irfftn, rfftn
from ..ops.index import getitem
from ..ops.joining import flip
from ..ops.linalg import matmul
from ..ops.sequences import convolve as _convolve
from ..ops.shape import matrix_transpose, reshape, transpose

__all__ = ["convolve", "correlate", "fftconvolve"]


Axes = Sequence[Sequence[int]]


def convolve(
    in1: Any,
    in2: Any,
    mode: str = "full",
    method: str = "auto",
    *,
    axes: Axes | None = None,
    dot_axes: Axes = ((), ()),
) -> Any:
    """The convolution of two arrays with as many axes, as `scipy.signal.convolve`.

    Args:
        in1: any shape.
        in2: as many axes.
        mode: "full": every overlap; "same": the middle, of the shape of `in1`; "valid": the full overlaps only.
        method: "direct" (vectors only), "fft", or "auto": direct for vectors, else by Fourier transforms.
        axes: autograd's generalisation: the axes of `in1` and of `in2` along which to convolve, pair by pair (None:
            all). The result has the other axes of `in1`, then those of `in2`, then the convolved ones.
        dot_axes: axes of both, pair by pair, of one length, over which products are added up.

    Raises:
        ValueError: another number of axes, an empty operand, another mode, or "valid" where neither contains the other;
            axes that are no pairs, or pairs of other lengths.
    """
    in1, in2 = operand(in1), operand(in2)
    if axes is not None or any(map(len, dot_axes)):
        every = tuple(range(len(in1.shape)))
        return _along(in1, in2, mode, (every, tuple(range(len(in2.shape)))) if axes is None else axes, dot_axes)
    _check("convolve", in1, in2, mode)
    if method not in ("auto", "direct", "fft") or (method == "direct" and len(in1.shape) != 1):
        raise ValueError(f"[convolve] method = {method!r}; expected 'auto', 'fft', or for vectors 'direct'")
    if not in1.shape:
        return multiply(in1, in2)
    if len(in1.shape) == 1 and method != "fft":
        return _part(_convolve(in1, in2), in1.shape, in2.shape, mode)
    return fftconvolve(in1, in2, mode)


def _along(in1: Any, in2: Any, mode: str, axes: Axes, dot_axes: Axes) -> Any:
    """The convolution along some axes: a matrix product, over the axes to contract, for each frequency."""
    _check_axes(in1, in2, mode, axes, dot_axes)
    shapes, sides, kept = [], [], []
    for x, along, dots in zip((in1, in2), axes, dot_axes, strict=True):
        rest = [i for i in range(len(x.shape)) if i not in (*along, *dots)]
        kept += [x.shape[i] for i in rest]
        shapes.append(tuple(x.shape[i] for i in along))
        counts = (math.prod(x.shape[i] for i in rest), math.prod(x.shape[i] for i in dots))
        sides.append(reshape(transpose(x, (*along, *rest, *dots)), (*shapes[-1], *counts)))
    s = tuple(n + m - 1 for n, m in zip(*shapes, strict=True))
    places = tuple(range(len(s)))
    left, right = sides[0], matrix_transpose(sides[1])
    if not s:
        full = matmul(left, right)
    elif left.dtype.kind == "c" or right.dtype.kind == "c":
        full = ifftn(matmul(fftn(left, s, places), fftn(right, s, places)), s, places)
    else:
        full = irfftn(matmul(rfftn(left, s, places), rfftn(right, s, places)), s, places)
    full = transpose(full, (len(s), len(s) + 1, *places))
    return _part(reshape(full, (*kept, *s)), shapes[0], shapes[1], mode)


def _check_axes(in1: Any, in2: Any, mode: str, axes: Axes, dot_axes: Axes) -> None:
    for both in (axes, dot_axes):
        if len(both) != 2 or len(both[0]) != len(both[1]):
            raise ValueError(f"[convolve] axes = {axes}, dot_axes = {dot_axes}; expected as many of in1 as of in2")
    for x, along, dots in zip((in1, in2), axes, dot_axes, strict=True):
        named = (*along, *dots)
        if len(set(named)) != len(named) or not all(0 <= i < len(x.shape) for i in named):
            raise ValueError(f"[convolve] axes {named} of shape {tuple(x.shape)}; expected different ones, from 0")
    if any(in1.shape[i] != in2.shape[j] for i, j in zip(*dot_axes, strict=True)):
        raise ValueError(f"[convolve] dot_axes = {dot_axes} of {tuple(in1.shape)}, {tuple(in2.shape)}: other lengths")
    _check("convolve", in1, in2, mode, same=False)


def fftconvolve(in1: Any, in2: Any, mode: str = "full") -> Any:
    """`convolve` by Fourier transforms; floating point or complex results."""
    in1, in2 = operand(in1), operand(in2)
    _check("fftconvolve", in1, in2, mode)
    s = tuple(n + m - 1 for n, m in zip(in1.shape, in2.shape, strict=True))
    axes = tuple(range(len(s)))
    if in1.dtype.kind == "c" or in2.dtype.kind == "c":
        full = ifftn(multiply(fftn(in1, s, axes), fftn(in2, s, axes)), s, axes)
    else:
        full = irfftn(multiply(rfftn(in1, s, axes), rfftn(in2, s, axes)), s, axes)
    return _part(full, in1.shape, in2.shape, mode)


def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    """The cross-correlation: `convolve` with the reversed conjugate of `in2`."""
    in2 = operand(in2)
    return convolve(in1, flip(conj(in2)), mode, method)


def _check(name: str, in1: Any, in2: Any, mode: str, same: bool = True) -> None:
    if (same and len(in1.shape) != len(in2.shape)) or not all((*in1.shape, *in2.shape)):
        raise ValueError(
            f"[{name}] shapes {tuple(in1.shape)} and {tuple(in2.shape)}; expected as many axes, none of them empty"
        )
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"[{name}] mode = {mode!r}; expected 'full', 'same' or 'valid'")


def _part(full: Any, shape1: Any, shape2: Any, mode: str) -> Any:
    if mode == "full":
        return full
    if mode == "same":
        starts, lengths = [(m - 1) // 2 for m in shape2], list(shape1)
    else:
        inside = [n - m for n, m in zip(shape1, shape2, strict=True)]
        if any(d > 0 for d in inside) and any(d < 0 for d in inside):
            raise ValueError(f"[convolve] shapes {tuple(shape1)} and {tuple(shape2)}: 'valid' needs one in the other")
        starts = [min(n, m) - 1 for n, m in zip(shape1, shape2, strict=True)]
        lengths = [abs(d) + 1 for d in inside]
    return getitem(full, (..., *(slice(a, a + n) for a, n in zip(starts, lengths, strict=True))))


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"[gpugrad.scipy.signal] {name!r} has no gradient rule here; on values that need none call scipy.signal's "
        f"with the bare array (x.detach().data), else define it with gpugrad.primitive.Primitive({name!r}, ...)"
    )
