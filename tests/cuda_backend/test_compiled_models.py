"""Compiled functions whose results are differentiated: a graph forward, one back, the bits of the plain function."""

from __future__ import annotations

import copy
import gc
import itertools
from typing import Any

import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad import nn
from tests.cuda_backend.test_captured_models import MODELS
from tests.standin import State


class Residual(nn.Module):
    """Several arguments and results, a parameter that is used twice, one that is not, random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.GELU())
        self.scale, self.idle = nn.Parameter(gg.ones(6)), nn.Parameter(gg.ones(2))

    def forward(self, x: Any, by: float, y: Any) -> Any:
        h = F.dropout(self.inner(x * self.scale), 0.3, self.training) + y
        return {"h": h * self.scale, "noise": gg.rand(2, device=x.device)}, h.sum(1) * by


def convolutional() -> Any:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.4), nn.Flatten(),
        nn.Linear(16, 3),
    )  # fmt: skip


def perceptron() -> Any:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.LayerNorm(8), nn.Dropout(0.5), nn.Linear(8, 3))


def batches(shape: tuple[int, ...], count: int = 8) -> Any:
    for i in range(count):
        g = gg.Generator("cuda").manual_seed(i)
        yield gg.randn(*shape, device="cuda", generator=g), gg.tensor([i % 3, 1, 0, 2], device="cuda")


def trained(net: Any, forward: Any, shape: tuple[int, ...], passes: int = 1, half: str = "") -> list[Any]:
    """Losses and weights of a training whose forward passes are `forward`'s, under autocast to `half` if said."""
    optimizer, found = gg.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), []
    for i, (x, y) in enumerate(batches(shape)):
        if i % passes == 0:
            optimizer.zero_grad()
        with gg.autocast(half or "float16", enabled=bool(half)):
            loss = F.cross_entropy(forward(x), y)
        loss.backward()
        if i % passes == passes - 1:
            optimizer.step()
        found.append(loss.item())
    return [*found, *(v.tolist() for v in net.state_dict().values())]


def replayed(model: Any) -> Any:
    """The result of a replay."""
    for x, _ in batches((4, 6)):
        out = model(x)
        if model.graphs:
            return out
        out.sum().backward()
    raise AssertionError("nothing was recorded")


def twins(make: Any) -> tuple[Any, Any, Any]:
    """A network twice, and the second one compiled."""
    gg.manual_seed(3)
    one = make().to("cuda")
    two = copy.deepcopy(one)
    return one, two, gg.compile(two, warmup=2)


def trained_alike(make: Any, shape: tuple[int, ...] = (4, 6), **how: Any) -> tuple[Any, Any]:
    """The network and what compiles it, after a training that has the bits of the plain one's."""
    one, two, model = twins(make)
    gg.manual_seed(5)
    expected = trained(one, one, shape, **how)
    gg.manual_seed(5)
    assert trained(two, model, shape, **how) == expected
    assert model.graphs == 1
    return two, model


@pytest.mark.parametrize("passes", [1, 2], ids=["each", "accumulated"])
@pytest.mark.parametrize(("make", "shape"), [(perceptron, (4, 6)), (convolutional, (4, 2, 4, 4))])
def test_training_has_the_bits_of_the_plain_model(gpu: State, make: Any, shape: Any, passes: int) -> None:
    trained_alike(make, shape, passes=passes)


@pytest.mark.parametrize("name", list(MODELS))
def test_networks_of_many_kinds(gpu: State, name: str) -> None:
    make, shape = MODELS[name]
    one, two, model = twins(make)
    found = []
    for net, forward in ((one, one), (two, model)):
        gg.manual_seed(2)
        optimizer, seen = gg.optim.Adam(net.parameters(), 0.01), []
        for x, _ in batches(shape):
            optimizer.zero_grad()
            loss = (forward(x) ** 2.0).mean()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            seen.append(loss.item())
        found.append([*seen, *(v.tolist() for v in net.state_dict().values())])
    assert found[0] == found[1]
    assert model.graphs == 1


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_autocast_around_the_call_is_recorded(gpu: State, half: str) -> None:
    two, model = trained_alike(perceptron, half=half)
    trained(two, model, (4, 6))
    assert model.graphs == 2


def test_nothing_waits_and_few_launches(gpu: State) -> None:
    _, two, model = twins(perceptron)
    trained(two, model, (4, 6))
    x, y = gg.ones(4, 6, device="cuda"), gg.tensor([0, 1, 2, 0], device="cuda")
    gpu.clear()
    F.cross_entropy(model(x), y).backward()
    assert not gpu.syncs


def test_structures_several_results_and_numbers(gpu: State) -> None:
    one, two, model = twins(Residual)
    found: list[list[Any]] = []
    for net, forward in ((one, one), (two, model)):
        gg.manual_seed(9)
        seen = []
        for i in range(7):
            x, y = gg.full((4, 6), 0.1 * i, device="cuda"), gg.ones(4, 6, device="cuda") / (i + 1)
            parts, total = forward(x, 2.0, y)
            net.zero_grad()
            ((parts["h"] ** 2).mean() + (total if i % 2 else total.detach()).sum()).backward()
            seen.append([parts["noise"].tolist(), total.tolist()])
            seen.append([None if p.grad is None else p.grad.tolist() for p in net.parameters()])
        found.append(seen)
    assert found[0] == found[1]
    assert model.graphs == 1


def test_a_call_before_the_last_ones_backward_runs_as_it_is(gpu: State) -> None:
    one, two, model = twins(perceptron)
    one.eval(), two.eval()
    grads = []
    for net, forward in ((one, one), (two, model)):
        for x, _ in batches((4, 6), 4):
            forward(x).sum().backward()
        net.zero_grad()
        outs = [forward(x) for x, _ in batches((4, 6), 3)]
        sum((out**2).sum() * (i + 1) for i, out in enumerate(outs)).backward()
        grads.append([p.grad.tolist() for p in net.parameters()])
        forward(gg.ones(4, 6, device="cuda"))  # nobody differentiates it
        net.zero_grad()
        out = forward(gg.ones(4, 6, device="cuda"))
        (out**2).sum().backward(retain_graph=True)
        out.sum().backward()
        grads[-1] += [p.grad.tolist() for p in net.parameters()]
    assert grads[0] == grads[1]
    assert model.graphs == 1


def test_gradients_that_were_taken_stay(gpu: State) -> None:
    _, two, model = twins(perceptron)
    two.eval()
    taken = []
    for x, _ in batches((4, 6), 6):
        found = gg.autograd.grad(model(x).sum(), list(two.parameters()))
        taken.append((found, [g.tolist() for g in found]))
    for found, then in taken:
        assert [g.tolist() for g in found] == then
    assert len({str(then) for _, then in taken}) == 6


def test_evaluation_and_training_have_graphs_of_their_own(gpu: State) -> None:
    one, two, model = twins(perceptron)
    for x, _ in batches((4, 6), 5):
        model(x).sum().backward()
    with gg.no_grad():
        two.eval()
        one.load_state_dict(two.state_dict())
        one.eval()
        for x, _ in batches((4, 6), 5):
            out = model(x)
            assert not out.requires_grad
            assert out.tolist() == one(x).tolist()
    assert model.graphs == 2
    two.train()
    two[0].weight.requires_grad_(False)  # recorded anew
    two.zero_grad()
    for x, _ in batches((4, 6), 5):
        model(x).sum().backward()
    assert two[0].weight.grad is None
    assert two[0].bias.grad is not None


def test_parameters_must_not_change_before_the_backward(gpu: State) -> None:
    _, two, model = twins(perceptron)
    out = replayed(model)
    with gg.no_grad():
        two[4].weight.mul_(2.0)
    with pytest.raises(gg.GradientError, match=r"Sequential .* saved .* changed in place by multiply"):
        out.sum().backward()
    model(gg.ones(4, 6, device="cuda")).sum().backward()


def test_gradients_of_gradients_are_refused(gpu: State) -> None:
    _, two, model = twins(perceptron)
    out = replayed(model)
    with pytest.raises(gg.GradientError, match="Sequential is compiled"):
        gg.autograd.grad(out.sum(), two[0].weight, create_graph=True)


def test_an_argument_through_which_gradients_flow(gpu: State) -> None:
    one, two, model = twins(perceptron)
    one.eval(), two.eval()
    first = nn.Linear(6, 6).to("cuda")
    with pytest.warns(RuntimeWarning, match="gradients are to flow through an argument"):
        model(first(gg.ones(4, 6, device="cuda"))).sum().backward()
    for i in range(5):
        x = gg.full((4, 6), float(i), device="cuda")
        first.zero_grad()
        model(first(x)).sum().backward()
        expected = gg.autograd.grad(one(first(x)).sum(), first.weight)[0].tolist()
        assert first.weight.grad.tolist() == expected
    assert model.graphs == 0
    kept = gg.ones(4, 6, device="cuda").requires_grad_()  # one that stays where it is may be recorded
    for _ in range(5):
        kept.grad = None
        model(kept).sum().backward()
        assert kept.grad.tolist() == gg.autograd.grad(one(kept).sum(), kept)[0].tolist()
    assert model.graphs == 1


@pytest.mark.parametrize("what", ["hook", "module hook", "outside"])
def test_what_a_replay_would_not_go_through_runs_as_it_is(gpu: State, what: str) -> None:
    net, seen = nn.Linear(6, 3).to("cuda"), []
    factor = gg.ones(3, device="cuda").requires_grad_()
    outside = factor * 2.0

    def forward(x: Any) -> Any:
        y = net(x) * outside if what == "outside" else net(x)
        if what == "hook":
            y.register_hook(lambda g: seen.append(g.tolist()))
        return y * 2.0

    if what == "module hook":
        net.register_full_backward_hook(lambda m, gi, go: seen.append(go[0].tolist()))
    model = gg.compile(forward, warmup=1)
    xs = [x for x, _ in batches((4, 6), 4)]
    model(xs[0]).sum().backward(retain_graph=True)
    with pytest.warns(RuntimeWarning, match="a hook watches" if "hook" in what else "a result of multiply from before"):
        model(xs[1]).sum().backward(retain_graph=True)
    for x in xs[2:]:
        model(x).sum().backward(retain_graph=True)
    assert model.graphs == 0
    assert len(seen) == (4 if "hook" in what else 0)


def test_arguments_change_where_gradients_are_to_flow(gpu: State) -> None:
    w = gg.full((3,), 2.0, device="cuda", requires_grad=True)

    def step(x: Any) -> Any:
        x.add_(1.0)
        return w * x

    step, xs = gg.compile(step, warmup=1), [gg.full((3,), float(i), device="cuda") for i in range(4)]
    outs = [step(x) for x in xs]
    for out in reversed(outs):
        out.sum().backward()
    assert [x.tolist()[0] for x in xs] == [1.0, 2.0, 3.0, 4.0]
    assert w.grad.tolist()[0] == 10.0


def test_recomputed_parts_and_rules_of_ones_own(gpu: State) -> None:
    class Twice(gg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    def make() -> Any:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 3)

            def forward(self, x: Any) -> Any:
                h = gg.checkpoint(lambda x: F.dropout(gg.tanh(self.a(x)), 0.5, self.training))(x)
                return self.b(Twice.apply(h))

        return Net()

    trained_alike(make)


def test_a_compiled_module_has_what_the_module_has(gpu: State) -> None:
    _, two, model = twins(perceptron)
    assert [p is q for p, q in zip(model.parameters(), two.parameters(), strict=True)] == [True] * 6
    assert model.eval() is model
    assert not two.training
    assert model.train().to("cuda") is model
    assert list(model.state_dict()) == list(two.state_dict())
    with pytest.raises(AttributeError, match="weights"):
        model.weights  # noqa: B018
    other = copy.deepcopy(model)
    assert other.function is not two
    assert [p.tolist() for p in other.parameters()] == [p.tolist() for p in two.parameters()]
    with pytest.raises(TypeError, match="compile the module that is called"):
        two.inner = model


def test_a_model_on_two_gpus(two_gpus: State) -> None:
    def make() -> Any:
        class Split(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 3)

            def to(self, *_: Any) -> Any:
                self.a.to("cuda:0")
                self.b.to("cuda:1")
                return self

            def forward(self, x: Any) -> Any:
                return F.dropout(self.b(gg.relu(self.a(x)).to("cuda:1")), 0.5, self.training).to("cuda:0")

        return Split()

    trained_alike(make)


def test_memory_is_given_back(gpu: State) -> None:
    _, _, model = twins(perceptron)
    out = replayed(model)
    out.sum().backward()
    assert gg.cuda.memory_stats().graph_bytes > 0
    del model, out
    gc.collect()
    assert gg.cuda.memory_stats().graph_bytes == 0


def test_what_stops_leading_on_in_the_recorded_call(gpu: State) -> None:
    w, calls = gg.full((3,), 2.0, device="cuda", requires_grad=True), itertools.count()

    def step(x: Any) -> Any:
        y = x * w
        return y.detach() if next(calls) else y

    run = gg.compile(step, warmup=1)
    outs = [run(gg.full((3,), float(i), device="cuda")) for i in range(5)]
    assert [out.requires_grad for out in outs] == [True] + [False] * 4
    assert [out.tolist()[0] for out in outs] == [0.0, 2.0, 4.0, 6.0, 8.0]
