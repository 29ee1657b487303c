"""The suite's gradient checks, over gpugrad: a random direction against a central difference, at each order."""

import itertools

import gpugrad as gg

from .faces import make_jvp_of, make_vjp_of, name_of, unary_to_nary
from .spaces import vspace

TOLERANCE = STEP = 1e-6


def scalar_close(a, b):
    return abs(a - b) < TOLERANCE or abs(a - b) / abs(a + b) < TOLERANCE


def _difference(f, x, v):
    xs = vspace(x)
    up = f(xs.add(x, xs.scalar_mul(v, STEP / 2)))
    down = f(xs.add(x, xs.scalar_mul(v, -STEP / 2)))
    ys = vspace(up)
    return ys.scalar_mul(ys.add(up, ys.scalar_mul(down, -1.0)), 1 / STEP)


def check_equivalent(x, y):
    xs, ys = vspace(x), vspace(y)
    assert xs == ys, f"VSpace mismatch:\nx: {xs}\ny: {ys}"
    v = xs.randn()
    assert scalar_close(_number(xs.inner_prod(x, v)), _number(xs.inner_prod(y, v))), f"Value mismatch:\nx: {x}\ny: {y}"


def _number(x):
    return x.item() if isinstance(x, gg.Tensor) else x


def _check_vjp(f, x):
    pull, value = make_vjp_of(f, x)
    xs, ys = vspace(x), vspace(value)
    v, w = xs.randn(), ys.randn()
    back = xs.covector(pull(ys.covector(w)))
    assert vspace(back) == xs
    exact, numeric = xs.inner_prod(v, back), ys.inner_prod(w, _difference(f, x, v))
    assert scalar_close(numeric, exact), (
        f"Derivative (VJP) check of {name_of(f)} failed with arg {x}:\nanalytic: {exact}\nnumeric:  {numeric}"
    )


@unary_to_nary
def check_grads(f, x, modes=("fwd", "rev"), order=2):
    """Check derivatives of `f` at `x` in both modes, and those of the derivatives."""
    assert set(modes) <= {"fwd", "rev"}
    for mode in modes:
        if mode == "fwd":
            v = vspace(x).randn()
            check_equivalent(make_jvp_of(f, x)(v)[1], _difference(f, x, v))

            def derivative(x, v):
                return make_jvp_of(f, x)(v)[1]

            direction, name = vspace(x).randn(), "jvp"
        else:
            _check_vjp(f, x)

            def derivative(x, v):
                return make_vjp_of(f, x)[0](v)

            direction, name = vspace(f(x)).randn(), "vjp"
        if order > 1:
            derivative.__name__ = f"{name}_{name_of(f)}"
            check_grads(derivative, (0, 1), modes, order=order - 1)(x, direction)


def quick_grad_check(f, x, extra_args=(), kwargs=None):
    """The check of before 2017: one order, in reverse mode."""
    check_grads(lambda x: f(x, *extra_args, **(kwargs or {})), modes=("rev",), order=1)(x)


def combo_check(f, *options, **named):
    """Check all combinations of the lists of arguments given."""

    def check(*args, **kwargs):
        for chosen in itertools.product(*args):
            for values in itertools.product(*kwargs.values()):
                check_grads(f, *options, **named)(*chosen, **dict(zip(kwargs, values, strict=True)))

    return check
