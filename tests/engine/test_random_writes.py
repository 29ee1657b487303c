"""Random programs of slices, views, recorded writes and reads: their gradients against differences, and against copies.

A recorded write goes to the array itself where nobody else holds it, and cotangents of slices are put together in one
array. Both are changes of arrays that somebody may have; here hundreds of programs look for one who has.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import views
from gpugrad.ops import index as indexing

PROGRAMS, STEPS = 240, 25


def some_index(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, ...]:
    parts: list[Any] = []
    for n in shape:
        kind = rng.integers(6)
        if kind == 0 and n:
            parts.append(int(rng.integers(-n, n)))
        elif kind == 1:
            start, stop = sorted(rng.integers(0, n + 1, 2))
            parts.append(slice(int(start), int(stop)))
        elif kind == 2:
            parts.append(slice(None, None, int(rng.choice([-1, 2, -2]))))
        elif kind == 3:
            parts.append(slice(None))
        elif kind == 4:
            parts += [None, slice(None)]
        else:
            break
    return (*parts, ...) if rng.random() < 0.2 else tuple(parts)


class Program:
    """Steps drawn from a seed, done to an array; what they leave is in `tensors`, what others hold in `held`."""

    def __init__(self, seed: int, values: np.ndarray, device: str = "cpu") -> None:
        self.rng = np.random.default_rng(seed)
        self.x = gg.tensor(values, device=device, requires_grad=True)
        like = {"dtype": "float64", "device": device}
        zeros, ones = gg.zeros(*values.shape, **like), gg.ones(*values.shape, **like)
        self.tensors = [self.x * 1.0, zeros, ones * self.x]
        self.held: list[list[Any]] = []  # lists: the collector forgets tuples of arrays, and then a write is refused
        self.loss: Any = (self.x * self.x).sum()
        steps: list[Callable[[Any], None]] = [self.slice, self.write, self.update, self.keep, self.view, self.read]
        for _ in range(STEPS):
            steps[self.rng.choice(6, p=[0.3, 0.3, 0.1, 0.1, 0.1, 0.1])](self.any())
        for t in self.tensors:
            self.loss = self.loss + (t * t).sum() * 0.1

    def any(self) -> Any:
        return self.tensors[self.rng.integers(len(self.tensors))]

    def slice(self, t: Any) -> None:
        part = t[some_index(self.rng, t.shape)]
        if self.rng.random() < 0.7:
            self.tensors.append(part)
        else:
            self.loss = self.loss + (part * part).sum() * 0.3

    def write(self, t: Any) -> None:
        index, source = some_index(self.rng, t.shape), self.any()
        own = t[index] * 0.1 if self.rng.random() < 0.5 else 0.0
        t[index] = gg.tanh(source.sum()) * 0.5 + own

    def update(self, t: Any) -> None:
        index = some_index(self.rng, t.shape)
        if self.rng.random() < 0.5:
            t[index] *= 1.5
        else:
            t[index] += gg.tanh(self.any().sum())

    def keep(self, t: Any) -> None:
        self.tensors.append(gg.tanh(t) * t)  # keeps both for the gradient

    def view(self, t: Any) -> None:
        if self.rng.random() < 0.3:
            self.held.append([t.data, t.data.copy()])
        else:
            self.tensors.append(t.reshape(-1) if self.rng.random() < 0.5 else t.transpose(*range(t.ndim)[::-1]))

    def read(self, t: Any) -> None:
        self.loss = self.loss + gg.sin(t).sum()


def gradient(program: Program, retain: bool = False) -> np.ndarray:
    program.x.grad = None
    program.loss.backward(retain_graph=retain)
    grad = program.x.grad
    assert grad is not None
    return np.array(grad.numpy(), copy=True)


@pytest.mark.parametrize("first", range(0, PROGRAMS, 24))
def test_gradients_of_random_programs(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    taken = [0]
    given_up = views.given_up

    def counted(array: Any) -> bool:
        taken[0] += (yes := given_up(array))
        return yes

    for seed in range(first, first + 24):
        rng = np.random.default_rng(seed)
        values = rng.standard_normal(rng.integers(1, 5, rng.integers(1, 4)))
        direction, step = rng.standard_normal(values.shape), 1e-6
        monkeypatch.setattr(views, "given_up", counted)
        program = Program(seed, values)
        found = gradient(program, retain=True)
        np.testing.assert_array_equal(gradient(program), found, err_msg=f"the second walk of {seed}")
        ends = [Program(seed, values + side * direction).loss.item() for side in (step, -step)]
        slope, expected = (found * direction).sum(), (ends[0] - ends[1]) / (2 * step)
        assert slope == pytest.approx(expected, rel=1e-4, abs=1e-4), f"program {seed}"
        with monkeypatch.context() as patched:  # the same with a copy at each write and zeros around each slice
            patched.setattr(views, "given_up", lambda array: False)
            patched.setattr(indexing, "_alone", lambda g, arrays: False)
            plain = Program(seed, values)
            np.testing.assert_allclose(found, gradient(plain), rtol=1e-9, atol=1e-10, err_msg=f"program {seed}")
        for t, other in zip(program.tensors, plain.tensors, strict=True):
            np.testing.assert_array_equal(t.detach().numpy(), other.detach().numpy(), err_msg=f"program {seed}")
        for array, then in plain.held:
            np.testing.assert_array_equal(array, then)
        for array, then in program.held:
            np.testing.assert_array_equal(array, then, err_msg=f"program {seed} wrote to what somebody held")
    assert taken[0], "no write was done in place"
