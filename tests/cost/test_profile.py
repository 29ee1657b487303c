"""`gg.profile`: what it counts, whose time is whose, and that nothing of it is left behind."""

import json
import threading
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.cost import CostError, Report
from gpugrad.nn.module import Module
from gpugrad.observing import walk_observer
from gpugrad.ops.core import Elementwise
from gpugrad.primitive import REGISTRY
from gpugrad.tensor import Tensor


def mlp(*sizes: int) -> gg.nn.Sequential:
    layers: list[Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [gg.nn.Linear(fan_in, fan_out), gg.nn.ReLU()]
    return gg.nn.Sequential(*layers[:-1])


def batch(rows: int, features: int, classes: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return gg.tensor(rng.standard_normal((rows, features), np.float32)), gg.tensor(rng.integers(0, classes, rows))


def measure(fn: Any, *args: Any, **options: Any) -> Report:
    report = gg.profile(fn, *args, **{"repeats": 2, "warmup": 0, "ceilings": False, **options})
    assert isinstance(report, Report)
    return report


def loss_of(model: Module) -> Any:
    return lambda x, y: gg.nn.functional.cross_entropy(model(x), y)


# ---- what it counts


def test_flops_of_an_mlp_are_those_of_the_textbook() -> None:
    sizes, rows = (20, 30, 40, 10), 16
    report = measure(loss_of(mlp(*sizes)), *batch(rows, 20, 10))
    for place, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        row = report.layer(str(2 * place))
        product = 2 * rows * fan_in * fan_out
        assert row.forward.flops == product + rows * fan_out, "a multiply-add for each weight, and the bias"
        # towards the weights and the bias, and but for the first layer towards the input
        assert row.backward.flops == product * (1 if place == 0 else 2) + rows * fan_out
    assert report.total.forward.flops == sum(row.forward.flops for row in report.layers)


def test_bytes_of_a_linear_layer_are_what_its_products_read_and_write() -> None:
    row = measure(loss_of(mlp(20, 30, 10)), *batch(16, 20, 10)).layer("2")
    x, weight, bias, y = 16 * 30 * 4, 10 * 30 * 4, 10 * 4, 16 * 10 * 4
    assert row.forward.nbytes == x + weight + bias + y
    assert row.backward.nbytes == (y + weight + x) + (y + x + weight) + (y + bias)


def test_layers_are_named_by_their_modules_and_free_operations_by_themselves() -> None:
    class Block(Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = gg.nn.Linear(6, 6)

        def forward(self, x: Any) -> Any:
            return gg.relu(self.inner(x)) + x

    model = gg.nn.Sequential(Block(), Block())
    report = measure(lambda x: (model(x) ** 2).sum(), gg.rand(3, 6))
    names = [row.label for row in report.layers]
    assert names[:6] == ["0.inner Linear", "0.relu", "0.add", "1.inner Linear", "1.relu", "1.add"]
    assert {"power", "sum"} <= set(names)


def test_a_module_without_parts_is_a_layer_of_its_own_name() -> None:
    layer, criterion = gg.nn.Linear(5, 4), gg.nn.CrossEntropyLoss()
    report = measure(lambda x, y: criterion(layer(x), y), *batch(8, 5, 4))
    assert [row.label for row in report.layers][:2] == ["Linear", "CrossEntropyLoss"]


def test_parts_of_a_second_model_carry_its_class() -> None:
    first, second = mlp(4, 4, 4), mlp(4, 4, 4)
    report = measure(lambda x: second(first(x)).sum(), gg.rand(2, 4))
    names = [row.name for row in report.layers]
    assert names[:6] == ["0", "1", "2", "Sequential#2.0", "Sequential#2.1", "Sequential#2.2"]


def test_a_layer_that_is_called_twice_is_one_row() -> None:
    shared = gg.nn.Linear(4, 4)
    model = gg.nn.Sequential(shared, shared)
    row = measure(lambda x: model(x).sum(), gg.rand(2, 4)).layer("0")
    assert row.calls == 2
    assert row.forward.flops == 2 * 2 * 4 * (2 * 4 + 1)


def test_small_operators_are_seen_though_they_have_a_way_of_their_own() -> None:
    x = gg.ones(5, requires_grad=True)

    def step() -> Any:
        y = 2 * x
        return (y - 1.0).sum()

    report = measure(step)
    assert report.layer("multiply").forward.flops == 5
    assert report.layer("subtract").calls == 1


def test_what_the_tape_keeps_is_counted_once_and_without_what_is_there_anyway() -> None:
    x = gg.rand(100, 50)
    weight = gg.rand(50, 50, requires_grad=True)

    def step() -> Any:
        h = gg.tanh(x @ weight)  # keeps its output; the product keeps x and the weight
        return (h * h).sum()  # keeps h, once more

    report = measure(step)
    assert report.layer("tanh").kept_bytes == 100 * 50 * 4
    assert report.layer("matmul").kept_bytes == 0
    assert report.layer("multiply").kept_bytes == 0
    assert report.peak_bytes == 100 * 50 * 4
    assert report.timeline[0][1] == report.timeline[-1][1] == 0


def test_launches_are_operations_that_consist_of_no_others() -> None:
    report = measure(loss_of(mlp(6, 6, 6)), *batch(4, 6, 6))
    assert report.layer("0").forward.launches == 1
    assert report.layer("1").backward.launches == 1
    assert report.layer("2").backward.launches == 2, "towards the input and the weight"


def test_a_map_costs_as_much_as_all_its_examples() -> None:
    layer, x = gg.nn.Linear(6, 3), gg.rand(5, 6)
    report = measure(lambda: gg.vmap(lambda row: layer(row).sum())(x).sum())
    assert report.layer("Linear").forward.flops == 5 * 3 * (2 * 6 + 1)
    assert report.layer("Linear").forward.nbytes >= (5 * 6 + 3 * 6 + 3 + 5 * 3) * 4


# ---- whose time is whose


def test_times_of_the_layers_add_up_to_the_whole() -> None:
    report = measure(loss_of(mlp(256, 256, 256, 10)), *batch(512, 256, 10), repeats=1)
    whole = report.total.forward.seconds + report.total.backward.seconds
    parts = sum(row.forward.seconds + row.backward.seconds for row in report.layers)
    assert parts == pytest.approx(whole, rel=1e-9)
    assert report.step_seconds > 0


def test_time_spent_in_a_layer_is_its_own() -> None:
    slow = gg.Primitive("slow_for_a_test", _slow_forward, _slow_rule, keeps=())
    try:
        from gpugrad.tensor import apply

        class Slow(Module):
            def forward(self, x: Any) -> Any:
                return apply(slow, (x,), {})

        model = gg.nn.Sequential(gg.nn.Linear(3, 3), Slow(), gg.nn.ReLU())
        report = measure(lambda x: model(x).sum(), gg.rand(2, 3), repeats=1)
    finally:
        del REGISTRY["slow_for_a_test"]
    row = report.layer("1")
    assert row.forward.seconds >= 0.02
    assert row.backward.seconds >= 0.04
    others = [r for r in report.layers if r is not row]
    assert max(r.forward.seconds + r.backward.seconds for r in others) < 0.02


def _slow_forward(needs: Any, x: Any) -> Any:
    threading.Event().wait(0.02)
    return x.copy(), ()


def _slow_rule(g: Any, needs: Any) -> Any:
    threading.Event().wait(0.04)
    return (g,)


# ---- ways to call it


def test_a_function_that_walks_back_itself_is_measured_as_it_is() -> None:
    model = mlp(6, 6, 6)
    optimizer = gg.optim.SGD(model.parameters(), lr=0.0)

    def step(x: Any, y: Any) -> None:
        optimizer.zero_grad()
        gg.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    report = measure(step, *batch(4, 6, 6))
    assert report.layer("2").backward.flops == 2 * 2 * 4 * 6 * 6 + 4 * 6


def test_a_block_is_measured_and_its_steps_told_apart() -> None:
    model, (x, y) = mlp(6, 6, 6), batch(4, 6, 6)
    with gg.profile(ceilings=False, device="cpu") as p:
        for _ in range(3):
            loss_of(model)(x, y).backward()
            p.step()
    assert p.report.runs == 3
    assert p.report.layer("2").forward.flops == 4 * 6 * (2 * 6 + 1)


def test_forward_alone_can_be_measured() -> None:
    with gg.no_grad():
        report = measure(mlp(6, 6, 6), gg.rand(4, 6), backward=False)
    assert report.total.backward.seconds == 0
    assert report.layer("0").forward.flops == 4 * 6 * 13


def test_a_gradient_of_a_gradient_can_be_measured() -> None:
    x = gg.rand(5, requires_grad=True)

    def penalty() -> Any:
        y = (x**3).sum()
        slope = gg.grad(lambda t: (t**3).sum())(x)
        return (slope**2).sum() + y

    report = measure(penalty)
    assert report.total.backward.seconds > 0


def test_gradients_are_as_they_were_before() -> None:
    model, (x, y) = mlp(6, 6, 6), batch(4, 6, 6)
    loss_of(model)(x, y).backward()
    before = [p.grad for p in model.parameters()]
    measure(loss_of(model), x, y)
    assert [p.grad for p in model.parameters()] == before
    assert all(p.grad is kept for p, kept in zip(model.parameters(), before, strict=True))


def test_interrupted_measurements_keep_what_there_is() -> None:
    def interrupt(done: int, wanted: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    report = measure(loss_of(mlp(6, 6, 6)), *batch(4, 6, 6), repeats=10, progress=interrupt)
    assert report.interrupted
    assert report.runs == 2
    assert "interrupted" in report.table()


# ---- nothing is left behind


def _fail_while_watched(call: Any) -> None:
    assert Elementwise.__call__ is not call
    raise CostError("on purpose")


def test_the_engine_is_as_it_was_when_nobody_watches() -> None:
    before = (
        Elementwise.__call__,
        Module.__call__,
        Tensor.__add__,  # type: ignore[attr-defined]
        {name: primitive.forward for name, primitive in REGISTRY.items()},
    )
    with pytest.raises(CostError), gg.profile(ceilings=False, device="cpu"):
        _fail_while_watched(before[0])
    after = (
        Elementwise.__call__,
        Module.__call__,
        Tensor.__add__,  # type: ignore[attr-defined]
        {name: primitive.forward for name, primitive in REGISTRY.items()},
    )
    assert after == before
    assert walk_observer.get() is None


def test_other_threads_are_not_measured() -> None:
    model, x = mlp(6, 6, 6), gg.rand(4, 6)
    with gg.profile(ceilings=False, device="cpu") as p:
        other = threading.Thread(target=gg.tanh, args=(x,))
        other.start()
        other.join()
        model(x)
    assert [row.name for row in p.report.layers][:3] == ["0", "1", "2"]


def test_results_are_the_same_while_watched() -> None:
    model, (x, y) = mlp(6, 6, 6), batch(4, 6, 6)
    expected = float(loss_of(model)(x, y).item())
    with gg.profile(ceilings=False, device="cpu"):
        found = float(loss_of(model)(x, y).item())
    assert found == expected


# ---- the report


def test_a_report_survives_json() -> None:
    report = measure(loss_of(mlp(6, 6, 6)), *batch(4, 6, 6))
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report


@pytest.mark.parametrize("values", [[], {"rows": 1}, {"total": {}, "version": 99}, {"total": {}, "version": 1}])
def test_what_is_no_report_is_refused(values: Any) -> None:
    with pytest.raises(CostError, match=r"^\[report\]"):
        Report.from_json(values)


def test_share_of_the_roofline_is_the_least_time_by_the_time_taken() -> None:
    from gpugrad.cost.ceilings import Ceilings
    from gpugrad.cost.report import Phase

    best = Ceilings(1e9, 1e8)
    bound_by_arithmetic = Phase(2.0, 0.0, flops=10**9, nbytes=10, launches=1, host_seconds=0.0)
    bound_by_memory = Phase(2.0, 0.0, flops=10, nbytes=10**8, launches=1, host_seconds=0.0)
    assert bound_by_arithmetic.share(best) == pytest.approx(0.5)
    assert bound_by_memory.share(best) == pytest.approx(0.5)
    assert bound_by_memory.intensity == pytest.approx(1e-7)


def test_spread_beyond_a_tenth_is_called_noisy() -> None:
    from gpugrad.cost.report import spread

    assert spread([1.0, 1.0, 1.0, 1.0, 5.0]) == 0.0
    assert spread([1.0, 1.2, 1.4]) == pytest.approx(0.2 / 1.2)
    assert spread([1.0]) == 0.0


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda: gg.ones(3, requires_grad=True) * 2, r"returns a tensor of shape \(3,\); expected a scalar tensor"),
        (lambda: 3.0, "returns float; expected a scalar tensor"),
        (lambda: gg.ones(3).sum(), "needs no gradient"),
    ],
    ids=["vector", "number", "constant"],
)
def test_a_function_without_a_loss_is_refused_in_one_line(fn: Any, message: str) -> None:
    with pytest.raises(CostError, match=message) as caught:
        measure(fn)
    assert "\n" not in str(caught.value)


def test_wrong_numbers_of_runs_are_refused() -> None:
    with pytest.raises(CostError, match="repeats = 0"):
        gg.profile(lambda: None, repeats=0)
