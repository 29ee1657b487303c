"""What SciPy evaluates for gpugrad: values, derivatives by every argument, refusals, and what happens without SciPy."""

import gc
import sys
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import cpu
from gpugrad.backend.base import Backend
from gpugrad.scipy import linalg, special, stats

scipy = pytest.importorskip("scipy", reason="SciPy is not installed")
pytest.importorskip("scipy.special")
pytest.importorskip("scipy.stats")

X = np.array([0.1, 0.7, 1.9, 6.5, 23.0])
ORDERS = (0, 1, -2, 2.5, -0.5, np.array([[0.3], [4.0]]))
SHARES = np.array([0.0, 1e-9, 0.1, 0.5, 0.93, 1.0])
PARAMETERS = np.array([[0.2], [1.0], [3.7], [80.0]])


def close(ours: Any, theirs: Any, tolerance: float = 1e-13) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=0)


# ---- Bessel functions


@pytest.mark.parametrize("name", ["jn", "jv", "yv", "iv", "ive", "kv", "kve"])
def test_bessel_functions_of_any_order(name: str) -> None:
    ours, theirs = getattr(special, name), getattr(scipy.special, name)
    for order in ORDERS:
        close(ours(order, X), theirs(order, X))
        gg.check_grads(lambda x, order=order: ours(order, x), (X[1:3],), order=2)


def test_yn_takes_integers_of_either_sign() -> None:
    for order in (0, 1, 2, -1, -2, -3, np.array([[0], [5], [-4]])):
        close(special.yn(order, X), scipy.special.yn(order, X))
        gg.check_grads(lambda x, order=order: special.yn(order, x), (X[1:3],), order=2)
    with pytest.raises(ValueError, match=r"\[yn\] order 1\.5; expected integers \(yv"):
        special.yn(1.5, X)


def test_derivatives_of_the_first_kind_hold_at_zero_and_below() -> None:
    x = np.array([0.0, -1.3])
    for function in (special.j0, special.j1, lambda x: special.jv(2, x), lambda x: special.iv(1, x)):
        gg.check_grads(function, (x,), order=2)
    assert gg.grad(special.j1)(np.array(0.0)) == 0.5


def test_orders_have_no_gradient_and_say_so() -> None:
    for name, function in (("jv", special.jv), ("yn", special.yn), ("kve", special.kve)):
        with pytest.raises(gg.GradientError, match=rf"\[{name}\] .*no closed form.*detach"):
            gg.grad(lambda v, f=function: f(v, 1.5))(np.array(2.0))
    with pytest.raises(TypeError, match=r"\[jv\] an operand of dtype complex128"):
        special.jv(1, 1j * X)


def test_scipys_own_functions_take_tensors() -> None:
    x = gg.tensor([0.3, 0.5], requires_grad=True)
    for name, arguments in (("jv", (1, x)), ("k1", (x,)), ("gammainc", (2.0, x)), ("betainc", (1.0, x, 0.5))):
        found = getattr(scipy.special, name)(*arguments)
        assert found.requires_grad
        close(found.detach(), getattr(special, name)(*arguments).detach())


def test_single_and_half_precision_stay_what_they_are() -> None:
    for dtype in ("float32", "float16"):
        x = X[:3].astype(dtype)
        for found in (special.jv(1, x), special.gammainc(2.0, x), special.k0e(x), special.stdtr(3, x)):
            assert found.dtype == dtype
        slopes = gg.grad(lambda a, x: special.gammainc(a, x).sum(), (0, 1))(x, x)
        assert [s.dtype for s in slopes] == [dtype] * 2


# ---- incomplete gamma and beta functions


def test_values_are_scipys() -> None:
    for name in ("gammainc", "gammaincc", "chdtr", "chdtrc"):
        close(getattr(special, name)(PARAMETERS, X), getattr(scipy.special, name)(PARAMETERS, X), 1e-12)
    for name in ("betainc", "betaincc"):
        # The far end is I_(1 - x)(b, a), where 1 - x has lost what x had below rounding.
        ours, theirs = getattr(special, name), getattr(scipy.special, name)
        close(ours(PARAMETERS, 1.7, SHARES[2:]), theirs(PARAMETERS, 1.7, SHARES[2:]), 1e-11)
    close(special.betainc(PARAMETERS, 1.7, SHARES), scipy.special.betainc(PARAMETERS, 1.7, SHARES))
    counts = np.array([[0.0], [2.0], [9.0]])
    close(special.pdtr(counts, X), scipy.special.pdtr(counts, X), 1e-12)
    close(special.pdtrc(counts, X), scipy.special.pdtrc(counts, X), 1e-12)
    t = np.array([-40.0, -3.0, -1.1, -0.9, 0.0, 0.4, 7.0])
    for df in (0.3, 1.0, 7.5, 1e4):
        close(special.stdtr(df, t), scipy.special.stdtr(df, t), 1e-9)
    assert special.stdtr(1.0, np.array(1e-9)) == pytest.approx(0.5 + 1e-9 / np.pi, rel=1e-15)  # Cauchy's: arctan


def test_derivatives_are_those_of_differences_to_second_order() -> None:
    a, b = np.array([0.3, 1.0, 4.2]), np.array([1.3, 0.4, 6.1])
    for function in (special.gammainc, special.gammaincc):
        gg.check_grads(function, (a, b), order=2)
    for function in (special.betainc, special.betaincc):
        gg.check_grads(function, (a, b, np.array([0.2, 0.9, 0.4])), order=2)
    gg.check_grads(special.stdtr, (np.array([0.6, 2.5, 1.0, 30.0]), np.array([-6.0, -0.3, 0.0, 1.7])), order=2)


def test_derivatives_by_parameters_are_those_of_40_digits() -> None:
    mp = pytest.importorskip("mpmath", reason="mpmath is not installed").mp
    with mp.workdps(40):
        for a, x in (
            (0.05, 0.3), (0.05, 1e-4), (0.3, 0.01), (0.9, 4.0), (2.5, 0.01), (2.5, 2.4), (17.0, 60.0), (300.0, 290.0),
            (1e4, 1.01e4),
        ):  # fmt: skip
            for n in (1, 2, 3):
                expected = mp.diff(lambda s, x=x: mp.gammainc(s, 0, x, regularized=True), mp.mpf(a), n)
                ours = special.gammainc
                for _ in range(n):
                    ours = gg.grad(ours)
                close(ours(np.array(a), x), float(expected), 1e-8 if a > 100 else 1e-11)
        for a, b, x in ((0.05, 0.3, 0.2), (0.3, 40.0, 0.01), (2.5, 7.5, 0.3), (40.0, 3.0, 0.99), (300.0, 90.0, 0.7)):
            for n, m in ((1, 0), (0, 1), (1, 1), (2, 0), (1, 2)):
                share = lambda p, q, x=x: mp.betainc(p, q, 0, x, regularized=True)  # noqa: E731
                expected = mp.diff(share, (mp.mpf(a), mp.mpf(b)), (n, m))
                ours = special.betainc
                for number in [0] * n + [1] * m:
                    ours = gg.grad(ours, number)
                close(ours(np.array(a), np.array(b), x), float(expected), 1e-10)


def test_derivatives_by_degrees_of_freedom_are_those_of_30_digits() -> None:
    mp = pytest.importorskip("mpmath", reason="mpmath is not installed").mp

    def share(df: Any, t: Any) -> Any:
        tail = mp.betainc(df / 2, mp.mpf(1) / 2, 0, df / (df + t * t), regularized=True) / 2
        return tail if t < 0 else 1 - tail

    with mp.workdps(30):
        for df in (0.05, 3.0, 200.0):
            for t in (-100.0, -1.9, 4.0):
                for n in (1, 2):
                    expected = mp.diff(lambda v, t=t: share(v, mp.mpf(t)), mp.mpf(df), n)
                    ours = special.stdtr
                    for _ in range(n):
                        ours = gg.grad(ours)
                    np.testing.assert_allclose(ours(np.array(df), t), float(expected), rtol=1e-8, atol=1e-250)


def test_derivatives_by_parameters_at_the_ends_and_out_of_range() -> None:
    by_a = gg.grad(lambda a, x: special.gammainc(a, x).sum())
    by_b = gg.grad(lambda b, x: special.betainc(2.0, b, x).sum())
    assert np.isnan(by_a(np.array(-1.0), np.array(2.0)))
    assert np.isnan(by_b(np.array(1.5), np.array(1.5)))
    assert by_a(np.array(2.0), np.array([0.0, np.inf])) == 0.0
    assert by_b(np.array(2.0), np.array([0.0, 1.0])) == 0.0
    by_df = gg.grad(lambda df, t: special.stdtr(df, t).sum())
    assert np.isnan(by_df(np.array(-1.0), np.array(0.5)))
    assert by_df(np.array(3.0), np.array([-np.inf, 0.0, np.inf])) == 0.0
    # The derivative of the density at 0 by df, where the share's own derivative is 0.
    slope = gg.grad(gg.grad(special.stdtr, 1))(np.array(1.0), np.array(0.0))
    assert slope == pytest.approx((np.log(2) - 0.5) / np.pi, rel=1e-12)
    # In the far tails they underflow like the shares themselves.
    assert by_a(np.array(2.0), np.array(1e4)) == 0.0
    assert abs(by_a(np.array(500.0), np.array(1.0))) < 1e-300


def test_error_functions_of_complex_numbers() -> None:
    z = np.array([0.3 + 0.2j, -1.0 + 2.0j, 2.5 - 0.1j])
    for name in ("erf", "erfc"):
        ours = getattr(special, name)
        close(ours(z), getattr(scipy.special, name)(z))
        gg.check_grads(ours, (z,), order=2)
        assert ours(z.astype("complex64")).dtype == "complex64"


def test_reciprocal_of_gamma_has_derivatives_at_its_zeros() -> None:
    x = np.array([-3.0, -2.5, -2.0, -0.7, 0.0, 0.2, 0.5, 3.0])
    np.testing.assert_allclose(special.rgamma(x), scipy.special.rgamma(x), rtol=1e-13, atol=1e-15)
    gg.check_grads(special.rgamma, (x,), order=2)
    # (-1)^n n!
    np.testing.assert_allclose(gg.grad(lambda x: special.rgamma(x).sum())(-np.arange(4.0)), [1, -1, 2, -6], rtol=1e-13)


# ---- distributions


@pytest.mark.parametrize(
    ("name", "known", "free"),
    [("chi2", (), (3.0, -0.1, 1.7)), ("gamma", (), (2.5, 0.1, 1.7)), ("beta", (), (2.5, 1.6, 0.1, 2.3)),
     ("t", (), (3.2, 0.3, 1.7))],
)  # fmt: skip
def test_distribution_functions_are_scipys_and_so_are_their_ends(name: str, known: Any, free: Any) -> None:
    x = np.array([-0.3, 0.2, 0.7, 1.9, 5.0])
    ours, theirs = getattr(stats, name), getattr(scipy.stats, name)
    for kind in ours.__all__:
        with np.errstate(all="ignore"):
            expected = getattr(theirs, kind)(x, *known, *free)
        function = getattr(ours, kind)
        close(function(x, *known, *free), expected, 1e-12)
        values = (x[1:4], *map(np.asarray, free))
        gg.check_grads(lambda x, *rest, f=function: f(x, *known, *rest), values, order=2)
        assert np.isfinite(gg.grad(lambda x, f=function: f(x, *known, *free)[0:1].sum())(x)).all()


def test_poisson_counts() -> None:
    k = np.array([-1, 0, 1.5, 3, 7])
    for kind in stats.poisson.__all__:
        function = getattr(stats.poisson, kind)
        with np.errstate(all="ignore"):
            close(function(k, 2.3, 0), getattr(scipy.stats.poisson, kind)(k, 2.3, 0), 1e-12)
        close(function(4, 2.3, 1), getattr(scipy.stats.poisson, kind)(4, 2.3, 1), 1e-12)
        gg.check_grads(lambda mu, f=function: f(k[[1, 3, 4]], mu), (np.array([2.3, 0.4, 6.0]),), order=2)
        assert np.isfinite(gg.grad(lambda mu, f=function: f(k[:1], mu).sum())(2.3))


def test_numbers_as_parameters_leave_single_precision_alone() -> None:
    x = np.array([0.3, 0.6], np.float32)
    for found in (stats.norm.logpdf(x, 0.1, 2.0), stats.gamma.cdf(x, 2.5), stats.poisson.pmf(2, x)):
        assert found.dtype == np.float32


def test_singular_covariances() -> None:
    rng = np.random.default_rng(0)
    half, mean, steps = rng.standard_normal((3, 2)), rng.standard_normal(3), rng.standard_normal((4, 2))
    cov, x = half @ half.T, mean + steps @ half.T
    x[0] += 1.0  # outside of the plane
    theirs = scipy.stats.multivariate_normal(mean, cov, allow_singular=True)
    ours = stats.multivariate_normal
    with np.errstate(divide="ignore"):
        close(ours.logpdf(x, mean, cov, allow_singular=True), theirs.logpdf(x), 1e-9)
    close(ours.pdf(x[1], mean, cov, allow_singular=True), theirs.pdf(x[1]), 1e-9)
    assert np.isneginf(ours.logpdf(x, mean, cov, True)[0])
    with pytest.raises(np.linalg.LinAlgError):
        ours.logpdf(x, mean, cov - 1e-3 * np.eye(3))
    # Along covariances of one rank, which turn their plane.
    gg.check_grads(lambda s, m, h: ours.logpdf(m + s @ h.T, m, h @ h.T, True), (steps, mean, half), order=2)
    # Where the covariance is regular it is the density that it was.
    whole = cov + np.eye(3)
    for either in ((0,), (0, 2)):
        by = [gg.grad(lambda *a, s=s: ours.logpdf(*a, s).sum(), either)(x, mean, whole) for s in (False, True)]
        for one, other in zip(*by, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9)


# ---- equations of matrices


@pytest.fixture
def system() -> Any:
    rng = np.random.default_rng(1)
    a, b, q = rng.standard_normal((3, 3)), rng.standard_normal((2, 2)), rng.standard_normal((3, 2))
    bands = rng.standard_normal((4, 5)) + np.array([0, 0, 5, 0])[:, None]
    return a, b, q, bands, rng.standard_normal((5, 2))


def test_solutions_are_scipys_with_derivatives(system: Any) -> None:
    a, b, q, bands, right = system
    close(linalg.solve_sylvester(a, b, q), scipy.linalg.solve_sylvester(a, b, q), 1e-12)
    gg.check_grads(linalg.solve_sylvester, (a, b, q), order=2)
    gg.check_grads(lambda z: linalg.solve_sylvester(z, b, q), (a + 1j * b[0, 0] * a.T,), order=2)
    for columns in (right, right[:, 0]):
        close(linalg.solve_banded((1, 2), bands, columns), scipy.linalg.solve_banded((1, 2), bands, columns), 1e-12)
        gg.check_grads(lambda ab, b: linalg.solve_banded((1, 2), ab, b), (bands, columns), order=2)
    outside = gg.grad(lambda ab: linalg.solve_banded((1, 2), ab, right).sum())(bands)
    assert outside[0, :2].tolist() == [0.0, 0.0]
    assert outside[1, 0] == outside[3, 4] == 0.0


def test_the_root_of_a_matrix_is_complex_where_an_eigenvalue_is_negative(system: Any) -> None:
    a = system[0]
    for matrix, kind in ((a @ a.T + np.eye(3), "f"), (a + a.T - 9 * np.eye(3), "c"), (a @ a + 1j * a, "c")):
        root = linalg.sqrtm(matrix)
        assert root.dtype.kind == kind
        np.testing.assert_allclose(root @ root, matrix, atol=1e-12)
        gg.check_grads(linalg.sqrtm, (matrix,), order=2)
    assert linalg.sqrtm(np.eye(2, dtype=np.float32)).dtype == np.float32


def test_systems_that_do_not_fit_are_refused(system: Any) -> None:
    a, b, q, bands, right = system
    with pytest.raises(ValueError, match=r"\[solve_sylvester\] q of shape \(2, 3\); expected \(3, 2\)"):
        linalg.solve_sylvester(a, b, q.T)
    with pytest.raises(ValueError, match=r"\[solve_banded\] \(1, 1\) bands and ab of shape \(4, 5\)"):
        linalg.solve_banded((1, 1), bands, right)
    with pytest.raises(ValueError, match=r"\[solve_banded\] ab of shape \(4, 5\), b \(4, 2\)"):
        linalg.solve_banded((1, 2), bands, right[:4])
    with pytest.raises(np.linalg.LinAlgError, match=r"\[sqrtm\] matrices of shape \(3, 2\)"):
        linalg.sqrtm(q)


def test_dense_systems_give_the_same(system: Any) -> None:
    a, b, q, bands, right = system
    close(Backend.solve_sylvester(cpu(), a, b, q), scipy.linalg.solve_sylvester(a, b, q), 1e-11)
    bands[0, :2] = bands[3, 4] = np.nan  # outside of the matrix
    close(Backend.solve_banded(cpu(), (1, 2), bands, right), cpu().solve_banded((1, 2), bands, right), 1e-12)


# ---- memory

WIDE = gg.tensor(np.random.default_rng(0).uniform(0.5, 1.0, 1000), requires_grad=True)
LEFT, BELOW, GIVEN = (
    gg.tensor(np.random.default_rng(0).uniform(size=s), requires_grad=True) for s in ((30, 30), (20, 20), (30, 20))
)
STEPS = {
    "jv": (lambda: special.jv(1, WIDE).sum(), [WIDE]),
    "gammainc": (lambda: special.gammainc(WIDE, WIDE).sum(), [WIDE]),
    "betainc": (lambda: special.betainc(WIDE, WIDE, WIDE * 0.5).sum(), [WIDE]),
    "stdtr": (lambda: special.stdtr(WIDE, WIDE).sum(), [WIDE]),
    "solve_sylvester": (lambda: linalg.solve_sylvester(LEFT, BELOW, GIVEN).sum(), [LEFT, BELOW, GIVEN]),
    "solve_banded": (lambda: linalg.solve_banded((1, 1), GIVEN[:3] + 1, BELOW[0]).sum(), [GIVEN, BELOW]),
    "sqrtm": (lambda: linalg.sqrtm(LEFT @ LEFT.T).sum(), [LEFT]),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_leaves_its_gradients_and_its_memory_is_foreseen(name: str) -> None:
    step, leaves = STEPS[name]
    step().backward()
    gc.disable()  # what is made from here on is young, and to look through that is quick
    try:
        gc.collect(0)
        step().backward()
        assert gc.collect(0) == 0  # nothing waits for the collector
    finally:
        gc.enable()
    expected = sum(leaf.nbytes for leaf in leaves)
    assert gg.tape_memory(step).gradient_bytes == expected


# ---- without SciPy, and on a GPU


def test_without_scipy_the_error_gives_the_command_and_dense_systems_remain(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, q, bands, right = system
    expected = linalg.solve_sylvester(a, b, q), linalg.solve_banded((1, 2), bands, right)
    for part in ("scipy", "scipy.special", "scipy.linalg"):
        monkeypatch.setitem(sys.modules, part, None)
    for call in (lambda: special.jv(0, X), lambda: special.gammainc(1.0, X), lambda: linalg.sqrtm(np.eye(2))):
        with pytest.raises(ImportError, match=r'SciPy.*not installed.*pip install "gpugrad\[scipy\]"'):
            call()
    close(linalg.solve_sylvester(a, b, q), expected[0], 1e-11)
    close(linalg.solve_banded((1, 2), bands, right), expected[1], 1e-11)
    assert special.gammaln(np.array(3.0)) == pytest.approx(np.log(2))  # our own do not ask
