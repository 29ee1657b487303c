"""The team of threads for compiled loops: same bits as one thread, from many threads at once, after a fork."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

pytest.importorskip("numba")

from gpugrad.fusion import numba_team, trace, workers
from gpugrad.fusion.expr import call
from gpugrad.fusion.numba_compiler import NumbaKernel, compile_numba

N = 300_001


@pytest.fixture(autouse=True)
def _two_threads():
    before = workers.set_num_threads(2)
    yield
    workers.set_num_threads(before)


def _kernel(function) -> NumbaKernel:
    kernel = compile_numba(trace(function))
    assert kernel is not None
    return kernel


def _jobs() -> int:
    return numba_team._team.job


def _both(kernel, *arrays):
    before = _jobs()
    shared = kernel(*arrays)
    assert _jobs() == before + 1
    workers.set_num_threads(1)
    alone = kernel(*arrays)
    workers.set_num_threads(2)
    assert _jobs() == before + 1
    return shared, alone


def test_the_team_gives_the_bits_of_one_thread():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(N, dtype=np.float32)
    w = rng.standard_normal(N, dtype=np.float32)
    kernel = _kernel(lambda x, w: call("tanh", x) * w)
    for _ in range(3):  # the first call compiles, the later ones go the quick way
        shared, alone = _both(kernel, x, w)
        np.testing.assert_array_equal(shared, alone)


def test_rows_numbers_several_outputs_and_truth_values_are_shared_too():
    rng = np.random.default_rng(1)
    x, row = rng.standard_normal((613, 501)), rng.standard_normal(501)
    affine = _kernel(lambda x, row, k: (x * k + row, x > row))
    shared, alone = _both(affine, x, row, 0.3)
    for got, same, expected in zip(shared, alone, (x * 0.3 + row, x > row), strict=True):
        np.testing.assert_array_equal(got, same)
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)
    x = rng.standard_normal((613, 501), dtype=np.float32)
    scaled = _kernel(lambda x, k: x * k)
    np.testing.assert_array_equal(_both(scaled, x, 0.3)[0], x * np.float32(0.3))
    scaled(x, 2.0, out=x)
    np.testing.assert_array_equal(_both(scaled, x, 0.5)[0], x / 2)


def test_a_read_only_array_is_read():
    x = np.ones(N, np.float32)
    x.flags.writeable = False
    kernel = _kernel(lambda x: x + 1.0)
    for _ in range(2):
        assert (_both(kernel, x)[0] == 2.0).all()


def test_a_helper_takes_part():
    x = np.ones(1 << 24, np.float32)
    out = np.empty_like(x)
    kernel = _kernel(lambda x: call("erf", x))
    strips = -(-x.size // 16_384)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        kernel(x, out=out)
        # Everyone who draws strips draws one number beyond the last.
        if numba_team._team.slots[8] == strips + 2:
            return
    pytest.fail("the leader always worked alone")


def test_many_threads_may_call_at_once():
    kernel = _kernel(lambda x: x * x + 1.0)
    wrong: list[int] = []

    def many(k: int) -> None:
        x = np.full(N, k, np.float32)
        wrong.extend(k for _ in range(50) if not (kernel(x) == k * k + 1).all())

    threads = [threading.Thread(target=many, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_loop_within_a_chunk_of_the_pool_stays_on_its_thread():
    x, before = np.ones(N, np.float32), _jobs()
    kernel = _kernel(lambda x: x + 3.0)
    results: list[float] = []
    workers.parallel_for(lambda k: results.append(float(kernel(x).sum())), 2)
    assert results == [4.0 * N] * 2
    assert _jobs() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_gathers_a_team_of_its_own():
    x = np.ones(N, np.float32)
    kernel = _kernel(lambda x: x + 1.0)
    kernel(x)
    child = os.fork()
    if child == 0:
        fine = _jobs() == 0 and bool((kernel(x) == 2.0).all()) and _jobs() == 1
        os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
