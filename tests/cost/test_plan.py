"""`gg.checkpoint_plan`: what it picks, that it fits when it really runs, and that the gradients stay the same."""

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.cost import CostError
from gpugrad.cost.plan import parse_size
from gpugrad.nn import Module
from tests.cost.test_ledger import measured, plain_memory

__all__ = ["plain_memory"]
nn, F = gg.nn, gg.nn.functional


def deep(depth: int = 12, width: int = 96) -> nn.Sequential:
    gg.manual_seed(0)
    return nn.Sequential(*[layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.Tanh())])


class Block(Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(0.5), nn.Linear(4 * width, width))

    def forward(self, x: Any) -> Any:
        return x + self.inner(x)


class Blocks(Module):
    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(width) for _ in range(count)])

    def forward(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return x


def gradients(model: Module, *batch: Any) -> list[Any]:
    model.zero_grad()
    gg.manual_seed(7)
    F.cross_entropy(model(batch[0]), batch[1]).backward()
    found = [p.grad.numpy().copy() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    return found


def batch(rows: int, width: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return gg.tensor(rng.standard_normal((rows, width), np.float32)), gg.tensor(rng.integers(0, width, rows))


def half_of(model: Module, *data: Any, share: float = 0.7) -> int:
    before = gg.tape_memory(lambda: F.cross_entropy(model(data[0]), data[1])).peak_bytes
    return int(before * share)


@pytest.mark.usefixtures("plain_memory")
@pytest.mark.parametrize("make", [deep, lambda: Blocks(6, 64)], ids=["layers", "blocks"])
def test_a_plan_fits_its_budget_when_it_runs(make: Any) -> None:
    model = make()
    x, labels = batch(1024, 96 if isinstance(model, nn.Sequential) else 64)
    budget = half_of(model, x, labels)
    plan = gg.checkpoint_plan(model, x, labels, budget=budget, ceilings=False)
    assert plan.peak_bytes <= budget < plan.peak_before
    with plan.applied():
        peak, _, _ = measured(lambda: F.cross_entropy(model(x), labels), list(model.parameters()))
    assert peak == pytest.approx(plan.peak_bytes, rel=0.05)


@pytest.mark.parametrize("make", [deep, lambda: Blocks(4, 64)], ids=["layers", "blocks and dropout"])
def test_gradients_are_those_without_the_plan(make: Any) -> None:
    model = make()
    data = batch(256, 96 if isinstance(model, nn.Sequential) else 64)
    expected = gradients(model, *data)
    plan = gg.checkpoint_plan(model, *data, budget=half_of(model, *data, share=0.75), ceilings=False)
    assert plan.groups
    with plan.applied():
        found = gradients(model, *data)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert all("forward" not in module.__dict__ for module in model.modules()), "nothing is left of the plan"


def test_what_is_computed_twice_is_said_and_as_little_as_will_do() -> None:
    model, data = deep(), batch(1024, 96)
    tight = gg.checkpoint_plan(model, *data, budget=half_of(model, *data, share=0.6), ceilings=False)
    loose = gg.checkpoint_plan(model, *data, budget=half_of(model, *data, share=0.85), ceilings=False)
    assert 0 < loose.extra_flops < tight.extra_flops
    again = [name for group in loose.groups for name in group]
    rows = 1024 * 96 * 2 * 96
    assert loose.extra_flops == pytest.approx(rows * sum(int(name) % 2 == 0 for name in again), rel=0.02)
    assert f"costs {loose.extra_share:.1%} of a step's arithmetic" in str(loose)


def test_time_is_that_of_the_arithmetic_at_the_machines_rate() -> None:
    from gpugrad.cost.ceilings import Ceilings

    model, data = deep(), batch(512, 96)
    plan = gg.checkpoint_plan(model, *data, budget=half_of(model, *data), ceilings=Ceilings(1e9, 1e15))
    assert plan.extra_seconds == pytest.approx(plan.extra_flops / 1e9)


def test_a_model_that_fits_is_left_alone() -> None:
    model, data = deep(), batch(64, 96)
    plan = gg.checkpoint_plan(model, *data, budget="2GB")
    assert plan.groups == ()
    assert plan.extra_flops == 0
    assert "nothing needs to be computed again" in str(plan)


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("500 MiB", 500 * 2**20), ("64k", 64_000), (1000, 1000), ("10B", 10)],
)
def test_sizes_are_read(text: Any, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-3GB", "1..2GB", 0])
def test_what_is_no_size_is_refused(text: Any) -> None:
    with pytest.raises(CostError, match="expected a size such as '2GB'"):
        parse_size(text)


def test_a_budget_that_nothing_fits_is_refused_with_the_leanest() -> None:
    with pytest.raises(CostError, match="the leanest plan takes"):
        gg.checkpoint_plan(deep(), *batch(256, 96), budget="10kB", ceilings=False)


def test_a_plan_needs_a_batch_and_parts() -> None:
    with pytest.raises(CostError, match="no batch"):
        gg.checkpoint_plan(deep(), budget="2GB")
    with pytest.raises(CostError, match="no parts to compute again"):
        gg.checkpoint_plan(nn.Linear(96, 96), *batch(256, 96), budget="10kB")
