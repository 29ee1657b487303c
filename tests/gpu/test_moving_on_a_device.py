"""What moves elements, shares extremes and cuts long rows on a real device: the CPU's values, the same bits again."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import Backend, backend_for, cpu_rows, cuda_rows
from tests.cuda_backend.cases import normal
from tests.cuda_backend.parity import same
from tests.engine.test_random_writes import Program, gradient

pytestmark = pytest.mark.gpu
FLOATS = ["float16", "bfloat16", "float32", "float64"]


@pytest.fixture
def cuda() -> Iterator[Backend]:
    before = gg.default_device()
    yield backend_for("cuda")
    gg.set_default_device(before)


@pytest.mark.parametrize("source", [*FLOATS, "int64", "bool"])
def test_copies_and_casts_from_any_layout(cuda: Backend, rng: np.random.Generator, source: str) -> None:
    values = gg.tensor(rng.uniform(0, 100, (70, 1030)).astype("float32")).to(source).numpy()
    whole = cuda.from_host(values)
    for have, want in ((whole, values), (whole.T, values.T), (whole[::2, 3:], values[::2, 3:])):
        np.testing.assert_array_equal(cuda.to_host(cuda.copy(have)), want)
        for target in ("float32", "float16", "int32"):
            np.testing.assert_array_equal(cuda.to_host(cuda.cast(have, target)), want.astype(target))


def test_parts_are_written_and_arrays_joined(cuda: Backend, rng: np.random.Generator) -> None:
    a, b = normal(rng, (30, 40)), normal(rng, (30, 17))
    out = cuda.empty((30, 57), np.dtype("float32"))
    cuda.join([cuda.from_host(a), cuda.from_host(b)], 1, out)
    want = np.concatenate([a, b], 1)
    np.testing.assert_array_equal(cuda.to_host(out), want)
    cuda.put(out, (slice(2, 9), 5), 7.0)
    want[2:9, 5] = 7
    np.testing.assert_array_equal(cuda.to_host(out), want)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("shape", "axis"), [((5000,), None), ((300, 1030), 1), ((9000, 12), 0), ((9, 50, 8), (0, 2))])
def test_elements_that_tie_share_the_gradient(rng: np.random.Generator, shape: Any, axis: Any, dtype: str) -> None:
    values, grads = rng.integers(0, 5, shape).astype(dtype), []
    for device in ("cpu", "cuda"):
        x = gg.tensor(values, device=device, requires_grad=True)
        gg.max(x, axis).sum().backward()
        assert x.grad is not None
        grads.append(x.grad.numpy())
    same("gradient", grads[1:], grads[:1])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1_000_003), (4, 100_000), (32, 32_768)])
def test_few_long_rows_are_shared_by_blocks(
    cuda: Backend, rng: np.random.Generator, rows: int, columns: int, dtype: str
) -> None:
    x, g = (normal(rng, (rows, columns), np.dtype(dtype)) for _ in range(2))
    there, limit = cuda.from_host(x), 2e-2 if dtype == "float16" else 2e-4
    for name in ("softmax", "log_softmax"):
        want = getattr(cpu_rows, name)(x)
        have = [getattr(cuda_rows, name)(there) for _ in range(2)]
        np.testing.assert_array_equal(have[0].get(), have[1].get())
        same(name, [have[0].get()], [want], limit)
        want = getattr(cpu_rows, f"{name}_vjp")(g, want)
        same(f"{name}_vjp", [getattr(cuda_rows, f"{name}_vjp")(cuda.from_host(g), have[0]).get()], [want], limit)
    same("logsumexp", [cuda_rows.logsumexp(there).get()], [cpu_rows.logsumexp(x)], limit)
    want, mean, rstd = cpu_rows.layer_norm(x, None, None)
    same("layer_norm", [cuda_rows.layer_norm(there, None, None)[0].get()], [want], limit)
    have = cuda_rows.layer_norm_vjp(cuda.from_host(g), there, cuda.from_host(mean), cuda.from_host(rstd), None)[0]
    same("layer_norm_vjp", [have.get()], [cpu_rows.layer_norm_vjp(g, x, mean, rstd, None)[0]], limit)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", [1, 37, 1024])
def test_rows_are_taken_by_index(cuda: Backend, rng: np.random.Generator, columns: int, dtype: str) -> None:
    values = gg.tensor(normal(rng, (500, columns))).to(dtype).numpy()
    index = rng.integers(-500, 500, (70, 30))
    have = cuda.take_rows(cuda.from_host(values), cuda.from_host(index))
    np.testing.assert_array_equal(cuda.to_host(have), values[index])


def test_rows_read_written_and_looked_up_in_a_loop(rng: np.random.Generator) -> None:
    values, picks = normal(rng, (40, 64)), rng.integers(0, 40, (40, 8))

    def run(device: str) -> list[np.ndarray]:
        x = gg.tensor(values, device=device, requires_grad=True)
        rows = gg.tensor(picks, device=device)
        found, h = gg.zeros(40, 64, device=device), x[0]
        for _ in range(2):  # the second gradient goes to where the first one is
            for t in range(40):
                h = gg.tanh(h + x[t]) + gg.nn.functional.embedding(rows[t], x).mean(0)
                found[t] = h
                found[t, ::2] += x[t, 1::2]
            q, k, v = found.split([20, 4, 40], dim=1)
            ((q * q).sum() + (k * k * k).sum() + (v * 0.5).sum()).backward()
            found, h = found.detach() * 0.1, h.detach()
        assert x.grad is not None
        return [x.grad.numpy(), found.numpy()]

    same("loops", run("cuda"), run("cpu"), 1e-3)


def test_random_programs_of_slices_and_writes(rng: np.random.Generator) -> None:
    for seed in range(60):
        values = np.random.default_rng(seed).standard_normal((3, 4))
        there, here = Program(seed, values, "cuda"), Program(seed, values)
        same(f"gradient of {seed}", [gradient(there)], [gradient(here)], 1e-9)
        for have, want in zip(there.tensors, here.tensors, strict=True):
            same(f"tensor of {seed}", [have.detach().numpy()], [want.detach().numpy()], 1e-9)
