"""Networks of many kinds in captured steps: the bits of the plain ones, though launches garble memory first."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.nn import functional as F
from tests.standin import State


class Attending(nn.Module):
    """Attention over a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm = nn.MultiheadAttention(8, 2, batch_first=True), nn.RMSNorm(8)

    def forward(self, x: Any) -> Any:
        """With a mask."""
        x = self.norm(x)
        return self.inner(x, x, x, need_weights=False)[0].reshape(x.shape[0], -1)


class Running(nn.Module):
    """A recurrent network."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.LSTM(8, 5, batch_first=True)

    def forward(self, x: Any) -> Any:
        """Its last output."""
        return self.inner(x)[0][:, -1]


class Looking(nn.Module):
    """Rows of a table, some of them several times."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Embedding(7, 6)

    def forward(self, x: Any) -> Any:
        """By what the input holds."""
        rows = (x * 100.0).astype("int64") % 7
        return self.inner(rows).cumsum(1).reshape(x.shape[0], -1)


class Resizing(nn.Module):
    """Images that grow and shrink."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(2, 3, 3, padding=1, groups=1)

    def forward(self, x: Any) -> Any:
        """Interpolated, sorted, padded, recomputed."""
        y = F.interpolate(self.inner(x), size=7, mode="bilinear", align_corners=False)
        y = gg.checkpoint(lambda y: gg.tanh(gg.exp(-y * y)))(y)
        return gg.sort(F.pad(y, (1, 1)).reshape(x.shape[0], -1), axis=1)


MODELS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4), nn.GroupNorm(2, 4), nn.GELU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ),
        (4, 2, 8, 8),
    ),
    "attention": (Attending, (4, 3, 8)),
    "recurrent": (Running, (4, 3, 8)),
    "embedding": (Looking, (4, 5)),
    "images": (Resizing, (2, 2, 5, 5)),
}  # fmt: skip


def losses(name: str, compiled: bool, count: int = 8) -> tuple[list[float], list[Any]]:
    """Of a training with Adam, and the model's state after it."""
    make, shape = MODELS[name]
    gg.manual_seed(1)
    model = make().to("cuda")
    optimizer = gg.optim.Adam(model.parameters(), 0.01)

    def plain(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (model(x) ** 2.0).mean() + F.dropout(model(x), 0.5).square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    step = gg.compile(plain) if compiled else plain
    gg.manual_seed(2)
    found = []
    for i in range(count):
        rng = np.random.default_rng(i)
        found.append(step(gg.tensor(rng.standard_normal(shape).astype(np.float32), device="cuda")))
    if compiled:
        assert step.graphs == 1
    return [loss.item() for loss in found], [value.tolist() for value in model.state_dict().values()]


@pytest.mark.parametrize("name", list(MODELS))
def test_a_captured_step_has_the_bits_of_the_plain_one(gpu: State, name: str) -> None:
    plain, captured = losses(name, False), losses(name, True)
    assert captured[0] == plain[0]
    assert captured[1] == plain[1]
