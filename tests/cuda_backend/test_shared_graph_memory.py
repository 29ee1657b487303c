"""Several graphs of one compiled step, and what lasts: memory, gradients, caches, threads, streams, checkpoints."""

import gc
import threading
import warnings
import weakref
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F
from gpugrad.nodes import Leaf
from gpugrad.ops.resample import Band, band_of
from tests.cuda_backend.test_captured_steps import OPTIMIZERS, Training
from tests.standin import State


def batch(rows: int, seed: int) -> tuple[Any, Any]:
    """Examples for `Training`."""
    rng = np.random.default_rng(seed)
    x = gg.tensor(rng.standard_normal((rows, 6)).astype(np.float32), device="cuda")
    return x, gg.tensor(rng.integers(0, 3, rows), device="cuda")


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_two_graphs_in_turns_have_the_bits_of_plain_steps(gpu: State, name: str) -> None:
    """A short last batch: the tables of each graph must not lie where the other one writes."""
    found = []
    for compiled in (False, True):
        training = Training(name, compiled)
        gg.manual_seed(11)
        losses = [training.step(*batch(5 if i % 3 else 4, i)).item() for i in range(18)]
        found.append((losses, training.weights()))
    assert training.step.graphs == 2
    assert found[0][0] == found[1][0]
    for a, b in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_a_later_kind_of_call_leaves_is_not_where_a_graph_writes(gpu: State) -> None:
    found = []
    for compiled in (False, True):
        gg.manual_seed(3)
        nets = [gg.nn.Linear(6, 3).to("cuda") for _ in range(2)]
        optimizers = [gg.optim.Adam(net.parameters(), lr=0.01) for net in nets]

        def step(x: Any, y: Any, which: int, nets: Any = nets, optimizers: Any = optimizers) -> Any:
            optimizers[which].zero_grad()
            loss = F.cross_entropy(nets[which](x), y)
            loss.backward()
            optimizers[which].step()
            return loss.detach()

        run = gg.compile(step) if compiled else step
        order = [0] * 5 + [1, 0] * 6
        found.append([run(*batch(5, i), which).item() for i, which in enumerate(order)])
    assert found[0] == found[1]
    assert run.graphs == 2


def test_gradients_from_outside_are_read_where_they_are_now(gpu: State) -> None:
    """A step that only updates: its gradients are other arrays in each call."""
    found = []
    for compiled in (False, True):
        w = gg.full((4,), 1.0, device="cuda", requires_grad=True)
        optimizer = gg.optim.SGD([w], lr=0.1)
        clip: Any = lambda x, w=w: gg.nn.utils.clip_grad_norm_([w], 0.5)  # noqa: E731
        update: Any = lambda x, optimizer=optimizer: optimizer.step()  # noqa: E731
        if compiled:
            clip, update = gg.compile(clip, warmup=1), gg.compile(update, warmup=1)
        x = gg.ones(1, device="cuda")
        kept = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it gives up after a few graphs
            for i in range(12):
                optimizer.zero_grad()
                (w * gg.tensor(np.random.default_rng(i).standard_normal(4), w.dtype, device="cuda")).sum().backward()
                kept.append(w.grad)
                clip(x)
                update(x)
        found.append(w.detach().numpy())
    np.testing.assert_array_equal(*found)


def test_gradients_that_stay_are_read_by_one_graph(gpu: State) -> None:
    w = gg.full((4,), 1.0, device="cuda", requires_grad=True)
    optimizer = gg.optim.SGD([w], lr=0.1)
    (w * 2.0).sum().backward()
    update = gg.compile(lambda x: optimizer.step())
    for _ in range(6):
        update(gg.ones(1, device="cuda"))
    assert update.graphs == 1
    np.testing.assert_allclose(w.detach().numpy(), 1 - 6 * 0.2, rtol=1e-5)


@pytest.mark.parametrize("inside", [True, False])
def test_gradients_set_to_zero_stay_the_same_tensors(gpu: State, inside: bool) -> None:
    found = []
    for compiled in (False, True):
        w = gg.full((4,), 1.0, device="cuda", requires_grad=True)
        optimizer = gg.optim.SGD([w], lr=0.1, momentum=0.9)

        def plain(x: Any, w: Any = w, optimizer: Any = optimizer) -> None:
            if inside:
                optimizer.zero_grad(set_to_none=False)
            (w * w * x).sum().backward()
            optimizer.step()

        step = gg.compile(plain) if compiled else plain
        for i in range(8):
            if not inside:
                optimizer.zero_grad(set_to_none=False)
            step(gg.full((4,), float(i), device="cuda"))
            found.append((w.grad.tolist(), w.detach().tolist()))
    assert found[:8] == found[8:]
    assert step.graphs == 1


def test_a_checkpoint_is_taken_and_loaded_between_replays(gpu: State) -> None:
    outcomes = []
    for compiled in (False, True):
        training = Training("adam", False)
        scaler = gg.GradScaler(init_scale=4.0)

        def plain(x: Any, y: Any, training: Any = training, scaler: Any = scaler) -> Any:
            training.optimizer.zero_grad()
            loss = F.cross_entropy(training.model(x), y)
            scaler.scale(loss).backward()
            scaler.step(training.optimizer)
            scaler.update()
            return loss.detach()

        step = gg.compile(plain) if compiled else plain
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for i in range(6):
                step(*batch(5, i))
            states = [each.state_dict() for each in (training.model, training.optimizer, scaler)]
            old = states[1]["state"]
            saved = {k: v.numpy().copy() for k, v in states[0].items()}
            kept = {n: {k: getattr(v, "numpy", lambda v=v: v)() for k, v in s.items()} for n, s in old.items()}
            for i in range(6, 9):
                step(*batch(5, i))
            training.model.load_state_dict({k: gg.tensor(v) for k, v in saved.items()})
            training.optimizer.load_state_dict({**states[1], "state": kept})
            scaler.load_state_dict(states[2])
            gg.manual_seed(5)
            outcomes.append([step(*batch(5, i)).item() for i in range(6, 16)])
    assert outcomes[0] == outcomes[1]
    assert step.graphs == 1


def test_tables_that_a_cache_forgets_stay_for_the_graph(gpu: State) -> None:
    step = gg.compile(lambda x: F.interpolate(x, size=13, mode="bilinear").sum())
    image = gg.ones(1, 1, 8, 8, device="cuda")
    want = [step(image).item() for _ in range(5)].pop()
    assert step.graphs == 1
    bands = [each for each in gc.get_objects() if type(each) is Band]
    tables = [weakref.ref(a) for band in bands for on in band._on.values() for part in on.values() for a in part]
    assert tables
    del bands
    band_of.cache_clear()
    gc.collect()
    assert any(table() is not None for table in tables)
    assert step(image).item() == want


def test_threads_take_turns(gpu: State) -> None:
    """Two threads with other values in arguments that lie at one place."""
    w = gg.full((64,), 2.0, device="cuda")
    step = gg.compile(lambda x: (w * x).sum(), warmup=1)
    for _ in range(3):
        step(gg.zeros(1, device="cuda"))
    wrong: list[Any] = []
    place = type(step)._place

    def slow(self: Any, *args: Any) -> Any:
        given = place(self, *args)
        threading.Event().wait(0.002)
        return given

    type(step)._place = slow

    def work(value: float) -> None:
        for _ in range(10):
            found = step(gg.full((1,), value, device="cuda")).item()
            if found != 128.0 * value:
                wrong.append((value, found))

    threads = [threading.Thread(target=work, args=(float(i),)) for i in range(1, 4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        type(step)._place = place
    assert wrong == []


def test_listening_for_gradients_ends_whatever_the_order_of_threads(gpu: State) -> None:
    from gpugrad.transforms.heard import GRADIENTS

    plain, entered, leave = Leaf.accumulate, threading.Event(), threading.Event()
    heard: list[Any] = []

    def other() -> None:
        with GRADIENTS.heard() as found:
            entered.set()
            leave.wait(5)
            heard.append(found)

    thread = threading.Thread(target=other)
    w = gg.ones(3, requires_grad=True)
    with GRADIENTS.heard() as found:
        thread.start()
        entered.wait(5)
        (w * w).sum().backward()
    leave.set()
    thread.join()
    assert found == {w._node: None}
    assert heard == [{}]
    assert Leaf.accumulate is plain


def test_calls_from_several_streams_come_one_after_the_other(gpu: State) -> None:
    """The next call's step must not begin before results and arguments of the call before are done with."""
    import cupy

    double = gg.compile(lambda x: x * 2.0, warmup=1)
    for i in range(3):
        double(gg.full((3,), float(i), device="cuda"))
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
    for stream in streams:
        with stream:
            gpu.clear()
            assert double(gg.full((3,), 4.0, device="cuda")).tolist() == [8.0] * 3
            waits = [each for each in gpu.order if each[0] == "wait"]
    private = waits[-1][2]
    assert waits == [
        ("wait", private, streams[1].ptr),  # the arguments
        ("wait", private, streams[0].ptr),  # the copies of the results before
        ("wait", streams[1].ptr, private),
    ]
