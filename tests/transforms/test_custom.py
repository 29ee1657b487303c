"""Functions with rules of the user's own: JAX's conventions, every transform, and what wrong rules are told."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import gpugrad as gg


def plain(x, y):
    return x * gg.sin(y)


def by_vjp():
    @gg.custom_vjp
    def f(x, y):
        return plain(x, y)

    f.defvjp(lambda x, y: (plain(x, y), (x, y)), lambda r, g: (g * gg.sin(r[1]), g * r[0] * gg.cos(r[1])))
    return f


def by_jvp():
    @gg.custom_jvp
    def f(x, y):
        return plain(x, y)

    @f.defjvp
    def rule(primals, tangents):
        (x, y), (dx, dy) = primals, tangents
        return plain(x, y), dx * gg.sin(y) + x * gg.cos(y) * dy

    return f


def by_jvps():
    @gg.custom_jvp
    def f(x, y):
        return plain(x, y)

    f.defjvps(lambda t, out, x, y: t * gg.sin(y), lambda t, out, x, y: x * gg.cos(y) * t)
    return f


@pytest.mark.parametrize("make", [by_vjp, by_jvp, by_jvps])
def test_right_rules_give_the_function_s_own_derivatives_in_every_transform(make):
    f = make()
    x, y = np.array(1.3), np.array(0.7)
    np.testing.assert_allclose(f(x, y), plain(x, y))
    for a in (0, 1):
        pairs = [(gg.grad(f, a), gg.grad(plain, a))]
        pairs += [(gg.grad(gg.grad(f, a), b), gg.grad(gg.grad(plain, a), b)) for b in (0, 1)]
        pairs += [(gg.jacfwd(gg.grad(f, a), b), gg.jacfwd(gg.grad(plain, a), b)) for b in (0, 1)]
        pairs += [(gg.grad(gg.jacfwd(f, a), b), gg.grad(gg.jacfwd(plain, a), b)) for b in (0, 1)]
        for ours, own in pairs:
            np.testing.assert_allclose(ours(x, y), own(x, y), atol=1e-15)
    tangent = gg.jvp(f, (x, y), (0.3, -0.2))[1]
    np.testing.assert_allclose(tangent, gg.jvp(plain, (x, y), (0.3, -0.2))[1])
    gg.check_grads(f, (x, y), order=3)


@pytest.mark.parametrize("make", [by_vjp, by_jvp, by_jvps])
def test_examples_share_an_argument_in_a_map(make):
    f = make()
    xs, y = np.linspace(0, 1, 5), np.array(0.7)
    for derivative in (functools.partial(gg.grad, argnums=0), functools.partial(gg.grad, argnums=1), gg.jacfwd):
        found = gg.vmap(derivative(f), (0, None))(xs, y)
        np.testing.assert_allclose(found, gg.vmap(derivative(plain), (0, None))(xs, y), atol=1e-15)
    total = gg.grad(lambda y: gg.vmap(f, (0, None))(xs, y).sum())(y)
    np.testing.assert_allclose(total, xs.sum() * np.cos(0.7))


@pytest.mark.parametrize("make", [by_vjp, by_jvp])
def test_backward_reaches_leaves(make):
    x, y = gg.tensor(2.0, requires_grad=True), gg.tensor(0.5, requires_grad=True)
    make()(x, y=y).backward()
    np.testing.assert_allclose([x.grad.item(), y.grad.item()], [np.sin(0.5), 2 * np.cos(0.5)], rtol=1e-6)


def test_the_user_s_rule_is_what_counts():
    @gg.custom_vjp
    def clipped(x):
        return x

    clipped.defvjp(lambda x: (x, None), lambda _, g: (gg.clip(g, -1, 1),))
    np.testing.assert_array_equal(gg.grad(lambda x: (5 * clipped(x)).sum())(np.ones(3)), [1, 1, 1])

    @gg.custom_jvp
    def log1pexp(x):
        return gg.log1p(gg.exp(x))

    log1pexp.defjvps(lambda t, out, x: t * (1 - 1 / (1 + gg.exp(x))))
    assert gg.grad(log1pexp)(100.0) == 1.0
    np.testing.assert_allclose(gg.grad(gg.grad(log1pexp))(0.3), gg.grad(gg.sigmoid)(0.3))


def _loss_with_rules(lib, np_):
    """A loss through a function whose rules are given; of any library."""

    @functools.partial(lib.custom_vjp, nondiff_argnums=(0, 2))
    def f(scale, tree, kind):
        return {"out": scale * np_.sin(tree["a"]) * tree["b"]}

    def fwd(scale, tree, kind):
        return {"out": scale * np_.sin(tree["a"]) * tree["b"]}, (tree["a"], tree["b"])

    def bwd(scale, kind, residuals, g):
        assert kind == "twice"
        a, b = residuals
        return ({"a": scale * g["out"] * np_.cos(a) * b, "b": scale * g["out"] * np_.sin(a)},)

    f.defvjp(fwd, bwd)
    return lambda tree: (f(3.0, tree, "twice")["out"] ** 2).sum()


@pytest.mark.peers
def test_rules_agree_with_jax(jax):
    jax.config.update("jax_enable_x64", True)
    found = []
    for lib, np_ in ((jax, jax.numpy), (gg, gg)):
        loss = _loss_with_rules(lib, np_)
        tree = {"a": np.array([0.1, 0.2]), "b": np.array([1.0, -2.0])}
        gradient = lib.grad(loss)(tree)
        second = lib.grad(lambda t, loss=loss, lib=lib: (lib.grad(loss)(t)["a"] ** 2).sum())(tree)
        found.append([np.asarray(v) for t in (gradient, second) for v in (t["a"], t["b"])])
    for ours, theirs in zip(found[1], found[0], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_None_is_a_cotangent_of_zeros_and_several_outputs_have_several_cotangents():
    @gg.custom_vjp
    def f(x, y, n):
        return x * y, [x + 1]

    f.defvjp(lambda x, y, n: ((x * y, [x + 1]), y), lambda y, g: (g[0] * y + 10 * g[1][0], None, None))
    gradient = gg.grad(lambda x, y: f(x, y, 3)[0] + f(x, y, 3)[1][0], (0, 1))(2.0, 5.0)
    assert gradient == (15.0, 0.0)
    assert gg.grad(lambda x: f(x, 5.0, 3)[0])(2.0) == 5.0


def test_as_a_method_the_object_comes_first():
    class Model:
        scale = 3.0

        @functools.partial(gg.custom_vjp, nondiff_argnums=(0,))
        def f(self, x):
            return self.scale * x

        f.defvjp(lambda self, x: (self.scale * x, None), lambda self, _, g: (self.scale * g + 1,))

    assert gg.grad(Model().f)(1.0) == 4.0


@pytest.mark.parametrize(
    ("bwd", "message"),
    [
        (lambda r, g: g, r"\[f\] its bwd returned Tensor; expected a tuple with one cotangent for each of its 1"),
        (lambda r, g: (g, g), r"\[f\] its bwd returned 2 cotangents; expected a tuple with one cotangent for each of"),
        (lambda r, g: ([g, g],), r"\[f\] its bwd returned 2 arrays as the cotangent of argument 0; expected its struc"),
        (lambda r, g: (g.sum(),), r"\[f\] its bwd returned a cotangent of shape \(\) for argument 0 of shape \(3,\)"),
    ],
)
def test_a_backward_rule_that_does_not_fit_is_told_so(bwd, message):
    @gg.custom_vjp
    def f(x):
        return x * 2

    f.defvjp(lambda x: (x * 2, None), bwd)
    with pytest.raises(gg.GradientError, match=message):
        gg.grad(lambda x: f(x).sum())(np.ones(3))


def test_other_mistakes_are_told():
    f = gg.custom_vjp(lambda x: x)
    with pytest.raises(gg.GradientError, match=r"has no rules yet; set them with <lambda>.defvjp\(fwd, bwd\)"):
        f(1.0)
    f.defvjp(lambda x: x, lambda r, g: (g,))
    with pytest.raises(gg.GradientError, match=r"its fwd returned Tensor; expected a tuple \(output, residuals\)"):
        gg.grad(f)(1.0)
    with pytest.raises(gg.GradientError, match=r"has no rule yet; set it with <lambda>.defjvp\(jvp\)"):
        gg.custom_jvp(lambda x: x)(1.0)
    g = gg.custom_jvp(lambda x: x * 2)
    g.defjvp(lambda p, t: (p[0] * 2, t[0][None]))
    with pytest.raises(gg.GradientError, match=r"its jvp returned tangents of shapes \[\(1,\)\] for outputs of shapes"):
        gg.grad(g)(1.0)
    with pytest.raises(TypeError, match=r"\[custom_vjp\] expected a function, got int"):
        gg.custom_vjp(3)


def test_a_tensor_that_is_no_argument_is_refused_and_never_left_out_silently():
    w = gg.tensor(2.0, requires_grad=True)
    f = gg.custom_vjp(lambda x: x * w)
    f.defvjp(lambda x: (x * w, None), lambda r, g: (g * w,))
    with pytest.raises(gg.GradientError, match="depends on a tensor that requires a gradient and is not among its arg"):
        gg.grad(f)(1.0)
    h = gg.custom_vjp(lambda w, x: x * w, nondiff_argnums=(0,))
    h.defvjp(lambda w, x: (x * w, None), lambda w, r, g: (g * w,))
    with pytest.raises(TypeError, match=r"an argument of nondiff_argnums = \(0,\) requires a gradient"):
        gg.grad(lambda x: h(w, x))(1.0)


def test_stop_gradient_makes_constants_of_structures():
    def f(x):
        tree = gg.stop_gradient({"a": x, "b": [x * 2, "text"]})
        return x * tree["a"] + tree["b"][0]

    assert gg.grad(f)(3.0) == 3.0
    assert gg.grad(gg.grad(f))(3.0) == 0.0
    assert gg.jvp(f, (3.0,), (1.0,))[1] == 3.0
