"""Rows of convolution, interpolation, differences, integrals, polynomials and products of vectors."""

from typing import Any

import numpy as np

from tests.ops.table import Row, fixed, normal, op, uniform

MODES = ("full", "same", "valid")
KNOTS = np.array([-2.0, -1.1, 0.0, 0.7, 1.9])
PLACES = np.array([0.1, 0.4, 1.0, 1.9, 3.5])


def of(name: str, *inputs: Any, covers: tuple[str, ...] = (), label: str = "", **static: Any) -> Row:
    """A function that takes its inputs in order and what is static by name, as NumPy's does."""
    dtypes = static.pop("dtypes", ("float32", "float16"))
    torch = static.pop("torch", None)
    return Row(
        " ".join([name, label, *[f"{k}={v}" for k, v in static.items() if np.ndim(v) == 0]]).strip(),
        lambda *xs: getattr(op, name)(*xs, **static),
        inputs,
        lambda *xs: getattr(np, name)(*xs, **static),
        torch,
        covers,
        dtypes=dtypes,
    )


def of_complex(name: str, **static: Any) -> Row:
    def parts(z: Any) -> Any:
        return op.real(z), op.imag(z)

    def theirs(a: Any, b: Any) -> Any:
        z = getattr(np, name)(a * (1 + 1j), b * (2 - 1j), **static)
        return z.real, z.imag

    return Row(
        f"{name} complex",
        lambda a, b: parts(getattr(op, name)(op.multiply(a, 1 + 1j), op.multiply(b, 2 - 1j), **static)),
        (normal(5), normal(3)),
        theirs,
        covers=("convolve",),
        dtypes=(),
    )


def with_cross(a: Any, b: Any) -> Any:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


CONVOLUTIONS = [
    *[
        of(name, normal(n), normal(m), covers=("convolve",), label=f"{n} {m}", mode=mode)
        for name in ("convolve", "correlate")
        for mode in MODES
        for n, m in ((5, 3), (3, 5), (4, 4), (6, 2), (2, 6), (1, 4))
    ],
    Row(
        "convolve torch",
        op.convolve,
        (normal(5), normal(3)),
        np.convolve,
        lambda t, a, v: t.nn.functional.conv1d(a[None, None], v.flip(0)[None, None], padding=2)[0, 0],
        covers=("convolve",),
    ),
    of_complex("convolve", mode="same"),
    of_complex("correlate", mode="full"),
]

INTERPOLATIONS = [
    Row(
        "interp",
        op.interp,
        (uniform(-1.9, 1.8, 2, 4), lambda rng: KNOTS, normal(5)),
        np.interp,
        covers=("getitem", "multiply"),
        dtypes=(),
        layouts=False,
    ),
    Row(
        "interp outside",
        lambda x, fp, left, right: op.interp(x, KNOTS, fp, left, right),
        (fixed(-3.0, -2.5, 0.2, 2.5), normal(5), normal(), normal()),
        lambda x, fp, left, right: np.interp(x, KNOTS, fp, left, right),
        covers=("where",),
        dtypes=(),
    ),
    Row(
        "interp ends",
        lambda x, fp: op.interp(x, KNOTS, fp),
        (fixed(-3.0, 0.3, 2.5), normal(5)),
        lambda x, fp: np.interp(x, KNOTS, fp),
        covers=("where",),
        dtypes=(),
    ),
    Row(
        "interp period",
        lambda x, xp, fp: op.interp(x, xp, fp, period=3.0),
        (fixed(-3.3, 0.3, 2.95, 7.1), fixed(0.1, 2.5, 4.4, 1.0), normal(4)),
        lambda x, xp, fp: np.interp(x, xp, fp, period=3.0),
        covers=("where",),
        dtypes=(),
        layouts=False,
    ),
    Row(
        "interp complex",
        lambda x, fp: op.imag(op.interp(x, KNOTS, op.multiply(fp, 1 + 2j))),
        (fixed(-3.0, 0.3, 2.5), normal(5)),
        lambda x, fp: np.interp(x, KNOTS, fp * (1 + 2j)).imag,
        covers=("where",),
        dtypes=(),
    ),
]

DIFFERENCES = [
    of("diff", normal(5), covers=("subtract",), label="once", torch=lambda t, x: t.diff(x)),
    of("diff", normal(2, 4, 3), covers=("subtract",), n=2, axis=1),
    Row(
        "diff ends",
        lambda x, a, b: op.diff(x, axis=0, prepend=a, append=b),
        (normal(3, 2), normal(2, 2), normal()),
        lambda x, a, b: np.diff(x, axis=0, prepend=a, append=b),
        covers=("concatenate",),
    ),
    of("ediff1d", normal(2, 3), covers=("subtract",)),
    Row(
        "ediff1d ends",
        op.ediff1d,
        (normal(4), normal(2), normal(1)),
        np.ediff1d,
        covers=("concatenate",),
    ),
    of("trapezoid", normal(3, 4), covers=("sum",), dx=0.5, torch=lambda t, x: t.trapezoid(x, dx=0.5)),
    of("trapezoid", normal(3, 4), normal(4), covers=("sum",), torch=lambda t, y, x: t.trapezoid(y, x)),
    of("trapezoid", normal(3, 4), normal(3, 4), covers=("sum",), axis=0, label="places"),
    of("gradient", normal(5), covers=("concatenate",), torch=lambda t, x: t.gradient(x)[0]),
    Row(
        "gradient axes",
        op.gradient,
        (normal(3, 4),),
        lambda x: tuple(np.gradient(x)),
        covers=("concatenate",),
    ),
    of("gradient", normal(4, 5), covers=("concatenate",), axis=1, edge_order=2, label="second"),
    Row(
        "gradient distance",
        lambda x, h: op.gradient(x, h, axis=(1, 0)),
        (normal(3, 4), uniform(0.5, 0.6)),
        lambda x, h: tuple(np.gradient(x, h, axis=(1, 0))),
        covers=("divide",),
        layouts=False,
    ),
    *[
        Row(
            f"gradient places {order}",
            lambda x, order=order: op.gradient(x, 2.0, PLACES, edge_order=order),
            (normal(4, 5),),
            lambda x, order=order: tuple(np.gradient(x, 2.0, PLACES, edge_order=order)),
            covers=("concatenate",),
        )
        for order in (1, 2)
    ],
    Row(
        "gradient traced places",
        lambda x, h: op.gradient(x, h, edge_order=2),
        (normal(5), lambda rng: PLACES),
        lambda x, h: np.gradient(x, h, edge_order=2),
        lambda t, x, h: t.gradient(x, spacing=(h,), edge_order=2)[0],
        covers=("divide",),
        layouts=False,
        dtypes=("float32",),
    ),
    Row(
        "gradient of two samples",
        op.gradient,
        (normal(2),),
        np.gradient,
        covers=("divide",),
    ),
    of("unwrap", uniform(-9, 9, 2, 5), covers=("add",)),
    of("unwrap", uniform(-9, 9, 5, 2), covers=("add",), axis=0, period=4.0, discont=3.0),
]

PRODUCTS = [
    of(
        "cross",
        normal(2, 3),
        normal(3),
        covers=("multiply",),
        torch=lambda t, a, b: t.cross(a, b.expand(2, 3), dim=-1),
    ),
    of("cross", normal(3, 2), normal(3, 2), covers=("multiply",), axis=0),
    of("cross", normal(3, 2), normal(2, 3), covers=("multiply",), axisa=0, axisc=0),
    Row("cross of two", op.cross, (normal(4, 2), normal(4, 2)), with_cross, covers=("multiply",)),
    Row(
        "cross two and three",
        op.cross,
        (normal(2), normal(3)),
        lambda a, b: np.cross(np.append(a, 0.0), b),
        covers=("multiply",),
    ),
    Row(
        "cross three and two",
        op.cross,
        (normal(3), normal(2)),
        lambda a, b: np.cross(a, np.append(b, 0.0)),
        covers=("multiply",),
    ),
]

POLYNOMIALS = [
    of("polyval", normal(4), normal(2, 3), covers=("multiply",)),
    of("polyadd", normal(3), normal(5), covers=("add",)),
    of("polysub", normal(5), normal(3), covers=("subtract",)),
    of("polymul", normal(3), normal(4), covers=("convolve",)),
    of("polyder", normal(5), covers=("multiply",), m=2),
    of("polyint", normal(3), covers=("divide",), dtypes=()),
    Row(
        "polyint twice",
        lambda p, k: op.polyint(p, 2, k),
        (normal(3), normal(2)),
        lambda p, k: np.polyint(p, 2, k),
        covers=("concatenate",),
        dtypes=(),
    ),
    of("vander", normal(3), covers=("power",), dtypes=()),
    of("vander", normal(3), covers=("power",), N=4, increasing=True, dtypes=()),
]

ROWS = CONVOLUTIONS + INTERPOLATIONS + DIFFERENCES + PRODUCTS + POLYNOMIALS
