"""Recorded writes one after the other into one tensor: in place where nobody holds what was there, and never else."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from tests.engine.made_arrays import counting

ROWS, COLUMNS = 8, 5


def written(x: Any, rows: int, hold: Callable[[int, Any, Any], None] = lambda t, out, h: None) -> Any:
    """Row t is tanh applied t + 1 times."""
    out = gg.zeros(rows, *x.shape, dtype="float64")
    h = x
    for t in range(rows):
        h = gg.tanh(h)
        out[t] = h
        hold(t, out, h)
    return out


def reference(x: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The same, and the gradient of the sum of squares."""
    steps, slope, total = [], np.ones_like(x), np.zeros_like(x)
    for _ in range(rows):
        x = np.tanh(x)
        slope = slope * (1 - x * x)
        steps.append(x)
        total += 2 * x * slope
    return np.stack(steps), total


def test_a_loop_that_writes_rows_copies_the_array_once_each_way(monkeypatch: pytest.MonkeyPatch) -> None:
    x = gg.tensor(np.linspace(-1, 1, COLUMNS), requires_grad=True)
    made = counting(monkeypatch, "empty", "copy", "zeros")
    out = written(x, ROWS)
    whole = ROWS * COLUMNS
    assert made.count(whole) == 2  # zeros, and the first write's copy of them
    loss = (out * out).sum()
    made.clear()
    loss.backward()
    assert made.count(whole) <= 1
    values, gradient = reference(np.linspace(-1, 1, COLUMNS), ROWS)
    np.testing.assert_allclose(out.detach().numpy(), values, rtol=1e-13)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), gradient, rtol=1e-12)


def test_rows_that_are_added_to_do_not_copy_the_array_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.linspace(-1, 1, COLUMNS)
    x = gg.tensor(values, requires_grad=True)
    out = gg.ones(ROWS, COLUMNS, dtype="float64") * x
    made = counting(monkeypatch, "empty", "copy", "zeros")
    for t in range(ROWS):
        out[t] += x * float(t)
        out[t][1:3] *= 2.0
    assert made.count(ROWS * COLUMNS) <= 2
    factors = np.outer(1.0 + np.arange(ROWS), [1, 2, 2, 1, 1])
    np.testing.assert_allclose(out.detach().numpy(), factors * values)
    (out * out).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 2 * values * (factors**2).sum(0))


HOLD: dict[str, Callable[[Any], Any]] = {
    "its array": lambda out: out.data,
    "a view of NumPy's": lambda out: out.data[:2],
    "a detached tensor's array": lambda out: out.detach().data,
    "a row": lambda out: out[1],
    "a view of a view": lambda out: out[1:][:, 2:],
    "what keeps it for a gradient": lambda out: gg.exp(out * 0.1) * out,
    "what keeps a row of it": lambda out: out[0] * out[1],
}


@pytest.mark.parametrize("what", HOLD)
@pytest.mark.parametrize("at", [0, 3])
def test_what_others_hold_is_not_written_to(what: str, at: int) -> None:
    values = np.linspace(-1, 1, COLUMNS)
    x = gg.tensor(values, requires_grad=True)
    held: list[Any] = []

    def hold(t: int, out: Any, h: Any) -> None:
        if t == at:
            found = HOLD[what](out)
            held.extend((found, np.array(getattr(found, "data", found), copy=True)))

    out = written(x, ROWS, hold)
    found, then = held
    expected, gradient = reference(values, ROWS)
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=1e-13)
    if what in ("a row", "a view of a view"):  # tensors that show its memory show what is written to it
        np.testing.assert_array_equal(found.detach().numpy(), HOLD[what](out).detach().numpy())
    else:
        np.testing.assert_array_equal(np.asarray(getattr(found, "data", found)), then)
    loss = (out * out).sum()
    if what.startswith("what keeps"):
        loss = loss + found.sum()
        early = reference(values, at + 1)[0]
        so_far = np.zeros((ROWS, COLUMNS))
        so_far[: at + 1] = early
        gradient = gradient + slope_of_held(what, values, so_far, at)
    loss.backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), gradient, rtol=1e-10, atol=1e-12)


def slope_of_held(what: str, values: np.ndarray, so_far: np.ndarray, at: int) -> np.ndarray:
    """The gradient, towards x, of the sum of what was computed after `at` writes, by central differences."""

    def total(x: np.ndarray) -> float:
        rows = np.zeros_like(so_far)
        rows[: at + 1] = reference(x, at + 1)[0]
        return float((np.exp(0.1 * rows) * rows).sum() if "row" not in what else (rows[0] * rows[1]).sum())

    each, step = np.eye(len(values)), 1e-6
    return np.array([(total(values + step * e) - total(values - step * e)) / (2 * step) for e in each])


def test_what_is_returned_of_a_walk_is_not_written_to_later() -> None:
    x = gg.tensor(np.ones(3), requires_grad=True)
    first = gg.zeros(2, 3, dtype="float64") * x
    second = first.clone()
    second[0] = x * 2.0
    third = second.clone()
    third[1] = x * 3.0
    loss = (third * third).sum()
    wanted = gg.autograd.grad(loss, [third, second, first, x], retain_graph=True)
    assert wanted[0].tolist() == [[4.0] * 3, [6.0] * 3]
    assert wanted[1].tolist() == [[4.0] * 3, [0.0] * 3]
    assert wanted[2].tolist() == [[0.0] * 3] * 2
    assert wanted[3].tolist() == [26.0] * 3
    again = gg.autograd.grad(loss, [third, second, first, x])
    assert [g.tolist() for g in again] == [g.tolist() for g in wanted]


def test_a_seed_of_the_users_is_not_written_to() -> None:
    x = gg.tensor(np.ones(3), requires_grad=True)
    out = gg.zeros(2, 3, dtype="float64") * x
    out[0] = x
    seed = np.ones((2, 3))
    out.backward(gg.tensor(seed))
    assert (seed == 1).all()


def test_a_failed_write_leaves_the_tensor_as_it_was() -> None:
    x = gg.tensor(np.ones(3), requires_grad=True)
    out = gg.zeros(2, 3, dtype="float64")
    out[0] = x
    for wrong in (gg.ones(4, dtype="float64") * x.sum(), gg.ones(2, 2, 3, dtype="float64") * x):
        with pytest.raises((IndexError, ValueError)):
            out[1] = wrong
    assert out.tolist() == [[1.0] * 3, [0.0] * 3]
    out[1] = x * 2.0
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0] * 3


def test_second_derivatives_and_forward_mode_of_such_a_loop() -> None:
    values, direction = np.linspace(-1, 1, COLUMNS), np.linspace(2, 1, COLUMNS)

    def loss(x: Any) -> Any:
        out = written(x, 4)
        out[1] += out[0] * x
        return (out * out * out).sum()

    step = 1e-5
    slope = gg.grad(loss)
    numeric = (slope(values + step * direction) - slope(values - step * direction)) / (2 * step)
    for found in (
        gg.grad(lambda x: (slope(x) * direction).sum())(values),
        gg.jvp(slope, (values,), (direction,))[1],
        gg.grad(lambda x: gg.jvp(loss, (x,), (direction,))[1])(values),
    ):
        np.testing.assert_allclose(found, numeric, rtol=1e-7, atol=1e-8)
    ends = [loss(gg.tensor(values + side * direction)).item() for side in (step, -step)]
    assert gg.jvp(loss, (values,), (direction,))[1] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-8)


def test_such_a_loop_for_each_example_of_a_map() -> None:
    values = np.linspace(-1, 1, 3 * COLUMNS).reshape(3, COLUMNS)

    def loss(x: Any) -> Any:
        out = written(x, 4)
        return (out * out).sum()

    found = gg.vmap(gg.grad(loss))(values)
    np.testing.assert_allclose(found, np.stack([reference(row, 4)[1] for row in values]), rtol=1e-12)
