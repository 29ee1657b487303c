"""Batch normalisation and attention through cuDNN's front end, against the CPU in float64."""

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F
from tests.cuda_backend.image_cases import KINDS
from tests.cuda_backend.layer_cases import (
    ATTENDED,
    NORMALISED,
    attention,
    batch_norm,
    close,
    compare_attention,
    compare_batch_norm,
    on,
    values,
)
from tests.standin import State


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("shape", NORMALISED)
def test_batch_normalisation(gpu_with_cudnn: State, rng: np.random.Generator, shape: Any, dtype: str) -> None:
    compare_batch_norm(rng, shape, dtype)
    done = {k: v for k, v in gpu_with_cudnn.calls.items() if k.startswith("cudnn.batch")}
    assert done == {"cudnn.batchnorm": 1, "cudnn.batchnorm_backward": 1}
    assert not any("moments" in kernel or "norm_products" in kernel for kernel in gpu_with_cudnn.launches)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("way", ["auto", "im2col"])
def test_halves_are_normalised_beside_parameters_in_float32(
    gpu_with_cudnn: State, rng: np.random.Generator, dtype: str, way: str
) -> None:
    with gg.cuda.convolution(way):
        compare_batch_norm(rng, (4, 6, 5, 7), dtype, np.float32)
    with_cudnn = way == "auto"
    assert gpu_with_cudnn.calls["cudnn.batchnorm"] == with_cudnn
    assert any("normalise" in kernel for kernel in gpu_with_cudnn.launches) != with_cudnn


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("shape", NORMALISED)
def test_batch_normalisation_by_our_own_kernels(gpu: State, rng: np.random.Generator, shape: Any, dtype: str) -> None:
    compare_batch_norm(rng, shape, dtype)
    wanted = {"moments_parts", "moments", "normalise", "norm_products_parts", "norm_products", "normalise_vjp"}
    short = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16"}[dtype]
    found = {kernel.removeprefix("gg_").removesuffix(f"_{short}").replace("_wide", "") for kernel in gpu.launches}
    assert wanted <= found, "statistics, result and gradient in two launches each, and one more for each result"


@pytest.mark.parametrize("refused", ["batchnorm", "batchnorm_backward"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_each_direction_of_batch_normalisation_may_be_refused(
    gpu_with_cudnn: State, rng: np.random.Generator, dtype: str, refused: str
) -> None:
    kind, near = KINDS[dtype]
    arrays = [rng.standard_normal(s).astype(kind).astype(np.float64) for s in ((4, 6, 5, 7), (6,), (6,), (4, 6, 5, 7))]
    gpu_with_cudnn.unsupported.add(refused)
    close(batch_norm("cuda", arrays, kind), batch_norm("cpu", arrays, np.float64), near)
    assert list(gg.cuda.convolution_refusals().values()) == [f"No valid engine configs for {refused}"]


@pytest.mark.parametrize(("way", "launches", "adds"), [("auto", 1, 1), ("im2col", 3, 0)])
def test_a_layer_moves_its_running_statistics_within_its_few_launches(
    gpu_with_cudnn: State, rng: np.random.Generator, way: str, launches: int, adds: int
) -> None:
    layer = gg.nn.BatchNorm2d(8).to("cuda")
    x = gg.tensor(rng.standard_normal((4, 8, 5, 5)).astype(np.float32), device="cuda")
    with gg.cuda.convolution(way):
        layer(x)
        gpu_with_cudnn.clear()
        layer(x)
    assert len(gpu_with_cudnn.computing) == launches
    counted = {name: gpu_with_cudnn.calls[name] for name in ("add", "multiply", "power", "subtract")}
    assert counted == {"add": adds, "multiply": 0, "power": 0, "subtract": 0}, "beside cuDNN CuPy counts the batches"
    assert (layer.running_mean.numpy() != 0).all()


def test_the_result_of_a_normalisation_is_not_kept_for_its_gradient(
    gpu_with_cudnn: State, rng: np.random.Generator
) -> None:
    x, w, b = on("cuda", *(rng.standard_normal(s).astype(np.float32) for s in ((64, 8, 16, 16), (8,), (8,))))
    F.batch_norm(x, weight=w, bias=b, training=True)
    before = gg.cuda.memory_allocated()
    loss = F.batch_norm(x, weight=w, bias=b, training=True).sum()
    assert gg.cuda.memory_allocated() - before < x.nbytes / 10
    loss.backward()


def test_second_derivatives_of_a_normalisation(gpu_with_cudnn: State) -> None:
    found = []
    for device, kind in (("cuda", np.float32), ("cpu", np.float64)):
        draw = np.random.default_rng(1).standard_normal
        x, w, b = on(device, *(draw(s).astype(kind) for s in ((6, 3, 4), (3,), (3,))))
        y = (F.batch_norm(x, weight=w, bias=b, training=True) ** 3).sum()
        y.backward(create_graph=True)
        first, x.grad, w.grad = x.grad, None, None
        (first**2).sum().backward()
        found.append(values(x.grad, w.grad))
    close(found[0], found[1], 2e-4)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    ("case", "rows_last"),
    [(case, rows_last) for case in ATTENDED for rows_last in (False, True) if len(case[0]) > 2 or not rows_last],
)
def test_attention(
    gpu_with_cudnn: State, rng: np.random.Generator, case: Any, dtype: str, causal: bool, rows_last: bool
) -> None:
    compare_attention(rng, case, dtype, causal, rows_last)
    assert gpu_with_cudnn.calls["cudnn.sdpa"] == gpu_with_cudnn.calls["cudnn.sdpa_backward"] == 1
    assert gpu_with_cudnn.calls["cublasLt.matmul"] == 0, "no scores of our own"


@pytest.mark.parametrize("refused", ["sdpa", "sdpa_backward"])
def test_each_direction_of_attention_may_be_refused(
    gpu_with_cudnn: State, rng: np.random.Generator, refused: str
) -> None:
    kind, near = KINDS["float16"]
    arrays = [rng.standard_normal((2, 3, 8, 8)).astype(kind).astype(np.float64) for _ in range(4)]
    gpu_with_cudnn.unsupported.add(refused)
    close(attention("cuda", arrays, kind, True, False), attention("cpu", arrays, np.float64, True, False), near)


def test_masks_dropout_and_single_precision_go_by_blocks(gpu_with_cudnn: State, rng: np.random.Generator) -> None:
    half = [gg.tensor(rng.standard_normal((2, 3, 8, 8)).astype(np.float16), device="cuda") for _ in range(3)]
    keep = gg.tensor(rng.random((8, 8)) > 0.3, device="cuda")
    F.scaled_dot_product_attention(*half, attn_mask=keep)
    F.scaled_dot_product_attention(*half, dropout_p=0.5)
    F.scaled_dot_product_attention(*(x.astype("float32") for x in half))
    F.scaled_dot_product_attention(half[0], half[1][:1], half[2][:1])
    assert gpu_with_cudnn.calls["cudnn.sdpa"] == 0
    with gg.cuda.convolution("im2col"):
        F.scaled_dot_product_attention(*half)
    assert gpu_with_cudnn.calls["cudnn.sdpa"] == 0, "the setting holds for all that cuDNN does"


def test_groups_of_heads_share_keys_and_values(gpu_with_cudnn: State, rng: np.random.Generator) -> None:
    found = []
    for device, kind in (("cuda", np.float16), ("cpu", np.float64)):
        draw = np.random.default_rng(2).standard_normal
        q, k, v = on(device, *(draw(s).astype(np.float16).astype(kind) for s in ((2, 6, 8, 16), *[(2, 2, 8, 16)] * 2)))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        (y * y).sum().backward()
        found.append(values(y, q.grad, k.grad, v.grad))
    close(found[0], found[1], 2e-2)
    assert gpu_with_cudnn.calls["cudnn.sdpa"] == gpu_with_cudnn.calls["cudnn.sdpa_backward"] == 1


def test_operands_are_taken_as_they_lie(gpu_with_cudnn: State, rng: np.random.Generator) -> None:
    rows = gg.tensor(rng.standard_normal((2, 16, 3 * 4 * 8)).astype(np.float16), device="cuda")
    q, k, v = (part.reshape(2, 16, 4, 8).swapaxes(1, 2) for part in gg.split(rows, 3, axis=-1))
    gpu_with_cudnn.clear()
    y = F.scaled_dot_product_attention(q, k, v)
    assert gpu_with_cudnn.calls["ascontiguousarray"] == 0
    assert y.data.strides == (16 * 32 * 2, 8 * 2, 32 * 2, 2), "heads side by side, as the queries"


@pytest.mark.parametrize("way", ["auto", "im2col"])
def test_a_captured_step_of_a_network_with_normalisation_has_the_bits_of_a_plain_one(
    gpu_with_cudnn: State, rng: np.random.Generator, way: str
) -> None:
    pictures = rng.standard_normal((4, 3, 12, 12)).astype(np.float32)
    losses = []
    for compiled in (False, True):
        gg.manual_seed(5)
        layers = [gg.nn.Conv2d(3, 8, 3, stride=2, bias=False), gg.nn.BatchNorm2d(8), gg.nn.ReLU(), gg.nn.MaxPool2d(2)]
        model = gg.nn.Sequential(*layers, gg.nn.Conv2d(8, 8, 2), gg.nn.ReLU(), gg.nn.Flatten(), gg.nn.Linear(8, 3))
        model.to("cuda")
        update = gg.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        x, labels = gg.tensor(pictures, device="cuda"), gg.tensor(np.array([0, 1, 2, 0]), device="cuda")

        def step(x: Any, model: Any = model, update: Any = update, labels: Any = labels) -> Any:
            update.zero_grad()
            with gg.autocast("float16"):
                loss = F.cross_entropy(model(x), labels)
            loss.backward()
            update.step()
            return loss

        run = gg.compile(step) if compiled else step
        with gg.cuda.convolution(way):
            losses.append([run(x).item() for _ in range(6)])
        assert not compiled or run.graphs
        losses[-1] += model[1].running_mean.numpy().tolist()
    assert losses[0] == losses[1]
