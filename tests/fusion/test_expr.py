"""The expression language: hash-consing, simplifications that hold for every float, errors that show the formula."""

from __future__ import annotations

import gc
import math

import numpy as np
import pytest

from gpugrad.fusion import BOOL, Formula, FormulaError, call, const, trace, var
from gpugrad.fusion.calculus import derivative
from gpugrad.fusion.expr import SIGNATURES, is_const, substitute, topological
from gpugrad.fusion.numpy_compiler import compile_numpy

x, y = var("x"), var("y")


def test_equal_expressions_are_one_object() -> None:
    assert (np.exp(x) * y + 1.0) is (np.exp(x) * y + 1.0)
    assert (x + y) is not (y + x)


def test_numbers_that_compare_equal_but_differ_stay_apart() -> None:
    assert const(0.0) is not const(-0.0)
    assert const(1.0) is not const(True)
    assert const(math.nan) is const(math.nan)


def test_expressions_die_with_their_last_reference() -> None:
    before = len([1 for n in gc.get_objects() if type(n).__name__ == "Expr"])
    big = x
    for i in range(100):
        big = np.sin(big) + float(i)
    del big
    gc.collect()
    assert len([1 for n in gc.get_objects() if type(n).__name__ == "Expr"]) <= before + 1


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (x * 1.0, x), (1.0 * x, x), (x / 1.0, x), (call("negative", -x), x), (x**1, x), (x + 0, x), (x - 0, x),
        (x**2, call("square", x)), (x * x, call("square", x)), (x**0.5, np.sqrt(x)), (1.0 / x, call("reciprocal", x)),
        (2.0 * (3.0 * x), 6.0 * x), (x + -y, x - y), (x - -y, x + y), (call("where", x > 0, y, y), y),
        (x / 4.0, 0.25 * x), (~(~(x > 0)), x > 0), (+x, x),
    ],
)  # fmt: skip
def test_simplification(built: object, expected: object) -> None:
    assert built is expected


def test_simplifications_hold_at_special_values() -> None:
    values = np.array([0.0, -0.0, 1.0, -1.0, 2.5, -3.0, np.inf, -np.inf, np.nan, 1e-310, 1e300])
    cases = [
        (lambda v: v * 1.0, lambda v: v),
        (lambda v: v / 4.0, lambda v: v / 4.0),
        (lambda v: v**2, lambda v: v * v),
        (lambda v: v**3, lambda v: v * v * v),
        (lambda v: v**-1, lambda v: 1.0 / v),
        (lambda v: call("negative", -v), lambda v: v),
        (lambda v: -(2.0 * v), lambda v: -(2.0 * v)),
        (lambda v: v - -v, lambda v: v + v),
        (lambda v: call("where", ~(v > 0), v, 2.0), lambda v: np.where(~(v > 0), v, 2.0)),
    ]
    with np.errstate(all="ignore"):
        for symbolic, plain in cases:
            formula = trace(symbolic, name="case")
            np.testing.assert_array_equal(compile_numpy(formula)(values), plain(values), err_msg=str(formula))


def test_a_branch_not_taken_leaks_nothing_through_products() -> None:
    gate = call("where", x > 0, 1.0, 0.0) * np.log(x)
    assert gate.op == "where"
    assert is_const(gate.args[2], 0)


def test_unknown_function_shows_the_formula_and_the_vocabulary() -> None:
    with pytest.raises(FormulaError, match=r"wobble\(\(x \+ 1.0\)\): unknown function; known: .*tanh"):
        call("wobble", x + 1.0)


def test_a_ufunc_that_the_language_lacks_is_refused() -> None:
    with pytest.raises(FormulaError, match="spacing"):
        np.spacing(x)
    with pytest.raises(FormulaError, match=r"numpy.add.reduce"):
        np.add.reduce(x)  # type: ignore[call-overload]


def test_python_branch_shows_the_condition() -> None:
    with pytest.raises(FormulaError, match=r"branches in Python on \(x > 0.0\).*where"):
        trace(lambda x: x if x > 0 else -x)


def test_wrong_number_of_arguments() -> None:
    with pytest.raises(FormulaError, match=r"hypot\(x\): takes 2 arguments, got 1"):
        call("hypot", x)


def test_a_value_that_is_no_number_is_refused() -> None:
    with pytest.raises(FormulaError, match="str"):
        x + "one"


def test_missing_derivative_names_the_function_and_the_formula() -> None:
    with pytest.raises(FormulaError, match=r"digamma has no derivative, in the formula \(digamma\(x\) \+ y\)"):
        derivative(call("digamma", x) + y, x)


def test_trace_refuses_what_is_not_a_formula() -> None:
    with pytest.raises(FormulaError, match="plain parameters"):
        trace(lambda *v: v[0])
    with pytest.raises(FormulaError, match="plain parameters"):
        trace(lambda: 1.0)
    with pytest.raises(FormulaError):
        trace(lambda a: [a])


def test_substitute_replaces_every_occurrence() -> None:
    (new,) = substitute((np.exp(x) + np.exp(x) * y,), {x: y})
    assert new is np.exp(y) + np.exp(y) * y


def test_very_deep_expressions_need_no_recursion() -> None:
    deep = x
    for _ in range(20_000):
        deep = np.sin(deep)
    assert sum(1 for _ in topological((deep,))) == 20_001
    assert repr(deep).startswith("sin(sin(")


def test_comparisons_are_truth_values_and_everything_else_is_a_number() -> None:
    for name, (count, kind) in SIGNATURES.items():
        built = call(name, *(x, y, var("z"))[:count])
        assert built.kind == kind, name
    assert call("where", x > 0, y > 0, y < 0).kind == BOOL


def _unary(name: str) -> Formula:
    return Formula(name, ("x",), (call(name, x),))


def test_vjp_keeps_the_output_where_it_is_enough() -> None:
    assert _unary("tanh").vjp((0,)).residuals == (-1,)
    assert _unary("exp").vjp((0,)).residuals == (-1,)
    assert _unary("sin").vjp((0,)).residuals == (0,)
    assert trace(lambda x, y: x + y).vjp((0, 1)).residuals == ()
    assert trace(lambda x, y: x * y).vjp((1,)).residuals == (0,)


def test_vjp_of_inputs_that_are_called_g_and_y() -> None:
    vjp = trace(lambda g, y: g * np.tanh(y)).vjp((0, 1))
    assert vjp.residuals == (1, 0) or vjp.residuals == (0, 1)
    assert len(vjp.formula.outputs) == 2
