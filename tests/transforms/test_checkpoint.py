"""`checkpoint`: the same numbers, bit for bit, from less memory, in every transform."""

from __future__ import annotations

import numpy as np
import pytest

import gpugrad as gg

nn, F = gg.nn, gg.nn.functional


def test_it_keeps_its_arguments_and_runs_again_in_the_backward_pass():
    calls = []
    weight = gg.tensor(np.array([2.0, 3.0]), requires_grad=True)

    def part(x):
        calls.append(1)
        return gg.exp(x * weight)

    x = gg.tensor(np.array([0.5, -1.0]), requires_grad=True)
    y = gg.checkpoint(part)(x)
    assert len(calls) == 1
    (node,) = y._node.parents
    assert [type(kept) for kept in node.saved] == [np.ndarray]
    assert node.saved[0] is x.data
    y.sum().backward()
    assert len(calls) == 2
    np.testing.assert_allclose(x.grad.numpy(), [2 * np.exp(1.0), 3 * np.exp(-3.0)])
    np.testing.assert_allclose(weight.grad.numpy(), [0.5 * np.exp(1.0), -np.exp(-3.0)])


def test_without_recording_the_function_just_runs():
    with gg.no_grad():
        y = gg.checkpoint(lambda x: x * 2)(gg.ones(3, requires_grad=True))
    assert y._node is None


def test_called_with_arguments_it_is_the_wrapper_called_at_once():
    x = gg.tensor(np.array([0.5, -1.0]), requires_grad=True)
    y = gg.checkpoint(lambda x, scale: gg.exp(x * scale), x, scale=2.0)
    assert y._node.parents[0].name == "checkpoint(<lambda>)"
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp([1.0, -2.0]))


def network(seed):
    gg.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 3))


def test_training_with_dropout_and_batch_norm_is_the_same_bit_for_bit():
    states = []
    for wrap in (lambda f: f, gg.checkpoint):
        model = network(4)
        optimizer = gg.optim.Adam(model.parameters(), 0.01)
        for _ in range(5):
            x = gg.randn(12, 6)
            noise = wrap(lambda x, model=model: model(x + 0.1 * gg.randn(12, 6)))(x)
            F.mse_loss(noise, gg.zeros(12, 3)).backward()
            optimizer.step()
            optimizer.zero_grad()
        states.append({k: v.numpy() for k, v in model.state_dict().items()})
    for name, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][name], err_msg=name)
    assert states[1]["1.num_batches_tracked"] == 5


def test_structures_go_in_and_come_out():
    def part(pair, scale=1.0):
        return {"sum": pair[0] + pair[1], "rest": [pair[0] * scale, 7]}

    a, b = gg.tensor([1.0, 2.0], requires_grad=True), gg.tensor([3.0, 4.0], requires_grad=True)
    out = gg.checkpoint(part)((a, b), scale=5.0)
    (out["sum"].sum() + out["rest"][0].sum()).backward()
    np.testing.assert_array_equal(a.grad.numpy(), [6, 6])
    np.testing.assert_array_equal(b.grad.numpy(), [1, 1])


def test_derivatives_of_every_kind_go_through_it_and_past_its_arguments():
    def f(wrap):
        def outer(v):
            w = v * 3
            return wrap(lambda a: gg.sin(a * w) * a)(v * 2) + w

        return outer

    plain, kept = f(lambda g: g), f(gg.checkpoint)
    for transform in (
        gg.grad,
        lambda g: gg.grad(gg.grad(g)),
        gg.hessian,
        lambda g: lambda x: gg.jvp(g, (x,), (1.0,))[1],
        lambda g: lambda x: gg.jvp(gg.grad(g), (x,), (1.0,))[1],
        lambda g: gg.grad(lambda x: gg.jvp(g, (x,), (1.0,))[1]),
    ):
        np.testing.assert_allclose(transform(kept)(0.7), transform(plain)(0.7), rtol=1e-13)
    x = np.linspace(-1, 1, 5)
    np.testing.assert_allclose(gg.vmap(gg.grad(kept))(x), gg.vmap(gg.grad(plain))(x), rtol=1e-13)
    np.testing.assert_allclose(gg.vmap(gg.hessian(kept))(x), gg.vmap(gg.hessian(plain))(x), rtol=1e-13)


def test_checkpoints_nest():
    def deep(wrap, depth):
        return gg.sin if not depth else wrap(lambda x: gg.cos(deep(wrap, depth - 1)(x * 1.1)))

    for derivative in (gg.grad, lambda f: gg.grad(gg.grad(f))):
        found = derivative(deep(gg.checkpoint, 4))(0.3)
        np.testing.assert_allclose(found, derivative(deep(lambda f: f, 4))(0.3), rtol=1e-13)


def test_second_derivatives_by_create_graph_reach_the_parameters():
    gradients = []
    for wrap in (lambda f: f, gg.checkpoint):
        gg.manual_seed(1)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).to(dtype="float64")
        x = gg.randn(5, 4, dtype="float64", requires_grad=True)
        wrap(model)(x).sum().backward(create_graph=True)
        first = x.grad
        model.zero_grad()
        (first**2).sum().backward()
        gradients.append([p.grad.detach().numpy() for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) == 3
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_parameter_changed_in_place_before_the_backward_pass_is_refused():
    model = nn.Linear(3, 3)
    x = gg.ones(2, 3, requires_grad=True)
    y = gg.checkpoint(model)(x).sum()
    y.backward(retain_graph=True)
    gg.optim.SGD(model.parameters(), 0.1).step()
    with pytest.raises(gg.GradientError, match=r"\[checkpoint\(Linear\)\] a tensor that linear reads was changed in"):
        y.backward()


def test_memory_is_that_of_the_arguments_and_one_part():
    def layers(x, wrap):
        for _ in range(10):
            x = wrap(lambda x: gg.tanh(gg.sin(gg.exp(-x))))(x)
        return x.sum()

    x = gg.ones(10_000, requires_grad=True)
    kept = gg.tape_memory(layers, x, lambda f: f)
    again = gg.tape_memory(layers, x, gg.checkpoint)
    assert kept.forward_bytes > 19 * x.nbytes
    assert again.forward_bytes < 13 * x.nbytes


def test_what_is_no_tensor_comes_out_as_an_error():
    with pytest.raises(TypeError, match=r"\[checkpoint\(<lambda>\)\] it returned object; expected tensors, arrays"):
        gg.checkpoint(lambda x: (x * 2, object()))(gg.ones(2, requires_grad=True))
