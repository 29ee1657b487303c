"""Rows of the special functions and Bessel functions; SciPy's values are in `test_special`."""

from typing import Any

import numpy as np

from tests.ops.table import Row, fixed, op, uniform


def of(name: str, *inputs: Any, covers: str = "", torch: str = "", tolerance: float = 1.0, label: str = "") -> Row:
    def theirs(t: Any, *xs: Any) -> Any:
        return getattr(t.special, torch)(*xs)

    return Row(
        f"{name} {label}".strip(),
        getattr(op, name),
        inputs,
        np.i0 if name == "i0" else None,
        theirs if torch else None,
        covers=(covers or name,),
        tolerance=tolerance,
    )


def of_polygamma(n: int) -> Row:
    return Row(
        f"polygamma {n}",
        lambda x: op.polygamma(n, x),
        (uniform(0.7, 3, 4),),
        None,
        (lambda t, x: t.special.polygamma(n, x)) if n > 1 else None,  # its own first is good to 1e-9
        tolerance=4,
    )


BELOW = fixed(-0.3, -1.6, -2.5)
SHARE = uniform(0.1, 0.9, 4)

ROWS = [
    of("i0", uniform(-3, 3, 4), torch="i0"),
    of("i0", uniform(8.5, 9, 3), torch="i0", label="beyond 8", tolerance=100),
    of("i1", uniform(-3, 3, 4), torch="i1"),
    of("i1", uniform(8.5, 9, 3), torch="i1", label="beyond 8", tolerance=100),
    of("i0e", uniform(0.2, 12, 4), torch="i0e"),
    of("i1e", uniform(-12, -0.2, 4), torch="i1e"),
    of("gammaln", uniform(0.6, 4, 4), torch="gammaln", tolerance=4),
    of("gammaln", BELOW, torch="gammaln", label="below 0", tolerance=20),
    of("digamma", uniform(0.6, 4, 4), covers="polygamma", torch="digamma", tolerance=10),
    *[of_polygamma(n) for n in (1, 2, 3)],
    of("gamma", uniform(0.6, 4, 4), covers="gammaln", tolerance=10),
    of("gamma", BELOW, covers="gammaln", label="below 0", tolerance=50),
    of("beta", uniform(0.6, 4, 4), uniform(0.6, 2, 4), covers="gammaln", tolerance=10),
    of("betaln", uniform(0.6, 4, 4), uniform(0.6, 2), covers="gammaln", tolerance=10),
    Row(
        "multigammaln",
        lambda a: op.multigammaln(a, 3),
        (uniform(2, 4, 3),),
        None,
        lambda t, a: t.special.multigammaln(a, 3),
        covers=("gammaln",),
        tolerance=10,
    ),
    of("xlogy", uniform(0.3, 2, 4), uniform(0.3, 2, 4), torch="xlogy"),
    of("xlog1py", uniform(0.3, 2, 4), uniform(-0.6, 2, 4), torch="xlog1py"),
    of("entr", uniform(0.3, 2, 4), torch="entr"),
    of("rel_entr", uniform(0.3, 2, 4), uniform(0.3, 2, 4)),
    of("kl_div", uniform(0.3, 2, 4), uniform(0.3, 2, 4)),
    of("ndtr", uniform(-2, 2, 4), torch="ndtr"),
    of("exprel", uniform(-2, 2, 4)),
    of("log_ndtr", uniform(-4, 2, 5), torch="log_ndtr", tolerance=4),
    of("ndtri", SHARE, torch="ndtri", tolerance=10),
    of("erfinv", uniform(-0.9, 0.9, 4), torch="erfinv", tolerance=10),
    of("erfcinv", uniform(0.2, 1.8, 4), covers="ndtri", tolerance=10),
]
