"""Batches on their way to a GPU: right numbers, copies beside compute, buffers that are not overwritten, early ends.

The stand-in does a copy from pinned memory only when a stream or the host waits for it, so what is read too early or
overwritten too early shows in the numbers.
"""

import gc
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import cuda_upload
from gpugrad.train import Examples, Trainer, batches, epoch_order, mlp
from tests.standin import State


def numbered(count: int, device: str = "cpu") -> Examples:
    x = np.arange(3 * count, dtype=np.float32).reshape(count, 3)
    return Examples.on(device, x, np.arange(count))


@pytest.mark.parametrize("prefetch", [1, 2, 5, 40])
@pytest.mark.parametrize("ordered", [True, False])
def test_batches_arrive_as_they_were_sent(gpu: State, prefetch: int, ordered: bool) -> None:
    order = epoch_order(50, seed=1, epoch=1) if ordered else None
    kept = list(batches(numbered(50), 8, order, device="cuda", prefetch=prefetch))
    assert [y.shape[0] for _, y in kept] == [8] * 6 + [2]
    assert {str(x.device) for x, _ in kept} == {"cuda:0"}
    rows = np.concatenate([y.numpy() for _, y in kept])
    assert rows.tolist() == (order.tolist() if order is not None else list(range(50)))
    for x, y in kept:
        np.testing.assert_array_equal(x.numpy()[:, 0], 3 * y.numpy())


def test_a_copy_waits_for_the_memory_and_is_waited_for_when_its_batch_is_taken(gpu: State) -> None:
    walk = batches(numbered(40), 8, device="cuda", prefetch=2)
    gpu.clear()
    next(walk)
    copies = [s for what, s, _ in gpu.order if what == "copy"]
    assert len(copies) == 4, "two arrays each of two batches"
    (stream,) = set(copies)
    assert stream != 0, "not the stream that computes"
    one = [("wait", stream, 0), ("copy", stream), ("copy", stream)]
    assert [entry[: len(want)] for entry, want in zip(gpu.order, [*one, *one, ("wait", 0, stream)], strict=True)] == [
        *one, *one, ("wait", 0, stream)
    ]  # fmt: skip
    gpu.clear()
    next(walk)
    want = [*one, ("wait", 0, stream)]
    assert [entry[: len(w)] for entry, w in zip(gpu.order, want, strict=True)] == want, "the next one leaves first"
    assert gpu.syncs == [], "the host waits for nothing while there are fresh buffers"


def test_the_host_waits_only_for_the_copy_whose_buffer_it_needs(gpu: State) -> None:
    walk = batches(numbered(400), 8, device="cuda", prefetch=2)
    for _ in range(4):
        next(walk)
    gpu.clear()
    for _ in range(5):
        next(walk)
    assert gpu.syncs == ["Event.synchronize"] * 5
    assert len({address for what, _, address in gpu.order if what == "copy"}) == 6, "three buffers of two arrays"
    assert len(gpu.pinned) == 3
    walk.close()  # type: ignore[attr-defined]


def test_a_buffer_that_is_not_waited_for_gives_wrong_numbers(gpu: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_upload._Buffer, "wait", lambda self: None)
    monkeypatch.setattr(cuda_upload.Uploads, "receive", lambda self, sent: sent[0])
    kept = list(batches(numbered(50), 8, device="cuda"))
    gg.cuda.synchronize()
    assert not np.array_equal(np.concatenate([y.numpy() for _, y in kept]), np.arange(50)), "the test above sees it"


@pytest.mark.parametrize("how", ["close", "error", "break"])
def test_an_early_end_leaves_nothing_behind(gpu: State, how: str) -> None:
    gc.collect()  # what tests before left behind does not count
    held = gpu.used_bytes[0]
    walk: Any = batches(numbered(80), 8, device="cuda", prefetch=3)
    if how == "close":
        next(walk)
        walk.close()
    elif how == "error":
        next(walk)
        with pytest.raises(RuntimeError, match="mine"):
            walk.throw(RuntimeError("mine"))
    else:
        for _ in walk:
            break
        del _
        walk.close()
    assert gpu.syncs.count("Event.synchronize") == 3, "the copies under way are over"
    del walk
    gc.collect()
    assert gpu.pinned == {}
    assert gpu.used_bytes[0] == held


def test_examples_on_the_device_stay_there(gpu: State) -> None:
    gpu.clear()
    list(batches(numbered(20, "cuda"), 8, device="cuda"))
    assert gpu.order == []
    with pytest.raises(ValueError, match=r"the examples are on cuda:0 and the batches shall be on cpu"):
        next(batches(numbered(20, "cuda"), 8, device="cpu"))


def test_on_the_cpu_it_is_the_same_walk() -> None:
    here = list(batches(numbered(20), 8, device="cpu", prefetch=2))
    for (x, y), (x_, y_) in zip(here, batches(numbered(20), 8), strict=True):
        np.testing.assert_array_equal(x.numpy(), x_.numpy())
        np.testing.assert_array_equal(y.numpy(), y_.numpy())


def test_what_cannot_be_is_refused(gpu: State) -> None:
    with pytest.raises(ValueError, match=r"batch_size = 8, prefetch = 0"):
        next(batches(numbered(20), 8, device="cuda", prefetch=0))
    with pytest.raises(IndexError, match=r"numbers from 0 to 20 for 20 examples"):
        next(batches(numbered(20), 8, np.array([0, 20]), device="cuda"))


def test_a_training_from_main_memory_has_the_bits_of_one_on_the_device(gpu: State) -> None:
    found = []
    for where in ("cuda", "cpu"):
        gg.manual_seed(0)
        model = mlp(3, [8], 5).to("cuda")
        trainer = Trainer(model, gg.optim.Adam(model.parameters(), 0.01))
        rng = np.random.default_rng(2)
        examples = Examples.on(where, rng.standard_normal((40, 3)).astype(np.float32), rng.integers(0, 5, 40))
        metrics = list(trainer.fit(examples, examples, epochs=2, batch_size=16))
        found.append([(m.train_loss, m.test_loss) for m in metrics])
        assert len(trainer.predict(examples)) == 40
    assert found[0] == found[1]
