"""The NumPy compiler: values of every function, dtypes, layouts, aliasing, blocks and threads, floating point noise."""

from __future__ import annotations

import gc
import math
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from references import REFERENCES, Array, formula_of, operands, reference

from gpugrad.fusion import Formula, FormulaError, call, trace, var, workers
from gpugrad.fusion import numpy_compiler as compiler
from gpugrad.fusion.calculus import PARTIALS
from gpugrad.fusion.expr import SIGNATURES
from gpugrad.fusion.numpy_compiler import BLOCK, compile_numpy


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Blocks and threads at sizes that tests can afford."""
    monkeypatch.setattr(compiler, "BLOCK", 4096)
    monkeypatch.setattr(compiler, "MIN_THREADED", 1 << 15)
    monkeypatch.setattr(compiler, "MIN_THREADED_WORK", 1 << 15)
    before = workers.set_num_threads(3)
    yield
    workers.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("op", sorted(SIGNATURES))
def test_every_function_agrees_with_its_reference(op: str, dtype: str) -> None:
    x = [a.astype(dtype) for a in operands(op, SIGNATURES[op][0])]
    got = compile_numpy(formula_of(op))(*x)
    expected = REFERENCES.get(op, getattr(np, op, None))(*(a.astype(np.float64) for a in x))
    assert got.dtype == (np.bool_ if SIGNATURES[op][1] == "bool" else dtype)
    tight = 1e-9 if op == "digamma" else 1e-13
    np.testing.assert_allclose(
        got, expected, rtol=tight if dtype == "float64" else 3e-6, atol=tight if dtype == "float64" else 2e-7
    )


FORMULAS: dict[str, Callable[..., Any]] = {
    "silu": lambda x: x * call("sigmoid", x),
    "gelu": lambda x: 0.5 * x * (1.0 + call("erf", x * math.sqrt(0.5))),
    "gelu_tanh": lambda x: 0.5 * x * (1.0 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "mish": lambda x: x * np.tanh(call("softplus", x)),
    "elu": lambda x: call("where", x > 0, x, 1.5 * np.expm1(x)),
    "selu": lambda x: 1.0507 * call("where", x > 0, x, 1.6733 * np.expm1(x)),
    "celu": lambda x: np.maximum(x, 0.0) + np.minimum(2.0 * np.expm1(x / 2.0), 0.0),
    "softsign": lambda x: x / (1.0 + abs(x)),
    "hardswish": lambda x: x * np.minimum(np.maximum(x + 3.1, 0.0), 6.0) / 6.0,
    "logsigmoid": lambda x: -call("softplus", -x),
    "leaky": lambda x: call("where", x > 0, x, 0.01 * x),
    "prelu": lambda x, a: call("where", x > 0, x, a * x),
    "bilinear": lambda x, y: (x * y + np.sin(x)) / (2.0 + np.cos(y)),
    "logaddexp": np.logaddexp,
    "hypot": np.hypot,
    "gamma": lambda x: call("lgamma", x * x + 0.5),
}


def named(name: str) -> Formula:
    function = FORMULAS[name]
    return formula_of(name) if isinstance(function, np.ufunc) else trace(function, name=name)


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_composed_formulas_and_two_orders_of_their_vjps(name: str) -> None:
    formula = named(name)
    rng = np.random.default_rng(1)
    values = {n: rng.normal(size=300) * 2.0 for n in formula.inputs}
    x = list(values.values())
    kernel = compile_numpy(formula)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(kernel(*x), reference(formula.outputs[0], values), rtol=1e-12, atol=1e-14)
    first = formula.vjp(tuple(range(len(x))))
    check_vjp(formula, first.wrt, first, x)
    body = first.formula
    if len(body.outputs) == 1 and name != "gamma":
        kept = [rng.normal(size=300), *(kernel(*x) if r < 0 else x[r] for r in first.residuals)]
        check_vjp(body, tuple(range(len(kept))), body.vjp(tuple(range(len(kept)))), kept)


def check_vjp(formula: Formula, wrt: tuple[int, ...], vjp: Any, x: list[Array]) -> None:
    """The compiled VJP against central differences of the compiled forward."""
    kernel, g = compile_numpy(formula), np.random.default_rng(2).normal(size=x[0].shape)
    kept = [kernel(*x) if r < 0 else x[r] for r in vjp.residuals]
    got = compile_numpy(vjp.formula)(g, *kept)
    h = 1e-5
    for i, cotangent in zip(wrt, got if isinstance(got, tuple) else (got,), strict=True):
        up, down = ([a + h * s if j == i else a for j, a in enumerate(x)] for s in (1.0, -1.0))
        difference = (kernel(*up) - kernel(*down)) / (2.0 * h)
        np.testing.assert_allclose(cotangent, g * difference, rtol=2e-6, atol=1e-8, err_msg=f"input {i}")


@pytest.mark.parametrize("op", sorted(set(PARTIALS) & set(SIGNATURES) - {"where", "relu", "sign"}))
def test_every_derivative_agrees_with_central_differences(op: str) -> None:
    x = operands(op, SIGNATURES[op][0])
    formula = formula_of(op)
    every = tuple(range(len(x)))
    if op in ("floor", "ceil", "trunc", "rint", "floor_divide", "remainder", "fmod"):
        x = [np.floor(x[0]) + 0.3, *(np.abs(a) + 5.0 for a in x[1:])]  # away from the steps
    check_vjp(formula, every, formula.vjp(every), x)


@pytest.mark.parametrize("size", [7, 5000])
def test_nan_goes_through_relu_and_bounds(size: int) -> None:
    x = np.full(size, np.nan, np.float32)
    for f in (lambda x: call("relu", x), lambda x: np.minimum(np.maximum(x, -1.0), 1.0)):
        assert np.isnan(compile_numpy(trace(f))(x)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [5, 9000])
def test_where_leaks_nothing_of_the_branch_not_taken(dtype: str, size: int) -> None:
    c = np.random.default_rng(0).random(size) < 0.5
    bad = np.where(c, 2.0, [np.nan, np.inf, -np.inf, -1.0, 0.0][:5] * (size // 5)).astype(dtype)
    good = np.full(size, 3.0, dtype)
    for picked, f in [
        (0.0, lambda c, a, b: call("where", c, a, 0.0)),
        (3.0, lambda c, a, b: call("where", c, a, b)),
    ]:
        np.testing.assert_array_equal(compile_numpy(trace(f))(c, bad, good), np.where(c, 2.0, picked))
    np.testing.assert_array_equal(
        compile_numpy(trace(lambda c, a: call("where", c, 0.0, a)))(~c, bad), np.where(c, 2.0, 0.0)
    )


def test_branches_not_taken_warn_about_nothing() -> None:
    x = np.array([-1.0, 0.0, 1.0, 1e30, -1e30], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compile_numpy(trace(lambda x: call("where", x > 0, np.log(x), 0.0)))(x)
        compile_numpy(trace(lambda x: call("where", x > 0, 1.0 / x, x)))(x)
        for name in ("elu", "selu", "silu", "gelu", "mish", "logsigmoid"):
            formula = named(name)
            compile_numpy(formula)(x)
            compile_numpy(formula)(np.repeat(x, BLOCK))
        for op in ("sigmoid", "softplus", "erf", "erfc"):
            compile_numpy(formula_of(op))(x)


def test_a_plain_domain_error_warns_as_in_numpy() -> None:
    with pytest.warns(RuntimeWarning, match="invalid value encountered in log"):
        compile_numpy(trace(lambda x: np.log(x)))(np.array([-1.0]))  # noqa: PLW0108 (a formula has named inputs)


def test_dtypes_and_weak_scalars() -> None:
    kernel = compile_numpy(trace(lambda x, y: 2.0 * x + y, name="affine"))
    f2, f4, f8 = (np.ones(3, d) for d in ("f2", "f4", "f8"))
    assert kernel(f4, 1.5).dtype == kernel(1, f4).dtype == np.float32
    assert kernel(f2, 1.5).dtype == kernel(f2, f2).dtype == np.float16
    assert kernel(f4, f8).dtype == np.float64
    assert kernel(f4, f2).dtype == np.float32
    assert kernel(f4, np.float64(1.0)).dtype == np.float64
    assert kernel(f4, 1j).dtype == np.complex64
    assert kernel(2, 3.0).dtype == np.float64
    assert kernel(np.arange(3), 4).dtype == np.int64
    assert kernel(np.arange(3), 4.0).dtype == np.float64
    np.testing.assert_array_equal(kernel(np.arange(3, dtype=np.int8), 4), [4, 6, 8])
    assert kernel(np.arange(3, dtype=">f4"), 4).tolist() == [4.0, 6.0, 8.0]
    assert compile_numpy(trace(lambda x: x > 1.0))(f4).dtype == np.bool_


def test_a_sum_of_truth_values_counts() -> None:
    kernel = compile_numpy(trace(lambda x: (x > 0) + (x > 1)))
    assert kernel(np.float32([-1, 0.5, 2])).tolist() == [0.0, 1.0, 2.0]


def test_float16_is_computed_in_float32_and_rounded_once() -> None:
    x = np.random.default_rng(0).normal(size=1000).astype(np.float16)
    kernel = compile_numpy(named("gelu"))
    np.testing.assert_array_equal(kernel(x), kernel(x.astype(np.float32)).astype(np.float16))
    assert compile_numpy(trace(lambda x: (x * 1000.0) / 1000.0))(np.float16([100.0]))[0] == 100.0


def test_bfloat16_is_computed_in_float32() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x = np.linspace(-3, 3, 100).astype(bfloat16)
    got = compile_numpy(named("silu"))(x)
    assert got.dtype == bfloat16
    expected = compile_numpy(named("silu"))(x.astype(np.float32)).astype(bfloat16)
    np.testing.assert_array_equal(got.astype(np.float32), expected.astype(np.float32))


def test_complex_works_where_numpy_does_and_is_refused_elsewhere() -> None:
    z = np.array([1 + 2j, -0.5j])
    np.testing.assert_allclose(compile_numpy(named("silu"))(z), z / (1 + np.exp(-z)))
    with pytest.raises(TypeError, match=r"\[erf\] erf does not take \(complex128\), in erf\(x\) = erf\(x\)"):
        compile_numpy(formula_of("erf"))(z)


def test_results_are_arrays_also_without_dimensions() -> None:
    for f in (lambda x: x + 1.0, lambda x: np.exp(x) * call("where", x > 0, x, 0.5), lambda x: x, lambda x: 0.0 * x):
        got = compile_numpy(trace(f, name="f"))(np.float32(2.0))
        assert type(got) is np.ndarray
        assert got.shape == ()
        assert got.dtype == np.float32


def test_the_identity_returns_a_new_array() -> None:
    x = np.ones(4)
    got = compile_numpy(trace(lambda x: x))(x)
    assert not np.shares_memory(got, x)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 4)])
def test_empty_arrays(shape: tuple[int, ...]) -> None:
    kernel = compile_numpy(named("bilinear"))
    assert kernel(np.ones(shape), np.ones(shape)).shape == shape
    assert kernel(np.ones(shape), 2.0).shape == shape


SHAPES = [
    ((6,), (6,)), ((4, 6), (6,)), ((4, 1), (1, 6)), ((4, 6), (4, 1)), ((6,), (3, 4, 1)), ((1,), ()), ((1, 1), (1,)),
    ((2, 3, 1, 5), (3, 4, 1)), ((1, 6), (6,)), ((300, 40), (40,)), ((300, 40), (300, 1)), ((9000, 1), (1, 3)),
    ((7, 50, 60), (50, 1)), ((60, 1, 90), (7, 1)), ((20000,), (1,)), ((2, 9000), (9000,)), ((), (200, 70)),
]  # fmt: skip


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("shapes", SHAPES)
def test_broadcasting(shapes: tuple[tuple[int, ...], ...]) -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=s) for s in shapes)
    for name in ("bilinear", "prelu", "hypot"):
        formula = named(name)
        values = dict(zip(formula.inputs, (x, y), strict=True))
        got = compile_numpy(formula)(x, y)
        assert got.shape == np.broadcast_shapes(*shapes)
        np.testing.assert_allclose(got, reference(formula.outputs[0], values), rtol=1e-13)


def test_inputs_of_lower_rank_that_span_the_result() -> None:
    got = compile_numpy(trace(lambda x, y: np.exp(x) * y + 1.0))(np.zeros(6), np.full((1, 6), 2.0))
    np.testing.assert_array_equal(got, np.full((1, 6), 3.0))


def test_outputs_that_do_not_depend_on_every_input_still_have_the_full_shape() -> None:
    formula = Formula("pair", ("x", "y"), (np.exp(var("y")), var("x") * 0.0 + 1.0))
    first, second = compile_numpy(formula)(np.ones((2, 3)), np.arange(3.0))
    np.testing.assert_allclose(first, np.broadcast_to(np.exp(np.arange(3.0)), (2, 3)))
    np.testing.assert_array_equal(second, np.ones((2, 3)))


VIEWS: dict[str, Callable[[Array], Array]] = {
    "reversed": lambda a: a[::-1, ::-1], "transposed": lambda a: a.T, "strided": lambda a: a[::2, 1::3],
    "fortran": np.asfortranarray, "axes": lambda a: a.reshape(4, -1, a.shape[1]).transpose(0, 2, 1),
    "repeated": lambda a: np.broadcast_to(a[:1], a.shape),
}  # fmt: skip


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("n", [4, 200])
def test_strided_inputs(view: str, n: int) -> None:
    rng = np.random.default_rng(0)
    x, y = (VIEWS[view](rng.normal(size=(n, 2 * n))) for _ in range(2))
    for other in (y, np.ascontiguousarray(y), y[..., :1]):
        formula = named("bilinear")
        expected = reference(formula.outputs[0], {"x": x, "y": other})
        np.testing.assert_allclose(compile_numpy(formula)(x, other), expected, rtol=1e-13)


def test_results_keep_the_memory_order_of_the_first_full_input() -> None:
    kernel = compile_numpy(trace(lambda x, b: x * 2.0 + b))
    for n in (8, 256):
        nhwc = np.ones((2, n, n, 4), np.float32).transpose(0, 3, 1, 2)
        assert kernel(nhwc, np.ones((4, 1, 1), np.float32)).strides == nhwc.strides


@pytest.mark.parametrize("n", [50, 2 * BLOCK + 17])
@pytest.mark.parametrize("name", ["mish", "gelu", "leaky", "elu", "prelu", "bilinear"])
def test_out_may_be_an_input(name: str, n: int) -> None:
    formula = named(name)
    kernel, rng = compile_numpy(formula), np.random.default_rng(0)
    for which in range(len(formula.inputs)):
        x = [rng.normal(size=n).astype(np.float32) for _ in formula.inputs]
        expected = kernel(*x)
        assert kernel(*x, out=x[which]) is x[which]
        np.testing.assert_array_equal(x[which], expected)


def test_out_may_overlap_an_input_or_serve_several_outputs() -> None:
    buffer = np.arange(3.0 * BLOCK)
    expected = np.tanh(buffer[:-1]) * 2.0
    compile_numpy(trace(lambda x: np.tanh(x) * 2.0))(buffer[:-1], out=buffer[1:])
    np.testing.assert_array_equal(buffer[1:], expected)
    x, y = np.arange(4.0), np.arange(4.0) + 1.0
    swap = Formula("swap", ("x", "y"), (var("y") + 0.5, var("x") + 0.5))
    compile_numpy(swap)(x, y, out=(x, y))
    np.testing.assert_array_equal(x, [1.5, 2.5, 3.5, 4.5])
    np.testing.assert_array_equal(y, [0.5, 1.5, 2.5, 3.5])


def test_wrong_out_is_refused() -> None:
    kernel = compile_numpy(formula_of("exp"))
    with pytest.raises(ValueError, match=r"\[exp\] out has shape \(2,\) and dtype float64; .* \(3,\) .* float32"):
        kernel(np.ones(3, np.float32), out=np.ones(2))
    with pytest.raises(ValueError, match=r"out must be 1 array"):
        kernel(np.ones(3), out=(np.ones(3), np.ones(3)))


def test_wrong_calls_are_refused() -> None:
    kernel = compile_numpy(formula_of("hypot"))
    with pytest.raises(TypeError, match=r"\[hypot\] takes 2 inputs \(x, y\), got 1"):
        kernel(np.ones(3))
    with pytest.raises(ValueError, match=r"\[hypot\] shapes do not broadcast \(x: \(2,\), y: \(3,\)\)"):
        kernel(np.ones(2), np.ones(3))
    fast = compile_numpy(formula_of("exp"))
    fast(np.ones(3))
    with pytest.raises(TypeError, match="takes 1 inputs"):
        fast(np.ones(3), np.ones(3))


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_blocks_and_threads_change_no_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    formula = named(name)
    rng = np.random.default_rng(0)
    x = [rng.normal(size=50_001).astype(np.float32) for _ in formula.inputs]
    for a in x:
        a[:4] = 0.0, -0.0, np.inf, np.nan
    with np.errstate(all="ignore"):
        whole = compile_numpy(formula)(*x)
        monkeypatch.setattr(compiler, "BLOCK", 4096)
        blocked = compile_numpy(formula)(*x)
        monkeypatch.setattr(compiler, "MIN_THREADED", 1)
        monkeypatch.setattr(compiler, "MIN_THREADED_WORK", 1)
        before = workers.set_num_threads(4)
        try:
            threaded = compile_numpy(formula)(*x)
        finally:
            workers.set_num_threads(before)
    assert whole.tobytes() == blocked.tobytes() == threaded.tobytes()


def test_alloc_provides_large_results() -> None:
    asked: list[tuple[tuple[int, ...], Any]] = []

    def alloc(shape: tuple[int, ...], dtype: Any) -> Array:
        asked.append((shape, dtype))
        return np.empty(shape, dtype)

    compile_numpy(formula_of("exp"), alloc)(np.ones((3, BLOCK), np.float32))
    assert asked == [((3, BLOCK), np.float32)]


def test_large_results_are_not_kept_alive() -> None:
    x = np.ones(1 << 20, np.float32)
    kernel = compile_numpy(named("mish"))
    gc.disable()
    try:
        dead = weakref.ref(kernel(x))
        assert dead() is None
    finally:
        gc.enable()


def test_input_names_cannot_clash_with_the_generated_text() -> None:
    formula = trace(lambda exp, t0, out0, c0: np.exp(exp) + np.tanh(t0) * out0 - 2.0 * c0, name="tanh")
    got = compile_numpy(formula)(*(np.full(3, v) for v in (1.0, 2.0, 3.0, 4.0)))
    np.testing.assert_allclose(got, np.exp(1.0) + np.tanh(2.0) * 3.0 - 8.0)


def test_source_reuses_the_output_and_few_temporaries() -> None:
    source = compile_numpy(named("silu")).source
    assert source.startswith("def silu_kernel(out0, x):")
    assert "exp(" in source


def test_folding_that_python_refuses_is_left_to_ieee() -> None:
    kernel = compile_numpy(trace(lambda x: x + call("divide", 1.0, 0.0)))
    assert kernel(np.ones(2, np.float32)).tolist() == [math.inf, math.inf]


def test_formula_errors_show_the_formula() -> None:
    with pytest.raises(FormulaError, match=r"erfcx has no derivative, in the formula erfcx\(x\)"):
        formula_of("erfcx").vjp((0,))
