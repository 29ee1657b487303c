"""What random compositions of transforms found: each was a wrong number, a wrong type or an error from deep inside."""

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.numpy as gnp

A = np.arange(24.0).reshape(2, 3, 4) * 0.1
B, C = np.arange(8.0).reshape(2, 4) * 0.3, np.arange(12.0).reshape(3, 4) * 0.2


def added(x: Any, y: Any) -> Any:
    z = gg.as_tensor(x * 1.0)
    z[::-1] += y
    return z


def replaced(x: Any, y: Any) -> Any:
    z = gg.as_tensor(x * 1.0)
    z[0] = y[0]
    return z


@pytest.mark.parametrize("f", [added, replaced])
def test_values_of_the_inner_map_are_written_to_a_copy_of_what_the_outer_map_has(f: Any) -> None:
    expected = np.stack([np.stack([np.asarray(f(b, c).data) for c in C]) for b in B])
    np.testing.assert_array_equal(gg.vmap(gg.vmap(f, (None, 0)), (0, None))(B, C), expected)
    expected = np.stack([np.stack([np.asarray(f(b, a).data) for a in rows]) for b, rows in zip(B, A, strict=True)])
    np.testing.assert_array_equal(gg.vmap(gg.vmap(f, (None, 0)), (0, 0))(B, A), expected)


def test_a_compiled_transform_of_a_compiled_function_is_the_transform() -> None:
    f = gg.compile(lambda x: gnp.sin(x).sum(-1))
    np.testing.assert_allclose(gg.compile(gg.jacrev(f))(C[0]), np.cos(C[0]))
    np.testing.assert_allclose(gg.compile(gg.vmap(f, 1))(C), np.sin(C.T).sum(-1))


def test_a_transform_of_a_function_with_rules_has_none_itself() -> None:
    @gg.custom_vjp
    def inner(x: Any) -> Any:
        return x * 2.0

    inner.defvjp(lambda x: (x * 2.0, None), lambda _, g: (g * 2.0,))
    with pytest.raises(gg.GradientError, match="has no rules yet"):
        gg.grad(gg.custom_vjp(gg.vmap(inner)))(C[0])


def test_an_example_that_is_an_array_is_indexed_by_what_a_gradient_computes() -> None:
    def f(a: Any, b: Any) -> Any:
        written = b.copy()
        written[gnp.argmin(a)] = 5.0
        return (gnp.sin(a) * b[gnp.argsort(a)] * written).sum()

    x, y = np.cos(B), np.sin(B)
    expected = [gg.grad(f)(a, b) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(gg.vmap(gg.grad(f))(x, y), expected)


@pytest.mark.parametrize("jacobian", [gg.jacrev, gg.jacfwd, gg.jacobian])
@pytest.mark.parametrize("constant", [np.float32(2.0), np.float64(2.0), 2.0])
def test_jacobians_of_numbers_that_do_not_depend_on_the_arguments(jacobian: Any, constant: Any) -> None:
    found = jacobian(lambda x: {"a": constant, "b": x * 2.0})(C[0])
    np.testing.assert_array_equal(found["a"], np.zeros(4))
    assert found["a"].dtype in (np.asarray(constant).dtype, np.float64)
    np.testing.assert_array_equal(found["b"], 2.0 * np.eye(4))


def test_auxiliaries_are_arrays_where_the_arguments_are() -> None:
    def f(x: Any) -> Any:
        return (x * x).sum(), {"doubled": x * 2.0, "name": "aux"}

    for found in (gg.grad(f, has_aux=True)(C[0])[1], gg.jvp(f, (C[0],), (C[1],), has_aux=True)[2]):
        assert type(found["doubled"]) is np.ndarray
        np.testing.assert_array_equal(found["doubled"], 2.0 * C[0])
    (_, aux), _ = gg.value_and_grad(f, has_aux=True)(gg.tensor(C[0], dtype="float64"))
    assert isinstance(aux["doubled"], gg.Tensor)
    assert not aux["doubled"].requires_grad

    def through(x: Any) -> Any:  # further out they are differentiated
        return gg.grad(f, has_aux=True)(x)[1]["doubled"].sum()

    np.testing.assert_array_equal(gg.grad(through)(C[0]), np.full(4, 2.0))


@pytest.mark.parametrize("result", [lambda x: x.sum(), lambda x: (x.sum(), 1, 2)])
def test_has_aux_of_a_function_that_gives_no_pair(result: Any) -> None:
    with pytest.raises(TypeError, match=r"\[grad\] with has_aux=True the function returned"):
        gg.grad(result, has_aux=True)(C[0])
    with pytest.raises(TypeError, match=r"\[vjp\] with has_aux=True the function returned"):
        gg.vjp(result, C[0], has_aux=True)


def test_derivatives_share_no_memory_with_each_other_or_with_what_was_given() -> None:
    x, y, g = C[0].copy(), C[1].copy(), np.ones(4)
    _, pull = gg.vjp(lambda x, y: x + y, x, y)
    _, pull_tensors = gg.vjp(lambda x, y: x + y, gg.tensor(x, dtype="float64"), gg.tensor(y, dtype="float64"))
    derivatives = {
        "grad": gg.grad(lambda x, y: (x + y).sum(), (0, 1))(x, y),
        "pull": pull(g),
        "pull tensors": [t.data for t in pull_tensors(g)],
        "checkpoint": gg.grad(gg.checkpoint(lambda x, y: (x + y).sum()), (0, 1))(x, y),
        "jvp": gg.jvp(lambda x: (x, x * 1.0, x), (x,), (g,))[1],
        "linearize": [gg.linearize(lambda x: x, x)[1](g)],
        "jacfwd": gg.jacfwd(lambda x: (x, x))(x),
    }
    for name, results in derivatives.items():
        for i, one in enumerate(results):
            assert one.flags.writeable, name
            for other in [*results[i + 1 :], g, x, y]:
                assert not np.shares_memory(one, other), name


def test_a_direction_that_examples_share() -> None:
    x, direction = np.cos(A), np.sin(A[0])  # logsumexp has no forward rule of its own

    def f(x: Any) -> Any:
        return gnp.tanh(gg.logsumexp(x, axis=-2))

    expected = [gg.jvp(f, (one,), (direction,))[1] for one in x]
    np.testing.assert_allclose(gg.vmap(lambda one: gg.jvp(f, (one,), (direction,))[1])(x), expected)
    products = [gg.hvp(lambda x: f(x).sum(), (one,), (direction,)) for one in x]
    found = gg.vmap(lambda one, t: gg.hvp(lambda x: f(x).sum(), (one,), (t,)), (0, None))(x, direction)
    np.testing.assert_allclose(found, products)

    def length(x: Any, t: Any) -> Any:
        return (gg.vmap(lambda one, t: gg.hvp(lambda x: f(x).sum(), (one,), (t,)), (0, None))(x, t) ** 2).sum()

    def by_loop(x: Any, t: Any) -> Any:
        return sum((gg.hvp(lambda x: f(x).sum(), (one,), (t,)) ** 2).sum() for one in x)

    for one, other in zip(gg.grad(length, (0, 1))(x, direction), gg.grad(by_loop, (0, 1))(x, direction), strict=True):
        np.testing.assert_allclose(one, other)


MISUSE = {
    "nothing returned": (lambda: gg.grad(lambda x: None)(C), gg.GradientError, r"\[grad\] the function returned None"),
    "text returned": (
        lambda: gg.value_and_grad(lambda x: "x")(C),
        gg.GradientError,
        r"returned str; expected",
    ),
    "an argument twice": (lambda: gg.grad(lambda x, y: x.sum(), (0, -2))(C, C), ValueError, "an argument twice"),
    "argnums of text": (
        lambda: gg.jacrev(lambda x: x, "x")(C),
        TypeError,
        r"\[jacrev\] argnums = .x.; expected",
    ),
    "argnums of a float": (lambda: gg.grad(lambda x: x.sum(), 0.0)(C), TypeError, r"\[grad\] argnums = 0.0"),
    "no function": (lambda: gg.jvp(None, (C,), (C,)), TypeError, r"\[jvp\] got NoneType 'None'; expected a function"),
    "no function to grad": (lambda: gg.grad(3), TypeError, r"\[grad\] got int '3'; expected a function"),
    "no function to jacfwd": (lambda: gg.jacfwd(None)(C), TypeError, r"\[jacfwd\] got NoneType"),
    "text in a Jacobian": (lambda: gg.jacobian(lambda x: "x")(C), TypeError, r"an output is 'x'; expected floating"),
    "a complex cotangent": (lambda: gg.vjp(lambda x: x, C)[1](C * 1j), gg.GradientError, "expected a real one"),
}


@pytest.mark.parametrize("case", MISUSE)
def test_misuse_is_refused_by_name(case: str) -> None:
    call, kind, message = MISUSE[case]
    with pytest.raises(kind, match=message):
        call()
