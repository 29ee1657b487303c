"""The same functions differentiated by JAX and by HIPS autograd: values, gradients and second derivatives agree."""

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.numpy as gnp

pytestmark = pytest.mark.peers


def network(np_):
    """Two layers and a squared loss, in any library's NumPy."""

    def loss(w1, w2, x, t):
        h = np_.tanh(np_.dot(x, w1))
        return np_.sum((np_.dot(h, w2) - t) ** 2) / 2

    return loss


def ties(np_):
    """The conventions at ties and corners that all three share: a tie between two is split in halves."""
    return lambda x: np_.sum(np_.maximum(x, 1.0) * np_.arange(1.0, 5.0)) + np_.max(x)


def broadcasting(np_):
    """Shapes that meet by broadcasting, reductions along axes, indexing with repeats."""

    def f(a, b):
        c = np_.exp(a[:, None] * b[None, :]) / (1.0 + np_.sum(b**2))
        return np_.sum(np_.log1p(c[np_.array([0, 2, 2])]) * np_.sin(a[1])) + np_.mean(np_.sqrt(c + 1.0))

    return f


def selection(np_):
    """where, cumulative sums, sorting, norms."""

    def f(x):
        y = np_.where(x > 0.2, x * x, np_.cos(x))
        return np_.sum(np_.cumsum(y) * np_.sort(x)) + np_.sqrt(np_.sum(x**2)) * np_.prod(y)

    return f


def cases(rng):
    return {
        "network": (network, [rng.normal(size=s) for s in ((4, 5), (5, 3), (6, 4), (6, 3))]),
        "broadcasting": (broadcasting, [rng.normal(size=4), rng.normal(size=3)]),
        "selection": (selection, [rng.uniform(0.3, 1.5, 7) * np.array([1, 1, -1, 1, -1, 1, 1])]),
    }


@pytest.mark.parametrize("name", ["network", "broadcasting", "selection"])
def test_values_and_gradients_equal_jax(name, rng, jax):
    make, args = cases(rng)[name]
    jax.config.update("jax_enable_x64", True)
    numbers = tuple(range(len(args)))
    value, gradients = gg.value_and_grad(make(gnp), numbers)(*args)
    expected_value, expected = jax.value_and_grad(make(jax.numpy), numbers)(*args)
    np.testing.assert_allclose(value, expected_value, rtol=1e-10)
    for g, e in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["network", "broadcasting", "selection"])
def test_values_and_gradients_equal_autograd(name, rng, autograd):
    import autograd.numpy as anp

    make, args = cases(rng)[name]
    for n in range(len(args)):
        g = gg.grad(make(gnp), n)(*args)
        np.testing.assert_allclose(g, autograd.grad(make(anp), n)(*args), rtol=1e-10, atol=1e-12)


def test_ties_are_shared_as_autograd_shares_them(autograd):
    import autograd.numpy as anp

    x = np.array([1.0, 0.5, 3.0, 3.0])
    np.testing.assert_allclose(gg.grad(ties(gnp))(x), autograd.grad(ties(anp))(x))


def test_second_derivatives_equal_jax(rng, jax):
    jax.config.update("jax_enable_x64", True)
    x, v = rng.uniform(0.5, 1.5, 6), rng.normal(size=6)
    ours = gg.grad(lambda y: gnp.sum(gg.grad(selection(gnp))(y) * v))(x)
    theirs = jax.grad(lambda y: jax.numpy.sum(jax.grad(selection(jax.numpy))(y) * v))(x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize("name", ["gammainc", "gammaincc"])
def test_derivatives_of_incomplete_gamma_functions_by_both_arguments_equal_jax(name, rng, jax):
    from gpugrad.scipy import special

    jax.config.update("jax_enable_x64", True)
    a, x = rng.uniform(0.3, 9.0, 20), rng.uniform(0.1, 12.0, 20)
    ours, theirs = getattr(special, name), getattr(jax.scipy.special, name)
    gradients = gg.grad(lambda a, x: ours(a, x).sum(), (0, 1))(a, x)
    expected = jax.grad(lambda a, x: theirs(a, x).sum(), (0, 1))(a, x)
    for g, e in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-8, atol=1e-12)
