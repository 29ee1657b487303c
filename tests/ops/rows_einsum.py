"""Rows of einsum and the products of vectors and tensors."""

import numpy as np

from tests.ops.table import Row, normal, op

PATTERNS = {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "ij,jk": ((2, 3), (3, 4)),
    "ba": ((2, 3),),
    "ij->": ((2, 3),),
    "ij->j": ((2, 3),),
    "ii": ((3, 3),),
    "ii->i": ((3, 3),),
    "iij,j->i": ((3, 3, 2), (2,)),
    "iii->i": ((2, 2, 2),),
    "i,i": ((3,), (3,)),
    "i,j->ij": ((3,), (2,)),
    "i,j->ji": ((3,), (2,)),
    "ij,ij->ij": ((2, 3), (2, 3)),
    "bij,bjk->bik": ((2, 3, 4), (2, 4, 2)),
    "bij,bkj->kib": ((2, 3, 4), (2, 2, 4)),
    "...ij,...jk->...ik": ((2, 1, 3, 2), (4, 2, 3)),
    "...ij->...ji": ((2, 3, 4),),
    "i...->...": ((2, 3),),
    "...,...": ((2, 3), (3,)),
    "...i,i": ((2, 3), (3,)),
    "ij,jk,kl->il": ((2, 3), (3, 4), (4, 2)),
    "ij,ik,il->jkl": ((2, 3), (2, 2), (2, 4)),
    "ij,j,i": ((2, 3), (3,), (2,)),
    "ij,kl->": ((2, 3), (3, 2)),
    "ij,ij": ((1, 3), (2, 3)),
    "ij,k->ik": ((2, 3), (4,)),
    ",ij->ij": ((), (2, 3)),
    "a,b,c,d->dcba": ((2,), (1,), (3,), (2,)),
    "bhqd,bhkd->bhqk": ((1, 2, 3, 2), (1, 2, 2, 2)),
}


def pattern_row(pattern, shapes):
    # PyTorch neither lets "" stand for a number nor leaves out an axis of length 1.
    return Row(
        f"einsum {pattern}",
        lambda *xs: op.einsum(pattern, *xs),
        tuple(normal(*shape) for shape in shapes),
        lambda *xs: np.einsum(pattern, *xs),
        lambda t, *xs: t.einsum(pattern, *xs),
        covers=(),
    )


VECTORS = (normal(3), normal(3))
ROWS = [pattern_row(p, s) for p, s in PATTERNS.items()] + [
    Row(
        "einsum sublists",
        lambda x, y: op.einsum(x, [0, 1], y, [1, 2], [2, 0]),
        (normal(2, 3), normal(3, 4)),
        lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [2, 0]),
        covers=("matmul",),
    ),
    Row(
        "einsum sublists implied",
        lambda x, y: op.einsum(x, [..., 0], y, [0, ...]),
        (normal(2, 3), normal(3, 2)),
        lambda x, y: np.einsum(x, [..., 0], y, [0, ...]),
        covers=("matmul",),
    ),
    Row(
        "tensordot",
        op.tensordot,
        (normal(2, 3, 4), normal(3, 4, 2)),
        np.tensordot,
        lambda t, x, y: t.tensordot(x, y, 2),
        ("matmul",),
    ),
    Row(
        "tensordot axes",
        lambda x, y: op.tensordot(x, y, ((0, 2), (1, 0))),
        (normal(2, 3, 4), normal(4, 2)),
        lambda x, y: np.tensordot(x, y, ((0, 2), (1, 0))),
        covers=("matmul",),
    ),
    Row(
        "tensordot 0",
        lambda x, y: op.tensordot(x, y, 0),
        VECTORS,
        lambda x, y: np.tensordot(x, y, 0),
        covers=("matmul",),
    ),
    Row("dot", op.dot, VECTORS, np.dot, lambda t, x, y: t.dot(x, y), ("matmul",)),
    Row("dot ranks", op.dot, (normal(2, 3), normal(2, 3, 4)), np.dot, covers=("matmul",)),
    Row("dot scalar", op.dot, (normal(), normal(2)), np.dot, covers=("multiply",)),
    Row("inner", op.inner, (normal(2, 3), normal(4, 3)), np.inner, covers=("matmul",)),
    Row("outer", op.outer, (normal(2), normal(3)), np.outer, lambda t, x, y: t.outer(x, y), ("multiply",)),
    Row("vdot", op.vdot, (normal(2, 3), normal(2, 3)), np.vdot, covers=("matmul",)),
    Row("kron", op.kron, (normal(2, 3), normal(3)), np.kron, lambda t, x, y: t.kron(x, y), ("multiply",)),
]
