"""Rows of choosing and arranging whole arrays, of parts of numbers, and of ranges between traced ends."""

from typing import Any

import numpy as np

from tests.ops.table import Row, apart, fixed, normal, op, uniform

PICK = np.array([[0, 2, 1], [1, 1, 0]])
MASK = np.array([True, False, True, True])


def plain(
    name: str,
    inputs: tuple[Any, ...],
    *args: Any,
    label: str = "",
    covers: tuple[str, ...] = (),
    **static: Any,
):
    """A function of one array and constants, of the same name and arguments in NumPy."""
    options = {k: static.pop(k) for k in ("dtypes", "torch", "order", "layouts") if k in static}
    return Row(
        f"{name} {label}".strip(),
        lambda *xs: getattr(op, name)(*xs, *args, **static),
        inputs,
        lambda *xs: getattr(np, name)(*xs, *args, **static),
        covers=covers,
        **options,
    )


CHOOSING = [
    Row(
        "select",
        lambda x, y: op.select([np.array([True, False, False]), np.array([True, True, False])], [x, y], 7.0),
        (normal(2, 3), normal(3)),
        lambda x, y: np.select([np.array([True, False, False]), np.array([True, True, False])], [x, y], 7.0),
        covers=("where",),
    ),
    Row(
        "piecewise",
        lambda x: op.piecewise(x, [x < -0.1, x > 0.1], [lambda v: v * v, op.sin, 2.0]),
        (apart(3, 4),),
        lambda x: np.piecewise(x, [x < -0.1, x > 0.1], [lambda v: v * v, np.sin, 2.0]),
        covers=("index_put", "sin"),
    ),
    Row(
        "piecewise rest",
        lambda x: op.piecewise(x, x > 0, [lambda v, k: v * k, lambda v, k: v], 3.0),
        (apart(5),),
        lambda x: np.piecewise(x, x > 0, [lambda v, k: v * k, lambda v, k: v], 3.0),
        covers=("index_put",),
    ),
    *[
        Row(
            f"choose {mode}",
            lambda x, y, z, m=mode, k=shift: op.choose(PICK + k, [x, y, z], mode=m),
            (normal(2, 3), normal(3), normal(2, 1)),
            lambda x, y, z, m=mode, k=shift: np.choose(PICK + k, [x, y, z], mode=m),
            covers=("concatenate", "getitem"),
        )
        for mode, shift in (("raise", 0), ("wrap", 2), ("clip", 1))
    ],
    *[
        Row(
            f"apply_along_axis {axis} {name}",
            lambda x, f=name, a=axis: op.apply_along_axis(getattr(op, f), a, x),
            (normal(2, 3, 4),),
            lambda x, f=name, a=axis: np.apply_along_axis(getattr(np, f), a, x),
            covers=(name,),
        )
        for axis, name in ((1, "cumsum"), (0, "sum"), (-1, "prod"))
    ],
    Row(
        "apply_along_axis to matrices",
        lambda x: op.apply_along_axis(lambda v: op.outer(v, v), 0, x),
        (normal(3, 2),),
        lambda x: np.apply_along_axis(lambda v: np.outer(v, v), 0, x),
        covers=("multiply",),
    ),
    Row(
        "apply_over_axes",
        lambda x: op.apply_over_axes(op.sum, x, [0, 2]),
        (normal(2, 3, 4),),
        lambda x: np.apply_over_axes(np.sum, x, [0, 2]),
        covers=("sum",),
    ),
]

ARRANGING = [
    plain("append", (normal(2, 3), normal(2)), label="flat", covers=("concatenate",)),
    plain("append", (normal(2, 3), normal(1, 3)), covers=("concatenate",), axis=0),
    plain("delete", (normal(2, 4),), 1, covers=("getitem",), label="one", axis=1),
    plain("delete", (normal(2, 4),), [0, -1], covers=("getitem",), label="several", axis=-1),
    plain("delete", (normal(2, 4),), slice(1, 6, 2), covers=("getitem",), label="slice"),
    plain("delete", (normal(4, 2),), MASK, covers=("getitem",), label="mask", axis=0),
    *[
        Row(
            f"insert {label}",
            lambda x, v, o=obj, a=axis: op.insert(x, o, v, a),
            (normal(3, 4), normal(*shape)),
            lambda x, v, o=obj, a=axis: np.insert(x, o, v, a),
            covers=("concatenate", "getitem"),
        )
        for label, obj, axis, shape in (
            ("one", 1, 0, (4,)),
            ("one along the last", 2, 1, (3,)),
            ("number", -1, 1, ()),
            ("several", [1, 1, 3], 1, (3, 3)),
            ("list of one", [2], 1, (3, 2)),
            ("flat", [0, 5], None, (2,)),
            ("slice", slice(0, 3, 2), 0, (2, 4)),
            ("matrix at one place", 1, 0, (2, 4)),
        )
    ],
    plain("resize", (normal(2, 3),), (2, 5), covers=("getitem",)),
    plain("resize", (normal(2, 3),), 4, covers=("getitem",), label="shorter"),
    Row(
        "block",
        lambda a, b, c, d: op.block([[a, b], [c, d]]),
        (normal(2, 2), normal(2, 1), normal(3, 2), normal(3, 1)),
        lambda a, b, c, d: np.block([[a, b], [c, d]]),
        covers=("concatenate",),
    ),
    Row(
        "block of vectors",
        lambda a, b: op.block([a, b, 2.0]),
        (normal(3), normal(1)),
        lambda a, b: np.block([a, b, 2.0]),
        covers=("concatenate",),
        dtypes=(),
    ),
    Row(
        "compress",
        lambda x: op.compress(MASK, x, 1),
        (normal(2, 4),),
        lambda x: np.compress(MASK, x, 1),
        covers=("getitem",),
    ),
    Row(
        "extract",
        lambda x: op.extract(MASK, x),
        (normal(4),),
        lambda x: np.extract(MASK, x),
        covers=("getitem",),
    ),
    Row("flatnonzero", op.flatnonzero, (fixed(0.0, 2.0, 0.0, 1.0),), np.flatnonzero, order=0),
    plain("diagflat", (normal(2, 2),), 1, covers=("scatter",)),
    plain("rollaxis", (normal(2, 3, 4),), 2, covers=("transpose",)),
    plain("rollaxis", (normal(2, 3, 4),), 0, 2, covers=("transpose",), label="onwards"),
    Row(
        "trim_zeros",
        lambda x: op.trim_zeros(op.pad(x, (2, 1))),
        (uniform(1, 2, 4),),
        lambda x: np.trim_zeros(np.pad(x, (2, 1))),
        covers=("getitem",),
    ),
    *[
        Row(
            name,
            lambda x, f=name: tuple(getattr(op, f)(x, 2)),
            (normal(2, 4, 2),),
            lambda x, f=name: tuple(getattr(np, f)(x, 2)),
            covers=("getitem",),
        )
        for name in ("vsplit", "hsplit", "dsplit")
    ],
    *[
        Row(
            f"meshgrid {indexing} sparse={sparse}",
            lambda x, y, z, i=indexing, s=sparse: op.meshgrid(x, y, z, indexing=i, sparse=s),
            (normal(2), normal(3), normal(2)),
            lambda x, y, z, i=indexing, s=sparse: tuple(np.meshgrid(x, y, z, indexing=i, sparse=s)),
            (lambda t, x, y, z, i=indexing: t.meshgrid(x, y, z, indexing=i)) if not sparse else None,
            covers=("clone",),
        )
        for indexing in ("xy", "ij")
        for sparse in (False, True)
    ],
]


def broken(rng: np.random.Generator) -> Any:
    return np.array([0.5, np.nan, np.inf, -np.inf, -2.0])


def holomorphic(name: str) -> Row:
    return Row(
        f"{name} complex",
        lambda x, y: getattr(op, name)(op.add(x, op.multiply(y, 1j))),
        (uniform(0.2, 1, 4), uniform(0.2, 1, 4)),
        lambda x, y: getattr(np, name)(x + 1j * y),
        covers=("arctan2",),
        dtypes=(),
    )


NUMERIC = [
    Row(
        "nan_to_num",
        lambda x: op.nan_to_num(op.add(x, np.array([0.0, np.nan, 0.0, np.inf, -np.inf])), posinf=3.0, neginf=-3.0),
        (normal(5),),
        lambda x: np.nan_to_num(x + np.array([0.0, np.nan, 0.0, np.inf, -np.inf]), posinf=3.0, neginf=-3.0),
        covers=("where",),
        dtypes=(),
    ),
    Row(
        "nan_to_num complex",
        lambda x: op.imag(op.nan_to_num(op.multiply(x, 1 + 2j))),
        (normal(5),),
        lambda x: np.nan_to_num(x * (1 + 2j)).imag,
        covers=("where",),
        dtypes=(),
    ),
    holomorphic("angle"),
    plain("angle", (normal(4),), label="real", covers=("arctan2",)),
    Row("angle deg", lambda x: op.angle(x, True), (normal(4),), lambda x: np.angle(x, True), covers=()),
    Row(
        "real_if_close",
        lambda x: op.real_if_close(op.multiply(x, 1 + 0j)),
        (normal(4),),
        lambda x: np.real_if_close(x * (1 + 0j)),
        covers=("real",),
        dtypes=(),
    ),
    plain("float_power", (uniform(0.5, 2, 3), normal(3)), covers=("power",), dtypes=()),
    Row("fix", op.fix, (uniform(-2.9, -2.1, 4),), np.trunc, covers=("trunc",)),  # NumPy's own is deprecated from 2.5 on
    plain("modf", (uniform(-2.9, -2.1, 4),), covers=("fmod", "trunc")),
    plain("divmod", (uniform(2.1, 2.4, 4), uniform(0.9, 0.99, 4)), covers=("floor_divide", "remainder")),
    Row("ldexp", lambda x: op.ldexp(x, PICK), (normal(2, 3),), lambda x: np.ldexp(x, PICK), covers=("multiply",)),
    Row("frexp", lambda x: op.frexp(x)[0], (uniform(2.1, 3.9, 4),), lambda x: np.frexp(x)[0], covers=("multiply",)),
    Row("spacing", op.spacing, (normal(4),), np.spacing, order=0),
    Row("nextafter", lambda x: op.nextafter(x, 3.0), (normal(4),), lambda x: np.nextafter(x, 3.0), order=0),
    *[Row(name, getattr(op, name), (broken,), getattr(np, name), order=0)
      for name in ("isreal", "iscomplex", "isposinf", "isneginf")],
    Row("cumulative_sum", lambda x: op.cumulative_sum(x, axis=1, include_initial=True), (normal(2, 3),),
        lambda x: np.cumulative_sum(x, axis=1, include_initial=True), covers=("cumsum", "concatenate")),
    Row("cumulative_prod", lambda x: op.cumulative_prod(x, include_initial=True), (normal(3),),
        lambda x: np.cumulative_prod(x, include_initial=True), covers=("cumprod",)),
    Row("searchsorted", lambda x: op.searchsorted(np.arange(-3.0, 3.0), x), (normal(4),),
        lambda x: np.searchsorted(np.arange(-3.0, 3.0), x), order=0),
    Row("digitize", lambda x: op.digitize(x, np.arange(-3.0, 3.0)), (normal(4),),
        lambda x: np.digitize(x, np.arange(-3.0, 3.0)), order=0),
    Row("histogram", lambda x: op.histogram(x, 4, (-3, 3)), (normal(9),),
        lambda x: np.histogram(x, 4, (-3, 3)), order=0),
    Row("histogram_bin_edges", lambda x: op.histogram_bin_edges(x, 4), (normal(9),),
        lambda x: np.histogram_bin_edges(x, 4), order=0),
    Row("bincount", lambda x: op.bincount(op.astype(x, int), minlength=5), (uniform(0, 4, 9),),
        lambda x: np.bincount(x.astype(int), minlength=5), order=0),
]  # fmt: skip

RANGES = [
    plain("linspace", (normal(), normal()), 5, covers=("multiply", "add")),
    plain("linspace", (normal(2), normal()), 4, label="vectors", covers=("multiply",), axis=1, endpoint=False),
    plain("linspace", (normal(), normal()), 5, label="step", covers=("divide",), retstep=True),
    plain("logspace", (normal(), normal()), 4, covers=("power",)),
    plain("logspace", (normal(), normal()), 3, label="base", covers=("power",), base=2.0),
    plain("geomspace", (uniform(-2, -1), uniform(-9, -4)), 4, covers=("exp", "log")),
    Row(
        "full",
        lambda x: op.full((2, 3), x),
        (normal(3),),
        lambda x: np.full((2, 3), x),
        covers=("broadcast_to",),
    ),
    Row(
        "full_like",
        lambda x: op.full_like(np.zeros((2, 3)), x),
        (normal(),),
        lambda x: np.full_like(np.zeros((2, 3)), x),
        covers=("broadcast_to",),
        dtypes=(),
    ),
]

ROWS = CHOOSING + ARRANGING + NUMERIC + RANGES
