"""Accuracy and special values of the functions that NumPy lacks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from references import formula_of, sigmoid, vectorised

from gpugrad.fusion.numpy_compiler import compile_numpy


def test_special_functions_against_scipy() -> None:
    special = pytest.importorskip("scipy.special")
    x = np.concatenate(
        [np.linspace(-30, 30, 4001), np.geomspace(1e-12, 170, 2000), [1e-300, 1e5, np.inf, -np.inf, np.nan]]
    )
    for op, function, tolerance in [
        ("erf", special.erf, 1e-15), ("erfc", special.erfc, 1e-15), ("lgamma", special.gammaln, 4e-14),
        ("digamma", special.digamma, 4e-14), ("erfcx", special.erfcx, 1e-15),
    ]:  # fmt: skip
        points = np.abs(x) if op == "erfcx" else x
        if op in ("lgamma", "digamma"):  # an ulp of the argument moves the value without bound at the poles
            points = np.array([0.5 if a < 0 and abs(math.remainder(max(a, -1e9), 1.0)) < 1e-3 else a for a in x])
        got, expected = compile_numpy(formula_of(op))(points), function(points)
        np.testing.assert_allclose(got, expected, rtol=4e-13, atol=tolerance, err_msg=op)
    tail = np.linspace(1, 26, 500)
    # SciPy's own relative error is 6e-14 here; the C library's is as small as ours.
    np.testing.assert_allclose(compile_numpy(formula_of("erfc"))(tail), vectorised(math.erfc)(tail), rtol=3e-15)


def test_gamma_functions_at_their_poles() -> None:
    lgamma, psi = compile_numpy(formula_of("lgamma")), compile_numpy(formula_of("digamma"))
    np.testing.assert_array_equal(lgamma(np.array([0.0, -1.0, -7.0])), [np.inf] * 3)
    np.testing.assert_array_equal(psi(np.array([0.0, -0.0, -2.0])), [-np.inf, np.inf, np.nan])
    np.testing.assert_allclose(
        psi(np.array([1.0, 0.5])), [-np.euler_gamma, -np.euler_gamma - 2 * math.log(2)], rtol=1e-14
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-14)])
def test_sigmoid_keeps_its_relative_accuracy_in_the_tails(dtype: str, tolerance: float) -> None:
    x = np.linspace(-80, 80, 5001).astype(dtype)
    got = compile_numpy(formula_of("sigmoid"))(x).astype(np.float64)
    np.testing.assert_allclose(got, sigmoid(x.astype(np.float64)), rtol=tolerance)
    assert compile_numpy(formula_of("sigmoid"))(np.array([-1e4, 1e4], dtype)).tolist() == [0.0, 1.0]


def test_erf_in_float32_is_accurate_and_saturates() -> None:
    x = np.concatenate([np.linspace(-6, 6, 20001), [0.0, 1e4, -1e30, np.inf, -np.inf, 1e-30]]).astype(np.float32)
    got, expected = compile_numpy(formula_of("erf"))(x), vectorised(math.erf)(x)
    np.testing.assert_allclose(got, expected, rtol=1.2e-6, atol=0)
    assert np.isnan(compile_numpy(formula_of("erf"))(np.float32([np.nan])))[0]


def test_logaddexp_of_infinities_and_nan() -> None:
    a = np.array([np.inf, -np.inf, np.inf, 0.0, np.nan, -np.inf])
    b = np.array([np.inf, -np.inf, -np.inf, -np.inf, 0.0, np.nan])
    with np.errstate(all="ignore"):
        expected = np.logaddexp(a, b), np.logaddexp2(a, b)
    np.testing.assert_array_equal(compile_numpy(formula_of("logaddexp"))(a, b), expected[0])
    np.testing.assert_array_equal(compile_numpy(formula_of("logaddexp2"))(a, b), expected[1])
