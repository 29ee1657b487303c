"""`gg.tape_memory` of convolutions on the GPU branch: the peak from shapes alone is what a step then takes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F
from tests.standin import State


def two_layers(x: Any, w: Any, second: Any) -> Any:
    return gg.conv2d(gg.tanh(gg.conv2d(x, w, padding=1)), second, stride=2)


NETWORKS: dict[str, Any] = {
    "patches": (two_layers, (8, 3, 3, 3), (16, 8, 3, 3)),
    "one by one": (two_layers, (8, 3, 1, 1), (16, 8, 1, 1)),
    "depthwise": (
        lambda x, w, second: gg.conv2d(gg.conv2d(x, w), second, groups=8, padding=1),
        (8, 3, 3, 3),
        (8, 1, 3, 3),
    ),
    "pooling": (
        lambda x, w, second: F.avg_pool2d(F.max_pool2d(gg.conv2d(x, w), 3, 2), 2) * second,
        (8, 3, 3, 3),
        (),
    ),
    "with relu inside": (
        lambda x, w, second: F.conv_relu(F.conv_relu(x, w), second, stride=2),
        (8, 3, 3, 3),
        (16, 8, 3, 3),
    ),
    "normalised": (
        lambda x, w, second: F.batch_norm(gg.conv2d(x, w), training=True) * second,
        (8, 3, 3, 3),
        (),
    ),
    "normalised with relu": (
        lambda x, w, second: F.batch_norm_relu(gg.conv2d(x, w), training=True) * second,
        (8, 3, 3, 3),
        (),
    ),
}


@pytest.mark.parametrize("name", list(NETWORKS))
@pytest.mark.parametrize("limit", [128 << 20, 50_000])
def test_the_peak_of_a_step(gpu: State, rng: np.random.Generator, name: str, limit: int) -> None:
    network, *shapes = NETWORKS[name]
    x, w, second = (
        gg.tensor(rng.standard_normal(s).astype(np.float32), device="cuda", requires_grad=i > 0)
        for i, s in enumerate(((16, 3, 24, 24), *shapes))
    )
    loss: Callable[[], Any] = lambda: network(x, w, second).sum()  # noqa: E731 - told by its closure
    before = gg.cuda.get_convolution_memory()
    gg.cuda.set_convolution_memory(limit)
    try:
        predicted = gg.tape_memory(loss).peak_bytes
        loss().backward()  # compiles, and makes the workspace of the products
        w.grad = second.grad = None
        gg.cuda.reset_peak_memory_stats()
        held = gg.cuda.memory_allocated()
        loss().backward()
        taken = gg.cuda.max_memory_allocated() - held
    finally:
        gg.cuda.set_convolution_memory(before)
        gg.cuda.stop_peak_memory_stats()
    assert predicted == pytest.approx(taken, rel=0.03 if limit > 50_000 else 0.12)
