"""`scipy.signal`'s convolution and correlation on arrays and tensors, of any number of axes."""

from __future__ import annotations

from typing import Any, NoReturn

from ..ops.arguments import operand
from ..ops.cast import conj
from ..ops.elementwise import multiply
from ..ops.fft import fftn, ifftn, irfftn, rfftn
from ..ops.index import getitem
from ..ops.joining import flip
from ..ops.sequences import convolve as _convolve

__all__ = ["convolve", "correlate", "fftconvolve"]


def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    """The convolution of two arrays with as many axes, as `scipy.signal.convolve`.

    Args:
        in1: any shape.
        in2: as many axes.
        mode: "full": every overlap; "same": the middle, of the shape of `in1`; "valid": the full overlaps only.
        method: "direct" (vectors only), "fft", or "auto": direct for vectors, else by Fourier transforms.

    Raises:
        ValueError: another number of axes, an empty operand, another mode, or "valid" where neither contains the other.
    """
    in1, in2 = operand(in1), operand(in2)
    _check("convolve", in1, in2, mode)
    if method not in ("auto", "direct", "fft") or (method == "direct" and len(in1.shape) != 1):
        raise ValueError(f"[convolve] method = {method!r}; expected 'auto', 'fft', or for vectors 'direct'")
    if not in1.shape:
        return multiply(in1, in2)
    if len(in1.shape) == 1 and method != "fft":
        return _part(_convolve(in1, in2), in1.shape, in2.shape, mode)
    return fftconvolve(in1, in2, mode)


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


def _check(name: str, in1: Any, in2: Any, mode: str) -> None:
    if len(in1.shape) != len(in2.shape) or not all((*in1.shape, *in2.shape)):
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
    return getitem(full, tuple(slice(a, a + n) for a, n in zip(starts, lengths, strict=True)))


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"[gpugrad.scipy.signal] {name!r} has no gradient rule here; on values that need none call scipy.signal's "
        f"with the bare array (x.detach().data), else define it with gpugrad.primitive.Primitive({name!r}, ...)"
    )
