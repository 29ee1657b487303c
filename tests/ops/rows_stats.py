"""Rows of the distributions of `gpugrad.scipy.stats`, and of what SciPy evaluates for them."""

from typing import Any

import numpy as np

from gpugrad.scipy import linalg, special, stats
from tests.ops.table import Row, fixed, normal, op, uniform

X, NUMBER = uniform(0.3, 1.7, 4), uniform(1.2, 2.5)


def evaluated(name: str, *inputs: Any, covers: str, torch: str = "", call: Any = None, tolerance: float = 10) -> Row:
    """A function of `op`; its name may have more after a space."""
    function = name.split(" ")[0]

    def theirs(t: Any, *xs: Any) -> Any:
        first = [t.tensor(1.6, dtype=t.float64)] if name.endswith(" of x") else []
        return getattr(t.special, torch)(*first, *xs)

    # float16 is evaluated in single precision: its errors are those of the arguments.
    return Row(
        name, call or getattr(op, function), inputs, None, theirs if torch else None, (covers,), tolerance=tolerance
    )


def of_order(name: str, order: Any) -> Row:
    return evaluated(f"{name} {order}", X, covers="bessel", call=lambda x: getattr(op, name)(order, x))


def composed(name: str, call: Any, *inputs: Any, covers: tuple[str, ...] = (), torch: Any = None) -> Row:
    return Row(name, call, inputs, None, torch, covers, dtypes=())


BESSEL = [
    *[of_order(n, v) for n in ("jv", "iv", "kv") for v in (0, 1.5)],
    of_order("yv", -2.3), of_order("yn", 2), of_order("yn", -1), of_order("ive", 3.0), of_order("kve", 0.5),
    evaluated("jv orders", fixed(0.4, 0.9), covers="bessel", call=lambda x: op.jv(np.array([0, 2]), x)),
    *[evaluated(n, X, covers="bessel_of_order_0_or_1") for n in "j0 j1 y0 y1 k0 k1 k0e k1e".split()],
]  # fmt: skip
INCOMPLETE = [
    evaluated("gammainc", NUMBER, X, covers="gammainc", tolerance=20),
    evaluated("gammainc below 1", fixed(0.3, 0.8), fixed(0.2, 1.9), covers="gammainc", tolerance=20),
    evaluated("gammaincc", uniform(0.7, 2, 4), X, covers="gammainc", tolerance=20),
    evaluated("betainc", NUMBER, uniform(0.6, 2, 3), uniform(0.2, 0.8, 3), covers="betainc", tolerance=20),
    evaluated("betaincc", NUMBER, NUMBER, uniform(0.2, 0.8, 3), covers="betainc", tolerance=20),
    evaluated("stdtr", uniform(0.7, 4), fixed(-2.5, -0.4, 0.3, 1.7), covers="stdtr"),
    evaluated("chdtr", NUMBER, X, covers="gammainc", tolerance=20),
    evaluated("chdtrc", NUMBER, X, covers="gammainc", tolerance=20),
    evaluated("pdtr", X, covers="gammainc", call=lambda m: op.pdtr(2, m)),
    evaluated("pdtrc", X, covers="gammainc", call=lambda m: op.pdtrc(2.7, m)),
    *[
        evaluated(f"{n} of x", X, covers="gammainc", torch=n, call=lambda x, n=n: getattr(op, n)(1.6, x))
        for n in ("gammainc", "gammaincc")
    ],
    Row(
        "rgamma", op.rgamma, (uniform(0.6, 3, 4),), None, lambda t, x: (-t.special.gammaln(x)).exp(), ("gammaln",),
        tolerance=20,
    ),
    Row("rgamma below", op.rgamma, (fixed(-2.0, -0.3, 0.2, 0.0),), covers=("gammaln",), tolerance=50),
    composed("scipy.special.erf", special.erf, X, torch=lambda t, x: t.special.erf(x)),
    composed("scipy.special.erfc", special.erfc, X, torch=lambda t, x: t.special.erfc(x)),
    composed("scipy.special.erf complex", lambda x, y: special.erf(x + 1j * y), X, X, covers=("complex_erf",)),
]


def matrix(x: Any) -> Any:
    """A positive definite matrix of any square one."""
    return x @ op.swapaxes(x, -1, -2) + op.diag(op.sum(x * 0, axis=0) + 2)


def bands(x: Any) -> Any:
    """Bands of which the second is the diagonal, and dominates."""
    return op.concatenate([x[:1], x[1:2] + 4, x[2:]])


def _sylvester(t: Any, a: Any, b: Any, q: Any) -> Any:
    """As equations in all unknowns."""
    a, b = (x @ x.mT + 2 * t.eye(len(x), dtype=x.dtype) for x in (a, b))
    whole = t.kron(a, t.eye(len(b), dtype=b.dtype)) + t.kron(t.eye(len(a), dtype=a.dtype), b.mT.contiguous())
    return t.linalg.solve(whole, q.reshape(-1)).reshape(q.shape)


def _banded(t: Any, lower: int, upper: int, x: Any, b: Any) -> Any:
    """As a dense system."""
    ab = t.cat([x[:1], x[1:2] + 4, x[2:]])
    lines = [ab[upper + d, max(-d, 0) : ab.shape[1] - max(d, 0)] for d in range(-upper, lower + 1)]
    return t.linalg.solve(sum(t.diag(v, -d) for v, d in zip(lines, range(-upper, lower + 1), strict=True)), b)


def _root(t: Any, x: Any) -> Any:
    """By eigenvalues."""
    w, v = t.linalg.eigh(x @ x.mT + 2 * t.eye(len(x), dtype=x.dtype))
    return (v * w.sqrt()) @ v.mT


EQUATIONS = [
    composed(
        "scipy.linalg.solve_sylvester", lambda a, b, q: linalg.solve_sylvester(matrix(a), matrix(b), q),
        normal(3, 3), normal(2, 2), normal(3, 2), covers=("solve_sylvester",), torch=_sylvester,
    ),
    composed(
        "scipy.linalg.solve_banded", lambda a, b: linalg.solve_banded((2, 1), bands(a), b),
        normal(4, 5), normal(5, 2), covers=("solve_banded",), torch=lambda t, *xs: _banded(t, 2, 1, *xs),
    ),
    composed(
        "scipy.linalg.solve_banded vector", lambda a, b: linalg.solve_banded((1, 1), bands(a), b), normal(3, 4),
        normal(4), covers=("solve_banded",), torch=lambda t, *xs: _banded(t, 1, 1, *xs),
    ),
    composed("scipy.linalg.sqrtm", lambda a: linalg.sqrtm(matrix(a)), normal(3, 3), covers=("sqrtm",), torch=_root),
]  # fmt: skip

PLACE, SCALE = uniform(-0.3, 0.1), uniform(0.9, 1.6)


def torchs(t: Any, name: str, *parameters: Any) -> Any:
    """A distribution of PyTorch's."""
    return getattr(t.distributions, name)(*parameters, validate_args=False)


def _gamma(t: Any, a: Any, place: Any, scale: Any) -> Any:
    moved = t.distributions.AffineTransform(place, scale)
    return t.distributions.TransformedDistribution(torchs(t, "Gamma", a, scale * 0 + 1), [moved], validate_args=False)


def _student(t: Any, x: Any, place: Any, scale: Any) -> Any:
    """By x alone: the second derivative by `df` is a difference of polygamma(1)s, of which PyTorch's has 9 digits."""
    return torchs(t, "StudentT", t.tensor(2.5, dtype=t.float64), place, scale).log_prob(x)


def _beta(t: Any, a: Any, b: Any, place: Any, scale: Any) -> Any:
    moved = t.distributions.AffineTransform(place, scale)
    return t.distributions.TransformedDistribution(torchs(t, "Beta", a, b), [moved], validate_args=False)


def _mvn(t: Any, m: Any, c: Any) -> Any:
    return torchs(t, "MultivariateNormal", m, c @ c.mT + 2 * t.eye(3, dtype=c.dtype))


# What PyTorch has of them, from its own distributions.
TORCHS: dict[str, Any] = {
    "gamma.logpdf": lambda t, x, *rest: _gamma(t, *rest).log_prob(x),
    "gamma.pdf": lambda t, x, *rest: _gamma(t, *rest).log_prob(x).exp(),
    "chi2.logpdf": lambda t, x, df, *rest: _gamma(t, df / 2, rest[0], rest[1] * 2).log_prob(x),
    "chi2.pdf": lambda t, x, df, *rest: _gamma(t, df / 2, rest[0], rest[1] * 2).log_prob(x).exp(),
    "beta.logpdf": lambda t, x, *rest: _beta(t, *rest).log_prob(x),
    "beta.pdf": lambda t, x, *rest: _beta(t, *rest).log_prob(x).exp(),
    "poisson.logpmf": lambda t, mu: torchs(t, "Poisson", mu).log_prob(t.tensor(3.0).double()),
    "poisson.pmf": lambda t, mu: torchs(t, "Poisson", mu).log_prob(t.tensor(3.0).double()).exp(),
    "poisson.cdf": lambda t, mu: t.special.gammaincc(t.tensor(4.0).double(), mu),
    "poisson.logcdf": lambda t, mu: t.special.gammaincc(t.tensor(4.0).double(), mu).log(),
    "poisson.sf": lambda t, mu: t.special.gammainc(t.tensor(4.0).double(), mu),
    "poisson.logsf": lambda t, mu: t.special.gammainc(t.tensor(4.0).double(), mu).log(),
    "norm.logpdf": lambda t, x, *rest: torchs(t, "Normal", *rest).log_prob(x),
    "norm.pdf": lambda t, x, *rest: torchs(t, "Normal", *rest).log_prob(x).exp(),
    "norm.cdf": lambda t, x, *rest: torchs(t, "Normal", *rest).cdf(x),
    "norm.logcdf": lambda t, x, *rest: torchs(t, "Normal", *rest).cdf(x).log(),
    "norm.sf": lambda t, x, *rest: 1 - torchs(t, "Normal", *rest).cdf(x),
    "norm.logsf": lambda t, x, *rest: (1 - torchs(t, "Normal", *rest).cdf(x)).log(),
    "norm.ppf": lambda t, q, *rest: torchs(t, "Normal", *rest).icdf(q),
    "norm.entropy": lambda t, *rest: torchs(t, "Normal", *rest).entropy() + rest[0] * 0,
    "dirichlet.logpdf": lambda t, x, alpha: torchs(t, "Dirichlet", alpha).log_prob(x),
    "dirichlet.pdf": lambda t, x, alpha: torchs(t, "Dirichlet", alpha).log_prob(x).exp(),
    "multivariate_normal.logpdf": lambda t, x, *rest: _mvn(t, *rest).log_prob(x),
    "multivariate_normal.pdf": lambda t, x, *rest: _mvn(t, *rest).log_prob(x).exp(),
    "multivariate_normal.entropy": lambda t, *rest: _mvn(t, *rest).entropy() + rest[0].sum() * 0,
}


def shares(name: str, *inputs: Any, call: Any = lambda f: f, only: str = "") -> list[Row]:
    """The functions of a distribution (or one): `x` and all parameters."""
    module = getattr(stats, name)
    return [
        composed(f"scipy.stats.{name}.{f}", call(getattr(module, f)), *inputs, torch=TORCHS.get(f"{name}.{f}"))
        for f in ([only] if only else module.__all__)
    ]


def of_a_matrix(f: Any) -> Any:
    """The function of anything square in place of a covariance, its last argument."""
    return lambda *xs: f(*xs[:-1], matrix(xs[-1]))


NORMAL = {"ppf": (uniform(0.2, 0.8, 3), PLACE, SCALE), "entropy": (X, SCALE)}
STATS = [
    *shares("gamma", X, NUMBER, PLACE, SCALE),
    *shares("chi2", X, NUMBER, PLACE, SCALE),
    *shares("beta", uniform(0.1, 0.6, 4), NUMBER, NUMBER, PLACE, SCALE),
    *shares("t", X, NUMBER, PLACE, SCALE),
    composed("scipy.stats.t.pdf of x", lambda *xs: stats.t.pdf(xs[0], 2.5, *xs[1:]), X, PLACE, SCALE,
             torch=lambda t, *xs: _student(t, *xs).exp()),
    composed("scipy.stats.t.logpdf of x", lambda *xs: stats.t.logpdf(xs[0], 2.5, *xs[1:]), X, PLACE, SCALE,
             torch=_student),
    *shares("poisson", uniform(0.7, 3, 4), call=lambda f: lambda mu: f(3, mu)),
    *[row for f in stats.norm.__all__ for row in shares("norm", *NORMAL.get(f, (X, PLACE, SCALE)), only=f)],
    *shares("dirichlet", uniform(0.2, 0.7, 3), uniform(1.2, 3, 3)),
    *[
        row
        for f, places in (("logpdf", (normal(4, 3),)), ("pdf", (normal(4, 3),)), ("entropy", ()))
        for row in shares("multivariate_normal", *places, normal(3), normal(3, 3), call=of_a_matrix, only=f)
    ],
    composed(
        "scipy.stats.multivariate_normal.logpdf singular",
        lambda y, m, c: stats.multivariate_normal.logpdf(m + y @ c.T, m, c @ c.T, True), normal(4, 2), normal(3),
        normal(3, 2), covers=("log_pseudo_det",),
    ),
]  # fmt: skip

ROWS = [*BESSEL, *INCOMPLETE, *EQUATIONS, *STATS]
