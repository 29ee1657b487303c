"""Fourier transforms: NumPy's fourteen, and the shifts of their frequencies.

Three primitives carry all of them: the complex transform, the transform of real input and its inverse. Each is linear
and its rule is one of the three, so that derivatives of every order are transforms again; a transform matrix is
symmetric, hence the rule of `fftn` is `fftn`. Gradients of complex values follow df/dx - i df/dy.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, Final

from ..backend import backend_of
from ..primitive import Needs, Primitive, Shape, public
from .arguments import Axes, apply_one, axis_index, bare, operand
from .cast import conj
from .elementwise import multiply
from .index import getitem
from .joining import roll
from .padding import pad

Lengths = tuple[int, ...]

NORMS: Final = ("backward", "ortho", "forward")
# The scale of a transform on the other side: that of the inverse, where it has to be taken as the transform.
SWAPPED: Final = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def _flops(shapes: tuple[Shape, ...], out_shape: Shape, *, s: Lengths, axes: Axes, **static: Any) -> int:
    """5 n log2(n) for each row of n complex numbers and each axis, the usual count of a fast transform."""
    return round(5 * math.prod(out_shape) * math.log2(max(math.prod(s), 1)))


def _real_flops(shapes: tuple[Shape, ...], out_shape: Shape, *, s: Lengths, axes: Axes, **static: Any) -> int:
    """Half of that for real numbers, of which there are as many as `s` says along its axes."""
    batch = math.prod(n for i, n in enumerate(out_shape) if i not in axes)
    return round(2.5 * batch * math.prod(s) * math.log2(max(math.prod(s), 1)))


def _fitted(g: Any, shape: Shape) -> Any:
    """The cotangent of what was cropped or padded with zeros on its way in: padded, or cropped."""
    if tuple(g.shape) == tuple(shape):
        return g
    if any(n < m for n, m in zip(shape, g.shape, strict=True)):
        g = getitem(g, tuple(slice(n) for n in shape))
    wanting = [(0, n - m) for n, m in zip(shape, g.shape, strict=True)]
    return pad(g, wanting) if any(after for _, after in wanting) else g


def _edge_weights(g: Any, length: int, axis: int, edge: float, inside: float) -> Any:
    """`edge` at the frequencies of a half spectrum that stand for one of the full one, `inside` for two; of real dtype.

    The first stands alone, and the last where `length` is even.
    """
    array = bare(g)
    xp = backend_of(array).xp
    weights = xp.full(array.shape[axis], inside, dtype=array.real.dtype)
    weights[0] = edge
    if length % 2 == 0:
        weights[-1] = edge
    return weights.reshape([-1 if i == axis else 1 for i in range(array.ndim)])


# ---- the primitives: `s` has one length for each of `axes`; `norm` scales the matrix


def _fftn_forward(
    needs: Needs, x: Any, *, s: Lengths, axes: Axes, norm: str, inverse: bool
) -> tuple[Any, tuple[Any, ...]]:
    fft = backend_of(x).xp.fft
    return (fft.ifftn if inverse else fft.fftn)(x, s, axes, norm), (x.shape,)


def _fftn_rule(
    g: Any, needs: Needs, shape: Shape, *, s: Lengths, axes: Axes, norm: str, inverse: bool
) -> tuple[Any, ...]:
    return (_fitted(apply_one(FFTN, g, {"s": s, "axes": axes, "norm": norm, "inverse": inverse}), shape),)


FFTN = Primitive("fftn", _fftn_forward, _fftn_rule, flops=_flops, linear=True)


def _rfftn_forward(needs: Needs, x: Any, *, s: Lengths, axes: Axes, norm: str) -> tuple[Any, tuple[Any, ...]]:
    return backend_of(x).xp.fft.rfftn(x, s, axes, norm), (x.shape,)


def _rfftn_rule(g: Any, needs: Needs, shape: Shape, *, s: Lengths, axes: Axes, norm: str) -> tuple[Any, ...]:
    """Re(matrix^T g): an inverse real transform, which counts inner frequencies twice."""
    half = conj(multiply(g, _edge_weights(g, s[-1], axes[-1], 1.0, 0.5)))
    return (_fitted(apply_one(IRFFTN, half, {"s": s, "axes": axes, "norm": SWAPPED[norm]}), shape),)


RFFTN = Primitive("rfftn", _rfftn_forward, _rfftn_rule, flops=_real_flops, linear=True)


def _irfftn_forward(needs: Needs, x: Any, *, s: Lengths, axes: Axes, norm: str) -> tuple[Any, tuple[Any, ...]]:
    return backend_of(x).xp.fft.irfftn(x, s, axes, norm), (x.shape,)


def _irfftn_rule(g: Any, needs: Needs, shape: Shape, *, s: Lengths, axes: Axes, norm: str) -> tuple[Any, ...]:
    half = conj(apply_one(RFFTN, g, {"s": s, "axes": axes, "norm": SWAPPED[norm]}))
    return (_fitted(multiply(half, _edge_weights(half, s[-1], axes[-1], 1.0, 2.0)), shape),)


IRFFTN = Primitive("irfftn", _irfftn_forward, _irfftn_rule, flops=_real_flops, linear=True)


# ---- arguments


def _norm(name: str, norm: str | None) -> str:
    if norm is None:
        return "backward"
    if norm not in NORMS:
        raise ValueError(f"[{name}] norm = {norm!r}; expected one of {', '.join(map(repr, NORMS))}, or None")
    return norm


def _no_out(name: str, out: Any) -> None:
    if out is not None:
        raise TypeError(f"[{name}] out= is not supported; assign the result, or write it in place with x[...] = result")


def _grid(name: str, x: Any, s: Any, axes: Any, half: bool = False) -> tuple[Lengths, Axes]:
    """The axes of a transform and the length of each, as NumPy finds them.

    Args:
        name: the transform, for errors.
        x: the operand.
        s: a length for each axis, -1 for its own; None for all their own.
        axes: which; None for the last ones, as many as `s` has, or all.
        half: whether the last axis holds half a spectrum, whose own length is then 2 (m - 1).
    """
    if axes is None:
        axes = range(len(x.shape)) if s is None else range(-len(s), 0)
    places = tuple(axis_index(name, a, x.shape) for a in axes)
    own = [x.shape[i] for i in places]
    if half and own:
        own[-1] = 2 * (own[-1] - 1)
    lengths = own if s is None else [operator.index(n) for n in s]
    if len(lengths) != len(places):
        raise ValueError(f"[{name}] s = {tuple(lengths)} and axes = {tuple(axes)}; expected as many of each")
    lengths = [n if k == -1 else k for k, n in zip(lengths, own, strict=True)]
    if any(n < 1 for n in lengths):
        raise ValueError(
            f"[{name}] a transform of {min(lengths)} points (shape {tuple(x.shape)}, axes {places}); "
            "expected 1 or more along each axis"
        )
    return tuple(lengths), places


def _line(name: str, x: Any, n: int | None, axis: int, half: bool = False) -> tuple[Lengths, Axes]:
    return _grid(name, x, None if n is None else (n,), (axis,), half)


def _complex(name: str, x: Any, s: Lengths, axes: Axes, norm: str | None, inverse: bool) -> Any:
    scale = _norm(name, norm)
    if not axes:
        return multiply(x, backend_of(bare(x)).xp.ones((), complex))
    if len(set(axes)) == len(axes):
        return apply_one(FFTN, x, {"s": s, "axes": axes, "norm": scale, "inverse": inverse})
    for length, axis in reversed(list(zip(s, axes, strict=True))):  # NumPy transforms an axis named twice, twice
        x = apply_one(FFTN, x, {"s": (length,), "axes": (axis,), "norm": scale, "inverse": inverse})
    return x


def _to_half(name: str, x: Any, s: Lengths, axes: Axes, norm: str | None) -> Any:
    if bare(x).dtype.kind == "c":
        raise TypeError(f"[{name}] an operand of dtype {x.dtype}; expected real numbers (fft takes complex ones)")
    if not axes:
        raise ValueError(f"[{name}] no axes; expected at least one")
    scale = _norm(name, norm)
    if len(set(axes)) == len(axes):
        return apply_one(RFFTN, x, {"s": s, "axes": axes, "norm": scale})
    x = apply_one(RFFTN, x, {"s": s[-1:], "axes": axes[-1:], "norm": scale})
    return _complex(name, x, s[:-1], axes[:-1], norm, False)


def _from_half(name: str, x: Any, s: Lengths, axes: Axes, norm: str | None) -> Any:
    if not axes:
        raise ValueError(f"[{name}] no axes; expected at least one")
    scale = _norm(name, norm)
    if len(set(axes)) < len(axes):
        for length, axis in zip(s[:-1], axes[:-1], strict=True):
            x = apply_one(FFTN, x, {"s": (length,), "axes": (axis,), "norm": scale, "inverse": True})
        s, axes = s[-1:], axes[-1:]
    return apply_one(IRFFTN, x, {"s": s, "axes": axes, "norm": scale})


# ---- along one axis


@public
def fft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: None = None) -> Any:
    """The discrete Fourier transform along one axis.

    Args:
        a: real or complex.
        n: length of the transform: the input is cropped or padded with zeros to it; that of the axis if not given.
        axis: along which.
        norm: where the factor 1/n is: "backward" (the default: in the inverse), "ortho" (half in each), "forward".
        out: refused.

    Returns:
        The complex spectrum, of length `n` along `axis`.

    Raises:
        ValueError: no points, or another `norm`.
    """
    _no_out("fft", out)
    a = operand(a)
    return _complex("fft", a, *_line("fft", a, n, axis), norm, False)


@public
def ifft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: None = None) -> Any:
    """The inverse of `fft`; arguments as there."""
    _no_out("ifft", out)
    a = operand(a)
    return _complex("ifft", a, *_line("ifft", a, n, axis), norm, True)


@public
def rfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: None = None) -> Any:
    """The transform of real numbers: the first n // 2 + 1 frequencies, which the others mirror. Arguments as `fft`.

    Raises:
        TypeError: the operand is complex.
    """
    _no_out("rfft", out)
    a = operand(a)
    return _to_half("rfft", a, *_line("rfft", a, n, axis), norm)


@public
def irfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: None = None) -> Any:
    """The inverse of `rfft`: `n` real numbers (2 (m - 1) if not given) of m = n // 2 + 1 frequencies.

    The imaginary parts of the first frequency, and of the last where `n` is even, are taken as 0, and have no gradient.
    """
    _no_out("irfft", out)
    a = operand(a)
    return _from_half("irfft", a, *_line("irfft", a, n, axis, True), norm)


@public
def hfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: None = None) -> Any:
    """The real spectrum of a signal whose second half mirrors the first, conjugated; `n` as in `irfft`."""
    _no_out("hfft", out)
    a = operand(a)
    return _from_half("hfft", conj(a), *_line("hfft", a, n, axis, True), SWAPPED[_norm("hfft", norm)])


@public
def ihfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: None = None) -> Any:
    """The inverse of `hfft`: of a real spectrum the first n // 2 + 1 numbers of its signal."""
    _no_out("ihfft", out)
    a = operand(a)
    return conj(_to_half("ihfft", a, *_line("ihfft", a, n, axis), SWAPPED[_norm("ihfft", norm)]))


# ---- along several


@public
def fftn(
    a: Any, s: Sequence[int] | None = None, axes: Any = None, norm: str | None = None, out: None = None
) -> Any:  # fmt: skip
    """The discrete Fourier transform along several axes.

    Args:
        a: real or complex.
        s: length of the transform along each of `axes` (-1: as it is).
        axes: which; the last ones if only `s` is given, all if neither is. One named twice is transformed twice.
        norm: as in `fft`.
        out: refused.

    Raises:
        ValueError: no points, not as many lengths as axes, or another `norm`.
    """
    _no_out("fftn", out)
    a = operand(a)
    return _complex("fftn", a, *_grid("fftn", a, s, axes), norm, False)


@public
def ifftn(
    a: Any, s: Sequence[int] | None = None, axes: Any = None, norm: str | None = None, out: None = None
) -> Any:  # fmt: skip
    """The inverse of `fftn`; arguments as there."""
    _no_out("ifftn", out)
    a = operand(a)
    return _complex("ifftn", a, *_grid("ifftn", a, s, axes), norm, True)


@public
def rfftn(
    a: Any, s: Sequence[int] | None = None, axes: Any = None, norm: str | None = None, out: None = None
) -> Any:  # fmt: skip
    """The transform of real numbers along several axes, the last of them to half its length; arguments as `fftn`."""
    _no_out("rfftn", out)
    a = operand(a)
    return _to_half("rfftn", a, *_grid("rfftn", a, s, axes), norm)


@public
def irfftn(
    a: Any, s: Sequence[int] | None = None, axes: Any = None, norm: str | None = None, out: None = None
) -> Any:  # fmt: skip
    """The inverse of `rfftn`; `s` are the lengths of the result, without it the last is 2 (m - 1)."""
    _no_out("irfftn", out)
    a = operand(a)
    return _from_half("irfftn", a, *_grid("irfftn", a, s, axes, True), norm)


@public
def fft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: None = None) -> Any:
    """`fftn` along two axes, the last ones if not said otherwise."""
    return fftn(a, s, axes, norm, out)


@public
def ifft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: None = None) -> Any:
    """`ifftn` along two axes, the last ones if not said otherwise."""
    return ifftn(a, s, axes, norm, out)


@public
def rfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: None = None) -> Any:
    """`rfftn` along two axes, the last ones if not said otherwise."""
    return rfftn(a, s, axes, norm, out)


@public
def irfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: None = None) -> Any:
    """`irfftn` along two axes, the last ones if not said otherwise."""
    return irfftn(a, s, axes, norm, out)


# ---- the order of frequencies


def _shifted(name: str, x: Any, axes: Any, back: bool) -> Any:
    x = operand(x)
    given = range(len(x.shape)) if axes is None else axes if isinstance(axes, (tuple, list)) else (axes,)
    places = tuple(axis_index(name, a, x.shape) for a in given)
    if not places:
        return x
    return roll(x, tuple(-(x.shape[i] // 2) if back else x.shape[i] // 2 for i in places), places)


@public
def fftshift(x: Any, axes: Any = None) -> Any:
    """Frequency 0 in the middle of the axes (all, if none is named) instead of at the start."""
    return _shifted("fftshift", x, axes, False)


@public
def ifftshift(x: Any, axes: Any = None) -> Any:
    """The inverse of `fftshift`."""
    return _shifted("ifftshift", x, axes, True)
