"""The optimizer kernels, executed on the CPU from their CUDA source, against NumPy in float64; see test_row_kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpugrad.backend.step_sizes import RULES, Schedule
from gpugrad.fusion.cuda_sources import SOURCES
from tests.cuda.hostexec import missing_compiler
from tests.cuda.launching import Array, Rows, aligned, storage, stored_as

pytestmark = pytest.mark.skipif(missing_compiler() is not None, reason=str(missing_compiler()))
I64 = np.int64


class Parameters:
    """Arrays of different lengths with their states, and the tables that the optimizer kernels take.

    `states` names the fields: "-" for a null pointer. The last array is on no boundary of 16 bytes.
    """

    def __init__(self, k: Rows, rng: np.random.Generator, states: str) -> None:
        self.k = k
        shapes, self.chunk = [(1,), (300,), (700,), (258,)], 256
        self.p, self.exact_p = map(list, zip(*(k.given(rng.uniform(-1, 1, s)) for s in shapes), strict=True))
        self.g, self.exact_g = map(list, zip(*(k.given(rng.uniform(-1, 1, s)) for s in shapes), strict=True))
        self.p[-1], self.exact_p[-1] = self.p[-1][1:], self.exact_p[-1][1:]
        self.g[-1], self.exact_g[-1] = self.g[-1][1:], self.exact_g[-1][1:]
        sizes = [p.size for p in self.p]
        self.states = [None if s == "-" else [aligned((n,), storage(k.dtype), 0) for n in sizes] for s in states]
        pieces = [(i, start) for i, n in enumerate(sizes) for start in range(0, n, self.chunk)]
        fields = [self.p, self.g, *self.states]
        self.table = np.array([[0 if f is None else f[i].ctypes.data for f in fields] for i in range(4)], np.uint64)
        self.blocks = len(pieces)
        self.tables = (
            self.table, np.array(sizes, I64), np.array([i for i, _ in pieces], np.int32),
            np.array([start for _, start in pieces], I64), np.int32(self.chunk),
        )  # fmt: skip

    def zeros(self) -> list[Array]:
        """Something to compute a state's exact values in."""
        return [np.zeros_like(p) for p in self.exact_p]

    def launch(self, kernel: str, *args: Any) -> None:
        source = SOURCES["optim.cu"]
        self.k.kernels[source.entry(kernel, self.k.dtype)]((self.blocks,), (256,), (*self.tables, *args))

    def check(self, wanted: list[Array], factor: float = 1.0) -> None:
        for p, w in zip(self.p, wanted, strict=True):
            self.k.check(p, w, factor)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [0, 1])
def test_sgd(k: Rows, momentum: float, nesterov: int, rng: np.random.Generator) -> None:
    damp, decay, rate = 0.1 * (1 - nesterov), 0.01, 0.05
    given = Parameters(k, rng, "b" if momentum else "-")
    scale = np.array([0.5], k.real)
    buffers = given.zeros()
    for step in (1, 2, 3):
        given.launch(
            "sgd", np.array([rate, momentum], k.real), np.array([step], I64), scale, k.scalar(damp),
            k.scalar(decay), np.int32(nesterov), None, None,
        )  # fmt: skip
        for p, g, b in zip(given.exact_p, given.exact_g, buffers, strict=True):
            d = 0.5 * g + decay * p
            if momentum:
                b[...] = d if step == 1 else momentum * b + (1 - damp) * d
                d = d + momentum * b if nesterov else b
            p -= rate * d
    given.check(given.exact_p, 3)


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("decoupled", [0, 1])
def test_adam(k: Rows, decoupled: int, largest: bool, rng: np.random.Generator) -> None:
    b1, b2, eps, decay, rate = 0.9, 0.9 if largest else 0.99, 3e-2, 0.01, 0.02
    given = Parameters(k, rng, "mvt" if largest else "mv-")
    m, v, top = given.zeros(), given.zeros(), given.zeros()
    for step, scale in ((1, 1.0), (2, 0.25), (3, 0.5)):
        given.launch(
            "adam", np.array([rate, b1], k.real), np.array([step], I64), np.array([scale], k.real), k.scalar(b2),
            k.scalar(np.log(b1)), k.scalar(np.log(b2)), k.scalar(eps), k.scalar(decay),
            np.int32(decoupled), None, None, None,
        )  # fmt: skip
        for i, (p, g) in enumerate(zip(given.exact_p, given.exact_g, strict=True)):
            d = scale * g if decoupled else scale * g + decay * p
            p -= rate * decay * p * decoupled
            m[i], v[i] = b1 * m[i] + (1 - b1) * d, b2 * v[i] + (1 - b2) * d * d
            top[i] = np.maximum(top[i], v[i])
            root = np.sqrt((top[i] if largest else v[i]) / (1 - b2**step))
            p -= rate * (m[i] / (1 - b1**step)) / (root + eps)
    given.check(given.exact_p, 5)


def test_the_largest_square_keeps_a_nan(k: Rows, rng: np.random.Generator) -> None:
    given = Parameters(k, rng, "mvt")
    given.states[2][1][:] = stored_as(np.full(300, np.nan), k.dtype)  # type: ignore[index]
    numbers = (*map(k.scalar, (0.9, np.log(0.9), np.log(0.9), 1e-4, 0.0)), np.int32(0), None, None, None)
    given.launch("adam", np.array([0.1, 0.9], k.real), np.array([1], I64), None, *numbers)
    assert np.isnan(k.read(given.states[2][1])).all()  # type: ignore[index]
    assert np.isnan(k.read(given.p[1])).all()
    assert np.isfinite(k.read(given.p[2])).all()


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_rmsprop(k: Rows, momentum: float, centred: bool, rng: np.random.Generator) -> None:
    alpha, eps, decay, rate = 0.9, 1e-2, 0.01, 0.002
    given = Parameters(k, rng, ("vb" if momentum else "v-") + ("a" if centred else "-"))
    v, b, a = given.zeros(), given.zeros(), given.zeros()
    for step in (1, 2):
        given.launch(
            "rmsprop", np.array([rate, momentum], k.real), np.array([step], I64), None, k.scalar(alpha), k.scalar(eps),
            k.scalar(decay), None, None,
        )  # fmt: skip
        for i, (p, g) in enumerate(zip(given.exact_p, given.exact_g, strict=True)):
            d = g + decay * p
            v[i], a[i] = alpha * v[i] + (1 - alpha) * d * d, alpha * a[i] + (1 - alpha) * d
            b[i] = momentum * b[i] + d / (np.sqrt(v[i] - a[i] ** 2 * centred) + eps)
            p -= rate * b[i]
    given.check(given.exact_p, 5)


SCHEDULES = [
    ("adagrad", Schedule("adagrad", 0.1)),
    ("adadelta", None),
    ("adamax", Schedule("adamax", 0.9)),
    ("moments", Schedule("nadam", 0.9, 0.99, 0.1, 1e-2)),
    ("moments", Schedule("radam", 0.9, 0.8, eps=1e-2)),
]


def adaptive(kernel: str, p: Array, g: Array, s: Array, t: Array, rate: float, decay: float, sizes: Any) -> None:
    """The four updates in float64 (with decay decoupled for "moments"), in place."""
    own, past, root, shift = sizes
    if kernel == "moments":
        p -= rate * decay * p
    else:
        g = g + decay * p
    if kernel == "adagrad":
        s += g * g
        p -= rate * own * g / (np.sqrt(s) + 1e-2)
    elif kernel == "adadelta":
        s[...] = 0.9 * s + 0.1 * g * g
        u = np.sqrt(t + 1e-2) / np.sqrt(s + 1e-2) * g
        t[...] = 0.9 * t + 0.1 * u * u
        p -= rate * u
    elif kernel == "adamax":
        s[...], t[...] = 0.9 * s + 0.1 * g, np.maximum(0.9 * t, abs(g) + 1e-2)
        p -= rate * own * s / t
    else:
        s[...], t[...] = 0.9 * s + 0.1 * g, 0.9 * t + 0.1 * g * g
        p -= rate * (own * g + past * s) / (root * np.sqrt(t) + shift)


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(("kernel", "schedule"), SCHEDULES)
def test_adaptive(k: Rows, kernel: str, schedule: Schedule | None, there: bool, rng: np.random.Generator) -> None:
    given = Parameters(k, rng, "s-" if kernel == "adagrad" else "st")
    s, t = given.zeros(), given.zeros()
    for step in (1, 2, 9):
        sizes = schedule.at(step) if schedule else (1.0, 0.0, 0.0, 0.0)
        held = np.array(sizes, k.real) if there else None
        scalars = (0.0, 0.0, 0.0, 0.0) if there else sizes
        given.launch(
            kernel, np.array([0.01, 0.9], k.real), np.array([1], I64), np.array([0.5], k.real), k.scalar(0.9),
            k.scalar(1e-2), k.scalar(0.1), np.int32(kernel == "moments"), *map(k.scalar, scalars),
            held, None, None,
        )  # fmt: skip
        for i, (p, g) in enumerate(zip(given.exact_p, given.exact_g, strict=True)):
            adaptive(kernel, p, 0.5 * g, s[i], t[i], 0.01, 0.1, sizes)
    given.check(given.exact_p, 5)


@pytest.mark.parametrize("schedule", [s for _, s in SCHEDULES if s] + [Schedule("radam", 0.9, 0.999, eps=1e-8)])
def test_step_sizes_on_the_device_are_the_hosts(k: Rows, schedule: Schedule) -> None:
    if k.dtype != "float64":
        pytest.skip("the host asks for it in double, whatever the parameters are")
    for step, skipped in ((1, 0), (5, 3), (6, 0), (1000, 1), (3_000_000, 12)):
        wide, narrow = np.zeros(4), np.zeros(4, np.float32)
        numbers = (np.int32(RULES.index(schedule.rule)), *map(np.float64, schedule[1:]))
        k.run("step_sizes", (1,), (1,), (*numbers, np.array([step], I64), np.array([skipped], I64), wide, narrow))
        # Rectification is a difference of thousands, from which the first steps over 5 are left.
        np.testing.assert_allclose(wide, schedule.at(step - skipped), rtol=1e-9)
        np.testing.assert_array_equal(narrow, wide.astype(np.float32))


def test_a_variance_that_rounding_made_negative_counts_as_none(k: Rows, rng: np.random.Generator) -> None:
    given = Parameters(k, rng, "v-a")
    given.states[2][1][:] = stored_as(np.full(300, 8.0), k.dtype)  # type: ignore[index]
    numbers = (*map(k.scalar, (0.9, 1.0, 0)), None, None)
    given.launch("rmsprop", np.array([0.1, 0.0], k.real), np.array([1], I64), None, *numbers)
    k.check(given.p[1], given.exact_p[1] - 0.1 * given.exact_g[1], 3)


@pytest.mark.parametrize("kernel", ["sgd", "adam", "rmsprop", "moments"])
def test_a_step_that_a_loss_scale_leaves_out_changes_nothing_and_does_not_count(
    k: Rows, kernel: str, rng: np.random.Generator
) -> None:
    def run(steps: list[tuple[int, bool]], skipped: int) -> list[Array]:
        given = Parameters(k, np.random.default_rng(5), {"sgd": "b", "adam": "mvt", "rmsprop": "vba"}.get(kernel, "mv"))
        count, found = np.array([0], I64), np.array([0], np.int32)
        for step, bad in steps:
            found[0] = bad
            rest = {
                "sgd": (k.scalar(0.0), k.scalar(0.1), np.int32(0)),
                "adam": (*map(k.scalar, (0.99, np.log(0.9), np.log(0.99), 1e-8, 0.1)), np.int32(0), None),
                "rmsprop": tuple(map(k.scalar, (0.9, 1e-8, 0.1))),
                "moments": (
                    *map(k.scalar, (0.9, 0.0, 0.1)), np.int32(0), *map(k.scalar, (0.5, 0.5, 1, 1e-8)), None,
                ),
            }[kernel]
            given.launch(kernel, np.array([0.1, 0.9], k.real), np.array([step], I64), None, *rest, found, count)
            k.run("count_skip", (1,), (1,), (found, count))
        assert count[0] == skipped
        return [*given.p, *(a for state in given.states for a in state or ())]

    with_skips = run([(1, True), (2, False), (3, True), (4, False)], 2)
    for a, b in zip(with_skips, run([(1, False), (2, False)], 0), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_not_finite_is_noted_for_one_optimizer_and_for_all(k: Rows) -> None:
    found, anywhere = np.zeros(1, np.int32), np.zeros(1, np.int32)
    for total, want in ((2.0, 0), (np.inf, 1), (3.0, 1), (np.nan, 1)):
        k.run("judge", (1,), (1,), (np.array([total], k.real), found, anywhere))
        assert (found[0], anywhere[0]) == (want, want)
        anywhere[0] = found[0]


def test_the_loss_scale_moves(k: Rows) -> None:
    factors, good, anywhere = np.array([8, 1 / 8], k.real), np.array([0], I64), np.zeros(1, np.int32)
    for bad, scale, steps in ((0, 8, 1), (0, 16, 0), (1, 8, 0), (0, 8, 1), (1, 4, 0)):
        anywhere[0] = bad
        k.run("loss_scale", (1,), (1,), (factors, good, anywhere, k.scalar(2), k.scalar(0.5), I64(2)))
        assert (factors[0], factors[1], good[0], anywhere[0]) == (scale, 1 / scale, steps, 0)
    factors[:], good[:] = (2.0**126, 2.0**-126), 1
    k.run("loss_scale", (1,), (1,), (factors, good, anywhere, k.scalar(4), k.scalar(0.5), I64(2)))
    assert (factors[0], good[0]) == (2.0**126, 0), "a scale beyond float32's range would be infinite for ever"


def test_the_norm_of_all_gradients(k: Rows, rng: np.random.Generator) -> None:
    given = Parameters(k, rng, "")
    part = aligned((given.blocks,), k.real)
    given.launch("norm_partials", np.int32(2), np.int32(1), part)
    np.testing.assert_allclose(part.sum(), sum((g * g).sum() for g in given.exact_g), rtol=1e-5)


def test_cutting_all_gradients(k: Rows, rng: np.random.Generator) -> None:
    given = Parameters(k, rng, "")
    given.tables = (np.ascontiguousarray(given.table[:, 1]), *given.tables[1:])
    given.launch("clip", k.scalar(0.25))
    for g, exact in zip(given.g, given.exact_g, strict=True):
        k.check(g, np.clip(exact, -0.25, 0.25))


def test_scaling_all_gradients(k: Rows, rng: np.random.Generator) -> None:
    given = Parameters(k, rng, "")
    given.tables = (np.ascontiguousarray(given.table[:, 1]), *given.tables[1:])
    given.launch("scale", np.array([0.37], k.real))
    for g, exact in zip(given.g, given.exact_g, strict=True):
        k.check(g, 0.37 * exact)
