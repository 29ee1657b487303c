"""What a device refuses, or does once and never again, while a step is recorded; values that go before replays."""

import contextlib
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for
from tests.standin import State

A, B = "cuda:0", "cuda:1"


def full(value: float, n: int = 3) -> Any:
    return gg.full((n,), value, device="cuda")


def outcomes(step: Any) -> list[Any]:
    return [step(full(float(i))).tolist() for i in range(7)]


def test_a_refusal_that_the_function_swallows_is_one_all_the_same(gpu: State) -> None:
    seen = np.zeros(1)

    def step(x: Any) -> Any:
        y = x * 2.0
        with contextlib.suppress(RuntimeError):
            seen[0] += y.sum().item()
        return y

    compiled = gg.compile(step, warmup=2)
    with pytest.warns(RuntimeWarning, match="reads values of the device"):
        found = outcomes(compiled)
    assert found == [[2.0 * i] * 3 for i in range(7)]
    assert seen[0] == 6.0 * sum(range(7))
    assert compiled.graphs == 0


@pytest.mark.parametrize("swallowed", [False, True])
def test_a_recording_that_the_driver_gave_up_is_ended(gpu: State, swallowed: bool) -> None:
    """A wait for the device in CuPy's own words: the stream takes nothing more until the recording is ended."""

    def step(x: Any) -> Any:
        y = x * 2.0
        try:
            y.data.get()
        except RuntimeError:
            if not swallowed:
                raise
        return y + 1.0

    compiled = gg.compile(step, warmup=2)
    with pytest.warns(RuntimeWarning, match="cudaErrorStreamCapture"):
        found = outcomes(compiled)
    assert found == [[2.0 * i + 1.0] * 3 for i in range(7)]
    assert not gpu.capturing
    other = gg.compile(lambda x: x * 3.0, warmup=1)
    assert outcomes(other)[-1] == [18.0] * 3
    assert other.graphs == 1


def test_one_over_several_gpus_too(two_gpus: State) -> None:
    def step(x: Any) -> Any:
        y = x.to(B) * 2.0
        y.data.get()
        return y.to(A)

    compiled = gg.compile(step, warmup=2)
    with pytest.warns(RuntimeWarning, match="cudaErrorStreamCapture"):
        found = [compiled(gg.full((3,), float(i), device=A)).tolist() for i in range(5)]
    assert found == [[2.0 * i] * 3 for i in range(5)]
    assert not two_gpus.capturing


def test_work_on_a_stream_of_the_users_own_is_refused(gpu: State) -> None:
    import cupy

    own = cupy.cuda.Stream(non_blocking=True)

    def step(x: Any) -> Any:
        with own:
            y = x * 2.0
        return y + 1.0

    compiled = gg.compile(step, warmup=2)
    with pytest.warns(RuntimeWarning, match="it works on a stream of its own"):
        found = outcomes(compiled)
    assert found == [[2.0 * i + 1.0] * 3 for i in range(7)]


def test_memory_in_the_order_of_streams_is_refused(gpu: State) -> None:
    import cupy

    compiled = gg.compile(lambda x: x * 2.0, warmup=2)
    pool = cupy.cuda.MemoryAsyncPool()
    with cupy.cuda.using_allocator(pool.malloc), pytest.warns(RuntimeWarning, match="cudaMallocAsync"):
        found = outcomes(compiled)
    assert found == [[2.0 * i] * 3 for i in range(7)]


def test_values_for_a_stream_may_be_changed_at_once(gpu: State) -> None:
    """Copies that are still under way read pinned memory; each has its own, up to a bound."""
    import cupy

    backend: Any = backend_for("cuda")
    stream = cupy.cuda.Stream(non_blocking=True)
    gpu.busy.add(stream.ptr)
    values, targets = np.zeros(5, np.float32), [gg.zeros(5, device="cuda") for _ in range(40)]
    gpu.clear()
    for i, target in enumerate(targets):
        values[...] = i
        backend.upload(target.data, values, stream)
    assert gpu.syncs == ["Event.synchronize"] * 8, "no more than 32 are under way"
    stream.synchronize()
    assert [target.tolist() for target in targets] == [[float(i)] * 5 for i in range(40)]
    gpu.busy.clear()
    backend.upload(targets[0].data, values, stream)
    assert len(gpu.pinned) == 32, "one whose copy is over is taken again"


def test_replays_that_run_behind_have_their_own_numbers(gpu: State) -> None:
    """The host prepares the next steps while the device is at an earlier one."""
    found = []
    for compiled in (False, True):
        w = full(2.0).requires_grad_()
        optimizer = gg.optim.Adam([w], lr=0.1)
        schedule = gg.optim.ExponentialLR(optimizer, 0.8)

        def step(x: Any, w: Any = w, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad()
            (gg.dropout(w, 0.5) * x).sum().backward()
            optimizer.step()

        run = gg.compile(step) if compiled else step
        gg.manual_seed(3)
        for i in range(12):
            run(full(float(i)))
            schedule.step()
            gpu.busy.update(range(32, 10_000))  # no stream's work is over from here on
        found.append(w.tolist())
        gpu.busy.clear()
    assert found[0] == found[1]
