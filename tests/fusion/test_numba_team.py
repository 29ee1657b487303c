"""The team of threads for compiled loops: same bits as one thread, from many threads at once, after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

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


@pytest.mark.parametrize("slope", [0.25, 2, np.array([0.5], np.float32), np.array(-1.5, np.float32)], ids=str)
def test_numbers_go_the_quick_way_too_wherever_they_stand(slope):
    rng = np.random.default_rng(5)
    x, y = (rng.standard_normal((3, N), dtype=np.float32) for _ in range(2))
    kernel = _kernel(lambda x, k, y, shift: x * k + y - shift)
    number = np.float32(np.asarray(slope).item())
    for _ in range(3):  # the first call compiles
        shared, alone = _both(kernel, x, slope, y, 1.0)
        np.testing.assert_array_equal(shared, alone)
        np.testing.assert_allclose(shared, x * number + y - 1, rtol=1e-6, atol=1e-6)


def test_a_huge_argument_by_a_number_changes_all_elements_alike():
    x = np.linspace(-3, 3, N, dtype=np.float32)
    kernel = _kernel(lambda x, k: call("sin", x * k))
    kernel(x, 1.0)
    for _ in range(2):
        shared, alone = _both(kernel, x, 1e9)
        np.testing.assert_array_equal(shared, alone)


@pytest.mark.parametrize("count", [131_071, 131_072, 131_073, 16_384 * 9, 1_000_003])
def test_every_element_of_any_number_is_reached_once(count):
    out = np.full(count + 2, -1, np.float32)
    x = np.arange(count, dtype=np.float32)
    kernel = _kernel(lambda x, y: x + y)
    kernel(x, 1.0, out=out[1:-1])
    np.testing.assert_array_equal(out[1:-1], x + 1)
    assert out[0] == out[-1] == -1
    y = np.ones(count, np.float32)
    for _ in range(2):
        np.testing.assert_array_equal(kernel(x, y), x + 1)


def test_masks_are_shared_too():
    rng = np.random.default_rng(2)
    c, a, b = rng.random(N) > 0.5, rng.standard_normal(N), rng.standard_normal(N)
    kernel = _kernel(lambda c, a, b: call("where", c, a, b))
    np.testing.assert_array_equal(_both(kernel, c, a, b)[0], np.where(c, a, b))


def test_one_huge_argument_of_a_sine_changes_all_elements_alike():
    x = np.linspace(-3, 3, N, dtype=np.float32)
    x[N // 2] = 1e9
    kernel = _kernel(lambda x: call("sin", x))
    workers.set_num_threads(1)
    alone = kernel(x)
    workers.set_num_threads(2)
    for _ in range(3):
        np.testing.assert_array_equal(kernel(x), alone)
    np.testing.assert_allclose(alone, np.sin(x.astype(np.float64)), atol=2e-7)


def test_a_read_only_array_is_read():
    x = np.ones(N, np.float32)
    x.flags.writeable = False
    kernel = _kernel(lambda x: x + 1.0)
    for _ in range(2):
        assert (_both(kernel, x)[0] == 2.0).all()


def test_a_helper_takes_part_and_is_waited_for():
    x = np.ones(1 << 22, np.float32)
    out = np.empty_like(x)
    kernel = _kernel(lambda x: call("erf", x))
    strips = x.size // 16_384
    together, deadline = 0, time.monotonic() + 20
    while together < 20 and time.monotonic() < deadline:
        out.fill(-1)
        kernel(x, out=out)
        # Everyone who takes part draws one number beyond the last of each thread's share.
        together += int((numba_team._team.slots[[128, 136]] == strips // 2 + 2).all())
        assert out.min() > 0.8
    assert together


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


def test_a_second_process_takes_the_strips_from_the_cache(tmp_path):
    program = (
        "import numpy as np\n"
        "from gpugrad.fusion import numba_team, trace, workers\n"
        "from gpugrad.fusion.numba_compiler import compile_numba\n"
        "workers.set_num_threads(2)\n"
        "k = compile_numba(trace(lambda x: x * 3.0, name='cached'))\n"
        "print(k(np.ones(200_000, np.float32)).sum(), numba_team._team.job)\n"
    )
    root = str(Path(numba_team.__file__).parents[2])
    env = {**os.environ, "GPUGRAD_CACHE": str(tmp_path), "PYTHONPATH": root}
    compiled = []
    for _ in range(2):
        run = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
        assert run.stdout.split() == ["600000.0", "1"]
        compiled.append({p.name: p.stat().st_mtime_ns for p in tmp_path.rglob("cached_*.nb*")})
    assert compiled[0] == compiled[1]
    assert compiled[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # JAX's, where another test has loaded it
def test_a_forked_child_gathers_a_team_of_its_own():
    x = np.ones(N, np.float32)
    kernel = _kernel(lambda x: x + 1.0)
    kernel(x)
    child = os.fork()
    if child == 0:
        fine = _jobs() == 0 and bool((kernel(x) == 2.0).all()) and _jobs() == 1
        os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
