"""Every operation of the table under `vmap`, against a loop over the examples: values and gradients, by every way.

Gradients are taken inside the map (of each example) and outside (through the map), with all inputs mapped and with one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.transforms.tree import flatten
from tests.ops.table import Row, rows

EXAMPLES = 3
# Their result, or its shape, depends on the values in a way that no batched form has: an error says so.
BY_VALUE = {
    "trim_zeros": "how much is trimmed",
    "real_if_close": "whether the result is complex",
}
ROWS = [row for row in rows() if row.name not in BY_VALUE]
DIFFERENTIABLE = [row for row in ROWS if row.order and row.inputs]

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
each_differentiable_row = pytest.mark.parametrize("row", DIFFERENTIABLE, ids=lambda row: row.name)


def samples(row: Row) -> list[tuple[Any, ...]]:
    return [row.sample(seed) for seed in range(EXAMPLES)]


def stacked(results: list[Any]) -> Any:
    """Results of single examples as those of a map: every array with an axis more."""
    leaves = [flatten(r)[0] for r in results]
    build = flatten(results[0])[1]
    return build([np.stack([bare(one[i]) for one in leaves]) for i in range(len(leaves[0]))])


def bare(x: Any) -> Any:
    return np.asarray(getattr(x, "data", x))


def same(ours: Any, expected: Any) -> None:
    first, second = flatten(ours)[0], flatten(expected)[0]
    assert len(first) == len(second)
    for x, y in zip(first, second, strict=True):
        assert bare(x).dtype == bare(y).dtype
        np.testing.assert_allclose(bare(x), bare(y), rtol=1e-9, atol=1e-9)


def loss_of(row: Row) -> Callable[..., Any]:
    """A number that depends on every part of the row's result in another way."""

    def loss(*inputs: Any) -> Any:
        total: Any = 0.0
        for part in flatten(row.call(*inputs))[0]:
            if part.dtype.kind in "fc":
                y = gg.real(part) * 2 + gg.imag(part) if part.dtype.kind == "c" else part
                total = total + (gg.cos(y) * y).sum()
        return total

    return loss


@each_row
def test_values_are_those_of_the_examples(row: Row) -> None:
    examples = samples(row)
    batch = stacked(examples)
    if not batch:
        pytest.skip("the row takes no arrays")
    same(gg.vmap(row.call)(*batch), stacked([row.call(*x) for x in examples]))
    results = gg.vmap(row.call)(*map(gg.tensor, batch))
    assert all(isinstance(r, gg.Tensor) for r in flatten(results)[0])
    same(results, stacked([row.call(*map(gg.tensor, x)) for x in examples]))


@each_differentiable_row
def test_gradients_of_each_example_and_through_the_map(row: Row) -> None:
    examples = samples(row)
    batch, places = stacked(examples), tuple(range(len(row.inputs)))
    loss = loss_of(row)
    expected = stacked([gg.grad(loss, places)(*x) for x in examples])
    same(gg.vmap(gg.grad(loss, places))(*batch), expected)
    same(gg.grad(lambda *x: gg.vmap(loss)(*x).sum(), places)(*batch), expected)


@pytest.mark.parametrize("row", [r for r in DIFFERENTIABLE if len(r.inputs) > 1], ids=lambda row: row.name)
def test_with_one_input_mapped_and_the_others_shared(row: Row) -> None:
    examples = samples(row)
    places, loss = tuple(range(len(row.inputs))), loss_of(row)
    for mapped in places:
        shared = list(examples[0])
        args = [np.stack([x[i] for x in examples]) if i == mapped else shared[i] for i in places]
        axes = tuple(0 if i == mapped else None for i in places)
        single = [gg.grad(loss, places)(*[x[i] if i == mapped else shared[i] for i in places]) for x in examples]
        expected = stacked(single)
        same(gg.vmap(gg.grad(loss, places), axes)(*args), expected)
        through = gg.grad(lambda *x: gg.vmap(loss, axes)(*x).sum(), places)(*args)  # noqa: B023 - called at once
        same(through, tuple(e if i == mapped else e.sum(axis=0) for i, e in enumerate(expected)))


# Every seventh row: the rules recurse, whatever the operation.
@pytest.mark.parametrize("row", DIFFERENTIABLE[::7], ids=lambda row: row.name)
def test_in_a_map_within_a_map(row: Row) -> None:
    seeds = [[row.sample(3 * i + j) for j in range(EXAMPLES)] for i in range(2)]
    batch = stacked([stacked(line) for line in seeds])
    places, loss = tuple(range(len(row.inputs))), loss_of(row)
    expected = stacked([stacked([gg.grad(loss, places)(*x) for x in line]) for line in seeds])
    same(gg.vmap(gg.vmap(gg.grad(loss, places)))(*batch), expected)
    same(gg.grad(lambda *x: gg.vmap(gg.vmap(loss))(*x).sum(), places)(*batch), expected)
    same(gg.vmap(gg.grad(lambda *x: gg.vmap(loss)(*x).sum(), places))(*batch), expected)


@pytest.mark.parametrize("row", [r for r in DIFFERENTIABLE if r.order == 2][::5], ids=lambda row: row.name)
def test_second_derivatives_inside_the_map_and_through_it(row: Row) -> None:
    examples = samples(row)
    places = tuple(range(len(row.inputs)))
    first = gg.grad(loss_of(row), places)

    def slope(gradient: Callable[..., Any]) -> Callable[..., Any]:
        """The gradient of the squared length of a gradient."""
        return gg.grad(lambda *x: sum((gg.conj(g) * g).real.sum() for g in gradient(*x)), places)

    expected = stacked([slope(first)(*x) for x in examples])
    same(gg.vmap(slope(first))(*stacked(examples)), expected)
    same(slope(gg.vmap(first))(*stacked(examples)), expected)


@pytest.mark.parametrize("name", list(BY_VALUE), ids=list(BY_VALUE))
def test_what_depends_on_the_values_says_so(name: str) -> None:
    row = next(r for r in rows() if r.name == name)
    with pytest.raises(TypeError, match=r"\[vmap\].*differs from example to example"):
        gg.vmap(row.call)(*stacked(samples(row)))
