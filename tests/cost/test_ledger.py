"""`gg.tape_memory`: what it predicts from shapes alone against what NumPy then allocates."""

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend.pool import size_class
from gpugrad.cost import CostError
from gpugrad.cost.ghost import Record
from gpugrad.cost.ghost_backend import GhostBackend
from gpugrad.cost.ledger import reserved
from gpugrad.fusion import workers
from gpugrad.nn import Module

nn, F = gg.nn, gg.nn.functional


@pytest.fixture
def plain_memory() -> Iterator[None]:
    """No recycled buffers, so that tracemalloc sees every array; one thread, so that no chance is in what overlaps."""
    limit, threads = gg.cpu.memory_stats().limit_bytes, workers.set_num_threads(1)
    gg.cpu.set_memory_limit(0)
    yield
    gg.cpu.set_memory_limit(limit)
    workers.set_num_threads(threads)


@pytest.fixture
def two_threads(plain_memory: None) -> None:
    """As `plain_memory`, on two threads: only the buffers within NumPy's own functions are then taken at random."""
    workers.set_num_threads(2)


def measured(step: Callable[[], Any], leaves: list[Any]) -> tuple[int, int, int]:
    """(peak, when the backward pass begins, when all is over) of a step, in bytes above what was there before."""
    step().backward()  # compiles what is compiled once, fills what is kept from call to call
    for leaf in leaves:
        leaf.grad = None
    # The table of Python's own strings may grow by two megabytes at any moment, but not in two steps that follow.
    return min(_once(step, leaves), _once(step, leaves))


def _once(step: Callable[[], Any], leaves: list[Any]) -> tuple[int, int, int]:
    gc.collect()
    tracemalloc.start()
    try:
        base = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        out = step()
        forward = tracemalloc.get_traced_memory()[0] - base
        out.backward()
        del out
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for leaf in leaves:
        leaf.grad = None
    return peak - base, forward, now - base


class Attention(Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.width = width

    def forward(self, x: Any) -> Any:
        q, k, v = gg.split(self.mix(x), 3, axis=-1)
        shares = gg.softmax(q @ k.transpose(0, 2, 1) * self.width**-0.5)
        return self.out(shares @ v).mean(axis=1)


class Residual(Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.RMSNorm(width), nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Any) -> Any:
        return x + self.inner(x)


class Composed(Module):
    """Reductions, joins, shapes and indices, some of which have no rule of their own."""

    def forward(self, x: Any) -> Any:
        a = gg.concatenate([x, gg.flip(x, 1)], axis=1)
        b = gg.cumsum(a, axis=1) - a.mean(axis=1, keepdims=True)
        c = gg.where(b > 0, b, 0.1 * b).reshape(x.shape[0], 2, -1)
        d = gg.stack([c[:, 0], c[:, 1]], axis=-1)
        return gg.logsumexp(d, axis=-1) + gg.max(c, axis=1) + gg.pad(x, ((0, 0), (0, 0)))


class RowByRow(Module):
    """Rows read and written one after the other, as a recurrence that is written out does it."""

    def forward(self, x: Any) -> Any:
        found = gg.zeros(len(x), x.shape[1])
        h = found[0]
        for t in range(len(x)):
            h = gg.tanh(h + x[t])
            found[t] = h
            found[t] += x[t]
        return found[:, :10] * 2.0


def image_net() -> Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.GELU(), nn.Flatten(),
        nn.Linear(32 * 15 * 15, 10),
    )  # fmt: skip


MODELS: dict[str, tuple[Callable[[], Module], tuple[int, ...]]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(300, 400), nn.ReLU(), nn.Linear(400, 400), nn.Tanh(), nn.Linear(400, 10)),
            (256, 300)),
    "normalised": (lambda: nn.Sequential(nn.Linear(128, 256), nn.GELU(), nn.LayerNorm(256), nn.Dropout(0.2),
                                         nn.Linear(256, 10)), (512, 128)),
    "maxout": (lambda: nn.Sequential(nn.Maxout(128, 256), nn.Linear(256, 10)), (512, 128)),
    "residual": (lambda: nn.Sequential(Residual(64), Residual(64)), (512, 64)),
    "convolutions": (image_net, (32, 3, 32, 32)),
    "attention": (lambda: Attention(64), (16, 64, 64)),
    "composed": (Composed, (300, 200)),
    "row by row": (RowByRow, (12, 50_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.usefixtures("two_threads")
def test_prediction_is_within_5_percent_of_what_numpy_allocates(name: str) -> None:
    make, shape = MODELS[name]
    model, x, labels = make(), gg.rand(*shape, requires_grad=True), gg.randint(0, 10, shape[:1])

    def step() -> Any:
        return F.cross_entropy(model(x), labels)

    found = gg.tape_memory(step)
    peak, forward, after = measured(step, [x, *model.parameters()])
    assert found.peak_bytes == pytest.approx(peak, rel=0.05)
    assert found.forward_bytes == pytest.approx(forward, rel=0.05)
    assert found.gradient_bytes == pytest.approx(after, rel=0.05, abs=40_000)
    assert sum(nbytes for _, _, nbytes in found.at_peak) == found.peak_bytes


@pytest.mark.usefixtures("plain_memory")
def test_prediction_by_operation_is_what_the_tape_is_seen_to_hold() -> None:
    model, x, labels = MODELS["mlp"][0](), gg.rand(256, 300), gg.randint(0, 10, (256,))

    def step() -> Any:
        return F.cross_entropy(model(x), labels)

    report = gg.profile(step, repeats=1, warmup=0, ceilings=False)
    held = {row.label: row.kept_bytes for row in report.layers}
    predicted = {layer: nbytes for layer, direction, nbytes in gg.tape_memory(step).at_peak if direction == "forward"}
    assert predicted["1 ReLU"] == held["1 ReLU"] == 256 * 400 * 4


def test_prediction_of_the_recycled_buffers_is_what_the_pool_holds() -> None:
    model, x, labels = nn.Sequential(nn.Linear(512, 1024), nn.ReLU(), nn.Linear(1024, 512)), gg.rand(1024, 512), None
    labels = gg.randint(0, 512, (1024,))
    found = gg.tape_memory(lambda: F.cross_entropy(model(x), labels))
    gg.cpu.empty_cache()
    before = gg.cpu.memory_stats().held_bytes
    F.cross_entropy(model(x), labels).backward()
    held = gg.cpu.memory_stats().held_bytes - before
    assert found.reserved_bytes == pytest.approx(held, rel=0.05)


def test_recycled_buffers_are_counted_by_size() -> None:
    one, two = Record(2 << 20, None), Record(2 << 20, None)
    events = [(one.nbytes, one), (-one.nbytes, one), (two.nbytes, two), (100, Record(100, None))]
    assert reserved(events) == size_class(2 << 20) + 100


def test_scratch_memory_is_counted_once() -> None:
    first, larger, last = (Record(mib << 20, None, scratch=True) for mib in (1, 3, 2))
    kept = Record(1 << 20, None)
    events = [(r.nbytes * sign, r) for r in (first, larger, last) for sign in (1, -1)]
    assert reserved([*events, (kept.nbytes, kept)]) == (3 << 20) + size_class(1 << 20)


def test_nothing_is_computed() -> None:
    x = np.broadcast_to(np.float32(1), (200_000, 1_000))  # a gigabyte twice over, if it were there
    weight = gg.rand(1_000, 1_000, requires_grad=True)
    start = time.perf_counter()
    found = gg.tape_memory(lambda a: gg.tanh(a @ weight).sum(), x)
    assert time.perf_counter() - start < 1.0, "the product alone takes seconds"
    assert found.forward_bytes == pytest.approx(800e6, rel=0.01)


def test_everything_is_as_it_was_before() -> None:
    model, x, labels = MODELS["normalised"][0](), gg.rand(8, 128), gg.randint(0, 10, (8,))
    F.cross_entropy(model(x), labels).backward()
    arrays = [p.data for p in model.parameters()]
    values = [a.copy() for a in arrays]
    gradients = [p.grad for p in model.parameters()]
    gg.tape_memory(lambda: F.cross_entropy(model(x), labels))
    with pytest.raises(CostError):
        gg.tape_memory(lambda: model(x))
    assert all(p.data is a for p, a in zip(model.parameters(), arrays, strict=True))
    assert all((a == v).all() for a, v in zip(arrays, values, strict=True))
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))


def test_models_may_be_arguments_and_gradients_taken_inside() -> None:
    model, x = nn.Linear(40, 30), gg.rand(20, 40)

    def step(net: Any, batch: Any) -> None:
        net(batch).sum().backward()

    inside = gg.tape_memory(step, model, x)
    outside = gg.tape_memory(lambda: model(x).sum())
    assert inside.gradient_bytes == outside.gradient_bytes == (40 * 30 + 30) * 4
    assert gg.tape_memory(lambda: model(x), backward=False).peak_bytes == 20 * 30 * 4


def test_integers_keep_their_values() -> None:
    def step(x: Any, chosen: Any) -> Any:
        return x[chosen][: int(chosen.max().item())].sum()

    found = gg.tape_memory(step, gg.rand(10, 100, requires_grad=True), gg.tensor(np.array([0, 3, 2])))
    assert found.gradient_bytes == 10 * 100 * 4


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda x: x.sum() if x.sum() > 0 else x.mean(), "decides by values"),
        (lambda x: (x * x.max().item()).sum(), "decides by values"),
        (lambda x: x * 2, "expected a scalar tensor"),
        (lambda x: 1.0, "returns float; expected a scalar tensor"),
    ],
    ids=["if", "item", "vector", "number"],
)
def test_what_cannot_be_followed_is_refused_in_one_line(fn: Any, message: str) -> None:
    with pytest.raises(CostError, match=message) as caught:
        gg.tape_memory(fn, gg.rand(5, requires_grad=True))
    assert "\n" not in str(caught.value)


def test_updating_parameters_is_refused_and_changes_nothing() -> None:
    model = nn.Linear(4, 4)
    optimizer = gg.optim.SGD(model.parameters(), lr=1.0)
    before = model.weight.data.copy()

    def step() -> None:
        model(gg.rand(2, 4)).sum().backward()
        optimizer.step()

    with pytest.raises(CostError, match=r"without optimizer\.step"):
        gg.tape_memory(step)
    assert (model.weight.data == before).all()


# ---- arrays without data


def ghost(*shape: int, order: str = "C") -> Any:
    return GhostBackend(gg.backend.cpu()).there(np.empty(shape, np.float32, order))


CALLS: dict[str, Callable[[Any], Any]] = {
    "x + 1": lambda x: x + 1.0,
    "x @ x.T": lambda x: x @ x.T,
    "x > 0": lambda x: x > 0,
    "-x.T": lambda x: -x.T,
    "x.T + x.T": lambda x: x.T + x.T,
    "exp": np.exp,
    "sum": lambda x: x.sum(),
    "mean": lambda x: x.mean(axis=0),
    "std": lambda x: x.std(axis=1),
    "max": lambda x: x.max(axis=(0, 1), keepdims=True),
    "add.reduce": lambda x: np.add.reduce(x, 0),
    "multiply.accumulate": np.multiply.accumulate,
    "astype": lambda x: x.astype(np.float64),
    "copy of a transposed one": lambda x: x.T.copy(),
    "copy in its order": lambda x: x.T.copy("K"),
    "astype of a transposed one": lambda x: x.T.astype(np.float64),
    "reshape": lambda x: x.reshape(-1),
    "reshape that copies": lambda x: x.T.reshape(-1),
    "slices": lambda x: x[1:, ::2],
    "list": lambda x: x[[0, 2, 1]],
    "new axis": lambda x: x[..., None],
    "concatenate": lambda x: np.concatenate([x, x]),
    "stack": lambda x: np.stack([x, x], axis=-1),
    "where": lambda x: np.where(x > 0, x, 0.0),
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "tile": lambda x: np.tile(x, 2),
    "moveaxis": lambda x: np.moveaxis(x, 0, 1),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, *x.shape)),
    "zeros_like": np.zeros_like,
    "einsum": lambda x: np.einsum("ij->j", x),
    "argsort": lambda x: np.argsort(x, axis=0),
    "sort": np.sort,
    "inv": lambda x: np.linalg.inv(x[:, :6].T @ x[:, :6]),
    "pad": lambda x: np.pad(x, 1),
    "repeat": lambda x: np.repeat(x, 3, axis=0),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_array_without_data_has_the_shape_dtype_and_order_of_the_result(call: Any) -> None:
    real = call(np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32))
    found = call(ghost(6, 8))
    assert found.shape == real.shape
    assert found.dtype == real.dtype
    assert found.flags.c_contiguous == np.asarray(real).flags.c_contiguous


def test_views_share_their_memory_and_it_is_given_back_with_the_last() -> None:
    backend = GhostBackend(gg.backend.cpu())
    x = backend.fresh((10, 10), np.float32)
    view = x.T[1:].reshape(9, 10)
    assert view.storage is x.storage
    del x
    assert sum(change for change, _ in backend.events) == 400
    del view
    assert sum(change for change, _ in backend.events) == 0
