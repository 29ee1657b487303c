"""`gg.tape_memory` on convolutions that have a way of their own, against what NumPy then allocates."""

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.fusion import workers

# Shape of the images, of the kernels, stride, padding, groups.
LAYERS: dict[str, tuple[tuple[int, ...], tuple[int, ...], int, int, int]] = {
    "few channels": ((64, 1, 28, 28), (6, 1, 5, 5), 1, 2, 1),
    "stem": ((2, 3, 112, 112), (32, 3, 7, 7), 2, 3, 1),
    "depthwise": ((16, 64, 32, 32), (64, 1, 3, 3), 1, 1, 64),
    "depthwise with steps": ((16, 64, 32, 32), (64, 1, 3, 3), 2, 1, 64),
    "sequences": ((16, 32, 500), (64, 32, 9), 1, 4, 1),
    "winograd": ((16, 64, 33, 32), (128, 64, 3, 3), 1, 1, 1),
    "many channels": ((32, 256, 8, 8), (256, 256, 3, 3), 1, 1, 1),
    "steps": ((32, 64, 32, 32), (128, 64, 3, 3), 2, 1, 1),
    "groups": ((16, 64, 32, 32), (256, 16, 3, 3), 1, 1, 4),
    "two groups": ((8, 64, 16, 16), (64, 32, 3, 3), 1, 1, 2),
    "small groups": ((32, 16, 16, 16), (24, 8, 3, 3), 1, 1, 2),
    "groups with steps": ((32, 32, 32, 32), (64, 16, 3, 3), 2, 1, 2),
    "narrow": ((32, 16, 16, 16), (24, 16, 3, 3), 1, 1, 1),
    "broad": ((8, 64, 16, 16), (64, 64, 5, 5), 1, 2, 1),
    "one by one": ((32, 256, 8, 8), (64, 256, 1, 1), 1, 0, 1),
}
MODES = [
    "0",
    pytest.param("1", marks=pytest.mark.skipif(not find_spec("numba"), reason="Numba is not installed")),
]


@pytest.fixture(params=MODES, ids=lambda mode: "Numba" if mode == "1" else "NumPy alone")
def plain_memory(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """No recycled buffers, so that tracemalloc sees every array."""
    monkeypatch.setenv("GPUGRAD_NUMBA", request.param)
    limit, threads = gg.cpu.memory_stats().limit_bytes, workers.num_threads()
    gg.cpu.set_memory_limit(0)
    yield
    gg.cpu.set_memory_limit(limit)
    workers.set_num_threads(threads)


def most(call: Callable[[], object]) -> int:
    """The most bytes that a call takes above what was there before."""
    call()  # compiles what is compiled once
    gc.collect()
    tracemalloc.start()
    try:
        base = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        call()
        return tracemalloc.get_traced_memory()[1] - base
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("threads", "order"), [(1, "channels second"), (2, "channels last")])
@pytest.mark.usefixtures("plain_memory")
def test_prediction_is_within_5_percent_of_what_numpy_allocates(name: str, threads: int, order: str) -> None:
    shape, kernels, stride, padding, groups = LAYERS[name]
    workers.set_num_threads(threads)
    images = np.ones(shape, np.float32)
    if order == "channels last":
        images = np.moveaxis(np.ascontiguousarray(np.moveaxis(images, 1, -1)), -1, 1)
    x, w = gg.asarray(images, requires_grad=True), gg.ones(*kernels, requires_grad=True)
    bias = gg.zeros(kernels[0], requires_grad=True)
    convolve = gg.conv1d if len(kernels) == 3 else gg.conv2d

    def forward() -> Any:
        return convolve(x, w, bias, stride=stride, padding=padding, groups=groups).sum()

    def step() -> None:
        forward().backward()
        x.grad = w.grad = bias.grad = None

    # The table of Python's own strings may grow by two megabytes at any moment, but not in two calls that follow.
    assert gg.tape_memory(forward).peak_bytes == pytest.approx(min(most(step), most(step)), rel=0.05)
    alone = gg.tape_memory(forward, backward=False).peak_bytes
    assert alone == pytest.approx(min(most(forward), most(forward)), rel=0.05)
