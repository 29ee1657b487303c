"""Sums of products over named axes: einsum, tensordot, and the products of vectors; compositions over `matmul`.

An einsum is planned on labels: axes repeated in one operand become diagonals, axes of one operand alone are summed,
then two operands at a time meet in one matrix product. Labels are integers, those of an ellipsis negative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ..primitive import FUNCTIONS, public
from .arguments import axis_tuple, bare, operand
from .diagonal import diagonal
from .elementwise import multiply
from .linalg import matmul
from .reduce import sum as sum_over
from .shape import expand_dims, ravel, reshape, transpose

Labels = list[int]
_ELLIPSIS: Final = 10_000  # stands for "..." until the operands' ranks are known


def _letters(text: str, subscripts: str) -> Labels:
    labels: Labels = []
    rest = text.replace(" ", "")
    while rest:
        if rest.startswith("..."):
            labels.append(_ELLIPSIS)
            rest = rest[3:]
        elif rest[0].isascii() and rest[0].isalpha():
            labels.append(ord(rest[0]))
            rest = rest[1:]
        else:
            raise ValueError(
                f"[einsum] subscripts = {subscripts!r}: {rest[0]!r} is no label; expected letters, '...', ',' and '->'"
            )
    return labels


def _parse(args: tuple[Any, ...]) -> tuple[list[Any], list[Labels], Labels | None]:
    """The operands, the labels of each, and the output's (None where they are implied)."""
    if not args:
        raise ValueError("[einsum] no arguments; expected subscripts and operands")
    if isinstance(args[0], str):
        left, arrow, right = args[0].partition("->")
        inputs = [_letters(part, args[0]) for part in left.split(",")]
        return [operand(a) for a in args[1:]], inputs, _letters(right, args[0]) if arrow else None
    paired = len(args) // 2
    inputs = [_numbers(args[2 * k + 1]) for k in range(paired)]
    return [operand(args[2 * k]) for k in range(paired)], inputs, _numbers(args[-1]) if len(args) % 2 else None


def _numbers(labels: Sequence[Any]) -> Labels:
    return [_ELLIPSIS if label is Ellipsis else int(label) for label in labels]


def _expand(operands: list[Any], inputs: list[Labels], output: Labels | None) -> tuple[list[Labels], Labels]:
    """Labels for the axes of each ellipsis (from the back: -1, -2, ...), and an implied output made explicit."""
    if len(operands) != len(inputs):
        raise ValueError(f"[einsum] subscripts for {len(inputs)} operands, but {len(operands)} were given")
    widest = 0
    full = []
    for k, (x, labels) in enumerate(zip(operands, inputs, strict=True)):
        named, rank = len([i for i in labels if i != _ELLIPSIS]), len(x.shape)
        if labels.count(_ELLIPSIS) > 1 or named > rank or (named < rank and _ELLIPSIS not in labels):
            raise ValueError(
                f"[einsum] {named} labels for operand {k} of shape {tuple(x.shape)}; expected one for each axis, "
                "or one '...'"
            )
        hidden = rank - named
        widest = max(widest, hidden if _ELLIPSIS in labels else 0)
        full.append(_replace(labels, hidden))
    if output is None:
        every = [i for labels in full for i in labels]
        return full, list(range(-widest, 0)) + sorted({i for i in every if i >= 0 and every.count(i) == 1})
    result = _replace(output, widest)
    unknown = [i for i in result if not any(i in labels for labels in full)]
    if unknown or len(set(result)) != len(result):
        raise ValueError(f"[einsum] the output names {_show(result)}; expected labels of the operands, each once")
    return full, result


def _replace(labels: Labels, hidden: int) -> Labels:
    return [j for i in labels for j in (range(-hidden, 0) if i == _ELLIPSIS else (i,))]


def _show(labels: Labels) -> str:
    return "".join(chr(i) if 64 < i < 123 else f"[{i}]" if i >= 0 else "." for i in labels)


class _Term:
    """An operand on its way: the array, and a label for each of its axes."""

    __slots__ = ("labels", "x")

    def __init__(self, x: Any, labels: Labels) -> None:
        self.x, self.labels = x, list(labels)

    def size(self, label: int) -> int:
        return int(self.x.shape[self.labels.index(label)])

    def take_diagonals(self) -> None:
        """Repeated labels become one axis each, the last."""
        for label in [i for i in dict.fromkeys(self.labels) if self.labels.count(i) > 1]:
            while self.labels.count(label) > 1:
                i = self.labels.index(label)
                j = self.labels.index(label, i + 1)
                if self.x.shape[i] != self.x.shape[j]:
                    raise ValueError(
                        f"[einsum] label {_show([label])} names axes of lengths {self.x.shape[i]} and "
                        f"{self.x.shape[j]} of one operand; expected one length"
                    )
                self.x = diagonal(self.x, 0, i, j)
                self.labels = [k for p, k in enumerate(self.labels) if p not in (i, j)] + [label]

    def keep(self, wanted: set[int]) -> None:
        """Sum out what is not wanted."""
        axes = tuple(p for p, i in enumerate(self.labels) if i not in wanted)
        if axes:
            self.x = sum_over(self.x, axes)
            self.labels = [i for i in self.labels if i in wanted]

    def drop_ones(self, sizes: dict[int, int]) -> None:
        """Take away axes of length 1 that broadcast against a longer one."""
        lengths = [n for n, i in zip(self.x.shape, self.labels, strict=True) if n == sizes[i]]
        if len(lengths) != len(self.labels):
            self.labels = [i for n, i in zip(self.x.shape, self.labels, strict=True) if n == sizes[i]]
            self.x = reshape(self.x, lengths)

    def arrange(self, *groups: Labels) -> Any:
        """The array with the axes of each group joined into one, in this order."""
        order = [self.labels.index(i) for group in groups for i in group]
        x = self.x if order == list(range(len(order))) else transpose(self.x, tuple(order))
        return reshape(x, [math.prod(self.size(i) for i in group) for group in groups])


def _sizes(terms: list[_Term]) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for term in terms:
        for label, n in zip(term.labels, term.x.shape, strict=True):
            known = sizes.setdefault(label, n)
            if n != known and 1 not in (n, known):
                raise ValueError(
                    f"[einsum] label {_show([label])} names axes of lengths {known} and {n}; expected one length"
                )
            sizes[label] = n if known == 1 else known
    return sizes


def _contract(a: _Term, b: _Term, wanted: set[int], sizes: dict[int, int]) -> _Term:
    """Two operands' product, summed over the labels that they share and nobody wants any more."""
    for one, other in ((a, b), (b, a)):
        one.keep(wanted | set(other.labels))
    shared = [i for i in a.labels if i in b.labels]
    batch, summed = [i for i in shared if i in wanted], [i for i in shared if i not in wanted]
    left, right = [i for i in a.labels if i not in shared], [i for i in b.labels if i not in shared]
    labels = batch + left + right
    shape = [sizes[i] for i in labels]
    if summed and not batch:
        product = matmul(a.arrange(left, summed), b.arrange(summed, right))
    elif summed:
        product = matmul(a.arrange(batch, left, summed), b.arrange(batch, summed, right))
    else:
        product = multiply(expand_dims(a.arrange(batch, left), 2), expand_dims(b.arrange(batch, right), 1))
    return _Term(reshape(product, shape), labels)


def _pairs(terms: list[_Term], output: Labels) -> list[tuple[int, int]]:
    """Which two operands to contract, step by step (positions as in `numpy.einsum_path`)."""
    if len(terms) <= 2:
        return [(0, 1)] * (len(terms) - 1)
    args: list[Any] = []
    names = {label: k for k, label in enumerate(sorted({i for t in terms for i in t.labels}))}
    for term in terms:
        args += [np.broadcast_to(np.float32(0), term.x.shape), [names[i] for i in term.labels]]
    path = np.einsum_path(*args, [names[i] for i in output], optimize="greedy")[0][1:]
    pairs = []
    for step in path:  # a step over more than two becomes steps over its last two, whose result stands last
        left = sorted(step)
        pairs.append((left[-2], left[-1])) if len(left) > 1 else None
        width = len(terms) - len(pairs)
        for i in reversed(left[:-2]):
            pairs.append((i, width - 1))
            width -= 1
    return pairs


@public
def einsum(*args: Any) -> Any:
    """Sum of products over labelled axes, with everything that `numpy.einsum` takes.

    Args:
        args: subscripts ("ij,jk->ik"; with "...", repeated labels and an implied output) and the operands, or operands
            and lists of integer labels by turns, the output's labels last: `einsum(a, [0, 1], b, [1, 2], [0, 2])`.

    Returns:
        The array of the output's labels. Several operands are contracted two at a time in the order that
        `numpy.einsum_path` finds.

    Raises:
        ValueError: labels that do not fit the operands, an unknown label in the output, lengths that differ.

    Example:
        >>> import numpy as np
        >>> from gpugrad.ops.einsum import einsum
        >>> einsum("ii->i", np.arange(4.0).reshape(2, 2))
        array([0., 3.])
    """
    operands, inputs, output = _parse(args)
    full, result = _expand(operands, inputs, output)
    terms = [_Term(x, labels) for x, labels in zip(operands, full, strict=True)]
    for term in terms:
        term.take_diagonals()
    sizes = _sizes(terms)
    for term in terms:
        term.drop_ones(sizes)
    for i, j in _pairs(terms, [i for i in result if any(i in t.labels for t in terms)]):
        b, a = terms.pop(max(i, j)), terms.pop(min(i, j))
        wanted = set(result).union(*(t.labels for t in terms))
        terms.append(_contract(a, b, wanted, sizes))
    (last,) = terms
    last.keep(set(result))
    order = tuple(last.labels.index(i) for i in result)
    return last.x if order == tuple(range(len(order))) else transpose(last.x, order)


# ---- products of two


@public
def tensordot(a: Any, b: Any, axes: Any = 2, *, dims: Any = None) -> Any:
    """Sum of products over pairs of axes, as `numpy.tensordot`.

    Args:
        a: any shape.
        b: any shape.
        axes: a number of axes, the last of `a` with the first of `b`, or (axes of a, axes of b).
        dims: PyTorch's name of `axes`.

    Raises:
        ValueError: the axes of a pair differ in length.
    """
    a, b = operand(a), operand(b)
    axes = axes if dims is None else dims
    if isinstance(axes, (int, np.integer)):
        left: Any = tuple(range(len(a.shape) - int(axes), len(a.shape)))
        right: Any = tuple(range(int(axes)))
    else:
        left, right = axes
    left = axis_tuple("tensordot", left, a.shape) or ()
    right = axis_tuple("tensordot", right, b.shape) or ()
    if [a.shape[i] for i in left] != [b.shape[i] for i in right]:
        raise ValueError(
            f"[tensordot] axes = {axes} of shapes {tuple(a.shape)} and {tuple(b.shape)}; expected pairs of one length"
        )
    rows = [i for i in range(len(a.shape)) if i not in left]
    columns = [i for i in range(len(b.shape)) if i not in right]
    inner_size = math.prod(a.shape[i] for i in left)
    x = reshape(transpose(a, (*rows, *left)), math.prod(a.shape[i] for i in rows), inner_size)
    y = reshape(transpose(b, (*right, *columns)), inner_size, math.prod(b.shape[i] for i in columns))
    return reshape(matmul(x, y), [a.shape[i] for i in rows] + [b.shape[i] for i in columns])


@public
def dot(a: Any, b: Any) -> Any:
    """As `numpy.dot`: the last axis of `a` with the last but one of `b` (its only one if it has one)."""
    a, b = operand(a), operand(b)
    if not a.shape or not b.shape:
        return multiply(a, b)
    if len(b.shape) <= 2 and len(a.shape) <= 2:
        return matmul(a, b)
    return tensordot(a, b, ((-1,), (-2 if len(b.shape) > 1 else -1,)))


@public
def inner(a: Any, b: Any) -> Any:
    """The sum of products over the last axes."""
    a, b = operand(a), operand(b)
    return tensordot(a, b, ((-1,), (-1,))) if a.shape and b.shape else multiply(a, b)


@public
def outer(a: Any, b: Any) -> Any:
    """All products of an element of `a` and one of `b`, both flattened: (size of a, size of b)."""
    return multiply(expand_dims(ravel(a), 1), expand_dims(ravel(b), 0))


@public
def vdot(a: Any, b: Any) -> Any:
    """The sum of products of all elements, those of `a` conjugated."""
    a = operand(a)
    return matmul(ravel(FUNCTIONS["conj"](a) if bare(a).dtype.kind == "c" else a), ravel(b))


@public
def kron(a: Any, b: Any) -> Any:
    """The Kronecker product: each element of `a` times the whole of `b`."""
    a, b = operand(a), operand(b)
    ndim = max(len(a.shape), len(b.shape))
    left, right = (1,) * (ndim - len(a.shape)) + tuple(a.shape), (1,) * (ndim - len(b.shape)) + tuple(b.shape)
    product = multiply(
        reshape(a, [n for length in left for n in (length, 1)]),
        reshape(b, [n for length in right for n in (1, length)]),
    )
    return reshape(product, [m * n for m, n in zip(left, right, strict=True)])
