"""Where derivatives of factorisations exist and where not, what is read of a matrix, and errors by name."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.linalg import LinAlgError

import gpugrad as gg
from gpugrad import linalg

I3 = np.eye(3)
TWINS = np.diag([1.0, 1.0, 5.0])
TURN = np.linalg.qr(np.array([[1.0, 2, 0], [3, -1, 1], [0, 1, 2]])).Q


def tensor(x: Any) -> gg.Tensor:
    return gg.tensor(np.asarray(x), dtype=np.asarray(x).dtype, requires_grad=True)


def gradient(f: Callable[..., Any], x: Any) -> Any:
    return gg.grad(f)(np.asarray(x))


# ---- equal values


@pytest.mark.parametrize("a", [I3, TWINS, TURN @ TWINS @ TURN.T, np.zeros((3, 3))])
def test_eigenvalues_that_are_equal_have_gradients(a: Any) -> None:
    np.testing.assert_allclose(gradient(lambda x: gg.sum(gg.exp(linalg.eigvalsh(x))), a), _exp(a), atol=1e-12)
    np.testing.assert_allclose(gradient(lambda x: gg.sum(linalg.eigh(x)[0] ** 2), a), 2 * a, atol=1e-12)
    if a.any():
        singular = gradient(lambda x: gg.sum(linalg.svdvals(x) ** 2), a)
        np.testing.assert_allclose(singular, 2 * a, atol=1e-12)


def _exp(a: Any) -> Any:
    w, v = np.linalg.eigh(a)
    return (v * np.exp(w)) @ v.T


def test_eigenvector_apart_from_equal_ones_has_a_gradient() -> None:
    a = TURN @ TWINS @ TURN.T

    def leading(x: Any) -> Any:
        v = linalg.eigh((x + gg.swapaxes(x, 0, 1)) * 0.5)[1][:, -1]
        return gg.sum(gg.outer(v, v) * np.arange(9.0).reshape(3, 3))

    gg.check_grads(leading, (a,), order=1)


def test_largest_eigenvalue_has_a_second_derivative_where_others_are_equal() -> None:
    a = TURN @ TWINS @ TURN.T
    gg.check_grads(lambda x: linalg.eigvalsh((x + gg.swapaxes(x, 0, 1)) * 0.5)[-1], (a,), modes=("rev",))
    gg.check_grads(lambda x: linalg.norm(x, 2), (a,), modes=("rev",))


def test_singular_vectors_of_a_matrix_of_low_rank_have_gradients_where_asked() -> None:
    a = np.outer([1.0, 2, 3, 4], [1.0, -1, 0.5])

    def leading(x: Any) -> Any:
        u, s, vh = linalg.svd(x, full_matrices=False)
        return gg.sum(gg.outer(u[:, 0], vh[0]) * np.arange(12.0).reshape(4, 3)) + s[0]

    gg.check_grads(leading, (a,), order=1)


@pytest.mark.parametrize("function", ["sqrt", "exp"])
def test_function_of_a_matrix_with_equal_eigenvalues_is_refused_not_wrong(function: str) -> None:
    def of_matrix(x: Any) -> Any:
        w, v = linalg.eigh(x)
        return gg.sum((v * getattr(gg, function)(w)) @ gg.swapaxes(v, 0, 1))

    for a in (I3, TURN @ TWINS @ TURN.T):
        with pytest.raises(gg.GradientError, match=r"\[eigh\] \d pairs of equal values .*\(3,\)"):
            gradient(of_matrix, a)


def test_second_derivative_of_equal_eigenvalues_is_refused_not_wrong() -> None:
    # The Hessian of sum(w^2) = sum(a^2) is 2, but w and v alone do not know it.
    def slope(x: Any) -> Any:
        return gg.sum(gg.grad(lambda y: gg.sum(linalg.eigvalsh(y) ** 2))(x) * np.arange(9.0).reshape(3, 3))

    for a in (I3, np.zeros((3, 3))):
        with pytest.raises(gg.GradientError, match=r"\[eigh\] 3 pairs of equal values"):
            gradient(slope, a)


@pytest.mark.parametrize(
    ("call", "a", "message"),
    [
        (lambda x: linalg.svd(x)[0], I3, r"\[svd\] 3 pairs of equal values"),
        (lambda x: linalg.svd(x, full_matrices=False)[0], np.diag([2.0, 1, 0])[:, [0, 2]], r"\[svd\] 1 singular val"),
        (lambda x: gg.real(linalg.eig(x)[1]), TWINS, r"\[eig\] 1 pairs of equal values"),
    ],
    ids=["svd", "svd of low rank", "eig"],
)
def test_vectors_of_equal_or_zero_values_are_refused(call: Callable[..., Any], a: Any, message: str) -> None:
    with pytest.raises(gg.GradientError, match=message):
        gradient(lambda x: gg.sum(call(x) * np.arange(1.0, 1 + call(a).size).reshape(call(a).shape)), a)


def test_eigenvalues_of_a_defective_matrix_are_refused() -> None:
    with pytest.raises(LinAlgError, match=r"\[eig\] no gradient at a defective matrix"):
        gradient(lambda x: gg.sum(gg.real(linalg.eigvals(x)) ** 2), np.array([[0.0, 1], [0, 0]]))


@pytest.mark.parametrize("name", ["eigh", "eig", "svd"])
def test_loss_that_depends_on_a_phase_is_refused(name: str) -> None:
    z = np.array([[2.0, 1 + 1j], [1 - 1j, 4.0]]) + (0 if name == "eigh" else np.array([[0, 0.3j], [0.1, 0]]))

    def loss(x: Any) -> Any:
        vectors = linalg.svd(x)[0] if name == "svd" else getattr(linalg, name)(x)[1]
        return gg.sum(gg.real(vectors * (1 + 2j)))

    with pytest.raises(gg.GradientError, match=rf"\[{name}\] the loss depends on the phases"):
        gradient(loss, z)


# ---- singular matrices


@pytest.mark.parametrize(
    "a",
    [
        [[1.0, 2], [2, 4]],
        np.diag([1.0, 0, 0]),
        np.diag([3.0, 0, 2]),
        np.zeros((2, 2)),
        [[[1.0, 0], [0, 0]], I3[:2, :2]],
    ],
    ids=["rows in proportion", "rank 1 of 3", "rank 2 of 3", "zero", "stack"],
)
def test_det_of_a_singular_matrix_has_first_and_second_derivatives(a: Any) -> None:
    gg.check_grads(linalg.det, (np.asarray(a, float),), order=2)
    gg.check_grads(linalg.det, (np.asarray(a) * (1 + 0.5j),), order=2)


def test_det_of_a_singular_matrix_has_no_third_derivative() -> None:
    def third(x: Any) -> Any:
        d1 = gg.grad(linalg.det)
        d2 = gg.grad(lambda y: gg.sum(d1(y) * np.arange(9.0).reshape(3, 3)))
        return gg.sum(d2(x) * np.arange(9.0).reshape(3, 3).T)

    gg.check_grads(third, (TWINS + np.arange(9.0).reshape(3, 3) / 10,), order=1)
    with pytest.raises(LinAlgError, match=r"\[det\] no third derivative at a singular matrix"):
        gradient(third, np.diag([1.0, 0, 0]))


def test_slogdet_of_a_singular_matrix_has_a_value_and_no_gradient() -> None:
    x = tensor([[1.0, 2], [2, 4]])
    sign, logabs = linalg.slogdet(x)
    assert (sign.item(), logabs.item()) == (0.0, -np.inf)
    with pytest.raises(LinAlgError, match=r"\[inv\] Singular matrix \(\(2, 2\) float64\); use pinv"):
        logabs.backward()


def test_qr_of_dependent_columns_has_a_value_and_no_gradient() -> None:
    q, r = linalg.qr(tensor([[1.0, 0], [1, 0], [0, 0]]))
    np.testing.assert_allclose(q.detach().numpy() @ r.detach().numpy(), [[1, 0], [1, 0], [0, 0]], atol=1e-15)
    with pytest.raises(LinAlgError, match=r"\[qr\] no gradient where the leading columns"):
        gg.sum(q * np.arange(6.0).reshape(3, 2)).backward()


def test_pinv_of_low_rank_has_the_gradient_among_matrices_of_that_rank() -> None:
    left, right = np.array([[1.0], [2], [-1], [0.5]]), np.array([[0.5, -1, 2]])
    gg.check_grads(lambda u, v: linalg.pinv(u @ v, rcond=1e-8), (left, right), order=1)


def test_cond_of_a_singular_matrix_is_infinite_or_refused() -> None:
    assert linalg.cond(np.diag([1.0, 0])) == np.inf
    with pytest.raises(LinAlgError, match=r"\[inv\] Singular"):
        linalg.cond(np.diag([1.0, 0]), 1)


# ---- what is read, and what comes out


@pytest.mark.parametrize("lower", [True, False])
def test_one_triangle_is_read_and_the_gradient_is_symmetric(lower: bool) -> None:
    full = np.array([[4.0, 1, 0.5], [1, 3, 0.2], [0.5, 0.2, 5]])
    half = np.tril(full) if lower else np.triu(full)
    for call in (
        lambda x: linalg.eigvalsh(x, "L" if lower else "U"),
        lambda x: linalg.eigh(x, "L" if lower else "U").eigenvectors ** 2,
        lambda x: linalg.cholesky(x, upper=not lower),
    ):
        np.testing.assert_array_equal(call(half), call(full))
        weights = np.cos(np.arange(call(full).size)).reshape(call(full).shape)
        found = gradient(lambda x, call=call, weights=weights: gg.sum(call(x) * weights), half)
        np.testing.assert_allclose(found, found.T, atol=1e-14)


def test_results_are_named_as_numpys() -> None:
    a = np.array([[2.0, 1], [1, 3]])
    for name in ("qr", "svd", "eigh", "eig", "slogdet"):
        ours, theirs = getattr(linalg, name)(a), getattr(np.linalg, name)(a)
        assert ours._fields == theirs._fields
        assert type(ours).__name__ == type(theirs).__name__


def test_integers_are_computed_in_double_precision() -> None:
    a = [[2, 1], [1, 3]]
    assert linalg.inv(a).dtype == np.float64
    assert linalg.det(np.array(a)).item() == pytest.approx(5)


def test_rank_is_numpys() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((2, 4, 2)) @ rng.standard_normal((2, 2, 3))
    assert linalg.matrix_rank(a).tolist() == np.linalg.matrix_rank(a).tolist() == [2, 2]
    assert linalg.matrix_rank(a, tol=100.0).tolist() == [0, 0]
    assert linalg.matrix_rank(np.zeros(3)) == np.linalg.matrix_rank(np.zeros(3)) == 0
    assert linalg.matrix_rank(np.zeros((0, 3))) == 0
    x, _, rank, s = linalg.lstsq(tensor(a[0]), np.ones(4))
    assert (rank.item(), rank.requires_grad, x.requires_grad, s.requires_grad) == (2, False, True, True)


def test_full_matrices_and_complete_modes_are_numpys_where_no_gradient_is_asked() -> None:
    a = np.random.default_rng(0).standard_normal((4, 2))
    for ours, theirs in (
        (linalg.svd(a), np.linalg.svd(a)),
        (linalg.svd(gg.tensor(a, dtype=np.float64)), np.linalg.svd(a)),
        (linalg.qr(a, "complete"), np.linalg.qr(a, "complete")),
        (linalg.qr(a, "raw"), np.linalg.qr(a, "raw")),
    ):
        for x, y in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(x, y)


def test_empty_stacks_and_matrices_pass() -> None:
    for shape in ((0, 3, 3), (2, 0, 0)):
        x = tensor(np.zeros(shape))
        w, v = linalg.eigh(x)
        (gg.sum(w) + gg.sum(v) + gg.sum(linalg.det(x)) + gg.sum(linalg.inv(x))).backward()
        assert x.grad.shape == shape


def test_products_are_taken_in_the_cheapest_order() -> None:
    factors = [tensor(np.ones(s)) for s in ((100, 2), (2, 100), (100, 3), (3, 100))]
    seen = [node.shape for node in _products(linalg.multi_dot(factors))]
    assert (100, 100) not in seen[1:]  # only the result itself is large
    assert len(seen) == 3


def _products(result: gg.Tensor) -> list[Any]:
    found, waiting = [], [result._node]
    while waiting:
        node = waiting.pop()
        if node.name == "matmul":
            found.append(node)
        waiting.extend(p for p in ((node.parents,) if node.single else node.parents or ()) if p is not None)
    return found


# ---- mistakes

X = np.arange(6.0).reshape(2, 3)
INDEFINITE = np.array([[1.0, 2], [2, 1]])
MISTAKES: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (linalg.det, LinAlgError, r"\[det\] matrices of shape \(2, 3\); expected square"),
    (lambda x: linalg.inv(x[0]), LinAlgError, r"\[inv\] an array of shape \(3,\); expected matrices"),
    (lambda x: linalg.inv(x[:, :2] * 0), LinAlgError, r"\[inv\] Singular matrix \(\(2, 2\) float64\); use pinv"),
    (lambda x: linalg.solve(x[:, :2] * 0, x), LinAlgError, r"\[solve\] Singular matrix .*\(2, 2\).* and \(2, 3\)"),
    (lambda x: linalg.solve(x[:, :2], x[0]), ValueError, r"\[solve\] a has shape \(2, 2\), b \(3,\)"),
    (lambda x: linalg.cholesky(x[:, :2] * 0 + INDEFINITE), LinAlgError, r"\[cholesky\] Matrix is not positive def"),
    (lambda x: linalg.eigvalsh(x[:, :2], "M"), ValueError, r"\[eigvalsh\] UPLO = 'M'"),
    (lambda x: linalg.eig(x[:, :2] * np.nan), LinAlgError, r"\[eig\] .*check for nan"),
    (lambda x: linalg.qr(x, "full"), ValueError, r"\[qr\] mode = 'full'"),
    (lambda x: linalg.matrix_power(x[:, :2], 0.5), TypeError, r"\[matrix_power\] n = 0.5 of type float"),
    (lambda x: linalg.multi_dot([x]), ValueError, r"\[multi_dot\] 1 arrays"),
    (lambda x: linalg.multi_dot([x, x[0], x]), LinAlgError, r"\[multi_dot\] shapes \[\(2, 3\), \(3,\), \(2, 3\)\]"),
    (lambda x: linalg.multi_dot([x, x.T], out=X), TypeError, r"\[multi_dot\] out= is not supported"),
    (lambda x: linalg.tensorinv(x, 0), ValueError, r"\[tensorinv\] ind = 0"),
    (lambda x: linalg.tensorinv(x, 1), LinAlgError, r"\[tensorinv\] ind = 1 of shape \(2, 3\)"),
    (lambda x: linalg.tensorsolve(x, x[0]), LinAlgError, r"\[tensorsolve\] a of shape \(2, 3\) and b of shape \(3,\)"),
    (lambda x: linalg.pinv(x, 0.1, rtol=0.1), ValueError, r"\[pinv\] rcond = 0.1 and rtol = 0.1"),
    (lambda x: linalg.matrix_rank(x, 0.1, rtol=0.1), ValueError, r"\[matrix_rank\] tol = 0.1 and rtol = 0.1"),
    (lambda x: linalg.lstsq(x, x[0]), LinAlgError, r"\[lstsq\] a has 2 rows, b 3"),
    (lambda x: linalg.lstsq(x[None], x), LinAlgError, r"\[lstsq\] an array of shape \(1, 2, 3\); expected a matrix"),
    (lambda x: linalg.cond(x[:0]), LinAlgError, r"\[cond\] an array of shape \(0, 3\) has no elements"),
    (lambda x: linalg.svdvals(gg.astype(x, "float16")), TypeError, r"\[svdvals\] .*float16 .*astype\('float32'\)"),
]


@pytest.mark.parametrize(("call", "kind", "message"), MISTAKES, ids=[m[2][:36] for m in MISTAKES])
def test_mistake_is_named(call: Callable[[Any], Any], kind: type[Exception], message: str) -> None:
    for x in (X, tensor(X)):
        with pytest.raises(kind, match=message):
            call(x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (linalg.svd, r"\[svd\] full_matrices=True of shape \(2, 3\).*full_matrices=False"),
        (lambda x: linalg.qr(x.T, "complete"), r"\[qr\] mode = 'complete' of shape \(3, 2\).*mode='reduced'"),
        (lambda x: linalg.qr(x, "raw"), r"\[qr\] mode = 'raw'"),
    ],
    ids=["svd", "qr complete", "qr raw"],
)
def test_gradient_through_factors_that_are_not_unique_is_refused(call: Callable[[Any], Any], message: str) -> None:
    call(X)
    with pytest.raises(gg.GradientError, match=message):
        call(tensor(X))


def test_function_that_the_library_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(np.linalg, "eig")
    with pytest.raises(NotImplementedError, match=r"\[eig\] numpy.linalg has no eig .*on the CPU"):
        linalg.eig(I3)


@pytest.mark.parametrize("kind", ["float64", "complex128"])
def test_hermitian_reads_the_lower_triangle_as_numpy_does(kind: str) -> None:
    rng = np.random.default_rng(5)
    a = (rng.standard_normal((2, 4, 4)) + 1j * rng.standard_normal((2, 4, 4))).astype(kind) if kind[0] == "c" else (
        rng.standard_normal((2, 4, 4))
    )  # fmt: skip
    np.testing.assert_allclose(linalg.pinv(a, hermitian=True), np.linalg.pinv(a, hermitian=True), rtol=1e-9)
    ours, theirs = linalg.svd(a, hermitian=True), np.linalg.svd(a, hermitian=True)
    np.testing.assert_allclose(ours.S, theirs.S, rtol=1e-9)
    np.testing.assert_allclose((ours.U * ours.S[:, None]) @ ours.Vh, (theirs.U * theirs.S[:, None]) @ theirs.Vh)
    a[:, 3] = 0
    a[:, 1] = 0
    assert linalg.matrix_rank(a, hermitian=True).tolist() == np.linalg.matrix_rank(a, hermitian=True).tolist()
    gg.check_grads(lambda x: linalg.pinv(x, hermitian=True), (a + np.eye(4) * 3,), order=1)
    with pytest.raises(ValueError, match=r"\[pinv\].*square"):
        linalg.pinv(a[:, :2], hermitian=True)
