"""Recycled buffers: reused when nobody sees them, never while anybody does."""

import threading

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import BufferPool

N = 1 << 20


def address(a):
    return a.__array_interface__["data"][0]


def test_a_buffer_is_reused_once_its_array_is_gone():
    pool = BufferPool()
    a = pool.empty((N,), np.float32)
    where = address(a)
    b = pool.empty((N,), np.float32)
    assert address(b) != where
    del a
    assert address(pool.empty((N // 2, 2), np.int32)) == where
    assert pool.stats().hits == 1


@pytest.mark.parametrize("keep", [lambda a: a[3:5], memoryview, lambda a: a[::2].T[:1], lambda a: a.__dlpack__()])
def test_a_buffer_that_anybody_can_see_is_not_recycled(keep):
    pool = BufferPool()
    a = pool.empty((N, 2), np.float32)
    where, held = address(a), keep(a)
    del a
    assert address(pool.empty((N, 2), np.float32)) != where
    del held
    assert address(pool.empty((N, 2), np.float32)) == where


def test_small_arrays_and_objects_do_not_come_from_the_pool():
    pool = BufferPool()
    pool.empty((10,), np.float64)
    pool.empty((N,), object)
    assert pool.stats().misses == 0


def test_the_bound_holds_and_idle_buffers_make_room():
    pool = BufferPool(limit=10 * N)
    a = pool.empty((2 * N,), np.float32)
    b = pool.empty((2 * N,), np.float32)  # beyond the bound: an ordinary array
    assert pool.stats().held_bytes <= 10 * N
    assert b.base is None
    del a
    c = pool.empty((N,), np.float64)
    assert c.base is not None
    with pytest.raises(ValueError, match="limit"):
        pool.set_limit(-1)
    del c
    pool.set_limit(0)
    assert pool.stats().held_bytes == 0


def test_scratch_memory_is_as_large_as_the_largest_need():
    pool = BufferPool()
    first, second = pool.scratch(N), pool.scratch(N)
    where = address(first)
    assert address(second) != where
    del first
    assert address(pool.scratch(N // 2)) == where
    held = pool.stats().held_bytes
    large = pool.scratch(3 * N)  # the idle one is given up for it
    assert pool.stats().held_bytes == held - N + large.base.nbytes
    assert pool.holds(large.base)
    del second, large
    pool.clear()
    assert pool.stats().held_bytes == 0
    assert pool.scratch(100).base is None
    assert BufferPool(limit=N).scratch(2 * N).base is None


def test_scratch_memory_in_sight_is_not_lent_again():
    pool = BufferPool()
    a = pool.scratch(N)
    where, part = address(a), a[5:7]
    del a
    assert address(pool.scratch(N)) != where
    del part
    assert address(pool.scratch(N)) == where


def test_threads_never_share_a_buffer():
    pool = BufferPool()
    errors = []

    def work(number):
        for _ in range(200):
            a = pool.empty((N // 4,), np.float32)
            a[::4096] = number
            if not (a[::4096] == number).all():
                errors.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors


def test_statistics_and_limit_are_public():
    before = gg.cpu.memory_stats()
    x = gg.exp(gg.zeros(N))
    stats = gg.cpu.memory_stats()
    assert stats.in_use_bytes >= x.nbytes
    assert stats.hits + stats.misses > before.hits + before.misses
    del x
    gg.cpu.empty_cache()
    assert gg.cpu.memory_stats().in_use_bytes == gg.cpu.memory_stats().held_bytes


def test_results_keep_their_values_while_the_pool_is_busy():
    x = gg.tensor(np.linspace(0, 1, N, dtype=np.float32), requires_grad=True)
    y = gg.exp(x)
    expected = np.exp(x.data)
    for _ in range(5):
        z = gg.sin(x) * y
        z.backward(np.ones(N, np.float32), retain_graph=True)
    np.testing.assert_allclose(y.data, expected, rtol=1e-6)


def test_arrays_begin_at_cache_lines_of_different_places_in_a_page():
    pool = BufferPool()
    arrays = [pool.empty((N,), np.float32) for _ in range(16)]
    assert all(address(a) % 64 == 0 for a in arrays)
    assert len({address(a) % 4096 for a in arrays}) == 16
    a = arrays.pop()
    a.fill(1.0)  # the whole of it, to the last element
    where = address(a)
    del a
    assert address(pool.empty((N,), np.float32)) == where


@pytest.mark.parametrize("nbytes", [1 << 17, (1 << 17) + 1, (1 << 20) - 64, 3 << 20, (1 << 24) + 4097])
def test_an_array_fits_its_buffer_wherever_it_begins(nbytes):
    pool = BufferPool()
    arrays = [pool.empty((nbytes,), np.uint8) for _ in range(70)]
    for a in arrays:
        start, base = address(a), a.base
        assert address(base) <= start
        assert start + nbytes <= address(base) + base.nbytes
