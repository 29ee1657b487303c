"""What an operation does at ties, zeros, edges and in half precision: choices, each written down and tested."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.primitive import REGISTRY
from gpugrad.tensor import Tensor
from tests.ops.table import op


def gradient(function: Callable[..., Any], *values: Any, dtype: Any = np.float64) -> Any:
    """The gradient of the function's sum at the first value."""
    x = Tensor(np.asarray(values[0], dtype), requires_grad=True)
    function(x, *values[1:]).sum().backward()
    return x.grad.data.tolist()


# ---- ties and zeros


@pytest.mark.parametrize("name", ["max", "amax"])
def test_ties_of_max_share_the_gradient_equally(name: str) -> None:
    assert gradient(getattr(op, name), [1.0, 1.0, 0.0]) == [0.5, 0.5, 0.0]


def test_ties_of_min_share_the_gradient_equally_along_each_axis() -> None:
    assert gradient(lambda x: op.min(x, 1), [[2.0, 2.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]]) == [
        [1 / 3, 1 / 3, 1 / 3, 0.0],
        [1.0, 0.0, 0.0, 0.0],
    ]


def test_a_nan_takes_the_gradient_of_max() -> None:
    assert gradient(op.max, [1.0, math.nan, 0.0]) == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin"])
def test_ties_of_two_operands_share_the_gradient(name: str) -> None:
    x, y = Tensor(np.ones(2), True), Tensor(np.ones(2), True)
    getattr(op, name)(x, y).sum().backward()
    assert x.grad.tolist() == y.grad.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("name", ["absolute", "sign", "relu", "leaky_relu", "elu", "silu", "step", "hardtanh"])
def test_gradient_at_zero_is_finite(name: str) -> None:
    slope = {"leaky_relu": 0.01, "elu": 1.0, "silu": 0.5, "hardtanh": 1.0}.get(name, 0.0)
    assert gradient(getattr(op, name), [0.0]) == [slope]


@pytest.mark.parametrize("order", [None, 1, 1.5, 2, 3, math.inf])
def test_gradient_of_norm_at_zero_is_zero(order: Any) -> None:
    assert gradient(lambda x: op.norm(x, order, axis=-1), [0.0, 0.0]) == [0.0, 0.0]


def test_second_derivative_of_norm_at_zero_is_finite() -> None:
    x = np.zeros(2)
    assert gg.grad(lambda x: gg.grad(op.norm)(x).sum())(x).tolist() == [0.0, 0.0]


def test_gradient_of_std_of_equal_elements_is_zero() -> None:
    assert gradient(op.std, [2.0, 2.0, 2.0]) == [0.0, 0.0, 0.0]


def test_gradient_of_prod_never_divides() -> None:
    assert gradient(op.prod, [0.0, 2.0, 3.0]) == [6.0, 0.0, 0.0]
    assert gradient(op.prod, [0.0, 2.0, 0.0]) == [0.0, 0.0, 0.0]
    assert gradient(op.cumprod, [2.0, 0.0, 3.0]) == [1.0, 2.0 + 6.0, 0.0]


def test_second_derivative_of_prod_at_zeros_is_exact() -> None:
    # of x0 x1 x2 at (0, 0, 5): only d2/dx0 dx1 = x2 is not 0
    assert gg.grad(lambda x: gg.grad(op.prod)(x)[0])(np.array([0.0, 0.0, 5.0])).tolist() == [0.0, 5.0, 0.0]


def test_sort_keeps_the_order_of_ties_also_downwards() -> None:
    assert op.argsort(np.array([1.0, 0.0, 1.0, 0.0])).tolist() == [1, 3, 0, 2]
    assert op.argsort(np.array([1.0, 0.0, 1.0, 0.0]), descending=True).tolist() == [0, 2, 1, 3]


def test_branch_not_taken_leaks_no_nan() -> None:
    assert gradient(lambda x: op.where(np.array([False, True]), op.sqrt(op.maximum(x, 1.0)), x), [-1.0, 4.0]) == [
        1.0,
        0.25,
    ]


# ---- indices


def test_repeated_indices_add_up() -> None:
    assert gradient(lambda x: x[[0, 0, 2]] * np.array([1.0, 10.0, 100.0]), [1.0, 2.0, 3.0]) == [11.0, 0.0, 100.0]


def test_repeated_indices_add_up_in_float32_in_half_precision() -> None:
    index = np.zeros(4096, np.intp)
    x = Tensor(np.ones(1, np.float16), True)
    (x[index] * np.float16(0.5)).sum().backward()
    assert x.grad.data.tolist() == [2048.0]  # in float16, 1024 + 0.5 is 1024


def test_gradient_of_many_repeats_is_the_same_each_time() -> None:
    rng = np.random.default_rng(0)
    table, index = rng.standard_normal((50, 8)).astype(np.float32), rng.integers(-50, 50, (40, 30))
    g = rng.standard_normal((40, 30, 8)).astype(np.float32)

    def once() -> Any:
        x = Tensor(table, True)
        (x[index] * g).sum().backward()
        return x.grad.data

    first = once()
    expected = np.zeros((50, 8))
    np.add.at(expected, index, g.astype(np.float64))
    np.testing.assert_allclose(first, expected, atol=1e-4)
    for _ in range(3):
        np.testing.assert_array_equal(once(), first)


def test_only_the_last_of_several_values_written_to_one_place_has_a_gradient() -> None:
    v = Tensor(np.array([1.0, 2.0, 3.0]), True)
    op.index_put(np.zeros(2), [0, 1, 0], v).sum().backward()
    assert v.grad.tolist() == [0.0, 1.0, 1.0]


def test_indices_may_be_tensors() -> None:
    x = gg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    rows, columns = gg.tensor([1, 0]), gg.tensor([0, 0])
    assert x[rows, columns].tolist() == [3.0, 1.0]
    assert x[x > 2].tolist() == [3.0, 4.0]
    x[x > 2].sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0], [1.0, 1.0]]


def test_an_index_that_is_changed_before_backward_is_noticed() -> None:
    x = Tensor(np.arange(3.0), True)
    index = gg.tensor([0, 1])
    y = x[index].sum()
    index[0] = 2
    with pytest.raises(gg.GradientError, match="getitem"):
        y.backward()


# ---- dtypes


def test_sums_of_half_precision_add_up_in_float32() -> None:
    x = np.full((4096, 2), 0.25, np.float16)
    assert op.sum(x, 0).tolist() == [1024.0, 1024.0]
    assert op.mean(x, 0).dtype == np.float16
    assert op.cumsum(x, 0)[-1].tolist() == [1024.0, 1024.0]
    assert op.norm(np.full(10_000, 4.0, np.float16)) == 400.0


def test_sums_of_integers_and_truth_values_are_numpys() -> None:
    for x in (np.arange(5, dtype=np.int8), np.array([True, True])):
        assert op.sum(x).dtype == np.sum(x).dtype
        assert op.mean(x).dtype == np.mean(x).dtype
        assert op.mean(x) == np.mean(x)
        assert op.cumsum(x).dtype == np.cumsum(x).dtype


def test_results_without_axes_are_arrays() -> None:
    x = np.arange(3.0)
    for result in (
        op.sum(x),
        op.mean(x),
        op.max(x),
        op.prod(x),
        op.norm(x),
        op.argmax(x),
        op.getitem(x, 1),
        op.dot(x, x),
    ):
        assert type(result) is np.ndarray
        assert result.shape == ()


def test_gradients_of_large_reductions_are_broadcast_and_may_be_changed() -> None:
    x = Tensor(np.ones((300, 200), np.float32), True)  # above the size where spreading copies
    (x.sum() + x.mean(0).sum()).backward()
    np.testing.assert_allclose(x.grad.data, 1 + 1 / 300, rtol=1e-6)
    x.grad.data += 1
    np.testing.assert_allclose(x.grad.data, 2 + 1 / 300, rtol=1e-6)


# ---- spellings


def test_pytorchs_names_of_arguments_mean_the_same() -> None:
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(op.sum(x, dim=1, keepdim=True), op.sum(x, axis=1, keepdims=True))
    np.testing.assert_array_equal(op.sum(x, 1, True), op.sum(x, axis=1, keepdims=True))
    np.testing.assert_array_equal(op.max(x, 1, True), op.max(x, axis=1, keepdims=True))
    np.testing.assert_array_equal(op.flip(x, dims=(0,)), op.flip(x, 0))
    np.testing.assert_array_equal(op.cumsum(input=x, dim=1), op.cumsum(x, 1))
    assert op.var(x, correction=1) == op.var(x, unbiased=True) == op.var(x, ddof=1)


# ---- cost


def test_reductions_count_inputs_and_views_count_nothing() -> None:
    shapes = ((8, 4),)
    assert REGISTRY["sum"].flops(shapes, (8,), axis=(1,), keepdims=False, dtype=None) == 32
    assert REGISTRY["max"].flops(shapes, (), axis=None, keepdims=False) == 32
    assert REGISTRY["reshape"].flops(shapes, (32,), shape=(32,)) == 0
    assert REGISTRY["getitem"].flops(shapes, (4,), index=0, arrays=(), unique=True) == 0


# ---- complex numbers


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "cumprod", "norm", "var", "std"])
def test_reductions_of_complex_numbers_have_their_gradients(name: str, rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3)) + 1j * rng.standard_normal((2, 3))
    numpys = np.linalg.norm if name == "norm" else getattr(np, name)
    np.testing.assert_allclose(getattr(op, name)(x), numpys(x), rtol=1e-14)
    gg.check_grads(getattr(op, name), (x,), order=2)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
def test_derivatives_of_sinc_near_zero_do_not_cancel(dtype: str, tolerance: float) -> None:
    x = np.array([0.0, 1e-8, 1e-4, 1e-2, 0.1], dtype)
    v = np.pi * x.astype("longdouble")  # of x, not of its name: float32's 0.1 is another number
    first = np.pi * sum((-1) ** k * 2 * k * v ** (2 * k - 1) / math.factorial(2 * k + 1) for k in range(1, 9))
    second = np.pi**2 * sum(
        (-1) ** k * 2 * k * (2 * k - 1) * v ** (2 * k - 2) / math.factorial(2 * k + 1) for k in range(1, 9)
    )
    slope = gg.elementwise_grad(gg.sinc)
    np.testing.assert_allclose(slope(x), first.astype("float64"), rtol=tolerance)
    np.testing.assert_allclose(gg.elementwise_grad(slope)(x), second.astype("float64"), rtol=tolerance)
    assert gg.grad(gg.sinc, holomorphic=True)(0.3 + 0.2j) == pytest.approx(
        (np.cos(np.pi * (0.3 + 0.2j)) - np.sinc(0.3 + 0.2j)) / (0.3 + 0.2j)
    )
