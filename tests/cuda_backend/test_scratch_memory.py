"""Scratch memory of matrix products: one piece a stream, gone with the stream, never while it is at work."""

import gc
import threading
from typing import Any

import pytest

import gpugrad as gg
from gpugrad.backend import backend_for
from gpugrad.backend.cuda_scratch import _MOST
from tests.standin import State

PIECE = 32 << 20


@pytest.fixture
def held(gpu: State) -> Any:
    """How many pieces there are, besides the default stream's."""
    x = gg.ones(4, 4, device="cuda")
    assert (x @ x).sum().item() == 64.0
    before = gg.cuda.memory_allocated()
    return lambda: round((gg.cuda.memory_allocated() - before) / PIECE)


def product(stream: Any) -> None:
    """A product on a stream."""
    with stream:
        x = gg.ones(4, 4, device="cuda")
        assert (x @ x).sum().item() == 64.0


def new() -> Any:
    import cupy

    return cupy.cuda.Stream(non_blocking=True)


def test_it_goes_with_the_stream(gpu: State, held: Any) -> None:
    streams = [new() for _ in range(3)]
    for stream in streams * 2:
        product(stream)
    assert held() == 3
    streams.clear()
    del stream
    gc.collect()
    assert held() == 0


def test_it_stays_while_the_stream_is_at_work(gpu: State, held: Any) -> None:
    stream = new()
    product(stream)
    gpu.busy.add(stream.ptr)
    del stream
    gc.collect()
    assert held() == 1
    gpu.busy.clear()
    gg.cuda.empty_cache()
    assert held() == 0


def test_only_so_many_are_kept_beside_those_at_work(gpu: State, held: Any) -> None:
    streams = [new() for _ in range(_MOST + 5)]
    gpu.busy.update(stream.ptr for stream in streams[:2])
    for stream in streams:
        product(stream)
    assert held() <= _MOST + 2
    scratch = backend_for("cuda").blas.scratch
    assert all(stream.ptr in scratch._pieces for stream in streams[:2])
    product(streams[3])  # whose piece went: it gets another one
    assert held() <= _MOST + 2


def left_at_work(gpu: State) -> int:
    """The address of a stream that is gone, whose product is not over."""
    stream = new()
    product(stream)
    address = int(stream.ptr)
    gpu.busy.add(address)
    del stream
    gc.collect()
    return address


def test_a_stream_at_the_address_of_one_that_is_gone_waits_for_it(gpu: State, held: Any) -> None:
    address = left_at_work(gpu)
    again = new()
    again.ptr = again._copies.ptr = address
    gpu.clear()
    product(again)
    product(again)
    assert [each for each in gpu.order if each[0] == "wait"] == [("wait", address, address)], "once"
    assert held() == 1


def test_a_compiled_step_at_such_an_address_waits_too(gpu: State, held: Any) -> None:
    import itertools

    import cupy

    address = left_at_work(gpu)
    numbers, cupy.cuda.Stream._numbers = cupy.cuda.Stream._numbers, itertools.chain([address], itertools.count(5000))
    try:
        gpu.clear()
        step = gg.compile(lambda x: x @ x)
        assert step(gg.ones(4, 4, device="cuda")).sum().item() == 64.0
        assert gpu.order[0] == ("wait", address, address)
    finally:
        cupy.cuda.Stream._numbers = numbers


def test_objects_for_a_stream_of_others_come_and_go(gpu: State, held: Any) -> None:
    """CuPy's objects on a stream of another library: the stream is there as long as that library says."""
    theirs = new()
    for _ in range(5):
        wrapper = new()
        wrapper.ptr, wrapper.device_id, wrapper._own = theirs.ptr, -1, theirs._own
        product(wrapper)
        del wrapper
        gc.collect()
        assert held() == 1


def test_each_threads_default_stream_has_its_own(gpu: State, held: Any) -> None:
    import cupy

    ptds, seen, both, leave = cupy.cuda.Stream(ptds=True), [], threading.Barrier(2), threading.Barrier(3)
    scratch = backend_for("cuda").blas.scratch

    def work() -> None:
        both.wait(5)
        seen.append(scratch.of(ptds).address)
        leave.wait(5)
        leave.wait(5)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    leave.wait(5)
    assert len(set(seen)) == 2
    assert held() == 2
    leave.wait(5)
    for thread in threads:
        thread.join()
    gc.collect()
    assert held() == 0


def test_the_default_stream_records_no_events(gpu: State, held: Any) -> None:
    assert backend_for("cuda").blas.scratch._pieces[0].event is None
