"""Activations as the end of matrix products: the launches they save, their numbers, second derivatives, refusals."""

import copy
import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for
from gpugrad.nn import functional as F
from tests.standin import State
from tests.standin import cublaslt as stand_in

ACTIVATIONS = {"RELU": gg.nn.ReLU, "GELU": lambda: gg.nn.GELU("tanh")}
NEAR = {"float32": 2e-5, "float16": 1e-2, "bfloat16": 8e-2}


def network(kind: str, device: str, *, bias: bool = True, last: bool = False) -> Any:
    gg.manual_seed(3)
    act = ACTIVATIONS[kind]
    layers = [gg.nn.Linear(6, 16, bias), act(), gg.nn.Identity(), gg.nn.Linear(16, 8, bias), act()]
    return gg.nn.Sequential(*layers, *(() if last else (gg.nn.Linear(8, 3, bias),))).to(device)


def gradients(net: Any, x: np.ndarray, device: str) -> list[np.ndarray]:
    given = gg.tensor(x, device=device, requires_grad=True)
    y = net(given)
    (y * y).sum().backward()
    return [v.detach().numpy().astype(np.float64) for v in (y, given.grad, *(p.grad for p in net.parameters()))]


@pytest.mark.parametrize("dtype", list(NEAR))
@pytest.mark.parametrize(("kind", "bias", "last"), list(itertools.product(ACTIVATIONS, (True, False), (True, False))))
@pytest.mark.parametrize("shape", [(5, 6), (2, 3, 6)])
def test_a_network_gives_the_numbers_of_its_layers_one_by_one(
    gpu: State, rng: np.random.Generator, kind: str, bias: bool, last: bool, shape: Any, dtype: str
) -> None:
    numpy_type = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
    x = rng.standard_normal(shape).astype(numpy_type)
    net = network(kind, "cuda", bias=bias, last=last).to(dtype=numpy_type)
    host = copy.deepcopy(net).to("cpu").to(dtype=np.float64)
    gpu.clear()
    got = gradients(net, x, "cuda")
    with_bias = "_BIAS" if bias else ""
    hidden = 1 if last else 2
    assert gpu.calls[f"cublasLt.{kind}_AUX{with_bias}"] == (2 if kind == "GELU" else hidden)
    assert gpu.calls[f"cublasLt.{kind}{with_bias}"] == (2 - hidden if kind == "RELU" else 0), "nobody reads a last mask"
    assert gpu.calls[f"cublasLt.D{kind}"] == hidden
    assert not any(f"gg_{kind.lower()}" in name for name in gpu.launches) or last
    for a, b in zip(got, gradients(host, x.astype(np.float64), "cpu"), strict=True):
        np.testing.assert_allclose(a, b, rtol=NEAR[dtype], atol=4 * NEAR[dtype] * max(1, np.abs(b).max()))


@pytest.mark.parametrize("kind", list(ACTIVATIONS))
@pytest.mark.parametrize("lacking", [("AUX_BIAS",), ("D",), ("AUX_BIAS", "D")])
def test_epilogues_that_are_lacking_become_kernels(
    gpu: State, rng: np.random.Generator, kind: str, lacking: Any
) -> None:
    x = rng.standard_normal((5, 6)).astype(np.float32)
    want = gradients(network(kind, "cuda"), x, "cuda")
    gpu.unsupported.update(f"D{kind}" if which == "D" else f"{kind}_{which}" for which in lacking)
    backend_for("cuda").blas._forget()
    gpu.clear()
    got = gradients(network(kind, "cuda"), x, "cuda")
    assert sum(gpu.calls[f"cublasLt.{name}"] for name in gpu.unsupported) == 0
    assert gpu.launches
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-5)


def test_gelu_by_erf_is_never_cublaslts(gpu: State) -> None:
    gg.nn.Sequential(gg.nn.Linear(6, 8), gg.nn.GELU()).to("cuda")(gg.ones(2, 6, device="cuda"))
    assert [name for name in gpu.calls if "GELU" in name] == []


def test_nothing_is_kept_where_nothing_is_recorded(gpu: State) -> None:
    for kind in ACTIVATIONS:
        with gg.no_grad():
            network(kind, "cuda")(gg.ones(2, 6, device="cuda"))
        assert gpu.calls[f"cublasLt.{kind}_BIAS"] == 2


@pytest.mark.parametrize("kind", list(ACTIVATIONS))
def test_second_derivatives_are_those_of_the_cpu(gpu: State, rng: np.random.Generator, kind: str) -> None:
    x, v = rng.standard_normal((2, 4, 6)).astype(np.float32)

    def second(device: str) -> list[np.ndarray]:
        net = network(kind, device)
        given = gg.tensor(x, device=device, requires_grad=True)
        slope = gg.grad(lambda z: net(z).square().sum())(given)
        (slope * gg.tensor(v, device=device)).sum().backward()
        return [given.grad.numpy(), *(p.grad.numpy() for p in net.parameters())]

    for a, b in zip(second("cuda"), second("cpu"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_tangents_go_through(gpu: State, rng: np.random.Generator) -> None:
    x, t = (rng.standard_normal((4, 6)).astype(np.float32) for _ in range(2))
    found = []
    for device in ("cuda", "cpu"):
        y, dy = gg.jvp(network("GELU", device), (gg.tensor(x, device=device),), (gg.tensor(t, device=device),))
        found.append((y.detach().numpy(), dy.detach().numpy()))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_maps_see_the_layers_one_by_one(gpu: State, rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 6)).astype(np.float32)
    found = [gg.vmap(network("RELU", d))(gg.tensor(x, device=d)).detach().numpy() for d in ("cuda", "cpu")]
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)


def test_layers_with_hooks_are_called_one_by_one(gpu: State) -> None:
    net = network("RELU", "cuda")
    seen: list[Any] = []
    with net[1].register_forward_hook(lambda module, args, out: seen.append(out.shape)):
        net(gg.ones(2, 6, device="cuda"))
    assert seen == [(2, 16)]
    assert "gg_relu_f32_f32_contiguous" in gpu.launches, "the first activation is a kernel"
    assert gpu.calls["cublasLt.RELU_AUX_BIAS"] == 1, "the run behind it is one call"


def test_masks_and_not_values_are_what_a_hidden_relu_adds(gpu: State) -> None:
    x, w = (gg.ones(64, 256, device="cuda"), gg.ones(256, 256, device="cuda", requires_grad=True))
    before = gpu.used_bytes[0]
    y = F.feed_forward(x, [(w, None, "relu"), (w, None, None)])
    assert gpu.used_bytes[0] - before - (32 << 20) <= 2 * y.data.nbytes + 64 * 256 // 8, "result, hidden values, bits"


@pytest.mark.parametrize(("ld", "shift"), [(100, 0), (128, 1), (0, 0)])
def test_the_stand_in_refuses_masks_that_cublaslt_refuses(gpu: State, ld: int, shift: int) -> None:
    mask = backend_for("cuda").empty((4, 32), np.uint8)
    how = {11: mask.data.ptr + shift, 12: ld}
    with pytest.raises(stand_in.cuBLASLtError, match="auxiliary matrix"):
        stand_in._notes(how, False, 100, 4, np.dtype(np.float32))


def test_a_captured_step_has_the_epilogues_too(gpu: State, rng: np.random.Generator) -> None:
    found = []
    for compiled in (False, True):
        net = network("RELU", "cuda")
        optimizer = gg.optim.Adam(list(net.parameters()), lr=0.01)

        def step(x: Any, net: Any = net, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = net(x).square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        run = gg.compile(step, warmup=2) if compiled else step
        inputs = np.random.default_rng(0).standard_normal((6, 5, 6)).astype(np.float32)
        found.append([run(gg.tensor(x, device="cuda")).item() for x in inputs])
    assert found[0] == found[1]
    assert run.graphs == 1
