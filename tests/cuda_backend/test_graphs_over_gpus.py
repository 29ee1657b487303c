"""`gg.compile` over several GPUs: one graph, a stream and memory on each, the bits of the plain step."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F
from tests.cuda_backend.test_captured_steps import OPTIMIZERS
from tests.standin import State

A, B = "cuda:0", "cuda:1"
rounds = range(9)


class Pipeline:
    """The first layers on one GPU, the last ones on another; dropout on both, clipping over both, one optimizer."""

    def __init__(self, make: Callable[..., Any], compiled: bool, where: tuple[str, str] = (A, B)) -> None:
        gg.manual_seed(7)
        self.where = where
        first = [gg.nn.Linear(6, 8), gg.nn.LayerNorm(8), gg.nn.ReLU(), gg.nn.Dropout(0.3)]
        last = [gg.nn.Linear(8, 8), gg.nn.Dropout(0.2), gg.nn.Tanh(), gg.nn.Linear(8, 3)]
        self.parts = [gg.nn.Sequential(*layers).to(device) for layers, device in zip((first, last), where, strict=True)]
        self.optimizer = make([p for part in self.parts for p in part.parameters()])
        self.scaler = gg.GradScaler(init_scale=64.0, growth_interval=2)
        self.step = gg.compile(self.plain) if compiled else self.plain

    def plain(self, x: Any, y: Any, factor: Any) -> Any:
        self.optimizer.zero_grad()
        hidden = self.parts[0](x).to(self.where[1])
        loss = F.cross_entropy(self.parts[1](hidden), y) * factor
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        gg.nn.utils.clip_grad_norm_([p for part in self.parts for p in part.parameters()], 0.5)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()

    def run(self, rows: Callable[[int], int] = lambda i: 5) -> list[Any]:
        gg.manual_seed(11)
        losses = []
        for i in rounds:
            rng = np.random.default_rng(i)
            x = gg.tensor(rng.standard_normal((rows(i), 6)).astype(np.float32), device=self.where[0])
            y = gg.tensor(rng.integers(0, 3, rows(i)), device=self.where[1])
            factor = gg.tensor(np.float32(np.inf if i in (2, 6) else 1.0), device=self.where[1])
            losses.append(self.step(x, y, factor))
        weights = [p.detach().tolist() for part in self.parts for p in part.parameters()]
        return [[str(loss.item()) for loss in losses], self.scaler.state_dict(), weights]


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_a_step_over_two_gpus_is_one_graph_with_the_bits_of_the_plain_step(two_gpus: State, name: str) -> None:
    want = Pipeline(OPTIMIZERS[name], False).run()
    pipeline = Pipeline(OPTIMIZERS[name], True)
    two_gpus.clear()
    assert pipeline.run() == want
    assert pipeline.step.graphs == 1
    assert two_gpus.calls["graph.launch"] == len(rounds) - 3


def test_the_first_array_may_be_on_either(two_gpus: State) -> None:
    want = Pipeline(OPTIMIZERS["adam"], False, (B, A)).run()
    pipeline = Pipeline(OPTIMIZERS["adam"], True, (B, A))
    assert pipeline.run() == want
    assert pipeline.step.graphs == 1


def test_two_graphs_over_two_gpus_in_turns(two_gpus: State) -> None:
    found = []
    for compiled in (False, True):
        pipeline = Pipeline(OPTIMIZERS["adam"], compiled)
        found.append(pipeline.run(lambda i: 5 - i % 2))
    assert found[0] == found[1]
    assert pipeline.step.graphs == 2


def test_a_replay_over_two_gpus_launches_one_graph_and_does_not_wait(two_gpus: State) -> None:
    pipeline = Pipeline(OPTIMIZERS["adam"], True)
    pipeline.run()
    x, y = gg.ones(5, 6, device=A), gg.zeros(5, dtype="int64", device=B)
    factor = gg.ones((), device=B)
    two_gpus.clear()
    pipeline.step(x, y, factor)
    assert two_gpus.syncs == []
    assert two_gpus.launches == []
    assert two_gpus.calls["graph.launch"] == 1


def test_random_numbers_of_both_move_on(two_gpus: State) -> None:
    found = []
    for compiled in (False, True):

        def draw(x: Any) -> Any:
            return x + gg.rand(3, device=A) + (gg.randn(3, device=B) * 2.0).to(A)

        step = gg.compile(draw, warmup=1) if compiled else draw
        gg.manual_seed(3)
        found.append([step(gg.zeros(3, device=A)).tolist() for _ in range(6)])
    assert found[0] == found[1]
    assert len({str(numbers) for numbers in found[0]}) == 6
    assert step.graphs == 1


def test_a_step_without_arguments_may_work_on_both(two_gpus: State) -> None:
    ws = [gg.full((3,), i + 1.0, device=d, requires_grad=True) for i, d in enumerate((A, B))]
    step = gg.compile(lambda: [(w * 2.0).detach() for w in ws], warmup=1)
    for _ in range(5):
        assert [y.tolist() for y in step()] == [[2.0] * 3, [4.0] * 3]
    assert step.graphs == 1
    assert two_gpus.calls["graph.launch"] == 3


def test_a_gpu_that_the_calls_before_did_not_use_is_refused(two_gpus: State) -> None:
    ws = [gg.ones(3, device=d) for d in (A, B)]
    calls = []

    def step(x: Any) -> Any:
        calls.append(1)
        return (x * ws[0]).sum() if len(calls) < 3 else (x.to(B) * ws[1]).sum()

    compiled = gg.compile(step, warmup=2)
    for _ in range(2):
        compiled(gg.ones(3, device=A))
    with pytest.warns(RuntimeWarning, match="it works on cuda:1, and worked on cuda:0 alone in the calls before"):
        assert compiled(gg.ones(3, device=A)).item() == 3.0
    assert compiled(gg.ones(3, device=A)).item() == 3.0


def test_reading_a_value_of_the_second_gpu_ends_a_capture_of_both(two_gpus: State) -> None:
    w = gg.full((3,), 2.0, device=B)

    @gg.compile(warmup=2)
    def step(x: Any) -> Any:
        y = (x.to(B) * w).sum()
        return y if y.item() > 0 else -y

    for _ in range(2):
        step(gg.ones(3, device=A))
    with pytest.warns(RuntimeWarning, match="reads values of the device"):
        assert step(gg.ones(3, device=A)).item() == 6.0
    assert not two_gpus.capturing
    again = gg.compile(lambda x: (x.to(B) * w).sum(), warmup=1)
    assert [again(gg.full((3,), float(i), device=A)).item() for i in range(4)] == [0.0, 6.0, 12.0, 18.0]
    assert again.graphs == 1


def test_the_caller_waits_for_the_graph_on_both(two_gpus: State) -> None:
    """Work of the caller on either GPU comes before the graph, and after it."""
    import cupy

    w = gg.full((3,), 2.0, device=B)
    step = gg.compile(lambda x: (x.to(B) * w).sum(), warmup=1)
    streams = []
    for number in (0, 1):
        with cupy.cuda.Device(number):
            streams.append(cupy.cuda.Stream(non_blocking=True))
    with cupy.cuda.Device(1):
        streams[1].use()
    with cupy.cuda.Device(0), streams[0]:
        for i in range(4):
            two_gpus.clear()
            assert step(gg.full((3,), float(i), device=A)).item() == 6.0 * i
    waits = [(ours, theirs) for kind, ours, theirs in two_gpus.order if kind == "wait"]
    (one,) = {ours for ours, theirs in waits if theirs == streams[0].ptr and ours != streams[0].ptr} - {streams[1].ptr}
    (two,) = {ours for ours, theirs in waits if theirs == streams[1].ptr and ours != streams[1].ptr} - {streams[0].ptr}
    assert waits.index((two, streams[1].ptr)) < waits.index((one, two)), "before the launch, through the first stream"
    assert waits.index((one, two)) < waits.index((two, one)) < waits.index((streams[1].ptr, two))


def test_each_gpus_memory_is_its_own_in_the_statistics(two_gpus: State) -> None:
    pipeline = Pipeline(OPTIMIZERS["sgd"], True)
    pipeline.run()
    stats = [gg.cuda.memory_stats(device) for device in (A, B)]
    assert all(each.graph_bytes >= 32 << 20 for each in stats), "each with scratch memory for products"
    xs = [gg.zeros(1 << 20, device=device) for device in (A, B)]
    gg.cuda.set_memory_limit(gg.cuda.memory_stats(B).held_bytes + stats[1].graph_bytes + (1 << 20), B)
    gg.exp(xs[0])
    with pytest.raises(gg.OutOfMemoryError, match=r"on cuda:1 .*taken by compiled steps"):
        gg.exp(xs[1])
