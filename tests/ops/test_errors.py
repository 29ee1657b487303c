"""A user's mistake is an error that names the operation, the values and what to do."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from tests.ops.table import op

X = np.zeros((2, 3))

MISTAKES: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (lambda x: op.sum(x, 2), np.exceptions.AxisError, r"\[sum\] axis = 2 .*\(2, 3\).*-2 <= axis < 2"),
    (lambda x: op.sum(x, (0, 0)), ValueError, r"\[sum\] axis = \(0, 0\) names an axis twice"),
    (lambda x: op.sum(x, 1.5), TypeError, r"\[sum\] axis = 1.5 of type float; expected an integer"),
    (lambda x: op.sum(x, axis=0, dim=1), TypeError, r"\[sum\] axis is given twice"),
    (lambda x: op.sum(x, out=np.zeros(())), TypeError, r"\[sum\] out= is not supported"),
    (lambda x: op.sum(x, 0, None, np.zeros(3)), TypeError, r"\[sum\] out= is not supported"),
    (lambda x: op.max(x, x), TypeError, r"\[max\] axis is an array .* maximum"),
    (lambda x: op.max(x[:0]), ValueError, r"\[max\] no elements .*\(0, 3\)"),
    (lambda x: op.var(x, 1, True), TypeError, r"\[var\] True by position is unclear"),
    (lambda x: op.norm(x, "max"), ValueError, r"\[norm\] ord = 'max'; expected a number, 'fro' or 'nuc'"),
    (lambda x: op.norm(x, 3), ValueError, r"\[norm\] ord = 3 of a matrix; expected .*'nuc'"),
    (lambda x: op.norm(x[0], "nuc"), ValueError, r"\[norm\] ord = nuc over axis = None of shape \(3,\)"),
    (lambda x: op.median(x[:0]), ValueError, r"\[median\] no elements"),
    (lambda x: op.reshape(x, (4, 2)), ValueError, r"\[reshape\] shape = \(4, 2\) .*\(2, 3\) \(6 elements\)"),
    (lambda x: op.reshape(x, (-1, -1)), ValueError, r"\[reshape\] .*at most one -1"),
    (lambda x: op.reshape(x, 1.5), TypeError, r"\[reshape\] shape = \(1.5,\); expected integers"),
    (lambda x: op.transpose(x, (0, 1, 2)), ValueError, r"\[transpose\] axes = \(0, 1, 2\) for shape \(2, 3\)"),
    (lambda x: op.transpose(x[None], 0, 1, 2, 3), ValueError, r"\[transpose\] axes = \(0, 1, 2, 3\) for shape"),
    (lambda x: op.squeeze(x, 0), ValueError, r"\[squeeze\] .*axis 0 of shape \(2, 3\) has length 2"),
    (lambda x: op.flatten(x, 1, 0), ValueError, r"\[flatten\] start_dim = 1 comes after"),
    (lambda x: op.broadcast_to(x, (3, 2)), ValueError, r"\[broadcast_to\] shape = \(3, 2\) .*\(2, 3\)"),
    (lambda x: op.sum_to(x, (3, 2)), ValueError, r"\[sum_to\] shape = \(3, 2\)"),
    (lambda x: op.matrix_transpose(x[0]), ValueError, r"\[matrix_transpose\] .*\(3,\)"),
    (lambda x: op.concatenate([x, x[:, 1:]], 0), ValueError, r"\[concatenate\] shapes \(2, 3\) and \(2, 2\)"),
    (lambda x: op.concatenate([]), ValueError, r"\[concatenate\] an empty sequence"),
    (lambda x: op.stack([x, x[0]]), ValueError, r"\[stack\] shapes \(2, 3\) and \(3,\)"),
    (lambda x: op.split(x, 2, 1), ValueError, r"\[split\] 2 equal parts of axis 1 .*array_split"),
    (
        lambda x: op.split(x, split_size_or_sections=[1, 1], dim=1),
        ValueError,
        r"\[split\] lengths \[1, 1\] add up to 2",
    ),
    (lambda x: op.pad(x, 1, "spiral"), ValueError, r"\[pad\] mode = 'spiral'; expected one of"),
    (lambda x: op.pad(x, (-1, 0)), ValueError, r"\[pad\] .*no negative width"),
    (lambda x: op.pad(x, ((1, 1),) * 3), ValueError, r"\[pad\] pad_width"),
    (lambda x: op.roll(x, (1, 2, 3), (0, 1)), ValueError, r"\[roll\] shift"),
    (lambda x: op.getitem(x, 2), IndexError, r"\[getitem\] index \[2\] for an array of shape \(2, 3\)"),
    (lambda x: op.getitem(x, np.array([0, 5])), IndexError, r"\[getitem\] index \[int64\(2,\)\] .*out of bounds"),
    (lambda x: op.getitem(x, np.array([0.5])), IndexError, r"\[getitem\] an index of dtype float64"),
    (lambda x: op.getitem(x, (0, 0, 0)), IndexError, r"\[getitem\] .*too many indices"),
    (lambda x: op.getitem(x, np.array([True, False, True])), IndexError, r"\[getitem\] index \[bool\(3,\)\]"),
    (lambda x: op.index_put(x, 0, np.zeros(2)), IndexError, r"\[index_put\] value of shape \(2,\)"),
    (lambda x: op.take_along_axis(x, np.array([0]), 0), IndexError, r"\[take_along_axis\] indices .*\(1,\)"),
    (
        lambda x: op.scatter_add(x, 0, np.zeros((1, 3), int), np.zeros((1, 2))),
        IndexError,
        r"\[scatter_add\] src of shape",
    ),
    (lambda x: op.index_add(x, 0, [0], np.zeros((2, 3))), IndexError, r"\[index_add\] source of shape \(2, 3\)"),
    (lambda x: op.masked_fill(x, [[1, 0, 1]], 0), IndexError, r"\[masked_fill\] mask has dtype int64"),
    (lambda x: op.diagonal(x, 0, 1, 1), ValueError, r"\[diagonal\] axis1 = 1 and axis2 = 1"),
    (lambda x: op.diag(x[None]), ValueError, r"\[diag\] .*\(1, 2, 3\)"),
    (lambda x: op.tril(x[0]), ValueError, r"\[tril\] .*\(3,\)"),
    (lambda x: op.topk(x, 4), ValueError, r"\[topk\] k = 4 .*expected 0 to 3"),
    (lambda x: op.partition(x, 3), ValueError, r"\[partition\] kth = 3"),
    (lambda x: op.einsum("ij,jk", x), ValueError, r"\[einsum\] subscripts for 2 operands, but 1"),
    (lambda x: op.einsum("ijk", x), ValueError, r"\[einsum\] 3 labels for operand 0 of shape \(2, 3\)"),
    (lambda x: op.einsum("ij->ik", x), ValueError, r"\[einsum\] the output names ik"),
    (lambda x: op.einsum("ii", x), ValueError, r"\[einsum\] label i names axes of lengths 2 and 3 of one operand"),
    (lambda x: op.einsum("ij,jk", x, x), ValueError, r"\[einsum\] label j names axes of lengths 3 and 2"),
    (lambda x: op.einsum("i?", x), ValueError, r"\[einsum\] .*'\?' is no label"),
    (lambda x: op.tensordot(x, x, 1), ValueError, r"\[tensordot\] axes = 1 of shapes \(2, 3\) and \(2, 3\)"),
    (lambda x: op.bitwise_and(x, 1), TypeError, r"\[bitwise_and\] an operand of dtype float64"),
]


@pytest.mark.parametrize(("call", "kind", "message"), MISTAKES, ids=[m[2][:44] for m in MISTAKES])
def test_mistake_is_named(call: Callable[[Any], Any], kind: type[Exception], message: str) -> None:
    for x in (X, gg.tensor(X, requires_grad=True)):
        with pytest.raises(kind, match=message):
            call(x)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: np.max(x, where=np.eye(2, dtype=bool)), ValueError, r"\[max\] where= needs initial=, the max of no"),
        (
            lambda x: np.sum(x, where=np.eye(2)),
            TypeError,
            r"\[sum\] where is float64 of shape \(2, 2\)",
        ),
        (lambda x: gg.mean(x, initial=1.0), TypeError, r"\[mean\] initial= is not supported"),
        (lambda x: gg.argmax(x, where=True, initial=2), TypeError, r"\[argmax\] initial= is not supported"),
        (lambda x: gg.var(x, median=1.0), TypeError, r"\[var\] median= is not supported; its arguments are x, axis"),
        (lambda x: gg.sum(x, mean=1.0), TypeError, r"\[sum\] mean= is not supported; var and std take it"),
        (
            lambda x: np.quantile(x, 0.5, weights=np.ones((2, 2)), method="inverted_cdf"),
            TypeError,
            "weights= is not",
        ),
    ],
)
def test_arguments_of_reductions_are_honoured_or_refused_by_name(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call(gg.ones(2, 2))


def test_a_maximum_of_nothing_is_the_initial_value() -> None:
    x = gg.zeros(0, 3)
    assert np.max(x, axis=0, initial=2.0).tolist() == [2.0, 2.0, 2.0]
    assert np.min(x, axis=1, keepdims=True, initial=2.0).shape == (0, 1)
