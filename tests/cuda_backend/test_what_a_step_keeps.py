"""What a compiled step finds and leaves behind: replaced arrays, kept tensors, settings, changed arguments."""

import copy
import functools
import warnings
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.transforms.reached import Reach
from tests.standin import State


def full(value: float, n: int = 3) -> Any:
    """A vector on the GPU."""
    return gg.full((n,), value, device="cuda")


class Recurrent:
    """Keeps its state for the next call."""

    def __init__(self) -> None:
        self.hidden = full(0.0)
        self.calls = 0
        self.read = False

    def step(self, x: Any) -> Any:
        """Another tensor in each call."""
        self.calls += 1
        self.hidden = (self.hidden * 0.5 + x).detach()
        return self.hidden * (1.0 if not self.read or self.hidden.sum().item() else 2.0)

    def in_place(self, x: Any) -> Any:
        """The same one."""
        self.hidden.mul_(0.5)
        self.hidden.add_(x)
        return self.hidden * 1.0


def outcomes(function: Any, count: int = 7) -> list[Any]:
    return [function(full(float(i))).tolist() for i in range(count)]


@pytest.mark.parametrize("read", [False, True])
def test_a_tensor_kept_for_the_next_call_is_refused_and_what_the_recording_left_taken_back(
    gpu: State, read: bool
) -> None:
    plain, compiled = Recurrent(), Recurrent()
    plain.read = compiled.read = read
    step = gg.compile(compiled.step, warmup=2)
    with pytest.warns(RuntimeWarning, match="reads values" if read else r"keeps a tensor \(self\.hidden\)"):
        found = outcomes(step)
    assert found == outcomes(plain.step)
    assert (compiled.calls, step.graphs) == (plain.calls, 0)


def test_one_that_is_changed_in_place_is_recorded(gpu: State) -> None:
    step = gg.compile(Recurrent().in_place, warmup=2)
    assert outcomes(step) == outcomes(Recurrent().in_place)
    assert step.graphs == 1


def test_a_list_that_grows_is_refused(gpu: State) -> None:
    kept: list[Any] = []

    def step(x: Any) -> Any:
        kept.append(x * 2.0)
        return x * 3.0

    compiled = gg.compile(step, warmup=1)
    compiled(full(0.0))
    with pytest.warns(RuntimeWarning, match=r"keeps a tensor \(kept\[1\]\)"):
        compiled(full(1.0))
    compiled(full(2.0))
    assert [k.tolist()[0] for k in kept] == [0.0, 2.0, 4.0]


@pytest.mark.parametrize("how", ["closure", "module", "partial", "default"])
def test_arrays_that_are_replaced_are_seen(gpu: State, how: str) -> None:
    def made() -> tuple[Any, Any]:
        net = gg.nn.Linear(3, 2, device="cuda").requires_grad_(False) if how == "module" else None
        w = net.weight if net is not None else full(2.0)
        functions = {
            "closure": lambda x: x * w,
            "module": net,
            "partial": functools.partial(lambda w, x: x * w, w),
            "default": lambda x, w=w: x * w,
        }
        return functions[how], w

    gg.manual_seed(4)
    plain, v = made()
    gg.manual_seed(4)
    function, w = made()
    step = gg.compile(function)
    outcomes(step, 5)
    assert step.graphs == 1
    for each in (v, w):
        each.data = each.data * 3.0
    np.testing.assert_array_equal(outcomes(step, 6), outcomes(plain, 6))
    assert step.graphs == 1


def test_an_array_that_only_the_graph_reads_is_not_given_away(gpu: State) -> None:
    box = {"w": full(2.0)}
    step = gg.compile(lambda x: x * box["w"], warmup=1)
    outcomes(step, 3)
    box["w"] = full(5.0)  # told not to: the graph goes on with what it was recorded with
    others = [full(9.0) for _ in range(4)]
    assert step(full(1.0)).tolist() == [2.0] * 3
    assert len(others) == 4


def test_arguments_that_are_changed_in_place_are_the_callers(gpu: State) -> None:
    def step(x: Any, y: Any) -> Any:
        x.mul_(2.0)
        return x + y

    compiled = gg.compile(step, warmup=2)
    for i in range(6):
        x, y = full(float(i)), full(1.0)
        assert compiled(x, y).tolist() == [2.0 * i + 1] * 3
        assert (x.tolist(), y.tolist()) == ([2.0 * i] * 3, [1.0] * 3)
    assert compiled.graphs == 1
    x = full(1.0).requires_grad_() * 1.0
    y = x * x
    compiled(x.detach(), full(0.0))
    with pytest.raises(gg.GradientError, match="in place by multiply"):
        y.sum().backward()


def test_settings_have_graphs_of_their_own(gpu: State) -> None:
    step = gg.compile(lambda x: x + gg.ones(3, device=x.device).astype(gg.get_default_dtype()), warmup=1)
    dtypes = []
    try:
        for dtype in ("float32", "float64", "float32", "float64") * 2:
            gg.set_default_dtype(dtype)
            dtypes.append(str(step(gg.zeros(3, dtype="float32", device="cuda")).dtype))
    finally:
        gg.set_default_dtype("float32")
    assert dtypes == ["float32", "float64"] * 4
    assert step.graphs == 2


def test_a_scale_is_adapted_outside_of_the_graph(gpu: State) -> None:
    found = []
    for compiled in (False, True):
        w = full(2.0).requires_grad_()
        optimizer, scaler = gg.optim.SGD([w], lr=0.1), gg.GradScaler(init_scale=8.0, growth_interval=2)

        def plain(x: Any, w: Any = w, optimizer: Any = optimizer, scaler: Any = scaler) -> None:
            optimizer.zero_grad()
            scaler.scale((w * x).sum()).backward()
            scaler.step(optimizer)

        step = gg.compile(plain, warmup=2) if compiled else plain
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for i in range(9):
                step(full(np.inf if i in (1, 6) else 1.0))
                scaler.update()
        found.append((w.detach().tolist(), scaler.state_dict()))
    assert found[0] == found[1]
    assert step.graphs == 1


class Stepping:
    """A compiled method, and a copy of it as an attribute."""

    def __init__(self, value: float) -> None:
        self.w = full(value)
        self.bound = gg.compile(self.plain, warmup=1)

    def plain(self, x: Any) -> Any:
        """One step."""
        return x * self.w

    @gg.compile(warmup=1)
    def step(self, x: Any) -> Any:
        """The same."""
        return x * self.w


def test_methods_have_a_graph_for_each_object(gpu: State) -> None:
    one, two = Stepping(2.0), Stepping(3.0)
    for i in range(4):
        for each, factor in ((one, 2.0), (two, 3.0)):
            assert each.step(full(float(i))).tolist() == [i * factor] * 3
    assert Stepping.step.graphs == 2
    one.w.data = one.w.data * 2.0
    assert [one.step(full(1.0)).tolist()[0] for _ in range(4)] == [4.0] * 4


def test_a_copy_begins_anew(gpu: State) -> None:
    one = Stepping(2.0)
    assert [one.bound(full(1.0)).tolist()[0] for _ in range(3)] == [2.0] * 3
    two = copy.deepcopy(one)
    two.w.mul_(2.0)
    assert (one.bound.graphs, two.bound.graphs) == (1, 0)
    assert [two.bound(full(1.0)).tolist()[0] for _ in range(3)] == [4.0] * 3
    assert (one.bound(full(1.0)).tolist()[0], two.bound.graphs) == (2.0, 1)


def test_a_copy_on_the_cpu(gpu: State) -> None:
    net = gg.nn.Linear(3, 2, device="cpu")
    step = copy.deepcopy(gg.compile(net))
    x = gg.ones(2, 3, device="cpu")
    np.testing.assert_array_equal(step(x).detach().numpy(), net(x).detach().numpy())
    assert step.function is not net


def test_a_warning_points_to_the_call(gpu: State) -> None:
    step = gg.compile(lambda x: x.numpy(), warmup=1)
    step(full(1.0))
    with pytest.warns(RuntimeWarning, match="reads values") as caught:
        step(full(1.0))
    with pytest.warns(RuntimeWarning, match="cannot be told from others") as unhashable:
        gg.compile(lambda x, names: x + len(names))(full(1.0), {"a", "b"})
    assert {each.filename for found in (caught, unhashable) for each in found} == {__file__}


def test_a_compiled_function_within_another_is_part_of_its_graph(gpu: State) -> None:
    w = full(2.0)
    inner = gg.compile(lambda x: x * w, warmup=1)
    outer = gg.compile(gg.checkpoint(lambda x: inner(x) + 1.0), warmup=1)
    assert [outer(full(float(i))).tolist()[0] for i in range(4)] == [1.0, 3.0, 5.0, 7.0]
    assert (outer.graphs, inner.graphs) == (1, 0)
    w.data = w.data * 2.0
    assert [outer(full(float(i))).tolist()[0] for i in range(4)] == [1.0, 5.0, 9.0, 13.0]
    assert [inner(full(float(i))).tolist()[0] for i in range(4)] == [0.0, 4.0, 8.0, 12.0]
    assert (outer.graphs, inner.graphs) == (1, 1)


TABLE = [1, 2]


def test_what_is_within_reach(gpu: State) -> None:
    class Node:
        def __init__(self) -> None:
            self.w, self.me, self.parts = full(1.0), self, (full(2.0), {"a": full(3.0), 7: [full(4.0)]})

    node, extra = Node(), full(5.0)

    def inner() -> Any:
        return extra, TABLE

    sixth = (full(6.0),)

    def function(x: Any, y: Any = sixth) -> Any:
        return [(node.w, inner()) for _ in range(2)]

    reach = Reach(function)
    values = sorted(tensor.tolist()[0] for tensor in reach.tensors.values())
    assert values == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert {"node.w", "node.parts[0]", "node.parts[1]['a']", "extra"} <= set(reach.tensors)
    before = node.w
    node.w, node.more = full(8.0), 1
    node.parts[1][7].append(full(9.0))
    TABLE.append(3)
    assert reach.new_in(Reach(function)) in ("node.w", "node.parts[1][1][1]")
    reach.put_back()
    assert node.w is before
    assert not hasattr(node, "more")
    assert (len(node.parts[1][7]), TABLE) == (1, [1, 2])
