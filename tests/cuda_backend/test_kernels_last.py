"""Kernels of convolutions on a GPU lie with their channels last, as images do: nothing turns them in a step."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for
from tests.standin import State

F = gg.nn.functional


def lies_last(array: Any) -> bool:
    return bool(array.transpose(0, *range(2, array.ndim), 1).flags.c_contiguous)


@pytest.mark.parametrize(
    "layer",
    [
        lambda **on: gg.nn.Conv2d(4, 6, 3, **on),
        lambda **on: gg.nn.Conv1d(4, 6, 3, groups=2, **on),
        lambda **on: gg.nn.ConvTranspose3d(4, 6, 2, **on),
        lambda **on: gg.nn.Conv2d(4, 6, 1, **on),
    ],
)
def test_layers_made_there_and_moved_there(gpu: State, layer: Callable[..., Any]) -> None:
    here = layer(device="cpu")
    before = here.weight.detach().numpy().copy()
    moved = here.to("cuda")
    for each in (layer(device="cuda"), moved, moved.half(), moved.to("cuda:0")):
        assert lies_last(each.weight.data)
    assert moved.weight.requires_grad
    back = moved.float().to("cpu")
    np.testing.assert_allclose(back.weight.data, before, rtol=1e-3)
    assert back.weight.data.flags.c_contiguous


@pytest.mark.parametrize("half", [False, True])
def test_a_step_turns_no_kernel(gpu: State, rng: np.random.Generator, half: bool) -> None:
    x, labels = rng.standard_normal((2, 3, 9, 9)).astype(np.float32), np.array([1, 0])

    def trained(device: str) -> tuple[Any, list[str]]:
        gg.manual_seed(1)
        net = gg.nn.Sequential(
            gg.nn.Conv2d(3, 8, 3, stride=2), gg.nn.ReLU(), gg.nn.Conv2d(8, 8, 3, stride=2), gg.nn.ReLU(),
            gg.nn.Flatten(), gg.nn.Linear(8, 2),
        ).to(device)  # fmt: skip
        optimizer = gg.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        images, classes = gg.tensor(x, device=device), gg.tensor(labels, device=device)
        seen: list[str] = []
        for _ in range(3):
            gpu.launches.clear()
            optimizer.zero_grad()
            with gg.autocast("bfloat16", enabled=half):
                loss = F.cross_entropy(net(images), classes)
            loss.backward()
            gg.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            seen = list(gpu.launches)
        assert all(p.grad.data.strides == p.data.strides for p in net.parameters() if p.data.ndim == 4)
        return [p.detach().numpy() for p in net.parameters()], seen

    (have, launches), (want, _) = trained("cuda"), trained("cpu")
    for a, b in zip(have, want, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-2 if half else 1e-5)
    # What comes in lies with its channels second, and is turned once; rows of a linear layer once each way.
    turned = [name for name in launches if "copy" in name and "strided" in name]
    assert len(turned) <= 3, turned
    assert sum("sgd" in name for name in launches) == 1


@pytest.mark.parametrize("name", ["SGD", "AdamW", "Adagrad"])
def test_updates_of_arrays_in_any_order_of_memory(gpu: State, rng: np.random.Generator, name: str) -> None:
    """Parameter and gradient in one order, in two, with gaps: the same numbers; copies only where they are needed."""
    value = rng.standard_normal((4, 5, 3, 2)).astype(np.float32)
    slopes = rng.standard_normal((3, 4, 5, 3, 2)).astype(np.float32)
    xp = backend_for("cuda").xp

    def placed(array: Any, way: str) -> Any:
        there = xp.asarray(array)
        if way == "C":
            return there
        if way == "last":
            return xp.ascontiguousarray(there.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        wide = xp.zeros((*array.shape[:-1], 4), array.dtype)
        wide[..., ::2] = there
        return wide[..., ::2]

    def updated(parameter: str, gradient: str) -> tuple[Any, int]:
        p = gg.nn.Parameter(placed(value, parameter))
        optimizer = getattr(gg.optim, name)([p], lr=0.1)
        for slope in slopes:
            p.grad = gg.Tensor(placed(slope, gradient))
            gpu.launches.clear()
            optimizer.step()
        return p.data.get(), sum("copy" in each for each in gpu.launches)

    want, none = updated("C", "C")
    assert none == 0
    for parameter, gradient, free in (
        ("last", "last", True), ("last", "C", False), ("C", "last", False),
        ("gaps", "C", False), ("gaps", "gaps", False),
    ):  # fmt: skip
        have, copies = updated(parameter, gradient)
        np.testing.assert_array_equal(have, want)
        assert (copies == 0) == free, (parameter, gradient, copies)
