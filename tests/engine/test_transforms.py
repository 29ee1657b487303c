"""grad, value_and_grad, vjp and check_grads: conventions, nesting, and that the checker catches planted errors."""

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.primitive import REGISTRY, Primitive
from gpugrad.tensor import apply


def test_nested_gradients_do_not_confuse_their_variables():
    assert gg.grad(lambda x: x * gg.grad(lambda y: x + y)(1.0))(3.0) == 1.0
    assert gg.grad(lambda x: x * gg.grad(lambda y: x * y)(2.0))(3.0) == 6.0


def test_third_derivative_of_tanh():
    t = np.tanh(0.3)
    assert gg.grad(gg.grad(gg.grad(gg.tanh)))(0.3) == pytest.approx(-2 * (1 - t * t) * (1 - 3 * t * t), rel=1e-12)


def test_arrays_in_arrays_out_and_tensors_in_tensors_out():
    f = lambda x: (x * x).sum()  # noqa: E731
    assert isinstance(gg.grad(f)(np.ones(3)), np.ndarray)
    assert isinstance(gg.grad(f)(gg.ones(3)), gg.Tensor)
    assert gg.grad(f)(np.ones(3, np.float32)).dtype == np.float32


def test_argnums_aux_and_structures():
    Point = namedtuple("Point", "x y")

    @dataclass(frozen=True)
    class Layer:
        w: object
        b: object

    def f(p, q, scale=1.0):
        return (p["a"] * q.x).sum() * scale + q.y * q.y, "aux"

    p, q = {"a": np.array([1.0, 2.0])}, Point(np.array([3.0, 4.0]), 5.0)
    (gp, gq), aux = gg.grad(f, argnums=(0, 1), has_aux=True)(p, q, scale=2.0)
    assert aux == "aux"
    np.testing.assert_array_equal(gp["a"], [6.0, 8.0])
    np.testing.assert_array_equal(gq.x, [2.0, 4.0])
    assert gq.y == 10.0
    value, g = gg.value_and_grad(lambda m: (m.w * 2.0 + m.b).sum())(Layer(np.ones(2), np.zeros(2)))
    assert value == 4.0
    np.testing.assert_array_equal(g.w, [2.0, 2.0])


def test_an_argument_that_does_not_matter_has_gradient_zero():
    ga, gb = gg.grad(lambda a, b: (a * 2.0).sum(), argnums=(0, 1))(np.ones(2), np.ones(3))
    np.testing.assert_array_equal(gb, np.zeros(3))
    np.testing.assert_array_equal(ga, [2.0, 2.0])


def test_vjp_gives_value_and_a_pullback_that_can_be_called_again():
    a, b = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    out, pull = gg.vjp(lambda x, y: (x * y, x + y), a, b)
    np.testing.assert_array_equal(out[0], a * b)
    for _ in range(2):
        ga, gb = pull((np.array([1.0, 0.0]), np.array([0.0, 1.0])))
        np.testing.assert_array_equal(ga, [3.0, 1.0])
        np.testing.assert_array_equal(gb, [1.0, 1.0])
    with pytest.raises(ValueError, match="cotangents"):
        pull(np.ones(2))
    _, _, aux = gg.vjp(lambda x: (x, 7), a, has_aux=True)
    assert aux == 7


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gg.grad(lambda x: x * 2.0)(np.ones(2)), gg.GradientError, "single number"),
        (lambda: gg.grad(lambda x: x)(3), TypeError, "floating point"),
        (lambda: gg.grad(lambda x: x, argnums=1)(3.0), ValueError, "argnums"),
    ],
)
def test_mistakes_are_explained(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_gradients_do_not_touch_grad_of_leaves():
    w = gg.tensor([1.0], requires_grad=True)
    gg.grad(lambda x: (x * w).sum())(np.ones(1, np.float32))
    assert w.grad is None


def test_gradient_of_a_gradient_through_tensors_that_require_it():
    x = gg.tensor(np.array(2.0), requires_grad=True)
    g = gg.grad(lambda v: v * v * v)(x)
    g.backward()
    assert float(x.grad) == 12.0


def _planted(name, rule):
    return Primitive(name, lambda needs, x: (np.sin(x), ()), rule, keeps=((0,),))


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("planted_sign", lambda g, needs, x: (-g * gg.cos(x),)),
        ("planted_factor", lambda g, needs, x: (g * gg.cos(x) * 1.001,)),
        ("planted_missing", lambda g, needs, x: (g,)),
        (
            "planted_second_order",
            lambda g, needs, x: (
                g * (x.data if isinstance(x, gg.Tensor) else x).copy() * 0
                + g * np.cos(x.data if isinstance(x, gg.Tensor) else x),
            ),
        ),
    ],
)
def test_check_grads_catches_planted_errors(name, rule):
    prim = _planted(name, rule)
    try:
        with pytest.raises(AssertionError, match="check_grads"):
            gg.check_grads(lambda x: apply(prim, (x,), {}), (np.array([0.3, 1.1]),), order=2)
    finally:
        del REGISTRY[name]


def test_check_grads_accepts_what_is_right_in_every_precision():
    for dtype in (np.float32, np.float64):
        gg.check_grads(lambda x, y: gg.sin(x) * y, (np.array([0.3, 1.1], dtype), np.array([2.0, 0.5], dtype)), order=2)
    gg.check_grads(lambda z: gg.exp(z) * z, (np.array([0.3 + 0.2j, 1.1 - 0.5j]),), order=2)
    with pytest.raises(ValueError, match="modes"):
        gg.check_grads(gg.sin, (1.0,), modes=("sideways",))


def test_complex_absolute_value_and_functions_without_a_complex_derivative():
    z = np.array([3.0 + 4.0j, -1.0 + 0.5j])
    gradient = gg.grad(lambda v: gg.absolute(v).sum())(z)
    np.testing.assert_allclose(gradient, np.conj(z) / np.abs(z))  # df/dx - i df/dy
    gg.check_grads(lambda v: gg.absolute(v) * 2.0, (z,), order=2)
    with pytest.raises(TypeError, match=r"\[maximum\] has no complex derivative"):
        gg.grad(lambda v: gg.real(gg.maximum(v, 0.0)).sum())(z)
