"""`gg.compile` on the GPU branch: the bits of the plain step, what changes between replays, refusals, the CPU."""

import gc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F
from tests.standin import State

OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "sgd": lambda p: gg.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: gg.optim.Adam(p, lr=0.01),
    "amsgrad": lambda p: gg.optim.AdamW(p, lr=0.01, amsgrad=True),
    "rmsprop": lambda p: gg.optim.RMSprop(p, lr=0.01),
    "adagrad": lambda p: gg.optim.Adagrad(p, lr=0.01, lr_decay=0.1),
    "adadelta": gg.optim.Adadelta,
    "adamax": lambda p: gg.optim.Adamax(p, lr=0.01),
    "nadam": lambda p: gg.optim.NAdam(p, lr=0.01),
    "radam": lambda p: gg.optim.RAdam(p, lr=0.01, betas=(0.9, 0.9)),  # rectified from the sixth step on
}


class Training:
    """A small network with dropout, clipping, an optimizer and a schedule; `run` takes steps and gives the losses."""

    def __init__(self, optimizer: str, compiled: bool, device: str = "cuda", accumulate: bool = False) -> None:
        gg.manual_seed(7)
        layers = [gg.nn.Linear(6, 8), gg.nn.LayerNorm(8), gg.nn.ReLU(), gg.nn.Dropout(0.3), gg.nn.Linear(8, 3)]
        self.model = gg.nn.Sequential(*layers).to(device)
        self.optimizer = OPTIMIZERS[optimizer](list(self.model.parameters()))
        self.schedule = gg.optim.StepLR(self.optimizer, 2)
        self.device, self.accumulate = device, accumulate
        self.step = gg.compile(self.plain) if compiled else self.plain

    def plain(self, x: Any, y: Any) -> Any:
        if not self.accumulate:
            self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(x), y)
        loss.backward()
        if not self.accumulate:
            gg.nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
            self.optimizer.step()
        return loss.detach()

    def run(self, steps: int, rows: int = 5) -> list[float]:
        gg.manual_seed(11)
        losses = []
        for i in range(steps):
            rng = np.random.default_rng(i)
            x = gg.tensor(rng.standard_normal((rows, 6)).astype(np.float32), device=self.device)
            y = gg.tensor(rng.integers(0, 3, rows), device=self.device)
            losses.append(self.step(x, y))
            if i % 3 == 2:
                self.schedule.step()
        return [loss.item() for loss in losses]

    def weights(self) -> list[np.ndarray]:
        return [p.detach().numpy().copy() for p in self.model.parameters()]


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_a_captured_step_gives_the_bits_of_the_plain_one(gpu: State, optimizer: str) -> None:
    plain, captured = Training(optimizer, False), Training(optimizer, True)
    want = plain.run(9)
    gpu.clear()
    assert captured.run(9) == want
    assert captured.step.graphs == 1
    assert gpu.calls["graph.launch"] == 6, "three runs as it is, then launches of the graph"
    for a, b in zip(captured.weights(), plain.weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    states = [s.state_dict()["state"] for s in (captured.optimizer, plain.optimizer)]
    assert [s["step"] for s in states[0].values()] == [s["step"] for s in states[1].values()] == [9] * len(states[0])


def test_a_replay_launches_nothing_by_itself_and_does_not_wait(gpu: State) -> None:
    training = Training("adam", True)
    training.run(5)
    x, y = gg.ones(5, 6, device="cuda"), gg.zeros(5, dtype="int64", device="cuda")
    gpu.clear()
    training.step(x, y)
    assert gpu.syncs == []
    assert gpu.launches == []
    assert gpu.calls["cublasLt.matmul"] == 0
    assert gpu.calls["graph.launch"] == 1


def test_each_shape_has_its_graph_up_to_a_bound(gpu: State) -> None:
    training = Training("sgd", True)
    training.run(5)
    training.run(5, rows=4)
    assert training.step.graphs == 2
    bounded = gg.compile(training.plain, warmup=1, max_graphs=1)
    x, y = gg.ones(5, 6, device="cuda"), gg.zeros(5, dtype="int64", device="cuda")
    for _ in range(3):
        bounded(x, y)
    bounded(x[:2], y[:2])
    with pytest.warns(RuntimeWarning, match=r"runs as it is, without a CUDA graph: there are 1 graphs of it already"):
        bounded(x[:2], y[:2])


def test_gradients_add_up_over_replays_as_they_do_without(gpu: State) -> None:
    found = []
    for compiled in (False, True):
        training = Training("sgd", compiled, accumulate=True)
        training.run(8)
        found.append([p.grad.numpy() for p in training.model.parameters()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_that_are_cleared_outside_are_there_again(gpu: State) -> None:
    training = Training("sgd", True, accumulate=True)
    for _ in range(7):
        training.optimizer.zero_grad()
        training.run(1)
    want = Training("sgd", False, accumulate=True)
    want.run(1)
    for a, b in zip(training.model.parameters(), want.model.parameters(), strict=True):
        np.testing.assert_array_equal(a.grad.numpy(), b.grad.numpy())


def test_results_of_earlier_calls_stay(gpu: State) -> None:
    double = gg.compile(lambda x: x * 2.0, warmup=1)
    outs = [double(gg.full((3,), float(i), device="cuda")) for i in range(5)]
    assert [o.numpy().tolist() for o in outs] == [[2.0 * i] * 3 for i in range(5)]


def test_reading_a_value_is_refused_with_the_line_and_runs_as_it_is(gpu: State) -> None:
    w = gg.ones(3, device="cuda", requires_grad=True)
    optimizer = gg.optim.Adam([w], lr=0.1)

    @gg.compile(warmup=2)
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (w * x).sum()
        loss.backward()
        optimizer.step()
        if loss.item() > 1e9:  # the line that reads
            return None
        return loss.detach()

    x = gg.ones(3, device="cuda")
    plain = [step(x).item() for _ in range(2)]
    with pytest.warns(
        RuntimeWarning, match=r"\[compile\] step runs .* reads values of the device .*the line that reads"
    ):
        plain.append(step(x).item())
    plain += [step(x).item() for _ in range(2)]
    assert plain == sorted(plain, reverse=True)
    assert len(set(plain)) == 5, "each call took one step"
    assert optimizer.state_dict()["state"][0]["step"] == 5, "what the recording did on the host was taken back"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (lambda x: x + gg.tensor([1.0, 2.0, 3.0], device="cuda"), "copies data of the host"),
        (lambda x: x.numpy(), "reads values of the device"),
    ],
)
def test_what_a_graph_cannot_replay_is_named(gpu: State, body: Any, why: str) -> None:
    step = gg.compile(body, warmup=1)
    x = gg.ones(3, device="cuda")
    step(x)
    with pytest.warns(RuntimeWarning, match=why):
        step(x)
    step(x)


def test_shapes_that_change_from_call_to_call_are_refused(gpu: State) -> None:
    sizes = iter(range(1, 100))

    def step(x: Any) -> Any:
        n = next(sizes)
        return (gg.broadcast_to(x, (300 * n, 3)) * 2.0).sum()  # grows

    compiled = gg.compile(step, warmup=2)
    x = gg.ones(3, device="cuda")
    for _ in range(3):  # the third would be recorded, and is a rehearsal once more
        compiled(x)
    with pytest.warns(RuntimeWarning, match=r"its shapes change from call to call.*# grows"):
        compiled(x)


def test_a_new_parameter_array_is_recorded_anew(gpu: State) -> None:
    found = []
    for compiled in (False, True):
        training = Training("sgd", compiled)
        training.run(5)
        weight = training.model[0].weight
        weight.data = weight.data * 0.5
        training.run(5)
        found.append(training.weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


INSIDE: dict[str, Callable[[Any], Any]] = {
    "exponential": lambda o: gg.optim.ExponentialLR(o, 0.5),
    "one cycle": lambda o: gg.optim.OneCycleLR(o, 0.5, 9, pct_start=0.5),
    "cycles": lambda o: gg.optim.CyclicLR(o, 0.1, 0.5, 2, 1),
    "restarts": lambda o: gg.optim.CosineAnnealingWarmRestarts(o, 2, 2),
    "sequence": lambda o: gg.optim.SequentialLR(
        o, [gg.optim.ChainedScheduler([gg.optim.LinearLR(o, total_iters=4)]), gg.optim.CosineAnnealingLR(o, 9)], [5]
    ),
}


@pytest.mark.parametrize("kind", ["sgd", "adam"])
@pytest.mark.parametrize("schedules", INSIDE.values(), ids=INSIDE)
def test_schedules_inside_move_on(gpu: State, schedules: Callable[[Any], Any], kind: str) -> None:
    rates = []
    for compiled in (False, True):
        w = gg.ones(3, device="cuda", requires_grad=True)
        optimizer = OPTIMIZERS[kind]([w])
        schedule = schedules(optimizer)

        def step(x: Any, w: Any = w, optimizer: Any = optimizer, schedule: Any = schedule) -> None:
            optimizer.zero_grad()
            ((w - 2) ** 2 * x).sum().backward()
            optimizer.step()
            schedule.step()

        run = gg.compile(step) if compiled else step
        for _ in range(8):
            run(gg.ones(3, device="cuda"))
        if compiled:
            assert run.graphs == 1
        rates.append((schedule.get_last_lr(), w.detach().numpy().tolist()))
    assert rates[0] == rates[1]


def run_refused(run: Any, message: str) -> None:
    """Four calls of a step, whose recording is refused; it runs as it is then."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(4):
            run(gg.ones(3, device="cuda"))
    assert any(message in str(w.message) for w in seen)


def test_a_recording_that_fails_takes_a_schedule_back(gpu: State) -> None:
    w = gg.ones(3, device="cuda", requires_grad=True)
    optimizer = OPTIMIZERS["adam"]([w])
    parts = [gg.optim.CyclicLR(optimizer, 0.1, 0.5, 2), gg.optim.ExponentialLR(optimizer, 0.5)]
    schedule = gg.optim.SequentialLR(optimizer, parts, [2])
    refused = gg.optim.StepLR(OPTIMIZERS["sgd"]([gg.ones(3, device="cuda", requires_grad=True)]), 2)
    seen = []

    def step(x: Any) -> Any:
        schedule.step()
        seen.append((schedule.last_epoch, schedule.get_last_lr()))
        refused.step(3)
        return x * 2

    run = gg.compile(step)
    run_refused(run, "a replay would repeat")
    assert [epoch for epoch, _ in seen] == [1, 2, 3, 4]
    assert seen[-1][1] == schedule.get_last_lr() == [0.1 / 4]


def test_an_option_that_a_graph_keeps_has_it_recorded_anew(gpu: State) -> None:
    weights = []
    for compiled in (False, True):
        w = gg.ones(3, device="cuda", requires_grad=True)
        optimizer = gg.optim.SGD([w], lr=0.1, momentum=0.5)

        def step(x: Any, w: Any = w, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad()
            (w * x).sum().backward()
            optimizer.step()

        run = gg.compile(step) if compiled else step
        for i in range(9):
            if i == 6:
                optimizer.param_groups[0]["weight_decay"] = 0.5
            run(gg.ones(3, device="cuda"))
        weights.append(w.detach().numpy().tolist())
    assert weights[0] == weights[1]


def test_what_decides_on_the_host_is_refused_inside(gpu: State) -> None:
    optimizer = OPTIMIZERS["sgd"]([gg.ones(3, device="cuda", requires_grad=True)])
    plateau, exponential = gg.optim.ReduceLROnPlateau(optimizer), gg.optim.ExponentialLR(optimizer, 0.5)
    for call, message in ((lambda: plateau.step(1.0), "decides on the host"), (lambda: exponential.step(3), "repeat")):

        def step(x: Any, call: Any = call) -> Any:
            call()
            return x * 2

        run = gg.compile(step)
        run_refused(run, message)


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_autocast_is_recorded(gpu: State, where: str) -> None:
    def product(x: Any) -> Any:
        return x @ x

    x = gg.ones(3, 3, device="cuda")
    block = gg.autocast("float16")
    step = gg.compile(product if where == "outside" else block(product), warmup=1)
    run = block(step) if where == "outside" else step
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outs = [run(x * i) for i in (1.0, 2.0, 3.0)]
    assert [out.numpy().tolist() for out in outs] == [[[3.0 * i * i] * 3] * 3 for i in (1, 2, 3)]
    assert {out.dtype for out in outs} == {np.dtype("float16")}
    assert step.graphs == 1


DRAWS: dict[str, Callable[[], Any]] = {
    "rand": lambda: gg.rand(5, device="cuda"),
    "randn": lambda: gg.randn(5, device="cuda"),
    "double": lambda: gg.randn(3, dtype="float64", device="cuda"),
    "randint": lambda: gg.randint(0, 1000, (5,), device="cuda"),
    "randperm": lambda: gg.randperm(50, device="cuda"),
    "beside dropout": lambda: gg.dropout(gg.ones(31, device="cuda"), 0.5) + gg.randn(31, device="cuda"),
}


@pytest.mark.parametrize("name", list(DRAWS))
def test_each_replay_draws_the_numbers_that_plain_calls_would(gpu: State, name: str) -> None:
    found = []
    for compiled in (False, True):
        step = gg.compile(lambda x: DRAWS[name]() + x, warmup=2) if compiled else lambda x: DRAWS[name]() + x
        gg.manual_seed(5)
        found.append([step(gg.zeros(1, device="cuda")).tolist() for _ in range(6)])
    assert found[0] == found[1]
    assert len({str(numbers) for numbers in found[0]}) == 6
    assert step.graphs == 1


def test_a_step_without_arguments_is_captured_where_it_works(gpu: State) -> None:
    found = []
    for compiled in (False, True):
        training = Training("adam", False)
        x, y = gg.ones(5, 6, device="cuda"), gg.zeros(5, dtype="int64", device="cuda")

        def step(training: Training = training, x: Any = x, y: Any = y) -> Any:
            return training.plain(x, y)

        run = gg.compile(lambda: step(), warmup=2) if compiled else step  # noqa: PLW0108
        gg.manual_seed(3)
        found.append([run().item() for _ in range(7)])
    assert found[0] == found[1]
    assert run.graphs == 1
    assert gpu.calls["graph.launch"] == 4, "one call to look, two as they are"


def test_a_function_without_arguments_that_stays_on_the_cpu_just_runs(gpu: State) -> None:
    w = gg.ones(3, device="cpu")
    calls = []
    step = gg.compile(lambda: (calls.append(1), w * 2.0)[1], warmup=1)
    for _ in range(5):
        assert step().tolist() == [2.0] * 3
    assert (len(calls), step.graphs) == (5, 0)


def test_numbers_alone_as_arguments_are_part_of_the_graph(gpu: State) -> None:
    w = gg.ones(3, device="cuda")
    step = gg.compile(lambda factor: w * factor, warmup=1)
    assert [step(f).tolist()[0] for f in (2.0, 2.0, 2.0, 3.0, 3.0, 2.0)] == [2.0, 2.0, 2.0, 3.0, 3.0, 2.0]
    assert step.graphs == 2


def test_on_the_cpu_the_function_just_runs() -> None:
    calls = []

    @gg.compile
    def step(x: Any) -> Any:
        calls.append(1)
        return x * 2.0

    x = gg.ones(2, device="cpu", requires_grad=True)
    for _ in range(6):
        assert step(x).tolist() == [2.0, 2.0]
    assert len(calls) == 6
    assert step.graphs == 0
    assert step.__name__ == "step"


def test_a_step_on_the_cpu_gives_the_same_numbers() -> None:
    plain, compiled = Training("adam", False, "cpu"), Training("adam", True, "cpu")
    assert plain.run(5) == compiled.run(5)


@pytest.mark.parametrize("options", [{"warmup": 0}, {"max_graphs": 0}])
def test_options_out_of_range_are_refused(options: Any) -> None:
    with pytest.raises(ValueError, match=r"\[compile\] warmup = "):
        gg.compile(lambda x: x, **options)


def test_the_scratch_memory_of_a_step_goes_with_it(gpu: State) -> None:
    w = gg.ones(4, 4, device="cuda")

    def take_steps() -> None:
        step = gg.compile(lambda x: x @ w)
        for _ in range(5):
            step(w)
        assert step.graphs == 1

    held = []
    for _ in range(3):
        take_steps()
        gc.collect()
        held.append(gpu.used_bytes[0])
    assert held[0] == held[1] == held[2]


def test_ever_new_shapes_take_no_more_and_more_memory(gpu: State) -> None:
    w = gg.ones(100, 4, device="cuda")
    step = gg.compile(lambda x: x @ w, warmup=1, max_graphs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            step(w.T)
        held = []
        for n in range(1, 201):
            for _ in range(2):  # the second call would record a graph, were there not one already
                step(gg.ones(n, 100, device="cuda"))
            held.append(gpu.used_bytes[0])
        for n in range(1, 201):  # and these never come to it
            step(gg.ones(n, 1, 100, device="cuda"))
            held.append(gpu.used_bytes[0])
    assert step.graphs == 1
    assert max(held[100:200]) <= held[0] + 100 * 512, "what runs as it is needs no memory to be read from"
    assert held[-1] <= held[199] + 64 * 100 * 4 * 201, "and of what is seen once, the last ones only are kept"
    gpu.clear()
    step(w.T)
    assert gpu.calls["graph.launch"] == 1, "the graph is kept"


def test_after_an_error_the_callers_stream_waits_for_what_ran(gpu: State) -> None:
    """An update may be under way on the private stream when the function fails."""

    @gg.compile
    def step(x: Any) -> Any:
        x.add_(1.0)
        raise KeyError("of the user")

    gpu.clear()
    with pytest.raises(KeyError, match="of the user"):
        step(gg.ones(3, device="cuda"))
    (_, private, _), (kind, outside, of) = (each for each in gpu.order if each[0] == "wait")
    assert (kind, outside, of) == ("wait", 0, private)


def test_numbers_in_a_row_are_made_on_the_device_and_so_in_each_replay(gpu: State) -> None:
    step = gg.compile(lambda x: x * gg.arange(1, 7, 2, device="cuda") + gg.arange(3, dtype="float32", device="cuda"))
    x = gg.ones(3, device="cuda")
    assert [step(x).tolist() for _ in range(5)] == [[1.0, 4.0, 7.0]] * 5
    assert step.graphs == 1
