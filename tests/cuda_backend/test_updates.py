"""Optimizer updates on the GPU branch: the same numbers as the CPU's, one launch, no waiting."""

import inspect
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
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
    tag = {np.float32: "f32", np.float64: "f64", np.float16: "f16"}[dtype]
    assert gpu.computing == [f"gg_{options.get('kernel', name)}_{tag}"], "one launch for all parameters"


def test_arrays_in_another_memory_order_are_updated_in_place(cuda: Backend, rng: np.random.Generator) -> None:
    p, g = (rng.standard_normal((4, 5)).astype(np.float32) for _ in range(2))
    owner = cuda.from_host(p.T.copy())
    cuda_optim.sgd([owner.T], [cuda.from_host(g)], None, lr=0.5)
    np.testing.assert_allclose(owner.get().T, p - np.float32(0.5) * g, rtol=1e-6)


def test_one_array_with_gaps_leaves_the_others_in_one_launch(
    cuda: Backend, gpu: State, rng: np.random.Generator
) -> None:
    ps, gs = ([rng.standard_normal((4, 5)).astype(np.float32) for _ in range(3)] for _ in range(2))
    params, grads = [cuda.from_host(p) for p in ps], [cuda.from_host(g.T.copy()).T for g in gs]
    gpu.clear()
    cuda_optim.sgd(params, [cuda.from_host(gs[0]), *grads[1:]], None, lr=0.5)
    assert gpu.computing == ["gg_sgd_f32"]
    for have, p, g in zip(params, ps, gs, strict=True):
        np.testing.assert_allclose(have.get(), p - np.float32(0.5) * g, rtol=1e-6)


@pytest.mark.parametrize(("name", "states", "options"), UPDATES)
def test_complex_parameters_are_pairs_of_real_ones(
    cuda: Backend, rng: np.random.Generator, name: str, states: float, options: Any
) -> None:
    pairs = update_lists(name, rng, states, np.float64)
    pairs = [None if given is None else [a for a in given if a.size % 2 == 0 and a.ndim] for given in pairs]
    numbers = [None if given is None else [a.reshape(-1).view(np.complex128) for a in given] for given in pairs]
    on_cpu = [None if given is None else [a.copy() for a in given] for given in numbers]
    device = [None if given is None else [cuda.from_host(a) for a in given] for given in numbers]
    getattr(cuda_optim, name)(*device, **options)
    getattr(cpu_optim, name)(*on_cpu, **options)
    getattr(cpu_optim, name)(*pairs, **options)
    for have, there, want in zip(device, on_cpu, pairs, strict=True):
        if have is not None:
            same(name, [h.get().view(np.float64) for h in have], [w.reshape(-1) for w in want])
            same(name, [h.view(np.float64) for h in there], [w.reshape(-1) for w in want])
    assert float(cuda_optim.squared_norm(device[1])) == pytest.approx(cpu_optim.squared_norm(pairs[1]))
    assert cpu_optim.squared_norm(on_cpu[1]) == pytest.approx(cpu_optim.squared_norm(pairs[1]))
    cuda_optim.scale(device[0], 0.5)
    np.testing.assert_allclose(device[0][0].get(), on_cpu[0][0] / 2)


def test_tables_are_uploaded_anew_for_another_stream(cuda: Backend, gpu: State) -> None:
    import cupy

    p, g = [cuda.from_host(np.ones(5, np.float32))], [cuda.from_host(np.ones(5, np.float32))]
    cuda_optim.sgd(p, g, None, lr=0.1)
    held = gpu.used_bytes[0]
    with cupy.cuda.Stream(non_blocking=True):  # it does not wait for uploads on the other one
        cuda_optim.sgd(p, g, None, lr=0.1)
    assert gpu.used_bytes[0] > held


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


def test_gradients_are_cut_in_one_launch_for_a_dtype(gpu: State, rng: np.random.Generator) -> None:
    found = []
    for device in ("cpu", "cuda"):
        rng = np.random.default_rng(0)
        parameters = []
        for shape, dtype in (
            ((7, 5), "float32"),
            ((3,), "float32"),
            ((4, 4), "float16"),
            ((2, 9), "float64"),
            ((0,), "float32"),
        ):
            p = gg.zeros(*shape, dtype=dtype, device=device, requires_grad=True)
            values = 3 * rng.standard_normal(shape)
            values.reshape(-1)[:1] = np.nan
            p.grad = gg.tensor(values, device=device).to(dtype)
            parameters.append(p)
        parameters[0].grad = gg.asarray(parameters[0].grad.data.T.copy().T)  # in another memory order
        gg.nn.utils.clip_grad_value_(parameters, 0.7)
        gpu.clear()
        gg.nn.utils.clip_grad_value_(parameters, 0.5)
        assert gpu.syncs == gpu.uploads == []
        found.append([p.grad.detach().cpu().numpy() for p in parameters])
    assert sorted(gpu.launches) == ["gg_clip_f16", "gg_clip_f32", "gg_clip_f64"]
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not a.size or np.nanmax(abs(a)) == 0.5
