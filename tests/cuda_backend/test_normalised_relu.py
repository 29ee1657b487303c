"""Batch normalisation with relu behind it in one pass each way, and the count of batches, on the GPU branch."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.nn import functional as F
from gpugrad.nn.models import resnet18
from tests.cuda_backend.layer_cases import NORMALISED, batch_norm, close, compare_batch_norm, on, values
from tests.standin import State

TAGS = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16"}


def names(gpu: State, dtype: str) -> list[str]:
    """What was launched, without prefix, dtype and width."""
    return [k.removeprefix("gg_").removesuffix(f"_{TAGS[dtype]}").removesuffix("_wide") for k in gpu.computing]


@pytest.mark.parametrize("dtype", list(TAGS))
@pytest.mark.parametrize("shape", NORMALISED)
def test_results_gradients_and_statistics(gpu: State, rng: np.random.Generator, shape: Any, dtype: str) -> None:
    compare_batch_norm(rng, shape, dtype, relu=True)
    forward = ["moments_parts", "moments", "normalise_relu"]
    assert names(gpu, dtype) == [*forward, "norm_products_relu_parts", "norm_products", "normalise_relu_vjp"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_beside_parameters_in_float32(gpu: State, rng: np.random.Generator, dtype: str) -> None:
    compare_batch_norm(rng, (4, 6, 5, 7), dtype, np.float32, relu=True)
    assert len(gpu.computing) == 6


@pytest.mark.peers
@pytest.mark.usefixtures("gpu")
def test_double_precision_is_that_of_pytorch(rng: np.random.Generator, torch: ModuleType) -> None:
    shapes = (4, 6, 5, 7), (6,), (6,), (4, 6, 5, 7)
    arrays = [rng.standard_normal(s) for s in shapes]
    x, w, b, g = (torch.tensor(a, requires_grad=True) for a in arrays)
    running = [torch.full((6,), v, dtype=torch.float64) for v in (0.5, 2.0)]
    y = torch.relu(torch.nn.functional.batch_norm(x, *running, w, b, True, 0.25, 1e-3))
    y.backward(g)
    want = [t.detach().numpy() for t in (y, x.grad, w.grad, b.grad, *running)]
    close(batch_norm("cuda", arrays, np.float64, relu=True), want, 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_beside_cudnn_relu_has_a_kernel_of_its_own(gpu_with_cudnn: State, rng: np.random.Generator, dtype: str) -> None:
    compare_batch_norm(rng, (4, 6, 5, 7), dtype, relu=True)
    assert gpu_with_cudnn.calls["cudnn.batchnorm"] == gpu_with_cudnn.calls["cudnn.batchnorm_backward"] == 1
    relus = [k.partition(f"_{TAGS[dtype]}")[0] for k in gpu_with_cudnn.launches if "relu" in k]
    assert relus == ["gg_relu", "gg_relu_vjp"]


def test_neither_result_nor_signs_are_kept_for_the_gradient(gpu: State, rng: np.random.Generator) -> None:
    x, w, b = on("cuda", *(rng.standard_normal(s).astype(np.float32) for s in ((64, 8, 16, 16), (8,), (8,))))
    before = gg.cuda.memory_allocated()
    loss = F.batch_norm_relu(x, None, None, w, b, training=True).sum()
    assert gg.cuda.memory_allocated() - before < x.nbytes / 100
    loss.backward()


def test_results_of_0_and_nan_pass_nothing(gpu: State) -> None:
    arrays = np.array([[1.0, 2.0, np.nan], [-1.0, 2.0, 1.0], [0.0, 2.0, 0.0], [0.0, 2.0, 3.0]])
    found = []
    for device in ("cuda", "cpu"):
        (x,) = on(device, arrays.astype(np.float32))
        y = F.batch_norm_relu(x, training=True)
        y.backward(gg.ones_like(y))
        found.append(values(y, x.grad))
    close(found[0], found[1], 1e-5)
    assert (found[0][0][:, 1] == 0).all()
    assert np.isnan(found[0][0][:, 2]).all()
    assert "gg_normalise_relu_f32" in gpu.launches


def test_derivatives_of_higher_order_tangents_and_maps(gpu: State) -> None:
    found = []
    for device, kind in (("cuda", np.float32), ("cpu", np.float64)):
        draw = np.random.default_rng(1).standard_normal
        x, w, b = on(device, *(draw(s).astype(kind) for s in ((6, 3, 4), (3,), (3,))))
        pushed = gg.tensor(draw((6, 3, 4)).astype(kind), device=device)

        def f(x: Any, w: Any = w, b: Any = b) -> Any:
            return F.batch_norm_relu(x, None, None, w, b, training=True)

        (f(x) ** 3).sum().backward(create_graph=True)
        first, x.grad, w.grad = x.grad, None, None
        (first**2).sum().backward()
        tangent = gg.jvp(f, (x.detach(),), (pushed,))[1]
        rows = gg.jacobian(f)(x.detach())
        mapped = gg.vmap(f)(gg.stack([x.detach(), pushed]))
        found.append(values(x.grad, w.grad, tangent, rows, mapped))
    close(found[0], found[1], 2e-4)
    assert "gg_normalise_relu_f32" in gpu.launches


# ---- networks


def trained(model: Any, x: np.ndarray, device: str) -> list[np.ndarray]:
    images = gg.tensor(x, device=device, requires_grad=True)
    y = model(images)
    (y * y).sum().backward()
    return values(y, images.grad, *(p.grad for p in model.parameters()), *model.buffers())


@pytest.mark.parametrize("kind", ["Sequential", "ResNet"])
def test_the_pairs_of_a_network_are_one_each(gpu: State, rng: np.random.Generator, kind: str) -> None:
    x = rng.standard_normal((2, 3, 16, 16)).astype(np.float32)
    found = []
    for device in ("cpu", "cuda"):
        gg.manual_seed(3)
        if kind == "ResNet":
            model: Any = resnet18(num_classes=3, width=4, small_images=True)
        else:
            layers = [nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()]
            model = nn.Sequential(*layers, nn.Linear(8 * 14 * 14, 6), nn.BatchNorm1d(6), nn.ReLU())
        gpu.clear()
        found.append(trained(model.to(device), x, device))
    close(found[1], found[0], 2e-3)
    pairs, alone = (9, 11) if kind == "ResNet" else (2, 0)
    launched = names(gpu, "float32")
    assert [launched.count(k) for k in ("normalise_relu", "normalise_relu_vjp")] == [pairs, pairs]
    assert [launched.count(k) for k in ("normalise", "normalise_vjp")] == [alone, alone]
    assert not [k for k in launched if k.startswith(("relu_f32", "relu_vjp"))]


def test_hooks_profiles_and_other_modules_keep_them_apart(gpu: State, rng: np.random.Generator) -> None:
    x = gg.tensor(rng.standard_normal((4, 3, 5, 5)).astype(np.float32), device="cuda")
    seen: list[float] = []
    for place in (0, 1):
        net = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()).to("cuda")
        net[place].register_forward_hook(lambda module, args, out: seen.append(out.min().item()))
        net(x)
    assert seen[0] < 0 <= seen[1]
    with gg.profile(device="cuda", ceilings=False):
        nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()).to("cuda")(x)
    nn.Sequential(nn.BatchNorm2d(3), nn.GELU()).to("cuda")(x)
    nn.Sequential(nn.BatchNorm2d(3), nn.Identity(), nn.ReLU()).to("cuda")(x)
    assert not [k for k in gpu.launches if "normalise_relu" in k]


class Doubled(nn.BatchNorm2d):
    def forward(self, x: Any) -> Any:
        return 2 * super().forward(x)


@pytest.mark.usefixtures("gpu")
def test_a_layer_with_a_forward_of_its_own_is_called(rng: np.random.Generator) -> None:
    net = nn.Sequential(Doubled(3), nn.ReLU())
    x = rng.standard_normal((4, 3, 5, 5)).astype(np.float32)
    want = values(net(gg.tensor(x)))
    close(values(net.to("cuda")(gg.tensor(x, device="cuda"))), want, 1e-5)


def test_in_evaluation_a_pair_is_one_kernel_and_one_for_its_channels(gpu: State, rng: np.random.Generator) -> None:
    net = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU()).eval()
    net[0].running_mean.copy_(gg.tensor(rng.standard_normal(8)))
    x = rng.standard_normal((4, 8, 5, 5)).astype(np.float32)
    want = values(net(gg.tensor(x)))
    net.to("cuda")
    images = gg.tensor(x, device="cuda", requires_grad=True)
    gpu.clear()
    y = net(images)
    assert [k.split("_f32")[0] for k in gpu.launches] == ["gg_batch_norm_factor", "gg_batch_norm_relu_apply"]
    y.backward(gg.ones_like(y))
    close(values(y), want, 1e-5)


# ---- the count of batches


@pytest.mark.parametrize("way", ["auto", "im2col", "cpu", "large on the cpu"])
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("relu", [False, True])
def test_batches_are_counted_in_training(gpu_with_cudnn: State, way: str, momentum: Any, relu: bool) -> None:
    device, size = ("cpu", 64 if way.startswith("large") else 5) if "cpu" in way else ("cuda", 5)
    layer = nn.BatchNorm2d(8, momentum=momentum)
    net = nn.Sequential(layer, nn.ReLU() if relu else nn.Identity()).to(device)
    x = gg.randn(4, 8, size, size, device=device)
    with gg.cuda.convolution("auto" if "cpu" in way else way):
        for _ in range(3):
            net(x)
        assert layer.num_batches_tracked.item() == 3
        gg.checkpoint(net, x.requires_grad_()).sum().backward()
        net.eval()(x)
    assert layer.num_batches_tracked.item() == 4, "once where it runs again, and not in evaluation"
    assert gpu_with_cudnn.calls["add"] == (0 if way == "im2col" and momentum else 4 * (device == "cuda"))


def test_a_captured_step_counts_each_replay(gpu: State) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2)).to("cuda")
    update = gg.optim.SGD(net.parameters(), lr=0.1)

    @gg.compile
    def step(x: Any) -> Any:
        update.zero_grad()
        loss = net(x).square().mean()
        loss.backward()
        update.step()
        return loss

    for _ in range(7):
        step(gg.ones(2, 3, 5, 5, device="cuda"))
    assert step.graphs
    assert net[1].num_batches_tracked.item() == 7


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(3), nn.InstanceNorm1d(3, track_running_stats=True)])
def test_statistics_that_are_arguments_of_a_captured_step_move(gpu: State, layer: Any) -> None:
    layer.to("cuda")
    found = []
    for compiled in (False, True):
        state = {name: buffer.clone() for name, buffer in layer.named_buffers()}

        def step(state: Any, x: Any) -> Any:
            return nn.functional_call(layer, state, (x,)).sum().detach()

        run = gg.compile(step) if compiled else step
        for i in range(6):
            run(state, gg.tensor(np.arange(30.0).reshape(2, 3, 5) * i, dtype="float32", device="cuda"))
        found.append(values(*state.values()))
    assert run.graphs
    assert found[0][2] == 6
    assert (found[0][0] != 0).all()
    close(found[0], found[1], 0)
