"""Hooks of modules: called when PyTorch calls them, with the same gradients, and to the same effect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpugrad as gg

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.peers

X = np.linspace(-1.0, 1.0, 12).reshape(4, 3)


def twins(gradient: bool = True) -> list[tuple[Any, Any, Any]]:
    """(library, network, input) of PyTorch's and ours, alike."""
    found = []
    for t in (torch, gg):
        net = t.nn.Sequential(t.nn.Linear(3, 5), t.nn.Tanh(), t.nn.Linear(5, 2)).double()
        x = t.tensor(X, dtype=t.float64, requires_grad=gradient)
        found.append((t, net, x))
    found[1][1].load_state_dict(found[0][1].state_dict())
    return found


def plain(values: Any) -> Any:
    """Gradients as lists of numbers."""
    return [None if v is None else v.detach().numpy().round(12).tolist() for v in values]


def both(run: Any, gradient: bool = True) -> None:
    """Run a program on both; compare what it returns and the gradients of parameters and input."""
    results = []
    for t, net, x in twins(gradient):
        seen = run(t, net, x)
        grads = [p.grad for p in net.parameters()] + ([x.grad] if gradient else [])
        results.append((seen, plain(grads)))
    (a, g), (b, h) = results
    assert a == b
    for one, two in zip(g, h, strict=True):
        assert (one is None) == (two is None)
        if one is not None:
            np.testing.assert_allclose(one, two, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("gradient", [True, False], ids=["input", "no input"])
def test_backward_hooks_see_gradients_in_order(gradient: bool) -> None:
    def run(t: Any, net: Any, x: Any) -> Any:
        seen: list[Any] = []
        for name, module in [*net.named_children(), ("all", net)]:
            note = lambda m, gi, go, name=name: seen.append((name, plain(gi), plain(go)))  # noqa: E731
            module.register_full_backward_hook(note)
            module.register_full_backward_pre_hook(lambda m, go, name=name: seen.append((name, "before", plain(go))))
        net(x).square().sum().backward()
        return seen

    both(run, gradient)


def test_backward_hooks_change_gradients() -> None:
    def run(t: Any, net: Any, x: Any) -> Any:
        net[1].register_full_backward_hook(lambda m, gi, go: (gi[0] * 2 + go[0],))
        net[2].register_full_backward_pre_hook(lambda m, go: (go[0] * 3,))
        net[0].register_full_backward_hook(lambda m, gi, go: None)
        net(x).sum().backward()
        return None

    both(run)


def test_modules_of_several_arguments_and_results() -> None:
    def run(t: Any, net: Any, x: Any) -> Any:
        class Pair(t.nn.Module):
            def forward(self, a: Any, n: int, b: Any) -> Any:
                return a * b, (a * n).detach(), a + b

        pair, seen = Pair(), []
        pair.register_full_backward_hook(lambda m, gi, go: seen.append((plain(gi), plain(go))))
        pair.register_forward_hook(lambda m, args, out: seen.append([len(args), len(out)]))
        y = net(x)
        one, _, two = pair(y, 3, (x * x)[:, :2])
        (one + two * 2).sum().backward()
        return seen

    both(run)


def test_forward_hooks_with_keywords_and_places() -> None:
    def run(t: Any, net: Any, x: Any) -> Any:
        class Scaled(t.nn.Module):
            def forward(self, a: Any, by: float = 1.0) -> Any:
                return a * by

        scaled, seen = Scaled(), []
        scaled.register_forward_pre_hook(lambda m, args: args[0] + 1)
        scaled.register_forward_pre_hook(lambda m, args: seen.append("second"))
        scaled.register_forward_pre_hook(
            lambda m, args, kwargs: (args, {"by": kwargs["by"] * 2}), with_kwargs=True, prepend=True
        )
        scaled.register_forward_hook(lambda m, args, kwargs, out: out + kwargs["by"], with_kwargs=True)
        handle = scaled.register_forward_hook(lambda m, args, out: seen.append("first"), prepend=True)
        y = scaled(net(x), by=2.0)
        handle.remove()
        scaled(net(x), by=1.0)
        y.sum().backward()
        return [*seen, plain([y])]

    both(run)


def test_hooks_are_differentiated_through() -> None:
    def run(t: Any, net: Any, x: Any) -> Any:
        net[1].register_full_backward_hook(lambda m, gi, go: (gi[0] * gi[0],))
        (g,) = t.autograd.grad(net(x).sum(), x, create_graph=True)
        g.square().sum().backward()
        return None

    both(run)
