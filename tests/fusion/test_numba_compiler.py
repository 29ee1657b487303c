"""Loops compiled by Numba against float64 NumPy: values, special values, layouts, and what is refused."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gpugrad.fusion import Formula, FormulaError, call, trace, var

pytest.importorskip("numba", reason='Numba is not installed; pip install "gpugrad[cpu]"')

from gpugrad.fusion import numba_compiler
from gpugrad.fusion.numba_compiler import compile_numba, generate, numba_source

L = np.longdouble
TINY = {np.float32: 1.2e-38, np.float64: 2.3e-308}


def _sel(c, a, b):
    return call("where", c, a, b)


def _sigmoid(x):
    return np.where(x < 0, np.exp(-np.abs(x)), L(1)) / (1 + np.exp(-np.abs(x)))


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _erf(x):
    return np.vectorize(math.erf)(x.astype(np.float64)).astype(L)


def _relu_slope(x):
    return (x > 0).astype(L)


def _mish(x):
    return x * np.tanh(_softplus(x))


def _gelu_tanh_inner(x):
    return L(math.sqrt(2 / math.pi)) * (x + L(0.044715) * x**3)


def _gelu_tanh_slope(x):
    t = np.tanh(_gelu_tanh_inner(x))
    inner = L(math.sqrt(2 / math.pi)) * (1 + 3 * L(0.044715) * x**2)
    return L(0.5) * (1 + t) + L(0.5) * x * (1 - t**2) * inner


# name -> (the formula, its value and its derivative in extended precision)
ACTIVATIONS: dict[str, tuple[Callable, Callable, Callable]] = {
    "relu": (lambda x: call("relu", x), lambda x: np.maximum(x, 0), _relu_slope),
    "leaky_relu": (
        lambda x: _sel(x > 0.0, x, 0.01 * x),
        lambda x: np.where(x > 0, x, L(0.01) * x),
        lambda x: np.where(x > 0, L(1), L(0.01)),
    ),
    "elu": (
        lambda x: _sel(x > 0.0, x, call("expm1", x)),
        lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        lambda x: np.where(x > 0, L(1), np.exp(np.minimum(x, 0))),
    ),
    "selu": (
        lambda x: 1.05 * _sel(x > 0.0, x, 1.67 * call("expm1", x)),
        lambda x: L(1.05) * np.where(x > 0, x, L(1.67) * np.expm1(np.minimum(x, 0))),
        lambda x: L(1.05) * np.where(x > 0, L(1), L(1.67) * np.exp(np.minimum(x, 0))),
    ),
    "celu": (
        lambda x: _sel(x > 0.0, x, 1.5 * call("expm1", x / 1.5)),
        lambda x: np.where(x > 0, x, L(1.5) * np.expm1(np.minimum(x, 0) / L(1.5))),
        lambda x: np.where(x > 0, L(1), np.exp(np.minimum(x, 0) / L(1.5))),
    ),
    "gelu": (
        lambda x: 0.5 * x * (1.0 + call("erf", x * math.sqrt(0.5))),
        lambda x: L(0.5) * x * (1 + _erf(x * L(math.sqrt(0.5)))),
        lambda x: L(0.5) * (1 + _erf(x * L(math.sqrt(0.5)))) + x * np.exp(-x * x / 2) / L(math.sqrt(2 * math.pi)),
    ),
    "gelu_tanh": (
        lambda x: 0.5 * x * (1.0 + call("tanh", math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        lambda x: L(0.5) * x * (1 + np.tanh(_gelu_tanh_inner(x))),
        _gelu_tanh_slope,
    ),
    "silu": (
        lambda x: x * call("sigmoid", x),
        lambda x: x * _sigmoid(x),
        lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
    ),
    "mish": (
        lambda x: x * call("tanh", call("softplus", x)),
        _mish,
        lambda x: np.tanh(_softplus(x)) + x * _sigmoid(x) * (1 - np.tanh(_softplus(x)) ** 2),
    ),
    "softplus": (lambda x: call("softplus", x), _softplus, _sigmoid),
    "sigmoid": (lambda x: call("sigmoid", x), _sigmoid, lambda x: _sigmoid(x) * _sigmoid(-x)),
    "log_sigmoid": (lambda x: -call("softplus", -x), lambda x: -_softplus(-x), lambda x: _sigmoid(-x)),
    "tanh": (lambda x: call("tanh", x), np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "hardtanh": (
        lambda x: _sel(x < -1.0, -1.0, _sel(x > 1.0, 1.0, x)),
        lambda x: np.clip(x, -1, 1),
        lambda x: (np.abs(x) <= 1).astype(L),
    ),
    "hardsigmoid": (
        lambda x: _sel(x <= -3.0, 0.0, _sel(x >= 3.0, 1.0, x / 6.0 + 0.5)),
        lambda x: np.clip(x / 6 + L(0.5), 0, 1),
        lambda x: (np.abs(x) < 3) / L(6),
    ),
    "hardswish": (
        lambda x: _sel(x <= -3.0, 0.0, _sel(x >= 3.0, x, x * (x + 3.0) / 6.0)),
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda x: np.where(x <= -3, L(0), np.where(x >= 3, L(1), (2 * x + 3) / 6)),
    ),
    "softsign": (
        lambda x: x / (1.0 + abs(x)),
        lambda x: x / (1 + np.abs(x)),
        lambda x: 1 / (1 + np.abs(x)) ** 2,
    ),
    "relu6": (
        lambda x: _sel(x < 0.0, 0.0, _sel(x > 6.0, 6.0, x)),
        lambda x: np.clip(x, 0, 6),
        lambda x: ((x >= 0) & (x <= 6)).astype(L),
    ),
    "sin": (lambda x: call("sin", x), np.sin, np.cos),
}


@pytest.fixture(autouse=True, scope="module")
def _private_cache(tmp_path_factory):
    from gpugrad.fusion import numba_cache

    patch = pytest.MonkeyPatch()
    patch.setenv("GPUGRAD_CACHE", str(tmp_path_factory.mktemp("kernels")))
    numba_cache.cache_folder.cache_clear()
    yield
    patch.undo()
    numba_cache.cache_folder.cache_clear()


def _close(got, expected, dtype, ulps):
    eps = np.finfo(dtype).eps
    got, expected = got.astype(L), np.asarray(expected, L)
    # A subnormal may become 0; sums of terms of order one lose what is under their rounding.
    bound = ulps * eps * np.maximum(np.abs(expected), eps) + TINY[dtype]
    worst = np.max(np.abs(got - expected) / bound)
    assert worst <= 1, f"{worst * ulps:.1f} ulp at index {np.argmax(np.abs(got - expected) / bound)}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_and_its_vjp_equal_extended_precision(name, dtype):
    define, value, slope = ACTIVATIONS[name]
    formula = trace(define, name=name)
    vjp = formula.vjp((0,))
    forward, backward = compile_numba(formula), compile_numba(vjp.formula)
    rng = np.random.default_rng(0)
    for size in (1, 7, 1000, 300_003):
        x = np.concatenate([rng.normal(0, 3, size - size // 4), rng.uniform(-60, 60, size // 4)]).astype(dtype)
        g = rng.normal(size=size).astype(dtype)
        y = forward(x)
        assert y.dtype == dtype
        eps, wide = np.finfo(dtype).eps, x.astype(L)
        exact = value(wide)
        # 1 + erf(x) and 1 + tanh(x) lose what is below the rounding of 1: the error is relative to x there.
        scale = np.abs(exact) + (np.abs(wide) if name in ("gelu", "gelu_tanh", "sin") else 0)
        scale = scale + (name == "hardsigmoid")  # x/6 + 1/2
        assert np.all(np.abs(y - exact) <= 12 * eps * scale + TINY[dtype])
        dx = backward(g, *(y if r == -1 else x for r in vjp.residuals))
        exact = g.astype(L) * slope(wide)
        # Slopes that pass zero as a difference (1 - y^2, y (1 - y)) are as good as the difference's terms.
        power = {"mish": 1, "silu": 1, "gelu_tanh": 2}.get(name, 0)
        terms = 0 if name in ("relu", "leaky_relu") else 1 + np.abs(wide) ** power
        assert np.all(np.abs(dx - exact) <= 16 * eps * (np.abs(exact) + np.abs(g) * terms) + TINY[dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nan_and_infinities_go_where_numpy_sends_them(name, dtype):
    define, value, _ = ACTIVATIONS[name]
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e4, -1e4], dtype)
    with np.errstate(all="ignore"):
        expected = value(x.astype(L)).astype(np.float64)
        if name in ("mish", "silu", "gelu", "gelu_tanh", "hardswish", "softsign"):  # -inf * 0, inf / inf
            keep = np.isfinite(x) | np.isnan(x)
        else:
            keep = np.ones(x.shape, bool)
    got = compile_numba(trace(define, name=name))(x)
    np.testing.assert_allclose(got[keep], expected[keep], rtol=1e-6, atol=1e-37)


FUNCTIONS = {
    "exp": (-100, 88), "exp2": (-149, 127), "expm1": (-30, 88), "log": (0, 50), "log1p": (-1, 5),
    "log2": (0, 9), "log10": (0, 9), "sqrt": (0, 9), "cbrt": (-9, 9), "reciprocal": (0.1, 9), "square":
    (-9, 9), "sign": (-2, 2), "floor": (-9, 9), "ceil": (-9, 9), "trunc": (-9, 9), "rint": (-9, 9),
    "sin": (-1e5, 1e5), "cos": (-1e5, 1e5), "tan": (-1e5, 1e5), "sinh": (-80, 80), "cosh": (-80, 80),
    "tanh": (-20, 20), "arctan": (-9, 9), "arctanh": (-1, 1), "absolute": (-9, 9),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_within_four_ulp_of_numpy(name, dtype):
    low, high = FUNCTIONS[name]
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(low, high, 40_000), rng.uniform(max(low, -1), 1, 10_000) * 1e-3]).astype(dtype)
    x = x[(x > low) & (x < high)]
    _close(compile_numba(trace(lambda x: call(name, x), name=name))(x), getattr(np, name)(x.astype(L)), dtype, 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_error_functions_keep_their_relative_accuracy_in_the_tail(dtype):
    x = np.linspace(-5, 9, 5001).astype(dtype)
    wide = x.astype(np.float64)
    for name, exact in (("erf", math.erf), ("erfc", math.erfc)):
        got = compile_numba(Formula(name, ("x",), (call(name, var("x")),)))(x)
        _close(got, np.vectorize(exact)(wide), dtype, 6)
    far = np.array([10.0, 100.0, 1e6, np.inf], dtype)
    series = 1 / (far.astype(L) * np.sqrt(L(np.pi))) * (1 - 1 / (2 * far.astype(L) ** 2))
    got = compile_numba(trace(lambda x: call("erfcx", x), name="erfcx"))(far)
    np.testing.assert_allclose(got, series.astype(np.float64), rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "name",
    [
        "maximum",
        "minimum",
        "fmax",
        "fmin",
        "hypot",
        "copysign",
        "heaviside",
        "logaddexp",
        "logaddexp2",
        "power",
    ],
)
def test_a_function_of_two_arguments_treats_specials_as_numpy_does(name, dtype):
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 2.0, -3.0, 0.5, 1e30, -1e30], dtype)
    a, b = (m.ravel().copy() for m in np.meshgrid(values, values))
    kernel = compile_numba(trace(lambda a, b: call(name, a, b), name=name))
    if name == "power" and dtype == np.float64:
        assert not kernel.accepts(a, b)
        return
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(a, b)
    got = kernel(a, b)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(got, expected, rtol=8 * eps, atol=eps)
    clear = (expected != 0) | (name in ("power", "copysign"))  # which zero max(0, -0) gives is open
    np.testing.assert_array_equal(
        np.signbit(got[clear]) | np.isnan(got[clear]), np.signbit(expected[clear]) | np.isnan(got[clear])
    )


def test_truth_values_go_in_and_come_out():
    formula = trace(lambda a, c: (a > 0.5) & ~c, name="gate")
    a, c = np.array([0.0, 1.0, 2.0, np.nan], np.float32), np.array([False, False, True, False])
    assert compile_numba(formula)(a, c).tolist() == [False, True, False, False]
    mixed = trace(lambda c, a: call("where", c, a, 0.0) + (a > 1.0), name="mixed")
    np.testing.assert_array_equal(compile_numba(mixed)(c, a)[:3], [0.0, 0.0, 3.0])


def test_sin_of_a_huge_argument_is_right_too():
    x = np.array([1e3, 1e7, 3e20, 1e38, np.inf, -4e9], np.float32)
    with np.errstate(invalid="ignore"):
        expected = np.sin(x.astype(L)).astype(np.float32)
    np.testing.assert_allclose(compile_numba(trace(lambda x: call("sin", x), name="sin"))(x), expected, rtol=2e-6)


def test_numbers_and_rows_are_broadcast_and_several_outputs_are_given():
    formula = trace(lambda x, w, s: (x * w + s, x - w), name="affine")
    kernel = compile_numba(formula)
    rng = np.random.default_rng(0)
    for shape, row in (((4, 5), (5,)), ((300, 1024), (1024,)), ((3, 4, 5), (4, 5))):
        x, w = rng.normal(size=shape).astype(np.float32), rng.normal(size=row).astype(np.float32)
        y, z = kernel(x, w, 2)
        np.testing.assert_allclose(y, x * w + 2, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(z, x - w, rtol=1e-5, atol=1e-6)
        y0, _ = kernel(x, w, np.array(2.0, np.float32))
        np.testing.assert_array_equal(y0, y)


def test_the_output_may_be_an_input_but_not_overlap_it():
    kernel = compile_numba(trace(lambda a, b: a * 2.0 + b, name="axpy"))
    for size in (9, 400_000):
        a, b = np.arange(size, dtype=np.float32), np.ones(size, np.float32)
        expected = a * 2 + b
        assert kernel(a, b, out=a) is a
        np.testing.assert_array_equal(a, expected)
    memory = np.zeros(20, np.float32)
    assert not kernel.accepts(memory[:10], b[:10], out=memory[5:15])
    assert kernel.accepts(memory[:10], b[:10], out=memory[:10])


def test_what_the_loop_cannot_read_is_refused():
    kernel = compile_numba(trace(lambda a, b: a + b, name="plus"))
    a = np.ones((4, 6), np.float32)
    assert kernel.accepts(a, a)
    assert kernel.accepts(a, 1.5)
    for other in (
        a.astype(np.float64),
        a.T,
        a[:, ::2],
        a[:, :1],
        np.float64(1),
        np.ones(4, np.float32),
        a.astype(int),
    ):
        assert not kernel.accepts(a, other)
    assert not kernel.accepts(a, a, out=np.empty((4, 6)))
    assert not kernel.accepts(2.0, 3.0)
    with pytest.raises(TypeError, match=r"\[plus\] the Numba kernel does not take"):
        kernel(a, a.T)
    assert kernel.run((a, a.T), None, np.empty, lambda *arrays, out: "plain") == "plain"


def test_a_function_without_a_fast_body_is_left_to_numpy():
    formula = trace(lambda x: call("lgamma", x), name="lgamma")
    assert compile_numba(formula) is None
    with pytest.raises(FormulaError, match="lgamma runs in NumPy"):
        numba_source(formula, np.float32)


def test_the_source_is_python_and_shows_the_formula():
    text = compile_numba(trace(lambda x: x * call("sigmoid", x), name="silu")).source
    compile(text, "silu", "exec")
    assert "m.sigmoid(v_x)" in text
    assert "silu(x) = (x * sigmoid(x))" in text


def test_a_float32_loop_is_simd_and_has_no_double_in_it(tmp_path, monkeypatch):
    from gpugrad.fusion import numba_cache

    formula = trace(lambda x: x * call("tanh", call("softplus", x)) + call("erf", x), name="probe")
    text = generate(formula, "float32", ("each",)).replace("import kernel", "import kernel  # not cached")
    module: dict = {}
    exec(compile(text, "<probe>", "exec"), module)
    loop = module["probe_loop"]
    x = np.ones(64, np.float32)
    loop(x, np.empty_like(x))
    llvm = next(iter(loop.inspect_llvm().values()))
    body = llvm[llvm.index("define") :]
    assert " x float>" in body
    assert "fmul double" not in body
    assert "fpext" not in body
    assert numba_cache.cache_folder() is not None


def test_a_second_process_finds_the_compiled_loop(tmp_path):
    program = (
        "import numpy as np, sys\n"
        "from gpugrad.fusion import trace, call\n"
        "from gpugrad.fusion.numba_compiler import compile_numba\n"
        "assert 'numba' not in sys.modules\n"
        "k = compile_numba(trace(lambda x: call('tanh', x) * 3.0, name='cached'))\n"
        "k(np.ones(9, np.float32))\n"
        "loop = next(iter(k._compiled.values()))\n"
        "print(sum(loop.stats.cache_hits.values()), sum(loop.stats.cache_misses.values()))\n"
    )
    root = str(Path(numba_compiler.__file__).parents[2])
    env = {**os.environ, "GPUGRAD_CACHE": str(tmp_path), "PYTHONPATH": root}
    seen = [
        subprocess.run(
            [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert seen == [["0", "1"], ["1", "0"]]


def test_a_cache_that_cannot_be_written_costs_only_the_cache(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    program = (
        "import numpy as np\n"
        "from gpugrad.fusion import trace\n"
        "from gpugrad.fusion.numba_compiler import compile_numba\n"
        "print(compile_numba(trace(lambda x: x + 1.0, name='plain'))(np.ones(3, np.float32)).tolist())\n"
    )
    root = str(Path(numba_compiler.__file__).parents[2])
    env = {**os.environ, "GPUGRAD_CACHE": str(blocked), "PYTHONPATH": root}
    out = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[2.0, 2.0, 2.0]"


def test_formulas_with_python_keywords_as_names_are_harmless():
    formula = Formula("is_it", ("x",), (call("add", trace(lambda x: x).outputs[0], 1.0),))
    assert compile_numba(formula)(np.zeros(3, np.float32)).tolist() == [1, 1, 1]
