"""Optimizer updates on the GPU branch: the same numbers as the CPU's, one launch, no waiting."""

import inspect
from typing import Any

import numpy as np
import pytest

from gpugrad.backend import Backend, backend_for, cpu_optim, cuda_optim
from tests.cuda_backend.cases import PARAMETERS, UPDATES, update_lists
from tests.cuda_backend.parity import same
from tests.standin import State


@pytest.fixture
def cuda(gpu: State) -> Backend:
    return backend_for("cuda")


def test_every_update_has_the_arguments_of_the_cpus() -> None:
    public = [n for n, f in vars(cpu_optim).items() if inspect.isfunction(f) and f.__module__ == cpu_optim.__name__]
    for name in (n for n in public if not n.startswith("_")):
        mine, theirs = (inspect.signature(getattr(m, name)) for m in (cuda_optim, cpu_optim))
        assert list(mine.parameters) == list(theirs.parameters), name
        assert [p.default for p in mine.parameters.values()] == [p.default for p in theirs.parameters.values()], name


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16], ids=str)
@pytest.mark.parametrize(("name", "states", "options"), UPDATES)
def test_updates_agree_with_the_cpus(
    cuda: Backend, gpu: State, rng: np.random.Generator, name: str, states: float, options: Any, dtype: Any
) -> None:
    lists = update_lists(name, rng, states, dtype)
    device = [None if given is None else [cuda.from_host(a) for a in given] for given in lists]
    gpu.clear()
    getattr(cuda_optim, name)(*device, **options)
    assert gpu.syncs == []
    getattr(cpu_optim, name)(*lists, **options)
    for have, want in zip(device, lists, strict=True):
        if have is not None:
            same(name, [h.get() for h in have], want)
    amsgrad_or_centred = (name == "adam" and states == 3) or (name == "rmsprop" and states in (2, 3))
    if dtype != np.float16 and not amsgrad_or_centred:
        tag = {np.float32: "f32", np.float64: "f64"}[dtype]
        assert gpu.launches == [f"gg_{name}_{tag}"], "one launch for all parameters"


def test_arrays_in_another_memory_order_are_updated_in_place(cuda: Backend, rng: np.random.Generator) -> None:
    p, g = (rng.standard_normal((4, 5)).astype(np.float32) for _ in range(2))
    owner = cuda.from_host(p.T.copy())
    cuda_optim.sgd([owner.T], [cuda.from_host(g)], None, lr=0.5)
    np.testing.assert_allclose(owner.get().T, p - np.float32(0.5) * g, rtol=1e-6)


def test_the_tables_are_uploaded_once_while_nothing_changes(cuda: Backend, gpu: State) -> None:
    p, g = ([cuda.from_host(np.ones(9000, np.float32)), cuda.from_host(np.ones(5, np.float32))] for _ in range(2))
    cuda_optim.sgd(p, g, None, lr=0.1)
    held = gpu.used_bytes[0]
    for _ in range(3):
        cuda_optim.sgd(p, g, None, lr=0.1)
    assert gpu.used_bytes[0] == held
    np.testing.assert_allclose(p[0].get(), 0.6, rtol=1e-6)


def test_shapes_that_differ_are_refused(cuda: Backend) -> None:
    p, g = cuda.from_host(np.ones((2, 3), np.float32)), cuda.from_host(np.ones(6, np.float32))
    with pytest.raises(ValueError, match=r"\[sgd\] parameter, gradient and states: \(2, 3\) float32, \(6,\) float32"):
        cuda_optim.sgd([p], [g], None, lr=0.1)


@pytest.mark.parametrize("dtype", [np.float32, np.float16], ids=str)
def test_the_squared_norm_stays_on_the_device(cuda: Backend, gpu: State, rng: np.random.Generator, dtype: Any) -> None:
    arrays = [np.asarray(rng.standard_normal(s), dtype) for s in PARAMETERS]
    device = [cuda.from_host(a) for a in arrays]
    gpu.clear()
    total = cuda_optim.squared_norm(device)
    assert gpu.syncs == []
    assert float(total) == pytest.approx(cpu_optim.squared_norm(arrays), rel=1e-5)
    assert float(cuda_optim.squared_norm(device[3:4])) == 0.0


def test_scale_takes_numbers_and_device_scalars(cuda: Backend, gpu: State) -> None:
    arrays = [cuda.from_host(np.ones(3, np.float16)), cuda.from_host(np.ones(2, np.float32))]
    cuda_optim.scale(arrays, 0.5)
    cuda_optim.scale(arrays, cuda.from_host(np.asarray(0.5, np.float32)))
    assert gpu.syncs == []
    assert [a.get().tolist() for a in arrays] == [[0.25] * 3, [0.25] * 2]
    assert [a.dtype for a in arrays] == [np.float16, np.float32]
