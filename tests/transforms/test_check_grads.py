"""`check_grads`: both modes, all their mixtures, the budgets of the dtypes; every planted error is found and named."""

import numpy as np
import pytest

import gpugrad as gg

X = np.array([0.3, -1.1, 0.8])


def with_rules(rev=1.0, fwd=1.0):
    """sin, with its derivative off by a factor in either mode."""

    @gg.custom_jvp
    def f(x):
        return gg.sin(x)

    @f.defjvp
    def rule(primals, tangents):
        (x,), (t,) = primals, tangents
        return gg.sin(x), fwd * t * gg.cos(x)

    @gg.custom_vjp
    def g(x):
        return gg.sin(x)

    g.defvjp(lambda x: (gg.sin(x), x), lambda x, c: (rev * c * gg.cos(x),))
    return f, g


def test_both_modes_are_checked_by_default_and_each_error_names_its_mode():
    f, g = with_rules(rev=1.001, fwd=1.001)
    with pytest.raises(gg.GradientMismatchError, match=r"\[check_grads\] order 1, direction 0: reverse mode gives"):
        gg.check_grads(g, (X,))
    with pytest.raises(gg.GradientMismatchError, match=r"\[check_grads\] order 1, direction 0: forward mode gives"):
        gg.check_grads(f, (X,), modes=("fwd",))
    right, also = with_rules()
    gg.check_grads(right, (X,), order=3)
    gg.check_grads(also, (X,), order=3)


@pytest.mark.parametrize("above", ["rev", "fwd"])
@pytest.mark.parametrize("below", ["rev", "fwd"])
def test_an_error_in_the_second_derivative_is_found_in_each_mixture_of_modes(above, below):
    @gg.custom_jvp
    def cosine(x):
        return gg.cos(x)

    cosine.defjvp(lambda p, t: (gg.cos(p[0]), -1.001 * t[0] * gg.sin(p[0])))

    @gg.custom_jvp
    def sine(x):
        return gg.sin(x)

    sine.defjvp(lambda p, t: (gg.sin(p[0]), t[0] * cosine(p[0])))
    gg.check_grads(sine, (X,), order=1)
    names = {"rev": "reverse mode", "fwd": "forward mode"}
    modes = (above, below) if above != below else (above,)
    with pytest.raises(gg.GradientMismatchError, match=rf"order 2 \(the derivative of {names[above]}\)"):
        gg.check_grads(sine, (X,), order=2, modes=modes)


@pytest.mark.parametrize(("dtype", "seen"), [("float16", 1.3), ("float32", 1.03), ("float64", 1.00001)])
def test_the_budget_follows_the_dtype(dtype, seen):
    x = X.astype(dtype)
    gg.check_grads(lambda x: gg.sin(x) * x, (x,))
    gg.check_grads(with_rules(fwd=seen**0.05)[0], (x,), order=1)
    with pytest.raises(gg.GradientMismatchError, match="order 1"):
        gg.check_grads(with_rules(fwd=seen)[0], (x,), order=1)


def test_bfloat16_and_complex_numbers_have_budgets():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    gg.check_grads(lambda x: gg.sin(x) * x, (X.astype(ml_dtypes.bfloat16),), order=1)
    for dtype in ("complex64", "complex128"):
        gg.check_grads(lambda z: gg.exp(z) * z, ((X + 0.5j).astype(dtype),))


def test_directions_are_the_same_at_each_call():
    seen = []

    def f(x):
        seen.append(np.array(x.data if isinstance(x, gg.Tensor) else x))
        return gg.sin(x)

    gg.check_grads(f, (X,))
    once = list(seen)
    seen.clear()
    gg.check_grads(f, (X,))
    for a, b in zip(once, seen, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_cannot_be_checked_is_refused():
    for modes in ((), ("fwd", "sideways")):
        with pytest.raises(ValueError, match=r"\[check_grads\] modes = .*expected modes of \('rev', 'fwd'\)"):
            gg.check_grads(gg.sin, (1.0,), modes=modes)
    with pytest.raises(ValueError, match="order = 0"):
        gg.check_grads(gg.sin, (1.0,), order=0)
    with pytest.raises(ValueError, match="no argument is floating point"):
        gg.check_grads(gg.sin, (1,))
