"""The arithmetic, counted by hand, of what SciPy evaluates: shapes, result, static arguments, forward, backward."""

from typing import Any

m, n = 5, 3

BY_HAND_OF_SCIPY: dict[str, tuple[Any, Any, dict[str, Any], float, float]] = {
    # functions of SciPy's count as one. Bessel functions: two of the neighbouring orders, sum, half, product; of the
    # exponent's part a sign, a product, the function itself, a difference
    "bessel": (((), (4,)), (4,), {"kind": "jv"}, 4, 5 * 4 + 2),
    "bessel_of_order_0_or_1": (((4,),), (4,), {"kind": "j1"}, 4, (1 + 1 + 1 + 4) * 4),
    "complex_erf": (((4,),), (4,), {"kind": "erf"}, 4, 5 * 4),
    # by a: the derivative and a product; by x: xlogy(a - 1, x), differences of x and gammaln(a), exp, product
    "gammainc": (((), (4,)), (4,), {"n": 0, "upper": False}, 4, 2 * 4 + (2 + 1 + 1 + 1 + 1) * 4 + 2),
    # likewise by a and b; by x: xlogy, -x, xlog1py, sum, less betaln, exp, product; a - 1, b - 1, betaln of gammaln
    "betainc": (((), (), (4,)), (4,), {"n": 0, "m": 0}, 4, 4 * 4 + (2 + 1 + 2 + 1 + 1 + 1 + 1) * 4 + 2 + 2 + 4),
    # by df the derivative and a product; by t: 1 + t^2 / df, its logarithm, product with (df + 1) / 2, difference, exp,
    # product; the constant is made of df
    "stdtr": (((), (4,)), (4,), {"n": 0}, 4, 2 * 4 + 7 * 4 + 10),
    # Schur forms of a and b (25 each), products with their vectors (4 m n (m + n)), the triangular equation; backward
    # the same again and a product for each matrix
    "solve_sylvester": (
        ((m, m), (n, n), (m, n)),
        (m, n),
        {},
        25 * (m**3 + n**3) + 5 * m * n * (m + n),
        25 * (m**3 + n**3) + 5 * m * n * (m + n) + 2 * m * n * (m + n),
    ),
    "sqrtm": (((n, n),), (n, n), {}, (25 + 1 / 3 + 4) * n**3, (25 * 2 + 5 * 2) * n**3),
    # 2 below and 1 above, 5 rows, 3 columns: multipliers and rows of l + u; each column 2 l forward, 2 (l + u) back
    "solve_banded": (
        ((4, 5), (5, 3)),
        (5, 3),
        {"bands": (2, 1)},
        2 * 5 * 2 * 3 + 5 * 3 * (2 * 2 + 2 * 3),
        2 * 5 * 1 * 3 + 5 * 3 * (2 * 1 + 2 * 3) + 2 * 5 * 3 * 4,
    ),
    "log_pseudo_det": (((n, n),), (), {"cut": 0.0}, 4 / 3 * n**3, 24 * n**3),
}
