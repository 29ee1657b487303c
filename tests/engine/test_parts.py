"""Cotangents of slices of one array: one array of its size, however many slices there are, in whatever they overlap."""

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.parts import Parts, along, composed, ranges
from tests.engine.made_arrays import counting

SHAPE = (6, 4, 5)

# What is taken of an array, slice after slice.
INDICES: dict[str, list[Any]] = {
    "all rows": [0, 1, 2, 3, 4, 5],
    "rows, the last first": [-1, -2, 0, 1, 2, 3],
    "some rows": [1, 4],
    "one slice": [np.s_[2:4]],
    "slices that are all of it": [np.s_[:, :1], np.s_[:, 1:3], np.s_[:, 3:]],
    "with a gap": [np.s_[..., :2], np.s_[..., 3:]],
    "overlapping": [np.s_[:, 1:], np.s_[:, :-1]],
    "twice the same": [np.s_[2:5], np.s_[2:5]],
    "every second": [np.s_[::2], np.s_[1::2]],
    "backwards": [np.s_[::-1], np.s_[4:1:-2]],
    "backwards last": [np.s_[4:1:-2], np.s_[:, 1:], np.s_[::-1]],
    "all of it backwards": [np.s_[..., ::-1]],
    "all of it, twice": [np.s_[:, None], np.s_[None]],
    "all of it": [np.s_[...]],
    "single elements": [np.s_[1, 2, 3], np.s_[0, 0, 0], np.s_[1, 2, 3]],
    "with new axes": [np.s_[None, 2, ..., None], np.s_[..., None, 1]],
    "nothing": [np.s_[3:3], np.s_[1:0]],
    "along two axes": [np.s_[:3, :2], np.s_[3:, 2:], np.s_[2:4, 1:3]],
    "NumPy's integers": [np.int64(2), np.s_[np.int32(-1), np.int8(1) :]],
}

# The same with arrays, which may name an element twice, within an index and in several.
ARRAYS: dict[str, list[Any]] = {
    "rows by arrays": [np.array([0, 2, 2, 5]), np.array([[5, 5], [1, 0]])],
    "a slice and rows": [np.s_[1:3], np.array([2, 2, 4]), np.s_[:]],
    "rows and all of it": [np.array([1, 1]), np.s_[:]],
    "two arrays": [(np.array([0, 0, 3]), np.array([1, 1, 2])), 2],
    "a mask and rows": [np.arange(6) % 2 == 0, np.array([0, 0])],
    "nothing by an array": [np.array([], int), np.array([3])],
}
EVERY = INDICES | ARRAYS


def weighted(x: Any, indices: list[Any]) -> Any:
    """A number with a different slope in each part."""
    return sum(((k + 2) * x[index] ** (k % 2 + 2)).sum() for k, index in enumerate(indices))


def slope(x: np.ndarray, indices: list[Any]) -> np.ndarray:
    """Its gradient, written out."""
    total = np.zeros_like(x)
    for k, index in enumerate(indices):
        np.add.at(total, index, (k + 2) * (k % 2 + 2) * x[index] ** (k % 2 + 1))
    return total


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("base", ["leaf", "computed", "used besides", "used before and after"])
def test_parts_add_up_to_the_gradient(rng: np.random.Generator, name: str, base: str) -> None:
    values = rng.standard_normal(SHAPE)
    x = gg.tensor(values, requires_grad=True)
    y = x if base == "leaf" else x * 1.0
    before = (y * y * y).sum() if base == "used before and after" else 0.0
    loss = weighted(y, EVERY[name])
    expected = slope(values, EVERY[name])
    if base.startswith("used"):
        loss = loss + (y * y).sum() + before
        expected = expected + 2 * values + (3 * values * values if base == "used before and after" else 0)
    for passes in (1, 2):  # the second one is added to the first
        loss.backward(retain_graph=True)
        assert x.grad is not None
        np.testing.assert_allclose(x.grad.numpy(), passes * expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_the_same_by_grad_and_in_second_derivatives(rng: np.random.Generator, name: str) -> None:
    values, direction = rng.standard_normal(SHAPE), rng.standard_normal(SHAPE)
    first = gg.grad(lambda x: weighted(x, EVERY[name]))
    np.testing.assert_allclose(first(values), slope(values, EVERY[name]), rtol=1e-12, atol=1e-12)
    curved = gg.grad(lambda x: (first(x) * direction).sum())(values)
    step = 1e-6
    numeric = (slope(values + step * direction, EVERY[name]) - slope(values - step * direction, EVERY[name])) / step
    np.testing.assert_allclose(curved, numeric / 2, rtol=1e-6, atol=1e-6)


def test_a_map_whose_examples_are_sliced() -> None:
    x, y = np.arange(12.0).reshape(3, 4), np.arange(4.0)
    found = gg.vmap(gg.grad(lambda a, b: (a[1:] * b[:-1]).sum() + (b[2:] ** 2).sum() + a[0], argnums=(0, 1)))
    da, db = found(x, np.stack([y] * 3))
    np.testing.assert_allclose(da, [[1, *y[:-1]]] * 3)
    np.testing.assert_allclose(db, np.stack([[*row[1:], 0] + 2 * np.array([0, 0, 2, 3]) for row in x]))
    shared = gg.grad(lambda b: gg.vmap(lambda a: (a[1:] * b[:-1]).sum())(x).sum() + (b[1:] ** 2).sum())(y)
    np.testing.assert_allclose(shared, [*x[:, 1:].sum(0), 0] + 2 * np.array([0, 1, 2, 3]))


@pytest.mark.parametrize("order", ["C", "F", "every second"])
def test_parts_go_to_a_gradient_of_any_memory_order(rng: np.random.Generator, order: str) -> None:
    values, rows = rng.standard_normal((6, 4)), np.array([1, 1, 5])
    x = gg.tensor(values, requires_grad=True)
    there = np.asarray(rng.standard_normal((6, 8))[:, ::2] if order == "every second" else values * 2, order="F")
    there = there if order != "C" else np.ascontiguousarray(there)
    expected = there.copy()
    x.grad = gg.from_numpy(there)
    (x[rows] ** 2).sum().backward()
    x[2:4].sum().backward()
    np.add.at(expected, rows, 2 * values[rows])
    expected[2:4] += 1
    np.testing.assert_allclose(x.grad.numpy(), expected)


@pytest.mark.parametrize("dtype", ["float16", "float32", "complex128"])
def test_rows_in_other_types(rng: np.random.Generator, dtype: str) -> None:
    values, rows = rng.standard_normal((6, 4)).astype(dtype), np.array([1, 1, 1, 5])
    x = gg.tensor(values, requires_grad=True)
    for _ in range(2):
        gg.real((x * x)[rows]).sum().backward()
    expected = np.zeros((6, 4), dtype)
    np.add.at(expected, rows, 4 * values[rows].conj() if dtype == "complex128" else 4 * values[rows])
    assert x.grad is not None
    assert x.grad.dtype == dtype
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-2 if dtype == "float16" else 1e-6)


@pytest.mark.peers
def test_a_matrix_that_is_looked_up_and_multiplied_with_has_pytorchs_gradient(torch: Any) -> None:
    tokens, found = np.array([[1, 4, 1], [0, 4, 4]]), []
    for library in (gg, torch):
        weight = library.tensor(np.linspace(-1, 1, 20).reshape(5, 4), requires_grad=True)
        for _ in range(2):
            labels = library.tensor(tokens)
            h = library.tanh(library.nn.functional.embedding(labels, weight))
            library.nn.functional.cross_entropy((h @ weight.T).reshape(6, 5), labels.reshape(-1)).backward()
        found.append(weight.grad.numpy())
    np.testing.assert_allclose(*found, rtol=1e-12)


@pytest.mark.parametrize("order", [1, -1])
def test_a_loop_over_rows_makes_one_array(monkeypatch: pytest.MonkeyPatch, order: int) -> None:
    x = gg.tensor(np.ones((50, 3)), requires_grad=True)
    y, h = x * 1.0, gg.zeros(3, dtype="float64")
    for t in range(50)[::order]:
        h = gg.tanh(h + y[t])
    loss = h.sum()
    made = counting(monkeypatch, "concatenate", "copy")
    loss.backward()
    assert [n for n in made if n == 150] == [150]


def test_rows_that_are_looked_up_again_and_again_make_one_array(monkeypatch: pytest.MonkeyPatch) -> None:
    table = gg.tensor(np.ones((40, 3)), requires_grad=True)
    made = counting(monkeypatch, "zeros", "copy")
    for passes in (1, 2):
        h = gg.zeros(2, 3, dtype="float64")
        for t in range(10):
            h = gg.tanh(h + gg.nn.functional.embedding(np.array([t, t + 20]), table) + table[[0, 1]])
        h.sum().backward()
        assert made.count(120) == 1, f"after {passes}: the second one is added to the first"


def test_overlapping_slices_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    add = Parts.add

    def watched(self: Parts, part: Any) -> None:
        add(self, part)
        held.append(sum(one.g.size for _, one in self.held))

    monkeypatch.setattr(Parts, "add", watched)
    x = gg.tensor(np.ones(100), requires_grad=True)
    sum(((x * 1.0 if k < 0 else x)[k:] ** 2).sum() for k in range(40)).backward()
    assert len(held) == 40
    assert max(held) <= 100
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.minimum(np.arange(100) + 1, 40))


def test_cotangents_that_others_have_are_not_changed() -> None:
    x = gg.tensor(np.ones(4), requires_grad=True)
    y = x * 1.0
    whole = y[:]
    seed = np.arange(4.0)
    kept = seed.copy()
    (found,) = gg.autograd.grad([whole, y[1:] * 2.0], [x], [gg.tensor(seed), gg.ones(3, dtype="float64")])
    assert found.tolist() == [0, 3, 4, 5]
    assert seed.tolist() == kept.tolist()
    z = gg.tensor(np.ones(4), requires_grad=True)
    z[:].backward(gg.tensor(seed))
    assert z.grad is not None
    z.grad += 1.0
    assert seed.tolist() == kept.tolist()


def test_hooks_and_debug_mode_see_the_array() -> None:
    seen: list[Any] = []
    x = gg.tensor(np.ones(4), requires_grad=True)
    y = x * 1.0
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.retain_grad()
    with gg.detect_anomaly():
        (y[:2] * 3.0).sum().backward()
    assert seen == [[3, 3, 0, 0]]
    assert y.grad is not None
    assert y.grad.tolist() == [3, 3, 0, 0]


@pytest.mark.parametrize("name", INDICES)
def test_the_places_of_an_index_are_numpys(name: str) -> None:
    each = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    for index in INDICES[name]:
        places = ranges(index, SHAPE)
        np.testing.assert_array_equal(each[np.ix_(*places)].reshape(-1), each[index].reshape(-1))


def test_pieces_that_have_nothing_in_common() -> None:
    def pieces(*indices: Any) -> int | None:
        return along(SHAPE, [ranges(i, SHAPE) for i in indices])

    assert pieces(0, 3, 5) == 0
    assert pieces(np.s_[..., :2], np.s_[..., 2:]) == 2
    assert pieces(np.s_[:, :2], np.s_[:, 1:]) is None
    assert pieces(0, np.s_[:, 0]) is None
    assert pieces(np.s_[::2], np.s_[1::2]) is None
    assert pieces(np.s_[1, 2]) is None
    assert pieces() is None


def test_slices_of_an_array_without_elements() -> None:
    x = gg.tensor(np.ones((0, 3)), requires_grad=True)
    y = x * 1.0
    (y[:, 1:].sum() + y[1:].sum()).backward()
    assert x.grad is not None
    assert x.grad.shape == (0, 3)


CHAINS: dict[str, list[Any]] = {
    "nothing": [],
    "a row, an element": [2, 1],
    "rows of rows": [np.s_[1:], np.s_[::2], np.s_[-1]],
    "backwards twice": [np.s_[::-1], np.s_[4:1:-1], np.s_[0]],
    "columns of a row": [-1, np.s_[1:3], np.s_[..., 1::2]],
    "new axes": [np.s_[None, 2], np.s_[..., None, 1], np.s_[0, :, None]],
    "new axes that go again": [np.s_[:, None], np.s_[1:, 0], np.s_[None, ..., 2, None]],
    "the last axis first": [np.s_[..., 3], np.s_[:, 1], np.s_[2:]],
}


@pytest.mark.parametrize("name", CHAINS)
def test_one_index_for_several(name: str) -> None:
    each = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    expected: Any = each
    for index in CHAINS[name]:
        expected = expected[index]
    np.testing.assert_array_equal(each[composed(CHAINS[name], SHAPE)], expected)


@pytest.mark.parametrize("name", CHAINS)
def test_a_write_through_views_of_views(rng: np.random.Generator, name: str) -> None:
    values = rng.standard_normal(SHAPE)
    x = gg.tensor(values, requires_grad=True)
    base = x * 1.0
    view: Any = base
    factors: Any = np.ones(SHAPE)
    part: Any = factors[...]
    for index in CHAINS[name]:
        view, part = view[index], part[index]
    if np.ndim(part):
        part[...] = 3.0
    else:
        factors[composed(CHAINS[name], SHAPE)] = 3.0
    view *= 3.0
    np.testing.assert_allclose(base.detach().numpy(), values * factors)
    np.testing.assert_allclose(view.detach().numpy(), (values * factors)[composed(CHAINS[name], SHAPE)])
    (base * base + view.sum()).sum().backward()
    assert x.grad is not None
    shown = (factors == 3.0) * 3.0 * values.size if CHAINS[name] else 3.0 * values.size
    np.testing.assert_allclose(x.grad.numpy(), 2 * values * factors**2 + shown)


def test_a_slice_of_a_new_axis_that_has_nothing_left() -> None:
    x = gg.tensor(np.ones(3), requires_grad=True)
    y = x * 1.0
    empty = y[None][1:]
    empty *= 2.0
    y.sum().backward()
    assert y.tolist() == [1.0] * 3
