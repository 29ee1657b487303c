"""Rows of convolutions, their transposes and their gradients as operations of their own."""

import itertools

import numpy as np

from gpugrad.backend.conv import Geometry
from gpugrad.ops.conv import CONV_INPUT, CONV_WEIGHT
from gpugrad.tensor import apply
from tests.ops.table import Row, normal, op


def correlate(x, w, bias=None, stride=1, pads=0, dilation=1, groups=1):
    """The definition, patch by patch: slow, and nothing else."""
    axes = w.ndim - 2
    pads = np.broadcast_to(np.asarray(pads), (axes,)) if np.ndim(pads) < 2 else pads
    pairs = [(p, p) if np.ndim(p) == 0 else tuple(p) for p in pads]
    stride, dilation = np.broadcast_to(stride, (axes,)), np.broadcast_to(dilation, (axes,))
    x = np.pad(x, [(0, 0), (0, 0), *pairs])
    kernel = w.shape[2:]
    size = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)]
    y = np.zeros((x.shape[0], w.shape[0], *size))
    per_in, per_out = w.shape[1], w.shape[0] // groups
    for place in itertools.product(*map(range, size)):
        cut = tuple(
            slice(p * s, p * s + d * (k - 1) + 1, d) for p, s, d, k in zip(place, stride, dilation, kernel, strict=True)
        )
        for o in range(w.shape[0]):
            first = o // per_out * per_in
            patch = x[(slice(None), slice(first, first + per_in), *cut)]
            y[(slice(None), o, *place)] = (patch * w[o]).reshape(x.shape[0], -1).sum(axis=1)
    return y if bias is None else y + bias.reshape(-1, *(1,) * axes)


def _row(name, x, w, bias=True, **options):
    axes = len(w) - 2
    inputs = (normal(*x), normal(*w), normal(w[0])) if bias else (normal(*x), normal(*w))
    function = f"conv{axes}d"
    plain = {("pads" if k == "padding" else k): v for k, v in options.items()}
    return Row(
        f"{function} {name}",
        lambda *a: getattr(op, function)(*a, **options),
        inputs,
        numpy=lambda *a: correlate(*a, **plain),
        torch=lambda t, *a: getattr(t.nn.functional, function)(*a, **options),
        covers=("conv",),
        tolerance=4,
    )


def _transposed(name, x, w, out, **options):
    axes = len(w) - 2
    function = f"conv_transpose{axes}d"
    return Row(
        f"{function} {name}",
        lambda *a: getattr(op, function)(*a, **options),
        (normal(*x), normal(*w), normal(out)),
        torch=lambda t, *a: getattr(t.nn.functional, function)(*a, **options),
        covers=("conv_input",),
        tolerance=4,
    )


AT = Geometry((2, 1), ((1, 1), (0, 2)), (1, 2), 2)

ROWS = [
    _row("plain", (2, 3, 5, 4), (4, 3, 3, 2)),
    _row("without bias", (2, 3, 5, 4), (4, 3, 3, 2), bias=False),
    _row("of sequences", (2, 3, 7), (4, 3, 3), padding=1, stride=2),
    _row("of volumes", (1, 2, 3, 4, 3), (2, 2, 2, 3, 2), padding=1),
    _row("pointwise", (2, 3, 4, 4), (5, 3, 1, 1)),
    _row("strided pointwise", (2, 3, 4, 5), (5, 3, 1, 1), stride=2),
    _row("strided and padded", (2, 2, 6, 5), (3, 2, 3, 3), stride=2, padding=1),
    _row("unequal axes", (2, 2, 6, 5), (3, 2, 3, 2), stride=(2, 1), padding=(2, 0), dilation=(1, 2)),
    _row("dilated", (1, 2, 7, 6), (2, 2, 3, 3), dilation=2, padding=2),
    _row("grouped", (2, 4, 4, 4), (6, 2, 3, 3), padding=1, groups=2),
    _row("depthwise", (2, 3, 5, 4), (3, 1, 3, 3), padding=1, groups=3),
    _row("depthwise with a factor", (2, 2, 5, 4), (4, 1, 3, 3), padding=1, groups=2),
    _row("whose last rows no patch reaches", (1, 2, 6, 6), (2, 2, 3, 3), stride=2),
    Row(
        "conv2d same",
        lambda x, w: op.conv2d(x, w, padding="same"),
        (normal(1, 2, 4, 5), normal(2, 2, 2, 3)),
        numpy=lambda x, w: correlate(x, w, pads=((0, 1), (1, 1))),
        covers=("conv",),
        tolerance=4,
    ),
    Row(
        "conv2d of one image",
        lambda x, w: op.conv2d(x, w, padding=((0, 1), (2, 0))),
        (normal(2, 4, 5), normal(2, 2, 2, 3)),
        numpy=lambda x, w: correlate(x[None], w, pads=((0, 1), (2, 0)))[0],
        covers=("conv",),
        tolerance=4,
    ),
    *(
        Row(
            f"conv_relu {name}",
            lambda *a, options=options: op.conv_relu(*a, **options),
            inputs,
            numpy=lambda *a, plain=plain: np.maximum(correlate(*a, **plain), 0),
            covers=("conv_relu",),
            tolerance=4,
        )
        for name, inputs, options, plain in (
            ("plain", (normal(2, 3, 5, 4), normal(4, 3, 3, 2), normal(4)), {}, {}),
            ("without bias", (normal(2, 2, 6), normal(4, 1, 3)), {"groups": 2, "padding": 1}, {"groups": 2, "pads": 1}),
            ("strided", (normal(1, 2, 6, 5), normal(3, 2, 3, 3), normal(3)), {"stride": 2}, {"stride": 2}),
        )
    ),
    _transposed("plain", (2, 3, 4, 3), (3, 2, 3, 2), 2),
    _transposed("strided", (1, 2, 3, 3), (2, 2, 3, 3), 2, stride=2, padding=1, output_padding=1),
    _transposed("dilated and grouped", (1, 4, 3, 3), (4, 2, 2, 2), 4, stride=2, dilation=2, groups=2),
    _transposed("with room for a patch more", (1, 2, 4), (2, 2, 3), 2, dilation=2, output_padding=1),
    _transposed("of volumes", (1, 2, 2, 3, 2), (2, 1, 2, 2, 2), 1, stride=2),
    Row(
        "conv_input",
        lambda g, w: apply(CONV_INPUT, (g, w), {"size": (5, 4), "at": AT}),
        (normal(2, 4, 3, 2), normal(4, 1, 3, 3)),
        tolerance=4,
    ),
    Row(
        "conv_weight",
        lambda x, g: apply(CONV_WEIGHT, (x, g), {"kernel": (3, 3), "at": AT}),
        (normal(2, 2, 5, 4), normal(2, 4, 3, 2)),
        tolerance=4,
    ),
]
