"""Whole steps on a real device: captured, under a loss scale, fed from main memory, on several streams, on two GPUs.

What only a device can show here is order: a copy or an update that does not wait gives wrong numbers.
"""

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F
from gpugrad.train import Examples, batches
from tests.cuda_backend import test_captured_models as models
from tests.cuda_backend import test_captured_steps as captured
from tests.cuda_backend import test_compiled_models as differentiated
from tests.cuda_backend import test_graphs_over_gpus as over
from tests.cuda_backend import test_mixed_precision_on_cuda as mixed
from tests.cuda_backend import test_own_updates as own
from tests.cuda_backend import test_shared_graph_memory as shared

pytestmark = pytest.mark.gpu


def large(n: int) -> int:
    """A size that keeps a device busy for a while; on the stand-in a small one."""
    return n // 64 if gg.cuda.get_device_name().startswith("Stand-in") else n


@pytest.mark.parametrize("name", list(captured.OPTIMIZERS))
def test_a_captured_step_gives_the_bits_of_the_plain_one(name: str) -> None:
    plain, compiled = captured.Training(name, False), captured.Training(name, True)
    assert compiled.run(20) == plain.run(20)
    assert compiled.step.graphs == 1
    for a, b in zip(compiled.weights(), plain.weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", list(models.MODELS))
def test_captured_models_have_the_bits_of_the_plain_ones(name: str) -> None:
    plain, compiled = models.losses(name, False), models.losses(name, True)
    assert compiled == plain


@pytest.mark.parametrize("name", list(captured.OPTIMIZERS))
def test_two_graphs_in_turns_have_the_bits_of_plain_steps(name: str) -> None:
    found = []
    for compiled in (False, True):
        training = captured.Training(name, compiled)
        gg.manual_seed(11)
        found.append([training.step(*shared.batch(5 if i % 3 else 4, i)).item() for i in range(24)])
    assert found[0] == found[1]
    assert training.step.graphs == 2


def test_calls_from_several_streams_come_one_after_the_other() -> None:
    import cupy

    n = large(1 << 22)
    step = gg.compile(lambda x: (x * 2.0 + 1.0).cumsum(0), warmup=1)
    streams, found = [cupy.cuda.Stream(non_blocking=True) for _ in range(3)], []
    for i in range(12):
        with streams[i % 3]:
            found.append((float(i % 5), step(gg.full((n,), float(i % 5), dtype="float64", device="cuda"))[-1]))
    cupy.cuda.Device().synchronize()
    for value, last in found:
        assert last.item() == n * (2 * value + 1)


def test_the_bound_holds_for_compiled_steps_too() -> None:
    # What earlier tests left, their graphs too, would make room later.
    gc.collect()
    gg.cuda.empty_cache()
    w = gg.zeros(large(1 << 24), device="cuda")
    step = gg.compile(lambda x: gg.tanh(gg.exp(w * x) + 1.0).sum(), warmup=2)
    for i in range(4):
        step(gg.full((1,), float(i), device="cuda"))
    gg.cuda.empty_cache()
    stats = gg.cuda.memory_stats()
    gg.cuda.set_memory_limit(stats.held_bytes + stats.graph_bytes + w.nbytes // 2)
    try:
        with pytest.raises(gg.OutOfMemoryError, match="taken by compiled steps"):
            gg.exp(w)
        assert step(gg.zeros(1, device="cuda")).item() == pytest.approx(np.tanh(2.0) * w.size, rel=1e-4)
        stats = gg.cuda.memory_stats()
        assert stats.held_bytes + stats.graph_bytes <= stats.limit_bytes
    finally:
        gg.cuda.set_memory_limit(0)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_large_captured_step_does_too(dtype: str) -> None:
    pytest.importorskip("ml_dtypes")
    width, found = large(4096), []
    for compiled in (False, True):
        gg.manual_seed(3)
        layers = [layer for _ in range(4) for layer in (gg.nn.Linear(width, width), gg.nn.GELU("tanh"))]
        model = gg.nn.Sequential(*layers, gg.nn.LayerNorm(width), gg.nn.Linear(width, 16)).to("cuda")
        optimizer = gg.optim.AdamW(model.parameters(), 1e-3)

        def plain(x: Any, y: Any, model: Any = model, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            with gg.autocast("bfloat16", enabled=dtype == "bfloat16"):
                loss = F.cross_entropy(model(x), y)
            loss.backward()
            gg.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            return loss.detach()

        step = gg.compile(plain) if compiled else plain
        gg.manual_seed(4)
        losses = [
            step(gg.randn(large(1024), width, device="cuda"), gg.randint(0, 16, (large(1024),), device="cuda"))
            for _ in range(8)
        ]
        found.append([loss.item() for loss in losses])
    assert found[0] == found[1]


@pytest.mark.parametrize("dtype", [np.float32, np.float16], ids=["float32", "float16"])
@pytest.mark.parametrize("name", list(mixed.UPDATES))
def test_steps_under_a_loss_scale(name: str, dtype: Any) -> None:
    make = mixed.UPDATES[name]
    plain = mixed.Scaled(make, "cuda", dtype=dtype).run().outcome()
    assert mixed.Scaled(make, "cuda", compiled=True, dtype=dtype).run().outcome() == plain
    on_cpu = mixed.Scaled(make, "cpu", dtype=dtype).run().outcome()
    assert plain[:2] == on_cpu[:2]
    for a, b in zip(plain[2], on_cpu[2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4 if dtype is np.float32 else 4e-3)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_updates_of_ones_own_are_taken_back_on_the_device(dtype: str) -> None:
    kind = np.dtype(dtype) if dtype != "bfloat16" else pytest.importorskip("ml_dtypes").bfloat16
    want = own.steps(own.decided_by_the_host(own.Signs), dtype=kind)
    assert own.steps(own.Signs, dtype=kind) == want
    if dtype != "bfloat16":
        assert own.steps(own.Signs, dtype=kind, compiled=True) == want


@pytest.mark.parametrize("name", list(captured.DRAWS))
def test_each_replay_draws_the_numbers_that_plain_calls_would(name: str) -> None:
    draw, found = captured.DRAWS[name], []
    for wrap in (lambda f: f, gg.compile):
        step = wrap(lambda x: draw() + x)
        gg.manual_seed(5)
        found.append([step(gg.zeros(1, device="cuda")).tolist() for _ in range(8)])
    assert found[0] == found[1]


def test_reading_a_value_ends_a_capture_and_nothing_else() -> None:
    w = gg.ones(3, device="cuda", requires_grad=True)

    @gg.compile(warmup=1)
    def step(x: Any) -> Any:
        y = (w * x).sum()
        return y if y.item() > 0 else -y

    with pytest.warns(RuntimeWarning, match="reads values of the device"):
        assert [step(gg.full((3,), float(i), device="cuda")).item() for i in range(1, 5)] == [3.0, 6.0, 9.0, 12.0]


@pytest.mark.parametrize("prefetch", [1, 2, 4])
def test_batches_from_main_memory_arrive_whole_while_the_device_computes(prefetch: int) -> None:
    rows, columns = large(1 << 15), 256
    x = np.random.default_rng(0).integers(0, 8, (rows, columns)).astype(np.float32)
    order = np.random.default_rng(1).permutation(rows)
    sums, busy = [], gg.ones(large(4096), large(4096), device="cuda")
    for part, numbers in batches(
        Examples.on("cpu", x, np.arange(rows)), rows // 16, order, device="cuda", prefetch=prefetch
    ):
        busy = busy @ busy * 1e-9
        sums.append((part.sum(1), numbers))
        del part  # its memory is free for the next one
    for found, numbers in sums:
        np.testing.assert_array_equal(found.numpy(), x[numbers.numpy()].sum(1))


def test_streams_of_ones_own_share_what_is_cached() -> None:
    import cupy

    def work(seed: int) -> list[Any]:
        gg.manual_seed(seed)
        w = gg.full((large(1 << 20),), 2.0, device="cuda", requires_grad=True)
        optimizer = gg.optim.Adam([w], lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            F.dropout(w * w, 0.5).sum().backward()
            optimizer.step()
        image = F.interpolate(gg.ones(1, 1, 8, 8, device="cuda"), size=13, mode="bilinear")
        return [w.detach().sum().item(), image.sum().item()]

    want = [work(seed) for seed in range(4)]
    for i in range(8):
        with cupy.cuda.Stream(non_blocking=True):
            assert work(i % 4) == want[i % 4]


def test_products_on_streams_that_come_and_go() -> None:
    import gc

    import cupy

    n = large(2048)
    x = gg.ones(n, n, device="cuda")
    gg.cuda.synchronize()
    (x @ x).sum().item()
    held, sums = gg.cuda.memory_allocated(), []
    for _ in range(40):
        with cupy.cuda.Stream(non_blocking=True):
            sums.append((x @ x @ x)[0, 0])
    assert [s.item() for s in sums] == [float(n) ** 2] * 40
    del sums
    gc.collect()
    gg.cuda.synchronize()
    gg.cuda.empty_cache()
    assert gg.cuda.memory_allocated() - held < 64 << 20, "no scratch memory of streams that are gone"


def test_checkpoint_lowers_the_peak_as_computed_beforehand() -> None:
    x = gg.zeros(large(1 << 22), device="cuda", requires_grad=True)
    for wrap in (lambda f: f, gg.checkpoint):
        part: Callable[[Any], Any] = wrap(lambda x: gg.tanh(gg.exp(gg.tanh(x))))

        def loss(x: Any, part: Any = part) -> Any:
            return part(part(part(x))).mean()

        predicted = gg.tape_memory(loss, x).peak_bytes
        loss(x).backward()  # compiles, which takes memory of its own
        x.grad = None
        gg.cuda.reset_peak_memory_stats()
        before = gg.cuda.memory_allocated()
        loss(x).backward()
        measured = gg.cuda.max_memory_allocated() - before
        x.grad = None
        assert measured == pytest.approx(predicted, rel=0.05)
    gg.cuda.stop_peak_memory_stats()


two = pytest.mark.skipif("gg.cuda.device_count() < 2", reason="one GPU")


@two
def test_arrays_go_from_one_gpu_to_the_other_after_the_work_on_them() -> None:
    x = gg.arange(large(1 << 24), dtype="float32", device="cuda:0")
    for _ in range(5):
        y = (x * 2.0 + 1.0).to("cuda:1")
        back = (y - 1.0).to("cuda:0") * 0.5
        del y  # its memory is free for the next one
        assert bool((back == x).all())


@two
@pytest.mark.parametrize("name", list(captured.OPTIMIZERS))
def test_a_step_over_two_gpus_is_one_graph_with_the_bits_of_the_plain_step(name: str) -> None:
    want = over.Pipeline(captured.OPTIMIZERS[name], False).run()
    pipeline = over.Pipeline(captured.OPTIMIZERS[name], True)
    assert pipeline.run() == want
    assert pipeline.step.graphs == 1


@two
def test_a_graph_over_two_gpus_copies_after_the_work_and_before_what_follows() -> None:
    n = large(1 << 24)
    w = gg.full((n,), 3.0, device="cuda:1")
    step = gg.compile(lambda x: ((x * 2.0).to("cuda:1") * w).to("cuda:0") + x)
    for i in range(12):
        x = gg.full((n,), float(i), device="cuda:0")
        assert bool((step(x) == 7.0 * i).all())
    assert step.graphs == 1


@two
def test_the_loss_scale_is_the_same_on_both() -> None:
    ws = [gg.ones(large(1 << 16), device=d, requires_grad=True) for d in ("cuda:0", "cuda:1")]
    optimizer, scaler = gg.optim.Adam(ws, lr=0.1), gg.GradScaler(init_scale=4.0)
    for bad, scale in ((1.0, 4.0), (np.inf, 2.0), (1.0, 2.0)):
        before = [w.detach().sum().item() for w in ws]
        for w, factor in zip(ws, (1.0, bad), strict=True):
            w.grad = gg.full(w.shape, factor, device=w.device)
        scaler.step(optimizer)
        scaler.update()
        moved = [w.detach().sum().item() != b for w, b in zip(ws, before, strict=True)]
        assert (moved, scaler.get_scale()) == ([bad == 1.0] * 2, scale)


@pytest.mark.parametrize(
    ("make", "shape"), [(differentiated.perceptron, (4, 6)), (differentiated.convolutional, (4, 2, 4, 4))]
)
@pytest.mark.parametrize("half", ["", "bfloat16"])
def test_a_compiled_model_trains_with_the_bits_of_the_plain_one(make: Any, shape: Any, half: str) -> None:
    differentiated.trained_alike(make, shape, half=half)
