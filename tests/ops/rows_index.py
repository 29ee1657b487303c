"""Rows of indexing, gathering, scattering and diagonals."""

import numpy as np

from tests.ops.table import Row, normal, op, with_zeros

CUBE = (normal(2, 3, 4),)
PLANE = (normal(3, 4),)
TWICE = np.array([[0, 2], [2, -1]])
MASK = np.array([[True, False, True, True], [False] * 4, [False, True, False, True]])
ONCE = np.array([[2, 0, 1, 1], [0, 1, 2, 0]])
ORDER = np.array([[2, 0, 1, 1], [0, 0, 0, 2]])

INDICES = {
    "integer": np.s_[1],
    "last": np.s_[..., -1],
    "single": np.s_[1, 2, 3],
    "slices": np.s_[:, 1:, ::2],
    "backwards": np.s_[::-1, ::-2],
    "new axis": np.s_[None, :, 0, None],
    "empty": np.s_[:, 3:],
    "list": np.s_[[1, 0, 1]],
    "repeated": np.s_[:, TWICE],
    "arrays": np.s_[TWICE % 2, :, TWICE],
    "arrays together": np.s_[:, TWICE, TWICE],
    "mixed": np.s_[..., 1:, [0, -1, 0]],
    "integer and array": np.s_[0, :, [3, 3]],
    "mask": np.s_[:, np.array([True, False, True])],
    "whole mask": np.s_[0, MASK],
    "mask and array": np.s_[[0, 1], np.array([True, False, True])],
}


def getitem_row(name, index):
    return Row(f"getitem {name}", lambda x: op.getitem(x, index), CUBE, lambda x: x[index], exact=True)


def put(x, index, value):
    out = x.copy()
    out[index] = value
    return out


GATHERED = [
    Row("take", lambda x: op.take(x, TWICE), PLANE, lambda x: np.take(x, TWICE), covers=("getitem",)),
    Row("take axis", lambda x: op.take(x, TWICE, 1), PLANE, lambda x: np.take(x, TWICE, 1), covers=("getitem",)),
    Row("take rows", lambda x: op.take(x, TWICE, 0), PLANE, lambda x: np.take(x, TWICE, 0), covers=("getitem",)),
    Row(
        "index_select",
        lambda x: op.index_select(x, 1, np.array([0, 0, 3])),
        PLANE,
        lambda x: x[:, [0, 0, 3]],
        lambda t, x: t.index_select(x, 1, t.tensor([0, 0, 3])),
        ("getitem",),
    ),
    Row(
        "take_along_axis",
        lambda x: op.take_along_axis(x, ORDER, 0),
        PLANE,
        lambda x: np.take_along_axis(x, ORDER, 0),
        covers=("getitem",),
    ),
    Row(
        "gather",
        lambda x: op.gather(x, 1, ORDER),
        PLANE,
        None,
        lambda t, x: t.gather(x, 1, t.from_numpy(ORDER)),
        ("getitem",),
    ),
    Row(
        "masked_select",
        lambda x: op.masked_select(x, MASK),
        PLANE,
        lambda x: x[MASK],
        lambda t, x: x[t.from_numpy(MASK)],
        ("getitem",),
    ),
    Row(
        "diagonal",
        lambda x: op.diagonal(x, 1, 1, 2),
        CUBE,
        lambda x: np.diagonal(x, 1, 1, 2),
        covers=("getitem",),
        exact=True,
    ),
    Row("diag of matrix", lambda x: op.diag(x, -1), PLANE, lambda x: np.diag(x, -1), covers=("getitem",)),
    Row(
        "diag_embed",
        lambda x: op.diag_embed(x, -1, 0, 2),
        PLANE,
        None,
        lambda t, x: t.diag_embed(x, -1, 0, 2),
        covers=("scatter",),
    ),
    Row("trace", op.trace, PLANE, np.trace, covers=("getitem", "sum")),
]

WRITTEN = [
    Row(
        "scatter zeros",
        lambda x: op.diag(x, 1),
        (normal(3),),
        lambda x: np.diag(x, 1),
        lambda t, x: t.diag(x, 1),
        exact=True,
    ),
    Row(
        "index_put",
        lambda x, v: op.index_put(x, np.s_[1:], v),
        (normal(3, 4), normal(2, 4)),
        lambda x, v: put(x, np.s_[1:], v),
        exact=True,
    ),
    Row(
        "index_put broadcast",
        lambda x, v: op.index_put(x, np.s_[:, 1], v),
        (normal(3, 4), normal()),
        lambda x, v: put(x, np.s_[:, 1], v),
    ),
    Row(
        "index_put mask", lambda x, v: op.index_put(x, MASK, v), (normal(3, 4), normal(5)), lambda x, v: put(x, MASK, v)
    ),
    Row(
        "index_put repeated",
        lambda x, v: op.index_put(x, [0, 2, 0], v),
        (normal(3, 4), normal(3, 4)),
        lambda x, v: put(x, [0, 2, 0], v),
    ),
    Row(
        "put_along_axis",
        lambda x, v: op.put_along_axis(x, ORDER[:, :1], v, 1),
        (normal(2, 4), normal(2, 1)),
        covers=("index_put",),
    ),
    Row(
        "scatter",
        lambda x, v: op.scatter(x, 0, ONCE, v),
        (normal(3, 4), normal(2, 4)),
        None,
        lambda t, x, v: t.scatter(x, 0, t.from_numpy(ONCE), v),
        ("index_put",),
    ),
    Row(
        "scatter part", lambda x, v: op.scatter(x, 0, ORDER[:1], v), (normal(3, 4), normal(2, 4)), covers=("index_put",)
    ),
    Row(
        "scatter_add",
        lambda x, v: op.scatter_add(x, 0, ORDER, v),
        (normal(3, 4), normal(2, 4)),
        None,
        lambda t, x, v: t.scatter_add(x, 0, t.from_numpy(ORDER), v),
        ("scatter",),
    ),
    Row(
        "index_add",
        lambda x, v: op.index_add(x, 1, np.array([1, 1, 0]), v, alpha=2),
        (normal(3, 4), normal(3, 3)),
        None,
        lambda t, x, v: t.index_add(x, 1, t.tensor([1, 1, 0]), v, alpha=2),
        ("scatter",),
    ),
    Row(
        "masked_fill",
        lambda x: op.masked_fill(x, MASK, 2.5),
        PLANE,
        lambda x: np.where(MASK, 2.5, x),
        covers=("where",),
        exact=True,
    ),
    Row(
        "tril",
        lambda x: op.tril(x, 1),
        CUBE,
        lambda x: np.tril(x, 1),
        lambda t, x: t.tril(x, 1),
        ("where",),
        exact=True,
    ),
    Row(
        "triu",
        lambda x: op.triu(x, -1),
        CUBE,
        lambda x: np.triu(x, -1),
        lambda t, x: t.triu(x, -1),
        ("where",),
        exact=True,
    ),
    Row("nonzero", op.nonzero, (with_zeros(3, 4),), np.nonzero, order=0, exact=True),
    Row("argwhere", op.argwhere, (with_zeros(3, 4),), np.argwhere, order=0, exact=True),
]

ROWS = [getitem_row(name, index) for name, index in INDICES.items()] + GATHERED + WRITTEN
