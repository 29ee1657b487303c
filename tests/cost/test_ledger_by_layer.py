"""`gg.tape_memory` for steps of a single layer, where each array that lives too long or too short shows."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

import gpugrad as gg
from tests.cost.test_ledger import measured, plain_memory, two_threads

__all__ = ["plain_memory", "two_threads"]

nn = gg.nn
IMAGES, ROWS, SERIES = (16, 32, 32, 32), (1024, 256), (16, 64, 64)

LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "max_pool": (lambda: nn.MaxPool2d(2), IMAGES),
    "max_pool 3/2": (lambda: nn.MaxPool2d(3, 2, 1), IMAGES),
    "avg_pool": (lambda: nn.AvgPool2d(2), IMAGES),
    "adaptive_avg_pool": (lambda: nn.AdaptiveAvgPool2d(1), IMAGES),
    "lp_pool": (lambda: nn.LPPool2d(2, 2), IMAGES),
    "batch_norm": (lambda: nn.BatchNorm2d(32), IMAGES),
    "batch_norm, inference": (lambda: nn.BatchNorm2d(32).eval(), IMAGES),
    "batch_norm of rows": (lambda: nn.BatchNorm1d(256), ROWS),
    "group_norm": (lambda: nn.GroupNorm(4, 32), IMAGES),
    "instance_norm": (lambda: nn.InstanceNorm2d(32), IMAGES),
    "local_response_norm": (lambda: nn.LocalResponseNorm(5), IMAGES),
    "layer_norm": (lambda: nn.LayerNorm(256), ROWS),
    "rms_norm": (lambda: nn.RMSNorm(256), ROWS),
    "dropout": (lambda: nn.Dropout(0.3), ROWS),
    "softmax": (lambda: nn.Softmax(-1), ROWS),
    "log_softmax": (lambda: nn.LogSoftmax(-1), ROWS),
    "linear": (lambda: nn.Linear(256, 256), ROWS),
    "maxout": (lambda: nn.Maxout(256, 128), ROWS),
    "gelu": (nn.GELU, ROWS),
    "elu": (nn.ELU, (256, 200)),
    "silu of images": (nn.SiLU, IMAGES),
    "prelu": (nn.PReLU, ROWS),
    "rnn": (lambda: nn.RNN(64, 64, batch_first=True), SERIES),
    "lstm": (lambda: nn.LSTM(64, 64, batch_first=True), SERIES),
    "gru": (lambda: nn.GRU(64, 64, batch_first=True), SERIES),
    "transformer layer": (lambda: nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), SERIES),
    "conv1d": (lambda: nn.Conv1d(64, 64, 3, padding=1), SERIES),
    "conv3d": (lambda: nn.Conv3d(4, 8, 3, padding=1), (2, 4, 16, 16, 16)),
    "conv_transpose2d": (lambda: nn.ConvTranspose2d(32, 16, 2, stride=2), IMAGES),
    "reflected border": (lambda: nn.Conv2d(32, 32, 3, padding=1, padding_mode="reflect"), IMAGES),
    "nearest": (lambda: nn.Upsample(scale_factor=2), IMAGES),
    "bilinear": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), IMAGES),
    "unfold": (lambda: nn.Unfold(3), IMAGES),
    "pixel_shuffle": (lambda: nn.PixelShuffle(2), IMAGES),
}


def check(model: Any, shape: tuple[int, ...], weighted: bool = True) -> None:
    x = gg.rand(*shape, requires_grad=True)

    def output() -> Any:
        out = model(x)
        return out[0] if isinstance(out, tuple) else out

    weights = gg.rand(*output().shape)

    def step() -> Any:
        return (output() * weights).sum() if weighted else output().sum()

    found = gg.tape_memory(step)
    peak, _, _ = measured(step, [x, *model.parameters()])
    # Or the objects of Python, which are not counted.
    assert found.peak_bytes == pytest.approx(peak, rel=0.05, abs=8_000)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.usefixtures("two_threads")
def test_one_layer_is_within_5_percent(name: str) -> None:
    make, shape = LAYERS[name]
    check(make(), shape)
    if shape == IMAGES:  # behind a convolution images have their channels last in memory
        check(nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), make(), nn.ReLU()), shape)


KERNELS = {  # size, stride, padding, dilation, groups
    "3x3": (3, 1, 1, 1, 1),
    "3x3 without border": (3, 1, 0, 1, 1),
    "3x3 stride 2": (3, 2, 1, 1, 1),
    "3x3 dilated": (3, 1, 2, 2, 1),
    "3x3 in groups": (3, 1, 1, 1, 2),
    "5x5": (5, 1, 2, 1, 1),
    "1x1": (1, 1, 0, 1, 1),
    "1x1 stride 2": (1, 2, 0, 1, 1),
    "7x7 stride 2": (7, 2, 3, 1, 1),
}


@pytest.mark.parametrize("weighted", [True, False], ids=["", "constant cotangent"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", [(8, 64, 64, 16), (32, 16, 24, 16), (16, 64, 128, 16), (4, 4, 64, 64)], ids=str)
@pytest.mark.usefixtures("plain_memory")
def test_a_convolution_is_within_5_percent(shape: tuple[int, ...], kernel: str, weighted: bool) -> None:
    batch, channels, out, size = shape
    k, stride, padding, dilation, groups = KERNELS[kernel]
    conv = nn.Conv2d(channels, out, k, stride=stride, padding=padding, dilation=dilation, groups=groups)
    model = nn.Sequential(conv, nn.ReLU()) if weighted else nn.Sequential(conv)
    check(model, (batch, channels, size, size), weighted)


@pytest.mark.parametrize("shape", [*itertools.product((8, 32), (32, 64), (64, 128), (8, 17))], ids=str)
@pytest.mark.usefixtures("plain_memory")
def test_a_fast_convolution_is_within_5_percent(shape: tuple[int, ...]) -> None:
    batch, channels, out, size = shape
    with gg.cpu.convolution("fast"):
        check(nn.Sequential(nn.Conv2d(channels, out, 3, padding=1), nn.ReLU()), (batch, channels, size, size))
