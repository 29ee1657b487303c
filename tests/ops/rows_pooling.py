"""Rows of pooling and of the windows that it is made of."""

import itertools

import numpy as np

from gpugrad.backend import backend_of
from gpugrad.backend.conv import Geometry
from gpugrad.ops.arguments import bare
from gpugrad.ops.windows import WINDOW_PICK, WINDOW_PUT, WINDOW_SPREAD
from gpugrad.tensor import apply
from tests.ops.table import Row, apart, normal, op, uniform


def windows(x, kernel, stride, padding, value):
    """Every window of (n, c, h, w), one by one: ((row, column), values)."""
    wide = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=value)
    rows = (wide.shape[2] - kernel) // stride + 1
    columns = (wide.shape[3] - kernel) // stride + 1
    for r, c in itertools.product(range(rows), range(columns)):
        yield (r, c), wide[:, :, r * stride : r * stride + kernel, c * stride : c * stride + kernel]


def pooled(x, reduce, kernel, stride, padding=0, value=0.0):
    found = {place: reduce(w, axis=(2, 3)) for place, w in windows(x, kernel, stride, padding, value)}
    rows, columns = (max(place[i] for place in found) + 1 for i in (0, 1))
    out = np.zeros((*x.shape[:2], rows, columns))
    for place, values in found.items():
        out[(..., *place)] = values
    return out


def _row(function, name, shape, *args, numpy=None, sample=apart, covers, **options):
    return Row(
        f"{function} {name}",
        lambda x: getattr(op, function)(x, *args, **options),
        (sample(*shape),),
        numpy=numpy,
        torch=lambda t, x: getattr(t.nn.functional, function)(x, *args, **options),
        covers=(covers,),
        tolerance=4,
    )


WON = np.array([[[[0, 3], [1, 2]]]], np.uint8)
AT = Geometry((1, 2), ((1, 1), (0, 0)), (1, 1), 1)


def static(x):
    return {"arrays": (backend_of(bare(x)).from_host(WON),), "kernel": (2, 2), "at": AT}


ROWS = [
    _row("max_pool2d", "plain", (2, 2, 4, 6), 2, numpy=lambda x: pooled(x, np.max, 2, 2), covers="max_pool"),
    _row("max_pool2d", "overlapping", (1, 2, 5, 5), 3, 2, 1,
         numpy=lambda x: pooled(x, np.max, 3, 2, 1, -np.inf), covers="max_pool"),
    _row("max_pool2d", "whose last row is left out", (1, 2, 5, 4), (2, 3), (2, 1), covers="max_pool"),
    _row("max_pool2d", "with windows that stick out", (1, 1, 5, 6), 2, 2, ceil_mode=True, covers="max_pool"),
    _row("max_pool2d", "dilated", (1, 1, 6, 5), 2, 1, 0, 2, covers="max_pool"),
    _row("max_pool1d", "of sequences", (2, 2, 7), 3, 2, covers="max_pool"),
    _row("max_pool3d", "of volumes", (1, 2, 3, 4, 4), 2, covers="max_pool"),
    _row("max_pool2d", "of one image", (2, 4, 4), 2, covers="max_pool"),
    _row("avg_pool2d", "plain", (2, 2, 4, 6), 2, numpy=lambda x: pooled(x, np.mean, 2, 2), covers="window_sum",
         sample=normal),
    _row("avg_pool2d", "padded", (1, 2, 5, 5), 3, 2, 1, numpy=lambda x: pooled(x, np.mean, 3, 2, 1),
         covers="window_sum", sample=normal),
    _row("avg_pool2d", "without its padding", (1, 2, 5, 5), 3, 2, 1, count_include_pad=False, covers="window_sum",
         sample=normal),
    _row("avg_pool2d", "with windows that stick out", (1, 2, 6, 5), 3, 2, 1, ceil_mode=True, covers="window_sum",
         sample=normal),
    _row("avg_pool2d", "by another number", (1, 2, 4, 4), 2, divisor_override=3, covers="window_sum", sample=normal),
    _row("avg_pool1d", "of sequences", (2, 2, 6), 3, 1, 1, covers="window_sum", sample=normal),
    _row("avg_pool3d", "of volumes", (1, 1, 4, 2, 4), 2, covers="window_sum", sample=normal),
    Row(
        "lp_pool2d",
        lambda x: op.lp_pool2d(x, 3, 2),
        (uniform(0.5, 2, 1, 2, 4, 4),),
        numpy=lambda x: pooled(x**3, np.sum, 2, 2) ** (1 / 3),
        torch=lambda t, x: t.nn.functional.lp_pool2d(x, 3, 2),
        covers=("window_sum",),
        tolerance=4,
    ),
    _row("adaptive_avg_pool2d", "to an even part", (1, 2, 4, 6), (2, 3), covers="matmul", sample=normal),
    _row("adaptive_avg_pool2d", "to unequal parts", (1, 2, 5, 7), (3, 2), covers="matmul", sample=normal),
    _row("adaptive_avg_pool2d", "to one", (2, 2, 3, 3), 1, covers="mean", sample=normal),
    _row("adaptive_max_pool2d", "to an even part", (1, 2, 4, 6), (2, 3), covers="max_pool"),
    _row("adaptive_max_pool2d", "to unequal parts", (1, 2, 5, 7), (3, 2), covers="max_pool"),
    Row(
        "max_unpool2d",
        lambda x: op.max_unpool2d(x, np.array([[[[0, 3], [9, 14]]]]), 2),
        (normal(1, 1, 2, 2),),
        torch=lambda t, x: t.nn.functional.max_unpool2d(x, t.tensor([[[[0, 3], [9, 14]]]]), 2),
        covers=("index_put",),
    ),
    Row("window_pick", lambda x: apply(WINDOW_PICK, (x,), static(x)), (normal(1, 1, 3, 4),), tolerance=4),
    Row(
        "window_put",
        lambda g: apply(WINDOW_PUT, (g,), {**static(g), "inner": (3, 4)}),
        (normal(1, 1, 2, 2),),
        tolerance=4,
    ),
    Row(
        "window_spread",
        lambda g: apply(WINDOW_SPREAD, (g,), {"inner": (3, 4), "kernel": (2, 2), "at": AT}),
        (normal(1, 1, 2, 2),),
        tolerance=4,
    ),
]  # fmt: skip
