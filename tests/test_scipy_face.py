"""`gpugrad.scipy` has SciPy's names, arguments and values, and gradients of every order."""

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.scipy as gs
from gpugrad.scipy import linalg, signal, special, stats
from gpugrad.tensor import Tensor

scipy = pytest.importorskip("scipy", reason="SciPy is not installed")
for part in gs.__all__:
    pytest.importorskip(f"scipy.{part}", reason="SciPy is not installed")

INF, NAN = np.inf, np.nan
LINE = np.linspace(-6.3, 9, 401)
SHARES = np.concatenate([np.linspace(0, 1, 101), 10.0 ** -np.arange(3, 300, 13), [-0.1, 1.1, NAN]])
FULL = [*(2.0**k for k in range(-4, 6)), *(-0.5 - k for k in range(5)), 0.0, INF, NAN]


def close(ours: Any, theirs: Any, tolerance: float = 1e-13) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


# ---- special functions


ELSEWHERE = set("polygamma multigammaln erfinv".split())  # below; and in `test_evaluated_by_scipy`:
ELSEWHERE |= set("jn jv yn yv iv ive kv kve gammainc gammaincc betainc betaincc stdtr chdtr chdtrc pdtr pdtrc".split())


@pytest.mark.parametrize("name", [n for n in special.__all__ if n not in ELSEWHERE])
def test_values_are_scipys(name: str) -> None:
    ours, theirs = getattr(special, name), getattr(scipy.special, name)
    with np.errstate(all="ignore"):
        if name in ("softmax", "log_softmax", "logsumexp"):
            close(ours(LINE[:6]), theirs(LINE[:6]))
            close(ours(LINE[:6].reshape(2, 3), axis=1), theirs(LINE[:6].reshape(2, 3), axis=1))
        elif name in ("ndtri", "erfcinv"):
            close(ours(SHARES), theirs(SHARES))
        elif name in ("beta", "betaln", "kl_div", "rel_entr", "xlog1py", "xlogy"):
            wide = ([-0.6, 0, 0.3, INF, NAN], [-2, 0, 3])
            a, b = np.meshgrid(*(([0.3, 2.5], [0.5, 1.2]) if name.startswith("beta") else wide))
            close(ours(a, b), theirs(a, b))
        elif name == "logit":
            close(ours(SHARES[1:100]), theirs(SHARES[1:100]))
        elif name in ("gamma", "gammaln", "gammasgn", "digamma", "psi"):
            # At the negative zero of its argument and towards infinity too.
            close(ours(np.array(FULL)), theirs(np.array(FULL)))
        else:
            close(ours(LINE), theirs(LINE))


def test_inverse_of_erf_is_scipys_to_the_ends() -> None:
    x = np.array([-1, -1 + 1e-15, -0.5, -1e-300, 0, 1e-9, 0.3, 0.9999, 1, 1.1, NAN])
    close(special.erfinv(x), scipy.special.erfinv(x))


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_polygamma_is_scipys(n: int) -> None:
    x = np.array([1e-3, 0.4, 2.0, 11.0, 40.0, 1e6])
    np.testing.assert_allclose(special.polygamma(n, x), scipy.special.polygamma(n, x), rtol=1e-13)
    assert special.polygamma(1, np.array([INF])).tolist() == [0.0]
    assert special.polygamma(1, np.array([0.0, -1.0])).tolist() == [INF, INF]


def test_multigammaln_is_scipys() -> None:
    close(special.multigammaln(3.3, 4), scipy.special.multigammaln(3.3, 4))


def test_logsumexp_gives_the_sign_of_the_sum() -> None:
    factors = np.array([[1.0, -2.0, 0.5], [3.0, 0.1, -1.0]])
    for axis, keepdims in ((None, False), (1, False), (0, True)):
        ours = special.logsumexp(LINE[:3], axis=axis, b=factors, keepdims=keepdims, return_sign=True)
        theirs = scipy.special.logsumexp(LINE[:3], axis=axis, b=factors, keepdims=keepdims, return_sign=True)
        close(ours[0], theirs[0])
        close(ours[1], theirs[1])
    close(special.logsumexp(LINE[:3], return_sign=True)[0], scipy.special.logsumexp(LINE[:3]))
    assert special.logsumexp(np.ones(3, np.float32), return_sign=True)[0].dtype == np.float32
    gg.check_grads(lambda b: special.logsumexp(LINE[:3], b=b, return_sign=True)[0], (factors,), order=2)


def test_logsumexp_takes_factors_and_differentiates_them() -> None:
    a, b = np.array([[0.3, 800.0], [1.0, 801.0]]), np.array([[1.0, 2.0], [-1e-3, 0.5]])
    close(special.logsumexp(a, 1, b), scipy.special.logsumexp(a, 1, b))
    assert special.logsumexp(a, (0, 1), b, keepdims=True).shape == (1, 1)
    gg.check_grads(lambda a, b: special.logsumexp(a, None, b), (a[:, 0], b[:, 0]), order=2)


@pytest.mark.parametrize("x", [0.0, -3.0, 8.0])
def test_derivatives_of_bessel_functions_hold_at_zero_and_where_the_series_change(x: float) -> None:
    for function in (special.i0, special.i1, *((special.i0e, special.i1e) if x else ())):
        gg.check_grads(function, (np.array([x]),), order=2)


def test_derivatives_far_out_neither_underflow_nor_overflow() -> None:
    slope = gg.grad(special.log_ndtr)(np.array(-40.0))
    np.testing.assert_allclose(slope, 40.0249688, rtol=1e-8)
    assert gg.grad(special.xlogy)(np.array(0.0), 2.0) == np.log(2.0)
    assert gg.grad(special.entr)(np.array(0.0)) == 0.0


def test_gammasgn_has_no_gradient() -> None:
    assert not special.gammasgn(Tensor(np.array([0.5]), True)).requires_grad


# ---- convolution


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("shapes", [((5,), (3,)), ((3,), (5,)), ((4, 5), (2, 3)), ((2, 3), (2, 2))])
def test_convolutions_are_scipys(mode: str, shapes: Any, rng: np.random.Generator) -> None:
    a, b = (rng.standard_normal(s) for s in shapes)
    for name in ("convolve", "correlate", "fftconvolve"):
        if name == "correlate" and a.size < b.size:
            continue
        close(getattr(signal, name)(a, b, mode), getattr(scipy.signal, name)(a, b, mode))
    z = b * (1 + 2j)
    close(signal.convolve(a, z, mode), scipy.signal.convolve(a, z, mode))
    gg.check_grads(lambda a, b: signal.convolve(a, b, mode), (a, b), order=2)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_convolution_along_some_axes_and_sums_over_others(mode: str, rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((2, 5, 3)), rng.standard_normal((3, 4, 2))
    found = signal.convolve(a, b, mode, axes=([1], [1]), dot_axes=([2], [0]))
    for i, j in np.ndindex(2, 2):
        close(found[i, j], sum(scipy.signal.convolve(a[i, :, k], b[k, :, j], mode) for k in range(3)))
    close(signal.convolve(a, b * 1j, mode, axes=([1], [1]), dot_axes=([2], [0])), found * 1j)
    close(signal.convolve(a, b, mode, axes=((), ()), dot_axes=([2], [0])), np.tensordot(a, b, 1))
    close(signal.convolve(a, a, mode, axes=([1], [1]))[0, 0, 1, 2], scipy.signal.convolve(a[0, :, 0], a[1, :, 2], mode))
    gg.check_grads(lambda a, b: signal.convolve(a, b, mode, axes=([1], [1]), dot_axes=([2], [0])), (a, b), order=2)


def test_convolution_refuses_what_does_not_fit() -> None:
    x = np.ones((2, 3))
    for arguments, message in (
        ((x, x[0]), r"\[convolve\] shapes \(2, 3\) and \(3,\)"),
        ((x, x, "half"), r"\[convolve\] mode = 'half'"),
        ((x, x, "full", "direct"), r"\[convolve\] method = 'direct'"),
        ((x, x.T, "valid"), r"needs one in the other"),
    ):
        with pytest.raises(ValueError, match=message):
            signal.convolve(*arguments)
    for axes, dots, message in (
        (([1], []), ((), ()), "expected as many of in1 as of in2"),
        (([1], [2]), ((), ()), r"axes \(2,\) of shape \(2, 4\); expected different ones, from 0"),
        (([0], [0]), ([0], [1]), r"axes \(0, 0\)"),
        (([0], [0]), ([1], [1]), "other lengths"),
    ):
        with pytest.raises(ValueError, match=rf"\[convolve\] .*{message}"):
            signal.convolve(x, np.ones((2, 4)), axes=axes, dot_axes=dots)
    assert signal.convolve(np.array(2.0), np.array(3.0)) == 6.0


# ---- matrices

WELL = np.array([[2.0, 0.3, 0.1], [0.3, 1.5, -0.2], [0.1, -0.2, 1.1]])
ONE_SIDED = np.triu(WELL) + np.tril(2 * WELL, -1)


@pytest.mark.parametrize(
    ("name", "arguments", "static"),
    [
        ("cholesky", (WELL,), {}),
        ("cholesky", (WELL,), {"lower": True}),
        ("det", (WELL,), {}),
        ("inv", (WELL,), {}),
        ("pinv", (WELL[:2],), {}),
        ("norm", (WELL,), {}),
        ("solve", (WELL, WELL[0]), {"transposed": True}),
        ("solve", (WELL, WELL[0]), {"assume_a": "pos", "check_finite": False, "overwrite_a": True}),
        ("solve", (ONE_SIDED, WELL[0]), {"assume_a": "sym"}),
        ("solve", (ONE_SIDED, WELL[:, :2]), {"assume_a": "her", "lower": True, "overwrite_b": True}),
        ("svd", (WELL[:2],), {"compute_uv": False, "lapack_driver": "gesvd"}),
        ("solve_triangular", (WELL, WELL[:, :2]), {}),
        ("solve_triangular", (WELL, WELL[0]), {"trans": "T", "lower": True, "unit_diagonal": True}),
        ("solve_triangular", (WELL, WELL[0]), {"trans": 2}),
        ("eigh", (WELL,), {"eigvals_only": True}),
        ("eigvalsh", (WELL,), {"lower": False}),
        ("svd", (WELL[:2],), {"compute_uv": False}),
        ("svdvals", (WELL[:2],), {}),
        ("block_diag", (WELL[0], WELL[:2], WELL[:1]), {}),
        ("block_diag", (WELL[0],), {}),
    ],
)
def test_linear_algebra_is_scipys(name: str, arguments: Any, static: Any) -> None:
    ours, theirs = getattr(linalg, name), getattr(scipy.linalg, name)
    close(ours(*arguments, **static), theirs(*arguments, **static), 1e-12)

    def of_symmetric(a: Any, *rest: Any) -> Any:
        return ours((a + a.T) / 2 if a.shape == (3, 3) else a, *rest, **static)

    gg.check_grads(of_symmetric, arguments, order=2)


def test_decompositions_multiply_to_the_matrix() -> None:
    values, vectors = linalg.eigh(WELL)
    close(vectors * values @ vectors.T, WELL)
    u, s, vh = linalg.svd(WELL, full_matrices=False)
    close(u * s @ vh, WELL)
    for lower in (False, True):
        close(linalg.cho_solve((linalg.cholesky(WELL, lower), lower), WELL[0]), np.linalg.solve(WELL, WELL[0]))
    with pytest.raises(ValueError, match=r"\[solve\] assume_a = 'banded'"):
        linalg.solve(WELL, WELL[0], assume_a="banded")
    with pytest.raises(ValueError, match=r"\[solve_triangular\] trans = 3"):
        linalg.solve_triangular(WELL, WELL, 3)


# ---- densities

X = np.array([0.2, 0.7, 1.9])
DENSITIES: dict[str, tuple[Any, ...]] = {
    "norm": (X, 0.3, 1.7),
    "t": (X, 3.2, 0.3, 1.7),
    "gamma": (X, 2.5, 0.1, 1.7),
    "beta": (X, 2.5, 1.6, 0.1, 2.3),
    "dirichlet": (np.array([0.2, 0.3, 0.5]), np.array([1.5, 2.0, 0.8])),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_densities_and_their_derivatives_to_every_parameter(name: str) -> None:
    ours, theirs = getattr(stats, name), getattr(scipy.stats, name)
    arguments = [np.asarray(a) for a in DENSITIES[name]]
    close(ours.logpdf(*arguments), theirs.logpdf(*arguments))
    close(ours.pdf(*arguments), theirs.pdf(*arguments))
    gg.check_grads(ours.logpdf, arguments, order=2)


@pytest.mark.parametrize("name", ["cdf", "logcdf", "sf", "logsf", "ppf"])
def test_normal_distribution_functions(name: str) -> None:
    x = np.array([0.2, 0.5, 0.9]) if name == "ppf" else np.array([-2.0, 0.4, 3.0])
    close(getattr(stats.norm, name)(x, 0.3, 1.7), getattr(scipy.stats.norm, name)(x, 0.3, 1.7))
    gg.check_grads(getattr(stats.norm, name), (x, np.array(0.3), np.array(1.7)), order=2)


def test_normal_entropy_depends_on_the_scale_only() -> None:
    close(stats.norm.entropy(2.0, 3.0), scipy.stats.norm.entropy(2.0, 3.0))
    assert gg.grad(stats.norm.entropy)(np.array(2.0), 3.0) == 0.0


@pytest.mark.parametrize(("name", "arguments"), [("gamma", (2.0,)), ("beta", (2.0, 3.0))])
def test_outside_the_support_the_density_is_zero_and_so_is_its_gradient(name: str, arguments: Any) -> None:
    density = getattr(stats, name)
    x = Tensor(np.array([-0.5, 0.5]), True)
    y = density.logpdf(x, *arguments)
    assert y.tolist()[0] == -INF
    density.pdf(x, *arguments).sum().backward()
    assert x.grad.tolist()[0] == 0.0


def test_multivariate_normal_density_and_entropy() -> None:
    x, mean = np.array([[0.2, 0.5, -0.3], [1.0, 0.1, 0.4]]), np.array([0.1, 0.2, 0.3])
    theirs = scipy.stats.multivariate_normal(mean, WELL)
    close(stats.multivariate_normal.logpdf(x, mean, WELL), theirs.logpdf(x))
    close(stats.multivariate_normal.pdf(x[0], mean, WELL), theirs.pdf(x[0]))
    close(stats.multivariate_normal.entropy(mean, WELL), theirs.entropy())
    gg.check_grads(lambda x, m, a: stats.multivariate_normal.logpdf(x, m, (a + a.T) / 2), (x, mean, WELL), order=2)
    with pytest.raises(ValueError, match=r"\[multivariate_normal\] x of shape"):
        stats.multivariate_normal.logpdf(x, mean[:2], WELL)


def test_dirichlet_takes_points_as_columns() -> None:
    x, alpha = np.array([[0.2, 0.6], [0.8, 0.4]]), np.array([1.5, 2.0])
    close(stats.dirichlet.logpdf(x, alpha), scipy.stats.dirichlet.logpdf(x, alpha))
    with pytest.raises(ValueError, match=r"\[dirichlet\] x of shape"):
        stats.dirichlet.logpdf(x, np.ones(3))


# ---- names


@pytest.mark.parametrize("name", gs.__all__)
def test_names_are_scipys(name: str) -> None:
    ours, theirs = getattr(gs, name), getattr(scipy, name)
    assert [n for n in ours.__all__ if not hasattr(theirs, n)] == []


@pytest.mark.parametrize(("module", "name"), [(special, "zeta"), (signal, "lfilter"), (linalg, "expm")])
def test_a_function_without_a_rule_says_what_to_do(module: Any, name: str) -> None:
    with pytest.raises(AttributeError, match=rf"{name}.*has no gradient rule here.*Primitive"):
        getattr(module, name)
