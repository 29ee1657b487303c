"""Rows of reshaping, reordering, broadcasting, joining, splitting, flipping, repeating and padding."""

import numpy as np

from tests.ops.table import Row, normal, op

CUBE = (normal(2, 3, 4),)
PLANE = (normal(2, 3),)


def of_reshape(name, call, inputs, numpy=None, torch=None):
    return Row(name, call, inputs, numpy, torch, covers=("reshape",), exact=True)


def of_transpose(name, call, inputs, numpy=None, torch=None):
    return Row(name, call, inputs, numpy, torch, covers=("transpose",), exact=True)


RESHAPES = [
    of_reshape(
        "reshape", lambda x: op.reshape(x, (4, -1)), CUBE, lambda x: x.reshape(4, 6), lambda t, x: t.reshape(x, (4, -1))
    ),
    of_reshape("reshape to scalar", lambda x: op.reshape(x, ()), (normal(1, 1),), lambda x: x.reshape(())),
    of_reshape("view", lambda x: op.view(x, 6, 4), CUBE, lambda x: x.reshape(6, 4)),
    of_reshape("view_as", lambda x: op.view_as(x, np.zeros((6, 4))), CUBE, lambda x: x.reshape(6, 4)),
    of_reshape("ravel", op.ravel, CUBE, np.ravel),
    of_reshape("flatten", lambda x: op.flatten(x, 1), CUBE, lambda x: x.reshape(2, 12), lambda t, x: t.flatten(x, 1)),
    of_reshape("unflatten", lambda x: op.unflatten(x, 2, (2, -1)), CUBE, lambda x: x.reshape(2, 3, 2, 2)),
    of_reshape("squeeze", op.squeeze, (normal(1, 3, 1),), np.squeeze),
    of_reshape("squeeze axis", lambda x: op.squeeze(x, axis=-1), (normal(1, 3, 1),), lambda x: np.squeeze(x, -1)),
    of_reshape("expand_dims", lambda x: op.expand_dims(x, (0, -1)), PLANE, lambda x: np.expand_dims(x, (0, -1))),
    of_reshape("unsqueeze", lambda x: op.unsqueeze(x, 1), PLANE, lambda x: x[:, None], lambda t, x: t.unsqueeze(x, 1)),
    of_reshape("atleast_2d", op.atleast_2d, (normal(3),), np.atleast_2d),
    of_reshape("atleast_3d", op.atleast_3d, (normal(2, 3),), np.atleast_3d),
]

TRANSPOSES = [
    of_transpose("transpose", op.transpose, CUBE, np.transpose),
    of_transpose("transpose axes", lambda x: op.transpose(x, (1, 2, 0)), CUBE, lambda x: x.transpose(1, 2, 0)),
    of_transpose(
        "transpose dim0", lambda x: op.transpose(x, dim0=1, dim1=2), CUBE, None, lambda t, x: t.transpose(x, 1, 2)
    ),
    of_transpose("permute", lambda x: op.permute(x, 2, 0, 1), CUBE, None, lambda t, x: t.permute(x, (2, 0, 1))),
    of_transpose("swapaxes", lambda x: op.swapaxes(x, 0, -1), CUBE, lambda x: np.swapaxes(x, 0, -1)),
    of_transpose(
        "moveaxis", lambda x: op.moveaxis(x, (0, 1), (-1, 0)), CUBE, lambda x: np.moveaxis(x, (0, 1), (-1, 0))
    ),
    of_transpose("matrix_transpose", op.matrix_transpose, CUBE, lambda x: np.swapaxes(x, -1, -2)),
    of_transpose("t", op.t, PLANE, np.transpose),
]

BROADCASTS = [
    Row(
        "broadcast_to",
        lambda x: op.broadcast_to(x, (4, 2, 3)),
        (normal(2, 1),),
        lambda x: np.broadcast_to(x, (4, 2, 3)),
        exact=True,
    ),
    Row(
        "expand",
        lambda x: op.expand(x, 4, -1, 3),
        (normal(2, 1),),
        None,
        lambda t, x: x.expand(4, -1, 3),
        ("broadcast_to",),
    ),
    Row("expand_as", lambda x: op.expand_as(x, np.zeros((2, 3))), (normal(3),), covers=("broadcast_to",)),
    Row(
        "broadcast_arrays",
        op.broadcast_arrays,
        (normal(2, 1), normal(3)),
        lambda x, y: tuple(np.broadcast_arrays(x, y)),
        covers=("broadcast_to",),
        exact=True,
    ),
    Row("sum_to", lambda x: op.sum_to(x, (3, 1)), CUBE, lambda x: x.sum((0, 2)).reshape(3, 1)),
]

TWO = (normal(2, 3), normal(2, 2))
SAME = (normal(2, 3), normal(2, 3))
JOINED = [
    Row(
        "concatenate",
        lambda x, y: op.concatenate([x, y], 1),
        TWO,
        lambda x, y: np.concatenate([x, y], 1),
        lambda t, x, y: t.cat([x, y], 1),
        exact=True,
    ),
    Row(
        "concatenate flat",
        lambda x, y: op.concatenate([x, y], None),
        TWO,
        lambda x, y: np.concatenate([x, y], None),
        exact=True,
    ),
    Row(
        "cat twice", lambda x: op.cat([x, x], dim=-1), PLANE, None, lambda t, x: t.cat([x, x], dim=-1), ("concatenate",)
    ),
    Row(
        "stack",
        lambda x, y: op.stack([x, y], -1),
        SAME,
        lambda x, y: np.stack([x, y], -1),
        lambda t, x, y: t.stack([x, y], -1),
        ("concatenate",),
    ),
    Row("hstack", lambda x, y: op.hstack([x, y]), TWO, lambda x, y: np.hstack([x, y]), covers=("concatenate",)),
    Row(
        "vstack",
        lambda x, y: op.vstack([x, y]),
        (normal(3), normal(3)),
        lambda x, y: np.vstack([x, y]),
        covers=("concatenate",),
    ),
    Row("dstack", lambda x, y: op.dstack([x, y]), SAME, lambda x, y: np.dstack([x, y]), covers=("concatenate",)),
    Row(
        "column_stack",
        lambda x, y: op.column_stack([x, y]),
        (normal(3), normal(3, 2)),
        lambda x, y: np.column_stack([x, y]),
        covers=("concatenate",),
    ),
    Row("split", lambda x: tuple(op.split(x, 2, 2)), CUBE, lambda x: tuple(np.split(x, 2, 2)), covers=("getitem",)),
    Row(
        "split at",
        lambda x: tuple(op.split(x, [1, 3], -1)),
        CUBE,
        lambda x: tuple(np.split(x, [1, 3], -1)),
        covers=("getitem",),
    ),
    Row(
        "split sizes",
        lambda x: tuple(op.split(x, split_size_or_sections=3, dim=2)),
        CUBE,
        None,
        lambda t, x: t.split(x, 3, dim=2),
        ("getitem",),
    ),
    Row(
        "array_split",
        lambda x: tuple(op.array_split(x, 3, 2)),
        CUBE,
        lambda x: tuple(np.array_split(x, 3, 2)),
        covers=("getitem",),
    ),
    Row("chunk", lambda x: tuple(op.chunk(x, 3, 2)), CUBE, None, lambda t, x: t.chunk(x, 3, 2), ("getitem",)),
    Row("unbind", lambda x: op.unbind(x, 1), CUBE, None, lambda t, x: t.unbind(x, 1), ("getitem",)),
]

MOVED = [
    Row("flip", op.flip, PLANE, np.flip, exact=True),
    Row(
        "flip axes",
        lambda x: op.flip(x, (0, 2)),
        CUBE,
        lambda x: np.flip(x, (0, 2)),
        lambda t, x: t.flip(x, (0, 2)),
        exact=True,
    ),
    Row("fliplr", op.fliplr, PLANE, np.fliplr, covers=("flip",)),
    Row("flipud", op.flipud, PLANE, np.flipud, covers=("flip",)),
    Row("roll", lambda x: op.roll(x, 1, 1), PLANE, lambda x: np.roll(x, 1, 1), exact=True),
    Row("roll flat", lambda x: op.roll(x, 2), PLANE, lambda x: np.roll(x, 2), exact=True),
    Row(
        "roll axes",
        lambda x: op.roll(x, (1, -2), (0, 2)),
        CUBE,
        lambda x: np.roll(x, (1, -2), (0, 2)),
        lambda t, x: t.roll(x, (1, -2), (0, 2)),
    ),
    *[
        Row(f"rot90 {k}", lambda x, k=k: op.rot90(x, k), PLANE, lambda x, k=k: np.rot90(x, k), covers=("flip",))
        for k in (1, 2, 3)
    ],
    Row("repeat", lambda x: op.repeat(x, 2, 1), PLANE, lambda x: np.repeat(x, 2, 1), covers=("broadcast_to",)),
    Row("repeat flat", lambda x: op.repeat(x, 2), PLANE, lambda x: np.repeat(x, 2), covers=("broadcast_to",)),
    Row(
        "repeat each",
        lambda x: op.repeat(x, [2, 0, 1], 1),
        PLANE,
        lambda x: np.repeat(x, [2, 0, 1], 1),
        covers=("getitem",),
    ),
    Row(
        "tile",
        lambda x: op.tile(x, (2, 1, 2)),
        PLANE,
        lambda x: np.tile(x, (2, 1, 2)),
        lambda t, x: t.tile(x, (2, 1, 2)),
        ("broadcast_to",),
    ),
    Row("pad", lambda x: op.pad(x, ((1, 0), (2, 1))), PLANE, lambda x: np.pad(x, ((1, 0), (2, 1))), exact=True),
    Row("pad value", lambda x: op.pad(x, 1, constant_values=3), PLANE, lambda x: np.pad(x, 1, constant_values=3)),
    *[
        Row(
            f"pad {mode}",
            lambda x, m=mode: op.pad(x, (2, 1), m),
            (normal(3, 4),),
            lambda x, m=mode: np.pad(x, (2, 1), m),
            covers=("getitem",),
        )
        for mode in ("edge", "reflect", "symmetric", "wrap", "maximum", "mean", "median", "minimum")
    ],
    *[
        Row(
            f"pad {mode} with {', '.join(more)}",
            lambda x, m=mode, k=more: op.pad(x, ((2, 1), (0, 3)), m, **k),
            (normal(3, 4),),
            lambda x, m=mode, k=more: np.pad(x, ((2, 1), (0, 3)), m, **k),
            covers=("concatenate",),
        )
        for mode, more in (
            ("constant", {"constant_values": ((1, 2), (3, 4))}),
            ("linear_ramp", {"end_values": (-1, 2)}),
            ("mean", {"stat_length": ((1, 2), (3, 9))}),
        )
    ],
]

ROWS = RESHAPES + TRANSPOSES + BROADCASTS + JOINED + MOVED
