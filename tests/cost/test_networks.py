"""The networks that `gpugrad bench` knows: their FLOPs by the textbook, their memory as predicted."""

from typing import Any

import pytest

import gpugrad as gg
from gpugrad.cost.subjects import BUILT_IN, find
from tests.cost.test_ledger import measured, plain_memory

__all__ = ["plain_memory"]

SMALL: dict[str, dict[str, int]] = {
    "mlp": {"batch": 64, "width": 64},
    "lenet5": {"batch": 8},
    "convnet": {"batch": 4, "width": 8},
    "resnet18": {"batch": 2, "width": 8},
    "transformer": {"batch": 2, "width": 64, "depth": 2},
}
# Large enough that what Python takes for nodes and shapes is little beside the arrays.
LARGER = {
    "mlp": {"batch": 512, "width": 256},
    "lenet5": {"batch": 64},
    "convnet": {"batch": 16, "width": 16},
    "resnet18": {"batch": 8, "width": 16},
    "transformer": {"batch": 4, "width": 64, "depth": 2},
}


def test_all_of_them_are_tested() -> None:
    assert set(SMALL) == set(BUILT_IN)


def report_of(name: str) -> Any:
    subject = find(name, device="cpu", **SMALL[name])
    return gg.profile(subject.loss, *subject.batch, repeats=1, warmup=0, ceilings=False)


def convolution(batch: int, channels: int, out: int, size: int, kernel: int, bias: bool = True) -> int:
    """The textbook count of a convolution with `out` images of `size` x `size`."""
    return batch * out * size * size * (2 * channels * kernel * kernel + bias)


def test_flops_of_lenet5_are_those_of_the_textbook() -> None:
    report = report_of("lenet5")
    counts = {
        "conv1": convolution(8, 1, 6, 28, 5),
        "conv2": convolution(8, 6, 16, 10, 5),
        "fc1": 8 * 120 * (2 * 400 + 1),
        "fc2": 8 * 84 * (2 * 120 + 1),
        "fc3": 8 * 10 * (2 * 84 + 1),
    }
    assert {name: report.layer(name).forward.flops for name in counts} == counts
    # Twice as much backward; the first layer's images need no gradient, and a bias takes as much as it gave.
    bias = {"conv1": 8 * 6 * 28 * 28, "conv2": 8 * 16 * 100, "fc1": 8 * 120, "fc2": 8 * 84, "fc3": 8 * 10}
    for name, forward in counts.items():
        products = forward - bias[name]
        assert report.layer(name).backward.flops == products * (1 if name == "conv1" else 2) + bias[name]


def test_flops_of_resnet18_are_those_of_the_textbook() -> None:
    report = report_of("resnet18")
    width, batch, total = 8, 2, 0
    channels, size = width, 32
    total += convolution(batch, 3, width, 32, 3, bias=False)
    for stage in range(4):
        out = width << stage
        size = 32 >> stage
        for _ in range(2):
            total += convolution(batch, channels, out, size, 3, bias=False) + convolution(
                batch, out, out, size, 3, False
            )
            if channels != out:
                total += convolution(batch, channels, out, size, 1, bias=False)
            channels = out
    assert sum(row.forward.flops for row in report.layers if row.kind == "Conv2d") == total


def test_flops_of_the_transformers_products_are_those_of_the_textbook() -> None:
    report = report_of("transformer")
    batch, width, depth, length, vocabulary = 2, 64, 2, 128, 1000
    rows = batch * length
    weights = sum(2 * rows * width * n + rows * n for n in (3 * width, width, 4 * width))
    weights += 2 * rows * 4 * width * width + rows * width
    total = depth * weights + 2 * rows * width * vocabulary
    assert sum(row.forward.flops for row in report.layers if row.kind == "Linear") == total
    # Two products with the scores, and for each score of the one head 5 for the softmax.
    scores = depth * batch * length * length * (2 * 2 * width + 5)
    attention = [row.forward.flops for row in report.layers if row.name.endswith("scaled_dot_product_attention")]
    assert sum(attention) == scores


@pytest.mark.usefixtures("plain_memory")
@pytest.mark.parametrize("name", SMALL)
def test_memory_of_every_network_is_predicted_within_5_percent(name: str) -> None:
    subject = find(name, device="cpu", **LARGER[name])
    found = gg.tape_memory(subject.loss, *subject.batch)
    peak, forward, _ = measured(lambda: subject.loss(*subject.batch), list(subject.model.parameters()))
    assert found.peak_bytes == pytest.approx(peak, rel=0.05)
    assert found.forward_bytes == pytest.approx(forward, rel=0.05)
