"""Rows of the Fourier transforms: odd and even lengths, cropped and padded, every norm, one axis and several."""

from typing import Any

import numpy as np

from tests.ops.table import Row, normal, op

NORMS = (None, "ortho", "forward")


def parts(z: Any) -> Any:
    """A complex result as two real ones."""
    return op.real(z), op.imag(z)


def joined(x: Any, y: Any) -> Any:
    return op.add(x, op.multiply(y, 1j))


def of_complex(name: str, shape: tuple[int, ...], covers: str = "fftn", **static: Any) -> Row:
    theirs, real = getattr(np.fft, name), name in ("irfft", "irfft2", "irfftn", "hfft")
    label = f"{name} {shape} " + " ".join(f"{k}={v}" for k, v in static.items())
    return Row(
        label,
        (lambda x, y: getattr(op, name)(joined(x, y), **static))
        if real
        else lambda x, y: parts(getattr(op, name)(joined(x, y), **static)),
        (normal(*shape), normal(*shape)),
        (lambda x, y: theirs(x + 1j * y, **static))
        if real
        else lambda x, y: (theirs(x + 1j * y, **static).real, theirs(x + 1j * y, **static).imag),
        lambda t, x, y: _torch(t, name, t.complex(x, y), static),
        covers=(covers,),
        dtypes=(),
    )


def of_real(name: str, shape: tuple[int, ...], covers: str = "rfftn", **static: Any) -> Row:
    theirs = getattr(np.fft, name)
    real = name.startswith(("irfft", "hfft"))
    label = f"{name} of real {shape} " + " ".join(f"{k}={v}" for k, v in static.items())
    return Row(
        label,
        (lambda x: getattr(op, name)(x, **static)) if real else lambda x: parts(getattr(op, name)(x, **static)),
        (normal(*shape),),
        (lambda x: theirs(x, **static)) if real else lambda x: (theirs(x, **static).real, theirs(x, **static).imag),
        lambda t, x: _torch(t, name, x, static),
        covers=(covers,),
        dtypes=(),
    )


def _torch(t: Any, name: str, z: Any, static: dict[str, Any]) -> Any:
    names = {"n": "n", "axis": "dim", "axes": "dim", "s": "s", "norm": "norm"}
    out = getattr(t.fft, name)(z, **{names[k]: v for k, v in static.items()})
    return (out.real, t.resolve_neg(out.imag)) if out.is_complex() else out


ROWS = [
    *[of_complex("fft", (2, n), norm=norm) for n in (4, 5) for norm in NORMS],
    *[of_complex("ifft", (2, 5), norm=norm) for norm in NORMS],
    *[of_complex(name, (3, 4), n=n, axis=0) for name in ("fft", "ifft") for n in (2, 5)],
    of_real("fft", (2, 5), "fftn"),
    of_real("ifft", (4,), "fftn", n=6),
    *[of_real("rfft", (2, n), norm=norm) for n in (4, 5) for norm in NORMS],
    *[of_real("rfft", (5, 2), n=n, axis=0) for n in (1, 2, 3, 4, 6, 7)],
    *[of_complex("irfft", (2, n), "irfftn", norm=norm) for n in (3, 4) for norm in NORMS],
    *[of_complex("irfft", (3, 2), "irfftn", n=n, axis=0) for n in (1, 2, 3, 4, 5, 6, 7)],
    of_real("irfft", (4,), "irfftn"),
    *[of_complex("hfft", (2, 3), "irfftn", n=n, norm=norm) for n, norm in zip((4, 5, 7), NORMS, strict=True)],
    *[of_real("ihfft", (2, 5), n=n, norm=norm) for n, norm in zip((4, 5, 6), NORMS, strict=True)],
    of_complex("fft2", (2, 3, 4)),
    of_complex("ifft2", (3, 4), s=(2, 5), axes=(1, 0), norm="ortho"),
    of_complex("fftn", (2, 3, 4), axes=(0, 2)),
    of_complex("fftn", (2, 3), norm="forward"),
    of_complex("ifftn", (2, 3, 4), s=(3, 3), axes=(2, 0)),
    of_real("rfft2", (2, 3, 4)),
    of_real("rfft2", (3, 5), s=(4, 4), norm="ortho"),
    of_real("rfftn", (2, 3, 4), axes=(2, 0), norm="forward"),
    of_real("rfftn", (3, 4), s=(2, 7), axes=(0, 1)),
    of_complex("irfft2", (3, 3), "irfftn"),
    of_complex("irfft2", (3, 3), "irfftn", s=(2, 5), norm="ortho"),
    of_complex("irfftn", (2, 3, 3), "irfftn", axes=(1, 0), norm="forward"),
    of_complex("irfftn", (2, 3), "irfftn", s=(3, 6), axes=(0, 1)),
    Row(
        "fftn an axis twice",
        lambda x: parts(op.fftn(x, axes=(0, 1, 0))),
        (normal(3, 4),),
        lambda x: (np.fft.fftn(x, axes=(0, 1, 0)).real, np.fft.fftn(x, axes=(0, 1, 0)).imag),
        dtypes=(),
    ),
    Row(
        "rfftn an axis twice",
        lambda x: parts(op.rfftn(x, axes=(0, 0, 1))),
        (normal(3, 4),),
        lambda x: (np.fft.rfftn(x, axes=(0, 0, 1)).real, np.fft.rfftn(x, axes=(0, 0, 1)).imag),
        covers=("rfftn", "fftn"),
        dtypes=(),
    ),
    Row(
        "fftshift",
        op.fftshift,
        (normal(3, 4),),
        np.fft.fftshift,
        lambda t, x: t.fft.fftshift(x),
        covers=("roll",),
    ),
    Row(
        "ifftshift",
        lambda x: op.ifftshift(x, axes=1),
        (normal(3, 5),),
        lambda x: np.fft.ifftshift(x, axes=1),
        lambda t, x: t.fft.ifftshift(x, dim=1),
        covers=("roll",),
    ),
]
