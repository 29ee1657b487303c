"""The thread pool: every chunk once, errors, nesting, error state, fork."""

from __future__ import annotations

import os
import threading
import time
import weakref

import numpy as np
import pytest

from gpugrad.fusion import workers


def test_every_chunk_runs_once_and_errors_come_back() -> None:
    before = workers.set_num_threads(4)
    try:
        seen: list[int] = []
        workers.parallel_for(seen.append, 1000)
        assert sorted(seen) == list(range(1000))

        def failing(i: int) -> None:
            if i == 7:
                raise KeyError("chunk 7")

        with pytest.raises(KeyError, match="chunk 7"):
            workers.parallel_for(failing, 100)
        workers.parallel_for(lambda i: workers.parallel_for(seen.append, 3), 5)  # nested: in line, no deadlock
        assert len(seen) == 1015
    finally:
        workers.set_num_threads(before)


def test_helpers_see_the_callers_error_state() -> None:
    before = workers.set_num_threads(2)
    try:
        barrier = threading.Barrier(2)
        states: list[str] = []

        def chunk(i: int) -> None:
            barrier.wait(timeout=10)  # both threads take one chunk
            states.append(np.geterr()["divide"])

        with np.errstate(divide="raise"):
            workers.parallel_for(chunk, 2)
        assert states == ["raise", "raise"]
    finally:
        workers.set_num_threads(before)


def test_a_finished_job_keeps_nothing_alive_while_a_helper_is_busy() -> None:
    before = workers.set_num_threads(2)
    release, both = threading.Event(), threading.Barrier(3)

    def occupy(i: int) -> None:
        both.wait(timeout=10)
        release.wait(timeout=10)

    other = threading.Thread(target=workers.parallel_for, args=(occupy, 2))
    try:
        other.start()
        both.wait(timeout=10)
        array = np.ones(3)
        dead = weakref.ref(array)
        workers.parallel_for(lambda i, a=array: None, 2)
        del array
        assert dead() is None
    finally:
        release.set()
        other.join()
        workers.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # JAX's, where another test has loaded it
def test_a_forked_child_has_a_pool_of_its_own() -> None:
    before = workers.set_num_threads(2)
    try:
        workers.parallel_for(lambda i: None, 4)
        child = os.fork()
        if child == 0:
            seen: list[int] = []
            workers.parallel_for(seen.append, 50)
            os._exit(0 if sorted(seen) == list(range(50)) else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        workers.set_num_threads(before)


def test_the_number_of_threads_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers._Pool, "limit", None)
    monkeypatch.setenv("GPUGRAD_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="GPUGRAD_NUM_THREADS = 'many'"):
        workers.num_threads()
    monkeypatch.setenv("GPUGRAD_NUM_THREADS", "1")
    assert workers.num_threads() == 1
    with pytest.raises(ValueError, match="num_threads = 0"):
        workers.set_num_threads(0)


def test_each_thread_has_a_room_to_itself_and_two_are_enough_for_two() -> None:
    before = workers.set_num_threads(2)
    try:
        assert workers.takers(1) == 1
        assert workers.takers(9) == 2
        rooms: list[list[int]] = [[] for _ in range(workers.takers(1000))]

        def chunk(i: int, room: list[int]) -> None:
            room.append(i)
            assert len(room) == 1, "nobody else is in it"
            time.sleep(0)
            room.clear()

        workers.parallel_for(workers.lending(chunk, rooms), 1000)
        assert rooms == [[], []]
        with pytest.raises(ZeroDivisionError):
            workers.parallel_for(workers.lending(lambda i, room: 1 // 0, rooms), 4)
        assert len(rooms) == 2, "given back after an error too"
        inside: list[int] = []
        workers.parallel_for(lambda i: inside.append(workers.takers(9)), 4)
        assert inside == [1, 1, 1, 1], "within a chunk there are no helpers"
    finally:
        workers.set_num_threads(before)


def test_an_arena_lays_arrays_side_by_side_and_leaves_the_rest_to_numpy() -> None:
    memory = np.zeros(1024, np.uint8)
    arena = workers.Arena(memory)
    a, b = arena.empty((3, 5), bool), arena.empty((100,), np.float64)
    a[...], b[...] = True, 1.0
    assert np.shares_memory(a, memory)
    assert np.shares_memory(b, memory)
    assert not np.shares_memory(a, b)
    assert b.flags.aligned
    assert a.all()
    assert not np.shares_memory(arena.empty((100,), np.float64), memory)
    assert arena.empty((0,), np.float32).size == 0
    arena.clear()
    assert np.shares_memory(arena.empty((100,), np.float64), memory)
