"""`gg.autograd`: gradients of tensors by tensors and functions with a backward of their own, against PyTorch."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import gpugrad as gg

X = np.random.default_rng(5).standard_normal((3, 4))


def leaky(library: Any) -> Any:
    class Leaky(library.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, slope: float, weight: Any) -> Any:
            ctx.save_for_backward(x, weight)
            ctx.slope = slope
            return x.clamp(min=0) + slope * x.clamp(max=0), x * weight

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            x, weight = ctx.saved_tensors
            assert ctx.needs_input_grad == (True, False, True)
            slope = (x > 0).to(x.dtype) + ctx.slope * (x <= 0).to(x.dtype)
            return g * slope + h * weight, None, (h * x).sum(0)

    return Leaky


def pair(library: Any) -> tuple[Any, Any]:
    return library.tensor(X, requires_grad=True), library.tensor(X[0] * 2, requires_grad=True)


@pytest.mark.peers
def test_grad_gives_pytorchs_gradients_and_touches_no_grad(torch: Any) -> None:
    found = []
    for library in (gg, torch):
        x, w = pair(library)
        h = library.tanh(x * w)
        y = (h * h).sum(), (h * x).sum(0)
        grads = library.autograd.grad(y, [x, w, h], grad_outputs=[None, library.ones(4, dtype=library.float64)])
        assert x.grad is None
        found.append([g.numpy() for g in grads])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.peers
def test_grad_of_grad_and_backward_through_it(torch: Any) -> None:
    found = []
    for library in (gg, torch):
        x, w = pair(library)
        y = library.sin(x * w)
        first = library.autograd.grad(y, x, library.ones_like(y), create_graph=True)[0]
        second = library.autograd.grad(first.sum(), x, create_graph=True)[0]
        ((first.norm(2, dim=1) - 1) ** 2 + second.sum(1)).sum().backward()
        found.append((x.grad.numpy(), w.grad.numpy()))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_unused_inputs() -> None:
    x, w = pair(gg)
    with pytest.raises(gg.GradientError, match=r"do not depend on input 1 .*allow_unused"):
        gg.autograd.grad(x.sum(), (x, w))
    assert gg.autograd.grad(x.sum(), (x, w), allow_unused=True)[1] is None
    zeros = gg.autograd.grad(x.sum(), (x, w), materialize_grads=True)[1]
    assert zeros.shape == (4,)
    assert not zeros.any()


def test_what_grad_refuses() -> None:
    x, w = pair(gg)
    with pytest.raises(gg.GradientError, match=r"input 0 .* needs no gradient"):
        gg.autograd.grad(x.sum(), gg.ones(2))
    with pytest.raises(gg.GradientError, match=r"output 0 .* needs no gradient"):
        gg.autograd.grad(gg.ones(1), x)
    with pytest.raises(gg.GradientError, match="2 grad_outputs for 1 outputs"):
        gg.autograd.grad(x, x, [gg.ones(3, 4), gg.ones(3, 4)])
    with pytest.raises(gg.GradientError, match=r"only one of a single element"):
        gg.autograd.grad(x * w, x)
    with pytest.raises(TypeError, match=r"gg\.grad takes functions"):
        gg.autograd.grad([lambda: 0], x)
    with pytest.raises(TypeError, match=r"gg\.autograd\.grad"):
        gg.grad(x.sum(), 0)
    y = (x * w).sum()
    gg.autograd.grad(y, x)
    with pytest.raises(gg.GradientError, match="freed"):
        gg.autograd.grad(y, x)


@pytest.mark.peers
def test_a_function_of_ones_own_is_pytorchs_at_both_orders(torch: Any) -> None:
    found = []
    for library in (gg, torch):
        x, w = pair(library)
        a, b = leaky(library).apply(x, 0.1, w)
        first = library.autograd.grad((a * a + b * b * b).sum(), [x, w], create_graph=True)
        (first[0].pow(2).sum() + (first[1] * first[1]).sum()).backward()
        found.append([t.detach().numpy() for t in (a, b, *first, x.grad, w.grad)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


class Double(gg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return 2 * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return 2 * g * gg.ones_like(ctx.saved_tensors[0])


def test_a_function_without_gradients_records_nothing() -> None:
    assert Double.apply(gg.ones(2))._node is None
    with gg.no_grad():
        assert Double.apply(gg.ones(2, requires_grad=True))._node is None


def test_changes_of_what_a_function_saved_are_noticed() -> None:
    x = gg.ones(2, requires_grad=True) * 1.0
    y = Double.apply(x)
    x.detach().mul_(3.0)
    with pytest.raises(gg.GradientError, match=r"Double .*changed in place"):
        y.sum().backward()


def test_a_wrong_number_of_cotangents_is_named() -> None:
    class Wrong(Double):
        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g, g

    with pytest.raises(gg.GradientError, match=r"\[Wrong\].* 2 cotangents.* 1 differentiable"):
        Wrong.apply(gg.ones(2, requires_grad=True)).sum().backward()


def test_nothing_that_a_function_saved_lives_longer_than_its_graph() -> None:
    gc.disable()
    try:
        x = gg.ones(2, requires_grad=True) * 1.0
        held = weakref.ref(x.data)
        y = Double.apply(x)
        del x
        y.sum().backward()
        del y
        assert held() is None
    finally:
        gc.enable()


@pytest.mark.peers
@pytest.mark.parametrize("only", [False, True])
def test_backward_of_several_tensors_adds_to_pytorchs_grads(torch: Any, only: bool) -> None:
    found = []
    for library in (gg, torch):
        x, w = pair(library)
        for _ in range(2):
            h = library.tanh(x * w)
            inputs = {"inputs": [w]} if only else {}
            library.autograd.backward(
                [(h * h).sum(), (h * x).sum(0)], [None, library.ones(4, dtype=library.float64)], **inputs
            )
        assert (x.grad is None) == only
        found.append([t.grad.numpy() for t in (x, w) if t.grad is not None])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_backward_of_several_tensors_says_what_it_cannot_do() -> None:
    x = gg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2.0
    with pytest.raises(gg.GradientError, match=r"input 0 .* is no leaf; use autograd.grad"):
        gg.autograd.backward(y.sum(), inputs=y)
    with pytest.raises(gg.GradientError, match="2 grad_tensors for 1 tensors"):
        gg.autograd.backward([y], [None, None])
    with pytest.raises(gg.GradientError, match=r"tensor 1 .* needs no gradient"):
        gg.autograd.backward([y.sum(), gg.ones(1)])
    with pytest.raises(TypeError, match=r"\[autograd.backward\] among tensors is a float"):
        gg.autograd.backward([y.sum(), 1.0])  # type: ignore[list-item]
