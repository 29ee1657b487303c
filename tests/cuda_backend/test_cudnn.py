"""Convolutions through cuDNN's front end: graphs, plans, refusals, the choice between it and our own kernels."""

import copy
import logging
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for
from gpugrad.backend.conv import Geometry
from tests.cuda_backend.image_cases import (
    CONVOLUTIONS,
    KINDS,
    POOLS,
    compare,
    compare_pooling,
    placed,
)
from tests.standin import State, installed
from tests.standin import cudnn as front_end

AT = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)


@pytest.fixture
def cuda(gpu_with_cudnn: State) -> Any:
    return backend_for("cuda")


def random(cuda: Any, rng: np.random.Generator, *shape: int, dtype: Any = np.float32) -> Any:
    return cuda.from_host(rng.standard_normal(shape).astype(dtype))


@pytest.mark.parametrize("last", [True, False], ids=["channels last", "channels second"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", list(CONVOLUTIONS))
def test_convolution(
    cuda: Any, gpu_with_cudnn: State, rng: np.random.Generator, name: str, dtype: str, last: bool
) -> None:
    compare(cuda, rng, name, dtype, last)
    done = {f"cudnn.{op}": 1 for op in ("conv_fprop", "bias", "conv_dgrad", "conv_wgrad")}
    assert {k: v for k, v in gpu_with_cudnn.calls.items() if k.startswith("cudnn.")} == {"cudnn.plan": 3, **done}
    assert not gpu_with_cudnn.computing, "no kernel of our own"
    assert set(gpu_with_cudnn.syncs) == {"get"}


def test_bias_and_relu_are_part_of_the_product(cuda: Any, gpu_with_cudnn: State, rng: np.random.Generator) -> None:
    x, w, b = random(cuda, rng, 2, 3, 5, 5), random(cuda, rng, 4, 3, 3, 3), random(cuda, rng, 4)
    plain = cuda.conv(x, w, AT, b).get()
    y = cuda.dnn.conv(x, w, b, AT, relu=True)
    np.testing.assert_array_equal(y.get(), np.maximum(plain, 0))
    assert gpu_with_cudnn.calls["cudnn.relu"] == 1


@pytest.mark.parametrize("way", ["auto", "im2col"])
@pytest.mark.parametrize(
    "layer", [gg.nn.Conv2d(3, 4, 3), gg.nn.Conv2d(4, 4, 3, groups=4), gg.nn.Conv1d(3, 4, 3, bias=False)]
)
def test_a_convolution_and_its_relu_are_one_in_a_network(
    gpu_with_cudnn: State, rng: np.random.Generator, way: str, layer: Any
) -> None:
    x = rng.standard_normal((2, layer.in_channels, *(7, 6)[: layer.axes])).astype(np.float32)
    found = []
    for device in ("cpu", "cuda"):
        model = gg.nn.Sequential(copy.deepcopy(layer), gg.nn.ReLU(), gg.nn.Flatten()).to(device)
        images = gg.tensor(x, device=device, requires_grad=True)
        with gg.cuda.convolution(way):
            y = model(images)
            (y * y).sum().backward()
        found.append([t.detach().numpy() for t in (y, images.grad, *(p.grad for p in model.parameters()))])
    for have, want in zip(*found, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-4)
    assert gpu_with_cudnn.calls["cudnn.relu"] == (way == "auto")
    grouped = layer.groups > 1
    epilogue = "RELU" if layer.bias is None else "RELU_BIAS"
    assert gpu_with_cudnn.calls[f"cublasLt.{epilogue}"] == (way == "im2col" and not grouped)
    assert gpu_with_cudnn.calls["maximum"] == (way == "im2col" and grouped)
    assert not any(kernel.startswith("gg_relu_f32") for kernel in gpu_with_cudnn.launches), "no kernel of its own"


def test_a_hook_or_another_module_between_them_keeps_them_apart(
    gpu_with_cudnn: State, rng: np.random.Generator
) -> None:
    x = gg.tensor(rng.standard_normal((2, 3, 7, 6)).astype(np.float32), device="cuda")
    hooked = gg.nn.Sequential(gg.nn.Conv2d(3, 4, 3), gg.nn.ReLU()).to("cuda")
    seen: list[Any] = []
    hooked[0].register_forward_hook(lambda module, args, out: seen.append(out.min().item()))
    apart = gg.nn.Sequential(gg.nn.Conv2d(3, 4, 3), gg.nn.BatchNorm2d(4), gg.nn.ReLU()).to("cuda")
    for model in (hooked, apart):
        assert (model(x).detach().numpy() >= 0).all()
    assert seen[0] < 0
    assert gpu_with_cudnn.calls["cudnn.relu"] == 0


class Halved(gg.nn.Conv2d):
    def forward(self, x: Any) -> Any:
        return super().forward(x) / 2


@pytest.mark.usefixtures("gpu")
def test_a_convolution_with_a_forward_of_its_own_is_called(rng: np.random.Generator) -> None:
    net = gg.nn.Sequential(Halved(3, 4, 3), gg.nn.ReLU())
    x = rng.standard_normal((2, 3, 7, 6)).astype(np.float32)
    want = net(gg.tensor(x)).detach().numpy()
    have = net.to("cuda")(gg.tensor(x, device="cuda")).detach().numpy()
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


def test_a_plan_is_made_once_for_each_question(cuda: Any, gpu_with_cudnn: State, rng: np.random.Generator) -> None:
    x, w = random(cuda, rng, 2, 3, 5, 5), random(cuda, rng, 4, 3, 3, 3)
    for _ in range(3):
        cuda.conv(x, w, AT)
    assert gpu_with_cudnn.calls["cudnn.plan"] == 1
    cuda.conv(random(cuda, rng, 1, 3, 5, 5), w, AT)
    cuda.conv(x, w, AT._replace(stride=(2, 2)))
    cuda.conv(x, w, AT, random(cuda, rng, 4))
    cuda.conv(x.astype(np.float16), w.astype(np.float16), AT)
    assert gpu_with_cudnn.calls["cudnn.plan"] == 5


@pytest.mark.parametrize(
    ("level", "least", "most"), [("highest", 0, 1e-6), ("high", 1e-5, 2e-3), ("medium", 1e-5, 2e-3)]
)
def test_float32_is_rounded_for_tensor_cores_only_where_asked(
    cuda: Any, rng: np.random.Generator, level: str, least: float, most: float
) -> None:
    x, w = random(cuda, rng, 2, 16, 5, 5), random(cuda, rng, 4, 16, 3, 3)
    want = cuda.conv(x.astype(np.float64), w.astype(np.float64), AT).get()
    gg.set_float32_matmul_precision(level)
    try:
        error = np.abs(cuda.conv(x, w, AT).get() - want).max() / np.abs(want).max()
    finally:
        gg.set_float32_matmul_precision("highest")
    assert least <= error < most


@pytest.mark.parametrize("op", ["conv_fprop", "conv_dgrad", "conv_wgrad", "bias"])
def test_what_cudnn_refuses_our_own_kernels_do_and_the_reason_is_kept(
    cuda: Any, gpu_with_cudnn: State, rng: np.random.Generator, op: str
) -> None:
    gpu_with_cudnn.unsupported.add(op)
    for _ in range(2):  # the second time the refusal is known
        compare(cuda, rng, "3x3", "float32", True)
    assert len(gpu_with_cudnn.computing) == 2
    assert all(kernel.startswith("gg_im2col") for kernel in gpu_with_cudnn.computing)
    ((question, reason),) = gg.cuda.convolution_refusals().items()
    names = {"conv_dgrad": "convolution's images, ", "conv_wgrad": "convolution's kernels, "}
    assert question.startswith(names.get(op, "convolution, "))
    assert "float32: (3, 3, 9, 8)" in question or op == "conv_dgrad"
    assert reason == f"No valid engine configs for {op}"


def test_a_plan_that_fails_when_it_runs_is_not_asked_again(
    cuda: Any, gpu_with_cudnn: State, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []

    def failing(*args: Any, **kwargs: Any) -> None:
        ran.append(args)
        raise RuntimeError("Tests: CUDNN_STATUS_EXECUTION_FAILED")

    monkeypatch.setattr(front_end.pygraph, "execute", failing)
    for _ in range(2):
        compare(cuda, rng, "3x3", "float32", True)
    assert len(ran) == 3, "a convolution and its two gradients"
    assert set(gg.cuda.convolution_refusals().values()) == {"Tests: CUDNN_STATUS_EXECUTION_FAILED"}


def test_explain_names_who_convolved_and_why_not_cudnn(gpu_with_cudnn: State) -> None:
    x, w, deep = (gg.ones(*s, device="cuda", requires_grad=True) for s in ((1, 4, 7, 7), (4, 4, 3, 3), (4, 1, 3, 3)))
    y = gg.conv2d(x, w)
    with gg.cuda.convolution("im2col"):
        y = gg.conv2d(gg.conv2d(y, deep, padding=1, groups=4), w)
    gpu_with_cudnn.unsupported.add("conv_dgrad")
    y = gg.conv_transpose2d(y, w)
    notes = [step.note for step in gg.explain(y).steps if not step.leaf]
    assert notes == [
        "kernel 3x3, by cudnn", "kernel 3x3, padding 1x1, 4 groups, by depthwise", "kernel 3x3, by im2col",
        "kernel 3x3, by im2col, cuDNN: No valid engine configs for conv_dgrad",
    ]  # fmt: skip


def test_double_precision_is_our_own(cuda: Any, gpu_with_cudnn: State, rng: np.random.Generator) -> None:
    compare(cuda, rng, "3x3", "float64", True)
    assert gpu_with_cudnn.calls["cudnn.plan"] == 0
    assert gg.cuda.convolution_refusals() == {}, "it was not asked"


def test_an_address_that_plans_are_not_made_for_is_our_own(cuda: Any, rng: np.random.Generator) -> None:
    x = random(cuda, rng, 2 * 5 * 5 * 3 + 1)[1:].reshape(2, 5, 5, 3)
    x, w = cuda.xp.moveaxis(x, -1, 1), random(cuda, rng, 4, 3, 3, 3)
    want = cuda.conv(x.copy(), w, AT).get()
    np.testing.assert_allclose(cuda.conv(x, w, AT).get(), want, rtol=1e-5, atol=1e-5)


def test_channels_last_images_are_not_copied(cuda: Any, gpu_with_cudnn: State, rng: np.random.Generator) -> None:
    x = placed(cuda, rng.standard_normal((2, 8, 5, 5)).astype(np.float32), last=True)
    w = placed(cuda, rng.standard_normal((4, 8, 3, 3)).astype(np.float32), last=True)
    cuda.conv(x, w, AT)  # makes the plan
    gg.cuda.reset_peak_memory_stats()
    before = gg.cuda.memory_allocated()
    y = cuda.conv(x, w, AT)
    assert gg.cuda.max_memory_allocated() - before <= y.nbytes + 4096 + 512
    gg.cuda.stop_peak_memory_stats()


@pytest.mark.parametrize("name", ["auto", "cudnn", "im2col"])
def test_who_convolves_can_be_chosen(cuda: Any, gpu_with_cudnn: State, rng: np.random.Generator, name: str) -> None:
    x, w = random(cuda, rng, 2, 3, 5, 5), random(cuda, rng, 4, 3, 3, 3)
    with gg.cuda.convolution(name):
        said = gg.cuda.convolution_library()
        cuda.conv(x, w, AT)
    assert gpu_with_cudnn.calls["cudnn.conv_fprop"] == (name != "im2col")
    assert (gpu_with_cudnn.computing == ["gg_im2col_f32"]) == (name == "im2col")
    assert said == ("gpugrad's own kernels, as asked" if name == "im2col" else "cuDNN 9.28.0, front end 1.28.0")


def test_an_unknown_way_is_refused() -> None:
    message = r"name = 'direct'; expected 'auto', 'cudnn', 'im2col'"
    with pytest.raises(ValueError, match=message), gg.cuda.convolution("direct"):
        pass


def test_cudnn_by_name_without_cudnn_is_refused(gpu: State) -> None:
    message = r"nvidia-cudnn-frontend is missing .*gpugrad\[cudnn12\]"
    with pytest.raises(RuntimeError, match=message), gg.cuda.convolution("cudnn"):
        pass


def test_a_cudnn_that_cannot_be_loaded_is_told(gpu_with_cudnn: State, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise RuntimeError("Unable to find symbol cudnnCreate")

    monkeypatch.setattr(front_end, "create_handle", broken)
    assert gg.cuda.convolution_library() == (
        "gpugrad's own kernels; cuDNN cannot be loaded (Unable to find symbol cudnnCreate)"
    )
    assert gg.cuda.convolution_refusals() == {}


@pytest.mark.parametrize("there", [True, False])
def test_the_first_convolution_says_once_who_runs_it(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture, there: bool
) -> None:
    request.getfixturevalue("gpu_with_cudnn" if there else "gpu")
    x, w = gg.ones(1, 3, 5, 5, device="cuda"), gg.ones(4, 3, 3, 3, device="cuda")
    with caplog.at_level(logging.INFO, "gpugrad"):
        for _ in range(3):
            gg.conv2d(x, w)
    (said,) = caplog.records
    assert said.levelno == (logging.INFO if there else logging.WARNING)
    who = "cuDNN 9.28.0, front end 1.28.0" if there else "gpugrad's own kernels; nvidia-cudnn-frontend is missing"
    what = "convolutions, batch normalisation and attention"
    assert said.getMessage().startswith(f"[cudnn] {what} on cuda:0 by {who}")


def test_plans_and_handles_belong_to_a_gpu_and_follow_the_stream(cuda: Any, rng: np.random.Generator) -> None:
    x, w = random(cuda, rng, 2, 3, 5, 5), random(cuda, rng, 4, 3, 3, 3)
    want = cuda.conv(x, w, AT).get()
    with cuda.xp.cuda.Stream(non_blocking=True):  # the stand-in refuses another stream than the current one
        np.testing.assert_array_equal(cuda.conv(x, w, AT).get(), want)
    np.testing.assert_array_equal(cuda.conv(x, w, AT).get(), want)


@pytest.mark.parametrize("way", ["auto", "im2col"])
@pytest.mark.parametrize("name", ["groups", "depthwise", "stride, uneven padding, dilation"])
def test_images_of_another_gpu_than_the_current_one(rng: np.random.Generator, name: str, way: str) -> None:
    with installed(devices=2, cudnn=True), gg.cuda.convolution(way):
        backend_for("cuda:0")  # becomes the current one
        second = backend_for("cuda:1")
        compare(second, rng, name, "float32", True)
        compare_pooling(second, rng, POOLS[0], "float32")
        x = gg.tensor(rng.standard_normal((4, 3, 5, 5)).astype(np.float32), device="cuda:1", requires_grad=True)
        y = gg.nn.functional.batch_norm(x, training=True)
        y.backward(gg.ones_like(y))
        assert {str(y.device), str(x.grad.device)} == {"cuda:1"}


def test_a_step_with_cudnn_can_be_captured(gpu_with_cudnn: State, rng: np.random.Generator) -> None:
    model = gg.nn.Sequential(gg.nn.Conv2d(3, 4, 3), gg.nn.ReLU(), gg.nn.Flatten(), gg.nn.Linear(36, 5)).to("cuda")
    update = gg.optim.SGD(model.parameters(), lr=0.1)
    x = gg.tensor(rng.standard_normal((2, 3, 5, 5)).astype(np.float32), device="cuda")

    def step(x: Any) -> Any:
        update.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        update.step()
        return loss

    compiled = gg.compile(step)
    losses = [compiled(x).item() for _ in range(6)]
    assert compiled.graphs
    assert losses == sorted(losses, reverse=True)
    assert gpu_with_cudnn.calls["cudnn.plan"] == 2, "forward and kernels; the images need no gradient"


@pytest.mark.parametrize("dtype", list(KINDS))
def test_the_general_way_is_left_for_nothing(
    cuda: Any, gpu_with_cudnn: State, dtype: str, rng: np.random.Generator
) -> None:
    compare(cuda, rng, "volume", dtype, False)
    assert gpu_with_cudnn.calls["as_strided"] == 0


# ---- the stand-in against the real front end


def test_the_stand_in_knows_the_arguments_of_the_real_one() -> None:
    real = pytest.importorskip("cudnn", reason="nvidia-cudnn-frontend is not installed")
    declared = {**real._pygraph._STRUCTURED_OPS}
    for op, (ports, attributes, results) in front_end.OPERATIONS.items():
        if op not in declared:  # attention takes its arguments as they come, and hands them to the library
            assert real._pygraph._CAPTURED_OPS.get(op, {"pos": ports, "outputs": results})["pos"] == ports
            assert hasattr(real.pygraph, op)
            continue
        assert declared[op]["inputs"] == ports
        assert declared[op].get("attrs", ()) == attributes
        assert declared[op]["outputs"] == results


def test_the_stand_in_refuses_what_the_front_end_refuses(gpu_with_cudnn: State) -> None:
    types = front_end.data_type
    with pytest.raises(TypeError):
        types["FLOAT"]
    graph = front_end.pygraph(io_data_type=types.FLOAT, handle=front_end.create_handle())
    x = graph.tensor(dim=[1, 4, 2, 2], stride=[16, 1, 8, 4], uid=1)
    with pytest.raises(TypeError, match="unexpected arguments"):
        graph.conv_fprop(image=x, weight=x, kernel=[1, 1])
    y = graph.relu(input=x)
    with pytest.raises(RuntimeError, match="after"):
        graph.build_plans()
    y.set_output(True)
    with pytest.raises(RuntimeError, match="stride"):
        graph.validate()
    with pytest.raises(RuntimeError, match="frozen"):
        y.set_stride([16, 1, 8, 4])
