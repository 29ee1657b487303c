"""`gg.func` and `gg.autograd.gradcheck`: PyTorch's names and arguments of the transforms."""

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.func import functional_call, grad, grad_and_value, vmap


def test_the_gradient_comes_before_the_value():
    slope, value = grad_and_value(lambda x: (x**2).sum())(gg.tensor([1.0, 3.0]))
    assert (slope.tolist(), value.item()) == ([2.0, 6.0], 10.0)
    slopes, (value, aux) = grad_and_value(lambda x, y: ((x * y).sum(), y), argnums=(0, 1), has_aux=True)(
        gg.tensor([1.0, 3.0]), gg.tensor([2.0, 5.0])
    )
    assert [s.tolist() for s in slopes] == [[2.0, 5.0], [1.0, 3.0]]
    assert (value.item(), aux.tolist()) == (17.0, [2.0, 5.0])


def test_gradients_of_each_example():
    layer = gg.nn.Linear(3, 1).double()
    parameters = dict(layer.named_parameters())
    x, y = gg.randn(5, 3, dtype=gg.float64), gg.randn(5, 1, dtype=gg.float64)

    def loss(parameters, x, y):
        return ((functional_call(layer, parameters, (x,)) - y) ** 2).sum()

    found = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, y)
    error = 2 * (x @ layer.weight.T + layer.bias - y)
    np.testing.assert_allclose(found["weight"].detach().numpy(), (error * x)[:, None].detach().numpy())
    np.testing.assert_allclose(found["bias"].detach().numpy(), error.detach().numpy())
    assert vmap(lambda a: a * 2, in_dims=1, out_dims=1)(x).shape == (5, 3)
    with pytest.raises(ValueError, match="randomness = 'same'"):
        vmap(grad(loss), randomness="same")


def test_gradcheck_tells_right_from_wrong():
    class Cube(gg.autograd.Function):
        factor = 3.0

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return Cube.factor * x**2 * g

    x = gg.tensor([0.5, -1.5], dtype=gg.float64, requires_grad=True)
    assert gg.autograd.gradcheck(Cube.apply, (x,))
    assert gg.autograd.gradcheck(Cube.apply, x)
    Cube.factor = 3.1
    assert not gg.autograd.gradcheck(Cube.apply, (x,), raise_exception=False)
    with pytest.raises(gg.GradientMismatchError):
        gg.autograd.gradcheck(Cube.apply, (x,))
