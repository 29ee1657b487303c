"""Programs as people write them around `gg.compile`: each gives the bits of the same program without it."""

import collections
import contextlib
import dataclasses
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F
from tests.standin import State

Run = Callable[[Any], list[Any]]  # what a program computes, with `gg.compile` or something else in its place


def batch(i: int, rows: int = 5) -> tuple[Any, Any]:
    """The i-th batch of images and labels on the GPU."""
    rng = np.random.default_rng(i)
    x = gg.tensor(rng.standard_normal((rows, 6)).astype(np.float32), device="cuda")
    return x, gg.tensor(rng.integers(0, 3, rows), device="cuda")


def network(dropout: float = 0.4) -> Any:
    """A small one, the same each time."""
    gg.manual_seed(5)
    parts = [gg.nn.Linear(6, 8), gg.nn.BatchNorm1d(8), gg.nn.ReLU(), gg.nn.Dropout(dropout), gg.nn.Linear(8, 3)]
    return gg.nn.Sequential(*parts).to("cuda")


def numbers(model: Any) -> list[Any]:
    """All that a model holds."""
    return [t.detach().tolist() for t in model.state_dict().values()]


def plainly(function: Any = None, **_: Any) -> Any:
    """In the place of `gg.compile`: nothing."""
    return function if function is not None else (lambda f: f)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Warnings that something runs as it is are not what is looked at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def update_alone(compiled: Any) -> list[Any]:
    """The optimizer's step, and nothing else."""
    model = network()
    optimizer = gg.optim.Adam(model.parameters(), lr=0.01)
    step = compiled(optimizer.step)
    found = []
    for i in range(9):
        optimizer.zero_grad(set_to_none=False)
        x, y = batch(i)
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        step()
        found.append(loss.item())
    return [found, numbers(model)]


def schedule_outside(compiled: Any) -> list[Any]:
    """The schedule is stepped between calls, and the loss read there."""
    model = network()
    optimizer = gg.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    schedule = gg.optim.CosineAnnealingLR(optimizer, 9)

    @compiled
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        gg.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    found = []
    for i in range(9):
        found.append(step(*batch(i)).item())
        schedule.step()
    return [found, numbers(model)]


def accumulation(compiled: Any) -> list[Any]:
    """Three small batches to an update, the update compiled as well."""
    model = network()
    optimizer = gg.optim.AdamW(model.parameters(), lr=0.01)

    @compiled
    def gradients(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x), y) / 3
        loss.backward()
        return loss.detach()

    update = compiled(optimizer.step)
    found = []
    for i in range(27):
        found.append(gradients(*batch(i)))
        if i % 3 == 2:
            update()
            optimizer.zero_grad(set_to_none=i % 2 == 0)
    return [[loss.item() for loss in found], numbers(model)]


def accumulation_inside(compiled: Any) -> list[Any]:
    """A flag among the arguments says when to update."""
    model = network()
    optimizer = gg.optim.AdamW(model.parameters(), lr=0.01)

    @compiled
    def step(x: Any, y: Any, *, last: bool = False) -> Any:
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        if not last:
            return loss.detach()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return [[step(*batch(i), last=i % 3 == 2).item() for i in range(24)], numbers(model)]


def train_and_eval(compiled: Any) -> list[Any]:
    """One compiled forward pass for both, switched between epochs; nothing among the arguments says so."""
    model = network()
    optimizer = gg.optim.SGD(model.parameters(), lr=0.1)

    @compiled
    def forward(x: Any, y: Any) -> Any:
        return F.cross_entropy(model(x), y)

    @compiled
    def train(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    found = []
    for _ in range(4):
        model.train()
        found += [train(*batch(i)).item() for i in range(3)]
        found += [forward(*batch(i)).item() for i in range(2)]
        model.eval()
        found += [forward(*batch(i)).item() for i in range(5)]
        with gg.no_grad():
            found += [forward(*batch(i)).item() for i in range(3)]
    return [found, numbers(model)]


def frozen_and_not(compiled: Any) -> list[Any]:
    """A layer is frozen after some steps, and thawed again."""
    model = network()
    optimizer = gg.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)

    @compiled
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    found = []
    for wanted in (True, False, True):
        model[0].requires_grad_(wanted)
        found += [step(*batch(i)).item() for i in range(6)]
        found.append([p.grad is None for p in model.parameters()])
    return [found, numbers(model)]


class Trainer:
    """A class whose method is compiled; it counts, and keeps what it has seen."""

    def __init__(self, compiled: Any, counts: bool = False, keeps: bool = False) -> None:
        self.model = network()
        self.optimizer = gg.optim.Adam(self.model.parameters(), lr=0.02)
        self.seen, self.losses, self.recent = 0, [], collections.deque(maxlen=4)
        self.counts, self.keeps = counts, keeps
        self.step = compiled(self._step)

    def _step(self, x: Any, y: Any) -> Any:
        self.optimizer.zero_grad()
        loss = self._loss(x, y)
        loss.backward()
        self.optimizer.step()
        if self.counts:
            self.seen += x.shape[0]
        if self.keeps:
            self.recent.append(loss.detach())
        return loss.detach() * (1.0 + self.seen)

    def _loss(self, x: Any, y: Any) -> Any:
        return F.cross_entropy(self.model(x), y)


def method(compiled: Any) -> list[Any]:
    """A method as the step, its losses kept outside."""
    trainer = Trainer(compiled)
    for i in range(8):
        trainer.losses.append(trainer.step(*batch(i)))
    return [[loss.item() for loss in trainer.losses], numbers(trainer.model)]


def counting(compiled: Any) -> list[Any]:
    """A step that counts on the host, and uses the count."""
    trainer = Trainer(compiled, counts=True)
    return [[trainer.step(*batch(i)).item() for i in range(8)], trainer.seen, numbers(trainer.model)]


def keeping(compiled: Any) -> list[Any]:
    """A step that appends its loss to a queue."""
    trainer = Trainer(compiled, keeps=True)
    outs = [trainer.step(*batch(i)).item() for i in range(8)]
    return [outs, [loss.item() for loss in trainer.recent], numbers(trainer.model)]


LOSSES: list[Any] = []


def remember(loss: Any) -> None:
    """Keep a loss where nobody's arguments lead to."""
    LOSSES.append(loss)


class Remembering:
    """Its step calls a method which calls a function that keeps the loss."""

    def __init__(self) -> None:
        self.w = gg.full((3,), 2.0, device="cuda")

    def note(self, loss: Any) -> None:
        remember(loss)

    def step(self, x: Any) -> Any:
        loss = (self.w * x).sum()
        self.note(loss)
        return loss


def remembering(compiled: Any) -> list[Any]:
    """A global list grows, two calls further in."""
    LOSSES.clear()
    step = compiled(Remembering().step)
    outs = [step(gg.full((3,), float(i), device="cuda")).item() for i in range(6)]
    return [outs, [loss.item() for loss in LOSSES]]


def nonlocal_state(compiled: Any) -> list[Any]:
    """A running average that is a variable of the function around."""
    average, count = gg.zeros(3, device="cuda"), 0

    @compiled
    def step(x: Any) -> Any:
        nonlocal average, count
        count += 1
        average = average * 0.5 + x
        return average * 1.0

    outs = [step(gg.full((3,), float(i), device="cuda")).tolist() for i in range(7)]
    return [outs, average.tolist(), count]


@dataclasses.dataclass(slots=True)
class Slotted:
    """An object without a dictionary."""

    hidden: Any
    count: int = 0


def slotted_state(compiled: Any) -> list[Any]:
    """State in an object with slots."""
    state = Slotted(gg.zeros(3, device="cuda"))

    @compiled
    def step(x: Any) -> Any:
        state.count += 1
        state.hidden = state.hidden * 0.5 + x
        return state.hidden * 1.0

    outs = [step(gg.full((3,), float(i), device="cuda")).tolist() for i in range(7)]
    return [outs, state.hidden.tolist(), state.count]


def early_return(compiled: Any) -> list[Any]:
    """Branches by arguments that are no arrays."""
    w = gg.full((3,), 2.0, device="cuda")

    @compiled
    def step(x: Any, mode: str, options: dict[str, Any] | None, parts: list[Any]) -> Any:
        if options is None:
            return x
        if mode == "double":
            return {"out": x * w, "name": mode, "none": None}
        return x * options["factor"] + sum(parts), mode

    found = []
    for i in range(8):
        x = gg.full((3,), float(i), device="cuda")
        for mode, options in (("double", {"factor": 2.0}), ("other", {"factor": i % 2}), ("double", None)):
            out = step(x, mode, options, [x, x * 2.0])
            found.append(str(out))
    return found


def last_batch(compiled: Any) -> list[Any]:
    """Epochs whose last batch is smaller."""
    trainer = Trainer(compiled)
    return [[trainer.step(*batch(i, 5 if i % 4 != 3 else 2)).item() for i in range(20)], numbers(trainer.model)]


def failing(compiled: Any) -> list[Any]:
    """Errors of the user's in the first calls, in the one that would be recorded, and later."""
    found = []
    for bad in (0, 1, 3, 5):
        w = gg.full((3,), 2.0, device="cuda", requires_grad=True)
        optimizer = gg.optim.SGD([w], lr=0.1)

        @compiled
        def step(x: Any, fail: Any, w: Any = w, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = (w * x).sum()
            loss.backward()
            if fail:
                raise KeyError("of the user")
            optimizer.step()
            return loss.detach()

        for i in range(8):
            try:
                found.append(step(gg.full((3,), float(i), device="cuda"), i == bad).item())
            except KeyError as error:
                found.append(repr(error))
        found.append(w.detach().tolist())
    return found


def nested(compiled: Any) -> list[Any]:
    """Compiled functions within a compiled one, and called alone."""
    w = gg.full((3,), 2.0, device="cuda")
    inner = compiled(lambda x: gg.tanh(w * x))
    outer = compiled(lambda x: inner(x) + inner(x * 2.0))
    found = []
    for i in range(7):
        x = gg.full((3,), float(i) / 7, device="cuda")
        found += [outer(x).tolist(), inner(x).tolist()]
    return found


def metrics(compiled: Any) -> list[Any]:
    """Totals on the device and on the CPU, changed in place."""
    right, seen = gg.zeros(1, device="cuda"), gg.zeros(1, device="cpu")

    @compiled
    def count(x: Any, y: Any) -> Any:
        right.add_((x.argmax(1) == y).astype(gg.float32).sum())
        seen.add_(float(x.shape[0]))
        return right

    outs = [count(*batch(i)).item() for i in range(7)]
    return [outs, right.item(), seen.item()]


def two_threads(compiled: Any) -> list[Any]:
    """Calls from several threads, each with arguments of its own."""
    w = gg.full((3,), 2.0, device="cuda")
    step = compiled(lambda x: x * w)
    found: dict[int, list[Any]] = {}

    def work(k: int) -> None:
        with quiet():
            found[k] = [step(gg.full((3,), float(10 * k + i), device="cuda")).tolist() for i in range(6)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
        thread.join()  # the stand-in is no GPU for several threads at once
    return [found[0], found[1]]


RECORDED: list[Run] = [
    update_alone, schedule_outside, accumulation, accumulation_inside, train_and_eval, frozen_and_not, method,
    early_return, last_batch, failing, nested, two_threads,
]  # fmt: skip
PLAIN: dict[Run, str] = {
    counting: r"it changes self\.seen, which no replay would",
    keeping: r"it keeps a tensor \(self\.recent\[3\]\)",
    remembering: r"it keeps a tensor \(LOSSES\[3\]\)",
    nonlocal_state: r"it keeps a tensor \(average\)",
    slotted_state: r"it keeps a tensor \(state\.hidden\)",
    metrics: r"it changes an array on the CPU \(\(1,\) float32\)",
}


@pytest.mark.parametrize("warmup", [1, 3])
@pytest.mark.parametrize("program", [*RECORDED, *PLAIN], ids=lambda program: program.__name__)
def test_a_program_gives_the_bits_of_the_plain_one(gpu: State, program: Run, warmup: int) -> None:
    gg.manual_seed(3)
    want = program(plainly)
    gg.manual_seed(3)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", RuntimeWarning)
        found = program(lambda function: gg.compile(function, warmup=warmup, max_graphs=20))
    assert found == want
    if warmup == 3:
        assert (gpu.calls["graph.launch"] > 0) == (program in RECORDED)
    for reason in [PLAIN[program]] if program in PLAIN and warmup == 3 else []:
        assert len(said) == 1, "it is said once"
        assert re.search(reason, str(said[0].message))


def test_an_interrupted_recording_is_as_if_it_had_not_been(gpu: State) -> None:
    found: list[Any] = []
    for compiled in (False, True):
        trainer = Trainer(plainly)
        asked = [False]

        def step(x: Any, y: Any, trainer: Trainer = trainer, asked: list[bool] = asked) -> Any:
            loss = trainer.step(x, y)
            if asked[0]:
                raise KeyboardInterrupt
            return loss

        run = gg.compile(step) if compiled else step
        gg.manual_seed(2)
        for i in range(8):
            for _ in range(2 if compiled and i == 3 else 0):
                asked[0] = True
                with pytest.raises(KeyboardInterrupt):
                    run(*batch(i))
                asked[0] = False
            found.append(run(*batch(i)).item())
        found.append(numbers(trainer.model))
        found.append(trainer.optimizer.state_dict()["state"][0]["step"])
    assert found[:10] == found[10:]
    assert run.graphs == 1


def test_what_reads_gradients_that_lie_elsewhere_each_time_says_so(gpu: State) -> None:
    w = gg.full((3,), 2.0, device="cuda", requires_grad=True)
    optimizer = gg.optim.SGD([w], lr=0.1)
    step = gg.compile(optimizer.step)
    kept = []

    def train() -> None:
        for _ in range(12):
            w.grad = None
            (w * w).sum().backward()
            kept.append(w.grad)
            step()

    with pytest.warns(RuntimeWarning, match=r"lie elsewhere in each call; .*zero_grad\(set_to_none=False\)") as said:
        train()
    assert len(said) == 1
    want = np.float32(2.0)
    for _ in range(12):
        want = want - np.float32(0.1) * (want + want)
    np.testing.assert_allclose(w.detach().numpy(), want, rtol=1e-6)


def test_a_function_that_shows_no_work_at_first_is_looked_at_again(gpu: State) -> None:
    w = gg.full((3,), 2.0, device="cuda")
    ready = [False]

    def step() -> None:
        if ready[0]:
            w.mul_(2.0)

    run = gg.compile(step, warmup=1)
    for i in range(8):
        ready[0] = i > 2
        run()
    assert w.tolist() == [2.0 * 2**5] * 3
    assert run.graphs == 1


def test_a_state_that_the_only_rehearsal_set_up_is_no_reason_to_give_up(gpu: State) -> None:
    found = []
    for wrap in (plainly, lambda f: gg.compile(f, warmup=1)):
        model = network()
        optimizer = gg.optim.Adam(model.parameters(), lr=0.01)

        def step(x: Any, y: Any, model: Any = model, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        run = wrap(step)
        gg.manual_seed(2)
        found.append([run(*batch(i)).item() for i in range(7)])
        found.append(numbers(model))
    assert found[:2] == found[2:]
    assert run.graphs == 1


def test_an_error_of_the_users_while_recording_says_nothing_against_the_next_time(gpu: State) -> None:
    def step(x: Any, bad: list[bool]) -> Any:
        y = x * 2.0
        if failing_now[0]:
            raise KeyError("of the user")
        return y

    failing_now = [False]
    compiled = gg.compile(step, warmup=2)
    for i in range(7):
        failing_now[0] = i == 2
        x = gg.full((3,), float(i), device="cuda")
        if failing_now[0]:
            with pytest.raises(KeyError, match="of the user"):
                compiled(x, [True])
        else:
            assert compiled(x, [True]).tolist() == [2.0 * i] * 3
    assert compiled.graphs == 1
