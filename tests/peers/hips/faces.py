"""HIPS autograd's public functions over gpugrad's: other names and argument orders, no derivative of their own."""

import functools

import numpy as onp

import gpugrad as gg
import gpugrad.numpy as gnp
from gpugrad.transforms.tree import flatten as leaves_of
from gpugrad.transforms.tree import tree_map

from .spaces import vspace


def name_of(f):
    return getattr(f, "__name__", "[unknown name]")


def unary_to_nary(operator):
    """`operator(f of one argument, x)` becomes `(f, argnum)(*args, **kwargs)`."""

    @functools.wraps(operator)
    def of_function(f, argnum=0, *options, **named):
        @functools.wraps(f, assigned=("__name__", "__doc__"), updated=())
        def of_arguments(*args, **kwargs):
            numbers = (argnum,) if isinstance(argnum, int) else tuple(argnum)

            def alone(x):
                filled = list(args)
                for n, value in zip(numbers, (x,) if isinstance(argnum, int) else x, strict=True):
                    filled[n] = value
                return f(*filled, **kwargs)

            alone.__name__ = name_of(f)
            x = args[argnum] if isinstance(argnum, int) else tuple(args[n] for n in numbers)
            return operator(alone, x, *options, **named)

        return of_arguments

    return of_function


def _floating(x):
    """Integers of Python count as floats where autograd takes them for vectors."""
    return tree_map(lambda leaf: float(leaf) if type(leaf) is int else leaf, x)


def make_vjp_of(f, x):
    """The pullback and the value, autograd's way round, with its convention for complex numbers."""
    value, pull = gg.vjp(f, _floating(x))
    return (lambda g: _unpacked(pull(_like(g, value))[0])), _unpacked(value)


def make_jvp_of(f, x):
    return lambda v: tuple(_unpacked(part) for part in gg.jvp(f, (_floating(x),), (_like(v, x),)))


def _like(g, value):
    """A cotangent or tangent with the dtypes of a value: autograd lets a number stand for a 0-d array."""
    given, want = leaves_of(g)[0], leaves_of(value)
    return want[1]([a if isinstance(a, gg.Tensor) else onp.asarray(a) for a in given])


def _unpacked(tree):
    return tree_map(lambda a: a[()] if isinstance(a, onp.ndarray) and a.ndim == 0 else a, tree)


make_vjp = unary_to_nary(make_vjp_of)
make_jvp = unary_to_nary(make_jvp_of)


def _refuse_unless_a_number(value):
    """autograd's error for the gradient of what is not one real number."""
    dtype = value.dtype if hasattr(value, "dtype") else onp.asarray(value).dtype
    if getattr(value, "size", 1) != 1 or dtype.kind not in "fi":
        raise TypeError(f"the gradient of {value!r}, which is not one real number")


def grad_of(f, x):
    pull, value = make_vjp_of(f, x)
    _refuse_unless_a_number(value)
    return pull(vspace(value).ones())


@unary_to_nary
def grad(f, x):
    return grad_of(f, x)


@unary_to_nary
def elementwise_grad(f, x):
    pull, value = make_vjp_of(f, x)
    return pull(vspace(value).ones())


@unary_to_nary
def deriv(f, x):
    return make_jvp_of(f, x)(vspace(x).ones())[1]


@unary_to_nary
def value_and_grad(f, x):
    pull, value = make_vjp_of(f, x)
    _refuse_unless_a_number(value)
    return value, pull(vspace(value).ones())


@unary_to_nary
def grad_and_aux(f, x):
    value, pull, aux = gg.vjp(f, x, has_aux=True)
    return pull(onp.ones(onp.shape(value)))[0], aux


@unary_to_nary
def jacobian(f, x):
    return gg.jacobian(f)(_floating(x))


@unary_to_nary
def hessian(f, x):
    return gg.jacobian(gg.jacobian(f))(x)


@unary_to_nary
def holomorphic_grad(f, x):
    return gg.grad(f, holomorphic=True)(x)


@unary_to_nary
def make_hvp(f, x):
    return make_vjp_of(functools.partial(grad_of, f), x)


def make_ggnvp(f, g=lambda y: 0.5 * gnp.sum(y * y), f_argnum=0):
    @unary_to_nary
    def make(f, x):
        def product(v):
            value, tangent = make_jvp_of(f, x)(v)
            curved = make_jvp_of(lambda y: grad_of(g, y), value)(tangent)[1]
            return make_vjp_of(f, x)[0](curved)

        return product

    return make(f, f_argnum)


def tensor_jacobian_product(f, argnum=0):
    def product(*args):
        *primals, vector = args
        return jacobian(lambda *a: gnp.tensordot(vector, f(*a), axes=onp.ndim(vector)), argnum)(*primals)

    return product


def hessian_tensor_product(f, argnum=0):
    def product(*args):
        *primals, vector = args

        def contracted(*a):
            return gnp.tensordot(grad(f, argnum)(*a), vector, axes=onp.ndim(vector))

        return grad(contracted, argnum)(*primals)

    return product


def multigrad_dict(f):
    def gradients(*args, **kwargs):
        import inspect

        bound = inspect.signature(f).bind(*args, **kwargs)
        bound.apply_defaults()
        named = dict(bound.arguments)
        return grad_of(lambda values: f(**values), named)

    return gradients


class primitive:  # noqa: N801 - autograd's name
    """A function with rules of its own: gpugrad's `custom_vjp`, its rules filled in by `defvjp`."""

    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.function = function
        self.rules = {}

    def __call__(self, *args, **kwargs):
        if not any(isinstance(leaf, gg.Tensor) for leaf in leaves_of(args)[0]):
            return self.function(*args, **kwargs)
        if not self.rules:
            raise NotImplementedError(f"no rule was given for {name_of(self)}")
        call = gg.custom_vjp(lambda *a: self.function(*a, **kwargs))

        def forward(*a):
            return (out := self.function(*a, **kwargs)), (out, a)

        def backward(kept, g):
            out, a = kept
            return tuple(self.rules[i](out, *a, **kwargs)(g) if i in self.rules else None for i in range(len(a)))

        call.defvjp(forward, backward)
        return call(*args)


class deprecated_primitive(primitive):  # noqa: N801 - as above
    """A primitive with the methods of before 2017, which give the same rules one argument at a time."""

    def defgrad(self, rule, argnum=0):
        self.rules[argnum] = rule

    def defvjp(self, rule, argnum=0):
        self.rules[argnum] = lambda out, *a, **kw: lambda g: rule(g, out, vspace(a[argnum]), vspace(g), *a, **kw)

    def defvjp_is_zero(self, argnums=(0,)):
        for n in argnums:
            self.rules[n] = lambda out, *a, n=n, **kw: lambda g: a[n] * 0


def where(condition, *args, **kwargs):
    """gpugrad's, as Python's numbers and lists where all that went in were such: autograd's convention."""
    found = gnp.where(condition, *args, **kwargs)
    given = leaves_of([condition, *args, *kwargs.values()])[0]
    python = not any(isinstance(leaf, (gg.Tensor, onp.ndarray, onp.generic)) for leaf in given)
    return found.tolist() if python and isinstance(found, onp.ndarray) else found


def make_diagonal(x, offset=0, axis1=0, axis2=1):
    return gg.diag_embed(x, offset, axis1, axis2)


def integer_type(kind):
    """NumPy's type of integers that takes the value of a tensor, as autograd's do of its boxes."""

    class OfBoxes(kind):
        def __new__(cls, x=0):
            return kind(x.detach().data if isinstance(x, gg.Tensor) else x)

    return OfBoxes


def defvjp(function, *rules, argnums=None):
    numbers = range(len(rules)) if argnums is None else argnums
    function.rules.update({n: r for n, r in zip(numbers, rules, strict=True) if r is not None})


def flatten(value):
    """All numbers of a structure in one vector, and the way back."""
    leaves, build = leaves_of(value)
    shapes = [gnp.shape(leaf) for leaf in leaves]
    ends = onp.cumsum([int(onp.prod(s)) for s in shapes])
    vector = gnp.concatenate([gnp.ravel(leaf) for leaf in leaves]) if leaves else onp.zeros(0)

    def back(v):
        parts = [v[end - int(onp.prod(s)) : end].reshape(s) for s, end in zip(shapes, ends, strict=True)]
        return _unpacked(build(parts))

    return vector, back
