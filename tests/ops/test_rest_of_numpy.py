"""What the rest of NumPy's namespace does at edges: nan, ties, odd arguments, and what each function refuses."""

import math
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.numpy as gnp
from gpugrad.tensor import Tensor

NAN, INF = math.nan, math.inf


def gradient(function: Any, values: Any) -> Any:
    x = Tensor(np.asarray(values, np.float64), True)
    function(x).sum().backward()
    return x.grad.tolist()


# ---- nan


@pytest.mark.parametrize("name", ["nansum", "nanprod", "nanmean", "nanmax", "nanmin", "nanvar", "nanstd", "nanmedian"])
def test_a_slice_of_nan_only_gives_what_numpy_gives_without_a_warning(name: str) -> None:
    x = np.array([[NAN, NAN], [1.0, 2.0]])
    ours = getattr(gnp, name)(x, 1)
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning) if not name.endswith(("sum", "prod")) else _quiet():
        theirs = getattr(np, name)(x, 1)
    np.testing.assert_array_equal(ours, theirs)


class _quiet:  # noqa: N801 - a context, used like pytest's
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("name", ["nansum", "nanmean", "nanmax", "nanvar", "nanstd", "nanmedian", "nancumsum"])
def test_an_element_that_is_nan_has_gradient_zero(name: str) -> None:
    g = gradient(getattr(gnp, name), [1.0, NAN, 4.0, 2.0])
    assert g[1] == 0
    assert np.isfinite(g).all()


@pytest.mark.parametrize("name", ["nansum", "nanmean", "nanmax", "nanvar", "nanstd", "nanmedian"])
def test_a_slice_of_nan_only_has_gradient_zero(name: str) -> None:
    g = gradient(lambda x: getattr(gnp, name)(x, 1), [[NAN, NAN], [1.0, 2.0]])
    assert g[0] == [0.0, 0.0]


@pytest.mark.parametrize("name", ["nansum", "nanprod", "nanmean", "nanmax", "nanmin", "nanvar", "nanstd"])
def test_integers_have_no_nan(name: str) -> None:
    x = np.array([[1, 2], [3, 5]])
    ours, theirs = getattr(gnp, name)(x, 1), getattr(np, name)(x, 1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-15)
    assert ours.dtype == theirs.dtype


def test_nanvar_of_complex_numbers_and_of_too_few() -> None:
    z = np.array([1 + 1j, NAN, 2 - 1j])
    np.testing.assert_allclose(gnp.nanvar(z), np.nanvar(z))
    np.testing.assert_allclose(gnp.nanstd(z), np.nanstd(z))
    assert np.isnan(gnp.nanvar(np.array([1.0, NAN]), ddof=1))
    assert np.isnan(gnp.nanstd(np.array([1.0, NAN]), ddof=2))
    assert gnp.nanmean(np.array([1.0, 2.0], np.float32), dtype=np.float64).dtype == np.float64


def test_gradient_of_nanstd_of_equal_elements_is_zero() -> None:
    assert gradient(gnp.nanstd, [2.0, NAN, 2.0]) == [0.0, 0.0, 0.0]


def test_nanargmax_refuses_a_slice_of_nan() -> None:
    with pytest.raises(ValueError, match=r"\[nanargmax\] a slice of nan only"):
        gnp.nanargmax(np.array([[NAN], [1.0]]), 1)


# ---- quantiles


def test_a_nan_is_every_quantile_of_its_slice() -> None:
    x = np.array([[1.0, NAN, 3.0], [1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(gnp.median(x, 1), np.median(x, 1))
    np.testing.assert_array_equal(gnp.quantile(x, [0.0, 0.5], 1), np.quantile(x, [0.0, 0.5], 1))
    assert gradient(lambda v: gnp.median(v, 1)[1:], x)[1] == [0.0, 1.0, 0.0]


def test_an_infinite_neighbour_does_not_reach_a_quantile_on_an_element() -> None:
    x = np.array([-INF, 1.0, 2.0, INF, INF])
    assert [gnp.quantile(x, q).item() for q in (0.25, 0.5, 0.75, 1.0)] == [1.0, 2.0, INF, INF]
    assert gradient(lambda v: gnp.quantile(v, 0.5), x) == [0.0, 0.0, 1.0, 0.0, 0.0]


def test_quantile_shapes_and_dtypes_are_numpys() -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    for q in (0.3, [0.1, 0.2], np.array([[0.5, 0.4]], np.float32), 1):
        for axis, keepdims in ((None, True), (1, False), ((0, 1), True)):
            ours, theirs = (f(x, q, axis, keepdims=keepdims) for f in (gnp.quantile, np.quantile))
            assert ours.dtype == np.asarray(theirs).dtype
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert gnp.median([1, 2, 3, 4]) == 2.5


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: gnp.quantile(x, 1.5), ValueError, r"\[quantile\] shares from 1.5"),
        (lambda x: gnp.percentile(x, NAN), ValueError, r"\[percentile\]"),
        (lambda x: gnp.quantile(x, 0.5, method="guess"), ValueError, r"\[quantile\] method = 'guess'; expected one of"),
        (lambda x: gnp.quantile(x[:0], 0.5), ValueError, r"\[quantile\] no elements"),
        (lambda x: gnp.median(x[:0]), ValueError, r"\[median\] no elements"),
        (lambda x: gnp.quantile(x * 1j, 0.5), TypeError, r"\[quantile\].*complex"),
        (lambda x: gnp.quantile(x, 0.5, weights=x), TypeError, r"\[quantile\] weights="),
        (lambda x: gnp.quantile(x, Tensor(np.array(0.5), True), method="lower"), TypeError, r"constant between jumps"),
        (lambda x: gnp.histogram(x, weights=Tensor(x, True)), TypeError, r"\[histogram\] weights that need a gradient"),
        (lambda x: gnp.average(x, weights=x * 0), ZeroDivisionError, r"\[average\] the weights"),
        (lambda x: gnp.average(x, 0, x[:2]), ValueError, r"\[average\] weights of shape \(2,\)"),
        (lambda x: gnp.average(x.reshape(2, 2), weights=x), TypeError, r"name the axis"),
        (lambda x: gnp.cov(x.reshape(1, 2, 2)), ValueError, r"\[cov\] m of shape"),
        (lambda x: gnp.cov(x, aweights=-x - 1), ValueError, r"\[cov\] aweights"),
        (lambda x: gnp.cov(x, fweights=x + 0.5), TypeError, r"\[cov\] fweights"),
        (lambda x: gnp.cov(x, fweights=x[:2]), ValueError, r"\[cov\] fweights"),
        (lambda x: gnp.convolve(x, x, "half"), ValueError, r"\[convolve\] mode = 'half'"),
        (lambda x: gnp.convolve(x, x[:0]), ValueError, r"\[convolve\] lengths 4 and 0"),
        (lambda x: gnp.convolve(x, x.reshape(2, 2)), ValueError, r"\[convolve\] shapes"),
        (lambda x: gnp.interp(x, x, x[:2]), ValueError, r"\[interp\] xp and fp of shapes \(4,\) and \(2,\)"),
        (lambda x: gnp.interp(x, x, x, period=0), ValueError, r"\[interp\] period = 0"),
        (lambda x: gnp.diff(x, -1), ValueError, r"\[diff\] n = -1"),
        (lambda x: gnp.gradient(x, edge_order=3), ValueError, r"\[gradient\] edge_order = 3"),
        (lambda x: gnp.gradient(x, 1.0, 2.0), TypeError, r"\[gradient\] 2 distances for 1 axes"),
        (lambda x: gnp.gradient(x, x[:3]), ValueError, r"\[gradient\] places of shape \(3,\)"),
        (lambda x: gnp.gradient(x[:1]), ValueError, r"\[gradient\] shape \(1,\) has 1 samples"),
        (lambda x: gnp.cross(x, x), ValueError, r"\[cross\] lengths 4 and 4"),
        (lambda x: gnp.polyval(x.reshape(2, 2), x), ValueError, r"\[polyval\]"),
        (lambda x: gnp.polyint(x, 3, [1, 2]), ValueError, r"\[polyint\] 2 constants"),
        (lambda x: gnp.polyder(x, -1), ValueError, r"\[polyder\] m = -1"),
        (lambda x: gnp.vander(x.reshape(2, 2)), ValueError, r"\[vander\]"),
        (lambda x: gnp.select([x > 1], []), ValueError, r"\[select\] 1 conditions and 0 choices"),
        (lambda x: gnp.select([x], [x]), TypeError, r"\[select\] condition 0 has dtype float64"),
        (lambda x: gnp.piecewise(x, [x > 1], [1, 2, 3]), ValueError, r"\[piecewise\] 3 functions for 1"),
        (lambda x: gnp.choose([0, 7], [x[:2]]), ValueError, r"\[choose\] a holds numbers from 0 to 7 for 1"),
        (lambda x: gnp.choose([0], [x], mode="any"), ValueError, r"\[choose\] mode = 'any'"),
        (lambda x: gnp.choose([0.5], [x]), TypeError, r"\[choose\] a has dtype float64"),
        (lambda x: gnp.delete(x, 4), IndexError, r"4"),
        (lambda x: gnp.insert(x, 5, 1.0), IndexError, r"\[insert\] places from 5 to 5"),
        (lambda x: gnp.insert(x, [0, 1], x[:3]), ValueError, r"\[insert\] values that do not fit"),
        (lambda x: gnp.block([[x], x]), ValueError, r"\[block\] lists of different depth"),
        (lambda x: gnp.block([]), ValueError, r"\[block\] an empty list"),
        (lambda x: gnp.vsplit(x, 2), ValueError, r"\[vsplit\]"),
        (lambda x: gnp.dsplit(x, 2), ValueError, r"\[dsplit\]"),
        (lambda x: gnp.meshgrid(x, x, indexing="yx"), ValueError, r"\[meshgrid\] indexing = 'yx'"),
        (lambda x: gnp.ldexp(x, x), TypeError, r"\[ldexp\] x2 has dtype float64"),
        (lambda x: gnp.nan_to_num(Tensor(x), copy=False), TypeError, r"\[nan_to_num\] copy=False"),
        (lambda x: gnp.geomspace(Tensor(x[:1]), 2.0), ValueError, r"\[geomspace\] traced ends"),
        (lambda x: gnp.cumulative_sum(x.reshape(2, 2)), ValueError, r"\[cumulative_sum\].*name the axis"),
        (lambda x: gnp.i0(x * 1j), TypeError, r"\[i0\].*complex"),
        (lambda x: gg.polygamma(-1, x), ValueError, r"\[polygamma\] n = -1"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(np.arange(4.0))


# ---- single functions


def test_values_at_edges_are_numpys() -> None:
    x = np.array([3.0, 1.0, 2.0])
    np.testing.assert_array_equal(gnp.diff(x > 1.5), np.diff(x > 1.5))
    np.testing.assert_array_equal(gnp.modf(np.array([INF, -INF, -1.0, 2])), np.modf(np.array([INF, -INF, -1.0, 2])))
    assert np.signbit(gnp.modf(np.array([-1.0]))[0][0])
    np.testing.assert_array_equal(gnp.nan_to_num(np.array([NAN, -INF, INF])), np.nan_to_num(np.array([NAN, -INF, INF])))
    np.testing.assert_array_equal(gnp.interp(2.5, x[1:2], x[:1]), np.interp(2.5, x[1:2], x[:1]))
    np.testing.assert_array_equal(gnp.interp([1.0, NAN], [1.0, 2.0], [5.0, 6.0]), [5.0, NAN])
    np.testing.assert_array_equal(gnp.resize(np.zeros(0), (2,)), np.zeros(2))
    np.testing.assert_array_equal(gnp.ldexp(5e-324, 1074), np.ldexp(5e-324, 1074))
    np.testing.assert_array_equal(gnp.trim_zeros(np.zeros(2)), np.trim_zeros(np.zeros(2)))
    np.testing.assert_array_equal(gnp.gradient(x.astype(np.float32), np.arange(3)).dtype, np.float32)
    np.testing.assert_allclose(gnp.geomspace(1j, 4j, 3), np.geomspace(1j, 4j, 3))
    np.testing.assert_array_equal(gnp.angle(-1.0), np.angle(-1.0))
    np.testing.assert_array_equal(gnp.unwrap(np.array([0, 7, 3]), period=4), np.unwrap(np.array([0, 7, 3]), period=4))
    assert gnp.corrcoef(x).item() == 1.0
    assert gnp.linspace(0, 1, 1, retstep=True)[0].tolist() == [0.0]


def test_nanmax_shares_ties_as_max_does() -> None:
    assert gradient(gnp.nanmax, [2.0, NAN, 2.0, 1.0]) == [0.5, 0.0, 0.5, 0.0]


def test_where_nothing_is_picked_the_last_condition_decides() -> None:
    g = gradient(lambda x: gnp.piecewise(x, [x < 3, x < 2], [lambda v: v * 10, lambda v: v * 100]), [1.0, 2.0, 5.0])
    assert g == [100.0, 10.0, 0.0]


def test_arrays_of_tensors_are_differentiable_stacks() -> None:
    a, b = (Tensor(np.arange(2.0) + k, True) for k in (0, 1))
    (gnp.array([a, b, [5.0, 6.0]]) * np.array([[1.0], [2.0], [3.0]])).sum().backward()
    assert (a.grad.tolist(), b.grad.tolist()) == ([1.0, 1.0], [2.0, 2.0])
    assert isinstance(gnp.stack([a, b]), Tensor)
    assert gnp.asarray([a[0], 2.0]).requires_grad


def test_a_full_array_of_a_traced_number_is_differentiated() -> None:
    x = Tensor(np.array(2.0), True)
    gnp.full((2, 3), x).sum().backward()
    assert x.grad.item() == 6.0
    assert type(gnp.full(2, 1.0)) is np.ndarray
    assert gnp.full_like(x, 3.0).tolist() == 3.0
    assert type(gnp.full_like(x, 3.0)) is np.ndarray


def test_functions_of_indices_take_tensors_and_give_no_gradient() -> None:
    x = Tensor(np.array([0.5, 2.0]), True)
    for result in (gnp.digitize(x, np.arange(3.0)), gnp.searchsorted(np.arange(3.0), x), gnp.histogram(x)[0]):
        assert isinstance(result, Tensor)
        assert not result.requires_grad
    index = gnp.ix_(Tensor(np.array([0, 1])), [1])
    assert index[0].shape == (2, 1)
    assert "Complete contraction" in gnp.einsum_path("ij,j", Tensor(np.ones((2, 2))), np.ones(2))[1]


def test_numpys_own_functions_take_tensors() -> None:
    x = Tensor(np.array([3.0, 1.0, 2.0]), True)
    assert np.median(x).item() == 2.0
    assert np.nanmax(x).requires_grad
    assert np.convolve(x, np.ones(2)).shape == (4,)
    assert np.linspace(x[1], x[0], 3).tolist() == [1.0, 2.0, 3.0]
    assert np.insert(x, 0, 7.0).shape == (4,)
    assert np.float_power(x, 2).requires_grad
    assert x.quantile(0.5).item() == 2.0
    assert x.compress([True, False, True]).tolist() == [3.0, 2.0]
    assert x.polygamma(1).requires_grad


@pytest.mark.parametrize("name", ["put", "place", "putmask", "copyto", "fill_diagonal", "put_along_axis"])
def test_what_works_in_place_names_what_to_use(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"numpy\.{name} changes its argument in place.*use "):
        getattr(gnp, name)


def test_where_of_two_numbers_keeps_integers_and_is_a_tensor_where_the_condition_is_one() -> None:
    for condition, x, y in ((True, 1, 2), ([True, False], True, False), ([True, False], 1, 2.0), (False, 1, 2j)):
        found, expected = gnp.where(condition, x, y), np.where(condition, x, y)
        assert (found.dtype, found.tolist()) == (expected.dtype, expected.tolist())
    mask = Tensor(np.array([True, False]))
    for x, dtype in ((1, "int64"), (1.0, "float32"), (True, "bool"), (np.ones(2), "float64")):
        found = gnp.where(mask, x, x if dtype == "bool" else 0)
        assert isinstance(found, Tensor)
        assert found.dtype == dtype


def test_diagonals_of_stacks_stand_where_they_are_asked_to() -> None:
    x = np.arange(6.0).reshape(2, 3)
    assert gg.diag_embed(x).tolist() == [np.diag(row).tolist() for row in x]
    assert gg.diag_embed(x, -1, 0, 1)[:, :, 1].tolist() == np.diag(x[1], -1).tolist()
    with pytest.raises(ValueError, match=r"\[diag_embed\] dim1 = 0 and dim2 = -3 are one axis of 3"):
        gg.diag_embed(x, 0, 0, -3)
    with pytest.raises(ValueError, match=r"\[diag_embed\] a single number"):
        gg.diag_embed(1.0)
