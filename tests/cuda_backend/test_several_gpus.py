"""Two GPUs in one process: everything runs where its arrays are, the current device stays, mixtures are refused.

The stand-in refuses what CuPy does: a launch or a copy for arrays of another device than the current one.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for
from gpugrad.nn import functional as F
from gpugrad.train import Examples, Trainer, mlp
from tests.cuda.hostexec import missing_compiler
from tests.cuda_backend.parity import check, on_device, run
from tests.cuda_backend.test_ops_table import ELSEWHERE, ROWS, inputs
from tests.ops import table
from tests.standin import State, installed
from tests.standin.batch import build_together, collected

A, B = "cuda:0", "cuda:1"


@pytest.fixture(scope="module", autouse=True)
def kernels() -> Iterator[None]:
    """As for the table on one GPU: what all rows launch is built together."""
    if missing_compiler():
        pytest.skip(str(missing_compiler()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(table.op), "__getattr__", on_device)
        with installed(devices=2), collected() as sources:
            for row in ROWS:
                try:
                    run(row.call, inputs(row, "float32"), B)
                except Exception:  # without launches the numbers are garbage, and so may be an index
                    continue
        build_together(sources)
        yield


@pytest.fixture
def two(two_gpus: State) -> Iterator[State]:
    """Two GPUs, of which the first is the current one before and after."""
    backend_for(A)
    yield two_gpus
    assert two_gpus.device == 0, "the current device was left changed"
    assert two_gpus.borrowed == [], "memory may be written, or given to others, while another GPU still copies it"


@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in ELSEWHERE], ids=lambda row: row.name)
def test_every_operation_runs_where_its_operands_are(two: State, row: table.Row) -> None:
    check(row.call, *inputs(row, "float32"), device=B, rtol=2e-4 * row.tolerance)


CREATION: dict[str, Callable[[], Any]] = {
    "zeros": lambda: gg.zeros(3, device=B),
    "full": lambda: gg.full((3,), 2.0, device=B),
    "arange": lambda: gg.arange(4, device=B),
    "eye": lambda: gg.eye(3, device=B),
    "linspace": lambda: gg.linspace(0.0, 1.0, 5, device=B),
    "tensor": lambda: gg.tensor(np.ones(3), dtype="float32", device=B),
    "rand": lambda: gg.rand(3, device=B),
    "randn": lambda: gg.randn(3, device=B),
    "randint": lambda: gg.randint(0, 5, (3,), device=B),
    "randperm": lambda: gg.randperm(5, device=B),
    "like": lambda: gg.ones_like(gg.zeros(3, device=B)),
    "parameter": lambda: gg.nn.Linear(3, 2, device=B).weight,
    "norm": lambda: gg.nn.BatchNorm1d(3, device=B).weight,
    "embedding": lambda: gg.nn.Embedding(5, 3, padding_idx=0, device=B).weight,
    "copy": lambda: gg.tensor(gg.zeros(3, device=B)),
    "converted": lambda: gg.zeros(3, device=B).to("float64"),
    "dropout": lambda: F.dropout(gg.ones(8, device=B), 0.5),
    "deepcopy": lambda: copy.deepcopy(gg.zeros(3, device=B)),
}


@pytest.mark.parametrize("name", list(CREATION))
def test_what_is_made_is_made_there(two: State, name: str) -> None:
    made = CREATION[name]()
    assert str(made.device) == B
    assert made.data.device.id == 1
    assert repr(made)
    assert len(made.tolist()) == made.shape[0]


MIXTURES: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "matmul": lambda x, y: x @ y,
    "linear": gg.linear,
    "where": lambda x, y: gg.where(x > 0, x, y),
    "concatenate": lambda x, y: gg.concatenate([x, y]),
    "stack": lambda x, y: gg.stack([x, y]),
    "einsum": lambda x, y: gg.einsum("ij,jk->ik", x, y),
    "feed_forward": lambda x, y: F.feed_forward(x, [(y, None, "relu")]),
    "cross_entropy": lambda x, y: F.cross_entropy(x, y[0].astype("int64")),
    "index": lambda x, y: x[y[0].astype("int64")],
    "in place": lambda x, y: x.add_(y),
    "setitem": lambda x, y: x.__setitem__(0, y[0]),
    "take": lambda x, y: gg.take(x, y[0].astype("int64"), axis=0),
    "conv": lambda x, y: F.conv1d(x[None], y[:, :, None]),
}


@pytest.mark.parametrize("name", list(MIXTURES))
def test_a_mixture_names_both_devices(two: State, name: str) -> None:
    x, y = gg.ones(2, 2, device=A), gg.ones(2, 2, device=B)
    for first, second in ((x, y), (y, x)):
        with pytest.raises(gg.DeviceError) as caught:
            MIXTURES[name](first, second)
        assert A in str(caught.value)
        assert B in str(caught.value)
        assert str(caught.value).startswith("[")


def test_a_graph_goes_over_both_and_back(two: State, rng: np.random.Generator) -> None:
    w = [rng.standard_normal((4, 4)).astype(np.float32) for _ in range(3)]
    x = rng.standard_normal((2, 4)).astype(np.float32)

    def program(devices: tuple[str, str]) -> list[np.ndarray]:
        one, two_ = devices
        ws = [gg.tensor(v, device=d, requires_grad=True) for v, d in zip(w, (one, two_, one), strict=True)]
        h = gg.relu(gg.tensor(x, device=one) @ ws[0])
        k = gg.softmax((h.to(two_) @ ws[1]) + h.to(two_), axis=-1)
        y = (k.to(one) @ ws[2] * h).sum() + (h * h).sum()
        y.backward()
        return [y.detach().numpy(), *(v.grad.numpy() for v in ws)]

    for a, b in zip(program((A, B)), program(("cpu", "cpu")), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_forward_mode_goes_over_both(two: State) -> None:
    def program(x: Any) -> Any:
        return (gg.exp(x).to(B) * 2.0).to(A) + x

    x, t = gg.tensor([0.5, 1.0], device=A), gg.tensor([1.0, -1.0], device=A)
    _, dy = gg.jvp(program, (x,), (t,))
    np.testing.assert_allclose(dy.detach().numpy(), (2 * np.exp([0.5, 1.0]) + 1) * [1, -1], rtol=1e-5)


OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda p: gg.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: gg.optim.Adam(p, lr=0.01),
    "amsgrad": lambda p: gg.optim.AdamW(p, lr=0.01, amsgrad=True),
    "rmsprop": lambda p: gg.optim.RMSprop(p, lr=0.01, centered=True),
    "radam": lambda p: gg.optim.RAdam(p, lr=0.01, betas=(0.9, 0.8)),
}


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_optimizers_and_clipping_take_parameters_of_both(two: State, name: str) -> None:
    def train(devices: tuple[str, str]) -> list[np.ndarray]:
        ws = [gg.tensor([1.0, 2.0, 3.0], device=d, requires_grad=True) for d in devices]
        optimizer = OPTIMIZERS[name](ws)
        for step in range(3):
            optimizer.zero_grad(set_to_none=step % 2 == 0)
            for i, w in enumerate(ws):
                (w * w * (i + 1.0)).sum().backward()
            for norm in (2.0, 1.0, float("inf")):
                gg.nn.utils.clip_grad_norm_(ws, 5.0, norm)
            gg.nn.utils.clip_grad_value_(ws, 4.0)
            optimizer.step()
        return [w.detach().numpy() for w in ws]

    for a, b in zip(train((A, B)), train(("cpu", "cpu")), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5)


def test_a_model_moves_between_them(two: State) -> None:
    model = mlp(3, [8], 2).to(A)
    x = np.ones((2, 3), np.float32)
    want = model(gg.tensor(x, device=A)).detach().numpy()
    model.to(B)
    np.testing.assert_array_equal(model(gg.tensor(x, device=B)).detach().numpy(), want)
    model.half()
    assert {str(p.device) for p in model.parameters()} == {B}
    model.load_state_dict(mlp(3, [8], 2).half().state_dict())


@pytest.mark.parametrize("where", ["cpu", B])
def test_training_on_the_second_gpu(two: State, rng: np.random.Generator, where: str) -> None:
    gg.manual_seed(0)
    layers = [gg.nn.Linear(3, 8), gg.nn.BatchNorm1d(8), gg.nn.ReLU(), gg.nn.Dropout(0.1), gg.nn.Linear(8, 2)]
    model = gg.nn.Sequential(*layers).to(B)
    optimizer = gg.optim.Adam(model.parameters(), 0.01)
    trainer = Trainer(model, optimizer, amp="float16", weight_noise=0.01)
    examples = Examples.on(where, rng.standard_normal((20, 3)).astype(np.float32), rng.integers(0, 2, 20))
    (metrics,) = trainer.fit(examples, examples, epochs=1, batch_size=8)
    assert np.isfinite(metrics.test_loss)
    assert len(trainer.predict(examples)) == 20


def test_a_captured_step_on_the_second_gpu(two: State) -> None:
    found = []
    for compiled in (False, True):
        gg.manual_seed(1)
        model = mlp(3, [8], 2, dropout=0.2).to(B)
        optimizer = gg.optim.Adam(model.parameters(), 0.01)

        def plain(x: Any, model: Any = model, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        step = gg.compile(plain) if compiled else plain
        gg.manual_seed(2)
        found.append([step(gg.full((4, 3), float(i), device=B)).item() for i in range(6)])
    assert found[0] == found[1]
    assert step.graphs == 1


def test_what_is_copied_between_them_waits_for_the_work_on_it_and_not_the_host(two: State) -> None:
    x = gg.tensor(np.arange(6, dtype=np.float32).reshape(2, 3), device=A)
    two.clear()
    y = (x * 2.0).T.to(B)
    back = (y + 1.0).to(A)
    assert two.syncs == []
    assert two.uploads == []
    # Each copy: its stream waits for the other's work, and afterwards the other's for the copy.
    assert [kind for kind, *_ in two.order] == ["wait"] * 4
    np.testing.assert_array_equal(y.numpy(), 2 * np.arange(6.0).reshape(2, 3).T)
    np.testing.assert_array_equal(back.numpy(), y.numpy() + 1)
    assert (y.data.device.id, back.data.device.id) == (1, 0)
    assert gg.zeros(0, 3, device=A).to(B).shape == (0, 3)


def test_streams_of_ones_own_are_waited_for_too(two: State) -> None:
    import cupy

    x = gg.arange(5, device=A)
    with cupy.cuda.Stream(non_blocking=True):
        y = x * 2
        with cupy.cuda.Device(1), cupy.cuda.Stream(non_blocking=True):
            z = y.to(B) + 1
    assert z.tolist() == [1, 3, 5, 7, 9]


def test_the_stand_in_shows_a_copy_that_does_not_wait(two: State) -> None:
    import cupy

    x = backend_for(A).from_host(np.ones(3, np.float32))
    with cupy.cuda.Device(1):
        assert not (x.copy().get() == 1).any()
    assert two.borrowed
    two.borrowed.clear()


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_the_loss_scale_and_its_verdict_are_the_same_on_both_without_waiting(two: State, name: str) -> None:
    found = []
    for devices in ((A, B), ("cpu", "cpu")):
        ws = [gg.ones(3, device=d, requires_grad=True) for d in devices]
        optimizer, scaler = OPTIMIZERS[name](ws), gg.GradScaler(init_scale=4.0, growth_interval=2)
        two.clear()
        for bad in ((1, 1), (1, np.inf), (1, 1), (np.nan, 1), (1, 1), (1, 1)):
            for w, factor in zip(ws, bad, strict=True):
                w.grad = scaler.scale(gg.full((), float(factor), device=w.device)).detach() * gg.ones_like(w)
            scaler.step(optimizer)
            scaler.update()
        assert two.syncs == []
        state = optimizer.state_dict()["state"]
        found.append((scaler.state_dict(), [s["step"] for s in state.values()], [w.detach().numpy() for w in ws]))
    assert found[0][:2] == found[1][:2]
    for a, b in zip(found[0][2], found[1][2], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5)
    assert found[0][0]["scale"] == 2.0


def test_the_loss_scale_goes_to_the_host_where_the_cpu_has_parameters(two: State) -> None:
    for devices in ((A, "cpu"), ("cpu", A)):
        ws = [gg.ones(3, device=d, requires_grad=True) for d in devices]
        optimizer, scaler = gg.optim.SGD(ws, lr=1.0), gg.GradScaler(init_scale=4.0)
        for bad, want, scale in ((1.0, 0.75, 4.0), (np.inf, 0.75, 2.0), (1.0, 0.25, 2.0)):
            for w, factor in zip(ws, (1.0, bad), strict=True):
                w.grad = gg.full((3,), factor, device=w.device)
            scaler.step(optimizer)
            scaler.update()
            assert [w.detach().numpy().tolist() for w in ws] == [[want] * 3] * 2
            assert scaler.get_scale() == scale


def test_clipping_over_both_does_not_wait(two: State) -> None:
    ws = [gg.ones(3, device=d, requires_grad=True) for d in (A, B)]
    for w in ws:
        w.grad = gg.full((3,), 2.0, device=w.device)
    two.clear()
    total = gg.nn.utils.clip_grad_norm_(ws, 1.0)
    assert two.syncs == []
    assert total.item() == pytest.approx(24**0.5)
    for w in ws:
        np.testing.assert_allclose(w.grad.numpy(), 2 / 24**0.5, rtol=1e-5)


def test_with_one_gpu_nothing_is_asked(gpu: State) -> None:
    from gpugrad.backend.placing import MANY

    gg.ones(3, device="cuda")
    assert MANY == []
