"""Memory on the GPU branch: statistics, limits, peaks, errors that name what the tape holds, buffers given back."""

import gc
import warnings
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.exhausted import held_by
from tests.standin import State

MIB = 1 << 20


def chain(depth: int, x: Any) -> Any:
    """A chain that keeps one array of a MiB for each of its operations."""
    for _ in range(depth):
        x = gg.tanh(x)
    return x


def test_statistics_follow_the_arrays(gpu: State) -> None:
    before = gg.cuda.memory_allocated()
    x = gg.zeros(MIB // 4, device="cuda")
    assert gg.cuda.memory_allocated() - before == MIB
    assert gg.cuda.memory_reserved() >= MIB
    free, total = gg.cuda.mem_get_info()
    assert 0 < free < total
    del x
    assert gg.cuda.memory_allocated() == before


def test_the_peak_is_watched_from_the_reset_on(gpu: State) -> None:
    gg.zeros(1, device="cuda")
    with pytest.raises(RuntimeError, match="reset_peak_memory_stats"):
        gg.cuda.max_memory_allocated()
    gg.cuda.reset_peak_memory_stats()
    start = gg.cuda.memory_allocated()
    x = gg.zeros(MIB // 4, device="cuda")
    y = x + 1
    del x, y
    assert gg.cuda.max_memory_allocated() - start == 2 * MIB
    gg.cuda.reset_peak_memory_stats()
    assert gg.cuda.max_memory_allocated() == start
    gg.cuda.stop_peak_memory_stats()
    gg.zeros(MIB, device="cuda")
    assert gg.cuda.max_memory_allocated() == start
    assert gpu.hooks == {}


def test_the_summary_is_a_table_for_people(gpu: State) -> None:
    kept = gg.zeros(MIB, device="cuda")
    gg.cuda.set_memory_limit(64 * MIB)
    gg.cuda.reset_peak_memory_stats()
    text = gg.cuda.memory_summary()
    assert text.startswith("cuda:0, Stand-in GPU 0\n")
    used = f"{gg.cuda.memory_allocated() / MIB:,.1f}"
    for line in (f"in arrays           {used:>14} MiB", "limit                         64.0 MiB"):
        assert line in text
    assert "most in arrays" in text
    assert kept.nbytes == 4 * MIB


def test_what_compiled_steps_take_is_told(gpu: State) -> None:
    w = gg.zeros(MIB, device="cuda", requires_grad=True)
    assert gg.cuda.memory_stats().graph_bytes == 0
    assert "compiled" not in gg.cuda.memory_summary()
    step = gg.compile(lambda x: (w * x).sum().detach(), warmup=1)
    step(gg.ones(1, device="cuda"))
    assert gg.cuda.memory_stats().graph_bytes >= 4 * MIB
    assert "in compiled steps" in gg.cuda.memory_summary()
    gg.cuda.set_memory_limit(gg.cuda.memory_allocated() + 1)
    with pytest.raises(gg.OutOfMemoryError, match="MiB taken by compiled steps"):
        gg.exp(w)
    del step
    gc.collect()
    assert gg.cuda.memory_stats().graph_bytes == 0


def stepping(w: Any, **options: Any) -> Any:
    """A compiled step that needs three arrays like `w` beside it."""
    return gg.compile(lambda x: gg.tanh(gg.exp(w * x) + 1.0).sum(), warmup=2, **options)


def test_the_bound_holds_for_compiled_steps_too(gpu: State) -> None:
    w = gg.zeros(MIB, device="cuda")
    step = stepping(w)
    for i in range(4):
        step(gg.full((1,), float(i), device="cuda"))
    stats = gg.cuda.memory_stats()
    limit = stats.held_bytes + stats.graph_bytes + 6 * MIB
    gg.cuda.set_memory_limit(limit)
    assert gg.cuda.memory_stats().limit_bytes == limit
    kept = gg.zeros(MIB, device="cuda")
    with pytest.raises(gg.OutOfMemoryError, match=r"MiB taken by compiled steps, .* MiB allowed for all of it"):
        gg.exp(w)
    stats = gg.cuda.memory_stats()
    assert stats.held_bytes + stats.graph_bytes <= limit
    assert f"limit               {limit / MIB:>14,.1f} MiB" in gg.cuda.memory_summary()
    del step  # what it held is free for others again
    gc.collect()
    assert gg.exp(w).sum().item() + kept.sum().item() == MIB


def test_a_compiled_step_keeps_to_the_bound_and_runs_as_it_is(gpu: State) -> None:
    w = gg.zeros(MIB, device="cuda")
    idle = w + 1.0
    gg.cuda.set_memory_limit(gg.cuda.memory_reserved() + 40 * MIB)  # 32 of them for products
    del idle
    step = stepping(w)
    for i in range(2):
        step(gg.full((1,), float(i), device="cuda"))
        stats = gg.cuda.memory_stats()
        assert stats.held_bytes + stats.graph_bytes <= stats.limit_bytes
    held = gg.zeros(2 * MIB, device="cuda")
    why = r"(?s)without a CUDA graph: \[multiply\] out of memory.*compiled steps"
    with pytest.warns(RuntimeWarning, match=why), pytest.raises(gg.OutOfMemoryError):
        step(gg.ones(1, device="cuda"))
    del held
    assert step(gg.zeros(1, device="cuda")).item() == pytest.approx(np.tanh(2.0) * MIB)
    stats = gg.cuda.memory_stats()
    assert stats.graph_bytes <= 33 * MIB, "the memory of a recording that failed went back"


def test_idle_memory_of_the_common_pool_makes_room_for_a_compiled_step(gpu: State) -> None:
    w = gg.zeros(MIB, device="cuda")
    big = gg.zeros(8 * MIB, device="cuda")
    gg.cuda.set_memory_limit(gg.cuda.memory_reserved() + 36 * MIB)
    del big
    step = stepping(w)
    found = [step(gg.zeros(1, device="cuda")).item() for _ in range(5)]
    assert step.graphs == 1
    assert found == [found[0]] * 5


def test_the_memory_of_a_graph_does_not_go_back_where_the_gpu_is_full(gpu: State) -> None:
    """CuPy's pool gives idle blocks back before it runs out; those that a graph writes to look idle to it."""
    w = gg.zeros(MIB, device="cuda")
    step = stepping(w)
    want = [step(gg.zeros(1, device="cuda")).item() for _ in range(4)].pop()
    for _ in range(2):  # another shape, which needs more
        step(gg.zeros(8, 1, device="cuda"))
    gg.cuda.empty_cache()
    before, gpu.capacity = gpu.capacity, gpu.taken[0] + 40 * MIB
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(gg.OutOfMemoryError):
                step(gg.zeros(8, 1, device="cuda"))
        assert step(gg.zeros(1, device="cuda")).item() == want
    finally:
        gpu.capacity = before


def test_a_limit_that_was_set_for_cupys_pool_is_the_bound(gpu: State) -> None:
    import cupy

    gg.zeros(1, device="cuda")
    cupy.get_default_memory_pool().set_limit(size=100 * MIB)
    step = stepping(gg.zeros(MIB, device="cuda"))
    for _ in range(4):
        step(gg.zeros(1, device="cuda"))
    stats = gg.cuda.memory_stats()
    assert stats.limit_bytes == 100 * MIB
    assert cupy.get_default_memory_pool().get_limit() == 100 * MIB - stats.graph_bytes
    gg.cuda.set_memory_limit(0)
    assert cupy.get_default_memory_pool().get_limit() == 0


def test_a_fraction_is_a_limit_of_the_device(gpu: State) -> None:
    gg.cuda.set_per_process_memory_fraction(0.25)
    assert gg.cuda.memory_stats().limit_bytes == gg.cuda.mem_get_info()[1] // 4
    with pytest.raises(ValueError, match="fraction = 0"):
        gg.cuda.set_per_process_memory_fraction(0)
    with pytest.raises(ValueError, match="limit = -1"):
        gg.cuda.set_memory_limit(-1)


def test_out_of_memory_in_the_forward_says_what_the_tape_holds(gpu: State) -> None:
    x = gg.zeros(MIB // 4, device="cuda", requires_grad=True)
    gg.cuda.set_memory_limit(gg.cuda.memory_allocated() + 5 * MIB + 4096)
    with pytest.raises(gg.OutOfMemoryError) as caught:
        chain(9, gg.exp(x))
    text = str(caught.value)
    assert text.startswith("[tanh] out of memory on cuda:0 ((262144,) float32): Out of memory allocating 1,048,576")
    assert "The tape holds 5.0 MiB by operation:" in text
    assert "4.0 MiB  tanh (4 nodes)" in text
    assert "1.0 MiB  exp (1 node)" in text
    assert "gg.checkpoint" in text
    assert caught.value.held == {"tanh": 4 * MIB, "exp": MIB}
    assert isinstance(caught.value, MemoryError)


def test_out_of_memory_in_a_primitive_and_in_backward(gpu: State) -> None:
    x = gg.zeros((512, 512), device="cuda", requires_grad=True)
    z = gg.tanh(x)
    y = gg.matmul(z, gg.sin(x)).sum()
    gg.cuda.empty_cache()
    gg.cuda.set_memory_limit(gg.cuda.memory_allocated() + MIB // 2)
    with pytest.raises(gg.OutOfMemoryError, match=r"(?s)^\[matmul\] .*The tape holds 1.0 MiB"):
        gg.matmul(z, z)
    with pytest.raises(gg.OutOfMemoryError, match=r"(?s)on cuda:0.*The tape holds 3.0 MiB .*matmul \(1 node\)"):
        y.backward()


def test_what_is_shared_is_counted_once(gpu: State) -> None:
    x = gg.zeros(MIB // 4, device="cuda", requires_grad=True)
    y = gg.exp(x)
    held = held_by([(y * y)._node])
    assert sum(nbytes for nbytes, _ in held.values()) == MIB


def test_backward_returns_the_buffers_of_the_tape_on_its_way(gpu: State) -> None:
    """At the peak of a long chain's backward pass there is the tape and a few cotangents, not a second tape."""
    before = gg.cuda.memory_allocated()
    x = gg.zeros(MIB // 4, device="cuda", requires_grad=True)
    y = chain(16, x).sum()
    held = gg.cuda.memory_allocated()
    gg.cuda.reset_peak_memory_stats()
    y.backward()
    assert gg.cuda.max_memory_allocated() <= held + 3 * MIB
    del y
    assert gg.cuda.memory_allocated() - before <= 2 * MIB + 4096, "x and its gradient are left"


def test_checkpoint_lowers_the_peak_as_computed_beforehand(gpu: State) -> None:
    x = gg.zeros(MIB // 4, device="cuda", requires_grad=True)
    predicted, measured = [], []
    for wrap in (lambda f: f, gg.checkpoint):
        part = wrap(lambda x: chain(4, x))

        def loss(x: Any, part: Any = part) -> Any:
            return part(part(part(part(x)))).mean()

        predicted.append(gg.tape_memory(loss, x).peak_bytes)
        gg.cuda.reset_peak_memory_stats()
        before = gg.cuda.memory_allocated()
        loss(x).backward()
        measured.append(gg.cuda.max_memory_allocated() - before)
        x.grad = None
    assert measured == pytest.approx(predicted, rel=0.02)
    assert measured[1] < 0.65 * measured[0]
